// SPDX-License-Identifier: GPL-2.0
/*
 * Starts another kernel with this one's command line, but for `fencepost.run=`: the next init runs what /run-default says there.
 *
 *   kexec KERNEL INITRD [CPU]     CPU is off line when it happens
 *
 * It returns only if it failed.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/kexec.h>
#include <linux/reboot.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <sys/syscall.h>
#include <termios.h>
#include <unistd.h>

#include "cpus.h"

/* The kernel's command line, up to init's own words, which are the last. */
static int command_line(char *line, size_t size)
{
	int file = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t length = file < 0 ? -1 : read(file, line, size - 1);
	char *own;

	if (length < 0)
		return -errno;
	close(file);
	line[length] = '\0';
	line[strcspn(line, "\n")] = '\0';
	own = strstr(line, "fencepost.run=");
	/* The kernel quotes the whole word when its value has a space. */
	if (own)
		*(own > line && own[-1] == '"' ? own - 1 : own) = '\0';
	return 0;
}

int main(int argc, char **argv)
{
	int kernel = argc > 2 ? open(argv[1], O_RDONLY | O_CLOEXEC) : -1;
	int initrd = argc > 2 ? open(argv[2], O_RDONLY | O_CLOEXEC) : -1;
	char line[4096];
	int failed;

	if (kernel < 0 || initrd < 0) {
		fprintf(stderr, "usage: %s KERNEL INITRD [CPU], two files\n", argv[0]);
		return 2;
	}
	failed = command_line(line, sizeof(line));
	if (!failed && argc > 3)
		failed = cpus_set_online(atoi(argv[3]), false);
	if (!failed && syscall(SYS_kexec_file_load, kernel, initrd, strlen(line) + 1, line, 0UL))
		failed = -errno;
	if (!failed) {
		printf("# the next kernel takes over from %d CPUs\n", cpus_online());
		fflush(stdout);
		tcdrain(STDOUT_FILENO);
		reboot(LINUX_REBOOT_CMD_KEXEC);
		failed = -errno;
	}
	fprintf(stderr, "%s: %s\n", argv[0], strerror(-failed));
	return 1;
}
