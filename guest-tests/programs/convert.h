/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The GPU as a colour converter, by raw DRM ioctls: imported YUV pictures into
 * XRGB8888 buffers of its own, which are exported as dma-bufs.
 *
 * Functions return 0 (or what they say) on success and a negative errno on
 * failure. Descriptors that are passed in stay the caller's; those handed out
 * are the caller's to close.
 */
#ifndef FENCEPOST_CONVERT_H
#define FENCEPOST_CONVERT_H

#include <stdint.h>

#include <linux/videodev2.h>

#include <uapi/fencepost.h>

struct converter {
	int fd;
};

/* Where the pixels of an XRGB8888 picture are. */
struct convert_target {
	uint32_t handle;
	uint32_t stride;
	uint64_t offset;
};

/* Opens the render node of the GPU's driver. -ENODEV: there is none. */
int convert_open(struct converter *converter);
void convert_close(struct converter *converter);

/* Imports a dma-buf; sets its handle. */
int convert_import(struct converter *converter, int dmabuf, uint32_t *handle);

/* Makes a zeroed buffer of size bytes and exports it: sets its handle, returns a dma-buf. */
int convert_create(struct converter *converter, uint64_t size, uint32_t *handle);

/*
 * Queues the conversion of a whole picture, laid out as pix says, YUYV or NV12.
 * Returns a sync_file that signals when it is done. -EINVAL: another format.
 */
int convert_submit(struct converter *converter, uint32_t source,
		   const struct v4l2_pix_format *pix, const struct convert_target *target);

#endif /* FENCEPOST_CONVERT_H */
