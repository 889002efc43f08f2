// SPDX-License-Identifier: GPL-2.0
/*
 * Stopping rings and starting them again with the jobs that were on them: after an error or a hang,
 * and around sleep and function-level reset.
 */
#include <linux/delay.h>
#include <linux/interrupt.h>
#include <linux/pci.h>

#include <drm/drm_print.h>

#include <fencepost_recovery.h>

#include "gpu_drv.h"
#include "gpu_compat.h"

/* How often, and how long apart, the bus is asked for a device that it does not find. */
#define FPGPU_LOOKS	4
#define FPGPU_LOOK_US	1000

/* Reads and reports why the ring halted. Returns what its job's fence is to say. */
static int fpgpu_ring_report(struct fpgpu_ring *ring)
{
	u32 code = readl(ring->regs + FPGPU_RING_ERROR_CODE);
	u32 packet = readl(ring->regs + FPGPU_RING_ERROR_PACKET);
	u64 address = fpgpu_read64(ring->regs + FPGPU_RING_ERROR_ADDRESS);

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
 * The oldest job of a ring that was stopped fails, and with it those of its file that wait for it, on
 * whatever ring. What they wait for is written when all of them have its error.
 */
static void fpgpu_ring_fail_oldest(struct fpgpu_ring *ring, struct fpgpu_fence *fence, int error)
{
	WRITE_ONCE(fence->error, error);
	fpgpu_waits_fail(ring->gpu);
	fpgpu_ring_fail(ring, fence);
	fpgpu_ring_pass(ring, fence->base.seqno);
}

/*
 * Gives each job back its fence, which drm_sched_stop() took, and the ring what is left of the
 * jobs. With an error, the oldest fails, and so do those behind it whose file is closed: what it
 * had queued is not worth another hang.
 */
static void fpgpu_ring_replay(struct fpgpu_ring *ring, int error)
{
	struct drm_sched_job *sched_job;
	struct fpgpu_job *failed = NULL;

	list_for_each_entry(sched_job, &ring->sched.pending_list, list) {
		struct fpgpu_job *job = to_fpgpu_job(sched_job);
		struct dma_fence *fence = &job->fence->base;

		if (!dma_fence_is_signaled(fence)) {
			if (error && !failed) {
				failed = job;
				fpgpu_ring_fail_oldest(ring, job->fence, error);
			} else if (failed && job->file == failed->file &&
				   READ_ONCE(job->file->closed)) {
				job->fence->error = -ECANCELED;
				fpgpu_ring_emit_rest(ring, job);
			} else {
				fpgpu_ring_emit_rest(ring, job);
			}
		}
		sched_job->s_fence->parent = dma_fence_get(fence);
	}
}

/* Starts the scheduler of a ring that was not stopped, with the jobs that are on it. */
static void fpgpu_ring_wait_on(struct fpgpu_ring *ring)
{
	struct drm_sched_job *sched_job;

	list_for_each_entry(sched_job, &ring->sched.pending_list, list)
		sched_job->s_fence->parent = dma_fence_get(&to_fpgpu_job(sched_job)->fence->base);
	fpgpu_compat_sched_start(&ring->sched);
}

/* Whether the bus finds the device. One read that fails alone says nothing. */
static bool fpgpu_is_there(struct fpgpu_device *gpu)
{
	unsigned int looks = FENCEPOST_HAS(retry) ? FPGPU_LOOKS : 1;

	while (!pci_device_is_present(to_pci_dev(gpu->drm.dev))) {
		if (!--looks)
			return false;
		usleep_range(FPGPU_LOOK_US, 2 * FPGPU_LOOK_US);
	}
	return true;
}

/* Starts a stopped ring and its scheduler. */
static int fpgpu_ring_go_on(struct fpgpu_ring *ring, int error)
{
	int ret = fpgpu_ring_restart(ring);

	if (ret) {
		drm_err(&ring->gpu->drm, "ring %u does not start again\n", ring->index);
		fpgpu_ring_fail_all(ring, ret);
	}
	fpgpu_ring_replay(ring, error);
	fpgpu_compat_sched_start(&ring->sched);
	return ret;
}

/* The device is gone, or the driver is leaving it: no job of the ring will be done. */
void fpgpu_ring_give_up(struct fpgpu_ring *ring, struct drm_sched_job *suspect)
{
	drm_sched_stop(&ring->sched, suspect);
	fpgpu_ring_fail_all(ring, -ENODEV);
	fpgpu_ring_wait_on(ring);
}

/*
 * The device does not answer: its link was reset, and it is as after power-on. What of the jobs it
 * had done nobody knows, so they run again. If it is gone, they fail.
 */
static void fpgpu_reconnect(struct fpgpu_ring *ring, struct drm_sched_job *suspect)
{
	struct fpgpu_device *gpu = ring->gpu;
	struct pci_dev *pdev = to_pci_dev(gpu->drm.dev);
	unsigned int i;

	drm_err_ratelimited(&gpu->drm, "no answer, the device is set up again\n");
	for (i = 0; i < gpu->info.rings; i++) {
		struct fpgpu_ring *each = &gpu->ring[i];

		fpgpu_ring_retire(each);
		drm_sched_stop(&each->sched, each == ring ? suspect : NULL);
		each->error = 0;
		each->done = 0;
	}
	if (!pci_load_saved_state(pdev, gpu->saved))
		pci_restore_state(pdev);
	fpgpu_resume(gpu);
}

/*
 * Resets and restarts a ring that halted or hangs; @suspect is the oldest job, which drm_sched took
 * off its list. On gpu->recovery, between drm_dev_enter() and drm_dev_exit().
 */
void fpgpu_ring_recover(struct fpgpu_ring *ring, struct drm_sched_job *suspect)
{
	int error;

	if (!fpgpu_is_there(ring->gpu)) {
		drm_err_ratelimited(&ring->gpu->drm, "the device is gone\n");
		fpgpu_ring_give_up(ring, suspect);
		return;
	}
	if (readl(ring->gpu->regs + FPGPU_ID) == U32_MAX) {
		fpgpu_reconnect(ring, suspect);
		return;
	}
	/* Jobs that the device has done are not to be run again. */
	fpgpu_ring_retire(ring);
	fpgpu_ring_retire_done(ring);
	drm_sched_stop(&ring->sched, suspect);
	if (fpgpu_ring_is_idle(ring) || fpgpu_ring_waits(ring, to_fpgpu_job(suspect)) ||
	    (FENCEPOST_HAS(progress) && fpgpu_ring_progresses(ring, to_fpgpu_job(suspect)))) {
		fpgpu_ring_wait_on(ring);
		return;
	}
	error = fpgpu_ring_report(ring);
	fpgpu_dump(ring);
	fpgpu_ring_stop(ring);
	fpgpu_ring_retire(ring);
	fpgpu_ring_go_on(ring, error);
}

static void fpgpu_ring_pause(struct fpgpu_ring *ring)
{
	drm_sched_stop(&ring->sched, NULL);
	/* An error that nobody has looked at yet is still the oldest job's. */
	ring->error = 0;
	if (readl(ring->regs + FPGPU_RING_STATUS) & FPGPU_RING_STATUS_ERROR)
		ring->error = fpgpu_ring_report(ring);
	fpgpu_ring_stop(ring);
	fpgpu_ring_retire(ring);
}

struct fpgpu_pause_work {
	struct work_struct base;
	struct fpgpu_device *gpu;
};

static void fpgpu_pause_work(struct work_struct *work)
{
	struct fpgpu_device *gpu = container_of(work, struct fpgpu_pause_work, base)->gpu;
	unsigned int i;

	for (i = 0; i < gpu->info.rings; i++)
		fpgpu_ring_pause(&gpu->ring[i]);
	/* The last error's interrupt may have asked for a recovery, which would run behind us. */
	synchronize_irq(gpu->error_irq);
	for (i = 0; i < gpu->info.rings; i++)
		cancel_delayed_work(&gpu->ring[i].sched.work_tdr);
}

/*
 * Stops all rings and schedulers: no DMA and no register access by jobs until fpgpu_resume(). The
 * packet in execution has no effect on memory that running it again, which follows, does not make
 * anew. Not to be called while the driver unbinds.
 */
void fpgpu_pause(struct fpgpu_device *gpu)
{
	struct fpgpu_pause_work work = { .gpu = gpu };

	INIT_WORK_ONSTACK(&work.base, fpgpu_pause_work);
	queue_work(gpu->recovery, &work.base);
	flush_work(&work.base);
	destroy_work_on_stack(&work.base);
}

/* Resets the device, which may have lost all its state, and goes on with the jobs. */
int fpgpu_resume(struct fpgpu_device *gpu)
{
	int ret = fpgpu_check_device(gpu);
	unsigned int i;

	fpgpu_vms_start(gpu);
	for (i = 0; i < gpu->info.rings; i++) {
		int ring_ret = fpgpu_ring_go_on(&gpu->ring[i], gpu->ring[i].error);

		if (!ret)
			ret = ring_ret;
	}
	return ret;
}
