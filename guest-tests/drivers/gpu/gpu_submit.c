// SPDX-License-Identifier: GPL-2.0
/*
 * DRM_IOCTL_FENCEPOST_GPU_SUBMIT: a job, the fences it waits for, and the places its own fence goes
 * to.
 */
#include <linux/capability.h>
#include <linux/dma-fence-chain.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/sync_file.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_syncobj.h>

#include "gpu_drv.h"
#include "gpu_compat.h"

#define FPGPU_SUBMIT_FLAGS	(FENCEPOST_GPU_SUBMIT_FENCE_FD_IN | \
				 FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT | \
				 FENCEPOST_GPU_SUBMIT_NO_IMPLICIT | \
				 FENCEPOST_GPU_SUBMIT_LOW | FENCEPOST_GPU_SUBMIT_HIGH)

/* A syncobj that is to get the job's fence. */
struct fpgpu_out_sync {
	struct drm_syncobj *syncobj;
	/* NULL for a binary syncobj. */
	struct dma_fence_chain *chain;
	u64 point;
};

/* All that a submission holds until it is queued. */
struct fpgpu_submission {
	const struct drm_fencepost_gpu_submit *args;
	struct drm_file *file;
	struct fpgpu_job *job;
	struct fpgpu_out_sync *out;
	int fd;
};

static int fpgpu_submit_wait_fd(struct fpgpu_submission *sub)
{
	struct dma_fence *fence;

	if (!(sub->args->flags & FENCEPOST_GPU_SUBMIT_FENCE_FD_IN))
		return 0;
	fence = sync_file_get_fence(sub->args->fence_fd);
	if (!fence)
		return -EBADF;
	return fpgpu_wait_add(sub->job, fence, true);
}

static u64 fpgpu_submit_wait_flags(const struct drm_fencepost_gpu_sync *sync)
{
	return sync->flags & FENCEPOST_GPU_SYNC_WAIT_FOR_SUBMIT ?
	       DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT : 0;
}

static int fpgpu_submit_wait_syncs(struct fpgpu_submission *sub)
{
	struct drm_fencepost_gpu_sync *syncs;
	struct dma_fence *fence;
	int ret = 0;
	u32 i;

	if (!sub->args->in_sync_count)
		return 0;
	syncs = memdup_array_user(u64_to_user_ptr(sub->args->in_syncs), sub->args->in_sync_count,
				  sizeof(*syncs));
	if (IS_ERR(syncs))
		return PTR_ERR(syncs);
	for (i = 0; !ret && i < sub->args->in_sync_count; i++) {
		ret = syncs[i].flags & ~FENCEPOST_GPU_SYNC_WAIT_FOR_SUBMIT ? -EINVAL : 0;
		if (!ret)
			ret = drm_syncobj_find_fence(sub->file, syncs[i].handle, syncs[i].point,
						     fpgpu_submit_wait_flags(&syncs[i]), &fence);
		if (!ret)
			ret = fpgpu_wait_add(sub->job, fence, true);
	}
	kfree(syncs);
	return ret;
}

static int fpgpu_submit_find_sync(struct fpgpu_submission *sub, struct fpgpu_out_sync *out,
				  const struct drm_fencepost_gpu_sync *sync)
{
	if (sync->flags)
		return -EINVAL;
	out->point = sync->point;
	out->syncobj = drm_syncobj_find(sub->file, sync->handle);
	if (!out->syncobj)
		return -ENOENT;
	if (!sync->point)
		return 0;
	out->chain = dma_fence_chain_alloc();
	return out->chain ? 0 : -ENOMEM;
}

/* Everything that can fail about the out-fences, ahead of the job. */
static int fpgpu_submit_prepare_out(struct fpgpu_submission *sub)
{
	u32 i, count = sub->args->out_sync_count;
	struct drm_fencepost_gpu_sync *syncs;
	int ret = 0;

	if (sub->args->flags & FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT) {
		sub->fd = get_unused_fd_flags(O_CLOEXEC);
		if (sub->fd < 0)
			return sub->fd;
	}
	if (!count)
		return 0;
	syncs = memdup_array_user(u64_to_user_ptr(sub->args->out_syncs), count, sizeof(*syncs));
	if (IS_ERR(syncs))
		return PTR_ERR(syncs);
	sub->out = kcalloc(count, sizeof(*sub->out), GFP_KERNEL);
	if (!sub->out)
		ret = -ENOMEM;
	for (i = 0; !ret && i < count; i++)
		ret = fpgpu_submit_find_sync(sub, &sub->out[i], &syncs[i]);
	kfree(syncs);
	return ret;
}

/* A job that only overwrites what another reads has nothing of it. */
static int fpgpu_submit_wait_bo(struct fpgpu_job *job, struct dma_resv *resv, bool write)
{
	struct dma_resv_iter cursor;
	struct dma_fence *fence;
	int ret = 0;

	dma_resv_for_each_fence(&cursor, resv, dma_resv_usage_rw(write), fence)
		ret = ret ?: fpgpu_wait_add(job, dma_fence_get(fence),
					    dma_resv_iter_usage(&cursor) <= DMA_RESV_USAGE_WRITE);
	return ret;
}

/*
 * Room for a fence in each buffer, and what is there already as dependencies. The buffers are
 * locked.
 */
static int fpgpu_submit_implicit(struct fpgpu_submission *sub)
{
	struct fpgpu_job *job = sub->job;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < job->obj_count; i++) {
		ret = dma_resv_reserve_fences(job->objs[i]->resv, 1);
		if (!ret && !(sub->args->flags & FENCEPOST_GPU_SUBMIT_NO_IMPLICIT))
			ret = fpgpu_submit_wait_bo(job, job->objs[i]->resv, job->writes[i]);
	}
	return ret;
}

/* Queues the job, and returns its fence. Consumes the job, or leaves it alone on error. */
static struct dma_fence *fpgpu_submit_push(struct fpgpu_submission *sub)
{
	struct fpgpu_file *file_priv = sub->file->driver_priv;
	struct fpgpu_job *job = sub->job;
	struct ww_acquire_ctx ctx;
	struct dma_fence *fence;
	unsigned int i;
	int ret;

	ret = drm_gem_lock_reservations(job->objs, job->obj_count, &ctx);
	if (ret)
		return ERR_PTR(ret);
	ret = fpgpu_submit_implicit(sub);
	if (ret) {
		drm_gem_unlock_reservations(job->objs, job->obj_count, &ctx);
		return ERR_PTR(ret);
	}

	/* The waits, the commands, and the fence. */
	fpgpu_compat_job_size(&job->base, fpgpu_waits_most(job) + job->packet_count + 1);
	mutex_lock(&file_priv->lock);
	drm_sched_job_arm(&job->base);
	fence = dma_fence_get(&job->base.s_fence->finished);
	for (i = 0; i < job->obj_count; i++)
		dma_resv_add_fence(job->objs[i]->resv, fence, dma_resv_usage_rw(!job->writes[i]));
	drm_gem_unlock_reservations(job->objs, job->obj_count, &ctx);
	/* From here on the scheduler may free the job. */
	drm_sched_entity_push_job(&job->base);
	mutex_unlock(&file_priv->lock);
	return fence;
}

static int fpgpu_submit_publish(struct fpgpu_submission *sub, struct dma_fence *fence,
				s32 *fence_fd)
{
	struct sync_file *sync_file;
	u32 i;

	for (i = 0; i < sub->args->out_sync_count; i++) {
		struct fpgpu_out_sync *out = &sub->out[i];

		if (out->chain)
			drm_syncobj_add_point(out->syncobj, out->chain, fence, out->point);
		else
			drm_syncobj_replace_fence(out->syncobj, fence);
		out->chain = NULL;
	}
	if (sub->fd < 0)
		return 0;
	sync_file = sync_file_create(fence);
	if (!sync_file)
		return -ENOMEM;
	fd_install(sub->fd, sync_file->file);
	*fence_fd = sub->fd;
	sub->fd = -1;
	return 0;
}

static void fpgpu_submit_cleanup(struct fpgpu_submission *sub)
{
	u32 i;

	for (i = 0; sub->out && i < sub->args->out_sync_count; i++) {
		dma_fence_chain_free(sub->out[i].chain);
		if (sub->out[i].syncobj)
			drm_syncobj_put(sub->out[i].syncobj);
	}
	kfree(sub->out);
	if (sub->fd >= 0)
		put_unused_fd(sub->fd);
}

static int fpgpu_submit_job(struct fpgpu_submission *sub, s32 *fence_fd)
{
	struct dma_fence *fence;
	int ret;

	ret = fpgpu_submit_wait_fd(sub);
	if (!ret)
		ret = fpgpu_submit_wait_syncs(sub);
	if (!ret)
		ret = fpgpu_submit_prepare_out(sub);
	fence = ret ? ERR_PTR(ret) : fpgpu_submit_push(sub);
	if (IS_ERR(fence)) {
		drm_sched_job_cleanup(&sub->job->base);
		fpgpu_job_free(sub->job);
		ret = PTR_ERR(fence);
	} else {
		ret = fpgpu_submit_publish(sub, fence, fence_fd);
		dma_fence_put(fence);
	}
	fpgpu_submit_cleanup(sub);
	return ret;
}

static int fpgpu_submit_priority(u32 flags)
{
	switch (flags & (FENCEPOST_GPU_SUBMIT_LOW | FENCEPOST_GPU_SUBMIT_HIGH)) {
	case 0:
		return FPGPU_PRIORITY_NORMAL;
	case FENCEPOST_GPU_SUBMIT_LOW:
		return FPGPU_PRIORITY_LOW;
	case FENCEPOST_GPU_SUBMIT_HIGH:
		return capable(CAP_SYS_NICE) ? FPGPU_PRIORITY_HIGH : -EPERM;
	default:
		return -EINVAL;
	}
}

static struct fpgpu_job *fpgpu_submit_make_job(struct fpgpu_ring *ring, struct drm_file *file,
					       const struct drm_fencepost_gpu_submit *args)
{
	struct fpgpu_file *file_priv = file->driver_priv;
	struct drm_fencepost_gpu_command *commands;
	struct fpgpu_job *job = ERR_PTR(-ENODEV);
	int priority = fpgpu_submit_priority(args->flags);
	int idx, ret;

	if (priority < 0)
		return ERR_PTR(priority);
	commands = memdup_array_user(u64_to_user_ptr(args->commands), args->command_count,
				     sizeof(*commands));
	if (IS_ERR(commands))
		return ERR_CAST(commands);
	/* What is mapped for the job's sake is to be seen by fencepost_bos_unmap(). */
	if (drm_dev_enter(&ring->gpu->drm, &idx)) {
		job = fpgpu_job_create(ring, file, commands, args->command_count);
		drm_dev_exit(idx);
	}
	kfree(commands);
	if (IS_ERR(job))
		return job;
	ret = fpgpu_compat_job_init(&job->base, &file_priv->entity[ring->index][priority],
				    job->fence, file);
	if (ret) {
		fpgpu_job_free(job);
		return ERR_PTR(ret);
	}
	return job;
}

int fpgpu_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_submit *args = data;
	struct fpgpu_submission sub = { .args = args, .file = file, .fd = -1 };
	struct fpgpu_device *gpu = to_fpgpu(drm);

	if (args->ring >= gpu->info.rings || args->flags & ~FPGPU_SUBMIT_FLAGS)
		return -EINVAL;
	if (!args->command_count || args->command_count > FPGPU_MAX_COMMANDS ||
	    args->in_sync_count > FPGPU_MAX_SYNCS || args->out_sync_count > FPGPU_MAX_SYNCS)
		return -EINVAL;
	sub.job = fpgpu_submit_make_job(&gpu->ring[args->ring], file, args);
	if (IS_ERR(sub.job))
		return PTR_ERR(sub.job);
	return fpgpu_submit_job(&sub, &args->fence_fd);
}
