/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A display by raw DRM ioctls: one connector, its CRTC, the CRTC's primary
 * plane and the connector's preferred mode, driven by atomic commits.
 *
 * Functions return 0 (or what they say) on success and a negative errno on
 * failure. Descriptors that are passed in stay the caller's; those handed out
 * are the caller's to close.
 */
#ifndef FENCEPOST_DISPLAY_H
#define FENCEPOST_DISPLAY_H

#include <stddef.h>
#include <stdint.h>

#include <drm/drm.h>
#include <drm/drm_mode.h>

#define DISPLAY_DRIVER_NAME "fencepost-display"

/* Property ids, looked up by name once. */
struct display_properties {
	uint32_t connector_crtc_id;
	uint32_t crtc_active;
	uint32_t crtc_mode_id;
	uint32_t crtc_out_fence_ptr;
	uint32_t plane_fb_id;
	uint32_t plane_crtc_id;
	uint32_t plane_in_fence_fd;
	uint32_t plane_src_x, plane_src_y, plane_src_w, plane_src_h;
	uint32_t plane_crtc_x, plane_crtc_y, plane_crtc_w, plane_crtc_h;
};

struct display {
	int fd;
	uint32_t connector;
	uint32_t crtc;
	uint32_t crtc_index;
	uint32_t plane;
	uint32_t mode_blob;
	struct drm_mode_modeinfo mode;
	struct display_properties props;
};

/* A framebuffer; fb is what commits take. */
struct display_fb {
	uint32_t fb;
	uint32_t handle;
	uint32_t width;
	uint32_t height;
	uint32_t pitch;
	uint64_t size;
};

/* A completed flip, as the kernel reports it. */
struct display_flip {
	uint64_t user_data;
	/* The CRTC's vblank count at which the flip took effect. */
	uint32_t sequence;
	/* CLOCK_MONOTONIC of that vblank, nanoseconds. */
	uint64_t time_ns;
};

/*
 * Opens the card of the named driver, becomes its master and finds a
 * connected connector with its preferred mode. -ENODEV: no such driver;
 * -ENXIO: nothing connected.
 */
int display_open(struct display *display, const char *driver);

/* Switches the screen off and closes. */
void display_close(struct display *display);

/*
 * Opens the DRM node of the named driver below /dev/dri: "card" or "renderD".
 * Returns a descriptor, or -ENODEV if no node belongs to it.
 */
int display_open_node(const char *node, const char *driver);

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

/* Switches the preferred mode on with fb, and waits for it. No event. */
int display_modeset(struct display *display, uint32_t fb);

/* Switches the screen off, and waits for it. */
int display_off(struct display *display);

/*
 * Queues a flip to fb and returns at once; an event with user_data follows.
 * in_fence: a sync_file that must signal before (-1: only the buffer's
 * implicit fences). out_fence: if not NULL, set to a sync_file that signals
 * when the flip took effect. -EBUSY: the previous flip is not done.
 */
int display_flip(struct display *display, uint32_t fb, int in_fence,
		 int *out_fence, uint64_t user_data);

/*
 * Waits for the next flip event: -ETIME after timeout_ms milliseconds.
 * Poll display->fd for POLLIN to wait for more than that.
 */
int display_wait_flip(struct display *display, int timeout_ms,
		      struct display_flip *flip);

/*
 * Waits for the next vertical blank and returns its count in *sequence (may
 * be NULL).
 */
int display_wait_vblank(struct display *display, uint32_t *sequence);

#endif /* FENCEPOST_DISPLAY_H */
