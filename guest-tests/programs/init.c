// SPDX-License-Identifier: GPL-2.0
/*
 * The first process of a test guest: mounts what programs expect, loads the modules that
 * /modules/order lists, runs the programs that `fencepost.run=` names, and leaves through the
 * exit port with the first status that is not 0.
 *
 *   fencepost.run="flow --frames 120;selfmod"   programs of /bin with arguments, one after the other
 *   fencepost.run=sh                            a shell on the console, when busybox is there
 *
 * When the machine wants a trace, /bin/trace_agent runs beside them.
 *
 * Without `fencepost.run=` the file /run-default is read instead; with neither, init leaves at once.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <unistd.h>

#include "trace_port.h"

#define EXIT_PORT 0xf4
#define TRACE_AGENT "/bin/trace_agent"
#define STATUS_INIT_FAILED 99
#define MAX_ARGUMENTS 32

static char command_line[4096];

/* Says how it went on the console, whatever the kernel's log level. */
static void say(const char *what, const char *name, const char *detail)
{
	printf("init: %s %s%s%s\n", what, name, *detail ? ": " : "", detail);
	fflush(stdout);
}

/* Writes out what is pending and ends the machine. */
static __attribute__((noreturn)) void leave(int status)
{
	fflush(stdout);
	sync();
	tcdrain(STDOUT_FILENO);
	if (ioperm(EXIT_PORT, 1, 1) == 0)
		outb(status, EXIT_PORT);
	/* No exit port (another machine): power off by ACPI, or stop the kernel. */
	reboot(RB_POWER_OFF);
	_exit(status);
}

static void mount_all(void)
{
	static const struct {
		const char *type, *where;
	} mounts[] = {
		{ "devtmpfs", "/dev" },
		{ "proc", "/proc" },
		{ "sysfs", "/sys" },
		{ "debugfs", "/sys/kernel/debug" },
		{ "tmpfs", "/tmp" },
	};

	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		mkdir(mounts[i].where, 0755);
		if (mount(mounts[i].type, mounts[i].where, mounts[i].type, 0, NULL) && errno != EBUSY)
			say("cannot mount", mounts[i].where, strerror(errno));
	}
}

/* The whole of a small file with a final NUL; -1 when it cannot be read. */
static int read_file(const char *path, char *buffer, size_t size)
{
	int file = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t length;

	if (file < 0)
		return -1;
	length = read(file, buffer, size - 1);
	close(file);
	if (length < 0)
		return -1;
	buffer[length] = '\0';
	return 0;
}

/* Loads one module; its parameters may follow its name after a space. */
static int load_module(char *line)
{
	char *parameters = strchr(line, ' ');
	char path[256];
	int file, failed;

	if (parameters)
		*parameters++ = '\0';
	snprintf(path, sizeof(path), "/modules/%s", line);
	file = open(path, O_RDONLY | O_CLOEXEC);
	if (file < 0) {
		say("cannot open module", line, strerror(errno));
		return -1;
	}
	failed = syscall(SYS_finit_module, file, parameters ? parameters : "", 0);
	if (failed)
		say("cannot load module", line, strerror(errno));
	close(file);
	return failed;
}

static int load_modules(void)
{
	static char order[8192];
	char *rest = order, *line;
	int failed = 0;

	if (read_file("/modules/order", order, sizeof(order)))
		return 0;
	while ((line = strsep(&rest, "\n")))
		if (*line && load_module(line))
			failed = 1;
	return failed ? -1 : 0;
}

/* The value of `name=` on the kernel command line, quotes taken off; NULL without one. */
static char *option(const char *name)
{
	size_t length = strlen(name);
	char *word = command_line, *end;

	while (*word) {
		int quoted = 0;

		while (*word == ' ' || *word == '\n')
			word++;
		for (end = word; *end && (quoted || (*end != ' ' && *end != '\n')); end++)
			quoted ^= *end == '"';
		/* The kernel quotes the whole word when its value held a space. */
		if (*word == '"')
			word++;
		if (!strncmp(word, name, length)) {
			char *value = word + length;

			if (*end)
				*end = '\0';
			if (*value == '"')
				value++;
			value[strcspn(value, "\"")] = '\0';
			return value;
		}
		word = end;
	}
	return NULL;
}

/* Gives the console the size that `fencepost.console=COLUMNSxROWS` says: a serial line has no way to tell it. */
static void size_console(void)
{
	static char line[sizeof(command_line)];
	const char *text;
	struct winsize size = { 0 };

	/* option() ends the value in its place, and the line is read for others. */
	memcpy(line, command_line, sizeof(line));
	text = option("fencepost.console=");
	if (text && sscanf(text, "%hux%hu", &size.ws_col, &size.ws_row) == 2)
		ioctl(STDIN_FILENO, TIOCSWINSZ, &size);
	memcpy(command_line, line, sizeof(line));
}

/* The console as the controlling terminal, so that a shell has job control. */
static void take_console(void)
{
	setsid();
	ioctl(STDIN_FILENO, TIOCSCTTY, 1);
}

/* Runs one program of /bin to its end; its exit status, or 128 and its signal. */
static int run(char *line)
{
	char *arguments[MAX_ARGUMENTS + 1], *rest = line, *word, path[256];
	int count = 0, status;
	pid_t child;

	while ((word = strsep(&rest, " \n")) && count < MAX_ARGUMENTS)
		if (*word)
			arguments[count++] = word;
	if (!count)
		return 0;
	arguments[count] = NULL;
	snprintf(path, sizeof(path), "%s%s", *arguments[0] == '/' ? "" : "/bin/", arguments[0]);

	say("running", arguments[0], "");
	child = fork();
	if (child < 0) {
		say("cannot fork for", path, strerror(errno));
		return STATUS_INIT_FAILED;
	}
	if (!child) {
		take_console();
		execv(path, arguments);
		say("cannot run", path, strerror(errno));
		_exit(127);
	}
	/* Orphans are reaped on the way. */
	for (;;) {
		pid_t ended = wait(&status);

		if (ended == child)
			break;
		if (ended < 0 && errno != EINTR)
			return STATUS_INIT_FAILED;
	}
	if (WIFSIGNALED(status)) {
		say("was killed:", arguments[0], strsignal(WTERMSIG(status)));
		return 128 + WTERMSIG(status);
	}
	printf("init: %s ended with status %d\n", arguments[0], WEXITSTATUS(status));
	fflush(stdout);
	return WEXITSTATUS(status);
}

/* Starts the trace's agent and waits until it records; its process, or 0 when there is none. */
static pid_t start_trace(void)
{
	char *arguments[] = { TRACE_AGENT, NULL };
	pid_t agent;
	int status;

	if (!trace_port_open())
		return 0;
	agent = fork();
	if (!agent) {
		execv(TRACE_AGENT, arguments);
		say("cannot run", TRACE_AGENT, strerror(errno));
		_exit(127);
	}
	/* Programs are not to inherit the right to the port. */
	ioperm(TRACE_PORT, TRACE_PORT_BYTES, 0);
	if (agent < 0 || waitpid(agent, &status, WUNTRACED) != agent || !WIFSTOPPED(status)) {
		say("the guest is not traced", "", "");
		return 0;
	}
	kill(agent, SIGCONT);
	return agent;
}

/* Has the agent hand over what is left. */
static void stop_trace(pid_t agent)
{
	if (agent && !kill(agent, SIGTERM))
		waitpid(agent, NULL, 0);
}

int main(void)
{
	static char default_run[1024];
	char *programs, *program;
	int status = 0;
	pid_t agent;

	if (getpid() != 1) {
		fprintf(stderr, "init: is the first process of a test guest, and nothing else\n");
		return 2;
	}
	setvbuf(stdout, NULL, _IOLBF, 0);
	say("is up", "", "");
	mount_all();
	setenv("PATH", "/bin", 1);
	setenv("HOME", "/", 1);
	setenv("TERM", "linux", 0);
	if (read_file("/proc/cmdline", command_line, sizeof(command_line)))
		say("cannot read", "/proc/cmdline", strerror(errno));
	size_console();
	if (load_modules())
		status = STATUS_INIT_FAILED;
	agent = start_trace();
	programs = option("fencepost.run=");
	if (!programs && !read_file("/run-default", default_run, sizeof(default_run)))
		programs = default_run;
	while (programs && (program = strsep(&programs, ";\n"))) {
		int ended = run(program);

		if (ended && !status)
			status = ended;
	}
	stop_trace(agent);
	leave(status);
}
