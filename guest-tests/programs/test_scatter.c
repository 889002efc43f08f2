// SPDX-License-Identifier: GPL-2.0
/*
 * Memory as the GPU finds it, in KTAP: thousands of pages that lie anywhere, huge pages, windows with odd strides and
 * offsets over many of them, and buffers that are mapped and unmapped without end.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>


#include "display.h"
#include "gpu_client.h"
#include "ktap.h"
#include "other_memory.h"

#define PAGE 4096u
#define SCATTERED_PAGES 3000u
#define SCATTERED ((size_t)SCATTERED_PAGES * PAGE)
#define HUGE (2u << 20)
#define HUGES 2u
#define STORM_ROUNDS 600
#define STORM_ALIVE 12
#define STORM_PAGES 40u

/* Memory of this program that the GPU sees as a dma-buf of another driver. */
struct foreign {
	uint8_t *map;
	size_t size;
	struct gpu_buffer buffer;
};

static int gpu;
static uint32_t seed = 0x5ca77e4;

static uint32_t draw(uint32_t below)
{
	seed = seed * 1664525u + 1013904223u;
	return (uint32_t)(((uint64_t)(seed >> 4) * below) >> 28);
}

static uint8_t byte_at(size_t at)
{
	return (uint8_t)(at * 2654435761u >> 13);
}

/* Takes pages in an order by chance, so that neighbours lie apart. */
static void touch_by_chance(uint8_t *map, uint32_t pages)
{
	uint32_t *order = malloc(pages * sizeof(*order));

	for (uint32_t i = 0; order && i < pages; i++)
		order[i] = i;
	for (uint32_t i = pages; order && i > 1; i--) {
		uint32_t other = draw(i), kept = order[i - 1];

		order[i - 1] = order[other];
		order[other] = kept;
	}
	for (uint32_t i = 0; order && i < pages; i++)
		map[(size_t)order[i] * PAGE] = 1;
	free(order);
}

/* How many pieces a mapping is of in physical memory; 0 if the kernel does not say. */
static uint32_t pieces(const uint8_t *map, uint32_t pages)
{
	int file = open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
	uint64_t last = 0, entry;
	uint32_t count = 0;

	for (uint32_t i = 0; file >= 0 && i < pages; i++) {
		off_t at = (off_t)((uintptr_t)map / PAGE + i) * 8;

		if (pread(file, &entry, sizeof(entry), at) != sizeof(entry) || !(entry << 9))
			break;
		/* The number of the page is in bits 0 to 54. */
		entry = entry << 9 >> 9;
		count += entry != last + 1;
		last = entry;
	}
	close(file);
	return count;
}

/* Makes memory of `size` bytes, of huge pages or of scattered ones, and imports it. */
static int foreign_create(size_t size, unsigned int flags, struct foreign *made)
{
	int memory = other_memory(size, flags);
	int dmabuf = -1, ret = memory < 0 ? memory : -ENODEV;

	made->size = size;
	made->map = MAP_FAILED;
	if (memory >= 0)
		made->map = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	if (made->map != MAP_FAILED) {
		touch_by_chance(made->map, size / PAGE);
		dmabuf = other_memory_export(memory, size);
		ret = dmabuf < 0 ? dmabuf : gpu_import(gpu, dmabuf, &made->buffer.handle);
	}
	for (size_t i = 0; !ret && i < size; i++)
		made->map[i] = byte_at(i);
	close(dmabuf);
	close(memory);
	return ret;
}

static void foreign_destroy(struct foreign *made)
{
	struct gpu_buffer handle = { .handle = made->buffer.handle };

	gpu_buffer_destroy(gpu, &handle);
	munmap(made->map, made->size);
}

/* Copies all of it to a buffer of the GPU's own, and back changed. */
static int copy_all(struct foreign *memory)
{
	struct gpu_buffer own;
	struct drm_fencepost_gpu_command command;
	int ret = gpu_buffer_create(gpu, memory->size, &own);

	if (ret)
		return ret;
	command = gpu_copy(&own, &memory->buffer, memory->size);
	ret = gpu_run(gpu, 0, &command);
	for (size_t i = 0; !ret && i < memory->size; i++) {
		if (own.map[i] != byte_at(i))
			ret = -EIO;
		own.map[i] = byte_at(i + 7);
	}
	command = gpu_copy(&memory->buffer, &own, memory->size);
	ret = ret ? ret : gpu_run(gpu, 1, &command);
	for (size_t i = 0; !ret && i < memory->size; i++)
		if (memory->map[i] != byte_at(i + 7))
			ret = -EIO;
	gpu_buffer_destroy(gpu, &own);
	return ret;
}

/* A window whose rows begin anywhere, copied row by row to a window with another stride: a model of it in C. */
static int copy_window(struct foreign *memory, struct gpu_buffer *own, uint32_t align)
{
	uint32_t width = 1 + draw(6000), height = 1 + draw(200);
	uint32_t from_stride = (width + draw(5000)) | 1, to_stride = (width + draw(300)) | 1;
	size_t from_rest = memory->size - ((size_t)from_stride * (height - 1) + width);
	struct drm_fencepost_gpu_command command = gpu_copy(own, &memory->buffer, width);
	size_t from = draw(from_rest / align) * (size_t)align, to = draw(PAGE);
	int ret;

	/* Across the end of a page, or of a huge one. */
	if (align > 1 && from > 64)
		from -= draw(64);
	command.height = height;
	command.src.offset = from;
	command.src.stride = from_stride;
	command.dst.offset = to;
	command.dst.stride = to_stride;
	memset(own->map, 0xa5, own->size);
	ret = gpu_run(gpu, draw(2), &command);
	for (size_t at = 0; !ret && at < own->size; at++) {
		size_t row = at < to ? height : (at - to) / to_stride, column = at < to ? 0 : (at - to) % to_stride;
		bool inside = row < height && column < width;
		uint8_t expected = inside ? memory->map[from + row * from_stride + column] : 0xa5;

		if (own->map[at] != expected)
			ret = -EIO;
	}
	if (ret)
		ktap_note("%u x %u from %zu by %u to %zu by %u: %d", width, height, from, from_stride, to,
			  to_stride, ret);
	return ret;
}

static int copy_windows(struct foreign *memory, uint32_t align, int count)
{
	struct gpu_buffer own;
	int ret = gpu_buffer_create(gpu, 2 << 20, &own);

	if (ret)
		return ret;
	for (int i = 0; !ret && i < count; i++)
		ret = copy_window(memory, &own, align);
	gpu_buffer_destroy(gpu, &own);
	return ret;
}

static void test_scattered(void)
{
	const char *names[] = { "3000 pages that lie anywhere: every byte, there and back",
				"windows of odd strides and offsets over them: every byte" };
	struct foreign memory;
	uint32_t count;
	int ret;

	if (access("/dev/udmabuf", R_OK | W_OK)) {
		ktap_skip(names[0], "no /dev/udmabuf");
		ktap_skip(names[1], "no /dev/udmabuf");
		return;
	}
	ret = foreign_create(SCATTERED, 0, &memory);
	count = ret ? 0 : pieces(memory.map, SCATTERED_PAGES);
	ktap_note("%u pieces of physical memory (%d)", count, ret);
	ret = ret ? ret : copy_all(&memory);
	ktap_result(!ret && count > 2000, "%s (%d)", names[0], ret);
	if (!ret)
		ret = copy_windows(&memory, 1, 12);
	ktap_result(!ret, "%s (%d)", names[1], ret);
	foreign_destroy(&memory);
}

/* Asks the kernel for huge pages; whether there are enough. */
static bool have_huge_pages(void)
{
	int file = open("/proc/sys/vm/nr_hugepages", O_RDWR | O_CLOEXEC);
	char text[16] = "";
	bool good = file >= 0 && write(file, "2", 1) == 1 && pread(file, text, sizeof(text) - 1, 0) > 0;

	close(file);
	return good && strtoul(text, NULL, 10) >= HUGES;
}

static void test_huge(void)
{
	const char *names[] = { "pages of 2 MiB: every byte, there and back",
				"windows of odd strides across the ends of pages: every byte" };
	struct foreign memory;
	int ret = have_huge_pages() ? foreign_create((size_t)HUGES * HUGE, MFD_HUGETLB, &memory) : -ENOMEM;

	if (ret) {
		ktap_skip(names[0], "no huge pages, or none that udmabuf takes");
		ktap_skip(names[1], "no huge pages, or none that udmabuf takes");
		return;
	}
	ktap_note("%u pieces of physical memory", pieces(memory.map, HUGES * HUGE / PAGE));
	ret = copy_all(&memory);
	ktap_result(!ret, "%s (%d)", names[0], ret);
	ret = ret ? ret : copy_windows(&memory, PAGE, 8);
	ktap_result(!ret, "%s (%d)", names[1], ret);
	foreign_destroy(&memory);
}

/* Buffers come and go, with a job in each; some stay, and their contents with them. */
static void test_storm(void)
{
	struct gpu_buffer alive[STORM_ALIVE] = { 0 };
	uint32_t pattern[STORM_ALIVE] = { 0 };
	int ret = 0, lost = 0, round;

	for (round = 0; !ret && round < STORM_ROUNDS; round++) {
		uint32_t at = draw(STORM_ALIVE);
		struct gpu_buffer *buffer = &alive[at];
		struct drm_fencepost_gpu_command fill;

		if (buffer->map) {
			lost += !gpu_is_filled(buffer->map, buffer->size, pattern[at]);
			gpu_buffer_destroy(gpu, buffer);
			memset(buffer, 0, sizeof(*buffer));
		}
		ret = gpu_buffer_create(gpu, (1 + draw(STORM_PAGES)) * (uint64_t)PAGE, buffer);
		if (ret)
			break;
		pattern[at] = 0xf0000000u | round;
		fill = gpu_fill(buffer, buffer->size, pattern[at]);
		ret = gpu_run(gpu, round % 2, &fill);
	}
	for (uint32_t at = 0; at < STORM_ALIVE; at++) {
		if (!alive[at].map)
			continue;
		lost += !gpu_is_filled(alive[at].map, alive[at].size, pattern[at]);
		gpu_buffer_destroy(gpu, &alive[at]);
	}
	ktap_result(!ret && !lost && round == STORM_ROUNDS,
		    "%d buffers are mapped, filled and unmapped: none has what is another's (%d, %d lost)",
		    STORM_ROUNDS, ret, lost);
}

int main(void)
{
	ktap_plan(6);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	if (!ktap_result(gpu >= 0, "the GPU is there (%d)", gpu))
		return ktap_finish();
	test_scattered();
	test_huge();
	test_storm();
	return ktap_finish();
}
