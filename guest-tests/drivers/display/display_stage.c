// SPDX-License-Identifier: GPL-2.0
/* Planes on their way to the device: their buffers become visible to it, their states go to its registers. */

#include <drm/drm_atomic.h>
#include <drm/drm_blend.h>
#include <drm/drm_color_mgmt.h>
#include <drm/drm_drv.h>
#include <drm/drm_fourcc.h>
#include <drm/drm_framebuffer.h>
#include <drm/drm_gem_atomic_helper.h>

#include "display_drv.h"

int fpdisp_plane_prepare_fb(struct drm_plane *plane, struct drm_plane_state *new)
{
	int ret = 0, i, idx;

	if (!new->fb)
		return 0;
	if (!drm_dev_enter(plane->dev, &idx))
		return -ENODEV;
	for (i = 0; i < new->fb->format->num_planes && !ret; i++)
		ret = fencepost_bo_map(to_fencepost_bo(new->fb->obj[i]), FPDISP_SG_MAX_ENTRIES);
	drm_dev_exit(idx);
	if (ret)
		return ret;
	/* Has the commit wait for the buffers' own fences, unless it brings an explicit one. */
	return drm_gem_plane_helper_prepare_fb(plane, new);
}

/* Writes a register of a plane, whose first plane's is @reg. */
static void fpdisp_plane_write(struct drm_plane *plane, u32 reg, u32 value)
{
	fpdisp_write(fpdisp_plane_head(plane), reg + fpdisp_plane_index(plane) * FPDISP_PLANE_STRIDE, value);
}

static void fpdisp_stage_list(struct drm_plane *plane, u32 table, u32 entries,
			      const struct fencepost_sg_list *sg)
{
	fpdisp_plane_write(plane, table, lower_32_bits(sg->dma));
	fpdisp_plane_write(plane, table + 4, upper_32_bits(sg->dma));
	fpdisp_plane_write(plane, entries, sg->count);
}

static void fpdisp_stage_buffers(struct drm_plane *plane, const struct drm_framebuffer *fb)
{
	fpdisp_plane_write(plane, FPDISP_PLANE_FORMAT, fb->format->format);
	fpdisp_stage_list(plane, FPDISP_PLANE_TABLE, FPDISP_PLANE_ENTRIES,
			  &to_fencepost_bo(fb->obj[0])->sg);
	fpdisp_plane_write(plane, FPDISP_PLANE_OFFSET, fb->offsets[0]);
	fpdisp_plane_write(plane, FPDISP_PLANE_PITCH, fb->pitches[0]);
	if (fb->format->num_planes < 2)
		return;
	fpdisp_stage_list(plane, FPDISP_PLANE_CHROMA_TABLE, FPDISP_PLANE_CHROMA_ENTRIES,
			  &to_fencepost_bo(fb->obj[1])->sg);
	fpdisp_plane_write(plane, FPDISP_PLANE_CHROMA_OFFSET, fb->offsets[1]);
	fpdisp_plane_write(plane, FPDISP_PLANE_CHROMA_PITCH, fb->pitches[1]);
}

/* The device cuts what lies beyond the screen, so it gets both rectangles as user space gave them. */
static void fpdisp_stage_rectangles(struct drm_plane *plane, const struct drm_plane_state *new)
{
	fpdisp_plane_write(plane, FPDISP_PLANE_CROP, FPDISP_SIZE(new->src_x >> 16, new->src_y >> 16));
	fpdisp_plane_write(plane, FPDISP_PLANE_SIZE, FPDISP_SIZE(new->src_w >> 16, new->src_h >> 16));
	fpdisp_plane_write(plane, FPDISP_PLANE_POSITION,
			   FPDISP_SIZE((u16)new->crtc_x, (u16)new->crtc_y));
	fpdisp_plane_write(plane, FPDISP_PLANE_SCREEN_SIZE, FPDISP_SIZE(new->crtc_w, new->crtc_h));
}

static u32 fpdisp_blend(const struct drm_plane_state *new)
{
	/* The device has 8 of DRM's 16 bits. */
	u32 alpha = new->alpha >> 8 << FPDISP_BLEND_ALPHA_SHIFT;

	switch (new->pixel_blend_mode) {
	case DRM_MODE_BLEND_PREMULTI:
		return alpha | FPDISP_BLEND_PREMULTIPLIED;
	case DRM_MODE_BLEND_COVERAGE:
		return alpha | FPDISP_BLEND_COVERAGE;
	default:
		return alpha | FPDISP_BLEND_NONE;
	}
}

static void fpdisp_stage_look(struct drm_plane *plane, const struct drm_plane_state *new)
{
	u32 color = 0;

	if (new->color_encoding == DRM_COLOR_YCBCR_BT709)
		color |= FPDISP_COLOR_BT709;
	if (new->color_range == DRM_COLOR_YCBCR_FULL_RANGE)
		color |= FPDISP_COLOR_FULL_RANGE;
	fpdisp_plane_write(plane, FPDISP_PLANE_BLEND, fpdisp_blend(new));
	fpdisp_plane_write(plane, FPDISP_PLANE_COLOR, color);
	fpdisp_plane_write(plane, FPDISP_PLANE_ORDER, new->normalized_zpos);
	fpdisp_plane_write(plane, FPDISP_PLANE_FILTER,
			   new->scaling_filter == DRM_SCALING_FILTER_NEAREST_NEIGHBOR);
}

void fpdisp_stage(struct drm_plane *plane, const struct drm_plane_state *new)
{
	bool on = new->fb && new->visible;
	int idx;

	if (!drm_dev_enter(plane->dev, &idx))
		return;
	if (on) {
		fpdisp_stage_buffers(plane, new->fb);
		fpdisp_stage_rectangles(plane, new);
		fpdisp_stage_look(plane, new);
	}
	fpdisp_plane_write(plane, FPDISP_PLANE_CONTROL, on);
	drm_dev_exit(idx);
}

void fpdisp_plane_atomic_update(struct drm_plane *plane, struct drm_atomic_state *state)
{
	fpdisp_stage(plane, drm_atomic_get_new_plane_state(state, plane));
}

/* Planes that went while the CRTC was off are still in the registers. */
void fpdisp_planes_clear(struct fpdisp_head *head)
{
	unsigned int i;

	for (i = 0; i < FPDISP_PLANES; i++)
		fpdisp_plane_write(&head->planes[i], FPDISP_PLANE_CONTROL, 0);
}
