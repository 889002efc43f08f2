// SPDX-License-Identifier: GPL-2.0
/* A camera by raw V4L2 ioctls: see camera.h. */
#include "camera.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

/* More video devices than a guest has. */
#define MAX_NODES 64

static int do_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && errno == EINTR);
	return ret < 0 ? -errno : 0;
}

static int is_capture_of(int fd, const char *driver)
{
	struct v4l2_capability cap = { 0 };
	uint32_t needed = V4L2_CAP_VIDEO_CAPTURE | V4L2_CAP_STREAMING;

	return do_ioctl(fd, VIDIOC_QUERYCAP, &cap) == 0 &&
	       strncmp((const char *)cap.driver, driver, sizeof(cap.driver) - 1) == 0 &&
	       (cap.device_caps & needed) == needed;
}

static int read_settings(struct camera *camera)
{
	struct v4l2_format format = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	struct v4l2_streamparm parm = { .type = V4L2_BUF_TYPE_VIDEO_CAPTURE };
	int ret = do_ioctl(camera->fd, VIDIOC_G_FMT, &format);

	if (!ret)
		ret = do_ioctl(camera->fd, VIDIOC_G_PARM, &parm);
	camera->pix = format.fmt.pix;
	camera->interval = parm.parm.capture.timeperframe;
	return ret;
}

int camera_open(struct camera *camera, const char *driver)
{
	memset(camera, 0, sizeof(*camera));
	for (int n = 0; n < MAX_NODES; n++) {
		char path[32];
		int ret;

		snprintf(path, sizeof(path), "/dev/video%d", n);
		camera->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (camera->fd < 0)
			continue;
		ret = is_capture_of(camera->fd, driver) ? read_settings(camera) : -ENODEV;
		if (!ret)
			return 0;
		close(camera->fd);
		if (ret != -ENODEV)
			return ret;
	}
	camera->fd = -1;
	return -ENODEV;
}

void camera_close(struct camera *camera)
{
	camera_stream_off(camera);
	close(camera->fd);
	camera->fd = -1;
}

int camera_set_format(struct camera *camera, uint32_t fourcc, uint32_t width, uint32_t height)
{
	struct v4l2_format format = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.fmt.pix = {
			.width = width ? width : camera->pix.width,
			.height = height ? height : camera->pix.height,
			.pixelformat = fourcc,
			.field = V4L2_FIELD_NONE,
		},
	};
	int ret = do_ioctl(camera->fd, VIDIOC_S_FMT, &format);

	if (ret)
		return ret;
	camera->pix = format.fmt.pix;
	return camera->pix.pixelformat == fourcc ? 0 : -EINVAL;
}

int camera_set_rate(struct camera *camera, uint32_t frames, uint32_t seconds)
{
	struct v4l2_streamparm parm = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.parm.capture.timeperframe = { seconds, frames },
	};
	int ret = do_ioctl(camera->fd, VIDIOC_S_PARM, &parm);

	if (!ret)
		camera->interval = parm.parm.capture.timeperframe;
	return ret;
}

int camera_request_buffers(struct camera *camera, unsigned int count)
{
	struct v4l2_requestbuffers request = {
		.count = count,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
	};
	int ret = do_ioctl(camera->fd, VIDIOC_REQBUFS, &request);

	if (ret)
		return ret;
	camera->buffers = request.count;
	return request.count <= CAMERA_MAX_BUFFERS ? 0 : -E2BIG;
}

void *camera_map(struct camera *camera, uint32_t index)
{
	struct v4l2_buffer buffer = {
		.index = index,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
	};
	void *bytes;

	if (do_ioctl(camera->fd, VIDIOC_QUERYBUF, &buffer))
		return NULL;
	bytes = mmap(NULL, buffer.length, PROT_READ | PROT_WRITE, MAP_SHARED, camera->fd, buffer.m.offset);
	return bytes == MAP_FAILED ? NULL : bytes;
}

int camera_export(struct camera *camera, uint32_t index)
{
	struct v4l2_exportbuffer export = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.index = index,
		.flags = O_CLOEXEC | O_RDWR,
	};
	int ret = do_ioctl(camera->fd, VIDIOC_EXPBUF, &export);

	return ret ? ret : export.fd;
}

int camera_queue(struct camera *camera, uint32_t index)
{
	struct v4l2_buffer buffer = {
		.index = index,
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
	};

	return do_ioctl(camera->fd, VIDIOC_QBUF, &buffer);
}

int camera_stream_on(struct camera *camera)
{
	int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;

	return do_ioctl(camera->fd, VIDIOC_STREAMON, &type);
}

int camera_stream_off(struct camera *camera)
{
	int type = V4L2_BUF_TYPE_VIDEO_CAPTURE;

	return do_ioctl(camera->fd, VIDIOC_STREAMOFF, &type);
}

int camera_dequeue(struct camera *camera, struct camera_frame *frame)
{
	struct v4l2_buffer buffer = {
		.type = V4L2_BUF_TYPE_VIDEO_CAPTURE,
		.memory = V4L2_MEMORY_MMAP,
	};
	int ret = do_ioctl(camera->fd, VIDIOC_DQBUF, &buffer);

	if (ret)
		return ret;
	memset(frame, 0, sizeof(*frame));
	frame->index = buffer.index;
	frame->sequence = buffer.sequence;
	frame->failed = !!(buffer.flags & V4L2_BUF_FLAG_ERROR);
	frame->timestamp_ns = buffer.timestamp.tv_sec * 1000000000ull +
			      buffer.timestamp.tv_usec * 1000ull;
	frame->device.index = buffer.index;
	return do_ioctl(camera->fd, FENCEPOST_CAMERA_IOC_FRAME, &frame->device);
}
