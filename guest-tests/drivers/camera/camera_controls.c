// SPDX-License-Identifier: GPL-2.0
/*
 * What changes the picture: controls of V4L2, in one cluster, so that values that a program sets in one call take effect with
 * the same frame.
 */

#include "camera_drv.h"

static const char * const fpcam_patterns[] = {
	"Disabled", "Colour bars", "Ramp", "Squares", "Waves",
};

static int fpcam_s_ctrl(struct v4l2_ctrl *ctrl)
{
	struct fpcam_device *cam = container_of(ctrl->handler, struct fpcam_device, handler);
	const struct fpcam_controls *controls = &cam->controls;
	u32 flip = 0;

	if (controls->hflip->val)
		flip |= FPCAM_FLIP_HORIZONTAL;
	if (controls->vflip->val)
		flip |= FPCAM_FLIP_VERTICAL;
	fpcam_write(cam, FPCAM_BRIGHTNESS, controls->brightness->val);
	fpcam_write(cam, FPCAM_CONTRAST, controls->contrast->val);
	fpcam_write(cam, FPCAM_EXPOSURE, controls->exposure->val);
	fpcam_write(cam, FPCAM_GAIN, controls->gain->val);
	fpcam_write(cam, FPCAM_FLIP, flip);
	fpcam_write(cam, FPCAM_PATTERN, controls->pattern->val);
	fpcam_write(cam, FPCAM_CONTROLS_LATCH, 0);
	return 0;
}

static const struct v4l2_ctrl_ops fpcam_ctrl_ops = {
	.s_ctrl = fpcam_s_ctrl,
};

static struct v4l2_ctrl *fpcam_control(struct fpcam_device *cam, u32 id, s64 min, s64 max, s64 unit)
{
	return v4l2_ctrl_new_std(&cam->handler, &fpcam_ctrl_ops, id, min, max, 1, unit);
}

/* Makes the controls, if the device has them, and gives it their values. */
int fpcam_controls_init(struct fpcam_device *cam)
{
	struct fpcam_controls *controls = &cam->controls;

	v4l2_ctrl_handler_init(&cam->handler, 7);
	if (fpcam_read(cam, FPCAM_VERSION) < FPCAM_VERSION_CONTROLS)
		return 0;
	controls->brightness = fpcam_control(cam, V4L2_CID_BRIGHTNESS, -128, 127, 0);
	controls->contrast = fpcam_control(cam, V4L2_CID_CONTRAST, 0, 255, FPCAM_CONTRAST_UNIT);
	controls->exposure = fpcam_control(cam, V4L2_CID_EXPOSURE, FPCAM_LIGHT_MIN, FPCAM_LIGHT_MAX,
					   FPCAM_LIGHT_UNIT);
	controls->gain = fpcam_control(cam, V4L2_CID_GAIN, FPCAM_LIGHT_MIN, FPCAM_LIGHT_MAX,
				       FPCAM_LIGHT_UNIT);
	controls->hflip = fpcam_control(cam, V4L2_CID_HFLIP, 0, 1, 0);
	controls->vflip = fpcam_control(cam, V4L2_CID_VFLIP, 0, 1, 0);
	controls->pattern = v4l2_ctrl_new_std_menu_items(&cam->handler, &fpcam_ctrl_ops,
							 V4L2_CID_TEST_PATTERN,
							 ARRAY_SIZE(fpcam_patterns) - 1, 0, 0,
							 fpcam_patterns);
	if (cam->handler.error)
		return cam->handler.error;
	v4l2_ctrl_cluster(sizeof(*controls) / sizeof(controls->brightness), &controls->brightness);
	return fpcam_controls_restore(cam);
}

/* Gives the device, which may have lost them, the values of the controls. */
int fpcam_controls_restore(struct fpcam_device *cam)
{
	return v4l2_ctrl_handler_setup(&cam->handler);
}
