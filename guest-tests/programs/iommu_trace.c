// SPDX-License-Identifier: GPL-2.0
/* Mappings in the IOMMU, counted: see iommu_trace.h. */
#include "iommu_trace.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#define TRACEFS "/sys/kernel/tracing"
/* An instance of our own, beside whoever traces. */
#define INSTANCE TRACEFS "/instances/mappings"

/* Five seconds together. */
#define TRIES 500
#define PAUSE_US 10000

static FILE *pipe_of_events;
static long mapped;

static int put(const char *file, const char *value)
{
	char path[128];
	int fd, ret;

	snprintf(path, sizeof(path), INSTANCE "/%s", file);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, value, strlen(value)) < 0 ? -errno : 0;
	close(fd);
	return ret;
}

static int is_in_use(void)
{
	DIR *groups = opendir("/sys/kernel/iommu_groups");
	struct dirent *entry;
	int found = 0;

	while (groups && (entry = readdir(groups)))
		found |= entry->d_name[0] != '.';
	if (groups)
		closedir(groups);
	return found;
}

int iommu_trace_start(void)
{
	int fd, ret;

	if (!is_in_use())
		return -ENOTSUP;
	if (mount("tracefs", TRACEFS, "tracefs", 0, NULL) && errno != EBUSY)
		return -errno;
	if (mkdir(INSTANCE, 0700) && errno != EEXIST)
		return -errno;
	ret = put("events/iommu/map/enable", "1");
	if (!ret)
		ret = put("events/iommu/unmap/enable", "1");
	if (ret)
		return ret;
	fd = open(INSTANCE "/trace_pipe", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	pipe_of_events = fdopen(fd, "r");
	if (!pipe_of_events)
		return -errno;
	/* Another program may have left some. */
	iommu_trace_forget(0);
	return 0;
}

/* The number that follows @name, in a line of words. */
static long number(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? strtol(at + strlen(name), NULL, 10) : 0;
}

long iommu_trace_mapped(void)
{
	char line[512];

	while (pipe_of_events && fgets(line, sizeof(line), pipe_of_events)) {
		if (strstr(line, ": unmap: "))
			mapped -= number(line, " unmapped_size=");
		else if (strstr(line, ": map: "))
			mapped += number(line, " size=");
	}
	if (pipe_of_events)
		clearerr(pipe_of_events);
	return mapped;
}

void iommu_trace_forget(long since)
{
	iommu_trace_mapped();
	mapped = since;
}

void iommu_trace_settle(long bytes)
{
	for (int i = 0; i < TRIES && iommu_trace_mapped() > bytes; i++)
		usleep(PAUSE_US);
}
