/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The GPU by raw DRM ioctls: buffers, submissions, and the fences around them.
 *
 * Functions return 0 (or what they say) on success and a negative errno on
 * failure. Descriptors that are handed out are the caller's to close.
 */
#ifndef FENCEPOST_GPU_CLIENT_H
#define FENCEPOST_GPU_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <uapi/fencepost.h>

/* A buffer of one open render node. */
struct gpu_buffer {
	uint32_t handle;
	uint64_t size;
	/* Its memory, or NULL. */
	uint8_t *map;
};

/* Calls ioctl() until it is not interrupted. */
int gpu_ioctl(int fd, unsigned long request, void *arg);

/* Makes and maps a zeroed buffer. */
int gpu_buffer_create(int fd, uint64_t size, struct gpu_buffer *buffer);

/* Unmaps and closes. */
void gpu_buffer_destroy(int fd, struct gpu_buffer *buffer);

/* Waits for everything queued on a buffer; -ETIME after timeout_ms. */
int gpu_buffer_wait(int fd, const struct gpu_buffer *buffer, int timeout_ms);

/* Exports a buffer: returns a dma-buf. */
int gpu_export(int fd, uint32_t handle);

/* Imports a dma-buf. */
int gpu_import(int fd, int dmabuf, uint32_t *handle);

/*
 * Queues commands on a ring. in_fence: a sync_file to wait for, or -1. Returns
 * a sync_file that signals when they are done.
 */
int gpu_submit(int fd, uint32_t ring, const struct drm_fencepost_gpu_command *commands,
	       uint32_t count, int in_fence);

/*
 * Waits for a sync_file and closes it. Returns 0, the error that its fence
 * signalled with, or -ETIMEDOUT.
 */
int gpu_fence_wait(int fence, int timeout_ms);

/* Whether a sync_file has signalled. */
int gpu_fence_is_done(int fence);

/* One command, waited for. */
int gpu_run(int fd, uint32_t ring, const struct drm_fencepost_gpu_command *command);

/* The command that fills the first bytes of a buffer. */
struct drm_fencepost_gpu_command gpu_fill(const struct gpu_buffer *dst, uint32_t bytes,
					  uint32_t pattern);

/* The command that copies the first bytes of a buffer. */
struct drm_fencepost_gpu_command gpu_copy(const struct gpu_buffer *dst,
					  const struct gpu_buffer *src, uint32_t bytes);

/* The command that waits until the first 64-bit word of a buffer is at least value. */
struct drm_fencepost_gpu_command gpu_sem_wait(const struct gpu_buffer *semaphore, uint64_t value);

/* Whether each 32-bit word of so many bytes is the pattern. */
bool gpu_is_filled(const uint8_t *bytes, size_t size, uint32_t pattern);

#endif /* FENCEPOST_GPU_CLIENT_H */
