// SPDX-License-Identifier: GPL-2.0
/*
 * A drm_sched scheduler for each ring.
 */
#include <linux/moduleparam.h>

#include <drm/drm_drv.h>
#include <drm/drm_managed.h>

#include <fencepost_recovery.h>

#include "gpu_drv.h"
#include "gpu_compat.h"

/*
 * A hang that the device does not notice itself. It gives up a semaphore wait after a second, and
 * has no other job that takes longer than milliseconds.
 */
static unsigned int job_timeout_ms = 10000;
module_param(job_timeout_ms, uint, 0644);
MODULE_PARM_DESC(job_timeout_ms, "How long a job may take, in milliseconds, read whenever one begins");

static struct dma_fence *fpgpu_sched_run_job(struct drm_sched_job *sched_job)
{
	struct fpgpu_job *job = to_fpgpu_job(sched_job);
	struct fpgpu_ring *ring = job->ring;
	int idx;

	ring->sched.timeout = msecs_to_jiffies(READ_ONCE(job_timeout_ms));
	fpgpu_fence_begin(ring, job->fence, &sched_job->s_fence->finished);
	if (drm_dev_enter(&ring->gpu->drm, &idx)) {
		fpgpu_ring_emit(ring, job);
		if (!FENCEPOST_HAS(hold))
			fpgpu_job_put_objs(job);
		drm_dev_exit(idx);
	} else {
		fpgpu_fence_signal(job->fence, -ENODEV);
	}
	return dma_fence_get(&job->fence->base);
}

static void fpgpu_sched_free_job(struct drm_sched_job *sched_job)
{
	struct drm_sched_fence *s_fence = sched_job->s_fence;
	struct fpgpu_job *job = to_fpgpu_job(sched_job);

	/*
	 * A job whose file was closed before it ran: what is handed out must still hold what it
	 * needs.
	 */
	if (!s_fence->parent) {
		fpgpu_fence_abandon(job->fence);
		s_fence->parent = dma_fence_get(&job->fence->base);
	}
	drm_sched_job_cleanup(sched_job);
	fpgpu_job_free(job);
}

/*
 * Called when a job takes too long, and for the oldest job by drm_sched_fault() when the ring
 * reports an error.
 */
static enum drm_gpu_sched_stat fpgpu_sched_timedout_job(struct drm_sched_job *sched_job)
{
	struct fpgpu_ring *ring = to_fpgpu_job(sched_job)->ring;
	int idx;

	if (!FENCEPOST_RECOVERY)
		return DRM_GPU_SCHED_STAT_NOMINAL;
	if (drm_dev_enter(&ring->gpu->drm, &idx)) {
		fpgpu_ring_recover(ring, sched_job);
		drm_dev_exit(idx);
	} else {
		fpgpu_ring_give_up(ring, sched_job);
	}
	return DRM_GPU_SCHED_STAT_NOMINAL;
}

const struct drm_sched_backend_ops fpgpu_sched_ops = {
	.run_job = fpgpu_sched_run_job,
	.timedout_job = fpgpu_sched_timedout_job,
	.free_job = fpgpu_sched_free_job,
};

static void fpgpu_sched_fini(struct drm_device *drm, void *data)
{
	drm_sched_fini(data);
}

int fpgpu_sched_init(struct fpgpu_ring *ring)
{
	/* One slot of the ring stays empty, so that a full ring is not an empty one. */
	int ret = fpgpu_compat_sched_init(&ring->sched, &fpgpu_sched_ops, FPGPU_RING_SLOTS - 1,
					  FPGPU_MAX_WAITS + FPGPU_MAX_COMMANDS + FPGPU_MAX_SLICES + 1,
					  msecs_to_jiffies(job_timeout_ms),
					  ring->gpu->recovery, ring->name, ring->gpu->drm.dev);

	if (ret)
		return ret;
	return drmm_add_action_or_reset(&ring->gpu->drm, fpgpu_sched_fini, &ring->sched);
}
