// SPDX-License-Identifier: GPL-2.0
/*
 * The display's planes, in KTAP: every plane in every format, stacks of planes that are drawn by lot from a seed, each
 * compared with a naive model by the CRC of what is on the screen, and what the planes do not take.
 *
 *	test_display_planes [SEED]
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <drm/drm_fourcc.h>

#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_model.h"
#include "display_picture.h"
#include "display_planes.h"
#include "ktap.h"

#define TIMEOUT_MS 5000
#define PLANES 4
#define STACKS 48
/* The largest picture of a stack, and the bytes of a pixel of it at most. */
#define MAX_SIDE 256
#define BUFFER_BYTES (MAX_SIDE * MAX_SIDE * 4 + 8192)

static const uint32_t formats[] = {
	DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888,
	DRM_FORMAT_RGB565, DRM_FORMAT_NV12, DRM_FORMAT_YUYV,
};

#define FORMATS (sizeof(formats) / sizeof(formats[0]))

static struct display display;
static struct plane planes[DISPLAY_MAX_PLANES];
/* Two for each plane. */
static struct plane_buffer buffers[PLANES][2];
static uint32_t dice;

/* A number below limit. */
static uint32_t roll(uint32_t limit)
{
	dice = dice * 1664525u + 1013904223u;
	return (uint64_t)dice * limit >> 32;
}

static int roll_between(int from, int to)
{
	return from + (int)roll(to - from + 1);
}

static void fill(const struct plane_buffer *buffer)
{
	uint32_t *words = (uint32_t *)buffer->pixels;

	for (size_t i = 0; i < buffer->size / 4; i++) {
		dice = dice * 1664525u + 1013904223u;
		words[i] = dice ^ dice >> 16;
	}
}

/* Bytes of a line of pixels, or of luma. */
static uint32_t line_bytes(uint32_t format, uint32_t width)
{
	switch (format) {
	case DRM_FORMAT_NV12:
		return width;
	case DRM_FORMAT_RGB565:
		return 2 * width;
	case DRM_FORMAT_YUYV:
		return (width + 1) / 2 * 4;
	default:
		return 4 * width;
	}
}

/* Where the view's picture lies in a plane's buffers. */
static void lay_out(unsigned int index, struct plane_view *view)
{
	uint32_t chroma = (view->width + 1) / 2 * 2;

	view->buffers[0] = view->buffers[1] = &buffers[index][0];
	view->offsets[0] = 8 * roll(16);
	view->pitches[0] = line_bytes(view->format, view->width) + 8 * roll(3);
	if (view->format != DRM_FORMAT_NV12)
		return;
	/* Of the luma's buffer or of its own. */
	if (roll(2))
		view->buffers[1] = &buffers[index][1];
	else
		view->offsets[1] = view->offsets[0] + view->pitches[0] * view->height + (view->pitches[0] * view->height & 1);
	view->offsets[1] += 2 * roll(9);
	view->pitches[1] = chroma + 2 * roll(5);
}

/* A view of a plane that is as large as this, drawn by lot. */
static struct plane_view draw_view(unsigned int index, uint32_t format)
{
	bool cursor = planes[index].type == PLANE_CURSOR;
	int least = cursor ? 64 : 1;
	struct plane_view view = { .format = format };

	/* Pictures of YCbCr are made of pairs. */
	view.width = roll_between(least + 1, MAX_SIDE) & ~1;
	view.height = roll_between(least + 1, MAX_SIDE) & ~1;
	view.src_w = roll_between(least, view.width);
	view.src_h = roll_between(least, view.height);
	view.src_x = roll(view.width - view.src_w + 1);
	view.src_y = roll(view.height - view.src_h + 1);
	view.w = view.src_w;
	view.h = view.src_h;
	if (planes[index].scales && roll(4)) {
		view.w = roll_between((view.src_w + 7) / 8, 2 * view.src_w);
		view.h = roll_between((view.src_h + 7) / 8, 8 * view.src_h);
	}
	view.x = roll_between(1 - (int)view.w, display.mode.hdisplay - 1);
	view.y = roll_between(1 - (int)view.h, display.mode.vdisplay - 1);
	view.blend = roll(3);
	view.alpha = roll(2) ? 0xffff : roll(0x10000);
	view.zpos = roll(3);
	view.bt709 = roll(2);
	view.full_range = roll(2);
	view.nearest = roll(2);
	lay_out(index, &view);
	return view;
}

/* The views from below: by their z-order, then by the plane's number; the cursor is above all. */
static unsigned int sort(const struct plane_view *views, const bool *on, const struct plane_view **sorted)
{
	unsigned int count = 0;

	for (uint32_t z = 0; z <= PLANES; z++)
		for (unsigned int i = 0; i < PLANES; i++)
			if (on[i] && (planes[i].type == PLANE_CURSOR ? PLANES : views[i].zpos) == z)
				sorted[count++] = &views[i];
	return count;
}

/* Shows the views; the frame that begins with them must have the model's CRC. */
static int show(const struct plane_view *views, const bool *on)
{
	const struct plane_view *sorted[PLANES];
	uint32_t fbs[PLANES] = { 0 }, crc = 0, expected;
	struct display_change c = { 0 };
	struct display_flip flip = { 0 };
	int ret = 0, crcs = display_open_crcs(&display);

	for (unsigned int i = 0; i < PLANES && !ret; i++) {
		if (on[i])
			ret = plane_add_fb(&display, &views[i], &fbs[i]);
		plane_add(&display, &c, &planes[i], &views[i], fbs[i]);
	}
	if (!ret)
		ret = display_commit(&display, &c, DRM_MODE_ATOMIC_TEST_ONLY, 0);
	if (!ret)
		ret = display_commit(&display, &c, DRM_MODE_ATOMIC_NONBLOCK | DRM_MODE_PAGE_FLIP_EVENT, 0);
	if (!ret)
		ret = display_wait_flip(&display, TIMEOUT_MS, &flip);
	expected = model_crc(sorted, sort(views, on, sorted), display.mode.hdisplay, display.mode.vdisplay);
	if (!ret && (!display_crc_since(crcs, flip.sequence, &crc) || crc != expected)) {
		ktap_note("frame %u, CRC %08x, expected %08x", flip.sequence, crc, expected);
		ret = -EILSEQ;
	}
	if (crcs >= 0)
		close(crcs);
	for (unsigned int i = 0; i < PLANES; i++)
		if (fbs[i])
			display_ioctl(display.fd, DRM_IOCTL_MODE_RMFB, &fbs[i]);
	return ret;
}

static void note(unsigned int index, const struct plane_view *v)
{
	ktap_note("plane %u: %.4s %ux%u, of it %ux%u at %u,%u as %ux%u at %d,%d, blend %d, alpha %#x, zpos %u%s%s%s", index,
		  (const char *)&v->format, v->width, v->height, v->src_w, v->src_h, v->src_x, v->src_y, v->w, v->h, v->x, v->y,
		  v->blend, v->alpha, v->zpos, v->bt709 ? ", BT.709" : "", v->full_range ? ", full range" : "",
		  v->nearest ? ", nearest" : "");
}

/* Each plane alone, twice, in each of its formats. */
static void test_formats(void)
{
	static const bool looks[] = { false, true };

	for (unsigned int i = 0; i < PLANES; i++) {
		for (unsigned int f = 0; f < FORMATS; f++) {
			struct plane_view views[PLANES] = { 0 };
			bool on[PLANES] = { false };
			int ret = 0;

			if (!plane_has_format(&planes[i], formats[f]))
				continue;
			on[i] = true;
			for (unsigned int look = 0; look < 4 && !ret; look++) {
				views[i] = draw_view(i, formats[f]);
				views[i].bt709 = looks[look / 2];
				views[i].full_range = looks[look % 2];
				ret = show(views, on);
			}
			if (!ktap_result(!ret, "plane %u shows %.4s (%d)", i, (const char *)&formats[f], ret))
				note(i, &views[i]);
		}
	}
}

static void test_stacks(void)
{
	for (int n = 0; n < STACKS; n++) {
		struct plane_view views[PLANES] = { 0 };
		bool on[PLANES] = { false };
		uint32_t seed = dice;
		int ret;

		for (unsigned int i = 0; i < PLANES; i++) {
			on[i] = roll(4);
			views[i] = draw_view(i, planes[i].formats[roll(planes[i].formats_len)]);
		}
		ret = show(views, on);
		if (ktap_result(!ret, "stack %d of planes (%d)", n, ret))
			continue;
		ktap_note("from seed %u", seed);
		for (unsigned int i = 0; i < PLANES; i++)
			if (on[i])
				note(i, &views[i]);
	}
}

/* What is asked of a plane that shows 64 x 64 pixels as they are. */
static const struct {
	const char *name;
	enum plane_type type;
	bool scales;
	uint32_t format, side, screen_side;
	int result;
} asked[] = {
	{ "an overlay of one pixel", PLANE_OVERLAY, false, DRM_FORMAT_XRGB8888, 1, 1, 0 },
	{ "a scaled overlay that cannot", PLANE_OVERLAY, false, DRM_FORMAT_XRGB8888, 64, 65, -ERANGE },
	{ "a scaled primary plane", PLANE_PRIMARY, false, DRM_FORMAT_XRGB8888, 64, 128, -ERANGE },
	{ "8 times larger", PLANE_OVERLAY, true, DRM_FORMAT_XRGB8888, 64, 512, 0 },
	{ "more than 8 times larger", PLANE_OVERLAY, true, DRM_FORMAT_XRGB8888, 64, 513, -ERANGE },
	{ "8 times smaller", PLANE_OVERLAY, true, DRM_FORMAT_NV12, 64, 8, 0 },
	{ "more than 8 times smaller", PLANE_OVERLAY, true, DRM_FORMAT_NV12, 64, 7, -ERANGE },
	{ "a cursor of 64", PLANE_CURSOR, false, DRM_FORMAT_ARGB8888, 64, 64, 0 },
	{ "a cursor of 63", PLANE_CURSOR, false, DRM_FORMAT_ARGB8888, 63, 63, -EINVAL },
	{ "a cursor of 256", PLANE_CURSOR, false, DRM_FORMAT_ARGB8888, 256, 256, 0 },
	{ "a cursor of 257", PLANE_CURSOR, false, DRM_FORMAT_ARGB8888, 257, 257, -EINVAL },
	{ "a cursor without alpha", PLANE_CURSOR, false, DRM_FORMAT_XRGB8888, 64, 64, -EINVAL },
	{ "a scaled cursor", PLANE_CURSOR, false, DRM_FORMAT_ARGB8888, 64, 128, -ERANGE },
};

#define ASKED (sizeof(asked) / sizeof(asked[0]))

static unsigned int find(enum plane_type type, bool scales)
{
	unsigned int i = 0;

	while (i < PLANES && (planes[i].type != type || planes[i].scales != scales))
		i++;
	return i;
}

/* A test of what is asked; what passes is shown too, since the device must take what its driver takes. */
static void test_limits(void)
{
	for (size_t n = 0; n < ASKED; n++) {
		unsigned int i = find(asked[n].type, asked[n].scales);
		struct plane_view views[PLANES] = { 0 };
		struct plane_view view = {
			.format = asked[n].format,
			.width = 2 * MAX_SIDE, .height = 2 * MAX_SIDE / 4,
			.buffers = { &buffers[i][0], &buffers[i][1] },
			.src_w = asked[n].side, .src_h = asked[n].side,
			.w = asked[n].screen_side, .h = asked[n].screen_side,
			.alpha = 0xffff,
		};
		bool on[PLANES] = { false };
		int ret;

		view.height = asked[n].side > 128 ? asked[n].side + 1 : 128;
		view.width = view.height;
		view.pitches[0] = line_bytes(view.format, view.width);
		view.pitches[1] = view.width;
		views[i] = view;
		on[i] = true;
		ret = show(views, on);
		ktap_result(ret == asked[n].result, "%s gives %d (%d)", asked[n].name, asked[n].result, ret);
	}
}

/* Values of one property that no plane takes, or that it does. */
static void test_values(void)
{
	const struct {
		unsigned int plane;
		const char *name;
		uint64_t value;
		int result;
	} values[] = {
		{ 1, "alpha", 0xffff, 0 },
		{ 1, "alpha", 0x10000, -EINVAL },
		{ 1, "zpos", 2, 0 },
		{ 1, "zpos", 3, -EINVAL },
		{ find(PLANE_CURSOR, false), "zpos", 0, -EINVAL },
		{ 1, "pixel blend mode", 3, -EINVAL },
		{ 1, "COLOR_ENCODING", 2, -EINVAL },
		{ 1, "COLOR_RANGE", 2, -EINVAL },
		{ 1, "type", PLANE_CURSOR, -EINVAL },
		{ find(PLANE_OVERLAY, true), "SCALING_FILTER", 2, -EINVAL },
	};
	int wrong = 0;

	for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
		struct display_change c = { 0 };
		int ret;

		plane_add_value(&display, &c, &planes[values[i].plane], values[i].name, values[i].value);
		ret = display_commit(&display, &c, DRM_MODE_ATOMIC_TEST_ONLY, 0);
		if (ret != values[i].result) {
			ktap_note("%s of %llu gives %d", values[i].name, (unsigned long long)values[i].value, ret);
			wrong++;
		}
	}
	ktap_result(!wrong, "properties take the values that there are, and no others");
}

/* The ioctls for a cursor that are older than planes. */
static void test_old_cursor(void)
{
	unsigned int i = find(PLANE_CURSOR, false);
	struct plane_view view = {
		.format = DRM_FORMAT_ARGB8888, .width = 64, .height = 64, .buffers = { &buffers[i][0] }, .pitches = { 256 },
		.src_w = 64, .src_h = 64, .w = 64, .h = 64, .alpha = 0xffff, .blend = BLEND_PREMULTIPLIED,
	};
	const struct plane_view *sorted[] = { &view };
	struct drm_mode_cursor2 cursor = {
		.flags = DRM_MODE_CURSOR_BO | DRM_MODE_CURSOR_MOVE, .crtc_id = display.crtc, .x = -10, .y = 30,
		.width = 64, .height = 64, .handle = buffers[i][0].handle,
	};
	struct drm_get_cap cap = { .capability = DRM_CAP_CURSOR_WIDTH };
	struct display_change c = { 0 };
	int ret = display_ioctl(display.fd, DRM_IOCTL_GET_CAP, &cap);

	ktap_result(!ret && cap.value == 256, "cursors are 256 wide at most (%llu)", (unsigned long long)cap.value);
	for (unsigned int n = 0; n < PLANES; n++)
		plane_add(&display, &c, &planes[n], &view, 0);
	/* What the plane had from its last commit stays: the old ioctls do not know of it. */
	plane_add_value(&display, &c, &planes[i], "alpha", view.alpha);
	plane_add_value(&display, &c, &planes[i], "pixel blend mode",
			plane_word(&display, &planes[i], "pixel blend mode", "Pre-multiplied"));
	ret = display_commit(&display, &c, 0, 0);
	if (!ret)
		ret = display_ioctl(display.fd, DRM_IOCTL_MODE_CURSOR2, &cursor);
	view.x = cursor.x;
	view.y = cursor.y;
	ktap_result(!ret && display_crc_on_screen(&display) ==
		    model_crc(sorted, 1, display.mode.hdisplay, display.mode.vdisplay), "an old cursor is shown (%d)", ret);
	cursor.flags = DRM_MODE_CURSOR_MOVE;
	for (int n = 0; n < 5 && !ret; n++) {
		view.x = cursor.x = 10 * n;
		view.y = cursor.y = 200 - n;
		ret = display_ioctl(display.fd, DRM_IOCTL_MODE_CURSOR, &cursor);
	}
	ktap_result(!ret && display_crc_on_screen(&display) ==
		    model_crc(sorted, 1, display.mode.hdisplay, display.mode.vdisplay), "and moves (%d)", ret);
	cursor.flags = DRM_MODE_CURSOR_BO;
	cursor.handle = 0;
	ret = display_ioctl(display.fd, DRM_IOCTL_MODE_CURSOR, &cursor);
	ktap_result(!ret && display_crc_on_screen(&display) == model_crc(sorted, 0, display.mode.hdisplay, display.mode.vdisplay),
		    "and goes (%d)", ret);
}

/* A plane that goes while the screen is off is not shown when that is on again. */
static void test_gone_while_off(const struct display_fb *fb, uint32_t crc)
{
	struct plane_view views[PLANES] = { 0 };
	bool on[PLANES] = { false };
	struct display_change asleep = { 0 }, gone = { 0 }, awake = { 0 };
	uint32_t over, shown;
	int ret;

	views[1] = draw_view(1, DRM_FORMAT_XRGB8888);
	on[1] = true;
	ret = show(views, on);
	if (!ret)
		ret = plane_add_fb(&display, &views[1], &over);
	if (!ret)
		ret = display_modeset(&display, fb->fb);
	plane_add(&display, &gone, &planes[1], &views[1], over);
	ret = ret ? ret : display_commit(&display, &gone, 0, 0);
	memset(&gone, 0, sizeof(gone));
	display_add(&asleep, display.crtc, display.props.crtc_active, 0);
	plane_add(&display, &gone, &planes[1], &views[1], 0);
	display_add(&awake, display.crtc, display.props.crtc_active, 1);
	if (!ret)
		ret = display_commit(&display, &asleep, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	if (!ret)
		ret = display_commit(&display, &gone, 0, 0);
	if (!ret)
		ret = display_commit(&display, &awake, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	shown = ret ? 0 : display_crc_on_screen(&display);
	if (shown != crc)
		ktap_note("CRC %08x, expected %08x", shown, crc);
	ktap_result(shown == crc, "a plane that goes while the screen is off is gone (%d)", ret);
}

static int set_up(struct display_fb *fb, uint32_t *crc)
{
	int ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);

	if (!ret && !display_make_pictures(&display, fb, crc, 1))
		ret = -ENOMEM;
	if (!ret)
		ret = display_modeset(&display, fb->fb);
	for (int i = 0; i < PLANES && !ret; i++) {
		for (int n = 0; n < 2 && !ret; n++) {
			ret = plane_buffer_make(&display, BUFFER_BYTES, &buffers[i][n]);
			if (!ret)
				fill(&buffers[i][n]);
		}
	}
	return ret;
}

int main(int argc, char **argv)
{
	struct display_fb fb;
	uint32_t crc;
	int ret, count;

	dice = argc > 1 ? strtoul(argv[1], NULL, 0) : 1;
	/* Three planes have all formats, the cursor one. */
	ktap_plan(2 + 3 * FORMATS + 1 + STACKS + ASKED + 1 + 4 + 1);
	ret = set_up(&fb, &crc);
	if (!ktap_result(!ret, "the display opens (%d)", ret))
		return ktap_finish();
	count = display_planes(&display, planes);
	if (!ktap_result(count == PLANES && planes[0].type == PLANE_PRIMARY && planes[3].type == PLANE_CURSOR &&
			 find(PLANE_OVERLAY, false) == 1 && find(PLANE_OVERLAY, true) == 2,
			 "there are a primary plane, two overlays and a cursor (%d)", count))
		return ktap_finish();
	test_formats();
	test_stacks();
	test_limits();
	test_values();
	test_old_cursor();
	test_gone_while_off(&fb, crc);
	display_close(&display);
	return ktap_finish();
}
