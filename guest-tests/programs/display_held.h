/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What a test holds of the display while something happens to it (life.h): at first an open file, a mode, two pictures.
 * Functions return 0 on success and a negative errno on failure.
 */
#ifndef FENCEPOST_DISPLAY_HELD_H
#define FENCEPOST_DISPLAY_HELD_H

#include <sys/types.h>

#include "camera.h"
#include "display.h"
#include "display_fb.h"
#include "gpu_client.h"
#include "life.h"

enum { FIRST, SECOND, BUFFERS };

/* What is held; -1, 0 and NULL where nothing is. */
struct held {
	struct display display;
	struct display_fb fbs[BUFFERS];
	uint32_t crcs[BUFFERS];
	struct display lessee;
	uint32_t *map;
	uint32_t last_pixel;
	int dmabuf;
	int fence;
	int crc_file;
	int gpu;
	struct gpu_buffer gpu_buffer;
	struct camera camera;
	pid_t child;
};

extern struct held held;

/* Sets everything to nothing. */
void held_forget(void);

/* Closes a descriptor if there is one. */
void held_close(int *fd);

/* Lets go of everything. */
void held_let_go(void);

/* Opens the display; and looks whether it is gone or works. */
int held_take_file(void);
int held_check_file(enum life_action action);

/* Opens it with the first picture on the screen; and looks whether that is there after what was no loss. */
int held_take_mode(void);
int held_check_mode(enum life_action action);

/* What was on the screen, by its CRC, still is, and each picture can be shown. */
int held_check_screen(uint32_t crc);

#endif
