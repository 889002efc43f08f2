/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * Registers of the Fencepost display: docs/display.md has them all. Constants alone, for the
 * driver and for the micro-guests; a test of the monitor compares each with its
 * row on that page, and takes a name behind more than one space for a field.
 */
#ifndef FENCEPOST_DISPLAY_REGS_H
#define FENCEPOST_DISPLAY_REGS_H

/* The heads: a CRTC with its planes and a connector each. The registers below, but for those of the device, are there for each. */
#define   FPDISP_HEADS			2
#define   FPDISP_HEAD_STRIDE		0x1000

/* Of the device. */
#define FPDISP_ID			0x000
#define   FPDISP_ID_VALUE		0x31445046 /* "FPD1" */
#define FPDISP_MAX_SIZE			0x004
#define FPDISP_NOW_NS			0x020
/* Of the first head; those of the second one are FPDISP_HEAD_STRIDE further on. */
#define FPDISP_IRQ_STATUS		0x010
#define FPDISP_IRQ_ENABLE		0x014
#define   FPDISP_IRQ_VBLANK		0x1
#define   FPDISP_IRQ_FLIP_DONE		0x2
#define   FPDISP_IRQ_ERROR		0x4
#define   FPDISP_IRQ_HOTPLUG		0x8
#define   FPDISP_IRQ_WRITEBACK		0x10
#define FPDISP_ERROR_STATUS		0x018
#define FPDISP_CRTC_ENABLE		0x100
#define FPDISP_MODE_ACTIVE		0x104
#define FPDISP_MODE_TOTAL		0x108
#define FPDISP_MODE_CLOCK		0x10c
#define FPDISP_COMMIT			0x110
#define   FPDISP_COMMIT_GO		0x1
#define   FPDISP_COMMIT_NOW		0x2
#define   FPDISP_COMMIT_REPLACE		0x4
#define FPDISP_COMMIT_ACCEPTED		0x118
#define FPDISP_COMMIT_LATCHED		0x120
#define FPDISP_VBLANK_COUNT		0x128
#define FPDISP_VBLANK_NS		0x138
#define FPDISP_CRC_FRAME		0x140
#define FPDISP_CRC_VALUE		0x148
#define FPDISP_UNDERRUNS		0x150
#define FPDISP_REFUSED			0x154
#define FPDISP_FAULT_IOVA		0x158
#define FPDISP_COLOR_CONTROL		0x160
#define   FPDISP_COLOR_USE_MATRIX	0x1
#define   FPDISP_COLOR_USE_GAMMA	0x2
#define FPDISP_ENABLE_NS		0x168
#define FPDISP_VRR_CONTROL		0x170
#define   FPDISP_VRR_ON			0x1
#define FPDISP_VRR_TOTAL		0x174
#define FPDISP_COLOR_MATRIX		0x180
/* Of the first plane; those of the others are FPDISP_PLANE_STRIDE further on each. */
#define FPDISP_PLANE_CONTROL		0x400
#define FPDISP_PLANE_FORMAT		0x404
#define FPDISP_PLANE_TABLE		0x408
#define FPDISP_PLANE_ENTRIES		0x410
#define FPDISP_PLANE_OFFSET		0x414
#define FPDISP_PLANE_PITCH		0x418
#define FPDISP_PLANE_SIZE		0x41c
#define FPDISP_PLANE_CROP		0x420
#define FPDISP_PLANE_POSITION		0x424
#define FPDISP_PLANE_SCREEN_SIZE	0x428
#define FPDISP_PLANE_BLEND		0x42c
#define   FPDISP_BLEND_NONE		0
#define   FPDISP_BLEND_PREMULTIPLIED	1
#define   FPDISP_BLEND_COVERAGE		2
#define   FPDISP_BLEND_ALPHA_SHIFT	8
#define FPDISP_PLANE_COLOR		0x430
#define   FPDISP_COLOR_BT709		0x1
#define   FPDISP_COLOR_FULL_RANGE	0x2
#define FPDISP_PLANE_ORDER		0x434
#define FPDISP_PLANE_FILTER		0x438
#define FPDISP_PLANE_CHROMA_TABLE	0x440
#define FPDISP_PLANE_CHROMA_ENTRIES	0x448
#define FPDISP_PLANE_CHROMA_OFFSET	0x44c
#define FPDISP_PLANE_CHROMA_PITCH	0x450
#define FPDISP_CONNECTOR		0x800
/* Bytes. */
#define   FPDISP_EDID			0x900
#define   FPDISP_EDID_BYTES		256
#define FPDISP_WRITEBACK_CONTROL	0xa00
#define FPDISP_WRITEBACK_FORMAT		0xa04
#define FPDISP_WRITEBACK_TABLE		0xa08
#define FPDISP_WRITEBACK_ENTRIES	0xa10
#define FPDISP_WRITEBACK_OFFSET		0xa14
#define FPDISP_WRITEBACK_PITCH		0xa18
#define FPDISP_WRITEBACK_STATUS		0xa1c
#define   FPDISP_WRITEBACK_FAILED	0x1
#define FPDISP_WRITEBACK_DONE		0xa20
#define FPDISP_WRITEBACK_FAILURES	0xa28
#define FPDISP_GAMMA			0xc00
#define   FPDISP_GAMMA_ENTRIES		256

/* Two 16-bit halves of one register. */
#define   FPDISP_SIZE(width, height)	((unsigned int)(height) << 16 | (unsigned int)(width))

/* The planes: a primary one, two overlays, of which the second scales, and a cursor. */
#define   FPDISP_PLANES			4
#define   FPDISP_PLANE_STRIDE		0x80
#define   FPDISP_SCALING_PLANE		2
#define   FPDISP_CURSOR_PLANE		3
/* Sides of a cursor, pixels. */
#define   FPDISP_CURSOR_MIN		64
#define   FPDISP_CURSOR_MAX		256
/* How many times larger or smaller a scaled side is at most. */
#define   FPDISP_MAX_SCALE		8

/* Entries of a scatter-gather list at most. */
#define   FPDISP_SG_MAX_ENTRIES		32768

/* MSI-X vectors of the first head; those of the second one are behind them. */
enum fpdisp_vector {
	FPDISP_VECTOR_VBLANK,
	FPDISP_VECTOR_FLIP_DONE,
	FPDISP_VECTOR_ERROR,
	FPDISP_VECTOR_HOTPLUG,
	FPDISP_VECTOR_WRITEBACK,
	FPDISP_VECTORS,
};

#endif /* FENCEPOST_DISPLAY_REGS_H */
