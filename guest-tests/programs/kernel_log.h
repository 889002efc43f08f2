/* SPDX-License-Identifier: GPL-2.0 */
/* The kernel's log, as a test reads it while it goes on. */
#ifndef FENCEPOST_KERNEL_LOG_H
#define FENCEPOST_KERNEL_LOG_H

#include <stdbool.h>

/* Opens it behind its last line. 0, or a negative errno. */
int kernel_log_open(void);

/* Goes back to its first line. */
void kernel_log_rewind(void);

/* Waits for a line that has both texts, and notes it. */
bool kernel_log_says(const char *first, const char *second);

#endif /* FENCEPOST_KERNEL_LOG_H */
