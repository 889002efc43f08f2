// SPDX-License-Identifier: GPL-2.0
/* The primary plane. */

#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_gem_atomic_helper.h>

#include "display_drv.h"

static const u32 formats[] = { DRM_FORMAT_XRGB8888 };

/* The byte of the buffer at which the shown rectangle begins. */
static u64 first_byte(const struct drm_plane_state *state)
{
	const struct drm_framebuffer *fb = state->fb;

	return fb->offsets[0] + (u64)(state->src.y1 >> 16) * fb->pitches[0] +
	       (u64)(state->src.x1 >> 16) * fb->format->cpp[0];
}

static int fpd_plane_atomic_check(struct drm_plane *plane, struct drm_atomic_state *state)
{
	struct drm_plane_state *new = drm_atomic_get_new_plane_state(state, plane);
	struct drm_crtc_state *crtc_state;
	u64 offset;
	int ret;

	if (!new->crtc)
		return 0;
	crtc_state = drm_atomic_get_new_crtc_state(state, new->crtc);
	ret = drm_atomic_helper_check_plane_state(new, crtc_state, DRM_PLANE_NO_SCALING,
						  DRM_PLANE_NO_SCALING, false, false);
	if (ret || !new->visible)
		return ret;

	offset = first_byte(new);
	if (offset > U32_MAX || offset % 4 || new->fb->pitches[0] % 4)
		return -EINVAL;
	return 0;
}

static int fpd_plane_prepare_fb(struct drm_plane *plane, struct drm_plane_state *new)
{
	int ret;

	if (!new->fb)
		return 0;
	ret = fpd_fb_prepare(new->fb);
	if (ret)
		return ret;
	/* Has the commit wait for the buffer's own fences, unless it brings an explicit one. */
	return drm_gem_plane_helper_prepare_fb(plane, new);
}

static void fpd_plane_atomic_disable(struct drm_plane *plane, struct drm_atomic_state *state)
{
	fpd_write(to_fpd(plane->dev), FPD_PLANE_CONTROL, 0);
}

static void fpd_plane_atomic_update(struct drm_plane *plane, struct drm_atomic_state *state)
{
	struct drm_plane_state *new = drm_atomic_get_new_plane_state(state, plane);
	struct fpd_device *fpd = to_fpd(plane->dev);
	struct fpd_framebuffer *fpd_fb;

	if (!new->visible) {
		fpd_plane_atomic_disable(plane, state);
		return;
	}
	fpd_fb = to_fpd_fb(new->fb);
	fpd_write(fpd, FPD_PLANE_FORMAT, new->fb->format->format);
	fpd_write(fpd, FPD_PLANE_TABLE, lower_32_bits(fpd_fb->table_iova));
	fpd_write(fpd, FPD_PLANE_TABLE + 4, upper_32_bits(fpd_fb->table_iova));
	fpd_write(fpd, FPD_PLANE_ENTRIES, fpd_fb->entries);
	fpd_write(fpd, FPD_PLANE_OFFSET, first_byte(new));
	fpd_write(fpd, FPD_PLANE_PITCH, new->fb->pitches[0]);
	fpd_write(fpd, FPD_PLANE_SIZE, FPD_SIZE(drm_rect_width(&new->dst),
						drm_rect_height(&new->dst)));
	fpd_write(fpd, FPD_PLANE_CONTROL, 1);
}

static const struct drm_plane_helper_funcs fpd_plane_helper_funcs = {
	.prepare_fb = fpd_plane_prepare_fb,
	.atomic_check = fpd_plane_atomic_check,
	.atomic_update = fpd_plane_atomic_update,
	.atomic_disable = fpd_plane_atomic_disable,
};

static const struct drm_plane_funcs fpd_plane_funcs = {
	.update_plane = drm_atomic_helper_update_plane,
	.disable_plane = drm_atomic_helper_disable_plane,
	.destroy = drm_plane_cleanup,
	.reset = drm_atomic_helper_plane_reset,
	.atomic_duplicate_state = drm_atomic_helper_plane_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_plane_destroy_state,
};

int fpd_plane_init(struct fpd_device *fpd)
{
	int ret = drm_universal_plane_init(&fpd->drm, &fpd->primary, BIT(0), &fpd_plane_funcs,
					   formats, ARRAY_SIZE(formats), NULL,
					   DRM_PLANE_TYPE_PRIMARY, NULL);

	if (!ret)
		drm_plane_helper_add(&fpd->primary, &fpd_plane_helper_funcs);
	return ret;
}
