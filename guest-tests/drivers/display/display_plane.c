// SPDX-License-Identifier: GPL-2.0
/* The primary plane. */

#include <drm/drm_atomic.h>
#include <drm/drm_atomic_helper.h>
#include <drm/drm_drv.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_gem_atomic_helper.h>
#include <drm/drm_gem_framebuffer_helper.h>

#include "display_drv.h"

static const u32 fpdisp_formats[] = { DRM_FORMAT_XRGB8888 };

/*
 * The byte of the buffer at which the shown rectangle begins. It fits: DRM takes no framebuffer
 * that ends beyond 4 GiB.
 */
static u32 fpdisp_first_byte(const struct drm_plane_state *state)
{
	const struct drm_framebuffer *fb = state->fb;

	return fb->offsets[0] + (state->src.y1 >> 16) * fb->pitches[0] +
	       (state->src.x1 >> 16) * fb->format->cpp[0];
}

/* A plane may keep its framebuffer while the CRTC is off, and get another one. */
static int fpdisp_plane_atomic_check(struct drm_plane *plane, struct drm_atomic_state *state)
{
	struct drm_plane_state *new = drm_atomic_get_new_plane_state(state, plane);
	struct drm_crtc_state *crtc_state;

	if (!new->crtc)
		return 0;
	crtc_state = drm_atomic_get_new_crtc_state(state, new->crtc);
	return drm_atomic_helper_check_plane_state(new, crtc_state, DRM_PLANE_NO_SCALING,
						   DRM_PLANE_NO_SCALING, false, true);
}

static int fpdisp_plane_prepare_fb(struct drm_plane *plane, struct drm_plane_state *new)
{
	int ret, idx;

	if (!new->fb)
		return 0;
	if (!drm_dev_enter(plane->dev, &idx))
		return -ENODEV;
	ret = fencepost_bo_map(to_fencepost_bo(new->fb->obj[0]), FPDISP_SG_MAX_ENTRIES);
	drm_dev_exit(idx);
	if (ret)
		return ret;
	/* Has the commit wait for the buffer's own fences, unless it brings an explicit one. */
	return drm_gem_plane_helper_prepare_fb(plane, new);
}

static void fpdisp_show(struct fpdisp_device *disp, const struct drm_plane_state *new)
{
	const struct fencepost_bo *bo = to_fencepost_bo(new->fb->obj[0]);

	fpdisp_write(disp, FPDISP_PLANE_FORMAT, new->fb->format->format);
	fpdisp_write(disp, FPDISP_PLANE_TABLE, lower_32_bits(bo->sg.dma));
	fpdisp_write(disp, FPDISP_PLANE_TABLE + 4, upper_32_bits(bo->sg.dma));
	fpdisp_write(disp, FPDISP_PLANE_ENTRIES, bo->sg.count);
	fpdisp_write(disp, FPDISP_PLANE_OFFSET, fpdisp_first_byte(new));
	fpdisp_write(disp, FPDISP_PLANE_PITCH, new->fb->pitches[0]);
	fpdisp_write(disp, FPDISP_PLANE_SIZE, FPDISP_SIZE(drm_rect_width(&new->dst),
							  drm_rect_height(&new->dst)));
	fpdisp_write(disp, FPDISP_PLANE_CONTROL, 1);
}

static void fpdisp_plane_atomic_update(struct drm_plane *plane, struct drm_atomic_state *state)
{
	struct drm_plane_state *new = drm_atomic_get_new_plane_state(state, plane);
	struct fpdisp_device *disp = to_fpdisp(plane->dev);
	int idx;

	if (!drm_dev_enter(plane->dev, &idx))
		return;
	if (new->fb && new->visible)
		fpdisp_show(disp, new);
	else
		fpdisp_write(disp, FPDISP_PLANE_CONTROL, 0);
	drm_dev_exit(idx);
}

static const struct drm_plane_helper_funcs fpdisp_plane_helper_funcs = {
	.prepare_fb = fpdisp_plane_prepare_fb,
	.atomic_check = fpdisp_plane_atomic_check,
	.atomic_update = fpdisp_plane_atomic_update,
	.atomic_disable = fpdisp_plane_atomic_update,
};

static const struct drm_plane_funcs fpdisp_plane_funcs = {
	.update_plane = drm_atomic_helper_update_plane,
	.disable_plane = drm_atomic_helper_disable_plane,
	.destroy = drm_plane_cleanup,
	.reset = drm_atomic_helper_plane_reset,
	.atomic_duplicate_state = drm_atomic_helper_plane_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_plane_destroy_state,
};

int fpdisp_plane_init(struct fpdisp_device *disp)
{
	int ret = drm_universal_plane_init(&disp->drm, &disp->primary, BIT(0), &fpdisp_plane_funcs,
					   fpdisp_formats, ARRAY_SIZE(fpdisp_formats), NULL,
					   DRM_PLANE_TYPE_PRIMARY, NULL);

	if (ret)
		return ret;
	drm_plane_helper_add(&disp->primary, &fpdisp_plane_helper_funcs);
	drm_plane_enable_fb_damage_clips(&disp->primary);
	return 0;
}
