/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the micro-guests share with the camera in memory: docs/camera.md. */
#ifndef MICRO_CAMERA_H
#define MICRO_CAMERA_H

#include <fencepost_camera_regs.h>

#include "sg.h"

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
