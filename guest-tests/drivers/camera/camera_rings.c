// SPDX-License-Identifier: GPL-2.0
/* The Fencepost camera's rings: descriptors of buffers go in, completion records come out. */

#include <linux/dma-mapping.h>
#include <linux/ktime.h>

#include <fencepost_recovery.h>

#include "camera_drv.h"

#define FPCAM_RING_BYTES (FPCAM_RING_SLOTS * sizeof(struct fpcam_descriptor))

static void fpcam_write_address(struct fpcam_device *cam, u32 offset, dma_addr_t iova)
{
	fpcam_write(cam, offset, lower_32_bits(iova));
	fpcam_write(cam, offset + 4, upper_32_bits(iova));
}

/* Makes the rings, and the tail word if the device reads one. */
int fpcam_rings_init(struct fpcam_device *cam)
{
	struct device *dev = &cam->pdev->dev;

	cam->descriptors = dmam_alloc_coherent(dev, FPCAM_RING_BYTES, &cam->descriptors_iova,
					       GFP_KERNEL);
	cam->records = dmam_alloc_coherent(dev, FPCAM_RING_BYTES, &cam->records_iova, GFP_KERNEL);
	if (!cam->descriptors || !cam->records)
		return -ENOMEM;
	if (fpcam_read(cam, FPCAM_VERSION) < FPCAM_VERSION_TAIL_WORD)
		return 0;
	cam->tail_word = dmam_alloc_coherent(dev, sizeof(*cam->tail_word), &cam->tail_word_iova,
					     GFP_KERNEL);
	return cam->tail_word ? 0 : -ENOMEM;
}

/* Stops the device; after that it neither reads nor writes memory. */
void fpcam_halt(struct fpcam_device *cam)
{
	fpcam_write(cam, FPCAM_CONTROL, 0);
	fpcam_read(cam, FPCAM_STATUS);
}

/* Tells the device, which is not streaming, where the rings are. */
void fpcam_rings_program(struct fpcam_device *cam)
{
	fpcam_write(cam, FPCAM_CONTROL, 0);
	fpcam_write_address(cam, FPCAM_QUEUE_BASE, cam->descriptors_iova);
	fpcam_write_address(cam, FPCAM_COMPLETION_BASE, cam->records_iova);
	fpcam_write(cam, FPCAM_RING_ENTRIES, FPCAM_RING_SLOTS);
	if (cam->tail_word)
		fpcam_write_address(cam, FPCAM_QUEUE_TAIL_ADDR, cam->tail_word_iova);
}

/* The device forgets the rings before they are freed. */
void fpcam_rings_forget(struct fpcam_device *cam)
{
	fpcam_write(cam, FPCAM_CONTROL, 0);
	fpcam_write(cam, FPCAM_RING_ENTRIES, 0);
	fpcam_write_address(cam, FPCAM_QUEUE_BASE, 0);
	fpcam_write_address(cam, FPCAM_COMPLETION_BASE, 0);
	if (cam->tail_word)
		fpcam_write_address(cam, FPCAM_QUEUE_TAIL_ADDR, 0);
	fpcam_read(cam, FPCAM_STATUS);
}

/* Tells the device of the descriptors posted so far. */
static void fpcam_doorbell(struct fpcam_device *cam)
{
	if (!cam->tail_word) {
		/* writel() orders the descriptors before the doorbell. */
		fpcam_write(cam, FPCAM_QUEUE_TAIL, cam->posted);
		return;
	}
	/*
	 * An earlier doorbell may be on its way: first the descriptors, then the word that tells.
	 */
	dma_wmb();
	WRITE_ONCE(*cam->tail_word, cpu_to_le32(cam->posted));
	/* writel() orders the word before the doorbell. */
	fpcam_write(cam, FPCAM_QUEUE_DOORBELL, 0);
}

static void fpcam_write_descriptor(struct fpcam_device *cam, struct fpcam_buffer *buffer)
{
	struct fpcam_descriptor *descriptor;
	unsigned int plane;

	descriptor = &cam->descriptors[cam->posted % FPCAM_RING_SLOTS];
	memset(descriptor, 0, sizeof(*descriptor));
	descriptor->cookie = cpu_to_le64(cam->posted);
	descriptor->index = cpu_to_le32(buffer->vb.vb2_buf.index);
	descriptor->planes = cpu_to_le32(buffer->vb.vb2_buf.num_planes);
	for (plane = 0; plane < buffer->vb.vb2_buf.num_planes; plane++) {
		descriptor->plane[plane].table = cpu_to_le64(buffer->sg[plane].dma);
		descriptor->plane[plane].entries = cpu_to_le32(buffer->sg[plane].count);
		descriptor->plane[plane].len_bytes = cpu_to_le32(fpcam_plane_bytes(cam, plane));
	}
	buffer->slot = cam->posted % FPCAM_RING_SLOTS;
	fpcam_sync_write(cam, descriptor, buffer);
	cam->posted++;
}

/* Gives a buffer to the device. */
void fpcam_post(struct fpcam_device *cam, struct fpcam_buffer *buffer)
{
	unsigned long flags;

	spin_lock_irqsave(&cam->ring_lock, flags);
	cam->held[buffer->vb.vb2_buf.index] = buffer;
	fpcam_write_descriptor(cam, buffer);
	fpcam_doorbell(cam);
	spin_unlock_irqrestore(&cam->ring_lock, flags);
}

/* Both rings as they are when the device has stopped. */
static void fpcam_clear(struct fpcam_device *cam)
{
	lockdep_assert_held(&cam->ring_lock);
	cam->posted = 0;
	cam->completed = 0;
	if (cam->tail_word)
		WRITE_ONCE(*cam->tail_word, 0);
	memset(cam->records, 0, FPCAM_RING_BYTES);
}

/* Gives all buffers back to vb2; the device has stopped. */
void fpcam_empty(struct fpcam_device *cam, enum vb2_buffer_state state)
{
	unsigned long flags;
	unsigned int i;

	spin_lock_irqsave(&cam->ring_lock, flags);
	for (i = 0; i < FPCAM_MAX_BUFFERS; i++) {
		if (!cam->held[i])
			continue;
		/* What vb2 keeps as queued will still wait. */
		if (state != VB2_BUF_STATE_QUEUED)
			fpcam_sync_end(cam, cam->held[i], -ECANCELED);
		vb2_buffer_done(&cam->held[i]->vb.vb2_buf, state);
		cam->held[i] = NULL;
	}
	fpcam_clear(cam);
	spin_unlock_irqrestore(&cam->ring_lock, flags);
}

/* Whether the device says that a frame is a whole picture. */
static bool fpcam_is_whole(struct fpcam_device *cam, const struct fencepost_camera_frame *frame)
{
	if (!FENCEPOST_RECOVERY)
		return true;
	return !frame->status && frame->bytes == cam->pix.sizeimage;
}

/* The device counts the bytes of all planes, the first plane first. */
static void fpcam_set_payload(struct fpcam_device *cam, struct fpcam_buffer *buffer)
{
	struct vb2_buffer *vb = &buffer->vb.vb2_buf;
	u32 left = buffer->frame.bytes, bytes;
	unsigned int plane;

	for (plane = 0; plane < vb->num_planes; plane++) {
		bytes = min(left, fpcam_plane_bytes(cam, plane));
		vb2_set_plane_payload(vb, plane, bytes);
		left -= bytes;
	}
}

/* Gives the buffer of one record back to vb2. */
static void fpcam_complete(struct fpcam_device *cam, const struct fpcam_record *record)
{
	u32 index = le32_to_cpu(record->index);
	struct fpcam_buffer *buffer;
	bool good;

	buffer = index < FPCAM_MAX_BUFFERS ? cam->held[index] : NULL;
	if (!buffer) {
		dev_err_ratelimited(&cam->pdev->dev,
				    "record of buffer %u, which the device does not hold\n",
				    index);
		return;
	}
	cam->held[index] = NULL;
	/* What the device dropped is a gap. */
	if (FENCEPOST_RECOVERY)
		cam->next_sequence = cam->first_sequence + le32_to_cpu(record->sequence) + 1;
	else
		cam->next_sequence++;
	buffer->frame = (struct fencepost_camera_frame) {
		.index = index,
		.sequence = cam->next_sequence - 1,
		.status = le32_to_cpu(record->status),
		.bytes = le32_to_cpu(record->bytes),
		.crc = le32_to_cpu(record->crc),
		.dropped = le32_to_cpu(record->dropped),
		.start_cycles = le64_to_cpu(record->start_cycles),
		.end_cycles = le64_to_cpu(record->end_cycles),
		.controls = le32_to_cpu(record->controls),
		.fault_iova = le64_to_cpu(record->fault_iova),
	};
	buffer->has_frame = true;
	buffer->vb.sequence = buffer->frame.sequence;
	buffer->vb.field = V4L2_FIELD_NONE;
	buffer->vb.vb2_buf.timestamp = ktime_get_ns();
	fpcam_set_payload(cam, buffer);
	good = fpcam_is_whole(cam, &buffer->frame) && !fpcam_sync_failed(buffer);
	fpcam_sync_end(cam, buffer, good ? 0 : -EIO);
	vb2_buffer_done(&buffer->vb.vb2_buf, good ? VB2_BUF_STATE_DONE : VB2_BUF_STATE_ERROR);
}

/* Gives back the buffers of all records that are there. */
static void fpcam_retire(struct fpcam_device *cam)
{
	struct fpcam_record *record;

	lockdep_assert_held(&cam->ring_lock);
	for (;;) {
		record = &cam->records[cam->completed % FPCAM_RING_SLOTS];
		if (le32_to_cpu(READ_ONCE(record->ordinal)) != cam->completed + 1)
			break;
		/* The device writes the ordinal after the rest. */
		dma_rmb();
		cam->completed++;
		fpcam_complete(cam, record);
		/* Interrupts may be lost: one may stand for several records. */
		if (!FENCEPOST_RECOVERY)
			break;
	}
}

irqreturn_t fpcam_frame_done_irq(int irq, void *data)
{
	struct fpcam_device *cam = data;

	spin_lock(&cam->ring_lock);
	fpcam_retire(cam);
	spin_unlock(&cam->ring_lock);
	return IRQ_HANDLED;
}

/*
 * Takes what the device, which has stopped, has done; the buffers that are left stay where they
 * are.
 */
void fpcam_drain(struct fpcam_device *cam)
{
	unsigned long flags;

	spin_lock_irqsave(&cam->ring_lock, flags);
	fpcam_retire(cam);
	spin_unlock_irqrestore(&cam->ring_lock, flags);
}

/* Gives the device the buffers that it had when it stopped, in their order. */
void fpcam_repost(struct fpcam_device *cam)
{
	struct fpcam_buffer *left[FPCAM_MAX_BUFFERS];
	unsigned int i, count = 0;
	unsigned long flags;
	u32 slot, index;

	spin_lock_irqsave(&cam->ring_lock, flags);
	for (; cam->completed != cam->posted; cam->completed++) {
		slot = cam->completed % FPCAM_RING_SLOTS;
		index = le32_to_cpu(cam->descriptors[slot].index);
		if (cam->held[index])
			left[count++] = cam->held[index];
	}
	fpcam_clear(cam);
	for (i = 0; i < count; i++)
		fpcam_write_descriptor(cam, left[i]);
	if (count)
		fpcam_doorbell(cam);
	spin_unlock_irqrestore(&cam->ring_lock, flags);
}
