// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the camera's controls, in KTAP: what they may be, what they do to every pixel, that a set of them takes effect
 * with one frame, and that programs hear of changes.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "camera.h"
#include "camera_oracle.h"
#include "ktap.h"
#include "life.h"

#define BUFFERS 3
#define TIMEOUT_MS 10000
#define WIDTH 120
#define HEIGHT 68
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static struct camera camera;
static const uint8_t *pixels[BUFFERS];
static const struct life_device device = { "0000:00:02.0", FENCEPOST_CAMERA_DRIVER_NAME };
static const struct camera_controls plain = CAMERA_CONTROLS_PLAIN;

/* Limits and what changes nothing, as docs/camera.md has them, in the order of struct camera_controls. */
static const struct {
	uint32_t id;
	int32_t min, max, unit;
} controls[] = {
	{ V4L2_CID_BRIGHTNESS, -128, 127, 0 },
	{ V4L2_CID_CONTRAST, 0, 255, 128 },
	{ V4L2_CID_EXPOSURE, 16, 4096, 256 },
	{ V4L2_CID_GAIN, 16, 4096, 256 },
	{ V4L2_CID_HFLIP, 0, 1, 0 },
	{ V4L2_CID_VFLIP, 0, 1, 0 },
	{ V4L2_CID_TEST_PATTERN, 0, 4, 0 },
};

static int call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) ? -errno : 0;
}

static int set_control(int fd, uint32_t id, int32_t value)
{
	struct v4l2_control control = { .id = id, .value = value };

	return call(fd, VIDIOC_S_CTRL, &control);
}

/* Sets all controls with one call. */
static int set_all(const struct camera_controls *values)
{
	const int32_t *value = &values->brightness;
	struct v4l2_ext_control each[COUNT(controls)] = { 0 };
	struct v4l2_ext_controls all = {
		.which = V4L2_CTRL_WHICH_CUR_VAL, .count = COUNT(controls), .controls = each,
	};

	for (size_t i = 0; i < COUNT(controls); i++) {
		each[i].id = controls[i].id;
		each[i].value = value[i];
	}
	return call(camera.fd, VIDIOC_S_EXT_CTRLS, &all);
}

static bool states_limits(void)
{
	for (size_t i = 0; i < COUNT(controls); i++) {
		struct v4l2_queryctrl query = { .id = controls[i].id };
		struct v4l2_control now = { .id = controls[i].id };

		if (call(camera.fd, VIDIOC_QUERYCTRL, &query) ||
		    call(camera.fd, VIDIOC_G_CTRL, &now) || now.value != controls[i].unit ||
		    query.minimum != controls[i].min || query.maximum != controls[i].max ||
		    query.default_value != controls[i].unit)
			return false;
	}
	return true;
}

static bool keeps_to_limits(void)
{
	struct v4l2_control now = { .id = V4L2_CID_GAIN };
	bool good = !set_control(camera.fd, V4L2_CID_GAIN, 1 << 20) &&
		    !call(camera.fd, VIDIOC_G_CTRL, &now) && now.value == 4096;

	good &= set_control(camera.fd, V4L2_CID_TEST_PATTERN, 5) == -ERANGE &&
		set_control(camera.fd, V4L2_CID_SATURATION, 1) == -EINVAL;
	return good && !set_all(&plain);
}

/* The next frame; -ETIME when none comes. */
static int next_frame(struct camera_frame *frame)
{
	struct pollfd waiter = { .fd = camera.fd, .events = POLLIN };
	int ret = poll(&waiter, 1, TIMEOUT_MS);

	if (ret <= 0)
		return ret ? -errno : -ETIME;
	return camera_dequeue(&camera, frame);
}

static bool agrees(const struct camera_frame *frame, const struct camera_controls *values, uint32_t n)
{
	struct camera_view view = {
		.controls = *values,
		.full = camera.pix.quantization == V4L2_QUANTIZATION_FULL_RANGE,
		.width = camera.pix.width,
		.height = camera.pix.height,
	};
	struct camera_pixels there = {
		.fourcc = camera.pix.pixelformat,
		.stride = camera.pix.bytesperline,
		.luma = pixels[frame->index],
	};

	return !frame->failed && camera_oracle_agrees(&view, n, &there);
}

static bool start(void)
{
	bool good = true;

	for (uint32_t i = 0; i < BUFFERS; i++)
		good &= !camera_queue(&camera, i);
	return good && !camera_stream_on(&camera);
}

/* The first two frames of a stream with these values. */
static bool shows(const struct camera_controls *values)
{
	struct camera_frame frame;
	bool good = !set_all(values) && start();

	for (uint32_t n = 0; good && n < 2; n++)
		good = !next_frame(&frame) && frame.sequence == n && agrees(&frame, values, n);
	return !camera_stream_off(&camera) && good;
}

static void test_each(void)
{
	static const struct {
		const char *what;
		struct camera_controls values;
	} sets[] = {
		{ "no control", CAMERA_CONTROLS_PLAIN },
		{ "brightness", { 31, 128, 256, 256, 0, 0, 0 } },
		{ "negative brightness", { -77, 128, 256, 256, 0, 0, 0 } },
		{ "contrast", { 0, 190, 256, 256, 0, 0, 0 } },
		{ "no contrast", { 0, 0, 256, 256, 0, 0, 0 } },
		{ "exposure", { 0, 128, 100, 256, 0, 0, 0 } },
		{ "gain", { 0, 128, 256, 777, 0, 0, 0 } },
		{ "horizontal flip", { 0, 128, 256, 256, 1, 0, 0 } },
		{ "vertical flip", { 0, 128, 256, 256, 0, 1, 0 } },
		{ "colour bars", { 0, 128, 256, 256, 0, 0, 1 } },
		{ "ramp", { 0, 128, 256, 256, 0, 0, 2 } },
		{ "squares", { 0, 128, 256, 256, 0, 0, 3 } },
		{ "waves", { 0, 128, 256, 256, 0, 0, 4 } },
		{ "all of them", { 11, 99, 300, 200, 1, 1, 4 } },
	};

	for (size_t i = 0; i < COUNT(sets); i++)
		ktap_result(shows(&sets[i].values), "pixels: %s", sets[i].what);
	set_all(&plain);
}

/* Values change while the stream runs: each frame is of one set, and sets come in their order. */
static bool changes_at_a_frame(void)
{
	static const struct camera_controls sets[] = {
		CAMERA_CONTROLS_PLAIN,
		{ 20, 100, 300, 256, 1, 0, 0 }, { -20, 140, 256, 300, 0, 1, 4 }, CAMERA_CONTROLS_PLAIN,
	};
	uint32_t first = 0, set = 0, seen = 0;
	struct camera_frame frame;
	bool good = !set_all(&plain) && start();

	for (uint32_t n = 0; good && n < 16; n++) {
		if (next_frame(&frame))
			good = false;
		if (!n)
			first = frame.device.controls;
		good = good && frame.device.controls - first >= set &&
		       frame.device.controls - first < COUNT(sets);
		set = frame.device.controls - first;
		good = good && agrees(&frame, &sets[set], frame.sequence) &&
		       !camera_queue(&camera, frame.index);
		seen |= 1u << set;
		if (good && n % 4 == 1 && n / 4 + 1 < COUNT(sets))
			good = !set_all(&sets[n / 4 + 1]);
	}
	return !camera_stream_off(&camera) && good && seen == 0xf;
}

static int subscribe(int fd, uint32_t flags)
{
	struct v4l2_event_subscription subscription = {
		.type = V4L2_EVENT_CTRL, .id = V4L2_CID_GAIN, .flags = flags,
	};

	return call(fd, VIDIOC_SUBSCRIBE_EVENT, &subscription);
}

/* Whether the file has news of the gain, and only that. */
static bool hears_of(int fd, int32_t value)
{
	struct pollfd waiter = { .fd = fd, .events = POLLPRI };
	struct v4l2_event event = { 0 };

	return poll(&waiter, 1, TIMEOUT_MS) == 1 && (waiter.revents & POLLPRI) &&
	       !call(fd, VIDIOC_DQEVENT, &event) && event.type == V4L2_EVENT_CTRL &&
	       event.id == V4L2_CID_GAIN && (event.u.ctrl.changes & V4L2_EVENT_CTRL_CH_VALUE) &&
	       event.u.ctrl.value == value && call(fd, VIDIOC_DQEVENT, &event) == -ENOENT;
}

/* A program hears of what another sets, and of its own changes if it asks for that. */
static bool sends_events(void)
{
	struct v4l2_event event = { 0 };
	struct camera other;
	bool good;

	if (camera_open(&other, FENCEPOST_CAMERA_DRIVER_NAME))
		return false;
	good = !subscribe(camera.fd, V4L2_EVENT_SUB_FL_ALLOW_FEEDBACK) && !subscribe(other.fd, 0) &&
	       call(other.fd, VIDIOC_DQEVENT, &event) == -ENOENT;
	good = good && !set_control(camera.fd, V4L2_CID_GAIN, 300) && hears_of(camera.fd, 300) &&
	       hears_of(other.fd, 300);
	good = good && !set_control(other.fd, V4L2_CID_GAIN, 301) && hears_of(camera.fd, 301) &&
	       call(other.fd, VIDIOC_DQEVENT, &event) == -ENOENT;
	/* No change, no event. */
	good = good && !set_control(other.fd, V4L2_CID_GAIN, 301) &&
	       call(camera.fd, VIDIOC_DQEVENT, &event) == -ENOENT;
	camera_close(&other);
	return good && !set_all(&plain);
}

/* The device forgets its controls in a reset; the driver does not. */
static bool survives_a_reset(void)
{
	static const struct camera_controls values = { 40, 128, 256, 256, 1, 1, 0 };
	struct camera_frame frame;
	bool good = !set_all(&values) && !life_act(&device, LIFE_RESET) && start() &&
		    !next_frame(&frame) && agrees(&frame, &values, 0);

	return !camera_stream_off(&camera) && good && !set_all(&plain);
}

int main(void)
{
	int ret = camera_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME);

	ktap_plan(20);
	if (!ret)
		ret = camera_set_format(&camera, V4L2_PIX_FMT_YUYV, WIDTH, HEIGHT);
	if (!ret)
		ret = camera_request_buffers(&camera, BUFFERS);
	for (uint32_t i = 0; !ret && i < BUFFERS; i++) {
		pixels[i] = camera_map(&camera, i);
		ret = pixels[i] ? 0 : -ENOMEM;
	}
	if (!ktap_result(!ret, "the camera is there")) {
		ktap_note("%s", strerror(-ret));
		return ktap_finish();
	}
	ktap_result(states_limits(), "controls state their limits");
	ktap_result(keeps_to_limits(), "controls keep to their limits");
	test_each();
	ktap_result(changes_at_a_frame(), "a set of controls takes effect with one frame");
	ktap_result(sends_events(), "changes are events");
	ktap_result(survives_a_reset(), "controls survive a reset of the device");
	camera_close(&camera);
	return ktap_finish();
}
