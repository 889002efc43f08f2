// SPDX-License-Identifier: GPL-2.0
/*
 * Two CRTCs with a connector each, in KTAP: each shows its own pictures in its own mode at its own times, whatever the other one
 * does. With the argument "hotplug", while the scenario takes the second monitor away and plugs another one.
 */
#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <drm/drm_fourcc.h>
#include <fencepost_pci.h>

#include "display.h"
#include "display_commit.h"
#include "display_model.h"
#include "display_picture.h"
#include "display_writeback.h"
#include "ktap.h"
#include "life.h"
#include "uevents.h"

#define HEADS 2
#define PICTURES 2
#define TIMEOUT_MS 20000
/* Between two looks at the time. */
#define PAUSE_US 300000
#define DPMS_ON 0
#define DPMS_OFF 3

static const struct life_device display_device = {
	.slot = FENCEPOST_PCI_NAME_DISPLAY,
	.name = FENCEPOST_DISPLAY_DRIVER_NAME,
};

static struct display heads[HEADS];
static struct display_fb fbs[HEADS][PICTURES];
static uint32_t crcs[HEADS][PICTURES];

static bool shows(unsigned int head, unsigned int picture)
{
	uint32_t crc = display_crc_on_screen(&heads[head]);

	if (crc != crcs[head][picture])
		ktap_note("head %u: CRC %08x, expected %08x", head, crc, crcs[head][picture]);
	return crc == crcs[head][picture];
}

static bool both_show(unsigned int picture)
{
	return shows(0, picture) & shows(1, picture);
}

/* Opens both, with pictures that differ. */
static int open_both(void)
{
	int ret = display_open(&heads[0], FENCEPOST_DISPLAY_DRIVER_NAME);

	if (!ret)
		ret = display_open_other(&heads[1], &heads[0]);
	for (int i = 0; !ret && i < HEADS; i++)
		for (int n = 0; !ret && n < PICTURES; n++) {
			uint8_t *pixels;

			ret = display_create_dumb(&heads[i], &fbs[i][n]);
			pixels = ret ? NULL : display_map_dumb(&heads[i], &fbs[i][n]);
			if (!pixels)
				return ret ? ret : -ENOMEM;
			crcs[i][n] = display_paint(pixels, &fbs[i][n], 10 * i + n);
			munmap(pixels, fbs[i][n].size);
		}
	return ret;
}

/* One commit sets the mode of both. */
static int set_modes(void)
{
	struct display_change c = { 0 };

	for (int i = 0; i < HEADS; i++) {
		const struct display_properties *p = &heads[i].props;

		display_add(&c, heads[i].connector, p->connector_crtc_id, heads[i].crtc);
		display_add(&c, heads[i].crtc, p->crtc_mode_id, heads[i].mode_blob);
		display_add(&c, heads[i].crtc, p->crtc_active, 1);
		display_add_plane(&heads[i], &c, fbs[i][0].fb);
	}
	return display_commit(&heads[0], &c, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
}

static uint64_t frame_ns(const struct display *head)
{
	return head->mode.htotal * 1000000ull * head->mode.vtotal / head->mode.clock;
}

static int look(const struct display *head, struct drm_crtc_get_sequence *get)
{
	memset(get, 0, sizeof(*get));
	get->crtc_id = head->crtc;
	return display_ioctl(head->fd, DRM_IOCTL_CRTC_GET_SEQUENCE, get);
}

/* How many frames passed between two looks; -1 if their times do not fit that, to the microseconds between two clocks. */
static int64_t frames(const struct display *head, const struct drm_crtc_get_sequence *from,
		      const struct drm_crtc_get_sequence *to)
{
	int64_t count = to->sequence - from->sequence, ns = to->sequence_ns - from->sequence_ns;

	ktap_note("CRTC %u: %lld frames in %lld ns", head->crtc, (long long)count, (long long)ns);
	return llabs(ns - count * (int64_t)frame_ns(head)) <= 5000 + count ? count : -1;
}

static void test_times(void)
{
	struct drm_crtc_get_sequence from[HEADS], to[HEADS];
	int ret = 0;

	for (int i = 0; i < HEADS; i++)
		ret = ret ? ret : look(&heads[i], &from[i]);
	usleep(PAUSE_US);
	for (int i = 0; i < HEADS; i++)
		ret = ret ? ret : look(&heads[i], &to[i]);
	for (int i = 0; i < HEADS; i++) {
		int64_t expected = PAUSE_US * 1000ll / (int64_t)frame_ns(&heads[i]);
		int64_t count = ret ? -1 : frames(&heads[i], &from[i], &to[i]);

		ktap_result(count >= expected && count <= expected + expected / 2 + 1,
			    "vertical blanks of head %d are counted and timed by its own mode (%d)", i, ret);
	}
}

/* The second head's flip waits for the first one's. */
static void test_fences(void)
{
	struct pollfd waiter = { .events = POLLIN };
	struct display_flip flip[HEADS] = { 0 };
	int fences[HEADS] = { -1, -1 }, ret;

	ret = display_flip(&heads[0], fbs[0][1].fb, -1, &fences[0], 1);
	if (!ret)
		ret = display_flip(&heads[1], fbs[1][1].fb, fences[0], &fences[1], 2);
	waiter.fd = fences[1];
	if (!ret)
		ret = poll(&waiter, 1, TIMEOUT_MS) == 1 ? 0 : -ETIME;
	for (int i = 0; i < HEADS && !ret; i++)
		ret = display_wait_flip(&heads[0], TIMEOUT_MS, &flip[i]);
	ktap_result(!ret && flip[0].user_data == 1 && flip[0].crtc == heads[0].crtc && flip[1].user_data == 2 &&
		    flip[1].crtc == heads[1].crtc && flip[0].time_ns <= flip[1].time_ns,
		    "a flip of one head takes the fence of the other one's (%d)", ret);
	ktap_result(both_show(1), "and both show their second picture");
	close(fences[0]);
	close(fences[1]);
}

static void test_one_commit(void)
{
	struct display_change c = { 0 };
	struct display_flip flip[HEADS] = { 0 };
	int ret;

	for (int i = 0; i < HEADS; i++)
		display_add_plane(&heads[i], &c, fbs[i][0].fb);
	ret = display_commit(&heads[0], &c, DRM_MODE_ATOMIC_NONBLOCK | DRM_MODE_PAGE_FLIP_EVENT, 7);
	for (int i = 0; i < HEADS && !ret; i++)
		ret = display_wait_flip(&heads[0], TIMEOUT_MS, &flip[i]);
	ktap_result(!ret && flip[0].user_data == 7 && flip[1].user_data == 7 && flip[0].crtc != flip[1].crtc,
		    "one commit flips both, and tells of each (%d)", ret);
	ktap_result(both_show(0), "and both show their first picture");
}

static int try_value(uint32_t object, uint32_t property, uint64_t value)
{
	struct display_change c = { 0 };

	display_add(&c, object, property, value);
	return display_commit(&heads[0], &c, DRM_MODE_ATOMIC_TEST_ONLY | DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
}

static void test_wrong_places(void)
{
	int wrong = 0;

	for (int i = 0; i < HEADS; i++) {
		struct plane planes[DISPLAY_MAX_PLANES];
		int count = display_planes(&heads[i], planes);

		wrong += count != 4;
		for (int n = 0; n < count; n++) {
			uint32_t id = display_property(heads[i].fd, planes[n].id, DRM_MODE_OBJECT_PLANE, "CRTC_ID", NULL);

			wrong += try_value(planes[n].id, id, heads[!i].crtc) != -EINVAL;
		}
	}
	ktap_result(!wrong, "each head has four planes, and none can be on the other's CRTC");
	ktap_result(try_value(heads[1].connector, heads[1].props.connector_crtc_id, heads[0].crtc) == -EINVAL,
		    "nor can its connector");
}

static struct plane_view view_of(uint32_t format, uint32_t width, uint32_t height, const struct plane_buffer *buffer)
{
	return (struct plane_view){
		.format = format, .width = width, .height = height, .buffers = { buffer }, .pitches = { width * 4 },
		.src_w = width, .src_h = height, .w = width, .h = height, .alpha = 0xffff,
	};
}

/* Finds a plane that scales, or the cursor. */
static const struct plane *find_plane(const struct plane *planes, int count, bool scales)
{
	for (int i = 0; i < count; i++)
		if (scales ? planes[i].scales : planes[i].type == PLANE_CURSOR)
			return &planes[i];
	return NULL;
}

/* An overlay that is scaled, and a cursor, over the second head's picture. */
static void test_planes(void)
{
	struct display *second = &heads[1];
	uint32_t width = second->mode.hdisplay, height = second->mode.vdisplay, fb[3], expected;
	struct plane planes[DISPLAY_MAX_PLANES];
	int count = display_planes(second, planes), ret = 0;
	const struct plane *by[3] = { &planes[0], find_plane(planes, count, true), find_plane(planes, count, false) };
	struct plane_buffer buffers[3] = { 0 };
	struct plane_view views[3] = {
		view_of(DRM_FORMAT_XRGB8888, width, height, &buffers[0]),
		view_of(DRM_FORMAT_ARGB8888, 64, 48, &buffers[1]),
		view_of(DRM_FORMAT_ARGB8888, 64, 64, &buffers[2]),
	};
	const struct plane_view *from_below[3] = { &views[0], &views[1], &views[2] };
	struct display_change c = { 0 };

	views[1] = (struct plane_view){ views[1].format, 64, 48, { &buffers[1] }, { 256 }, { 0 }, 0, 0, 64, 48,
					100, 80, 130, 75, BLEND_COVERAGE, 0xb0b0, 1, false, false, false };
	views[2].x = -10;
	views[2].y = 20;
	views[2].blend = BLEND_PREMULTIPLIED;
	for (int i = 0; i < 3 && !ret; i++) {
		ret = by[i] ? plane_buffer_make(second, views[i].width * views[i].height * 4, &buffers[i]) : -ENOENT;
		for (uint64_t at = 0; !ret && at < buffers[i].size; at++)
			buffers[i].pixels[at] = (at * 7 + at / 251 * 13 + i * 31) & 0xff;
		if (!ret)
			ret = plane_add_fb(second, &views[i], &fb[i]);
		if (!ret)
			plane_add(second, &c, by[i], &views[i], fb[i]);
	}
	if (!ret)
		ret = display_commit(second, &c, 0, 0);
	expected = model_crc(from_below, 3, width, height);
	ktap_result(!ret && expected && display_crc_on_screen(second) == expected && shows(0, 0),
		    "three planes of the second head are mixed as the model says, beside the first head's picture (%d)", ret);
	memset(&c, 0, sizeof(c));
	for (int i = 1; i < 3 && !ret; i++)
		plane_add(second, &c, by[i], &views[i], 0);
	display_add_plane(second, &c, fbs[1][0].fb);
	ret = ret ? ret : display_commit(second, &c, 0, 0);
	ktap_result(!ret && both_show(0), "without them it has its own picture again (%d)", ret);
}

static void test_writeback(void)
{
	uint32_t connector = display_writeback_connector(&heads[1]);
	struct pollfd waiter = { .events = POLLIN };
	struct display_change c = { 0 };
	struct display_fb fb = { 0 };
	int32_t fence = -1;
	const uint8_t *written = NULL, *painted = NULL;
	int ret = display_create_dumb(&heads[1], &fb), differ = 0;

	display_add_writeback(&heads[1], &c, connector, fb.fb, &fence);
	if (!ret)
		ret = connector ? display_commit(&heads[1], &c, DRM_MODE_ATOMIC_ALLOW_MODESET, 0) : -ENOENT;
	waiter.fd = fence;
	if (!ret)
		ret = poll(&waiter, 1, TIMEOUT_MS) == 1 ? 0 : -ETIME;
	if (!ret) {
		written = display_map_dumb(&heads[1], &fb);
		painted = display_map_dumb(&heads[1], &fbs[1][0]);
	}
	for (uint32_t y = 0; written && painted && y < fb.height; y++)
		for (uint32_t x = 0; x < fb.width * 4; x++)
			/* The fourth byte of a pixel is not shown. */
			differ += x % 4 != 3 && written[y * fb.pitch + x] != painted[y * fbs[1][0].pitch + x];
	ktap_result(!ret && written && painted && !differ, "the second head's picture is written to memory (%d, %d)", ret,
		    differ);
	close(fence);
	memset(&c, 0, sizeof(c));
	display_add(&c, connector, display_connector_property(&heads[1], connector, "CRTC_ID", NULL), 0);
	ret = display_commit(&heads[1], &c, DRM_MODE_ATOMIC_ALLOW_MODESET, 0);
	ktap_result(!ret && both_show(0), "and both are shown as before (%d)", ret);
}

static int set_dpms(struct display *head, uint64_t value)
{
	struct drm_mode_connector_set_property set = {
		.value = value,
		.prop_id = display_property(head->fd, head->connector, DRM_MODE_OBJECT_CONNECTOR, "DPMS", NULL),
		.connector_id = head->connector,
	};

	return display_ioctl(head->fd, DRM_IOCTL_MODE_SETPROPERTY, &set);
}

static void test_dpms(void)
{
	for (int off = 0; off < HEADS; off++) {
		struct drm_crtc_get_sequence from, to, gone;
		int on = !off, ret = set_dpms(&heads[off], DPMS_OFF);

		if (!ret)
			ret = look(&heads[on], &from);
		usleep(PAUSE_US);
		if (!ret)
			ret = look(&heads[on], &to);
		ktap_result(!ret && frames(&heads[on], &from, &to) > 0 && look(&heads[off], &gone) == -EINVAL && shows(on, 0),
			    "head %d runs on while head %d sleeps (%d)", on, off, ret);
		ret = set_dpms(&heads[off], DPMS_ON);
		ktap_result(!ret && both_show(0), "which wakes up with its picture (%d)", ret);
	}
}

/* Who has the second head leased has that alone, and all of it. */
static void test_lease(void)
{
	uint32_t objects[3] = { heads[1].crtc, heads[1].connector, heads[1].plane }, crtcs[8];
	struct drm_mode_create_lease lease = { .object_ids = (uintptr_t)objects, .object_count = 3 };
	struct drm_mode_card_res res = { .crtc_id_ptr = (uintptr_t)crtcs, .count_crtcs = 8 };
	struct drm_set_client_cap planes = { DRM_CLIENT_CAP_UNIVERSAL_PLANES, 1 }, atomic = { DRM_CLIENT_CAP_ATOMIC, 1 };
	struct display lessee = heads[1], thief = heads[0];
	struct display_fb fb = { 0 };
	uint32_t crc = 0;
	int ret = display_ioctl(heads[0].fd, DRM_IOCTL_MODE_CREATE_LEASE, &lease);

	lessee.fd = thief.fd = lease.fd;
	if (!ret)
		ret = display_ioctl(lease.fd, DRM_IOCTL_SET_CLIENT_CAP, &planes);
	if (!ret)
		ret = display_ioctl(lease.fd, DRM_IOCTL_SET_CLIENT_CAP, &atomic);
	if (!ret)
		ret = display_ioctl(lease.fd, DRM_IOCTL_MODE_GETRESOURCES, &res);
	ktap_result(!ret && res.count_crtcs == 1 && crtcs[0] == heads[1].crtc && res.count_connectors == 1,
		    "a lease of the second head has one CRTC and one connector (%d)", ret);
	ret = display_make_pictures(&lessee, &fb, &crc, 1) ? 0 : -ENOMEM;
	ktap_result(!ret && display_flip_shows(&lessee, fb.fb, crc) && shows(0, 0),
		    "the lessee shows a picture of its own on it (%d)", ret);
	ret = display_off(&lessee);
	ktap_result(!ret && shows(0, 0), "the lessee switches it off, and the first head runs on (%d)", ret);
	ret = display_off(&thief);
	ktap_result(ret == -ENOENT && shows(0, 0), "the first head is not the lessee's (%d)", ret);
	close(lease.fd);
	ret = display_modeset(&heads[1], fbs[1][0].fb);
	ktap_result(!ret && both_show(0), "after the lease the second head is the lessor's again (%d)", ret);
}

static void test_sleep(void)
{
	int ret = life_act(&display_device, LIFE_RESET);

	ktap_result(!ret && both_show(0), "both pictures are back after a reset (%d)", ret);
	ret = life_act(&display_device, LIFE_SUSPEND);
	ktap_result(!ret && both_show(0), "both pictures are back after sleep (%d)", ret);
}

static bool is_told(int events, uint32_t connector)
{
	char word[32];

	snprintf(word, sizeof(word), "CONNECTOR=%u", connector);
	return uevents_wait(events, word, TIMEOUT_MS);
}

/* Whether a monitor is at the second connector, and the width that it prefers. */
static bool is_connected(uint32_t *width)
{
	struct display again = { 0 };
	int ret = display_open_other(&again, &heads[0]);

	*width = again.mode.hdisplay;
	return !ret && again.connector == heads[1].connector;
}

static void test_hotplug(void)
{
	int events = uevents_open(), ret = set_modes();
	uint32_t width;

	ktap_result(!ret && both_show(0), "both heads are on (%d)", ret);
	ktap_result(is_told(events, heads[1].connector) && !is_connected(&width), "the second monitor goes");
	ktap_result(display_flip_shows(&heads[0], fbs[0][1].fb, crcs[0][1]) && shows(1, 0),
		    "the first head flips on, and what the second one shows stays");
	ktap_result(is_told(events, heads[1].connector) && is_connected(&width) && width == 640,
		    "another one comes, with a mode of its own");
	ret = display_open_other(&heads[1], &heads[0]);
	if (!ret && display_make_pictures(&heads[1], fbs[1], crcs[1], PICTURES))
		ret = display_modeset(&heads[1], fbs[1][1].fb);
	ktap_result(!ret && both_show(1), "which is shown beside the first head's picture (%d)", ret);
	close(events);
}

int main(int argc, char **argv)
{
	bool hotplug = argc > 1 && !strcmp(argv[1], "hotplug");
	int ret;

	ktap_plan(hotplug ? 6 : 28);
	life_complaints();
	ret = open_both();
	if (!ktap_result(!ret && heads[0].crtc != heads[1].crtc && heads[0].mode.hdisplay != heads[1].mode.hdisplay,
			 "two connectors have a CRTC and a mode each (%d)", ret))
		return ktap_finish();
	if (hotplug) {
		test_hotplug();
		return ktap_finish();
	}
	ret = set_modes();
	ktap_result(!ret && both_show(0), "one commit switches both on (%d)", ret);
	test_times();
	test_fences();
	test_one_commit();
	test_wrong_places();
	test_planes();
	test_writeback();
	test_dpms();
	test_lease();
	test_sleep();
	ret = display_off(&heads[0]);
	ktap_result(!ret && shows(1, 0), "the second head runs on without the first one (%d)", ret);
	ret = display_off(&heads[1]);
	ktap_result(!ret, "and is switched off (%d)", ret);
	display_close(&heads[0]);
	ktap_result(!life_complaints(), "the kernel has not complained");
	return ktap_finish();
}
