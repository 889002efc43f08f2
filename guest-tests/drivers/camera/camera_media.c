// SPDX-License-Identifier: GPL-2.0
/*
 * The camera as embedded ones are, where the module parameter "media" asks for it: a sensor, which is a subdevice with
 * the controls and a format of its own, linked to the video device in a media graph. Programs set the formats of both, and
 * the stream starts if they agree.
 */

#include <linux/module.h>
#include <linux/pci.h>
#include <media/media-device.h>
#include <media/v4l2-event.h>
#include <media/v4l2-subdev.h>

#include "camera_drv.h"

static bool media;
module_param(media, bool, 0444);
MODULE_PARM_DESC(media, "A media graph with a sensor subdevice, not a plain video device");

static struct fpcam_device *to_fpcam_of_sensor(struct v4l2_subdev *sd)
{
	return container_of(sd, struct fpcam_device, sensor);
}

/* What the sensor may send: pictures, or the filters' samples. */
static const u32 fpcam_codes[] = {
	MEDIA_BUS_FMT_YUYV8_1X16, MEDIA_BUS_FMT_SRGGB8_1X8, MEDIA_BUS_FMT_SRGGB10_1X10,
};

/* What the sensor sends for a format of the video device. */
u32 fpcam_code_of(const struct fpcam_format *format)
{
	switch (format->fourcc) {
	case V4L2_PIX_FMT_SRGGB8:
		return MEDIA_BUS_FMT_SRGGB8_1X8;
	case V4L2_PIX_FMT_SRGGB10:
		return MEDIA_BUS_FMT_SRGGB10_1X10;
	default:
		return MEDIA_BUS_FMT_YUYV8_1X16;
	}
}

/* A format by its size and code: the nearest that the sensor has. */
static void fpcam_sensor_adjust(struct fpcam_device *cam, struct v4l2_mbus_framefmt *fmt)
{
	struct v4l2_pix_format pix = { .width = fmt->width, .height = fmt->height };
	unsigned int i = ARRAY_SIZE(fpcam_codes);

	while (--i && fpcam_codes[i] != fmt->code)
		;
	pix.pixelformat = i == 2 ? V4L2_PIX_FMT_SRGGB10 : i ? V4L2_PIX_FMT_SRGGB8 : V4L2_PIX_FMT_YUYV;
	fpcam_adjust(cam, &pix);
	memset(fmt, 0, sizeof(*fmt));
	fmt->code = fpcam_codes[i];
	v4l2_fill_mbus_format(fmt, &pix, fmt->code);
}

static struct v4l2_mbus_framefmt *fpcam_sensor_format(struct v4l2_subdev *sd,
						      struct v4l2_subdev_state *state)
{
#ifdef FENCEPOST_LINUX_6_1
	return v4l2_subdev_get_pad_format(sd, state, 0);
#else
	return v4l2_subdev_state_get_format(state, 0);
#endif
}

static int fpcam_sensor_init(struct v4l2_subdev *sd, struct v4l2_subdev_state *state)
{
	struct fpcam_device *cam = to_fpcam_of_sensor(sd);
	struct v4l2_mbus_framefmt *fmt = fpcam_sensor_format(sd, state);

	fmt->width = cam->limits.max_width;
	fmt->height = cam->limits.max_height;
	fpcam_sensor_adjust(cam, fmt);
	return 0;
}

static int fpcam_sensor_set_fmt(struct v4l2_subdev *sd, struct v4l2_subdev_state *state,
				struct v4l2_subdev_format *format)
{
	struct fpcam_device *cam = to_fpcam_of_sensor(sd);

	if (format->which == V4L2_SUBDEV_FORMAT_ACTIVE && READ_ONCE(cam->streaming))
		return -EBUSY;
	fpcam_sensor_adjust(cam, &format->format);
	*fpcam_sensor_format(sd, state) = format->format;
	return 0;
}

static int fpcam_sensor_enum_code(struct v4l2_subdev *sd, struct v4l2_subdev_state *state,
				  struct v4l2_subdev_mbus_code_enum *code)
{
	if (code->index >= ARRAY_SIZE(fpcam_codes))
		return -EINVAL;
	code->code = fpcam_codes[code->index];
	return 0;
}

static int fpcam_sensor_enum_size(struct v4l2_subdev *sd, struct v4l2_subdev_state *state,
				  struct v4l2_subdev_frame_size_enum *size)
{
	const struct fpcam_limits *limits = &to_fpcam_of_sensor(sd)->limits;
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(fpcam_codes); i++)
		if (fpcam_codes[i] == size->code)
			break;
	if (size->index || i == ARRAY_SIZE(fpcam_codes))
		return -EINVAL;
	size->min_width = limits->min_width;
	size->max_width = limits->max_width;
	size->min_height = limits->min_height;
	size->max_height = limits->max_height;
	return 0;
}

static const struct v4l2_subdev_core_ops fpcam_sensor_core_ops = {
	.log_status = v4l2_ctrl_subdev_log_status,
	.subscribe_event = v4l2_ctrl_subdev_subscribe_event,
	.unsubscribe_event = v4l2_event_subdev_unsubscribe,
};

static const struct v4l2_subdev_pad_ops fpcam_sensor_pad_ops = {
#ifdef FENCEPOST_LINUX_6_1
	.init_cfg = fpcam_sensor_init,
#endif
	.enum_mbus_code = fpcam_sensor_enum_code,
	.enum_frame_size = fpcam_sensor_enum_size,
	.get_fmt = v4l2_subdev_get_fmt,
	.set_fmt = fpcam_sensor_set_fmt,
};

static const struct v4l2_subdev_ops fpcam_sensor_ops = {
	.core = &fpcam_sensor_core_ops,
	.pad = &fpcam_sensor_pad_ops,
};

#ifndef FENCEPOST_LINUX_6_1
static const struct v4l2_subdev_internal_ops fpcam_sensor_internal_ops = {
	.init_state = fpcam_sensor_init,
};
#endif

/* Whether the video device takes what the sensor sends. */
static int fpcam_link_validate(struct media_link *link)
{
	struct v4l2_subdev *sd = media_entity_to_v4l2_subdev(link->source->entity);
	struct fpcam_device *cam = to_fpcam_of_sensor(sd);
	const struct v4l2_mbus_framefmt *fmt;
	struct v4l2_subdev_state *state;
	bool same;

	state = v4l2_subdev_lock_and_get_active_state(sd);
	fmt = fpcam_sensor_format(sd, state);
	same = fmt->width == cam->pix.width && fmt->height == cam->pix.height &&
	       fmt->code == fpcam_code_of(cam->format);
	v4l2_subdev_unlock_state(state);
	return same ? 0 : -EPIPE;
}

static const struct media_entity_operations fpcam_video_entity_ops = {
	.link_validate = fpcam_link_validate,
};

/* The stream begins: nobody changes the graph, and the formats agree. */
int fpcam_media_start(struct fpcam_device *cam)
{
	return cam->has_media ? video_device_pipeline_start(&cam->vdev, &cam->pipe) : 0;
}

void fpcam_media_stop(struct fpcam_device *cam)
{
	if (cam->has_media)
		video_device_pipeline_stop(&cam->vdev);
}

/* Makes the graph's two entities, before the video device is registered. */
int fpcam_media_init(struct fpcam_device *cam)
{
	struct v4l2_subdev *sd = &cam->sensor;
	int ret;

	if (!media)
		return 0;
	cam->has_media = true;
	cam->mdev.dev = &cam->pdev->dev;
	media_device_pci_init(&cam->mdev, cam->pdev, "Fencepost camera");
	cam->v4l2.mdev = &cam->mdev;

	v4l2_subdev_init(sd, &fpcam_sensor_ops);
#ifndef FENCEPOST_LINUX_6_1
	sd->internal_ops = &fpcam_sensor_internal_ops;
#endif
	sd->owner = THIS_MODULE;
	sd->dev = &cam->pdev->dev;
	sd->flags = V4L2_SUBDEV_FL_HAS_DEVNODE | V4L2_SUBDEV_FL_HAS_EVENTS;
	sd->ctrl_handler = &cam->handler;
	sd->entity.function = MEDIA_ENT_F_CAM_SENSOR;
	strscpy(sd->name, "fencepost_cam sensor", sizeof(sd->name));
	cam->sensor_pad.flags = MEDIA_PAD_FL_SOURCE;
	ret = media_entity_pads_init(&sd->entity, 1, &cam->sensor_pad);
	if (!ret)
		ret = v4l2_subdev_init_finalize(sd);
	if (ret)
		return ret;
	cam->video_pad.flags = MEDIA_PAD_FL_SINK;
	cam->vdev.entity.ops = &fpcam_video_entity_ops;
	ret = media_entity_pads_init(&cam->vdev.entity, 1, &cam->video_pad);
	return ret ? ret : v4l2_device_register_subdev(&cam->v4l2, sd);
}

/* Links them and shows the graph, after the video device was registered. */
int fpcam_media_register(struct fpcam_device *cam)
{
	int ret;

	if (!cam->has_media)
		return 0;
	ret = media_create_pad_link(&cam->sensor.entity, 0, &cam->vdev.entity, 0,
				    MEDIA_LNK_FL_ENABLED | MEDIA_LNK_FL_IMMUTABLE);
	if (!ret)
		ret = v4l2_device_register_subdev_nodes(&cam->v4l2);
	return ret ? ret : media_device_register(&cam->mdev);
}

/* Takes the graph and its nodes away, whoever has them open; also one that is not whole. */
void fpcam_media_unregister(struct fpcam_device *cam)
{
	if (!cam->has_media)
		return;
	v4l2_device_unregister_subdev(&cam->sensor);
	media_device_unregister(&cam->mdev);
}

/* Nobody has anything of it open any more. */
void fpcam_media_release(struct fpcam_device *cam)
{
	if (!cam->has_media)
		return;
	v4l2_subdev_cleanup(&cam->sensor);
	media_entity_cleanup(&cam->sensor.entity);
	media_entity_cleanup(&cam->vdev.entity);
	media_device_cleanup(&cam->mdev);
}
