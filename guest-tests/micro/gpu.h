/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Ring 0 of the GPU, and what the micro-guests share with it in memory: docs/gpu.md. */
#ifndef MICRO_GPU_H
#define MICRO_GPU_H

#include <fencepost_gpu_regs.h>

#include "sg.h"

/* Registers of ring 0, and what they hold. */
#define RING_BASE (FPGPU_RING(0) + FPGPU_RING_BASE)
#define RING_SIZE (FPGPU_RING(0) + FPGPU_RING_SIZE)
#define RING_HEAD (FPGPU_RING(0) + FPGPU_RING_HEAD)
#define RING_TAIL (FPGPU_RING(0) + FPGPU_RING_TAIL)
#define RING_CONTROL (FPGPU_RING(0) + FPGPU_RING_CONTROL)
#define RING_STATUS (FPGPU_RING(0) + FPGPU_RING_STATUS)
#define RING_FENCE (FPGPU_RING(0) + FPGPU_RING_FENCE)
#define RING_SEQNO (FPGPU_RING(0) + FPGPU_RING_SEQNO)
#define RING_ERROR_CODE (FPGPU_RING(0) + FPGPU_RING_ERROR_CODE)
#define RING_ERROR_ADDRESS (FPGPU_RING(0) + FPGPU_RING_ERROR_ADDRESS)
#define RING_TAIL_ADDR (FPGPU_RING(0) + FPGPU_RING_TAIL_ADDR)
#define RING_DOORBELL (FPGPU_RING(0) + FPGPU_RING_DOORBELL)
#define GPU_VECTOR_RING 0
#define GPU_VECTOR_ERROR 3

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
	uint64_t value, address;
	uint32_t src_width, src_height, context, reserved;
};

_Static_assert(sizeof(struct gpu_packet) == 128, "a packet has 128 bytes");

/* Starts ring 0 with packets and fence word at the given I/O virtual addresses. */
static inline void start_ring(uint64_t gpu, uint64_t base, uint64_t fence)
{
	write64(gpu + RING_BASE, base);
	write32(gpu + RING_SIZE, 16);
	write64(gpu + RING_FENCE, fence);
	write32(gpu + RING_CONTROL, FPGPU_RING_CONTROL_ENABLE);
}

#endif
