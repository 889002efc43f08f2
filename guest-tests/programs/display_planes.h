/* SPDX-License-Identifier: GPL-2.0 */
/*
 * All planes of a display, and what they show: any format, rectangle and look. Results are those of
 * display.h.
 */
#ifndef FENCEPOST_DISPLAY_PLANES_H
#define FENCEPOST_DISPLAY_PLANES_H

#include <stdbool.h>

#include "display.h"
#include "display_commit.h"

#define DISPLAY_MAX_PLANES 8
#define DISPLAY_MAX_FORMATS 16

/* Values of a plane's "type" property; the kernel's headers do not name them. */
enum plane_type { PLANE_OVERLAY, PLANE_PRIMARY, PLANE_CURSOR };

/* What a plane's pixels are mixed by; the words are the property's. */
enum plane_blend { BLEND_NONE, BLEND_PREMULTIPLIED, BLEND_COVERAGE };

struct plane {
	uint32_t id;
	enum plane_type type;
	uint32_t formats[DISPLAY_MAX_FORMATS];
	uint32_t formats_len;
	/* Whether it has a filter for scaling, and colours. */
	bool scales, colors;
};

/* Memory for pixels. */
struct plane_buffer {
	uint32_t handle;
	uint64_t size;
	uint8_t *pixels;
};

/* What a plane shows. The picture in the buffers may be larger than the rectangle that is taken of it. */
struct plane_view {
	uint32_t format;
	/* The picture; the second of all is the chroma's, where it has lines of its own. */
	uint32_t width, height;
	const struct plane_buffer *buffers[2];
	uint32_t pitches[2], offsets[2];
	/* What is taken of it, and where it is put. */
	uint32_t src_x, src_y, src_w, src_h;
	int x, y;
	uint32_t w, h;
	enum plane_blend blend;
	uint16_t alpha;
	uint32_t zpos;
	bool bt709, full_range, nearest;
};

/* Finds the planes of the display's CRTC; returns how many. */
int display_planes(struct display *display, struct plane *planes);

bool plane_has_format(const struct plane *plane, uint32_t format);

/* Makes a buffer of at least this many bytes. */
int plane_buffer_make(struct display *display, uint32_t bytes, struct plane_buffer *buffer);

/* Makes a framebuffer of a view; returns its id in *fb. */
int plane_add_fb(struct display *display, const struct plane_view *view, uint32_t *fb);

/* Adds a plane that shows fb as the view says, or nothing (fb is 0). */
void plane_add(struct display *display, struct display_change *change, const struct plane *plane,
	       const struct plane_view *view, uint32_t fb);

/* Adds one property of a plane by its name. */
void plane_add_value(struct display *display, struct display_change *change, const struct plane *plane,
		     const char *name, uint64_t value);

/* The value of a property's word; UINT64_MAX if there is none. */
uint64_t plane_word(struct display *display, const struct plane *plane, const char *name, const char *word);

#endif /* FENCEPOST_DISPLAY_PLANES_H */
