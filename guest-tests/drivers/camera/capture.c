// SPDX-License-Identifier: GPL-2.0
/* The Fencepost camera's capture queue: vb2 buffers go in, completion records come out. */

#include <linux/dma-mapping.h>
#include <linux/ktime.h>
#include <media/videobuf2-dma-sg.h>

#include "camera.h"

#define RING_BYTES (FPCAM_RING_ENTRIES_USED * sizeof(struct fpcam_descriptor))

static int fpcam_queue_setup(struct vb2_queue *queue, unsigned int *buffers,
			     unsigned int *planes, unsigned int sizes[],
			     struct device *alloc_devs[])
{
	struct fpcam *cam = vb2_get_drv_priv(queue);

	if (*planes)
		return sizes[0] < cam->pix.sizeimage ? -EINVAL : 0;
	*planes = 1;
	sizes[0] = cam->pix.sizeimage;
	return 0;
}

/* Writes the buffer's SG list once: vb2 keeps the mapping as long as the buffer. */
static int fpcam_buf_init(struct vb2_buffer *vb)
{
	struct fpcam *cam = vb2_get_drv_priv(vb->vb2_queue);
	struct fpcam_buffer *buffer = to_fpcam_buffer(vb);
	struct sg_table *sgt = vb2_dma_sg_plane_desc(vb, 0);
	struct scatterlist *sg;
	unsigned int i;

	buffer->has_frame = false;
	buffer->table_entries = sgt->nents;
	buffer->table = dma_alloc_coherent(&cam->pdev->dev,
					   sgt->nents * sizeof(*buffer->table),
					   &buffer->table_iova, GFP_KERNEL);
	if (!buffer->table)
		return -ENOMEM;
	for_each_sgtable_dma_sg(sgt, sg, i) {
		buffer->table[i].iova = cpu_to_le64(sg_dma_address(sg));
		buffer->table[i].len_bytes = cpu_to_le32(sg_dma_len(sg));
		buffer->table[i].reserved = 0;
	}
	return 0;
}

static void fpcam_buf_cleanup(struct vb2_buffer *vb)
{
	struct fpcam *cam = vb2_get_drv_priv(vb->vb2_queue);
	struct fpcam_buffer *buffer = to_fpcam_buffer(vb);

	dma_free_coherent(&cam->pdev->dev,
			  buffer->table_entries * sizeof(*buffer->table),
			  buffer->table, buffer->table_iova);
	buffer->table = NULL;
}

static int fpcam_buf_prepare(struct vb2_buffer *vb)
{
	struct fpcam *cam = vb2_get_drv_priv(vb->vb2_queue);

	if (vb2_plane_size(vb, 0) < cam->pix.sizeimage)
		return -EINVAL;
	vb2_set_plane_payload(vb, 0, cam->pix.sizeimage);
	return 0;
}

/* Tells the device of the descriptors posted so far. */
static void fpcam_doorbell(struct fpcam *cam)
{
	if (!cam->tail_word) {
		/* writel() orders the descriptors before the doorbell. */
		fpcam_write(cam, FPCAM_QUEUE_TAIL, cam->posted);
		return;
	}
	/* An earlier doorbell may be on its way: first the descriptors, then the word that tells. */
	dma_wmb();
	WRITE_ONCE(*cam->tail_word, cpu_to_le32(cam->posted));
	/* writel() orders the word before the doorbell. */
	fpcam_write(cam, FPCAM_QUEUE_DOORBELL, 0);
}

static void fpcam_buf_queue(struct vb2_buffer *vb)
{
	struct fpcam *cam = vb2_get_drv_priv(vb->vb2_queue);
	struct fpcam_buffer *buffer = to_fpcam_buffer(vb);
	struct fpcam_descriptor *descriptor;
	unsigned long flags;

	spin_lock_irqsave(&cam->ring_lock, flags);
	descriptor = &cam->descriptors[cam->posted % FPCAM_RING_ENTRIES_USED];
	memset(descriptor, 0, sizeof(*descriptor));
	descriptor->cookie = cpu_to_le64(cam->posted);
	descriptor->index = cpu_to_le32(vb->index);
	descriptor->planes = cpu_to_le32(1);
	descriptor->plane[0].table = cpu_to_le64(buffer->table_iova);
	descriptor->plane[0].entries = cpu_to_le32(buffer->table_entries);
	descriptor->plane[0].len_bytes = cpu_to_le32(cam->pix.sizeimage);
	cam->held[vb->index] = buffer;
	cam->posted++;
	fpcam_doorbell(cam);
	spin_unlock_irqrestore(&cam->ring_lock, flags);
}

/* Stops the device; after that it neither reads nor writes memory. Forgets all posted buffers. */
static void fpcam_stop(struct fpcam *cam, enum vb2_buffer_state state)
{
	unsigned long flags;
	unsigned int i;

	fpcam_write(cam, FPCAM_CONTROL, 0);
	fpcam_read(cam, FPCAM_STATUS);

	spin_lock_irqsave(&cam->ring_lock, flags);
	for (i = 0; i < FPCAM_MAX_BUFFERS; i++) {
		if (cam->held[i])
			vb2_buffer_done(&cam->held[i]->vb.vb2_buf, state);
		cam->held[i] = NULL;
	}
	cam->posted = 0;
	cam->completed = 0;
	if (cam->tail_word)
		WRITE_ONCE(*cam->tail_word, 0);
	memset(cam->records, 0, RING_BYTES);
	spin_unlock_irqrestore(&cam->ring_lock, flags);
}

static int fpcam_start_streaming(struct vb2_queue *queue, unsigned int count)
{
	struct fpcam *cam = vb2_get_drv_priv(queue);

	fpcam_write(cam, FPCAM_FORMAT, cam->pix.pixelformat);
	fpcam_write(cam, FPCAM_WIDTH, cam->pix.width);
	fpcam_write(cam, FPCAM_HEIGHT, cam->pix.height);
	fpcam_write(cam, FPCAM_STRIDE, cam->pix.bytesperline);
	fpcam_write(cam, FPCAM_RATE_NUM, cam->interval.denominator);
	fpcam_write(cam, FPCAM_RATE_DEN, cam->interval.numerator);
	fpcam_write(cam, FPCAM_CONTROL, FPCAM_CONTROL_STREAM);
	if (fpcam_read(cam, FPCAM_STATUS) & FPCAM_STATUS_STREAMING)
		return 0;

	fpcam_stop(cam, VB2_BUF_STATE_QUEUED);
	return -EIO;
}

static void fpcam_stop_streaming(struct vb2_queue *queue)
{
	fpcam_stop(vb2_get_drv_priv(queue), VB2_BUF_STATE_ERROR);
}

static const struct vb2_ops fpcam_vb2_ops = {
	.queue_setup = fpcam_queue_setup,
	.buf_init = fpcam_buf_init,
	.buf_cleanup = fpcam_buf_cleanup,
	.buf_prepare = fpcam_buf_prepare,
	.buf_queue = fpcam_buf_queue,
	.start_streaming = fpcam_start_streaming,
	.stop_streaming = fpcam_stop_streaming,
	.wait_prepare = vb2_ops_wait_prepare,
	.wait_finish = vb2_ops_wait_finish,
};

/* Gives the buffer of one record back to vb2. */
static void fpcam_complete(struct fpcam *cam, const struct fpcam_record *record)
{
	u32 index = le32_to_cpu(record->index);
	struct fpcam_buffer *buffer;

	buffer = index < FPCAM_MAX_BUFFERS ? cam->held[index] : NULL;
	if (!buffer) {
		dev_err_ratelimited(&cam->pdev->dev,
				    "record of buffer %u, which the device does not hold\n",
				    index);
		return;
	}
	cam->held[index] = NULL;
	buffer->frame = (struct fencepost_camera_frame) {
		.index = index,
		.sequence = le32_to_cpu(record->sequence),
		.status = le32_to_cpu(record->status),
		.bytes = le32_to_cpu(record->bytes),
		.crc = le32_to_cpu(record->crc),
		.dropped = le32_to_cpu(record->dropped),
		.start_cycles = le64_to_cpu(record->start_cycles),
		.end_cycles = le64_to_cpu(record->end_cycles),
		.fault_iova = le64_to_cpu(record->fault_iova),
	};
	buffer->has_frame = true;
	buffer->vb.sequence = buffer->frame.sequence;
	buffer->vb.field = V4L2_FIELD_NONE;
	buffer->vb.vb2_buf.timestamp = ktime_get_ns();
	vb2_set_plane_payload(&buffer->vb.vb2_buf, 0, buffer->frame.bytes);
	vb2_buffer_done(&buffer->vb.vb2_buf,
			buffer->frame.status ? VB2_BUF_STATE_ERROR : VB2_BUF_STATE_DONE);
}

irqreturn_t fpcam_frame_done(int irq, void *data)
{
	struct fpcam *cam = data;
	struct fpcam_record *record;

	spin_lock(&cam->ring_lock);
	for (;;) {
		record = &cam->records[cam->completed % FPCAM_RING_ENTRIES_USED];
		if (le32_to_cpu(READ_ONCE(record->ordinal)) != cam->completed + 1)
			break;
		/* The device writes the ordinal after the rest. */
		dma_rmb();
		cam->completed++;
		fpcam_complete(cam, record);
	}
	spin_unlock(&cam->ring_lock);
	return IRQ_HANDLED;
}

static void fpcam_write_address(struct fpcam *cam, u32 offset, dma_addr_t iova)
{
	fpcam_write(cam, offset, lower_32_bits(iova));
	fpcam_write(cam, offset + 4, upper_32_bits(iova));
}

/* Makes the rings, and the tail word if the device reads one. */
static int fpcam_alloc_rings(struct fpcam *cam)
{
	struct device *dev = &cam->pdev->dev;

	cam->descriptors = dmam_alloc_coherent(dev, RING_BYTES, &cam->descriptors_iova, GFP_KERNEL);
	cam->records = dmam_alloc_coherent(dev, RING_BYTES, &cam->records_iova, GFP_KERNEL);
	if (!cam->descriptors || !cam->records)
		return -ENOMEM;
	if (fpcam_read(cam, FPCAM_VERSION) < FPCAM_VERSION_TAIL_WORD)
		return 0;
	cam->tail_word = dmam_alloc_coherent(dev, sizeof(*cam->tail_word), &cam->tail_word_iova,
					     GFP_KERNEL);
	return cam->tail_word ? 0 : -ENOMEM;
}

/* Makes the rings and the vb2 queue. */
int fpcam_capture_init(struct fpcam *cam)
{
	struct device *dev = &cam->pdev->dev;
	struct vb2_queue *queue = &cam->queue;
	int ret;

	ret = fpcam_alloc_rings(cam);
	if (ret)
		return ret;

	/* Buffers may be posted before the stream goes on, so the rings are told now. */
	fpcam_write(cam, FPCAM_CONTROL, 0);
	fpcam_write_address(cam, FPCAM_QUEUE_BASE, cam->descriptors_iova);
	fpcam_write_address(cam, FPCAM_COMPLETION_BASE, cam->records_iova);
	fpcam_write(cam, FPCAM_RING_ENTRIES, FPCAM_RING_ENTRIES_USED);
	if (cam->tail_word)
		fpcam_write_address(cam, FPCAM_QUEUE_TAIL_ADDR, cam->tail_word_iova);

	queue->type = V4L2_BUF_TYPE_VIDEO_CAPTURE;
	queue->io_modes = VB2_MMAP | VB2_DMABUF;
	queue->dev = dev;
	queue->lock = &cam->lock;
	queue->drv_priv = cam;
	queue->buf_struct_size = sizeof(struct fpcam_buffer);
	queue->ops = &fpcam_vb2_ops;
	queue->mem_ops = &vb2_dma_sg_memops;
	queue->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
	return vb2_queue_init(queue);
}

/* The device forgets the rings before they are freed. */
void fpcam_capture_exit(struct fpcam *cam)
{
	fpcam_write(cam, FPCAM_CONTROL, 0);
	fpcam_write(cam, FPCAM_RING_ENTRIES, 0);
	fpcam_write_address(cam, FPCAM_QUEUE_BASE, 0);
	fpcam_write_address(cam, FPCAM_COMPLETION_BASE, 0);
	if (cam->tail_word)
		fpcam_write_address(cam, FPCAM_QUEUE_TAIL_ADDR, 0);
	fpcam_read(cam, FPCAM_STATUS);
}
