// SPDX-License-Identifier: GPL-2.0
/* Pages of each size that the unit announces: the stock driver makes the leaf, and the device reads through it. */
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/iommu.h>
#include <linux/mm.h>
#include <linux/pci.h>
#include <linux/sizes.h>

#include "vtd_test.h"

/* Far from what the stock driver hands out, and aligned to any page. */
#define FAR (1ull << 46)
#define HALF (FPVTD_BYTES / 2)

static int map(struct iommu_domain *domain, u64 iova, u64 gpa, size_t bytes)
{
	const int rights = IOMMU_READ | IOMMU_WRITE;

#ifdef FENCEPOST_LINUX_6_1
	return iommu_map(domain, iova, gpa, bytes, rights);
#else
	return iommu_map(domain, iova, gpa, bytes, rights, GFP_KERNEL);
#endif
}

static bool is_leaf_of(struct fpvtd *vtd, u64 iova, unsigned int level)
{
	unsigned int found = 0;

	return fpvtd_entry(vtd, iova, 1, &found) && found == level;
}

/* The page of memory once more, by a mapping of one leaf around it. */
static int by_one_leaf(struct fpvtd *vtd, unsigned int level)
{
	struct iommu_domain *domain = iommu_get_domain_for_dev(&vtd->pdev->dev);
	size_t bytes = 1ull << (9 * level + 3);
	u64 gpa, iova;
	int ret;

	if (!domain)
		return -ENODEV;
	gpa = iommu_iova_to_phys(domain, vtd->address);
	iova = FAR + (gpa & (bytes - 1));
	ret = map(domain, FAR, gpa & ~(u64)(bytes - 1), bytes);
	if (ret)
		return ret;
	if (!is_leaf_of(vtd, iova, level))
		ret = -EINVAL;
	else
		ret = fpvtd_copies(vtd, iova, iova + HALF, vtd->memory, vtd->memory + HALF);
	if (iommu_unmap(domain, FAR, bytes) != bytes && !ret)
		ret = -EBUSY;
	return ret;
}

/* What a driver gets for 4 MiB, without asking for large pages. */
static int by_allocation(struct fpvtd *vtd)
{
	struct device *dev = &vtd->pdev->dev;
	const u64 from = SZ_1M, to = 3 * SZ_1M;
	dma_addr_t address;
	u8 *memory = dma_alloc_coherent(dev, SZ_4M, &address, GFP_KERNEL);
	int ret;

	if (!memory)
		return -ENOMEM;
	memcpy(memory + from, vtd->memory, FPVTD_CHUNK);
	if (!is_leaf_of(vtd, address + from, 2) || !is_leaf_of(vtd, address + to, 2))
		ret = -EINVAL;
	else
		ret = fpvtd_copies(vtd, address + from, address + to, memory + from, memory + to);
	dma_free_coherent(dev, SZ_4M, memory, address);
	return ret;
}

int fpvtd_page(struct fpvtd *vtd, unsigned int level)
{
	int ret;

	if (level < 1 || level > 3)
		return -ENOENT;
	ret = by_one_leaf(vtd, level);
	if (!ret && level == 2)
		ret = by_allocation(vtd);
	return ret;
}
