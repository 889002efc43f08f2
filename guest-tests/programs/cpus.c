// SPDX-License-Identifier: GPL-2.0
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cpus.h"

int cpus_online(void)
{
	return (int)sysconf(_SC_NPROCESSORS_ONLN);
}

int cpus_run_on(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

int cpus_set_online(int cpu, bool online)
{
	char path[64];
	int fd, ret;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	ret = write(fd, online ? "1" : "0", 1) == 1 ? 0 : -errno;
	close(fd);
	return ret;
}

int cpus_interrupts(const char *text, unsigned long counts[CPUS_MAX])
{
	FILE *file = fopen("/proc/interrupts", "re");
	char line[2048];
	int lines = 0, columns = cpus_online();

	memset(counts, 0, CPUS_MAX * sizeof(counts[0]));
	while (file && fgets(line, sizeof(line), file)) {
		char *at = strchr(line, ':');

		if (!at || !strstr(line, text))
			continue;
		lines++;
		at++;
		for (int cpu = 0; cpu < columns && cpu < CPUS_MAX; cpu++)
			counts[cpu] += strtoul(at, &at, 10);
	}
	if (file)
		fclose(file);
	return lines;
}

int cpus_interrupt_number(const char *text)
{
	FILE *file = fopen("/proc/interrupts", "re");
	char line[2048];
	int number = -1;

	while (number < 0 && file && fgets(line, sizeof(line), file))
		if (strstr(line, text))
			number = atoi(line);
	if (file)
		fclose(file);
	return number;
}

struct thread {
	pthread_t id;
	int cpu;
	int (*run)(int cpu);
};

static void *run_thread(void *argument)
{
	struct thread *thread = argument;
	int ret = cpus_run_on(thread->cpu);

	return (void *)(intptr_t)(ret ? ret : thread->run(thread->cpu));
}

bool cpus_on_each(int cpus, int (*run)(int cpu))
{
	struct thread threads[CPUS_MAX];
	bool all = true;

	for (int cpu = 0; cpu < cpus; cpu++) {
		threads[cpu] = (struct thread){ .cpu = cpu, .run = run };
		if (pthread_create(&threads[cpu].id, NULL, run_thread, &threads[cpu]))
			return false;
	}
	for (int cpu = 0; cpu < cpus; cpu++) {
		void *ret = NULL;

		pthread_join(threads[cpu].id, &ret);
		all &= !ret;
	}
	return all;
}
