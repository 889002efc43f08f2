// SPDX-License-Identifier: GPL-2.0
/* Capture in any format: see capture.h. */
#include "capture.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#define TIMEOUT_MS 10000
#define MAX_NODES 64
#define PAGE 4096

int capture_call(const struct capture *capture, unsigned long request, void *arg)
{
	return ioctl(capture->fd, request, arg) ? -errno : 0;
}

int capture_open(struct capture *capture, const char *driver, unsigned int number)
{
	memset(capture, 0, sizeof(*capture));
	for (int n = 0; n < MAX_NODES; n++) {
		struct v4l2_capability cap = { 0 };
		char path[32];

		snprintf(path, sizeof(path), "/dev/video%d", n);
		capture->fd = open(path, O_RDWR | O_CLOEXEC | O_NONBLOCK);
		if (capture->fd < 0)
			continue;
		if (!capture_call(capture, VIDIOC_QUERYCAP, &cap) &&
		    !strcmp((const char *)cap.driver, driver) && !number--) {
			capture->type = cap.device_caps & V4L2_CAP_VIDEO_CAPTURE_MPLANE ?
						V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE :
						V4L2_BUF_TYPE_VIDEO_CAPTURE;
			return 0;
		}
		close(capture->fd);
	}
	return -ENODEV;
}

static bool is_mplane(const struct capture *capture)
{
	return capture->type == V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE;
}

static void take_format(struct capture *capture, const struct v4l2_format *format)
{
	const struct v4l2_pix_format_mplane *mplane = &format->fmt.pix_mp;
	const struct v4l2_pix_format *pix = &format->fmt.pix;

	capture->planes = is_mplane(capture) ? mplane->num_planes : 1;
	if (is_mplane(capture)) {
		capture->fourcc = mplane->pixelformat;
		capture->width = mplane->width;
		capture->height = mplane->height;
		capture->stride = mplane->plane_fmt[0].bytesperline;
		for (unsigned int plane = 0; plane < capture->planes; plane++)
			capture->bytes[plane] = mplane->plane_fmt[plane].sizeimage;
		return;
	}
	capture->fourcc = pix->pixelformat;
	capture->width = pix->width;
	capture->height = pix->height;
	capture->stride = pix->bytesperline;
	capture->bytes[0] = pix->sizeimage;
}

int capture_format(struct capture *capture, uint32_t fourcc, uint32_t width, uint32_t height,
		   uint32_t stride)
{
	struct v4l2_format format = { .type = capture->type };
	int ret;

	if (is_mplane(capture)) {
		format.fmt.pix_mp.pixelformat = fourcc;
		format.fmt.pix_mp.width = width;
		format.fmt.pix_mp.height = height;
		format.fmt.pix_mp.plane_fmt[0].bytesperline = stride;
	} else {
		format.fmt.pix.pixelformat = fourcc;
		format.fmt.pix.width = width;
		format.fmt.pix.height = height;
		format.fmt.pix.bytesperline = stride;
	}
	ret = capture_call(capture, VIDIOC_S_FMT, &format);
	if (!ret)
		take_format(capture, &format);
	return ret ? ret : capture->fourcc == fourcc ? 0 : -EINVAL;
}

/* A structure for one buffer; @planes must live as long. */
static struct v4l2_buffer buffer_of(const struct capture *capture, uint32_t index,
				    struct v4l2_plane *planes)
{
	struct v4l2_buffer buffer = {
		.index = index, .type = capture->type, .memory = capture->memory,
	};

	memset(planes, 0, CAPTURE_PLANES * sizeof(*planes));
	if (is_mplane(capture)) {
		buffer.m.planes = planes;
		buffer.length = CAPTURE_PLANES;
	}
	return buffer;
}

static int map_buffer(struct capture *capture, uint32_t index)
{
	struct v4l2_plane planes[CAPTURE_PLANES];
	struct v4l2_buffer buffer = buffer_of(capture, index, planes);
	int ret = capture_call(capture, VIDIOC_QUERYBUF, &buffer);

	for (unsigned int plane = 0; !ret && plane < capture->planes; plane++) {
		bool mplane = is_mplane(capture);
		size_t length = mplane ? planes[plane].length : buffer.length;
		uint32_t offset = mplane ? planes[plane].m.mem_offset : buffer.m.offset;
		void *at = mmap(NULL, length, PROT_READ | PROT_WRITE, MAP_SHARED, capture->fd, offset);

		if (at == MAP_FAILED)
			return -errno;
		capture->mapped[index][plane] = length;
		capture->pixels[index][plane] = at;
	}
	return ret;
}

static int allocate_buffer(struct capture *capture, uint32_t index, size_t offset)
{
	for (unsigned int plane = 0; plane < capture->planes; plane++) {
		size_t length = (offset + capture->bytes[plane] + PAGE - 1) / PAGE * PAGE;
		uint8_t *at = mmap(NULL, length, PROT_READ | PROT_WRITE,
				   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (at == MAP_FAILED)
			return -errno;
		memset(at, 0xa5, length);
		capture->mapped[index][plane] = length;
		capture->pixels[index][plane] = at + offset;
	}
	return 0;
}

int capture_buffers(struct capture *capture, uint32_t memory, unsigned int count, size_t offset)
{
	struct v4l2_requestbuffers request = {
		.count = count, .type = capture->type, .memory = memory,
	};
	int ret = capture_call(capture, VIDIOC_REQBUFS, &request);

	if (ret)
		return ret;
	capture->memory = memory;
	capture->count = request.count;
	if (request.count > CAPTURE_BUFFERS)
		return -E2BIG;
	for (uint32_t i = 0; !ret && i < capture->count; i++)
		ret = memory == V4L2_MEMORY_MMAP ? map_buffer(capture, i) :
						   allocate_buffer(capture, i, offset);
	return ret;
}

int capture_import(struct capture *capture, int dmabuf, uint8_t *pixels)
{
	struct v4l2_requestbuffers request = {
		.count = 1, .type = capture->type, .memory = V4L2_MEMORY_DMABUF,
	};
	int ret = capture_call(capture, VIDIOC_REQBUFS, &request);

	if (ret)
		return ret;
	capture->memory = V4L2_MEMORY_DMABUF;
	capture->count = 1;
	capture->dmabuf = dmabuf;
	capture->pixels[0][0] = pixels;
	capture->mapped[0][0] = 0;
	return 0;
}

int capture_export(const struct capture *capture, uint32_t index)
{
	struct v4l2_exportbuffer export = { .type = capture->type, .index = index, .flags = O_RDWR | O_CLOEXEC };
	int ret = capture_call(capture, VIDIOC_EXPBUF, &export);

	return ret ? ret : export.fd;
}

int capture_create(struct capture *capture, size_t bytes)
{
	struct v4l2_create_buffers create = {
		.count = 1, .memory = V4L2_MEMORY_MMAP, .format.type = capture->type,
	};
	int ret = capture_call(capture, VIDIOC_G_FMT, &create.format);

	if (ret)
		return ret;
	create.format.fmt.pix.sizeimage = bytes;
	ret = capture_call(capture, VIDIOC_CREATE_BUFS, &create);
	if (ret)
		return ret;
	if (create.index != capture->count || create.count != 1)
		return -EBADE;
	capture->memory = V4L2_MEMORY_MMAP;
	return map_buffer(capture, capture->count++);
}

int capture_release(struct capture *capture)
{
	struct v4l2_requestbuffers request = { .type = capture->type, .memory = capture->memory };

	for (uint32_t i = 0; i < capture->count; i++) {
		for (unsigned int plane = 0; plane < CAPTURE_PLANES; plane++) {
			uintptr_t at = (uintptr_t)capture->pixels[i][plane];

			if (at && capture->mapped[i][plane])
				munmap((void *)(at / PAGE * PAGE), capture->mapped[i][plane]);
			capture->pixels[i][plane] = NULL;
		}
	}
	capture->count = 0;
	return capture_call(capture, VIDIOC_REQBUFS, &request);
}

int capture_queue(struct capture *capture, uint32_t index)
{
	struct v4l2_plane planes[CAPTURE_PLANES];
	struct v4l2_buffer buffer = buffer_of(capture, index, planes);

	if (capture->memory == V4L2_MEMORY_USERPTR && is_mplane(capture)) {
		buffer.length = capture->planes;
		for (unsigned int plane = 0; plane < capture->planes; plane++) {
			planes[plane].m.userptr = (unsigned long)capture->pixels[index][plane];
			planes[plane].length = capture->bytes[plane];
		}
	} else if (capture->memory == V4L2_MEMORY_USERPTR) {
		buffer.m.userptr = (unsigned long)capture->pixels[index][0];
		buffer.length = capture->bytes[0];
	} else if (capture->memory == V4L2_MEMORY_DMABUF) {
		buffer.m.fd = capture->dmabuf;
	}
	return capture_call(capture, VIDIOC_QBUF, &buffer);
}

int capture_on(struct capture *capture)
{
	return capture_call(capture, VIDIOC_STREAMON, &capture->type);
}

int capture_off(struct capture *capture)
{
	return capture_call(capture, VIDIOC_STREAMOFF, &capture->type);
}

int capture_next(struct capture *capture, struct captured *frame)
{
	struct v4l2_plane planes[CAPTURE_PLANES];
	struct v4l2_buffer buffer = buffer_of(capture, 0, planes);
	struct pollfd waiter = { .fd = capture->fd, .events = POLLIN };
	int ret = poll(&waiter, 1, TIMEOUT_MS);

	if (ret <= 0)
		return ret ? -errno : -ETIME;
	ret = capture_call(capture, VIDIOC_DQBUF, &buffer);
	if (ret)
		return ret;
	*frame = (struct captured){ buffer.index, buffer.sequence, buffer.flags };
	for (unsigned int plane = 0; plane < capture->planes; plane++)
		if ((is_mplane(capture) ? planes[plane].bytesused : buffer.bytesused) !=
		    capture->bytes[plane])
			return -EMSGSIZE;
	return 0;
}

struct camera_view capture_view(const struct capture *capture, struct camera_controls controls)
{
	/* The test pattern of this machine has limited range; colours have the full one. */
	return (struct camera_view){
		.controls = controls, .full = false,
		.width = capture->width, .height = capture->height,
	};
}

bool capture_agrees(const struct capture *capture, const struct camera_view *view,
		    const struct captured *frame)
{
	uint8_t *const *pixels = capture->pixels[frame->index];
	struct camera_pixels there = {
		.fourcc = capture->fourcc, .stride = capture->stride, .luma = pixels[0],
	};

	if (capture->fourcc == V4L2_PIX_FMT_NV12)
		there.chroma = pixels[0] + (size_t)capture->stride * capture->height;
	if (capture->fourcc == V4L2_PIX_FMT_NV12M)
		there.chroma = pixels[1];
	return !(frame->flags & V4L2_BUF_FLAG_ERROR) &&
	       camera_oracle_agrees(view, frame->sequence, &there);
}
