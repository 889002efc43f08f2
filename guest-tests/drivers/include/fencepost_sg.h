/* SPDX-License-Identifier: GPL-2.0 */
/*
 * The scatter-gather list by which all three devices see a buffer: entries in
 * coherent memory, made of a table that is mapped for the device. docs/gpu.md,
 * docs/camera.md and docs/display.md have the same format.
 */
#ifndef FENCEPOST_SG_H
#define FENCEPOST_SG_H

#include <linux/dma-mapping.h>
#include <linux/overflow.h>
#include <linux/scatterlist.h>

struct fencepost_sg_entry {
	__le64 address;
	__le32 len;
	__le32 reserved;
};

static_assert(sizeof(struct fencepost_sg_entry) == 16);

/* An entry has 32 bits of length; whole pages, so that what is split stays aligned. */
#define FENCEPOST_SG_MAX_LEN	(U32_MAX & PAGE_MASK)

struct fencepost_sg_list {
	/* What the device reads; NULL while there is no list. */
	struct fencepost_sg_entry *entries;
	dma_addr_t dma;
	u32 count;
	/* Bytes that the entries describe. */
	u64 len;
};

/*
 * Writes the entries of a mapped table, and returns how many there are; @entries
 * may be NULL, to count. Segments that follow each other without a gap become
 * one entry, as long as its length fits. @len gets the sum of the lengths.
 */
static inline u32 fencepost_sg_fill(struct fencepost_sg_entry *entries, struct sg_table *sgt,
				    u64 *len)
{
	u64 start = 0, bytes = 0;
	struct scatterlist *sg;
	unsigned int i;
	u32 count = 0;

	*len = 0;
	for_each_sgtable_dma_sg(sgt, sg, i) {
		u64 address = sg_dma_address(sg), segment = sg_dma_len(sg);

		if (!segment)
			continue;
		*len += segment;
		if (count && start + bytes == address && bytes + segment <= FENCEPOST_SG_MAX_LEN) {
			bytes += segment;
		} else {
			count++;
			start = address;
			bytes = segment;
		}
		if (entries)
			entries[count - 1] = (struct fencepost_sg_entry) {
				.address = cpu_to_le64(start),
				.len = cpu_to_le32(bytes),
			};
	}
	return count;
}

/*
 * Makes the list of a table that is mapped for @dev. -EINVAL: it has no bytes;
 * -E2BIG: it needs more than @max_entries; -ENOMEM. On an error there is no list.
 */
static inline int fencepost_sg_build(struct fencepost_sg_list *list, struct device *dev,
				     struct sg_table *sgt, u32 max_entries)
{
	u32 count = fencepost_sg_fill(NULL, sgt, &list->len);

	list->entries = NULL;
	if (!count)
		return -EINVAL;
	if (count > max_entries)
		return -E2BIG;
	list->entries = dma_alloc_coherent(dev, array_size(count, sizeof(*list->entries)),
					   &list->dma, GFP_KERNEL);
	if (!list->entries)
		return -ENOMEM;
	list->count = fencepost_sg_fill(list->entries, sgt, &list->len);
	return 0;
}

/* Frees a list, if there is one; the device does not read it any more. */
static inline void fencepost_sg_free(struct fencepost_sg_list *list, struct device *dev)
{
	if (list->entries)
		dma_free_coherent(dev, array_size(list->count, sizeof(*list->entries)),
				  list->entries, list->dma);
	list->entries = NULL;
}

#endif /* FENCEPOST_SG_H */
