// SPDX-License-Identifier: GPL-2.0
/*
 * The camera and the GPU wait for each other, in KTAP: the camera captures into a buffer of the GPU's behind a job that uses it, and a
 * job waits for the frame. `test_camera_fences irq-lost` is for a machine that loses the interrupts of the GPU's ring 0 and of the
 * camera's frames from mark 70 on: then both are done before any CPU knows.
 */
#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include <fencepost_pci.h>

#include "camera.h"
#include "crc32.h"
#include "display.h"
#include "faults.h"
#include "gpu_client.h"
#include "ktap.h"
#include "life.h"

#define TIMEOUT_MS 20000
/* Some frames. */
#define QUIET_MS 250
#define SEEN_BEFORE 0x5eed5eed
#define UNTOUCHED 0x0ddba115

static const struct life_device gpu_device = { FENCEPOST_PCI_NAME_GPU, FENCEPOST_GPU_DRIVER_NAME };
static const struct life_device camera_device = { FENCEPOST_PCI_NAME_CAMERA, FENCEPOST_CAMERA_DRIVER_NAME };

static struct camera camera;
static int gpu, dmabuf;
static uint32_t bytes;
/* What the camera captures into, what jobs copy that to, and what a job waits for. */
static struct gpu_buffer picture, before, after, semaphore;

static int call(unsigned long request, void *arg)
{
	return gpu_ioctl(camera.fd, request, arg);
}

static int open_camera(void)
{
	struct v4l2_requestbuffers request = {
		.count = 1,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_DMABUF,
	};
	int ret = camera_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME);

	bytes = camera.pix.sizeimage;
	return ret ?: call(VIDIOC_REQBUFS, &request);
}

static int set_up(void)
{
	int ret;

	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : open_camera();
	ret = ret ?: gpu_buffer_create(gpu, bytes, &picture);
	ret = ret ?: gpu_buffer_create(gpu, bytes, &before);
	ret = ret ?: gpu_buffer_create(gpu, bytes, &after);
	ret = ret ?: gpu_buffer_create(gpu, 4096, &semaphore);
	dmabuf = ret ? ret : gpu_export(gpu, picture.handle);
	return dmabuf < 0 ? dmabuf : 0;
}

static int queue(void)
{
	struct v4l2_buffer buffer = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_DMABUF,
		.m.fd = dmabuf,
	};

	return call(VIDIOC_QBUF, &buffer);
}

static bool has_frame(int timeout_ms)
{
	struct pollfd waiter = { .fd = camera.fd, .events = POLLIN };

	return poll(&waiter, 1, timeout_ms) == 1;
}

/* Takes the buffer; -EIO if the frame is none. */
static int dequeue(struct fencepost_camera_frame *frame)
{
	struct v4l2_buffer buffer = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_DMABUF,
	};
	int ret = has_frame(TIMEOUT_MS) ? call(VIDIOC_DQBUF, &buffer) : -ETIMEDOUT;

	memset(frame, 0, sizeof(*frame));
	ret = ret ?: call(FENCEPOST_CAMERA_IOC_FRAME, frame);
	return ret ?: buffer.flags & V4L2_BUF_FLAG_ERROR ? -EIO : 0;
}

/* A sync_file for the frame of the buffer that is queued. */
static int frame_fence(void)
{
	struct fencepost_camera_fence fence = { .index = 0 };

	return call(FENCEPOST_CAMERA_IOC_FENCE, &fence) ?: fence.fence_fd;
}

static void release(void)
{
	__atomic_store_n((uint64_t *)semaphore.map, 1, __ATOMIC_RELEASE);
}

/* A job on ring 0 that writes the picture, holds it until release(), and reads it. */
static int job_before(void)
{
	struct drm_fencepost_gpu_command commands[] = {
		gpu_fill(&picture, bytes, SEEN_BEFORE), gpu_sem_wait(&semaphore, 1), gpu_copy(&before, &picture, bytes),
	};

	__atomic_store_n((uint64_t *)semaphore.map, 0, __ATOMIC_RELEASE);
	memset(before.map, 0, bytes);
	return gpu_submit(gpu, 0, commands, 3, -1);
}

/* A job on ring 1 that copies the picture behind a fence. */
static int job_after(int fence)
{
	struct drm_fencepost_gpu_command command = gpu_copy(&after, &picture, bytes);

	for (uint32_t i = 0; i < bytes; i += 4)
		memcpy(after.map + i, &(uint32_t){ UNTOUCHED }, 4);
	return gpu_submit(gpu, 1, &command, 1, fence);
}

/* The GPU has the picture, then the camera, then the GPU again; all three are queued before the first has done. */
static void test_hand_off(bool lost)
{
	struct fencepost_camera_frame frame;
	int first = job_before(), ret = queue() ?: camera_stream_on(&camera);
	int fence = ret ? ret : frame_fence(), last = job_after(fence), ended, early;
	bool quiet = !has_frame(QUIET_MS) && !gpu_fence_is_done(last);

	ktap_result(!ret && first >= 0 && fence >= 0 && last >= 0 && quiet, "a frame waits for a job, and a job for the frame (%d, %d)", ret, fence);
	if (lost)
		faults_begin();
	release();
	ended = gpu_fence_wait(last, TIMEOUT_MS);
	/* Without interrupts nobody but the devices knows that yet. */
	early = gpu_fence_is_done(first) || gpu_fence_is_done(fence);
	if (lost)
		ktap_result(!ended && !early, "both are done before any CPU knows (%d, %d)", ended, early);
	ret = dequeue(&frame) ?: gpu_fence_wait(first, TIMEOUT_MS);
	ktap_result(!ret && gpu_is_filled(before.map, bytes, SEEN_BEFORE), "the job before has seen its own pixels (%d)", ret);
	ktap_result(!ended && frame.crc == crc32_of(after.map, bytes) && frame.crc == crc32_of(picture.map, bytes),
		    "the job behind has seen every pixel of the frame (%d)", ended);
	ktap_result(frame.sequence >= 3 && frame.dropped >= 3, "frames of the meantime are dropped: it is number %u", frame.sequence);
	ret = camera_stream_off(&camera) ?: gpu_fence_wait(fence, TIMEOUT_MS);
	ktap_result(!ret, "and its fence has signalled (%d)", ret);
}

/* A frame behind nothing. */
static int plain_frame(void)
{
	struct fencepost_camera_frame frame;
	int ret = queue() ?: dequeue(&frame);

	return ret ?: frame.crc == crc32_of(picture.map, bytes) ? 0 : -EILSEQ;
}

/* Nobody releases the job: the GPU gives it up, and the camera its frame. The stream goes on. */
static void test_hang(void)
{
	struct fencepost_camera_frame frame;
	int first = job_before(), ret = queue() ?: camera_stream_on(&camera), failed = ret ?: dequeue(&frame);
	int job = gpu_fence_wait(first, TIMEOUT_MS), next = plain_frame();

	ktap_result(!ret && failed == -EIO && job == -ETIME, "behind a job that hangs the buffer ends with an error (%d %d %d)", ret,
		    failed, job);
	ktap_result(!next && !camera_stream_off(&camera), "and the stream goes on (%d)", next);
}

/* The stream stops, or the camera's driver goes, while a job waits for the frame. */
static void test_no_frame(enum life_action action)
{
	int first = job_before(), ret = queue() ?: camera_stream_on(&camera), last = job_after(frame_fence()), failed, behind;
	struct drm_fencepost_gpu_command command = gpu_fill(&after, bytes, 7);

	ret = ret ?: action == LIFE_REFUSED ? camera_stream_off(&camera) : life_act(&camera_device, action);
	release();
	failed = gpu_fence_wait(last, TIMEOUT_MS);
	ret = ret ?: gpu_fence_wait(first, TIMEOUT_MS);
	ktap_result(!ret && failed == -ECANCELED && gpu_is_filled(after.map, bytes, UNTOUCHED),
		    "%s: the job that waits for the frame has the error and does nothing (%d, %d)",
		    action == LIFE_REFUSED ? "the stream stops" : "the camera is unbound", ret, failed);
	behind = gpu_run(gpu, 1, &command);
	ktap_result(!behind && gpu_is_filled(after.map, bytes, 7), "and the next works (%d)", behind);
}

static void test_unbind_camera(void)
{
	int ret;

	test_no_frame(LIFE_UNBIND);
	camera_close(&camera);
	ret = life_restore(&camera_device, LIFE_UNBIND) ?: open_camera();
	ret = ret ?: camera_stream_on(&camera) ?: plain_frame() ?: camera_stream_off(&camera);
	ktap_result(!ret, "a camera that is bound again captures (%d)", ret);
}

static void test_unbind_gpu(void)
{
	struct fencepost_camera_frame frame;
	int first = job_before(), ret = queue() ?: camera_stream_on(&camera) ?: life_act(&gpu_device, LIFE_UNBIND);
	int failed = dequeue(&frame), job = gpu_fence_wait(first, TIMEOUT_MS);

	ktap_result(!ret && failed == -EIO && job == -ENODEV, "the GPU is unbound: the buffer that waits ends with an error (%d %d %d)",
		    ret, failed, job);
	ret = plain_frame() ?: camera_stream_off(&camera);
	ktap_result(!ret, "and the stream goes on (%d)", ret);
	life_restore(&gpu_device, LIFE_UNBIND);
}

int main(int argc, char **argv)
{
	/* What was before does not count. */
	int begun = life_complaints();
	bool lost = argc > 1 && !strcmp(argv[1], "irq-lost");
	int ret = begun < 0 ? begun : set_up();

	ktap_plan(lost ? 7 : 17);
	if (!ktap_result(!ret, "camera and GPU open (%d)", ret))
		return ktap_finish();
	test_hand_off(lost);
	if (lost)
		return ktap_finish();
	ktap_result(frame_fence() == -ENODATA, "there is no fence without a stream");
	test_hang();
	test_no_frame(LIFE_REFUSED);
	test_unbind_camera();
	test_unbind_gpu();
	ktap_result(!life_complaints(), "the kernel has nothing to complain of");
	return ktap_finish();
}
