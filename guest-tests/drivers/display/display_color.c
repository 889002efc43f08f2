// SPDX-License-Identifier: GPL-2.0
/* The colours of the whole picture: DRM's matrix and gamma table, in what the device has of their bits. */

#include <linux/math.h>

#include <drm/drm_atomic.h>
#include <drm/drm_color_mgmt.h>

#include "display_drv.h"

#define FPDISP_COEFFICIENTS	9

/* DRM's matrix has 31 and 32 bits and a sign beside them, the device's 15 and 16 in two's complement. */
static bool fpdisp_coefficient(u64 drm, s32 *device)
{
	u64 magnitude = ((drm & ~BIT_ULL(63)) + BIT(15)) >> 16;

	*device = drm & BIT_ULL(63) ? -(s64)magnitude : (s64)magnitude;
	return magnitude <= S32_MAX;
}

/* What the device has not is refused. */
int fpdisp_color_check(const struct drm_crtc_state *state)
{
	const struct drm_color_ctm *ctm = state->ctm ? state->ctm->data : NULL;
	s32 unused;
	int i;

	if (state->gamma_lut && drm_color_lut_size(state->gamma_lut) != FPDISP_GAMMA_ENTRIES)
		return -EINVAL;
	for (i = 0; ctm && i < FPDISP_COEFFICIENTS; i++)
		if (!fpdisp_coefficient(ctm->matrix[i], &unused))
			return -EINVAL;
	return 0;
}

static void fpdisp_stage_matrix(struct fpdisp_head *head, const struct drm_color_ctm *ctm)
{
	int i;

	for (i = 0; i < FPDISP_COEFFICIENTS; i++) {
		s32 value;

		fpdisp_coefficient(ctm->matrix[i], &value);
		fpdisp_write(head, FPDISP_COLOR_MATRIX + 4 * i, value);
	}
}

/* 16 bits as 8. The kernel's own function rounds in another way in each of the kernels that this is built for. */
static u32 fpdisp_eight_bits(u16 value)
{
	return DIV_ROUND_CLOSEST(value * 255U, 65535U);
}

static void fpdisp_stage_gamma(struct fpdisp_head *head, const struct drm_color_lut *lut)
{
	int i;

	for (i = 0; i < FPDISP_GAMMA_ENTRIES; i++)
		fpdisp_write(head, FPDISP_GAMMA + 4 * i, fpdisp_eight_bits(lut[i].red) << 16 |
						fpdisp_eight_bits(lut[i].green) << 8 |
						fpdisp_eight_bits(lut[i].blue));
}

void fpdisp_stage_color(struct fpdisp_head *head, const struct drm_crtc_state *state)
{
	u32 control = 0;

	if (state->ctm) {
		fpdisp_stage_matrix(head, state->ctm->data);
		control |= FPDISP_COLOR_USE_MATRIX;
	}
	if (state->gamma_lut) {
		fpdisp_stage_gamma(head, state->gamma_lut->data);
		control |= FPDISP_COLOR_USE_GAMMA;
	}
	fpdisp_write(head, FPDISP_COLOR_CONTROL, control);
}
