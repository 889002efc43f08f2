/* SPDX-License-Identifier: GPL-2.0 */
/* What the Fencepost GPU and its driver share in memory: packets, and words. See docs/gpu.md. */
#ifndef FENCEPOST_GPU_PACKET_H
#define FENCEPOST_GPU_PACKET_H

#include <linux/bits.h>
#include <linux/types.h>

/* What one packet may do at most. */
#define FPGPU_MAX_AREA_BYTES	BIT_ULL(30)
#define FPGPU_MAX_ROWS		65536
#define FPGPU_PIXEL_BYTES	4
/* Of a compute job. */
#define FPGPU_INSTRUCTION_BYTES	8
#define FPGPU_MAX_INSTRUCTIONS	256
#define FPGPU_MAX_PLACES	BIT(22)
#define FPGPU_MAX_WORDS_BYTES	BIT(24)

/* A flag of SEM_WAIT: no time-out ends it. */
#define FPGPU_WAIT_PATIENT	BIT(1)

/* Bits of the entries of tables, and of the table of contexts. */
#define FPGPU_ENTRY_PRESENT	BIT_ULL(0)
#define FPGPU_ENTRY_WRITABLE	BIT_ULL(1)
#define FPGPU_ENTRY_LARGE	BIT_ULL(7)

/* Words that a ring and its driver share. */
struct fpgpu_ring_words {
	/* Written by the device. */
	__le64 fence;
	/* Written by the driver. */
	__le32 tail;
	__le32 unused;
};

/* A window into the buffer at a virtual address. The device takes lists too, for which entries is. */
struct fpgpu_window {
	__le64 start;
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
	__le32 src_width;
	__le32 src_height;
	__le32 context;
	u8 reserved[4];
};

static_assert(sizeof(struct fpgpu_packet) == 128);

#endif /* FENCEPOST_GPU_PACKET_H */
