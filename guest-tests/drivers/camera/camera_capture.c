// SPDX-License-Identifier: GPL-2.0
/* The Fencepost camera's capture queue: buffers of vb2. */

#include <linux/dma-mapping.h>

#include "camera_drv.h"

static int fpcam_queue_setup(struct vb2_queue *queue, unsigned int *buffers,
			     unsigned int *planes, unsigned int sizes[],
			     struct device *alloc_devs[])
{
	struct fpcam_device *cam = vb2_get_drv_priv(queue);
	unsigned int plane;

	if (*planes && *planes != cam->format->planes)
		return -EINVAL;
	for (plane = 0; plane < cam->format->planes; plane++) {
		if (!*planes)
			sizes[plane] = fpcam_plane_bytes(cam, plane);
		else if (sizes[plane] < fpcam_plane_bytes(cam, plane))
			return -EINVAL;
	}
	*planes = cam->format->planes;
	return 0;
}

static void fpcam_buf_cleanup(struct vb2_buffer *vb)
{
	struct fpcam_device *cam = vb2_get_drv_priv(vb->vb2_queue);
	unsigned int plane;

	fpcam_sync_forget(to_fpcam_buffer(vb));
	for (plane = 0; plane < vb->num_planes; plane++)
		fencepost_sg_free(&to_fpcam_buffer(vb)->sg[plane], &cam->pdev->dev);
}

/* Writes the buffer's SG lists once: vb2 keeps the mapping as long as the buffer. */
static int fpcam_buf_init(struct vb2_buffer *vb)
{
	struct fpcam_device *cam = vb2_get_drv_priv(vb->vb2_queue);
	struct fpcam_buffer *buffer = to_fpcam_buffer(vb);
	unsigned int plane;
	int ret = 0;

	buffer->has_frame = false;
	for (plane = 0; !ret && plane < vb->num_planes; plane++)
		ret = fencepost_sg_build(&buffer->sg[plane], &cam->pdev->dev,
					 vb2_plane_cookie(vb, plane), FPCAM_SG_MAX_ENTRIES);
	if (ret)
		fpcam_buf_cleanup(vb);
	return ret;
}

static int fpcam_buf_prepare(struct vb2_buffer *vb)
{
	struct fpcam_device *cam = vb2_get_drv_priv(vb->vb2_queue);
	unsigned int plane;

	if (vb->num_planes != cam->format->planes)
		return -EINVAL;
	for (plane = 0; plane < vb->num_planes; plane++) {
		if (vb2_plane_size(vb, plane) < fpcam_plane_bytes(cam, plane))
			return -EINVAL;
		vb2_set_plane_payload(vb, plane, fpcam_plane_bytes(cam, plane));
	}
	return fpcam_sync_prepare(cam, to_fpcam_buffer(vb));
}

static void fpcam_buf_queue(struct vb2_buffer *vb)
{
	fpcam_post(vb2_get_drv_priv(vb->vb2_queue), to_fpcam_buffer(vb));
}

/* Switches the stream on as it is set up. */
int fpcam_stream(struct fpcam_device *cam)
{
	fpcam_write(cam, FPCAM_FORMAT, cam->format->device_fourcc);
	fpcam_write(cam, FPCAM_WIDTH, cam->pix.width);
	fpcam_write(cam, FPCAM_HEIGHT, cam->pix.height);
	fpcam_write(cam, FPCAM_STRIDE, cam->pix.bytesperline);
	fpcam_write(cam, FPCAM_RATE_NUM, cam->interval.denominator);
	fpcam_write(cam, FPCAM_RATE_DEN, cam->interval.numerator);
	fpcam_selection_program(cam);
	fpcam_write(cam, FPCAM_CONTROL, FPCAM_CONTROL_STREAM);
	return fpcam_read(cam, FPCAM_STATUS) & FPCAM_STATUS_STREAMING ? 0 : -EIO;
}

static int fpcam_start_streaming(struct vb2_queue *queue, unsigned int count)
{
	struct fpcam_device *cam = vb2_get_drv_priv(queue);
	int ret;

	cam->first_sequence = 0;
	cam->next_sequence = 0;
	ret = fpcam_media_start(cam);
	if (ret)
		goto give_back;
	ret = fpcam_stream(cam);
	if (!ret) {
		cam->streaming = true;
		fpcam_watch_start(cam);
		return 0;
	}
	fpcam_media_stop(cam);
give_back:
	fpcam_halt(cam);
	fpcam_empty(cam, VB2_BUF_STATE_QUEUED);
	return ret;
}

static void fpcam_stop_streaming(struct vb2_queue *queue)
{
	struct fpcam_device *cam = vb2_get_drv_priv(queue);

	cam->streaming = false;
	fpcam_halt(cam);
	fpcam_empty(cam, VB2_BUF_STATE_ERROR);
	fpcam_media_stop(cam);
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

/* Makes the rings and the vb2 queue. */
int fpcam_capture_init(struct fpcam_device *cam)
{
	struct vb2_queue *queue = &cam->queue;
	int ret;

	ret = fpcam_rings_init(cam);
	if (!ret)
		ret = fpcam_sync_init(cam);
	if (ret)
		return ret;
	/* Buffers may be posted before the stream starts, so the device gets the rings now. */
	fpcam_rings_program(cam);

	queue->type = cam->multiplanar ? V4L2_BUF_TYPE_VIDEO_CAPTURE_MPLANE :
					 V4L2_BUF_TYPE_VIDEO_CAPTURE;
	queue->io_modes = VB2_MMAP | VB2_USERPTR | VB2_DMABUF;
	if (!cam->multiplanar)
		queue->io_modes |= VB2_READ;
	queue->dev = &cam->pdev->dev;
	queue->lock = &cam->lock;
	queue->drv_priv = cam;
	queue->buf_struct_size = sizeof(struct fpcam_buffer);
	queue->ops = &fpcam_vb2_ops;
	queue->mem_ops = &fpcam_memops;
	queue->timestamp_flags = V4L2_BUF_FLAG_TIMESTAMP_MONOTONIC;
	return vb2_queue_init(queue);
}
