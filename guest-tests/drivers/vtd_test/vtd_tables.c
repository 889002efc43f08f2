// SPDX-License-Identifier: GPL-2.0
/* The unit's tables as the stock driver has made them (Intel VT-d specification 3.3, chapters 3 and 9). */
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/pci.h>

#include "vtd_test.h"

#define GCMD 0x18
#define GSTS 0x1c
#define CCMD 0x28
#define IOTLB 0x208
/* Modes, which a write of GCMD must repeat: TE, QIE, IRE, CFI. */
#define MODES (1u << 31 | 1u << 26 | 1u << 25 | 1u << 23)
/* Of the requester: ICC, CIRG 3, FM 0. Of all: IVT, IIRG 1. */
#define CCMD_DEVICE (1ull << 63 | 3ull << 61)
#define IOTLB_ALL (1ull << 63 | 1ull << 60)

#define PRESENT 1
#define READ_WRITE 3
#define SUPERPAGE (1 << 7)
#define FRAME GENMASK_ULL(47, 12)

void fpvtd_command(struct fpvtd *vtd, u32 command)
{
	writel((readl(vtd->unit + GSTS) & MODES) | command, vtd->unit + GCMD);
}

void fpvtd_invalidate(struct fpvtd *vtd)
{
	/* The stock driver's queue is its own; this unit takes commands in its registers beside it. */
	writeq(CCMD_DEVICE | (u64)pci_dev_id(vtd->pdev) << 16, vtd->unit + CCMD);
	writeq(IOTLB_ALL, vtd->unit + IOTLB);
}

u64 *fpvtd_root(struct fpvtd *vtd)
{
	u64 *table = phys_to_virt(readq(vtd->unit + FPVTD_ROOT_TABLE) & FRAME);

	return table + 2 * vtd->pdev->bus->number;
}

u64 *fpvtd_context(struct fpvtd *vtd)
{
	u64 root = *fpvtd_root(vtd);
	u64 *table = phys_to_virt(root & FRAME);

	return root & PRESENT ? table + 2 * vtd->pdev->devfn : NULL;
}

u64 *fpvtd_entry(struct fpvtd *vtd, u64 iova, unsigned int level, unsigned int *found)
{
	u64 *context = fpvtd_context(vtd), *entry, *table;

	if (!context || !(*context & PRESENT))
		return NULL;
	table = phys_to_virt(*context & FRAME);
	for (*found = 4;; (*found)--) {
		entry = table + (iova >> (9 * *found + 3) & 0x1ff);
		if (!(*entry & READ_WRITE))
			return NULL;
		if (*found == level || *entry & SUPERPAGE)
			return entry;
		table = phys_to_virt(*entry & FRAME);
	}
}
