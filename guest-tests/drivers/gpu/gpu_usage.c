// SPDX-License-Identifier: GPL-2.0
/*
 * What a file's jobs and buffers take, for /proc/PID/fdinfo: the keys of the kernel's
 * Documentation/gpu/drm-usage-stats.rst. Times are those that the device says of each job.
 */
#include <linux/idr.h>
#include <linux/math64.h>
#include <linux/seq_file.h>

#include <asm/tsc.h>

#include <drm/drm_file.h>

#include "gpu_drv.h"

/*
 * @fence has ended, when the ring's packets had taken @busy cycles: those that nobody has been charged
 * with were its. ring->lock is held.
 */
void fpgpu_charge(struct fpgpu_ring *ring, struct fpgpu_fence *fence, u64 busy)
{
	lockdep_assert_held(&ring->lock);
	/* All ones: nothing answers. */
	if (busy < ring->charged || busy == U64_MAX)
		return;
	atomic64_add(busy - ring->charged, &fence->job->file->busy[ring->index]);
	ring->charged = busy;
}

/* The buffers that a file has handles of, each once. */
struct fpgpu_memory fpgpu_file_memory(struct drm_file *file)
{
	struct fpgpu_memory memory = {};
	struct drm_gem_object *obj;
	int handle;

	spin_lock(&file->table_lock);
	idr_for_each_entry(&file->object_idr, obj, handle) {
		memory.total += obj->size;
		/* An import's pages are its exporter's, and there. */
		if (obj->import_attach || to_drm_gem_shmem_obj(obj)->pages)
			memory.resident += obj->size;
		if (obj->import_attach || obj->handle_count > 1)
			memory.shared += obj->size;
	}
	spin_unlock(&file->table_lock);
	return memory;
}

void fpgpu_show_usage(struct drm_printer *p, struct drm_file *file)
{
	struct fpgpu_device *gpu = to_fpgpu(file->minor->dev);
	struct fpgpu_memory memory = fpgpu_file_memory(file);
	struct fpgpu_file *file_priv = file->driver_priv;
	unsigned int i;

	for (i = 0; i < gpu->info.rings; i++) {
		u64 cycles = atomic64_read(&file_priv->busy[i]);

		/* The device counts in cycles of the processor's counter. */
		drm_printf(p, "drm-engine-ring%u:\t%llu ns\n", i,
			   mul_u64_u32_div(cycles, USEC_PER_SEC, tsc_khz));
		drm_printf(p, "drm-cycles-ring%u:\t%llu\n", i, cycles);
	}
	drm_printf(p, "drm-total-memory:\t%llu KiB\n", memory.total >> 10);
	drm_printf(p, "drm-shared-memory:\t%llu KiB\n", memory.shared >> 10);
	drm_printf(p, "drm-resident-memory:\t%llu KiB\n", memory.resident >> 10);
}
