// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the builder of scatter-gather lists (fencepost_sg.h), with tables whose addresses are
 * made up. The parameter `case` names one; loading fails with EINVAL if its list is not as it must
 * be, with ENOENT if there is no such case. test_sg in guest-tests/programs loads it for each.
 */

#include <linux/module.h>
#include <linux/pci.h>

#include <fencepost_pci.h>
#include <fencepost_sg.h>

#define MAX_SEGMENTS 4

struct fpsg_segment {
	u64 address;
	u32 len;
};

struct fpsg_case {
	const char *name;
	unsigned int segments;
	struct fpsg_segment segment[MAX_SEGMENTS];
	u32 max_entries;
	/* What fencepost_sg_build() returns, and the list that it makes. */
	int ret;
	unsigned int entries;
	struct fpsg_segment entry[MAX_SEGMENTS];
};

static const struct fpsg_case fpsg_cases[] = {
	{ "one segment", 1, { { 0x1000, 0x3000 } }, 1, 0, 1, { { 0x1000, 0x3000 } } },
	{ "neighbours merge", 3, { { 0x1000, 0x1000 }, { 0x2000, 0x800 }, { 0x2800, 0x10 } },
	  1, 0, 1, { { 0x1000, 0x1810 } } },
	{ "a gap divides", 2, { { 0x1000, 0x1000 }, { 0x2001, 0xfff } },
	  2, 0, 2, { { 0x1000, 0x1000 }, { 0x2001, 0xfff } } },
	{ "the order is kept", 3,
	  { { 0x3000, 0x1000 }, { 0x2000, 0x1000 }, { 0x3000, 0x1000 } },
	  3, 0, 2, { { 0x3000, 0x1000 }, { 0x2000, 0x2000 } } },
	{ "an empty segment is no entry", 3,
	  { { 0x1000, 0x1000 }, { 0x9000, 0 }, { 0x2000, 0x1000 } },
	  1, 0, 1, { { 0x1000, 0x2000 } } },
	{ "an entry has the largest length", 2, { { 0x1000, 0xffffe000 }, { 0xfffff000, 0x1000 } },
	  1, 0, 1, { { 0x1000, 0xfffff000 } } },
	{ "a larger one is divided", 2, { { 0x1000, 0xffffe000 }, { 0xfffff000, 0x1010 } },
	  2, 0, 2, { { 0x1000, 0xffffe000 }, { 0xfffff000, 0x1010 } } },
	{ "addresses have 64 bits", 3,
	  { { 0xfffff000, 0x1000 }, { 0x100000000, 0x1000 }, { 0x8000000000, 4 } },
	  2, 0, 2, { { 0xfffff000, 0x2000 }, { 0x8000000000, 4 } } },
	{ "too many entries", 3, { { 0x1000, 0x1000 }, { 0x2000, 0x1000 }, { 0x4000, 0x1000 } },
	  1, -E2BIG },
	{ "no bytes", 2, { { 0x1000, 0 }, { 0x2000, 0 } }, 2, -EINVAL },
	{ "no segments", 0, { }, 2, -EINVAL },
};

static unsigned int fpsg_case;
module_param_named(case, fpsg_case, uint, 0444);

static bool fpsg_is_expected(const struct fencepost_sg_list *list, const struct fpsg_case *expected)
{
	u64 len = 0;
	u32 i;

	if (expected->ret)
		return !list->entries;
	if (!list->entries || list->count != expected->entries)
		return false;
	for (i = 0; i < list->count; i++) {
		const struct fencepost_sg_entry *entry = &list->entries[i];

		if (le64_to_cpu(entry->address) != expected->entry[i].address ||
		    le32_to_cpu(entry->len) != expected->entry[i].len || entry->reserved)
			return false;
		len += expected->entry[i].len;
	}
	return list->len == len;
}

static int fpsg_run(const struct fpsg_case *test, struct device *dev)
{
	struct scatterlist segments[MAX_SEGMENTS];
	struct sg_table sgt = { .sgl = segments, .nents = test->segments };
	struct fencepost_sg_list list = { };
	unsigned int i;
	int ret;
	bool good;

	sg_init_table(segments, MAX_SEGMENTS);
	for (i = 0; i < test->segments; i++) {
		sg_dma_address(&segments[i]) = test->segment[i].address;
		sg_dma_len(&segments[i]) = test->segment[i].len;
	}
	ret = fencepost_sg_build(&list, dev, &sgt, test->max_entries);
	good = ret == test->ret && fpsg_is_expected(&list, test);
	if (!good)
		pr_err("%s: returned %d, %u entries, %llu bytes\n", test->name, ret, list.count,
		       list.len);
	fencepost_sg_free(&list, dev);
	/* A list is freed once: what is free has none. */
	fencepost_sg_free(&list, dev);
	return good && !list.entries ? 0 : -EINVAL;
}

static int __init fpsg_init(void)
{
	struct pci_dev *gpu;
	int ret;

	if (fpsg_case >= ARRAY_SIZE(fpsg_cases))
		return -ENOENT;
	gpu = pci_get_device(FENCEPOST_PCI_VENDOR, FENCEPOST_PCI_DEVICE_GPU, NULL);
	if (!gpu)
		return -ENODEV;
	ret = fpsg_run(&fpsg_cases[fpsg_case], &gpu->dev);
	pci_dev_put(gpu);
	pr_info("case %u: %s\n", fpsg_case, fpsg_cases[fpsg_case].name);
	return ret;
}
module_init(fpsg_init);

static void __exit fpsg_exit(void)
{
}
module_exit(fpsg_exit);

MODULE_DESCRIPTION("Tests of Fencepost's scatter-gather lists");
MODULE_AUTHOR("The Fencepost project");
MODULE_LICENSE("GPL");
