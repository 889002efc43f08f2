// SPDX-License-Identifier: GPL-2.0
/*
 * What the GPU's driver does at each fault: `fault_gpu KIND`, for faults.h. Whatever happens, the waiters are told within
 * a second, and the jobs behind do what they should.
 */
#include "faults.h"

#include <errno.h>
#include <string.h>

#include <fencepost_pci.h>

#include "display.h"
#include "gpu_client.h"

#define BYTES 4096
#define JOB_TIMEOUT "100"
#define LONG_MS 1000
#define JOBS 8

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

/* The job at fault fails with @error, and those behind it work. */
static bool fails_with(int error)
{
	int ret;

	if (!set_up())
		return false;
	faults_begin();
	ret = fill(2);
	if (ret != error)
		return faults_wrong("the job at fault ends with %d, not %d", ret, error);
	return fills(3) && fills(4);
}

static bool hang(void)
{
	return fails_with(-ETIME);
}

static bool fails(void)
{
	return fails_with(-EIO);
}

/* All jobs work, the one at fault too. */
static bool works(void)
{
	if (!set_up())
		return false;
	faults_begin();
	for (uint32_t job = 0; job < JOBS; job++)
		if (!fills(0x100 + job))
			return false;
	return true;
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
		{ "slow", works },
		{ "out-of-order", together },
		{ "irq-lost", works },
		{ "irq-late", works },
		{ "irq-twice", works },
		{ "irq-spurious", works },
	};

	return faults_main(argc, argv, checks, sizeof(checks) / sizeof(checks[0]));
}
