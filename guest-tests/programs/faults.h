/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Checks of what drivers do at a fault of their hardware (docs/faults.md). Each check is a program and the fault's kind:
 * `fault_gpu hang`. The fault is given by the machine, as `--fault gpu:hang,mark=70`, when the check says that it is set up.
 */
#ifndef FENCEPOST_FAULTS_H
#define FENCEPOST_FAULTS_H

#include <stdbool.h>

/* The mark at which checks want the fault. */
#define FAULTS_MARK 70

struct fault_check {
	const char *kind;
	bool (*run)(void);
};

/* From now on the hardware has the fault. */
void faults_begin(void);

/* Writes a text to a file of the kernel's; whether it took it. */
bool faults_set(const char *path, const char *value);

/* Milliseconds of CLOCK_MONOTONIC. */
unsigned long long faults_now_ms(void);

/* Reports on standard output why a check fails; false. */
__attribute__((format(printf, 1, 2)))
bool faults_wrong(const char *format, ...);

/* Runs the check that the only argument names: 0 passed, 1 failed, 2 there is no such check. */
int faults_main(int argc, char **argv, const struct fault_check *checks, unsigned int count);

#endif
