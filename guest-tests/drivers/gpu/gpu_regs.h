/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Registers, packets and lists of the Fencepost GPU: docs/gpu.md.
 */
#ifndef FENCEPOST_GPU_REGS_H
#define FENCEPOST_GPU_REGS_H

#include <linux/bits.h>
#include <linux/types.h>

#define FPGPU_ID				0x000
#define FPGPU_ID_VALUE			0x55504746
#define FPGPU_VERSION			0x004
#define FPGPU_VERSION_MAJOR		1
/* The first with tail words. */
#define FPGPU_VERSION_TAIL_WORD		0x00010001
#define FPGPU_CAPS			0x008
#define FPGPU_RINGS			0x00c
#define FPGPU_RING_MAX_PACKETS		0x010
#define FPGPU_SG_MAX_ENTRIES		0x014
#define FPGPU_MAX_DIMENSION		0x018
#define FPGPU_VECTORS			0x01c
#define FPGPU_FIXED_CYCLES		0x020
#define FPGPU_BYTES_PER_CYCLE		0x028
#define FPGPU_ERROR_RINGS			0x030
#define FPGPU_CONTROL			0x034
#define FPGPU_CONTROL_RESET		BIT(0)

#define FPGPU_RING(n)			(0x100 * ((n) + 1))
#define FPGPU_RING_BASE			0x00
#define FPGPU_RING_SIZE			0x08
#define FPGPU_RING_TAIL			0x10
#define FPGPU_RING_CONTROL		0x14
#define FPGPU_RING_CONTROL_ENABLE		BIT(0)
#define FPGPU_RING_CONTROL_RESET		BIT(1)
#define FPGPU_RING_STATUS			0x18
#define FPGPU_RING_STATUS_ERROR		BIT(3)
#define FPGPU_RING_FENCE			0x20
#define FPGPU_RING_ERROR_CODE		0x30
#define FPGPU_RING_ERROR_PACKET		0x34
#define FPGPU_RING_ERROR_ADDRESS		0x38
#define FPGPU_RING_PACKETS_DONE		0x48
#define FPGPU_RING_TAIL_ADDR		0x50
#define FPGPU_RING_DOORBELL		0x58

#define FPGPU_MAX_AREA_BYTES		BIT_ULL(30)
#define FPGPU_MAX_ROWS			65536

#define FPGPU_OPCODE_FENCE		6

/* Words that a ring and its driver share. */
struct fpgpu_ring_words {
	/* Written by the device. */
	__le64 fence;
	/* Written by the driver. */
	__le32 tail;
	__le32 unused;
};

/* A window into the buffer that a list describes. */
struct fpgpu_window {
	__le64 table;
	__le32 entries;
	__le32 stride;
	__le64 offset;
};

struct fpgpu_packet {
	__le32 opcode;
	__le32 flags;
	__le64 seqno;
	struct fpgpu_window dst;
	struct fpgpu_window src;
	struct fpgpu_window src2;
	__le32 width;
	__le32 height;
	__le64 value;
	__le64 address;
	u8 reserved[16];
};

static_assert(sizeof(struct fpgpu_packet) == 128);

#endif /* FENCEPOST_GPU_REGS_H */
