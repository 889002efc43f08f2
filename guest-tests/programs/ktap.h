/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Reports of a test program in KTAP, version 1: ktap_plan() first, one line for each test, and
 * ktap_finish() gives the program's exit status.
 */
#ifndef FENCEPOST_KTAP_H
#define FENCEPOST_KTAP_H

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Announces how many tests follow. */
void ktap_plan(unsigned int tests);

/* A remark, which is no result. */
__attribute__((format(printf, 1, 2)))
void ktap_note(const char *format, ...);

/* One result; returns whether the test passed. */
__attribute__((format(printf, 2, 3)))
int ktap_result(int passed, const char *format, ...);

/* A test that cannot run here, and why. */
void ktap_skip(const char *name, const char *reason);

/* The totals; 0 when every planned test was reported and none failed. */
int ktap_finish(void);

#ifdef __cplusplus
}
#endif

#endif
