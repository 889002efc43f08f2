// SPDX-License-Identifier: GPL-2.0
/*
 * Ends the machine with an exit status, which `fencepost run` leaves with: for shells and scripts.
 *
 *   fencepost-exit [STATUS]     0 to 255; 0 without one
 *
 * It writes to the exit port (docs/machine.md), which needs root and no /dev/port: some kernels have none.
 * It returns only if it failed: 2 for a wrong STATUS, 1 for everything else.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/io.h>
#include <termios.h>
#include <unistd.h>

#define EXIT_PORT 0xf4

int main(int argc, char **argv)
{
	char *end = "";
	long status = 0;

	errno = 0;
	if (argc == 2)
		status = strtol(argv[1], &end, 10);
	if (argc > 2 || errno || *end || (argc == 2 && end == argv[1]) || status < 0 || status > 255) {
		fprintf(stderr, "fencepost-exit: give one status from 0 to 255\n");
		return 2;
	}
	if (ioperm(EXIT_PORT, 1, 1)) {
		fprintf(stderr, "fencepost-exit: cannot use port 0x%x: %s; it needs root\n", EXIT_PORT,
			strerror(errno));
		return 1;
	}
	/* What was said before must be out before the machine is gone. */
	sync();
	tcdrain(STDOUT_FILENO);
	tcdrain(STDERR_FILENO);
	outb(status, EXIT_PORT);
	fprintf(stderr, "fencepost-exit: this machine has no exit port\n");
	return 1;
}
