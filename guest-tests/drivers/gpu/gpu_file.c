// SPDX-License-Identifier: GPL-2.0
/*
 * Open files: an address space, and a scheduler's entity for each ring and priority.
 */
#include <linux/slab.h>

#include <drm/drm_file.h>

#include "gpu_drv.h"
#include "gpu_compat.h"

static void fpgpu_file_release(struct kref *refs)
{
	struct fpgpu_file *file_priv = container_of(refs, struct fpgpu_file, refs);

	fpgpu_vm_fini(&file_priv->vm);
	mutex_destroy(&file_priv->lock);
	kfree(file_priv);
}

void fpgpu_file_put(struct fpgpu_file *file_priv)
{
	kref_put(&file_priv->refs, fpgpu_file_release);
}

static struct drm_sched_entity *fpgpu_file_entity(struct fpgpu_file *file_priv, unsigned int number)
{
	return &file_priv->entity[number / FPGPU_PRIORITIES][number % FPGPU_PRIORITIES];
}

/* Its jobs may outlive the file. */
static void fpgpu_file_close(struct fpgpu_file *file_priv, unsigned int entities)
{
	WRITE_ONCE(file_priv->closed, true);
	while (entities--)
		drm_sched_entity_destroy(fpgpu_file_entity(file_priv, entities));
	fpgpu_file_put(file_priv);
}

int fpgpu_open(struct drm_device *drm, struct drm_file *file)
{
	static const enum drm_sched_priority priorities[FPGPU_PRIORITIES] = {
		[FPGPU_PRIORITY_LOW] = FPGPU_COMPAT_PRIORITY_LOW,
		[FPGPU_PRIORITY_NORMAL] = DRM_SCHED_PRIORITY_NORMAL,
		[FPGPU_PRIORITY_HIGH] = DRM_SCHED_PRIORITY_HIGH,
	};
	static atomic64_t files;
	struct fpgpu_device *gpu = to_fpgpu(drm);
	struct fpgpu_file *file_priv = kzalloc(sizeof(*file_priv), GFP_KERNEL);
	unsigned int i;
	int ret;

	if (!file_priv)
		return -ENOMEM;
	ret = fpgpu_vm_init(&file_priv->vm, gpu);
	if (ret) {
		kfree(file_priv);
		return ret;
	}
	file_priv->number = atomic64_inc_return(&files);
	kref_init(&file_priv->refs);
	mutex_init(&file_priv->lock);
	for (i = 0; i < gpu->info.rings * FPGPU_PRIORITIES; i++) {
		struct drm_gpu_scheduler *sched = &gpu->ring[i / FPGPU_PRIORITIES].sched;

		ret = drm_sched_entity_init(fpgpu_file_entity(file_priv, i),
					    priorities[i % FPGPU_PRIORITIES], &sched, 1, NULL);
		if (ret) {
			fpgpu_file_close(file_priv, i);
			return ret;
		}
	}
	file->driver_priv = file_priv;
	return 0;
}

void fpgpu_postclose(struct drm_device *drm, struct drm_file *file)
{
	fpgpu_file_close(file->driver_priv, to_fpgpu(drm)->info.rings * FPGPU_PRIORITIES);
}
