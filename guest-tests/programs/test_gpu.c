// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the GPU and its driver alone, in KTAP: pixels, fences of every kind, buffers shared both ways, errors that
 * halt a ring, and refused arguments.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "bt601.h"
#include "display.h"
#include "gpu_client.h"
#include "ktap.h"
#include "other_memory.h"

#define WIDTH 64
#define HEIGHT 32
#define BUFFER_BYTES (64 * 1024)
#define TIMEOUT_MS 20000
/* No mapping and no memory is there, in an IOMMU of 39 bits or more. */
#define NOWHERE 0x1fdead0000ULL

static int gpu;
static struct gpu_buffer a, b, semaphore;

static struct drm_fencepost_gpu_command semaphore_command(uint32_t opcode, uint64_t offset, uint64_t value)
{
	return (struct drm_fencepost_gpu_command) {
		.opcode = opcode,
		.dst.handle = semaphore.handle,
		.dst.offset = offset,
		.value = value,
	};
}

static struct drm_fencepost_gpu_command convert(uint32_t flags)
{
	bool nv12 = flags & FENCEPOST_GPU_CONVERT_NV12;
	struct drm_fencepost_gpu_command command = {
		.opcode = FENCEPOST_GPU_CMD_CONVERT,
		.flags = flags,
		.dst = { .handle = b.handle, .stride = WIDTH * 4 },
		.src = { .handle = a.handle, .stride = nv12 ? WIDTH : WIDTH * 2 },
		.width = WIDTH,
		.height = HEIGHT,
	};

	if (nv12) {
		command.src2.handle = a.handle;
		command.src2.stride = WIDTH;
		command.src2.offset = WIDTH * HEIGHT;
	}
	return command;
}

static void scramble(uint8_t *bytes, size_t size)
{
	uint32_t state = 12345;

	for (size_t i = 0; i < size; i++) {
		state = state * 1664525u + 1013904223u;
		bytes[i] = state >> 24;
	}
}

static void test_info(void)
{
	struct drm_fencepost_gpu_info info = { 0 };
	int ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_INFO, &info);

	ktap_result(!ret && info.version >> 16 == 1 && (info.caps & 0x7f) == 0x7f && info.rings >= 2 &&
		    info.max_dimension == 8192 && info.bytes_per_cycle,
		    "the driver reports a device of version 1 with its first opcodes");
	ktap_note("cost model: %llu cycles a packet, %u bytes a cycle",
		  (unsigned long long)info.fixed_cycles, info.bytes_per_cycle);
}

static void test_fill(void)
{
	struct drm_fencepost_gpu_command command = gpu_fill(&a, BUFFER_BYTES, 0x11223344);
	int ret = gpu_run(gpu, 0, &command);

	ktap_result(!ret && gpu_is_filled(a.map, BUFFER_BYTES, 0x11223344), "a fill fills (%d)", ret);
}

static void test_implicit(void)
{
	struct drm_fencepost_gpu_command first = gpu_fill(&a, BUFFER_BYTES, 0x55667788), second = gpu_copy(&b, &a, BUFFER_BYTES);
	int first_fence, ret;

	memset(b.map, 0, BUFFER_BYTES);
	/* The rings do not know of each other: only the buffer's reservation orders the two. */
	first_fence = gpu_submit(gpu, 0, &first, 1, -1);
	close(gpu_submit(gpu, 1, &second, 1, -1));
	ret = gpu_buffer_wait(gpu, &b, TIMEOUT_MS);
	ktap_result(!ret && gpu_fence_is_done(first_fence) && gpu_is_filled(b.map, BUFFER_BYTES, 0x55667788),
		    "a copy on one ring waits implicitly for a fill on the other (%d)", ret);
	close(first_fence);
}

static unsigned int wrong_pixels(bool nv12, bool full)
{
	unsigned int wrong = 0;

	for (int y = 0; y < HEIGHT; y++) {
		for (int x = 0; x < WIDTH; x++) {
			const uint8_t *pair = a.map + (y * WIDTH + (x & ~1)) * 2;
			const uint8_t *chroma = a.map + WIDTH * HEIGHT + y / 2 * WIDTH + (x & ~1);
			uint8_t luma = nv12 ? a.map[y * WIDTH + x] : pair[x % 2 * 2];
			uint8_t cb = nv12 ? chroma[0] : pair[1], cr = nv12 ? chroma[1] : pair[3];

			wrong += !bt601_is_pixel(b.map + (y * WIDTH + x) * 4, full, luma, cb, cr);
		}
	}
	return wrong;
}

static void test_convert(uint32_t flags, const char *name)
{
	struct drm_fencepost_gpu_command command = convert(flags);
	unsigned int wrong;
	int ret;

	scramble(a.map, WIDTH * HEIGHT * 2);
	memset(b.map, 0, WIDTH * HEIGHT * 4);
	ret = gpu_run(gpu, 0, &command);
	wrong = wrong_pixels(flags & FENCEPOST_GPU_CONVERT_NV12, flags & FENCEPOST_GPU_CONVERT_FULL);
	ktap_result(!ret && !wrong, "%s to XRGB8888 (%d, %u of %u pixels wrong)", name, ret, wrong,
		    WIDTH * HEIGHT);
}

static void test_semaphore(void)
{
	struct drm_fencepost_gpu_command waiter[2] = { semaphore_command(FENCEPOST_GPU_CMD_SEM_WAIT, 8, 7), gpu_fill(&a, 4096, 7) };
	struct drm_fencepost_gpu_command signal = semaphore_command(FENCEPOST_GPU_CMD_SEM_SIGNAL, 8, 7);
	struct drm_fencepost_gpu_submit submit = {
		.ring = 1,
		/* The implicit fence of the waiter would wait for itself. */
		.flags = FENCEPOST_GPU_SUBMIT_NO_IMPLICIT,
		.commands = (uintptr_t)&signal,
		.command_count = 1,
	};
	int ret, early, fence;

	memset(a.map, 0, 4096);
	fence = gpu_submit(gpu, 0, waiter, 2, -1);
	usleep(2000);
	early = gpu_fence_is_done(fence);
	ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);
	if (!ret)
		ret = gpu_fence_wait(fence, TIMEOUT_MS);
	ktap_result(!ret && !early && gpu_is_filled(a.map, 4096, 7),
		    "a semaphore signalled on one ring releases the other (%d)", ret);
}

static void test_explicit(void)
{
	struct drm_fencepost_gpu_command blocker = semaphore_command(FENCEPOST_GPU_CMD_SEM_WAIT, 16, 1);
	struct drm_fencepost_gpu_command late = gpu_fill(&b, 4096, 0xabcdef01);
	int first, second, early, ret;

	memset(b.map, 0, 4096);
	first = gpu_submit(gpu, 0, &blocker, 1, -1);
	second = gpu_submit(gpu, 1, &late, 1, first);
	usleep(2000);
	early = gpu_fence_is_done(second) || !gpu_is_filled(b.map, 4096, 0);
	/* The semaphore is plain memory: the CPU signals it, and the device polls. */
	__atomic_store_n((uint64_t *)(semaphore.map + 16), 1, __ATOMIC_RELEASE);
	ret = gpu_fence_wait(second, TIMEOUT_MS);
	close(first);
	ktap_result(!ret && !early && gpu_is_filled(b.map, 4096, 0xabcdef01),
		    "a job waits for the sync_file it is given (%d)", ret);
}

static void test_prime(void)
{
	int other = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	int dmabuf = gpu_export(gpu, a.handle);
	struct gpu_buffer imported = { 0 };
	struct drm_fencepost_gpu_command command;
	int ret;

	memset(a.map, 0, 4096);
	ret = dmabuf < 0 ? dmabuf : gpu_import(other, dmabuf, &imported.handle);
	command = gpu_fill(&imported, 4096, 0x600d600d);
	if (!ret)
		ret = gpu_run(other, 0, &command);
	ktap_result(!ret && gpu_is_filled(a.map, 4096, 0x600d600d),
		    "a buffer is exported and imported by another file (%d)", ret);
	close(dmabuf);
	close(other);
}

/* A foreign buffer: pages of the system heap. */
static void test_import(void)
{
	struct dma_buf_sync sync = { .flags = DMA_BUF_SYNC_START | DMA_BUF_SYNC_READ };
	int heap = other_heap_export(BUFFER_BYTES);
	const char *name = "a buffer of the system heap is imported and written";
	struct gpu_buffer imported = { 0 };
	struct drm_fencepost_gpu_command command;
	uint8_t *map;
	int ret;

	if (heap < 0) {
		ktap_skip(name, "there is no system heap");
		return;
	}
	map = mmap(NULL, BUFFER_BYTES, PROT_READ, MAP_SHARED, heap, 0);
	ret = gpu_import(gpu, heap, &imported.handle);
	command = gpu_fill(&imported, BUFFER_BYTES, 0x0ff1ce00);
	if (!ret)
		ret = gpu_run(gpu, 1, &command);
	if (!ret)
		ret = gpu_ioctl(heap, DMA_BUF_IOCTL_SYNC, &sync);
	ktap_result(!ret && map != MAP_FAILED && gpu_is_filled(map, BUFFER_BYTES, 0x0ff1ce00), "%s (%d)",
		    name, ret);
	gpu_buffer_destroy(gpu, &imported);
	close(heap);
}

/* A job that fails between one that is fine and one that is queued behind it. */
static void fail_between(uint32_t ring, const struct drm_fencepost_gpu_command *bad, int error, uint32_t code, const char *name)
{
	struct drm_fencepost_gpu_ring_info info = { .ring = ring };
	struct drm_fencepost_gpu_command before = gpu_fill(&a, 4096, 0xbef0be), after = gpu_fill(&b, 4096, 0xaf7e4);
	int fences[3], results[3], ret;

	memset(a.map, 0, 4096);
	memset(b.map, 0, 4096);
	fences[0] = gpu_submit(gpu, ring, &before, 1, -1);
	fences[1] = gpu_submit(gpu, ring, bad, 1, -1);
	fences[2] = gpu_submit(gpu, ring, &after, 1, -1);
	for (int i = 0; i < 3; i++)
		results[i] = gpu_fence_wait(fences[i], TIMEOUT_MS);
	ret = gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_RING_INFO, &info);
	ktap_note("results %d %d %d; %u resets, error %u at %#llx", results[0], results[1], results[2],
		  info.resets, info.last_error, (unsigned long long)info.last_error_address);
	ktap_result(!results[0] && results[1] == error && !results[2] && !ret &&
		    info.last_error == code && gpu_is_filled(a.map, 4096, 0xbef0be) &&
		    gpu_is_filled(b.map, 4096, 0xaf7e4), "%s", name);
}

static void test_fault(void)
{
	struct drm_fencepost_gpu_command bad = {
		.opcode = FENCEPOST_GPU_CMD_SEM_SIGNAL,
		.flags = FENCEPOST_GPU_RAW_ADDRESS,
		.dst.offset = NOWHERE,
		.value = 1,
	};

	fail_between(0, &bad, -EIO, FENCEPOST_GPU_ERROR_DMA,
		     "a refused access fails its job, and the ring lives on");
}

static void test_hang(void)
{
	struct drm_fencepost_gpu_command bad = semaphore_command(FENCEPOST_GPU_CMD_SEM_WAIT, 24, 1);

	fail_between(1, &bad, -ETIME, FENCEPOST_GPU_ERROR_TIMEOUT,
		     "a semaphore that nobody signals fails its job, and the ring lives on");
}

static void test_refusals(void)
{
	const struct drm_fencepost_gpu_command good = gpu_fill(&a, 4096, 0), good_convert = convert(0);
	struct drm_fencepost_gpu_command commands[12];
	int wanted[12], count = 0, wrong = 0;

	for (int i = 0; i < 12; i++)
		commands[i] = i < 8 ? good : good_convert;
	commands[0].opcode = 6; /* FENCE is the driver's own. */
	commands[1].flags = 1;
	commands[2].width = 0;
	commands[3].width = 4094;
	commands[4].dst.offset = BUFFER_BYTES - 4092;
	commands[5].dst.handle = 0xffff;
	commands[6].src.handle = a.handle;
	commands[7].value = 1ULL << 32;
	commands[8].width = WIDTH + 1;
	commands[9].src.stride = WIDTH * 2 - 4;
	commands[10].flags = 2;
	commands[11].dst.offset = UINT64_MAX;
	for (count = 0; count < 12; count++) {
		int ret = gpu_submit(gpu, 0, &commands[count], 1, -1);

		wanted[count] = count == 5 ? -ENOENT : -EINVAL;
		if (ret != wanted[count]) {
			ktap_note("command %d: %d, not %d", count, ret, wanted[count]);
			wrong++;
		}
	}
	wrong += gpu_submit(gpu, 3, &good, 1, -1) != -EINVAL;
	wrong += gpu_submit(gpu, 0, &good, 0, -1) != -EINVAL;
	wrong += gpu_submit(gpu, 0, &good, 1, 999) != -EBADF;
	ktap_result(!wrong, "what cannot be done is refused (%d wrong)", wrong);
}

/* More packets than a ring has, in flight at once. */
static void test_many(void)
{
	enum { JOBS = 200 };
	int ret = 0, fence = -1;

	for (int i = 0; !ret && i < JOBS; i++) {
		struct drm_fencepost_gpu_command commands[3] = { gpu_fill(&a, 64, i), gpu_copy(&b, &a, 64), gpu_fill(&a, 64, ~i) };

		if (fence >= 0)
			close(fence);
		fence = gpu_submit(gpu, i % 2, commands, 3, -1);
		if (fence < 0)
			ret = fence;
	}
	if (!ret)
		ret = gpu_fence_wait(fence, TIMEOUT_MS);
	ktap_result(!ret && gpu_is_filled(b.map, 64, JOBS - 1), "%d jobs on both rings keep their order (%d)",
		    JOBS, ret);
}

/* A process that is killed with one job hanging on ring 1, and others behind it. */
static void hang_and_wait_for_death(int ready)
{
	int fd = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	struct drm_fencepost_gpu_command commands[2];

	if (gpu_buffer_create(fd, 4096, &semaphore))
		_exit(1);
	commands[0] = semaphore_command(FENCEPOST_GPU_CMD_SEM_WAIT, 0, 1);
	commands[1] = gpu_fill(&semaphore, 4096, 0);
	for (int i = 0; i < 100; i++)
		gpu_submit(fd, 1, commands, 2, -1);
	if (write(ready, "", 1) == 1)
		pause();
	_exit(1);
}

static void test_killed(void)
{
	struct drm_fencepost_gpu_command command = gpu_fill(&a, 4096, 0xdeadbeef);
	int pipes[2], ret = pipe(pipes);
	char byte;
	pid_t pid;

	pid = ret ? -1 : fork();
	if (!pid)
		hang_and_wait_for_death(pipes[1]);
	if (pid < 0 || read(pipes[0], &byte, 1) != 1 || kill(pid, SIGKILL) ||
	    waitpid(pid, NULL, 0) != pid)
		ret = -ECHILD;
	if (!ret)
		ret = gpu_run(gpu, 1, &command);
	ktap_result(!ret && gpu_is_filled(a.map, 4096, 0xdeadbeef),
		    "a process killed with jobs on a ring does not stop the others (%d)", ret);
	close(pipes[0]);
	close(pipes[1]);
}

int main(void)
{
	int ret;

	ktap_plan(17);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : gpu_buffer_create(gpu, BUFFER_BYTES, &a);
	if (!ret)
		ret = gpu_buffer_create(gpu, BUFFER_BYTES, &b);
	if (!ret)
		ret = gpu_buffer_create(gpu, 4096, &semaphore);
	if (!ktap_result(!ret, "the GPU opens and gives buffers (%d)", ret))
		return ktap_finish();
	test_info();
	test_fill();
	test_implicit();
	test_convert(FENCEPOST_GPU_CONVERT_YUYV | FENCEPOST_GPU_CONVERT_LIMITED, "YUYV, limited range,");
	test_convert(FENCEPOST_GPU_CONVERT_YUYV | FENCEPOST_GPU_CONVERT_FULL, "YUYV, full range,");
	test_convert(FENCEPOST_GPU_CONVERT_NV12 | FENCEPOST_GPU_CONVERT_LIMITED, "NV12, limited range,");
	test_convert(FENCEPOST_GPU_CONVERT_NV12 | FENCEPOST_GPU_CONVERT_FULL, "NV12, full range,");
	test_semaphore();
	test_explicit();
	test_prime();
	test_import();
	test_fault();
	test_hang();
	test_refusals();
	test_many();
	test_killed();
	return ktap_finish();
}
