// SPDX-License-Identifier: GPL-2.0
/* The kernel's log: see kernel_log.h. */
#include "kernel_log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"

#define WAIT_MS 3000

static int kernel_log = -1;

int kernel_log_open(void)
{
	kernel_log = open("/dev/kmsg", O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (kernel_log < 0 || lseek(kernel_log, 0, SEEK_END) < 0)
		return -errno;
	return 0;
}

void kernel_log_rewind(void)
{
	lseek(kernel_log, 0, SEEK_SET);
}

bool kernel_log_says(const char *first, const char *second)
{
	char record[1024];
	struct pollfd poll_log = { .fd = kernel_log, .events = POLLIN };

	for (;;) {
		ssize_t length = read(kernel_log, record, sizeof(record) - 1);

		if (length < 0 && errno == EPIPE)
			continue; /* Records were overwritten before they were read. */
		if (length < 0 && errno == EAGAIN) {
			if (poll(&poll_log, 1, WAIT_MS) <= 0)
				return false;
			continue;
		}
		if (length <= 0)
			return false;
		record[length] = '\0';
		if (strstr(record, first) && strstr(record, second)) {
			ktap_note("%.*s", (int)strcspn(strchr(record, ';') + 1, "\n"), strchr(record, ';') + 1);
			return true;
		}
	}
}
