// SPDX-License-Identifier: GPL-2.0
/* The interrupts. */

#include <linux/interrupt.h>
#include <linux/pci.h>

#include <drm/drm_crtc.h>
#include <drm/drm_debugfs_crc.h>
#include <drm/drm_print.h>
#include <drm/drm_vblank.h>

#include <fencepost_recovery.h>

#include "display_drv.h"

/* Clears and sets bits of IRQ_ENABLE. */
void fpdisp_irq_mask(struct fpdisp_head *head, u32 clear, u32 set)
{
	unsigned long flags;

	spin_lock_irqsave(&head->irq_lock, flags);
	head->irq_enable = (head->irq_enable & ~clear) | set;
	/* What happened before it was enabled is of no interest. */
	fpdisp_write(head, FPDISP_IRQ_STATUS, set);
	fpdisp_write(head, FPDISP_IRQ_ENABLE, head->irq_enable);
	spin_unlock_irqrestore(&head->irq_lock, flags);
}

/*
 * Hands the newest frame's CRC to debugfs, under the number that DRM gives the frame: its count
 * and the device's both go on by one a vblank, but need not have started together.
 */
static void fpdisp_add_crc(struct fpdisp_head *head)
{
	u64 frame = fpdisp_read64(head, FPDISP_CRC_FRAME);
	u32 crc = fpdisp_read(head, FPDISP_CRC_VALUE);
	u64 hardware, software;

	if (frame == head->crc_frame)
		return;
	head->crc_frame = frame;
	do {
		hardware = fpdisp_read64(head, FPDISP_VBLANK_COUNT);
		software = drm_crtc_accurate_vblank_count(&head->crtc);
	} while (hardware != fpdisp_read64(head, FPDISP_VBLANK_COUNT));
	drm_crtc_add_crc_entry(&head->crtc, true, software - (hardware - frame), &crc);
}

static irqreturn_t fpdisp_vblank_irq(int irq, void *arg)
{
	struct fpdisp_head *head = arg;

	fpdisp_write(head, FPDISP_IRQ_STATUS, FPDISP_IRQ_VBLANK);
	drm_crtc_handle_vblank(&head->crtc);
	if (READ_ONCE(head->crc_on))
		fpdisp_add_crc(head);
	return IRQ_HANDLED;
}

static irqreturn_t fpdisp_flip_done_irq(int irq, void *arg)
{
	struct fpdisp_head *head = arg;
	unsigned long flags;

	fpdisp_write(head, FPDISP_IRQ_STATUS, FPDISP_IRQ_FLIP_DONE);
	spin_lock_irqsave(&head->drm->event_lock, flags);
	if (head->flip_event && fpdisp_read64(head, FPDISP_COMMIT_LATCHED) >= head->flip_number) {
		/* The vblank interrupt may be off, or not have been taken yet. */
		drm_crtc_accurate_vblank_count(&head->crtc);
		drm_crtc_send_vblank_event(&head->crtc, head->flip_event);
		head->flip_event = NULL;
	}
	spin_unlock_irqrestore(&head->drm->event_lock, flags);
	return IRQ_HANDLED;
}

static irqreturn_t fpdisp_error_irq(int irq, void *arg)
{
	struct fpdisp_head *head = arg;
	u32 errors;

	fpdisp_write(head, FPDISP_IRQ_STATUS, FPDISP_IRQ_ERROR);
	errors = fpdisp_read(head, FPDISP_ERROR_STATUS);
	fpdisp_write(head, FPDISP_ERROR_STATUS, errors);
	if (!FENCEPOST_HAS(report))
		return IRQ_HANDLED;
	drm_err_ratelimited(head->drm, "Errors %#x, last refused address %#llx\n", errors,
			    fpdisp_read64(head, FPDISP_FAULT_IOVA));
	return IRQ_HANDLED;
}

static irqreturn_t fpdisp_hotplug_irq(int irq, void *arg)
{
	fpdisp_write(arg, FPDISP_IRQ_STATUS, FPDISP_IRQ_HOTPLUG);
	return IRQ_WAKE_THREAD;
}

int fpdisp_irq_init(struct fpdisp_device *disp, struct pci_dev *pdev)
{
	static const struct {
		irq_handler_t handler, thread;
		const char *names[FPDISP_HEADS];
	} vectors[FPDISP_VECTORS] = {
		[FPDISP_VECTOR_VBLANK] = { fpdisp_vblank_irq, NULL, { "fpdisp-vblank", "fpdisp-vblank2" } },
		[FPDISP_VECTOR_FLIP_DONE] = { fpdisp_flip_done_irq, NULL, { "fpdisp-flip", "fpdisp-flip2" } },
		[FPDISP_VECTOR_ERROR] = { fpdisp_error_irq, NULL, { "fpdisp-error", "fpdisp-error2" } },
		[FPDISP_VECTOR_HOTPLUG] = { fpdisp_hotplug_irq, fpdisp_hotplug,
					    { "fpdisp-hotplug", "fpdisp-hotplug2" } },
		[FPDISP_VECTOR_WRITEBACK] = { fpdisp_writeback_irq, NULL,
					      { "fpdisp-writeback", "fpdisp-writeback2" } },
	};
	int count = FPDISP_HEADS * FPDISP_VECTORS, i, ret;

	/* Freed by the managed PCI device. */
	ret = pci_alloc_irq_vectors(pdev, count, count, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	for (i = 0; i < count; i++) {
		int vector = i % FPDISP_VECTORS, head = i / FPDISP_VECTORS;

		ret = devm_request_threaded_irq(&pdev->dev, pci_irq_vector(pdev, i), vectors[vector].handler,
						vectors[vector].thread, 0, vectors[vector].names[head],
						&disp->heads[head]);
		if (ret)
			return ret;
	}
	return 0;
}
