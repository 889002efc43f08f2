/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Userspace interface of Fencepost's drivers, beyond what DRM and V4L2 define:
 * "fencepost_gpu", the DRM render driver (docs/gpu.md has the device), and
 * "fencepost_cam", the V4L2 capture driver (docs/camera.md). "fencepost_display",
 * the mode-setting driver (docs/display.md), has none of its own. These are the
 * names of the modules, of the PCI drivers, and what DRM and V4L2 report.
 *
 * Fields that a caller does not use, and all reserved fields, must be zero.
 * PRIME import and export, and syncobjs, are DRM's own ioctls.
 */
#ifndef _UAPI_FENCEPOST_H
#define _UAPI_FENCEPOST_H

#include <drm/drm.h>
#include <linux/types.h>
#include <linux/videodev2.h>

#if defined(__cplusplus)
extern "C" {
#endif

/* The GPU */

#define FENCEPOST_GPU_DRIVER_NAME	"fencepost_gpu"

#define DRM_FENCEPOST_GPU_INFO		0x00
#define DRM_FENCEPOST_GPU_RING_INFO	0x01
#define DRM_FENCEPOST_GPU_BO_CREATE	0x02
#define DRM_FENCEPOST_GPU_BO_OFFSET	0x03
#define DRM_FENCEPOST_GPU_BO_WAIT	0x04
#define DRM_FENCEPOST_GPU_SUBMIT	0x05
#define DRM_FENCEPOST_GPU_BO_ADDRESS	0x06

/**
 * struct drm_fencepost_gpu_info - what the device can do
 *
 * DRM_IOCTL_FENCEPOST_GPU_INFO never fails on a live device.
 */
struct drm_fencepost_gpu_info {
	/** @version: out, the VERSION register: major << 16 | minor */
	__u32 version;
	/** @caps: out, bit n set: opcode n works */
	__u32 caps;
	/** @rings: out, number of rings */
	__u32 rings;
	/** @max_dimension: out, largest width and height, in pixels */
	__u32 max_dimension;
	/** @max_commands: out, commands in one submission at most */
	__u32 max_commands;
	/** @bytes_per_cycle: out, the device's cost model */
	__u32 bytes_per_cycle;
	/** @fixed_cycles: out, the device's cost model */
	__u64 fixed_cycles;
	/**
	 * @copy_rings: out, bit n set: ring n takes NOP, FILL, COPY and semaphores alone. An older
	 * driver leaves this and what follows zero, for a caller that zeroed it.
	 */
	__u32 copy_rings;
	/** @pad: out, zero */
	__u32 pad;
};

/**
 * struct drm_fencepost_gpu_ring_info - a ring's progress and its errors
 *
 * DRM_IOCTL_FENCEPOST_GPU_RING_INFO: -EINVAL for a ring that is not there.
 * The last_error fields describe the last error that the driver recovered
 * the ring from, and are zero if there was none.
 */
struct drm_fencepost_gpu_ring_info {
	/** @ring: in, which ring */
	__u32 ring;
	/** @error_count: out, errors since the driver was bound */
	__u32 error_count;
	/** @resets: out, ring resets by the driver */
	__u32 resets;
	/** @last_error: out, enum fencepost_gpu_error */
	__u32 last_error;
	/**
	 * @last_error_address: out, the address that was refused, or 0: a virtual address of the job's
	 * file for errors 10 to 13, else an I/O virtual address
	 */
	__u64 last_error_address;
	/** @seqno: out, sequence number of the last fence */
	__u64 seqno;
};

/** enum fencepost_gpu_error - why a ring halted (RING_ERROR_CODE) */
enum fencepost_gpu_error {
	FENCEPOST_GPU_ERROR_NONE = 0,
	FENCEPOST_GPU_ERROR_OPCODE = 1,
	FENCEPOST_GPU_ERROR_PACKET = 2,
	FENCEPOST_GPU_ERROR_SG_LIST = 3,
	FENCEPOST_GPU_ERROR_BOUNDS = 4,
	FENCEPOST_GPU_ERROR_DMA = 5,
	FENCEPOST_GPU_ERROR_TIMEOUT = 6,
	FENCEPOST_GPU_ERROR_RING = 7,
	FENCEPOST_GPU_ERROR_ENGINE = 8,
	FENCEPOST_GPU_ERROR_LIMIT = 9,
	FENCEPOST_GPU_ERROR_CONTEXT = 10,
	FENCEPOST_GPU_ERROR_NOT_PRESENT = 11,
	FENCEPOST_GPU_ERROR_READ_ONLY = 12,
	FENCEPOST_GPU_ERROR_PAGE_TABLE = 13,
};

/** FENCEPOST_GPU_BO_READ_ONLY - a job that writes it fails, with FENCEPOST_GPU_ERROR_READ_ONLY */
#define FENCEPOST_GPU_BO_READ_ONLY	0x1

/**
 * struct drm_fencepost_gpu_bo_create - make a buffer object of zeroed pages
 *
 * DRM_IOCTL_FENCEPOST_GPU_BO_CREATE: -EINVAL for a size of zero or beyond
 * 128 MiB, or for other flags; -EDQUOT if all buffers that the file has handles of
 * would be beyond 1 GiB; -ENOMEM.
 */
struct drm_fencepost_gpu_bo_create {
	/** @size: in, bytes; out, rounded up to whole pages */
	__u64 size;
	/** @flags: in, FENCEPOST_GPU_BO_READ_ONLY or zero */
	__u32 flags;
	/** @handle: out, GEM handle */
	__u32 handle;
};

/**
 * struct drm_fencepost_gpu_bo_offset - where to mmap() a buffer object
 *
 * DRM_IOCTL_FENCEPOST_GPU_BO_OFFSET: -ENOENT for an unknown handle, -EINVAL
 * for an imported buffer (map the dma-buf instead).
 */
struct drm_fencepost_gpu_bo_offset {
	/** @handle: in, GEM handle */
	__u32 handle;
	/** @pad: in, zero */
	__u32 pad;
	/** @offset: out, to give to mmap() on the DRM file */
	__u64 offset;
};

/**
 * struct drm_fencepost_gpu_bo_address - where jobs of this file find a buffer object
 *
 * Each open file has an address space of its own. A buffer has an address in it from the file's first handle
 * of it until its last one is closed and the jobs that name the handle are done.
 *
 * DRM_IOCTL_FENCEPOST_GPU_BO_ADDRESS: -ENOENT for an unknown handle, -EINVAL for a dma-buf that is not made of
 * pages, -ENOMEM.
 */
struct drm_fencepost_gpu_bo_address {
	/** @handle: in, GEM handle */
	__u32 handle;
	/** @pad: in, zero */
	__u32 pad;
	/** @address: out, virtual address of its first byte */
	__u64 address;
};

/** FENCEPOST_GPU_BO_WAIT_WRITE - the caller means to write: wait for readers too */
#define FENCEPOST_GPU_BO_WAIT_WRITE	0x1

/**
 * struct drm_fencepost_gpu_bo_wait - wait for the implicit fences of a buffer
 *
 * DRM_IOCTL_FENCEPOST_GPU_BO_WAIT: -ENOENT for an unknown handle, -ETIME if
 * they did not signal in time, -ERESTARTSYS.
 */
struct drm_fencepost_gpu_bo_wait {
	/** @handle: in, GEM handle */
	__u32 handle;
	/** @flags: in, FENCEPOST_GPU_BO_WAIT_WRITE or zero */
	__u32 flags;
	/** @timeout_ns: in, CLOCK_MONOTONIC time to give up at; 0 only looks */
	__s64 timeout_ns;
};

/** enum fencepost_gpu_opcode - what a command does (the packets' opcodes) */
enum fencepost_gpu_opcode {
	FENCEPOST_GPU_CMD_NOP = 0,
	FENCEPOST_GPU_CMD_FILL = 1,
	FENCEPOST_GPU_CMD_COPY = 2,
	FENCEPOST_GPU_CMD_CONVERT = 3,
	FENCEPOST_GPU_CMD_SEM_WAIT = 4,
	FENCEPOST_GPU_CMD_SEM_SIGNAL = 5,
	FENCEPOST_GPU_CMD_SCALE = 7,
	FENCEPOST_GPU_CMD_BLEND = 8,
	FENCEPOST_GPU_CMD_ROTATE = 9,
	FENCEPOST_GPU_CMD_CHECKSUM = 10,
	FENCEPOST_GPU_CMD_COMPUTE = 11,
};

/* Flags of FENCEPOST_GPU_CMD_CONVERT: a format, and a range. */
#define FENCEPOST_GPU_CONVERT_YUYV	0x0
#define FENCEPOST_GPU_CONVERT_NV12	0x1
#define FENCEPOST_GPU_CONVERT_LIMITED	0x0
#define FENCEPOST_GPU_CONVERT_FULL	0x4

/* Flag of FENCEPOST_GPU_CMD_SCALE: mix four pixels, not take the nearest. */
#define FENCEPOST_GPU_SCALE_BILINEAR	0x1

/* Flags of FENCEPOST_GPU_CMD_BLEND: what the alpha of src's pixels means. */
#define FENCEPOST_GPU_BLEND_IGNORED		0x0
#define FENCEPOST_GPU_BLEND_PREMULTIPLIED	0x1
#define FENCEPOST_GPU_BLEND_COVERAGE		0x2

/* Flags of FENCEPOST_GPU_CMD_ROTATE: flips, and then a turn, clockwise. */
#define FENCEPOST_GPU_ROTATE_0		0x0
#define FENCEPOST_GPU_ROTATE_90		0x1
#define FENCEPOST_GPU_ROTATE_180	0x2
#define FENCEPOST_GPU_ROTATE_270	0x3
#define FENCEPOST_GPU_FLIP_X		0x4
#define FENCEPOST_GPU_FLIP_Y		0x8

/* Flag of FENCEPOST_GPU_CMD_SEM_WAIT: equal, not "at least". */
#define FENCEPOST_GPU_WAIT_EQUAL	0x1

/*
 * Flag of FENCEPOST_GPU_CMD_SEM_WAIT and _SEM_SIGNAL: the semaphore is at the
 * I/O virtual address dst.offset, dst.handle is zero, and nothing is checked.
 * For tests of the IOMMU and of error recovery. Needs CAP_SYS_RAWIO.
 */
#define FENCEPOST_GPU_RAW_ADDRESS	0x80000000

/*
 * Flag of all commands but NOP: every handle is zero, and every offset a virtual address of this file. The job does
 * not hold what is there, and does not wait for its fences: at an address where nothing is when it runs it fails.
 */
#define FENCEPOST_GPU_VIRTUAL		0x40000000

/** struct drm_fencepost_gpu_operand - a window into a buffer object */
struct drm_fencepost_gpu_operand {
	/** @handle: GEM handle */
	__u32 handle;
	/** @stride: bytes from one row to the next */
	__u32 stride;
	/** @offset: byte offset of the first row */
	__u64 offset;
};

/**
 * struct drm_fencepost_gpu_command - one job of the engine
 *
 * FILL uses dst, width (bytes, a multiple of 4), height, value (32 bits).
 * COPY uses dst, src, width (bytes), height.
 * CONVERT uses dst, src, width and height (pixels) and, for NV12, src2: the
 * plane of chroma, which may be in the buffer of src.
 * SEM_WAIT and SEM_SIGNAL use dst (handle and offset, a multiple of 8) and
 * value. SEM_WAIT only reads dst. It gives up, with an error of the ring, after
 * one second.
 *
 * These are new with version 1.2 of the device, whose caps have them, and are not
 * for copy rings. Pixels have 32 bits:
 * SCALE uses dst, src, width and height (of dst, in pixels), and value: the width
 * of src in its low half, the height in its high half.
 * BLEND uses dst, src, width, height (pixels), and value: the plane's alpha, 0 to
 * 255.
 * ROTATE uses dst, src, width and height (of src, in pixels).
 * CHECKSUM uses src, width (bytes), height, and dst (handle and offset, a multiple
 * of 8): where the CRC-32 of the rows goes, as a 64-bit word.
 * COMPUTE uses dst, src2 (the program), width and height (of the grid), value (the
 * registers 2 and 3) and, unless its fields are zero, src. The strides of the three
 * are how many bytes of them there are. docs/gpu.md has the instructions.
 */
struct drm_fencepost_gpu_command {
	/** @opcode: enum fencepost_gpu_opcode */
	__u32 opcode;
	/** @flags: see above, by opcode */
	__u32 flags;
	/** @dst: where to */
	struct drm_fencepost_gpu_operand dst;
	/** @src: where from */
	struct drm_fencepost_gpu_operand src;
	/** @src2: the plane of chroma */
	struct drm_fencepost_gpu_operand src2;
	/** @width: bytes or pixels in a row */
	__u32 width;
	/** @height: rows */
	__u32 height;
	/** @value: pattern, or value of a semaphore */
	__u64 value;
};

/*
 * An in-sync without a fence yet is waited for, up to the kernel's limit of five seconds, instead of
 * refused with -EINVAL. The thread that submits sleeps meanwhile.
 */
#define FENCEPOST_GPU_SYNC_WAIT_FOR_SUBMIT	(1 << 0)

/** struct drm_fencepost_gpu_sync - a syncobj, and a point on it */
struct drm_fencepost_gpu_sync {
	/** @handle: of the syncobj */
	__u32 handle;
	/** @flags: FENCEPOST_GPU_SYNC_..., zero for an out-sync */
	__u32 flags;
	/** @point: timeline point, 0 for a binary syncobj */
	__u64 point;
};

/** FENCEPOST_GPU_SUBMIT_FENCE_FD_IN - wait for the sync_file in fence_fd */
#define FENCEPOST_GPU_SUBMIT_FENCE_FD_IN	0x1
/** FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT - give back a sync_file in fence_fd */
#define FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT	0x2
/**
 * FENCEPOST_GPU_SUBMIT_NO_IMPLICIT - do not wait for the implicit fences of the
 * buffers. The job's own fence is added to them all the same.
 */
#define FENCEPOST_GPU_SUBMIT_NO_IMPLICIT	0x4
/**
 * FENCEPOST_GPU_SUBMIT_LOW, FENCEPOST_GPU_SUBMIT_HIGH - the job's priority, if not normal. Of the jobs
 * that are ready and wait for room on the ring, one of the highest priority is next; a job that is on
 * the ring already is not overtaken. Jobs of one file and one priority keep their order.
 * FENCEPOST_GPU_SUBMIT_HIGH needs CAP_SYS_NICE.
 */
#define FENCEPOST_GPU_SUBMIT_LOW	0x8
#define FENCEPOST_GPU_SUBMIT_HIGH	0x10

/**
 * struct drm_fencepost_gpu_submit - queue commands as one job
 *
 * The job starts when all its in-fences, explicit and implicit, have signalled,
 * and runs its commands in order. Its fence is put in the out_syncs, into the
 * sync_file that is given back, and into the reservation object of every buffer
 * it names: as a write for each dst but SEM_WAIT's, as a read for the others.
 *
 * DRM_IOCTL_FENCEPOST_GPU_SUBMIT: -EINVAL for an unknown ring, opcode or flag, an
 * opcode that a copy ring does not take, both priorities, no or too many commands
 * or syncs, or an operand that does not fit its buffer; -ENOENT for an unknown
 * handle, -EBADF for a bad fence_fd, -EFAULT, -ENOMEM, -EPERM for
 * FENCEPOST_GPU_RAW_ADDRESS or FENCEPOST_GPU_SUBMIT_HIGH without the capability,
 * -EBUSY if 1024 jobs of the file are not done, -ERESTARTSYS.
 * A job that fails on the device signals its fence with -EIO, or with
 * -ETIME if it hung.
 */
struct drm_fencepost_gpu_submit {
	/** @ring: in */
	__u32 ring;
	/** @flags: in, FENCEPOST_GPU_SUBMIT_... */
	__u32 flags;
	/** @commands: in, pointer to struct drm_fencepost_gpu_command[] */
	__u64 commands;
	/** @in_syncs: in, pointer to struct drm_fencepost_gpu_sync[] */
	__u64 in_syncs;
	/** @out_syncs: in, pointer to struct drm_fencepost_gpu_sync[] */
	__u64 out_syncs;
	/** @command_count: in, at least 1 */
	__u32 command_count;
	/** @in_sync_count: in */
	__u32 in_sync_count;
	/** @out_sync_count: in */
	__u32 out_sync_count;
	/** @fence_fd: in and out, as the flags say */
	__s32 fence_fd;
};

#define DRM_IOCTL_FENCEPOST_GPU_INFO \
	DRM_IOR(DRM_COMMAND_BASE + DRM_FENCEPOST_GPU_INFO, struct drm_fencepost_gpu_info)
#define DRM_IOCTL_FENCEPOST_GPU_RING_INFO \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_FENCEPOST_GPU_RING_INFO, struct drm_fencepost_gpu_ring_info)
#define DRM_IOCTL_FENCEPOST_GPU_BO_CREATE \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_FENCEPOST_GPU_BO_CREATE, struct drm_fencepost_gpu_bo_create)
#define DRM_IOCTL_FENCEPOST_GPU_BO_OFFSET \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_FENCEPOST_GPU_BO_OFFSET, struct drm_fencepost_gpu_bo_offset)
#define DRM_IOCTL_FENCEPOST_GPU_BO_WAIT \
	DRM_IOW(DRM_COMMAND_BASE + DRM_FENCEPOST_GPU_BO_WAIT, struct drm_fencepost_gpu_bo_wait)
#define DRM_IOCTL_FENCEPOST_GPU_BO_ADDRESS \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_FENCEPOST_GPU_BO_ADDRESS, struct drm_fencepost_gpu_bo_address)
#define DRM_IOCTL_FENCEPOST_GPU_SUBMIT \
	DRM_IOWR(DRM_COMMAND_BASE + DRM_FENCEPOST_GPU_SUBMIT, struct drm_fencepost_gpu_submit)

/* The camera */

/* What VIDIOC_QUERYCAP says has room for 15 characters. */
#define FENCEPOST_CAMERA_DRIVER_NAME	"fencepost_cam"

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
	/** @controls: out, number of the set of controls that the frame was taken with */
	__u32 controls;
	/** @reserved: out, zero */
	__u32 reserved;
};

#define FENCEPOST_CAMERA_IOC_FRAME \
	_IOWR('V', BASE_VIDIOC_PRIVATE, struct fencepost_camera_frame)

/**
 * struct fencepost_camera_fence - a fence for the frame that a queued buffer will hold
 *
 * FENCEPOST_CAMERA_IOC_FENCE gives a sync_file while the stream is on. It signals when the frame is complete, or with an
 * error. A job of the GPU may wait for it before the frame is there, and does without the CPU.
 */
struct fencepost_camera_fence {
	/** @index: in, which buffer */
	__u32 index;
	/** @fence_fd: out */
	__s32 fence_fd;
};

#define FENCEPOST_CAMERA_IOC_FENCE \
	_IOWR('V', BASE_VIDIOC_PRIVATE + 1, struct fencepost_camera_fence)

/* The display */

#define FENCEPOST_DISPLAY_DRIVER_NAME	"fencepost_display"

#if defined(__cplusplus)
}
#endif

#endif /* _UAPI_FENCEPOST_H */
