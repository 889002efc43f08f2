// SPDX-License-Identifier: GPL-2.0
/*
 * Jobs: the commands of a submission, checked and turned into packets, and the buffers that they
 * name.
 */
#include <linux/capability.h>
#include <linux/slab.h>

#include <drm/drm_file.h>

#include "gpu_drv.h"
#include "gpu_job.h"

/* Finds a buffer, remembers it once for the job, and lets the device see it. */
static struct fpgpu_binding *fpgpu_job_add_bo(struct fpgpu_job *job, struct drm_file *file,
					      u32 handle, bool write)
{
	struct drm_gem_object *obj = drm_gem_object_lookup(file, handle);
	struct fpgpu_binding *binding;
	unsigned int i;
	int ret;

	if (!obj)
		return ERR_PTR(-ENOENT);
	for (i = 0; i < job->obj_count; i++) {
		if (job->objs[i] == obj) {
			drm_gem_object_put(obj);
			job->writes[i] |= write;
			return job->bindings[i];
		}
	}
	binding = fpgpu_bind(&job->file->vm, obj);
	if (IS_ERR(binding)) {
		drm_gem_object_put(obj);
		return binding;
	}
	ret = fpgpu_binding_map(binding);
	if (ret) {
		fpgpu_unbind(binding);
		drm_gem_object_put(obj);
		return ERR_PTR(ret);
	}
	job->objs[job->obj_count] = obj;
	job->bindings[job->obj_count] = binding;
	job->writes[job->obj_count] = write;
	job->obj_count++;
	return binding;
}

/* The virtual address of an operand of @bytes; of one that has an address for a handle nothing is checked. */
static int fpgpu_job_locate(struct fpgpu_job *job, struct drm_file *file,
			    const struct drm_fencepost_gpu_operand *operand, u64 bytes, bool write,
			    u64 *address)
{
	struct fpgpu_binding *binding;

	*address = operand->offset;
	if (job->by_address)
		return operand->handle ? -EINVAL : 0;
	binding = fpgpu_job_add_bo(job, file, operand->handle, write);
	if (IS_ERR(binding))
		return PTR_ERR(binding);
	if (operand->offset > binding->len || bytes > binding->len - operand->offset)
		return -EINVAL;
	*address += binding->node.start;
	return 0;
}

int fpgpu_job_window(struct fpgpu_job *job, struct drm_file *file, const struct fpgpu_want *want)
{
	const struct drm_fencepost_gpu_operand *operand = want->operand;
	u64 bytes = (u64)operand->stride * (want->rows - 1) + want->row;
	u64 address;
	int ret;

	if (want->rows > 1 && operand->stride < want->row)
		return -EINVAL;
	ret = fpgpu_job_locate(job, file, operand, bytes, want->write, &address);
	if (ret)
		return ret;
	want->window->start = cpu_to_le64(address);
	want->window->stride = cpu_to_le32(operand->stride);
	return 0;
}

bool fpgpu_operand_unused(const struct drm_fencepost_gpu_operand *operand)
{
	return !operand->handle && !operand->stride && !operand->offset;
}

static int fpgpu_job_rows(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
			  const struct drm_fencepost_gpu_command *cmd)
{
	bool copy = cmd->opcode == FENCEPOST_GPU_CMD_COPY;
	const struct fpgpu_want dst = { &cmd->dst, &packet->dst, cmd->width, cmd->height, true };
	const struct fpgpu_want src = { &cmd->src, &packet->src, cmd->width, cmd->height, false };
	int ret;

	if (cmd->flags || !cmd->width || !cmd->height || cmd->height > FPGPU_MAX_ROWS ||
	    (u64)cmd->width * cmd->height > FPGPU_MAX_AREA_BYTES ||
	    !fpgpu_operand_unused(&cmd->src2))
		return -EINVAL;
	if (copy ? cmd->value : cmd->width % 4 || upper_32_bits(cmd->value))
		return -EINVAL;
	if (!copy && !fpgpu_operand_unused(&cmd->src))
		return -EINVAL;
	ret = fpgpu_job_window(job, file, &dst);
	if (!ret && copy)
		ret = fpgpu_job_window(job, file, &src);
	return ret;
}

static int fpgpu_job_convert(struct fpgpu_job *job, struct drm_file *file,
			     struct fpgpu_packet *packet,
			     const struct drm_fencepost_gpu_command *cmd)
{
	const u32 known = FENCEPOST_GPU_CONVERT_NV12 | FENCEPOST_GPU_CONVERT_FULL;
	bool nv12 = cmd->flags & FENCEPOST_GPU_CONVERT_NV12;
	u32 max = job->ring->gpu->info.max_dimension;
	u32 src_row = nv12 ? cmd->width : 2 * cmd->width;
	const struct fpgpu_want dst = {
		&cmd->dst, &packet->dst, 4 * cmd->width, cmd->height, true
	};
	const struct fpgpu_want src = { &cmd->src, &packet->src, src_row, cmd->height, false };
	const struct fpgpu_want src2 = {
		&cmd->src2, &packet->src2, cmd->width, cmd->height / 2, false
	};
	int ret;

	if (cmd->flags & ~known || cmd->value || !cmd->width || !cmd->height ||
	    cmd->width > max || cmd->height > max || cmd->width % 2 || (nv12 && cmd->height % 2))
		return -EINVAL;
	if (!nv12 && !fpgpu_operand_unused(&cmd->src2))
		return -EINVAL;
	ret = fpgpu_job_window(job, file, &dst);
	if (!ret)
		ret = fpgpu_job_window(job, file, &src);
	if (!ret && nv12)
		ret = fpgpu_job_window(job, file, &src2);
	return ret;
}

/* Gives a packet the address of an aligned word. */
int fpgpu_job_address(struct fpgpu_job *job, struct drm_file *file, struct fpgpu_packet *packet,
		      const struct drm_fencepost_gpu_operand *operand, bool write)
{
	u64 address;
	int ret;

	if (!IS_ALIGNED(operand->offset, sizeof(u64)))
		return -EINVAL;
	ret = fpgpu_job_locate(job, file, operand, sizeof(u64), write, &address);
	if (!ret)
		packet->address = cpu_to_le64(address);
	return ret;
}

static int fpgpu_job_semaphore(struct fpgpu_job *job, struct drm_file *file,
			       struct fpgpu_packet *packet,
			       const struct drm_fencepost_gpu_command *cmd)
{
	bool wait = cmd->opcode == FENCEPOST_GPU_CMD_SEM_WAIT;
	u32 known = FENCEPOST_GPU_RAW_ADDRESS | (wait ? FENCEPOST_GPU_WAIT_EQUAL : 0);

	if (cmd->flags & ~known || cmd->width || cmd->height || cmd->dst.stride ||
	    !fpgpu_operand_unused(&cmd->src) || !fpgpu_operand_unused(&cmd->src2))
		return -EINVAL;
	packet->flags = cpu_to_le32(cmd->flags & ~FENCEPOST_GPU_RAW_ADDRESS);
	if (cmd->flags & FENCEPOST_GPU_RAW_ADDRESS) {
		if (cmd->dst.handle)
			return -EINVAL;
		if (!capable(CAP_SYS_RAWIO))
			return -EPERM;
		packet->context = 0;
		packet->address = cpu_to_le64(cmd->dst.offset);
		return 0;
	}
	return fpgpu_job_address(job, file, packet, &cmd->dst, !wait);
}

/* Whether the device has an opcode, and the ring takes it. */
static bool fpgpu_ring_takes(const struct fpgpu_ring *ring, u32 opcode)
{
	switch (opcode) {
	case FENCEPOST_GPU_CMD_NOP:
	case FENCEPOST_GPU_CMD_FILL:
	case FENCEPOST_GPU_CMD_COPY:
	case FENCEPOST_GPU_CMD_SEM_WAIT:
	case FENCEPOST_GPU_CMD_SEM_SIGNAL:
		return true;
	default:
		return opcode < BITS_PER_TYPE(u32) && ring->gpu->info.caps & BIT(opcode) &&
		       !fpgpu_ring_only_copies(ring);
	}
}

static int fpgpu_job_encode(struct fpgpu_job *job, struct drm_file *file,
			    struct fpgpu_packet *packet,
			    const struct drm_fencepost_gpu_command *cmd)
{
	if (!fpgpu_ring_takes(job->ring, cmd->opcode))
		return -EINVAL;
	packet->opcode = cpu_to_le32(cmd->opcode);
	packet->flags = cpu_to_le32(cmd->flags);
	packet->width = cpu_to_le32(cmd->width);
	packet->height = cpu_to_le32(cmd->height);
	packet->value = cpu_to_le64(cmd->value);
	packet->context = cpu_to_le32(job->file->vm.context);

	switch (cmd->opcode) {
	case FENCEPOST_GPU_CMD_NOP:
		if (job->by_address || memchr_inv(&cmd->flags, 0, sizeof(*cmd) - sizeof(cmd->opcode)))
			return -EINVAL;
		return 0;
	case FENCEPOST_GPU_CMD_FILL:
	case FENCEPOST_GPU_CMD_COPY:
		return fpgpu_job_rows(job, file, packet, cmd);
	case FENCEPOST_GPU_CMD_CONVERT:
		return fpgpu_job_convert(job, file, packet, cmd);
	case FENCEPOST_GPU_CMD_SEM_WAIT:
	case FENCEPOST_GPU_CMD_SEM_SIGNAL:
		return fpgpu_job_semaphore(job, file, packet, cmd);
	case FENCEPOST_GPU_CMD_SCALE:
		return fpgpu_job_scale(job, file, packet, cmd);
	case FENCEPOST_GPU_CMD_BLEND:
		return fpgpu_job_blend(job, file, packet, cmd);
	case FENCEPOST_GPU_CMD_ROTATE:
		return fpgpu_job_rotate(job, file, packet, cmd);
	case FENCEPOST_GPU_CMD_CHECKSUM:
		return fpgpu_job_checksum(job, file, packet, cmd);
	case FENCEPOST_GPU_CMD_COMPUTE:
		return fpgpu_job_compute(job, file, packet, cmd);
	default:
		return -EINVAL;
	}
}

/* Lets go of the buffers that the job names, but not of their places. */
void fpgpu_job_put_objs(struct fpgpu_job *job)
{
	unsigned int i;

	for (i = 0; i < job->obj_count; i++) {
		if (job->objs[i])
			drm_gem_object_put(job->objs[i]);
		job->objs[i] = NULL;
	}
}

/* Frees a job and what it holds, but for what drm_sched_job_cleanup() frees. */
void fpgpu_job_free(struct fpgpu_job *job)
{
	struct fpgpu_fence *fence = job->fence;
	unsigned int i;

	/* The device is to have forgotten the buffers before they go. */
	for (i = 0; i < job->obj_count; i++)
		fpgpu_unbind(job->bindings[i]);
	fpgpu_job_put_objs(job);
	fpgpu_waits_free(job);
	atomic_dec(&job->file->jobs);
	fpgpu_file_put(job->file);
	kvfree(job);
	/* Last: it may be what keeps the device's structure. */
	if (fence)
		fpgpu_fence_put(fence);
}

/* Makes a job of @count commands, all checked, with its buffers ready for the device. */
struct fpgpu_job *fpgpu_job_create(struct fpgpu_ring *ring, struct drm_file *file,
				   const struct drm_fencepost_gpu_command *commands,
				   unsigned int count)
{
	unsigned int i, room = count + FPGPU_MAX_SLICES, used = 0;
	struct fpgpu_job *job = kvzalloc(struct_size(job, packets, room), GFP_KERNEL);
	int ret = 0;

	if (!job)
		return ERR_PTR(-ENOMEM);
	job->ring = ring;
	job->file = file->driver_priv;
	kref_get(&job->file->refs);
	if (atomic_inc_return(&job->file->jobs) > FPGPU_MAX_FILE_JOBS)
		ret = -EBUSY;
	job->pid = task_tgid_nr(current);
	job->packet_count = room;
	job->fence = fpgpu_fence_alloc(ring->gpu, job->file->number);
	if (!job->fence)
		ret = -ENOMEM;
	for (i = 0; !ret && i < count; i++) {
		struct drm_fencepost_gpu_command command = commands[i];

		job->by_address = command.flags & FENCEPOST_GPU_VIRTUAL;
		command.flags &= ~FENCEPOST_GPU_VIRTUAL;
		ret = fpgpu_job_encode(job, file, &job->packets[used], &command);
		/* Room for one of each command that follows. */
		if (!ret)
			used += fpgpu_slice(&job->packets[used], room - used - (count - i - 1));
	}
	job->packet_count = used;
	if (ret) {
		fpgpu_job_free(job);
		return ERR_PTR(ret);
	}
	return job;
}
