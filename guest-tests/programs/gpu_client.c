// SPDX-License-Identifier: GPL-2.0
/* The GPU by raw DRM ioctls: see gpu_client.h. */
#include "gpu_client.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <linux/sync_file.h>

/* Long enough for a machine that is slow beside its own clock. */
#define RUN_TIMEOUT_MS 20000

int gpu_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	return ret < 0 ? -errno : 0;
}

int gpu_buffer_create(int fd, uint64_t size, struct gpu_buffer *buffer)
{
	struct drm_fencepost_gpu_bo_create create = { .size = size };
	struct drm_fencepost_gpu_bo_offset offset = { 0 };
	int ret = gpu_ioctl(fd, DRM_IOCTL_FENCEPOST_GPU_BO_CREATE, &create);

	if (ret)
		return ret;
	*buffer = (struct gpu_buffer) { .handle = create.handle, .size = create.size };
	offset.handle = create.handle;
	ret = gpu_ioctl(fd, DRM_IOCTL_FENCEPOST_GPU_BO_OFFSET, &offset);
	if (ret)
		return ret;
	buffer->map = mmap(NULL, create.size, PROT_READ | PROT_WRITE, MAP_SHARED, fd,
			   (off_t)offset.offset);
	if (buffer->map == MAP_FAILED) {
		buffer->map = NULL;
		return -errno;
	}
	return 0;
}

void gpu_buffer_destroy(int fd, struct gpu_buffer *buffer)
{
	struct drm_gem_close close = { .handle = buffer->handle };

	if (buffer->map)
		munmap(buffer->map, buffer->size);
	if (buffer->handle)
		gpu_ioctl(fd, DRM_IOCTL_GEM_CLOSE, &close);
	*buffer = (struct gpu_buffer) { 0 };
}

int gpu_buffer_wait(int fd, const struct gpu_buffer *buffer, int timeout_ms)
{
	struct drm_fencepost_gpu_bo_wait wait = {
		.handle = buffer->handle,
		.flags = FENCEPOST_GPU_BO_WAIT_WRITE,
	};
	struct timespec now;

	if (timeout_ms) {
		clock_gettime(CLOCK_MONOTONIC, &now);
		wait.timeout_ns = now.tv_sec * 1000000000LL + now.tv_nsec + timeout_ms * 1000000LL;
	}
	return gpu_ioctl(fd, DRM_IOCTL_FENCEPOST_GPU_BO_WAIT, &wait);
}

int gpu_export(int fd, uint32_t handle)
{
	struct drm_prime_handle prime = { .handle = handle, .flags = DRM_CLOEXEC | DRM_RDWR };
	int ret = gpu_ioctl(fd, DRM_IOCTL_PRIME_HANDLE_TO_FD, &prime);

	return ret ? ret : prime.fd;
}

int gpu_import(int fd, int dmabuf, uint32_t *handle)
{
	struct drm_prime_handle prime = { .fd = dmabuf };
	int ret = gpu_ioctl(fd, DRM_IOCTL_PRIME_FD_TO_HANDLE, &prime);

	*handle = prime.handle;
	return ret;
}

int gpu_submit(int fd, uint32_t ring, const struct drm_fencepost_gpu_command *commands,
	       uint32_t count, int in_fence)
{
	struct drm_fencepost_gpu_submit submit = {
		.ring = ring,
		.flags = FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT |
			 (in_fence < 0 ? 0 : FENCEPOST_GPU_SUBMIT_FENCE_FD_IN),
		.commands = (uintptr_t)commands,
		.command_count = count,
		.fence_fd = in_fence,
	};
	int ret = gpu_ioctl(fd, DRM_IOCTL_FENCEPOST_GPU_SUBMIT, &submit);

	return ret ? ret : submit.fence_fd;
}

int gpu_fence_is_done(int fence)
{
	struct pollfd pollfd = { .fd = fence, .events = POLLIN };

	return poll(&pollfd, 1, 0) == 1;
}

int gpu_fence_wait(int fence, int timeout_ms)
{
	struct pollfd pollfd = { .fd = fence, .events = POLLIN };
	struct sync_file_info info = { 0 };
	int ret;

	if (fence < 0)
		return fence;
	if (poll(&pollfd, 1, timeout_ms) != 1) {
		close(fence);
		return -ETIMEDOUT;
	}
	ret = gpu_ioctl(fence, SYNC_IOC_FILE_INFO, &info);
	close(fence);
	if (ret)
		return ret;
	return info.status < 0 ? info.status : 0;
}

int gpu_run(int fd, uint32_t ring, const struct drm_fencepost_gpu_command *command)
{
	return gpu_fence_wait(gpu_submit(fd, ring, command, 1, -1), RUN_TIMEOUT_MS);
}

struct drm_fencepost_gpu_command gpu_fill(const struct gpu_buffer *dst, uint32_t bytes,
					  uint32_t pattern)
{
	return (struct drm_fencepost_gpu_command) {
		.opcode = FENCEPOST_GPU_CMD_FILL,
		.dst.handle = dst->handle,
		.width = bytes,
		.height = 1,
		.value = pattern,
	};
}

struct drm_fencepost_gpu_command gpu_copy(const struct gpu_buffer *dst,
					  const struct gpu_buffer *src, uint32_t bytes)
{
	return (struct drm_fencepost_gpu_command) {
		.opcode = FENCEPOST_GPU_CMD_COPY,
		.dst.handle = dst->handle,
		.src.handle = src->handle,
		.width = bytes,
		.height = 1,
	};
}

struct drm_fencepost_gpu_command gpu_sem_wait(const struct gpu_buffer *semaphore, uint64_t value)
{
	return (struct drm_fencepost_gpu_command) {
		.opcode = FENCEPOST_GPU_CMD_SEM_WAIT,
		.dst.handle = semaphore->handle,
		.value = value,
	};
}

bool gpu_is_filled(const uint8_t *bytes, size_t size, uint32_t pattern)
{
	for (size_t i = 0; i < size; i += 4) {
		uint32_t word;

		memcpy(&word, bytes + i, 4);
		if (word != pattern)
			return false;
	}
	return true;
}
