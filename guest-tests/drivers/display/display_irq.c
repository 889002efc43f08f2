// SPDX-License-Identifier: GPL-2.0
/* The three interrupts. */

#include <linux/interrupt.h>
#include <linux/pci.h>

#include <drm/drm_crtc.h>
#include <drm/drm_debugfs_crc.h>
#include <drm/drm_print.h>
#include <drm/drm_vblank.h>

#include "display_drv.h"

/* Clears and sets bits of IRQ_ENABLE. */
void fpd_irq_mask(struct fpd_device *fpd, u32 clear, u32 set)
{
	unsigned long flags;

	spin_lock_irqsave(&fpd->irq_lock, flags);
	fpd->irq_enable = (fpd->irq_enable & ~clear) | set;
	/* What happened before it was enabled is of no interest. */
	fpd_write(fpd, FPD_IRQ_STATUS, set);
	fpd_write(fpd, FPD_IRQ_ENABLE, fpd->irq_enable);
	spin_unlock_irqrestore(&fpd->irq_lock, flags);
}

/*
 * Hands the newest frame's CRC to debugfs, under the number that DRM gives the frame: its count
 * and the device's both go on by one a vblank, but need not have started together.
 */
static void add_crc(struct fpd_device *fpd)
{
	u64 frame = fpd_read64(fpd, FPD_CRC_FRAME);
	u32 crc = fpd_read(fpd, FPD_CRC_VALUE);
	u64 hardware, software;

	if (frame == fpd->crc_frame)
		return;
	fpd->crc_frame = frame;
	do {
		hardware = fpd_read64(fpd, FPD_VBLANK_COUNT);
		software = drm_crtc_accurate_vblank_count(&fpd->crtc);
	} while (hardware != fpd_read64(fpd, FPD_VBLANK_COUNT));
	drm_crtc_add_crc_entry(&fpd->crtc, true, software - (hardware - frame), &crc);
}

static irqreturn_t fpd_vblank_irq(int irq, void *arg)
{
	struct fpd_device *fpd = arg;

	fpd_write(fpd, FPD_IRQ_STATUS, FPD_IRQ_VBLANK);
	drm_crtc_handle_vblank(&fpd->crtc);
	if (READ_ONCE(fpd->crc_on))
		add_crc(fpd);
	return IRQ_HANDLED;
}

static irqreturn_t fpd_flip_done_irq(int irq, void *arg)
{
	struct fpd_device *fpd = arg;
	unsigned long flags;

	fpd_write(fpd, FPD_IRQ_STATUS, FPD_IRQ_FLIP_DONE);
	spin_lock_irqsave(&fpd->drm.event_lock, flags);
	if (fpd->flip_event && fpd_read64(fpd, FPD_COMMIT_LATCHED) >= fpd->flip_number) {
		/* The vblank interrupt may be off, or not have been taken yet. */
		drm_crtc_accurate_vblank_count(&fpd->crtc);
		drm_crtc_send_vblank_event(&fpd->crtc, fpd->flip_event);
		fpd->flip_event = NULL;
	}
	spin_unlock_irqrestore(&fpd->drm.event_lock, flags);
	return IRQ_HANDLED;
}

static irqreturn_t fpd_error_irq(int irq, void *arg)
{
	struct fpd_device *fpd = arg;
	u32 errors;

	fpd_write(fpd, FPD_IRQ_STATUS, FPD_IRQ_ERROR);
	errors = fpd_read(fpd, FPD_ERROR_STATUS);
	fpd_write(fpd, FPD_ERROR_STATUS, errors);
	drm_err_ratelimited(&fpd->drm, "Errors %#x, last refused address %#llx\n", errors,
			    fpd_read64(fpd, FPD_FAULT_IOVA));
	return IRQ_HANDLED;
}

int fpd_irq_init(struct fpd_device *fpd, struct pci_dev *pdev)
{
	static const struct {
		irq_handler_t handler;
		const char *name;
	} vectors[FPD_VECTORS] = {
		[FPD_VECTOR_VBLANK] = { fpd_vblank_irq, "fencepost-display-vblank" },
		[FPD_VECTOR_FLIP_DONE] = { fpd_flip_done_irq, "fencepost-display-flip" },
		[FPD_VECTOR_ERROR] = { fpd_error_irq, "fencepost-display-error" },
	};
	int i, ret;

	/* Freed by the managed PCI device. */
	ret = pci_alloc_irq_vectors(pdev, FPD_VECTORS, FPD_VECTORS, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	for (i = 0; i < FPD_VECTORS; i++) {
		ret = devm_request_irq(&pdev->dev, pci_irq_vector(pdev, i), vectors[i].handler, 0,
				       vectors[i].name, fpd);
		if (ret)
			return ret;
	}
	return 0;
}
