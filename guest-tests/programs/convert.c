// SPDX-License-Identifier: GPL-2.0
/* The GPU as a colour converter: see convert.h. */
#include "convert.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "display.h"

static int do_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	return ret < 0 ? -errno : 0;
}

int convert_open(struct converter *converter)
{
	converter->fd = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	return converter->fd < 0 ? converter->fd : 0;
}

void convert_close(struct converter *converter)
{
	close(converter->fd);
	converter->fd = -1;
}

int convert_import(struct converter *converter, int dmabuf, uint32_t *handle)
{
	struct drm_prime_handle prime = { .fd = dmabuf };
	int ret = do_ioctl(converter->fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime);

	*handle = prime.handle;
	return ret;
}

int convert_create(struct converter *converter, uint64_t size, uint32_t *handle)
{
	struct drm_fencepost_gpu_bo_create create = { .size = size };
	struct drm_prime_handle prime = { .flags = DRM_CLOEXEC | DRM_RDWR };
	int ret = do_ioctl(converter->fd, DRM_IOCTL_FENCEPOST_GPU_BO_CREATE, &create);

	if (ret)
		return ret;
	*handle = create.handle;
	prime.handle = create.handle;
	ret = do_ioctl(converter->fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);
	return ret ? ret : prime.fd;
}

/* The command for a picture, or -EINVAL. */
static int make_command(struct drm_fencepost_gpu_command *command, uint32_t source,
			const struct v4l2_pix_format *pix)
{
	command->opcode = FENCEPOST_GPU_CMD_CONVERT;
	command->flags = pix->quantization == V4L2_QUANTIZATION_FULL_RANGE ?
			 FENCEPOST_GPU_CONVERT_FULL : FENCEPOST_GPU_CONVERT_LIMITED;
	command->width = pix->width;
	command->height = pix->height;
	command->src.handle = source;
	command->src.stride = pix->bytesperline;
	switch (pix->pixelformat) {
	case V4L2_PIX_FMT_YUYV:
		command->flags |= FENCEPOST_GPU_CONVERT_YUYV;
		return 0;
	case V4L2_PIX_FMT_NV12:
		command->flags |= FENCEPOST_GPU_CONVERT_NV12;
		/* The chroma follows the luma. */
		command->src2.handle = source;
		command->src2.stride = pix->bytesperline;
		command->src2.offset = (uint64_t)pix->bytesperline * pix->height;
		return 0;
	default:
		return -EINVAL;
	}
}

int convert_submit(struct converter *converter, uint32_t source,
		   const struct v4l2_pix_format *pix, const struct convert_target *target)
{
	struct drm_fencepost_gpu_command command = {
		.dst = {
			.handle = target->handle,
			.stride = target->stride,
			.offset = target->offset,
		},
	};
	struct drm_fencepost_gpu_submit submit = {
		.flags = FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT,
		.commands = (uintptr_t)&command,
		.command_count = 1,
		.fence_fd = -1,
	};
	int ret = make_command(&command, source, pix);

	if (!ret)
		ret = do_ioctl(converter->fd, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);
	return ret ? ret : submit.fence_fd;
}
