/* SPDX-License-Identifier: GPL-2.0 */
/*
 * What ci/bench --workloads times. Each workload does `turns` rounds of its work, checks what came out against what is known
 * beforehand, and returns 0, or -1 when a result is wrong or a system call fails.
 */
#ifndef WORKLOADS_H
#define WORKLOADS_H

#include <stdint.h>

/* boot.c */
int boot(unsigned turns);

/* arithmetic.c */
int sieve(unsigned turns);
int hash(unsigned turns);
int quicksort(unsigned turns);

/* floating.c */
int matrix(unsigned turns);
int x87(unsigned turns);

/* memory.c */
int copies(unsigned turns);
int chase(unsigned turns);
int faults(unsigned turns);

/* processes.c */
int syscalls(unsigned turns);
int forks(unsigned turns);
int execs(unsigned turns);
int pipes(unsigned turns);
int files(unsigned turns);

/* What a program that `execs` starts is called with, before the status that it ends with. */
#define END_WITH "--end-with"

/* The next of a row of numbers that look random: a xorshift generator (Marsaglia, 2003), whose state is not 0. */
static inline uint32_t next_random(uint32_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 17;
	*state ^= *state << 5;
	return *state;
}

#endif
