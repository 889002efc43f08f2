// SPDX-License-Identifier: GPL-2.0
/* The Fencepost camera's frame intervals. */

#include <linux/math64.h>

#include "camera_drv.h"

int fpcam_enum_frameintervals(struct file *file, void *priv,
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

int fpcam_g_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct fpcam_device *cam = video_drvdata(file);

	if (parm->type != cam->queue.type)
		return -EINVAL;
	parm->parm.capture.capability = V4L2_CAP_TIMEPERFRAME;
	parm->parm.capture.timeperframe = cam->interval;
	/* What vb2 takes for read(). */
	parm->parm.capture.readbuffers = cam->vdev.device_caps & V4L2_CAP_READWRITE ? 2 : 0;
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

int fpcam_s_parm(struct file *file, void *priv, struct v4l2_streamparm *parm)
{
	struct fpcam_device *cam = video_drvdata(file);

	if (parm->type != cam->queue.type)
		return -EINVAL;
	if (vb2_is_streaming(&cam->queue))
		return -EBUSY;
	cam->interval = fpcam_adjust_interval(cam, parm->parm.capture.timeperframe);
	return fpcam_g_parm(file, priv, parm);
}
