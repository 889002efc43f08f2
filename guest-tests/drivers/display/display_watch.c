// SPDX-License-Identifier: GPL-2.0
/*
 * Recovery from faults of the device: a commit is taken at the next vertical blank. One that is not, or whose interrupt was
 * lost, would hold up all that follow.
 */

#include <drm/drm_crtc.h>
#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>
#include <drm/drm_vblank.h>

#include <fencepost_recovery.h>

#include "display_drv.h"

#define FPDISP_FLIP_MS	100
/* A commit is taken after one. */
#define FPDISP_FRAMES	3

static unsigned long fpdisp_flip_delay(struct fpdisp_device *disp)
{
	int hz = max(drm_mode_vrefresh(&disp->mode), 1);

	return msecs_to_jiffies(max_t(unsigned int, FPDISP_FRAMES * MSEC_PER_SEC / hz, FPDISP_FLIP_MS));
}

/*
 * The commit waits still: the scan-out starts anew, and it is given once more. Its registers are as they were written, and no
 * other commit comes before its flip is done.
 */
static void fpdisp_flip_again(struct fpdisp_device *disp)
{
	drm_err_ratelimited(&disp->drm, "commit %llu is not taken, the scan-out starts anew\n",
			    disp->flip_number);
	fpdisp_write(disp, FPDISP_CRTC_ENABLE, 0);
	/* What was to be written went with the scan-out. */
	fpdisp_writeback_end(disp, -EIO);
	fpdisp_start_raster(disp, &disp->mode);
	disp->flip_number = disp->accepted + 1;
	if (fpdisp_commit(disp, disp->flip_number, FPDISP_COMMIT_GO))
		fpdisp_flip_watch_start(disp);
}

static void fpdisp_flip_look(struct fpdisp_device *disp)
{
	bool waits;

	spin_lock_irq(&disp->drm.event_lock);
	waits = disp->flip_event;
	if (waits && fpdisp_read64(disp, FPDISP_COMMIT_LATCHED) >= disp->flip_number) {
		drm_crtc_accurate_vblank_count(&disp->crtc);
		drm_crtc_send_vblank_event(&disp->crtc, disp->flip_event);
		disp->flip_event = NULL;
		waits = false;
	}
	spin_unlock_irq(&disp->drm.event_lock);
	if (waits)
		fpdisp_flip_again(disp);
}

static void fpdisp_flip_watch_work(struct work_struct *work)
{
	struct fpdisp_device *disp =
		container_of(to_delayed_work(work), struct fpdisp_device, flip_watch);
	int idx;

	if (!drm_dev_enter(&disp->drm, &idx))
		return;
	fpdisp_flip_look(disp);
	drm_dev_exit(idx);
}

static void fpdisp_flip_watch_end(struct drm_device *drm, void *data)
{
	cancel_delayed_work_sync(&to_fpdisp(drm)->flip_watch);
}

int fpdisp_flip_watch_init(struct fpdisp_device *disp)
{
	INIT_DELAYED_WORK(&disp->flip_watch, fpdisp_flip_watch_work);
	return drmm_add_action_or_reset(&disp->drm, fpdisp_flip_watch_end, NULL);
}

/* The device has taken a commit on. */
void fpdisp_flip_watch_start(struct fpdisp_device *disp)
{
	if (FENCEPOST_RECOVERY)
		mod_delayed_work(system_freezable_wq, &disp->flip_watch, fpdisp_flip_delay(disp));
}
