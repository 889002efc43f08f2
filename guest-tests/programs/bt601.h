/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What YCbCr samples must look like, by the equations of BT.601 in real
 * numbers: an oracle that shares nothing with the device.
 */
#ifndef FENCEPOST_BT601_H
#define FENCEPOST_BT601_H

#include <stdbool.h>
#include <stdint.h>

/* Red, green and blue of a sample, from 0 to 255. */
void bt601_colour(bool full, uint8_t luma, uint8_t cb, uint8_t cr, double rgb[3]);

/* Whether a code is the nearest to a colour. */
bool bt601_is_code(uint8_t got, double want);

/* Whether the bytes B, G, R, X are the nearest to a sample's colour, with X all ones. */
bool bt601_is_pixel(const uint8_t *bgrx, bool full, uint8_t luma, uint8_t cb, uint8_t cr);

#endif /* FENCEPOST_BT601_H */
