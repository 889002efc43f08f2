// SPDX-License-Identifier: GPL-2.0
/* BT.601 in real numbers: see bt601.h. */
#include "bt601.h"

bool bt601_is_code(uint8_t got, double want)
{
	want = want < 0 ? 0 : want > 255 ? 255 : want;
	/* Half a step, and what fixed-point coefficients may add. */
	return got - want < 0.51 && want - got < 0.51;
}

void bt601_colour(bool full, uint8_t luma, uint8_t cb, uint8_t cr, double rgb[3])
{
	double y = full ? luma : (luma - 16) * 255.0 / 219;
	double scale = full ? 1 : 255.0 / 224;
	double red = y + 1.402 * scale * (cr - 128);
	double blue = y + 1.772 * scale * (cb - 128);

	rgb[0] = red;
	rgb[1] = (y - 0.299 * red - 0.114 * blue) / 0.587;
	rgb[2] = blue;
}

bool bt601_is_pixel(const uint8_t *bgrx, bool full, uint8_t luma, uint8_t cb, uint8_t cr)
{
	double rgb[3];

	bt601_colour(full, luma, cb, cr, rgb);
	return bt601_is_code(bgrx[2], rgb[0]) && bt601_is_code(bgrx[1], rgb[1]) &&
	       bt601_is_code(bgrx[0], rgb[2]) && bgrx[3] == 0xff;
}
