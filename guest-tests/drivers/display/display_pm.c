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

#include "display_drv.h"

/* From whatever state the device is in: after power-on, another driver, sleep or a reset. */
void fpd_hw_start(struct fpd_device *fpd)
{
	fpd_write(fpd, FPD_CRTC_ENABLE, 0);
	fpd_write(fpd, FPD_ERROR_STATUS, U32_MAX);
	fpd_irq_mask(fpd, U32_MAX, FPD_IRQ_FLIP_DONE | FPD_IRQ_ERROR);
	fpd->accepted = fpd_read64(fpd, FPD_COMMIT_ACCEPTED);
}

/* When it returns the device reads no more memory and raises no more interrupts. */
void fpd_hw_stop(struct fpd_device *fpd)
{
	fpd_write(fpd, FPD_CRTC_ENABLE, 0);
	fpd_irq_mask(fpd, U32_MAX, 0);
}

/*
 * A commit may wait for another device's fence, and that device may sleep before this one does. So commits end here, where
 * user space is frozen and no device sleeps yet. An error keeps the machine awake.
 */
static int fpd_prepare(struct device *dev)
{
	struct drm_device *drm = dev_get_drvdata(dev);
	struct drm_crtc *crtc = &to_fpd(drm)->crtc;
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

static int fpd_suspend(struct device *dev)
{
	struct drm_device *drm = dev_get_drvdata(dev);
	int ret = drm_mode_config_helper_suspend(drm);

	if (!ret)
		fpd_hw_stop(to_fpd(drm));
	return ret;
}

static int fpd_resume(struct device *dev)
{
	struct drm_device *drm = dev_get_drvdata(dev);

	fpd_hw_start(to_fpd(drm));
	return drm_mode_config_helper_resume(drm);
}

const struct dev_pm_ops fpd_pm_ops = {
	.prepare = fpd_prepare,
	SYSTEM_SLEEP_PM_OPS(fpd_suspend, fpd_resume)
};

/*
 * Commits wait for the modeset locks, which are held from here to fpd_reset_done(): one task calls
 * both, one after the other.
 */
static void fpd_reset_prepare(struct pci_dev *pdev)
{
	struct drm_device *drm = pci_get_drvdata(pdev);
	struct fpd_device *fpd = to_fpd(drm);
	struct drm_modeset_acquire_ctx *ctx;
	int ret;

	drm_modeset_lock_all(drm);
	ctx = drm->mode_config.acquire_ctx;
	fpd->reset_state = drm_atomic_helper_duplicate_state(drm, ctx);
	ret = PTR_ERR_OR_ZERO(fpd->reset_state);
	if (ret)
		fpd->reset_state = NULL;
	else
		ret = drm_atomic_helper_disable_all(drm, ctx);
	if (ret)
		drm_err(drm, "Cannot switch off before a reset: %d\n", ret);
	fpd_hw_stop(fpd);
}

static void fpd_reset_done(struct pci_dev *pdev)
{
	struct drm_device *drm = pci_get_drvdata(pdev);
	struct fpd_device *fpd = to_fpd(drm);
	int ret = -ENOMEM;

	fpd_hw_start(fpd);
	if (fpd->reset_state) {
		ret = drm_atomic_helper_commit_duplicated_state(fpd->reset_state,
								drm->mode_config.acquire_ctx);
		drm_atomic_state_put(fpd->reset_state);
		fpd->reset_state = NULL;
	}
	if (ret)
		drm_err(drm, "Cannot show again after a reset what was shown: %d\n", ret);
	drm_modeset_unlock_all(drm);
}

const struct pci_error_handlers fpd_error_handlers = {
	.reset_prepare = fpd_reset_prepare,
	.reset_done = fpd_reset_done,
};
