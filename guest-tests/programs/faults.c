// SPDX-License-Identifier: GPL-2.0
#include "faults.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/io.h>
#include <time.h>
#include <unistd.h>

#define MARK_PORT 0xf8

void faults_begin(void)
{
	if (ioperm(MARK_PORT, 1, 1))
		faults_wrong("the mark port cannot be had");
	else
		outb(FAULTS_MARK, MARK_PORT);
}

bool faults_set(const char *path, const char *value)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	bool taken = file >= 0 && write(file, value, strlen(value)) == (ssize_t)strlen(value);

	if (file >= 0)
		close(file);
	return taken || faults_wrong("%s cannot be set", path);
}

unsigned long long faults_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000ULL + now.tv_nsec / 1000000;
}

bool faults_wrong(const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	fflush(stdout);
	return false;
}

int faults_main(int argc, char **argv, const struct fault_check *checks, unsigned int count)
{
	bool passed;

	for (unsigned int i = 0; argc == 2 && i < count; i++) {
		if (strcmp(argv[1], checks[i].kind))
			continue;
		passed = checks[i].run();
		printf("%s %s\n", argv[1], passed ? "recovered" : "NOT recovered");
		fflush(stdout);
		return !passed;
	}
	fprintf(stderr, "give one of:");
	for (unsigned int i = 0; i < count; i++)
		fprintf(stderr, " %s", checks[i].kind);
	fprintf(stderr, "\n");
	return 2;
}
