// SPDX-License-Identifier: GPL-2.0
/* The naive model of a screen with several planes: see display_model.h. */
#include "display_model.h"

#include <stdlib.h>

#include <drm/drm_fourcc.h>

#include "crc32.h"

struct color {
	double red, green, blue, alpha;
};

/* A coefficient in 65536ths, as the device has it. */
static int fixed(double value)
{
	return (int)(value * 65536 + 0.5);
}

static double channel(int sum)
{
	/* Rounded to the nearest; a shift of what is negative rounds down. */
	int value = (sum + 32768) >> 16;

	return value < 0 ? 0 : value > 255 ? 255 : value;
}

static struct color from_ycbcr(const struct plane_view *view, int y, int cb, int cr)
{
	double kr = view->bt709 ? 0.2126 : 0.299, kb = view->bt709 ? 0.0722 : 0.114, kg = 1 - kr - kb;
	double scale = view->full_range ? 1 : 255.0 / 224;
	int luma = view->full_range ? fixed(1) * y : fixed(255.0 / 219) * (y - 16);

	cb -= 128;
	cr -= 128;
	return (struct color){
		.red = channel(luma + fixed(2 * (1 - kr) * scale) * cr),
		.green = channel(luma - fixed(2 * (1 - kb) * kb / kg * scale) * cb -
				 fixed(2 * (1 - kr) * kr / kg * scale) * cr),
		.blue = channel(luma + fixed(2 * (1 - kb) * scale) * cb),
		.alpha = 255,
	};
}

static struct color from_rgb565(unsigned int bits)
{
	unsigned int red = bits >> 11, green = bits >> 5 & 63, blue = bits & 31;

	return (struct color){ red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2, 255 };
}

/* The pixel of the picture in memory. */
static struct color pixel_at(const struct plane_view *view, uint32_t x, uint32_t y)
{
	const uint8_t *line = view->buffers[0]->pixels + view->offsets[0] + (size_t)y * view->pitches[0];
	const uint8_t *at;

	switch (view->format) {
	case DRM_FORMAT_RGB565:
		at = line + 2 * x;
		return from_rgb565(at[0] | at[1] << 8);
	case DRM_FORMAT_YUYV:
		at = line + x / 2 * 4;
		return from_ycbcr(view, at[x % 2 * 2], at[1], at[3]);
	case DRM_FORMAT_NV12:
		at = view->buffers[1]->pixels + view->offsets[1] + (size_t)(y / 2) * view->pitches[1] + x / 2 * 2;
		return from_ycbcr(view, line[x], at[0], at[1]);
	case DRM_FORMAT_XBGR8888:
		at = line + 4 * x;
		return (struct color){ at[0], at[1], at[2], 255 };
	default:
		at = line + 4 * x;
		return (struct color){ at[2], at[1], at[0], view->format == DRM_FORMAT_ARGB8888 ? at[3] : 255 };
	}
}

/* Where a scaled pixel lies, in 256ths of a source pixel from the middle of the first. */
static int64_t place(uint32_t at, uint32_t from, uint32_t to)
{
	int64_t middle = (int64_t)(2 * at + 1) * from * 256 / (2 * to) - 128, last = (int64_t)(from - 1) * 256;

	return middle < 0 ? 0 : middle > last ? last : middle;
}

static double between(const double corners[4], int right, int low)
{
	double sum = corners[0] * (256 - right) * (256 - low) + corners[1] * right * (256 - low) +
		     corners[2] * (256 - right) * low + corners[3] * right * low;

	return (int)(sum / 65536 + 0.5);
}

static struct color bilinear(const struct plane_view *view, uint32_t x, uint32_t y)
{
	int64_t across = place(x, view->src_w, view->w), down = place(y, view->src_h, view->h);
	uint32_t x0 = across / 256, x1 = x0 + 1 < view->src_w ? x0 + 1 : x0;
	uint32_t y0 = down / 256, y1 = y0 + 1 < view->src_h ? y0 + 1 : y0;
	const uint32_t xs[4] = { x0, x1, x0, x1 }, ys[4] = { y0, y0, y1, y1 };
	double red[4], green[4], blue[4], alpha[4];

	for (int i = 0; i < 4; i++) {
		struct color color = pixel_at(view, view->src_x + xs[i], view->src_y + ys[i]);

		red[i] = color.red;
		green[i] = color.green;
		blue[i] = color.blue;
		alpha[i] = color.alpha;
	}
	return (struct color){
		between(red, across % 256, down % 256),
		between(green, across % 256, down % 256),
		between(blue, across % 256, down % 256),
		between(alpha, across % 256, down % 256),
	};
}

/* The plane's pixel at a place of its rectangle on the screen. */
static struct color color_of(const struct plane_view *view, uint32_t x, uint32_t y)
{
	if (view->w == view->src_w && view->h == view->src_h)
		return pixel_at(view, view->src_x + x, view->src_y + y);
	if (view->nearest)
		return pixel_at(view, view->src_x + (2 * x + 1) * view->src_w / (2 * view->w),
				view->src_y + (2 * y + 1) * view->src_h / (2 * view->h));
	return bilinear(view, x, y);
}

/* DRM's equations (struct drm_plane, "pixel blend mode"), with 8 bits of the plane's alpha. */
static double mix(const struct plane_view *view, double over, double alpha, double under)
{
	double plane = (view->alpha >> 8) / 255.0, pixel = view->blend == BLEND_NONE ? 1 : alpha / 255;
	double share = view->blend == BLEND_COVERAGE ? plane * pixel : plane;
	/* No half is met, since 255 * 255 is odd: a millionth covers what real numbers lose. */
	double value = share * over + (1 - plane * pixel) * under + 0.5 + 1e-6;

	return value > 255 ? 255 : (int)value;
}

static void put(const struct plane_view *view, struct color *screen, int width, int height)
{
	for (int y = 0; y < height; y++) {
		for (int x = 0; x < width; x++) {
			struct color *under = &screen[y * width + x], over;

			if (x < view->x || y < view->y || x >= view->x + (int)view->w || y >= view->y + (int)view->h)
				continue;
			over = color_of(view, x - view->x, y - view->y);
			under->red = mix(view, over.red, over.alpha, under->red);
			under->green = mix(view, over.green, over.alpha, under->green);
			under->blue = mix(view, over.blue, over.alpha, under->blue);
		}
	}
}

uint32_t *model_pixels(const struct plane_view *const *from_below, unsigned int count, uint32_t width, uint32_t height)
{
	struct color *screen = calloc((size_t)width * height, sizeof(*screen));
	uint32_t *packed = malloc((size_t)width * height * 4);

	if (screen && packed) {
		for (unsigned int i = 0; i < count; i++)
			put(from_below[i], screen, width, height);
		for (size_t i = 0; i < (size_t)width * height; i++)
			packed[i] = (uint32_t)screen[i].red << 16 | (uint32_t)screen[i].green << 8 |
				    (uint32_t)screen[i].blue;
	}
	if (!screen) {
		free(packed);
		packed = NULL;
	}
	free(screen);
	return packed;
}

uint32_t model_crc(const struct plane_view *const *from_below, unsigned int count, uint32_t width, uint32_t height)
{
	uint32_t *packed = model_pixels(from_below, count, width, height), crc = 0;

	if (packed)
		crc = crc32_of(packed, (size_t)width * height * 4);
	free(packed);
	return crc;
}
