// SPDX-License-Identifier: GPL-2.0
/*
 * The Fencepost GPU's DRM render driver: the PCI device and its interrupts.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/pm.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_ioctl.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include <fencepost_pci.h>
#include <fencepost_recovery.h>

#include "gpu_drv.h"
#include "gpu_compat.h"

static irqreturn_t fpgpu_fence_irq(int irq, void *data)
{
	struct fpgpu_ring *ring = data;

	if (FENCEPOST_HAS(seqno))
		fpgpu_ring_retire(ring);
	else
		fpgpu_ring_retire_one(ring);
	return IRQ_HANDLED;
}

static irqreturn_t fpgpu_error_irq(int irq, void *data)
{
	struct fpgpu_device *gpu = data;
	u32 halted = readl(gpu->regs + FPGPU_ERROR_RINGS);
	unsigned int i;

	/* Nothing answers: the device is gone, or in a reset. */
	if (halted == U32_MAX)
		return IRQ_NONE;
	for (i = 0; i < gpu->info.rings; i++) {
		if (halted & BIT(i))
			drm_sched_fault(&gpu->ring[i].sched);
	}
	return halted ? IRQ_HANDLED : IRQ_NONE;
}

static int fpgpu_ioctl_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_info *args = data;

	*args = to_fpgpu(drm)->info;
	return 0;
}

static int fpgpu_ioctl_ring_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_ring_info *args = data;
	struct fpgpu_device *gpu = to_fpgpu(drm);
	struct fpgpu_ring *ring;
	int idx;

	if (args->ring >= gpu->info.rings)
		return -EINVAL;
	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	ring = &gpu->ring[args->ring];
	args->seqno = le64_to_cpu(READ_ONCE(ring->words->fence));
	mutex_lock(&ring->stats_lock);
	args->error_count = ring->errors;
	args->resets = ring->resets;
	args->last_error = ring->last_error;
	args->last_error_address = ring->last_error_address;
	mutex_unlock(&ring->stats_lock);
	drm_dev_exit(idx);
	return 0;
}

static const struct drm_ioctl_desc fpgpu_ioctls[] = {
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_INFO, fpgpu_ioctl_info, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_RING_INFO, fpgpu_ioctl_ring_info, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_BO_CREATE, fpgpu_ioctl_bo_create, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_BO_OFFSET, fpgpu_ioctl_bo_offset, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_BO_WAIT, fpgpu_ioctl_bo_wait, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_BO_ADDRESS, fpgpu_ioctl_bo_address, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_SUBMIT, fpgpu_ioctl_submit, DRM_RENDER_ALLOW),
};

static const struct file_operations fpgpu_fops = {
	.owner = THIS_MODULE,
	DRM_GEM_FOPS,
	.show_fdinfo = fpgpu_compat_show_fdinfo,
};

static const struct drm_driver fpgpu_drm_driver = {
	.driver_features = DRIVER_GEM | DRIVER_RENDER | DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE,
	.open = fpgpu_open,
	.postclose = fpgpu_postclose,
	FPGPU_COMPAT_SHOW_USAGE
	.gem_create_object = fpgpu_bo_alloc,
	FENCEPOST_BO_DRIVER_OPS,
	.ioctls = fpgpu_ioctls,
	.num_ioctls = ARRAY_SIZE(fpgpu_ioctls),
	.fops = &fpgpu_fops,
	.name = FENCEPOST_GPU_DRIVER_NAME,
	.desc = "Fencepost GPU",
	.date = "20260101",
	.major = 1,
	.minor = 0,
};

static int fpgpu_init_interrupts(struct fpgpu_device *gpu, struct pci_dev *pdev)
{
	unsigned int rings = gpu->info.rings;
	unsigned int i;
	int ret;

	ret = pci_alloc_irq_vectors(pdev, rings + 1, rings + 1, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	for (i = 0; i < rings; i++) {
		ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, i), fpgpu_fence_irq, 0,
				       gpu->ring[i].name, &gpu->ring[i]);
		if (ret)
			return ret;
	}
	gpu->error_irq = pci_irq_vector(pdev, rings);
	return devm_request_irq(&pdev->dev, gpu->error_irq, fpgpu_error_irq, 0,
				"fpgpu-error", gpu);
}

/* Checks that this is the device that the driver was written for, and resets it. */
int fpgpu_check_device(struct fpgpu_device *gpu)
{
	u32 id = readl(gpu->regs + FPGPU_ID);
	u32 version = readl(gpu->regs + FPGPU_VERSION);

	if (id != FPGPU_ID_VALUE || version >> 16 != FPGPU_VERSION_MAJOR ||
	    version < FPGPU_VERSION_PATIENT)
		return dev_err_probe(gpu->drm.dev, -ENODEV, "unknown device %#x, version %#x\n", id,
				     version);
	writel(FPGPU_CONTROL_RESET, gpu->regs + FPGPU_CONTROL);
	return 0;
}

static int fpgpu_init_device(struct fpgpu_device *gpu)
{
	struct drm_fencepost_gpu_info *info = &gpu->info;
	int ret = fpgpu_check_device(gpu);

	if (ret)
		return ret;
	info->version = readl(gpu->regs + FPGPU_VERSION);
	info->caps = readl(gpu->regs + FPGPU_CAPS);
	info->rings = min_t(u32, readl(gpu->regs + FPGPU_RINGS), FPGPU_MAX_RINGS);
	info->max_dimension = readl(gpu->regs + FPGPU_MAX_DIMENSION);
	info->max_commands = FPGPU_MAX_COMMANDS;
	info->bytes_per_cycle = readl(gpu->regs + FPGPU_BYTES_PER_CYCLE);
	info->fixed_cycles = fpgpu_read64(gpu->regs + FPGPU_FIXED_CYCLES);
	info->copy_rings = readl(gpu->regs + FPGPU_COPY_RINGS);
	if (!info->rings || readl(gpu->regs + FPGPU_VECTORS) < info->rings + 1 ||
	    readl(gpu->regs + FPGPU_RING_MAX_PACKETS) < FPGPU_RING_SLOTS)
		return dev_err_probe(gpu->drm.dev, -ENODEV, "too small a device\n");
	return 0;
}

static void fpgpu_recovery_fini(struct drm_device *drm, void *data)
{
	destroy_workqueue(data);
}

static int fpgpu_words_init(struct fpgpu_device *gpu)
{
	fencepost_words_init(&gpu->words, gpu->drm.dev);
	return devm_add_action_or_reset(gpu->drm.dev, fencepost_words_drop_all, &gpu->words);
}

static int fpgpu_init_rings(struct fpgpu_device *gpu)
{
	unsigned int i;
	int ret;

	gpu->recovery = alloc_ordered_workqueue("fpgpu-recovery", 0);
	if (!gpu->recovery)
		return -ENOMEM;
	ret = drmm_add_action_or_reset(&gpu->drm, fpgpu_recovery_fini, gpu->recovery);
	if (!ret)
		ret = fpgpu_vms_init(gpu);
	if (!ret)
		ret = fpgpu_words_init(gpu);
	for (i = 0; !ret && i < gpu->info.rings; i++) {
		ret = fpgpu_ring_init(gpu, i);
		if (!ret)
			ret = fpgpu_sched_init(&gpu->ring[i]);
	}
	return ret;
}

static int fpgpu_init_pci(struct fpgpu_device *gpu, struct pci_dev *pdev)
{
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	gpu->regs = fpgpu_compat_iomap(pdev, 0, FENCEPOST_GPU_DRIVER_NAME);
	if (IS_ERR(gpu->regs))
		return PTR_ERR(gpu->regs);
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, FENCEPOST_SG_MAX_LEN);
	pci_set_master(pdev);
	return 0;
}

static void fpgpu_forget_config(struct drm_device *drm, void *data)
{
	kfree(data);
}

/* For a device whose link is reset behind the driver's back. */
static int fpgpu_save_config(struct fpgpu_device *gpu, struct pci_dev *pdev)
{
	int ret = pci_save_state(pdev);

	if (ret)
		return ret;
	gpu->saved = pci_store_saved_state(pdev);
	return gpu->saved ? drmm_add_action_or_reset(&gpu->drm, fpgpu_forget_config, gpu->saved) : -ENOMEM;
}

static int fpgpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct fpgpu_device *gpu;
	int ret;

	gpu = devm_drm_dev_alloc(&pdev->dev, &fpgpu_drm_driver, struct fpgpu_device, drm);
	if (IS_ERR(gpu))
		return PTR_ERR(gpu);
	fencepost_bos_init(&gpu->bos);
	pci_set_drvdata(pdev, gpu);

	ret = fpgpu_users_init(gpu);
	if (!ret)
		ret = fpgpu_init_pci(gpu, pdev);
	if (!ret)
		ret = fpgpu_init_device(gpu);
	if (!ret)
		ret = fpgpu_init_rings(gpu);
	if (!ret)
		ret = fpgpu_init_interrupts(gpu, pdev);
	if (!ret)
		ret = fpgpu_save_config(gpu, pdev);
	if (!ret)
		ret = drm_dev_register(&gpu->drm, 0);
	return ret;
}

/*
 * Whatever user space still holds, nothing of the device is used after this: open files get ENODEV,
 * fences have signalled with it, and buffers are pages. What was requested with devm_ and dmam_
 * goes next; what others may still look at is in struct fpgpu_device or in an object, which live as
 * long as they are held.
 */
static void fpgpu_remove(struct pci_dev *pdev)
{
	struct fpgpu_device *gpu = pci_get_drvdata(pdev);
	unsigned int i;

	/* No ioctl and no job reaches the device from here on. */
	drm_dev_unplug(&gpu->drm);
	writel(FPGPU_CONTROL_RESET, gpu->regs + FPGPU_CONTROL);
	/* The write has reached the device when the read comes back. */
	readl(gpu->regs + FPGPU_ID);
	for (i = 0; i < gpu->info.rings; i++)
		fpgpu_ring_fail_all(&gpu->ring[i], -ENODEV);
	fpgpu_vms_unmap(gpu);
	fencepost_bos_unmap(&gpu->bos);
}

static void fpgpu_shutdown(struct pci_dev *pdev)
{
	fpgpu_pause(pci_get_drvdata(pdev));
}

static int fpgpu_pm_suspend(struct device *dev)
{
	fpgpu_pause(dev_get_drvdata(dev));
	return 0;
}

static int fpgpu_pm_resume(struct device *dev)
{
	return fpgpu_resume(dev_get_drvdata(dev));
}

static DEFINE_SIMPLE_DEV_PM_OPS(fpgpu_pm_ops, fpgpu_pm_suspend, fpgpu_pm_resume);

/* Around a function-level reset; the PCI core keeps the driver from unbinding. */
static void fpgpu_reset_prepare(struct pci_dev *pdev)
{
	fpgpu_pause(pci_get_drvdata(pdev));
}

static void fpgpu_reset_done(struct pci_dev *pdev)
{
	fpgpu_resume(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers fpgpu_err_handlers = {
	.reset_prepare = fpgpu_reset_prepare,
	.reset_done = fpgpu_reset_done,
};

static const struct pci_device_id fpgpu_pci_ids[] = {
	{ PCI_DEVICE(FENCEPOST_PCI_VENDOR, FENCEPOST_PCI_DEVICE_GPU) },
	{ }
};
MODULE_DEVICE_TABLE(pci, fpgpu_pci_ids);

static struct pci_driver fpgpu_pci_driver = {
	.name = FENCEPOST_GPU_DRIVER_NAME,
	.id_table = fpgpu_pci_ids,
	.probe = fpgpu_probe,
	.remove = fpgpu_remove,
	.shutdown = fpgpu_shutdown,
	.err_handler = &fpgpu_err_handlers,
	.driver.pm = pm_sleep_ptr(&fpgpu_pm_ops),
};

static int __init fpgpu_init(void)
{
	int ret = fpgpu_fences_init();

	if (ret)
		return ret;
	ret = pci_register_driver(&fpgpu_pci_driver);
	if (ret)
		fpgpu_fences_exit();
	return ret;
}
module_init(fpgpu_init);

static void __exit fpgpu_exit(void)
{
	pci_unregister_driver(&fpgpu_pci_driver);
	fpgpu_fences_exit();
}
module_exit(fpgpu_exit);

MODULE_DESCRIPTION("DRM render driver for the Fencepost GPU");
MODULE_AUTHOR("The Fencepost project");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DMA_BUF);
