// SPDX-License-Identifier: GPL-2.0
/*
 * Jobs of the GPU that wait for jobs on other rings, in KTAP: chains by each kind of fence, a wait longer than any time-out, a reset
 * of the device in the middle, and a job that fails: those that wait for it have its error, another client's go on.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <drm/drm.h>

#include <fencepost_pci.h>

#include "display.h"
#include "gpu_client.h"
#include "ktap.h"
#include "life.h"

#define BYTES 4096
#define RINGS 3
/* As many as all rings together have room for on 6.1. */
#define CHAIN 18
#define TIMEOUT_MS 20000
#define JOB_TIMEOUT "/sys/module/fencepost_gpu/parameters/job_timeout_ms"
/* A program as long as may be, at as many places: 67 ms of the device's time. */
#define PROGRAM_BYTES 2048
#define SIDE 2048
#define LONG_COMMANDS 18

enum order { BY_SYNC_FILE, BY_TIMELINE, BY_BUFFER, ORDERS };

static const char *const order_names[ORDERS] = { "sync_files", "points of a timeline", "the buffer's own fences" };

static const struct life_device device = { FENCEPOST_PCI_NAME_GPU, FENCEPOST_GPU_DRIVER_NAME };

static int gpu, other;
static struct gpu_buffer chain, other_buffer;

/* What a chain waits by, between its jobs. */
struct link {
	enum order order;
	uint32_t syncobj;
	uint64_t point;
	int fence;
};

/* Queues a job as the chain's next; returns its sync_file, which is the link's too. */
static int submit(struct link *link, uint32_t ring, const struct drm_fencepost_gpu_command *command)
{
	struct drm_fencepost_gpu_sync in = { .handle = link->syncobj, .point = link->point };
	struct drm_fencepost_gpu_sync out = { .handle = link->syncobj, .point = link->point + 1 };
	struct drm_fencepost_gpu_submit submit = {
		.ring = ring,
		.flags = FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT,
		.commands = (uintptr_t)command,
		.command_count = 1,
	};
	int ret;

	if (link->order != BY_BUFFER)
		submit.flags |= FENCEPOST_GPU_SUBMIT_NO_IMPLICIT;
	if (link->order == BY_SYNC_FILE && link->fence >= 0) {
		submit.flags |= FENCEPOST_GPU_SUBMIT_FENCE_FD_IN;
		submit.fence_fd = link->fence;
	}
	if (link->order == BY_TIMELINE) {
		submit.in_syncs = (uintptr_t)&in;
		submit.in_sync_count = link->point > 0;
		submit.out_syncs = (uintptr_t)&out;
		submit.out_sync_count = 1;
	}
	ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);
	link->point++;
	link->fence = ret ? ret : submit.fence_fd;
	return link->fence;
}

/* The job that copies slot n of the chain's buffer to the next. */
static struct drm_fencepost_gpu_command copy_slot(uint32_t n)
{
	struct drm_fencepost_gpu_command command = gpu_copy(&chain, &chain, BYTES);

	command.src.offset = (uint64_t)n * BYTES;
	command.dst.offset = (uint64_t)(n + 1) * BYTES;
	return command;
}

/* Only the first slot has the pattern. */
static void begin_chain(struct link *link, enum order order, uint32_t pattern)
{
	struct drm_syncobj_create create = { 0 };

	gpu_ioctl(gpu, DRM_IOCTL_SYNCOBJ_CREATE, &create);
	*link = (struct link) { .order = order, .syncobj = create.handle, .fence = -1 };
	memset(chain.map, 0, chain.size);
	for (unsigned int i = 0; i < BYTES; i += 4)
		memcpy(chain.map + i, &pattern, 4);
}

/* A job that holds ring 2 until release(); the chain's first. */
static int block(struct link *link)
{
	struct drm_fencepost_gpu_command command = gpu_sem_wait(&chain, 1);

	/* In the buffer that orders the chain, too. */
	command.dst.offset = (uint64_t)(CHAIN + 1) * BYTES;
	__atomic_store_n((uint64_t *)(chain.map + command.dst.offset), 0, __ATOMIC_RELEASE);
	return submit(link, 2, &command);
}

static void release(void)
{
	__atomic_store_n((uint64_t *)(chain.map + (CHAIN + 1) * BYTES), 1, __ATOMIC_RELEASE);
}

static uint32_t all_resets(void)
{
	uint32_t sum = 0;

	for (uint32_t ring = 0; ring < RINGS; ring++) {
		struct drm_fencepost_gpu_ring_info info = { .ring = ring };

		gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_RING_INFO, &info);
		sum += info.resets;
	}
	return sum;
}

/* A chain over all rings; with an action in its middle, while all of it waits. */
static int run_chain(enum order order, uint32_t pattern, enum life_action action)
{
	int fences[CHAIN + 1], ret = 0;
	struct link link;

	begin_chain(&link, order, pattern);
	fences[CHAIN] = block(&link);
	for (uint32_t job = 0; job < CHAIN; job++) {
		struct drm_fencepost_gpu_command command = copy_slot(job);

		fences[job] = submit(&link, job % RINGS, &command);
	}
	if (action != LIFE_REFUSED)
		ret = life_act(&device, action);
	for (int job = 0; job <= CHAIN; job++)
		ret = ret ?: gpu_fence_is_done(fences[job]) ? -EEXIST : 0;
	release();
	for (int job = 0; job <= CHAIN; job++)
		ret = gpu_fence_wait(fences[job], TIMEOUT_MS) ?: ret;
	return ret;
}

static void test_chains(void)
{
	for (enum order order = 0; order < ORDERS; order++) {
		int ret = run_chain(order, 0xc0de0 + order, LIFE_REFUSED);

		ktap_result(!ret && gpu_is_filled(chain.map, (CHAIN + 1) * BYTES, 0xc0de0 + order),
			    "a chain of %d jobs over %d rings by %s (%d)", CHAIN, RINGS, order_names[order], ret);
	}
}

static void test_reset(void)
{
	int ret = run_chain(BY_SYNC_FILE, 0xf1f1, LIFE_RESET);

	ktap_result(!ret && gpu_is_filled(chain.map, (CHAIN + 1) * BYTES, 0xf1f1),
		    "a chain goes on after a function-level reset in its middle (%d)", ret);
}

static int write_text(const char *path, const char *text)
{
	FILE *file = fopen(path, "w");

	return !file || fputs(text, file) < 0 || fclose(file) ? -EIO : 0;
}

/* Ring 0 is at work for longer than a wait of a program and a job may take, and goes on; ring 1 waits for it. */
static void test_patience(void)
{
	struct drm_fencepost_gpu_command commands[LONG_COMMANDS], behind = copy_slot(0);
	uint32_t before = all_resets();
	struct gpu_buffer program;
	int first, second, ret;
	struct link link;

	begin_chain(&link, BY_SYNC_FILE, 0x10c6);
	/* END at each place, and zeroes behind it. */
	ret = gpu_buffer_create(gpu, PROGRAM_BYTES + 8, &program) ?: write_text(JOB_TIMEOUT, "100");
	for (int i = 0; i < LONG_COMMANDS; i++)
		commands[i] = (struct drm_fencepost_gpu_command) {
			.opcode = FENCEPOST_GPU_CMD_COMPUTE,
			.dst = { .handle = program.handle, .stride = 8, .offset = PROGRAM_BYTES },
			.src2 = { .handle = program.handle, .stride = PROGRAM_BYTES },
			.width = SIDE,
			.height = SIDE,
		};
	first = gpu_submit(gpu, 0, commands, LONG_COMMANDS, -1);
	link.fence = first;
	second = submit(&link, 1, &behind);
	ret = gpu_fence_wait(second, TIMEOUT_MS) ?: ret;
	ret = !gpu_fence_is_done(first) ? -EINPROGRESS : ret;
	ret = gpu_fence_wait(first, TIMEOUT_MS) ?: ret;
	ret = write_text(JOB_TIMEOUT, "10000") ?: ret;
	ktap_result(!ret && gpu_is_filled(chain.map, 2 * BYTES, 0x10c6) && all_resets() == before,
		    "a ring waits for another for longer than a time-out, and is not reset (%d)", ret);
	gpu_buffer_destroy(gpu, &program);
}

/* A job of another client on each ring, one that waits for the failing job among them. */
static int innocent(int failing)
{
	int ret = 0;

	for (uint32_t ring = 0; ring < RINGS; ring++) {
		struct drm_fencepost_gpu_command command = gpu_fill(&other_buffer, BYTES, 0x600d + ring);

		ret = gpu_fence_wait(gpu_submit(other, ring, &command, 1, ring == 1 ? failing : -1), TIMEOUT_MS) ?: ret;
		ret = gpu_is_filled(other_buffer.map, BYTES, 0x600d + ring) ? ret : -EILSEQ;
	}
	return ret;
}

/* The job in the middle of a chain waits for a semaphore that nobody signals: it is given up after a second. */
static void test_failure(enum order order)
{
	enum { BAD = CHAIN / 2 };
	uint32_t before = all_resets(), wrong = 0;
	int fences[CHAIN], innocents, after;
	struct link link;

	begin_chain(&link, order, 0xbad);
	__atomic_store_n((uint64_t *)(chain.map + (CHAIN + 1) * BYTES), 0, __ATOMIC_RELEASE);
	for (uint32_t job = 0; job < CHAIN; job++) {
		struct drm_fencepost_gpu_command command = copy_slot(job);

		if (job == BAD) {
			command = gpu_sem_wait(&chain, 1);
			command.dst.offset = (uint64_t)(CHAIN + 1) * BYTES;
		}
		fences[job] = submit(&link, job % RINGS, &command);
	}
	innocents = innocent(fences[BAD]);
	for (uint32_t job = 0; job < CHAIN; job++) {
		int wanted = job < BAD ? 0 : -ETIME, came = gpu_fence_wait(fences[job], TIMEOUT_MS);

		if (came != wanted)
			ktap_note("job %u: %d, not %d", job, came, wanted);
		wrong += came != wanted;
	}
	wrong += !gpu_is_filled(chain.map, (BAD + 1) * BYTES, 0xbad);
	wrong += !gpu_is_filled(chain.map + (BAD + 1) * BYTES, (CHAIN - BAD) * BYTES, 0);
	ktap_result(!wrong && !innocents && all_resets() == before + 1,
		    "by %s: of a job that fails those that wait have the error and do nothing, another client's go on (%u, %d)",
		    order_names[order], wrong, innocents);
	after = run_chain(order, 0xaf7e4, LIFE_REFUSED);
	ktap_result(!after && gpu_is_filled(chain.map, (CHAIN + 1) * BYTES, 0xaf7e4), "and a chain after it ends well (%d)", after);
}

int main(void)
{
	int ret;

	ktap_plan(ORDERS + 3 + 4);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	other = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 || other < 0 ? -ENODEV : gpu_buffer_create(gpu, (CHAIN + 2) * BYTES, &chain);
	if (!ret)
		ret = gpu_buffer_create(other, BYTES, &other_buffer);
	if (!ktap_result(!ret, "the GPU opens and gives buffers (%d)", ret))
		return ktap_finish();
	test_chains();
	test_reset();
	test_patience();
	test_failure(BY_SYNC_FILE);
	test_failure(BY_TIMELINE);
	return ktap_finish();
}
