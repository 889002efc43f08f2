// SPDX-License-Identifier: GPL-2.0
/* What the kernel tells programs of its devices: see uevents.h. */
#include "uevents.h"

#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <unistd.h>

#include <linux/netlink.h>

int uevents_open(void)
{
	struct sockaddr_nl address = { .nl_family = AF_NETLINK, .nl_groups = 1 };
	int events = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_KOBJECT_UEVENT);

	bind(events, (struct sockaddr *)&address, sizeof(address));
	return events;
}

static bool has_word(const char *event, size_t len, const char *word)
{
	for (const char *at = event; at < event + len; at += strlen(at) + 1)
		if (!strcmp(at, word))
			return true;
	return false;
}

bool uevents_wait(int events, const char *word, int timeout_ms)
{
	struct pollfd waiter = { .fd = events, .events = POLLIN };
	char event[4096];

	while (poll(&waiter, 1, timeout_ms) == 1) {
		ssize_t len = recv(events, event, sizeof(event) - 1, MSG_DONTWAIT);

		if (len <= 0)
			break;
		event[len] = '\0';
		if (has_word(event, len, word))
			return true;
	}
	return false;
}
