// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers of each device, of a heap and of a program, used by each device: pictures of 32 bits a pixel, of the screen's size.
 * Every byte is checked, by CPU, by the display's CRC, by the camera's oracle.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-buf.h>

#include "capture.h"
#include "crc32.h"
#include "display_commit.h"
#include "display_picture.h"
#include "gpu_client.h"
#include "ktap.h"
#include "other_memory.h"

#define PAGE 4096

static struct display display;
static struct capture camera;
static int gpu;
static uint32_t width, height, pitch;
/* Of a picture, in whole pages. */
static size_t picture_bytes, buffer_bytes;

/* Where a buffer comes from. */
enum exporter { FROM_GPU, FROM_DISPLAY, FROM_CAMERA, FROM_HEAP, FROM_PROGRAM, EXPORTERS };

static const char *const exporters[EXPORTERS] = {
	"the GPU", "the display", "the camera", "the system heap", "a program (udmabuf)",
};

struct shared {
	enum exporter from;
	int dmabuf;
	uint8_t *map;
	/* The exporter's own, to let go of. */
	struct gpu_buffer of_gpu;
	struct display_fb of_display;
};

static int export_program(void)
{
	int memory = other_memory(buffer_bytes, 0);
	int ret = memory < 0 ? memory : other_memory_export(memory, buffer_bytes);

	if (memory >= 0)
		close(memory);
	return ret;
}

static int export_from(struct shared *shared)
{
	int ret;

	switch (shared->from) {
	case FROM_GPU:
		ret = gpu_buffer_create(gpu, buffer_bytes, &shared->of_gpu);
		return ret ? ret : gpu_export(gpu, shared->of_gpu.handle);
	case FROM_DISPLAY:
		ret = display_create_dumb(&display, &shared->of_display);
		return ret ? ret : display_export(&display, &shared->of_display);
	case FROM_CAMERA:
		ret = capture_buffers(&camera, V4L2_MEMORY_MMAP, 1, 0);
		return ret ? ret : capture_export(&camera, 0);
	case FROM_HEAP:
		return other_heap_export(buffer_bytes);
	default:
		return export_program();
	}
}

static int make(enum exporter from, struct shared *shared)
{
	*shared = (struct shared){ .from = from };
	shared->dmabuf = export_from(shared);
	if (shared->dmabuf < 0)
		return shared->dmabuf;
	shared->map = mmap(NULL, picture_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, shared->dmabuf, 0);
	return shared->map == MAP_FAILED ? -errno : 0;
}

static void drop(struct shared *shared)
{
	munmap(shared->map, picture_bytes);
	close(shared->dmabuf);
	if (shared->from == FROM_GPU)
		gpu_buffer_destroy(gpu, &shared->of_gpu);
	if (shared->from == FROM_DISPLAY)
		display_destroy_fb(&display, &shared->of_display);
	if (shared->from == FROM_CAMERA)
		capture_release(&camera);
}

static void cpu(const struct shared *shared, uint64_t flags)
{
	struct dma_buf_sync sync = { .flags = flags | DMA_BUF_SYNC_RW };

	gpu_ioctl(shared->dmabuf, DMA_BUF_IOCTL_SYNC, &sync);
}

/* Paints a picture that no other seed has, and returns the CRC that the screen has of it. */
static uint32_t paint(const struct shared *shared, uint32_t seed)
{
	struct display_fb fb = { .width = width, .height = height, .pitch = pitch };
	uint32_t crc;

	cpu(shared, DMA_BUF_SYNC_START);
	crc = display_paint(shared->map, &fb, seed);
	cpu(shared, DMA_BUF_SYNC_END);
	return crc;
}

/* The CRC of pixels as the screen has it: without the bytes that no colour is in. */
static uint32_t screen_crc(const uint8_t *pixels)
{
	uint32_t *packed = malloc(picture_bytes), crc;

	memcpy(packed, pixels, picture_bytes);
	for (size_t i = 0; i < picture_bytes / 4; i++)
		packed[i] &= 0xffffff;
	crc = crc32_of(packed, picture_bytes);
	free(packed);
	return crc;
}

/* The GPU reads the whole picture out of the buffer, and writes another into it. */
static bool gpu_uses(struct shared *shared)
{
	struct gpu_buffer imported = { .size = buffer_bytes }, own = { 0 };
	struct drm_fencepost_gpu_command command;
	bool good;

	paint(shared, 3);
	if (gpu_import(gpu, shared->dmabuf, &imported.handle) || gpu_buffer_create(gpu, buffer_bytes, &own))
		return false;
	command = gpu_copy(&own, &imported, picture_bytes);
	good = !gpu_run(gpu, 0, &command) && !memcmp(own.map, shared->map, picture_bytes);
	command = gpu_fill(&imported, picture_bytes, 0x5ca1ab1e);
	good = good && !gpu_run(gpu, 1, &command);
	cpu(shared, DMA_BUF_SYNC_START);
	good = good && gpu_is_filled(shared->map, picture_bytes, 0x5ca1ab1e);
	cpu(shared, DMA_BUF_SYNC_END);
	gpu_buffer_destroy(gpu, &own);
	/* Its own buffer came back as the handle that there was. */
	if (shared->from == FROM_GPU)
		return good && imported.handle == shared->of_gpu.handle;
	gpu_buffer_destroy(gpu, &imported);
	return good;
}

static bool display_shows(struct shared *shared)
{
	struct display_fb fb = { 0 };
	bool good = !display_import(&display, shared->dmabuf, width, height, pitch, 0, &fb) &&
		    display_flip_shows(&display, fb.fb, paint(shared, 5));

	if (shared->from == FROM_DISPLAY)
		return good && fb.handle == shared->of_display.handle;
	return good;
}

/* The camera's next frame is in the buffer. */
static bool captured(struct shared *shared)
{
	struct camera_view view = capture_view(&camera, (struct camera_controls)CAMERA_CONTROLS_PLAIN);
	struct captured frame = { 0 };
	bool good;

	if (capture_import(&camera, shared->dmabuf, shared->map))
		return false;
	memset(shared->map, 0xa5, picture_bytes);
	good = !capture_queue(&camera, 0) && !capture_on(&camera) && !capture_next(&camera, &frame);
	cpu(shared, DMA_BUF_SYNC_START);
	good = good && capture_agrees(&camera, &view, &frame);
	cpu(shared, DMA_BUF_SYNC_END);
	return good;
}

static bool camera_fills(struct shared *shared)
{
	bool good = captured(shared);

	capture_off(&camera);
	return !capture_release(&camera) && good;
}

static const struct {
	const char *what;
	bool (*uses)(struct shared *shared);
} importers[] = {
	{ "the GPU reads and writes", gpu_uses },
	{ "the display shows", display_shows },
	{ "the camera fills", camera_fills },
};

static void test_pair(enum exporter from, unsigned int to)
{
	struct shared shared;
	char name[96];
	int ret;

	snprintf(name, sizeof(name), "%s a buffer of %s", importers[to].what, exporters[from]);
	/* Its own buffers are in use while it has them. */
	if (from == FROM_CAMERA && importers[to].uses == camera_fills)
		return;
	ret = make(from, &shared);
	if (ret == -ENOENT && (from == FROM_HEAP || from == FROM_PROGRAM)) {
		ktap_skip(name, from == FROM_HEAP ? "there is no system heap" : "no /dev/udmabuf");
		return;
	}
	ktap_result(!ret && importers[to].uses(&shared), "%s (%d)", name, ret);
	if (!ret)
		drop(&shared);
}

/* While the screen shows a buffer the camera writes a frame into it, and the GPU reads that. */
static void test_all_at_once(void)
{
	struct gpu_buffer own = { 0 }, imported = { .size = buffer_bytes };
	struct drm_fencepost_gpu_command command;
	struct display_fb fb = { 0 };
	struct shared shared;
	bool good = !make(FROM_GPU, &shared) && !gpu_buffer_create(gpu, buffer_bytes, &own) &&
		    !gpu_import(gpu, shared.dmabuf, &imported.handle) &&
		    !display_import(&display, shared.dmabuf, width, height, pitch, 0, &fb) &&
		    display_flip_shows(&display, fb.fb, paint(&shared, 7)) && captured(&shared);

	command = gpu_copy(&own, &imported, picture_bytes);
	good = good && !gpu_run(gpu, 0, &command) && !memcmp(own.map, shared.map, picture_bytes) &&
	       display_crc_on_screen(&display) == screen_crc(own.map);
	ktap_result(good, "one buffer on all three at once: captured, read and shown");
	capture_off(&camera);
	capture_release(&camera);
	gpu_buffer_destroy(gpu, &own);
	drop(&shared);
}

/* A page is less than any picture here. */
static void test_too_small(void)
{
	struct gpu_buffer page = { 0 }, imported = { .size = PAGE };
	struct drm_fencepost_gpu_command command;
	int dmabuf = gpu_buffer_create(gpu, PAGE, &page) ? -1 : gpu_export(gpu, page.handle);
	int other = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	struct display_fb fb = { 0 };
	int ret;

	ret = other < 0 ? other : gpu_import(other, dmabuf, &imported.handle);
	command = gpu_fill(&imported, picture_bytes, 1);
	ktap_result(!ret && gpu_run(other, 0, &command) == -EINVAL, "the GPU refuses a buffer that is too small");
	ret = display_import(&display, dmabuf, width, height, pitch, 0, &fb);
	ktap_result(ret == -EINVAL, "the display refuses a buffer that is too small (%d)", ret);
	ret = capture_import(&camera, dmabuf, page.map);
	if (!ret)
		ret = capture_queue(&camera, 0);
	ktap_result(ret == -EINVAL, "the camera refuses a buffer that is too small (%d)", ret);
	capture_release(&camera);
	close(dmabuf);
	close(other);
	gpu_buffer_destroy(gpu, &page);
}

/* Opens all three, and has the screen show something. */
static int set_up(void)
{
	static struct display_fb first;
	int ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);

	if (!ret)
		ret = display_create_dumb(&display, &first);
	if (!ret)
		ret = display_modeset(&display, first.fb);
	if (ret)
		return ret;
	width = first.width;
	height = first.height;
	pitch = width * 4;
	picture_bytes = (size_t)pitch * height;
	buffer_bytes = (picture_bytes + PAGE - 1) / PAGE * PAGE;
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	if (gpu < 0)
		return gpu;
	ret = capture_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME, 0);
	return ret ? ret : capture_format(&camera, V4L2_PIX_FMT_XBGR32, width, height, 0);
}

int main(void)
{
	int ret = set_up();

	ktap_plan(1 + 3 * EXPORTERS - 1 + 1 + 3);
	if (!ktap_result(!ret, "the GPU, the display and the camera are there (%d)", ret))
		return ktap_finish();
	for (unsigned int from = 0; from < EXPORTERS; from++)
		for (unsigned int to = 0; to < sizeof(importers) / sizeof(importers[0]); to++)
			test_pair(from, to);
	test_all_at_once();
	test_too_small();
	display_close(&display);
	return ktap_finish();
}
