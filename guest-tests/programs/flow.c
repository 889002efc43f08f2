// SPDX-License-Identifier: GPL-2.0
/*
 * The flow that the machine is for: the camera captures into its buffers, the
 * GPU imports each and converts it into a buffer of its own, the display shows
 * that when the GPU's fence has signalled, and the buffers go back. No pixel is
 * touched by the CPU: no buffer is mapped.
 *
 *   flow [--frames N] [--format nv12|yuyv] [--buffers N]
 *
 * For each frame, with TSC stamps:
 *   # frame K sequence S vblank V crc C
 *   # handoff K dqbuf=.. submit=.. fenced=.. commit=.. flip=.. captured=..
 * S is the camera's number of the frame, V the count of vertical blanks at the
 * one that latched it, C the CRC-32 of the captured bytes. V is DRM's count:
 * the device's, and one more for each time that the screen was switched on. The
 * stamps: DQBUF returned, the GPU's job is submitted, its
 * fence was seen to have signalled, the commit returned, the flip event came;
 * and by the device, the capture was complete.
 *
 * The program writes 1 to the mark port when all is set up and 2 when all frames were
 * shown.
 */
#include <errno.h>
#include <inttypes.h>
#include <linux/sync_file.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "camera.h"
#include "convert.h"
#include "display_commit.h"
#include "display_fb.h"
#include "ktap.h"

/* One on the screen, one that waits for its vblank, two to convert into. */
#define SCREENS 4
/* Nothing on the way takes longer, in milliseconds. */
#define PATIENCE_MS 10000
#define MAX_FRAMES 1000000
/* The machine's mark port, and what is written there: a host may move the machine then. */
#define MARK_PORT 0xf8
#define MARK_SET_UP 1
#define MARK_SHOWN 2

struct options {
	unsigned int frames;
	unsigned int buffers;
	uint32_t format;
};

struct stamps {
	uint64_t dqbuf, submit, fenced, commit, flip;
};

/* A frame on its way: from DQBUF until its flip and its fence were seen. */
struct frame {
	unsigned int number;
	struct camera_frame camera;
	struct stamps stamps;
	unsigned int screen;
	/* The GPU's sync_file; -1 when closed. */
	int gpu_fence;
	/* The display's sync_file, -1 before the commit. */
	int out_fence;
	bool fenced, committed, flipped;
	uint32_t vblank;
};

/* A buffer that the GPU writes and the display shows. */
struct screen {
	struct convert_target target;
	struct display_fb fb;
	bool used;
};

struct flow {
	struct options options;
	struct camera camera;
	struct converter converter;
	struct display display;
	uint32_t sources[CAMERA_MAX_BUFFERS];
	struct screen screens[SCREENS];
	/* The one that is being shown. */
	unsigned int shown;
	/* Frames on their way, oldest first; each holds a screen. */
	struct frame frames[SCREENS];
	unsigned int on_way;
	unsigned int taken, done;
	/* What went wrong. */
	unsigned int camera_errors, gpu_errors, fence_errors;
	/* The camera's next sequence number, and how many were left out. */
	uint32_t next_sequence;
	unsigned int dropped;
};

static uint64_t tsc(void)
{
	return __builtin_ia32_rdtsc();
}

/* Tells the host how far the flow has come; a machine without the port hears nothing. */
static void mark(unsigned char number)
{
	if (!ioperm(MARK_PORT, 1, 1))
		outb(number, MARK_PORT);
}

/* What failed, for the report; returns ret. */
static int failed(const char *what, int ret)
{
	if (ret < 0)
		ktap_note("%s: %s", what, strerror(-ret));
	return ret;
}

static int set_up_camera(struct flow *flow)
{
	struct camera *camera = &flow->camera;
	int ret = failed("camera", camera_open(camera, FENCEPOST_CAMERA_DRIVER_NAME));

	if (ret)
		return ret;
	/* A camera that can choose fills the screen; another is shown as it is, cut. */
	ret = failed("format", camera_set_format(camera, flow->options.format,
						 flow->display.mode.hdisplay,
						 flow->display.mode.vdisplay));
	if (!ret)
		ret = failed("buffers", camera_request_buffers(camera, flow->options.buffers));
	for (uint32_t i = 0; !ret && i < camera->buffers; i++) {
		int dmabuf = failed("EXPBUF", camera_export(camera, i));

		if (dmabuf < 0)
			return dmabuf;
		ret = failed("GPU import", convert_import(&flow->converter, dmabuf,
							  &flow->sources[i]));
		close(dmabuf);
		if (!ret)
			ret = failed("QBUF", camera_queue(camera, i));
	}
	return ret;
}

/* A buffer of the mode's size; the picture is at its top left. */
static int set_up_screen(struct flow *flow, struct screen *screen)
{
	uint32_t width = flow->display.mode.hdisplay, height = flow->display.mode.vdisplay;
	int dmabuf, ret;

	screen->target.stride = width * 4;
	dmabuf = failed("GPU buffer", convert_create(&flow->converter,
						     (uint64_t)screen->target.stride * height,
						     &screen->target.handle));
	if (dmabuf < 0)
		return dmabuf;
	ret = failed("display import", display_import(&flow->display, dmabuf, width, height,
						      screen->target.stride, 0, &screen->fb));
	close(dmabuf);
	return ret;
}

static int set_up(struct flow *flow)
{
	int ret = failed("display", display_open(&flow->display, FENCEPOST_DISPLAY_DRIVER_NAME));

	if (!ret)
		ret = failed("GPU", convert_open(&flow->converter));
	if (!ret)
		ret = set_up_camera(flow);
	if (!ret && (flow->camera.pix.width > flow->display.mode.hdisplay ||
		     flow->camera.pix.height > flow->display.mode.vdisplay)) {
		ktap_note("the camera's %ux%u does not fit the screen's %ux%u",
			  flow->camera.pix.width, flow->camera.pix.height,
			  flow->display.mode.hdisplay, flow->display.mode.vdisplay);
		ret = -EINVAL;
	}
	for (unsigned int i = 0; !ret && i < SCREENS; i++)
		ret = set_up_screen(flow, &flow->screens[i]);
	if (ret)
		return ret;

	/* Black, until the first frame. */
	flow->shown = 0;
	flow->screens[0].used = true;
	ret = failed("mode", display_modeset(&flow->display, flow->screens[0].fb.fb));
	if (!ret)
		ret = failed("STREAMON", camera_stream_on(&flow->camera));
	return ret;
}

static struct screen *free_screen(struct flow *flow)
{
	for (unsigned int i = 0; i < SCREENS; i++)
		if (!flow->screens[i].used)
			return &flow->screens[i];
	return NULL;
}

/* Takes a captured frame and gives it to the GPU. */
static int take_frame(struct flow *flow, struct screen *screen)
{
	struct frame *frame = &flow->frames[flow->on_way];
	int ret;

	*frame = (struct frame) { .number = flow->taken, .gpu_fence = -1, .out_fence = -1 };
	ret = camera_dequeue(&flow->camera, &frame->camera);
	frame->stamps.dqbuf = tsc();
	if (ret == -EAGAIN)
		return 0;
	if (failed("DQBUF", ret))
		return ret;
	flow->dropped += frame->camera.sequence - flow->next_sequence;
	flow->next_sequence = frame->camera.sequence + 1;
	if (frame->camera.failed) {
		ktap_note("camera frame %u: status %u at %#llx", frame->camera.sequence,
			  frame->camera.device.status,
			  (unsigned long long)frame->camera.device.fault_iova);
		flow->camera_errors++;
		return failed("QBUF", camera_queue(&flow->camera, frame->camera.index));
	}

	ret = convert_submit(&flow->converter, flow->sources[frame->camera.index],
			     &flow->camera.pix, &screen->target);
	frame->stamps.submit = tsc();
	if (failed("GPU submit", ret) < 0)
		return ret;
	frame->gpu_fence = ret;
	frame->screen = screen - flow->screens;
	screen->used = true;
	flow->on_way++;
	flow->taken++;
	return 0;
}

/* Hands the oldest frame that was not yet committed to the display, if that waits for no other. */
static int commit_next(struct flow *flow)
{
	for (unsigned int i = 0; i < flow->on_way; i++) {
		struct frame *frame = &flow->frames[i];
		int ret;

		if (frame->committed && !frame->flipped)
			return 0;
		if (frame->committed)
			continue;
		ret = display_flip(&flow->display, flow->screens[frame->screen].fb.fb,
				   frame->gpu_fence, &frame->out_fence, frame->number);
		frame->stamps.commit = tsc();
		frame->committed = !ret;
		return failed("commit", ret);
	}
	return 0;
}

/* 1: signalled, 0: not yet, less: signalled with that error. */
static int fence_status(int fence)
{
	struct sync_file_info info = { 0 };

	if (ioctl(fence, SYNC_IOC_FILE_INFO, &info))
		return -errno;
	return info.status;
}

/* The GPU is done with a frame: its camera buffer goes back. */
static int see_fence(struct flow *flow, struct frame *frame)
{
	int status = fence_status(frame->gpu_fence);

	frame->stamps.fenced = tsc();
	if (!status)
		return 0;
	frame->fenced = true;
	if (status < 0) {
		failed("GPU job", status);
		flow->gpu_errors++;
	}
	return failed("QBUF", camera_queue(&flow->camera, frame->camera.index));
}

/* A flip is done: the screen before is free, and its out-fence must say the same. */
static int see_flip(struct flow *flow)
{
	struct display_flip flip;
	int ret = failed("flip event", display_wait_flip(&flow->display, 0, &flip));
	uint64_t now = tsc();

	if (ret)
		return ret;
	for (unsigned int i = 0; i < flow->on_way; i++) {
		struct frame *frame = &flow->frames[i];

		if (!frame->committed || frame->flipped || frame->number != flip.user_data)
			continue;
		frame->flipped = true;
		frame->stamps.flip = now;
		frame->vblank = flip.sequence;
		if (fence_status(frame->out_fence) != 1) {
			ktap_note("frame %u: flip without its OUT_FENCE", frame->number);
			flow->fence_errors++;
		}
		close(frame->out_fence);
		flow->screens[flow->shown].used = false;
		flow->shown = frame->screen;
		return 0;
	}
	return failed("flip of no frame", -EPROTO);
}

static void report(const struct frame *frame)
{
	const struct stamps *s = &frame->stamps;

	ktap_note("frame %u sequence %u vblank %u crc 0x%08x", frame->number,
		  frame->camera.sequence, frame->vblank, frame->camera.device.crc);
	ktap_note("handoff %u dqbuf=%" PRIu64 " submit=%" PRIu64 " fenced=%" PRIu64 " commit=%" PRIu64
		  " flip=%" PRIu64 " captured=%" PRIu64,
		  frame->number, s->dqbuf, s->submit, s->fenced, s->commit, s->flip,
		  (uint64_t)frame->camera.device.end_cycles);
}

/* Reports and forgets the frames that have arrived, oldest first. */
static void finish_frames(struct flow *flow)
{
	while (flow->on_way && flow->frames[0].fenced && flow->frames[0].flipped) {
		close(flow->frames[0].gpu_fence);
		report(&flow->frames[0]);
		flow->done++;
		flow->on_way--;
		memmove(&flow->frames[0], &flow->frames[1],
			flow->on_way * sizeof(flow->frames[0]));
	}
}

/* Waits for what can happen next, and does what follows from it. */
static int step(struct flow *flow)
{
	struct pollfd waits[2 + SCREENS];
	/* The camera is looked at when there is a place for its frame. */
	struct screen *screen = free_screen(flow);
	bool take = screen && flow->on_way < SCREENS && flow->taken < flow->options.frames;
	unsigned int in_way = flow->on_way;
	int ret;

	waits[0] = (struct pollfd) { .fd = take ? flow->camera.fd : -1, .events = POLLIN };
	waits[1] = (struct pollfd) { .fd = flow->display.fd, .events = POLLIN };
	for (unsigned int i = 0; i < in_way; i++)
		waits[2 + i] = (struct pollfd) {
			.fd = flow->frames[i].fenced ? -1 : flow->frames[i].gpu_fence,
			.events = POLLIN,
		};
	ret = poll(waits, 2 + in_way, PATIENCE_MS);
	if (ret < 0 && errno == EINTR)
		return 0;
	if (ret <= 0)
		return failed("waiting for the devices", ret ? -errno : -ETIME);

	ret = 0;
	for (unsigned int i = 0; !ret && i < in_way; i++)
		if (waits[2 + i].revents)
			ret = see_fence(flow, &flow->frames[i]);
	if (!ret && waits[1].revents)
		ret = see_flip(flow);
	if (!ret && waits[0].revents)
		ret = take_frame(flow, screen);
	if (!ret)
		ret = commit_next(flow);
	finish_frames(flow);
	return ret;
}

static int parse_number(const char *text, unsigned int most, unsigned int *number)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	*number = value;
	return *text && !*end && value && value <= most ? 0 : -EINVAL;
}

static int parse_options(int argc, char **argv, struct options *options)
{
	*options = (struct options) { .frames = 120, .buffers = 4, .format = V4L2_PIX_FMT_NV12 };
	for (int i = 1; i < argc; i += 2) {
		const char *value = i + 1 < argc ? argv[i + 1] : "";
		int ret = 0;

		if (!strcmp(argv[i], "--frames"))
			ret = parse_number(value, MAX_FRAMES, &options->frames);
		else if (!strcmp(argv[i], "--buffers"))
			ret = parse_number(value, CAMERA_MAX_BUFFERS, &options->buffers);
		else if (!strcmp(argv[i], "--format") && !strcmp(value, "yuyv"))
			options->format = V4L2_PIX_FMT_YUYV;
		else if (strcmp(argv[i], "--format") || strcmp(value, "nv12"))
			ret = -EINVAL;
		if (ret)
			return ret;
	}
	return 0;
}

/* Shows the last frame for a whole refresh, then switches everything off. */
static void tear_down(struct flow *flow)
{
	uint32_t vblank;

	if (flow->done)
		failed("last vblank", display_wait_vblank(&flow->display, &vblank));
	display_close(&flow->display);
	camera_close(&flow->camera);
	convert_close(&flow->converter);
}

int main(int argc, char **argv)
{
	static struct flow flow;
	int ret;

	if (parse_options(argc, argv, &flow.options)) {
		fprintf(stderr, "usage: flow [--frames N] [--format nv12|yuyv] [--buffers N]\n");
		return 2;
	}
	ktap_plan(5);
	ret = set_up(&flow);
	ktap_result(!ret, "camera, GPU and display are set up");
	if (ret) {
		for (int i = 0; i < 4; i++)
			ktap_skip("flow", "nothing to run it on");
		return ktap_finish();
	}
	ktap_note("camera %ux%u, screen %ux%u", flow.camera.pix.width, flow.camera.pix.height,
		  flow.display.mode.hdisplay, flow.display.mode.vdisplay);
	mark(MARK_SET_UP);
	while (!ret && flow.done < flow.options.frames)
		ret = step(&flow);
	mark(MARK_SHOWN);
	tear_down(&flow);

	ktap_note("dropped %u", flow.dropped);
	ktap_result(!ret && flow.done == flow.options.frames, "%u of %u frames reached the screen",
		    flow.done, flow.options.frames);
	ktap_result(!flow.camera_errors, "the camera filled every buffer");
	ktap_result(!flow.gpu_errors, "the GPU's fences signalled without error");
	ktap_result(!flow.fence_errors, "every OUT_FENCE had signalled at its flip");
	return ktap_finish();
}
