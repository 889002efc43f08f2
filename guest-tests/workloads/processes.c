// SPDX-License-Identifier: GPL-2.0
/* Workloads of the kernel: system calls, processes, pipes, files. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "workloads.h"

/* Three system calls a turn: the shortest there is, one that looks up a descriptor, and one that copies. */
int syscalls(unsigned turns)
{
	long parent = getppid();
	int zero = open("/dev/zero", O_RDONLY | O_CLOEXEC);

	if (zero < 0)
		return -1;
	while (turns--) {
		char byte = 1;

		if (syscall(SYS_getppid) != parent || lseek(zero, 0, SEEK_CUR) != 0 || read(zero, &byte, 1) != 1 || byte)
			return -1;
	}
	return close(zero);
}

/* Whether the child ended with this status. */
static int ended_with(pid_t child, int wanted)
{
	int status;

	return child > 0 && waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == wanted;
}

int forks(unsigned turns)
{
	/* What both write is copied, as a process of some size has it. */
	static volatile uint8_t written[16][4096];

	for (unsigned turn = 0; turn < turns; turn++) {
		pid_t child = fork();

		for (int page = 0; page < 16; page++)
			written[page][0] = turn;
		if (!child)
			_exit(written[15][0] & 0x7f);
		if (!ended_with(child, turn & 0x7f))
			return -1;
	}
	return 0;
}

/* The program itself, which ends at once. */
int execs(unsigned turns)
{
	for (unsigned turn = 0; turn < turns; turn++) {
		char status[16];
		pid_t child;

		snprintf(status, sizeof(status), "%u", turn & 0x3f);
		child = fork();
		if (!child) {
			execl("/proc/self/exe", "workloads", END_WITH, status, (char *)NULL);
			_exit(127);
		}
		if (!ended_with(child, turn & 0x3f))
			return -1;
	}
	return 0;
}

/* Gives back each number with one more, until there is none. */
static void answer(int from, int to)
{
	unsigned number;

	while (read(from, &number, sizeof(number)) == sizeof(number)) {
		number++;
		if (write(to, &number, sizeof(number)) != sizeof(number))
			_exit(1);
	}
	_exit(0);
}

/* A number that goes to another process and back. */
int pipes(unsigned turns)
{
	int to[2], from[2];
	unsigned number = 0;
	pid_t child;

	if (pipe(to) || pipe(from))
		return -1;
	child = fork();
	if (!child) {
		close(to[1]);
		close(from[0]);
		answer(to[0], from[1]);
	}
	close(to[0]);
	close(from[1]);
	for (unsigned turn = 0; turn < turns; turn++) {
		if (write(to[1], &number, sizeof(number)) != sizeof(number) ||
		    read(from[0], &number, sizeof(number)) != sizeof(number) || number != turn + 1)
			return -1;
	}
	close(to[1]);
	close(from[0]);
	return ended_with(child, 0) ? 0 : -1;
}

/* Files of two pages in a folder of its own. */
static int one_file(unsigned number)
{
	static char block[8192];
	char name[64];
	struct stat found;
	int file;

	snprintf(name, sizeof(name), "/tmp/workload/file-%u", number % 64);
	file = open(name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (file < 0)
		return -1;
	if (write(file, block, sizeof(block)) != sizeof(block) || close(file))
		return -1;
	if (stat(name, &found) || found.st_size != sizeof(block))
		return -1;
	return unlink(name);
}

int files(unsigned turns)
{
	if (mkdir("/tmp/workload", 0700))
		return -1;
	for (unsigned turn = 0; turn < turns; turn++)
		if (one_file(turn))
			return -1;
	/* Fails where a file is left. */
	return rmdir("/tmp/workload");
}
