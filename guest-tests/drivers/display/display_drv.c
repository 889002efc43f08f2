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

#include "display_drv.h"
#include "display_hold.h"

#define FPD_VENDOR 0xfe9c
#define FPD_DEVICE 0x0003

DEFINE_DRM_GEM_FOPS(fpd_fops);

static const struct drm_driver fpd_driver = {
	.driver_features = DRIVER_GEM | DRIVER_MODESET | DRIVER_ATOMIC,
	.fops = &fpd_fops,
	DRM_GEM_SHMEM_DRIVER_OPS,
	.gem_create_object = fpd_bo_create,
	.prime_handle_to_fd = fencepost_bo_export,
	.gem_prime_import = fencepost_bo_import,
	.name = FPD_NAME,
	.desc = "Fencepost display controller",
	.date = "20260101",
	.major = 1,
	.minor = 0,
};

/* A flip is over when its interrupt came; there is no need to wait for a vblank after that. */
static void fpd_commit_tail(struct drm_atomic_state *state)
{
	struct drm_device *drm = state->dev;

	drm_atomic_helper_commit_modeset_disables(drm, state);
	drm_atomic_helper_commit_modeset_enables(drm, state);
	drm_atomic_helper_commit_planes(drm, state, DRM_PLANE_COMMIT_ACTIVE_ONLY);
	drm_atomic_helper_commit_hw_done(state);
	drm_atomic_helper_wait_for_flip_done(drm, state);
	drm_atomic_helper_cleanup_planes(drm, state);
}

/* Before user space gets a commit's out-fences. */
static int fpd_atomic_commit(struct drm_device *drm, struct drm_atomic_state *state, bool nonblock)
{
	int ret = fpd_hold_for_fences(state);

	return ret ? ret : drm_atomic_helper_commit(drm, state, nonblock);
}

static const struct drm_mode_config_helper_funcs fpd_mode_config_helper_funcs = {
	.atomic_commit_tail = fpd_commit_tail,
};

static const struct drm_mode_config_funcs fpd_mode_config_funcs = {
	.fb_create = fpd_fb_create,
	.atomic_check = drm_atomic_helper_check,
	.atomic_commit = fpd_atomic_commit,
};

static int fpd_mode_config_init(struct fpd_device *fpd)
{
	struct drm_mode_config *config = &fpd->drm.mode_config;
	u32 max = fpd_read(fpd, FPD_MAX_SIZE);
	int ret = drmm_mode_config_init(&fpd->drm);

	if (ret)
		return ret;
	fpd->max_width = max & 0xffff;
	fpd->max_height = max >> 16;
	config->min_width = 1;
	config->min_height = 1;
	config->max_width = fpd->max_width;
	config->max_height = fpd->max_height;
	config->preferred_depth = 24;
	config->funcs = &fpd_mode_config_funcs;
	config->helper_private = &fpd_mode_config_helper_funcs;
	return 0;
}

static int fpd_modeset_init(struct fpd_device *fpd)
{
	int ret = fpd_mode_config_init(fpd);

	if (!ret)
		ret = fpd_plane_init(fpd);
	if (!ret)
		ret = fpd_crtc_init(fpd);
	if (!ret)
		ret = fpd_output_init(fpd);
	if (!ret)
		drm_mode_config_reset(&fpd->drm);
	return ret;
}

static int fpd_map(struct fpd_device *fpd, struct pci_dev *pdev)
{
	int ret = pcim_enable_device(pdev);

	if (ret)
		return ret;
	ret = pcim_iomap_regions(pdev, BIT(0), KBUILD_MODNAME);
	if (ret)
		return ret;
	fpd->regs = pcim_iomap_table(pdev)[0];
	if (fpd_read(fpd, FPD_ID) != FPD_ID_VALUE)
		return -ENODEV;
	/* Left over from an earlier driver, if there was one. */
	fpd_hw_stop(fpd);

	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, U32_MAX & PAGE_MASK);
	pci_set_master(pdev);
	return 0;
}

/* What needs no device, and is there as long as anybody has the drm_device. */
static int fpd_init(struct fpd_device *fpd)
{
	int ret = fpd_hold_count(&fpd->drm);

	if (ret)
		return ret;
	spin_lock_init(&fpd->irq_lock);
	fencepost_bos_init(&fpd->bos);
	return 0;
}

static int fpd_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct fpd_device *fpd;
	int ret;

	fpd = devm_drm_dev_alloc(&pdev->dev, &fpd_driver, struct fpd_device, drm);
	if (IS_ERR(fpd))
		return PTR_ERR(fpd);
	pci_set_drvdata(pdev, &fpd->drm);

	ret = fpd_init(fpd);
	if (!ret)
		ret = fpd_map(fpd, pdev);
	if (!ret)
		ret = fpd_modeset_init(fpd);
	if (!ret)
		ret = fpd_irq_init(fpd, pdev);
	if (ret)
		return ret;
	fpd_hw_start(fpd);
	return drm_dev_register(&fpd->drm, 0);
}

/*
 * The device goes, or only the driver: whoever holds something keeps it, and gets ENODEV. Each step
 * needs the one before: nobody starts anything new; the device stops, if it is still there to be
 * stopped; what waits for it ends, and the screen is off for DRM too; no memory is mapped for it.
 */
static void fpd_remove(struct pci_dev *pdev)
{
	struct drm_device *drm = pci_get_drvdata(pdev);
	struct fpd_device *fpd = to_fpd(drm);

	drm_dev_unplug(drm);
	fpd_hw_stop(fpd);
	fpd_crtc_complete_flip(fpd);
	drm_atomic_helper_shutdown(drm);
	fencepost_bos_unmap(&fpd->bos);
}

static void fpd_shutdown(struct pci_dev *pdev)
{
	struct drm_device *drm = pci_get_drvdata(pdev);

	drm_atomic_helper_shutdown(drm);
	fpd_hw_stop(to_fpd(drm));
}

static const struct pci_device_id fpd_ids[] = {
	{ PCI_DEVICE(FPD_VENDOR, FPD_DEVICE) },
	{ }
};
MODULE_DEVICE_TABLE(pci, fpd_ids);

static struct pci_driver fpd_pci_driver = {
	.name = FPD_NAME,
	.id_table = fpd_ids,
	.probe = fpd_probe,
	.remove = fpd_remove,
	.shutdown = fpd_shutdown,
	.err_handler = &fpd_error_handlers,
	.driver.pm = pm_sleep_ptr(&fpd_pm_ops),
};

static int __init fpd_module_init(void)
{
	int ret = fpd_hold_init();

	if (ret)
		return ret;
	ret = pci_register_driver(&fpd_pci_driver);
	if (ret)
		fpd_hold_exit();
	return ret;
}
module_init(fpd_module_init);

static void __exit fpd_module_exit(void)
{
	pci_unregister_driver(&fpd_pci_driver);
	fpd_hold_exit();
}
module_exit(fpd_module_exit);

MODULE_DESCRIPTION("Fencepost display controller");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DMA_BUF);
