// SPDX-License-Identifier: GPL-2.0
/*
 * The display's monitor, in KTAP: its list of modes, and what programs are told when the host takes it away, puts another one in
 * its place, and changes that while it shows a picture. The scenario does these three, one after the other.
 */
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_picture.h"
#include "ktap.h"
#include "uevents.h"

#define MAX_MODES 64
#define TIMEOUT_MS 10000

static struct display display;
static struct drm_mode_modeinfo modes[MAX_MODES];
static uint32_t modes_len;
static int events;

/* Has the kernel look at the connector; whether a monitor is there. */
static bool ask(void)
{
	struct drm_mode_get_connector get = { .connector_id = display.connector };
	int ret = display_ioctl(display.fd, DRM_IOCTL_MODE_GETCONNECTOR, &get);

	if (ret || get.count_modes > MAX_MODES) {
		ktap_note("result %d, %u modes", ret, get.count_modes);
		return false;
	}
	get.modes_ptr = (uintptr_t)modes;
	get.count_props = get.count_encoders = 0;
	ret = display_ioctl(display.fd, DRM_IOCTL_MODE_GETCONNECTOR, &get);
	modes_len = get.count_modes;
	return !ret && get.connection == 1;
}

static const struct drm_mode_modeinfo *find(uint32_t width, uint32_t height, uint32_t hz)
{
	for (uint32_t i = 0; i < modes_len; i++)
		if (modes[i].hdisplay == width && modes[i].vdisplay == height && modes[i].vrefresh == hz)
			return &modes[i];
	return NULL;
}

static bool prefers(uint32_t width, uint32_t height)
{
	for (uint32_t i = 0; i < modes_len; i++)
		if (modes[i].type & DRM_MODE_TYPE_PREFERRED)
			return modes[i].hdisplay == width && modes[i].vdisplay == height;
	return false;
}

/* Paints a picture as large as the mode, and shows it in that. */
static int show(const struct drm_mode_modeinfo *mode)
{
	struct display_fb fb = { 0 };
	uint32_t crc;
	int ret = mode ? display_use_mode(&display, mode) : -ENOENT;

	if (!ret && !display_make_pictures(&display, &fb, &crc, 1))
		ret = -ENOMEM;
	if (!ret)
		ret = display_modeset(&display, fb.fb);
	if (!ret && display_crc_on_screen(&display) != crc)
		ret = -EILSEQ;
	return ret;
}

static void test_list(void)
{
	static const struct {
		uint16_t width, height, hz;
	} standard[] = {
		{ 640, 480, 60 }, { 720, 480, 60 }, { 720, 576, 50 }, { 800, 600, 60 }, { 1024, 768, 60 },
		{ 1280, 720, 60 }, { 1280, 720, 50 }, { 1280, 800, 60 }, { 1280, 1024, 60 }, { 1440, 900, 60 },
		{ 1600, 900, 60 }, { 1600, 1200, 60 }, { 1680, 1050, 60 }, { 1920, 1080, 60 }, { 1920, 1080, 50 },
		{ 1920, 1080, 24 }, { 1920, 1200, 60 }, { 2048, 1152, 60 }, { 2560, 1440, 60 }, { 3840, 2160, 60 },
		{ 3840, 2160, 50 }, { 3840, 2160, 30 },
	};
	int missing = 0, refused = 0;

	for (size_t i = 0; i < sizeof(standard) / sizeof(standard[0]); i++) {
		if (find(standard[i].width, standard[i].height, standard[i].hz))
			continue;
		ktap_note("no %ux%u at %u", standard[i].width, standard[i].height, standard[i].hz);
		missing++;
	}
	ktap_result(!missing && prefers(320, 240), "the monitor has its own mode, which it prefers, and the standard ones");
	for (uint32_t i = 0; i < modes_len; i++) {
		struct display_change c = { 0 };
		const struct display_properties *p = &display.props;
		int ret = display_use_mode(&display, &modes[i]);

		display_add(&c, display.connector, p->connector_crtc_id, display.crtc);
		display_add(&c, display.crtc, p->crtc_mode_id, display.mode_blob);
		display_add(&c, display.crtc, p->crtc_active, 1);
		if (!ret)
			ret = display_commit(&display, &c, DRM_MODE_ATOMIC_ALLOW_MODESET | DRM_MODE_ATOMIC_TEST_ONLY, 0);
		if (ret)
			ktap_note("%s at %u: %d", modes[i].name, modes[i].vrefresh, ret);
		refused += !!ret;
	}
	ktap_result(!refused, "each of the %u modes can be set", modes_len);
	ktap_result(!show(find(3840, 2160, 60)), "3840x2160 is shown");
}

static bool is_told(void)
{
	char connector[32];

	/* One event has both. */
	snprintf(connector, sizeof(connector), "CONNECTOR=%u", display.connector);
	return uevents_wait(events, connector, TIMEOUT_MS);
}

static void test_changes(void)
{
	struct display_fb fb;
	uint32_t crc;
	int ret;

	ktap_result(is_told() && !ask() && !modes_len, "a monitor that goes is told of");
	ktap_result(is_told() && ask() && prefers(1920, 1080) && !find(320, 240, 60), "a monitor that comes is told of");
	ret = show(find(1920, 1080, 60));
	ktap_result(!ret, "and shows a picture (%d)", ret);
	ret = display_make_pictures(&display, &fb, &crc, 1) ? display_modeset(&display, fb.fb) : -ENOMEM;
	ktap_result(!ret && is_told() && display_crc_on_screen(&display) == crc,
		    "what is shown stays when another monitor takes the place (%d)", ret);
	ktap_result(ask() && prefers(800, 600), "which has a mode of its own");
	ret = show(find(800, 600, 60));
	ktap_result(!ret, "and shows it (%d)", ret);
	ktap_result(!uevents_wait(events, "HOTPLUG=1", 100), "nothing is told twice");
}

int main(void)
{
	int ret;

	ktap_plan(11);
	events = uevents_open();
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ktap_result(!ret && ask(), "the display opens (%d)", ret))
		return ktap_finish();
	test_list();
	test_changes();
	display_close(&display);
	return ktap_finish();
}
