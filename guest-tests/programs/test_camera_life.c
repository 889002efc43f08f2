// SPDX-License-Identifier: GPL-2.0
/*
 * What user space may hold of the camera when its device or its driver goes away, is reset or sleeps, in KTAP: each of the
 * holdings below with each action of life.h. A loss ends a stream with ENODEV; after a reset or sleep it goes on, with all
 * its buffers and frames in order.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fencepost_pci.h>

#include "camera.h"
#include "crc32.h"
#include "display.h"
#include "gpu_client.h"
#include "iommu_trace.h"
#include "ktap.h"
#include "life.h"

#define WIDTH 64
#define HEIGHT 48
#define BYTES (WIDTH * HEIGHT * 2)
#define BUFFERS 3
#define TIMEOUT_MS 20000
#define PATTERN 0xa5

static const struct life_device camera_device = {
	.slot = FENCEPOST_PCI_NAME_CAMERA,
	.name = FENCEPOST_CAMERA_DRIVER_NAME,
};

/* What is held; -1, 0 and NULL where nothing is. */
static struct {
	struct camera camera;
	uint8_t *maps[BUFFERS];
	/* Of frames: the number of the last one, or -1. */
	long sequence;
	int dmabuf;
	int gpu;
	/* Bytes that are mapped for the GPU. */
	long gpu_mapped;
	pid_t child;
} held = { .camera.fd = -1, .dmabuf = -1, .gpu = -1 };

static int call(unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(held.camera.fd, request, arg);
	} while (ret && errno == EINTR);
	return ret ? -errno : 0;
}

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

/* An open file with mapped buffers; @rate frames a second. */
static int take_file_of_rate(unsigned int rate)
{
	int ret = camera_open(&held.camera, FENCEPOST_CAMERA_DRIVER_NAME);

	if (!ret)
		ret = camera_set_format(&held.camera, V4L2_PIX_FMT_YUYV, WIDTH, HEIGHT);
	if (!ret)
		ret = camera_set_rate(&held.camera, rate, 1);
	if (!ret)
		ret = camera_request_buffers(&held.camera, BUFFERS);
	for (uint32_t i = 0; !ret && i < BUFFERS; i++) {
		held.maps[i] = camera_map(&held.camera, i);
		if (held.maps[i])
			memset(held.maps[i], PATTERN, BYTES);
		else
			ret = -ENOMEM;
	}
	held.sequence = -1;
	return ret;
}

static int take_file(void)
{
	return take_file_of_rate(100);
}

/* Memory is memory, whatever became of the device. */
static int check_maps(void)
{
	for (int i = 0; i < BUFFERS; i++) {
		for (int at = 0; at < BYTES; at++)
			if (held.maps[i][at] != PATTERN)
				return -EBADMSG;
		memset(held.maps[i], 0, BYTES);
	}
	return 0;
}

static int check_file(enum life_action action)
{
	struct v4l2_capability cap;
	int wanted = life_is_loss(action) ? -ENODEV : 0;
	int ret = call(VIDIOC_QUERYCAP, &cap);

	if (ret != wanted)
		return ret ? ret : -EEXIST;
	ret = camera_export(&held.camera, 0);
	if (ret >= 0)
		close(ret);
	if ((ret < 0 ? ret : 0) != wanted)
		return ret < 0 ? ret : -EEXIST;
	return check_maps();
}

/* The next frame: whole, and after the one before. */
static int next_frame(struct camera_frame *frame)
{
	struct pollfd pollfd = { .fd = held.camera.fd, .events = POLLIN };
	int ret = poll(&pollfd, 1, TIMEOUT_MS) == 1 ? camera_dequeue(&held.camera, frame) : -ETIMEDOUT;

	if (ret)
		return ret;
	if (frame->failed || frame->device.status || frame->device.bytes != BYTES || (long)frame->sequence <= held.sequence)
		return -EIO;
	held.sequence = frame->sequence;
	return crc32_of(held.maps[frame->index], BYTES) == frame->device.crc ? 0 : -EBADMSG;
}

static int take_stream_of_rate(unsigned int rate)
{
	int ret = take_file_of_rate(rate);

	for (uint32_t i = 0; !ret && i < BUFFERS; i++)
		ret = camera_queue(&held.camera, i);
	return ret ? ret : camera_stream_on(&held.camera);
}

static int take_stream(void)
{
	struct camera_frame frame;
	int ret = take_stream_of_rate(100);

	for (int i = 0; !ret && i < BUFFERS + 1; i++) {
		ret = next_frame(&frame);
		if (!ret)
			ret = camera_queue(&held.camera, frame.index);
	}
	return ret;
}

/* After a loss every use of an open file reports it. */
static int check_lost(void)
{
	struct pollfd pollfd = { .fd = held.camera.fd, .events = POLLIN };
	struct camera_frame frame;

	if (poll(&pollfd, 1, 0) != 1 || !(pollfd.revents & POLLERR) || !(pollfd.revents & POLLHUP))
		return -EBADMSG;
	if (camera_dequeue(&held.camera, &frame) != -ENODEV || camera_queue(&held.camera, 0) != -ENODEV ||
	    camera_stream_on(&held.camera) != -ENODEV || camera_stream_off(&held.camera) != -ENODEV)
		return -EEXIST;
	return 0;
}

/* Every buffer comes back twice, none failed. */
static int check_stream(enum life_action action)
{
	struct camera_frame frame;
	unsigned int seen = 0;
	int ret = 0;

	if (life_is_loss(action))
		return check_lost();
	for (int i = 0; !ret && i < 2 * BUFFERS; i++) {
		ret = next_frame(&frame);
		seen |= 1u << frame.index;
		if (!ret)
			ret = camera_queue(&held.camera, frame.index);
	}
	return ret ? ret : seen == (1u << BUFFERS) - 1 ? 0 : -EBADMSG;
}

/* Starts a child that sleeps until a frame comes, half a second from now. */
static int take_sleeper(void (*sleeper)(void))
{
	int ret = take_stream_of_rate(2);

	if (ret || fcntl(held.camera.fd, F_SETFL, O_RDWR))
		return ret ? ret : -errno;
	held.child = fork();
	if (!held.child)
		sleeper();
	return held.child < 0 ? -ECHILD : life_wait_asleep(held.child);
}

static void dequeue(void)
{
	struct camera_frame frame;

	_exit(-camera_dequeue(&held.camera, &frame));
}

static void wait_for_frame(void)
{
	struct pollfd pollfd = { .fd = held.camera.fd, .events = POLLIN };

	/* What poll() says is in the low bits. */
	_exit(poll(&pollfd, 1, TIMEOUT_MS) == 1 ? pollfd.revents : ETIMEDOUT);
}

static int take_dequeuer(void)
{
	return take_sleeper(dequeue);
}

static int take_poller(void)
{
	return take_sleeper(wait_for_frame);
}

/* What the child ended with, or a negative errno. */
static int child_status(void)
{
	int status, ret = waitpid(held.child, &status, 0) == held.child && WIFEXITED(status) ? 0 : -ECHILD;

	held.child = 0;
	return ret ? ret : WEXITSTATUS(status);
}

static int check_dequeuer(enum life_action action)
{
	int status = child_status();

	return status == (life_is_loss(action) ? ENODEV : 0) ? 0 : -EBADMSG;
}

static int check_poller(enum life_action action)
{
	int status = child_status();

	return status < 0 ? status : life_is_loss(action) ? (status & (POLLERR | POLLHUP) ? 0 : -EBADMSG) :
	       status == POLLIN ? 0 : -EBADMSG;
}

static void close_file(void)
{
	camera_close(&held.camera);
}

static int take_mapping(void)
{
	int ret = take_file();

	close_file();
	return ret;
}

static int check_mapping(enum life_action action)
{
	(void)action;
	return check_maps();
}

static void unmap_all(void)
{
	for (int i = 0; i < BUFFERS; i++) {
		if (held.maps[i])
			munmap(held.maps[i], BYTES);
		held.maps[i] = NULL;
	}
}

/* A dma-buf and nothing else. Its pages are vb2's, and the driver is not needed for them. */
static int take_export(void)
{
	int ret = take_file();

	if (!ret)
		ret = held.dmabuf = camera_export(&held.camera, 0);
	unmap_all();
	close_file();
	return ret < 0 ? ret : 0;
}

static int check_export(enum life_action action)
{
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, held.dmabuf, 0);
	int ret = map == MAP_FAILED ? -errno : map[0] == PATTERN && map[BYTES - 1] == PATTERN ? 0 : -EBADMSG;

	(void)action;
	if (map != MAP_FAILED)
		munmap(map, BYTES);
	return ret;
}

/* The GPU fills a buffer of the camera's. */
static int draw(void)
{
	struct gpu_buffer imported = { 0 };
	struct drm_fencepost_gpu_command command;
	long mapped = iommu_trace_mapped();
	int ret = gpu_import(held.gpu, held.dmabuf, &imported.handle);

	command = gpu_fill(&imported, BYTES, PATTERN * 0x01010101u);
	if (!ret)
		ret = gpu_run(held.gpu, 0, &command);
	held.gpu_mapped += iommu_trace_mapped() - mapped;
	iommu_trace_forget(mapped);
	return ret;
}

/* The same in the hands of another driver, which has it mapped. */
static int take_shared(void)
{
	int ret = take_export();

	held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	return ret ? ret : held.gpu < 0 ? held.gpu : draw();
}

static int check_shared(enum life_action action)
{
	int ret = check_export(action);

	return ret ? ret : draw();
}

/* A stream into a buffer of the GPU's. */
static int take_import(void)
{
	struct v4l2_requestbuffers request = {
		.count = 1, .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_DMABUF
	};
	struct gpu_buffer buffer;
	int ret = take_file();

	unmap_all();
	held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	if (!ret)
		ret = held.gpu < 0 ? held.gpu : gpu_buffer_create(held.gpu, BYTES, &buffer);
	if (ret)
		return ret;
	held.maps[0] = buffer.map;
	ret = held.dmabuf = gpu_export(held.gpu, buffer.handle);
	if (ret >= 0)
		ret = camera_request_buffers(&held.camera, 0);
	if (!ret)
		ret = call(VIDIOC_REQBUFS, &request);
	return ret ? ret : camera_stream_on(&held.camera);
}

static int queue_import(void)
{
	struct v4l2_buffer buffer = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_DMABUF, .m.fd = held.dmabuf
	};

	return call(VIDIOC_QBUF, &buffer);
}

static int take_import_stream(void)
{
	int ret = take_import();

	return ret ? ret : queue_import();
}

static int check_import_stream(enum life_action action)
{
	struct v4l2_buffer buffer = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .memory = V4L2_MEMORY_DMABUF };
	struct pollfd pollfd = { .fd = held.camera.fd, .events = POLLIN };
	struct fencepost_camera_frame frame = { 0 };
	int ret = life_is_loss(action) ? check_lost() : 0;

	for (int i = 0; !life_is_loss(action) && !ret && i < 2; i++) {
		ret = poll(&pollfd, 1, TIMEOUT_MS) == 1 ? call(VIDIOC_DQBUF, &buffer) : -ETIMEDOUT;
		if (!ret)
			ret = call(FENCEPOST_CAMERA_IOC_FRAME, &frame);
		if (!ret && (buffer.flags & V4L2_BUF_FLAG_ERROR || crc32_of(held.maps[0], BYTES) != frame.crc))
			ret = -EBADMSG;
		if (!ret)
			ret = queue_import();
	}
	return ret;
}

static void let_go(void)
{
	long mapped;

	unmap_all();
	if (held.camera.fd >= 0)
		close_file();
	close_fd(&held.dmabuf);
	mapped = iommu_trace_mapped();
	close_fd(&held.gpu);
	/* Its last job is freed in the background, and its buffers with it. */
	iommu_trace_settle(mapped - held.gpu_mapped);
	iommu_trace_forget(mapped);
	held.gpu_mapped = 0;
	if (held.child > 0) {
		kill(held.child, SIGKILL);
		waitpid(held.child, NULL, 0);
	}
	held.child = 0;
}

static int take_nothing(void)
{
	int ret = take_stream();

	let_go();
	return ret;
}

/* A new file streams. */
static int works(void)
{
	int ret = take_stream();

	let_go();
	return ret;
}

static const struct life_holding holdings[] = {
	{ "nothing", false, take_nothing, NULL },
	{ "an open file", true, take_file, check_file },
	{ "a mapping", true, take_mapping, check_mapping },
	{ "a stream", true, take_stream, check_stream },
	{ "a sleeper in DQBUF", true, take_dequeuer, check_dequeuer },
	{ "a sleeper in poll()", true, take_poller, check_poller },
	{ "an exported dma-buf", false, take_export, check_export },
	{ "a dma-buf that the GPU has imported", false, take_shared, check_shared },
	{ "a stream into an imported dma-buf", true, take_import_stream, check_import_stream },
};

static const struct life_subject subject = {
	.device = &camera_device,
	.begin = works,
	.holdings = holdings,
	.holding_count = sizeof(holdings) / sizeof(holdings[0]),
	.let_go = let_go,
	.works = works,
};

int main(void)
{
	return life_test(&subject);
}
