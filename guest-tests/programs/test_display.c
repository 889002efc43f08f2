// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the display alone, in KTAP: what it scans out is what the guest painted, by the CRC of
 * each frame that the device computes and the guest computes too.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <fencepost_pci.h>

#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_picture.h"
#include "ktap.h"
#include "other_memory.h"

#define PCI_DEVICE "/sys/bus/pci/devices/" FENCEPOST_PCI_NAME_DISPLAY
#define PCI_DRIVER "/sys/bus/pci/drivers/" FENCEPOST_DISPLAY_DRIVER_NAME
#define FLIPS 8
/* Long enough for a machine that is slow beside its own clock. */
#define TIMEOUT_MS 5000

static struct display display;

static void test_flips(const struct display_fb *fbs, const uint32_t *crcs)
{
	struct display_flip flip = { 0 };
	uint32_t last = 0;
	int in_order = 1, tagged = 1, shown = 1;

	for (uint32_t i = 0; i < FLIPS; i++) {
		if (display_flip(&display, fbs[i % 2].fb, -1, NULL, i) ||
		    display_wait_flip(&display, TIMEOUT_MS, &flip)) {
			shown = 0;
			break;
		}
		in_order &= !i || flip.sequence > last;
		tagged &= flip.user_data == i;
		last = flip.sequence;
	}
	ktap_result(shown && in_order && tagged, "flips complete in order with their data");
	ktap_result(display_flip_shows(&display, fbs[0].fb, crcs[0]), "a flip shows the first picture");
	ktap_result(display_flip_shows(&display, fbs[1].fb, crcs[1]), "a flip shows the second picture");
}

static void test_fences(const struct display_fb *fbs)
{
	struct pollfd waiter = { .fd = -1, .events = POLLIN };
	struct display_flip flip = { 0 };
	int first = -1, second = -1, ret;

	/* Begin a frame, so that both flips fall into it. */
	display_wait_vblank(&display, NULL);
	ret = display_flip(&display, fbs[0].fb, -1, &first, 1);
	ktap_result(!ret && first >= 0, "a flip gives an out-fence");
	ktap_result(display_flip(&display, fbs[1].fb, -1, NULL, 2) == -EBUSY,
		    "a second flip before the first is done is refused");
	waiter.fd = first;
	ktap_result(poll(&waiter, 1, TIMEOUT_MS) == 1 && (waiter.revents & POLLIN),
		    "the out-fence signals");
	display_wait_flip(&display, TIMEOUT_MS, &flip);

	ret = display_flip(&display, fbs[1].fb, first, &second, 3);
	if (!ret)
		ret = display_wait_flip(&display, TIMEOUT_MS, &flip);
	ktap_result(!ret && flip.user_data == 3, "a flip takes an in-fence");
	close(first);
	close(second);
}

static void test_vblanks(void)
{
	const struct drm_mode_modeinfo *mode = &display.mode;
	uint64_t frame_ns = mode->htotal * 1000000ull * mode->vtotal / mode->clock;
	uint32_t first = 0, next = 0;
	union drm_wait_vblank wait = { 0 };
	int64_t times_us[2] = { 0, INT64_MAX };

	ktap_result(!display_wait_vblank(&display, &first) &&
		    !display_wait_vblank(&display, &next) && next > first,
		    "vertical blanks are counted");
	for (int i = 0; i < 2; i++) {
		memset(&wait, 0, sizeof(wait));
		wait.request.type = _DRM_VBLANK_ABSOLUTE;
		wait.request.sequence = next + 2 + i;
		if (ioctl(display.fd, DRM_IOCTL_WAIT_VBLANK, &wait))
			break;
		times_us[i] = wait.reply.tval_sec * 1000000ll + wait.reply.tval_usec;
		times_us[i] -= wait.reply.sequence * (int64_t)(frame_ns / 1000);
	}
	/* A frame is a whole number of frames' time from another, to the microsecond of the interface. */
	ktap_result(llabs(times_us[1] - times_us[0]) <= 3, "vertical blanks are a frame apart");
}

/* Explicit synchronisation asks the node that shows the picture for syncobjs. */
static void test_syncobjs(void)
{
	struct drm_syncobj_create create = { 0 };
	uint64_t point = 3;
	int ret = display_ioctl(display.fd, DRM_IOCTL_SYNCOBJ_CREATE, &create);
	struct drm_syncobj_timeline_array signal = {
		.handles = (uintptr_t)&create.handle,
		.points = (uintptr_t)&point,
		.count_handles = 1,
	};
	struct drm_syncobj_timeline_wait wait = {
		.handles = (uintptr_t)&create.handle,
		.points = (uintptr_t)&point,
		.count_handles = 1,
		.flags = DRM_SYNCOBJ_WAIT_FLAGS_WAIT_FOR_SUBMIT,
	};
	int early = ret ? ret : display_ioctl(display.fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &wait);

	if (!ret)
		ret = display_ioctl(display.fd, DRM_IOCTL_SYNCOBJ_TIMELINE_SIGNAL, &signal);
	if (!ret)
		ret = display_ioctl(display.fd, DRM_IOCTL_SYNCOBJ_TIMELINE_WAIT, &wait);
	ktap_result(!ret && early == -ETIME, "the display has timelines (%d, early %d)", ret, early);
}

/* What changes in a picture that is shown: told by DIRTYFB, whose clips must lie in the picture. */
static void test_dirty(const struct display_fb *fb)
{
	struct drm_clip_rect clip = { .x1 = 1, .y1 = 2, .x2 = 30, .y2 = 40 };
	struct drm_mode_fb_dirty_cmd dirty = { .fb_id = fb->fb, .clips_ptr = (uintptr_t)&clip, .num_clips = 1 };
	int ret = display_ioctl(display.fd, DRM_IOCTL_MODE_DIRTYFB, &dirty);

	ktap_result(!ret, "a clip of a picture is marked as changed (%d)", ret);
	dirty.fb_id = 0;
	ret = display_ioctl(display.fd, DRM_IOCTL_MODE_DIRTYFB, &dirty);
	ktap_result(ret == -ENOENT, "of a picture that is not there it is refused (%d)", ret);
}

/* A dma-buf of ordinary pages, which lie anywhere in memory, as another driver would export it. */
static int make_scattered(size_t size, uint8_t **pixels)
{
	int memory = other_memory(size, 0), ret;

	if (memory < 0)
		return memory;
	*pixels = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
	ret = *pixels == MAP_FAILED ? -errno : other_memory_export(memory, size);
	close(memory);
	return ret;
}

/* Imports memory of another driver, with rows further apart than they are long, not from its start. */
static void test_import(void)
{
	const char *name = "an imported, scattered buffer is shown";
	const uint32_t offset = 4096 + 64;
	uint32_t width = display.mode.hdisplay, height = display.mode.vdisplay;
	uint32_t pitch = width * 4 + 192, crc;
	size_t size = (offset + (size_t)pitch * height + 4095) & ~(size_t)4095;
	struct display_fb fb = { 0 };
	uint8_t *pixels = NULL;
	int dmabuf;

	if (access("/dev/udmabuf", R_OK | W_OK)) {
		ktap_skip(name, "no /dev/udmabuf");
		return;
	}
	dmabuf = make_scattered(size, &pixels);
	if (dmabuf < 0 || display_import(&display, dmabuf, width, height, pitch, offset, &fb)) {
		ktap_result(0, "%s", name);
		return;
	}
	crc = display_paint(pixels + offset, &fb, 77);
	ktap_result(display_flip_shows(&display, fb.fb, crc), "%s", name);
	munmap(pixels, size);
	close(dmabuf);
	/* What is on the screen is taken off it by this: see that the display survives. */
	display_destroy_fb(&display, &fb);
}

static void test_refusals(struct display_fb *fb)
{
	struct display_fb bad = *fb;
	struct drm_mode_fb_cmd2 add = {
		.width = fb->width,
		.height = fb->height,
		.pixel_format = 0x30335258, /* XR30 */
		.handles = { fb->handle },
		.pitches = { fb->pitch },
	};

	ktap_result(ioctl(display.fd, DRM_IOCTL_MODE_ADDFB2, &add) < 0 && errno == EINVAL,
		    "a format that the display does not have is refused");
	add.pixel_format = 0x34325258; /* XR24 */
	add.height = fb->height / 2;
	ktap_result(!ioctl(display.fd, DRM_IOCTL_MODE_ADDFB2, &add) &&
		    display_flip(&display, add.fb_id, -1, NULL, 0) < 0,
		    "a picture smaller than the screen is refused");
	bad.fb = add.fb_id;
	ioctl(display.fd, DRM_IOCTL_MODE_RMFB, &bad.fb);
}

/* Sets or clears bus mastering (bit 2 of the PCI command register). */
static int set_bus_master(bool on)
{
	int config = open(PCI_DEVICE "/config", O_RDWR | O_CLOEXEC);
	uint16_t command = 0;
	int ret = -1;

	if (config >= 0 && pread(config, &command, sizeof(command), 4) == sizeof(command)) {
		command = on ? command | 4 : command & ~4;
		if (pwrite(config, &command, sizeof(command), 4) == sizeof(command))
			ret = 0;
	}
	close(config);
	return ret;
}

/*
 * Takes the memory away from under the display for some frames. Its interrupts are memory writes
 * and stop too, so that what it showed meanwhile cannot be asked; but it must go on afterwards.
 */
static void test_refused_memory(uint32_t crc)
{
	int off = set_bus_master(false);
	int on;

	usleep(100000);
	on = set_bus_master(true);
	ktap_result(!off && !on && display_crc_on_screen(&display) == crc,
		    "the picture comes back after bus mastering was off");
}

static int write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t len = write(file, text, strlen(text));

	close(file);
	return len == (ssize_t)strlen(text) ? 0 : -1;
}

/* Takes the driver away under a screen that is on, and brings it back. */
static void test_unbinding(void)
{
	struct display_fb fb = { 0 };

	ktap_result(!write_file(PCI_DRIVER "/unbind", FENCEPOST_PCI_NAME_DISPLAY) &&
		    display_create_dumb(&display, &fb) == -ENODEV,
		    "without its driver the display is gone for who has it open");
	close(display.fd);
	ktap_result(!write_file(PCI_DRIVER "/bind", FENCEPOST_PCI_NAME_DISPLAY) &&
		    !display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME), "with the driver again it opens");
}

int main(void)
{
	struct display_fb fbs[2] = { 0 };
	uint32_t crcs[2] = { 0 };
	int ret;

	ktap_plan(24);
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ktap_result(ret == 0, "the display opens (%d)", ret))
		return ktap_finish();
	ktap_note("mode %s, %u kHz", display.mode.name, display.mode.clock);
	ktap_result(display.mode.type & DRM_MODE_TYPE_PREFERRED, "its monitor prefers a mode");
	if (!ktap_result(display_make_pictures(&display, fbs, crcs, 2), "dumb buffers are made"))
		return ktap_finish();
	if (!ktap_result(display_modeset(&display, fbs[0].fb) == 0, "the mode is set"))
		return ktap_finish();

	test_flips(fbs, crcs);
	test_fences(fbs);
	test_vblanks();
	test_syncobjs();
	test_dirty(&fbs[0]);
	test_refusals(&fbs[0]);
	test_import();

	/* The screen is off now, since what it showed was destroyed. */
	ret = display_modeset(&display, fbs[1].fb);
	ktap_result(!ret && display_flip_shows(&display, fbs[0].fb, crcs[0]), "the display still works after that");
	test_refused_memory(crcs[0]);
	test_unbinding();
	ktap_result(display_make_pictures(&display, fbs, crcs, 2) && !display_modeset(&display, fbs[0].fb) &&
		    display_flip_shows(&display, fbs[1].fb, crcs[1]), "and shows pictures");
	display_close(&display);
	return ktap_finish();
}
