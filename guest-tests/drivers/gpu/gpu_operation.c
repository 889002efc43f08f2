// SPDX-License-Identifier: GPL-2.0
/*
 * The commands that work on pictures as wholes, and compute jobs: what user space says, checked, as
 * packets. The fields that both have in common are copied by fpgpu_job_encode().
 */
#include "gpu_job.h"

static bool fpgpu_size_fits(const struct fpgpu_job *job, u32 width, u32 height)
{
	u32 max = job->ring->gpu->info.max_dimension;

	return width && height && width <= max && height <= max;
}

/* A picture of 32-bit pixels to write, and one to read. */
static int fpgpu_job_pictures(struct fpgpu_job *job, struct drm_file *file,
			      struct fpgpu_packet *packet,
			      const struct drm_fencepost_gpu_command *cmd, const u32 dst_size[2],
			      const u32 src_size[2])
{
	const struct fpgpu_want dst = {
		&cmd->dst, &packet->dst, FPGPU_PIXEL_BYTES * dst_size[0], dst_size[1], true
	};
	const struct fpgpu_want src = {
		&cmd->src, &packet->src, FPGPU_PIXEL_BYTES * src_size[0], src_size[1], false
	};
	int ret;

	if (!fpgpu_operand_unused(&cmd->src2) ||
	    !fpgpu_size_fits(job, dst_size[0], dst_size[1]) ||
	    !fpgpu_size_fits(job, src_size[0], src_size[1]))
		return -EINVAL;
	ret = fpgpu_job_window(job, file, &dst);
	return ret ? ret : fpgpu_job_window(job, file, &src);
}

int fpgpu_job_scale(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		    const struct drm_fencepost_gpu_command *cmd)
{
	const u32 dst_size[2] = { cmd->width, cmd->height };
	const u32 src_size[2] = { lower_32_bits(cmd->value), upper_32_bits(cmd->value) };

	if (cmd->flags & ~FENCEPOST_GPU_SCALE_BILINEAR)
		return -EINVAL;
	packet->value = 0;
	packet->src_width = cpu_to_le32(src_size[0]);
	packet->src_height = cpu_to_le32(src_size[1]);
	return fpgpu_job_pictures(job, file, packet, cmd, dst_size, src_size);
}

int fpgpu_job_blend(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		    const struct drm_fencepost_gpu_command *cmd)
{
	const u32 size[2] = { cmd->width, cmd->height };

	if (cmd->flags > FENCEPOST_GPU_BLEND_COVERAGE || cmd->value > U8_MAX)
		return -EINVAL;
	return fpgpu_job_pictures(job, file, packet, cmd, size, size);
}

int fpgpu_job_rotate(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		     const struct drm_fencepost_gpu_command *cmd)
{
	const u32 known = FENCEPOST_GPU_ROTATE_270 | FENCEPOST_GPU_FLIP_X | FENCEPOST_GPU_FLIP_Y;
	const u32 size[2] = { cmd->width, cmd->height }, turned[2] = { cmd->height, cmd->width };
	bool transposes = cmd->flags & FENCEPOST_GPU_ROTATE_90;

	if (cmd->flags & ~known || cmd->value)
		return -EINVAL;
	return fpgpu_job_pictures(job, file, packet, cmd, transposes ? turned : size, size);
}

int fpgpu_job_checksum(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		       const struct drm_fencepost_gpu_command *cmd)
{
	const struct fpgpu_want src = { &cmd->src, &packet->src, cmd->width, cmd->height, false };
	int ret;

	if (cmd->flags || cmd->value || cmd->dst.stride || !fpgpu_operand_unused(&cmd->src2) ||
	    !cmd->width || !cmd->height || cmd->height > FPGPU_MAX_ROWS ||
	    (u64)cmd->width * cmd->height > FPGPU_MAX_AREA_BYTES)
		return -EINVAL;
	ret = fpgpu_job_window(job, file, &src);
	return ret ? ret : fpgpu_job_address(job, file, packet, &cmd->dst, true);
}

static bool fpgpu_is_words(u32 bytes)
{
	return bytes && IS_ALIGNED(bytes, sizeof(u32)) && bytes <= FPGPU_MAX_WORDS_BYTES;
}

int fpgpu_job_compute(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		      const struct drm_fencepost_gpu_command *cmd)
{
	u32 instructions = cmd->src2.stride / FPGPU_INSTRUCTION_BYTES;
	const struct fpgpu_want program = { &cmd->src2, &packet->src2, cmd->src2.stride, 1, false };
	const struct fpgpu_want dst = { &cmd->dst, &packet->dst, cmd->dst.stride, 1, true };
	const struct fpgpu_want src = { &cmd->src, &packet->src, cmd->src.stride, 1, false };
	int ret;

	if (cmd->flags || !fpgpu_size_fits(job, cmd->width, cmd->height) ||
	    cmd->width * cmd->height > FPGPU_MAX_PLACES || !fpgpu_is_words(cmd->dst.stride) ||
	    cmd->src2.stride % FPGPU_INSTRUCTION_BYTES || !instructions ||
	    instructions > FPGPU_MAX_INSTRUCTIONS)
		return -EINVAL;
	if (!fpgpu_operand_unused(&cmd->src) && !fpgpu_is_words(cmd->src.stride))
		return -EINVAL;
	packet->src_width = cpu_to_le32(instructions);
	ret = fpgpu_job_window(job, file, &program);
	if (!ret)
		ret = fpgpu_job_window(job, file, &dst);
	if (!ret && cmd->src.stride)
		ret = fpgpu_job_window(job, file, &src);
	return ret;
}
