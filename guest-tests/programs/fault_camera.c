// SPDX-License-Identifier: GPL-2.0
/*
 * What the camera's driver does at each fault: `fault_camera KIND`, for faults.h. Whatever happens, the stream goes on, and
 * what is not a whole picture is not given for one.
 */
#include "faults.h"

#include <errno.h>
#include <poll.h>
#include <x86intrin.h>

#include "camera.h"
#include "crc32.h"

#define BUFFERS 4
#define WIDTH 64
#define HEIGHT 48
#define RATE 60
#define FRAMES 8
/* Frames come each 17 ms; the driver looks for itself after a tenth of a second. */
#define LONG_MS 500

static struct camera camera = { .fd = -1 };
static const uint8_t *maps[BUFFERS];
/* Of the frames since the fault: numbers that were left out, failed ones, and how long the longest took to come. */
static unsigned int gap, failed;
static unsigned long long longest_ms;
/* How old the last frame was when it came, and how long behind the one before, in cycles. */
static unsigned long long last_age, last_period;

static bool set_up(void)
{
	int ret = camera_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME);

	if (!ret)
		ret = camera_set_format(&camera, V4L2_PIX_FMT_YUYV, WIDTH, HEIGHT);
	if (!ret)
		ret = camera_set_rate(&camera, RATE, 1);
	if (!ret)
		ret = camera_request_buffers(&camera, BUFFERS);
	for (unsigned int i = 0; !ret && i < BUFFERS; i++) {
		maps[i] = camera_map(&camera, i);
		ret = maps[i] ? camera_queue(&camera, i) : -ENOMEM;
	}
	if (!ret)
		ret = camera_stream_on(&camera);
	return !ret || faults_wrong("the camera does not stream: %d", ret);
}

static int next_frame(struct camera_frame *frame)
{
	struct pollfd waiter = { .fd = camera.fd, .events = POLLIN };
	int ret = poll(&waiter, 1, LONG_MS);

	if (ret <= 0)
		return ret ? -errno : -ETIME;
	return camera_dequeue(&camera, frame);
}

/* Takes frames, and looks at each: what is given for a picture is one, to the byte. */
static bool take(unsigned int frames, bool count)
{
	static uint32_t next;
	static uint64_t ended;
	struct camera_frame frame;
	unsigned long long before = faults_now_ms(), now;
	int ret;

	for (unsigned int i = 0; i < frames; i++, before = now) {
		ret = next_frame(&frame);
		now = faults_now_ms();
		if (ret)
			return faults_wrong("no frame after %u: %d", i, ret);
		if (count) {
			gap += frame.sequence - next;
			failed += frame.failed;
			longest_ms = now - before > longest_ms ? now - before : longest_ms;
		}
		next = frame.sequence + 1;
		last_age = __rdtsc() - frame.device.end_cycles;
		last_period = frame.device.end_cycles - ended;
		ended = frame.device.end_cycles;
		if (!frame.failed && (frame.device.bytes != camera.pix.sizeimage ||
				      crc32_of(maps[frame.index], camera.pix.sizeimage) != frame.device.crc))
			return faults_wrong("frame %u is no whole picture, and is given for one",
					    frame.sequence);
		ret = camera_queue(&camera, frame.index);
		if (ret)
			return faults_wrong("a buffer cannot be queued: %d", ret);
	}
	return true;
}

/* The stream as it is with the fault. */
static bool stream(void)
{
	bool good = set_up() && take(3, false);

	if (!good)
		return false;
	faults_begin();
	good = take(FRAMES, true);
	camera_close(&camera);
	return good;
}

/* Frames are lost, and the gap tells how many. */
static bool lost(void)
{
	return stream() && (gap == 1 || faults_wrong("a frame was lost, and %u left out", gap)) &&
	       (!failed || faults_wrong("%u buffers failed", failed));
}

/* A frame is there and no picture. */
static bool spoilt(void)
{
	return stream() && (failed == 1 || faults_wrong("%u buffers failed, not 1", failed));
}

/* Nothing is missing, and nothing is left waiting for longer than an interrupt can be lost for. */
static bool whole(void)
{
	return stream() && (!gap || faults_wrong("%u frames are left out", gap)) &&
	       (!failed || faults_wrong("%u buffers failed", failed));
}

/* The frame whose interrupt was lost comes with the next, and none is behind from then on. */
static bool caught_up(void)
{
	return whole() && (last_age < last_period / 2 ||
			   faults_wrong("frames come %llu cycles late, of %llu from one to the next", last_age,
					last_period));
}

/* The stream stands still, and the driver starts it again. */
static bool restarted(void)
{
	return stream() && (longest_ms > 20 || faults_wrong("nothing was lost"));
}

int main(int argc, char **argv)
{
	static const struct fault_check checks[] = {
		{ "drop", lost },
		{ "overrun", spoilt },
		{ "short", spoilt },
		{ "corrupt", spoilt },
		{ "sensor-lost", restarted },
		{ "dma-error", spoilt },
		{ "translation", spoilt },
		{ "descriptor-error", spoilt },
		{ "irq-lost", caught_up },
		{ "irq-late", whole },
		{ "irq-twice", whole },
		{ "irq-spurious", whole },
	};

	return faults_main(argc, argv, checks, sizeof(checks) / sizeof(checks[0]));
}
