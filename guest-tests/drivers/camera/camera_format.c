// SPDX-License-Identifier: GPL-2.0
/* The Fencepost camera's formats, with one plane and with several, and their sizes and rates. */

#include <linux/math64.h>

#include "camera_drv.h"

static const struct fpcam_format fpcam_formats[] = {
	{ V4L2_PIX_FMT_YUYV, V4L2_PIX_FMT_YUYV, FPCAM_FORMATS_YUYV, 2, 0, 1 },
	{ V4L2_PIX_FMT_NV12, V4L2_PIX_FMT_NV12, FPCAM_FORMATS_NV12, 1, 1, 1 },
	{ V4L2_PIX_FMT_NV12M, V4L2_PIX_FMT_NV12, FPCAM_FORMATS_NV12, 1, 1, 2 },
	{ V4L2_PIX_FMT_UYVY, V4L2_PIX_FMT_UYVY, FPCAM_FORMATS_UYVY, 2, 0, 1 },
	{ V4L2_PIX_FMT_XBGR32, V4L2_PIX_FMT_XBGR32, FPCAM_FORMATS_XRGB8888, 4, 0, 1, .rgb = true },
	{ V4L2_PIX_FMT_GREY, V4L2_PIX_FMT_GREY, FPCAM_FORMATS_GREY, 1, 0, 1 },
	{ V4L2_PIX_FMT_SRGGB8, V4L2_PIX_FMT_SRGGB8, FPCAM_FORMATS_SRGGB8, 1, 0, 1, .rgb = true },
	{ V4L2_PIX_FMT_SRGGB10, V4L2_PIX_FMT_SRGGB10, FPCAM_FORMATS_SRGGB10, 2, 0, 1, .rgb = true },
};

static bool fpcam_has_format(struct fpcam_device *cam, const struct fpcam_format *format)
{
	return (cam->limits.formats & format->bit) && (format->planes == 1 || cam->multiplanar);
}

/* The n-th format that there is; NULL beyond the last. */
const struct fpcam_format *fpcam_nth_format(struct fpcam_device *cam, u32 n)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fpcam_formats); i++)
		if (fpcam_has_format(cam, &fpcam_formats[i]) && n-- == 0)
			return &fpcam_formats[i];
	return NULL;
}

const struct fpcam_format *fpcam_find_format(struct fpcam_device *cam, u32 fourcc)
{
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fpcam_formats); i++)
		if (fpcam_has_format(cam, &fpcam_formats[i]) && fpcam_formats[i].fourcc == fourcc)
			return &fpcam_formats[i];
	return NULL;
}

/* Makes the nearest format that the device has of what was asked for. */
void fpcam_adjust(struct fpcam_device *cam, struct v4l2_pix_format *pix)
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
	pix->sizeimage = pix->bytesperline * (pix->height + format->half_planes * pix->height / 2);
	pix->field = V4L2_FIELD_NONE;
	pix->colorspace = V4L2_COLORSPACE_SMPTE170M;
	pix->xfer_func = V4L2_XFER_FUNC_DEFAULT;
	pix->ycbcr_enc = V4L2_YCBCR_ENC_601;
	pix->quantization = limits->full_range || format->rgb ? V4L2_QUANTIZATION_FULL_RANGE :
								V4L2_QUANTIZATION_LIM_RANGE;
	pix->flags = 0;
	pix->priv = V4L2_PIX_FMT_PRIV_MAGIC;
}

/* Bytes of a plane of the present format. */
u32 fpcam_plane_bytes(struct fpcam_device *cam, unsigned int plane)
{
	const struct v4l2_pix_format *pix = &cam->pix;

	if (cam->format->planes == 1)
		return pix->sizeimage;
	return plane ? pix->bytesperline * pix->height / 2 : pix->bytesperline * pix->height;
}

/* Both planes of NV12 have the same stride. */
void fpcam_pix_from_mplane(struct v4l2_pix_format *pix, const struct v4l2_pix_format_mplane *mplane)
{
	*pix = (struct v4l2_pix_format) {
		.width = mplane->width,
		.height = mplane->height,
		.pixelformat = mplane->pixelformat,
		.bytesperline = mplane->plane_fmt[0].bytesperline,
	};
}

void fpcam_pix_to_mplane(struct fpcam_device *cam, struct v4l2_pix_format_mplane *mplane,
			 const struct v4l2_pix_format *pix)
{
	const struct fpcam_format *format = fpcam_find_format(cam, pix->pixelformat);
	unsigned int plane;

	memset(mplane, 0, sizeof(*mplane));
	mplane->width = pix->width;
	mplane->height = pix->height;
	mplane->pixelformat = pix->pixelformat;
	mplane->field = pix->field;
	mplane->colorspace = pix->colorspace;
	mplane->xfer_func = pix->xfer_func;
	mplane->ycbcr_enc = pix->ycbcr_enc;
	mplane->quantization = pix->quantization;
	mplane->num_planes = format->planes;
	for (plane = 0; plane < format->planes; plane++)
		mplane->plane_fmt[plane].bytesperline = pix->bytesperline;
	mplane->plane_fmt[0].sizeimage = pix->sizeimage;
	if (format->planes == 2) {
		mplane->plane_fmt[0].sizeimage = pix->bytesperline * pix->height;
		mplane->plane_fmt[1].sizeimage = pix->bytesperline * pix->height / 2;
	}
}

int fpcam_enum_framesizes(struct file *file, void *priv, struct v4l2_frmsizeenum *sizes)
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
