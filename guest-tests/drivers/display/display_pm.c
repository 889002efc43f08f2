// SPDX-License-Identifier: GPL-2.0
/*
 * The device starts, stops, sleeps and is reset. While it sleeps or is reset nothing is shown and
 * no DMA is under way; what was shown before is shown afterwards.
 */

#include <linux/pci.h>
#include <linux/pm.h>

#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_modeset_helper.h>
#include <drm/drm_modeset_lock.h>
#include <drm/drm_print.h>
#include <drm/drm_probe_helper.h>

#include "display_drv.h"

/* From whatever state the device is in: after power-on, another driver, sleep or a reset. */
void fpdisp_hw_start(struct fpdisp_device *disp)
{
	struct fpdisp_head *head;

	fpdisp_for_each_head(head, disp) {
		fpdisp_write(head, FPDISP_CRTC_ENABLE, 0);
		fpdisp_write(head, FPDISP_ERROR_STATUS, U32_MAX);
		fpdisp_irq_mask(head, U32_MAX, FPDISP_IRQ_FLIP_DONE | FPDISP_IRQ_ERROR |
					     FPDISP_IRQ_HOTPLUG | FPDISP_IRQ_WRITEBACK);
		head->accepted = fpdisp_read64(head, FPDISP_COMMIT_ACCEPTED);
	}
}

/* When it returns the device reads no more memory and raises no more interrupts. */
void fpdisp_hw_stop(struct fpdisp_device *disp)
{
	struct fpdisp_head *head;

	fpdisp_for_each_head(head, disp) {
		fpdisp_write(head, FPDISP_CRTC_ENABLE, 0);
		fpdisp_irq_mask(head, U32_MAX, 0);
	}
}

/*
 * A commit may wait for another device's fence, and that device may sleep before this one does. So
 * commits end here, where user space is frozen and no device sleeps yet. An error keeps the machine
 * awake.
 */
static int fpdisp_crtc_settle(struct drm_crtc *crtc)
{
	struct drm_crtc_commit *commit;
	int ret;

	drm_modeset_lock(&crtc->mutex, NULL);
	commit = crtc->state->commit;
	if (commit)
		drm_crtc_commit_get(commit);
	drm_modeset_unlock(&crtc->mutex);
	if (!commit)
		return 0;
	ret = drm_crtc_commit_wait(commit);
	drm_crtc_commit_put(commit);
	return ret;
}

static int fpdisp_prepare(struct device *dev)
{
	struct drm_device *drm = dev_get_drvdata(dev);
	struct fpdisp_head *head;
	int ret = 0;

	fpdisp_for_each_head(head, to_fpdisp(drm))
		if (!ret)
			ret = fpdisp_crtc_settle(&head->crtc);
	return ret;
}

static int fpdisp_suspend(struct device *dev)
{
	struct drm_device *drm = dev_get_drvdata(dev);
	int ret = drm_mode_config_helper_suspend(drm);

	if (!ret)
		fpdisp_hw_stop(to_fpdisp(drm));
	return ret;
}

static int fpdisp_resume(struct device *dev)
{
	struct drm_device *drm = dev_get_drvdata(dev);
	struct fpdisp_head *head;
	int ret;

	fpdisp_hw_start(to_fpdisp(drm));
	ret = drm_mode_config_helper_resume(drm);
	/* Nobody listened to the connectors meanwhile. */
	fpdisp_for_each_head(head, to_fpdisp(drm))
		drm_connector_helper_hpd_irq_event(&head->connector);
	return ret;
}

const struct dev_pm_ops fpdisp_pm_ops = {
	.prepare = fpdisp_prepare,
	SYSTEM_SLEEP_PM_OPS(fpdisp_suspend, fpdisp_resume)
};

/*
 * Commits wait for the modeset locks, which are held from here to fpdisp_reset_done(): one task
 * calls both, one after the other.
 */
static void fpdisp_reset_prepare(struct pci_dev *pdev)
{
	struct drm_device *drm = pci_get_drvdata(pdev);
	struct fpdisp_device *disp = to_fpdisp(drm);
	struct drm_modeset_acquire_ctx *ctx;
	int ret;

	drm_modeset_lock_all(drm);
	ctx = drm->mode_config.acquire_ctx;
	disp->reset_state = drm_atomic_helper_duplicate_state(drm, ctx);
	ret = PTR_ERR_OR_ZERO(disp->reset_state);
	if (ret)
		disp->reset_state = NULL;
	else
		ret = drm_atomic_helper_disable_all(drm, ctx);
	if (ret)
		drm_err(drm, "Cannot switch off before a reset: %d\n", ret);
	fpdisp_hw_stop(disp);
}

static void fpdisp_reset_done(struct pci_dev *pdev)
{
	struct drm_device *drm = pci_get_drvdata(pdev);
	struct fpdisp_device *disp = to_fpdisp(drm);
	int ret = -ENOMEM;

	fpdisp_hw_start(disp);
	if (disp->reset_state) {
		ret = drm_atomic_helper_commit_duplicated_state(disp->reset_state,
								drm->mode_config.acquire_ctx);
		drm_atomic_state_put(disp->reset_state);
		disp->reset_state = NULL;
	}
	if (ret)
		drm_err(drm, "Cannot show again after a reset what was shown: %d\n", ret);
	drm_modeset_unlock_all(drm);
}

const struct pci_error_handlers fpdisp_err_handlers = {
	.reset_prepare = fpdisp_reset_prepare,
	.reset_done = fpdisp_reset_done,
};
