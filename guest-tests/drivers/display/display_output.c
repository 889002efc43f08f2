// SPDX-License-Identifier: GPL-2.0
/* The encoder, and the connector with its monitor. */

#include <linux/interrupt.h>
#include <linux/minmax.h>

#include <drm/drm_atomic_helper.h>
#include <drm/drm_atomic_state_helper.h>
#include <drm/drm_drv.h>
#include <drm/drm_edid.h>
#include <drm/drm_managed.h>
#include <drm/drm_modeset_helper_vtables.h>
#include <drm/drm_probe_helper.h>

#include "display_drv.h"

#define connector_to_head(connector_of_head) container_of(connector_of_head, struct fpdisp_head, connector)

static int fpdisp_read_edid_block(void *context, u8 *buf, unsigned int block, size_t len)
{
	struct fpdisp_head *head = context;
	size_t at;
	int idx;

	u32 start = block * EDID_LENGTH;

	if (start + len > FPDISP_EDID_BYTES)
		return -EINVAL;
	if (!drm_dev_enter(head->drm, &idx))
		return -ENODEV;
	for (at = 0; at < len; at += sizeof(__le32)) {
		__le32 word = cpu_to_le32(fpdisp_read(head, FPDISP_EDID + start + at));

		memcpy(buf + at, &word, min(len - at, sizeof(word)));
	}
	drm_dev_exit(idx);
	return 0;
}

static int fpdisp_connector_get_modes(struct drm_connector *connector)
{
	struct fpdisp_head *head = connector_to_head(connector);
	const struct drm_edid *edid = drm_edid_read_custom(connector, fpdisp_read_edid_block, head);
	int modes = drm_edid_connector_update(connector, edid);

	drm_edid_free(edid);
	/*
	 * Linux 6.1's update (Kbuild defines the symbol) adds and counts the modes; later ones do
	 * not.
	 */
#ifndef FENCEPOST_LINUX_6_1
	modes = drm_edid_connector_add_modes(connector);
#endif
	drm_connector_set_vrr_capable_property(connector, fpdisp_vrr_is_capable(connector));
	return modes;
}

static enum drm_connector_status fpdisp_connector_detect(struct drm_connector *connector,
							 bool force)
{
	enum drm_connector_status status;
	int idx;

	if (!drm_dev_enter(connector->dev, &idx))
		return connector_status_disconnected;
	status = fpdisp_read(connector_to_head(connector), FPDISP_CONNECTOR) & 1 ?
		 connector_status_connected : connector_status_disconnected;
	drm_dev_exit(idx);
	if (status == connector_status_disconnected)
		drm_connector_set_vrr_capable_property(connector, false);
	return status;
}

/*
 * The connector or its monitor is another one than before. The kernel looks at the connector, and tells user space, which
 * asks for the modes. In a thread, since it waits for those who set a mode.
 */
irqreturn_t fpdisp_hotplug(int irq, void *arg)
{
	struct fpdisp_head *head = arg;
	int idx;

	if (!drm_dev_enter(head->drm, &idx))
		return IRQ_HANDLED;
	/* It does not tell when one monitor took the place of another. */
	if (head->drm->registered && !drm_connector_helper_hpd_irq_event(&head->connector))
		drm_kms_helper_connector_hotplug_event(&head->connector);
	drm_dev_exit(idx);
	return IRQ_HANDLED;
}

static const struct drm_connector_helper_funcs fpdisp_connector_helper_funcs = {
	.get_modes = fpdisp_connector_get_modes,
};

static const struct drm_connector_funcs fpdisp_connector_funcs = {
	.detect = fpdisp_connector_detect,
	.fill_modes = drm_helper_probe_single_connector_modes,
	.reset = drm_atomic_helper_connector_reset,
	.atomic_duplicate_state = drm_atomic_helper_connector_duplicate_state,
	.atomic_destroy_state = drm_atomic_helper_connector_destroy_state,
};

int fpdisp_output_init(struct fpdisp_head *head)
{
	int ret = drmm_encoder_init(head->drm, &head->encoder, NULL, DRM_MODE_ENCODER_TMDS, NULL);

	if (ret)
		return ret;
	head->encoder.possible_crtcs = drm_crtc_mask(&head->crtc);
	ret = drmm_connector_init(head->drm, &head->connector, &fpdisp_connector_funcs,
				  DRM_MODE_CONNECTOR_DisplayPort, NULL);
	if (ret)
		return ret;
	drm_connector_helper_add(&head->connector, &fpdisp_connector_helper_funcs);
	head->connector.polled = DRM_CONNECTOR_POLL_HPD;
	ret = drm_connector_attach_vrr_capable_property(&head->connector);
	if (ret)
		return ret;
	return drm_connector_attach_encoder(&head->connector, &head->encoder);
}
