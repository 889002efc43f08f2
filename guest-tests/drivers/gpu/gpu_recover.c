// SPDX-License-Identifier: GPL-2.0
/*
 * Stopping rings and starting them again with the jobs that were on them: after an error or a hang, and around sleep and
 * function-level reset.
 */
#include <linux/interrupt.h>

#include <drm/drm_print.h>

#include "gpu.h"
#include "gpu_compat.h"

/* Reads and reports why the ring halted. Returns what its job's fence is to say. */
static int gpu_ring_report(struct gpu_ring *ring)
{
	u32 code = readl(ring->regs + GPU_RING_ERROR_CODE);
	u32 packet = readl(ring->regs + GPU_RING_ERROR_PACKET);
	u64 address = gpu_read64(ring->regs + GPU_RING_ERROR_ADDRESS);

	mutex_lock(&ring->stats_lock);
	ring->resets++;
	ring->errors += !!code;
	ring->last_error = code;
	ring->last_error_address = address;
	mutex_unlock(&ring->stats_lock);

	if (!code) {
		drm_err_ratelimited(&ring->gpu->drm, "ring %u hangs, reset\n", ring->index);
		return -ETIME;
	}
	drm_err_ratelimited(&ring->gpu->drm, "ring %u: error %u at packet %u, address %#llx, reset\n",
			    ring->index, code, packet, address);
	return code == FENCEPOST_GPU_ERROR_TIMEOUT ? -ETIME : -EIO;
}

/*
 * Gives each job back its fence, which drm_sched_stop() took, and the ring what is left of the jobs. With an error, the
 * oldest fails, and so do those behind it whose file is closed: what it had queued is not worth another hang.
 */
static void gpu_ring_replay(struct gpu_ring *ring, int error)
{
	struct drm_sched_job *sched_job;
	struct gpu_job *failed = NULL;

	list_for_each_entry(sched_job, &ring->sched.pending_list, list) {
		struct gpu_job *job = to_gpu_job(sched_job);
		struct dma_fence *fence = &job->fence->base;

		if (!dma_fence_is_signaled(fence)) {
			if (error && !failed) {
				failed = job;
				gpu_ring_fail(ring, job->fence, error);
			} else if (failed && job->file == failed->file && READ_ONCE(job->file->closed)) {
				gpu_ring_fail(ring, job->fence, -ECANCELED);
			} else {
				gpu_ring_emit_rest(ring, job);
			}
		}
		sched_job->s_fence->parent = dma_fence_get(fence);
	}
}

/* Starts a stopped ring and its scheduler. */
static int gpu_ring_go_on(struct gpu_ring *ring, int error)
{
	int ret = gpu_ring_restart(ring);

	if (ret) {
		drm_err(&ring->gpu->drm, "ring %u does not start again\n", ring->index);
		gpu_ring_fail_all(ring, ret);
	}
	gpu_ring_replay(ring, error);
	gpu_compat_sched_start(&ring->sched);
	return ret;
}

/*
 * Resets and restarts a ring that halted or hangs; @suspect is the oldest job, which drm_sched took off its list. On
 * gpu->recovery, between drm_dev_enter() and drm_dev_exit().
 */
void gpu_ring_recover(struct gpu_ring *ring, struct drm_sched_job *suspect)
{
	int error;

	/* Jobs that the device has done are not to be run again. */
	gpu_ring_retire(ring);
	drm_sched_stop(&ring->sched, suspect);
	if (gpu_ring_is_idle(ring)) {
		gpu_ring_replay(ring, 0);
		gpu_compat_sched_start(&ring->sched);
		return;
	}
	error = gpu_ring_report(ring);
	gpu_ring_stop(ring);
	gpu_ring_retire(ring);
	gpu_ring_go_on(ring, error);
}

static void gpu_ring_pause(struct gpu_ring *ring)
{
	drm_sched_stop(&ring->sched, NULL);
	/* An error that nobody has looked at yet is still the oldest job's. */
	ring->error = 0;
	if (readl(ring->regs + GPU_RING_STATUS) & GPU_RING_STATUS_ERROR)
		ring->error = gpu_ring_report(ring);
	gpu_ring_stop(ring);
	gpu_ring_retire(ring);
}

struct gpu_pause_work {
	struct work_struct base;
	struct gpu_device *gpu;
};

static void gpu_pause_work(struct work_struct *work)
{
	struct gpu_device *gpu = container_of(work, struct gpu_pause_work, base)->gpu;
	unsigned int i;

	for (i = 0; i < gpu->info.rings; i++)
		gpu_ring_pause(&gpu->ring[i]);
	/* The last error's interrupt may have asked for a recovery, which would run behind us. */
	synchronize_irq(gpu->error_irq);
	for (i = 0; i < gpu->info.rings; i++)
		cancel_delayed_work(&gpu->ring[i].sched.work_tdr);
}

/*
 * Stops all rings and schedulers: no DMA and no register access by jobs until gpu_resume(). The packet in execution has
 * no effect on memory, and will be run again. Not to be called while the driver unbinds.
 */
void gpu_pause(struct gpu_device *gpu)
{
	struct gpu_pause_work work = { .gpu = gpu };

	INIT_WORK_ONSTACK(&work.base, gpu_pause_work);
	queue_work(gpu->recovery, &work.base);
	flush_work(&work.base);
	destroy_work_on_stack(&work.base);
}

/* Resets the device, which may have lost all its state, and goes on with the jobs. */
int gpu_resume(struct gpu_device *gpu)
{
	int ret = gpu_check_device(gpu);
	unsigned int i;

	for (i = 0; i < gpu->info.rings; i++) {
		int ring_ret = gpu_ring_go_on(&gpu->ring[i], gpu->ring[i].error);

		if (!ret)
			ret = ring_ret;
	}
	return ret;
}
