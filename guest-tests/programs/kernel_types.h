/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Where the members of the running kernel's structs are, as its BTF says (/sys/kernel/btf/vmlinux). The kernel resolves
 * member names in probes itself only from 6.4 on, and much slower.
 */
#ifndef FENCEPOST_KERNEL_TYPES_H
#define FENCEPOST_KERNEL_TYPES_H

#include <stddef.h>

struct kernel_member {
	const char *type, *name;
	/* Bytes from the struct's start; -1 while not found. */
	long offset;
};

/* Finds each member's offset. 0, or -errno when the kernel tells nothing of its types. */
int kernel_types_find(struct kernel_member *members, size_t count);

#endif
