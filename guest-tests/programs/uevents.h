/* SPDX-License-Identifier: GPL-2.0 */
/* What the kernel tells programs of its devices. */
#ifndef FENCEPOST_UEVENTS_H
#define FENCEPOST_UEVENTS_H

#include <stdbool.h>

/* Listens from now on; returns a descriptor. */
int uevents_open(void);

/* Waits for an event that has a word such as "HOTPLUG=1", and drops those before it; false after the time. */
bool uevents_wait(int events, const char *word, int timeout_ms);

#endif /* FENCEPOST_UEVENTS_H */
