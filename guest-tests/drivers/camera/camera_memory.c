// SPDX-License-Identifier: GPL-2.0
/*
 * The camera's memory for vb2: pages of vmalloc or an imported dma-buf, which the camera sees as
 * long as vb2 has the buffer, and no longer.
 *
 * Pages may be mapped into a process, or exported as a dma-buf, when the buffer is freed because
 * the device is gone. The memory operations of vb2-dma-sg end the camera's DMA mapping with the
 * last user of the pages, and that is too late: the DMA API must not be called for a device that is
 * gone. Here it ends with the buffer. vb2-vmalloc, which knows no device, keeps, maps and exports
 * the pages.
 */

#include <linux/dma-buf.h>
#include <linux/dma-mapping.h>
#include <linux/slab.h>
#include <linux/vmalloc.h>
#include <media/videobuf2-vmalloc.h>

#include "camera_drv.h"

struct fpcam_memory {
	struct device *dev;
	enum dma_data_direction dir;

	/* vb2-vmalloc's own structure, and the pages; NULL for an import. */
	void *own;
	struct sg_table pages;

	/* A program's own memory, whose pages are in the table above; NULL for others. */
	struct fpcam_user *user;

	struct dma_buf_attachment *attach;
	/* What the camera sees: the pages, or the attachment's mapping. */
	struct sg_table *sgt;
};

/* Lets the camera see the pages of the table. */
static int fpcam_memory_map_pages(struct fpcam_memory *memory)
{
	int ret = dma_map_sgtable(memory->dev, &memory->pages, memory->dir, 0);

	if (!ret)
		memory->sgt = &memory->pages;
	return ret;
}

/* Lets the camera see the pages from @vaddr on. */
static int fpcam_memory_map(struct fpcam_memory *memory, void *vaddr, unsigned long size)
{
	unsigned int i, count = PFN_UP(size);
	struct page **pages;
	int ret;

	pages = kvmalloc_array(count, sizeof(*pages), GFP_KERNEL);
	if (!pages)
		return -ENOMEM;
	for (i = 0; i < count; i++)
		pages[i] = vmalloc_to_page(vaddr + i * PAGE_SIZE);
	ret = sg_alloc_table_from_pages(&memory->pages, pages, count, 0, size, GFP_KERNEL);
	kvfree(pages);
	if (ret)
		return ret;
	ret = fpcam_memory_map_pages(memory);
	if (ret)
		sg_free_table(&memory->pages);
	return ret;
}

static struct fpcam_memory *fpcam_memory_new(struct vb2_buffer *vb, struct device *dev)
{
	struct fpcam_memory *memory = kzalloc(sizeof(*memory), GFP_KERNEL);

	if (!memory)
		return NULL;
	memory->dev = dev;
	memory->dir = vb->vb2_queue->dma_dir;
	return memory;
}

static void *fpcam_memory_alloc(struct vb2_buffer *vb, struct device *dev, unsigned long size)
{
	struct fpcam_memory *memory = fpcam_memory_new(vb, dev);
	void *own;
	int ret;

	if (!memory)
		return ERR_PTR(-ENOMEM);
	own = vb2_vmalloc_memops.alloc(vb, dev, size);
	if (IS_ERR(own)) {
		kfree(memory);
		return own;
	}
	ret = fpcam_memory_map(memory, vb2_vmalloc_memops.vaddr(vb, own), size);
	if (ret) {
		vb2_vmalloc_memops.put(own);
		kfree(memory);
		return ERR_PTR(ret);
	}
	memory->own = own;
	return memory;
}

/* vb2 lets go of the buffer; whoever else has the pages keeps them. */
static void fpcam_memory_put(void *priv)
{
	struct fpcam_memory *memory = priv;

	dma_unmap_sgtable(memory->dev, &memory->pages, memory->dir, 0);
	sg_free_table(&memory->pages);
	vb2_vmalloc_memops.put(memory->own);
	kfree(memory);
}

static void *fpcam_memory_get_userptr(struct vb2_buffer *vb, struct device *dev, unsigned long vaddr,
				      unsigned long size)
{
	struct fpcam_memory *memory = fpcam_memory_new(vb, dev);
	struct fpcam_user *user;
	int ret;

	if (!memory)
		return ERR_PTR(-ENOMEM);
	user = fpcam_user_pin(vaddr, size, &memory->pages);
	if (IS_ERR(user)) {
		kfree(memory);
		return ERR_CAST(user);
	}
	memory->user = user;
	ret = fpcam_memory_map_pages(memory);
	if (ret) {
		fpcam_user_unpin(user, &memory->pages);
		kfree(memory);
		return ERR_PTR(ret);
	}
	return memory;
}

static void fpcam_memory_put_userptr(void *priv)
{
	struct fpcam_memory *memory = priv;

	dma_unmap_sgtable(memory->dev, &memory->pages, memory->dir, 0);
	fpcam_user_unpin(memory->user, &memory->pages);
	kfree(memory);
}

/* For read(), which copies. */
static void *fpcam_memory_vaddr(struct vb2_buffer *vb, void *priv)
{
	struct fpcam_memory *memory = priv;

	return memory->own ? vb2_vmalloc_memops.vaddr(vb, memory->own) : NULL;
}

static struct dma_buf *fpcam_memory_get_dmabuf(struct vb2_buffer *vb, void *priv,
					       unsigned long flags)
{
	struct fpcam_memory *memory = priv;

	return vb2_vmalloc_memops.get_dmabuf(vb, memory->own, flags);
}

static int fpcam_memory_mmap(void *priv, struct vm_area_struct *vma)
{
	struct fpcam_memory *memory = priv;

	return vb2_vmalloc_memops.mmap(memory->own, vma);
}

static unsigned int fpcam_memory_num_users(void *priv)
{
	struct fpcam_memory *memory = priv;

	return memory->own ? vb2_vmalloc_memops.num_users(memory->own) : 1;
}

static void *fpcam_memory_attach(struct vb2_buffer *vb, struct device *dev, struct dma_buf *dma_buf,
				 unsigned long size)
{
	struct fpcam_memory *memory;
	long ret;

	if (dma_buf->size < size)
		return ERR_PTR(-EFAULT);
	memory = fpcam_memory_new(vb, dev);
	if (!memory)
		return ERR_PTR(-ENOMEM);
	memory->attach = dma_buf_attach(dma_buf, dev);
	if (IS_ERR(memory->attach)) {
		ret = PTR_ERR(memory->attach);
		kfree(memory);
		return ERR_PTR(ret);
	}
	return memory;
}

static int fpcam_memory_map_import(void *priv)
{
	struct fpcam_memory *memory = priv;
	struct sg_table *sgt = dma_buf_map_attachment_unlocked(memory->attach, memory->dir);

	if (IS_ERR(sgt))
		return PTR_ERR(sgt);
	memory->sgt = sgt;
	return 0;
}

static void fpcam_memory_unmap_import(void *priv)
{
	struct fpcam_memory *memory = priv;

	dma_buf_unmap_attachment_unlocked(memory->attach, memory->sgt, memory->dir);
	memory->sgt = NULL;
}

static void fpcam_memory_detach(void *priv)
{
	struct fpcam_memory *memory = priv;

	if (memory->sgt)
		fpcam_memory_unmap_import(memory);
	dma_buf_detach(memory->attach->dmabuf, memory->attach);
	kfree(memory);
}

/* The exporter of an imported buffer handles its caches. */
static void fpcam_memory_prepare(void *priv)
{
	struct fpcam_memory *memory = priv;

	if (!memory->attach)
		dma_sync_sgtable_for_device(memory->dev, memory->sgt, memory->dir);
}

static void fpcam_memory_finish(void *priv)
{
	struct fpcam_memory *memory = priv;

	if (!memory->attach)
		dma_sync_sgtable_for_cpu(memory->dev, memory->sgt, memory->dir);
}

static void *fpcam_memory_cookie(struct vb2_buffer *vb, void *priv)
{
	struct fpcam_memory *memory = priv;

	return memory->sgt;
}

/* vb2_plane_cookie() of a buffer gives its struct sg_table, mapped for the camera. */
const struct vb2_mem_ops fpcam_memops = {
	.alloc = fpcam_memory_alloc,
	.put = fpcam_memory_put,
	.get_userptr = fpcam_memory_get_userptr,
	.put_userptr = fpcam_memory_put_userptr,
	.vaddr = fpcam_memory_vaddr,
	.get_dmabuf = fpcam_memory_get_dmabuf,
	.mmap = fpcam_memory_mmap,
	.num_users = fpcam_memory_num_users,
	.attach_dmabuf = fpcam_memory_attach,
	.map_dmabuf = fpcam_memory_map_import,
	.unmap_dmabuf = fpcam_memory_unmap_import,
	.detach_dmabuf = fpcam_memory_detach,
	.prepare = fpcam_memory_prepare,
	.finish = fpcam_memory_finish,
	.cookie = fpcam_memory_cookie,
};
