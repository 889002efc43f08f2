// SPDX-License-Identifier: GPL-2.0
/*
 * Jobs of the GPU that wait for syncobjs and signal them, in KTAP: binary ones, points of timelines, and points that are not
 * submitted yet.
 */
#include <errno.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <drm/drm.h>

#include "display.h"
#include "gpu_client.h"
#include "ktap.h"

#define BUFFER_BYTES 4096
#define TIMEOUT_MS 5000

static int gpu;
static struct gpu_buffer a, b;

static uint32_t create_syncobj(void)
{
	struct drm_syncobj_create create = { 0 };

	gpu_ioctl(gpu, DRM_IOCTL_SYNCOBJ_CREATE, &create);
	return create.handle;
}

static int wait_syncobj(uint32_t handle, uint64_t point)
{
	struct drm_syncobj_timeline_wait wait = {
		.handles = (uintptr_t)&handle,
		.points = (uintptr_t)&point,
		.timeout_nsec = INT64_MAX,
		.count_handles = 1,
	};

	return gpu_ioctl(gpu, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &wait);
}

static void test_syncobj(void)
{
	struct drm_fencepost_gpu_command first = gpu_fill(&a, BUFFER_BYTES, 1), second = gpu_fill(&b, BUFFER_BYTES, 2);
	struct drm_fencepost_gpu_sync binary = { .handle = create_syncobj() };
	struct drm_fencepost_gpu_sync timeline = { .handle = create_syncobj(), .point = 5 };
	struct drm_fencepost_gpu_submit submit = {
		.commands = (uintptr_t)&first,
		.command_count = 1,
		.out_syncs = (uintptr_t)&binary,
		.out_sync_count = 1,
	};
	int ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);

	submit.ring = 1;
	submit.commands = (uintptr_t)&second;
	submit.in_syncs = submit.out_syncs;
	submit.in_sync_count = 1;
	submit.out_syncs = (uintptr_t)&timeline;
	if (!ret)
		ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);
	if (!ret)
		ret = wait_syncobj(timeline.handle, timeline.point);
	ktap_result(!ret && gpu_is_filled(a.map, BUFFER_BYTES, 1) && gpu_is_filled(b.map, BUFFER_BYTES, 2),
		    "syncobjs, binary in and timeline out (%d)", ret);
}

/* A job that waits for a point which another process has not submitted yet. */
static void test_wait_before_submit(void)
{
	struct drm_fencepost_gpu_command first = gpu_fill(&a, BUFFER_BYTES, 7), second = gpu_copy(&b, &a, BUFFER_BYTES);
	struct drm_fencepost_gpu_sync point = { .handle = create_syncobj(), .point = 9 };
	struct drm_fencepost_gpu_submit signals = {
		.commands = (uintptr_t)&first,
		.command_count = 1,
		.out_syncs = (uintptr_t)&point,
		.out_sync_count = 1,
	};
	struct drm_fencepost_gpu_sync wait = point;
	struct drm_fencepost_gpu_submit waits = {
		.ring = 1,
		.flags = FENCEPOST_GPU_SUBMIT_NO_IMPLICIT,
		.commands = (uintptr_t)&second,
		.command_count = 1,
		.in_syncs = (uintptr_t)&wait,
		.in_sync_count = 1,
	};
	int refused = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &waits), ret, status = -1;
	pid_t child;

	ktap_result(refused == -EINVAL, "a point without a fence is refused (%d)", refused);
	wait.flags = FENCEPOST_GPU_SYNC_WAIT_FOR_SUBMIT;
	memset(b.map, 0, BUFFER_BYTES);
	fflush(stdout);
	child = fork();
	if (!child)
		_exit(!!gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &waits));
	usleep(20000);
	ret = waitpid(child, &status, WNOHANG);
	ktap_result(child > 0 && !ret, "it is waited for before it is submitted");
	ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &signals);
	waitpid(child, &status, 0);
	if (!ret)
		ret = gpu_buffer_wait(gpu, &b, TIMEOUT_MS);
	ktap_result(!ret && !status && gpu_is_filled(b.map, BUFFER_BYTES, 7),
		    "and the job runs behind it (%d, status %d)", ret, status);
	wait.flags = 1u << 31;
	ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &waits);
	ktap_result(ret == -EINVAL, "another flag is refused (%d)", ret);
}

int main(void)
{
	int ret;

	ktap_plan(6);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : gpu_buffer_create(gpu, BUFFER_BYTES, &a);
	if (!ret)
		ret = gpu_buffer_create(gpu, BUFFER_BYTES, &b);
	if (!ktap_result(!ret, "the GPU opens and gives buffers (%d)", ret))
		return ktap_finish();
	test_syncobj();
	test_wait_before_submit();
	return ktap_finish();
}
