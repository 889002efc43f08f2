/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a flow is made of: a display that is on, a camera with mapped buffers, a GPU, and buffers to show. Nothing is
 * freed: that happens when the program ends.
 *
 * Functions return 0 (or what they say) on success and a negative errno on failure, which they have reported.
 */
#ifndef FENCEPOST_FLOW_PARTS_H
#define FENCEPOST_FLOW_PARTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "camera.h"
#include "display_commit.h"
#include "display_fb.h"
#include "gpu_client.h"

/* One on the screen, one that waits for its vblank, and more to make. */
#define FLOW_MAX_BUFFERS 4
/* The kernel keeps this many CRCs until they are read, and they are read at the end. */
#define FLOW_MAX_FRAMES 40
/* Nothing on the way takes longer, in milliseconds. */
#define FLOW_PATIENCE_MS 10000
#define FLOW_NONE (-1)

struct flow {
	unsigned int frames;
	struct display display;
	struct camera camera;
	int gpu;
	int crcs;

	unsigned int buffers;
	struct display_fb fbs[FLOW_MAX_BUFFERS];
	uint8_t *pixels[FLOW_MAX_BUFFERS];
	struct gpu_buffer gpu_buffers[FLOW_MAX_BUFFERS];
	/* The frame that the program has of the camera's, to read. */
	const uint8_t *captured[CAMERA_MAX_BUFFERS];
	bool used[FLOW_MAX_BUFFERS];

	/* The buffer on the screen, and the one that waits for its vblank. */
	int shown, waiting;
	/* What was shown when, and its CRC. */
	uint32_t vblanks[FLOW_MAX_FRAMES], expected[FLOW_MAX_FRAMES];
	unsigned int flips;
	/* A whole screen as the display's CRC sees it. */
	uint32_t *screen;
};

/* Reports what failed; returns ret. */
int flow_failed(const char *what, int ret);

/* Opens the display, with nothing on it, and the list of its CRCs. */
int flow_set_up(struct flow *flow);

/* Opens the camera with YUYV pictures of this width and the screen's height, and maps and queues its buffers. */
int flow_open_camera(struct flow *flow, uint32_t width);

/* Waits for a frame; the bytes in its buffer, *index, must be those that the device wrote. */
int flow_capture(struct flow *flow, uint32_t *index);

/* Opens the GPU. */
int flow_open_gpu(struct flow *flow);

/* Makes buffers of the size of the screen, to show: dumb ones, or the GPU's. */
int flow_make_dumb_buffers(struct flow *flow, unsigned int count);
int flow_make_gpu_buffers(struct flow *flow, unsigned int count);

/* Bytes of a screen, and the CRC that the display has of flow->screen. */
size_t flow_screen_bytes(const struct flow *flow);
uint32_t flow_screen_crc(const struct flow *flow);

#endif /* FENCEPOST_FLOW_PARTS_H */
