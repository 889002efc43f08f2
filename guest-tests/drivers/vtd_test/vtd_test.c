// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the VT-d unit: `fault`, `page` or `interrupt` chooses one. Loading the module fails if the case does. What the
 * stock driver says of it is in the kernel's log.
 */
#include <linux/dma-mapping.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/pci.h>

#include "vtd_test.h"

#define EDU_VENDOR 0x1234
#define EDU_DEVICE 0x11e8
#define EDU_DMA_SRC 0x80
#define EDU_DMA_DST 0x88
#define EDU_DMA_COUNT 0x90
#define EDU_DMA_CMD 0x98
#define EDU_BUFFER 0x40000
#define EDU_START 1
#define EDU_TO_MEMORY 2

/* Where the machine has the unit. */
#define UNIT 0xfed90000
#define UNIT_BYTES 4096

/* A reason of table 25 that is provoked; the level of a leaf that is used; a reason of an interrupt that is refused. */
static unsigned int fault, page, interrupt;
module_param(fault, uint, 0444);
module_param(page, uint, 0444);
module_param(interrupt, uint, 0444);

static int move(struct fpvtd *vtd, u64 from, u64 to, u32 command)
{
	u32 busy;

	writeq(from, vtd->edu + EDU_DMA_SRC);
	writeq(to, vtd->edu + EDU_DMA_DST);
	writeq(FPVTD_CHUNK, vtd->edu + EDU_DMA_COUNT);
	writel(command | EDU_START, vtd->edu + EDU_DMA_CMD);
	return readl_poll_timeout_atomic(vtd->edu + EDU_DMA_CMD, busy, !(busy & EDU_START), 1, 100000);
}

int fpvtd_from_memory(struct fpvtd *vtd, u64 iova)
{
	return move(vtd, iova, EDU_BUFFER, 0);
}

int fpvtd_to_memory(struct fpvtd *vtd, u64 iova)
{
	return move(vtd, EDU_BUFFER, iova, EDU_TO_MEMORY);
}

int fpvtd_copies(struct fpvtd *vtd, u64 from, u64 to, const u8 *source, u8 *target)
{
	int ret;

	memset(target, 0, FPVTD_CHUNK);
	ret = fpvtd_from_memory(vtd, from);
	if (!ret)
		ret = fpvtd_to_memory(vtd, to);
	return ret ? ret : memcmp(source, target, FPVTD_CHUNK) ? -EIO : 0;
}

static int run(struct fpvtd *vtd)
{
	if (fault)
		return fpvtd_fault(vtd, fault);
	if (page)
		return fpvtd_page(vtd, page);
	return fpvtd_interrupt_fault(vtd, interrupt);
}

static int enabled(struct fpvtd *vtd)
{
	struct device *dev = &vtd->pdev->dev;
	int ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(64));

	if (ret)
		return ret;
	pci_set_master(vtd->pdev);
	vtd->edu = pci_iomap(vtd->pdev, 0, 0);
	vtd->unit = ioremap(UNIT, UNIT_BYTES);
	vtd->memory = dma_alloc_coherent(dev, FPVTD_BYTES, &vtd->address, GFP_KERNEL);
	ret = -ENOMEM;
	if (vtd->edu && vtd->unit && vtd->memory) {
		for (unsigned int i = 0; i < FPVTD_BYTES; i++)
			vtd->memory[i] = i * 7 + (i >> 8);
		ret = run(vtd);
	}
	if (vtd->memory)
		dma_free_coherent(dev, FPVTD_BYTES, vtd->memory, vtd->address);
	if (vtd->unit)
		iounmap(vtd->unit);
	if (vtd->edu)
		pci_iounmap(vtd->pdev, vtd->edu);
	pci_clear_master(vtd->pdev);
	return ret;
}

static int __init vtd_test_init(void)
{
	struct fpvtd vtd = {};
	int ret;

	init_completion(&vtd.interrupt);
	vtd.pdev = pci_get_device(EDU_VENDOR, EDU_DEVICE, NULL);
	if (!vtd.pdev)
		return -ENODEV;
	ret = pci_enable_device(vtd.pdev);
	if (!ret) {
		ret = enabled(&vtd);
		pci_disable_device(vtd.pdev);
	}
	pci_dev_put(vtd.pdev);
	return ret;
}
module_init(vtd_test_init);

static void __exit vtd_test_exit(void)
{
}
module_exit(vtd_test_exit);

MODULE_DESCRIPTION("Tests of Fencepost's VT-d unit");
MODULE_AUTHOR("The Fencepost project");
MODULE_LICENSE("GPL");
