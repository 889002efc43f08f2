/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DISPLAY_DRV_H
#define DISPLAY_DRV_H

#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <drm/drm_connector.h>
#include <drm/drm_crtc.h>
#include <drm/drm_device.h>
#include <drm/drm_encoder.h>
#include <drm/drm_plane.h>

#include <fencepost_bo.h>

#include "display_regs.h"

struct dev_pm_ops;
struct drm_atomic_state;
struct drm_file;
struct drm_framebuffer;
struct drm_mode_fb_cmd2;
struct pci_dev;
struct pci_error_handlers;

#define FPD_NAME "fencepost-display"

/*
 * Lives as long as anybody holds the drm_device: an open file, a dma-buf, an out-fence. The
 * registers and the right to use DMA end before, in fpd_remove(), so everything that touches them
 * stands between drm_dev_enter() and drm_dev_exit(), or where it cannot run after that function.
 */
struct fpd_device {
	struct drm_device drm;
	void __iomem *regs;
	u32 max_width;
	u32 max_height;
	struct drm_plane primary;
	struct drm_crtc crtc;
	struct drm_encoder encoder;
	struct drm_connector connector;

	/* The event and the number of the commit that the device has: under drm.event_lock. */
	struct drm_pending_vblank_event *flip_event;
	u64 flip_number;
	/* COMMIT_ACCEPTED; only commits touch it, one at a time. */
	u64 accepted;

	/* VBLANK_COUNT when it could last be read. */
	u32 vblank_count;
	/* The device's clock when the raster was last started. */
	u64 raster_ns;

	/* Guards IRQ_ENABLE. */
	spinlock_t irq_lock;
	u32 irq_enable;

	/* Whether CRCs go to debugfs, and the last frame that did. */
	bool crc_on;
	u64 crc_frame;
	struct fpd_hold *crc_hold;

	/* The buffers that the device can see. */
	struct fencepost_bos bos;

	/* What was shown, while a reset of the device is under way. */
	struct drm_atomic_state *reset_state;
};

#define to_fpd(drm_device) container_of(drm_device, struct fpd_device, drm)

static inline u32 fpd_read(struct fpd_device *fpd, u32 reg)
{
	return readl(fpd->regs + reg);
}

/* One access: the device gives both halves of the same moment. */
static inline u64 fpd_read64(struct fpd_device *fpd, u32 reg)
{
	return readq(fpd->regs + reg);
}

static inline void fpd_write(struct fpd_device *fpd, u32 reg, u32 value)
{
	writel(value, fpd->regs + reg);
}

int fpd_crtc_init(struct fpd_device *fpd);
void fpd_crtc_complete_flip(struct fpd_device *fpd);
int fpd_plane_init(struct fpd_device *fpd);
int fpd_output_init(struct fpd_device *fpd);
struct drm_gem_object *fpd_bo_create(struct drm_device *drm, size_t size);
struct drm_framebuffer *fpd_fb_create(struct drm_device *drm, struct drm_file *file,
				      const struct drm_mode_fb_cmd2 *cmd);

int fpd_irq_init(struct fpd_device *fpd, struct pci_dev *pdev);
void fpd_irq_mask(struct fpd_device *fpd, u32 clear, u32 set);

void fpd_hw_start(struct fpd_device *fpd);
void fpd_hw_stop(struct fpd_device *fpd);
extern const struct dev_pm_ops fpd_pm_ops;
extern const struct pci_error_handlers fpd_error_handlers;

#endif
