/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a screen with several planes must show, pixel by pixel, from the equations of docs/display.md alone: an oracle that
 * shares nothing with the device.
 */
#ifndef FENCEPOST_DISPLAY_MODEL_H
#define FENCEPOST_DISPLAY_MODEL_H

#include "display_planes.h"

/*
 * The pixels of a screen on which these planes lie, the lowest first: 0x00RRGGBB, row by row. The caller frees them; NULL without
 * memory.
 */
uint32_t *model_pixels(const struct plane_view *const *from_below, unsigned int count, uint32_t width, uint32_t height);

/* The CRC of a screen on which these planes lie, the lowest first. */
uint32_t model_crc(const struct plane_view *const *from_below, unsigned int count, uint32_t width, uint32_t height);

#endif /* FENCEPOST_DISPLAY_MODEL_H */
