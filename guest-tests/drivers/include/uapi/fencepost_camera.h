/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Userspace interface of "fencepost_camera", the V4L2 capture driver of the
 * Fencepost camera, beyond what V4L2 defines. The device itself is described
 * in docs/camera.md.
 */
#ifndef _UAPI_FENCEPOST_CAMERA_H
#define _UAPI_FENCEPOST_CAMERA_H

#include <linux/types.h>
#include <linux/videodev2.h>

#define FENCEPOST_CAMERA_DRIVER_NAME	"fencepost_camera"

/**
 * struct fencepost_camera_frame - what the device says about a captured frame
 *
 * FENCEPOST_CAMERA_IOC_FRAME tells it for the frame that a buffer held last.
 * It is that of VIDIOC_DQBUF until the buffer is queued again. -EINVAL for a
 * buffer that is not there, -ENODATA for one that has held no frame.
 */
struct fencepost_camera_frame {
	/** @index: in, number of the buffer */
	__u32 index;
	/** @sequence: out, number of the frame since the stream went on */
	__u32 sequence;
	/** @status: out, 0 or an error code of the device */
	__u32 status;
	/** @bytes: out, bytes that the device wrote */
	__u32 bytes;
	/** @crc: out, CRC-32 of those bytes, as zlib computes it */
	__u32 crc;
	/** @dropped: out, frames dropped since the device was reset */
	__u32 dropped;
	/** @start_cycles: out, TSC when the read-out began */
	__u64 start_cycles;
	/** @end_cycles: out, TSC when the frame was complete */
	__u64 end_cycles;
	/** @fault_iova: out, the I/O virtual address that was refused, or 0 */
	__u64 fault_iova;
};

#define FENCEPOST_CAMERA_IOC_FRAME \
	_IOWR('V', BASE_VIDIOC_PRIVATE, struct fencepost_camera_frame)

#endif /* _UAPI_FENCEPOST_CAMERA_H */
