// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of two cameras in one machine, in KTAP: both capture at once, each in its own format, at its own rate and with its own
 * controls, and one goes on when the other is taken away.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <uapi/fencepost.h>

#include "capture.h"
#include "ktap.h"
#include "life.h"

#define FRAMES 6

/* The camera that is set up differently in the scenario: slot 5, up to 640 x 480. */
static const struct life_device second = { "0000:00:05.0", FENCEPOST_CAMERA_DRIVER_NAME };

static struct setup {
	uint32_t fourcc, width, height, rate;
	struct camera_controls controls;
	struct capture capture;
} setups[2] = {
	{ V4L2_PIX_FMT_NV12, 122, 66, 60, { 0, 128, 256, 256, 0, 0, 4 }, { 0 } },
	{ V4L2_PIX_FMT_SRGGB8, 64, 200, 90, { 0, 128, 256, 256, 1, 0, 4 }, { 0 } },
};

static int set_control(const struct capture *capture, uint32_t id, int32_t value)
{
	struct v4l2_control control = { .id = id, .value = value };

	return capture_call(capture, VIDIOC_S_CTRL, &control);
}

static int set_up(struct setup *setup)
{
	struct v4l2_streamparm parm = {
		.type = setup->capture.type,
		.parm.capture.timeperframe = { 1, setup->rate },
	};
	int ret = set_control(&setup->capture, V4L2_CID_TEST_PATTERN, setup->controls.pattern);

	if (!ret)
		ret = set_control(&setup->capture, V4L2_CID_HFLIP, setup->controls.hflip);
	if (!ret)
		ret = capture_call(&setup->capture, VIDIOC_S_PARM, &parm);
	if (!ret)
		ret = capture_format(&setup->capture, setup->fourcc, setup->width, setup->height, 0);
	if (!ret)
		ret = capture_buffers(&setup->capture, V4L2_MEMORY_MMAP, 4, 0);
	for (uint32_t i = 0; !ret && i < setup->capture.count; i++)
		ret = capture_queue(&setup->capture, i);
	return ret;
}

/* The next frame, which is right, goes back. */
static bool goes_on(struct setup *setup)
{
	struct camera_view view = capture_view(&setup->capture, setup->controls);
	struct captured frame;

	return !capture_next(&setup->capture, &frame) &&
	       capture_agrees(&setup->capture, &view, &frame) &&
	       !capture_queue(&setup->capture, frame.index);
}

static bool both_capture(void)
{
	bool good = !capture_on(&setups[0].capture) && !capture_on(&setups[1].capture);

	for (unsigned int n = 0; good && n < FRAMES; n++)
		good = goes_on(&setups[0]) && goes_on(&setups[1]);
	return good;
}

/* A buffer of the first camera's is filled by the second one. */
static bool shares(void)
{
	struct capture *from = &setups[0].capture, *to = &setups[1].capture;
	struct v4l2_exportbuffer export = { .type = from->type, .index = 0, .flags = O_CLOEXEC | O_RDWR };
	struct v4l2_buffer buffer = { .type = to->type, .memory = V4L2_MEMORY_DMABUF };
	struct captured frame = { .index = 0 };
	struct v4l2_requestbuffers request = {
		.count = 1, .type = to->type, .memory = V4L2_MEMORY_DMABUF,
	};
	struct camera_view view;
	bool good;

	/* Both in a format of one size, so that the buffer fits. */
	setups[0].fourcc = V4L2_PIX_FMT_YUYV;
	good = !capture_release(from) && !capture_release(to) && !set_up(&setups[0]) &&
	       !capture_call(from, VIDIOC_EXPBUF, &export) &&
	       !capture_format(to, V4L2_PIX_FMT_YUYV, 122, 66, 0) &&
	       !capture_call(to, VIDIOC_REQBUFS, &request);
	buffer.m.fd = export.fd;
	good = good && !capture_call(to, VIDIOC_QBUF, &buffer) && !capture_on(to);
	to->memory = V4L2_MEMORY_DMABUF;
	good = good && !capture_next(to, &frame);
	/* What the second camera wrote is in the first one's mapping. */
	view = capture_view(from, setups[1].controls);
	good = good && capture_agrees(from, &view, &frame);
	capture_off(to);
	close(export.fd);
	return !capture_release(to) && good;
}

int main(void)
{
	bool there = true;

	life_complaints();
	for (unsigned int i = 0; i < 2; i++)
		there &= !capture_open(&setups[i].capture, FENCEPOST_CAMERA_DRIVER_NAME, i) &&
			 !set_up(&setups[i]);
	ktap_plan(4);
	if (!ktap_result(there, "two cameras are there"))
		return ktap_finish();
	ktap_result(both_capture(), "both capture, each as it is set up");
	ktap_result(!life_act(&second, LIFE_UNBIND) && goes_on(&setups[0]) && goes_on(&setups[0]) &&
		    capture_off(&setups[1].capture) == -ENODEV,
		    "one goes on without the other");
	close(setups[1].capture.fd);
	capture_off(&setups[0].capture);
	ktap_result(!life_restore(&second, LIFE_UNBIND) &&
		    !capture_open(&setups[1].capture, FENCEPOST_CAMERA_DRIVER_NAME, 1) &&
		    !set_up(&setups[1]) && shares() && !life_complaints(),
		    "one fills a buffer of the other");
	return ktap_finish();
}
