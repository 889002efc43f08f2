// SPDX-License-Identifier: GPL-2.0
/*
 * Framebuffers, and the buffers behind them, which the device sees through a list (fencepost_bo.h).
 * What cannot be shown is refused when it is made, not when it is shown.
 */

#include <drm/drm_drv.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_gem_framebuffer_helper.h>
#include <drm/drm_plane.h>

#include "display_drv.h"

struct drm_gem_object *fpdisp_bo_alloc(struct drm_device *drm, size_t size)
{
	return fencepost_bo_alloc(&to_fpdisp(drm)->bos);
}

/* Offsets and pitches are multiples of what the device reads at once: a pixel, or a pair with its chroma. */
static bool fpdisp_is_aligned(const struct drm_format_info *info, const struct drm_mode_fb_cmd2 *cmd)
{
	int i;

	for (i = 0; i < info->num_planes; i++) {
		u32 unit = info->cpp[i] * (info->num_planes == 1 ? info->hsub : 1);

		if (cmd->pitches[i] % unit || cmd->offsets[i] % unit)
			return false;
	}
	return true;
}

/*
 * Whether a list can hold each of its buffers, which is known when they are mapped. That is done here for those alone that might be
 * too many pieces: the others wait for their first commit. An import is mapped already, and its pieces may be of any size.
 */
static int fpdisp_lists_fit(struct drm_framebuffer *fb)
{
	int i, idx, ret = 0;

	if (!drm_dev_enter(fb->dev, &idx))
		return -ENODEV;
	for (i = 0; i < fb->format->num_planes && !ret; i++) {
		struct drm_gem_object *obj = fb->obj[i];

		if (obj->import_attach || obj->size >> PAGE_SHIFT > FPDISP_SG_MAX_ENTRIES)
			ret = fencepost_bo_map(to_fencepost_bo(obj), FPDISP_SG_MAX_ENTRIES);
	}
	drm_dev_exit(idx);
	return ret;
}

struct drm_framebuffer *fpdisp_fb_create(struct drm_device *drm, struct drm_file *file,
					 const struct drm_mode_fb_cmd2 *cmd)
{
	struct drm_framebuffer *fb;
	int ret;

	/* Newer kernels ask this themselves; Linux 6.1 leaves it to the driver. */
	if (!drm_any_plane_has_format(drm, cmd->pixel_format, cmd->modifier[0]))
		return ERR_PTR(-EINVAL);
	if (!fpdisp_is_aligned(drm_get_format_info(drm, cmd), cmd))
		return ERR_PTR(-EINVAL);
	/* The device reads the whole picture for each frame, so a clip needs no more than a commit. */
	fb = drm_gem_fb_create_with_dirty(drm, file, cmd);
	if (IS_ERR(fb))
		return fb;
	ret = fpdisp_lists_fit(fb);
	if (!ret)
		return fb;
	drm_framebuffer_put(fb);
	return ERR_PTR(ret);
}
