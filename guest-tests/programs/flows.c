// SPDX-License-Identifier: GPL-2.0
/*
 * Other flows than that of flow.c, as other programs have them, each with every picture checked by the display's CRC:
 *
 *   flows direct [FRAMES]      camera -> display: the camera's buffers are the display's, as dma-bufs
 *   flows copy [FRAMES]        camera -> program -> display: the program turns each frame into grey levels in a dumb
 *                              buffer, and flips pages by the ioctl that is older than atomic commits
 *   flows render [FRAMES]      GPU -> display: the flip waits for the GPU's fence
 *   flows compositor [FRAMES]  program -> display: three buffers in turn, of which each change touches a part
 *   flows stopped              camera -> GPU -> display, and then it stops in the middle: the GPU never gets to
 *                              the second frame, so that its flip does not come, and the program keeps the third
 *
 * The display shows XRGB8888 alone, so that "direct" shows the bytes of a YUYV picture of twice the width.
 *
 *   # flip K buffer B vblank V    of each flip: V is the kernel's count of vertical blanks when it took effect
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bt601.h"
#include "convert.h"
#include "display_picture.h"
#include "flow_parts.h"
#include "ktap.h"

/* Some refreshes, in milliseconds; the GPU gives up a semaphore after a second. */
#define NO_FLIP_MS 200

/* A picture to show. */
struct picture {
	/* Its buffer, and so its framebuffer. */
	int buffer;
	/* A sync_file that the flip waits for, or FLOW_NONE; closed after the commit. */
	int fence;
	/* Of what the screen must show. */
	uint32_t crc;
};

struct mode {
	const char *name;
	int (*set_up)(struct flow *flow);
	/* Makes the next picture. */
	int (*next)(struct flow *flow, struct picture *picture);
	/* The display has released a buffer. */
	int (*release)(struct flow *flow, int buffer);
	int (*flip)(struct display *display, uint32_t fb, int fence, uint64_t user_data);
};

/* A buffer that nobody uses. */
static int take_buffer(struct flow *flow)
{
	for (unsigned int i = 0; i < flow->buffers; i++) {
		if (!flow->used[i]) {
			flow->used[i] = true;
			return i;
		}
	}
	return -ENOBUFS;
}

static int release_buffer(struct flow *flow, int buffer)
{
	flow->used[buffer] = false;
	return 0;
}

static int release_to_camera(struct flow *flow, int buffer)
{
	return flow_failed("QBUF", camera_queue(&flow->camera, buffer));
}

static int direct_set_up(struct flow *flow)
{
	uint32_t width = flow->display.mode.hdisplay, height = flow->display.mode.vdisplay;
	int ret = flow_open_camera(flow, width * 2);

	for (uint32_t i = 0; !ret && i < flow->camera.buffers; i++) {
		int dmabuf = flow_failed("EXPBUF", camera_export(&flow->camera, i));

		if (dmabuf < 0)
			return dmabuf;
		ret = flow_failed("display import", display_import(&flow->display, dmabuf, width, height, width * 4, 0,
							      &flow->fbs[i]));
		close(dmabuf);
	}
	return ret ? ret : flow_failed("STREAMON", camera_stream_on(&flow->camera));
}

static int direct_next(struct flow *flow, struct picture *picture)
{
	uint32_t index, *screen = flow->screen;
	int ret = flow_capture(flow, &index);

	if (ret)
		return ret;
	memcpy(screen, flow->captured[index], flow_screen_bytes(flow));
	for (size_t i = 0; i < flow_screen_bytes(flow) / 4; i++)
		screen[i] &= 0xffffff;
	*picture = (struct picture) { .buffer = index, .fence = FLOW_NONE, .crc = flow_screen_crc(flow) };
	return 0;
}

static int copy_set_up(struct flow *flow)
{
	int ret = flow_open_camera(flow, flow->display.mode.hdisplay);

	if (!ret)
		ret = flow_make_dumb_buffers(flow, 3);
	return ret ? ret : flow_failed("STREAMON", camera_stream_on(&flow->camera));
}

static int copy_next(struct flow *flow, struct picture *picture)
{
	uint32_t index, width = flow->display.mode.hdisplay;
	int buffer = take_buffer(flow), ret = flow_capture(flow, &index);

	if (ret || buffer < 0)
		return ret ? ret : buffer;
	for (uint32_t y = 0; y < flow->display.mode.vdisplay; y++) {
		const uint8_t *from = flow->captured[index] + (size_t)y * flow->camera.pix.bytesperline;
		uint32_t *to = flow->screen + (size_t)y * width;

		for (uint32_t x = 0; x < width; x++)
			to[x] = from[2 * x] * 0x010101u;
		memcpy(flow->pixels[buffer] + (size_t)y * flow->fbs[buffer].pitch, to, width * 4);
	}
	*picture = (struct picture) { .buffer = buffer, .fence = FLOW_NONE, .crc = flow_screen_crc(flow) };
	return flow_failed("QBUF", camera_queue(&flow->camera, index));
}

static int render_set_up(struct flow *flow)
{
	int ret = flow_open_gpu(flow);

	return ret ? ret : flow_make_gpu_buffers(flow, 3);
}

/* A colour, and a band of another one that moves down. */
static int render_next(struct flow *flow, struct picture *picture)
{
	uint32_t width = flow->display.mode.hdisplay, height = flow->display.mode.vdisplay;
	uint32_t ground = 0x102030 + flow->flips, band = 0xc08040 - flow->flips;
	uint32_t first = flow->flips % (height / 2), rows = height / 4;
	int buffer = take_buffer(flow);
	struct drm_fencepost_gpu_command fills[2];

	if (buffer < 0)
		return buffer;
	fills[0] = gpu_fill(&flow->gpu_buffers[buffer], width * height * 4, ground);
	fills[1] = gpu_fill(&flow->gpu_buffers[buffer], rows * width * 4, band);
	fills[1].dst.offset = (uint64_t)first * width * 4;
	for (size_t i = 0; i < (size_t)width * height; i++)
		flow->screen[i] = i / width >= first && i / width < first + rows ? band : ground;
	*picture = (struct picture) {
		.buffer = buffer,
		.fence = gpu_submit(flow->gpu, 0, fills, 2, -1),
		.crc = flow_screen_crc(flow),
	};
	return flow_failed("GPU submit", picture->fence) < 0 ? picture->fence : 0;
}

static int compositor_set_up(struct flow *flow)
{
	return flow_make_dumb_buffers(flow, 3);
}

/* A window moves over the screen; each buffer still has it where it was three flips ago. */
static int compositor_next(struct flow *flow, struct picture *picture)
{
	uint32_t width = flow->display.mode.hdisplay, height = flow->display.mode.vdisplay;
	uint32_t left = flow->flips * 3 % (width / 2), top = flow->flips % (height / 2);
	int buffer = take_buffer(flow);

	if (buffer < 0)
		return buffer;
	for (uint32_t y = 0; y < height; y++) {
		uint32_t *row = (uint32_t *)(flow->pixels[buffer] + (size_t)y * flow->fbs[buffer].pitch);

		for (uint32_t x = 0; x < width; x++) {
			bool inside = x - left < width / 3 && y - top < height / 3;
			uint32_t colour = inside ? 0xffffff - flow->flips : x * y & 0xff;

			flow->screen[(size_t)y * width + x] = colour;
			if (row[x] != colour)
				row[x] = colour;
		}
	}
	*picture = (struct picture) { .buffer = buffer, .fence = FLOW_NONE, .crc = flow_screen_crc(flow) };
	return 0;
}

static int flip_atomic(struct display *display, uint32_t fb, int fence, uint64_t user_data)
{
	return display_flip(display, fb, fence, NULL, user_data);
}

static int flip_page(struct display *display, uint32_t fb, int fence, uint64_t user_data)
{
	(void)fence;
	return display_page_flip(display, fb, user_data);
}

static const struct mode modes[] = {
	{ "direct", direct_set_up, direct_next, release_to_camera, flip_atomic },
	{ "copy", copy_set_up, copy_next, release_buffer, flip_page },
	{ "render", render_set_up, render_next, release_buffer, flip_atomic },
	{ "compositor", compositor_set_up, compositor_next, release_buffer, flip_atomic },
};

/* Waits for the flip that is under way, if one is: what was on the screen before is free. */
static int await_flip(struct flow *flow, const struct mode *mode)
{
	struct display_flip flip;
	int ret = 0;

	if (flow->waiting == FLOW_NONE)
		return 0;
	ret = flow_failed("flip event", display_wait_flip(&flow->display, FLOW_PATIENCE_MS, &flip));
	if (!ret && flip.user_data != flow->flips)
		ret = flow_failed("the event of another flip", -EPROTO);
	if (ret)
		return ret;
	ktap_note("flip %u buffer %d vblank %u", flow->flips, flow->waiting, flip.sequence);
	flow->vblanks[flow->flips++] = flip.sequence;
	if (flow->shown != FLOW_NONE)
		ret = mode->release(flow, flow->shown);
	flow->shown = flow->waiting;
	flow->waiting = FLOW_NONE;
	return ret;
}

static int show(struct flow *flow, const struct mode *mode, const struct picture *picture)
{
	int ret;

	flow->expected[flow->flips] = picture->crc;
	ret = flow_failed("flip", mode->flip(&flow->display, flow->fbs[picture->buffer].fb, picture->fence, flow->flips));
	if (picture->fence != FLOW_NONE)
		close(picture->fence);
	if (!ret)
		flow->waiting = picture->buffer;
	return ret;
}

/* Pictures are made while the one before waits for its vblank. */
static int run(struct flow *flow, const struct mode *mode)
{
	int ret = 0;

	for (unsigned int i = 0; !ret && i < flow->frames; i++) {
		struct picture picture;

		ret = mode->next(flow, &picture);
		if (!ret)
			ret = await_flip(flow, mode);
		if (!ret)
			ret = show(flow, mode, &picture);
	}
	return ret ? ret : await_flip(flow, mode);
}

/* How many flips the screen did not show as it must. */
static unsigned int wrong_pictures(struct flow *flow)
{
	unsigned int wrong = 0;

	for (unsigned int i = 0; i < flow->flips; i++) {
		uint32_t crc = 0;

		if (display_crc_since(flow->crcs, flow->vblanks[i], &crc) && crc == flow->expected[i])
			continue;
		ktap_note("flip %u: CRC %08x, expected %08x", i, crc, flow->expected[i]);
		wrong++;
	}
	return wrong;
}

static int test_mode(struct flow *flow, const struct mode *mode)
{
	int ret;

	ktap_plan(3);
	ret = flow_set_up(flow);
	if (!ret)
		ret = mode->set_up(flow);
	ktap_result(!ret, "%s: set up", mode->name);
	if (!ret)
		ret = run(flow, mode);
	ktap_result(!ret && flow->flips == flow->frames, "%s: %u of %u pictures are flipped to", mode->name, flow->flips,
		    flow->frames);
	ktap_result(flow->flips && !wrong_pictures(flow), "%s: the screen shows every pixel of every picture", mode->name);
	if (flow->camera.fd >= 0)
		camera_close(&flow->camera);
	display_close(&flow->display);
	return ktap_finish();
}

/* Whether a buffer of the GPU's is a captured picture in RGB; then its CRC on the screen is in *crc. */
static bool is_converted(struct flow *flow, int buffer, uint32_t captured, uint32_t *crc)
{
	bool full = flow->camera.pix.quantization == V4L2_QUANTIZATION_FULL_RANGE, good = true;
	const uint8_t *yuyv = flow->captured[captured], *rgb = flow->gpu_buffers[buffer].map;

	for (size_t i = 0; i < flow_screen_bytes(flow) / 4; i++) {
		const uint8_t *pair = yuyv + i / 2 * 4;

		good &= bt601_is_pixel(rgb + 4 * i, full, pair[i % 2 * 2], pair[1], pair[3]);
		flow->screen[i] = rgb[4 * i] | rgb[4 * i + 1] << 8 | rgb[4 * i + 2] << 16;
	}
	*crc = flow_screen_crc(flow);
	return good;
}

static int stopped_set_up(struct flow *flow, uint32_t *sources, struct gpu_buffer *semaphore)
{
	struct converter converter;
	int ret = flow_set_up(flow);

	if (!ret)
		ret = flow_open_camera(flow, flow->display.mode.hdisplay);
	if (!ret)
		ret = flow_open_gpu(flow);
	if (!ret)
		ret = flow_make_gpu_buffers(flow, 2);
	if (!ret)
		ret = flow_failed("semaphore", gpu_buffer_create(flow->gpu, 4096, semaphore));
	converter.fd = flow->gpu;
	for (uint32_t i = 0; !ret && i < flow->camera.buffers; i++) {
		int dmabuf = flow_failed("EXPBUF", camera_export(&flow->camera, i));

		ret = dmabuf < 0 ? dmabuf : flow_failed("GPU import", convert_import(&converter, dmabuf, &sources[i]));
		close(dmabuf);
	}
	return ret ? ret : flow_failed("STREAMON", camera_stream_on(&flow->camera));
}

/* Has the GPU convert a captured picture, and the display flip to it then. */
static int convert_and_flip(struct flow *flow, uint32_t source, int buffer)
{
	struct converter converter = { .fd = flow->gpu };
	struct convert_target target = {
		.handle = flow->gpu_buffers[buffer].handle,
		.stride = flow->display.mode.hdisplay * 4,
	};
	int fence = flow_failed("GPU submit", convert_submit(&converter, source, &flow->camera.pix, &target)), ret;

	if (fence < 0)
		return fence;
	ret = flow_failed("flip", display_flip(&flow->display, flow->fbs[buffer].fb, fence, NULL, buffer));
	close(fence);
	return ret;
}

/* The program ends with the frame on the way, as one that was killed does: nothing is taken down. */
static int test_stopped(struct flow *flow)
{
	uint32_t sources[CAMERA_MAX_BUFFERS] = { 0 }, index, crc = 0, on_screen = 0;
	struct gpu_buffer semaphore;
	struct drm_fencepost_gpu_command wait;
	struct display_flip flip = { 0 };
	int ret;

	ktap_plan(4);
	ret = stopped_set_up(flow, sources, &semaphore);
	ktap_result(!ret, "stopped: set up");
	if (!ret)
		ret = flow_capture(flow, &index);
	if (!ret)
		ret = convert_and_flip(flow, sources[index], 0);
	if (!ret)
		ret = flow_failed("flip event", display_wait_flip(&flow->display, FLOW_PATIENCE_MS, &flip));
	ktap_result(!ret && is_converted(flow, 0, index, &crc) &&
		    display_crc_of_frame(flow->crcs, flip.sequence, &on_screen) && on_screen == crc,
		    "stopped: the screen shows every pixel of the first picture");

	if (!ret)
		ret = flow_capture(flow, &index);
	if (!ret) {
		wait = gpu_sem_wait(&semaphore, 1);
		ret = flow_failed("GPU submit", gpu_submit(flow->gpu, 0, &wait, 1, -1));
	}
	if (ret >= 0)
		ret = convert_and_flip(flow, sources[index], 1);
	ktap_result(!ret && display_wait_flip(&flow->display, NO_FLIP_MS, &flip) == -ETIME,
		    "stopped: the second flip does not come while the GPU waits");
	ktap_result(!ret && !flow_capture(flow, &index), "stopped: the program ends with a third picture that it has not returned");
	return ktap_finish();
}

int main(int argc, char **argv)
{
	static struct flow flow = { .frames = 10, .gpu = -1, .camera.fd = -1, .crcs = -1, .shown = FLOW_NONE, .waiting = FLOW_NONE };

	if (argc > 2)
		flow.frames = strtoul(argv[2], NULL, 10);
	for (size_t i = 0; i < sizeof(modes) / sizeof(modes[0]); i++)
		if (argc > 1 && !strcmp(argv[1], modes[i].name) && flow.frames && flow.frames <= FLOW_MAX_FRAMES)
			return test_mode(&flow, &modes[i]);
	if (argc == 2 && !strcmp(argv[1], "stopped"))
		return test_stopped(&flow);
	fprintf(stderr, "usage: flows stopped | direct|copy|render|compositor [FRAMES, at most %u]\n", FLOW_MAX_FRAMES);
	return 2;
}
