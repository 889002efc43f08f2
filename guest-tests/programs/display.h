/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A display by raw DRM ioctls: one connector, its CRTC, the CRTC's primary
 * plane and the connector's preferred mode, driven by atomic commits. What it
 * shows is in display_fb.h, how in display_commit.h.
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
#include <uapi/fencepost.h>

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

/*
 * Opens the card of the named driver, becomes its master and finds a
 * connected connector with its preferred mode. -ENODEV: no such driver;
 * -ENXIO: nothing connected.
 */
int display_open(struct display *display, const char *driver);

/*
 * Finds another connected connector of an open display's card, with another CRTC: one more display, whose file is the first
 * one's and is closed with that. -ENXIO: nothing is connected there.
 */
int display_open_other(struct display *other, const struct display *display);

/* Has the display use another mode from its next modeset on. */
int display_use_mode(struct display *display, const struct drm_mode_modeinfo *mode);

/* Switches the screen off and closes. */
void display_close(struct display *display);

/*
 * Opens the DRM node of the named driver below /dev/dri: "card" or "renderD".
 * Returns a descriptor, or -ENODEV if no node belongs to it.
 */
int display_open_node(const char *node, const char *driver);

/*
 * The id of an object's property, or 0; its value goes to *value, unless that
 * is NULL. type: DRM_MODE_OBJECT_*.
 */
uint32_t display_property(int fd, uint32_t object, uint32_t type, const char *name,
			  uint64_t *value);

/* An ioctl that is repeated when a signal interrupts it. */
int display_ioctl(int fd, unsigned long request, void *arg);

#endif /* FENCEPOST_DISPLAY_H */
