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

static unsigned long fpdisp_flip_delay(struct fpdisp_head *head)
{
	int hz = max(drm_mode_vrefresh(&head->mode), 1);

	return msecs_to_jiffies(max_t(unsigned int, FPDISP_FRAMES * MSEC_PER_SEC / hz, FPDISP_FLIP_MS));
}

/*
 * The commit waits still: the scan-out starts anew, and it is given once more. Its registers are as they were written, and no
 * other commit comes before its flip is done.
 */
static void fpdisp_flip_again(struct fpdisp_head *head)
{
	drm_err_ratelimited(head->drm, "commit %llu is not taken, the scan-out starts anew\n",
			    head->flip_number);
	fpdisp_write(head, FPDISP_CRTC_ENABLE, 0);
	/* What was to be written went with the scan-out. */
	fpdisp_writeback_end(head, -EIO);
	fpdisp_start_raster(head, &head->mode);
	head->flip_number = head->accepted + 1;
	if (fpdisp_commit(head, head->flip_number, FPDISP_COMMIT_GO))
		fpdisp_flip_watch_start(head);
}

static void fpdisp_flip_look(struct fpdisp_head *head)
{
	bool waits;

	spin_lock_irq(&head->drm->event_lock);
	waits = head->flip_event;
	if (waits && fpdisp_read64(head, FPDISP_COMMIT_LATCHED) >= head->flip_number) {
		drm_crtc_accurate_vblank_count(&head->crtc);
		drm_crtc_send_vblank_event(&head->crtc, head->flip_event);
		head->flip_event = NULL;
		waits = false;
	}
	spin_unlock_irq(&head->drm->event_lock);
	if (waits)
		fpdisp_flip_again(head);
}

static void fpdisp_flip_watch_work(struct work_struct *work)
{
	struct fpdisp_head *head =
		container_of(to_delayed_work(work), struct fpdisp_head, flip_watch);
	int idx;

	if (!drm_dev_enter(head->drm, &idx))
		return;
	fpdisp_flip_look(head);
	drm_dev_exit(idx);
}

static void fpdisp_flip_watch_end(struct drm_device *drm, void *data)
{
	struct fpdisp_head *head = data;

	cancel_delayed_work_sync(&head->flip_watch);
}

int fpdisp_flip_watch_init(struct fpdisp_head *head)
{
	INIT_DELAYED_WORK(&head->flip_watch, fpdisp_flip_watch_work);
	return drmm_add_action_or_reset(head->drm, fpdisp_flip_watch_end, head);
}

/* The device has taken a commit on. */
void fpdisp_flip_watch_start(struct fpdisp_head *head)
{
	if (FENCEPOST_RECOVERY)
		mod_delayed_work(system_freezable_wq, &head->flip_watch, fpdisp_flip_delay(head));
}
