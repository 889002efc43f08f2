// SPDX-License-Identifier: GPL-2.0
/* The CRTC: modes, commits, vertical blanks and CRCs. */

#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_color_mgmt.h>
#include <drm/drm_drv.h>
#include <drm/drm_print.h>
#include <drm/drm_vblank.h>

#include <fencepost_recovery.h>

#include "display_drv.h"
#include "display_hold.h"

/* How far a vblank timestamp may be off, if that can be had within so many tries. */
#define FPDISP_TIMESTAMP_ERROR_NS 1000
#define FPDISP_TIMESTAMP_TRIES 3

static enum drm_mode_status fpdisp_crtc_mode_valid(struct drm_crtc *crtc,
						   const struct drm_display_mode *mode)
{
	struct fpdisp_device *disp = to_fpdisp(crtc->dev);
	u64 frame_ns;

	if (mode->hdisplay > disp->max_width)
		return MODE_BAD_HVALUE;
	if (mode->vdisplay > disp->max_height)
		return MODE_BAD_VVALUE;
	if (mode->clock <= 0)
		return MODE_NOCLOCK;
	frame_ns = div_u64((u64)mode->htotal * mode->vtotal * NSEC_PER_MSEC, mode->clock);
	if (frame_ns < NSEC_PER_MSEC || frame_ns > NSEC_PER_SEC)
		return MODE_VSYNC;
	return MODE_OK;
}

void fpdisp_start_raster(struct fpdisp_head *head, const struct drm_display_mode *mode)
{
	fpdisp_write(head, FPDISP_MODE_ACTIVE, FPDISP_SIZE(mode->hdisplay, mode->vdisplay));
	fpdisp_write(head, FPDISP_MODE_TOTAL, FPDISP_SIZE(mode->htotal, mode->vtotal));
	fpdisp_write(head, FPDISP_MODE_CLOCK, mode->clock);
	fpdisp_write(head, FPDISP_CRTC_ENABLE, 1);
	head->raster_ns = fpdisp_read64(head, FPDISP_ENABLE_NS);
	if (!(fpdisp_read(head, FPDISP_CRTC_ENABLE) & 1))
		drm_err(head->drm, "Mode \"%s\" refused\n", mode->name);
}

static void fpdisp_crtc_atomic_enable(struct drm_crtc *crtc, struct drm_atomic_state *state)
{
	struct fpdisp_head *head = to_head(crtc);
	int idx;

	head->mode = crtc->state->adjusted_mode;
	if (drm_dev_enter(head->drm, &idx)) {
		fpdisp_planes_clear(head);
		fpdisp_start_raster(head, &crtc->state->adjusted_mode);
		drm_dev_exit(idx);
	}
	drm_crtc_vblank_on(crtc);
}

/* Ends the commit that waits, for which no interrupt will come any more. */
void fpdisp_crtc_complete_flip(struct fpdisp_head *head)
{
	unsigned long flags;

	spin_lock_irqsave(&head->drm->event_lock, flags);
	if (head->flip_event)
		drm_crtc_send_vblank_event(&head->crtc, head->flip_event);
	head->flip_event = NULL;
	spin_unlock_irqrestore(&head->drm->event_lock, flags);
}

static void fpdisp_crtc_atomic_disable(struct drm_crtc *crtc, struct drm_atomic_state *state)
{
	struct fpdisp_head *head = to_head(crtc);
	int idx;

	/* Vertical blanks count up to this one, whether or not anybody had their interrupt on. */
	drm_crtc_accurate_vblank_count(crtc);
	if (drm_dev_enter(head->drm, &idx)) {
		/* When the write has returned the device reads no more memory. */
		fpdisp_write(head, FPDISP_CRTC_ENABLE, 0);
		drm_dev_exit(idx);
	}
	drm_crtc_vblank_off(crtc);
	fpdisp_crtc_complete_flip(head);

	spin_lock_irq(&crtc->dev->event_lock);
	if (crtc->state->event && !crtc->state->active) {
		drm_crtc_send_vblank_event(crtc, crtc->state->event);
		crtc->state->event = NULL;
	}
	spin_unlock_irq(&crtc->dev->event_lock);
}

/* Hands a commit to the device, which takes it at the next vertical blank, or now; false if it does not. */
bool fpdisp_commit(struct fpdisp_head *head, u64 number, u32 how)
{
	int idx;

	if (!drm_dev_enter(head->drm, &idx))
		return false;
	fpdisp_write(head, FPDISP_COMMIT, how);
	if (fpdisp_read64(head, FPDISP_COMMIT_ACCEPTED) == number)
		head->accepted = number;
	else
		drm_err_ratelimited(head->drm, "Commit refused\n");
	drm_dev_exit(idx);
	return head->accepted == number;
}

static int fpdisp_crtc_atomic_check(struct drm_crtc *crtc, struct drm_atomic_state *state)
{
	return fpdisp_color_check(drm_atomic_get_new_crtc_state(state, crtc));
}

/* The registers of a device that was off may be another's, or forgotten. */
static void fpdisp_crtc_atomic_begin(struct drm_crtc *crtc, struct drm_atomic_state *state)
{
	const struct drm_crtc_state *old = drm_atomic_get_old_crtc_state(state, crtc);
	struct fpdisp_head *head = to_head(crtc);
	bool all = drm_atomic_crtc_needs_modeset(crtc->state);
	bool color = all || crtc->state->color_mgmt_changed;
	bool vrr = all || crtc->state->vrr_enabled != old->vrr_enabled;
	int idx;

	if ((!color && !vrr) || !drm_dev_enter(head->drm, &idx))
		return;
	if (color)
		fpdisp_stage_color(head, crtc->state);
	if (vrr)
		fpdisp_stage_vrr(head, crtc->state);
	drm_dev_exit(idx);
}

/* A cursor that moved may still wait for its vertical blank: then it goes with this commit, and nothing goes at once. */
static u32 fpdisp_commit_how(struct fpdisp_head *head, const struct drm_crtc_state *state)
{
	bool waits = false;
	int idx;

	if (drm_dev_enter(head->drm, &idx)) {
		waits = fpdisp_read(head, FPDISP_COMMIT) & FPDISP_COMMIT_GO;
		drm_dev_exit(idx);
	}
	if (waits)
		return FPDISP_COMMIT_GO | FPDISP_COMMIT_REPLACE;
	return state->async_flip ? FPDISP_COMMIT_GO | FPDISP_COMMIT_NOW : FPDISP_COMMIT_GO;
}

static void fpdisp_crtc_atomic_flush(struct drm_crtc *crtc, struct drm_atomic_state *state)
{
	struct fpdisp_head *head = to_head(crtc);
	u64 number = head->accepted + 1;
	bool accepted;

	fpdisp_writeback_begin(head, state, number);
	spin_lock_irq(&crtc->dev->event_lock);
	head->flip_event = crtc->state->event;
	head->flip_number = number;
	crtc->state->event = NULL;
	accepted = fpdisp_commit(head, number, fpdisp_commit_how(head, crtc->state));
	spin_unlock_irq(&crtc->dev->event_lock);

	if (accepted) {
		fpdisp_flip_watch_start(head);
		return;
	}
	fpdisp_crtc_complete_flip(head);
	fpdisp_writeback_end(head, -EIO);
}

static int fpdisp_crtc_enable_vblank(struct drm_crtc *crtc)
{
	struct fpdisp_head *head = to_head(crtc);
	int idx;

	if (!drm_dev_enter(head->drm, &idx))
		return -ENODEV;
	fpdisp_irq_mask(head, 0, FPDISP_IRQ_VBLANK);
	drm_dev_exit(idx);
	return 0;
}

static void fpdisp_crtc_disable_vblank(struct drm_crtc *crtc)
{
	struct fpdisp_head *head = to_head(crtc);
	int idx;

	if (!drm_dev_enter(head->drm, &idx))
		return;
	fpdisp_irq_mask(head, FPDISP_IRQ_VBLANK, 0);
	drm_dev_exit(idx);
}

/* Without the device the count stands still. */
static u32 fpdisp_crtc_get_vblank_counter(struct drm_crtc *crtc)
{
	struct fpdisp_head *head = to_head(crtc);
	int idx;

	if (drm_dev_enter(head->drm, &idx)) {
		WRITE_ONCE(head->vblank_count, fpdisp_read(head, FPDISP_VBLANK_COUNT));
		drm_dev_exit(idx);
	}
	return READ_ONCE(head->vblank_count);
}

/*
 * The device's clock, and the kernel's just after it. Returns how far apart the two may be: a kernel that checks its locks takes
 * some microseconds more when it first reads its clock under one.
 */
static u64 fpdisp_read_clocks(struct fpdisp_head *head, u64 *device_ns, ktime_t *kernel)
{
	unsigned int tries = FPDISP_TIMESTAMP_TRIES;
	u64 apart_ns;

	do {
		ktime_t before = ktime_get();

		*device_ns = readq(to_fpdisp(head->drm)->regs + FPDISP_NOW_NS);
		*kernel = ktime_get();
		apart_ns = ktime_to_ns(ktime_sub(*kernel, before));
	} while (apart_ns > FPDISP_TIMESTAMP_ERROR_NS && --tries);
	return apart_ns;
}

/*
 * The device's clock and the kernel's may differ: both are read now, the device's for the age.
 * Before the first vblank of a raster the device has the last one of the raster before; the
 * kernel counts the start of the new one instead, a frame before that first vblank.
 */
static bool fpdisp_crtc_get_vblank_timestamp(struct drm_crtc *crtc, int *max_error,
					     ktime_t *vblank_time, bool in_vblank_irq)
{
	struct fpdisp_head *head = to_head(crtc);
	u64 vblank_ns, now_ns;
	int idx;

	if (!drm_dev_enter(head->drm, &idx))
		return false;
	vblank_ns = max(fpdisp_read64(head, FPDISP_VBLANK_NS), head->raster_ns);
	*max_error = fpdisp_read_clocks(head, &now_ns, vblank_time);
	*vblank_time = ktime_sub_ns(*vblank_time, now_ns - vblank_ns);
	drm_dev_exit(idx);
	return true;
}

static const char * const fpdisp_crc_sources[] = { "auto" };

static bool fpdisp_is_crc_source(const char *source)
{
	return !source || !strcmp(source, fpdisp_crc_sources[0]);
}

static const char *const *fpdisp_crtc_get_crc_sources(struct drm_crtc *crtc, size_t *count)
{
	*count = ARRAY_SIZE(fpdisp_crc_sources);
	return fpdisp_crc_sources;
}

static int fpdisp_crtc_verify_crc_source(struct drm_crtc *crtc, const char *source, size_t *values)
{
	*values = 1;
	return fpdisp_is_crc_source(source) ? 0 : -EINVAL;
}

/* CRCs are collected in vblank interrupts, so these are kept on for as long. */
static int fpdisp_start_crcs(struct fpdisp_head *head)
{
	int ret = -ENODEV, idx;

	head->crc_hold = fpdisp_hold_start(head->drm);
	if (!head->crc_hold)
		return -ENOMEM;
	if (drm_dev_enter(head->drm, &idx)) {
		ret = drm_crtc_vblank_get(&head->crtc);
		if (!ret)
			head->crc_frame = fpdisp_read64(head, FPDISP_CRC_FRAME);
		drm_dev_exit(idx);
	}
	if (ret)
		fpdisp_hold_end_later(head->crc_hold);
	else
		WRITE_ONCE(head->crc_on, true);
	return ret;
}

static void fpdisp_stop_crcs(struct fpdisp_head *head)
{
	WRITE_ONCE(head->crc_on, false);
	drm_crtc_vblank_put(&head->crtc);
	fpdisp_hold_end_later(head->crc_hold);
}

static int fpdisp_crtc_set_crc_source(struct drm_crtc *crtc, const char *source)
{
	struct fpdisp_head *head = to_head(crtc);
	bool on = source;

	if (!fpdisp_is_crc_source(source))
		return -EINVAL;
	if (on == head->crc_on)
		return 0;
	if (on)
		return fpdisp_start_crcs(head);
	fpdisp_stop_crcs(head);
	return 0;
}

static const struct drm_crtc_helper_funcs fpdisp_crtc_helper_funcs = {
	.mode_valid = fpdisp_crtc_mode_valid,
	.atomic_check = fpdisp_crtc_atomic_check,
	.atomic_begin = fpdisp_crtc_atomic_begin,
	.atomic_flush = fpdisp_crtc_atomic_flush,
	.atomic_enable = fpdisp_crtc_atomic_enable,
	.atomic_disable = fpdisp_crtc_atomic_disable,
};

static const struct drm_crtc_funcs fpdisp_crtc_funcs = {
	.reset = drm_atomic_helper_crtc_reset,
	.set_config = drm_atomic_helper_set_config,
	.page_flip = drm_atomic_helper_page_flip,
	.atomic_duplicate_state = drm_atomic_helper_crtc_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_crtc_destroy_state,
	.enable_vblank = fpdisp_crtc_enable_vblank,
	.disable_vblank = fpdisp_crtc_disable_vblank,
	.get_vblank_counter = fpdisp_crtc_get_vblank_counter,
	/* Without it and the counter DRM counts interrupts. */
	.get_vblank_timestamp = FENCEPOST_HAS(count) ? fpdisp_crtc_get_vblank_timestamp : NULL,
	.get_crc_sources = fpdisp_crtc_get_crc_sources,
	.verify_crc_source = fpdisp_crtc_verify_crc_source,
	.set_crc_source = fpdisp_crtc_set_crc_source,
};

int fpdisp_crtc_init(struct fpdisp_head *head)
{
	int ret = drmm_crtc_init_with_planes(head->drm, &head->crtc, &head->planes[0],
					     &head->planes[FPDISP_CURSOR_PLANE], &fpdisp_crtc_funcs, NULL);

	if (ret)
		return ret;
	drm_crtc_helper_add(&head->crtc, &fpdisp_crtc_helper_funcs);
	ret = drm_mode_crtc_set_gamma_size(&head->crtc, FPDISP_GAMMA_ENTRIES);
	if (ret)
		return ret;
	drm_crtc_enable_color_mgmt(&head->crtc, 0, true, FPDISP_GAMMA_ENTRIES);

	head->accepted = fpdisp_read64(head, FPDISP_COMMIT_ACCEPTED);
	return 0;
}
