// SPDX-License-Identifier: GPL-2.0
/*
 * The device's fences, and how long what they need is kept.
 *
 * A fence may be held (by a sync_file, a syncobj, a buffer's reservation) when its file is closed,
 * its device unbound or unplugged. What is handed out is the scheduler's fence, whose operations
 * are in gpu_sched.ko and whose name is in the scheduler, which is in our struct fpgpu_device. It
 * holds one of ours as its parent, until it is freed itself. So it is ours that hold the structure,
 * for the name, and this module, for their own operations and because it holds gpu_sched.ko: rmmod
 * says that the module is in use until the last fence is gone.
 *
 * A fence's last reference may be dropped from an interrupt, where a DRM device cannot be freed: a
 * worker does that.
 */
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>

#include "gpu_drv.h"

static struct workqueue_struct *fpgpu_free_wq;

static void fpgpu_free_work(struct work_struct *work)
{
	struct fpgpu_device *gpu = container_of(work, struct fpgpu_device, free);

	drm_dev_put(&gpu->drm);
}

static void fpgpu_users_gone(struct kref *users)
{
	struct fpgpu_device *gpu = container_of(users, struct fpgpu_device, users);

	queue_work(fpgpu_free_wq, &gpu->free);
}

static void fpgpu_user_put(void *data)
{
	struct fpgpu_device *gpu = data;

	kref_put(&gpu->users, fpgpu_users_gone);
}

/* The driver's binding is the first user. */
int fpgpu_users_init(struct fpgpu_device *gpu)
{
	kref_init(&gpu->users);
	INIT_WORK(&gpu->free, fpgpu_free_work);
	drm_dev_get(&gpu->drm);
	return devm_add_action_or_reset(gpu->drm.dev, fpgpu_user_put, gpu);
}

int fpgpu_fences_init(void)
{
	fpgpu_free_wq = alloc_workqueue("fpgpu-free", WQ_UNBOUND, 0);
	return fpgpu_free_wq ? 0 : -ENOMEM;
}

/* When the driver is unregistered and no fence is left. */
void fpgpu_fences_exit(void)
{
	destroy_workqueue(fpgpu_free_wq);
	/*
	 * Who released the last fence, and so the module, may still be on the way out of
	 * fpgpu_fence_release().
	 */
	synchronize_rcu_tasks();
}

static struct fpgpu_fence *to_gpu_fence(struct dma_fence *fence)
{
	return container_of(fence, struct fpgpu_fence, base);
}

static const char *fpgpu_fence_driver_name(struct dma_fence *fence)
{
	return FENCEPOST_GPU_DRIVER_NAME;
}

static const char *fpgpu_fence_timeline_name(struct dma_fence *fence)
{
	/* A trace finds the ring's contexts by this name. */
	return to_gpu_fence(fence)->finished ? "ring" : "never ran";
}

static void fpgpu_fence_release(struct dma_fence *base)
{
	struct fpgpu_fence *fence = to_gpu_fence(base);
	struct fpgpu_device *gpu = fence->gpu;

	kfree_rcu(fence, base.rcu);
	fpgpu_user_put(gpu);
	module_put(THIS_MODULE);
}

static const struct dma_fence_ops fpgpu_fence_ops = {
	.use_64bit_seqno = true,
	.get_driver_name = fpgpu_fence_driver_name,
	.get_timeline_name = fpgpu_fence_timeline_name,
	.release = fpgpu_fence_release,
};

/* A fence for a job, not begun; called from an ioctl, whose file holds the module. */
struct fpgpu_fence *fpgpu_fence_alloc(struct fpgpu_device *gpu, u64 owner)
{
	struct fpgpu_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);

	if (!fence)
		return NULL;
	fence->gpu = gpu;
	fence->owner = owner;
	spin_lock_init(&fence->lock);
	INIT_LIST_HEAD(&fence->link);
	kref_get(&gpu->users);
	__module_get(THIS_MODULE);
	return fence;
}

/* Drops a reference to a fence, begun or not. */
void fpgpu_fence_put(struct fpgpu_fence *fence)
{
	if (fence->base.ops)
		dma_fence_put(&fence->base);
	else
		fpgpu_fence_release(&fence->base);
}

/* Makes @fence the next of @ring, on behalf of @finished, the scheduler's fence. */
void fpgpu_fence_begin(struct fpgpu_ring *ring, struct fpgpu_fence *fence,
		       struct dma_fence *finished)
{
	fence->finished = finished;
	fence->ring = ring;
	dma_fence_init(&fence->base, &fpgpu_fence_ops, &fence->lock, ring->fence_context,
		       ++ring->last_seqno);
}

/*
 * Begins the fence of a job that never ran, as the last of a timeline of its own; it has signalled.
 */
void fpgpu_fence_abandon(struct fpgpu_fence *fence)
{
	dma_fence_init(&fence->base, &fpgpu_fence_ops, &fence->lock, dma_fence_context_alloc(1), 1);
	dma_fence_set_error(&fence->base, -ECANCELED);
	dma_fence_signal(&fence->base);
}

/*
 * Signals @fence. The scheduler's fence, which follows, is to say the same; not every kernel passes
 * an error on.
 */
void fpgpu_fence_signal(struct fpgpu_fence *fence, int error)
{
	if (error) {
		dma_fence_set_error(fence->finished, error);
		dma_fence_set_error(&fence->base, error);
	}
	dma_fence_signal(&fence->base);
}
