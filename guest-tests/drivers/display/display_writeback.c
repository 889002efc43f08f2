// SPDX-License-Identifier: GPL-2.0
/*
 * Write-back: a connector whose monitor is a framebuffer. A commit brings a job; the device writes what the CRTC shows from
 * that commit's vertical blank on, and one interrupt ends the job. The device has one at a time: commits wait for it
 * (fpdisp_writeback_wait()).
 */

#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_atomic_state_helper.h>
#include <drm/drm_drv.h>
#include <drm/drm_edid.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_modeset_helper_vtables.h>
#include <drm/drm_print.h>
#include <drm/drm_probe_helper.h>

#include "display_drv.h"
#include "display_hold.h"

/* The longest frame is a second long, and another one passes before it begins. */
#define FPDISP_WRITEBACK_MS	3000

static const u32 fpdisp_writeback_formats[] = { DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888 };

static bool fpdisp_is_writeback_format(u32 format)
{
	int i;

	for (i = 0; i < ARRAY_SIZE(fpdisp_writeback_formats); i++)
		if (fpdisp_writeback_formats[i] == format)
			return true;
	return false;
}

/* The picture is as large as the mode: the device does not scale it. */
static int fpdisp_writeback_atomic_check(struct drm_connector *connector, struct drm_atomic_state *state)
{
	struct drm_connector_state *new = drm_atomic_get_new_connector_state(state, connector);
	struct drm_crtc_state *crtc_state;
	struct drm_framebuffer *fb;

	if (!new->writeback_job || !new->writeback_job->fb)
		return 0;
	fb = new->writeback_job->fb;
	crtc_state = drm_atomic_get_new_crtc_state(state, new->crtc);
	if (fb->width != crtc_state->mode.hdisplay || fb->height != crtc_state->mode.vdisplay)
		return -EINVAL;
	return fpdisp_is_writeback_format(fb->format->format) ? 0 : -EINVAL;
}

/* The job's end is the end of its framebuffer, and may be after that of everything else: see display_hold.h. */
static int fpdisp_writeback_prepare(struct drm_writeback_connector *connector, struct drm_writeback_job *job)
{
	int ret, idx;

	if (!drm_dev_enter(connector->base.dev, &idx))
		return -ENODEV;
	ret = fencepost_bo_map(to_fencepost_bo(job->fb->obj[0]), FPDISP_SG_MAX_ENTRIES);
	drm_dev_exit(idx);
	if (ret)
		return ret;
	job->priv = fpdisp_hold_start(connector->base.dev);
	return job->priv ? 0 : -ENOMEM;
}

static void fpdisp_writeback_cleanup(struct drm_writeback_connector *connector, struct drm_writeback_job *job)
{
	/* Not left to the caller, who has no reference to the device. */
	drm_framebuffer_put(job->fb);
	job->fb = NULL;
	fpdisp_hold_end_later(job->priv);
}

static int fpdisp_writeback_get_modes(struct drm_connector *connector)
{
	struct fpdisp_device *disp = to_fpdisp(connector->dev);

	return drm_add_modes_noedid(connector, disp->max_width, disp->max_height);
}

static const struct drm_connector_helper_funcs fpdisp_writeback_helper_funcs = {
	.get_modes = fpdisp_writeback_get_modes,
	.atomic_check = fpdisp_writeback_atomic_check,
	.prepare_writeback_job = fpdisp_writeback_prepare,
	.cleanup_writeback_job = fpdisp_writeback_cleanup,
};

static const struct drm_connector_funcs fpdisp_writeback_funcs = {
	.fill_modes = drm_helper_probe_single_connector_modes,
	.destroy = drm_connector_cleanup,
	.reset = drm_atomic_helper_connector_reset,
	.atomic_duplicate_state = drm_atomic_helper_connector_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_connector_destroy_state,
};

/* Nothing to be done to it, but the core asks for the table. */
static const struct drm_encoder_helper_funcs fpdisp_writeback_encoder_funcs = { };

static void fpdisp_writeback_stage(struct fpdisp_head *head, const struct drm_framebuffer *fb)
{
	const struct fencepost_sg_list *sg = &to_fencepost_bo(fb->obj[0])->sg;

	fpdisp_write(head, FPDISP_WRITEBACK_FORMAT, fb->format->format);
	fpdisp_write(head, FPDISP_WRITEBACK_TABLE, lower_32_bits(sg->dma));
	fpdisp_write(head, FPDISP_WRITEBACK_TABLE + 4, upper_32_bits(sg->dma));
	fpdisp_write(head, FPDISP_WRITEBACK_ENTRIES, sg->count);
	fpdisp_write(head, FPDISP_WRITEBACK_OFFSET, fb->offsets[0]);
	fpdisp_write(head, FPDISP_WRITEBACK_PITCH, fb->pitches[0]);
	fpdisp_write(head, FPDISP_WRITEBACK_CONTROL, 1);
}

/* Has the commit that takes this number bring its job, if it has one. Before it goes to the device. */
void fpdisp_writeback_begin(struct fpdisp_head *head, struct drm_atomic_state *state, u64 number)
{
	struct drm_connector *connector = &head->writeback.base;
	struct drm_connector_state *new = drm_atomic_get_new_connector_state(state, connector);
	struct drm_framebuffer *fb;
	int idx;

	if (!new || !new->writeback_job || !new->writeback_job->fb)
		return;
	fb = new->writeback_job->fb;
	drm_writeback_queue_job(&head->writeback, new);
	WRITE_ONCE(head->writeback_number, number);
	if (!drm_dev_enter(head->drm, &idx)) {
		fpdisp_writeback_end(head, -ENODEV);
		return;
	}
	fpdisp_writeback_stage(head, fb);
	drm_dev_exit(idx);
}

/* Ends the job that the device has, if it has one. */
void fpdisp_writeback_end(struct fpdisp_head *head, int status)
{
	unsigned long flags;
	u64 number;

	spin_lock_irqsave(&head->writeback_lock, flags);
	number = head->writeback_number;
	WRITE_ONCE(head->writeback_number, 0);
	spin_unlock_irqrestore(&head->writeback_lock, flags);
	if (!number)
		return;
	drm_writeback_signal_completion(&head->writeback, status);
	wake_up_all(&head->writeback_wait);
}

/* A job may have ended without its interrupt. */
static bool fpdisp_writeback_look(struct fpdisp_head *head)
{
	u64 number = READ_ONCE(head->writeback_number);

	if (!number || fpdisp_read64(head, FPDISP_WRITEBACK_DONE) < number)
		return false;
	fpdisp_writeback_end(head, fpdisp_read(head, FPDISP_WRITEBACK_STATUS) & FPDISP_WRITEBACK_FAILED ? -EIO : 0);
	return true;
}

irqreturn_t fpdisp_writeback_irq(int irq, void *arg)
{
	struct fpdisp_head *head = arg;

	fpdisp_write(head, FPDISP_IRQ_STATUS, FPDISP_IRQ_WRITEBACK);
	fpdisp_writeback_look(head);
	return IRQ_HANDLED;
}

/* Before a commit, and before the CRTC goes off: the frame that is written is given its time to end. */
void fpdisp_writeback_wait(struct fpdisp_head *head)
{
	int idx;

	if (wait_event_timeout(head->writeback_wait, !READ_ONCE(head->writeback_number),
			       msecs_to_jiffies(FPDISP_WRITEBACK_MS)))
		return;
	if (drm_dev_enter(head->drm, &idx)) {
		if (!fpdisp_writeback_look(head))
			drm_err(head->drm, "The write-back of commit %llu does not end\n", head->writeback_number);
		drm_dev_exit(idx);
	}
	fpdisp_writeback_end(head, -ETIMEDOUT);
}

int fpdisp_writeback_init(struct fpdisp_head *head)
{
	int ret;

	spin_lock_init(&head->writeback_lock);
	init_waitqueue_head(&head->writeback_wait);
	drm_connector_helper_add(&head->writeback.base, &fpdisp_writeback_helper_funcs);
	ret = drm_writeback_connector_init(head->drm, &head->writeback, &fpdisp_writeback_funcs,
					   &fpdisp_writeback_encoder_funcs, fpdisp_writeback_formats,
					   ARRAY_SIZE(fpdisp_writeback_formats), drm_crtc_mask(&head->crtc));
	if (ret)
		return ret;
	/* The screen and the framebuffer show the same. */
	head->encoder.possible_clones = drm_encoder_mask(&head->encoder) | drm_encoder_mask(&head->writeback.encoder);
	head->writeback.encoder.possible_clones = head->encoder.possible_clones;
	return 0;
}
