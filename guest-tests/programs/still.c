// SPDX-License-Identifier: GPL-2.0
/*
 * `still SECONDS on|off|written`, for ci/bench: shows one picture for so long, or switches the screen off. `written`: a
 * pixel of it is written each 10 ms. Exit status 0 if the display did what it was told.
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "display.h"
#include "display_commit.h"
#include "display_fb.h"

#define STEP_NS 10000000

static int show(struct display *display, struct display_fb *fb, uint32_t **pixels)
{
	int ret = display_create_dumb(display, fb);

	if (ret)
		return ret;
	*pixels = display_map_dumb(display, fb);
	if (!*pixels)
		return -1;
	for (uint64_t i = 0; i < fb->size / 4; i++)
		(*pixels)[i] = i * 2654435761u;
	return display_modeset(display, fb->fb);
}

int main(int argc, char **argv)
{
	const struct timespec step = { .tv_nsec = STEP_NS };
	struct display display;
	struct display_fb fb;
	uint32_t *pixels;
	int ret;

	if (argc != 3) {
		fprintf(stderr, "usage: still SECONDS on|off|written\n");
		return 2;
	}
	ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);
	if (!ret)
		ret = show(&display, &fb, &pixels);
	if (!ret && !strcmp(argv[2], "off"))
		ret = display_off(&display);
	if (ret) {
		fprintf(stderr, "still: no picture: %d\n", ret);
		return 1;
	}
	for (long steps = atol(argv[1]) * (1000000000 / STEP_NS); steps > 0; steps--) {
		nanosleep(&step, NULL);
		if (!strcmp(argv[2], "written"))
			pixels[steps % (fb.size / 4)]++;
	}
	return 0;
}
