/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Buffers: GEM objects of ordinary memory or of another driver's dma-buf, and the scatter-gather
 * lists by which the device reads them.
 *
 * A buffer may outlive the device. What the device's IOMMU domain has of it may not: that is made
 * when the buffer is first shown (or imported), and ends with the buffer or in fpd_bo_unmap_all(),
 * whichever comes first.
 */
#ifndef DISPLAY_BO_H
#define DISPLAY_BO_H

#include <linux/list.h>
#include <linux/types.h>

#include <drm/drm_gem_shmem_helper.h>

struct dma_buf;
struct drm_device;
struct drm_gem_object;
struct fpd_device;
struct fpd_sg_entry;
struct sg_table;

struct fpd_bo {
	/* First: its helpers free what it begins. */
	struct drm_gem_shmem_object shmem;

	/* In fpd_device.mapped, and with all that follows under its map_lock. */
	struct list_head link;
	/* Our own pages as the device sees them; an import has shmem.sgt for that. */
	struct sg_table *sgt;
	struct fpd_sg_entry *table;
	dma_addr_t table_iova;
	u32 entries;
	/* What it is an import of, once that is detached from the device. */
	struct dma_buf *detached;
};

#define to_fpd_bo(gem) container_of(to_drm_gem_shmem_obj(gem), struct fpd_bo, shmem)

struct drm_gem_object *fpd_bo_create(struct drm_device *drm, size_t size);
struct drm_gem_object *fpd_bo_import(struct drm_device *drm, struct dma_buf *dma_buf);
int fpd_bo_map(struct fpd_bo *bo);
void fpd_bo_unmap_all(struct fpd_device *fpd);

#endif
