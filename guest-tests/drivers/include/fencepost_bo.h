/* SPDX-License-Identifier: GPL-2.0 */
/*
 * GEM objects of shmem pages, own or imported, whose DMA mappings end with the device and not with
 * the object.
 *
 * User space may hold an object (by a file, a mapping, a dma-buf) long after its device is gone,
 * and the DMA API must not be called for a device that is gone: its IOMMU group is. So a driver
 * keeps a list of the objects that its device can see, and takes them all away from it in its
 * remove(). What is left of an object then is pages, or a reference to a dma-buf, which need no
 * device.
 *
 * The display sees an object through a scatter-gather list (fencepost_sg.h). The functions are
 * static, since the two DRM drivers are two modules with nothing else in common.
 */
#ifndef FENCEPOST_BO_H
#define FENCEPOST_BO_H

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/dma-resv.h>
#include <linux/list.h>
#include <linux/mm.h>
#include <linux/mutex.h>
#include <linux/slab.h>

#include <drm/drm_device.h>
#include <drm/drm_drv.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/drm_prime.h>
#include <drm/drm_vma_manager.h>

#include <fencepost_sg.h>

/* The objects that a device can see. */
struct fencepost_bos {
	/* Guards the list, and the DMA mappings and lists of the objects. */
	struct mutex lock;
	struct list_head list;
};

struct fencepost_bo {
	struct drm_gem_shmem_object base;
	struct fencepost_bos *bos;
	/* In bos->list while something of it is mapped for the device. */
	struct list_head link;

	/*
	 * What the device reads: none until fencepost_bo_map(), and after the device. It describes
	 * less than the object's size for an odd dma-buf.
	 */
	struct fencepost_sg_list sg;

	/*
	 * In the place of an import's attachment when that was detached: it still says which
	 * dma-buf.
	 */
	struct dma_buf_attachment detached;
};

static inline struct fencepost_bo *to_fencepost_bo(struct drm_gem_object *obj)
{
	return container_of(to_drm_gem_shmem_obj(obj), struct fencepost_bo, base);
}

static inline void fencepost_bos_init(struct fencepost_bos *bos)
{
	mutex_init(&bos->lock);
	INIT_LIST_HEAD(&bos->list);
}

static inline void fencepost_bo_detach(struct fencepost_bo *bo)
{
	struct drm_gem_object *obj = &bo->base.base;
	struct dma_buf_attachment *attach = obj->import_attach;

	dma_buf_unmap_attachment_unlocked(attach, bo->base.sgt, DMA_BIDIRECTIONAL);
	/* Some exporters keep the mapping until the attachment goes. */
	bo->detached.dmabuf = attach->dmabuf;
	obj->import_attach = &bo->detached;
	dma_buf_detach(attach->dmabuf, attach);
}

static inline void fencepost_bo_unmap_pages(struct fencepost_bo *bo)
{
	struct drm_gem_shmem_object *shmem = &bo->base;

	dma_resv_lock(shmem->base.resv, NULL);
	dma_unmap_sgtable(shmem->base.dev->dev, shmem->sgt, DMA_BIDIRECTIONAL, 0);
	sg_free_table(shmem->sgt);
	kfree(shmem->sgt);
	drm_gem_shmem_put_pages(shmem);
	dma_resv_unlock(shmem->base.resv);
}

/* Takes an object away from the device, which does not use it any more. bos->lock is held. */
static inline void fencepost_bo_unmap(struct fencepost_bo *bo)
{
	struct drm_gem_object *obj = &bo->base.base;

	lockdep_assert_held(&bo->bos->lock);
	list_del_init(&bo->link);
	fencepost_sg_free(&bo->sg, obj->dev->dev);
	if (!bo->base.sgt)
		return;
	if (obj->import_attach)
		fencepost_bo_detach(bo);
	else
		fencepost_bo_unmap_pages(bo);
	bo->base.sgt = NULL;
}

/*
 * For a driver's remove(), after drm_dev_unplug() and when the device has stopped: ends all
 * mappings.
 */
static inline void fencepost_bos_unmap(struct fencepost_bos *bos)
{
	struct fencepost_bo *bo, *next;

	mutex_lock(&bos->lock);
	list_for_each_entry_safe(bo, next, &bos->list, link)
		fencepost_bo_unmap(bo);
	mutex_unlock(&bos->lock);
}

/* For drm_gem_object_funcs.free. */
static inline void fencepost_bo_free(struct drm_gem_object *obj)
{
	struct fencepost_bo *bo = to_fencepost_bo(obj);

	mutex_lock(&bo->bos->lock);
	fencepost_bo_unmap(bo);
	mutex_unlock(&bo->bos->lock);
	if (!obj->import_attach) {
		drm_gem_shmem_free(&bo->base);
		return;
	}
	drm_gem_object_release(obj);
	dma_buf_put(bo->detached.dmabuf);
	kfree(bo);
}

/*
 * The page at a place of a mapping. The helper's own counts from the mapping's start, which is wrong
 * for a dma-buf that is mapped from an offset on, and for what is left of a mapping whose start was
 * unmapped.
 */
static inline vm_fault_t fencepost_bo_fault(struct vm_fault *vmf)
{
	struct drm_gem_object *obj = vmf->vma->vm_private_data;
	struct drm_gem_shmem_object *shmem = to_drm_gem_shmem_obj(obj);
	pgoff_t page = vmf->pgoff - drm_vma_node_start(&obj->vma_node);

	/* The mapping holds the pages. */
	if (page >= obj->size >> PAGE_SHIFT || !shmem->pages)
		return VM_FAULT_SIGBUS;
	return vmf_insert_pfn(vmf->vma, vmf->address, page_to_pfn(shmem->pages[page]));
}

static inline void fencepost_bo_vm_open(struct vm_area_struct *vma)
{
	drm_gem_shmem_vm_ops.open(vma);
}

static inline void fencepost_bo_vm_close(struct vm_area_struct *vma)
{
	drm_gem_shmem_vm_ops.close(vma);
}

static const struct vm_operations_struct fencepost_bo_vm_ops = {
	.fault = fencepost_bo_fault,
	.open = fencepost_bo_vm_open,
	.close = fencepost_bo_vm_close,
};

/* The offset of the mapping includes the object's own, of a DRM file and of a dma-buf alike. */
static inline int fencepost_bo_mmap(struct drm_gem_object *obj, struct vm_area_struct *vma)
{
	int ret = drm_gem_shmem_mmap(to_drm_gem_shmem_obj(obj), vma);

	/* An import's mapping is its exporter's. */
	if (!ret && !obj->import_attach)
		vma->vm_ops = &fencepost_bo_vm_ops;
	return ret;
}

/* In struct drm_gem_object_funcs. */
#define FENCEPOST_BO_FUNCS					\
	.free = fencepost_bo_free,				\
	.print_info = drm_gem_shmem_object_print_info,		\
	.pin = drm_gem_shmem_object_pin,			\
	.unpin = drm_gem_shmem_object_unpin,			\
	.get_sg_table = drm_gem_shmem_object_get_sg_table,	\
	.vmap = drm_gem_shmem_object_vmap,			\
	.vunmap = drm_gem_shmem_object_vunmap,			\
	.mmap = fencepost_bo_mmap,				\
	.vm_ops = &fencepost_bo_vm_ops

static const struct drm_gem_object_funcs fencepost_bo_funcs = {
	FENCEPOST_BO_FUNCS,
};

/* Makes zeroed memory, of which @bo is the first member, an object. */
static inline struct drm_gem_object *fencepost_bo_init(struct fencepost_bo *bo,
						       struct fencepost_bos *bos,
						       const struct drm_gem_object_funcs *funcs)
{
	/* The helpers free the object by its first member. */
	BUILD_BUG_ON(offsetof(struct fencepost_bo, base.base) != 0);
	bo->bos = bos;
	INIT_LIST_HEAD(&bo->link);
	bo->base.base.funcs = funcs;
	return &bo->base.base;
}

/*
 * For drm_driver.gem_create_object: the allocation behind every object, the device's own and
 * imported ones.
 */
static inline struct drm_gem_object *fencepost_bo_alloc(struct fencepost_bos *bos)
{
	struct fencepost_bo *bo = kzalloc(sizeof(*bo), GFP_KERNEL);

	return bo ? fencepost_bo_init(bo, bos, &fencepost_bo_funcs) : ERR_PTR(-ENOMEM);
}

/* The table of an object's pages, mapped for the device. bos->lock is held. */
static inline struct sg_table *fencepost_bo_table(struct fencepost_bo *bo)
{
	struct sg_table *sgt;

	lockdep_assert_held(&bo->bos->lock);
	/* An imported buffer was mapped when it was attached. */
	sgt = bo->base.base.import_attach ? bo->base.sgt : drm_gem_shmem_get_pages_sgt(&bo->base);
	if (!IS_ERR(sgt) && list_empty(&bo->link))
		list_add_tail(&bo->link, &bo->bos->list);
	return sgt;
}

/* Maps an object's pages for the device, once. Between drm_dev_enter() and drm_dev_exit(). */
static inline int fencepost_bo_attach(struct fencepost_bo *bo)
{
	struct sg_table *sgt;

	mutex_lock(&bo->bos->lock);
	sgt = fencepost_bo_table(bo);
	mutex_unlock(&bo->bos->lock);
	return PTR_ERR_OR_ZERO(sgt);
}

/*
 * Lets the device see an object, once: maps its pages and builds its list. Between drm_dev_enter()
 * and drm_dev_exit(). Errors are those of fencepost_sg_build(), and what the pages cost.
 */
static inline int fencepost_bo_map(struct fencepost_bo *bo, u32 max_entries)
{
	struct sg_table *sgt;
	int ret = 0;

	mutex_lock(&bo->bos->lock);
	if (!bo->sg.entries) {
		sgt = fencepost_bo_table(bo);
		ret = IS_ERR(sgt) ? PTR_ERR(sgt) :
				    fencepost_sg_build(&bo->sg, bo->base.base.dev->dev, sgt, max_entries);
	}
	mutex_unlock(&bo->bos->lock);
	return ret;
}

/*
 * For drm_driver.gem_prime_import: the attachment and its mapping are not to be made when they
 * could not be ended.
 */
static inline struct drm_gem_object *fencepost_bo_import(struct drm_device *drm,
							 struct dma_buf *dma_buf)
{
	struct drm_gem_object *obj;
	struct fencepost_bo *bo;
	int idx;

	if (!drm_dev_enter(drm, &idx))
		return ERR_PTR(-ENODEV);
	obj = drm_gem_prime_import(drm, dma_buf);
	/* Without an attachment it is an object of this device, which came back. */
	if (!IS_ERR(obj) && obj->import_attach) {
		bo = to_fencepost_bo(obj);
		mutex_lock(&bo->bos->lock);
		list_add_tail(&bo->link, &bo->bos->list);
		mutex_unlock(&bo->bos->lock);
	}
	drm_dev_exit(idx);
	return obj;
}

/* For drm_driver.prime_handle_to_fd: an import's attachment is not to go while it is looked at. */
static inline int fencepost_bo_export(struct drm_device *drm, struct drm_file *file, u32 handle,
				      u32 flags, int *fd)
{
	int idx, ret;

	if (!drm_dev_enter(drm, &idx))
		return -ENODEV;
	ret = drm_gem_prime_handle_to_fd(drm, file, handle, flags, fd);
	drm_dev_exit(idx);
	return ret;
}

/* Linux 6.1 asks a driver for what later ones do by themselves; Kbuild defines the symbol. */
#ifdef FENCEPOST_LINUX_6_1
#define FENCEPOST_BO_OLD_OPS					\
	.prime_fd_to_handle = drm_gem_prime_fd_to_handle,	\
	.gem_prime_mmap = drm_gem_prime_mmap,
#else
#define FENCEPOST_BO_OLD_OPS
#endif

/* In struct drm_driver, beside gem_create_object. */
#define FENCEPOST_BO_DRIVER_OPS					\
	FENCEPOST_BO_OLD_OPS					\
	.prime_handle_to_fd = fencepost_bo_export,		\
	.gem_prime_import = fencepost_bo_import,		\
	.gem_prime_import_sg_table = drm_gem_shmem_prime_import_sg_table

#endif /* FENCEPOST_BO_H */
