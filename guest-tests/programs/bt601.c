// SPDX-License-Identifier: GPL-2.0
/* BT.601 in real numbers: see bt601.h. */
#include "bt601.h"

static bool is_colour(uint8_t got, double want)
{
	want = want < 0 ? 0 : want > 255 ? 255 : want;
	/* Half a step, and what fixed-point coefficients may add. */
	return got - want < 0.51 && want - got < 0.51;
}

bool bt601_is_pixel(const uint8_t *bgrx, bool full, uint8_t luma, uint8_t cb, uint8_t cr)
{
	double y = full ? luma : (luma - 16) * 255.0 / 219;
	double scale = full ? 1 : 255.0 / 224;
	double red = y + 1.402 * scale * (cr - 128);
	double blue = y + 1.772 * scale * (cb - 128);
	double green = (y - 0.299 * red - 0.114 * blue) / 0.587;

	return is_colour(bgrx[2], red) && is_colour(bgrx[1], green) &&
	       is_colour(bgrx[0], blue) && bgrx[3] == 0xff;
}
