// SPDX-License-Identifier: GPL-2.0
/*
 * The GPU's rings beside each other, in KTAP: two general ones and one that copies, in parallel; priorities; a hang of one, which the
 * others do not notice, and the dump that it leaves.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "display.h"
#include "gpu_client.h"
#include "gpu_dump.h"
#include "ktap.h"

#define BYTES 4096
#define COPY_RING 2
#define RINGS 3
#define TIMEOUT_MS 20000

static int gpu;
static struct gpu_buffer a, b, semaphore;

/* Submits with flags, and without the fences of the buffers; returns the job's sync_file. */
static int submit(uint32_t ring, const struct drm_fencepost_gpu_command *commands, uint32_t count, uint32_t flags)
{
	struct drm_fencepost_gpu_submit submit = {
		.ring = ring,
		.flags = FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT | FENCEPOST_GPU_SUBMIT_NO_IMPLICIT | flags,
		.commands = (uintptr_t)commands,
		.command_count = count,
	};
	int ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);

	return ret ? ret : submit.fence_fd;
}

/* A job that holds a ring until release(). */
static int block(uint32_t ring)
{
	struct drm_fencepost_gpu_command command = gpu_sem_wait(&semaphore, 1);

	__atomic_store_n((uint64_t *)semaphore.map, 0, __ATOMIC_RELEASE);
	return submit(ring, &command, 1, 0);
}

static void release(void)
{
	__atomic_store_n((uint64_t *)semaphore.map, 1, __ATOMIC_RELEASE);
}

static uint32_t resets(uint32_t ring)
{
	struct drm_fencepost_gpu_ring_info info = { .ring = ring };

	gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_RING_INFO, &info);
	return info.resets;
}

static void test_info(void)
{
	struct drm_fencepost_gpu_info info = { 0 };
	int ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_INFO, &info);
	/* What a program has that was built before the structure grew: the ioctl's number has its size. */
	uint8_t old[40] = { 0 };
	int old_ret = gpu_ioctl(gpu, DRM_IOR(DRM_COMMAND_BASE + DRM_FENCEPOST_GPU_INFO, old), old);

	ktap_result(!ret && info.rings == RINGS && info.copy_rings == 1 << COPY_RING,
		    "there are %u rings, and ring %u copies (%d)", info.rings, COPY_RING, ret);
	ktap_result(!old_ret && !memcmp(old, &info, sizeof(old)), "the shorter structure of old programs works (%d)", old_ret);
}

static void test_parallel(void)
{
	for (uint32_t blocked = 0; blocked < RINGS; blocked++) {
		int blocker = block(blocked), wrong = 0, ret;

		for (uint32_t ring = 0; ring < RINGS; ring++) {
			struct drm_fencepost_gpu_command command = gpu_fill(&a, BYTES, 0x100 + ring);

			if (ring == blocked)
				continue;
			wrong += !!gpu_fence_wait(submit(ring, &command, 1, 0), TIMEOUT_MS);
			wrong += !gpu_is_filled(a.map, BYTES, 0x100 + ring);
		}
		wrong += gpu_fence_is_done(blocker);
		release();
		ret = gpu_fence_wait(blocker, TIMEOUT_MS);
		ktap_result(!ret && !wrong, "jobs run on the other rings while ring %u waits (%d, %d wrong)", blocked, ret, wrong);
	}
}

static void test_copy_ring(void)
{
	struct drm_fencepost_gpu_command commands[2] = { gpu_fill(&a, BYTES, 0xc0c0c0c0), gpu_copy(&b, &a, BYTES) };
	struct drm_fencepost_gpu_command convert = {
		.opcode = FENCEPOST_GPU_CMD_CONVERT,
		.dst = { .handle = b.handle, .stride = 8 },
		.src = { .handle = a.handle, .stride = 4 },
		.width = 2,
		.height = 1,
	};
	int ret = gpu_fence_wait(submit(COPY_RING, commands, 2, 0), TIMEOUT_MS);
	int refused = submit(COPY_RING, &convert, 1, 0);
	int taken = gpu_fence_wait(submit(1, &convert, 1, 0), TIMEOUT_MS);

	ktap_result(!ret && gpu_is_filled(b.map + 8, BYTES - 8, 0xc0c0c0c0), "the copy ring fills and copies (%d)", ret);
	ktap_result(refused == -EINVAL && !taken, "it refuses a conversion, which a general ring takes (%d, %d)", refused, taken);
}

/*
 * Many jobs of low priority, more than the ring has room for, and behind them one normal and one high: they note how many of the low
 * ones were done before.
 */
static void test_priorities(void)
{
	enum { LOW_JOBS = 30, COMMANDS = 63, ON_THE_RING = 16 };
	struct drm_fencepost_gpu_command low[COMMANDS], normal = gpu_copy(&b, &a, 4), high = normal;
	int fences[LOW_JOBS + 2], ret = 0, blocker = block(1);
	uint32_t seen[2];

	memset(a.map, 0, BYTES);
	high.dst.offset = 4;
	for (int job = 0; job < LOW_JOBS; job++) {
		for (int i = 0; i < COMMANDS; i++)
			low[i] = gpu_fill(&a, 4, job + 1);
		fences[job] = submit(1, low, COMMANDS, FENCEPOST_GPU_SUBMIT_LOW);
	}
	fences[LOW_JOBS] = submit(1, &normal, 1, 0);
	fences[LOW_JOBS + 1] = submit(1, &high, 1, FENCEPOST_GPU_SUBMIT_HIGH);
	release();
	for (int i = 0; i < LOW_JOBS + 2; i++)
		ret = gpu_fence_wait(fences[i], TIMEOUT_MS) ?: ret;
	ret = gpu_fence_wait(blocker, TIMEOUT_MS) ?: ret;
	memcpy(seen, b.map, sizeof(seen));
	ktap_result(!ret && seen[1] <= seen[0] && seen[0] <= ON_THE_RING && gpu_is_filled(a.map, 4, LOW_JOBS),
		    "a high job runs behind %u of %d low ones, a normal one behind %u (%d)", seen[1], LOW_JOBS, seen[0], ret);
}

static void test_priority_refusals(void)
{
	struct drm_fencepost_gpu_command nop = { 0 };
	int both = submit(0, &nop, 1, FENCEPOST_GPU_SUBMIT_LOW | FENCEPOST_GPU_SUBMIT_HIGH), status = -1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (!child)
		_exit(setuid(65534) || submit(0, &nop, 1, FENCEPOST_GPU_SUBMIT_HIGH) != -EPERM ||
		      submit(0, &nop, 1, FENCEPOST_GPU_SUBMIT_LOW) < 0);
	waitpid(child, &status, 0);
	ktap_result(both == -EINVAL && child > 0 && !status,
		    "both priorities are refused, and a high one without the capability (%d, status %d)", both, status);
}

static void check_dump(const char *text, uint32_t ring)
{
	char name[64], job[64];
	const char *const wanted[] = { name, "reason error\n", "register error_code 0x6\n", job, NULL };
	const char *head = strstr(text, "(head) opcode 4 ");
	int missing;

	snprintf(name, sizeof(name), "ring %u %s\n", ring, ring == COPY_RING ? "copy" : "general");
	snprintf(job, sizeof(job), " packets 1 buffers 1 fence waits\n");
	missing = gpu_dump_lacks(text, wanted);
	snprintf(job, sizeof(job), " process %d context ", getpid());
	missing += gpu_dump_lacks(text, wanted);
	ktap_result(!missing && head && strstr(head, "value 0x1 "),
		    "the dump of ring %u has its registers, its jobs, and the packet that hung", ring);
}

/* A job that hangs on one ring, between one that is fine and one behind it; jobs on the others, before and behind it. */
static void test_hang(uint32_t hung)
{
	struct drm_fencepost_gpu_command fill = gpu_fill(&a, BYTES, 0xabc0 + hung);
	uint32_t before[RINGS], wrong = 0;
	int fences[3], results[3];

	gpu_dump_clear();
	for (uint32_t ring = 0; ring < RINGS; ring++)
		before[ring] = resets(ring);
	fences[0] = submit(hung, &fill, 1, 0);
	fences[1] = block(hung);
	fences[2] = submit(hung, &fill, 1, 0);
	for (uint32_t ring = 0; ring < RINGS; ring++)
		wrong += ring != hung && gpu_fence_wait(submit(ring, &fill, 1, 0), TIMEOUT_MS);
	for (int i = 0; i < 3; i++)
		results[i] = gpu_fence_wait(fences[i], TIMEOUT_MS);
	for (uint32_t ring = 0; ring < RINGS; ring++)
		wrong += resets(ring) != before[ring] + (ring == hung);
	ktap_result(!results[0] && results[1] == -ETIME && !results[2] && !wrong && gpu_is_filled(a.map, BYTES, 0xabc0 + hung),
		    "ring %u hangs and is reset alone: %d %d %d, %u wrong on the others", hung, results[0], results[1],
		    results[2], wrong);
	check_dump(gpu_dump_read(), hung);
}

int main(void)
{
	int ret;

	ktap_plan(10 + 2 * RINGS);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : gpu_buffer_create(gpu, BYTES, &a);
	if (!ret)
		ret = gpu_buffer_create(gpu, BYTES, &b);
	if (!ret)
		ret = gpu_buffer_create(gpu, BYTES, &semaphore);
	if (!ktap_result(!ret, "the GPU opens and gives buffers (%d)", ret))
		return ktap_finish();
	test_info();
	test_parallel();
	test_copy_ring();
	test_priorities();
	test_priority_refusals();
	for (uint32_t ring = 0; ring < RINGS; ring++)
		test_hang(ring);
	return ktap_finish();
}
