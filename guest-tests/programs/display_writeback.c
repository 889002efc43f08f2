// SPDX-License-Identifier: GPL-2.0
/* A display's write-back connector: see display_writeback.h. */
#include "display_writeback.h"

#include <stdbool.h>

#define MAX_CONNECTORS 8

static bool is_for_crtc(struct display *display, uint32_t encoder_id)
{
	struct drm_mode_get_encoder encoder = { .encoder_id = encoder_id };

	return !display_ioctl(display->fd, DRM_IOCTL_MODE_GETENCODER, &encoder) &&
	       encoder.possible_crtcs & (1u << display->crtc_index);
}

uint32_t display_find_connector(struct display *display, uint32_t type)
{
	uint32_t ids[MAX_CONNECTORS];
	struct drm_mode_card_res res = { .connector_id_ptr = (uintptr_t)ids, .count_connectors = MAX_CONNECTORS };

	if (display_ioctl(display->fd, DRM_IOCTL_MODE_GETRESOURCES, &res))
		return 0;
	for (uint32_t i = 0; i < res.count_connectors && i < MAX_CONNECTORS; i++) {
		uint32_t encoder = 0;
		struct drm_mode_modeinfo unused;
		/* With room for modes, though there may be more, the kernel does not look at the monitor. */
		struct drm_mode_get_connector get = {
			.connector_id = ids[i],
			.encoders_ptr = (uintptr_t)&encoder,
			.count_encoders = 1,
			.modes_ptr = (uintptr_t)&unused,
			.count_modes = 1,
		};

		if (!display_ioctl(display->fd, DRM_IOCTL_MODE_GETCONNECTOR, &get) && get.connector_type == type &&
		    is_for_crtc(display, encoder))
			return ids[i];
	}
	return 0;
}

uint32_t display_writeback_connector(struct display *display)
{
	struct drm_set_client_cap cap = { DRM_CLIENT_CAP_WRITEBACK_CONNECTORS, 1 };

	if (display_ioctl(display->fd, DRM_IOCTL_SET_CLIENT_CAP, &cap))
		return 0;
	return display_find_connector(display, DRM_MODE_CONNECTOR_WRITEBACK);
}

uint32_t display_connector_property(struct display *display, uint32_t connector, const char *name, uint64_t *value)
{
	return display_property(display->fd, connector, DRM_MODE_OBJECT_CONNECTOR, name, value);
}

void display_add_writeback(struct display *display, struct display_change *change, uint32_t connector, uint32_t fb,
			   int32_t *fence)
{
	uint32_t crtc_id = display_connector_property(display, connector, "CRTC_ID", NULL);
	uint32_t fb_id = display_connector_property(display, connector, "WRITEBACK_FB_ID", NULL);
	uint32_t fence_ptr = display_connector_property(display, connector, "WRITEBACK_OUT_FENCE_PTR", NULL);

	display_add(change, connector, crtc_id, display->crtc);
	display_add(change, connector, fb_id, fb);
	if (fence)
		display_add(change, connector, fence_ptr, (uintptr_t)fence);
}
