// SPDX-License-Identifier: GPL-2.0
/* The Fencepost camera on the PCI bus. The device is described in docs/camera.md. */

#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/module.h>
#include <linux/rcupdate.h>

#include <fencepost_pci.h>

#include "camera_drv.h"

static irqreturn_t fpcam_error_irq(int irq, void *data)
{
	struct fpcam_device *cam = data;
	u32 code = fpcam_read(cam, FPCAM_ERROR_CODE);
	u64 iova = fpcam_read(cam, FPCAM_ERROR_IOVA);

	/* Nothing answers: the device is in a reset, or gone. */
	if (code == U32_MAX)
		return IRQ_NONE;
	iova |= (u64)fpcam_read(cam, FPCAM_ERROR_IOVA + 4) << 32;
	fpcam_write(cam, FPCAM_ERROR_CODE, 0);
	if (code)
		dev_err_ratelimited(&cam->pdev->dev, "error %u at address %#llx\n", code, iova);
	if (fpcam_read(cam, FPCAM_STATUS) & FPCAM_STATUS_HALTED)
		fpcam_watch_now(cam);
	return IRQ_HANDLED;
}

/* The device counts dropped frames, and gaps in the sequence tell of them. */
static irqreturn_t fpcam_overrun_irq(int irq, void *data)
{
	struct fpcam_device *cam = data;

	dev_dbg(&cam->pdev->dev, "frame dropped\n");
	return IRQ_HANDLED;
}

static int fpcam_read_limits(struct fpcam_device *cam)
{
	struct fpcam_limits *limits = &cam->limits;

	if (fpcam_read(cam, FPCAM_ID) != FPCAM_ID_VALUE ||
	    fpcam_read(cam, FPCAM_VERSION) >> 16 != 1)
		return -ENODEV;
	limits->formats = fpcam_read(cam, FPCAM_FORMATS);
	limits->full_range = fpcam_read(cam, FPCAM_COLOUR) & FPCAM_COLOUR_FULL;
	limits->min_width = fpcam_read(cam, FPCAM_MIN_WIDTH);
	limits->max_width = fpcam_read(cam, FPCAM_MAX_WIDTH);
	limits->min_height = fpcam_read(cam, FPCAM_MIN_HEIGHT);
	limits->max_height = fpcam_read(cam, FPCAM_MAX_HEIGHT);
	limits->size_step = fpcam_read(cam, FPCAM_SIZE_STEP);
	limits->stride_align = fpcam_read(cam, FPCAM_STRIDE_ALIGN);
	limits->max_stride = fpcam_read(cam, FPCAM_MAX_STRIDE);
	limits->max_rate = fpcam_read(cam, FPCAM_MAX_RATE);
	limits->native_interval.numerator = fpcam_read(cam, FPCAM_NATIVE_RATE_DEN);
	limits->native_interval.denominator = fpcam_read(cam, FPCAM_NATIVE_RATE_NUM);
	/* Sizes and strides are rounded with masks. */
	if (!(limits->formats & FPCAM_FORMATS_YUYV) ||
	    !is_power_of_2(limits->size_step) || !is_power_of_2(limits->stride_align))
		return -ENODEV;
	return 0;
}

static int fpcam_request_irqs(struct fpcam_device *cam)
{
	static const struct {
		irq_handler_t handler;
		const char *name;
	} vectors[FPCAM_VECTORS] = {
		[FPCAM_VECTOR_FRAME_DONE] = { fpcam_frame_done_irq, "fpcam-frame" },
		[FPCAM_VECTOR_ERROR] = { fpcam_error_irq, "fpcam-error" },
		[FPCAM_VECTOR_OVERRUN] = { fpcam_overrun_irq, "fpcam-overrun" },
	};
	struct pci_dev *pdev = cam->pdev;
	int vector, ret;

	ret = pci_alloc_irq_vectors(pdev, FPCAM_VECTORS, FPCAM_VECTORS, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	for (vector = 0; vector < FPCAM_VECTORS; vector++) {
		ret = request_irq(pci_irq_vector(pdev, vector), vectors[vector].handler, 0,
				  vectors[vector].name, cam);
		if (ret)
			goto fail;
	}
	return 0;

fail:
	while (vector--)
		free_irq(pci_irq_vector(pdev, vector), cam);
	pci_free_irq_vectors(pdev);
	return ret;
}

static void fpcam_free_irqs(struct fpcam_device *cam)
{
	int vector;

	for (vector = 0; vector < FPCAM_VECTORS; vector++)
		free_irq(pci_irq_vector(cam->pdev, vector), cam);
	pci_free_irq_vectors(cam->pdev);
}

/* The last user is gone: with the driver, or with a file that outlived it. */
static void fpcam_release(struct v4l2_device *v4l2)
{
	struct fpcam_device *cam = container_of(v4l2, struct fpcam_device, v4l2);

	fpcam_media_release(cam);
	v4l2_ctrl_handler_free(&cam->handler);
	v4l2_device_unregister(&cam->v4l2);
	mutex_destroy(&cam->lock);
	kfree(cam);
}

static int fpcam_enable(struct fpcam_device *cam)
{
	struct pci_dev *pdev = cam->pdev;
	int ret;

	ret = pcim_enable_device(pdev);
	if (ret)
		return ret;
	ret = pcim_iomap_regions(pdev, BIT(0), FENCEPOST_CAMERA_DRIVER_NAME);
	if (ret)
		return ret;
	cam->regs = pcim_iomap_table(pdev)[0];
	ret = dma_set_mask_and_coherent(&pdev->dev, DMA_BIT_MASK(64));
	if (ret)
		return ret;
	dma_set_max_seg_size(&pdev->dev, FENCEPOST_SG_MAX_LEN);
	pci_set_master(pdev);
	return fpcam_read_limits(cam);
}

static int fpcam_probe(struct pci_dev *pdev, const struct pci_device_id *id)
{
	struct fpcam_device *cam;
	int ret;

	cam = kzalloc(sizeof(*cam), GFP_KERNEL);
	if (!cam)
		return -ENOMEM;
	cam->pdev = pdev;
	mutex_init(&cam->lock);
	spin_lock_init(&cam->ring_lock);
	fpcam_watch_init(cam);
	cam->v4l2.release = fpcam_release;
	ret = v4l2_device_register(&pdev->dev, &cam->v4l2);
	if (ret) {
		kfree(cam);
		return ret;
	}

	ret = fpcam_enable(cam);
	if (ret)
		goto put;
	fpcam_video_choose(cam);
	ret = fpcam_capture_init(cam);
	if (ret)
		goto put;
	ret = fpcam_controls_init(cam);
	if (ret)
		goto forget_rings;
	ret = fpcam_request_irqs(cam);
	if (ret)
		goto forget_rings;
	ret = fpcam_media_init(cam);
	if (ret)
		goto no_media;
	ret = fpcam_video_register(cam);
	if (ret)
		goto no_media;
	ret = fpcam_media_register(cam);
	if (ret)
		goto no_video;
	pci_set_drvdata(pdev, cam);
	return 0;

no_video:
	vb2_video_unregister_device(&cam->vdev);
no_media:
	fpcam_media_unregister(cam);
	fpcam_free_irqs(cam);
forget_rings:
	fpcam_rings_forget(cam);
put:
	fpcam_sync_exit(cam);
	v4l2_device_put(&cam->v4l2);
	return dev_err_probe(&pdev->dev, ret, "cannot use the camera\n");
}

static void fpcam_remove(struct pci_dev *pdev)
{
	struct fpcam_device *cam = pci_get_drvdata(pdev);

	/* Stops the stream and frees the buffers, whoever has the device open. */
	vb2_video_unregister_device(&cam->vdev);
	fpcam_media_unregister(cam);
	cancel_delayed_work_sync(&cam->watch);
	fpcam_rings_forget(cam);
	fpcam_free_irqs(cam);
	fpcam_sync_exit(cam);
	v4l2_device_disconnect(&cam->v4l2);
	v4l2_device_put(&cam->v4l2);
}

static void fpcam_shutdown(struct pci_dev *pdev)
{
	struct fpcam_device *cam = pci_get_drvdata(pdev);

	cancel_delayed_work_sync(&cam->watch);
	mutex_lock(&cam->lock);
	fpcam_pause(cam);
	mutex_unlock(&cam->lock);
}

static const struct pci_device_id fpcam_pci_ids[] = {
	{ PCI_DEVICE(FENCEPOST_PCI_VENDOR, FENCEPOST_PCI_DEVICE_CAMERA) },
	{ }
};
MODULE_DEVICE_TABLE(pci, fpcam_pci_ids);

static struct pci_driver fpcam_pci_driver = {
	.name = FENCEPOST_CAMERA_DRIVER_NAME,
	.id_table = fpcam_pci_ids,
	.probe = fpcam_probe,
	.remove = fpcam_remove,
	.shutdown = fpcam_shutdown,
	.err_handler = &fpcam_err_handlers,
	.driver.pm = pm_sleep_ptr(&fpcam_pm_ops),
};

static int __init fpcam_init(void)
{
	return pci_register_driver(&fpcam_pci_driver);
}
module_init(fpcam_init);

static void __exit fpcam_exit(void)
{
	pci_unregister_driver(&fpcam_pci_driver);
	/* Who released the last fence, and so the module, may still be on the way out of there. */
	synchronize_rcu_tasks();
}
module_exit(fpcam_exit);

MODULE_DESCRIPTION("V4L2 capture driver for the Fencepost camera");
MODULE_AUTHOR("The Fencepost project");
MODULE_LICENSE("GPL");
MODULE_IMPORT_NS(DMA_BUF);
