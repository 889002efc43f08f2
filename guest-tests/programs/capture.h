/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Capture in any format, by V4L2's interface with one plane or with several, into buffers of any memory. Simpler programs
 * have camera.h.
 *
 * Functions return 0 on success and a negative errno on failure.
 */
#ifndef FENCEPOST_CAPTURE_H
#define FENCEPOST_CAPTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/videodev2.h>

#include "camera_oracle.h"

#define CAPTURE_BUFFERS 8
#define CAPTURE_PLANES 2

struct capture {
	int fd;
	/* V4L2_BUF_TYPE_VIDEO_CAPTURE, or _MPLANE. */
	uint32_t type;
	/* Of the format as it was set. */
	uint32_t fourcc, width, height, stride;
	unsigned int planes;
	size_t bytes[CAPTURE_PLANES];
	/* Of the buffers. */
	uint32_t memory;
	unsigned int count;
	size_t mapped[CAPTURE_BUFFERS][CAPTURE_PLANES];
	/* The one that is imported. */
	int dmabuf;
	uint8_t *pixels[CAPTURE_BUFFERS][CAPTURE_PLANES];
};

struct captured {
	uint32_t index;
	uint32_t sequence;
	uint32_t flags;
};

/* An ioctl of the device. */
int capture_call(const struct capture *capture, unsigned long request, void *arg);

/* Opens the driver's capture device of this number, from 0, of either interface. */
int capture_open(struct capture *capture, const char *driver, unsigned int number);

/* Sets a format; @stride 0 is the driver's choice. See the structure for what it became. */
int capture_format(struct capture *capture, uint32_t fourcc, uint32_t width, uint32_t height,
		   uint32_t stride);

/*
 * Gets buffers: MMAP ones, or USERPTR ones that begin at @offset in a page.
 */
int capture_buffers(struct capture *capture, uint32_t memory, unsigned int count, size_t offset);

/* Takes one buffer of another's, which lies at @pixels; formats of one plane. The descriptor stays the caller's. */
int capture_import(struct capture *capture, int dmabuf, uint8_t *pixels);

/* Exports an MMAP buffer: returns a dma-buf descriptor. */
int capture_export(const struct capture *capture, uint32_t index);

/* Adds one MMAP buffer by CREATE_BUFS, of at least this many bytes. */
int capture_create(struct capture *capture, size_t bytes);

/* Lets go of all buffers. */
int capture_release(struct capture *capture);

int capture_queue(struct capture *capture, uint32_t index);
int capture_on(struct capture *capture);
int capture_off(struct capture *capture);

/* The next frame, within ten seconds. */
int capture_next(struct capture *capture, struct captured *frame);

/* Whether a frame is that which the oracle has with these controls. */
bool capture_agrees(const struct capture *capture, const struct camera_view *view,
		    const struct captured *frame);

/* The view of whole pictures by these controls. */
struct camera_view capture_view(const struct capture *capture, struct camera_controls controls);

#endif /* FENCEPOST_CAPTURE_H */
