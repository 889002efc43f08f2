// SPDX-License-Identifier: GPL-2.0
/*
 * The end of a boot. The kernel goes on in threads of its own when /init runs already, with the self-tests of its cryptography above
 * all: nothing else is timed before the machine has nothing to do.
 */
#include <stdio.h>
#include <unistd.h>

#include "workloads.h"

#define STEP_MS 50
#define STEPS 2400
/* Of a second, in which times are counted (proc(5)). */
#define TICKS 100

/* Ticks in which the machine, which has one CPU, had nothing to do; -1 if that cannot be read. */
static long idle_ticks(void)
{
	long user, nice, system, idle;
	FILE *stat = fopen("/proc/stat", "re");
	int read;

	if (!stat)
		return -1;
	read = fscanf(stat, "cpu %ld %ld %ld %ld", &user, &nice, &system, &idle);
	fclose(stat);
	return read == 4 ? idle : -1;
}

/* Waits for 50 ms in which next to nothing ran. The guest may have two minutes for it. */
int boot(unsigned turns)
{
	long before = idle_ticks();

	(void)turns;
	for (int n = 0; before >= 0 && n < STEPS; n++) {
		long now;

		usleep(STEP_MS * 1000);
		now = idle_ticks();
		if (now - before >= STEP_MS * TICKS / 1000 - 1)
			return 0;
		before = now;
	}
	return -1;
}
