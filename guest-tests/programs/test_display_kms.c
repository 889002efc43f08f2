// SPDX-License-Identifier: GPL-2.0
/*
 * What DRM promises to those who show pictures, in KTAP: framebuffers up to the limits that it tells, what becomes of the
 * screen when a framebuffer goes, a count and clock of vertical blanks that go on, leases, sleep. To be run with few
 * frames a second.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include <fencepost_pci.h>

#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_picture.h"
#include "ktap.h"
#include "life.h"
#include "uevents.h"

#define XRGB8888 0x34325258
/* A tiled layout of some other vendor's. */
#define OTHER_MODIFIER (1ull << 56 | 1)
/* How long something takes, in frames. */
#define FRAMES 5

static const struct life_device display_device = {
	.slot = FENCEPOST_PCI_NAME_DISPLAY,
	.name = FENCEPOST_DISPLAY_DRIVER_NAME,
};

static struct display display;
static struct display_fb fbs[2];
static uint32_t crcs[2];

/* A commit of one property that may set a mode. */
static int set(uint32_t object, uint32_t property, uint64_t value, uint32_t flags)
{
	struct display_change c = { 0 };

	display_add(&c, object, property, value);
	return display_commit(&display, &c, DRM_MODE_ATOMIC_ALLOW_MODESET | flags, 0);
}

static int set_active(bool on)
{
	return set(display.crtc, display.props.crtc_active, on, 0);
}

/* Framebuffers of the first picture's buffer, as changed; the result must be this. */
static const struct {
	const char *name;
	int width, height, pitch, offset;
	uint64_t modifier;
	int result;
} layouts[] = {
	{ "as it is", 0, 0, 0, 0, 0, 0 },
	{ "smaller", -1, -1, 0, 0, 0, 0 },
	{ "one line more than there is", 0, 1, 0, 0, 0, -EINVAL },
	{ "lines that overlap", 0, 0, -4, 0, 0, -EINVAL },
	{ "a pitch of 4n + 1", -4, -1, 1, 0, 0, -EINVAL },
	{ "a pitch of 4n + 2", -4, -2, 2, 0, 0, -EINVAL },
	{ "a pitch of 4n + 4", -4, -1, 4, 0, 0, 0 },
	{ "an offset of 2", -4, -1, 0, 2, 0, -EINVAL },
	{ "an offset of 4", -4, -1, 0, 4, 0, 0 },
	{ "an offset that leaves too little", 0, 0, 0, 4, 0, -EINVAL },
	{ "a modifier that the plane does not have", 0, 0, 0, 0, OTHER_MODIFIER, -EINVAL },
};

#define LAYOUTS (sizeof(layouts) / sizeof(layouts[0]))

static int add_fb(struct drm_mode_fb_cmd2 *add)
{
	int ret = display_ioctl(display.fd, DRM_IOCTL_MODE_ADDFB2, add);

	if (!ret)
		display_ioctl(display.fd, DRM_IOCTL_MODE_RMFB, &add->fb_id);
	return ret;
}

static void test_layouts(void)
{
	for (size_t i = 0; i < LAYOUTS; i++) {
		struct drm_mode_fb_cmd2 add = {
			.width = fbs[0].width + layouts[i].width,
			.height = fbs[0].height + layouts[i].height,
			.pixel_format = XRGB8888,
			.handles = { fbs[0].handle },
			.pitches = { fbs[0].pitch + layouts[i].pitch },
			.offsets = { layouts[i].offset },
			.modifier = { layouts[i].modifier },
			.flags = layouts[i].modifier ? DRM_MODE_FB_MODIFIERS : 0,
		};
		int ret = add_fb(&add);

		ktap_result(ret == layouts[i].result, "a framebuffer with %s gives %d (%d)", layouts[i].name,
			    layouts[i].result, ret);
	}
}

/* Makes and drops a framebuffer of this size. */
static int try_size(uint32_t width, uint32_t height)
{
	struct drm_mode_create_dumb create = { .width = width, .height = height, .bpp = 32 };
	struct drm_mode_fb_cmd2 add = { .width = width, .height = height, .pixel_format = XRGB8888 };
	struct drm_gem_close close = { 0 };
	int ret = display_ioctl(display.fd, DRM_IOCTL_MODE_CREATE_DUMB, &create);

	if (ret)
		return ret;
	close.handle = add.handles[0] = create.handle;
	add.pitches[0] = create.pitch;
	ret = add_fb(&add);
	display_ioctl(display.fd, DRM_IOCTL_GEM_CLOSE, &close);
	return ret;
}

static void test_sizes(void)
{
	struct drm_mode_card_res res = { 0 };
	int ret = display_ioctl(display.fd, DRM_IOCTL_MODE_GETRESOURCES, &res);

	ktap_note("framebuffers of %ux%u to %ux%u", res.min_width, res.min_height, res.max_width, res.max_height);
	ktap_result(!ret && !try_size(res.min_width, res.min_height), "the smallest framebuffer is taken");
	ktap_result(!try_size(res.max_width, res.max_height), "the largest framebuffer is taken");
	ktap_result(!try_size(res.max_width, 1) && !try_size(1, res.max_height), "the widest and the highest are");
	ktap_result(try_size(res.max_width + 1, 1) == -EINVAL && try_size(1, res.max_height + 1) == -EINVAL,
		    "wider and higher ones are not");
}

/* A corner of the largest framebuffer is shown: its last lines are far from its first byte. */
static void test_large(void)
{
	struct drm_mode_card_res res = { 0 };
	const struct display_properties *p = &display.props;
	struct display large = display;
	struct display_fb fb = { 0 };
	struct display_change c = { 0 };
	uint32_t x, y, crc = 0;
	uint8_t *pixels;
	int ret = display_ioctl(display.fd, DRM_IOCTL_MODE_GETRESOURCES, &res);

	large.mode.hdisplay = res.max_width;
	large.mode.vdisplay = res.max_height;
	x = res.max_width - display.mode.hdisplay;
	y = res.max_height - display.mode.vdisplay;
	if (!ret)
		ret = display_create_dumb(&large, &fb);
	pixels = ret ? NULL : display_map_dumb(&large, &fb);
	if (pixels) {
		struct display_fb corner = { .width = display.mode.hdisplay, .height = display.mode.vdisplay };

		corner.pitch = fb.pitch;
		crc = display_paint(pixels + (size_t)y * fb.pitch + x * 4, &corner, 3);
		display_add_plane(&display, &c, fb.fb);
		display_add(&c, display.plane, p->plane_src_x, (uint64_t)x << 16);
		display_add(&c, display.plane, p->plane_src_y, (uint64_t)y << 16);
		ret = display_modeset(&display, fbs[0].fb);
		if (!ret)
			ret = display_commit(&display, &c, 0, 0);
	}
	ktap_result(pixels && !ret && display_crc_on_screen(&display) == crc,
		    "the last corner of the largest framebuffer is shown (%d)", ret);
	if (pixels)
		munmap(pixels, fb.size);
	display_destroy_fb(&display, &fb);
}

static int show_nothing(void)
{
	struct display_change c = { 0 };

	display_add_plane(&display, &c, 0);
	return display_commit(&display, &c, 0, 0);
}

/* The value of a property; UINT64_MAX if it cannot be had. */
static uint64_t value_of(uint32_t object, uint32_t type, uint32_t property)
{
	uint32_t ids[64];
	uint64_t values[64];
	struct drm_mode_obj_get_properties get = {
		.props_ptr = (uintptr_t)ids,
		.prop_values_ptr = (uintptr_t)values,
		.count_props = 64,
		.obj_id = object,
		.obj_type = type,
	};

	if (!display_ioctl(display.fd, DRM_IOCTL_MODE_OBJ_GETPROPERTIES, &get))
		for (uint32_t i = 0; i < get.count_props && i < 64; i++)
			if (ids[i] == property)
				return values[i];
	return UINT64_MAX;
}

/* The plane is off and the screen black, but on. */
static bool is_black(uint32_t black)
{
	return value_of(display.plane, DRM_MODE_OBJECT_PLANE, display.props.plane_fb_id) == 0 &&
	       value_of(display.crtc, DRM_MODE_OBJECT_CRTC, display.props.crtc_active) == 1 &&
	       display_crc_on_screen(&display) == black;
}

/* A framebuffer goes while it is shown. */
static void test_framebuffers_end(void)
{
	struct display_fb gone = { 0 };
	uint32_t crc = 0, black;
	int ret = display_modeset(&display, fbs[0].fb);

	if (!ret)
		ret = show_nothing();
	black = display_crc_on_screen(&display);
	ktap_result(!ret && black && black != crcs[0], "without a plane the screen is black (%d)", ret);

	ret = display_make_pictures(&display, &gone, &crc, 1) ? display_modeset(&display, gone.fb) : -ENOMEM;
	if (!ret)
		ret = display_ioctl(display.fd, DRM_IOCTL_MODE_RMFB, &gone.fb);
	ktap_result(!ret && is_black(black), "RMFB of what is shown switches its plane off (%d)", ret);

	ret = display_modeset(&display, fbs[0].fb);
	close(display.fd);
	ret = ret ? ret : display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	ktap_result(!ret && is_black(black), "closing the file of what is shown switches its plane off (%d)", ret);
	if (!display_make_pictures(&display, fbs, crcs, 2))
		ktap_note("no pictures");
}

static uint64_t now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ull + now.tv_nsec;
}

static int ask_sequence(struct drm_crtc_get_sequence *get)
{
	memset(get, 0, sizeof(*get));
	get->crtc_id = display.crtc;
	return display_ioctl(display.fd, DRM_IOCTL_CRTC_GET_SEQUENCE, get);
}

/*
 * Switches off and on, or resets the device after some frames, which count; then the last vertical blank is not before
 * that, and the next a frame on.
 */
static void test_vblanks_go_on(const char *name, bool reset)
{
	uint64_t frame_ns = display.mode.htotal * 1000000ull * display.mode.vtotal / display.mode.clock, began_ns;
	struct drm_crtc_get_sequence before, first, next;
	int ret = ask_sequence(&before);

	if (!ret && !reset)
		ret = set_active(false);
	usleep(FRAMES * frame_ns / 1000);
	began_ns = now_ns();
	if (!ret)
		ret = reset ? life_act(&display_device, LIFE_RESET) :
			      set(display.crtc, display.props.crtc_active, 1, DRM_MODE_ATOMIC_NONBLOCK);
	/* Wait for the first part of that commit. */
	for (int i = 0; !ret && i < 100; i++) {
		ret = ask_sequence(&first);
		if (!ret)
			break;
		usleep(1000);
		ret = 0;
	}
	if (!ret)
		ret = display_wait_vblank(&display, NULL);
	if (!ret)
		ret = ask_sequence(&next);
	ktap_note("%llu at %lld ns, off; from %llu ns on %llu at %lld ns, %llu at %lld ns", before.sequence,
		  before.sequence_ns, (unsigned long long)began_ns, first.sequence, first.sequence_ns, next.sequence,
		  next.sequence_ns);
	ktap_result(!ret && first.sequence > before.sequence + (reset ? FRAMES : 0) && (uint64_t)first.sequence_ns >= began_ns &&
		    (uint64_t)first.sequence_ns <= now_ns(), "the last vertical blank after %s is none before it (%d)", name, ret);
	/* To the microseconds that lie between two readings of a clock. */
	ktap_result(!ret && next.sequence_ns - first.sequence_ns <= (int64_t)((next.sequence - first.sequence) * frame_ns) + 5000 &&
		    next.sequence_ns - first.sequence_ns >= (int64_t)((next.sequence - first.sequence) * frame_ns) - 5000,
		    "the next one after %s is a frame from it", name);
}

/*
 * A lessor that does not know of planes leases a CRTC with the planes that belong to it. The
 * kernel announces a lease's end. It does not announce its start, for any driver.
 */
static void test_leases(void)
{
	int events = uevents_open();
	uint32_t objects[16] = { display.crtc, display.connector };
	struct drm_mode_create_lease lease = { .object_ids = (uintptr_t)objects, .object_count = 2 };
	struct drm_mode_get_lease get = { .objects_ptr = (uintptr_t)objects, .count_objects = 16 };
	struct drm_mode_cursor cursor = { .flags = DRM_MODE_CURSOR_BO, .crtc_id = display.crtc };
	int plain, ret;

	ret = display_ioctl(display.fd, DRM_IOCTL_DROP_MASTER, NULL);
	plain = display_open_node("card", FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ret)
		ret = display_ioctl(plain, DRM_IOCTL_MODE_CREATE_LEASE, &lease);
	ktap_result(!ret, "a CRTC and a connector are leased (%d)", ret);
	ktap_note("the kernel %s of a lease that begins", uevents_wait(events, "LEASE=1", 0) ? "tells" : "does not tell");
	ret = display_ioctl(lease.fd, DRM_IOCTL_MODE_GET_LEASE, &get);
	ktap_result(!ret && get.count_objects == 4, "and with them the primary plane and the cursor's");
	ktap_result(!display_ioctl(lease.fd, DRM_IOCTL_MODE_CURSOR, &cursor), "the lessee has the cursor");
	close(lease.fd);
	ktap_result(uevents_wait(events, "LEASE=1", 0), "the kernel announces a lease that ends");
	close(plain);
	close(events);
	ktap_result(!display_ioctl(display.fd, DRM_IOCTL_SET_MASTER, NULL), "the first file is master again");
}

static int write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = write(file, text, strlen(text));

	close(file);
	return len == (ssize_t)strlen(text) ? 0 : -EIO;
}

/* As deep as the machine's firmware would be asked: the device is in D3hot then, and has forgotten its MSI-X messages. */
static int sleep_deeply(void)
{
	int ret = write_file("/sys/module/suspend/parameters/pm_test_delay", "0");

	if (!ret)
		ret = write_file("/sys/power/pm_test", "platform");
	return ret ? ret : write_file("/sys/power/state", "freeze");
}

/*
 * The same picture a thousand times a second, which is as often as the device can: whoever leaves it on while it sleeps
 * has it read memory that it must not.
 */
static int set_fast_mode(void)
{
	struct drm_mode_modeinfo fast = display.mode;
	int ret;

	fast.clock = fast.htotal * fast.vtotal;
	ret = display_use_mode(&display, &fast);
	return ret ? ret : display_modeset(&display, fbs[1].fb);
}

/* Sleep and resets, with the screen on and off, one after the other. */
static void test_sleep(void)
{
	int ret = set_fast_mode();

	if (!ret)
		ret = sleep_deeply();
	ktap_result(!ret && display_crc_on_screen(&display) == crcs[1], "the picture is back after deep sleep (%d)", ret);
	for (int i = 0; !ret && i < 3; i++)
		ret = life_act(&display_device, LIFE_RESET);
	ktap_result(!ret && display_crc_on_screen(&display) == crcs[1], "the picture is back after three resets (%d)", ret);
	ret = set_active(false);
	if (!ret)
		ret = sleep_deeply();
	if (!ret)
		ret = life_act(&display_device, LIFE_RESET);
	ktap_result(!ret && value_of(display.crtc, DRM_MODE_OBJECT_CRTC, display.props.crtc_active) == 0,
		    "what was off before sleep and reset is off afterwards (%d)", ret);
	ret = set_active(true);
	ktap_result(!ret && display_flip_shows(&display, fbs[0].fb, crcs[0]), "and can be switched on (%d)", ret);
}

int main(void)
{
	int ret;

	ktap_plan(LAYOUTS + 23);
	life_complaints();
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ktap_result(!ret && display_make_pictures(&display, fbs, crcs, 2), "the display opens (%d)", ret))
		return ktap_finish();
	test_layouts();
	test_sizes();
	test_large();
	test_framebuffers_end();
	ret = display_modeset(&display, fbs[0].fb);
	test_vblanks_go_on("switching off and on", false);
	test_vblanks_go_on("a reset", true);
	test_leases();
	test_sleep();
	display_close(&display);
	ktap_result(!life_complaints(), "the kernel has not complained");
	return ktap_finish();
}
