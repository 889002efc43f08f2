/* SPDX-License-Identifier: GPL-2.0 */
/*
 * A camera by raw V4L2 ioctls: capture into buffers of the driver's, each
 * exported as a dma-buf. Nothing maps a buffer but camera_map().
 *
 * Functions return 0 (or what they say) on success and a negative errno on
 * failure. Descriptors that are handed out are the caller's to close.
 */
#ifndef FENCEPOST_CAMERA_H
#define FENCEPOST_CAMERA_H

#include <stdint.h>

#include <linux/videodev2.h>

#include <uapi/fencepost.h>

/* vb2 gives no more. */
#define CAMERA_MAX_BUFFERS 32

struct camera {
	int fd;
	struct v4l2_pix_format pix;
	/* Seconds for a frame. */
	struct v4l2_fract interval;
	unsigned int buffers;
};

/* A captured frame, between camera_dequeue() and camera_queue(). */
struct camera_frame {
	uint32_t index;
	uint32_t sequence;
	/* Not 0: the device could not fill the buffer. */
	int failed;
	uint64_t timestamp_ns;
	/* What the device says of it: CRC and cycle stamps. */
	struct fencepost_camera_frame device;
};

/* Opens the video device of the named driver. -ENODEV: there is none. */
int camera_open(struct camera *camera, const char *driver);

/* Stops the stream and closes. */
void camera_close(struct camera *camera);

/*
 * Sets a format; width and height 0 keep the present size. The driver may
 * choose another size: see camera->pix. -EINVAL: it does not have the format.
 */
int camera_set_format(struct camera *camera, uint32_t fourcc, uint32_t width,
		      uint32_t height);

/* Sets the rate, in frames a second; see camera->interval for what it became. */
int camera_set_rate(struct camera *camera, uint32_t frames, uint32_t seconds);

/* Gets count buffers of the driver's own memory, or as many as it gives. */
int camera_request_buffers(struct camera *camera, unsigned int count);

/* Maps a buffer; NULL on failure. */
void *camera_map(struct camera *camera, uint32_t index);

/* Exports a buffer: returns a dma-buf descriptor. */
int camera_export(struct camera *camera, uint32_t index);

int camera_queue(struct camera *camera, uint32_t index);
int camera_stream_on(struct camera *camera);
int camera_stream_off(struct camera *camera);

/* Takes a captured frame; -EAGAIN when there is none yet (poll camera->fd for POLLIN). */
int camera_dequeue(struct camera *camera, struct camera_frame *frame);

#endif /* FENCEPOST_CAMERA_H */
