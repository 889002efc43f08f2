/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What the Fencepost camera and its driver share in memory: descriptors and records. See
 * docs/camera.md.
 */
#ifndef FENCEPOST_CAMERA_RECORDS_H
#define FENCEPOST_CAMERA_RECORDS_H

#include <linux/types.h>

struct fpcam_plane {
	__le64 table;
	__le32 entries;
	__le32 len_bytes;
};

struct fpcam_descriptor {
	__le64 cookie;
	__le32 index;
	__le32 planes;
	struct fpcam_plane plane[2];
	__le64 sync;
	__le64 reserved;
};

struct fpcam_semaphore {
	__le64 address;
	__le64 value;
};

#define FPCAM_MAX_WAITS		3

/* What a descriptor's sync points to. */
struct fpcam_sync_block {
	struct fpcam_semaphore wait[FPCAM_MAX_WAITS];
	struct fpcam_semaphore signal;
};

struct fpcam_record {
	__le64 cookie;
	__le32 index;
	__le32 status;
	__le32 sequence;
	__le32 bytes;
	__le64 start_cycles;
	__le64 end_cycles;
	__le32 crc;
	__le32 dropped;
	__le64 fault_iova;
	__le32 controls;
	__le32 ordinal;
};

static_assert(sizeof(struct fpcam_descriptor) == 64);
static_assert(sizeof(struct fpcam_record) == 64);
static_assert(sizeof(struct fpcam_sync_block) == 64);

#endif /* FENCEPOST_CAMERA_RECORDS_H */
