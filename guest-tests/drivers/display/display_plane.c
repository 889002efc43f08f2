// SPDX-License-Identifier: GPL-2.0
/* The planes: what each can do, and which states of it the device takes. */

#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_blend.h>
#include <drm/drm_color_mgmt.h>
#include <drm/drm_drv.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_gem_atomic_helper.h>

#include "display_drv.h"

static const u32 fpdisp_formats[] = {
	DRM_FORMAT_XRGB8888, DRM_FORMAT_ARGB8888, DRM_FORMAT_XBGR8888,
	DRM_FORMAT_RGB565,   DRM_FORMAT_NV12,	  DRM_FORMAT_YUYV,
};

static const u32 fpdisp_cursor_formats[] = { DRM_FORMAT_ARGB8888 };

/* In the device's order. The highest number that a plane may have in the order of all is the cursor's alone. */
static const enum drm_plane_type fpdisp_plane_types[FPDISP_PLANES] = {
	DRM_PLANE_TYPE_PRIMARY,
	DRM_PLANE_TYPE_OVERLAY,
	DRM_PLANE_TYPE_OVERLAY,
	DRM_PLANE_TYPE_CURSOR,
};

static bool fpdisp_scales(const struct drm_plane *plane)
{
	return fpdisp_plane_index(plane) == FPDISP_SCALING_PLANE;
}

static bool fpdisp_is_side(const struct drm_plane *plane, u32 px)
{
	if (plane->type == DRM_PLANE_TYPE_CURSOR)
		return px >= FPDISP_CURSOR_MIN && px <= FPDISP_CURSOR_MAX;
	return px >= 1;
}

static bool fpdisp_is_scale(u32 from, u32 to, u32 max)
{
	return from && to <= max && to <= from * FPDISP_MAX_SCALE && from <= to * FPDISP_MAX_SCALE;
}

static bool fpdisp_has_place(const struct drm_plane_state *a, const struct drm_plane_state *b)
{
	return a->src_x == b->src_x && a->src_y == b->src_y && a->src_w == b->src_w && a->src_h == b->src_h &&
	       a->crtc_w == b->crtc_w && a->crtc_h == b->crtc_h;
}

static bool fpdisp_has_look(const struct drm_plane_state *a, const struct drm_plane_state *b)
{
	return a->alpha == b->alpha && a->pixel_blend_mode == b->pixel_blend_mode && a->zpos == b->zpos &&
	       a->color_encoding == b->color_encoding && a->color_range == b->color_range &&
	       a->scaling_filter == b->scaling_filter;
}

/* Without waiting for a vertical blank the device changes the primary plane's buffer, and no more. */
static bool fpdisp_is_flip(const struct drm_plane *plane, const struct drm_plane_state *old,
			   const struct drm_plane_state *new)
{
	return plane->type == DRM_PLANE_TYPE_PRIMARY && old->fb && new->fb && old->visible && new->visible &&
	       old->fb->format == new->fb->format && old->fb->pitches[0] == new->fb->pitches[0] &&
	       new->fb->format->num_planes == 1 && old->crtc_x == new->crtc_x && old->crtc_y == new->crtc_y &&
	       fpdisp_has_place(old, new) && fpdisp_has_look(old, new);
}

/* A cursor that only moves, by the ioctls that are older than commits, waits for nothing. */
static int fpdisp_plane_async_check(struct drm_plane *plane, struct drm_atomic_state *state)
{
	struct drm_plane_state *old = drm_atomic_get_old_plane_state(state, plane);
	struct drm_plane_state *new = drm_atomic_get_new_plane_state(state, plane);
	struct drm_crtc_commit *commit;

	if (plane->type != DRM_PLANE_TYPE_CURSOR || !new->crtc || new->crtc != old->crtc || new->fb != old->fb ||
	    !fpdisp_has_place(old, new) || !fpdisp_has_look(old, new) || !new->crtc->state->active)
		return -EINVAL;
	/* Another commit may be on its way to the registers. */
	commit = new->crtc->state->commit;
	return commit && !try_wait_for_completion(&commit->hw_done) ? -EBUSY : 0;
}

static void fpdisp_plane_async_update(struct drm_plane *plane, struct drm_atomic_state *state)
{
	struct drm_plane_state *new = drm_atomic_get_new_plane_state(state, plane);
	struct fpdisp_head *head = fpdisp_plane_head(plane);

	plane->state->crtc_x = new->crtc_x;
	plane->state->crtc_y = new->crtc_y;
	plane->state->src = new->src;
	plane->state->dst = new->dst;
	plane->state->visible = new->visible;
	fpdisp_stage(plane, plane->state);
	spin_lock_irq(&head->drm->event_lock);
	fpdisp_commit(head, head->accepted + 1, FPDISP_COMMIT_GO | FPDISP_COMMIT_REPLACE);
	spin_unlock_irq(&head->drm->event_lock);
}

/* A plane may keep its framebuffer while the CRTC is off, and get another one. */
static int fpdisp_plane_atomic_check(struct drm_plane *plane, struct drm_atomic_state *state)
{
	struct drm_plane_state *new = drm_atomic_get_new_plane_state(state, plane);
	struct fpdisp_device *disp = to_fpdisp(plane->dev);
	int min = DRM_PLANE_NO_SCALING, max = DRM_PLANE_NO_SCALING, ret;
	/* The device has no parts of pixels. */
	u32 width = new->src_w >> 16, height = new->src_h >> 16;
	struct drm_crtc_state *crtc_state;

	if (!new->crtc)
		return 0;
	if (fpdisp_scales(plane)) {
		min = DRM_PLANE_NO_SCALING / FPDISP_MAX_SCALE;
		max = DRM_PLANE_NO_SCALING * FPDISP_MAX_SCALE;
	}
	crtc_state = drm_atomic_get_new_crtc_state(state, new->crtc);
	ret = drm_atomic_helper_check_plane_state(new, crtc_state, min, max, true, true);
	if (ret)
		return ret;
	if (crtc_state->async_flip && !fpdisp_is_flip(plane, drm_atomic_get_old_plane_state(state, plane), new))
		return -EINVAL;
	if (!new->visible)
		return 0;
	if (!fpdisp_is_side(plane, width) || !fpdisp_is_side(plane, height))
		return -EINVAL;
	if (!fpdisp_is_scale(width, new->crtc_w, disp->max_width) ||
	    !fpdisp_is_scale(height, new->crtc_h, disp->max_height))
		return -ERANGE;
	return 0;
}

static const struct drm_plane_helper_funcs fpdisp_plane_helper_funcs = {
	.prepare_fb = fpdisp_plane_prepare_fb,
	.atomic_check = fpdisp_plane_atomic_check,
	.atomic_update = fpdisp_plane_atomic_update,
	.atomic_disable = fpdisp_plane_atomic_update,
	.atomic_async_check = fpdisp_plane_async_check,
	.atomic_async_update = fpdisp_plane_async_update,
};

static const struct drm_plane_funcs fpdisp_plane_funcs = {
	.update_plane = drm_atomic_helper_update_plane,
	.disable_plane = drm_atomic_helper_disable_plane,
	.destroy = drm_plane_cleanup,
	.reset = drm_atomic_helper_plane_reset,
	.atomic_duplicate_state = drm_atomic_helper_plane_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_plane_destroy_state,
};

static int fpdisp_plane_add_blending(struct drm_plane *plane, unsigned int index)
{
	int ret = drm_plane_create_alpha_property(plane);

	if (!ret)
		ret = drm_plane_create_blend_mode_property(plane, BIT(DRM_MODE_BLEND_PIXEL_NONE) |
							   BIT(DRM_MODE_BLEND_PREMULTI) |
							   BIT(DRM_MODE_BLEND_COVERAGE));
	if (ret)
		return ret;
	if (plane->type == DRM_PLANE_TYPE_CURSOR)
		return drm_plane_create_zpos_immutable_property(plane, index);
	return drm_plane_create_zpos_property(plane, index, 0, FPDISP_PLANES - 2);
}

static int fpdisp_plane_add_colors(struct drm_plane *plane)
{
	return drm_plane_create_color_properties(plane,
						 BIT(DRM_COLOR_YCBCR_BT601) | BIT(DRM_COLOR_YCBCR_BT709),
						 BIT(DRM_COLOR_YCBCR_LIMITED_RANGE) |
						 BIT(DRM_COLOR_YCBCR_FULL_RANGE),
						 DRM_COLOR_YCBCR_BT601, DRM_COLOR_YCBCR_LIMITED_RANGE);
}

static int fpdisp_plane_add(struct fpdisp_head *head, unsigned int index)
{
	struct drm_plane *plane = &head->planes[index];
	bool cursor = fpdisp_plane_types[index] == DRM_PLANE_TYPE_CURSOR;
	int ret = drm_universal_plane_init(head->drm, plane, BIT(fpdisp_head_index(head)), &fpdisp_plane_funcs,
					   cursor ? fpdisp_cursor_formats : fpdisp_formats,
					   cursor ? ARRAY_SIZE(fpdisp_cursor_formats) :
						    ARRAY_SIZE(fpdisp_formats),
					   NULL, fpdisp_plane_types[index], NULL);

	if (ret)
		return ret;
	drm_plane_helper_add(plane, &fpdisp_plane_helper_funcs);
	drm_plane_enable_fb_damage_clips(plane);
	ret = fpdisp_plane_add_blending(plane, index);
	if (!ret && !cursor)
		ret = fpdisp_plane_add_colors(plane);
	if (!ret && fpdisp_scales(plane))
		ret = drm_plane_create_scaling_filter_property(plane,
							       BIT(DRM_SCALING_FILTER_DEFAULT) |
							       BIT(DRM_SCALING_FILTER_NEAREST_NEIGHBOR));
	return ret;
}

int fpdisp_planes_init(struct fpdisp_head *head)
{
	unsigned int i;
	int ret = 0;

	for (i = 0; i < FPDISP_PLANES && !ret; i++)
		ret = fpdisp_plane_add(head, i);
	return ret;
}
