// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the camera's formats, sizes, memory and windows, in KTAP: every pixel of every format is the oracle's, by V4L2's
 * interface with one plane and, where the driver has that, with several.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <uapi/fencepost.h>

#include "capture.h"
#include "ktap.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define WAVES 4

static struct capture camera;
static bool mplane;
/* Every sample differs from its neighbours, in every plane and frame. */
static const struct camera_controls waves = { 0, 128, 256, 256, 0, 0, WAVES };

static const uint32_t formats[] = {
	V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_UYVY, V4L2_PIX_FMT_XBGR32,
	V4L2_PIX_FMT_GREY, V4L2_PIX_FMT_SRGGB8, V4L2_PIX_FMT_SRGGB10, V4L2_PIX_FMT_NV12M,
};

/* Of a machine whose camera goes up to 4096 x 4096. */
static const uint32_t sizes[][2] = { { 16, 16 }, { 18, 34 }, { 122, 66 }, { 64, 200 } };

static int choose_waves(void)
{
	struct v4l2_control control = { .id = V4L2_CID_TEST_PATTERN, .value = WAVES };

	return capture_call(&camera, VIDIOC_S_CTRL, &control);
}

/* Streams the buffers that there are; @frames frames agree, numbered from 0 without a gap. */
static bool streams(unsigned int frames, const struct camera_view *view)
{
	struct captured frame;
	bool good = true;

	for (uint32_t i = 0; good && i < camera.count; i++)
		good = !capture_queue(&camera, i);
	good = good && !capture_on(&camera);
	for (uint32_t n = 0; good && n < frames; n++)
		good = !capture_next(&camera, &frame) && frame.sequence == n &&
		       capture_agrees(&camera, view, &frame) && !capture_queue(&camera, frame.index);
	return !capture_off(&camera) && good;
}

/* Captures two frames of a format and size into memory of a kind. */
static bool captures(uint32_t fourcc, uint32_t width, uint32_t height, uint32_t stride,
		     uint32_t memory, size_t offset)
{
	struct camera_view view;
	bool good = !capture_format(&camera, fourcc, width, height, stride) &&
		    camera.width == width && camera.height == height &&
		    (!stride || camera.stride == stride);

	good = good && !capture_buffers(&camera, memory, 3, offset);
	view = capture_view(&camera, waves);
	good = good && streams(2, &view);
	if (!good)
		ktap_note("%.4s %ux%u stride %u", (const char *)&fourcc, width, height, camera.stride);
	return !capture_release(&camera) && good;
}

static void test_formats(void)
{
	for (size_t i = 0; i < COUNT(formats) - !mplane; i++) {
		bool good = true;

		for (size_t j = 0; j < COUNT(sizes); j++)
			good &= captures(formats[i], sizes[j][0], sizes[j][1], 0,
					 V4L2_MEMORY_MMAP, 0);
		/* A longer line than the pixels need: what is behind them is zero. */
		good &= captures(formats[i], 34, 20, 180, V4L2_MEMORY_MMAP, 0);
		ktap_result(good, "pixels: %.4s", (const char *)&formats[i]);
	}
}

static bool enumerates(void)
{
	struct v4l2_fmtdesc desc = { .type = camera.type };
	size_t found = 0;

	for (; !capture_call(&camera, VIDIOC_ENUM_FMT, &desc); desc.index++)
		for (size_t i = 0; i < COUNT(formats); i++)
			found += formats[i] == desc.pixelformat;
	return found == COUNT(formats) - !mplane && desc.index == found;
}

/* Every width and every height: even ones are had, odd ones become the next smaller. */
static bool has_every_size(void)
{
	for (uint32_t side = 16; side <= 4096; side++) {
		struct v4l2_frmivalenum interval = {
			.pixel_format = V4L2_PIX_FMT_XBGR32, .width = side, .height = 4112 - side,
		};
		bool even = side % 2 == 0;

		if (capture_format(&camera, V4L2_PIX_FMT_XBGR32, side, 4112 - side, 0) ||
		    camera.width != side / 2 * 2 || camera.height != (4112 - side) / 2 * 2 ||
		    camera.bytes[0] != (size_t)camera.width * camera.height * 4 ||
		    capture_call(&camera, VIDIOC_ENUM_FRAMEINTERVALS, &interval) !=
			    (even ? 0 : -EINVAL))
			return false;
	}
	return !capture_format(&camera, V4L2_PIX_FMT_GREY, 2, 9999, 0) && camera.width == 16 &&
	       camera.height == 4096;
}

/* Both extremes, to the last pixel. */
static bool captures_extremes(void)
{
	return captures(V4L2_PIX_FMT_XBGR32, 4096, 16, 0, V4L2_MEMORY_MMAP, 0) &&
	       captures(V4L2_PIX_FMT_NV12, 16, 4096, 0, V4L2_MEMORY_MMAP, 0) &&
	       captures(V4L2_PIX_FMT_YUYV, 2048, 512, 16384, V4L2_MEMORY_MMAP, 0);
}

static bool captures_into_own_memory(void)
{
	bool good = captures(V4L2_PIX_FMT_YUYV, 122, 66, 0, V4L2_MEMORY_USERPTR, 0) &&
		    captures(V4L2_PIX_FMT_NV12, 64, 200, 0, V4L2_MEMORY_USERPTR, 1001);

	return good && (!mplane || captures(V4L2_PIX_FMT_NV12M, 64, 66, 0, V4L2_MEMORY_USERPTR, 4095));
}

/* Memory that is too small, not there, or not to be written is refused. */
static bool refuses_bad_memory(void)
{
	uint8_t *first;
	size_t bytes;
	bool good = !capture_format(&camera, V4L2_PIX_FMT_YUYV, 122, 66, 0) &&
		    !capture_buffers(&camera, V4L2_MEMORY_USERPTR, 1, 0);

	if (!good)
		return false;
	first = camera.pixels[0][0];
	bytes = camera.bytes[0];
	camera.bytes[0] = bytes - 1;
	good = capture_queue(&camera, 0) == -EINVAL;
	camera.bytes[0] = bytes;
	camera.pixels[0][0] = (uint8_t *)4096;
	good &= capture_queue(&camera, 0) == -EFAULT;
	/* A string of the program, which is read-only. */
	camera.pixels[0][0] = (uint8_t *)"";
	good &= capture_queue(&camera, 0) == -EFAULT;
	camera.pixels[0][0] = first;
	return !capture_release(&camera) && good;
}

static bool creates_buffers(void)
{
	struct camera_view view;
	bool good = !capture_format(&camera, V4L2_PIX_FMT_YUYV, 64, 48, 0) &&
		    !capture_buffers(&camera, V4L2_MEMORY_MMAP, 2, 0);

	/* While two are there, larger ones come to them; smaller ones are refused. */
	good = good && !capture_create(&camera, 64 * 48 * 2) && !capture_create(&camera, 1 << 16) &&
	       capture_create(&camera, 64 * 48 * 2 - 1) == -EINVAL && camera.count == 4 &&
	       camera.mapped[3][0] == 1 << 16;
	view = capture_view(&camera, waves);
	good = good && streams(9, &view);
	return !capture_release(&camera) && good;
}

/* read() gives one picture after the other. */
static bool reads(void)
{
	struct camera_view view;
	struct captured frame = { 0 };
	struct capture reader;
	bool good = !capture_open(&reader, FENCEPOST_CAMERA_DRIVER_NAME, 0) &&
		    !capture_format(&reader, V4L2_PIX_FMT_UYVY, 64, 48, 0);
	uint8_t *picture = malloc(reader.bytes[0]);

	view = capture_view(&reader, waves);
	reader.pixels[0][0] = picture;
	for (frame.sequence = 0; good && frame.sequence < 3; frame.sequence++) {
		ssize_t bytes;

		do {
			bytes = read(reader.fd, picture, reader.bytes[0]);
		} while (bytes < 0 && errno == EAGAIN && !usleep(1000));
		good = bytes == (ssize_t)reader.bytes[0] && capture_agrees(&reader, &view, &frame);
	}
	/* Who reads has the device. */
	good = good && capture_buffers(&camera, V4L2_MEMORY_MMAP, 1, 0) == -EBUSY;
	free(picture);
	close(reader.fd);
	return good;
}

static bool states_parameters(void)
{
	struct v4l2_streamparm parm = { .type = camera.type };

	return !capture_call(&camera, VIDIOC_G_PARM, &parm) &&
	       parm.parm.capture.capability == V4L2_CAP_TIMEPERFRAME &&
	       parm.parm.capture.readbuffers == (mplane ? 0 : 2);
}

static int set_rate(uint32_t frames)
{
	struct v4l2_streamparm parm = {
		.type = camera.type, .parm.capture.timeperframe = { 1, frames },
	};

	return capture_call(&camera, VIDIOC_S_PARM, &parm);
}

/* Stopped at any moment and started again: a stream begins at frame 0, and is whole. */
static bool restarts(void)
{
	struct camera_view view;
	bool good = !set_rate(240) && !capture_format(&camera, V4L2_PIX_FMT_NV12, 122, 66, 0) &&
		    !capture_buffers(&camera, V4L2_MEMORY_MMAP, 4, 0);

	view = capture_view(&camera, waves);
	for (unsigned int n = 0; good && n < 24; n++) {
		struct captured frame;

		good = streams(n % 3, &view);
		/* Buffers are with the device when it stops, some before it began. */
		for (uint32_t i = 0; good && i < camera.count; i++)
			good = !capture_queue(&camera, i);
		good = good && !capture_on(&camera);
		usleep(n * 700);
		good = good && !capture_off(&camera) && capture_next(&camera, &frame) < 0;
	}
	return !capture_release(&camera) && !set_rate(30) && good;
}

/* Frames that found no buffer are missing in the sequence, and only they. */
static bool counts_drops(void)
{
	struct captured first, second;
	struct camera_view view;
	bool good = !capture_format(&camera, V4L2_PIX_FMT_GREY, 64, 48, 0) &&
		    !capture_buffers(&camera, V4L2_MEMORY_MMAP, 1, 0);

	view = capture_view(&camera, waves);
	good = good && !capture_queue(&camera, 0) && !capture_on(&camera) &&
	       !capture_next(&camera, &first);
	usleep(170000);
	good = good && !capture_queue(&camera, 0) && !capture_next(&camera, &second);
	/* 170 ms are five frames and a bit. */
	good = good && first.sequence == 0 && second.sequence >= 6 && second.sequence <= 8 &&
	       capture_agrees(&camera, &view, &second);
	good &= !capture_off(&camera);
	return !capture_release(&camera) && good;
}

int main(void)
{
	int ret = capture_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME, 0);

	mplane = camera.type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
	ktap_plan(mplane ? 17 : 18);
	if (!ktap_result(!ret && !choose_waves(), "the camera is there"))
		return ktap_finish();
	ktap_result(enumerates(), "formats are enumerated");
	test_formats();
	ktap_result(has_every_size(), "every size from 16 to 4096");
	ktap_result(captures_extremes(), "pixels: the widest, the highest, the longest lines");
	ktap_result(captures_into_own_memory(), "pixels: USERPTR");
	ktap_result(refuses_bad_memory(), "bad USERPTR memory is refused");
	if (!mplane) {
		ktap_result(creates_buffers(), "CREATE_BUFS");
		ktap_result(reads(), "pixels: read()");
	}
	ktap_result(states_parameters(), "parameters");
	ktap_result(restarts(), "stop and restart under load");
	ktap_result(counts_drops(), "dropped frames are gaps of the sequence");
	return ktap_finish();
}
