// SPDX-License-Identifier: GPL-2.0
/*
 * The Fencepost GPU's DRM render driver: the PCI device, its interrupts, and the file operations.
 */
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_ioctl.h>
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

	for (i = 0; i < gpu->rings; i++) {
		if (halted & BIT(i))
			drm_sched_fault(&gpu->ring[i].sched);
	}
	return halted ? IRQ_HANDLED : IRQ_NONE;
}

static int gpu_ioctl_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_info *args = data;
	struct gpu_device *gpu = to_gpu(drm);
	int idx;

	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	args->version = readl(gpu->regs + GPU_VERSION);
	args->caps = readl(gpu->regs + GPU_CAPS);
	args->rings = gpu->rings;
	args->max_dimension = gpu->max_dimension;
	args->max_commands = GPU_MAX_COMMANDS;
	args->bytes_per_cycle = readl(gpu->regs + GPU_BYTES_PER_CYCLE);
	args->fixed_cycles = gpu_read64(gpu->regs + GPU_FIXED_CYCLES);
	drm_dev_exit(idx);
	return 0;
}

static int gpu_ioctl_ring_info(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_ring_info *args = data;
	struct gpu_device *gpu = to_gpu(drm);
	struct gpu_ring *ring;
	int idx;

	if (args->ring >= gpu->rings)
		return -EINVAL;
	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	ring = &gpu->ring[args->ring];
	args->error_count = readl(ring->regs + GPU_RING_ERROR_COUNT);
	args->seqno = le64_to_cpu(READ_ONCE(ring->words->fence));
	mutex_lock(&ring->stats_lock);
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
	for (i = 0; i < gpu->rings; i++) {
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
	gpu_file_close(file->driver_priv, to_gpu(drm)->rings);
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
	unsigned int vectors = gpu->rings + 1;
	unsigned int i;
	int ret;

	ret = pci_alloc_irq_vectors(pdev, vectors, vectors, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	for (i = 0; i < gpu->rings; i++) {
		ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, i), gpu_fence_interrupt, 0,
				       gpu->ring[i].name, &gpu->ring[i]);
		if (ret)
			return ret;
	}
	return devm_request_irq(&pdev->dev, pci_irq_vector(pdev, gpu->rings), gpu_error_interrupt,
				0, "fencepost-error", gpu);
}

/* Checks that this is the device that the driver was written for, and resets it. */
static int gpu_init_device(struct gpu_device *gpu, struct pci_dev *pdev)
{
	u32 id = readl(gpu->regs + GPU_ID);
	u32 version = readl(gpu->regs + GPU_VERSION);

	if (id != GPU_ID_VALUE || version >> 16 != GPU_VERSION_MAJOR)
		return dev_err_probe(&pdev->dev, -ENODEV, "unknown device %#x, version %#x\n", id,
				     version);
	gpu->rings = min_t(u32, readl(gpu->regs + GPU_RINGS), GPU_MAX_RINGS);
	gpu->max_dimension = readl(gpu->regs + GPU_MAX_DIMENSION);
	gpu->has_tail_words = version >= GPU_VERSION_TAIL_WORD;
	gpu->max_sg_entries = readl(gpu->regs + GPU_SG_MAX_ENTRIES);
	if (!gpu->rings || readl(gpu->regs + GPU_VECTORS) < gpu->rings + 1 ||
	    readl(gpu->regs + GPU_RING_MAX_PACKETS) < GPU_RING_PACKETS)
		return dev_err_probe(&pdev->dev, -ENODEV, "too small a device\n");
	writel(GPU_CONTROL_RESET, gpu->regs + GPU_CONTROL);
	return 0;
}

static int gpu_init_rings(struct gpu_device *gpu)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < gpu->rings; i++) {
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
	atomic_set(&gpu->jobs, 0);
	init_waitqueue_head(&gpu->jobs_gone);
	mutex_init(&gpu->table_lock);
	pci_set_drvdata(pdev, gpu);

	ret = gpu_init_pci(gpu, pdev);
	if (!ret)
		ret = gpu_init_device(gpu, pdev);
	if (!ret)
		ret = gpu_init_rings(gpu);
	if (!ret)
		ret = gpu_init_interrupts(gpu, pdev);
	if (!ret)
		ret = drm_dev_register(&gpu->drm, 0);
	return ret;
}

static void gpu_remove(struct pci_dev *pdev)
{
	struct gpu_device *gpu = pci_get_drvdata(pdev);
	unsigned int i;

	/* No ioctl and no job reaches the device from here on. */
	drm_dev_unplug(&gpu->drm);
	writel(GPU_CONTROL_RESET, gpu->regs + GPU_CONTROL);
	for (i = 0; i < gpu->rings; i++)
		gpu_ring_fail_all(&gpu->ring[i], -ENODEV);
	/* The scheduler frees jobs from a worker; those that wait for foreign fences may take longer. */
	wait_event_timeout(gpu->jobs_gone, !atomic_read(&gpu->jobs), HZ);
}

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
};
module_pci_driver(gpu_pci_driver);

MODULE_DESCRIPTION("DRM render driver for the Fencepost GPU");
MODULE_AUTHOR("The Fencepost developers");
MODULE_LICENSE("GPL");
