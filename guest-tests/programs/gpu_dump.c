// SPDX-License-Identifier: GPL-2.0
/* The dump that the GPU's driver leaves: see gpu_dump.h. */
#include "gpu_dump.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"

#define DUMPS "/sys/class/devcoredump"
#define CLEAR_TRIES 1000
#define CLEAR_US 10000

/* Opens a file of the dump that is there; -ENOENT if there is none. */
static int open_dump(int flags)
{
	DIR *folder = opendir(DUMPS);
	struct dirent *entry;
	char path[300];
	int fd = -ENOENT;

	while (folder && fd < 0 && (entry = readdir(folder))) {
		if (strncmp(entry->d_name, "devcd", 5))
			continue;
		snprintf(path, sizeof(path), DUMPS "/%s/data", entry->d_name);
		fd = open(path, flags);
	}
	if (folder)
		closedir(folder);
	return fd;
}

void gpu_dump_clear(void)
{
	int fd, tries = 0;

	/* The kernel removes it some time after the write, and drops a new one until then. */
	while ((fd = open_dump(O_WRONLY)) >= 0 && tries++ < CLEAR_TRIES) {
		if (write(fd, "0", 1) != 1)
			ktap_note("the dump is not cleared: %s", strerror(errno));
		close(fd);
		usleep(CLEAR_US);
	}
}

const char *gpu_dump_read(void)
{
	static char text[64 * 1024];
	size_t len = 0;
	ssize_t count;
	int fd = open_dump(O_RDONLY);

	while (fd >= 0 && (count = read(fd, text + len, sizeof(text) - 1 - len)) > 0)
		len += count;
	text[len] = 0;
	if (fd >= 0)
		close(fd);
	return text;
}

int gpu_dump_lacks(const char *dump, const char *const *wanted)
{
	int missing = 0;

	for (; *wanted; wanted++) {
		if (strstr(dump, *wanted))
			continue;
		ktap_note("the dump lacks: %s", *wanted);
		missing++;
	}
	return missing;
}
