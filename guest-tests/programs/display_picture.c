// SPDX-License-Identifier: GPL-2.0
/* Pictures and the CRCs that the screen has of them: see display_picture.h. */
#include "display_picture.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "crc32.h"
#include "display_commit.h"
#include "ktap.h"

/* Long enough for a machine that is slow beside its own clock. */
#define TIMEOUT_MS 5000
/* More than the frames that pass between a flip and its CRC. */
#define CRC_LINES 64

uint32_t display_paint(uint8_t *pixels, const struct display_fb *fb, uint32_t seed)
{
	uint32_t *packed = malloc((size_t)fb->width * fb->height * 4);
	uint32_t state = seed * 2654435761u + 1, crc;

	if (!packed)
		return 0;
	for (uint32_t y = 0; y < fb->height; y++) {
		uint32_t *row = (uint32_t *)(pixels + (size_t)y * fb->pitch);

		for (uint32_t x = 0; x < fb->width; x++) {
			state = state * 1664525u + 1013904223u;
			row[x] = state;
			packed[(size_t)y * fb->width + x] = state & 0xffffff;
		}
	}
	crc = crc32_of(packed, (size_t)fb->width * fb->height * 4);
	free(packed);
	return crc;
}

int display_open_crcs(struct display *display)
{
	struct stat node;
	char path[128];

	if (fstat(display->fd, &node))
		return -errno;
	snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%u/crtc-%u/crc/data",
		 minor(node.st_rdev), display->crtc_index);
	return open(path, O_RDONLY | O_CLOEXEC);
}

bool display_next_crc(int crcs, unsigned int *frame, uint32_t *crc)
{
	/* One line is "0x" and 8 digits, twice, a space between and a line feed; one read gives one line. */
	char line[64];
	ssize_t len = read(crcs, line, sizeof(line) - 1);

	if (len <= 0)
		return false;
	line[len] = '\0';
	return sscanf(line, "%x %x", frame, crc) == 2;
}

bool display_crc_of_frame(int crcs, uint32_t frame, uint32_t *crc)
{
	unsigned int number;

	for (int i = 0; i < CRC_LINES && display_next_crc(crcs, &number, crc); i++)
		if (number == frame)
			return true;
	return false;
}

bool display_crc_since(int crcs, uint32_t frame, uint32_t *crc)
{
	unsigned int number;

	for (int i = 0; i < CRC_LINES && display_next_crc(crcs, &number, crc); i++)
		if ((int32_t)(number - frame) >= 0)
			return true;
	return false;
}

bool display_flip_shows(struct display *display, uint32_t fb, uint32_t expected)
{
	struct display_flip flip = { 0 };
	uint32_t crc = 0;
	int crcs = display_open_crcs(display);
	int ret = crcs < 0 ? crcs : display_flip(display, fb, -1, NULL, 0);

	if (!ret)
		ret = display_wait_flip(display, TIMEOUT_MS, &flip);
	if (ret || !display_crc_since(crcs, flip.sequence, &crc) || crc != expected) {
		ktap_note("result %d, frame %u, CRC %08x, expected %08x", ret, flip.sequence, crc,
			  expected);
		ret = -EINVAL;
	}
	if (crcs >= 0)
		close(crcs);
	return ret == 0;
}

uint32_t display_crc_on_screen(struct display *display)
{
	int crcs = display_open_crcs(display);
	unsigned int frame;
	uint32_t crc = 0;

	/* The first may be of a frame that began before. */
	for (int i = 0; i < 3 && crcs >= 0 && display_next_crc(crcs, &frame, &crc); i++)
		;
	if (crcs >= 0)
		close(crcs);
	return crc;
}

bool display_make_pictures(struct display *display, struct display_fb *fbs, uint32_t *crcs,
			   unsigned int count)
{
	for (uint32_t i = 0; i < count; i++) {
		uint8_t *pixels;

		if (display_create_dumb(display, &fbs[i]))
			return false;
		pixels = display_map_dumb(display, &fbs[i]);
		if (!pixels)
			return false;
		crcs[i] = display_paint(pixels, &fbs[i], i);
		munmap(pixels, fbs[i].size);
	}
	return true;
}

