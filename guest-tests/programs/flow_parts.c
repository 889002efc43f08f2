// SPDX-License-Identifier: GPL-2.0
/* The camera, the GPU and the display of a flow: see flow_parts.h. */
#include "flow_parts.h"

#include <errno.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crc32.h"
#include "display_picture.h"
#include "ktap.h"

int flow_failed(const char *what, int ret)
{
	if (ret < 0)
		ktap_note("%s: %s", what, strerror(-ret));
	return ret;
}

size_t flow_screen_bytes(const struct flow *flow)
{
	return (size_t)flow->display.mode.hdisplay * flow->display.mode.vdisplay * 4;
}

uint32_t flow_screen_crc(const struct flow *flow)
{
	return crc32_of(flow->screen, flow_screen_bytes(flow));
}

int flow_make_dumb_buffers(struct flow *flow, unsigned int count)
{
	for (flow->buffers = 0; flow->buffers < count; flow->buffers++) {
		struct display_fb *fb = &flow->fbs[flow->buffers];
		int ret = flow_failed("dumb buffer", display_create_dumb(&flow->display, fb));

		if (ret)
			return ret;
		flow->pixels[flow->buffers] = display_map_dumb(&flow->display, fb);
		if (!flow->pixels[flow->buffers])
			return flow_failed("mmap of a dumb buffer", -ENOMEM);
	}
	return 0;
}

/* Opens the camera with pictures of this width and the screen's height, and maps its buffers. */
int flow_open_camera(struct flow *flow, uint32_t width)
{
	struct camera *camera = &flow->camera;
	uint32_t height = flow->display.mode.vdisplay;
	int ret = flow_failed("camera", camera_open(camera, FENCEPOST_CAMERA_DRIVER_NAME));

	if (!ret)
		ret = flow_failed("format", camera_set_format(camera, V4L2_PIX_FMT_YUYV, width, height));
	if (!ret && (camera->pix.width != width || camera->pix.height != height ||
		     camera->pix.bytesperline != width * 2)) {
		ktap_note("the camera gives %ux%u, and not %ux%u", camera->pix.width, camera->pix.height, width, height);
		ret = -EINVAL;
	}
	if (!ret)
		ret = flow_failed("buffers", camera_request_buffers(camera, FLOW_MAX_BUFFERS));
	for (uint32_t i = 0; !ret && i < camera->buffers; i++) {
		flow->captured[i] = camera_map(camera, i);
		ret = flow->captured[i] ? camera_queue(camera, i) : -ENOMEM;
		flow_failed("a camera's buffer", ret);
	}
	return ret;
}

/* Waits for a frame; the bytes in its buffer must be those that the device wrote. */
int flow_capture(struct flow *flow, uint32_t *index)
{
	struct pollfd waiter = { .fd = flow->camera.fd, .events = POLLIN };
	struct camera_frame frame;
	int ret;

	if (poll(&waiter, 1, FLOW_PATIENCE_MS) != 1)
		return flow_failed("waiting for the camera", -ETIME);
	ret = flow_failed("DQBUF", camera_dequeue(&flow->camera, &frame));
	if (ret)
		return ret;
	*index = frame.index;
	if (frame.failed || frame.device.crc != crc32_of(flow->captured[*index], frame.device.bytes))
		return flow_failed("what the camera captured", -EIO);
	return 0;
}

int flow_open_gpu(struct flow *flow)
{
	flow->gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	return flow_failed("GPU", flow->gpu) < 0 ? flow->gpu : 0;
}

/* Makes buffers of the GPU's that are the display's too, of a screen each. */
int flow_make_gpu_buffers(struct flow *flow, unsigned int count)
{
	uint32_t width = flow->display.mode.hdisplay, height = flow->display.mode.vdisplay;

	for (flow->buffers = 0; flow->buffers < count; flow->buffers++) {
		struct gpu_buffer *buffer = &flow->gpu_buffers[flow->buffers];
		int ret = flow_failed("GPU buffer", gpu_buffer_create(flow->gpu, flow_screen_bytes(flow), buffer)), dmabuf;

		if (ret)
			return ret;
		dmabuf = flow_failed("GPU export", gpu_export(flow->gpu, buffer->handle));
		if (dmabuf < 0)
			return dmabuf;
		ret = flow_failed("display import", display_import(&flow->display, dmabuf, width, height, width * 4, 0,
							      &flow->fbs[flow->buffers]));
		close(dmabuf);
		if (ret)
			return ret;
	}
	return 0;
}

int flow_set_up(struct flow *flow)
{
	static struct display_fb blank;
	int ret = flow_failed("display", display_open(&flow->display, FENCEPOST_DISPLAY_DRIVER_NAME));

	if (!ret)
		ret = flow_failed("dumb buffer", display_create_dumb(&flow->display, &blank));
	if (!ret)
		ret = flow_failed("mode", display_modeset(&flow->display, blank.fb));
	if (ret)
		return ret;
	flow->screen = malloc(flow_screen_bytes(flow));
	flow->crcs = flow_failed("CRCs", display_open_crcs(&flow->display));
	return !flow->screen ? -ENOMEM : flow->crcs < 0 ? flow->crcs : 0;
}
