// SPDX-License-Identifier: GPL-2.0
/*
 * The tables of an address space, as the device walks them: a directory and two levels below it, in
 * coherent memory. Tables stay until the address space goes.
 */
#include <linux/sizes.h>
#include <linux/slab.h>

#include "gpu_drv.h"

#define FPGPU_TABLE_ENTRIES	512
#define FPGPU_TABLE_BYTES	(FPGPU_TABLE_ENTRIES * sizeof(__le64))
#define FPGPU_PAGE_BYTES	SZ_4K
#define FPGPU_LARGE_BYTES	SZ_2M
#define FPGPU_TOP_LEVEL		2

struct fpgpu_table {
	__le64 *entries;
	dma_addr_t dma;
	/* What the entries lead to, but for pages. */
	struct fpgpu_table *below[FPGPU_TABLE_ENTRIES];
};

static struct fpgpu_table *fpgpu_table_alloc(struct device *dev)
{
	struct fpgpu_table *table = kvzalloc(sizeof(*table), GFP_KERNEL);

	if (!table)
		return NULL;
	table->entries = dma_alloc_coherent(dev, FPGPU_TABLE_BYTES, &table->dma, GFP_KERNEL);
	if (!table->entries) {
		kvfree(table);
		return NULL;
	}
	return table;
}

static void fpgpu_table_free(struct device *dev, struct fpgpu_table *table)
{
	dma_free_coherent(dev, FPGPU_TABLE_BYTES, table->entries, table->dma);
	kvfree(table);
}

static unsigned int fpgpu_table_index(u64 address, unsigned int level)
{
	return (address >> (12 + 9 * level)) % FPGPU_TABLE_ENTRIES;
}

/* The table of @level that has the entry for @address; NULL if it is not there, or cannot be made if @make. */
static struct fpgpu_table *fpgpu_table_find(struct fpgpu_vm *vm, u64 address, unsigned int level,
					    bool make)
{
	struct fpgpu_table *table = vm->directory;
	unsigned int at = FPGPU_TOP_LEVEL;

	for (; table && at > level; at--) {
		unsigned int index = fpgpu_table_index(address, at);
		struct fpgpu_table *below = table->below[index];

		if (!below && make) {
			below = fpgpu_table_alloc(vm->gpu->drm.dev);
			if (!below)
				return NULL;
			table->below[index] = below;
			WRITE_ONCE(table->entries[index],
				   cpu_to_le64(below->dma | FPGPU_ENTRY_PRESENT));
		}
		table = below;
	}
	return table;
}

/*
 * Maps @bytes, whole pages, by pages of 2 MiB where both addresses allow it. On an error a part is
 * mapped.
 */
int fpgpu_tables_map(struct fpgpu_vm *vm, u64 address, u64 iova, u64 bytes, bool writable)
{
	u64 flags = FPGPU_ENTRY_PRESENT | (writable ? FPGPU_ENTRY_WRITABLE : 0);

	while (bytes) {
		bool large = IS_ALIGNED(address | iova, FPGPU_LARGE_BYTES) &&
			     bytes >= FPGPU_LARGE_BYTES;
		struct fpgpu_table *table = fpgpu_table_find(vm, address, 1, true);
		unsigned int level = 1, index = fpgpu_table_index(address, 1);
		u64 step;

		/* Smaller buffers that were there have left their table. */
		if (!large || (table && table->below[index])) {
			large = false;
			level = 0;
			table = fpgpu_table_find(vm, address, 0, true);
		}
		if (!table)
			return -ENOMEM;
		index = fpgpu_table_index(address, level);
		WRITE_ONCE(table->entries[index],
			   cpu_to_le64(iova | flags | (large ? FPGPU_ENTRY_LARGE : 0)));
		step = large ? FPGPU_LARGE_BYTES : FPGPU_PAGE_BYTES;
		address += step;
		iova += step;
		bytes -= step;
	}
	return 0;
}

/* Takes away what is mapped of @bytes. The device may know it until its TLB is invalidated. */
void fpgpu_tables_unmap(struct fpgpu_vm *vm, u64 address, u64 bytes)
{
	u64 end = address + bytes;

	while (address < end) {
		struct fpgpu_table *table = fpgpu_table_find(vm, address, 0, false);
		unsigned int level = 0;

		if (!table) {
			level = 1;
			table = fpgpu_table_find(vm, address, 1, false);
		}
		if (table)
			WRITE_ONCE(table->entries[fpgpu_table_index(address, level)], 0);
		address = level ? round_down(address, FPGPU_LARGE_BYTES) + FPGPU_LARGE_BYTES :
				  address + FPGPU_PAGE_BYTES;
	}
}

/* Where the directory is, made if it has to be; DMA_MAPPING_ERROR without memory. */
dma_addr_t fpgpu_tables_start(struct fpgpu_vm *vm)
{
	if (!vm->directory)
		vm->directory = fpgpu_table_alloc(vm->gpu->drm.dev);
	return vm->directory ? vm->directory->dma : DMA_MAPPING_ERROR;
}

/* The device does not use them any more. */
void fpgpu_tables_free(struct fpgpu_vm *vm)
{
	struct device *dev = vm->gpu->drm.dev;
	struct fpgpu_table *top = vm->directory;
	unsigned int i, j;

	for (i = 0; top && i < FPGPU_TABLE_ENTRIES; i++) {
		struct fpgpu_table *middle = top->below[i];

		for (j = 0; middle && j < FPGPU_TABLE_ENTRIES; j++) {
			if (middle->below[j])
				fpgpu_table_free(dev, middle->below[j]);
		}
		if (middle)
			fpgpu_table_free(dev, middle);
	}
	if (top)
		fpgpu_table_free(dev, top);
	vm->directory = NULL;
}
