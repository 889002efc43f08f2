// SPDX-License-Identifier: GPL-2.0
/*
 * Rings: packets and shared words in coherent memory, and the fences that it signals.
 */
#include <linux/dma-mapping.h>
#include <linux/slab.h>

#include "gpu.h"

static struct gpu_fence *to_gpu_fence(struct dma_fence *fence)
{
	return container_of(fence, struct gpu_fence, base);
}

static const char *gpu_fence_driver_name(struct dma_fence *fence)
{
	return FENCEPOST_GPU_DRIVER_NAME;
}

static const char *gpu_fence_timeline_name(struct dma_fence *fence)
{
	return "ring";
}

static void gpu_fence_release(struct dma_fence *fence)
{
	kfree_rcu(to_gpu_fence(fence), base.rcu);
}

static const struct dma_fence_ops gpu_fence_ops = {
	.use_64bit_seqno = true,
	.get_driver_name = gpu_fence_driver_name,
	.get_timeline_name = gpu_fence_timeline_name,
	.release = gpu_fence_release,
};

/* Memory for a fence; kfree() it unless gpu_fence_begin() was called. */
struct gpu_fence *gpu_fence_alloc(void)
{
	return kzalloc(sizeof(struct gpu_fence), GFP_KERNEL);
}

/* Makes @fence the next of @ring, on behalf of @finished, the scheduler's fence. */
void gpu_fence_begin(struct gpu_ring *ring, struct gpu_fence *fence, struct dma_fence *finished)
{
	fence->finished = finished;
	spin_lock_init(&fence->lock);
	INIT_LIST_HEAD(&fence->link);
	dma_fence_init(&fence->base, &gpu_fence_ops, &fence->lock, ring->fence_context,
		       ++ring->last_seqno);
}

/* Moves fences up to and with @seqno from the ring to @done. */
static void gpu_ring_take(struct gpu_ring *ring, u64 seqno, struct list_head *done)
{
	struct gpu_fence *fence, *next;
	unsigned long flags;

	spin_lock_irqsave(&ring->lock, flags);
	list_for_each_entry_safe(fence, next, &ring->pending, link) {
		if (fence->base.seqno > seqno)
			break;
		list_move_tail(&fence->link, done);
	}
	spin_unlock_irqrestore(&ring->lock, flags);
}

/* Signals @fence. The scheduler's fence, which follows, is to say the same; not every kernel passes an error on. */
void gpu_fence_signal(struct gpu_fence *fence, int error)
{
	if (error) {
		dma_fence_set_error(fence->finished, error);
		dma_fence_set_error(&fence->base, error);
	}
	dma_fence_signal(&fence->base);
}

/* Signals @done, and drops the references that the ring held. */
static void gpu_fences_signal(struct list_head *done, int error)
{
	struct gpu_fence *fence, *next;

	list_for_each_entry_safe(fence, next, done, link) {
		list_del_init(&fence->link);
		gpu_fence_signal(fence, error);
		dma_fence_put(&fence->base);
	}
}

/* Signals every fence whose number the device has written. Called from the ring's interrupt too. */
void gpu_ring_retire(struct gpu_ring *ring)
{
	LIST_HEAD(done);

	gpu_ring_take(ring, le64_to_cpu(READ_ONCE(ring->words->fence)), &done);
	gpu_fences_signal(&done, 0);
}

/* Signals one fence with @error, unless it has signalled. */
void gpu_ring_fail(struct gpu_ring *ring, struct gpu_fence *fence, int error)
{
	unsigned long flags;
	LIST_HEAD(done);

	spin_lock_irqsave(&ring->lock, flags);
	if (!list_empty(&fence->link))
		list_move_tail(&fence->link, &done);
	spin_unlock_irqrestore(&ring->lock, flags);
	gpu_fences_signal(&done, error);
}

/* Signals every fence that is left with @error. */
void gpu_ring_fail_all(struct gpu_ring *ring, int error)
{
	LIST_HEAD(done);

	gpu_ring_take(ring, U64_MAX, &done);
	gpu_fences_signal(&done, error);
}

bool gpu_ring_is_idle(struct gpu_ring *ring)
{
	unsigned long flags;
	bool idle;

	spin_lock_irqsave(&ring->lock, flags);
	idle = list_empty(&ring->pending);
	spin_unlock_irqrestore(&ring->lock, flags);
	return idle;
}

static void gpu_ring_put(struct gpu_ring *ring, const struct gpu_packet *packet)
{
	ring->packets[ring->tail] = *packet;
	ring->tail = (ring->tail + 1) % GPU_RING_PACKETS;
}

/* Tells the device of the packets up to the tail. */
static void gpu_ring_doorbell(struct gpu_ring *ring)
{
	if (!ring->gpu->has_tail_words) {
		/* writel() orders the packets before the doorbell. */
		writel(ring->tail, ring->regs + GPU_RING_TAIL);
		return;
	}
	/* An earlier doorbell may be on its way: first the packets, then the word that tells. */
	dma_wmb();
	WRITE_ONCE(ring->words->tail, cpu_to_le32(ring->tail));
	/* writel() orders the word before the doorbell. */
	writel(0, ring->regs + GPU_RING_DOORBELL);
}

/*
 * Writes a job's packets and its fence, and rings the doorbell. There is room: the scheduler's credits are the ring's
 * packets. A job whose fence is pending already is emitted again, after a reset.
 */
void gpu_ring_emit(struct gpu_ring *ring, struct gpu_job *job)
{
	struct gpu_fence *fence = job->fence;
	struct gpu_packet last = {
		.opcode = cpu_to_le32(GPU_OPCODE_FENCE),
		.seqno = cpu_to_le64(fence->base.seqno),
	};
	unsigned long flags;
	unsigned int i;

	for (i = 0; i < job->packet_count; i++) {
		job->packets[i].seqno = last.seqno;
		gpu_ring_put(ring, &job->packets[i]);
	}
	gpu_ring_put(ring, &last);

	spin_lock_irqsave(&ring->lock, flags);
	if (list_empty(&fence->link)) {
		dma_fence_get(&fence->base);
		list_add_tail(&fence->link, &ring->pending);
	}
	spin_unlock_irqrestore(&ring->lock, flags);

	gpu_ring_doorbell(ring);
}

/* Stops the ring and forgets its packets; the device drops what it was doing. */
void gpu_ring_stop(struct gpu_ring *ring)
{
	writel(GPU_RING_CONTROL_RESET, ring->regs + GPU_RING_CONTROL);
	/* The write has reached the device when the read comes back. */
	readl(ring->regs + GPU_RING_STATUS);
	ring->tail = 0;
}

/* Enables a stopped ring. */
int gpu_ring_restart(struct gpu_ring *ring)
{
	gpu_write64(ring->regs + GPU_RING_BASE, ring->packets_dma);
	writel(GPU_RING_PACKETS, ring->regs + GPU_RING_SIZE);
	gpu_write64(ring->regs + GPU_RING_FENCE,
		    ring->words_dma + offsetof(struct gpu_ring_words, fence));
	if (ring->gpu->has_tail_words) {
		/* Enabling makes the tail 0. */
		WRITE_ONCE(ring->words->tail, 0);
		gpu_write64(ring->regs + GPU_RING_TAIL_ADDR,
			    ring->words_dma + offsetof(struct gpu_ring_words, tail));
	}
	writel(GPU_RING_CONTROL_ENABLE, ring->regs + GPU_RING_CONTROL);
	if (readl(ring->regs + GPU_RING_STATUS) & GPU_RING_STATUS_ERROR)
		return -EIO;
	return 0;
}

int gpu_ring_init(struct gpu_device *gpu, unsigned int index)
{
	struct gpu_ring *ring = &gpu->ring[index];
	struct device *dev = gpu->drm.dev;

	ring->gpu = gpu;
	ring->index = index;
	ring->regs = gpu->regs + GPU_RING(index);
	ring->fence_context = dma_fence_context_alloc(1);
	spin_lock_init(&ring->lock);
	INIT_LIST_HEAD(&ring->pending);
	mutex_init(&ring->stats_lock);
	snprintf(ring->name, sizeof(ring->name), "fencepost-%u", index);

	ring->packets = dmam_alloc_coherent(dev, GPU_RING_PACKETS * sizeof(*ring->packets),
					    &ring->packets_dma, GFP_KERNEL);
	ring->words = dmam_alloc_coherent(dev, sizeof(*ring->words), &ring->words_dma, GFP_KERNEL);
	if (!ring->packets || !ring->words)
		return -ENOMEM;

	gpu_ring_stop(ring);
	return gpu_ring_restart(ring);
}
