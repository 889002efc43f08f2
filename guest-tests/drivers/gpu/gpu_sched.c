// SPDX-License-Identifier: GPL-2.0
/*
 * A drm_sched scheduler for each ring: running jobs, and recovering from those that fail or hang.
 */
#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_print.h>

#include "gpu.h"
#include "gpu_compat.h"

/*
 * A hang that the device does not notice itself. It gives up a semaphore wait after a second, and has no other job that
 * takes longer than milliseconds.
 */
#define GPU_JOB_TIMEOUT_MS	10000

static struct gpu_job *to_gpu_job(struct drm_sched_job *job)
{
	return container_of(job, struct gpu_job, base);
}

static struct dma_fence *gpu_sched_run_job(struct drm_sched_job *sched_job)
{
	struct gpu_job *job = to_gpu_job(sched_job);
	struct gpu_ring *ring = job->ring;
	int idx;

	gpu_fence_begin(ring, job->fence, &sched_job->s_fence->finished);
	job->emitted = true;
	if (drm_dev_enter(&ring->gpu->drm, &idx)) {
		gpu_ring_emit(ring, job);
		drm_dev_exit(idx);
	} else {
		gpu_fence_signal(job->fence, -ENODEV);
	}
	return dma_fence_get(&job->fence->base);
}

static void gpu_sched_free_job(struct drm_sched_job *sched_job)
{
	drm_sched_job_cleanup(sched_job);
	gpu_job_free(to_gpu_job(sched_job));
}

/* Reads and reports why the ring halted. Returns what its job's fence is to say. */
static int gpu_ring_report(struct gpu_ring *ring)
{
	u32 code = readl(ring->regs + GPU_RING_ERROR_CODE);
	u32 packet = readl(ring->regs + GPU_RING_ERROR_PACKET);
	u64 address = gpu_read64(ring->regs + GPU_RING_ERROR_ADDRESS);

	mutex_lock(&ring->stats_lock);
	ring->resets++;
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
 * After a reset: fails the job that ran, emits those behind it again, and gives each back its fence. What a closed file
 * had queued behind its own failed job is not worth another hang.
 */
static void gpu_ring_replay(struct gpu_ring *ring, int error)
{
	struct drm_sched_job *sched_job;
	struct gpu_job *failed = NULL;

	list_for_each_entry(sched_job, &ring->sched.pending_list, list) {
		struct gpu_job *job = to_gpu_job(sched_job);
		struct dma_fence *fence = &job->fence->base;

		if (!dma_fence_is_signaled(fence)) {
			if (!failed) {
				failed = job;
				gpu_ring_fail(ring, job->fence, error);
			} else if (job->file == failed->file && READ_ONCE(job->file->closed)) {
				gpu_ring_fail(ring, job->fence, -ECANCELED);
			} else {
				gpu_ring_emit(ring, job);
			}
		}
		sched_job->s_fence->parent = dma_fence_get(fence);
	}
}

/* Reports, resets and restarts a ring that halted or hangs. Returns what the fence of its job is to say. */
static int gpu_ring_recover(struct gpu_ring *ring)
{
	int error, idx;

	if (!drm_dev_enter(&ring->gpu->drm, &idx)) {
		gpu_ring_fail_all(ring, -ENODEV);
		return -ENODEV;
	}
	error = gpu_ring_report(ring);
	gpu_ring_stop(ring);
	gpu_ring_retire(ring);
	if (gpu_ring_restart(ring)) {
		drm_err(&ring->gpu->drm, "ring %u does not start again\n", ring->index);
		gpu_ring_fail_all(ring, -EIO);
	}
	drm_dev_exit(idx);
	return error;
}

/* Called when a job takes too long, and for the oldest job by drm_sched_fault() when the ring reports an error. */
static enum drm_gpu_sched_stat gpu_sched_timedout_job(struct drm_sched_job *sched_job)
{
	struct gpu_ring *ring = to_gpu_job(sched_job)->ring;
	int error = 0, idx;

	/* Jobs that the device has done are not to be run again. */
	if (drm_dev_enter(&ring->gpu->drm, &idx)) {
		gpu_ring_retire(ring);
		drm_dev_exit(idx);
	}
	drm_sched_stop(&ring->sched, sched_job);
	if (!gpu_ring_is_idle(ring))
		error = gpu_ring_recover(ring);
	gpu_ring_replay(ring, error);
	gpu_compat_sched_start(&ring->sched);
	return DRM_GPU_SCHED_STAT_NOMINAL;
}

static const struct drm_sched_backend_ops gpu_sched_ops = {
	.run_job = gpu_sched_run_job,
	.timedout_job = gpu_sched_timedout_job,
	.free_job = gpu_sched_free_job,
};

static void gpu_sched_fini(struct drm_device *drm, void *data)
{
	drm_sched_fini(data);
}

int gpu_sched_init(struct gpu_ring *ring)
{
	/* One slot of the ring stays empty, so that a full ring is not an empty one. */
	int ret = gpu_compat_sched_init(&ring->sched, &gpu_sched_ops, GPU_RING_PACKETS - 1,
					GPU_MAX_COMMANDS + 1, msecs_to_jiffies(GPU_JOB_TIMEOUT_MS),
					ring->name, ring->gpu->drm.dev);

	if (ret)
		return ret;
	return drmm_add_action_or_reset(&ring->gpu->drm, gpu_sched_fini, &ring->sched);
}
