// SPDX-License-Identifier: GPL-2.0
/*
 * What user space may hold of the GPU when its device or its driver goes away, is reset or sleeps, in KTAP: each of the
 * holdings below with each action of life.h. A loss ends what is held with ENODEV; after a reset or sleep everything goes
 * on as if nothing had been.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/dma-buf.h>
#include <linux/sync_file.h>

#include "camera.h"
#include "display.h"
#include "display_fb.h"
#include "gpu_client.h"
#include "ktap.h"
#include "life.h"

#define BYTES 16384
#define TIMEOUT_MS 20000
#define PATTERN 0x5eed1e55
#define OTHER_PATTERN 0x0badcafe
/* Jobs of the busy holding, on each ring. */
#define JOBS 40

static const struct life_device gpu_device = {
	.slot = "0000:00:01.0",
	.driver = FENCEPOST_GPU_DRIVER_NAME,
	.module = "fencepost_gpu",
};

enum { A, B, C, SEMAPHORE, BUFFERS };

/* What is held; -1, 0 and NULL where nothing is. */
static struct {
	int gpu;
	struct gpu_buffer buffers[BUFFERS];
	int dmabuf;
	int fence;
	int fences[2 * JOBS];
	struct display_fb fb;
	struct camera camera;
	pid_t child;
} held = { .gpu = -1, .dmabuf = -1, .fence = -1, .camera.fd = -1 };

/* Its dumb buffers are foreign memory for the GPU. */
static struct display display = { .mode = { .hdisplay = 64, .vdisplay = 64 } };

static void close_fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
	*fd = -1;
}

static void unmap_all(void)
{
	for (int i = 0; i < BUFFERS; i++)
		if (held.buffers[i].map)
			munmap(held.buffers[i].map, BYTES);
	memset(held.buffers, 0, sizeof(held.buffers));
}

static bool is_filled(const uint8_t *bytes, uint32_t pattern)
{
	for (size_t i = 0; i < BYTES; i += 4)
		if (memcmp(bytes + i, &pattern, 4))
			return false;
	return true;
}

/* An open file with buffers, all of which the GPU has seen. */
static int take_file(void)
{
	int ret = held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);

	for (int i = 0; ret >= 0 && i < BUFFERS; i++) {
		struct drm_fencepost_gpu_command command;

		ret = gpu_buffer_create(held.gpu, BYTES, &held.buffers[i]);
		command = gpu_fill(&held.buffers[i], BYTES, i == SEMAPHORE ? 0 : PATTERN);
		if (!ret)
			ret = gpu_run(held.gpu, i % 2, &command);
	}
	return ret < 0 ? ret : 0;
}

/* Every way to use the file is refused, or every way works. */
static int check_file(enum life_action action)
{
	struct drm_fencepost_gpu_command command = gpu_fill(&held.buffers[A], BYTES, OTHER_PATTERN);
	struct drm_fencepost_gpu_info info;
	struct gpu_buffer more = { 0 };
	int wanted = life_is_loss(action) ? -ENODEV : 0;
	int results[4];

	results[0] = gpu_ioctl(held.gpu, DRM_IOCTL_FENCEPOST_GPU_INFO, &info);
	results[1] = gpu_run(held.gpu, 0, &command);
	results[2] = gpu_buffer_create(held.gpu, BYTES, &more);
	gpu_buffer_destroy(held.gpu, &more);
	results[3] = gpu_export(held.gpu, held.buffers[B].handle);
	if (results[3] >= 0) {
		close(results[3]);
		results[3] = 0;
	}
	for (int i = 0; i < 4; i++)
		if (results[i] != wanted)
			return results[i] ? results[i] : -EEXIST;
	/* Memory is memory, whatever became of the device. */
	if (!is_filled(held.buffers[A].map, wanted ? PATTERN : OTHER_PATTERN) || !is_filled(held.buffers[B].map, PATTERN))
		return -EBADMSG;
	memset(held.buffers[B].map, 0, BYTES);
	return 0;
}

static int take_mapping(void)
{
	int ret = take_file();

	close_fd(&held.gpu);
	return ret;
}

static int check_mapping(enum life_action action)
{
	bool kept = is_filled(held.buffers[A].map, PATTERN);

	(void)action;
	memset(held.buffers[A].map, 0, BYTES);
	return kept && is_filled(held.buffers[A].map, 0) ? 0 : -EBADMSG;
}

static int take_export(void)
{
	int ret = take_file();

	if (!ret)
		held.dmabuf = gpu_export(held.gpu, held.buffers[A].handle);
	unmap_all();
	close_fd(&held.gpu);
	return ret ? ret : held.dmabuf < 0 ? held.dmabuf : 0;
}

/* The pages are there for the CPU, and for another device that takes them now. */
static int check_export(enum life_action action)
{
	uint8_t *map = mmap(NULL, BYTES, PROT_READ, MAP_SHARED, held.dmabuf, 0);
	struct drm_gem_close close = { 0 };
	int ret = map == MAP_FAILED ? -errno : is_filled(map, PATTERN) ? 0 : -EBADMSG;

	(void)action;
	if (map != MAP_FAILED)
		munmap(map, BYTES);
	if (!ret)
		ret = gpu_import(display.fd, held.dmabuf, &close.handle);
	if (!ret)
		ret = gpu_ioctl(display.fd, DRM_IOCTL_GEM_CLOSE, &close);
	return ret;
}

/* A buffer of the display's and one of the camera's, both imported and drawn into. */
static int take_imports(void)
{
	struct drm_fencepost_gpu_command command;
	int ret = take_file(), dmabufs[2];

	if (!ret)
		ret = display_create_dumb(&display, &held.fb);
	if (!ret)
		ret = camera_open(&held.camera, FENCEPOST_CAMERA_DRIVER_NAME);
	if (!ret)
		ret = camera_request_buffers(&held.camera, 1);
	if (ret)
		return ret;
	dmabufs[0] = display_export(&display, &held.fb);
	dmabufs[1] = camera_export(&held.camera, 0);
	for (int i = 0; !ret && i < 2; i++) {
		struct gpu_buffer imported = { 0 };

		ret = dmabufs[i] < 0 ? dmabufs[i] : gpu_import(held.gpu, dmabufs[i], &imported.handle);
		command = gpu_fill(&imported, 4096, PATTERN);
		if (!ret)
			ret = gpu_run(held.gpu, i, &command);
		close(dmabufs[i]);
	}
	return ret;
}

static int check_imports(enum life_action action)
{
	uint32_t *map = display_map_dumb(&display, &held.fb);
	int ret = !map ? -ENOMEM : map[0] == PATTERN && map[1023] == PATTERN ? 0 : -EBADMSG;

	if (map)
		munmap(map, held.fb.size);
	return ret ? ret : check_file(action);
}

/* Asks a sync_file for what it says of its fence: the names are in memory of the driver's. */
static int fence_status(int fence, int *status)
{
	struct sync_fence_info fence_info = { 0 };
	struct sync_file_info info = { .num_fences = 1, .sync_fence_info = (uintptr_t)&fence_info };
	int ret = gpu_ioctl(fence, SYNC_IOC_FILE_INFO, &info);

	*status = info.status;
	if (ret)
		return ret;
	return strcmp(fence_info.driver_name, "drm_sched") || strncmp(fence_info.obj_name, "fencepost-", 10) ?
		-EBADMSG : 0;
}

static int take_done_fence(void)
{
	struct drm_fencepost_gpu_command command;
	int ret = take_file();

	command = gpu_fill(&held.buffers[A], BYTES, PATTERN);
	if (!ret)
		ret = held.fence = gpu_submit(held.gpu, 1, &command, 1, -1);
	if (ret >= 0)
		ret = gpu_buffer_wait(held.gpu, &held.buffers[A], TIMEOUT_MS);
	unmap_all();
	close_fd(&held.gpu);
	return ret;
}

static int check_done_fence(enum life_action action)
{
	int status, ret = fence_status(held.fence, &status);

	(void)action;
	return ret ? ret : status == 1 ? 0 : -EBADMSG;
}

/* No descriptor of the GPU's at all: a fence in the reservation of another driver's buffer. */
static int take_reservation(void)
{
	int ret = take_imports();

	unmap_all();
	close_fd(&held.gpu);
	return ret;
}

static int check_reservation(enum life_action action)
{
	struct dma_buf_export_sync_file export = { .flags = DMA_BUF_SYNC_RW };
	int dmabuf = display_export(&display, &held.fb);
	int ret = dmabuf < 0 ? dmabuf : gpu_ioctl(dmabuf, DMA_BUF_IOCTL_EXPORT_SYNC_FILE, &export);

	(void)action;
	close_fd(&dmabuf);
	/* Of what has signalled, the kernel makes a fence of its own; ours goes with the buffer. */
	return ret ? ret : gpu_fence_wait(export.fd, TIMEOUT_MS);
}

/*
 * A job on ring 0 that has copied A to B and cleared A and now waits, and after that copies B to C. If it were run again
 * from its start, C would be clear.
 */
static int take_running(void)
{
	struct drm_fencepost_gpu_command commands[4];
	int ret = take_file();

	if (ret)
		return ret;
	memset(held.buffers[B].map, 0, BYTES);
	memset(held.buffers[C].map, 0, BYTES);
	commands[0] = gpu_copy(&held.buffers[B], &held.buffers[A], BYTES);
	commands[1] = gpu_fill(&held.buffers[A], BYTES, 0);
	commands[2] = gpu_sem_wait(&held.buffers[SEMAPHORE], 1);
	commands[3] = gpu_copy(&held.buffers[C], &held.buffers[B], BYTES);
	held.fence = gpu_submit(held.gpu, 0, commands, 4, -1);
	/* Long enough for the first two, and not for the wait to be given up. */
	usleep(20000);
	return held.fence < 0 ? held.fence : is_filled(held.buffers[A].map, 0) ? 0 : -ETIMEDOUT;
}

static int check_running(enum life_action action)
{
	int status, ret;

	/* It has ended with the device; or else it is neither done nor given up. */
	if (gpu_fence_is_done(held.fence) != life_is_loss(action))
		return -EALREADY;
	ret = fence_status(held.fence, &status);
	if (ret || life_is_loss(action))
		return ret ? ret : status == -ENODEV && is_filled(held.buffers[C].map, 0) ? 0 : -EBADMSG;
	__atomic_store_n((uint64_t *)held.buffers[SEMAPHORE].map, 1, __ATOMIC_RELEASE);
	ret = gpu_fence_wait(held.fence, TIMEOUT_MS);
	held.fence = -1;
	return ret ? ret : is_filled(held.buffers[C].map, PATTERN) ? 0 : -EBADMSG;
}

static int take_running_without_file(void)
{
	int ret = take_running();

	close_fd(&held.gpu);
	return ret;
}

/* Jobs on both rings, each of which waits for the one before. */
static int take_busy(void)
{
	int ret = take_file();

	for (int i = 0; !ret && i < 2 * JOBS; i++) {
		struct drm_fencepost_gpu_command commands[2] = {
			gpu_fill(&held.buffers[A], BYTES, i), gpu_copy(&held.buffers[B], &held.buffers[A], BYTES)
		};

		held.fences[i] = gpu_submit(held.gpu, i % 2, commands, 2, -1);
		ret = held.fences[i] < 0 ? held.fences[i] : 0;
	}
	return ret;
}

static int check_busy(enum life_action action)
{
	int lost = 0;

	for (int i = 0; i < 2 * JOBS; i++) {
		int ret = gpu_fence_wait(held.fences[i], TIMEOUT_MS);

		if (ret == -ENODEV && life_is_loss(action))
			lost++;
		else if (ret || lost)
			return ret ? ret : -EBADMSG;
	}
	return life_is_loss(action) || is_filled(held.buffers[B].map, 2 * JOBS - 1) ? 0 : -EBADMSG;
}

/* Queues a job behind @before from a file of its own, hands out its fence, and waits to be killed. */
static void be_killed(int socket, int before)
{
	struct drm_fencepost_gpu_command command;
	int fence;

	held.gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	if (gpu_buffer_create(held.gpu, BYTES, &held.buffers[A]))
		_exit(1);
	command = gpu_fill(&held.buffers[A], BYTES, 0);
	fence = gpu_submit(held.gpu, 1, &command, 1, before);
	if (fence >= 0 && !life_send_fd(socket, fence))
		pause();
	_exit(1);
}

/*
 * The fence of a job that never runs: the scheduler gives a killed file's jobs a second, and this one's is behind two
 * that take a second each.
 */
static int take_killed(void)
{
	struct drm_fencepost_gpu_command command;
	int sockets[2], second, ret = take_running();

	command = gpu_sem_wait(&held.buffers[SEMAPHORE], 2);
	second = ret ? -1 : gpu_submit(held.gpu, 0, &command, 1, -1);
	if (second < 0 || socketpair(AF_UNIX, SOCK_STREAM, 0, sockets))
		return ret ? ret : -errno;
	held.child = fork();
	if (!held.child)
		be_killed(sockets[1], second);
	close(sockets[1]);
	close(held.fence);
	held.fence = life_receive_fd(sockets[0]);
	close(sockets[0]);
	close(second);
	kill(held.child, SIGKILL);
	if (waitpid(held.child, NULL, 0) != held.child)
		return -ECHILD;
	held.child = 0;
	unmap_all();
	close_fd(&held.gpu);
	return held.fence < 0 ? held.fence : 0;
}

static int check_killed(enum life_action action)
{
	struct pollfd pollfd = { .fd = held.fence, .events = POLLIN };
	int status, ret;

	(void)action;
	if (poll(&pollfd, 1, TIMEOUT_MS) != 1)
		return -ETIMEDOUT;
	ret = fence_status(held.fence, &status);
	return ret ? ret : status == -ESRCH ? 0 : -EBADMSG;
}

/* A child that sleeps in an ioctl for the running job's buffer. */
static int take_waiter(void)
{
	int ret = take_running();

	if (ret)
		return ret;
	held.child = fork();
	if (!held.child)
		_exit(-gpu_buffer_wait(held.gpu, &held.buffers[A], TIMEOUT_MS));
	return held.child < 0 ? -ECHILD : life_wait_asleep(held.child);
}

static int check_waiter(enum life_action action)
{
	int status = 0, ret = check_running(action);

	if (waitpid(held.child, &status, 0) != held.child)
		return -ECHILD;
	held.child = 0;
	/* The job ended, one way or the other, and that is what was waited for. */
	return ret ? ret : -WEXITSTATUS(status);
}

static void let_go(void)
{
	unmap_all();
	close_fd(&held.gpu);
	close_fd(&held.fence);
	close_fd(&held.dmabuf);
	if (held.fb.handle)
		display_destroy_fb(&display, &held.fb);
	held.fb = (struct display_fb) { 0 };
	if (held.camera.fd >= 0)
		camera_close(&held.camera);
	if (held.child > 0) {
		kill(held.child, SIGKILL);
		waitpid(held.child, NULL, 0);
	}
	held.child = 0;
}

static int take_nothing(void)
{
	int ret = take_done_fence();

	let_go();
	return ret;
}

/* Both engines draw, from a new file. */
static int works(void)
{
	int ret = take_file();

	ret = ret ? ret : is_filled(held.buffers[A].map, PATTERN) && is_filled(held.buffers[B].map, PATTERN) ? 0 : -EBADMSG;
	let_go();
	return ret;
}

static const struct life_holding holdings[] = {
	{ "nothing", false, take_nothing, NULL },
	{ "an open file", true, take_file, check_file },
	{ "a mapping", true, take_mapping, check_mapping },
	{ "an exported dma-buf", true, take_export, check_export },
	{ "imported dma-bufs", true, take_imports, check_imports },
	{ "a signalled fence", true, take_done_fence, check_done_fence },
	{ "a fence in another driver's buffer", true, take_reservation, check_reservation },
	{ "a running job", true, take_running, check_running },
	{ "a running job of a closed file", true, take_running_without_file, check_running },
	{ "eighty jobs in a chain", true, take_busy, check_busy },
	{ "the fence of a killed job", true, take_killed, check_killed },
	{ "a sleeping waiter", true, take_waiter, check_waiter },
};

#define HOLDINGS (sizeof(holdings) / sizeof(holdings[0]))

static const struct life_subject subject = {
	.device = &gpu_device,
	.holdings = holdings,
	.holding_count = HOLDINGS,
	.let_go = let_go,
	.works = works,
};

int main(void)
{
	int ret;

	ktap_plan(1 + LIFE_RESULTS(HOLDINGS));
	ret = display.fd = display_open_node("card", DISPLAY_DRIVER_NAME);
	if (ret >= 0)
		ret = life_complaints();
	if (ktap_result(!ret, "the display opens (%d)", ret))
		life_test(&subject);
	return ktap_finish();
}
