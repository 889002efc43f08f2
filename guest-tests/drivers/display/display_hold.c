// SPDX-License-Identifier: GPL-2.0
/* What outlives the device: see display_hold.h. */

#include <linux/atomic.h>
#include <linux/dma-fence.h>
#include <linux/module.h>
#include <linux/rcupdate.h>
#include <linux/slab.h>
#include <linux/wait_bit.h>

#include <drm/drm_atomic.h>
#include <drm/drm_drv.h>
#include <drm/drm_managed.h>
#include <drm/drm_vblank.h>
#include <drm/drm_writeback.h>

#include "display_drv.h"
#include "display_hold.h"

struct fpdisp_hold {
	struct drm_device *drm;
	struct rcu_head rcu;
	struct work_struct end;
	/* Of an out-fence: the name of whose it is, and what the fence calls. */
	const char *timeline;
	struct dma_fence_ops ops;
};

/* Where references end: the last one frees the device, which sleeps. */
static struct workqueue_struct *fpdisp_hold_wq;
/* Devices that are not freed. */
static atomic_t fpdisp_devices = ATOMIC_INIT(0);

static void fpdisp_hold_end(struct work_struct *work)
{
	struct fpdisp_hold *hold = container_of(work, struct fpdisp_hold, end);
	struct drm_device *drm = hold->drm;

	kfree(hold);
	/*
	 * Not the other way round: fpdisp_hold_exit() waits for the device, and for this function.
	 */
	module_put(THIS_MODULE);
	drm_dev_put(drm);
}

struct fpdisp_hold *fpdisp_hold_start(struct drm_device *drm)
{
	struct fpdisp_hold *hold = kzalloc(sizeof(*hold), GFP_KERNEL);

	if (!hold)
		return NULL;
	hold->drm = drm;
	INIT_WORK(&hold->end, fpdisp_hold_end);
	/* The caller came through a file, which has a reference to the module. */
	__module_get(THIS_MODULE);
	drm_dev_get(drm);
	return hold;
}

static void fpdisp_hold_queue_end(struct rcu_head *rcu)
{
	struct fpdisp_hold *hold = container_of(rcu, struct fpdisp_hold, rcu);

	queue_work(fpdisp_hold_wq, &hold->end);
}

/*
 * Ends a reference when whoever called us has slept or returned to user space: closing the CRC file uses the CRTC once more after
 * it has called us, and what ends a job returns into us.
 */
void fpdisp_hold_end_later(struct fpdisp_hold *hold)
{
	call_rcu_tasks(&hold->rcu, fpdisp_hold_queue_end);
}

static struct fpdisp_hold *fpdisp_hold_of(struct dma_fence *fence)
{
	return container_of(fence->ops, struct fpdisp_hold, ops);
}

static const char *fpdisp_fence_driver_name(struct dma_fence *fence)
{
	return FENCEPOST_DISPLAY_DRIVER_NAME;
}

static const char *fpdisp_fence_timeline_name(struct dma_fence *fence)
{
	return fpdisp_hold_of(fence)->timeline;
}

/* Whoever looks at the fence under RCU may still look at its lock, which is in the device. */
static void fpdisp_fence_release(struct dma_fence *fence)
{
	struct fpdisp_hold *hold = fpdisp_hold_of(fence);

	dma_fence_free(fence);
	call_rcu(&hold->rcu, fpdisp_hold_queue_end);
}

/* Gives a fence functions of our own, which do the same as its own and end a reference with it. */
static int fpdisp_hold_for_fence(struct drm_device *drm, struct dma_fence *fence, const char *timeline)
{
	struct fpdisp_hold *hold;

	if (!fence)
		return 0;
	hold = fpdisp_hold_start(drm);
	if (!hold)
		return -ENOMEM;
	hold->timeline = timeline;
	hold->ops.get_driver_name = fpdisp_fence_driver_name;
	hold->ops.get_timeline_name = fpdisp_fence_timeline_name;
	hold->ops.release = fpdisp_fence_release;
	fence->ops = &hold->ops;
	return 0;
}

static int fpdisp_hold_for_job(struct drm_connector_state *state)
{
	struct drm_writeback_job *job = state->writeback_job;

	if (!job)
		return 0;
	return fpdisp_hold_for_fence(job->connector->base.dev, job->out_fence, job->connector->timeline_name);
}

/*
 * DRM's core makes a commit's out-fences, and they refer to the CRTC or the write-back connector without a reference to it
 * (drm_crtc_create_fence, drm_writeback_get_out_fence). Nobody but the committer has seen them here, so that they can still be
 * changed.
 */
int fpdisp_hold_for_fences(struct drm_atomic_state *state)
{
	struct drm_connector_state *connector_state;
	struct drm_connector *connector;
	struct drm_crtc_state *crtc_state;
	struct drm_crtc *crtc;
	int i, ret = 0;

	for_each_new_crtc_in_state(state, crtc, crtc_state, i) {
		if (!ret && crtc_state->event)
			ret = fpdisp_hold_for_fence(crtc->dev, crtc_state->event->base.fence, crtc->timeline_name);
	}
	for_each_new_connector_in_state(state, connector, connector_state, i) {
		if (!ret)
			ret = fpdisp_hold_for_job(connector_state);
	}
	return ret;
}

static void fpdisp_device_freed(struct drm_device *drm, void *unused)
{
	if (atomic_dec_and_test(&fpdisp_devices))
		wake_up_var(&fpdisp_devices);
}

/* Has the module stay until the device is freed; before anything else is managed by it. */
int fpdisp_hold_count(struct drm_device *drm)
{
	atomic_inc(&fpdisp_devices);
	return drmm_add_action_or_reset(drm, fpdisp_device_freed, NULL);
}

int fpdisp_hold_init(void)
{
	fpdisp_hold_wq = alloc_workqueue("fpdisp-hold", 0, 0);
	return fpdisp_hold_wq ? 0 : -ENOMEM;
}

/*
 * After the driver is gone. Nobody has a reference to the module, so what keeps a device is the
 * last commit's clean-up, which needs nothing from user space and uses our code to its end.
 */
void fpdisp_hold_exit(void)
{
	wait_var_event(&fpdisp_devices, !atomic_read(&fpdisp_devices));
	/* What queued the last work may not have returned. A kernel without RCU for tasks calls back by RCU alone. */
	rcu_barrier();
	if (IS_ENABLED(CONFIG_TASKS_RCU))
		rcu_barrier_tasks();
	destroy_workqueue(fpdisp_hold_wq);
	synchronize_rcu_tasks();
}
