// SPDX-License-Identifier: GPL-2.0
/*
 * DRM_IOCTL_FENCEPOST_GPU_SUBMIT: a job, the fences it waits for, and the places its own fence goes to.
 */
#include <linux/dma-fence-chain.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/slab.h>
#include <linux/sync_file.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_syncobj.h>

#include "gpu.h"
#include "gpu_compat.h"

#define GPU_SUBMIT_FLAGS	(FENCEPOST_GPU_SUBMIT_FENCE_FD_IN | \
				 FENCEPOST_GPU_SUBMIT_FENCE_FD_OUT | \
				 FENCEPOST_GPU_SUBMIT_NO_IMPLICIT)

/* A syncobj that is to get the job's fence. */
struct gpu_out_sync {
	struct drm_syncobj *syncobj;
	/* NULL for a binary syncobj. */
	struct dma_fence_chain *chain;
	u64 point;
};

/* All that a submission holds until it is queued. */
struct gpu_submission {
	const struct drm_fencepost_gpu_submit *args;
	struct drm_file *file;
	struct gpu_job *job;
	struct gpu_out_sync *out;
	int fd;
};

static int gpu_submit_wait_fd(struct gpu_submission *sub)
{
	struct dma_fence *fence;

	if (!(sub->args->flags & FENCEPOST_GPU_SUBMIT_FENCE_FD_IN))
		return 0;
	fence = sync_file_get_fence(sub->args->fence_fd);
	if (!fence)
		return -EBADF;
	return drm_sched_job_add_dependency(&sub->job->base, fence);
}

static int gpu_submit_wait_syncs(struct gpu_submission *sub)
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
		ret = syncs[i].pad ? -EINVAL : 0;
		if (!ret)
			ret = drm_syncobj_find_fence(sub->file, syncs[i].handle, syncs[i].point, 0,
						     &fence);
		if (!ret)
			ret = drm_sched_job_add_dependency(&sub->job->base, fence);
	}
	kfree(syncs);
	return ret;
}

static int gpu_submit_find_sync(struct gpu_submission *sub, struct gpu_out_sync *out,
				const struct drm_fencepost_gpu_sync *sync)
{
	if (sync->pad)
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
static int gpu_submit_prepare_out(struct gpu_submission *sub)
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
		ret = gpu_submit_find_sync(sub, &sub->out[i], &syncs[i]);
	kfree(syncs);
	return ret;
}

/* Room for a fence in each buffer, and what is there already as dependencies. The buffers are locked. */
static int gpu_submit_implicit(struct gpu_submission *sub)
{
	struct gpu_job *job = sub->job;
	unsigned int i;
	int ret = 0;

	for (i = 0; !ret && i < job->obj_count; i++) {
		ret = dma_resv_reserve_fences(job->objs[i]->resv, 1);
		if (!ret && !(sub->args->flags & FENCEPOST_GPU_SUBMIT_NO_IMPLICIT))
			ret = drm_sched_job_add_implicit_dependencies(&job->base, job->objs[i],
								      job->writes[i]);
	}
	return ret;
}

/* Queues the job, and returns its fence. Consumes the job, or leaves it alone on error. */
static struct dma_fence *gpu_submit_push(struct gpu_submission *sub)
{
	struct gpu_file *gpu_file = sub->file->driver_priv;
	struct gpu_job *job = sub->job;
	struct ww_acquire_ctx ctx;
	struct dma_fence *fence;
	unsigned int i;
	int ret;

	ret = drm_gem_lock_reservations(job->objs, job->obj_count, &ctx);
	if (ret)
		return ERR_PTR(ret);
	ret = gpu_submit_implicit(sub);
	if (ret) {
		drm_gem_unlock_reservations(job->objs, job->obj_count, &ctx);
		return ERR_PTR(ret);
	}

	mutex_lock(&gpu_file->lock);
	drm_sched_job_arm(&job->base);
	fence = dma_fence_get(&job->base.s_fence->finished);
	for (i = 0; i < job->obj_count; i++)
		dma_resv_add_fence(job->objs[i]->resv, fence, dma_resv_usage_rw(!job->writes[i]));
	drm_gem_unlock_reservations(job->objs, job->obj_count, &ctx);
	/* From here on the scheduler may free the job. */
	drm_sched_entity_push_job(&job->base);
	mutex_unlock(&gpu_file->lock);
	return fence;
}

static int gpu_submit_publish(struct gpu_submission *sub, struct dma_fence *fence, s32 *fence_fd)
{
	struct sync_file *sync_file;
	u32 i;

	for (i = 0; i < sub->args->out_sync_count; i++) {
		struct gpu_out_sync *out = &sub->out[i];

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

static void gpu_submit_cleanup(struct gpu_submission *sub)
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

static int gpu_submit_job(struct gpu_submission *sub, s32 *fence_fd)
{
	struct dma_fence *fence;
	int ret;

	ret = gpu_submit_wait_fd(sub);
	if (!ret)
		ret = gpu_submit_wait_syncs(sub);
	if (!ret)
		ret = gpu_submit_prepare_out(sub);
	fence = ret ? ERR_PTR(ret) : gpu_submit_push(sub);
	if (IS_ERR(fence)) {
		drm_sched_job_cleanup(&sub->job->base);
		gpu_job_free(sub->job);
		ret = PTR_ERR(fence);
	} else {
		ret = gpu_submit_publish(sub, fence, fence_fd);
		dma_fence_put(fence);
	}
	gpu_submit_cleanup(sub);
	return ret;
}

static struct gpu_job *gpu_submit_make_job(struct gpu_ring *ring, struct drm_file *file,
					   const struct drm_fencepost_gpu_submit *args)
{
	struct gpu_file *gpu_file = file->driver_priv;
	struct drm_fencepost_gpu_command *commands;
	struct gpu_job *job = ERR_PTR(-ENODEV);
	int idx, ret;

	commands = memdup_array_user(u64_to_user_ptr(args->commands), args->command_count,
				     sizeof(*commands));
	if (IS_ERR(commands))
		return ERR_CAST(commands);
	/* What is mapped for the job's sake is to be seen by fencepost_bos_unmap(). */
	if (drm_dev_enter(&ring->gpu->drm, &idx)) {
		job = gpu_job_create(ring, file, commands, args->command_count);
		drm_dev_exit(idx);
	}
	kfree(commands);
	if (IS_ERR(job))
		return job;
	/* A credit is a packet: one for each command, and the fence. */
	ret = gpu_compat_job_init(&job->base, &gpu_file->entity[ring->index],
				  args->command_count + 1, file);
	if (ret) {
		gpu_job_free(job);
		return ERR_PTR(ret);
	}
	return job;
}

int gpu_ioctl_submit(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_submit *args = data;
	struct gpu_submission sub = { .args = args, .file = file, .fd = -1 };
	struct gpu_device *gpu = to_gpu(drm);

	if (args->ring >= gpu->info.rings || args->flags & ~GPU_SUBMIT_FLAGS)
		return -EINVAL;
	if (!args->command_count || args->command_count > GPU_MAX_COMMANDS ||
	    args->in_sync_count > GPU_MAX_SYNCS || args->out_sync_count > GPU_MAX_SYNCS)
		return -EINVAL;
	sub.job = gpu_submit_make_job(&gpu->ring[args->ring], file, args);
	if (IS_ERR(sub.job))
		return PTR_ERR(sub.job);
	return gpu_submit_job(&sub, &args->fence_fd);
}
