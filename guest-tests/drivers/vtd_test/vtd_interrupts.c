// SPDX-License-Identifier: GPL-2.0
/*
 * Reasons for which the unit refuses an interrupt request: the device's message, its entry or the table is spoilt, the device
 * interrupts in vain, and once more when it is mended.
 */
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/pci.h>

#include "vtd_test.h"

#define EDU_IRQ_STATUS 0x24
#define EDU_IRQ_RAISE 0x60
#define EDU_IRQ_ACK 0x64
#define REASON 0x10
#define WAIT (HZ / 10)

/* Interrupt remapping table: entries of two words. */
#define ENTRIES 65536
#define PRESENT 1
#define RESERVED (1 << 24)
#define FRAME GENMASK_ULL(47, 12)
#define NOWHERE 0x7fff00000000ull

/* A message's address in remappable format: handle in 5 to 19 and 2. */
#define WINDOW 0xfee00000
#define FORMAT (1 << 4)
#define SUBHANDLE_VALID (1 << 3)

static irqreturn_t handler(int irq, void *data)
{
	struct fpvtd *vtd = data;
	u32 reasons = readl(vtd->edu + EDU_IRQ_STATUS);

	if (!reasons)
		return IRQ_NONE;
	writel(reasons, vtd->edu + EDU_IRQ_ACK);
	complete(&vtd->interrupt);
	return IRQ_HANDLED;
}

static bool arrives(struct fpvtd *vtd)
{
	bool came;

	reinit_completion(&vtd->interrupt);
	writel(REASON, vtd->edu + EDU_IRQ_RAISE);
	came = wait_for_completion_timeout(&vtd->interrupt, WAIT);
	writel(REASON, vtd->edu + EDU_IRQ_ACK);
	return came;
}

static u64 *table(struct fpvtd *vtd)
{
	return phys_to_virt(readq(vtd->unit + FPVTD_INTERRUPT_TABLE) & FRAME);
}

static u32 index_of(u32 address)
{
	return (address >> 5 & 0x7fff) | (address & 4) << 13;
}

static u32 address_of(u32 index)
{
	return WINDOW | (index & 0x7fff) << 5 | FORMAT | SUBHANDLE_VALID | (index >> 15) << 2;
}

/* An entry that is not the device's: another function's, or nobody's. */
static int foreign(struct fpvtd *vtd, bool present)
{
	const u64 *entries = table(vtd);

	for (u32 index = ENTRIES; index--;) {
		const u64 *entry = entries + 2 * index;

		if (!!(entry[0] & PRESENT) == present && (u16)entry[1] != pci_dev_id(vtd->pdev))
			return index;
	}
	return -ENXIO;
}

/* The device's interrupt with this address in its message. */
static int with_address(struct fpvtd *vtd, u32 address)
{
	int at = vtd->pdev->msi_cap + PCI_MSI_ADDRESS_LO;
	u32 old;
	bool came;

	pci_read_config_dword(vtd->pdev, at, &old);
	pci_write_config_dword(vtd->pdev, at, address);
	came = arrives(vtd);
	pci_write_config_dword(vtd->pdev, at, old);
	return came ? -EIO : 0;
}

static int with_foreign(struct fpvtd *vtd, bool present)
{
	int index = foreign(vtd, present);

	return index < 0 ? index : with_address(vtd, address_of(index));
}

/* The unit has not seen the device's entry yet, and so has not cached it. */
static int with_reserved_bits(struct fpvtd *vtd)
{
	u32 address;
	u64 *entry;
	bool came;

	pci_read_config_dword(vtd->pdev, vtd->pdev->msi_cap + PCI_MSI_ADDRESS_LO, &address);
	entry = table(vtd) + 2 * index_of(address);
	WRITE_ONCE(*entry, *entry | RESERVED);
	came = arrives(vtd);
	WRITE_ONCE(*entry, *entry & ~(u64)RESERVED);
	return came ? -EIO : 0;
}

static void write_table_pointer(struct fpvtd *vtd, u64 value)
{
	writeq(value, vtd->unit + FPVTD_INTERRUPT_TABLE);
	fpvtd_command(vtd, FPVTD_SET_INTERRUPT_TABLE);
}

/* Nobody else may interrupt meanwhile. */
static int with_table(struct fpvtd *vtd, u64 pointer)
{
	u64 old = readq(vtd->unit + FPVTD_INTERRUPT_TABLE);
	unsigned long flags;

	reinit_completion(&vtd->interrupt);
	local_irq_save(flags);
	write_table_pointer(vtd, pointer);
	writel(REASON, vtd->edu + EDU_IRQ_RAISE);
	/* The message has arrived when a read of the device has. */
	readl(vtd->edu + EDU_IRQ_STATUS);
	write_table_pointer(vtd, old);
	local_irq_restore(flags);
	writel(REASON, vtd->edu + EDU_IRQ_ACK);
	return wait_for_completion_timeout(&vtd->interrupt, WAIT) ? -EIO : 0;
}

static int provoke(struct fpvtd *vtd, unsigned int reason)
{
	switch (reason) {
	case 0x21:
		/* Two entries. */
		return with_table(vtd, readq(vtd->unit + FPVTD_INTERRUPT_TABLE) & FRAME);
	case 0x22:
		return with_foreign(vtd, false);
	case 0x23:
		return with_table(vtd, NOWHERE | 0xf);
	case 0x24:
		return with_reserved_bits(vtd);
	case 0x25:
		return with_address(vtd, WINDOW);
	case 0x26:
		return with_foreign(vtd, true);
	default:
		return -ENOENT;
	}
}

int fpvtd_interrupt_fault(struct fpvtd *vtd, unsigned int reason)
{
	int ret = pci_alloc_irq_vectors(vtd->pdev, 1, 1, PCI_IRQ_MSI);

	if (ret < 0)
		return ret;
	ret = request_irq(pci_irq_vector(vtd->pdev, 0), handler, 0, KBUILD_MODNAME, vtd);
	if (ret)
		goto free_vectors;
	ret = provoke(vtd, reason);
	if (!ret && !arrives(vtd))
		ret = -ETIMEDOUT;
	free_irq(pci_irq_vector(vtd->pdev, 0), vtd);
free_vectors:
	pci_free_irq_vectors(vtd->pdev);
	return ret;
}
