// SPDX-License-Identifier: GPL-2.0
/*
 * Recovery from faults of the device: while the stream is on, the driver looks now and then whether frames come. One that
 * stands still, or that the device has halted, is started again with the buffers that the device had.
 */

#include <linux/math64.h>

#include <fencepost_recovery.h>

#include "camera_drv.h"

#define FPCAM_WATCH_MS		100
/* Frames come at least once in this many periods. */
#define FPCAM_WATCH_PERIODS	3
/* So often in a row without a frame, and the stream is given up. */
#define FPCAM_MAX_RESTARTS	3

static unsigned long fpcam_watch_delay(struct fpcam_device *cam)
{
	u64 ms = mul_u64_u32_div(FPCAM_WATCH_PERIODS * MSEC_PER_SEC, cam->interval.numerator,
				 cam->interval.denominator);

	return msecs_to_jiffies(max_t(u64, ms, FPCAM_WATCH_MS));
}

static void fpcam_restart(struct fpcam_device *cam)
{
	if (cam->restarted_at != cam->next_sequence)
		cam->restarts = 0;
	cam->restarted_at = cam->next_sequence;
	if (!FENCEPOST_RECOVERY || cam->restarts++ == FPCAM_MAX_RESTARTS) {
		vb2_queue_error(&cam->queue);
		fpcam_sync_give_up(cam);
		return;
	}
	dev_warn_ratelimited(&cam->pdev->dev, "no frames, the stream starts again\n");
	fpcam_pause(cam);
	fpcam_resume(cam);
}

static void fpcam_look(struct fpcam_device *cam)
{
	u32 sequence = fpcam_read(cam, FPCAM_SEQUENCE);

	/* Frames whose interrupts were lost. */
	if (FENCEPOST_RECOVERY)
		fpcam_drain(cam);
	if (fpcam_read(cam, FPCAM_STATUS) & FPCAM_STATUS_HALTED ||
	    (FENCEPOST_RECOVERY && sequence == cam->watched_sequence)) {
		fpcam_restart(cam);
		sequence = U32_MAX;
	}
	cam->watched_sequence = sequence;
	queue_delayed_work(system_freezable_wq, &cam->watch, fpcam_watch_delay(cam));
}

static void fpcam_watch_work(struct work_struct *work)
{
	struct fpcam_device *cam = container_of(to_delayed_work(work), struct fpcam_device, watch);

	mutex_lock(&cam->lock);
	if (cam->streaming && !cam->queue.error)
		fpcam_look(cam);
	mutex_unlock(&cam->lock);
}

void fpcam_watch_init(struct fpcam_device *cam)
{
	INIT_DELAYED_WORK(&cam->watch, fpcam_watch_work);
}

/* The stream has gone on. It ends by itself when the stream does. */
void fpcam_watch_start(struct fpcam_device *cam)
{
	cam->watched_sequence = U32_MAX;
	cam->restarts = 0;
	mod_delayed_work(system_freezable_wq, &cam->watch, fpcam_watch_delay(cam));
}

/* The device has halted. */
void fpcam_watch_now(struct fpcam_device *cam)
{
	mod_delayed_work(system_freezable_wq, &cam->watch, 0);
}
