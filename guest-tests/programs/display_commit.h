/* SPDX-License-Identifier: GPL-2.0 */
/* Atomic commits and flips of a display; results are those of display.h. */
#ifndef FENCEPOST_DISPLAY_COMMIT_H
#define FENCEPOST_DISPLAY_COMMIT_H

#include "display.h"

/* A completed flip, as the kernel reports it. */
struct display_flip {
	uint64_t user_data;
	uint32_t crtc;
	/* The CRTC's vblank count at which the flip took effect. */
	uint32_t sequence;
	/* CLOCK_MONOTONIC of that vblank, nanoseconds. */
	uint64_t time_ns;
};

/* Properties of one commit, above what any test changes. */
#define DISPLAY_MAX_CHANGES 96

/* The properties of one atomic commit, in the order they were added. */
struct display_change {
	uint32_t objects[DISPLAY_MAX_CHANGES];
	uint32_t counts[DISPLAY_MAX_CHANGES];
	uint32_t props[DISPLAY_MAX_CHANGES];
	uint64_t values[DISPLAY_MAX_CHANGES];
	unsigned int objects_len;
	unsigned int props_len;
};

/* Adds a property; those of one object one after the other. */
void display_add(struct display_change *change, uint32_t object, uint32_t prop,
		 uint64_t value);

/* Adds a plane that fills the preferred mode with fb, or shows nothing (0). */
void display_add_plane(struct display *display, struct display_change *change,
		       uint32_t fb);

/* Commits, with the flags DRM_MODE_ATOMIC_*. */
int display_commit(struct display *display, struct display_change *change,
		   uint32_t flags, uint64_t user_data);

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
 * The same without fences, by the ioctl that is older than atomic commits; the
 * screen is on.
 */
int display_page_flip(struct display *display, uint32_t fb, uint64_t user_data);

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

#endif /* FENCEPOST_DISPLAY_COMMIT_H */
