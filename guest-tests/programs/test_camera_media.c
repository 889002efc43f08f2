// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the camera as a media graph (the driver's parameter media=1), in KTAP: a sensor linked to the video device, each with
 * a format of its own that must agree, the controls on the sensor, and the end of it all while programs have it open.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <linux/media-bus-format.h>
#include <linux/media.h>
#include <linux/v4l2-subdev.h>

#include <uapi/fencepost.h>

#include "capture.h"
#include "ktap.h"
#include "life.h"

#define WIDTH 122
#define HEIGHT 66
#define WAVES 4

static struct capture camera;
static int media = -1, sensor = -1;
static const struct life_device device = { "0000:00:02.0", FENCEPOST_CAMERA_DRIVER_NAME };

static int call(int fd, unsigned long request, void *arg)
{
	return ioctl(fd, request, arg) ? -errno : 0;
}

static int open_nodes(void)
{
	int ret = capture_open(&camera, FENCEPOST_CAMERA_DRIVER_NAME, 0);

	media = open("/dev/media0", O_RDWR | O_CLOEXEC);
	sensor = open("/dev/v4l-subdev0", O_RDWR | O_CLOEXEC | O_NONBLOCK);
	return ret ? ret : media < 0 || sensor < 0 ? -errno : 0;
}

static void close_nodes(void)
{
	close(camera.fd);
	close(sensor);
	close(media);
}

/* Two entities with a pad each, the nodes of both, and one link that cannot be changed. */
static bool has_graph(void)
{
	struct media_v2_entity entities[4] = { 0 };
	struct media_v2_interface interfaces[4] = { 0 };
	struct media_v2_pad pads[4] = { 0 };
	struct media_v2_link links[8] = { 0 };
	struct media_v2_topology graph = {
		.num_entities = 4, .ptr_entities = (uintptr_t)entities,
		.num_interfaces = 4, .ptr_interfaces = (uintptr_t)interfaces,
		.num_pads = 4, .ptr_pads = (uintptr_t)pads,
		.num_links = 8, .ptr_links = (uintptr_t)links,
	};
	unsigned int sensors = 0, videos = 0, data_links = 0;

	if (call(media, MEDIA_IOC_G_TOPOLOGY, &graph) || graph.num_entities != 2 ||
	    graph.num_pads != 2 || graph.num_interfaces != 2 || graph.num_links != 3)
		return false;
	for (unsigned int i = 0; i < 2; i++) {
		sensors += entities[i].function == MEDIA_ENT_F_CAM_SENSOR;
		videos += entities[i].function == MEDIA_ENT_F_IO_V4L;
	}
	for (unsigned int i = 0; i < 3; i++) {
		if ((links[i].flags & MEDIA_LNK_FL_LINK_TYPE) != MEDIA_LNK_FL_DATA_LINK)
			continue;
		data_links += links[i].flags == (MEDIA_LNK_FL_ENABLED | MEDIA_LNK_FL_IMMUTABLE);
	}
	return sensors == 1 && videos == 1 && data_links == 1;
}

/* Sets the sensor's format; gives what it became. */
static int set_sensor(uint32_t which, struct v4l2_mbus_framefmt *fmt)
{
	struct v4l2_subdev_format format = { .which = which, .format = *fmt };
	int ret = call(sensor, VIDIOC_SUBDEV_S_FMT, &format);

	*fmt = format.format;
	return ret;
}

static int choose_sensor(uint32_t code, uint32_t width, uint32_t height)
{
	struct v4l2_mbus_framefmt fmt = { .width = width, .height = height, .code = code };

	return set_sensor(V4L2_SUBDEV_FORMAT_ACTIVE, &fmt);
}

static bool has_formats(void)
{
	struct v4l2_subdev_mbus_code_enum code = { .which = V4L2_SUBDEV_FORMAT_ACTIVE };
	struct v4l2_subdev_frame_size_enum size = {
		.which = V4L2_SUBDEV_FORMAT_ACTIVE, .code = MEDIA_BUS_FMT_SRGGB10_1X10,
	};
	struct v4l2_mbus_framefmt odd = { .width = 123, .height = 99999, .code = 1 };
	struct v4l2_subdev_format now = { .which = V4L2_SUBDEV_FORMAT_ACTIVE };
	struct v4l2_fmtdesc desc = { .type = camera.type, .mbus_code = MEDIA_BUS_FMT_SRGGB10_1X10 };
	bool good = !choose_sensor(MEDIA_BUS_FMT_YUYV8_1X16, WIDTH, HEIGHT);

	while (!call(sensor, VIDIOC_SUBDEV_ENUM_MBUS_CODE, &code))
		code.index++;
	good &= code.index == 3 && !call(sensor, VIDIOC_SUBDEV_ENUM_FRAME_SIZE, &size) &&
		size.min_width == 16 && size.max_height == 1080;
	/* Tried, and not set. */
	good &= !set_sensor(V4L2_SUBDEV_FORMAT_TRY, &odd) && odd.width == 122 && odd.height == 1080 &&
		odd.code == MEDIA_BUS_FMT_YUYV8_1X16;
	good &= !call(sensor, VIDIOC_SUBDEV_G_FMT, &now) && now.format.height == HEIGHT;
	/* What the video device makes of a code. */
	good &= !capture_call(&camera, VIDIOC_ENUM_FMT, &desc) &&
		desc.pixelformat == V4L2_PIX_FMT_SRGGB10;
	desc.index = 1;
	return good && capture_call(&camera, VIDIOC_ENUM_FMT, &desc) == -EINVAL;
}

/* Streams frames if the formats agree: 0, or why not. */
static int stream(uint32_t fourcc, unsigned int frames)
{
	struct camera_view view;
	struct captured frame;
	int ret = capture_format(&camera, fourcc, WIDTH, HEIGHT, 0);

	view = capture_view(&camera, (struct camera_controls){ 0, 128, 256, 256, 0, 0, WAVES });
	if (!ret)
		ret = capture_buffers(&camera, V4L2_MEMORY_MMAP, 2, 0);
	for (uint32_t i = 0; !ret && i < 2; i++)
		ret = capture_queue(&camera, i);
	if (!ret)
		ret = capture_on(&camera);
	for (unsigned int n = 0; !ret && n < frames; n++) {
		ret = capture_next(&camera, &frame);
		if (!ret && !capture_agrees(&camera, &view, &frame))
			ret = -EBADMSG;
	}
	/* The sensor's format stays while it sends. */
	if (!ret && choose_sensor(MEDIA_BUS_FMT_YUYV8_1X16, 64, 64) != -EBUSY)
		ret = -EBADE;
	capture_off(&camera);
	capture_release(&camera);
	return ret;
}

static bool formats_must_agree(void)
{
	bool good = !choose_sensor(MEDIA_BUS_FMT_YUYV8_1X16, WIDTH, HEIGHT + 2) &&
		    stream(V4L2_PIX_FMT_NV12, 0) == -EPIPE;

	good &= !choose_sensor(MEDIA_BUS_FMT_YUYV8_1X16, WIDTH, HEIGHT) &&
		stream(V4L2_PIX_FMT_SRGGB10, 0) == -EPIPE && !stream(V4L2_PIX_FMT_NV12, 2);
	return good && !choose_sensor(MEDIA_BUS_FMT_SRGGB10_1X10, WIDTH, HEIGHT) &&
	       stream(V4L2_PIX_FMT_YUYV, 0) == -EPIPE && !stream(V4L2_PIX_FMT_SRGGB10, 2);
}

/* The controls are the sensor's, with their events, and not the video device's. */
static bool has_controls(void)
{
	struct v4l2_event_subscription subscription = {
		.type = V4L2_EVENT_CTRL, .id = V4L2_CID_TEST_PATTERN,
		.flags = V4L2_EVENT_SUB_FL_ALLOW_FEEDBACK,
	};
	struct v4l2_control pattern = { .id = V4L2_CID_TEST_PATTERN, .value = WAVES };
	struct pollfd waiter = { .fd = sensor, .events = POLLPRI };
	struct v4l2_event event = { 0 };

	return capture_call(&camera, VIDIOC_S_CTRL, &pattern) < 0 &&
	       !call(sensor, VIDIOC_SUBSCRIBE_EVENT, &subscription) &&
	       !call(sensor, VIDIOC_S_CTRL, &pattern) && poll(&waiter, 1, 1000) == 1 &&
	       !call(sensor, VIDIOC_DQEVENT, &event) && event.u.ctrl.value == WAVES;
}

/* The driver leaves while all three nodes are open; they end, and come again. */
static bool survives_its_end(enum life_action action)
{
	struct media_device_info info;
	struct v4l2_subdev_format format = { .which = V4L2_SUBDEV_FORMAT_ACTIVE };
	struct v4l2_capability cap;
	bool good = !life_act(&device, action);

	good &= call(media, MEDIA_IOC_DEVICE_INFO, &info) < 0 &&
		call(sensor, VIDIOC_SUBDEV_G_FMT, &format) == -ENODEV &&
		capture_call(&camera, VIDIOC_QUERYCAP, &cap) == -ENODEV;
	close_nodes();
	return good && !life_restore(&device, action) && !open_nodes() && has_graph() &&
	       has_controls() && !choose_sensor(MEDIA_BUS_FMT_YUYV8_1X16, WIDTH, HEIGHT) &&
	       !stream(V4L2_PIX_FMT_YUYV, 1) && !life_complaints();
}

int main(void)
{
	struct v4l2_capability cap = { 0 };

	life_complaints();
	ktap_plan(7);
	if (!ktap_result(!open_nodes() && !capture_call(&camera, VIDIOC_QUERYCAP, &cap) &&
			 (cap.device_caps & V4L2_CAP_IO_MC), "media, sensor and video device are there"))
		return ktap_finish();
	ktap_result(has_graph(), "the graph: two entities, one link");
	ktap_result(has_controls(), "the controls are the sensor's");
	ktap_result(has_formats(), "formats of the sensor");
	ktap_result(formats_must_agree(), "a stream begins if the formats agree, and its pixels are right");
	ktap_result(survives_its_end(LIFE_UNBIND), "unbound with all nodes open");
	ktap_result(survives_its_end(LIFE_REMOVE), "removed with all nodes open");
	close_nodes();
	return ktap_finish();
}
