/* SPDX-License-Identifier: GPL-2.0 */
#ifndef DISPLAY_DRV_H
#define DISPLAY_DRV_H

#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/types.h>

#include <drm/drm_connector.h>
#include <drm/drm_crtc.h>
#include <drm/drm_device.h>
#include <drm/drm_encoder.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_plane.h>

#include "display_regs.h"

struct pci_dev;

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

	/* Guards IRQ_ENABLE. */
	spinlock_t irq_lock;
	u32 irq_enable;

	/* Whether CRCs go to debugfs, and the last frame that did. */
	bool crc_on;
	u64 crc_frame;
};

/* A framebuffer with the device's view of its memory, made when it is first shown. */
struct fpd_framebuffer {
	struct drm_framebuffer base;
	/* Guards the making of the table. */
	struct mutex lock;
	struct fpd_sg_entry *table;
	dma_addr_t table_iova;
	u32 entries;
};

#define to_fpd(drm_device) container_of(drm_device, struct fpd_device, drm)
#define to_fpd_fb(fb) container_of(fb, struct fpd_framebuffer, base)

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
int fpd_plane_init(struct fpd_device *fpd);
int fpd_output_init(struct fpd_device *fpd);
int fpd_irq_init(struct fpd_device *fpd, struct pci_dev *pdev);
void fpd_irq_mask(struct fpd_device *fpd, u32 clear, u32 set);

struct drm_framebuffer *fpd_fb_create(struct drm_device *drm, struct drm_file *file,
				      const struct drm_mode_fb_cmd2 *cmd);
int fpd_fb_prepare(struct drm_framebuffer *fb);

#endif
