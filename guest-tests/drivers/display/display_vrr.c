// SPDX-License-Identifier: GPL-2.0
/*
 * Variable refresh: the device stretches a frame until the next commit comes, up to the longest one that the monitor's range of
 * rates allows. The mode's frame is the shortest.
 */

#include <linux/math64.h>
#include <linux/minmax.h>

#include <drm/drm_connector.h>
#include <drm/drm_crtc.h>

#include "display_drv.h"

bool fpdisp_vrr_is_capable(const struct drm_connector *connector)
{
	const struct drm_monitor_range_info *range = &connector->display_info.monitor_range;

	return range->min_vfreq && range->max_vfreq > range->min_vfreq;
}

/* Lines of the longest frame; those of the mode if that is as slow as the monitor's slowest rate, or slower. */
static u32 fpdisp_longest_lines(const struct drm_connector *connector, const struct drm_display_mode *mode)
{
	u32 slowest_hz = connector->display_info.monitor_range.min_vfreq;
	u64 lines = div_u64((u64)mode->clock * MSEC_PER_SEC, mode->htotal * slowest_hz);

	return clamp_t(u64, lines, mode->vtotal, U16_MAX);
}

void fpdisp_stage_vrr(struct fpdisp_head *head, const struct drm_crtc_state *state)
{
	bool on = state->vrr_enabled && fpdisp_vrr_is_capable(&head->connector);

	if (on)
		fpdisp_write(head, FPDISP_VRR_TOTAL, fpdisp_longest_lines(&head->connector, &state->adjusted_mode));
	fpdisp_write(head, FPDISP_VRR_CONTROL, on ? FPDISP_VRR_ON : 0);
}
