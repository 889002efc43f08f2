/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * Registers of the Fencepost camera: docs/camera.md has them all. Constants alone, for the
 * driver and for the micro-guests; a test of the monitor compares each with its
 * row on that page, and takes a name behind more than one space for a field.
 */
#ifndef FENCEPOST_CAMERA_REGS_H
#define FENCEPOST_CAMERA_REGS_H

#define FPCAM_ID			0x000
#define   FPCAM_ID_VALUE		0x4d414346 /* "FCAM" */
#define FPCAM_VERSION			0x004
/* The first with a tail word. */
#define   FPCAM_VERSION_TAIL_WORD	0x00010001
/* The first with controls. */
#define   FPCAM_VERSION_CONTROLS	0x00010002
/* The first with SOURCE, CROP and COMPOSE. */
#define   FPCAM_VERSION_WINDOW		0x00010003
/* The first with semaphores. */
#define   FPCAM_VERSION_SYNC		0x00010004
#define FPCAM_FORMATS			0x008
#define   FPCAM_FORMATS_YUYV		0x1
#define   FPCAM_FORMATS_NV12		0x2
#define   FPCAM_FORMATS_UYVY		0x4
#define   FPCAM_FORMATS_XRGB8888	0x8
#define   FPCAM_FORMATS_GREY		0x10
#define   FPCAM_FORMATS_SRGGB8		0x20
#define   FPCAM_FORMATS_SRGGB10		0x40
#define FPCAM_COLOUR			0x00c
#define   FPCAM_COLOUR_FULL		0x1
#define FPCAM_MIN_WIDTH			0x010
#define FPCAM_MAX_WIDTH			0x014
#define FPCAM_MIN_HEIGHT		0x018
#define FPCAM_MAX_HEIGHT		0x01c
#define FPCAM_SIZE_STEP			0x020
#define FPCAM_STRIDE_ALIGN		0x024
#define FPCAM_MAX_STRIDE		0x028
#define FPCAM_MAX_RATE			0x02c
#define FPCAM_NATIVE_RATE_NUM		0x030
#define FPCAM_NATIVE_RATE_DEN		0x034
#define FPCAM_FORMAT			0x080
#define FPCAM_WIDTH			0x084
#define FPCAM_HEIGHT			0x088
#define FPCAM_STRIDE			0x08c
#define FPCAM_RATE_NUM			0x090
#define FPCAM_RATE_DEN			0x094
#define   FPCAM_RATE_MAX_PART		1000000
#define FPCAM_QUEUE_BASE		0x098
#define FPCAM_COMPLETION_BASE		0x0a0
#define FPCAM_RING_ENTRIES		0x0a8
#define FPCAM_QUEUE_TAIL_ADDR		0x0b0
#define FPCAM_CONTROL			0x0c0
#define   FPCAM_CONTROL_STREAM		0x1
#define FPCAM_STATUS			0x0c4
#define   FPCAM_STATUS_STREAMING	0x1
#define   FPCAM_STATUS_HALTED		0x4
#define FPCAM_QUEUE_TAIL		0x0c8
#define FPCAM_SEQUENCE			0x0d4
#define FPCAM_QUEUE_DOORBELL		0x0d8
#define FPCAM_ERROR_CODE		0x100
#define FPCAM_ERROR_IOVA		0x104
#define FPCAM_ERROR_COUNT		0x10c
#define FPCAM_OVERRUN_COUNT		0x110
#define FPCAM_FRAME_COUNT		0x114

#define FPCAM_BRIGHTNESS		0x140
#define FPCAM_CONTRAST			0x144
#define   FPCAM_CONTRAST_UNIT		128
#define FPCAM_EXPOSURE			0x148
#define FPCAM_GAIN			0x14c
#define   FPCAM_LIGHT_MIN		16
#define   FPCAM_LIGHT_UNIT		256
#define   FPCAM_LIGHT_MAX		4096
#define FPCAM_FLIP			0x150
#define   FPCAM_FLIP_HORIZONTAL		0x1
#define   FPCAM_FLIP_VERTICAL		0x2
#define FPCAM_PATTERN			0x154
#define FPCAM_CONTROLS_LATCH		0x158

#define FPCAM_SOURCE_WIDTH		0x180
#define FPCAM_SOURCE_HEIGHT		0x184
#define FPCAM_CROP_LEFT			0x188
#define FPCAM_CROP_TOP			0x18c
#define FPCAM_CROP_WIDTH		0x190
#define FPCAM_CROP_HEIGHT		0x194
#define FPCAM_COMPOSE_LEFT		0x198
#define FPCAM_COMPOSE_TOP		0x19c

/* Entries of a scatter-gather list at most. */
#define   FPCAM_SG_MAX_ENTRIES		32768

/* MSI-X vectors. */
enum fpcam_vector {
	FPCAM_VECTOR_FRAME_DONE,
	FPCAM_VECTOR_ERROR,
	FPCAM_VECTOR_OVERRUN,
	FPCAM_VECTORS,
};

#endif /* FENCEPOST_CAMERA_REGS_H */
