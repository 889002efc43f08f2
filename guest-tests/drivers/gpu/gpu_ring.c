// SPDX-License-Identifier: GPL-2.0
/*
 * Rings: packets and shared words in coherent memory, and the fences that they signal.
 */
#include <linux/dma-mapping.h>

#include "gpu_drv.h"

/* Moves fences up to and with @seqno from the ring to @done; the device has written them if @charge. */
static void fpgpu_ring_take(struct fpgpu_ring *ring, u64 seqno, bool charge,
			    struct list_head *done)
{
	struct fpgpu_fence *fence, *next;
	unsigned long flags;

	spin_lock_irqsave(&ring->lock, flags);
	list_for_each_entry_safe(fence, next, &ring->pending, link) {
		if (fence->base.seqno > seqno)
			break;
		list_move_tail(&fence->link, done);
		if (charge)
			fpgpu_charge(ring, fence, le64_to_cpu(READ_ONCE(ring->busy[fence->slot])));
	}
	spin_unlock_irqrestore(&ring->lock, flags);
}

/* Signals @done, each with its own error or with @error, and drops the references that the ring held. */
static void fpgpu_fences_signal(struct list_head *done, int error)
{
	struct fpgpu_fence *fence, *next;

	list_for_each_entry_safe(fence, next, done, link) {
		list_del_init(&fence->link);
		fpgpu_fence_signal(fence, READ_ONCE(fence->error) ?: error);
		dma_fence_put(&fence->base);
	}
}

/* Signals every fence whose number the device has written. Called from the ring's interrupt too. */
void fpgpu_ring_retire(struct fpgpu_ring *ring)
{
	LIST_HEAD(done);

	fpgpu_ring_take(ring, le64_to_cpu(READ_ONCE(ring->words->fence)), true, &done);
	fpgpu_fences_signal(&done, 0);
}

/*
 * Signals what the device says in its register that it has done: the word in memory may have been
 * written out of order.
 */
void fpgpu_ring_retire_done(struct fpgpu_ring *ring)
{
	LIST_HEAD(done);
	u64 seqno = fpgpu_read64(ring->regs + FPGPU_RING_SEQNO);

	/* Nothing answers. */
	if (seqno == U64_MAX)
		return;
	fpgpu_ring_take(ring, seqno, true, &done);
	fpgpu_fences_signal(&done, 0);
}

/* Signals the oldest fence, as if an interrupt were one job's and came once. */
void fpgpu_ring_retire_one(struct fpgpu_ring *ring)
{
	unsigned long flags;
	LIST_HEAD(done);

	spin_lock_irqsave(&ring->lock, flags);
	if (!list_empty(&ring->pending))
		list_move_tail(ring->pending.next, &done);
	spin_unlock_irqrestore(&ring->lock, flags);
	fpgpu_fences_signal(&done, 0);
}

/* Signals one fence with its error, unless it has signalled. The ring is stopped. */
void fpgpu_ring_fail(struct fpgpu_ring *ring, struct fpgpu_fence *fence)
{
	u64 busy = fpgpu_read64(ring->regs + FPGPU_RING_BUSY_CYCLES);
	unsigned long flags;
	LIST_HEAD(done);

	spin_lock_irqsave(&ring->lock, flags);
	if (!list_empty(&fence->link)) {
		list_move_tail(&fence->link, &done);
		fpgpu_charge(ring, fence, busy);
	}
	spin_unlock_irqrestore(&ring->lock, flags);
	fpgpu_fences_signal(&done, fence->error);
}

/*
 * Ends the waits of other rings for what the ring's device will not write: its fences up to @seqno,
 * which have signalled. The ring is stopped, and has nothing to do.
 */
void fpgpu_ring_pass(struct fpgpu_ring *ring, u64 seqno)
{
	if (le64_to_cpu(READ_ONCE(ring->words->fence)) < seqno)
		WRITE_ONCE(ring->words->fence, cpu_to_le64(seqno));
}

/* Signals every fence that is left with @error. */
void fpgpu_ring_fail_all(struct fpgpu_ring *ring, int error)
{
	struct fpgpu_fence *fence;
	LIST_HEAD(done);

	fpgpu_ring_take(ring, U64_MAX, false, &done);
	/* Behind the driver's leaving the device there is none, and no word. */
	if (list_empty(&done))
		return;
	list_for_each_entry(fence, &done, link)
		WRITE_ONCE(fence->error, error);
	fpgpu_waits_fail(ring->gpu);
	fpgpu_fences_signal(&done, error);
	fpgpu_ring_pass(ring, ring->last_seqno);
}

bool fpgpu_ring_is_idle(struct fpgpu_ring *ring)
{
	unsigned long flags;
	bool idle;

	spin_lock_irqsave(&ring->lock, flags);
	idle = list_empty(&ring->pending);
	spin_unlock_irqrestore(&ring->lock, flags);
	return idle;
}

static u32 fpgpu_ring_tail(const struct fpgpu_ring *ring)
{
	return ring->emitted % FPGPU_RING_SLOTS;
}

static void fpgpu_ring_put(struct fpgpu_ring *ring, const struct fpgpu_packet *packet)
{
	ring->packets[fpgpu_ring_tail(ring)] = *packet;
	ring->emitted++;
}

/* Tells the device of the packets up to the tail. */
static void fpgpu_ring_doorbell(struct fpgpu_ring *ring)
{
	/* An earlier doorbell may be on its way: first the packets, then the word that tells. */
	dma_wmb();
	WRITE_ONCE(ring->words->tail, cpu_to_le32(fpgpu_ring_tail(ring)));
	/* writel() orders the word before the doorbell. */
	writel(0, ring->regs + FPGPU_RING_DOORBELL);
}

static struct fpgpu_packet *fpgpu_job_packet(struct fpgpu_job *job, unsigned int packet)
{
	unsigned int waits = job->waits.packet_count;

	return packet < waits ? &job->waits.packets[packet] : &job->packets[packet - waits];
}

/*
 * Writes a job's packets from @packet on and its fence, and rings the doorbell. There is room: the
 * scheduler's credits are the ring's packets. Of a job that failed there is the fence alone.
 */
static void fpgpu_ring_emit_from(struct fpgpu_ring *ring, struct fpgpu_job *job,
				 unsigned int packet)
{
	struct fpgpu_packet last = {
		.opcode = cpu_to_le32(FPGPU_OPCODE_FENCE),
		.seqno = cpu_to_le64(job->fence->base.seqno),
	};
	unsigned int length = fpgpu_job_length(job);

	lockdep_assert_held(&ring->lock);
	if (job->fence->error)
		packet = length;
	/* Of a job that goes on after a stop, the first packet is before the ring's first. */
	job->first = ring->emitted - packet;
	for (; packet < length; packet++) {
		struct fpgpu_packet *next = fpgpu_job_packet(job, packet);

		next->seqno = last.seqno;
		fpgpu_ring_put(ring, next);
	}
	job->fence->slot = fpgpu_ring_tail(ring);
	last.address = cpu_to_le64(ring->busy_dma + job->fence->slot * sizeof(*ring->busy));
	fpgpu_ring_put(ring, &last);
	fpgpu_ring_doorbell(ring);
}

/* Gives the ring a job whose fence has begun. */
void fpgpu_ring_emit(struct fpgpu_ring *ring, struct fpgpu_job *job)
{
	struct fpgpu_fence *fence = job->fence;
	unsigned long flags;

	fence->job = job;
	dma_fence_get(&fence->base);
	fpgpu_waits_begin(job);
	spin_lock_irqsave(&ring->lock, flags);
	list_add_tail(&fence->link, &ring->pending);
	/* From here on fpgpu_waits_fail() finds it. */
	fence->error = fpgpu_waits_error(job);
	fpgpu_ring_emit_from(ring, job, 0);
	spin_unlock_irqrestore(&ring->lock, flags);
}

/* Gives the ring, which was stopped and started again, what it had not done of a job. */
void fpgpu_ring_emit_rest(struct fpgpu_ring *ring, struct fpgpu_job *job)
{
	s64 done = ring->done - job->first;
	unsigned long flags;

	spin_lock_irqsave(&ring->lock, flags);
	fpgpu_ring_emit_from(ring, job, clamp_t(s64, done, 0, fpgpu_job_length(job)));
	spin_unlock_irqrestore(&ring->lock, flags);
}

/*
 * Has the jobs on the ring that wait for a job that failed do nothing but signal its error. They are
 * still at their waits: what they wait for is not written before. Returns whether there were any.
 */
bool fpgpu_ring_inherit(struct fpgpu_ring *ring)
{
	struct fpgpu_fence *fence;
	unsigned long flags;
	bool any = false;

	spin_lock_irqsave(&ring->lock, flags);
	list_for_each_entry(fence, &ring->pending, link) {
		struct fpgpu_job *job = fence->job;
		int error = fence->error ? 0 : fpgpu_waits_error(job);
		unsigned int packet;

		if (!error)
			continue;
		any = true;
		WRITE_ONCE(fence->error, error);
		for (packet = job->waits.packet_count; packet < fpgpu_job_length(job); packet++)
			ring->packets[(job->first + packet) % FPGPU_RING_SLOTS] = (struct fpgpu_packet) {
				.opcode = cpu_to_le32(FPGPU_OPCODE_NOP),
				.seqno = cpu_to_le64(fence->base.seqno),
			};
	}
	spin_unlock_irqrestore(&ring->lock, flags);
	return any;
}

/* How many packets the device has done of a job, which is the ring's oldest. */
static s64 fpgpu_ring_done_of(struct fpgpu_ring *ring, struct fpgpu_job *job)
{
	return fpgpu_read64(ring->regs + FPGPU_RING_PACKETS) - ring->packets_before - job->first;
}

/*
 * Whether a job, which is the ring's oldest, waits for another ring. That ends when the other's job
 * does, or fails: a hang is the other ring's.
 */
bool fpgpu_ring_waits(struct fpgpu_ring *ring, struct fpgpu_job *job)
{
	return fpgpu_ring_done_of(ring, job) < job->waits.packet_count &&
	       readl(ring->regs + FPGPU_RING_STATUS) & FPGPU_RING_STATUS_WAITING;
}

/* Whether the device has done more of a job, which is the ring's oldest, than at the last look. */
bool fpgpu_ring_progresses(struct fpgpu_ring *ring, struct fpgpu_job *job)
{
	s64 done = fpgpu_ring_done_of(ring, job);
	bool more = done > job->watched;

	job->watched = done;
	return more && !(readl(ring->regs + FPGPU_RING_STATUS) & FPGPU_RING_STATUS_ERROR);
}

/* Stops the ring; of the packet in execution at most parts are done, and none if it moves little. */
void fpgpu_ring_stop(struct fpgpu_ring *ring)
{
	writel(FPGPU_RING_CONTROL_RESET, ring->regs + FPGPU_RING_CONTROL);
	/* The write has reached the device when the read comes back. */
	ring->done = fpgpu_read64(ring->regs + FPGPU_RING_PACKETS) - ring->packets_before;
}

/* Enables a stopped ring. */
int fpgpu_ring_restart(struct fpgpu_ring *ring)
{
	unsigned long flags;

	ring->emitted = 0;
	ring->packets_before = fpgpu_read64(ring->regs + FPGPU_RING_PACKETS);
	fpgpu_write64(ring->regs + FPGPU_RING_BASE, ring->packets_dma);
	writel(FPGPU_RING_SLOTS, ring->regs + FPGPU_RING_SIZE);
	fpgpu_write64(ring->regs + FPGPU_RING_FENCE,
		      ring->words_page.dma + offsetof(struct fpgpu_ring_words, fence));
	/* Enabling makes the tail 0. */
	WRITE_ONCE(ring->words->tail, 0);
	fpgpu_write64(ring->regs + FPGPU_RING_TAIL_ADDR,
		      ring->words_page.dma + offsetof(struct fpgpu_ring_words, tail));
	/* The device begins again if it was reset as a whole. */
	spin_lock_irqsave(&ring->lock, flags);
	ring->charged = min(ring->charged, fpgpu_read64(ring->regs + FPGPU_RING_BUSY_CYCLES));
	spin_unlock_irqrestore(&ring->lock, flags);
	writel(FPGPU_RING_CONTROL_ENABLE, ring->regs + FPGPU_RING_CONTROL);
	if (readl(ring->regs + FPGPU_RING_STATUS) & FPGPU_RING_STATUS_ERROR)
		return -EIO;
	return 0;
}

int fpgpu_ring_init(struct fpgpu_device *gpu, unsigned int index)
{
	struct fpgpu_ring *ring = &gpu->ring[index];
	struct device *dev = gpu->drm.dev;
	int ret;

	ring->gpu = gpu;
	ring->index = index;
	ring->regs = gpu->regs + FPGPU_RING(index);
	ring->fence_context = dma_fence_context_alloc(1);
	spin_lock_init(&ring->lock);
	INIT_LIST_HEAD(&ring->pending);
	mutex_init(&ring->stats_lock);
	snprintf(ring->name, sizeof(ring->name), "fpgpu-ring%u", index);

	ring->packets = dmam_alloc_coherent(dev, FPGPU_RING_SLOTS * sizeof(*ring->packets),
					    &ring->packets_dma, GFP_KERNEL);
	ring->busy = dmam_alloc_coherent(dev, FPGPU_RING_SLOTS * sizeof(*ring->busy),
					 &ring->busy_dma, GFP_KERNEL);
	if (!ring->packets || !ring->busy)
		return -ENOMEM;
	ret = fencepost_word_page_alloc(&ring->words_page, dev);
	if (!ret)
		ret = devm_add_action_or_reset(dev, fencepost_word_page_free, &ring->words_page);
	if (ret)
		return ret;
	ring->words = page_address(ring->words_page.page);

	fpgpu_ring_stop(ring);
	return fpgpu_ring_restart(ring);
}
