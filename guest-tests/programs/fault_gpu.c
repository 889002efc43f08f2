// SPDX-License-Identifier: GPL-2.0
/*
 * What the GPU's driver does at each fault: `fault_gpu KIND`, for faults.h. Whatever happens, the waiters are told within
 * a second, and the jobs behind do what they should.
 */
#include "faults.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include <fencepost_pci.h>

#include "display.h"
#include "gpu_client.h"
#include "gpu_dump.h"

#define BYTES 4096
#define RINGS 3
#define JOB_TIMEOUT "100"
#define LONG_JOB_TIMEOUT "10000"
#define LONG_MS 1000
/* Jobs of a chain over all rings; it ends on the last. */
#define CHAIN 18
#define JOBS 8
/* Fills that take longer than a slow kernel takes to submit them, by the 5 ms after which an interrupt comes that ends none of them. */
#define LONG_JOBS 40
/* A fill of so many bytes takes a quarter of a millisecond. */
#define LARGE_BYTES (4 << 20)
/* Until a job that was submitted is on its ring. */
#define BEGUN_US 5000
/* What a buffer has more than is free. */
#define MORE_BYTES (2 << 20)
#define REUSED_BYTES (1 << 20)
/* What a client waits at most when it gives a buffer back. */
#define CLOSE_MS 10

static int gpu;
static struct gpu_buffer buffer;

static bool holds(uint32_t pattern)
{
	for (unsigned int i = 0; i < BYTES; i += 4)
		if (memcmp(buffer.map + i, &pattern, 4))
			return faults_wrong("the buffer does not hold %#x", pattern);
	return true;
}

/* A job on ring 0 that fills the buffer; what its fence says. */
static int fill(uint32_t pattern)
{
	struct drm_fencepost_gpu_command command = gpu_fill(&buffer, BYTES, pattern);

	return gpu_fence_wait(gpu_submit(gpu, 0, &command, 1, -1), LONG_MS);
}

static bool fills(uint32_t pattern)
{
	int ret = fill(pattern);

	return ret ? faults_wrong("a fill with %#x ends with %d", pattern, ret) : holds(pattern);
}

static bool set_up(void)
{
	int ret;

	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : gpu_buffer_create(gpu, BYTES, &buffer);
	if (ret)
		return faults_wrong("the GPU does not open: %d", ret);
	return faults_set("/sys/module/fencepost_gpu/parameters/job_timeout_ms", JOB_TIMEOUT) && fills(1);
}

/* The job at fault fails, and those behind it work. */
static bool fails(void)
{
	int ret;

	if (!set_up())
		return false;
	faults_begin();
	ret = fill(2);
	if (ret != -EIO)
		return faults_wrong("the job at fault ends with %d, not %d", ret, -EIO);
	return fills(3) && fills(4);
}

/* Jobs of a buffer of their own on the rings beside the first. */
static bool others_work(struct gpu_buffer *other)
{
	for (uint32_t ring = 1; ring < RINGS; ring++) {
		struct drm_fencepost_gpu_command command = gpu_fill(other, BYTES, ring);
		struct drm_fencepost_gpu_ring_info info = { .ring = ring };
		int ret = gpu_fence_wait(gpu_submit(gpu, ring, &command, 1, -1), LONG_MS);

		if (ret || !gpu_is_filled(other->map, BYTES, ring))
			return faults_wrong("a job on ring %u ends with %d while ring 0 hangs", ring, ret);
		ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_RING_INFO, &info);
		if (ret || info.resets)
			return faults_wrong("ring %u is reset too", ring);
	}
	return true;
}

/* What the dump says of a ring whose engine went silent. */
static bool is_dumped(void)
{
	char job[32];
	const char *const wanted[] = {
		"ring 0 general\n", "reason hang\n", "register error_code 0x0\n", job, "(head) opcode 1 ", NULL,
	};

	snprintf(job, sizeof(job), " process %d context ", getpid());
	return !gpu_dump_lacks(gpu_dump_read(), wanted) || faults_wrong("the dump does not tell of the hang");
}

/* The ring that hangs is reset alone, and what it was at is kept. */
static bool hang(void)
{
	struct drm_fencepost_gpu_command command;
	struct gpu_buffer other;
	int fence, ret;

	if (!set_up())
		return false;
	ret = gpu_buffer_create(gpu, BYTES, &other);
	if (ret)
		return faults_wrong("another buffer cannot be had: %d", ret);
	gpu_dump_clear();
	faults_begin();
	command = gpu_fill(&buffer, BYTES, 2);
	fence = gpu_submit(gpu, 0, &command, 1, -1);
	if (!others_work(&other))
		return false;
	ret = gpu_fence_wait(fence, LONG_MS);
	if (ret != -ETIME)
		return faults_wrong("the job at fault ends with %d, not %d", ret, -ETIME);
	return is_dumped() && others_work(&other) && fills(3) && fills(4);
}

static bool works_on(void)
{
	for (uint32_t job = 0; job < JOBS; job++)
		if (!fills(0x100 + job))
			return false;
	return true;
}

/* All jobs work, the one at fault too. */
static bool works(void)
{
	if (!set_up())
		return false;
	faults_begin();
	return works_on();
}

static bool set_up_large(struct gpu_buffer *large)
{
	int ret;

	if (!set_up())
		return false;
	ret = gpu_buffer_create(gpu, LARGE_BYTES, large);
	return !ret || faults_wrong("a large buffer cannot be had: %d", ret);
}

/* A job of so many fills of a large buffer; its fence. */
static int fill_large(struct gpu_buffer *large, unsigned int fills, uint32_t pattern)
{
	struct drm_fencepost_gpu_command commands[LONG_JOBS];

	for (unsigned int i = 0; i < fills; i++)
		commands[i] = gpu_fill(large, LARGE_BYTES, i + 1 == fills ? pattern : i);
	return gpu_submit(gpu, 0, commands, fills, -1);
}

static bool large_is_done(struct gpu_buffer *large, int fence, uint32_t pattern)
{
	int ret = gpu_fence_wait(fence, LONG_MS);

	if (ret)
		return faults_wrong("the long job ends with %d", ret);
	return gpu_is_filled(large->map, LARGE_BYTES, pattern) ||
	       faults_wrong("the long job's fence has signalled, and it is not done");
}

/* A job that takes longer than a hang may, and goes on all the time. */
static bool slow(void)
{
	struct gpu_buffer large;

	if (!set_up_large(&large))
		return false;
	faults_begin();
	return large_is_done(&large, fill_large(&large, JOBS, 2), 2) && fills(3);
}

/* A short job and a long one behind it: one more interrupt does not end the long one. */
static bool ordered(void)
{
	struct drm_fencepost_gpu_command command;
	struct gpu_buffer large;
	int fence, long_fence, ret;

	if (!set_up_large(&large))
		return false;
	faults_begin();
	command = gpu_fill(&buffer, BYTES, 2);
	fence = gpu_submit(gpu, 0, &command, 1, -1);
	long_fence = fill_large(&large, LONG_JOBS, 3);
	ret = gpu_fence_wait(fence, LONG_MS);
	if (ret)
		return faults_wrong("the job at fault ends with %d", ret);
	return large_is_done(&large, long_fence, 3) && works_on();
}

/* A client closes a buffer while a job copies it: the memory is nobody else's until the job has ended. */
static bool stale(void)
{
	struct drm_fencepost_gpu_command command;
	struct gpu_buffer copy, other;
	int fence, ret;

	if (!set_up())
		return false;
	ret = gpu_buffer_create(gpu, BYTES, &copy);
	if (ret)
		return faults_wrong("a second buffer cannot be had: %d", ret);
	faults_begin();
	command = gpu_copy(&copy, &buffer, BYTES);
	fence = gpu_submit(gpu, 0, &command, 1, -1);
	usleep(BEGUN_US);
	gpu_buffer_destroy(gpu, &buffer);
	ret = gpu_buffer_create(gpu, REUSED_BYTES, &other);
	if (ret)
		return faults_wrong("another buffer cannot be had: %d", ret);
	/* It gets its memory now. */
	memset(other.map, 0xa5, REUSED_BYTES);
	ret = gpu_fence_wait(fence, LONG_MS);
	if (!ret && !gpu_is_filled(copy.map, BYTES, 1))
		return faults_wrong("the job has read memory that is another's by now");
	return !ret || faults_wrong("the job ends with %d", ret);
}

/* Who gives a buffer back does not wait for the IOMMU. */
static bool closes(void)
{
	unsigned long long begin, took;

	if (!set_up())
		return false;
	faults_begin();
	begin = faults_now_ms();
	gpu_buffer_destroy(gpu, &buffer);
	took = faults_now_ms() - begin;
	return took <= CLOSE_MS || faults_wrong("closing a buffer takes %llu ms", took);
}

/* A buffer that is larger than what is free, while others have nearly all memory. */
static bool memory(void)
{
	struct drm_fencepost_gpu_command command;
	struct gpu_buffer large;
	struct sysinfo info;
	uint32_t bytes;
	int ret;

	if (!set_up() || sysinfo(&info))
		return false;
	bytes = info.freeram / BYTES * BYTES + MORE_BYTES;
	ret = gpu_buffer_create(gpu, bytes, &large);
	if (ret)
		return faults_wrong("the buffer cannot be had: %d", ret);
	command = gpu_fill(&large, bytes, 2);
	ret = gpu_submit(gpu, 0, &command, 1, -1);
	if (ret < 0)
		return faults_wrong("the buffer's memory cannot be had: %d", ret);
	return gpu_fence_wait(ret, LONG_MS) == 0 && gpu_is_filled(large.map, bytes, 2);
}

/* Jobs that are on the ring together all end well. */
static bool together(void)
{
	struct drm_fencepost_gpu_command command;
	int fences[JOBS], ret = 0;

	if (!set_up())
		return false;
	faults_begin();
	for (uint32_t job = 0; job < JOBS; job++) {
		command = gpu_fill(&buffer, BYTES, 0x100 + job);
		fences[job] = gpu_submit(gpu, 0, &command, 1, -1);
	}
	for (uint32_t job = 0; job < JOBS; job++)
		ret = gpu_fence_wait(fences[job], LONG_MS) ?: ret;
	return ret ? faults_wrong("of jobs on the ring together one ends with %d", ret) : fills(2);
}

/*
 * A chain over all rings, each job copying what the one before wrote: it ends on the last ring, whose interrupt comes. Were a CPU
 * needed between two jobs, it would take the time-out of a job each time.
 */
static bool waits(void)
{
	struct drm_fencepost_gpu_command command;
	struct gpu_buffer chain;
	int fence = -1, ret;

	if (!set_up() || !faults_set("/sys/module/fencepost_gpu/parameters/job_timeout_ms", LONG_JOB_TIMEOUT))
		return false;
	ret = gpu_buffer_create(gpu, (CHAIN + 1) * BYTES, &chain);
	if (ret)
		return faults_wrong("the chain's buffer cannot be had: %d", ret);
	for (unsigned int i = 0; i < BYTES; i += 4)
		memcpy(chain.map + i, &(uint32_t){ 0xc4a1 }, 4);
	faults_begin();
	for (uint32_t job = 0; job < CHAIN; job++) {
		command = gpu_copy(&chain, &chain, BYTES);
		command.src.offset = job * BYTES;
		command.dst.offset = (job + 1) * BYTES;
		if (fence >= 0)
			close(fence);
		fence = gpu_submit(gpu, job % RINGS, &command, 1, -1);
	}
	ret = gpu_fence_wait(fence, LONG_MS);
	if (ret)
		return faults_wrong("the chain ends with %d", ret);
	return gpu_is_filled(chain.map, (CHAIN + 1) * BYTES, 0xc4a1) || faults_wrong("the chain's jobs were not in order");
}

/* The device is gone: whoever waits or comes later is told, and the driver lets go of it. */
static bool removal(void)
{
	int ret;

	if (!set_up())
		return false;
	faults_begin();
	for (uint32_t job = 0; job < 2; job++) {
		ret = fill(2);
		if (!ret || ret == -ETIMEDOUT)
			return faults_wrong("a job of a device that is gone ends with %d", ret);
	}
	return faults_set("/sys/bus/pci/devices/" FENCEPOST_PCI_NAME_GPU "/remove", "1");
}

int main(int argc, char **argv)
{
	static const struct fault_check checks[] = {
		{ "hang", hang },
		{ "job-error", fails },
		{ "dma-error", fails },
		{ "descriptor-error", fails },
		{ "translation", fails },
		{ "removal", removal },
		{ "link-reset", works },
		{ "works", works },
		{ "slow", slow },
		{ "stale", stale },
		{ "closes", closes },
		{ "memory", memory },
		{ "out-of-order", together },
		{ "irq-lost", works },
		{ "waits", waits },
		{ "irq-late", works },
		{ "irq-twice", ordered },
		{ "irq-spurious", ordered },
	};

	return faults_main(argc, argv, checks, sizeof(checks) / sizeof(checks[0]));
}
