// SPDX-License-Identifier: GPL-2.0
/* Buffers: see display_bo.h. */

#include <linux/build_bug.h>
#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include <drm/drm_drv.h>
#include <drm/drm_gem.h>
#include <drm/drm_prime.h>

#include "display_drv.h"

static struct device *dma_device(const struct fpd_bo *bo)
{
	return bo->shmem.base.dev->dev;
}

static size_t table_bytes(const struct fpd_bo *bo)
{
	return (size_t)bo->entries * sizeof(*bo->table);
}

static int map_own_pages(struct fpd_bo *bo)
{
	struct sg_table *sgt;
	int ret = drm_gem_shmem_pin(&bo->shmem);

	if (ret)
		return ret;
	sgt = drm_gem_shmem_get_sg_table(&bo->shmem);
	if (IS_ERR(sgt)) {
		ret = PTR_ERR(sgt);
		goto unpin;
	}
	ret = dma_map_sgtable(dma_device(bo), sgt, DMA_TO_DEVICE, 0);
	if (ret)
		goto free;
	bo->sgt = sgt;
	return 0;

free:
	sg_free_table(sgt);
	kfree(sgt);
unpin:
	drm_gem_shmem_unpin(&bo->shmem);
	return ret;
}

static void unmap_own_pages(struct fpd_bo *bo)
{
	dma_unmap_sgtable(dma_device(bo), bo->sgt, DMA_TO_DEVICE, 0);
	sg_free_table(bo->sgt);
	kfree(bo->sgt);
	bo->sgt = NULL;
	drm_gem_shmem_unpin(&bo->shmem);
}

static int make_table(struct fpd_bo *bo, struct sg_table *sgt)
{
	struct scatterlist *segment;
	unsigned int i;

	if (!sgt->nents || sgt->nents > FPD_SG_MAX_ENTRIES)
		return -E2BIG;
	bo->entries = sgt->nents;
	bo->table = dma_alloc_coherent(dma_device(bo), table_bytes(bo), &bo->table_iova,
				       GFP_KERNEL);
	if (!bo->table)
		return -ENOMEM;
	for_each_sgtable_dma_sg(sgt, segment, i) {
		bo->table[i].iova = cpu_to_le64(sg_dma_address(segment));
		bo->table[i].len = cpu_to_le32(sg_dma_len(segment));
		bo->table[i].reserved = 0;
	}
	return 0;
}

/*
 * Ends what the device can reach of a buffer. An exporter may keep its mapping until the device is
 * detached, so an import is; the dma-buf itself stays, since the object uses its reservation.
 */
static void end_dma(struct fpd_bo *bo)
{
	struct drm_gem_object *gem = &bo->shmem.base;

	if (bo->table)
		dma_free_coherent(dma_device(bo), table_bytes(bo), bo->table, bo->table_iova);
	bo->table = NULL;
	if (bo->sgt)
		unmap_own_pages(bo);
	if (gem->import_attach) {
		bo->detached = gem->import_attach->dmabuf;
		get_dma_buf(bo->detached);
		drm_prime_gem_destroy(gem, bo->shmem.sgt);
		bo->shmem.sgt = NULL;
		gem->import_attach = NULL;
	}
	list_del_init(&bo->link);
}

/*
 * Lets the device reach a buffer. Its pages stay where they are as long as it lives, so this is
 * done once. The caller holds the device: drm_dev_enter().
 */
int fpd_bo_map(struct fpd_bo *bo)
{
	struct fpd_device *fpd = to_fpd(bo->shmem.base.dev);
	bool import = bo->shmem.base.import_attach;
	int ret = 0;

	mutex_lock(&fpd->map_lock);
	if (!import && !bo->sgt) {
		ret = map_own_pages(bo);
		if (!ret)
			list_add(&bo->link, &fpd->mapped);
	}
	if (!ret && !bo->table)
		ret = make_table(bo, import ? bo->shmem.sgt : bo->sgt);
	mutex_unlock(&fpd->map_lock);
	return ret;
}

/* After drm_dev_unplug(), so that no mapping is made any more. */
void fpd_bo_unmap_all(struct fpd_device *fpd)
{
	struct fpd_bo *bo, *next;

	mutex_lock(&fpd->map_lock);
	list_for_each_entry_safe(bo, next, &fpd->mapped, link)
		end_dma(bo);
	mutex_unlock(&fpd->map_lock);
}

static void fpd_bo_free(struct drm_gem_object *gem)
{
	struct fpd_device *fpd = to_fpd(gem->dev);
	struct fpd_bo *bo = to_fpd_bo(gem);
	struct dma_buf *dma_buf;

	mutex_lock(&fpd->map_lock);
	if (!list_empty(&bo->link))
		end_dma(bo);
	mutex_unlock(&fpd->map_lock);

	dma_buf = bo->detached;
	drm_gem_shmem_free(&bo->shmem);
	if (dma_buf)
		dma_buf_put(dma_buf);
}

static const struct drm_gem_object_funcs fpd_bo_funcs = {
	.free = fpd_bo_free,
	.print_info = drm_gem_shmem_object_print_info,
	.pin = drm_gem_shmem_object_pin,
	.unpin = drm_gem_shmem_object_unpin,
	.get_sg_table = drm_gem_shmem_object_get_sg_table,
	.vmap = drm_gem_shmem_object_vmap,
	.vunmap = drm_gem_shmem_object_vunmap,
	.mmap = drm_gem_shmem_object_mmap,
	.vm_ops = &drm_gem_shmem_vm_ops,
};

/* The helpers' allocator of objects. */
struct drm_gem_object *fpd_bo_create(struct drm_device *drm, size_t size)
{
	struct fpd_bo *bo = kzalloc(sizeof(*bo), GFP_KERNEL);

	BUILD_BUG_ON(offsetof(struct fpd_bo, shmem.base) != 0);
	if (!bo)
		return ERR_PTR(-ENOMEM);
	INIT_LIST_HEAD(&bo->link);
	bo->shmem.base.funcs = &fpd_bo_funcs;
	return &bo->shmem.base;
}

/* The helper attaches and maps a dma-buf for this device; that has to end with the device too. */
struct drm_gem_object *fpd_bo_import(struct drm_device *drm, struct dma_buf *dma_buf)
{
	struct fpd_device *fpd = to_fpd(drm);
	struct drm_gem_object *gem;
	int idx;

	if (!drm_dev_enter(drm, &idx))
		return ERR_PTR(-ENODEV);
	gem = drm_gem_prime_import(drm, dma_buf);
	/* A dma-buf of our own gives the object that it was made of. */
	if (!IS_ERR(gem) && gem->import_attach) {
		mutex_lock(&fpd->map_lock);
		list_add(&to_fpd_bo(gem)->link, &fpd->mapped);
		mutex_unlock(&fpd->map_lock);
	}
	drm_dev_exit(idx);
	return gem;
}
