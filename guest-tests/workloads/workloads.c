// SPDX-License-Identifier: GPL-2.0
/*
 * Runs workloads, one after the other, between two lines each that the host stamps as they arrive (ci/workloads.py):
 *
 *   workloads [--small] [--alone] [NAME...]    all without a name; --small: as much as shows that they work;
 *                                              --alone: the kernel's messages stay off the console, to the end
 *   workloads --list                           their names
 *
 * The exit status is 0 when every result was right, 1 when one was wrong, 2 for a wrong argument.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <termios.h>
#include <unistd.h>
#include <x86intrin.h>

#include "workloads.h"

#define SYSLOG_ACTION_CONSOLE_OFF 6 /* klogctl(2); its names are not in the C library's header. */

/* Rounds of each: on a software CPU of 150 million instructions a second they take about a second. */
static const struct workload {
	const char *name;
	int (*run)(unsigned turns);
	unsigned turns, few;
} workloads[] = {
	{ "boot", boot, 1, 1 },
	{ "sieve", sieve, 6, 1 },
	{ "hash", hash, 2, 1 },
	{ "memcpy", copies, 600, 20 },
	{ "chase", chase, 10, 1 },
	{ "syscalls", syscalls, 100000, 1000 },
	{ "fork", forks, 100, 5 },
	{ "exec", execs, 80, 5 },
	{ "faults", faults, 4, 1 },
	{ "matrix", matrix, 3, 1 },
	{ "x87", x87, 200, 5 },
	{ "pipe", pipes, 6000, 300 },
	{ "files", files, 2500, 200 },
	{ "quicksort", quicksort, 5, 1 },
};
#define COUNT (sizeof(workloads) / sizeof(workloads[0]))

static const struct workload *find(const char *name)
{
	for (size_t n = 0; n < COUNT; n++)
		if (!strcmp(workloads[n].name, name))
			return &workloads[n];
	return NULL;
}

/* Nothing waits for the console while a workload runs but the line that it starts with. */
static int run(const struct workload *workload, int small)
{
	uint64_t began, took;
	int wrong;

	tcdrain(STDOUT_FILENO);
	printf("workload %s starts\n", workload->name);
	began = __rdtsc();
	wrong = workload->run(small ? workload->few : workload->turns);
	took = __rdtsc() - began;
	printf("workload %s %s, %" PRIu64 " cycles\n", workload->name, wrong ? "is wrong" : "is done", took);
	return wrong;
}

int main(int count, char **arguments)
{
	int small = 0, wrong = 0, first = 1;

	setvbuf(stdout, NULL, _IOLBF, 0);
	if (count == 3 && !strcmp(arguments[1], END_WITH))
		return atoi(arguments[2]);
	if (count == 2 && !strcmp(arguments[1], "--list")) {
		for (size_t n = 0; n < COUNT; n++)
			puts(workloads[n].name);
		return 0;
	}
	for (; first < count && !strncmp(arguments[first], "--", 2); first++) {
		if (!strcmp(arguments[first], "--small"))
			small = 1;
		else if (!strcmp(arguments[first], "--alone"))
			klogctl(SYSLOG_ACTION_CONSOLE_OFF, NULL, 0);
		else
			break;
	}
	for (int n = first; n < count; n++)
		if (!find(arguments[n])) {
			fprintf(stderr, "workloads: no workload has the name %s; --list lists them\n", arguments[n]);
			return 2;
		}
	if (first == count)
		for (size_t n = 0; n < COUNT; n++)
			wrong |= run(&workloads[n], small);
	for (int n = first; n < count; n++)
		wrong |= run(find(arguments[n]), small);
	return wrong ? 1 : 0;
}
