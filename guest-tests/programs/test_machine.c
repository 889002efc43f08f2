// SPDX-License-Identifier: GPL-2.0
/*
 * The machine as a stock kernel sees it, in KTAP, against what the pages in docs/ state and the command line passes on:
 * the date (YYYY-MM-DD), then each PCI function (bb:dd.f=vendor:device). And a boot that complains of nothing.
 */
#define _GNU_SOURCE /* strptime */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"

/* The kernel reads the clock when it starts; a boot takes a second or two of the guest's time. */
#define BOOT_SECONDS 5
/* What "quiet" lets through to the console: errors, and worse. */
#define LEVEL_ERROR 3

/* The file's first line, or more of it; empty when it cannot be read. */
static void read_file(const char *path, char *text, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	size_t length = 0;
	ssize_t got;

	while (file >= 0 && length < size - 1 && (got = read(file, text + length, size - 1 - length)) > 0)
		length += got;
	if (file >= 0)
		close(file);
	text[length] = '\0';
}

static void test_date(const char *stated)
{
	struct tm day = { 0 };
	struct timespec up;
	char found[32];
	time_t now = time(NULL);

	clock_gettime(CLOCK_BOOTTIME, &up);
	now -= up.tv_sec;
	strftime(found, sizeof(found), "%Y-%m-%d %H:%M:%S", gmtime(&now));
	ktap_note("the machine started at %s", found);
	if (!strptime(stated, "%Y-%m-%d", &day)) {
		ktap_result(false, "%s is a date", stated);
		return;
	}
	ktap_result(labs(now - timegm(&day)) <= BOOT_SECONDS, "the clock stands at %s when the kernel starts", stated);
}

static unsigned long id_of(const char *function, const char *what)
{
	char path[96], text[32];

	snprintf(path, sizeof(path), "/sys/bus/pci/devices/0000:%s/%s", function, what);
	read_file(path, text, sizeof(text));
	return strtoul(text, NULL, 16);
}

/* bb:dd.f=vendor:device, in hexadecimal. */
static void test_function(char *stated)
{
	char *ids = strchr(stated, '='), *device = ids ? strchr(ids, ':') : NULL;

	if (!device) {
		ktap_result(false, "%s names a function", stated);
		return;
	}
	*ids++ = '\0';
	device++;
	ktap_result(id_of(stated, "vendor") == strtoul(ids, NULL, 16) &&
			    id_of(stated, "device") == strtoul(device, NULL, 16),
		    "%s is %s", stated, ids);
}

static void test_contains(const char *path, const char *what, const char *meaning)
{
	static char text[32768];

	read_file(path, text, sizeof(text));
	ktap_result(strstr(text, what) != NULL, "%s", meaning);
}

/* Reads the kernel's log from its beginning. */
static void test_log(void)
{
	int log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	unsigned int complaints = 0, lines = 0;
	char record[8192];
	ssize_t length;

	while ((length = read(log, record, sizeof(record) - 1)) > 0 || (length < 0 && errno == EPIPE)) {
		if (length < 0)
			continue;
		record[length] = '\0';
		lines++;
		if ((strtoul(record, NULL, 10) & 7) <= LEVEL_ERROR) {
			ktap_note("%s", strchr(record, ';') ? strchr(record, ';') + 1 : record);
			complaints++;
		}
	}
	ktap_result(lines > 50 && !complaints, "the kernel complains of nothing in %u messages", lines);
}

int main(int argc, char **argv)
{
	if (argc < 3)
		return 1;
	ktap_plan(argc - 1 + 4);
	test_date(argv[1]);
	for (int i = 2; i < argc; i++)
		test_function(argv[i]);
	test_contains("/proc/ioports", "0cf8-0cff : PCI conf1", "the configuration ports are there");
	test_contains("/proc/iomem", "e0000000-e00fffff : ", "so is configuration space in memory");
	test_contains("/proc/cpuinfo", "cpu MHz\t\t: 1000.000", "a cycle is a nanosecond");
	test_log();
	return ktap_finish();
}
