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
void fpdisp_irq_mask(struct fpdisp_device *disp, u32 clear, u32 set)
{
	unsigned long flags;

	spin_lock_irqsave(&disp->irq_lock, flags);
	disp->irq_enable = (disp->irq_enable & ~clear) | set;
	/* What happened before it was enabled is of no interest. */
	fpdisp_write(disp, FPDISP_IRQ_STATUS, set);
	fpdisp_write(disp, FPDISP_IRQ_ENABLE, disp->irq_enable);
	spin_unlock_irqrestore(&disp->irq_lock, flags);
}

/*
 * Hands the newest frame's CRC to debugfs, under the number that DRM gives the frame: its count
 * and the device's both go on by one a vblank, but need not have started together.
 */
static void fpdisp_add_crc(struct fpdisp_device *disp)
{
	u64 frame = fpdisp_read64(disp, FPDISP_CRC_FRAME);
	u32 crc = fpdisp_read(disp, FPDISP_CRC_VALUE);
	u64 hardware, software;

	if (frame == disp->crc_frame)
		return;
	disp->crc_frame = frame;
	do {
		hardware = fpdisp_read64(disp, FPDISP_VBLANK_COUNT);
		software = drm_crtc_accurate_vblank_count(&disp->crtc);
	} while (hardware != fpdisp_read64(disp, FPDISP_VBLANK_COUNT));
	drm_crtc_add_crc_entry(&disp->crtc, true, software - (hardware - frame), &crc);
}

static irqreturn_t fpdisp_vblank_irq(int irq, void *arg)
{
	struct fpdisp_device *disp = arg;

	fpdisp_write(disp, FPDISP_IRQ_STATUS, FPDISP_IRQ_VBLANK);
	drm_crtc_handle_vblank(&disp->crtc);
	if (READ_ONCE(disp->crc_on))
		fpdisp_add_crc(disp);
	return IRQ_HANDLED;
}

static irqreturn_t fpdisp_flip_done_irq(int irq, void *arg)
{
	struct fpdisp_device *disp = arg;
	unsigned long flags;

	fpdisp_write(disp, FPDISP_IRQ_STATUS, FPDISP_IRQ_FLIP_DONE);
	spin_lock_irqsave(&disp->drm.event_lock, flags);
	if (disp->flip_event && fpdisp_read64(disp, FPDISP_COMMIT_LATCHED) >= disp->flip_number) {
		/* The vblank interrupt may be off, or not have been taken yet. */
		drm_crtc_accurate_vblank_count(&disp->crtc);
		drm_crtc_send_vblank_event(&disp->crtc, disp->flip_event);
		disp->flip_event = NULL;
	}
	spin_unlock_irqrestore(&disp->drm.event_lock, flags);
	return IRQ_HANDLED;
}

static irqreturn_t fpdisp_error_irq(int irq, void *arg)
{
	struct fpdisp_device *disp = arg;
	u32 errors;

	fpdisp_write(disp, FPDISP_IRQ_STATUS, FPDISP_IRQ_ERROR);
	errors = fpdisp_read(disp, FPDISP_ERROR_STATUS);
	fpdisp_write(disp, FPDISP_ERROR_STATUS, errors);
	if (!FENCEPOST_HAS(report))
		return IRQ_HANDLED;
	drm_err_ratelimited(&disp->drm, "Errors %#x, last refused address %#llx\n", errors,
			    fpdisp_read64(disp, FPDISP_FAULT_IOVA));
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
		const char *name;
	} vectors[FPDISP_VECTORS] = {
		[FPDISP_VECTOR_VBLANK] = { fpdisp_vblank_irq, NULL, "fpdisp-vblank" },
		[FPDISP_VECTOR_FLIP_DONE] = { fpdisp_flip_done_irq, NULL, "fpdisp-flip" },
		[FPDISP_VECTOR_ERROR] = { fpdisp_error_irq, NULL, "fpdisp-error" },
		[FPDISP_VECTOR_HOTPLUG] = { fpdisp_hotplug_irq, fpdisp_hotplug, "fpdisp-hotplug" },
		[FPDISP_VECTOR_WRITEBACK] = { fpdisp_writeback_irq, NULL, "fpdisp-writeback" },
	};
	int i, ret;

	/* Freed by the managed PCI device. */
	ret = pci_alloc_irq_vectors(pdev, FPDISP_VECTORS, FPDISP_VECTORS, PCI_IRQ_MSIX);
	if (ret < 0)
		return ret;
	for (i = 0; i < FPDISP_VECTORS; i++) {
		ret = devm_request_threaded_irq(&pdev->dev, pci_irq_vector(pdev, i),
						vectors[i].handler, vectors[i].thread, 0,
						vectors[i].name, disp);
		if (ret)
			return ret;
	}
	return 0;
}
