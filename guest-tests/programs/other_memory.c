// SPDX-License-Identifier: GPL-2.0
/* Dma-bufs of memory that is no device's: see other_memory.h. */
#define _GNU_SOURCE /* memfd_create */
#include "other_memory.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <linux/dma-heap.h>
#include <linux/udmabuf.h>

int other_memory(size_t size, unsigned int flags)
{
	int memory = memfd_create("other", MFD_ALLOW_SEALING | MFD_CLOEXEC | flags), ret;

	if (memory < 0)
		return -errno;
	if (!ftruncate(memory, size) && !fcntl(memory, F_ADD_SEALS, F_SEAL_SHRINK))
		return memory;
	ret = -errno;
	close(memory);
	return ret;
}

/* An ioctl of an exporter's device, which the dma-buf outlives. */
static int ask(const char *path, unsigned long request, void *arg)
{
	int device = open(path, O_RDWR | O_CLOEXEC), ret;

	if (device < 0)
		return -errno;
	ret = ioctl(device, request, arg);
	if (ret < 0)
		ret = -errno;
	close(device);
	return ret;
}

int other_memory_export(int memory, size_t size)
{
	struct udmabuf_create create = { .memfd = memory, .flags = UDMABUF_FLAGS_CLOEXEC, .size = size };

	return ask("/dev/udmabuf", UDMABUF_CREATE, &create);
}

int other_heap_export(size_t size)
{
	struct dma_heap_allocation_data heap = { .len = size, .fd_flags = O_RDWR | O_CLOEXEC };
	int ret = ask("/dev/dma_heap/system", DMA_HEAP_IOCTL_ALLOC, &heap);

	return ret ? ret : (int)heap.fd;
}
