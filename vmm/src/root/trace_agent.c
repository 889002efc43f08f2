// SPDX-License-Identifier: Apache-2.0 OR MIT
/*
 * Has the kernel record its own tracepoints and hands them to the machine through the trace port, until SIGTERM.
 * Stops itself (SIGSTOP) when everything is recorded from then on; init continues it and starts the job.
 * docs/trace-agent.md says what is recorded.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "trace_port.h"

#define TRACEFS "/sys/kernel/tracing"
#define PROBES "fencepost"
/* The release of the kernel that the probes are for, and a probe a line (drivers/probes). */
#define PROBES_FILE "/lib/trace-probes"
#define MAX_CPUS 64
/* A page of the ring buffer. Its header: the time, and how much follows, with two flags. */
#define PAGE_BYTES 4096
#define PAGE_HEADER_BYTES 16
#define PAGE_LENGTH_MASK 0xfffffu
#define PAGE_MISSED (1u << 31)
#define PAGE_MISSED_STORED (1u << 30)
/* Each CPU's buffer: a part of the guest's memory, within bounds. */
#define BUFFER_SHARE 64
#define BUFFER_MIN_KIB 256
#define BUFFER_MAX_KIB 4096
/* Between two looks at the buffers. Seldom, so that the guest is slowed little; often enough that they do not fill. */
#define PERIOD_NS 100000000
/* Looks between two tellings of the threads' names, which cost as much as all else of a look. */
#define LOOKS_A_TELLING 10

static const char *const systems[] = {
	"dma_fence", "vb2", "v4l2", "drm", "gpu_scheduler", "iommu", "irq", PROBES,
};

struct cpu {
	int pages;
	/* The kernel dropped events that are not reported yet. */
	int missed;
};

static struct cpu cpus[MAX_CPUS];
static unsigned int cpu_count;
/* Room for the longest frame and what fills it up. */
static char buffer[TRACE_FRAME_MAX + 4];

/* Complains on the console; returns -1. */
static int complain(const char *what)
{
	printf("trace_agent: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	return -1;
}

/* Writes a line to a file of tracefs. */
static int put(const char *name, const char *line)
{
	int file = openat(AT_FDCWD, name, O_WRONLY | O_APPEND | O_CLOEXEC);
	ssize_t done;

	if (file < 0)
		return -1;
	done = write(file, line, strlen(line));
	close(file);
	return done < 0 ? -1 : 0;
}

/* Reads a file of tracefs behind the first `from` bytes of the buffer; the length of both, or -1. */
static ssize_t get(const char *name, size_t from)
{
	int file = open(name, O_RDONLY | O_CLOEXEC);
	ssize_t got = 1;

	if (file < 0)
		return -1;
	while (got > 0 && from < TRACE_FRAME_MAX) {
		got = read(file, buffer + from, TRACE_FRAME_MAX - from);
		from += got > 0 ? got : 0;
	}
	close(file);
	return got < 0 ? -1 : (ssize_t)from;
}

/* Sets the probes that the initramfs has for this kernel, or says why not. */
static void set_probes(void)
{
	char *rest = buffer, *line;
	struct utsname kernel;
	ssize_t length = get(PROBES_FILE, 0);

	if (length < 0) {
		complain(PROBES_FILE ", so dma-bufs are not traced");
		return;
	}
	buffer[length] = '\0';
	uname(&kernel);
	line = strsep(&rest, "\n");
	if (strcmp(line, kernel.release)) {
		printf("trace_agent: the probes are for Linux %s, so dma-bufs are not traced\n", line);
		return;
	}
	while ((line = strsep(&rest, "\n")))
		if (*line && put("kprobe_events", line))
			complain(line);
}

/* The kernel's clock, and room for what happens between two looks. */
static int set_buffer(void)
{
	struct sysinfo info = { 0 };
	unsigned long kib;
	char line[32];

	sysinfo(&info);
	kib = info.totalram * info.mem_unit / 1024 / BUFFER_SHARE;
	kib = kib < BUFFER_MIN_KIB ? BUFFER_MIN_KIB : kib > BUFFER_MAX_KIB ? BUFFER_MAX_KIB : kib;
	snprintf(line, sizeof(line), "%lu", kib);
	if (put("trace_clock", "x86-tsc"))
		return complain("the clock x86-tsc");
	if (put("buffer_size_kb", line))
		return complain("the buffer");
	return 0;
}

/* Sends the layout of each event of a system. */
static void send_formats(const char *system)
{
	char name[512];
	struct dirent *entry;
	DIR *events;

	snprintf(name, sizeof(name), "events/%s", system);
	events = opendir(name);
	while (events && (entry = readdir(events))) {
		size_t line = snprintf(buffer, sizeof(buffer), "%s\n", system);
		ssize_t length;

		snprintf(name, sizeof(name), "events/%s/%s/format", system, entry->d_name);
		if (entry->d_name[0] == '.')
			continue;
		length = get(name, line);
		if (length > 0)
			trace_port_send(TRACE_FORMAT, 0, buffer, length);
	}
	if (events)
		closedir(events);
}

static int open_cpus(void)
{
	char name[64];

	while (cpu_count < MAX_CPUS) {
		int pages;

		snprintf(name, sizeof(name), "per_cpu/cpu%u/trace_pipe_raw", cpu_count);
		pages = open(name, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
		if (pages < 0)
			break;
		cpus[cpu_count++].pages = pages;
	}
	return cpu_count ? 0 : complain("the CPUs' buffers");
}

/* Sends the layouts first: what follows makes no sense without them. */
static int start(void)
{
	char name[64];
	ssize_t length;

	if (chdir(TRACEFS) || (access("trace_clock", F_OK) && mount("tracefs", TRACEFS, "tracefs", 0, NULL)) ||
	    chdir(TRACEFS))
		return complain(TRACEFS);
	if (set_buffer() || open_cpus())
		return -1;
	length = get("events/header_page", 0);
	if (length < 0)
		return complain("events/header_page");
	trace_port_send(TRACE_HEADER_PAGE, 0, buffer, length);
	set_probes();
	for (size_t i = 0; i < sizeof(systems) / sizeof(systems[0]); i++) {
		send_formats(systems[i]);
		snprintf(name, sizeof(name), "events/%s/enable", systems[i]);
		/* A kernel without this system has nothing to tell of it. */
		if (put(name, "1") && errno != ENOENT)
			complain(name);
	}
	return 0;
}

/* Sends the pages that a CPU has filled, and what is in the one that it fills. */
static int drain(unsigned int number)
{
	struct cpu *cpu = &cpus[number];
	int any = 0;

	while (read(cpu->pages, buffer, PAGE_BYTES) >= PAGE_HEADER_BYTES) {
		uint32_t commit, length;

		memcpy(&commit, buffer + 8, sizeof(commit));
		length = PAGE_HEADER_BYTES + (commit & PAGE_LENGTH_MASK);
		cpu->missed |= !!(commit & PAGE_MISSED);
		if (length > PAGE_HEADER_BYTES && length <= PAGE_BYTES)
			trace_port_send(TRACE_PAGE, number, buffer, length);
		any = 1;
	}
	return any;
}

/* Sends how many events of a CPU are lost for good. */
static void send_lost(unsigned int number)
{
	static const char *const counters[] = { "\noverrun: ", "\ndropped events: " };
	uint64_t lost = 0;
	char name[64];
	ssize_t length;

	snprintf(name, sizeof(name), "per_cpu/cpu%u/stats", number);
	length = get(name, 0);
	if (length < 0)
		return;
	buffer[length] = '\0';
	for (size_t i = 0; i < sizeof(counters) / sizeof(counters[0]); i++) {
		const char *value = strstr(buffer, counters[i]);

		lost += value ? strtoull(value + strlen(counters[i]), NULL, 10) : 0;
	}
	trace_port_send(TRACE_LOST, number, &lost, sizeof(lost));
	cpus[number].missed = 0;
}

static void drain_all(int last)
{
	static unsigned int looks;
	static int untold;
	ssize_t length;

	for (unsigned int i = 0; i < cpu_count; i++) {
		untold |= drain(i);
		if (last || cpus[i].missed)
			send_lost(i);
	}
	if (!untold || (!last && ++looks % LOOKS_A_TELLING))
		return;
	untold = 0;
	length = get("saved_cmdlines", 0);
	if (length > 0)
		trace_port_send(TRACE_TASKS, 0, buffer, length);
}

int main(void)
{
	static const struct timespec period = { .tv_nsec = PERIOD_NS };
	sigset_t end;

	errno = 0;
	if (!trace_port_open()) {
		/* A kernel without CONFIG_X86_IOPL_IOPERM. */
		if (errno == ENOSYS)
			complain("no events of the kernel, which does not let programs use ports");
		return 0;
	}
	sigemptyset(&end);
	sigaddset(&end, SIGTERM);
	sigprocmask(SIG_BLOCK, &end, NULL);
	if (start())
		return 1;
	raise(SIGSTOP);
	while (sigtimedwait(&end, NULL, &period) != SIGTERM)
		drain_all(0);
	put("tracing_on", "0");
	drain_all(1);
	return 0;
}
