// SPDX-License-Identifier: GPL-2.0
/*
 * Framebuffers, and the buffers behind them, which the device sees through a list (fencepost_bo.h). What cannot be shown
 * is refused when it is made, not when it is shown.
 */

#include <drm/drm_gem_framebuffer_helper.h>
#include <drm/drm_plane.h>

#include "display_drv.h"

static const struct drm_gem_object_funcs fpd_bo_funcs = {
	.free = fencepost_bo_free,
	.print_info = drm_gem_shmem_object_print_info,
	.pin = drm_gem_shmem_object_pin,
	.unpin = drm_gem_shmem_object_unpin,
	.get_sg_table = drm_gem_shmem_object_get_sg_table,
	.vmap = drm_gem_shmem_object_vmap,
	.vunmap = drm_gem_shmem_object_vunmap,
	.mmap = drm_gem_shmem_object_mmap,
	.vm_ops = &drm_gem_shmem_vm_ops,
};

/* The helpers' allocator of objects. */
struct drm_gem_object *fpd_bo_create(struct drm_device *drm, size_t size)
{
	return fencepost_bo_alloc(&to_fpd(drm)->bos, &fpd_bo_funcs);
}

/* PLANE_OFFSET and PLANE_PITCH take multiples of this. */
#define ALIGNMENT 4

struct drm_framebuffer *fpd_fb_create(struct drm_device *drm, struct drm_file *file,
				      const struct drm_mode_fb_cmd2 *cmd)
{
	/* Newer kernels ask this themselves; Linux 6.1 leaves it to the driver. */
	if (!drm_any_plane_has_format(drm, cmd->pixel_format, cmd->modifier[0]))
		return ERR_PTR(-EINVAL);
	if (cmd->pitches[0] % ALIGNMENT || cmd->offsets[0] % ALIGNMENT)
		return ERR_PTR(-EINVAL);
	return drm_gem_fb_create(drm, file, cmd);
}
