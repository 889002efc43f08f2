/* SPDX-License-Identifier: GPL-2.0 OR Apache-2.0 OR MIT */
/*
 * Registers of the Fencepost GPU: docs/gpu.md has them all. Constants alone, for the
 * driver and for the micro-guests; a test of the monitor compares each with its
 * row on that page, and takes a name behind more than one space for a field.
 */
#ifndef FENCEPOST_GPU_REGS_H
#define FENCEPOST_GPU_REGS_H

#define FPGPU_ID			0x000
#define   FPGPU_ID_VALUE		0x55504746 /* "FGPU" */
#define FPGPU_VERSION			0x004
#define   FPGPU_VERSION_MAJOR		1
/* The first with patient waits, and with fences that end waits at once. */
#define   FPGPU_VERSION_PATIENT		0x00010004
#define FPGPU_CAPS			0x008
#define FPGPU_RINGS			0x00c
#define FPGPU_RING_MAX_PACKETS		0x010
#define FPGPU_SG_MAX_ENTRIES		0x014
#define FPGPU_MAX_DIMENSION		0x018
#define FPGPU_VECTORS			0x01c
#define FPGPU_FIXED_CYCLES		0x020
#define FPGPU_BYTES_PER_CYCLE		0x028
#define FPGPU_ERROR_RINGS		0x030
#define FPGPU_CONTROL			0x034
#define   FPGPU_CONTROL_RESET		0x1
/* Since version 1.2. */
#define FPGPU_COPY_RINGS		0x038
/* Since version 1.3. */
#define FPGPU_CONTEXT_TABLE		0x040
#define FPGPU_CONTEXT_COUNT		0x048
#define FPGPU_TLB_INVALIDATE		0x04c

/* Each ring has a block of registers; those of ring n are at FPGPU_RING(n). */
#define   FPGPU_RING(n)			(FPGPU_RING_STEP * ((n) + 1))
#define   FPGPU_RING_STEP		0x100
#define FPGPU_RING_BASE			0x00
#define FPGPU_RING_SIZE			0x08
#define FPGPU_RING_HEAD			0x0c
#define FPGPU_RING_TAIL			0x10
#define FPGPU_RING_CONTROL		0x14
#define   FPGPU_RING_CONTROL_ENABLE	0x1
#define   FPGPU_RING_CONTROL_RESET	0x2
#define FPGPU_RING_STATUS		0x18
#define   FPGPU_RING_STATUS_WAITING	0x4
#define   FPGPU_RING_STATUS_ERROR	0x8
#define FPGPU_RING_FENCE		0x20
#define FPGPU_RING_SEQNO		0x28
#define FPGPU_RING_ERROR_CODE		0x30
#define FPGPU_RING_ERROR_PACKET		0x34
#define FPGPU_RING_ERROR_ADDRESS	0x38
#define FPGPU_RING_PACKETS		0x48
#define FPGPU_RING_TAIL_ADDR		0x50
#define FPGPU_RING_DOORBELL		0x58
/* Since version 1.2. */
#define FPGPU_RING_BUSY_CYCLES		0x60
/* Since version 1.3. */
#define FPGPU_RING_ERROR_CONTEXT	0x68

/* What a packet does; user space has the same numbers, but for FENCE. */
enum fpgpu_opcode {
	FPGPU_OPCODE_NOP = 0,
	FPGPU_OPCODE_FILL = 1,
	FPGPU_OPCODE_COPY = 2,
	FPGPU_OPCODE_CONVERT = 3,
	FPGPU_OPCODE_SEM_WAIT = 4,
	FPGPU_OPCODE_SEM_SIGNAL = 5,
	FPGPU_OPCODE_FENCE = 6,
	FPGPU_OPCODE_SCALE = 7,
	FPGPU_OPCODE_BLEND = 8,
	FPGPU_OPCODE_ROTATE = 9,
	FPGPU_OPCODE_CHECKSUM = 10,
	FPGPU_OPCODE_COMPUTE = 11,
};

#endif /* FENCEPOST_GPU_REGS_H */
