// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers between the camera and other devices, without the CPU: the camera waits for the words of the
 * fences that an imported buffer has, and has a word of its own written with a frame that somebody waits
 * for. See fencepost_word.h.
 *
 * Fences that no device writes a word for are not waited for, as in V4L2 at large.
 */
#include <linux/dma-buf.h>
#include <linux/dma-resv.h>
#include <linux/file.h>
#include <linux/sync_file.h>

#include <fencepost_recovery.h>

#include "camera_drv.h"

/* The frame of one buffer. It holds the module, for its operations, and the page of its word. */
struct fpcam_fence {
	struct dma_fence base;
	spinlock_t lock;
	struct fencepost_word word;
};

static const char *fpcam_fence_driver_name(struct dma_fence *fence)
{
	return FENCEPOST_CAMERA_DRIVER_NAME;
}

static const char *fpcam_fence_timeline_name(struct dma_fence *fence)
{
	return "frame";
}

static void fpcam_fence_release(struct dma_fence *base)
{
	struct fpcam_fence *fence = container_of(base, struct fpcam_fence, base);

	put_page(fence->word.page);
	kfree_rcu(fence, base.rcu);
	module_put(THIS_MODULE);
}

static const struct dma_fence_ops fpcam_fence_ops = {
	.use_64bit_seqno = true,
	.get_driver_name = fpcam_fence_driver_name,
	.get_timeline_name = fpcam_fence_timeline_name,
	.release = fpcam_fence_release,
};

/* Tells where the camera writes that a frame is there. */
int fpcam_fence_word(struct dma_fence *fence, struct fencepost_word *word)
{
	if (fence->ops != &fpcam_fence_ops)
		return -ENOENT;
	*word = container_of(fence, struct fpcam_fence, base)->word;
	get_page(word->page);
	return 0;
}
EXPORT_SYMBOL_GPL(fpcam_fence_word);

int fpcam_sync_init(struct fpcam_device *cam)
{
	struct device *dev = &cam->pdev->dev;

	BUILD_BUG_ON(FPCAM_MAX_BUFFERS * sizeof(u64) > PAGE_SIZE);
	fencepost_words_init(&cam->words, dev);
	if (fpcam_read(cam, FPCAM_VERSION) < FPCAM_VERSION_SYNC)
		return 0;
	cam->blocks = dmam_alloc_coherent(dev, FPCAM_RING_SLOTS * sizeof(*cam->blocks),
					  &cam->blocks_iova, GFP_KERNEL);
	if (!cam->blocks)
		return -ENOMEM;
	return fencepost_word_page_alloc(&cam->frames, dev);
}

/* Before the driver leaves the device, whose structure may go before what devm_ frees. */
void fpcam_sync_exit(struct fpcam_device *cam)
{
	fencepost_word_page_free(&cam->frames);
	fencepost_words_drop_all(&cam->words);
}

/* Lets go of what a buffer waits for; the device does not look at it any more. */
void fpcam_sync_forget(struct fpcam_buffer *buffer)
{
	struct fpcam_sync *sync = &buffer->sync;

	while (sync->word_count)
		put_page(sync->word[--sync->word_count].page);
	while (sync->fence_count)
		dma_fence_put(sync->fences[--sync->fence_count]);
	kfree(sync->fences);
	sync->fences = NULL;
}

/* Adds a word, or raises what is waited for of one that is there. -ENOSPC: there are too many. */
static int fpcam_sync_add(struct fpcam_device *cam, struct fpcam_sync *sync,
			  struct fencepost_word *word)
{
	unsigned int i;
	int ret;

	for (i = 0; i < sync->word_count; i++) {
		if (sync->word[i].page == word->page && sync->word[i].offset == word->offset) {
			sync->word[i].value = max(sync->word[i].value, word->value);
			put_page(word->page);
			return 0;
		}
	}
	ret = i < FPCAM_MAX_WAITS ? fencepost_words_map(&cam->words, word, &sync->at[i]) : -ENOSPC;
	if (ret) {
		put_page(word->page);
		return ret;
	}
	sync->word[sync->word_count++] = *word;
	return 0;
}

static int fpcam_sync_wait_for(struct fpcam_device *cam, struct fpcam_sync *sync,
			       struct dma_fence *fence)
{
	struct fencepost_word word;
	int ret;

	if (dma_fence_is_signaled(fence))
		return 0;
	ret = fencepost_ask(fpgpu_fence_word, fence, &word);
	if (ret == -ENOENT || ret == -ENODEV)
		return 0;
	if (!ret)
		ret = fpcam_sync_add(cam, sync, &word);
	/* One that the device has no room for. */
	return ret == -ENOSPC ? dma_fence_wait(fence, true) : ret;
}

static int fpcam_sync_wait_for_plane(struct fpcam_device *cam, struct fpcam_sync *sync,
				     struct dma_resv *resv)
{
	struct dma_fence **fences, **all;
	unsigned int count, i;
	int ret = dma_resv_get_fences(resv, DMA_RESV_USAGE_READ, &count, &fences);

	if (ret || !count)
		return ret;
	all = krealloc_array(sync->fences, sync->fence_count + count, sizeof(*all), GFP_KERNEL);
	if (!all)
		ret = -ENOMEM;
	else
		sync->fences = all;
	for (i = 0; i < count; i++) {
		if (!ret)
			ret = fpcam_sync_wait_for(cam, sync, fences[i]);
		if (all)
			all[sync->fence_count++] = fences[i];
		else
			dma_fence_put(fences[i]);
	}
	kfree(fences);
	return ret;
}

/* Before a buffer is given to the device: what others still do with it. */
int fpcam_sync_prepare(struct fpcam_device *cam, struct fpcam_buffer *buffer)
{
	struct vb2_buffer *vb = &buffer->vb.vb2_buf;
	unsigned int plane;
	int ret = 0;

	fpcam_sync_forget(buffer);
	if (!cam->blocks || !FENCEPOST_HAS(waits) || vb->memory != VB2_MEMORY_DMABUF)
		return 0;
	for (plane = 0; !ret && plane < vb->num_planes; plane++)
		ret = fpcam_sync_wait_for_plane(cam, &buffer->sync, vb->planes[plane].dbuf->resv);
	if (ret)
		fpcam_sync_forget(buffer);
	return ret;
}

static __le64 *fpcam_frame_word(struct fpcam_device *cam, const struct fencepost_word *word)
{
	return page_address(cam->frames.page) + word->offset;
}

static void fpcam_sync_write_signal(struct fpcam_device *cam, struct fpcam_sync_block *block,
				    const struct fpcam_sync *sync)
{
	WRITE_ONCE(block->signal.value, cpu_to_le64(sync->out->word.value));
	/* The device may look at the block, if its buffer waits. */
	dma_wmb();
	WRITE_ONCE(block->signal.address, cpu_to_le64(cam->frames.dma + sync->out->word.offset));
}

/* Writes what the buffer waits for and signals beside its descriptor, which is being written. */
void fpcam_sync_write(struct fpcam_device *cam, struct fpcam_descriptor *descriptor,
		      const struct fpcam_buffer *buffer)
{
	const struct fpcam_sync *sync = &buffer->sync;
	struct fpcam_sync_block *block;
	unsigned int i;

	lockdep_assert_held(&cam->ring_lock);
	if (!cam->blocks || (!sync->word_count && !sync->out))
		return;
	block = &cam->blocks[buffer->slot];
	memset(block, 0, sizeof(*block));
	for (i = 0; i < sync->word_count; i++) {
		block->wait[i].address = cpu_to_le64(sync->at[i]);
		block->wait[i].value = cpu_to_le64(sync->word[i].value);
	}
	if (sync->out)
		fpcam_sync_write_signal(cam, block, sync);
	descriptor->sync = cpu_to_le64(cam->blocks_iova + buffer->slot * sizeof(*block));
}

/* Whether something that the buffer waited for has failed. */
bool fpcam_sync_failed(const struct fpcam_buffer *buffer)
{
	unsigned int i;

	for (i = 0; i < buffer->sync.fence_count; i++)
		if (dma_fence_get_status(buffer->sync.fences[i]) < 0)
			return true;
	return false;
}

/* Tells who waits for a buffer's frame; first the fence, then the word. */
static void fpcam_sync_tell(struct fpcam_device *cam, struct fpcam_buffer *buffer, int error)
{
	struct fpcam_fence *out = buffer->sync.out;

	lockdep_assert_held(&cam->ring_lock);
	if (!out)
		return;
	buffer->sync.out = NULL;
	if (error)
		dma_fence_set_error(&out->base, error);
	dma_fence_signal(&out->base);
	WRITE_ONCE(*fpcam_frame_word(cam, &out->word), cpu_to_le64(out->word.value));
	dma_fence_put(&out->base);
}

/* The device has done with a buffer. */
void fpcam_sync_end(struct fpcam_device *cam, struct fpcam_buffer *buffer, int error)
{
	fpcam_sync_tell(cam, buffer, error);
	fpcam_sync_forget(buffer);
}

/* No frame will come: the queue has failed, and its buffers stay until the stream is off. */
void fpcam_sync_give_up(struct fpcam_device *cam)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&cam->ring_lock, flags);
	for (i = 0; i < FPCAM_MAX_BUFFERS; i++)
		if (cam->held[i])
			fpcam_sync_tell(cam, cam->held[i], -EIO);
	spin_unlock_irqrestore(&cam->ring_lock, flags);
}

static struct fpcam_fence *fpcam_fence_alloc(struct fpcam_device *cam, u32 index)
{
	struct fpcam_fence *fence = kzalloc(sizeof(*fence), GFP_KERNEL);

	if (!fence)
		return NULL;
	/* The file that asks holds it. */
	__module_get(THIS_MODULE);
	spin_lock_init(&fence->lock);
	fence->word.page = cam->frames.page;
	fence->word.offset = index * sizeof(u64);
	fence->word.value = ++cam->frame_value;
	get_page(fence->word.page);
	dma_fence_init(&fence->base, &fpcam_fence_ops, &fence->lock, dma_fence_context_alloc(1), 1);
	return fence;
}

/*
 * Gives the frame that a buffer will hold a fence, unless it has one. The device may have begun with the
 * buffer, and not see it: then the word is written with the record's interrupt.
 */
static struct fpcam_fence *fpcam_sync_fence(struct fpcam_device *cam, struct fpcam_fence *fresh, u32 index)
{
	struct fpcam_buffer *buffer = cam->held[index];
	struct fpcam_descriptor *descriptor;

	lockdep_assert_held(&cam->ring_lock);
	if (!buffer)
		return NULL;
	if (!buffer->sync.out) {
		descriptor = &cam->descriptors[buffer->slot];
		dma_fence_get(&fresh->base);
		buffer->sync.out = fresh;
		if (!descriptor->sync)
			memset(&cam->blocks[buffer->slot], 0, sizeof(*cam->blocks));
		fpcam_sync_write_signal(cam, &cam->blocks[buffer->slot], &buffer->sync);
		/* First the block, then its address. */
		dma_wmb();
		WRITE_ONCE(descriptor->sync, cpu_to_le64(cam->blocks_iova +
							 buffer->slot * sizeof(*cam->blocks)));
	}
	dma_fence_get(&buffer->sync.out->base);
	return buffer->sync.out;
}

/* A sync_file for the frame of a buffer that the device holds. Under cam->lock. */
long fpcam_sync_export(struct fpcam_device *cam, struct fencepost_camera_fence *args)
{
	struct fpcam_fence *fresh, *fence;
	struct sync_file *sync_file;
	unsigned long flags;
	int fd;

	if (args->index >= FPCAM_MAX_BUFFERS)
		return -EINVAL;
	/* A frame, or the end of the stream, will come. */
	if (!cam->blocks || !cam->streaming || cam->queue.error)
		return -ENODATA;
	fd = get_unused_fd_flags(O_CLOEXEC);
	if (fd < 0)
		return fd;
	fresh = fpcam_fence_alloc(cam, args->index);
	if (!fresh) {
		put_unused_fd(fd);
		return -ENOMEM;
	}
	spin_lock_irqsave(&cam->ring_lock, flags);
	fence = fpcam_sync_fence(cam, fresh, args->index);
	spin_unlock_irqrestore(&cam->ring_lock, flags);
	dma_fence_put(&fresh->base);
	sync_file = fence ? sync_file_create(&fence->base) : NULL;
	if (fence)
		dma_fence_put(&fence->base);
	if (!sync_file) {
		put_unused_fd(fd);
		return fence ? -ENOMEM : -ENODATA;
	}
	fd_install(fd, sync_file->file);
	args->fence_fd = fd;
	return 0;
}
