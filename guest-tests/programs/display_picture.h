/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Pictures for tests of a display, and what is on its screen: the device has a CRC of each frame,
 * which the kernel gives out in debugfs, and the same is computed here from what was painted.
 */
#ifndef FENCEPOST_DISPLAY_PICTURE_H
#define FENCEPOST_DISPLAY_PICTURE_H

#include <stdbool.h>

#include "display_fb.h"

/*
 * Paints a picture that no shift, swap or cut of itself equals, with padding bytes that are not
 * zero; returns the CRC that the screen must have.
 */
uint32_t display_paint(uint8_t *pixels, const struct display_fb *fb, uint32_t seed);

/* Makes and paints dumb buffers of the mode's size; false if it cannot. */
bool display_make_pictures(struct display *display, struct display_fb *fbs, uint32_t *crcs,
			   unsigned int count);

/* Starts the kernel's list of frame CRCs; returns a descriptor that lines are read from. */
int display_open_crcs(struct display *display);

/* Reads the next line of that list: a frame's number and CRC. False, with errno: there is none. */
bool display_next_crc(int crcs, unsigned int *frame, uint32_t *crc);

/*
 * Reads on in that list up to the frame that began with this count of vertical blanks: sets its CRC,
 * or returns false if it does not come.
 */
bool display_crc_of_frame(int crcs, uint32_t frame, uint32_t *crc);

/*
 * The same, for that frame or a later one: a vertical blank's interrupt that is taken late finds the CRC of the frame behind.
 * For pictures that stay.
 */
bool display_crc_since(int crcs, uint32_t frame, uint32_t *crc);

/* The CRC of what is on the screen some frames from now; 0 when it cannot be known. */
uint32_t display_crc_on_screen(struct display *display);

/* Flips to fb and waits for it; then the frame it began with, or one behind, must have this CRC. */
bool display_flip_shows(struct display *display, uint32_t fb, uint32_t expected);

#endif
