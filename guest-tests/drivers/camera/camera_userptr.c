// SPDX-License-Identifier: GPL-2.0
/* Buffers in a program's own memory: its pages are pinned as long as vb2 has the buffer. */

#include <linux/mm.h>
#include <linux/slab.h>

#include "camera_drv.h"

struct fpcam_user {
	struct page **pages;
	unsigned int count;
};

static void fpcam_user_release(struct fpcam_user *user, bool dirty)
{
	unpin_user_pages_dirty_lock(user->pages, user->count, dirty);
	kvfree(user->pages);
	kfree(user);
}

/* Pins the pages and makes a table of them, which is not mapped for the device yet. */
struct fpcam_user *fpcam_user_pin(unsigned long vaddr, unsigned long size, struct sg_table *sgt)
{
	unsigned int offset = offset_in_page(vaddr), count = PFN_UP(offset + size);
	struct fpcam_user *user = kzalloc(sizeof(*user), GFP_KERNEL);
	int pinned, ret = -ENOMEM;

	if (!user)
		return ERR_PTR(-ENOMEM);
	user->pages = kvmalloc_array(count, sizeof(*user->pages), GFP_KERNEL);
	if (!user->pages)
		goto free;
	pinned = pin_user_pages_fast(vaddr & PAGE_MASK, count, FOLL_WRITE | FOLL_LONGTERM,
				     user->pages);
	if (pinned < 0) {
		ret = pinned;
		goto free;
	}
	user->count = pinned;
	ret = pinned < count ? -EFAULT : sg_alloc_table_from_pages(sgt, user->pages, count, offset,
								   size, GFP_KERNEL);
	if (!ret)
		return user;
	fpcam_user_release(user, false);
	return ERR_PTR(ret);

free:
	kvfree(user->pages);
	kfree(user);
	return ERR_PTR(ret);
}

/* Frees the table, which is not mapped any more, and lets go of the pages, which were written. */
void fpcam_user_unpin(struct fpcam_user *user, struct sg_table *sgt)
{
	sg_free_table(sgt);
	fpcam_user_release(user, true);
}
