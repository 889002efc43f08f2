/* SPDX-License-Identifier: GPL-2.0 */
#ifndef FENCEPOST_CAMERA_DRV_H
#define FENCEPOST_CAMERA_DRV_H

#include <linux/io.h>
#include <linux/mutex.h>
#include <linux/pci.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>
#include <media/media-device.h>
#include <media/v4l2-ctrls.h>
#include <media/v4l2-dev.h>
#include <media/v4l2-device.h>
#include <media/v4l2-subdev.h>
#include <media/videobuf2-v4l2.h>

#include <fencepost_camera_regs.h>
#include <fencepost_sg.h>
#include <fencepost_word.h>
#include <uapi/fencepost.h>

#include "camera_records.h"

/* Slots of both rings; more than vb2 ever has buffers, so that they cannot overflow. */
#define FPCAM_RING_SLOTS	64
#define FPCAM_MAX_BUFFERS	VB2_MAX_FRAME

static_assert(FPCAM_RING_SLOTS > FPCAM_MAX_BUFFERS);

#define FPCAM_MAX_PLANES	2

/*
 * What a buffer waits for before it is written, and who waits for its frame: camera_sync.c. Guarded by
 * fpcam_device.ring_lock while the device holds the buffer.
 */
struct fpcam_sync {
	struct dma_fence **fences;
	unsigned int fence_count;
	struct fencepost_word word[FPCAM_MAX_WAITS];
	dma_addr_t at[FPCAM_MAX_WAITS];
	unsigned int word_count;
	/* Signals when the frame is complete; NULL if nobody asked. */
	struct fpcam_fence *out;
};

/* A buffer of vb2, and the SG lists by which the device knows it. */
struct fpcam_buffer {
	struct vb2_v4l2_buffer vb;
	struct fencepost_sg_list sg[FPCAM_MAX_PLANES];
	struct fpcam_sync sync;
	/* Its descriptor's. */
	u32 slot;
	bool has_frame;
	struct fencepost_camera_frame frame;
};

/* What the device states about itself; constant. */
struct fpcam_limits {
	u32 formats;
	u32 min_width;
	u32 max_width;
	u32 min_height;
	u32 max_height;
	u32 size_step;
	u32 stride_align;
	u32 max_stride;
	u32 max_rate;
	bool full_range;
	struct v4l2_fract native_interval;
};

struct fpcam_format {
	u32 fourcc;
	/* What the device calls it, and its bit in FORMATS. */
	u32 device_fourcc;
	u32 bit;
	/* Bytes in a line for each pixel, and planes that have half as many lines. */
	u32 line_bytes;
	u32 half_planes;
	/* Memory planes of a buffer. */
	u32 planes;
	bool rgb;
};

/* One cluster: the first is its master. */
struct fpcam_controls {
	struct v4l2_ctrl *brightness;
	struct v4l2_ctrl *contrast;
	struct v4l2_ctrl *exposure;
	struct v4l2_ctrl *gain;
	struct v4l2_ctrl *hflip;
	struct v4l2_ctrl *vflip;
	struct v4l2_ctrl *pattern;
};

struct fpcam_device {
	struct pci_dev *pdev;
	void __iomem *regs;
	struct fpcam_limits limits;
	/* V4L2's multi-planar interface. Constant. */
	bool multiplanar;
	struct v4l2_device v4l2;
	struct video_device vdev;
	/* The media graph: camera_media.c. */
	bool has_media;
	struct media_device mdev;
	struct media_pipeline pipe;
	struct v4l2_subdev sensor;
	struct media_pad sensor_pad;
	struct media_pad video_pad;
	struct vb2_queue queue;
	/* Has a lock of its own, which is taken inside the one below. */
	struct v4l2_ctrl_handler handler;
	struct fpcam_controls controls;

	/* Serializes ioctls, the queue, sleep and reset; guards what is below. */
	struct mutex lock;
	/* The format, with several planes too: all have one stride, and sizeimage is their sum. */
	struct v4l2_pix_format pix;
	const struct fpcam_format *format;
	struct v4l2_rect crop;
	struct v4l2_rect compose;
	struct v4l2_fract interval;
	bool streaming;
	/* Looks whether frames come: camera_watch.c. */
	struct delayed_work watch;
	u32 watched_sequence;
	u32 restarted_at;
	unsigned int restarts;
	/* The device counts frames anew after a pause; this is the number of its frame 0. */
	u32 first_sequence;

	/* Guards what follows, and the doorbell. */
	spinlock_t ring_lock;
	struct fpcam_descriptor *descriptors;
	dma_addr_t descriptors_iova;
	struct fpcam_record *records;
	dma_addr_t records_iova;
	/* As many as posted, for the device to read; NULL where it has no such word. */
	__le32 *tail_word;
	dma_addr_t tail_word_iova;
	/*
	 * For each slot what its buffer waits for and signals, and the words that are signalled, by
	 * index. NULL: the device has neither.
	 */
	struct fpcam_sync_block *blocks;
	dma_addr_t blocks_iova;
	struct fencepost_word_page frames;
	u64 frame_value;
	/* Other devices' words. */
	struct fencepost_words words;
	u32 posted;
	u32 completed;
	/* One more than the number of the last frame. */
	u32 next_sequence;
	/* The buffers that the device holds, by index. */
	struct fpcam_buffer *held[FPCAM_MAX_BUFFERS];
};

static inline u32 fpcam_read(struct fpcam_device *cam, u32 offset)
{
	return readl(cam->regs + offset);
}

static inline void fpcam_write(struct fpcam_device *cam, u32 offset, u32 value)
{
	writel(value, cam->regs + offset);
}

static inline struct fpcam_buffer *to_fpcam_buffer(struct vb2_buffer *vb)
{
	return container_of(to_vb2_v4l2_buffer(vb), struct fpcam_buffer, vb);
}

/* camera_memory.c: what buffers are made of */
extern const struct vb2_mem_ops fpcam_memops;

/* camera_userptr.c: buffers of a program's own memory */
struct fpcam_user;
struct fpcam_user *fpcam_user_pin(unsigned long vaddr, unsigned long size, struct sg_table *sgt);
void fpcam_user_unpin(struct fpcam_user *user, struct sg_table *sgt);

/* camera_format.c: formats and sizes */
const struct fpcam_format *fpcam_nth_format(struct fpcam_device *cam, u32 n);
const struct fpcam_format *fpcam_find_format(struct fpcam_device *cam, u32 fourcc);
void fpcam_adjust(struct fpcam_device *cam, struct v4l2_pix_format *pix);
u32 fpcam_plane_bytes(struct fpcam_device *cam, unsigned int plane);
void fpcam_pix_from_mplane(struct v4l2_pix_format *pix, const struct v4l2_pix_format_mplane *mplane);
void fpcam_pix_to_mplane(struct fpcam_device *cam, struct v4l2_pix_format_mplane *mplane,
			 const struct v4l2_pix_format *pix);
int fpcam_enum_framesizes(struct file *file, void *priv, struct v4l2_frmsizeenum *sizes);

/* camera_media.c: a sensor and a media graph, if that was asked for */
u32 fpcam_code_of(const struct fpcam_format *format);
int fpcam_media_init(struct fpcam_device *cam);
int fpcam_media_register(struct fpcam_device *cam);
void fpcam_media_unregister(struct fpcam_device *cam);
void fpcam_media_release(struct fpcam_device *cam);
int fpcam_media_start(struct fpcam_device *cam);
void fpcam_media_stop(struct fpcam_device *cam);

/* camera_rate.c: frame intervals */
int fpcam_enum_frameintervals(struct file *file, void *priv, struct v4l2_frmivalenum *intervals);
int fpcam_g_parm(struct file *file, void *priv, struct v4l2_streamparm *parm);
int fpcam_s_parm(struct file *file, void *priv, struct v4l2_streamparm *parm);

/* camera_selection.c: crop and compose */
void fpcam_selection_reset(struct fpcam_device *cam);
void fpcam_selection_program(struct fpcam_device *cam);
int fpcam_g_selection(struct file *file, void *priv, struct v4l2_selection *selection);
int fpcam_s_selection(struct file *file, void *priv, struct v4l2_selection *selection);

/* camera_capture.c: the queue */
int fpcam_capture_init(struct fpcam_device *cam);
int fpcam_stream(struct fpcam_device *cam);

/* camera_controls.c: what changes the picture */
int fpcam_controls_init(struct fpcam_device *cam);
int fpcam_controls_restore(struct fpcam_device *cam);

/* camera_rings.c: the rings */
int fpcam_rings_init(struct fpcam_device *cam);
void fpcam_rings_program(struct fpcam_device *cam);
void fpcam_rings_forget(struct fpcam_device *cam);
void fpcam_post(struct fpcam_device *cam, struct fpcam_buffer *buffer);
void fpcam_halt(struct fpcam_device *cam);
void fpcam_empty(struct fpcam_device *cam, enum vb2_buffer_state state);
void fpcam_drain(struct fpcam_device *cam);
void fpcam_repost(struct fpcam_device *cam);
irqreturn_t fpcam_frame_done_irq(int irq, void *data);

/* camera_sync.c: fences of other devices, and for them */
int fpcam_sync_init(struct fpcam_device *cam);
void fpcam_sync_exit(struct fpcam_device *cam);
int fpcam_sync_prepare(struct fpcam_device *cam, struct fpcam_buffer *buffer);
void fpcam_sync_write(struct fpcam_device *cam, struct fpcam_descriptor *descriptor,
		      const struct fpcam_buffer *buffer);
bool fpcam_sync_failed(const struct fpcam_buffer *buffer);
void fpcam_sync_end(struct fpcam_device *cam, struct fpcam_buffer *buffer, int error);
void fpcam_sync_give_up(struct fpcam_device *cam);
void fpcam_sync_forget(struct fpcam_buffer *buffer);
long fpcam_sync_export(struct fpcam_device *cam, struct fencepost_camera_fence *args);

/* camera_pm.c: sleep and reset */
extern const struct dev_pm_ops fpcam_pm_ops;
extern const struct pci_error_handlers fpcam_err_handlers;
void fpcam_pause(struct fpcam_device *cam);
int fpcam_resume(struct fpcam_device *cam);

/* camera_watch.c: a stream that stands still is started again */
void fpcam_watch_init(struct fpcam_device *cam);
void fpcam_watch_start(struct fpcam_device *cam);
void fpcam_watch_now(struct fpcam_device *cam);

/* camera_video.c: the video device and its ioctls */
void fpcam_video_choose(struct fpcam_device *cam);
int fpcam_video_register(struct fpcam_device *cam);

#endif
