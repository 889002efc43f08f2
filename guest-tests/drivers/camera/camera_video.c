// SPDX-License-Identifier: GPL-2.0
/* The Fencepost camera as a V4L2 device: its ioctls. */

#include <linux/module.h>
#include <media/v4l2-common.h>
#include <media/v4l2-event.h>
#include <media/v4l2-ioctl.h>

#include "camera_drv.h"

/* As V4L2 has it: a device has the one interface or the other. */
static bool multiplanar;
module_param(multiplanar, bool, 0444);
MODULE_PARM_DESC(multiplanar, "Buffers have several planes (and NV12M), in V4L2's multi-planar interface");

static int fpcam_querycap(struct file *file, void *priv, struct v4l2_capability *cap)
{
	BUILD_BUG_ON(sizeof(FENCEPOST_CAMERA_DRIVER_NAME) > sizeof(cap->driver));
	strscpy(cap->driver, FENCEPOST_CAMERA_DRIVER_NAME, sizeof(cap->driver));
	strscpy(cap->card, "Fencepost camera", sizeof(cap->card));
	return 0;
}

static int fpcam_enum_fmt(struct file *file, void *priv, struct v4l2_fmtdesc *desc)
{
	struct fpcam_device *cam = video_drvdata(file);
	const struct fpcam_format *format;
	u32 n, left = desc->index;

	/* With a media graph, programs may ask for what goes with a format of the sensor's. */
	for (n = 0; (format = fpcam_nth_format(cam, n)); n++)
		if (!desc->mbus_code || desc->mbus_code == fpcam_code_of(format))
			if (!left--)
				break;
	if (!format)
		return -EINVAL;
	desc->pixelformat = format->fourcc;
	return 0;
}

static int fpcam_g_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	struct fpcam_device *cam = video_drvdata(file);

	format->fmt.pix = cam->pix;
	return 0;
}

static int fpcam_try_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	fpcam_adjust(video_drvdata(file), &format->fmt.pix);
	return 0;
}

static void fpcam_set_format(struct fpcam_device *cam, const struct v4l2_pix_format *pix)
{
	cam->pix = *pix;
	cam->format = fpcam_find_format(cam, pix->pixelformat);
	fpcam_selection_reset(cam);
}

static int fpcam_s_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	struct fpcam_device *cam = video_drvdata(file);

	if (vb2_is_busy(&cam->queue))
		return -EBUSY;
	fpcam_adjust(cam, &format->fmt.pix);
	fpcam_set_format(cam, &format->fmt.pix);
	return 0;
}

static int fpcam_g_fmt_mplane(struct file *file, void *priv, struct v4l2_format *format)
{
	struct fpcam_device *cam = video_drvdata(file);

	fpcam_pix_to_mplane(cam, &format->fmt.pix_mp, &cam->pix);
	return 0;
}

static int fpcam_try_fmt_mplane(struct file *file, void *priv, struct v4l2_format *format)
{
	struct fpcam_device *cam = video_drvdata(file);
	struct v4l2_pix_format pix;

	fpcam_pix_from_mplane(&pix, &format->fmt.pix_mp);
	fpcam_adjust(cam, &pix);
	fpcam_pix_to_mplane(cam, &format->fmt.pix_mp, &pix);
	return 0;
}

static int fpcam_s_fmt_mplane(struct file *file, void *priv, struct v4l2_format *format)
{
	struct fpcam_device *cam = video_drvdata(file);
	struct v4l2_pix_format pix;

	if (vb2_is_busy(&cam->queue))
		return -EBUSY;
	fpcam_pix_from_mplane(&pix, &format->fmt.pix_mp);
	fpcam_adjust(cam, &pix);
	fpcam_set_format(cam, &pix);
	fpcam_pix_to_mplane(cam, &format->fmt.pix_mp, &pix);
	return 0;
}

static int fpcam_enum_input(struct file *file, void *priv, struct v4l2_input *input)
{
	if (input->index)
		return -EINVAL;
	input->type = V4L2_INPUT_TYPE_CAMERA;
	strscpy(input->name, "Picture source", sizeof(input->name));
	return 0;
}

static int fpcam_g_input(struct file *file, void *priv, unsigned int *input)
{
	*input = 0;
	return 0;
}

static int fpcam_s_input(struct file *file, void *priv, unsigned int input)
{
	return input ? -EINVAL : 0;
}

static int fpcam_log_status(struct file *file, void *priv)
{
	struct fpcam_device *cam = video_drvdata(file);

	v4l2_info(&cam->v4l2, "%u frames, %u dropped, %u errors, status %#x\n",
		  fpcam_read(cam, FPCAM_FRAME_COUNT), fpcam_read(cam, FPCAM_OVERRUN_COUNT),
		  fpcam_read(cam, FPCAM_ERROR_COUNT), fpcam_read(cam, FPCAM_STATUS));
	return v4l2_ctrl_log_status(file, priv);
}

/*
 * vb2 says to who sleeps here when the device goes away that the stream is off; that is only half
 * of it.
 */
static int fpcam_dqbuf(struct file *file, void *priv, struct v4l2_buffer *buffer)
{
	int ret = vb2_ioctl_dqbuf(file, priv, buffer);

	return ret && !video_is_registered(video_devdata(file)) ? -ENODEV : ret;
}

static long fpcam_default(struct file *file, void *priv, bool valid_prio, unsigned int cmd,
			  void *arg)
{
	struct fpcam_device *cam = video_drvdata(file);
	struct fencepost_camera_frame *frame = arg;
	struct fpcam_buffer *buffer;
	struct vb2_buffer *vb;
	unsigned long flags;
	long ret = -ENODATA;

	if (cmd == FENCEPOST_CAMERA_IOC_FENCE)
		return fpcam_sync_export(cam, arg);
	if (cmd != FENCEPOST_CAMERA_IOC_FRAME)
		return -ENOTTY;
	vb = vb2_get_buffer(&cam->queue, frame->index);
	if (!vb)
		return -EINVAL;
	buffer = to_fpcam_buffer(vb);
	spin_lock_irqsave(&cam->ring_lock, flags);
	if (buffer->has_frame) {
		*frame = buffer->frame;
		ret = 0;
	}
	spin_unlock_irqrestore(&cam->ring_lock, flags);
	return ret;
}

/* All but formats. */
#define FPCAM_IOCTL_OPS						\
	.vidioc_querycap = fpcam_querycap,			\
	.vidioc_enum_fmt_vid_cap = fpcam_enum_fmt,		\
	.vidioc_enum_framesizes = fpcam_enum_framesizes,	\
	.vidioc_enum_frameintervals = fpcam_enum_frameintervals, \
	.vidioc_g_selection = fpcam_g_selection,		\
	.vidioc_s_selection = fpcam_s_selection,		\
	.vidioc_g_parm = fpcam_g_parm,				\
	.vidioc_s_parm = fpcam_s_parm,				\
	.vidioc_enum_input = fpcam_enum_input,			\
	.vidioc_g_input = fpcam_g_input,			\
	.vidioc_s_input = fpcam_s_input,			\
	.vidioc_log_status = fpcam_log_status,			\
	.vidioc_subscribe_event = v4l2_ctrl_subscribe_event,	\
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,	\
	.vidioc_default = fpcam_default,			\
	.vidioc_reqbufs = vb2_ioctl_reqbufs,			\
	.vidioc_create_bufs = vb2_ioctl_create_bufs,		\
	.vidioc_prepare_buf = vb2_ioctl_prepare_buf,		\
	.vidioc_querybuf = vb2_ioctl_querybuf,			\
	.vidioc_qbuf = vb2_ioctl_qbuf,				\
	.vidioc_dqbuf = fpcam_dqbuf,				\
	.vidioc_expbuf = vb2_ioctl_expbuf,			\
	.vidioc_streamon = vb2_ioctl_streamon,			\
	.vidioc_streamoff = vb2_ioctl_streamoff

static const struct v4l2_ioctl_ops fpcam_ioctl_ops = {
	FPCAM_IOCTL_OPS,
	.vidioc_g_fmt_vid_cap = fpcam_g_fmt,
	.vidioc_try_fmt_vid_cap = fpcam_try_fmt,
	.vidioc_s_fmt_vid_cap = fpcam_s_fmt,
};

static const struct v4l2_ioctl_ops fpcam_mplane_ioctl_ops = {
	FPCAM_IOCTL_OPS,
	.vidioc_g_fmt_vid_cap_mplane = fpcam_g_fmt_mplane,
	.vidioc_try_fmt_vid_cap_mplane = fpcam_try_fmt_mplane,
	.vidioc_s_fmt_vid_cap_mplane = fpcam_s_fmt_mplane,
};

static const struct v4l2_file_operations fpcam_file_ops = {
	.owner = THIS_MODULE,
	.open = v4l2_fh_open,
	.release = vb2_fop_release,
	.unlocked_ioctl = video_ioctl2,
	.read = vb2_fop_read,
	.poll = vb2_fop_poll,
	.mmap = vb2_fop_mmap,
};

/* Which interface the device is to have; before anything asks for its formats. */
void fpcam_video_choose(struct fpcam_device *cam)
{
	cam->multiplanar = multiplanar;
}

int fpcam_video_register(struct fpcam_device *cam)
{
	struct v4l2_pix_format first = {
		.width = cam->limits.max_width, .height = cam->limits.max_height,
	};
	struct video_device *vdev = &cam->vdev;

	cam->interval = cam->limits.native_interval;
	fpcam_adjust(cam, &first);
	fpcam_set_format(cam, &first);

	strscpy(vdev->name, FENCEPOST_CAMERA_DRIVER_NAME, sizeof(vdev->name));
	vdev->v4l2_dev = &cam->v4l2;
	vdev->queue = &cam->queue;
	vdev->lock = &cam->lock;
	/* In a media graph the controls are the sensor's. */
	vdev->ctrl_handler = cam->has_media ? NULL : &cam->handler;
	vdev->fops = &fpcam_file_ops;
	vdev->ioctl_ops = cam->multiplanar ? &fpcam_mplane_ioctl_ops : &fpcam_ioctl_ops;
	/* vb2 has read() for one plane alone. */
	vdev->device_caps = V4L2_CAP_STREAMING;
	vdev->device_caps |= cam->multiplanar ? V4L2_CAP_VIDEO_CAPTURE_MPLANE :
						V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_READWRITE;
	if (cam->has_media)
		vdev->device_caps |= V4L2_CAP_IO_MC;
	/* The structure lives as long as the v4l2_device. */
	vdev->release = video_device_release_empty;
	video_set_drvdata(vdev, cam);
	return video_register_device(vdev, VFL_TYPE_VIDEO, -1);
}
