/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FENCEPOST_DISPLAY_DRV_H
#define FENCEPOST_DISPLAY_DRV_H

#include <linux/bitops.h>
#include <linux/irqreturn.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/spinlock.h>
#include <linux/types.h>
#include <linux/wait.h>

#include <drm/drm_connector.h>
#include <drm/drm_crtc.h>
#include <drm/drm_device.h>
#include <drm/drm_encoder.h>
#include <drm/drm_plane.h>
#include <drm/drm_writeback.h>

#include <fencepost_bo.h>
#include <fencepost_display_regs.h>
#include <uapi/fencepost.h>

struct dev_pm_ops;
struct drm_atomic_state;
struct drm_file;
struct drm_framebuffer;
struct drm_mode_fb_cmd2;
struct pci_dev;
struct pci_error_handlers;

/* A CRTC with its planes, and its two connectors: to a monitor, and to memory. It knows of no other. */
struct fpdisp_head {
	struct drm_device *drm;
	void __iomem *regs;
	struct drm_plane planes[FPDISP_PLANES];
	struct drm_crtc crtc;
	struct drm_encoder encoder;
	struct drm_connector connector;

	/* The event and the number of the commit that the device has: under the DRM device's event_lock. */
	struct drm_pending_vblank_event *flip_event;
	u64 flip_number;
	/* COMMIT_ACCEPTED; only commits touch it, one at a time. */
	u64 accepted;

	/* Looks whether the commit that the device has is taken, and the mode with which it should. */
	struct delayed_work flip_watch;
	struct drm_display_mode mode;

	/* VBLANK_COUNT when it could last be read. */
	u32 vblank_count;
	/* When the raster was last started, by the device's clock. */
	u64 raster_ns;

	/* Guards IRQ_ENABLE. */
	spinlock_t irq_lock;
	u32 irq_enable;

	/* Whether CRCs go to debugfs, and the last frame that did. */
	bool crc_on;
	u64 crc_frame;
	struct fpdisp_hold *crc_hold;

	/* The connector to memory; the commit whose job the device has, or 0; who waits for its end. */
	struct drm_writeback_connector writeback;
	spinlock_t writeback_lock;
	u64 writeback_number;
	wait_queue_head_t writeback_wait;
};

/*
 * Lives as long as anybody holds the drm_device: an open file, a dma-buf, an out-fence. The
 * registers and the right to use DMA end before, in fpdisp_remove(), so everything that touches
 * them stands between drm_dev_enter() and drm_dev_exit(), or where it cannot run after that
 * function.
 */
struct fpdisp_device {
	struct drm_device drm;
	void __iomem *regs;
	u32 max_width;
	u32 max_height;
	struct fpdisp_head heads[FPDISP_HEADS];

	/* The buffers that the device can see. */
	struct fencepost_bos bos;

	/* What was shown, while a reset of the device is under way. */
	struct drm_atomic_state *reset_state;
};

#define to_fpdisp(drm_device) container_of(drm_device, struct fpdisp_device, drm)
#define to_head(crtc_of_head) container_of(crtc_of_head, struct fpdisp_head, crtc)

#define fpdisp_for_each_head(head, disp) \
	for (head = (disp)->heads; head < (disp)->heads + FPDISP_HEADS; head++)

static inline u32 fpdisp_read(struct fpdisp_head *head, u32 reg)
{
	return readl(head->regs + reg);
}

/* One access: the device gives both halves of the same moment. */
static inline u64 fpdisp_read64(struct fpdisp_head *head, u32 reg)
{
	return readq(head->regs + reg);
}

static inline void fpdisp_write(struct fpdisp_head *head, u32 reg, u32 value)
{
	writel(value, head->regs + reg);
}

static inline unsigned int fpdisp_head_index(const struct fpdisp_head *head)
{
	return head - to_fpdisp(head->drm)->heads;
}

/* Whose plane it is: it has no other CRTC. */
static inline struct fpdisp_head *fpdisp_plane_head(const struct drm_plane *plane)
{
	return &to_fpdisp(plane->dev)->heads[__ffs(plane->possible_crtcs)];
}

/* Which of the head's planes it is. */
static inline unsigned int fpdisp_plane_index(const struct drm_plane *plane)
{
	return plane - fpdisp_plane_head(plane)->planes;
}

int fpdisp_crtc_init(struct fpdisp_head *head);
void fpdisp_crtc_complete_flip(struct fpdisp_head *head);
void fpdisp_start_raster(struct fpdisp_head *head, const struct drm_display_mode *mode);
bool fpdisp_commit(struct fpdisp_head *head, u64 number, u32 how);
int fpdisp_color_check(const struct drm_crtc_state *state);
void fpdisp_stage_color(struct fpdisp_head *head, const struct drm_crtc_state *state);
bool fpdisp_vrr_is_capable(const struct drm_connector *connector);
void fpdisp_stage_vrr(struct fpdisp_head *head, const struct drm_crtc_state *state);
int fpdisp_flip_watch_init(struct fpdisp_head *head);
void fpdisp_flip_watch_start(struct fpdisp_head *head);
int fpdisp_planes_init(struct fpdisp_head *head);
int fpdisp_plane_prepare_fb(struct drm_plane *plane, struct drm_plane_state *new);
void fpdisp_plane_atomic_update(struct drm_plane *plane, struct drm_atomic_state *state);
void fpdisp_stage(struct drm_plane *plane, const struct drm_plane_state *new);
void fpdisp_planes_clear(struct fpdisp_head *head);
int fpdisp_output_init(struct fpdisp_head *head);
int fpdisp_writeback_init(struct fpdisp_head *head);
void fpdisp_writeback_begin(struct fpdisp_head *head, struct drm_atomic_state *state, u64 number);
void fpdisp_writeback_end(struct fpdisp_head *head, int status);
void fpdisp_writeback_wait(struct fpdisp_head *head);
irqreturn_t fpdisp_writeback_irq(int irq, void *arg);
irqreturn_t fpdisp_hotplug(int irq, void *arg);
struct drm_gem_object *fpdisp_bo_alloc(struct drm_device *drm, size_t size);
struct drm_framebuffer *fpdisp_fb_create(struct drm_device *drm, struct drm_file *file,
					 const struct drm_mode_fb_cmd2 *cmd);

int fpdisp_irq_init(struct fpdisp_device *disp, struct pci_dev *pdev);
void fpdisp_irq_mask(struct fpdisp_head *head, u32 clear, u32 set);

void fpdisp_hw_start(struct fpdisp_device *disp);
void fpdisp_hw_stop(struct fpdisp_device *disp);
extern const struct dev_pm_ops fpdisp_pm_ops;
extern const struct pci_error_handlers fpdisp_err_handlers;

#endif
