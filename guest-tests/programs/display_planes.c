// SPDX-License-Identifier: GPL-2.0
/* All planes of a display: see display_planes.h. */
#include "display_planes.h"

#include <errno.h>
#include <string.h>
#include <sys/mman.h>

#include <drm/drm_fourcc.h>

#define MAX_WORDS 16

static int look_at(struct display *display, uint32_t id, struct plane *plane)
{
	struct drm_mode_get_plane get = {
		.plane_id = id,
		.format_type_ptr = (uintptr_t)plane->formats,
		.count_format_types = DISPLAY_MAX_FORMATS,
	};
	uint64_t type = PLANE_OVERLAY;
	int ret = display_ioctl(display->fd, DRM_IOCTL_MODE_GETPLANE, &get);

	if (ret)
		return ret;
	if (!(get.possible_crtcs & (1u << display->crtc_index)))
		return -ENOENT;
	display_property(display->fd, id, DRM_MODE_OBJECT_PLANE, "type", &type);
	plane->id = id;
	plane->type = type;
	plane->formats_len = get.count_format_types;
	plane->scales = display_property(display->fd, id, DRM_MODE_OBJECT_PLANE, "SCALING_FILTER", NULL);
	plane->colors = display_property(display->fd, id, DRM_MODE_OBJECT_PLANE, "COLOR_ENCODING", NULL);
	return 0;
}

int display_planes(struct display *display, struct plane *planes)
{
	uint32_t ids[DISPLAY_MAX_PLANES];
	struct drm_mode_get_plane_res res = {
		.plane_id_ptr = (uintptr_t)ids,
		.count_planes = DISPLAY_MAX_PLANES,
	};
	int ret = display_ioctl(display->fd, DRM_IOCTL_MODE_GETPLANERESOURCES, &res), count = 0;

	if (ret)
		return ret;
	for (uint32_t i = 0; i < res.count_planes && i < DISPLAY_MAX_PLANES; i++)
		if (!look_at(display, ids[i], &planes[count]))
			count++;
	return count;
}

bool plane_has_format(const struct plane *plane, uint32_t format)
{
	for (uint32_t i = 0; i < plane->formats_len; i++)
		if (plane->formats[i] == format)
			return true;
	return false;
}

int plane_buffer_make(struct display *display, uint32_t bytes, struct plane_buffer *buffer)
{
	struct drm_mode_create_dumb create = { .width = (bytes + 4095) / 4096 * 1024, .height = 1, .bpp = 32 };
	struct drm_mode_map_dumb map = { 0 };
	int ret = display_ioctl(display->fd, DRM_IOCTL_MODE_CREATE_DUMB, &create);

	map.handle = buffer->handle = create.handle;
	buffer->size = create.size;
	if (!ret)
		ret = display_ioctl(display->fd, DRM_IOCTL_MODE_MAP_DUMB, &map);
	if (ret)
		return ret;
	buffer->pixels = mmap(NULL, buffer->size, PROT_READ | PROT_WRITE, MAP_SHARED, display->fd, map.offset);
	return buffer->pixels == MAP_FAILED ? -errno : 0;
}

int plane_add_fb(struct display *display, const struct plane_view *view, uint32_t *fb)
{
	struct drm_mode_fb_cmd2 add = {
		.width = view->width,
		.height = view->height,
		.pixel_format = view->format,
	};
	int parts = view->format == DRM_FORMAT_NV12 ? 2 : 1, ret;

	for (int i = 0; i < parts; i++) {
		add.handles[i] = view->buffers[i]->handle;
		add.pitches[i] = view->pitches[i];
		add.offsets[i] = view->offsets[i];
	}
	ret = display_ioctl(display->fd, DRM_IOCTL_MODE_ADDFB2, &add);
	*fb = add.fb_id;
	return ret;
}

void plane_add_value(struct display *display, struct display_change *change, const struct plane *plane,
		     const char *name, uint64_t value)
{
	uint32_t id = display_property(display->fd, plane->id, DRM_MODE_OBJECT_PLANE, name, NULL);

	display_add(change, plane->id, id, value);
}

uint64_t plane_word(struct display *display, const struct plane *plane, const char *name, const char *word)
{
	struct drm_mode_property_enum words[MAX_WORDS];
	struct drm_mode_get_property get = {
		.prop_id = display_property(display->fd, plane->id, DRM_MODE_OBJECT_PLANE, name, NULL),
		.enum_blob_ptr = (uintptr_t)words,
		.count_enum_blobs = MAX_WORDS,
	};

	if (display_ioctl(display->fd, DRM_IOCTL_MODE_GETPROPERTY, &get))
		return UINT64_MAX;
	for (uint32_t i = 0; i < get.count_enum_blobs && i < MAX_WORDS; i++)
		if (!strcmp(words[i].name, word))
			return words[i].value;
	return UINT64_MAX;
}

static void add_word(struct display *display, struct display_change *change, const struct plane *plane,
		     const char *name, const char *word)
{
	plane_add_value(display, change, plane, name, plane_word(display, plane, name, word));
}

static void add_look(struct display *display, struct display_change *change, const struct plane *plane,
		     const struct plane_view *view)
{
	static const char *const blends[] = { "None", "Pre-multiplied", "Coverage" };

	plane_add_value(display, change, plane, "alpha", view->alpha);
	add_word(display, change, plane, "pixel blend mode", blends[view->blend]);
	if (plane->type != PLANE_CURSOR)
		plane_add_value(display, change, plane, "zpos", view->zpos);
	if (plane->colors) {
		add_word(display, change, plane, "COLOR_ENCODING",
			 view->bt709 ? "ITU-R BT.709 YCbCr" : "ITU-R BT.601 YCbCr");
		add_word(display, change, plane, "COLOR_RANGE",
			 view->full_range ? "YCbCr full range" : "YCbCr limited range");
	}
	if (plane->scales)
		add_word(display, change, plane, "SCALING_FILTER", view->nearest ? "Nearest Neighbor" : "Default");
}

void plane_add(struct display *display, struct display_change *change, const struct plane *plane,
	       const struct plane_view *view, uint32_t fb)
{
	plane_add_value(display, change, plane, "FB_ID", fb);
	plane_add_value(display, change, plane, "CRTC_ID", fb ? display->crtc : 0);
	if (!fb)
		return;
	/* Source coordinates are 16.16 fixed point. */
	plane_add_value(display, change, plane, "SRC_X", (uint64_t)view->src_x << 16);
	plane_add_value(display, change, plane, "SRC_Y", (uint64_t)view->src_y << 16);
	plane_add_value(display, change, plane, "SRC_W", (uint64_t)view->src_w << 16);
	plane_add_value(display, change, plane, "SRC_H", (uint64_t)view->src_h << 16);
	plane_add_value(display, change, plane, "CRTC_X", (int64_t)view->x);
	plane_add_value(display, change, plane, "CRTC_Y", (int64_t)view->y);
	plane_add_value(display, change, plane, "CRTC_W", view->w);
	plane_add_value(display, change, plane, "CRTC_H", view->h);
	add_look(display, change, plane, view);
}
