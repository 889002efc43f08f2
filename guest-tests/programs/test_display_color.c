// SPDX-License-Identifier: GPL-2.0
/*
 * What the display does besides showing planes at vertical blanks, in KTAP: the colours of the whole picture, flips that do not
 * wait, and a cursor that moves without anybody's waiting.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "crc32.h"
#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_picture.h"
#include "ktap.h"

#define TIMEOUT_MS 5000
#define ENTRIES 256
#define FLIPS 8
#define MOVES 100

static struct display display;
static struct display_fb fbs[2];
static uint32_t crcs[2];

/* A table and a matrix, neither of which leaves a colour alone. */
static struct drm_color_lut lut[ENTRIES + 1];
static struct drm_color_ctm ctm;

static uint32_t crtc_property(const char *name, uint64_t *value)
{
	return display_property(display.fd, display.crtc, DRM_MODE_OBJECT_CRTC, name, value);
}

static uint32_t make_blob(const void *data, uint32_t length)
{
	struct drm_mode_create_blob blob = { .data = (uintptr_t)data, .length = length };

	return display_ioctl(display.fd, DRM_IOCTL_MODE_CREATEPROPBLOB, &blob) ? 0 : blob.blob_id;
}

static int set_color(uint32_t matrix, uint32_t table)
{
	struct display_change c = { 0 };

	display_add(&c, display.crtc, crtc_property("CTM", NULL), matrix);
	display_add(&c, display.crtc, crtc_property("GAMMA_LUT", NULL), table);
	return display_commit(&display, &c, 0, 0);
}

/* 16 bits of a table as 8, rounded to the nearest. */
static int eight(uint16_t value)
{
	return (int)(value / 65535.0 * 255 + 0.5);
}

static double coefficient(uint64_t value)
{
	/* 31 bits and 32 behind the point; the device has 16 behind it. */
	double whole = (double)(((value & ~(1ull << 63)) + (1 << 15)) >> 16) / 65536;

	return value >> 63 ? -whole : whole;
}

static int multiply(const __u64 *row, const int *rgb)
{
	double sum = 0.5;

	for (int i = 0; i < 3; i++)
		sum += coefficient(row[i]) * rgb[i];
	return sum < 0 ? 0 : sum >= 255 ? 255 : (int)sum;
}

/* The CRC of the first picture with the colours so changed. */
static uint32_t expect(bool matrix, bool table)
{
	uint32_t count = fbs[0].width * fbs[0].height, crc;
	uint8_t *pixels = display_map_dumb(&display, &fbs[0]);
	uint32_t *out = malloc(count * 4);

	for (uint32_t i = 0; i < count; i++) {
		uint32_t pixel = ((uint32_t *)(pixels + i / fbs[0].width * fbs[0].pitch))[i % fbs[0].width];
		int rgb[3] = { pixel >> 16 & 255, pixel >> 8 & 255, pixel & 255 }, now[3];

		for (int n = 0; n < 3; n++)
			now[n] = matrix ? multiply(&ctm.matrix[3 * n], rgb) : rgb[n];
		if (table) {
			now[0] = eight(lut[now[0]].red);
			now[1] = eight(lut[now[1]].green);
			now[2] = eight(lut[now[2]].blue);
		}
		out[i] = now[0] << 16 | now[1] << 8 | now[2];
	}
	crc = crc32_of(out, count * 4);
	free(out);
	munmap(pixels, fbs[0].size);
	return crc;
}

static void make_colors(void)
{
	static const double factors[9] = { 0.5, 0.25, -0.125, 1.5, -0.75, 0.2, 0, 0.9, 0.33 };

	for (int i = 0; i <= ENTRIES; i++) {
		lut[i].red = i * i;
		lut[i].green = 65535 - 257 * i;
		lut[i].blue = i * 199;
	}
	for (int i = 0; i < 9; i++) {
		double size = factors[i] < 0 ? -factors[i] : factors[i];

		ctm.matrix[i] = (uint64_t)(size * 4294967296.0) | (factors[i] < 0 ? 1ull << 63 : 0);
	}
}

static void test_colors(void)
{
	uint32_t table = make_blob(lut, ENTRIES * sizeof(*lut)), matrix = make_blob(&ctm, sizeof(ctm));
	uint64_t size = 0;
	int ret = display_modeset(&display, fbs[0].fb);

	ktap_result(crtc_property("GAMMA_LUT_SIZE", &size) && size == ENTRIES, "the gamma table has 256 entries");
	for (int which = 1; which <= 3; which++) {
		bool with_matrix = which & 1, with_table = which & 2;

		if (!ret)
			ret = set_color(with_matrix ? matrix : 0, with_table ? table : 0);
		ktap_result(!ret && display_crc_on_screen(&display) == expect(with_matrix, with_table),
			    "the picture goes through%s%s (%d)", with_matrix ? " the matrix" : "",
			    with_table ? " the table" : "", ret);
	}
	/* Colours are the CRTC's: they outlive its sleep. */
	for (int on = 0; on <= 1 && !ret; on++) {
		struct display_change c = { 0 };

		display_add(&c, display.crtc, display.props.crtc_active, on);
		ret = display_commit(&display, &c, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	}
	ktap_result(!ret && display_crc_on_screen(&display) == expect(true, true), "and does after sleep (%d)", ret);
	ret = set_color(0, 0);
	ktap_result(!ret && display_crc_on_screen(&display) == crcs[0], "and does not when they go (%d)", ret);
}

static void test_wrong_colors(void)
{
	struct drm_color_ctm large = ctm;
	int shorter = set_color(0, make_blob(lut, (ENTRIES - 1) * sizeof(*lut)));
	int longer = set_color(0, make_blob(lut, (ENTRIES + 1) * sizeof(*lut)));
	int ret;

	ktap_result(shorter == -EINVAL && longer == -EINVAL, "tables of another length are refused (%d, %d)", shorter, longer);
	large.matrix[4] = 1ull << 47;
	ret = set_color(make_blob(&large, sizeof(large)), 0);
	large.matrix[4] = (1ull << 47) - (1 << 16);
	ktap_result(ret == -EINVAL && !set_color(make_blob(&large, sizeof(large)), 0),
		    "a coefficient that the device has not is refused (%d)", ret);
	set_color(0, 0);
}

static void test_old_gamma(void)
{
	uint16_t tables[3][ENTRIES];
	struct drm_mode_crtc_lut arg = {
		.crtc_id = display.crtc, .gamma_size = ENTRIES,
		.red = (uintptr_t)tables[0], .green = (uintptr_t)tables[1], .blue = (uintptr_t)tables[2],
	};
	int ret;

	for (int i = 0; i < ENTRIES; i++) {
		tables[0][i] = lut[i].red;
		tables[1][i] = lut[i].green;
		tables[2][i] = lut[i].blue;
	}
	ret = display_ioctl(display.fd, DRM_IOCTL_MODE_SETGAMMA, &arg);
	ktap_result(!ret && display_crc_on_screen(&display) == expect(false, true), "SETGAMMA sets the table (%d)", ret);
	set_color(0, 0);
}

static int flip_now(uint32_t fb)
{
	struct drm_mode_crtc_page_flip flip = {
		.crtc_id = display.crtc,
		.fb_id = fb,
		.flags = DRM_MODE_PAGE_FLIP_EVENT | DRM_MODE_PAGE_FLIP_ASYNC,
	};

	return display_ioctl(display.fd, DRM_IOCTL_MODE_PAGE_FLIP, &flip);
}

static void test_async(void)
{
	struct drm_get_cap cap = { .capability = DRM_CAP_ASYNC_PAGE_FLIP };
	struct display_flip flip = { 0 };
	uint32_t before = 0;
	int ret = display_ioctl(display.fd, DRM_IOCTL_GET_CAP, &cap);

	ktap_result(!ret && cap.value == 1, "flips need not wait");
	ret = display_modeset(&display, fbs[0].fb);
	if (!ret)
		ret = display_wait_vblank(&display, &before);
	for (int i = 0; i < FLIPS && !ret; i++) {
		ret = flip_now(fbs[(i + 1) % 2].fb);
		if (!ret)
			ret = display_wait_flip(&display, TIMEOUT_MS, &flip);
	}
	/* A frame has 16 ms; a flip that waited would take one each. */
	ktap_result(!ret && flip.sequence - before < FLIPS / 2, "%d flips are done within %u frames (%d)", FLIPS,
		    flip.sequence - before, ret);
	if (!ret)
		ret = flip_now(fbs[1].fb);
	if (!ret)
		ret = display_wait_flip(&display, TIMEOUT_MS, &flip);
	ktap_result(!ret && display_crc_on_screen(&display) == crcs[1], "and the last one is shown (%d)", ret);
}

static int move(int x, int y)
{
	struct drm_mode_cursor cursor = { .flags = DRM_MODE_CURSOR_MOVE, .crtc_id = display.crtc, .x = x, .y = y };

	return display_ioctl(display.fd, DRM_IOCTL_MODE_CURSOR, &cursor);
}

/* A cursor of one colour: the CRC of a picture that has it at this place. */
static uint32_t expect_cursor(int at, uint32_t color)
{
	uint32_t *pixels = (uint32_t *)display_map_dumb(&display, &fbs[0]), crc;
	uint32_t *out = malloc(fbs[0].size);

	for (uint32_t i = 0; i < fbs[0].width * fbs[0].height; i++) {
		int x = i % fbs[0].width, y = i / fbs[0].width;
		bool in = x >= at && y >= at && x < at + 64 && y < at + 64;

		out[i] = (in ? color : pixels[y * (fbs[0].pitch / 4) + x]) & 0xffffff;
	}
	crc = crc32_of(out, fbs[0].width * fbs[0].height * 4);
	free(out);
	munmap(pixels, fbs[0].size);
	return crc;
}

static void test_cursor(void)
{
	struct drm_mode_create_dumb create = { .width = 64, .height = 64, .bpp = 32 };
	struct drm_mode_cursor cursor = { .flags = DRM_MODE_CURSOR_BO, .crtc_id = display.crtc, .width = 64, .height = 64 };
	struct display_fb image = { 0 };
	struct display_flip flip = { 0 };
	uint32_t before = 0, after = 0, *pixels, color = 0xff204060;
	int ret = display_modeset(&display, fbs[0].fb);

	if (!ret)
		ret = display_ioctl(display.fd, DRM_IOCTL_MODE_CREATE_DUMB, &create);
	cursor.handle = image.handle = create.handle;
	image.size = create.size;
	pixels = display_map_dumb(&display, &image);
	for (int i = 0; i < 64 * 64 && pixels; i++)
		pixels[i] = color;
	if (!ret)
		ret = display_ioctl(display.fd, DRM_IOCTL_MODE_CURSOR, &cursor);
	if (!ret)
		ret = display_wait_vblank(&display, &before);
	for (int i = 0; i < MOVES && !ret; i++)
		ret = move(i, i);
	if (!ret)
		ret = display_wait_vblank(&display, &after);
	ktap_result(!ret && after - before < MOVES / 4, "a cursor moves %d times within %u frames (%d)", MOVES, after - before, ret);
	ktap_result(!ret && display_crc_on_screen(&display) == expect_cursor(MOVES - 1, color), "and is where it should be");
	for (int i = 0; i < FLIPS && !ret; i++) {
		ret = display_flip(&display, fbs[(i + 1) % 2].fb, -1, NULL, i);
		for (int n = 0; n < 5 && !ret; n++)
			ret = move(10 * i + n, 10 * i + n);
		if (!ret)
			ret = display_wait_flip(&display, TIMEOUT_MS, &flip);
	}
	if (!ret)
		ret = move(20, 20);
	ktap_result(!ret && display_crc_on_screen(&display) == expect_cursor(20, color), "flips go on while it moves (%d)", ret);
}

int main(void)
{
	int ret;

	ktap_plan(16);
	make_colors();
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ktap_result(!ret && display_make_pictures(&display, fbs, crcs, 2), "the display opens (%d)", ret))
		return ktap_finish();
	test_colors();
	test_wrong_colors();
	test_old_gamma();
	test_async();
	test_cursor();
	display_close(&display);
	return ktap_finish();
}
