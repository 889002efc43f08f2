// SPDX-License-Identifier: GPL-2.0
/* Framebuffers: GEM objects, and the scatter-gather lists by which the device reads them. */

#include <linux/dma-mapping.h>
#include <linux/scatterlist.h>
#include <linux/slab.h>

#include <drm/drm_gem_framebuffer_helper.h>
#include <drm/drm_gem_shmem_helper.h>
#include <drm/drm_plane.h>

#include "display_drv.h"

static size_t table_bytes(const struct fpd_framebuffer *fpd_fb)
{
	return (size_t)fpd_fb->entries * sizeof(*fpd_fb->table);
}

static void fpd_fb_destroy(struct drm_framebuffer *fb)
{
	struct fpd_framebuffer *fpd_fb = to_fpd_fb(fb);

	if (fpd_fb->table)
		dma_free_coherent(fb->dev->dev, table_bytes(fpd_fb), fpd_fb->table,
				  fpd_fb->table_iova);
	mutex_destroy(&fpd_fb->lock);
	/* Frees fb, and with it the structure that begins with it. */
	drm_gem_fb_destroy(fb);
}

static const struct drm_framebuffer_funcs fpd_fb_funcs = {
	.create_handle = drm_gem_fb_create_handle,
	.destroy = fpd_fb_destroy,
};

struct drm_framebuffer *fpd_fb_create(struct drm_device *drm, struct drm_file *file,
				      const struct drm_mode_fb_cmd2 *cmd)
{
	struct fpd_framebuffer *fpd_fb;
	int ret;

	BUILD_BUG_ON(offsetof(struct fpd_framebuffer, base) != 0);
	/* Newer kernels ask this themselves; Linux 6.1 leaves it to the driver. */
	if (!drm_any_plane_has_format(drm, cmd->pixel_format, cmd->modifier[0]))
		return ERR_PTR(-EINVAL);

	fpd_fb = kzalloc(sizeof(*fpd_fb), GFP_KERNEL);
	if (!fpd_fb)
		return ERR_PTR(-ENOMEM);
	mutex_init(&fpd_fb->lock);
	ret = drm_gem_fb_init_with_funcs(drm, &fpd_fb->base, file, cmd, &fpd_fb_funcs);
	if (ret) {
		mutex_destroy(&fpd_fb->lock);
		kfree(fpd_fb);
		return ERR_PTR(ret);
	}
	return &fpd_fb->base;
}

static int make_table(struct fpd_framebuffer *fpd_fb)
{
	struct drm_framebuffer *fb = &fpd_fb->base;
	struct drm_gem_shmem_object *shmem = to_drm_gem_shmem_obj(fb->obj[0]);
	struct scatterlist *segment;
	struct sg_table *sgt;
	unsigned int i;

	/* Pins and maps our own pages; an import was mapped for this device when attached. */
	sgt = drm_gem_shmem_get_pages_sgt(shmem);
	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	if (!sgt->nents || sgt->nents > FPD_SG_MAX_ENTRIES)
		return -E2BIG;

	fpd_fb->entries = sgt->nents;
	fpd_fb->table = dma_alloc_coherent(fb->dev->dev, table_bytes(fpd_fb),
					   &fpd_fb->table_iova, GFP_KERNEL);
	if (!fpd_fb->table)
		return -ENOMEM;
	for_each_sgtable_dma_sg(sgt, segment, i) {
		fpd_fb->table[i].iova = cpu_to_le64(sg_dma_address(segment));
		fpd_fb->table[i].len = cpu_to_le32(sg_dma_len(segment));
		fpd_fb->table[i].reserved = 0;
	}
	return 0;
}

/*
 * The pages of an object stay where they are, and mapped, as long as the object lives, and the
 * framebuffer holds the object: the list is made once.
 */
int fpd_fb_prepare(struct drm_framebuffer *fb)
{
	struct fpd_framebuffer *fpd_fb = to_fpd_fb(fb);
	int ret = 0;

	mutex_lock(&fpd_fb->lock);
	if (!fpd_fb->table)
		ret = make_table(fpd_fb);
	mutex_unlock(&fpd_fb->lock);
	return ret;
}
