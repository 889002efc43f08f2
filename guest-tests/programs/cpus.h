/* SPDX-License-Identifier: GPL-2.0 */
/* The guest's CPUs: how many there are, where a thread runs, what they have counted. */
#ifndef FENCEPOST_CPUS_H
#define FENCEPOST_CPUS_H

#include <pthread.h>
#include <stdbool.h>

#define CPUS_MAX 64

/* How many are online. */
int cpus_online(void);

/* Has the calling thread run on one CPU alone. 0, or a negative errno. */
int cpus_run_on(int cpu);

/* Takes a CPU off line or brings it back. 0, or a negative errno. */
int cpus_set_online(int cpu, bool online);

/* What /proc/interrupts counts for each CPU in all lines that have a text; how many lines those are. */
int cpus_interrupts(const char *text, unsigned long counts[CPUS_MAX]);

/* The number of the first such line's interrupt, or -1. */
int cpus_interrupt_number(const char *text);

/* One thread for each online CPU, which runs on it alone: run(cpu). Returns when all have; whether none failed. */
bool cpus_on_each(int cpus, int (*run)(int cpu));

#endif /* FENCEPOST_CPUS_H */
