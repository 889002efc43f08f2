/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* As much of the GPU as the micro-guests use; docs/gpu.md has all of it. */
#ifndef MICRO_GPU_H
#define MICRO_GPU_H

#include "sg.h"

#define GPU_ID 0x000
#define RING 0x100
#define RING_BASE (RING + 0x00)
#define RING_SIZE (RING + 0x08)
#define RING_HEAD (RING + 0x0c)
#define RING_TAIL (RING + 0x10)
#define RING_CONTROL (RING + 0x14)
#define RING_STATUS (RING + 0x18)
#define RING_FENCE (RING + 0x20)
#define RING_HALTED 8
#define RING_SEQNO (RING + 0x28)
#define RING_ERROR_CODE (RING + 0x30)
#define RING_ERROR_ADDRESS (RING + 0x38)
/* From one ring's registers to those of the next. */
#define RING_BYTES 0x100
#define RING_TAIL_ADDR (RING + 0x50)
#define RING_DOORBELL (RING + 0x58)
#define GPU_VECTOR_RING 0
#define GPU_VECTOR_ERROR 2

#define OPCODE_NOP 0
#define OPCODE_FILL 1
#define OPCODE_COPY 2
#define OPCODE_SEM_WAIT 4
#define OPCODE_SEM_SIGNAL 5
#define OPCODE_FENCE 6

struct gpu_operand {
	uint64_t table;
	uint32_t entries, stride;
	uint64_t offset;
};

struct gpu_packet {
	uint32_t opcode, flags;
	uint64_t seqno;
	struct gpu_operand dst, src, src2;
	uint32_t width, height;
	uint64_t value, address, reserved[2];
};

_Static_assert(sizeof(struct gpu_packet) == 128, "a packet has 128 bytes");

/* Starts ring 0 with packets and fence word at the given I/O virtual addresses. */
static inline void start_ring(uint64_t gpu, uint64_t base, uint64_t fence)
{
	write64(gpu + RING_BASE, base);
	write32(gpu + RING_SIZE, 16);
	write64(gpu + RING_FENCE, fence);
	write32(gpu + RING_CONTROL, 1);
}

#endif
