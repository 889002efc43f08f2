// SPDX-License-Identifier: GPL-2.0
/*
 * Which atomic commits the display takes, in KTAP. What each must give is what the kernel's own virtual driver (vkms of
 * Linux 6.12) gave for it.
 */
#include <errno.h>
#include <stdbool.h>
#include <unistd.h>

#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_picture.h"
#include "ktap.h"

#define TEST DRM_MODE_ATOMIC_TEST_ONLY
#define MODESET (DRM_MODE_ATOMIC_TEST_ONLY | DRM_MODE_ATOMIC_ALLOW_MODESET)

static struct display display;
static struct display_fb fbs[2];
static uint32_t crcs[2];

/* Which properties a commit of the table changes. */
enum change {
	CONNECTOR = 1 << 0,	/* the connector's CRTC_ID */
	MODE = 1 << 1,		/* MODE_ID */
	ACTIVE = 1 << 2,
	PLANE = 1 << 3,		/* the whole plane */
	FB = 1 << 4,		/* the plane's FB_ID alone */
	CRTC = 1 << 5,		/* the plane's CRTC_ID alone */
	CROP = 1 << 6,		/* a source that is one pixel to the right */
	SCALE = 1 << 7,		/* a source half as wide */
	OFFSCREEN = 1 << 8,	/* a place beyond the screen */
	PART = 1 << 9,		/* the left half of the picture on the left half of the screen */
	ALL = CONNECTOR | MODE | ACTIVE,
};

/* What is there before, in this order. */
enum state { SHOWING, ASLEEP, OFF_WITH_PLANE, OFF };

static const struct {
	enum state state;
	const char *name;
	/* Set to what they are when the screen is on; and to nothing. */
	int on, off;
	uint32_t flags;
	int result;
} table[] = {
	{ SHOWING, "on as it is", ALL | PLANE, 0, TEST, 0 },
	{ SHOWING, "off, and the plane keeps its framebuffer", 0, ALL, MODESET, 0 },
	{ SHOWING, "off without leave to set a mode", 0, ALL, TEST, -EINVAL },
	{ SHOWING, "off with the plane", 0, ALL | PLANE, MODESET, 0 },
	{ SHOWING, "asleep", 0, ACTIVE, MODESET, 0 },
	{ SHOWING, "asleep without leave to set a mode", 0, ACTIVE, TEST, -EINVAL },
	{ SHOWING, "no mode, but active", 0, MODE, MODESET, -EINVAL },
	{ SHOWING, "no mode, but a connector", 0, MODE | ACTIVE, MODESET, -EINVAL },
	{ SHOWING, "no connector", 0, CONNECTOR, MODESET, -EINVAL },
	{ SHOWING, "no connector and not active", 0, CONNECTOR | ACTIVE, MODESET, -EINVAL },
	{ SHOWING, "no plane", 0, PLANE, TEST, 0 },
	{ SHOWING, "no framebuffer, but a CRTC", 0, FB, TEST, -EINVAL },
	{ SHOWING, "a framebuffer, but no CRTC", 0, CRTC, TEST, -EINVAL },
	{ SHOWING, "a source beyond the framebuffer", CROP, 0, TEST, -ENOSPC },
	{ SHOWING, "a source that must be scaled", SCALE, 0, TEST, -ERANGE },
	{ SHOWING, "a plane beyond the screen", OFFSCREEN, 0, TEST, 0 },
	{ SHOWING, "a plane that covers a part of the screen", PART, 0, TEST, 0 },
	{ SHOWING, "an event of a test", PLANE, 0, TEST | DRM_MODE_PAGE_FLIP_EVENT, -EINVAL },
	{ SHOWING, "an immediate change of the place", PART, 0, TEST | DRM_MODE_PAGE_FLIP_ASYNC, -EINVAL },
	{ ASLEEP, "a plane", PLANE, 0, TEST, 0 },
	{ ASLEEP, "a source that must be scaled", SCALE, 0, TEST, -ERANGE },
	{ ASLEEP, "an event", PLANE, 0, DRM_MODE_PAGE_FLIP_EVENT, -EINVAL },
	{ ASLEEP, "awake", ACTIVE, 0, MODESET, 0 },
	{ ASLEEP, "awake without leave to set a mode", ACTIVE, 0, TEST, -EINVAL },
	{ OFF_WITH_PLANE, "a plane", PLANE, 0, TEST, 0 },
	{ OFF_WITH_PLANE, "no plane", 0, PLANE, TEST, 0 },
	{ OFF_WITH_PLANE, "off again", 0, ALL, MODESET, 0 },
	{ OFF_WITH_PLANE, "on, with the plane that it kept", ALL, 0, MODESET, 0 },
	{ OFF, "on without a plane", ALL, 0, MODESET, 0 },
	{ OFF, "on without leave to set a mode", ALL | PLANE, 0, TEST, -EINVAL },
	{ OFF, "a mode without a connector", MODE, 0, MODESET, -EINVAL },
	{ OFF, "active without a mode", ACTIVE, 0, MODESET, -EINVAL },
	{ OFF, "a connector without a mode", CONNECTOR, 0, MODESET, -EINVAL },
	{ OFF, "a mode and a connector, asleep", CONNECTOR | MODE, 0, MODESET, 0 },
	{ OFF, "a plane", PLANE, 0, MODESET, 0 },
};

#define ROWS (sizeof(table) / sizeof(table[0]))

/* Adds what a row changes, to values for a screen that is on or off. */
static void add_changes(struct display_change *c, int changes, bool on)
{
	const struct display_properties *p = &display.props;

	if (changes & CONNECTOR)
		display_add(c, display.connector, p->connector_crtc_id, on ? display.crtc : 0);
	if (changes & MODE)
		display_add(c, display.crtc, p->crtc_mode_id, on ? display.mode_blob : 0);
	if (changes & ACTIVE)
		display_add(c, display.crtc, p->crtc_active, on);
	if (changes & PLANE)
		display_add_plane(&display, c, on ? fbs[0].fb : 0);
	if (changes & FB)
		display_add(c, display.plane, p->plane_fb_id, on ? fbs[0].fb : 0);
	if (changes & CRTC)
		display_add(c, display.plane, p->plane_crtc_id, on ? display.crtc : 0);
	if (changes & CROP)
		display_add(c, display.plane, p->plane_src_x, 1 << 16);
	if (changes & SCALE)
		display_add(c, display.plane, p->plane_src_w, (display.mode.hdisplay / 2) << 16);
	if (changes & PART) {
		display_add(c, display.plane, p->plane_src_w, (display.mode.hdisplay / 2) << 16);
		display_add(c, display.plane, p->plane_crtc_w, display.mode.hdisplay / 2);
	}
	if (changes & OFFSCREEN)
		display_add(c, display.plane, p->plane_crtc_x, 5000);
}

static int change(int on, int off, uint32_t flags)
{
	struct display_change c = { 0 };

	add_changes(&c, on, true);
	add_changes(&c, off, false);
	return display_commit(&display, &c, flags, 0);
}

static int go_to(enum state state)
{
	switch (state) {
	case SHOWING:
		return display_modeset(&display, fbs[0].fb);
	case ASLEEP:
		return change(0, ACTIVE, DRM_MODE_ATOMIC_ALLOW_MODESET);
	case OFF_WITH_PLANE:
		return change(0, ALL, DRM_MODE_ATOMIC_ALLOW_MODESET);
	default:
		return display_off(&display);
	}
}

static void test_commits(void)
{
	static const char *const states[] = { "showing", "asleep", "off with a plane", "off" };
	int state = -1, ret = 0;

	for (size_t i = 0; i < ROWS; i++) {
		if (state != (int)table[i].state)
			ret = go_to(state = table[i].state);
		if (!ret)
			ret = change(table[i].on, table[i].off, table[i].flags);
		if (!ktap_result(ret == table[i].result, "%s: %s", states[state], table[i].name))
			ktap_note("%d instead of %d", ret, table[i].result);
		ret = 0;
	}
}

/* Off and on again, with everything that goes with it. */
static void test_switching(void)
{
	int ret = display_modeset(&display, fbs[0].fb);

	if (!ret)
		ret = change(0, ALL, DRM_MODE_ATOMIC_ALLOW_MODESET);
	/* Another picture, while nothing is shown. */
	if (!ret) {
		struct display_change c = { 0 };

		display_add_plane(&display, &c, fbs[1].fb);
		ret = display_commit(&display, &c, 0, 0);
	}
	if (!ret)
		ret = change(ALL, 0, DRM_MODE_ATOMIC_ALLOW_MODESET);
	ktap_result(!ret && display_crc_on_screen(&display) == crcs[1], "a plane that was changed while off is shown (%d)",
		    ret);
	ret = change(0, ACTIVE, DRM_MODE_ATOMIC_ALLOW_MODESET);
	if (!ret)
		ret = change(ACTIVE, 0, DRM_MODE_ATOMIC_ALLOW_MODESET);
	ktap_result(!ret && display_crc_on_screen(&display) == crcs[1], "a plane is shown again after sleep (%d)", ret);
}

/* The property of the connector that is older than ACTIVE. */
static int set_dpms(uint64_t value)
{
	struct drm_mode_connector_set_property set = {
		.value = value,
		.prop_id = display_property(display.fd, display.connector, DRM_MODE_OBJECT_CONNECTOR, "DPMS", NULL),
		.connector_id = display.connector,
	};

	return display_ioctl(display.fd, DRM_IOCTL_MODE_SETPROPERTY, &set);
}

static bool is_active(void)
{
	uint64_t active = 0;

	display_property(display.fd, display.crtc, DRM_MODE_OBJECT_CRTC, "ACTIVE", &active);
	return active;
}

static void test_dpms(void)
{
	int ret = display_modeset(&display, fbs[0].fb);

	if (!ret)
		ret = set_dpms(DRM_MODE_DPMS_OFF);
	ktap_result(!ret && !is_active() && display_wait_vblank(&display, NULL) == -EINVAL,
		    "DPMS switches the screen off (%d)", ret);
	ret = set_dpms(DRM_MODE_DPMS_ON);
	ktap_result(!ret && is_active() && display_crc_on_screen(&display) == crcs[0], "and on again (%d)", ret);
}

#define SEQUENCES 4

/* Asks for events of vertical blanks to come; each tells its number and its time, which are frames from each other. */
static void test_sequences(void)
{
	uint64_t frame_ns = display.mode.htotal * 1000000ull * display.mode.vtotal / display.mode.clock;
	struct drm_crtc_get_sequence now = { .crtc_id = display.crtc };
	struct drm_event_crtc_sequence event = { 0 };
	int ret = display_ioctl(display.fd, DRM_IOCTL_CRTC_GET_SEQUENCE, &now), wrong = 0;

	for (uint64_t i = 1; i <= SEQUENCES && !ret; i++) {
		struct drm_crtc_queue_sequence queue = {
			.crtc_id = display.crtc, .sequence = now.sequence + i, .user_data = i,
		};

		ret = display_ioctl(display.fd, DRM_IOCTL_CRTC_QUEUE_SEQUENCE, &queue);
	}
	for (uint64_t i = 1; i <= SEQUENCES && !ret; i++) {
		int64_t late = 0;

		if (read(display.fd, &event, sizeof(event)) != sizeof(event))
			ret = -EIO;
		late = event.time_ns - now.sequence_ns - (int64_t)(i * frame_ns);
		/* To the microseconds that lie between two readings of a clock. */
		if (event.base.type != DRM_EVENT_CRTC_SEQUENCE || event.user_data != i ||
		    event.sequence != now.sequence + i || late > 5000 || late < -5000) {
			ktap_note("event %u of %llu, sequence %llu, %lld ns late", event.base.type, event.user_data,
				  event.sequence, (long long)late);
			wrong++;
		}
	}
	ktap_result(!ret && !wrong, "events of vertical blanks have their numbers and times (%d)", ret);
}

int main(void)
{
	int ret;

	ktap_plan(ROWS + 6);
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ktap_result(!ret && display_make_pictures(&display, fbs, crcs, 2), "the display opens (%d)", ret))
		return ktap_finish();
	test_commits();
	test_switching();
	test_dpms();
	test_sequences();
	display_close(&display);
	return ktap_finish();
}
