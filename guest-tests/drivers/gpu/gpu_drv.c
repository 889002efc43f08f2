// SPDX-License-Identifier: GPL-2.0
/*
 * The Fencepost GPU's DRM render driver: the PCI device, its interrupts, and the file operations.
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

#include "gpu.h"
#include "gpu_compat.h"

static irqreturn_t gpu_fence_interrupt(int irq, void *data)
{
	gpu_ring_retire(data);
	return IRQ_HANDLED;
}

static irqreturn_t gpu_error_interrupt(int irq, void *data)
{
	struct gpu_device *gpu = data;
	u32 halted = readl(gpu->regs + GPU_ERROR_RINGS);
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

static int gpu_ioctl_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_info *args = data;

	*args = to_gpu(drm)->info;
	return 0;
}

static int gpu_ioctl_ring_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_ring_info *args = data;
	struct gpu_device *gpu = to_gpu(drm);
	struct gpu_ring *ring;
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

static void gpu_file_release(struct kref *refs)
{
	struct gpu_file *gpu_file = container_of(refs, struct gpu_file, refs);

	mutex_destroy(&gpu_file->lock);
	kfree(gpu_file);
}

void gpu_file_put(struct gpu_file *gpu_file)
{
	kref_put(&gpu_file->refs, gpu_file_release);
}

/* Its jobs may outlive the file. */
static void gpu_file_close(struct gpu_file *gpu_file, unsigned int entities)
{
	WRITE_ONCE(gpu_file->closed, true);
	while (entities--)
		drm_sched_entity_destroy(&gpu_file->entity[entities]);
	gpu_file_put(gpu_file);
}

static int gpu_open(struct drm_device *drm, struct drm_file *file)
{
	struct gpu_device *gpu = to_gpu(drm);
	struct gpu_file *gpu_file = kzalloc(sizeof(*gpu_file), GFP_KERNEL);
	unsigned int i;
	int ret;

	if (!gpu_file)
		return -ENOMEM;
	kref_init(&gpu_file->refs);
	mutex_init(&gpu_file->lock);
	for (i = 0; i < gpu->info.rings; i++) {
		struct drm_gpu_scheduler *sched = &gpu->ring[i].sched;

		ret = drm_sched_entity_init(&gpu_file->entity[i], DRM_SCHED_PRIORITY_NORMAL,
					    &sched, 1, NULL);
		if (ret) {
			gpu_file_close(gpu_file, i);
			return ret;
		}
	}
	file->driver_priv = gpu_file;
	return 0;
}

static void gpu_postclose(struct drm_device *drm, struct drm_file *file)
{
	gpu_file_close(file->driver_priv, to_gpu(drm)->info.rings);
}

static const struct drm_ioctl_desc gpu_ioctls[] = {
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_INFO, gpu_ioctl_info, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_RING_INFO, gpu_ioctl_ring_info, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_BO_CREATE, gpu_ioctl_bo_create, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_BO_OFFSET, gpu_ioctl_bo_offset, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_BO_WAIT, gpu_ioctl_bo_wait, DRM_RENDER_ALLOW),
	DRM_IOCTL_DEF_DRV(FENCEPOST_GPU_SUBMIT, gpu_ioctl_submit, DRM_RENDER_ALLOW),
};

DEFINE_DRM_GEM_FOPS(gpu_fops);

static const struct drm_driver gpu_driver = {
	.driver_features = DRIVER_GEM | DRIVER_RENDER | DRIVER_SYNCOBJ | DRIVER_SYNCOBJ_TIMELINE,
	.open = gpu_open,
	.postclose = gpu_postclose,
	.gem_create_object = gpu_bo_create_object,
	GPU_COMPAT_PRIME_OPS
	.prime_handle_to_fd = fencepost_bo_export,
	.gem_prime_import = fencepost_bo_import,
	.gem_prime_import_sg_table = drm_gem_shmem_prime_import_sg_table,
	.ioctls = gpu_ioctls,
	.num_ioctls = ARRAY_SIZE(gpu_ioctls),
	.fops = &gpu_fops,
	.name = FENCEPOST_GPU_DRIVER_NAME,
	.desc = "Fencepost GPU",
	.date = "20261123",
	.major = 1,
	.minor = 0,
};

static int gpu_init_interrupts(struct gpu_device *gpu, struct pci_dev *pdev)
{
	unsigned int rings = gpu->info.rings;
	unsigned int i;
	int ret;

	ret = pci_alloc_irq_vectors(pdev, rings + 1, rings + 1, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	for (i = 0; i < rings; i++) {
		ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, i), gpu_fence_interrupt, 0,
				       gpu->ring[i].name, &gpu->ring[i]);
		if (ret)
			return ret;
	}
	gpu->error_irq = pci_irq_vector(pdev, rings);
	return devm_request_irq(&pdev->dev, gpu->error_irq, gpu_error_interrupt, 0,
				"fencepost-error", gpu);
}

/* Checks that this is the device that the driver was written for, and resets it. */
int gpu_check_device(struct gpu_device *gpu)
{
	u32 id = readl(gpu->regs + GPU_ID);
	u32 version = readl(gpu->regs + GPU_VERSION);

	if (id != GPU_ID_VALUE || version >> 16 != GPU_VERSION_MAJOR)
		return dev_err_probe(gpu->drm.dev, -ENODEV, "unknown device %#x, version %#x\n", id,
				     version);
	writel(GPU_CONTROL_RESET, gpu->regs + GPU_CONTROL);
	return 0;
}

static int gpu_init_device(struct gpu_device *gpu)
{
	struct drm_fencepost_gpu_info *info = &gpu->info;
	int ret = gpu_check_device(gpu);

	if (ret)
		return ret;
	info->version = readl(gpu->regs + GPU_VERSION);
	info->caps = readl(gpu->regs + GPU_CAPS);
	info->rings = min_t(u32, readl(gpu->regs + GPU_RINGS), GPU_MAX_RINGS);
	info->max_dimension = readl(gpu->regs + GPU_MAX_DIMENSION);
	info->max_commands = GPU_MAX_COMMANDS;
	info->bytes_per_cycle = readl(gpu->regs + GPU_BYTES_PER_CYCLE);
	info->fixed_cycles = gpu_read64(gpu->regs + GPU_FIXED_CYCLES);
	gpu->has_tail_words = info->version >= GPU_VERSION_TAIL_WORD;
	gpu->max_sg_entries = readl(gpu->regs + GPU_SG_MAX_ENTRIES);
	if (!info->rings || readl(gpu->regs + GPU_VECTORS) < info->rings + 1 ||
	    readl(gpu->regs + GPU_RING_MAX_PACKETS) < GPU_RING_PACKETS)
		return dev_err_probe(gpu->drm.dev, -ENODEV, "too small a device\n");
	return 0;
}

static void gpu_recovery_fini(struct drm_device *drm, void *data)
{
	destroy_workqueue(data);
}

static int gpu_init_rings(struct gpu_device *gpu)
{
	unsigned int i;
	int ret;

	gpu->recovery = alloc_ordered_workqueue("fencepost_gpu_recovery", 0);
	if (!gpu->recovery)
		return -ENOMEM;
	ret = drmm_add_action_or_reset(&gpu->drm, gpu_recovery_fini, gpu->recovery);
	for (i = 0; !ret && i < gpu->info.rings; i++) {
		ret = gpu_ring_init(gpu, i);
		if (!ret)
			ret = gpu_sched_init(&gpu->ring[i]);
	}
	return ret;
}

static int gpu_init_pci(struct gpu_device *gpu, struct pci_dev *pdev)
{
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	gpu->regs = gpu_compat_iomap(pdev, 0, FENCEPOST_GPU_DRIVER_NAME);
	if (IS_ERR(gpu->regs))
		return PTR_ERR(gpu->regs);
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	/* Entries of a list have 32 bits of length. */
	dma_set_max_seg_size(&pdev->dev, U32_MAX);
	pci_set_master(pdev);
	return 0;
}

static int gpu_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct gpu_device *gpu;
	int ret;

	gpu = devm_drm_dev_alloc(&pdev->dev, &gpu_driver, struct gpu_device, drm);
	if (IS_ERR(gpu))
		return PTR_ERR(gpu);
	fencepost_bos_init(&gpu->bos);
	pci_set_drvdata(pdev, gpu);

	ret = gpu_users_init(gpu);
	if (!ret)
		ret = gpu_init_pci(gpu, pdev);
	if (!ret)
		ret = gpu_init_device(gpu);
	if (!ret)
		ret = gpu_init_rings(gpu);
	if (!ret)
		ret = gpu_init_interrupts(gpu, pdev);
	if (!ret)
		ret = drm_dev_register(&gpu->drm, 0);
	return ret;
}

/*
 * Whatever user space still holds, nothing of the device is used after this: open files get ENODEV, fences have signalled
 * with it, and buffers are pages. What was requested with devm_ and dmam_ goes next; what others may still look at is in
 * struct gpu_device or in an object, which live as long as they are held.
 */
static void gpu_remove(struct pci_dev *pdev)
{
	struct gpu_device *gpu = pci_get_drvdata(pdev);
	unsigned int i;

	/* No ioctl and no job reaches the device from here on. */
	drm_dev_unplug(&gpu->drm);
	writel(GPU_CONTROL_RESET, gpu->regs + GPU_CONTROL);
	/* The write has reached the device when the read comes back. */
	readl(gpu->regs + GPU_ID);
	for (i = 0; i < gpu->info.rings; i++)
		gpu_ring_fail_all(&gpu->ring[i], -ENODEV);
	fencepost_bos_unmap(&gpu->bos);
}

static void gpu_shutdown(struct pci_dev *pdev)
{
	gpu_pause(pci_get_drvdata(pdev));
}

static int gpu_pm_suspend(struct device *dev)
{
	gpu_pause(dev_get_drvdata(dev));
	return 0;
}

static int gpu_pm_resume(struct device *dev)
{
	return gpu_resume(dev_get_drvdata(dev));
}

static DEFINE_SIMPLE_DEV_PM_OPS(gpu_pm_ops, gpu_pm_suspend, gpu_pm_resume);

/* Around a function-level reset; the PCI core keeps the driver from unbinding. */
static void gpu_reset_prepare(struct pci_dev *pdev)
{
	gpu_pause(pci_get_drvdata(pdev));
}

static void gpu_reset_done(struct pci_dev *pdev)
{
	gpu_resume(pci_get_drvdata(pdev));
}

static const struct pci_error_handlers gpu_err_handlers = {
	.reset_prepare = gpu_reset_prepare,
	.reset_done = gpu_reset_done,
};

static const struct pci_device_id gpu_pci_ids[] = {
	{ PCI_DEVICE(GPU_VENDOR_ID, GPU_DEVICE_ID) },
	{ }
};
MODULE_DEVICE_TABLE(pci, gpu_pci_ids);

static struct pci_driver gpu_pci_driver = {
	.name = FENCEPOST_GPU_DRIVER_NAME,
	.id_table = gpu_pci_ids,
	.probe = gpu_probe,
	.remove = gpu_remove,
	.shutdown = gpu_shutdown,
	.err_handler = &gpu_err_handlers,
	.driver.pm = pm_sleep_ptr(&gpu_pm_ops),
};

static int __init gpu_init(void)
{
	int ret = gpu_fences_init();

	if (ret)
		return ret;
	ret = pci_register_driver(&gpu_pci_driver);
	if (ret)
		gpu_fences_exit();
	return ret;
}
module_init(gpu_init);

static void __exit gpu_exit(void)
{
	pci_unregister_driver(&gpu_pci_driver);
	gpu_fences_exit();
}
module_exit(gpu_exit);

MODULE_DESCRIPTION("DRM render driver for the Fencepost GPU");
MODULE_AUTHOR("The Fencepost developers");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DMA_BUF);
