// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the camera's crop and compose, in KTAP: the selection API's rules, and every pixel of a frame with a window.
 */
#include <errno.h>
#include <string.h>
#include <sys/ioctl.h>

#include <uapi/fencepost.h>

#include "capture.h"
#include "ktap.h"

#define WIDTH 122
#define HEIGHT 66
#define WAVES 4

static struct capture camera;

static int select_rect(uint32_t target, uint32_t flags, struct v4l2_rect *rect)
{
	struct v4l2_selection selection = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .target = target, .flags = flags, .r = *rect,
	};
	int ret = capture_call(&camera, VIDIOC_S_SELECTION, &selection);

	*rect = selection.r;
	return ret;
}

static bool is_rect(uint32_t target, int32_t left, int32_t top, uint32_t width, uint32_t height)
{
	struct v4l2_selection selection = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE, .target = target };

	return !capture_call(&camera, VIDIOC_G_SELECTION, &selection) &&
	       selection.r.left == left && selection.r.top == top &&
	       selection.r.width == width && selection.r.height == height;
}

static bool begins_whole(void)
{
	return is_rect(V4L2_SEL_TGT_CROP, 0, 0, WIDTH, HEIGHT) &&
	       is_rect(V4L2_SEL_TGT_CROP_BOUNDS, 0, 0, WIDTH, HEIGHT) &&
	       is_rect(V4L2_SEL_TGT_CROP_DEFAULT, 0, 0, WIDTH, HEIGHT) &&
	       is_rect(V4L2_SEL_TGT_COMPOSE, 0, 0, WIDTH, HEIGHT) &&
	       is_rect(V4L2_SEL_TGT_COMPOSE_BOUNDS, 0, 0, WIDTH, HEIGHT) &&
	       !is_rect(V4L2_SEL_TGT_NATIVE_SIZE, 0, 0, WIDTH, HEIGHT);
}

/* A rectangle becomes the nearest that there is, as its flags allow. */
static bool adjusts(void)
{
	struct v4l2_rect odd = { 7, 9, 31, 21 }, beyond = { 4000, -8, 60, 9000 };
	struct v4l2_rect more = { 7, 9, 31, 21 }, exact = { 0, 0, 31, 20 }, none = { 0, 0, WIDTH + 2, 2 };
	bool good = !select_rect(V4L2_SEL_TGT_CROP, 0, &odd) &&
		    is_rect(V4L2_SEL_TGT_CROP, 6, 8, 30, 20) && odd.left == 6 && odd.width == 30;

	good &= !select_rect(V4L2_SEL_TGT_CROP, V4L2_SEL_FLAG_GE, &more) &&
		is_rect(V4L2_SEL_TGT_CROP, 6, 8, 32, 22) && is_rect(V4L2_SEL_TGT_COMPOSE, 0, 0, 32, 22);
	good &= !select_rect(V4L2_SEL_TGT_COMPOSE, 0, &beyond) &&
		is_rect(V4L2_SEL_TGT_COMPOSE, WIDTH - 60, 0, 60, HEIGHT) &&
		is_rect(V4L2_SEL_TGT_CROP, 6, 0, 60, HEIGHT);
	good &= select_rect(V4L2_SEL_TGT_CROP, V4L2_SEL_FLAG_GE | V4L2_SEL_FLAG_LE, &exact) == -ERANGE &&
		select_rect(V4L2_SEL_TGT_CROP, V4L2_SEL_FLAG_GE, &none) == -ERANGE &&
		select_rect(V4L2_SEL_TGT_CROP_BOUNDS, 0, &exact) == -EINVAL;
	/* A new format begins with the whole picture. */
	return good && !capture_format(&camera, V4L2_PIX_FMT_YUYV, WIDTH, HEIGHT, 0) && begins_whole();
}

/* Two frames of a format through the window. */
static bool shows(uint32_t fourcc, struct camera_view *view)
{
	struct v4l2_rect crop = { view->crop_left, view->crop_top, view->crop_width, view->crop_height };
	struct v4l2_rect compose = { view->compose_left, view->compose_top, crop.width, crop.height };
	struct captured frame;
	bool good = !capture_format(&camera, fourcc, WIDTH, HEIGHT, 0) &&
		    !select_rect(V4L2_SEL_TGT_CROP, 0, &crop) &&
		    !select_rect(V4L2_SEL_TGT_COMPOSE, 0, &compose) &&
		    is_rect(V4L2_SEL_TGT_CROP, view->crop_left, view->crop_top, crop.width, crop.height);

	good = good && !capture_buffers(&camera, V4L2_MEMORY_MMAP, 2, 0) &&
	       !capture_queue(&camera, 0) && !capture_queue(&camera, 1) && !capture_on(&camera);
	/* The window stays while the stream is on. */
	good = good && select_rect(V4L2_SEL_TGT_CROP, 0, &crop) == -EBUSY;
	for (unsigned int n = 0; good && n < 2; n++)
		good = !capture_next(&camera, &frame) && capture_agrees(&camera, view, &frame);
	return !capture_off(&camera) && !capture_release(&camera) && good;
}

static bool shows_windows(uint32_t fourcc)
{
	struct camera_view view = capture_view(&camera, (struct camera_controls){ 0, 128, 256, 256, 0, 0, WAVES });
	static const uint32_t windows[][6] = {
		{ 0, 0, 2, 2, 120, 64 }, { 6, 4, 60, 30, 22, 34 }, { 62, 34, 60, 32, 0, 0 },
		{ 4, 0, 118, 66, 2, 0 },
	};

	for (size_t i = 0; i < sizeof(windows) / sizeof(windows[0]); i++) {
		const uint32_t *w = windows[i];

		view.width = WIDTH;
		view.height = HEIGHT;
		view.crop_left = w[0];
		view.crop_top = w[1];
		view.crop_width = w[2];
		view.crop_height = w[3];
		view.compose_left = w[4];
		view.compose_top = w[5];
		if (!shows(fourcc, &view))
			return false;
	}
	return true;
}

int main(void)
{
	static const uint32_t formats[] = {
		V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_XBGR32, V4L2_PIX_FMT_SRGGB10,
	};
	struct v4l2_control pattern = { .id = V4L2_CID_TEST_PATTERN, .value = WAVES };
	int ret = capture_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME, 0);

	ktap_plan(7);
	if (!ktap_result(!ret && !capture_call(&camera, VIDIOC_S_CTRL, &pattern) &&
			 !capture_format(&camera, V4L2_PIX_FMT_YUYV, WIDTH, HEIGHT, 0),
			 "the camera is there"))
		return ktap_finish();
	ktap_result(begins_whole(), "the window begins as the whole picture");
	ktap_result(adjusts(), "rectangles become the nearest that there are");
	for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++)
		ktap_result(shows_windows(formats[i]), "pixels: %.4s through windows",
			    (const char *)&formats[i]);
	return ktap_finish();
}
