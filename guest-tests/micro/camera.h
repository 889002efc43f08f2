/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* As much of the camera as the micro-guests use; docs/camera.md has all of it. */
#ifndef MICRO_CAMERA_H
#define MICRO_CAMERA_H

#include "sg.h"

#define CAMERA_ID 0x000
#define CAMERA_WIDTH 0x084
#define CAMERA_HEIGHT 0x088
#define CAMERA_STRIDE 0x08c
#define CAMERA_RATE_NUM 0x090
#define CAMERA_QUEUE_BASE 0x098
#define CAMERA_COMPLETION_BASE 0x0a0
#define CAMERA_RING_ENTRIES 0x0a8
#define CAMERA_QUEUE_TAIL_ADDR 0x0b0
#define CAMERA_CONTROL 0x0c0
#define CAMERA_STATUS 0x0c4
#define CAMERA_QUEUE_TAIL 0x0c8
#define CAMERA_QUEUE_DOORBELL 0x0d8
#define CAMERA_ERROR_CODE 0x100
#define CAMERA_ERRORS 0x10c
#define CAMERA_OVERRUNS 0x110
#define CAMERA_FRAMES 0x114

struct camera_descriptor {
	uint64_t cookie;
	uint32_t index, planes;
	uint64_t table;
	uint32_t entries, len_bytes;
	uint64_t second_plane[2], reserved[2];
};

struct camera_completion {
	uint64_t cookie;
	uint32_t index, status, sequence, bytes;
	uint64_t start_cycles, end_cycles;
	uint32_t crc, dropped;
	uint64_t fault_iova;
	uint32_t reserved, ordinal;
};

_Static_assert(sizeof(struct camera_descriptor) == 64, "a descriptor has 64 bytes");
_Static_assert(sizeof(struct camera_completion) == 64, "a record has 64 bytes");

#endif
