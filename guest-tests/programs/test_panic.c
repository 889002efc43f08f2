// SPDX-License-Identifier: GPL-2.0
/*
 * Has the guest's kernel fail, one word after the other:
 *
 *   pvpanic        loads the stock driver of the device of docs/pvpanic.md
 *   sysrq          crashes the kernel as the magic key does
 *   NAME[,ADDRESS] a case of drivers/panic_test
 *   say=TEXT       writes a line on the console, as any program may ("_" stands for a blank)
 *   set=FILE=TEXT  writes a text to a file of /proc/sys
 *
 * Ends with status 0 if the kernel still runs and did as it was told.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "module.h"

static int write_file(const char *path, const char *text)
{
	int file = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t written;

	if (file < 0)
		return -errno;
	written = write(file, text, strlen(text));
	close(file);
	return written < 0 ? -errno : 0;
}

static int load_pvpanic(void)
{
	int ret = module_load("pvpanic", "");

	return ret ? ret : module_load("pvpanic_pci", "");
}

static int say(char *text)
{
	for (char *at = text; *at; at++)
		if (*at == '_')
			*at = ' ';
	return puts(text) < 0 || fflush(stdout) ? -errno : 0;
}

static int set(char *text)
{
	char path[128], *value = strchr(text, '=');

	if (!value)
		return -EINVAL;
	*value++ = '\0';
	snprintf(path, sizeof(path), "/proc/sys/%s", text);
	return write_file(path, value);
}

static int fail(char *word)
{
	char parameters[128], *address = strchr(word, ',');

	if (address)
		*address++ = '\0';
	snprintf(parameters, sizeof(parameters), "case=%s address=%s", word, address ? address : "0");
	return module_load("fencepost_panic_test", parameters);
}

static int act(char *word)
{
	if (!strcmp(word, "pvpanic"))
		return load_pvpanic();
	if (!strcmp(word, "sysrq"))
		return write_file("/proc/sysrq-trigger", "c");
	if (!strncmp(word, "say=", 4))
		return say(word + 4);
	if (!strncmp(word, "set=", 4))
		return set(word + 4);
	return fail(word);
}

int main(int count, char **words)
{
	for (int i = 1; i < count; i++) {
		int ret = act(words[i]);

		if (ret) {
			fprintf(stderr, "test_panic: %s: %s\n", words[i], strerror(-ret));
			return 1;
		}
	}
	return 0;
}
