// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the camera alone, in KTAP: the V4L2 interface does what it says, and what the device wrote is
 * what it says it wrote, by the CRC of each frame that the device computes and the guest computes too.
 * The pictures must move, as the test pattern does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "camera.h"
#include "convert.h"
#include "crc32.h"
#include "ktap.h"

#define BUFFERS 3
#define FRAMES 6
/* Long enough for a machine that is slow beside its own clock. */
#define TIMEOUT_MS 10000
/* A size that the test pattern and panned pictures have. */
#define WIDTH 160
#define HEIGHT 120

static struct camera camera;

/* The result of an ioctl: 0 or a negative errno. */
static int call(unsigned long request, void *arg)
{
	return ioctl(camera.fd, request, arg) ? -errno : 0;
}

/* The next frame, when there is one. */
static int next_frame(struct camera_frame *frame)
{
	struct pollfd waiter = { .fd = camera.fd, .events = POLLIN };
	int ret = poll(&waiter, 1, TIMEOUT_MS);

	if (ret <= 0)
		return ret ? -errno : -ETIME;
	return camera_dequeue(&camera, frame);
}

static bool enumerates(uint32_t fourcc)
{
	struct v4l2_frmsizeenum size = { .pixel_format = fourcc };
	struct v4l2_frmivalenum interval = { .pixel_format = fourcc };
	struct v4l2_fmtdesc format = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	bool found = false;

	for (; !call(VIDIOC_ENUM_FMT, &format); format.index++)
		found |= format.pixelformat == fourcc;
	if (!found || format.index != 7 || call(VIDIOC_ENUM_FRAMESIZES, &size))
		return false;
	if (size.type == V4L2_FRMSIZE_TYPE_DISCRETE) {
		interval.width = size.discrete.width;
		interval.height = size.discrete.height;
	} else {
		interval.width = size.stepwise.max_width;
		interval.height = size.stepwise.min_height;
	}
	if (call(VIDIOC_ENUM_FRAMEINTERVALS, &interval))
		return false;
	interval.index = 0;
	interval.width += 1;
	return call(VIDIOC_ENUM_FRAMEINTERVALS, &interval) == -EINVAL;
}

/* What cannot be had becomes the nearest that can. */
static bool tries_formats(void)
{
	struct v4l2_format format = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.fmt.pix = { .width = 1000001, .height = 1, .pixelformat = 0x20202020 },
	};
	struct v4l2_pix_format *pix = &format.fmt.pix;

	if (call(VIDIOC_TRY_FMT, &format) || pix->pixelformat != V4L2_PIX_FMT_YUYV)
		return false;
	if (pix->width > 4096 || pix->width % 2 || pix->height < 2 || pix->height % 2)
		return false;
	return pix->bytesperline >= pix->width * 2 &&
	       pix->sizeimage == pix->bytesperline * pix->height &&
	       pix->quantization != V4L2_QUANTIZATION_DEFAULT;
}

static bool sets_rates(void)
{
	struct v4l2_fract first = camera.interval;
	bool good = !camera_set_rate(&camera, 30000, 1001) &&
		    camera.interval.numerator == 1001 && camera.interval.denominator == 30000;

	good &= !camera_set_rate(&camera, 1000, 1) && camera.interval.denominator == 240;
	good &= !camera_set_rate(&camera, 1, 5) && camera.interval.denominator == 1 &&
		camera.interval.numerator == 1;
	good &= !camera_set_rate(&camera, 0, 0) && camera.interval.numerator == first.numerator &&
		camera.interval.denominator == first.denominator;
	return good;
}

/* Whether the pixels of a frame are those that the device says it wrote. */
static bool is_whole(const struct camera_frame *frame, const uint8_t *pixels)
{
	uint32_t bytes = camera.pix.sizeimage;

	return !frame->failed && frame->device.bytes == bytes && frame->device.status == 0 &&
	       frame->device.crc == crc32_of(pixels, bytes) &&
	       frame->device.end_cycles > frame->device.start_cycles;
}

/* Captures FRAMES frames, numbered from 0 without a gap, each whole and unlike the one before. */
static bool captures(uint32_t fourcc)
{
	uint8_t *pixels[BUFFERS] = { NULL };
	uint64_t last_ns = 0;
	uint32_t last_crc = 0;
	bool good;

	if (camera_set_format(&camera, fourcc, WIDTH, HEIGHT) ||
	    camera_request_buffers(&camera, BUFFERS) || camera.buffers != BUFFERS)
		return false;
	for (uint32_t i = 0; i < BUFFERS; i++) {
		pixels[i] = camera_map(&camera, i);
		if (!pixels[i] || camera_queue(&camera, i))
			return false;
	}
	good = !camera_stream_on(&camera);
	for (uint32_t n = 0; good && n < FRAMES; n++) {
		struct camera_frame frame;

		good = !next_frame(&frame) && is_whole(&frame, pixels[frame.index]) &&
		       frame.sequence == n && frame.timestamp_ns > last_ns &&
		       frame.device.crc != last_crc && !camera_queue(&camera, frame.index);
		last_ns = frame.timestamp_ns;
		last_crc = frame.device.crc;
	}
	for (uint32_t i = 0; i < BUFFERS; i++)
		munmap(pixels[i], camera.pix.sizeimage);
	return !camera_stream_off(&camera) && good;
}

/* Buffers come back late: frames are dropped, and the numbers tell how many. */
static bool counts_dropped(void)
{
	struct camera_frame first, second;
	bool good = !camera_queue(&camera, 0) && !camera_stream_on(&camera) && !next_frame(&first);

	/* Five frames at 30 a second, and a bit. */
	usleep(180000);
	good = good && !camera_queue(&camera, 0) && !next_frame(&second);
	good = good && second.sequence > first.sequence + 3 &&
	       second.device.dropped - first.device.dropped == second.sequence - first.sequence - 1;
	return !camera_stream_off(&camera) && good;
}

static bool refuses_nonsense(void)
{
	struct fencepost_camera_frame frame = { .index = CAMERA_MAX_BUFFERS - 1 };
	struct v4l2_format format = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	int input = 1;

	/* Buffers are there, so the format stays. */
	if (call(VIDIOC_G_FMT, &format) || call(VIDIOC_S_FMT, &format) != -EBUSY)
		return false;
	return call(FENCEPOST_CAMERA_IOC_FRAME, &frame) == -EINVAL &&
	       call(VIDIOC_S_INPUT, &input) == -EINVAL &&
	       camera_queue(&camera, CAMERA_MAX_BUFFERS) == -EINVAL;
}

static int queue_dmabuf(int dmabuf)
{
	struct v4l2_buffer buffer = {
		.index = 0,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_DMABUF,
		.m.fd = dmabuf,
	};

	return call(VIDIOC_QBUF, &buffer);
}

static bool captures_into(int dmabuf, const uint8_t *pixels)
{
	struct v4l2_requestbuffers request = {
		.count = 1,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_DMABUF,
	};
	struct v4l2_buffer buffer = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_DMABUF,
	};
	struct pollfd waiter = { .fd = camera.fd, .events = POLLIN };
	struct camera_frame frame = { 0 };
	bool good;

	if (call(VIDIOC_REQBUFS, &request) || queue_dmabuf(dmabuf))
		return false;
	good = !camera_stream_on(&camera) && poll(&waiter, 1, TIMEOUT_MS) == 1 &&
	       !call(VIDIOC_DQBUF, &buffer) && !(buffer.flags & V4L2_BUF_FLAG_ERROR) &&
	       !call(FENCEPOST_CAMERA_IOC_FRAME, &frame.device) && is_whole(&frame, pixels);
	return !camera_stream_off(&camera) && good;
}

/* Captures into a buffer of the GPU's. */
static void test_import(void)
{
	const char *name = "captures into an imported dma-buf";
	struct converter converter;
	size_t bytes = camera.pix.sizeimage;
	uint32_t handle;
	void *pixels;
	int dmabuf;

	if (convert_open(&converter)) {
		ktap_skip(name, "there is no GPU to import from");
		return;
	}
	dmabuf = convert_create(&converter, bytes, &handle);
	pixels = mmap(NULL, bytes, PROT_READ, MAP_SHARED, dmabuf, 0);
	ktap_result(dmabuf >= 0 && pixels != MAP_FAILED &&
		    !camera_request_buffers(&camera, 0) && captures_into(dmabuf, pixels),
		    "%s", name);
	munmap(pixels, bytes);
	close(dmabuf);
	convert_close(&converter);
}

int main(void)
{
	int ret = camera_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME);

	ktap_plan(9);
	if (!ktap_result(!ret, "the camera is there")) {
		ktap_note("%s", strerror(-ret));
		return ktap_finish();
	}
	ktap_result(enumerates(V4L2_PIX_FMT_YUYV) && enumerates(V4L2_PIX_FMT_NV12),
		    "formats, sizes and intervals are enumerated");
	ktap_result(tries_formats(), "a format becomes the nearest that there is");
	ktap_result(sets_rates(), "a rate becomes the nearest that there is");
	ktap_result(captures(V4L2_PIX_FMT_YUYV), "YUYV frames are whole");
	camera_request_buffers(&camera, 0);
	ktap_result(captures(V4L2_PIX_FMT_NV12), "NV12 frames are whole, and numbered from 0 again");
	ktap_result(counts_dropped(), "dropped frames are counted and leave gaps");
	ktap_result(refuses_nonsense(), "what makes no sense is refused");
	test_import();
	camera_close(&camera);
	return ktap_finish();
}
