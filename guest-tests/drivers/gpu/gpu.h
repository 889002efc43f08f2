/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inside the Fencepost GPU's driver: devices, rings, jobs and buffers.
 */
#ifndef FENCEPOST_GPU_H
#define FENCEPOST_GPU_H

#include <linux/dma-fence.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <drm/drm_device.h>
#include <drm/gpu_scheduler.h>

#include <fencepost_bo.h>
#include <uapi/fencepost.h>

#include "gpu_regs.h"

#define GPU_MAX_RINGS		8
#define GPU_RING_PACKETS	256
#define GPU_MAX_COMMANDS	64
#define GPU_MAX_JOB_BOS		(3 * GPU_MAX_COMMANDS)
#define GPU_MAX_SYNCS		64
#define GPU_MAX_BO_BYTES	(128ULL << 20)

struct gpu_device;

/*
 * The device's own fence: signalled from the ring's interrupt. It holds the device's structure and the module, and the
 * scheduler's fence of its job holds it: gpu_fence.c.
 */
struct gpu_fence {
	struct dma_fence base;
	struct gpu_device *gpu;
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
	/*
	 * Only the scheduler's run_job and, while that is stopped, a recovery use these. Packets are counted from when
	 * the ring was enabled: those written to it, and those that it had done when it was stopped.
	 */
	u64 emitted;
	u64 done;
	u64 last_seqno;
	/* GPU_RING_PACKETS_DONE when the ring was enabled. */
	u64 packets_before;
	/* What the oldest job failed with, for gpu_resume(). */
	int error;

	struct drm_gpu_scheduler sched;
	u64 fence_context;
	char name[16];

	/* Guards pending, from interrupts too. */
	spinlock_t lock;
	struct list_head pending;

	/* Guards those below, which RING_INFO reports. */
	struct mutex stats_lock;
	u32 errors;
	u32 resets;
	u32 last_error;
	u64 last_error_address;
};

struct gpu_device {
	struct drm_device drm;
	void __iomem *regs;
	/* What the device says of itself; constant. */
	struct drm_fencepost_gpu_info info;
	u32 max_sg_entries;
	/* The rings take their tail from memory. */
	bool has_tail_words;
	struct gpu_ring ring[GPU_MAX_RINGS];
	int error_irq;

	struct fencepost_bos bos;

	/* All recovery is done on this, one after the other: the schedulers' time-outs and gpu_pause(). */
	struct workqueue_struct *recovery;

	/* The driver's binding and each fence. */
	struct kref users;
	/* Frees the device's structure when the last of them is gone. */
	struct work_struct free;
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

struct gpu_job {
	struct drm_sched_job base;
	struct gpu_ring *ring;
	struct gpu_file *file;
	struct gpu_fence *fence;
	/* The number of its first packet among those of gpu_ring.emitted. */
	u64 first;

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

static inline struct gpu_job *to_gpu_job(struct drm_sched_job *job)
{
	return container_of(job, struct gpu_job, base);
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
int gpu_check_device(struct gpu_device *gpu);

/* gpu_fence.c */
int gpu_fences_init(void);
void gpu_fences_exit(void);
int gpu_users_init(struct gpu_device *gpu);
struct gpu_fence *gpu_fence_alloc(struct gpu_device *gpu);
void gpu_fence_put(struct gpu_fence *fence);
void gpu_fence_begin(struct gpu_ring *ring, struct gpu_fence *fence, struct dma_fence *finished);
void gpu_fence_abandon(struct gpu_fence *fence);
void gpu_fence_signal(struct gpu_fence *fence, int error);

/* gpu_bo.c */
struct drm_gem_object *gpu_bo_create_object(struct drm_device *drm, size_t size);
int gpu_bo_address(struct drm_gem_object *obj, u64 offset, u64 *address);
int gpu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int gpu_ioctl_bo_offset(struct drm_device *drm, void *data, struct drm_file *file);
int gpu_ioctl_bo_wait(struct drm_device *drm, void *data, struct drm_file *file);

/* gpu_ring.c */
int gpu_ring_init(struct gpu_device *gpu, unsigned int index);
void gpu_ring_emit(struct gpu_ring *ring, struct gpu_job *job);
void gpu_ring_emit_rest(struct gpu_ring *ring, struct gpu_job *job);
void gpu_ring_retire(struct gpu_ring *ring);
void gpu_ring_fail(struct gpu_ring *ring, struct gpu_fence *fence, int error);
void gpu_ring_fail_all(struct gpu_ring *ring, int error);
bool gpu_ring_is_idle(struct gpu_ring *ring);
int gpu_ring_restart(struct gpu_ring *ring);
void gpu_ring_stop(struct gpu_ring *ring);

/* gpu_recover.c */
void gpu_ring_recover(struct gpu_ring *ring, struct drm_sched_job *suspect);
void gpu_pause(struct gpu_device *gpu);
int gpu_resume(struct gpu_device *gpu);

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
