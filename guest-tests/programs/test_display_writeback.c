// SPDX-License-Identifier: GPL-2.0
/*
 * The display's write-back connector, in KTAP: all pixels of what it writes, beside a model of the screen; its fences; what it
 * refuses. With the argument "failing-dma", what happens when the machine has its first write fail.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <drm/drm_fourcc.h>

#include "display_model.h"
#include "display_picture.h"
#include "display_writeback.h"
#include "gpu_client.h"
#include "ktap.h"

#define TIMEOUT_MS 5000
#define FORMATS 3
#define FLIPS 6
/* Of the buffer that is written: room before the first pixel and behind each line. */
#define OFFSET 64
#define GAP 32
#define BEFORE 0xa5

static const uint32_t formats[FORMATS] = { DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888 };

static struct display display;
static struct plane planes[DISPLAY_MAX_PLANES];
static uint32_t connector;
/* A primary plane, and an overlay that is cut at the right edge and mixed. */
static struct plane_buffer pixels[2];
static struct plane_view views[2];
static uint32_t view_fbs[2];
static const struct plane *shown_by[2];
/* What is written, by format. */
static struct plane_buffer buffers[FORMATS];
static struct plane_view targets[FORMATS];
static uint32_t target_fbs[FORMATS];

static void test_connector(void)
{
	uint32_t found[FORMATS] = { 0 };
	struct drm_mode_get_blob blob = { .data = (uintptr_t)found, .length = sizeof(found) };
	uint32_t before = display_find_connector(&display, DRM_MODE_CONNECTOR_WRITEBACK);
	uint64_t id = 0;
	int ret;

	connector = display_writeback_connector(&display);
	ktap_result(!before && connector, "the connector is there for those who ask for it");
	display_connector_property(&display, connector, "WRITEBACK_PIXEL_FORMATS", &id);
	blob.blob_id = id;
	ret = display_ioctl(display.fd, DRM_IOCTL_MODE_GETPROPBLOB, &blob);
	ktap_result(!ret && blob.length == sizeof(formats) && !memcmp(found, formats, sizeof(formats)),
		    "its formats are XRGB8888, ARGB8888 and XBGR8888 (%d)", ret);
}

/* Bytes that no shift or swap of themselves equals. */
static void paint(struct plane_buffer *buffer, uint32_t seed)
{
	for (uint64_t i = 0; i < buffer->size; i++) {
		seed = seed * 1664525u + 1013904223u;
		buffer->pixels[i] = seed >> 24;
	}
}

static struct plane_view view_of(uint32_t format, uint32_t width, uint32_t height, const struct plane_buffer *buffer)
{
	return (struct plane_view){
		.format = format, .width = width, .height = height, .buffers = { buffer }, .pitches = { width * 4 },
		.src_w = width, .src_h = height, .w = width, .h = height, .alpha = 0xffff,
	};
}

static int make_planes(void)
{
	uint32_t width = display.mode.hdisplay, height = display.mode.vdisplay;
	int count = display_planes(&display, planes), ret;

	for (int i = 0; i < count; i++) {
		if (planes[i].type == PLANE_PRIMARY)
			shown_by[0] = &planes[i];
		else if (planes[i].type == PLANE_OVERLAY && !shown_by[1])
			shown_by[1] = &planes[i];
	}
	if (!shown_by[0] || !shown_by[1])
		return -ENOENT;
	views[0] = view_of(DRM_FORMAT_XRGB8888, width, height, &pixels[0]);
	views[1] = view_of(DRM_FORMAT_ARGB8888, 100, 80, &pixels[1]);
	views[1].x = width - 61;
	views[1].y = 17;
	views[1].zpos = 1;
	views[1].blend = BLEND_COVERAGE;
	views[1].alpha = 0xb0ff;
	for (int i = 0; i < 2; i++) {
		ret = plane_buffer_make(&display, views[i].pitches[0] * views[i].height, &pixels[i]);
		if (!ret)
			ret = plane_add_fb(&display, &views[i], &view_fbs[i]);
		if (ret)
			return ret;
		paint(&pixels[i], i + 1);
	}
	return 0;
}

static int make_target(int i, uint32_t format, uint32_t width, uint32_t height)
{
	int ret;

	targets[i] = view_of(format, width, height, &buffers[i]);
	targets[i].pitches[0] = width * 4 + GAP;
	targets[i].offsets[0] = OFFSET;
	ret = plane_buffer_make(&display, OFFSET + targets[i].pitches[0] * height, &buffers[i]);
	return ret ? ret : plane_add_fb(&display, &targets[i], &target_fbs[i]);
}

static int make_all(void)
{
	int ret = make_planes();

	for (int i = 0; i < FORMATS && !ret; i++)
		ret = make_target(i, formats[i], display.mode.hdisplay, display.mode.vdisplay);
	return ret;
}

/* Shows both planes and writes to fb. flags beside those of a commit that may set a mode. */
static int write_to(uint32_t fb, int32_t *fence, uint32_t flags)
{
	const struct display_properties *p = &display.props;
	struct display_change c = { 0 };

	display_add(&c, display.connector, p->connector_crtc_id, display.crtc);
	display_add(&c, display.crtc, p->crtc_mode_id, display.mode_blob);
	display_add(&c, display.crtc, p->crtc_active, 1);
	for (int i = 0; i < 2; i++)
		plane_add(&display, &c, shown_by[i], &views[i], view_fbs[i]);
	display_add_writeback(&display, &c, connector, fb, fence);
	return display_commit(&display, &c, flags | DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
}

/* The bytes of a pixel that is 0x00RRGGBB, the first of memory the lowest. */
static uint32_t in_format(uint32_t format, uint32_t pixel)
{
	if (format == DRM_FORMAT_ARGB8888)
		return pixel | 0xff000000;
	if (format == DRM_FORMAT_XBGR8888)
		return (pixel & 0xff) << 16 | (pixel & 0xff00) | pixel >> 16;
	return pixel;
}

/* How many bytes of a target are not what they should be: the screen's pixels, and around them what was there before. */
static uint64_t wrong_bytes(int target)
{
	const struct plane_view *const from_below[] = { &views[0], &views[1] }, *to = &targets[target];
	uint32_t *model = model_pixels(from_below, 2, to->width, to->height);
	uint8_t *expected = malloc(buffers[target].size);
	uint64_t wrong = 0;

	if (!model || !expected)
		return UINT64_MAX;
	memset(expected, BEFORE, buffers[target].size);
	for (uint32_t i = 0; i < to->width * to->height; i++) {
		uint32_t pixel = in_format(to->format, model[i]);

		memcpy(expected + to->offsets[0] + i / to->width * to->pitches[0] + i % to->width * 4, &pixel, 4);
	}
	for (uint64_t i = 0; i < buffers[target].size; i++)
		wrong += expected[i] != buffers[target].pixels[i];
	free(expected);
	free(model);
	return wrong;
}

/* Writes to a target and waits; the error of the commit or the fence. */
static int written(int target)
{
	int32_t fence = -1;
	int ret;

	memset(buffers[target].pixels, BEFORE, buffers[target].size);
	ret = write_to(target_fbs[target], &fence, 0);
	return ret ? ret : gpu_fence_wait(fence, TIMEOUT_MS);
}

static void test_pixels(void)
{
	for (int i = 0; i < FORMATS; i++) {
		int ret = written(i);
		uint64_t wrong = wrong_bytes(i);

		ktap_result(!ret && !wrong, "the picture is written as %.4s, and no other byte changes (%d, %llu wrong)",
			    (const char *)&formats[i], ret, (unsigned long long)wrong);
	}
	ktap_result(display_crc_on_screen(&display) ==
		    model_crc((const struct plane_view *const[]){ &views[0], &views[1] }, 2, views[0].width, views[0].height),
		    "the screen shows what was written");
}

static void test_once(void)
{
	int ret = written(0);

	memset(buffers[0].pixels, 0, buffers[0].size);
	for (int i = 0; i < 3 && !ret; i++)
		ret = display_wait_vblank(&display, NULL);
	for (uint64_t i = 0; i < buffers[0].size && !ret; i++)
		ret = buffers[0].pixels[i] ? -EIO : 0;
	ktap_result(!ret, "a commit writes once (%d)", ret);
}

/* Flips that do not wait, each with its own picture. */
static void test_flips(void)
{
	int ret = 0, wrong = 0;

	for (int i = 0; i < FLIPS && !ret; i++) {
		int32_t fence = -1;
		struct display_flip flip;

		paint(&pixels[0], 100 + i);
		memset(buffers[i % FORMATS].pixels, BEFORE, buffers[i % FORMATS].size);
		ret = write_to(target_fbs[i % FORMATS], &fence, DRM_MODE_ATOMIC_NONBLOCK | DRM_MODE_PAGE_FLIP_EVENT);
		if (!ret)
			ret = gpu_fence_wait(fence, TIMEOUT_MS);
		wrong += wrong_bytes(i % FORMATS) != 0;
		if (!ret)
			ret = display_wait_flip(&display, TIMEOUT_MS, &flip);
	}
	ktap_result(!ret && !wrong, "each of %d flips is written when its fence signals (%d, %d wrong)", FLIPS, ret, wrong);
}

static int try(const struct plane_view *view)
{
	uint32_t fb = 0;
	int ret = plane_add_fb(&display, view, &fb);

	return ret ? -EPROTO : write_to(fb, NULL, DRM_MODE_ATOMIC_TEST_ONLY);
}

static void test_refused(void)
{
	struct plane_view smaller = targets[0], other = targets[0];
	uint32_t fence_prop = display_connector_property(&display, connector, "WRITEBACK_OUT_FENCE_PTR", NULL);
	struct display_change c = { 0 };
	int32_t fence = -1;
	int size, format, ret;

	smaller.width--;
	other.format = DRM_FORMAT_RGB565;
	size = try(&smaller);
	format = try(&other);
	ret = try(&targets[0]);
	ktap_result(size == -EINVAL && format == -EINVAL && !ret,
		    "TEST_ONLY refuses another size and another format (%d, %d, %d)", size, format, ret);
	display_add(&c, connector, fence_prop, (uintptr_t)&fence);
	ret = display_commit(&display, &c, 0, 0);
	ktap_result(ret == -EINVAL || fence == -1, "without a framebuffer there is no fence (%d, %d)", ret, fence);
}

/* The first write fails. */
static void test_failing_dma(void)
{
	int failed = written(0), ret = written(0);

	ktap_result(failed == -EIO && !ret && !wrong_bytes(0), "DMA that fails is the fence's error, and the next one works (%d, %d)",
		    failed, ret);
}

static void test_all(void)
{
	test_pixels();
	test_once();
	test_flips();
	test_refused();
}

int main(int argc, char **argv)
{
	bool failing = argc == 2 && !strcmp(argv[1], "failing-dma");
	int ret;

	ktap_plan(failing ? 5 : 12);
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ktap_result(!ret, "the display opens (%d)", ret))
		return ktap_finish();
	test_connector();
	ret = connector ? make_all() : -ENODEV;
	if (ktap_result(!ret, "planes and buffers are made (%d)", ret)) {
		if (failing)
			test_failing_dma();
		else
			test_all();
	}
	display_close(&display);
	return ktap_finish();
}
