/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inside the Fencepost GPU's driver: devices, rings, jobs and buffers.
 */
#ifndef FENCEPOST_GPU_H
#define FENCEPOST_GPU_H

#include <linux/atomic.h>
#include <linux/dma-fence.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/wait.h>

#include <drm/drm_device.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/gpu_scheduler.h>

#include <uapi/fencepost.h>

#include "gpu_regs.h"

#define GPU_MAX_RINGS		8
#define GPU_RING_PACKETS	256
#define GPU_MAX_COMMANDS	64
#define GPU_MAX_JOB_BOS		(3 * GPU_MAX_COMMANDS)
#define GPU_MAX_SYNCS		64
#define GPU_MAX_BO_BYTES	(128ULL << 20)

struct gpu_device;

/* The device's own fence: signalled from the ring's interrupt. */
struct gpu_fence {
	struct dma_fence base;
	/* The lock of base: its own, so that a fence may outlive its ring. */
	spinlock_t lock;
	/* In gpu_ring.pending while the device may still write its number. */
	struct list_head link;
	/* The scheduler's fence, which lives as long as this one has not signalled. */
	struct dma_fence *finished;
};

struct gpu_ring {
	struct gpu_device *gpu;
	void __iomem *regs;
	unsigned int index;

	struct gpu_packet *packets;
	dma_addr_t packets_dma;
	struct gpu_ring_words *words;
	dma_addr_t words_dma;
	/* Only the scheduler's run_job and, while that is stopped, a reset use these two. */
	u32 tail;
	u64 last_seqno;

	struct drm_gpu_scheduler sched;
	u64 fence_context;
	char name[16];

	/* Guards pending, from interrupts too. */
	spinlock_t lock;
	struct list_head pending;

	/* Guards the three below, which RING_INFO reports. */
	struct mutex stats_lock;
	u32 resets;
	u32 last_error;
	u64 last_error_address;
};

struct gpu_device {
	struct drm_device drm;
	void __iomem *regs;
	unsigned int rings;
	u32 max_dimension;
	u32 max_sg_entries;
	/* The rings take their tail from memory. */
	bool has_tail_words;
	struct gpu_ring ring[GPU_MAX_RINGS];

	/* Jobs that are not freed yet. */
	atomic_t jobs;
	wait_queue_head_t jobs_gone;

	/* Guards the building of BOs' lists. */
	struct mutex table_lock;
};

struct gpu_file {
	/* The open file and each of its jobs. */
	struct kref refs;
	/* Nobody waits for this file's jobs by the file any more. */
	bool closed;
	/* Jobs of one file are armed and pushed in one order. */
	struct mutex lock;
	struct drm_sched_entity entity[GPU_MAX_RINGS];
};

struct gpu_bo {
	struct drm_gem_shmem_object base;
	/* The list that the device reads; built at first use, under table_lock. */
	struct gpu_sg_entry *table;
	dma_addr_t table_dma;
	size_t table_bytes;
	u32 entries;
	/* Bytes behind the list: less than the object's size for an odd dma-buf. */
	u64 len;
};

struct gpu_job {
	struct drm_sched_job base;
	struct gpu_ring *ring;
	struct gpu_file *file;
	struct gpu_fence *fence;
	/* The fence is initialized, and this job holds a reference. */
	bool emitted;

	/* The buffers that it names, each once, and which of them it writes. */
	struct drm_gem_object *objs[GPU_MAX_JOB_BOS];
	bool writes[GPU_MAX_JOB_BOS];
	unsigned int obj_count;

	unsigned int packet_count;
	struct gpu_packet packets[] __counted_by(packet_count);
};

static inline struct gpu_device *to_gpu(struct drm_device *drm)
{
	return container_of(drm, struct gpu_device, drm);
}

static inline struct gpu_bo *to_gpu_bo(struct drm_gem_object *obj)
{
	return container_of(to_drm_gem_shmem_obj(obj), struct gpu_bo, base);
}

static inline u64 gpu_read64(void __iomem *at)
{
	u64 low = readl(at);

	return low | (u64)readl(at + 4) << 32;
}

static inline void gpu_write64(void __iomem *at, u64 value)
{
	writel(lower_32_bits(value), at);
	writel(upper_32_bits(value), at + 4);
}

/* gpu_drv.c */
void gpu_file_put(struct gpu_file *gpu_file);

/* gpu_bo.c */
struct drm_gem_object *gpu_bo_create_object(struct drm_device *drm, size_t size);
int gpu_bo_prepare(struct gpu_device *gpu, struct drm_gem_object *obj);
int gpu_bo_address(struct drm_gem_object *obj, u64 offset, u64 *address);
int gpu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int gpu_ioctl_bo_offset(struct drm_device *drm, void *data, struct drm_file *file);
int gpu_ioctl_bo_wait(struct drm_device *drm, void *data, struct drm_file *file);

/* gpu_ring.c */
int gpu_ring_init(struct gpu_device *gpu, unsigned int index);
void gpu_ring_emit(struct gpu_ring *ring, struct gpu_job *job);
void gpu_ring_retire(struct gpu_ring *ring);
void gpu_ring_fail(struct gpu_ring *ring, struct gpu_fence *fence, int error);
void gpu_ring_fail_all(struct gpu_ring *ring, int error);
bool gpu_ring_is_idle(struct gpu_ring *ring);
int gpu_ring_restart(struct gpu_ring *ring);
void gpu_ring_stop(struct gpu_ring *ring);
struct gpu_fence *gpu_fence_alloc(void);
void gpu_fence_begin(struct gpu_ring *ring, struct gpu_fence *fence, struct dma_fence *finished);
void gpu_fence_signal(struct gpu_fence *fence, int error);

/* gpu_sched.c */
int gpu_sched_init(struct gpu_ring *ring);

/* gpu_job.c */
struct gpu_job *gpu_job_create(struct gpu_ring *ring, struct drm_file *file,
			       const struct drm_fencepost_gpu_command *commands,
			       unsigned int count);
void gpu_job_free(struct gpu_job *job);

/* gpu_submit.c */
int gpu_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* FENCEPOST_GPU_H */
