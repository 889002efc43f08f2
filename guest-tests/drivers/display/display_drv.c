// SPDX-License-Identifier: GPL-2.0
/*
 * Atomic mode-setting driver of the Fencepost display controller (docs/display.md). The device
 * reads framebuffers by DMA, through scatter-gather lists: nothing here touches a pixel.
 */

#include <linux/dma-mapping.h>
#include <linux/module.h>
#include <linux/pci.h>

#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/drm_managed.h>
#include <drm/drm_mode_config.h>
#include <drm/drm_print.h>
#include <drm/drm_vblank.h>

#include <fencepost_pci.h>
#include <fencepost_recovery.h>

#include "display_drv.h"
#include "display_hold.h"

DEFINE_DRM_GEM_FOPS(fpdisp_fops);

static const struct drm_driver fpdisp_drm_driver = {
	.driver_features = DRIVER_GEM | DRIVER_MODESET | DRIVER_ATOMIC | DRIVER_SYNCOBJ |
			   DRIVER_SYNCOBJ_TIMELINE,
	.fops = &fpdisp_fops,
	.dumb_create = drm_gem_shmem_dumb_create,
	.gem_create_object = fpdisp_bo_alloc,
	FENCEPOST_BO_DRIVER_OPS,
	.name = FENCEPOST_DISPLAY_DRIVER_NAME,
	.desc = "Fencepost display controller",
	.date = "20260101",
	.major = 1,
	.minor = 0,
};

/* A flip is over when its interrupt came; there is no need to wait for a vblank after that. */
static void fpdisp_commit_tail(struct drm_atomic_state *state)
{
	struct drm_device *drm = state->dev;
	struct drm_crtc_state *unused;
	struct drm_crtc *crtc;
	int i;

	for_each_new_crtc_in_state(state, crtc, unused, i)
		fpdisp_writeback_wait(to_head(crtc));
	drm_atomic_helper_commit_modeset_disables(drm, state);
	drm_atomic_helper_commit_modeset_enables(drm, state);
	drm_atomic_helper_commit_planes(drm, state, DRM_PLANE_COMMIT_ACTIVE_ONLY);
	drm_atomic_helper_commit_hw_done(state);
	drm_atomic_helper_wait_for_flip_done(drm, state);
	drm_atomic_helper_cleanup_planes(drm, state);
}

/* Before user space gets a commit's out-fences. */
static int fpdisp_atomic_commit(struct drm_device *drm, struct drm_atomic_state *state,
				bool nonblock)
{
	int ret = fpdisp_hold_for_fences(state);

	return ret ? ret : drm_atomic_helper_commit(drm, state, nonblock);
}

static int fpdisp_atomic_check(struct drm_device *drm, struct drm_atomic_state *state)
{
	int ret = drm_atomic_helper_check(drm, state);

	/* A cursor that does not only move changes with a commit, and the device takes one a vblank: the old ioctls wait for it. */
	if (!state->async_update)
		state->legacy_cursor_update = false;
	return ret;
}

static const struct drm_mode_config_helper_funcs fpdisp_mode_config_helper_funcs = {
	.atomic_commit_tail = fpdisp_commit_tail,
};

static const struct drm_mode_config_funcs fpdisp_mode_config_funcs = {
	.fb_create = fpdisp_fb_create,
	.atomic_check = fpdisp_atomic_check,
	.atomic_commit = fpdisp_atomic_commit,
};

static int fpdisp_mode_config_init(struct fpdisp_device *disp)
{
	struct drm_mode_config *config = &disp->drm.mode_config;
	u32 max = readl(disp->regs + FPDISP_MAX_SIZE);
	int ret = drmm_mode_config_init(&disp->drm);

	if (ret)
		return ret;
	disp->max_width = max & 0xffff;
	disp->max_height = max >> 16;
	config->min_width = 1;
	config->min_height = 1;
	config->max_width = disp->max_width;
	config->max_height = disp->max_height;
	config->cursor_width = FPDISP_CURSOR_MAX;
	config->cursor_height = FPDISP_CURSOR_MAX;
	config->preferred_depth = 24;
	config->normalize_zpos = true;
	config->async_page_flip = true;
	config->funcs = &fpdisp_mode_config_funcs;
	config->helper_private = &fpdisp_mode_config_helper_funcs;
	/* The counter and the time of the last vblank are exact with the interrupt off. */
	disp->drm.max_vblank_count = FENCEPOST_HAS(count) ? U32_MAX : 0;
	disp->drm.vblank_disable_immediate = true;
	return drm_vblank_init(&disp->drm, FPDISP_HEADS);
}

static int fpdisp_head_init(struct fpdisp_head *head)
{
	int ret = fpdisp_planes_init(head);

	if (!ret)
		ret = fpdisp_flip_watch_init(head);
	if (!ret)
		ret = fpdisp_crtc_init(head);
	if (!ret)
		ret = fpdisp_output_init(head);
	if (!ret)
		ret = fpdisp_writeback_init(head);
	return ret;
}

static int fpdisp_modeset_init(struct fpdisp_device *disp)
{
	int ret = fpdisp_mode_config_init(disp);
	struct fpdisp_head *head;

	fpdisp_for_each_head(head, disp)
		if (!ret)
			ret = fpdisp_head_init(head);
	if (!ret)
		drm_mode_config_reset(&disp->drm);
	return ret;
}

static int fpdisp_map(struct fpdisp_device *disp, struct pci_dev *pdev)
{
	int ret = pcim_enable_device(pdev);
	struct fpdisp_head *head;

	if (ret)
		return ret;
	/* An older device has the registers of one head. */
	if (pci_resource_len(pdev, 0) < FPDISP_HEADS * FPDISP_HEAD_STRIDE)
		return -ENODEV;
	ret = pcim_iomap_regions(pdev, BIT(0), FENCEPOST_DISPLAY_DRIVER_NAME);
	if (ret)
		return ret;
	disp->regs = pcim_iomap_table(pdev)[0];
	if (readl(disp->regs + FPDISP_ID) != FPDISP_ID_VALUE)
		return -ENODEV;
	fpdisp_for_each_head(head, disp)
		head->regs = disp->regs + FPDISP_HEAD_STRIDE * fpdisp_head_index(head);
	/* Left over from an earlier driver, if there was one. */
	fpdisp_hw_stop(disp);

	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, FENCEPOST_SG_MAX_LEN);
	pci_set_master(pdev);
	return 0;
}

/* What needs no device, and is there as long as anybody has the drm_device. */
static int fpdisp_init(struct fpdisp_device *disp)
{
	int ret = fpdisp_hold_count(&disp->drm);
	struct fpdisp_head *head;

	if (ret)
		return ret;
	fpdisp_for_each_head(head, disp) {
		head->drm = &disp->drm;
		spin_lock_init(&head->irq_lock);
	}
	fencepost_bos_init(&disp->bos);
	return 0;
}

static int fpdisp_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct fpdisp_device *disp;
	int ret;

	disp = devm_drm_dev_alloc(&pdev->dev, &fpdisp_drm_driver, struct fpdisp_device, drm);
	if (IS_ERR(disp))
		return PTR_ERR(disp);
	pci_set_drvdata(pdev, &disp->drm);

	ret = fpdisp_init(disp);
	if (!ret)
		ret = fpdisp_map(disp, pdev);
	if (!ret)
		ret = fpdisp_modeset_init(disp);
	if (!ret)
		ret = fpdisp_irq_init(disp, pdev);
	if (ret)
		return ret;
	fpdisp_hw_start(disp);
	return drm_dev_register(&disp->drm, 0);
}

/*
 * The device goes, or only the driver: whoever holds something keeps it, and gets ENODEV. Each step
 * needs the one before: nobody starts anything new; the device stops, if it is still there to be
 * stopped; what waits for it ends, and the screen is off for DRM too; no memory is mapped for it.
 */
static void fpdisp_remove(struct pci_dev *pdev)
{
	struct drm_device *drm = pci_get_drvdata(pdev);
	struct fpdisp_device *disp = to_fpdisp(drm);
	struct fpdisp_head *head;

	drm_dev_unplug(drm);
	fpdisp_hw_stop(disp);
	fpdisp_for_each_head(head, disp) {
		fpdisp_crtc_complete_flip(head);
		fpdisp_writeback_end(head, -ENODEV);
	}
	drm_atomic_helper_shutdown(drm);
	fencepost_bos_unmap(&disp->bos);
}

static void fpdisp_shutdown(struct pci_dev *pdev)
{
	struct drm_device *drm = pci_get_drvdata(pdev);

	drm_atomic_helper_shutdown(drm);
	fpdisp_hw_stop(to_fpdisp(drm));
}

static const struct pci_device_id fpdisp_pci_ids[] = {
	{ PCI_DEVICE(FENCEPOST_PCI_VENDOR, FENCEPOST_PCI_DEVICE_DISPLAY) },
	{ }
};
MODULE_DEVICE_TABLE(pci, fpdisp_pci_ids);

static struct pci_driver fpdisp_pci_driver = {
	.name = FENCEPOST_DISPLAY_DRIVER_NAME,
	.id_table = fpdisp_pci_ids,
	.probe = fpdisp_probe,
	.remove = fpdisp_remove,
	.shutdown = fpdisp_shutdown,
	.err_handler = &fpdisp_err_handlers,
	.driver.pm = pm_sleep_ptr(&fpdisp_pm_ops),
};

static int __init fpdisp_module_init(void)
{
	int ret = fpdisp_hold_init();

	if (ret)
		return ret;
	ret = pci_register_driver(&fpdisp_pci_driver);
	if (ret)
		fpdisp_hold_exit();
	return ret;
}
module_init(fpdisp_module_init);

static void __exit fpdisp_module_exit(void)
{
	pci_unregister_driver(&fpdisp_pci_driver);
	fpdisp_hold_exit();
}
module_exit(fpdisp_module_exit);

MODULE_DESCRIPTION("DRM mode-setting driver for the Fencepost display controller");
MODULE_AUTHOR("The Fencepost project");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DMA_BUF);
