/* SPDX-License-Identifier: GPL-2.0 */
/* Registers of the Fencepost display controller: docs/display.md. */
#ifndef DISPLAY_REGS_H
#define DISPLAY_REGS_H

#include <linux/bits.h>

#define FPD_ID			0x000
#define FPD_ID_VALUE		0x31445046 /* "FPD1" */
#define FPD_MAX_SIZE		0x004
#define FPD_IRQ_STATUS		0x010
#define FPD_IRQ_ENABLE		0x014
#define FPD_IRQ_VBLANK		BIT(0)
#define FPD_IRQ_FLIP_DONE	BIT(1)
#define FPD_IRQ_ERROR		BIT(2)
#define FPD_ERROR_STATUS	0x018
#define FPD_NOW_NS		0x020
#define FPD_CRTC_ENABLE		0x100
#define FPD_MODE_ACTIVE		0x104
#define FPD_MODE_TOTAL		0x108
#define FPD_MODE_CLOCK		0x10c
#define FPD_COMMIT		0x110
#define FPD_COMMIT_ACCEPTED	0x118
#define FPD_COMMIT_LATCHED	0x120
#define FPD_VBLANK_COUNT	0x128
#define FPD_VBLANK_NS		0x138
#define FPD_CRC_FRAME		0x140
#define FPD_CRC_VALUE		0x148
#define FPD_FAULT_IOVA		0x158
#define FPD_PLANE_CONTROL	0x400
#define FPD_PLANE_FORMAT	0x404
#define FPD_PLANE_TABLE		0x408
#define FPD_PLANE_ENTRIES	0x410
#define FPD_PLANE_OFFSET	0x414
#define FPD_PLANE_PITCH		0x418
#define FPD_PLANE_SIZE		0x41c
#define FPD_CONNECTOR		0x800
#define FPD_EDID		0x900

/* Two 16-bit halves of one register. */
#define FPD_SIZE(width, height)	((u32)(height) << 16 | (u32)(width))

/* MSI-X vectors. */
enum fpd_vector {
	FPD_VECTOR_VBLANK,
	FPD_VECTOR_FLIP_DONE,
	FPD_VECTOR_ERROR,
	FPD_VECTORS,
};

/* Entries of a scatter-gather list: struct fencepost_sg_entry. */
#define FPD_SG_MAX_ENTRIES	32768

#endif
