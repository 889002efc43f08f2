/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Inside the Fencepost GPU's driver: devices, rings, jobs and buffers.
 */
#ifndef FENCEPOST_GPU_DRV_H
#define FENCEPOST_GPU_DRV_H

#include <linux/dma-fence.h>
#include <linux/idr.h>
#include <linux/io.h>
#include <linux/kref.h>
#include <linux/list.h>
#include <linux/mutex.h>
#include <linux/spinlock.h>
#include <linux/workqueue.h>

#include <drm/drm_device.h>
#include <drm/drm_print.h>
#include <drm/gpu_scheduler.h>

#include <fencepost_bo.h>
#include <fencepost_gpu_regs.h>
#include <fencepost_word.h>
#include <uapi/fencepost.h>

#include "gpu_packet.h"
#include "gpu_vm.h"

#define FPGPU_MAX_RINGS		8
/* Open files at once, and one that is nobody's. */
#define FPGPU_CONTEXTS		4096
#define FPGPU_RING_SLOTS	1024
#define FPGPU_MAX_COMMANDS	64
/* Packets of a job beside one for each command. */
#define FPGPU_MAX_SLICES	64
/* Words of other devices that a job waits for, and with them those of the other rings. */
#define FPGPU_MAX_FOREIGN	4
#define FPGPU_MAX_WAITS		(FPGPU_MAX_RINGS - 1 + FPGPU_MAX_FOREIGN)
#define FPGPU_MAX_JOB_BOS		(3 * FPGPU_MAX_COMMANDS)
#define FPGPU_MAX_SYNCS		64
#define FPGPU_MAX_BO_BYTES	(128ULL << 20)
/* Of one file: of the buffers that it has handles of, and jobs that are not done. */
#define FPGPU_MAX_FILE_BYTES	(1ULL << 30)
#define FPGPU_MAX_FILE_JOBS	1024

struct fpgpu_device;

/*
 * The device's own fence: signalled from the ring's interrupt. It holds the device's structure and
 * the module, and the scheduler's fence of its job holds it: gpu_fence.c.
 */
struct fpgpu_fence {
	struct dma_fence base;
	struct fpgpu_device *gpu;
	/* The lock of base: its own, so that a fence may outlive its ring. */
	spinlock_t lock;
	/* In fpgpu_ring.pending while the device may still write its number. */
	struct list_head link;
	/* Its job, and its packet's place on the ring; while it is pending. */
	struct fpgpu_job *job;
	u32 slot;
	/* The ring that its job was given to, or NULL. */
	struct fpgpu_ring *ring;
	/* Whose job it is: fpgpu_file.number. */
	u64 owner;
	/* What it is to signal with. Set before any wait for it ends on the device. */
	int error;
	/* The scheduler's fence, which lives as long as this one has not signalled. */
	struct dma_fence *finished;
};

struct fpgpu_ring {
	struct fpgpu_device *gpu;
	void __iomem *regs;
	unsigned int index;

	struct fpgpu_packet *packets;
	dma_addr_t packets_dma;
	/* In a page that other devices may look at. */
	struct fpgpu_ring_words *words;
	struct fencepost_word_page words_page;
	/* For the fence at each slot: FPGPU_RING_BUSY_CYCLES before it. Written by the device. */
	__le64 *busy;
	dma_addr_t busy_dma;
	/*
	 * Only the scheduler's run_job and, while that is stopped, a recovery use these. Packets
	 * are counted from when the ring was enabled: those written to it, and those that it had
	 * done when it was stopped.
	 */
	u64 emitted;
	u64 done;
	u64 last_seqno;
	/* FPGPU_RING_PACKETS when the ring was enabled. */
	u64 packets_before;
	/* What the oldest job failed with, for fpgpu_resume(). */
	int error;

	struct drm_gpu_scheduler sched;
	u64 fence_context;
	char name[16];

	/* Guards those below and the packets, from interrupts too. */
	spinlock_t lock;
	struct list_head pending;
	/* The busy cycles that files have been charged with. */
	u64 charged;

	/* Guards those below, which RING_INFO reports. */
	struct mutex stats_lock;
	u32 errors;
	u32 resets;
	u32 last_error;
	u64 last_error_address;
};

struct fpgpu_device {
	struct drm_device drm;
	void __iomem *regs;
	/* What the device says of itself; constant. */
	struct drm_fencepost_gpu_info info;
	struct fpgpu_ring ring[FPGPU_MAX_RINGS];
	int error_irq;
	/* Configuration space as the driver set it up. */
	struct pci_saved_state *saved;

	struct fencepost_bos bos;

	/* The directory of each context; written by the driver. */
	__le64 *context_table;
	dma_addr_t context_table_dma;
	/* Other devices' words. */
	struct fencepost_words words;

	/* Numbers of contexts that are in use. */
	struct ida contexts;
	/* Guards the list, and all address spaces. */
	struct mutex vm_lock;
	struct list_head vms;

	/*
	 * All recovery is done on this, one after the other: the schedulers' time-outs and
	 * fpgpu_pause().
	 */
	struct workqueue_struct *recovery;

	/* The driver's binding and each fence. */
	struct kref users;
	/* Frees the device's structure when the last of them is gone. */
	struct work_struct free;
};

/* A job's, among those that wait for the same ring. */
enum fpgpu_priority {
	FPGPU_PRIORITY_LOW,
	FPGPU_PRIORITY_NORMAL,
	FPGPU_PRIORITY_HIGH,
	FPGPU_PRIORITIES,
};

struct fpgpu_file {
	/* The open file and each of its jobs. */
	struct kref refs;
	/* The addresses of its buffers. */
	struct fpgpu_vm vm;
	/* Another for each file, from 1 on. */
	u64 number;
	/* Nobody waits for this file's jobs by the file any more. */
	bool closed;
	/* Jobs that are not freed. */
	atomic_t jobs;
	/* Cycles that its jobs took on each ring. */
	atomic64_t busy[FPGPU_MAX_RINGS];
	/* Jobs of one file are armed and pushed in one order; it makes buffers one after the other. */
	struct mutex lock;
	struct drm_sched_entity entity[FPGPU_MAX_RINGS][FPGPU_PRIORITIES];
};

struct fpgpu_bo {
	struct fencepost_bo base;
	/* No job may write it. */
	bool read_only;
};

/* A fence of another of this device's jobs that a job waits for. */
struct fpgpu_wait {
	struct dma_fence *fence;
	/* The job uses what the other makes: if that fails, so does the job. */
	bool inherits;
};

/* A fence of another device's that a job waits for by its word. */
struct fpgpu_foreign {
	struct fpgpu_device *gpu;
	struct dma_fence *fence;
	struct dma_fence_cb cb;
	struct fencepost_word word;
	dma_addr_t at;
};

/* All that it waits for on the device, and the packets that do. */
struct fpgpu_waits {
	struct fpgpu_wait *list;
	unsigned int count;
	unsigned int room;
	/* The other rings that they may be on. */
	u32 rings;
	struct fpgpu_foreign foreign[FPGPU_MAX_FOREIGN];
	unsigned int foreign_count;
	/* Made when the job is given to its ring. */
	struct fpgpu_packet packets[FPGPU_MAX_WAITS];
	unsigned int packet_count;
};

struct fpgpu_job {
	struct drm_sched_job base;
	struct fpgpu_ring *ring;
	struct fpgpu_file *file;
	struct fpgpu_fence *fence;
	/* The process that submitted it. */
	pid_t pid;
	/* The number of its first packet among those of fpgpu_ring.emitted. */
	u64 first;
	/* How many of its packets were done when it was last found to be slow. */
	s64 watched;

	/* The buffers that it names, each once, where they are, and which of them it writes. */
	struct drm_gem_object *objs[FPGPU_MAX_JOB_BOS];
	struct fpgpu_binding *bindings[FPGPU_MAX_JOB_BOS];
	bool writes[FPGPU_MAX_JOB_BOS];
	unsigned int obj_count;
	/* What it waits for of this device's: gpu_wait.c. */
	struct fpgpu_waits waits;
	/* The command that is encoded has virtual addresses of its own. */
	bool by_address;

	unsigned int packet_count;
	struct fpgpu_packet packets[] __counted_by(packet_count);
};

static inline struct fpgpu_device *to_fpgpu(struct drm_device *drm)
{
	return container_of(drm, struct fpgpu_device, drm);
}

static inline struct fpgpu_bo *to_fpgpu_bo(struct drm_gem_object *obj)
{
	return container_of(to_fencepost_bo(obj), struct fpgpu_bo, base);
}

static inline struct fpgpu_job *to_fpgpu_job(struct drm_sched_job *job)
{
	return container_of(job, struct fpgpu_job, base);
}

static inline u64 fpgpu_read64(void __iomem *at)
{
	u64 low = readl(at);

	return low | (u64)readl(at + 4) << 32;
}

static inline void fpgpu_write64(void __iomem *at, u64 value)
{
	writel(lower_32_bits(value), at);
	writel(upper_32_bits(value), at + 4);
}

/* Packets of a job before its fence: first the waits. */
static inline unsigned int fpgpu_job_length(const struct fpgpu_job *job)
{
	return job->waits.packet_count + job->packet_count;
}

static inline bool fpgpu_ring_only_copies(const struct fpgpu_ring *ring)
{
	return ring->gpu->info.copy_rings & BIT(ring->index);
}

/* gpu_file.c */
int fpgpu_open(struct drm_device *drm, struct drm_file *file);
void fpgpu_postclose(struct drm_device *drm, struct drm_file *file);
void fpgpu_file_put(struct fpgpu_file *file_priv);

/* gpu_usage.c */
struct fpgpu_memory {
	u64 total;
	u64 shared;
	u64 resident;
};

struct fpgpu_memory fpgpu_file_memory(struct drm_file *file);
void fpgpu_show_usage(struct drm_printer *p, struct drm_file *file);
void fpgpu_charge(struct fpgpu_ring *ring, struct fpgpu_fence *fence, u64 busy);

/* gpu_dump.c */
void fpgpu_dump(struct fpgpu_ring *ring);

/* gpu_drv.c */
int fpgpu_check_device(struct fpgpu_device *gpu);

/* gpu_fence.c */
int fpgpu_fences_init(void);
void fpgpu_fences_exit(void);
int fpgpu_users_init(struct fpgpu_device *gpu);
struct fpgpu_fence *fpgpu_fence_alloc(struct fpgpu_device *gpu, u64 owner);
void fpgpu_fence_put(struct fpgpu_fence *fence);
void fpgpu_fence_begin(struct fpgpu_ring *ring, struct fpgpu_fence *fence,
		       struct dma_fence *finished);
void fpgpu_fence_abandon(struct fpgpu_fence *fence);
void fpgpu_fence_signal(struct fpgpu_fence *fence, int error);

/* gpu_bo.c */
struct drm_gem_object *fpgpu_bo_alloc(struct drm_device *drm, size_t size);
int fpgpu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file);
int fpgpu_ioctl_bo_offset(struct drm_device *drm, void *data, struct drm_file *file);
int fpgpu_ioctl_bo_address(struct drm_device *drm, void *data, struct drm_file *file);
int fpgpu_ioctl_bo_wait(struct drm_device *drm, void *data, struct drm_file *file);

/* gpu_ring.c */
int fpgpu_ring_init(struct fpgpu_device *gpu, unsigned int index);
void fpgpu_ring_emit(struct fpgpu_ring *ring, struct fpgpu_job *job);
void fpgpu_ring_emit_rest(struct fpgpu_ring *ring, struct fpgpu_job *job);
void fpgpu_ring_retire(struct fpgpu_ring *ring);
void fpgpu_ring_retire_done(struct fpgpu_ring *ring);
void fpgpu_ring_retire_one(struct fpgpu_ring *ring);
bool fpgpu_ring_progresses(struct fpgpu_ring *ring, struct fpgpu_job *job);
bool fpgpu_ring_waits(struct fpgpu_ring *ring, struct fpgpu_job *job);
bool fpgpu_ring_inherit(struct fpgpu_ring *ring);
void fpgpu_ring_pass(struct fpgpu_ring *ring, u64 seqno);
void fpgpu_ring_fail(struct fpgpu_ring *ring, struct fpgpu_fence *fence);
void fpgpu_ring_fail_all(struct fpgpu_ring *ring, int error);
bool fpgpu_ring_is_idle(struct fpgpu_ring *ring);
int fpgpu_ring_restart(struct fpgpu_ring *ring);
void fpgpu_ring_stop(struct fpgpu_ring *ring);

/* gpu_wait.c */
struct fpgpu_fence *fpgpu_fence_of(struct dma_fence *fence);
int fpgpu_wait_add(struct fpgpu_job *job, struct dma_fence *fence, bool inherits);
unsigned int fpgpu_waits_most(const struct fpgpu_job *job);
void fpgpu_waits_begin(struct fpgpu_job *job);
int fpgpu_waits_error(const struct fpgpu_job *job);
void fpgpu_waits_fail(struct fpgpu_device *gpu);
void fpgpu_waits_free(struct fpgpu_job *job);

/* gpu_word.c */
int fpgpu_foreign_add(struct fpgpu_job *job, struct dma_fence *fence);
void fpgpu_foreign_free(struct fpgpu_foreign *foreign);

/* gpu_recover.c */
void fpgpu_ring_give_up(struct fpgpu_ring *ring, struct drm_sched_job *suspect);
void fpgpu_ring_recover(struct fpgpu_ring *ring, struct drm_sched_job *suspect);
void fpgpu_pause(struct fpgpu_device *gpu);
int fpgpu_resume(struct fpgpu_device *gpu);

/* gpu_sched.c */
extern const struct drm_sched_backend_ops fpgpu_sched_ops;
int fpgpu_sched_init(struct fpgpu_ring *ring);

/* gpu_job.c */
struct fpgpu_job *fpgpu_job_create(struct fpgpu_ring *ring, struct drm_file *file,
				   const struct drm_fencepost_gpu_command *commands,
				   unsigned int count);
void fpgpu_job_free(struct fpgpu_job *job);
void fpgpu_job_put_objs(struct fpgpu_job *job);

/* gpu_submit.c */
int fpgpu_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file);

#endif /* FENCEPOST_GPU_DRV_H */
