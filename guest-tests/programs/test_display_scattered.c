// SPDX-License-Identifier: GPL-2.0
/*
 * A buffer in more pieces than the display's lists have entries, in KTAP: in a machine without an IOMMU, whose memory this program
 * has broken into single pages. It is refused when it becomes a framebuffer, and not when it is shown.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "display_picture.h"
#include "ktap.h"

#define PAGE 4096u
/* Of a list. */
#define MAX_ENTRIES 32768u
/* What is left whole, bytes. */
#define WHOLE (40u << 20)
/* Pages of the buffer: what was left whole makes few pieces of it. */
#define PAGES (56u * 1024)

static struct display display;

/* Memory in which no free page has a free neighbour; its file, which keeps the others. */
static int break_memory(void)
{
	int file = memfd_create("pages", MFD_CLOEXEC), ret = 0;
	struct sysinfo info;
	unsigned int pages;

	if (file < 0 || sysinfo(&info) || info.freeram < WHOLE)
		return -1;
	pages = (info.freeram - WHOLE) / PAGE;
	ktap_note("%u pages are broken up", pages);
	if (ftruncate(file, (off_t)pages * PAGE))
		return -1;
	for (unsigned int i = 0; i < pages && !ret; i++)
		ret = pwrite(file, "x", 1, (off_t)i * PAGE) == 1 ? 0 : -1;
	for (unsigned int i = 0; i < pages && !ret; i += 2)
		ret = fallocate(file, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)i * PAGE, PAGE);
	return ret ? -1 : file;
}

static int make_buffer(unsigned int pages, struct display_fb *fb)
{
	struct drm_mode_create_dumb create = { .width = PAGE / 4, .height = pages, .bpp = 32 };
	int ret = display_ioctl(display.fd, DRM_IOCTL_MODE_CREATE_DUMB, &create);

	fb->handle = create.handle;
	fb->size = create.size;
	fb->width = display.mode.hdisplay;
	fb->height = display.mode.vdisplay;
	fb->pitch = create.pitch;
	return ret;
}

static int add_fb(struct display_fb *fb)
{
	struct drm_mode_fb_cmd2 add = {
		.width = fb->width,
		.height = fb->height,
		/* XR24 of drm_fourcc.h. */
		.pixel_format = 'X' | 'R' << 8 | '2' << 16 | '4' << 24,
		.handles = { fb->handle },
		.pitches = { fb->pitch },
	};
	int ret = display_ioctl(display.fd, DRM_IOCTL_MODE_ADDFB2, &add);

	fb->fb = add.fb_id;
	return ret;
}

static void test_whole(void)
{
	struct display_fb fb = { 0 };
	uint8_t *pixels;
	int ret = make_buffer(MAX_ENTRIES, &fb);
	uint32_t crc = 0;

	if (!ret)
		ret = add_fb(&fb);
	pixels = ret ? NULL : display_map_dumb(&display, &fb);
	if (pixels) {
		crc = display_paint(pixels, &fb, 3);
		munmap(pixels, fb.size);
		ret = display_modeset(&display, fb.fb);
	}
	ktap_result(!ret && pixels && display_crc_on_screen(&display) == crc,
		    "a buffer of as many pages as a list has entries is shown (%d)", ret);
	display_off(&display);
	display_destroy_fb(&display, &fb);
}

static void test_scattered(void)
{
	struct display_fb fb = { 0 };
	int file, ret = -ENOMEM;

	/* Its memory before the buffer's. */
	file = break_memory();
	ktap_result(file >= 0, "memory is broken into pages");
	if (file >= 0)
		ret = make_buffer(PAGES, &fb);
	if (!ret)
		ret = add_fb(&fb);
	ktap_result(ret == -E2BIG, "a buffer in too many pieces is refused as a framebuffer (%d)", ret);
	if (fb.handle)
		display_destroy_fb(&display, &fb);
	if (file >= 0)
		close(file);
}

int main(void)
{
	int ret;

	ktap_plan(4);
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ktap_result(!ret, "the display opens (%d)", ret))
		return ktap_finish();
	test_whole();
	test_scattered();
	display_close(&display);
	return ktap_finish();
}
