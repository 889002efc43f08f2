// SPDX-License-Identifier: GPL-2.0
/* Reports of a test program in KTAP: see ktap.h. */
#include "ktap.h"

#include <stdarg.h>

static unsigned int ktap_number, ktap_failed, ktap_skipped, ktap_planned;

void ktap_plan(unsigned int tests)
{
	setvbuf(stdout, NULL, _IOLBF, 0);
	ktap_planned = tests;
	printf("KTAP version 1\n1..%u\n", tests);
}

void ktap_note(const char *format, ...)
{
	va_list arguments;

	printf("# ");
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

int ktap_result(int passed, const char *format, ...)
{
	va_list arguments;

	ktap_number++;
	if (!passed)
		ktap_failed++;
	printf("%s %u ", passed ? "ok" : "not ok", ktap_number);
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
	return passed;
}

void ktap_skip(const char *name, const char *reason)
{
	ktap_number++;
	ktap_skipped++;
	printf("ok %u %s # SKIP %s\n", ktap_number, name, reason);
}

int ktap_finish(void)
{
	printf("# Totals: pass:%u fail:%u xfail:0 xpass:0 skip:%u error:0\n",
	       ktap_number - ktap_failed - ktap_skipped, ktap_failed, ktap_skipped);
	if (ktap_number != ktap_planned)
		printf("# %u tests were planned, %u reported\n", ktap_planned, ktap_number);
	fflush(stdout);
	return ktap_failed || ktap_number != ktap_planned;
}
