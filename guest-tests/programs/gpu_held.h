/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What test_gpu_life holds of the GPU: an open file, its buffers, fences; and jobs on its rings. Functions return 0 (or
 * what they say) on success and a negative errno on failure.
 */
#ifndef FENCEPOST_GPU_HELD_H
#define FENCEPOST_GPU_HELD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "gpu_client.h"
#include "life.h"

/* Of each buffer. */
#define GPU_HELD_BYTES 16384
#define GPU_HELD_TIMEOUT_MS 20000
/* What all buffers but the semaphore are filled with at first. */
#define GPU_HELD_PATTERN 0x5eed1e55
/* Jobs of the busy holding, on each ring. */
#define GPU_HELD_JOBS 40

enum { A, B, C, SEMAPHORE, BUFFERS };

/* -1, 0 and NULL where nothing is held. */
struct gpu_held {
	int gpu;
	struct gpu_buffer buffers[BUFFERS];
	int fence;
	int fences[2 * GPU_HELD_JOBS];
	pid_t child;
	/* Shared with the child, at first 0: the one tells the other something by 1. */
	volatile int *word;
};

extern struct gpu_held gpu_held;

/* An open file with buffers, all of which the GPU has seen. */
int gpu_held_open(void);

/* Closes the file alone. */
void gpu_held_close(void);

/* Unmaps the buffers. */
void gpu_held_unmap(void);

/* Lets go of everything. */
void gpu_held_let_go(void);

/* Whether a buffer's memory is full of pattern. */
bool gpu_held_is_filled(const uint8_t *bytes, uint32_t pattern);

/* Asks for a fence's status, and whether its names, which are in memory of the driver's, are there. */
int gpu_held_fence_status(int fence, int *status);

/* Jobs: each is a holding of life.h. */
int gpu_held_take_running(void);
int gpu_held_check_running(enum life_action action);
int gpu_held_take_running_alone(void);
int gpu_held_take_busy(void);
int gpu_held_check_busy(enum life_action action);
int gpu_held_take_killed(void);
int gpu_held_check_killed(enum life_action action);
int gpu_held_take_waiter(void);
int gpu_held_check_waiter(enum life_action action);
int gpu_held_take_client(void);
int gpu_held_check_client(enum life_action action);

#endif /* FENCEPOST_GPU_HELD_H */
