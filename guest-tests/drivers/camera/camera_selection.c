// SPDX-License-Identifier: GPL-2.0
/*
 * Crop and compose: which part of the picture goes where in the buffer. The device does not scale, so both rectangles have
 * one size, and setting one changes the other.
 */

#include "camera_drv.h"

/* What a new format begins with. */
void fpcam_selection_reset(struct fpcam_device *cam)
{
	cam->crop = (struct v4l2_rect) { .width = cam->pix.width, .height = cam->pix.height };
	cam->compose = cam->crop;
}

void fpcam_selection_program(struct fpcam_device *cam)
{
	if (fpcam_read(cam, FPCAM_VERSION) < FPCAM_VERSION_WINDOW)
		return;
	fpcam_write(cam, FPCAM_SOURCE_WIDTH, cam->pix.width);
	fpcam_write(cam, FPCAM_SOURCE_HEIGHT, cam->pix.height);
	fpcam_write(cam, FPCAM_CROP_LEFT, cam->crop.left);
	fpcam_write(cam, FPCAM_CROP_TOP, cam->crop.top);
	fpcam_write(cam, FPCAM_CROP_WIDTH, cam->crop.width);
	fpcam_write(cam, FPCAM_CROP_HEIGHT, cam->crop.height);
	fpcam_write(cam, FPCAM_COMPOSE_LEFT, cam->compose.left);
	fpcam_write(cam, FPCAM_COMPOSE_TOP, cam->compose.top);
}

int fpcam_g_selection(struct file *file, void *priv, struct v4l2_selection *selection)
{
	struct fpcam_device *cam = video_drvdata(file);

	if (selection->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
		return -EINVAL;
	switch (selection->target) {
	case V4L2_SEL_TGT_CROP:
		selection->r = cam->crop;
		return 0;
	case V4L2_SEL_TGT_COMPOSE:
		selection->r = cam->compose;
		return 0;
	case V4L2_SEL_TGT_CROP_DEFAULT:
	case V4L2_SEL_TGT_CROP_BOUNDS:
	case V4L2_SEL_TGT_COMPOSE_DEFAULT:
	case V4L2_SEL_TGT_COMPOSE_BOUNDS:
	case V4L2_SEL_TGT_COMPOSE_PADDED:
		selection->r = (struct v4l2_rect) {
			.width = cam->pix.width, .height = cam->pix.height,
		};
		return 0;
	default:
		return -EINVAL;
	}
}

/* The nearest size that there is, by the flags; 0 if they leave none. */
static u32 fpcam_side(struct fpcam_device *cam, u32 wanted, u32 most, u32 flags)
{
	u32 step = cam->limits.size_step;
	u32 side = clamp(wanted, step, most);

	side = flags & V4L2_SEL_FLAG_GE ? round_up(side, step) : round_down(side, step);
	if ((flags & V4L2_SEL_FLAG_GE) && side < wanted)
		return 0;
	return (flags & V4L2_SEL_FLAG_LE) && side > wanted ? 0 : side;
}

/* Moves a rectangle into the picture and onto the step. */
static void fpcam_place(struct fpcam_device *cam, struct v4l2_rect *rect, s32 left, s32 top)
{
	rect->left = round_down(clamp_t(s32, left, 0, cam->pix.width - rect->width),
				cam->limits.size_step);
	rect->top = round_down(clamp_t(s32, top, 0, cam->pix.height - rect->height),
			       cam->limits.size_step);
}

int fpcam_s_selection(struct file *file, void *priv, struct v4l2_selection *selection)
{
	struct fpcam_device *cam = video_drvdata(file);
	struct v4l2_rect *set, *other, *wanted = &selection->r;
	u32 width, height;

	if (selection->type != V4L2_BUF_TYPE_VIDEO_CAPTURE)
		return -EINVAL;
	if (selection->target == V4L2_SEL_TGT_CROP)
		set = &cam->crop;
	else if (selection->target == V4L2_SEL_TGT_COMPOSE)
		set = &cam->compose;
	else
		return -EINVAL;
	/* The device takes another window only while the stream is off. */
	if (vb2_is_streaming(&cam->queue))
		return -EBUSY;
	width = fpcam_side(cam, wanted->width, cam->pix.width, selection->flags);
	height = fpcam_side(cam, wanted->height, cam->pix.height, selection->flags);
	if (!width || !height)
		return -ERANGE;
	other = set == &cam->crop ? &cam->compose : &cam->crop;
	set->width = other->width = width;
	set->height = other->height = height;
	fpcam_place(cam, set, wanted->left, wanted->top);
	fpcam_place(cam, other, other->left, other->top);
	selection->r = *set;
	return 0;
}
