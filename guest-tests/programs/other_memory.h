/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Dma-bufs of memory that is no device's: a program's own, and a heap's.
 *
 * Functions return a descriptor, which is the caller's to close, or a negative errno; -ENOENT: the kernel has no such exporter.
 */
#ifndef FENCEPOST_OTHER_MEMORY_H
#define FENCEPOST_OTHER_MEMORY_H

#include <stddef.h>

/* A memfd of so many bytes, that udmabuf takes; @flags are more ones of memfd_create(). */
int other_memory(size_t size, unsigned int flags);

/* A dma-buf of all of such a memfd, by udmabuf. */
int other_memory_export(int memory, size_t size);

/* A dma-buf of the system heap. */
int other_heap_export(size_t size);

#endif /* FENCEPOST_OTHER_MEMORY_H */
