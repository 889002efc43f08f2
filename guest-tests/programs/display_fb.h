/* SPDX-License-Identifier: GPL-2.0 */
/* Framebuffers of a display; results are those of display.h. */
#ifndef FENCEPOST_DISPLAY_FB_H
#define FENCEPOST_DISPLAY_FB_H

#include "display.h"

/* A framebuffer; fb is what commits take. */
struct display_fb {
	uint32_t fb;
	uint32_t handle;
	uint32_t width;
	uint32_t height;
	uint32_t pitch;
	uint64_t size;
};

/* Makes a framebuffer of a new dumb buffer, XRGB8888, of the mode's size. */
int display_create_dumb(struct display *display, struct display_fb *fb);

/* Maps a dumb buffer of fb->size bytes; returns NULL on failure. */
void *display_map_dumb(struct display *display, const struct display_fb *fb);

/*
 * Makes a framebuffer of a dma-buf, XRGB8888: rows of pitch bytes from byte
 * offset.
 */
int display_import(struct display *display, int dmabuf, uint32_t width,
		   uint32_t height, uint32_t pitch, uint32_t offset,
		   struct display_fb *fb);

/* Exports a framebuffer's buffer: returns a dma-buf descriptor. */
int display_export(struct display *display, const struct display_fb *fb);

/* Drops the framebuffer and its handle. */
void display_destroy_fb(struct display *display, struct display_fb *fb);

#endif /* FENCEPOST_DISPLAY_FB_H */
