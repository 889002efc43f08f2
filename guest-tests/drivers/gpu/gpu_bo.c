// SPDX-License-Identifier: GPL-2.0
/*
 * Buffer objects: shmem pages or an imported dma-buf, and the scatter-gather list through which the device sees them.
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_file.h>
#include <drm/drm_utils.h>

#include "gpu.h"

static void gpu_bo_free(struct drm_gem_object *obj)
{
	struct gpu_bo *bo = to_gpu_bo(obj);

	if (bo->table)
		dma_free_coherent(obj->dev->dev, bo->table_bytes, bo->table, bo->table_dma);
	drm_gem_shmem_free(&bo->base);
}

static const struct drm_gem_object_funcs gpu_bo_funcs = {
	.free = gpu_bo_free,
	.print_info = drm_gem_shmem_object_print_info,
	.pin = drm_gem_shmem_object_pin,
	.unpin = drm_gem_shmem_object_unpin,
	.get_sg_table = drm_gem_shmem_object_get_sg_table,
	.vmap = drm_gem_shmem_object_vmap,
	.vunmap = drm_gem_shmem_object_vunmap,
	.mmap = drm_gem_shmem_object_mmap,
	.vm_ops = &drm_gem_shmem_vm_ops,
};

/* The allocation behind every object, our own and imported ones; drm_gem_shmem_free() frees it. */
struct drm_gem_object *gpu_bo_create_object(struct drm_device *drm, size_t size)
{
	struct gpu_bo *bo = kzalloc(sizeof(*bo), GFP_KERNEL);

	if (!bo)
		return ERR_PTR(-ENOMEM);
	bo->base.base.funcs = &gpu_bo_funcs;
	return &bo->base.base;
}

static struct sg_table *gpu_bo_map(struct gpu_bo *bo)
{
	/* An imported buffer was mapped when it was attached. */
	if (bo->base.base.import_attach)
		return bo->base.sgt;
	return drm_gem_shmem_get_pages_sgt(&bo->base);
}

static int gpu_bo_build_table(struct gpu_bo *bo, struct sg_table *sgt)
{
	struct device *dev = bo->base.base.dev->dev;
	struct gpu_sg_entry *table;
	struct scatterlist *sg;
	size_t bytes;
	unsigned int i;

	if (!sgt->nents || sgt->nents > to_gpu(bo->base.base.dev)->max_sg_entries)
		return -E2BIG;
	bytes = array_size(sgt->nents, sizeof(*table));
	table = dma_alloc_coherent(dev, bytes, &bo->table_dma, GFP_KERNEL);
	if (!table)
		return -ENOMEM;
	bo->len = 0;
	for_each_sgtable_dma_sg(sgt, sg, i) {
		table[i].address = cpu_to_le64(sg_dma_address(sg));
		table[i].len = cpu_to_le32(sg_dma_len(sg));
		table[i].reserved = 0;
		bo->len += sg_dma_len(sg);
	}
	bo->table_bytes = bytes;
	bo->entries = sgt->nents;
	bo->table = table;
	return 0;
}

/* Gives the device access to a buffer: maps its pages and builds its list, once. */
int gpu_bo_prepare(struct gpu_device *gpu, struct drm_gem_object *obj)
{
	struct gpu_bo *bo = to_gpu_bo(obj);
	struct sg_table *sgt = gpu_bo_map(bo);
	int ret = 0;

	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	mutex_lock(&gpu->table_lock);
	if (!bo->table)
		ret = gpu_bo_build_table(bo, sgt);
	mutex_unlock(&gpu->table_lock);
	return ret;
}

/* The I/O virtual address of the aligned 64-bit word at @offset of a prepared buffer. */
int gpu_bo_address(struct drm_gem_object *obj, u64 offset, u64 *address)
{
	struct gpu_bo *bo = to_gpu_bo(obj);
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

int gpu_ioctl_bo_create(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_bo_create *args = data;
	struct drm_gem_shmem_object *shmem;
	int ret;

	if (args->flags || !args->size || args->size > GPU_MAX_BO_BYTES)
		return -EINVAL;
	args->size = PAGE_ALIGN(args->size);
	shmem = drm_gem_shmem_create(drm, args->size);
	if (IS_ERR(shmem))
		return PTR_ERR(shmem);
	ret = drm_gem_handle_create(file, &shmem->base, &args->handle);
	drm_gem_object_put(&shmem->base);
	return ret;
}

int gpu_ioctl_bo_offset(struct drm_device *drm, void *data, struct drm_file *file)
{
	struct drm_fencepost_gpu_bo_offset *args = data;

	if (args->pad)
		return -EINVAL;
	/* Refuses imported buffers with -EINVAL, and makes the offset when there is none yet. */
	return drm_gem_dumb_map_offset(file, drm, args->handle, &args->offset);
}

int gpu_ioctl_bo_wait(struct drm_device *drm, void *data, struct drm_file *file)
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
