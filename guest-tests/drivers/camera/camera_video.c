// SPDX-License-Identifier: GPL-2.0
/* The Fencepost camera as a V4L2 device: formats, sizes, rates and the other ioctls. */

#include <linux/math64.h>
#include <media/v4l2-common.h>
#include <media/v4l2-event.h>
#include <media/v4l2-ioctl.h>

#include "camera_drv.h"

struct fpcam_format {
	u32 fourcc;
	u32 bit;
	/* Bytes in a line for each pixel, and lines of the whole image for each two lines. */
	u32 line_bytes;
	u32 lines_of_two;
};

static const struct fpcam_format fpcam_formats[] = {
	{ V4L2_PIX_FMT_YUYV, FPCAM_FORMATS_YUYV, 2, 2 },
	{ V4L2_PIX_FMT_NV12, FPCAM_FORMATS_NV12, 1, 3 },
};

/* The n-th format that the device has. */
static const struct fpcam_format *fpcam_nth_format(struct fpcam_device *cam, u32 n)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fpcam_formats); i++)
		if ((cam->limits.formats & fpcam_formats[i].bit) && n-- == 0)
			return &fpcam_formats[i];
	return NULL;
}

static const struct fpcam_format *fpcam_find_format(struct fpcam_device *cam, u32 fourcc)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fpcam_formats); i++)
		if ((cam->limits.formats & fpcam_formats[i].bit) &&
		    fpcam_formats[i].fourcc == fourcc)
			return &fpcam_formats[i];
	return NULL;
}

/* Makes the nearest format that the device has of what was asked for. */
static void fpcam_adjust(struct fpcam_device *cam, struct v4l2_pix_format *pix)
{
	const struct fpcam_limits *limits = &cam->limits;
	const struct fpcam_format *format;
	u32 least, most;

	format = fpcam_find_format(cam, pix->pixelformat);
	if (!format)
		format = fpcam_nth_format(cam, 0);
	pix->pixelformat = format->fourcc;
	pix->width = round_down(clamp(pix->width, limits->min_width, limits->max_width),
				limits->size_step);
	pix->height = round_down(clamp(pix->height, limits->min_height, limits->max_height),
				 limits->size_step);
	least = round_up(pix->width * format->line_bytes, limits->stride_align);
	most = round_down(limits->max_stride, limits->stride_align);
	pix->bytesperline = clamp(pix->bytesperline, least, most);
	pix->bytesperline = round_up(pix->bytesperline, limits->stride_align);
	pix->sizeimage = pix->bytesperline * pix->height / 2 * format->lines_of_two;
	pix->field = V4L2_FIELD_NONE;
	pix->colorspace = V4L2_COLORSPACE_SMPTE170M;
	pix->xfer_func = V4L2_XFER_FUNC_DEFAULT;
	pix->ycbcr_enc = V4L2_YCBCR_ENC_601;
	pix->quantization = limits->full_range ? V4L2_QUANTIZATION_FULL_RANGE :
						 V4L2_QUANTIZATION_LIM_RANGE;
	pix->flags = 0;
	pix->priv = V4L2_PIX_FMT_PRIV_MAGIC;
}

static int fpcam_querycap(struct file *file, void *priv, struct v4l2_capability *cap)
{
	BUILD_BUG_ON(sizeof(FENCEPOST_CAMERA_DRIVER_NAME) > sizeof(cap->driver));
	strscpy(cap->driver, FENCEPOST_CAMERA_DRIVER_NAME, sizeof(cap->driver));
	strscpy(cap->card, "Fencepost camera", sizeof(cap->card));
	return 0;
}

static int fpcam_enum_fmt(struct file *file, void *priv, struct v4l2_fmtdesc *desc)
{
	const struct fpcam_format *format = fpcam_nth_format(video_drvdata(file), desc->index);

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

static int fpcam_s_fmt(struct file *file, void *priv, struct v4l2_format *format)
{
	struct fpcam_device *cam = video_drvdata(file);

	if (vb2_is_busy(&cam->queue))
		return -EBUSY;
	fpcam_adjust(cam, &format->fmt.pix);
	cam->pix = format->fmt.pix;
	return 0;
}

static int fpcam_enum_framesizes(struct file *file, void *priv, struct v4l2_frmsizeenum *sizes)
{
	struct fpcam_device *cam = video_drvdata(file);
	const struct fpcam_limits *limits = &cam->limits;

	if (sizes->index || !fpcam_find_format(cam, sizes->pixel_format))
		return -EINVAL;
	if (limits->min_width == limits->max_width && limits->min_height == limits->max_height) {
		sizes->type = V4L2_FRMSIZE_TYPE_DISCRETE;
		sizes->discrete.width = limits->max_width;
		sizes->discrete.height = limits->max_height;
		return 0;
	}
	sizes->type = V4L2_FRMSIZE_TYPE_STEPWISE;
	sizes->stepwise.min_width = limits->min_width;
	sizes->stepwise.max_width = limits->max_width;
	sizes->stepwise.step_width = limits->size_step;
	sizes->stepwise.min_height = limits->min_height;
	sizes->stepwise.max_height = limits->max_height;
	sizes->stepwise.step_height = limits->size_step;
	return 0;
}

static int fpcam_enum_frameintervals(struct file *file, void *priv,
				     struct v4l2_frmivalenum *intervals)
{
	struct fpcam_device *cam = video_drvdata(file);
	struct v4l2_pix_format pix = {
		.pixelformat = intervals->pixel_format,
		.width = intervals->width,
		.height = intervals->height,
	};

	if (intervals->index || !fpcam_find_format(cam, pix.pixelformat))
		return -EINVAL;
	fpcam_adjust(cam, &pix);
	if (pix.width != intervals->width || pix.height != intervals->height)
		return -EINVAL;
	intervals->type = V4L2_FRMIVAL_TYPE_CONTINUOUS;
	intervals->stepwise.min = (struct v4l2_fract) { 1, cam->limits.max_rate };
	intervals->stepwise.max = (struct v4l2_fract) { 1, 1 };
	intervals->stepwise.step = (struct v4l2_fract) { 1, 1 };
	return 0;
}

static int fpcam_g_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct fpcam_device *cam = video_drvdata(file);

	if (parm->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
		return -EINVAL;
	parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
	parm->parm.capture.timeperframe = cam->interval;
	return 0;
}

/* The nearest interval that the device has; its own for one that is none. */
static struct v4l2_fract fpcam_adjust_interval(struct fpcam_device *cam, struct v4l2_fract interval)
{
	u64 shortest = interval.numerator;

	if (!interval.numerator || !interval.denominator)
		return cam->limits.native_interval;
	if (interval.numerator >= interval.denominator)
		return (struct v4l2_fract) { 1, 1 };
	if (shortest * cam->limits.max_rate < interval.denominator)
		return (struct v4l2_fract) { 1, cam->limits.max_rate };
	if (interval.denominator > FPCAM_RATE_MAX_PART) {
		/* Not zero: the interval is no shorter than 1 / max_rate. */
		interval.numerator = div_u64(shortest * FPCAM_RATE_MAX_PART, interval.denominator);
		interval.denominator = FPCAM_RATE_MAX_PART;
	}
	return interval;
}

static int fpcam_s_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct fpcam_device *cam = video_drvdata(file);

	if (parm->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
		return -EINVAL;
	if (vb2_is_streaming(&cam->queue))
		return -EBUSY;
	cam->interval = fpcam_adjust_interval(cam, parm->parm.capture.timeperframe);
	return fpcam_g_parm(file, priv, parm);
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

static const struct v4l2_ioctl_ops fpcam_ioctl_ops = {
	.vidioc_querycap = fpcam_querycap,
	.vidioc_enum_fmt_vid_cap = fpcam_enum_fmt,
	.vidioc_g_fmt_vid_cap = fpcam_g_fmt,
	.vidioc_try_fmt_vid_cap = fpcam_try_fmt,
	.vidioc_s_fmt_vid_cap = fpcam_s_fmt,
	.vidioc_enum_framesizes = fpcam_enum_framesizes,
	.vidioc_enum_frameintervals = fpcam_enum_frameintervals,
	.vidioc_g_parm = fpcam_g_parm,
	.vidioc_s_parm = fpcam_s_parm,
	.vidioc_enum_input = fpcam_enum_input,
	.vidioc_g_input = fpcam_g_input,
	.vidioc_s_input = fpcam_s_input,
	.vidioc_log_status = fpcam_log_status,
	.vidioc_subscribe_event = v4l2_ctrl_subscribe_event,
	.vidioc_unsubscribe_event = v4l2_event_unsubscribe,
	.vidioc_default = fpcam_default,
	.vidioc_reqbufs = vb2_ioctl_reqbufs,
	.vidioc_create_bufs = vb2_ioctl_create_bufs,
	.vidioc_prepare_buf = vb2_ioctl_prepare_buf,
	.vidioc_querybuf = vb2_ioctl_querybuf,
	.vidioc_qbuf = vb2_ioctl_qbuf,
	.vidioc_dqbuf = fpcam_dqbuf,
	.vidioc_expbuf = vb2_ioctl_expbuf,
	.vidioc_streamon = vb2_ioctl_streamon,
	.vidioc_streamoff = vb2_ioctl_streamoff,
};

static const struct v4l2_file_operations fpcam_file_ops = {
	.owner = THIS_MODULE,
	.open = v4l2_fh_open,
	.release = vb2_fop_release,
	.unlocked_ioctl = video_ioctl2,
	.poll = vb2_fop_poll,
	.mmap = vb2_fop_mmap,
};

int fpcam_video_register(struct fpcam_device *cam)
{
	struct video_device *vdev = &cam->vdev;

	cam->interval = cam->limits.native_interval;
	cam->pix.width = cam->limits.max_width;
	cam->pix.height = cam->limits.max_height;
	fpcam_adjust(cam, &cam->pix);

	strscpy(vdev->name, FENCEPOST_CAMERA_DRIVER_NAME, sizeof(vdev->name));
	vdev->v4l2_dev = &cam->v4l2;
	vdev->queue = &cam->queue;
	vdev->lock = &cam->lock;
	vdev->ctrl_handler = &cam->handler;
	vdev->fops = &fpcam_file_ops;
	vdev->ioctl_ops = &fpcam_ioctl_ops;
	vdev->device_caps = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;
	/* The structure lives as long as the v4l2_device. */
	vdev->release = video_device_release_empty;
	video_set_drvdata(vdev, cam);
	return video_register_device(vdev, VFL_TYPE_VIDEO, -1);
}
