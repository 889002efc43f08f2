// SPDX-License-Identifier: GPL-2.0
/* A display by raw DRM ioctls: see display.h. */
#include "display.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "display_commit.h"

/* Above what any card of this machine has; a list that is longer is cut. */
#define MAX_OBJECTS 16
#define MAX_PROPERTIES 64
#define MAX_MODES 64
/* DRM numbers its nodes from 0 (card) and 128 (renderD), 64 of each. */
#define NODES_OF_A_KIND 64
/* Values of a plane's "type" property; the kernel's headers do not name them. */
#define PLANE_TYPE_OVERLAY 0
#define PLANE_TYPE_PRIMARY 1

int display_ioctl(int fd, unsigned long request, void *arg)
{
	int ret;

	do {
		ret = ioctl(fd, request, arg);
	} while (ret < 0 && (errno == EINTR || errno == EAGAIN));
	return ret < 0 ? -errno : 0;
}

static int is_driver(int fd, const char *driver)
{
	char name[64] = "";
	struct drm_version version = { .name = name, .name_len = sizeof(name) - 1 };

	return display_ioctl(fd, DRM_IOCTL_VERSION, &version) == 0 &&
	       strcmp(name, driver) == 0;
}

int display_open_node(const char *node, const char *driver)
{
	int first = strcmp(node, "renderD") == 0 ? 128 : 0;

	for (int n = first; n < first + NODES_OF_A_KIND; n++) {
		char path[64];
		int fd;

		snprintf(path, sizeof(path), "/dev/dri/%s%d", node, n);
		fd = open(path, O_RDWR | O_CLOEXEC);
		if (fd < 0)
			continue;
		if (is_driver(fd, driver))
			return fd;
		close(fd);
	}
	return -ENODEV;
}

uint32_t display_property(int fd, uint32_t object, uint32_t type, const char *name,
			  uint64_t *value)
{
	uint32_t ids[MAX_PROPERTIES];
	uint64_t values[MAX_PROPERTIES];
	struct drm_mode_obj_get_properties get = {
		.props_ptr = (uintptr_t)ids,
		.prop_values_ptr = (uintptr_t)values,
		.count_props = MAX_PROPERTIES,
		.obj_id = object,
		.obj_type = type,
	};

	if (display_ioctl(fd, DRM_IOCTL_MODE_OBJ_GETPROPERTIES, &get))
		return 0;
	for (uint32_t i = 0; i < get.count_props && i < MAX_PROPERTIES; i++) {
		struct drm_mode_get_property prop = { .prop_id = ids[i] };

		if (display_ioctl(fd, DRM_IOCTL_MODE_GETPROPERTY, &prop))
			continue;
		if (strcmp(prop.name, name) == 0) {
			if (value)
				*value = values[i];
			return ids[i];
		}
	}
	return 0;
}

static int look_up(int fd, uint32_t object, uint32_t type, const char *name,
		   uint32_t *id)
{
	*id = display_property(fd, object, type, name, NULL);
	return *id ? 0 : -ENOENT;
}

static int look_up_properties(struct display *d)
{
	struct display_properties *p = &d->props;
	const struct {
		uint32_t object;
		uint32_t type;
		const char *name;
		uint32_t *id;
	} wanted[] = {
		{ d->connector, DRM_MODE_OBJECT_CONNECTOR, "CRTC_ID", &p->connector_crtc_id },
		{ d->crtc, DRM_MODE_OBJECT_CRTC, "ACTIVE", &p->crtc_active },
		{ d->crtc, DRM_MODE_OBJECT_CRTC, "MODE_ID", &p->crtc_mode_id },
		{ d->crtc, DRM_MODE_OBJECT_CRTC, "OUT_FENCE_PTR", &p->crtc_out_fence_ptr },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "FB_ID", &p->plane_fb_id },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "CRTC_ID", &p->plane_crtc_id },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "IN_FENCE_FD", &p->plane_in_fence_fd },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "SRC_X", &p->plane_src_x },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "SRC_Y", &p->plane_src_y },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "SRC_W", &p->plane_src_w },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "SRC_H", &p->plane_src_h },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "CRTC_X", &p->plane_crtc_x },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "CRTC_Y", &p->plane_crtc_y },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "CRTC_W", &p->plane_crtc_w },
		{ d->plane, DRM_MODE_OBJECT_PLANE, "CRTC_H", &p->plane_crtc_h },
	};

	for (size_t i = 0; i < sizeof(wanted) / sizeof(wanted[0]); i++) {
		int ret = look_up(d->fd, wanted[i].object, wanted[i].type,
				  wanted[i].name, wanted[i].id);

		if (ret)
			return ret;
	}
	return 0;
}

/* The preferred mode of a connected connector, or the first it has. */
static int find_mode(int fd, uint32_t id, struct drm_mode_modeinfo *mode,
		     uint32_t *encoder)
{
	struct drm_mode_modeinfo modes[MAX_MODES];
	uint32_t encoders[MAX_OBJECTS];
	/* Without room for modes the kernel probes the connector. */
	struct drm_mode_get_connector get = { .connector_id = id };
	int ret = display_ioctl(fd, DRM_IOCTL_MODE_GETCONNECTOR, &get);

	if (ret)
		return ret;
	if (get.connection != 1 || !get.count_modes || !get.count_encoders)
		return -ENXIO;
	if (get.count_modes > MAX_MODES || get.count_encoders > MAX_OBJECTS)
		return -E2BIG;
	get.modes_ptr = (uintptr_t)modes;
	get.encoders_ptr = (uintptr_t)encoders;
	get.count_props = 0;
	ret = display_ioctl(fd, DRM_IOCTL_MODE_GETCONNECTOR, &get);
	if (ret)
		return ret;
	*encoder = encoders[0];
	*mode = modes[0];
	for (uint32_t i = 0; i < get.count_modes && i < MAX_MODES; i++) {
		if (modes[i].type & DRM_MODE_TYPE_PREFERRED) {
			*mode = modes[i];
			break;
		}
	}
	return 0;
}

static int find_primary_plane(struct display *d)
{
	uint32_t planes[MAX_OBJECTS];
	struct drm_mode_get_plane_res res = {
		.plane_id_ptr = (uintptr_t)planes,
		.count_planes = MAX_OBJECTS,
	};
	int ret = display_ioctl(d->fd, DRM_IOCTL_MODE_GETPLANERESOURCES, &res);

	if (ret)
		return ret;
	for (uint32_t i = 0; i < res.count_planes && i < MAX_OBJECTS; i++) {
		struct drm_mode_get_plane plane = { .plane_id = planes[i] };
		uint64_t type = PLANE_TYPE_OVERLAY;

		if (display_ioctl(d->fd, DRM_IOCTL_MODE_GETPLANE, &plane) ||
		    !(plane.possible_crtcs & (1u << d->crtc_index)))
			continue;
		display_property(d->fd, planes[i], DRM_MODE_OBJECT_PLANE, "type", &type);
		if (type == PLANE_TYPE_PRIMARY) {
			d->plane = planes[i];
			return 0;
		}
	}
	return -ENOENT;
}

/* Objects that are not taken already. */
static int find_pipeline(struct display *d, const struct display *taken)
{
	uint32_t crtcs[MAX_OBJECTS], connectors[MAX_OBJECTS], encoder_id = 0;
	struct drm_mode_card_res res = {
		.crtc_id_ptr = (uintptr_t)crtcs,
		.connector_id_ptr = (uintptr_t)connectors,
		.count_crtcs = MAX_OBJECTS,
		.count_connectors = MAX_OBJECTS,
	};
	int ret = display_ioctl(d->fd, DRM_IOCTL_MODE_GETRESOURCES, &res);

	if (ret)
		return ret;
	ret = -ENXIO;
	for (uint32_t i = 0; i < res.count_connectors && i < MAX_OBJECTS && ret; i++) {
		d->connector = connectors[i];
		if (d->connector != taken->connector)
			ret = find_mode(d->fd, d->connector, &d->mode, &encoder_id);
	}
	if (ret)
		return ret;
	for (uint32_t i = 0; i < res.count_crtcs && i < MAX_OBJECTS; i++) {
		struct drm_mode_get_encoder encoder = { .encoder_id = encoder_id };

		if (crtcs[i] == taken->crtc || display_ioctl(d->fd, DRM_IOCTL_MODE_GETENCODER, &encoder) ||
		    !(encoder.possible_crtcs & (1u << i)))
			continue;
		d->crtc = crtcs[i];
		d->crtc_index = i;
		return find_primary_plane(d);
	}
	return -ENOENT;
}

static void drop_mode(struct display *d)
{
	struct drm_mode_destroy_blob blob = { .blob_id = d->mode_blob };

	if (d->mode_blob)
		display_ioctl(d->fd, DRM_IOCTL_MODE_DESTROYPROPBLOB, &blob);
	d->mode_blob = 0;
}

int display_use_mode(struct display *d, const struct drm_mode_modeinfo *mode)
{
	struct drm_mode_create_blob blob = { .data = (uintptr_t)mode, .length = sizeof(*mode) };
	int ret = display_ioctl(d->fd, DRM_IOCTL_MODE_CREATEPROPBLOB, &blob);

	if (ret)
		return ret;
	drop_mode(d);
	d->mode = *mode;
	d->mode_blob = blob.blob_id;
	return 0;
}

static int find_everything(struct display *d, const struct display *taken)
{
	int ret = find_pipeline(d, taken);

	if (!ret)
		ret = look_up_properties(d);
	if (!ret)
		ret = display_use_mode(d, &d->mode);
	return ret;
}

static int set_up(struct display *d)
{
	const struct display nothing = { 0 };
	struct drm_set_client_cap planes = { DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1 };
	struct drm_set_client_cap atomic = { DRM_CLIENT_CAP_ATOMIC, 1 };
	int ret = display_ioctl(d->fd, DRM_IOCTL_SET_CLIENT_CAP, &planes);

	if (!ret)
		ret = display_ioctl(d->fd, DRM_IOCTL_SET_CLIENT_CAP, &atomic);
	/* The first to open a card is its master already. */
	if (!ret)
		ret = display_ioctl(d->fd, DRM_IOCTL_SET_MASTER, NULL);
	return ret ? ret : find_everything(d, &nothing);
}

int display_open(struct display *display, const char *driver)
{
	int ret;

	memset(display, 0, sizeof(*display));
	display->fd = display_open_node("card", driver);
	if (display->fd < 0)
		return display->fd;
	ret = set_up(display);
	if (ret)
		close(display->fd);
	return ret;
}

int display_open_other(struct display *other, const struct display *display)
{
	memset(other, 0, sizeof(*other));
	other->fd = display->fd;
	return find_everything(other, display);
}

void display_close(struct display *display)
{
	display_off(display);
	drop_mode(display);
	close(display->fd);
	display->fd = -1;
}
