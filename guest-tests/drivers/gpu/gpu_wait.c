// SPDX-License-Identifier: GPL-2.0
/*
 * What a job waits for. Fences of this device's other jobs are the device's business: when such a job
 * is on its ring, the one that waits for it is given to its own, behind a packet that waits for the
 * number that the other's fence writes. No CPU is woken between the two.
 *
 * A job waits only for what was on a ring before it, so there is no circle of waits. Fences of other
 * devices are the scheduler's, if they have no word: gpu_word.c.
 *
 * The numbers are of 64 bits and never begin anew, so "at least" needs no care for wrapping.
 */
#include <linux/dma-fence-unwrap.h>
#include <linux/slab.h>

#include <fencepost_recovery.h>

#include "gpu_drv.h"

/* The ring whose scheduler @fence is the job's fence of, or NULL. */
static struct fpgpu_ring *fpgpu_ring_of(struct fpgpu_device *gpu, struct dma_fence *fence)
{
	struct drm_sched_fence *s_fence = to_drm_sched_fence(fence);
	unsigned int i;

	for (i = 0; s_fence && fence == &s_fence->finished && i < gpu->info.rings; i++)
		if (s_fence->sched == &gpu->ring[i].sched)
			return &gpu->ring[i];
	return NULL;
}

/* The device's own fence. The scheduler's holds it: see fpgpu_sched_free_job(). */
struct fpgpu_fence *fpgpu_fence_of(struct dma_fence *fence)
{
	return to_drm_sched_fence(fence)->owner;
}

static int fpgpu_wait_remember(struct fpgpu_waits *waits, struct dma_fence *fence, bool inherits)
{
	struct fpgpu_wait *list;
	unsigned int i;

	for (i = 0; i < waits->count; i++) {
		if (waits->list[i].fence == fence) {
			waits->list[i].inherits |= inherits;
			return 0;
		}
	}
	if (waits->count == waits->room) {
		unsigned int room = 2 * waits->room + 4;

		list = krealloc_array(waits->list, room, sizeof(*list), GFP_KERNEL);
		if (!list)
			return -ENOMEM;
		waits->list = list;
		waits->room = room;
	}
	waits->list[waits->count++] = (struct fpgpu_wait) { dma_fence_get(fence), inherits };
	return 0;
}

static int fpgpu_wait_add_one(struct fpgpu_job *job, struct dma_fence *fence, bool inherits)
{
	struct fpgpu_ring *ring = fpgpu_ring_of(job->ring->gpu, fence);
	int ret;

	if (dma_fence_is_signaled(fence))
		return 0;
	if (!FENCEPOST_HAS(waits) || (!ring && fpgpu_foreign_add(job, fence)))
		return drm_sched_job_add_dependency(&job->base, dma_fence_get(fence));
	if (!ring)
		return 0;
	ret = fpgpu_wait_remember(&job->waits, fence, inherits);
	if (ret)
		return ret;
	if (ring != job->ring)
		job->waits.rings |= BIT(ring->index);
	/* Until it is on its ring, or never will be. */
	return drm_sched_job_add_dependency(&job->base,
					    dma_fence_get(&to_drm_sched_fence(fence)->scheduled));
}

/*
 * Has a job that is not armed wait for a fence, whose reference it takes. It @inherits errors of its
 * own file's jobs.
 */
int fpgpu_wait_add(struct fpgpu_job *job, struct dma_fence *fence, bool inherits)
{
	struct dma_fence_unwrap iter;
	struct dma_fence *each;
	int ret = 0;

	dma_fence_unwrap_for_each(each, &iter, fence)
		ret = ret ?: fpgpu_wait_add_one(job, each, inherits);
	dma_fence_put(fence);
	return ret;
}

/* How many packets fpgpu_waits_begin() makes at most. */
unsigned int fpgpu_waits_most(const struct fpgpu_job *job)
{
	return hweight32(job->waits.rings) + job->waits.foreign_count;
}

static void fpgpu_wait_for(struct fpgpu_waits *waits, dma_addr_t at, u64 value)
{
	waits->packets[waits->packet_count++] = (struct fpgpu_packet) {
		.opcode = cpu_to_le32(FPGPU_OPCODE_SEM_WAIT),
		.flags = cpu_to_le32(FPGPU_WAIT_PATIENT),
		.value = cpu_to_le64(value),
		.address = cpu_to_le64(at),
	};
}

/* Makes the packets, when all that the job waits for is on its ring. */
void fpgpu_waits_begin(struct fpgpu_job *job)
{
	struct fpgpu_device *gpu = job->ring->gpu;
	struct fpgpu_waits *waits = &job->waits;
	u64 last[FPGPU_MAX_RINGS] = {};
	unsigned int i;

	for (i = 0; i < waits->count; i++) {
		struct dma_fence *finished = waits->list[i].fence;
		struct fpgpu_fence *fence = fpgpu_fence_of(finished);

		/* One whose job never ran has no number. */
		if (!fence->ring || fence->ring == job->ring || dma_fence_is_signaled(finished))
			continue;
		last[fence->ring->index] = max(last[fence->ring->index], fence->base.seqno);
	}
	for (i = 0; i < gpu->info.rings; i++)
		if (last[i])
			fpgpu_wait_for(waits, gpu->ring[i].words_page.dma +
				       offsetof(struct fpgpu_ring_words, fence), last[i]);
	for (i = 0; i < waits->foreign_count; i++)
		fpgpu_wait_for(waits, waits->foreign[i].at, waits->foreign[i].word.value);
}

/*
 * What a job of the same file, or another device, failed with that @job waits for. What another file's job left is the
 * business of who shares buffers with it: a client cannot have another's jobs fail.
 */
int fpgpu_waits_error(const struct fpgpu_job *job)
{
	unsigned int i;

	for (i = 0; i < job->waits.count; i++) {
		const struct fpgpu_wait *wait = &job->waits.list[i];
		struct fpgpu_fence *fence = fpgpu_fence_of(wait->fence);
		int error = READ_ONCE(fence->error);

		if (error && wait->inherits && fence->owner == job->fence->owner)
			return error;
	}
	for (i = 0; i < job->waits.foreign_count; i++) {
		int status = dma_fence_get_status_locked(job->waits.foreign[i].fence);

		if (status < 0)
			return status;
	}
	return 0;
}

/* Gives the error of jobs that failed to those on the rings that wait for them, and so on. */
void fpgpu_waits_fail(struct fpgpu_device *gpu)
{
	bool more = true;
	unsigned int i;

	while (more) {
		more = false;
		for (i = 0; i < gpu->info.rings; i++)
			more |= fpgpu_ring_inherit(&gpu->ring[i]);
	}
}

void fpgpu_waits_free(struct fpgpu_job *job)
{
	while (job->waits.foreign_count)
		fpgpu_foreign_free(&job->waits.foreign[--job->waits.foreign_count]);
	while (job->waits.count)
		dma_fence_put(job->waits.list[--job->waits.count].fence);
	kfree(job->waits.list);
}
