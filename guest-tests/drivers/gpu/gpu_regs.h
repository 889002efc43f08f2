/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Registers, packets and lists of the Fencepost GPU: docs/gpu.md.
 */
#ifndef FENCEPOST_GPU_REGS_H
#define FENCEPOST_GPU_REGS_H

#include <linux/bits.h>
#include <linux/types.h>

#define GPU_VENDOR_ID			0xfe9c
#define GPU_DEVICE_ID			0x0001

#define GPU_ID				0x000
#define GPU_ID_VALUE			0x55504746
#define GPU_VERSION			0x004
#define GPU_VERSION_MAJOR		1
/* The first with tail words. */
#define GPU_VERSION_TAIL_WORD		0x00010001
#define GPU_CAPS			0x008
#define GPU_RINGS			0x00c
#define GPU_RING_MAX_PACKETS		0x010
#define GPU_SG_MAX_ENTRIES		0x014
#define GPU_MAX_DIMENSION		0x018
#define GPU_VECTORS			0x01c
#define GPU_FIXED_CYCLES		0x020
#define GPU_BYTES_PER_CYCLE		0x028
#define GPU_ERROR_RINGS			0x030
#define GPU_CONTROL			0x034
#define GPU_CONTROL_RESET		BIT(0)

#define GPU_RING(n)			(0x100 * ((n) + 1))
#define GPU_RING_BASE			0x00
#define GPU_RING_SIZE			0x08
#define GPU_RING_TAIL			0x10
#define GPU_RING_CONTROL		0x14
#define GPU_RING_CONTROL_ENABLE		BIT(0)
#define GPU_RING_CONTROL_RESET		BIT(1)
#define GPU_RING_STATUS			0x18
#define GPU_RING_STATUS_ERROR		BIT(3)
#define GPU_RING_FENCE			0x20
#define GPU_RING_ERROR_CODE		0x30
#define GPU_RING_ERROR_PACKET		0x34
#define GPU_RING_ERROR_ADDRESS		0x38
#define GPU_RING_PACKETS_DONE		0x48
#define GPU_RING_TAIL_ADDR		0x50
#define GPU_RING_DOORBELL		0x58

#define GPU_MAX_AREA_BYTES		BIT_ULL(30)
#define GPU_MAX_ROWS			65536

#define GPU_OPCODE_FENCE		6

/* Words that a ring and its driver share. */
struct gpu_ring_words {
	/* Written by the device. */
	__le64 fence;
	/* Written by the driver. */
	__le32 tail;
	__le32 unused;
};

/* A window into the buffer that a list describes. */
struct gpu_window {
	__le64 table;
	__le32 entries;
	__le32 stride;
	__le64 offset;
};

struct gpu_packet {
	__le32 opcode;
	__le32 flags;
	__le64 seqno;
	struct gpu_window dst;
	struct gpu_window src;
	struct gpu_window src2;
	__le32 width;
	__le32 height;
	__le64 value;
	__le64 address;
	u8 reserved[16];
};

static_assert(sizeof(struct gpu_packet) == 128);

#endif /* FENCEPOST_GPU_REGS_H */
