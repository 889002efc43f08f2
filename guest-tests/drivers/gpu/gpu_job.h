/* SPDX-License-Identifier: GPL-2.0 */
/* What the commands of a job are checked and turned into packets by. */
#ifndef FENCEPOST_GPU_JOB_H
#define FENCEPOST_GPU_JOB_H

#include "gpu_drv.h"

/* A window of @rows rows of @row bytes, wanted by a command. */
struct fpgpu_want {
	const struct drm_fencepost_gpu_operand *operand;
	struct fpgpu_window *window;
	u32 row;
	u32 rows;
	bool write;
};

/* gpu_job.c */
int fpgpu_job_window(struct fpgpu_job *job, struct drm_file *file, const struct fpgpu_want *want);
int fpgpu_job_address(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		      const struct drm_fencepost_gpu_operand *operand, bool write);
bool fpgpu_operand_unused(const struct drm_fencepost_gpu_operand *operand);

/* gpu_slice.c */
unsigned int fpgpu_slice(struct fpgpu_packet *packets, unsigned int most);

/* gpu_operation.c */
int fpgpu_job_scale(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		    const struct drm_fencepost_gpu_command *cmd);
int fpgpu_job_blend(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		    const struct drm_fencepost_gpu_command *cmd);
int fpgpu_job_rotate(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		     const struct drm_fencepost_gpu_command *cmd);
int fpgpu_job_checksum(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		       const struct drm_fencepost_gpu_command *cmd);
int fpgpu_job_compute(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		      const struct drm_fencepost_gpu_command *cmd);

#endif /* FENCEPOST_GPU_JOB_H */
