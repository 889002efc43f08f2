// SPDX-License-Identifier: GPL-2.0
/*
 * The stock driver virtio_gpu on a virtio-gpu device with two outputs, in KTAP: modes, pictures, flips with fences, the cursor. Prints
 * the CRC-32 of every picture that must be on a screen, computed here from what was painted, for the host to compare with what was.
 *
 *   test_virtio_gpu WIDTH HEIGHT
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "crc32.h"
#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_picture.h"
#include "ktap.h"

#define DRIVER "virtio_gpu"
#define PICTURES 3
#define CURSOR_SIDE 64
/* Long enough for a machine that is slow beside its own clock. */
#define TIMEOUT_MS 10000
#define OUTPUTS 2
#define MAX_IDS 16

static struct display display;
static struct display_fb fbs[PICTURES];
static uint32_t crcs[PICTURES];

/* A picture that the host must have been shown by now, behind those before it. */
static void must_show(uint32_t crc)
{
	/* The commands are carried out by the device, in order. */
	usleep(50000);
	ktap_note("shown %u", crc);
}

/* Waits for the flip's event, and its fence, which must be signalled by then or soon. */
static bool flip_with_fence(uint32_t fb)
{
	struct display_flip flip = { 0 };
	int fence = -1;
	int ret = display_flip(&display, fb, -1, &fence, 42);

	if (ret || fence < 0)
		return false;
	struct pollfd waiter = { .fd = fence, .events = POLLIN };
	bool done = poll(&waiter, 1, TIMEOUT_MS) == 1;

	close(fence);
	return display_wait_flip(&display, TIMEOUT_MS, &flip) == 0 && flip.user_data == 42 && done;
}

/* A cursor whose left half is transparent and whose right half is opaque. */
static uint32_t cursor_pixel(int x, int y)
{
	return x < CURSOR_SIDE / 2 ? 0 : 0xff000000u | (uint32_t)x << 16 | (uint32_t)y << 8 | 0x5a;
}

/* A buffer with the cursor; 0 if there is none. */
static uint32_t make_cursor(void)
{
	struct drm_mode_create_dumb create = { .width = CURSOR_SIDE, .height = CURSOR_SIDE, .bpp = 32 };
	struct display_fb fb = { 0 };
	uint32_t *pixels;

	if (display_ioctl(display.fd, DRM_IOCTL_MODE_CREATE_DUMB, &create))
		return 0;
	fb.handle = create.handle;
	fb.size = create.size;
	pixels = display_map_dumb(&display, &fb);
	if (!pixels)
		return 0;
	for (int y = 0; y < CURSOR_SIDE; y++)
		for (int x = 0; x < CURSOR_SIDE; x++)
			pixels[y * (create.pitch / 4) + x] = cursor_pixel(x, y);
	munmap(pixels, fb.size);
	return create.handle;
}

/* The CRC of the last picture with the cursor at this place. */
static uint32_t crc_with_cursor(const struct display_fb *fb, int left, int top)
{
	uint32_t *picture = calloc(fb->width, (size_t)fb->height * 4);
	uint8_t *pixels = display_map_dumb(&display, fb);
	uint32_t crc;

	if (!picture || !pixels)
		return 0;
	for (int y = 0; y < (int)fb->height; y++) {
		const uint32_t *row = (const uint32_t *)(pixels + (size_t)y * fb->pitch);

		for (int x = 0; x < (int)fb->width; x++) {
			int across = x - left, down = y - top;
			uint32_t pixel = row[x];

			if (across >= 0 && across < CURSOR_SIDE && down >= 0 && down < CURSOR_SIDE &&
			    cursor_pixel(across, down))
				pixel = cursor_pixel(across, down);
			picture[(size_t)y * fb->width + x] = pixel & 0xffffff;
		}
	}
	crc = crc32_of(picture, (size_t)fb->width * fb->height * 4);
	munmap(pixels, fb->size);
	free(picture);
	return crc;
}

static int set_cursor(uint32_t flags, uint32_t handle, int x, int y)
{
	struct drm_mode_cursor cursor = {
		.flags = flags,
		.crtc_id = display.crtc,
		.x = x,
		.y = y,
		.width = CURSOR_SIDE,
		.height = CURSOR_SIDE,
		.handle = handle,
	};

	return display_ioctl(display.fd, DRM_IOCTL_MODE_CURSOR, &cursor);
}

static void test_cursor(const struct display_fb *fb)
{
	uint32_t handle = make_cursor();

	ktap_result(handle && set_cursor(DRM_MODE_CURSOR_MOVE, 0, 20, 30) == 0 &&
		    set_cursor(DRM_MODE_CURSOR_BO, handle, 0, 0) == 0, "a cursor is shown");
	must_show(crc_with_cursor(fb, 20, 30));
	/* Partly outside. */
	ktap_result(set_cursor(DRM_MODE_CURSOR_MOVE, 0, (int)fb->width - 40, -8) == 0, "it moves");
	must_show(crc_with_cursor(fb, (int)fb->width - 40, -8));
	ktap_result(set_cursor(DRM_MODE_CURSOR_BO, 0, 0, 0) == 0, "it goes");
	must_show(crc_with_cursor(fb, -CURSOR_SIDE, 0));
}

/* Shows a picture on the connector and CRTC that the first output does not have. */
static bool show_on_second(const struct display_fb *fb, const struct drm_mode_modeinfo *mode)
{
	uint32_t connectors[MAX_IDS], crtc_ids[MAX_IDS];
	struct drm_mode_card_res res = {
		.connector_id_ptr = (uintptr_t)connectors,
		.crtc_id_ptr = (uintptr_t)crtc_ids,
		.count_connectors = MAX_IDS,
		.count_crtcs = MAX_IDS,
	};

	if (display_ioctl(display.fd, DRM_IOCTL_MODE_GETRESOURCES, &res) ||
	    res.count_connectors != OUTPUTS || res.count_crtcs != OUTPUTS)
		return false;
	for (int i = 0; i < OUTPUTS; i++) {
		struct drm_mode_crtc set = {
			.set_connectors_ptr = (uintptr_t)&connectors[i],
			.count_connectors = 1,
			.crtc_id = crtc_ids[i],
			.fb_id = fb->fb,
			.mode_valid = 1,
			.mode = *mode,
		};

		if (connectors[i] != display.connector)
			return display_ioctl(display.fd, DRM_IOCTL_MODE_SETCRTC, &set) == 0;
	}
	return false;
}

int main(int argc, char **argv)
{
	int width = argc > 2 ? atoi(argv[1]) : 0, height = argc > 2 ? atoi(argv[2]) : 0;
	int ret = display_open(&display, DRIVER);

	ktap_plan(8);
	ktap_result(ret == 0, "the stock driver has a card with a monitor (%d)", ret);
	if (ret)
		return ktap_finish();
	ktap_result(display.mode.hdisplay == width && display.mode.vdisplay == height,
		    "the preferred mode is the EDID's, %dx%d", display.mode.hdisplay, display.mode.vdisplay);
	if (!display_make_pictures(&display, fbs, crcs, PICTURES))
		return ktap_finish();
	ret = display_modeset(&display, fbs[0].fb);
	ktap_result(ret == 0, "a mode is set (%d)", ret);
	must_show(crcs[0]);
	ktap_result(flip_with_fence(fbs[1].fb), "a flip's event comes, and its fence is signalled");
	must_show(crcs[1]);
	test_cursor(&fbs[1]);
	ktap_result(show_on_second(&fbs[2], &display.mode), "the second output shows another picture");
	must_show(crcs[2]);
	display_close(&display);
	usleep(50000);
	return ktap_finish();
}
