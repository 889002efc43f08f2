// SPDX-License-Identifier: GPL-2.0
/* The camera's pixels, one sample at a time: see camera_oracle.h. */
#include "camera_oracle.h"

#include <linux/videodev2.h>

#include "bt601.h"
#include "ktap.h"

struct sample {
	uint8_t luma, cb, cr;
};

/* White, yellow, cyan, green, magenta, red, blue, black at 75 %. */
static const struct sample bars[8] = {
	{ 180, 128, 128 }, { 162, 44, 142 }, { 131, 156, 44 }, { 112, 72, 58 },
	{ 84, 184, 198 }, { 65, 100, 212 }, { 35, 212, 114 }, { 16, 128, 128 },
};

static const char * const digits[10] = {
	"####.##.##.####", ".#.##..#..#.###", "###..#####..###", "###..####..####", "#.##.####..#..#",
	"####..###..####", "####..####.####", "###..#.#..#..#.", "####.#####.####", "####.####..####",
};

/* Whether a point of the number's box is lit: six digits of 3 by 5 cells, with gaps and a border. */
static bool is_lit(uint32_t cell_x, uint32_t cell_y, uint32_t n)
{
	uint32_t place = 6;

	if (cell_x == 0 || cell_y == 0 || cell_y == 6 || cell_x % 4 == 0)
		return false;
	while (place-- > cell_x / 4 + 1)
		n /= 10;
	return digits[n % 10][(cell_y - 1) * 3 + cell_x % 4 - 1] == '#';
}

/* The luma of the number in the middle, or -1 beside it. */
static int number_at(const struct camera_view *view, uint32_t x, uint32_t y, uint32_t n)
{
	uint32_t cell = view->width / 50 < view->height / 14 ? view->width / 50 : view->height / 14;
	uint32_t left = (view->width - 25 * cell) / 2, top = (view->height - 7 * cell) / 2;

	if (!cell || x < left || y < top || x >= left + 25 * cell || y >= top + 7 * cell)
		return -1;
	return is_lit((x - left) / cell, (y - top) / cell, n) ? 235 : 16;
}

/* A sample of the picture as it comes in: luma of pixel x, y, chroma of the pair and line. */
static struct sample source(const struct camera_view *view, uint32_t x, uint32_t y, uint32_t n)
{
	int black = view->full ? 0 : 16, white = view->full ? 255 : 235;
	struct sample sample = { 0, 128, 128 }, of_pair;
	uint32_t shift = view->controls.pattern ? 0 : 4 * n;
	int number;

	switch (view->controls.pattern) {
	case 2:
		sample.luma = black + x * (white - black) / (view->width - 1);
		return sample;
	case 3:
		sample.luma = (x / 16 + y / 16) % 2 ? black : white;
		return sample;
	case 4:
		return (struct sample){ x + y + n, x / 2 * 2 + n, 3 * y - n };
	default:
		sample = bars[(x + shift) % view->width * 8 / view->width];
		of_pair = bars[(x / 2 * 2 + shift) % view->width * 8 / view->width];
		number = view->controls.pattern ? -1 : number_at(view, x, y, n);
		if (number >= 0)
			sample.luma = number;
		return (struct sample){ sample.luma, of_pair.cb, of_pair.cr };
	}
}

/* The integer at or below numerator / denominator. */
static int64_t floor_of(int64_t numerator, int64_t denominator)
{
	int64_t quotient = numerator / denominator;

	return quotient - (numerator % denominator < 0);
}

static int64_t byte(int64_t value)
{
	return value < 0 ? 0 : value > 255 ? 255 : value;
}

static int64_t lit(const struct camera_view *view, int64_t code, int64_t zero)
{
	int64_t light = (int64_t)view->controls.exposure * view->controls.gain;

	/* floor(a / b + 1/2) is floor((2 a + b) / 2 b). */
	return byte(zero + floor_of(2 * (code - zero) * light + 65536, 2 * 65536));
}

static struct sample picture_at(const struct camera_view *view, uint32_t x, uint32_t y, uint32_t n)
{
	const struct camera_controls *controls = &view->controls;
	/* Pairs are mirrored whole, each with its own chroma. */
	uint32_t from_x = controls->hflip ? view->width - 1 - x : x;
	uint32_t from_y = controls->vflip ? view->height - 1 - y : y;
	struct sample in = source(view, from_x, from_y, n);
	int64_t luma = lit(view, in.luma, view->full ? 0 : 16);

	luma = byte(128 + floor_of(2 * (luma - 128) * controls->contrast + 128, 2 * 128));
	return (struct sample){
		byte(luma + controls->brightness), lit(view, in.cb, 128), lit(view, in.cr, 128),
	};
}

/* A sample of the frame: of the part of the picture that is there, or black. */
static struct sample sample_at(const struct camera_view *view, uint32_t x, uint32_t y, uint32_t n)
{
	if (!view->crop_width)
		return picture_at(view, x, y, n);
	if (x < view->compose_left || x >= view->compose_left + view->crop_width ||
	    y < view->compose_top || y >= view->compose_top + view->crop_height)
		return (struct sample){ view->full ? 0 : 16, 128, 128 };
	return picture_at(view, x - view->compose_left + view->crop_left,
			  y - view->compose_top + view->crop_top, n);
}

static uint8_t packed_at(const struct camera_view *view, bool luma_first, uint32_t x, uint32_t y,
			 uint32_t n)
{
	struct sample sample = sample_at(view, x / 2, y, n);

	if (x % 2 == !luma_first)
		return sample.luma;
	return x % 4 < 2 ? sample.cb : sample.cr;
}

static uint8_t nv12_chroma_at(const struct camera_view *view, uint32_t x, uint32_t y, uint32_t n)
{
	struct sample above = sample_at(view, x, 2 * y, n), below = sample_at(view, x, 2 * y + 1, n);

	return x % 2 ? (above.cr + below.cr + 1) / 2 : (above.cb + below.cb + 1) / 2;
}

/* Whether a byte of red, green or blue, or of all three, is right. */
static bool is_right_colour(const struct camera_view *view, uint32_t fourcc, uint32_t x, uint32_t y,
			    uint32_t n, const uint8_t *line)
{
	uint32_t bytes = fourcc == V4L2_PIX_FMT_XBGR32 ? 4 : fourcc == V4L2_PIX_FMT_SRGGB10 ? 2 : 1;
	uint32_t pixel = x / bytes, word = line[x / 2 * 2] | line[x / 2 * 2 + 1] << 8;
	struct sample sample = sample_at(view, pixel, y, n);
	double rgb[3], filtered;

	bt601_colour(view->full, sample.luma, sample.cb, sample.cr, rgb);
	filtered = rgb[pixel % 2 + y % 2];
	if (fourcc == V4L2_PIX_FMT_XBGR32)
		return x % 4 == 3 ? line[x] == 0xff : bt601_is_code(line[x], rgb[2 - x % 4]);
	if (fourcc == V4L2_PIX_FMT_SRGGB8)
		return bt601_is_code(line[x], filtered);
	return bt601_is_code(word / 4, filtered) && word % 4 == word / 4 / 64;
}

/* Whether byte @x of line @y is right. */
static bool is_right(const struct camera_view *view, uint32_t fourcc, uint32_t x, uint32_t y,
		     uint32_t n, const uint8_t *line)
{
	switch (fourcc) {
	case V4L2_PIX_FMT_YUYV:
		return line[x] == packed_at(view, true, x, y, n);
	case V4L2_PIX_FMT_UYVY:
		return line[x] == packed_at(view, false, x, y, n);
	case V4L2_PIX_FMT_NV12:
	case V4L2_PIX_FMT_NV12M:
	case V4L2_PIX_FMT_GREY:
		return line[x] == sample_at(view, x, y, n).luma;
	default:
		return is_right_colour(view, fourcc, x, y, n, line);
	}
}

static uint32_t line_bytes(uint32_t fourcc, uint32_t width)
{
	switch (fourcc) {
	case V4L2_PIX_FMT_NV12:
	case V4L2_PIX_FMT_NV12M:
	case V4L2_PIX_FMT_GREY:
	case V4L2_PIX_FMT_SRGGB8:
		return width;
	case V4L2_PIX_FMT_XBGR32:
		return width * 4;
	default:
		return width * 2;
	}
}

static bool luma_agrees(const struct camera_view *view, uint32_t n,
			const struct camera_pixels *pixels)
{
	uint32_t bytes = line_bytes(pixels->fourcc, view->width);

	for (uint32_t y = 0; y < view->height; y++) {
		const uint8_t *line = pixels->luma + (size_t)y * pixels->stride;

		for (uint32_t x = 0; x < pixels->stride; x++) {
			if (x < bytes ? is_right(view, pixels->fourcc, x, y, n, line) : !line[x])
				continue;
			ktap_note("%.4s, frame %u: byte %u of line %u is %u",
				  (const char *)&pixels->fourcc, n, x, y, line[x]);
			return false;
		}
	}
	return true;
}

static bool chroma_agrees(const struct camera_view *view, uint32_t n,
			  const struct camera_pixels *pixels)
{
	for (uint32_t y = 0; y < view->height / 2; y++) {
		const uint8_t *line = pixels->chroma + (size_t)y * pixels->stride;

		for (uint32_t x = 0; x < pixels->stride; x++) {
			if (line[x] == (x < view->width ? nv12_chroma_at(view, x, y, n) : 0))
				continue;
			ktap_note("frame %u: byte %u of chroma line %u is %u", n, x, y, line[x]);
			return false;
		}
	}
	return true;
}

bool camera_oracle_agrees(const struct camera_view *view, uint32_t n,
			  const struct camera_pixels *pixels)
{
	return luma_agrees(view, n, pixels) &&
	       (!pixels->chroma || chroma_agrees(view, n, pixels));
}

static uint8_t nearest_code(double want)
{
	return want < 0 ? 0 : want > 255 ? 255 : (uint8_t)(want + 0.5);
}

static void paint_colours(const struct camera_view *view, uint32_t n, uint8_t *bgrx)
{
	for (uint32_t y = 0; y < view->height; y++) {
		for (uint32_t x = 0; x < view->width; x++, bgrx += 4) {
			struct sample sample = sample_at(view, x, y, n);
			double rgb[3];

			bt601_colour(view->full, sample.luma, sample.cb, sample.cr, rgb);
			for (int i = 0; i < 3; i++)
				bgrx[i] = nearest_code(rgb[2 - i]);
			bgrx[3] = 0xff;
		}
	}
}

void camera_oracle_paint(const struct camera_view *view, uint32_t n, uint32_t fourcc, uint8_t *luma,
			 uint8_t *chroma)
{
	uint32_t bytes = line_bytes(fourcc, view->width);

	if (fourcc == V4L2_PIX_FMT_XBGR32) {
		paint_colours(view, n, luma);
		return;
	}
	for (uint32_t y = 0; y < view->height; y++)
		for (uint32_t x = 0; x < bytes; x++)
			luma[(size_t)y * bytes + x] = fourcc == V4L2_PIX_FMT_YUYV ?
				packed_at(view, true, x, y, n) : sample_at(view, x, y, n).luma;
	for (uint32_t y = 0; chroma && y < view->height / 2; y++)
		for (uint32_t x = 0; x < view->width; x++)
			chroma[(size_t)y * view->width + x] = nv12_chroma_at(view, x, y, n);
}
