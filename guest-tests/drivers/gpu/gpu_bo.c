// SPDX-License-Identifier: GPL-2.0
/*
 * Buffer objects: shmem pages or an imported dma-buf, which the device sees through a list
 * (fencepost_bo.h).
 */
#include <linux/pagemap.h>
#include <linux/scatterlist.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_utils.h>

#include <fencepost_recovery.h>

#include "gpu_drv.h"

struct drm_gem_object *fpgpu_bo_alloc(struct drm_device *drm, size_t size)
{
	return fencepost_bo_alloc(&to_fpgpu(drm)->bos);
}

/* The I/O virtual address of the aligned 64-bit word at @offset of a prepared buffer. */
int fpgpu_bo_address(struct drm_gem_object *obj, u64 offset, u64 *address)
{
	struct fencepost_bo *bo = to_fencepost_bo(obj);
	struct scatterlist *sg;
	unsigned int i;

	for_each_sgtable_dma_sg(bo->base.sgt, sg, i) {
		u64 len = sg_dma_len(sg);

		if (offset >= len) {
			offset -= len;
			continue;
		}
		*address = sg_dma_address(sg) + offset;
		if (len - offset < sizeof(u64) || !IS_ALIGNED(*address, sizeof(u64)))
			return -EINVAL;
		return 0;
	}
	return -EINVAL;
}

int fpgpu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_bo_create *args = data;
	struct fpgpu_file *file_priv = file->driver_priv;
	struct drm_gem_shmem_object *shmem;
	int ret;

	if (args->flags || !args->size || args->size > FPGPU_MAX_BO_BYTES)
		return -EINVAL;
	args->size = PAGE_ALIGN(args->size);
	shmem = drm_gem_shmem_create(drm, args->size);
	if (IS_ERR(shmem))
		return PTR_ERR(shmem);
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
