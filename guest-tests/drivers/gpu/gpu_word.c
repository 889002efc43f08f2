// SPDX-License-Identifier: GPL-2.0
/*
 * Words that fences are signalled by: the rings' for other devices, and other devices' for the rings. See
 * fencepost_word.h.
 */
#include <drm/drm_drv.h>

#include "gpu_drv.h"

/* Tells where the device writes that a job's fence is done, when the job is on its ring. */
int fpgpu_fence_word(struct dma_fence *fence, struct fencepost_word *word)
{
	struct drm_sched_fence *s_fence = to_drm_sched_fence(fence);
	struct fpgpu_fence *own;
	int ret, idx;

	/* It has not signalled, so its scheduler is there. */
	if (!s_fence || fence != &s_fence->finished || s_fence->sched->ops != &fpgpu_sched_ops)
		return -ENOENT;
	ret = dma_fence_wait(&s_fence->scheduled, true);
	if (ret)
		return ret;
	own = fpgpu_fence_of(fence);
	/* A job that never ran has signalled by now, or is about to. */
	if (!own->ring || !drm_dev_enter(&own->gpu->drm, &idx))
		return -ENODEV;
	*word = (struct fencepost_word) {
		.page = own->ring->words_page.page,
		.offset = offsetof(struct fpgpu_ring_words, fence),
		.value = own->base.seqno,
	};
	get_page(word->page);
	drm_dev_exit(idx);
	return 0;
}
EXPORT_SYMBOL_GPL(fpgpu_fence_word);

/* The other device's fence has signalled; its word is moved behind this. */
static void fpgpu_foreign_signalled(struct dma_fence *fence, struct dma_fence_cb *cb)
{
	struct fpgpu_foreign *foreign = container_of(cb, struct fpgpu_foreign, cb);

	if (fence->error)
		fpgpu_waits_fail(foreign->gpu);
}

/* Has a job wait for the word of another device's fence. An error: it has none, or there is no room. */
int fpgpu_foreign_add(struct fpgpu_job *job, struct dma_fence *fence)
{
	struct fpgpu_device *gpu = job->ring->gpu;
	struct fpgpu_foreign *foreign = &job->waits.foreign[job->waits.foreign_count];
	int ret;

	if (job->waits.foreign_count == FPGPU_MAX_FOREIGN)
		return -ENOSPC;
	ret = fencepost_ask(fpcam_fence_word, fence, &foreign->word);
	if (ret)
		return ret;
	ret = fencepost_words_map(&gpu->words, &foreign->word, &foreign->at);
	if (ret) {
		put_page(foreign->word.page);
		return ret;
	}
	foreign->gpu = gpu;
	foreign->fence = dma_fence_get(fence);
	/* If it has signalled meanwhile its word is there, or its error is. */
	INIT_LIST_HEAD(&foreign->cb.node);
	dma_fence_add_callback(fence, &foreign->cb, fpgpu_foreign_signalled);
	job->waits.foreign_count++;
	return 0;
}

void fpgpu_foreign_free(struct fpgpu_foreign *foreign)
{
	dma_fence_remove_callback(foreign->fence, &foreign->cb);
	dma_fence_put(foreign->fence);
	put_page(foreign->word.page);
}
