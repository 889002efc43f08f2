// SPDX-License-Identifier: GPL-2.0
/*
 * Buffer objects: shmem pages or an imported dma-buf (fencepost_bo.h), which the device sees in the
 * address spaces of the files that have handles of it.
 */
#include <linux/pagemap.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_utils.h>

#include <fencepost_recovery.h>

#include "gpu_drv.h"

static int fpgpu_bo_open(struct drm_gem_object *obj, struct drm_file *file)
{
	struct fpgpu_file *file_priv = file->driver_priv;

	return PTR_ERR_OR_ZERO(fpgpu_bind(&file_priv->vm, obj));
}

static void fpgpu_bo_close(struct drm_gem_object *obj, struct drm_file *file)
{
	struct fpgpu_file *file_priv = file->driver_priv;

	fpgpu_unbind_object(&file_priv->vm, obj);
}

/* A handle holds the buffer's place in its file's address space. */
static const struct drm_gem_object_funcs fpgpu_bo_funcs = {
	FENCEPOST_BO_FUNCS,
	.open = fpgpu_bo_open,
	.close = fpgpu_bo_close,
};

struct drm_gem_object *fpgpu_bo_alloc(struct drm_device *drm, size_t size)
{
	struct fpgpu_bo *bo = kzalloc(sizeof(*bo), GFP_KERNEL);

	/* fencepost_bo_free() frees it by its first member. */
	BUILD_BUG_ON(offsetof(struct fpgpu_bo, base) != 0);
	if (!bo)
		return ERR_PTR(-ENOMEM);
	return fencepost_bo_init(&bo->base, &to_fpgpu(drm)->bos, &fpgpu_bo_funcs);
}

int fpgpu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_bo_create *args = data;
	struct fpgpu_file *file_priv = file->driver_priv;
	struct drm_gem_shmem_object *shmem;
	int ret;

	if (args->flags & ~FENCEPOST_GPU_BO_READ_ONLY || !args->size || args->size > FPGPU_MAX_BO_BYTES)
		return -EINVAL;
	args->size = PAGE_ALIGN(args->size);
	shmem = drm_gem_shmem_create(drm, args->size);
	if (IS_ERR(shmem))
		return PTR_ERR(shmem);
	to_fpgpu_bo(&shmem->base)->read_only = args->flags & FENCEPOST_GPU_BO_READ_ONLY;
	if (!FENCEPOST_HAS(reclaim))
		mapping_set_gfp_mask(shmem->base.filp->f_mapping,
				     (GFP_HIGHUSER & ~__GFP_RECLAIM) | __GFP_NOWARN);
	mutex_lock(&file_priv->lock);
	if (fpgpu_file_memory(file).total + args->size > FPGPU_MAX_FILE_BYTES)
		ret = -EDQUOT;
	else
		ret = drm_gem_handle_create(file, &shmem->base, &args->handle);
	mutex_unlock(&file_priv->lock);
	drm_gem_object_put(&shmem->base);
	return ret;
}

int fpgpu_ioctl_bo_offset(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_bo_offset *args = data;

	if (args->pad)
		return -EINVAL;
	/* Refuses imported buffers with -EINVAL, and makes the offset when there is none yet. */
	return drm_gem_dumb_map_offset(file, drm, args->handle, &args->offset);
}

int fpgpu_ioctl_bo_address(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_bo_address *args = data;
	struct fpgpu_file *file_priv = file->driver_priv;
	struct fpgpu_binding *binding;
	struct drm_gem_object *obj;
	int idx, ret = -ENODEV;

	if (args->pad)
		return -EINVAL;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	binding = fpgpu_bind(&file_priv->vm, obj);
	if (IS_ERR(binding)) {
		ret = PTR_ERR(binding);
	} else {
		if (drm_dev_enter(drm, &idx)) {
			ret = fpgpu_binding_map(binding);
			drm_dev_exit(idx);
		}
		args->address = binding->node.start;
		fpgpu_unbind(binding);
	}
	drm_gem_object_put(obj);
	return ret;
}

int fpgpu_ioctl_bo_wait(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_bo_wait *args = data;
	unsigned long timeout = drm_timeout_abs_to_jiffies(args->timeout_ns);
	struct drm_gem_object *obj;
	long ret;

	if (args->flags & ~FENCEPOST_GPU_BO_WAIT_WRITE)
		return -EINVAL;
	obj = drm_gem_object_lookup(file, args->handle);
	if (!obj)
		return -ENOENT;
	ret = dma_resv_wait_timeout(obj->resv,
				    dma_resv_usage_rw(args->flags & FENCEPOST_GPU_BO_WAIT_WRITE),
				    true, timeout);
	drm_gem_object_put(obj);
	if (ret < 0)
		return ret;
	return ret ? 0 : -ETIME;
}
