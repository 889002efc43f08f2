// SPDX-License-Identifier: GPL-2.0
/* The CRTC: modes, commits, vertical blanks and CRCs. */

#include <linux/ktime.h>
#include <linux/math64.h>
#include <linux/minmax.h>
#include <linux/string.h>

#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_drv.h>
#include <drm/drm_print.h>
#include <drm/drm_vblank.h>

#include "display_drv.h"
#include "display_hold.h"

/* How far a vblank timestamp may be off: the time between two register reads. */
#define TIMESTAMP_ERROR_NS 1000

static enum drm_mode_status fpd_crtc_mode_valid(struct drm_crtc *crtc,
						const struct drm_display_mode *mode)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	u64 frame_ns;

	if (mode->hdisplay > fpd->max_width)
		return MODE_BAD_HVALUE;
	if (mode->vdisplay > fpd->max_height)
		return MODE_BAD_VVALUE;
	if (mode->clock <= 0)
		return MODE_NOCLOCK;
	frame_ns = div_u64((u64)mode->htotal * mode->vtotal * NSEC_PER_MSEC, mode->clock);
	if (frame_ns < NSEC_PER_MSEC || frame_ns > NSEC_PER_SEC)
		return MODE_VSYNC;
	return MODE_OK;
}

static void start_raster(struct fpd_device *fpd, const struct drm_display_mode *mode)
{
	fpd_write(fpd, FPD_MODE_ACTIVE, FPD_SIZE(mode->hdisplay, mode->vdisplay));
	fpd_write(fpd, FPD_MODE_TOTAL, FPD_SIZE(mode->htotal, mode->vtotal));
	fpd_write(fpd, FPD_MODE_CLOCK, mode->clock);
	fpd_write(fpd, FPD_CRTC_ENABLE, 1);
	fpd->raster_ns = fpd_read64(fpd, FPD_NOW_NS);
	if (!(fpd_read(fpd, FPD_CRTC_ENABLE) & 1))
		drm_err(&fpd->drm, "Mode \"%s\" refused\n", mode->name);
}

static void fpd_crtc_atomic_enable(struct drm_crtc *crtc, struct drm_atomic_state *state)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	int idx;

	if (drm_dev_enter(&fpd->drm, &idx)) {
		start_raster(fpd, &crtc->state->adjusted_mode);
		drm_dev_exit(idx);
	}
	drm_crtc_vblank_on(crtc);
}

/* Ends the commit that waits, for which no interrupt will come any more. */
void fpd_crtc_complete_flip(struct fpd_device *fpd)
{
	unsigned long flags;

	spin_lock_irqsave(&fpd->drm.event_lock, flags);
	if (fpd->flip_event)
		drm_crtc_send_vblank_event(&fpd->crtc, fpd->flip_event);
	fpd->flip_event = NULL;
	spin_unlock_irqrestore(&fpd->drm.event_lock, flags);
}

static void fpd_crtc_atomic_disable(struct drm_crtc *crtc, struct drm_atomic_state *state)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	int idx;

	/* Vertical blanks count up to this one, whether or not anybody had their interrupt on. */
	drm_crtc_accurate_vblank_count(crtc);
	if (drm_dev_enter(&fpd->drm, &idx)) {
		/* When the write has returned the device reads no more memory. */
		fpd_write(fpd, FPD_CRTC_ENABLE, 0);
		drm_dev_exit(idx);
	}
	drm_crtc_vblank_off(crtc);
	fpd_crtc_complete_flip(fpd);

	spin_lock_irq(&crtc->dev->event_lock);
	if (crtc->state->event && !crtc->state->active) {
		drm_crtc_send_vblank_event(crtc, crtc->state->event);
		crtc->state->event = NULL;
	}
	spin_unlock_irq(&crtc->dev->event_lock);
}

/* Hands a commit to the device, which takes it at the next vertical blank; false if it does not. */
static bool commit(struct fpd_device *fpd, u64 number)
{
	int idx;

	if (!drm_dev_enter(&fpd->drm, &idx))
		return false;
	fpd_write(fpd, FPD_COMMIT, 1);
	if (fpd_read64(fpd, FPD_COMMIT_ACCEPTED) == number)
		fpd->accepted = number;
	else
		drm_err_ratelimited(&fpd->drm, "Commit refused\n");
	drm_dev_exit(idx);
	return fpd->accepted == number;
}

static void fpd_crtc_atomic_flush(struct drm_crtc *crtc, struct drm_atomic_state *state)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	u64 number = fpd->accepted + 1;
	bool accepted;

	spin_lock_irq(&crtc->dev->event_lock);
	fpd->flip_event = crtc->state->event;
	fpd->flip_number = number;
	crtc->state->event = NULL;
	accepted = commit(fpd, number);
	spin_unlock_irq(&crtc->dev->event_lock);

	if (!accepted)
		fpd_crtc_complete_flip(fpd);
}

static int fpd_crtc_enable_vblank(struct drm_crtc *crtc)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	int idx;

	if (!drm_dev_enter(&fpd->drm, &idx))
		return -ENODEV;
	fpd_irq_mask(fpd, 0, FPD_IRQ_VBLANK);
	drm_dev_exit(idx);
	return 0;
}

static void fpd_crtc_disable_vblank(struct drm_crtc *crtc)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	int idx;

	if (!drm_dev_enter(&fpd->drm, &idx))
		return;
	fpd_irq_mask(fpd, FPD_IRQ_VBLANK, 0);
	drm_dev_exit(idx);
}

/* Without the device the count stands still. */
static u32 fpd_crtc_get_vblank_counter(struct drm_crtc *crtc)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	int idx;

	if (drm_dev_enter(&fpd->drm, &idx)) {
		WRITE_ONCE(fpd->vblank_count, fpd_read(fpd, FPD_VBLANK_COUNT));
		drm_dev_exit(idx);
	}
	return READ_ONCE(fpd->vblank_count);
}

/*
 * The device's clock and the kernel's may differ: both are read now, the device's for the age.
 * Before the first vblank of a raster the device has the last one of the raster before; the
 * kernel counts the start of the new one instead, a frame before that first vblank.
 */
static bool fpd_crtc_get_vblank_timestamp(struct drm_crtc *crtc, int *max_error,
					  ktime_t *vblank_time, bool in_vblank_irq)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	u64 vblank_ns, now_ns;
	int idx;

	if (!drm_dev_enter(&fpd->drm, &idx))
		return false;
	vblank_ns = max(fpd_read64(fpd, FPD_VBLANK_NS), fpd->raster_ns);
	now_ns = fpd_read64(fpd, FPD_NOW_NS);
	*vblank_time = ktime_sub_ns(ktime_get(), now_ns - vblank_ns);
	*max_error = TIMESTAMP_ERROR_NS;
	drm_dev_exit(idx);
	return true;
}

static const char * const crc_sources[] = { "auto" };

static bool is_crc_source(const char *source)
{
	return !source || !strcmp(source, crc_sources[0]);
}

static const char *const *fpd_crtc_get_crc_sources(struct drm_crtc *crtc, size_t *count)
{
	*count = ARRAY_SIZE(crc_sources);
	return crc_sources;
}

static int fpd_crtc_verify_crc_source(struct drm_crtc *crtc, const char *source, size_t *values)
{
	*values = 1;
	return is_crc_source(source) ? 0 : -EINVAL;
}

/* CRCs are collected in vblank interrupts, so these are kept on for as long. */
static int start_crcs(struct fpd_device *fpd)
{
	int ret = -ENODEV, idx;

	fpd->crc_hold = fpd_hold_crcs(&fpd->drm);
	if (!fpd->crc_hold)
		return -ENOMEM;
	if (drm_dev_enter(&fpd->drm, &idx)) {
		ret = drm_crtc_vblank_get(&fpd->crtc);
		if (!ret)
			fpd->crc_frame = fpd_read64(fpd, FPD_CRC_FRAME);
		drm_dev_exit(idx);
	}
	if (ret)
		fpd_hold_end_crcs(fpd->crc_hold);
	else
		WRITE_ONCE(fpd->crc_on, true);
	return ret;
}

static void stop_crcs(struct fpd_device *fpd)
{
	WRITE_ONCE(fpd->crc_on, false);
	drm_crtc_vblank_put(&fpd->crtc);
	fpd_hold_end_crcs(fpd->crc_hold);
}

static int fpd_crtc_set_crc_source(struct drm_crtc *crtc, const char *source)
{
	struct fpd_device *fpd = to_fpd(crtc->dev);
	bool on = source;

	if (!is_crc_source(source))
		return -EINVAL;
	if (on == fpd->crc_on)
		return 0;
	if (on)
		return start_crcs(fpd);
	stop_crcs(fpd);
	return 0;
}

static const struct drm_crtc_helper_funcs fpd_crtc_helper_funcs = {
	.mode_valid = fpd_crtc_mode_valid,
	.atomic_flush = fpd_crtc_atomic_flush,
	.atomic_enable = fpd_crtc_atomic_enable,
	.atomic_disable = fpd_crtc_atomic_disable,
};

static const struct drm_crtc_funcs fpd_crtc_funcs = {
	.reset = drm_atomic_helper_crtc_reset,
	.set_config = drm_atomic_helper_set_config,
	.page_flip = drm_atomic_helper_page_flip,
	.atomic_duplicate_state = drm_atomic_helper_crtc_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_crtc_destroy_state,
	.enable_vblank = fpd_crtc_enable_vblank,
	.disable_vblank = fpd_crtc_disable_vblank,
	.get_vblank_counter = fpd_crtc_get_vblank_counter,
	.get_vblank_timestamp = fpd_crtc_get_vblank_timestamp,
	.get_crc_sources = fpd_crtc_get_crc_sources,
	.verify_crc_source = fpd_crtc_verify_crc_source,
	.set_crc_source = fpd_crtc_set_crc_source,
};

int fpd_crtc_init(struct fpd_device *fpd)
{
	int ret = drmm_crtc_init_with_planes(&fpd->drm, &fpd->crtc, &fpd->primary, NULL,
					     &fpd_crtc_funcs, NULL);

	if (ret)
		return ret;
	drm_crtc_helper_add(&fpd->crtc, &fpd_crtc_helper_funcs);

	fpd->accepted = fpd_read64(fpd, FPD_COMMIT_ACCEPTED);
	/* The counter and the time of the last vblank are exact with the interrupt off. */
	fpd->drm.max_vblank_count = U32_MAX;
	fpd->drm.vblank_disable_immediate = true;
	return drm_vblank_init(&fpd->drm, 1);
}
