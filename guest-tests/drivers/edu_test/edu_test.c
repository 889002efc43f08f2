// SPDX-License-Identifier: GPL-2.0
/*
 * Tests of the educational device (docs/edu.md) by a stock kernel's PCI, interrupt and DMA code: `case` chooses one.
 * Loading the module fails if the case does.
 */
#include <linux/completion.h>
#include <linux/delay.h>
#include <linux/dma-mapping.h>
#include <linux/interrupt.h>
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/iopoll.h>
#include <linux/module.h>
#include <linux/pci.h>

#ifdef FENCEPOST_LINUX_6_1
#define PCI_IRQ_INTX PCI_IRQ_LEGACY
#endif

#undef pr_fmt
#define pr_fmt(fmt) KBUILD_MODNAME ": " fmt

#define FPEDU_VENDOR 0x1234
#define FPEDU_DEVICE 0x11e8
#define FPEDU_ID 0x00
#define FPEDU_LIVENESS 0x04
#define FPEDU_FACTORIAL 0x08
#define FPEDU_STATUS 0x20
#define FPEDU_IRQ_STATUS 0x24
#define FPEDU_IRQ_RAISE 0x60
#define FPEDU_IRQ_ACK 0x64
#define FPEDU_DMA_SRC 0x80
#define FPEDU_DMA_DST 0x88
#define FPEDU_DMA_COUNT 0x90
#define FPEDU_DMA_CMD 0x98
#define FPEDU_BUFFER 0x40000
#define FPEDU_TO_MEMORY 2
#define FPEDU_INTERRUPT 4
#define FPEDU_DONE 0x100
#define FPEDU_BYTES 4096
#define FPEDU_WAIT (10 * HZ)

static unsigned int fpedu_case;
module_param_named(case, fpedu_case, uint, 0444);

struct fpedu {
	struct pci_dev *pdev;
	void __iomem *registers;
	struct completion interrupt;
	u32 reasons;
	u8 *memory;
	dma_addr_t address;
};

static irqreturn_t fpedu_interrupt(int irq, void *data)
{
	struct fpedu *edu = data;
	u32 reasons = readl(edu->registers + FPEDU_IRQ_STATUS);

	if (!reasons)
		return IRQ_NONE;
	writel(reasons, edu->registers + FPEDU_IRQ_ACK);
	edu->reasons |= reasons;
	complete(&edu->interrupt);
	return IRQ_HANDLED;
}

/* Waits for one interrupt, which has to be for this reason alone. */
static int fpedu_wait(struct fpedu *edu, u32 reason)
{
	if (!wait_for_completion_timeout(&edu->interrupt, FPEDU_WAIT))
		return -ETIMEDOUT;
	if (edu->reasons != reason) {
		pr_err("reasons %#x instead of %#x\n", edu->reasons, reason);
		return -EIO;
	}
	edu->reasons = 0;
	return 0;
}

static int fpedu_start(struct fpedu *edu, u64 from, u64 to, u64 count, u32 command)
{
	u32 busy;

	writeq(from, edu->registers + FPEDU_DMA_SRC);
	writeq(to, edu->registers + FPEDU_DMA_DST);
	writeq(count, edu->registers + FPEDU_DMA_COUNT);
	writel(command | 1, edu->registers + FPEDU_DMA_CMD);
	return readl_poll_timeout(edu->registers + FPEDU_DMA_CMD, busy, !(busy & 1), 10, 10000000);
}

static int fpedu_registers(struct fpedu *edu)
{
	static const u32 factorials[][2] = { { 0, 1 }, { 5, 120 }, { 12, 479001600 }, { 40, 0 } };
	u32 status;
	int ret;

	if (readl(edu->registers + FPEDU_ID) != 0x010000ed)
		return -EIO;
	writel(0x12345678, edu->registers + FPEDU_LIVENESS);
	if (readl(edu->registers + FPEDU_LIVENESS) != ~0x12345678)
		return -EIO;
	for (unsigned int i = 0; i < ARRAY_SIZE(factorials); i++) {
		writel(factorials[i][0], edu->registers + FPEDU_FACTORIAL);
		ret = readl_poll_timeout(edu->registers + FPEDU_STATUS, status, !(status & 1), 10, 10000000);
		if (ret)
			return ret;
		if (readl(edu->registers + FPEDU_FACTORIAL) != factorials[i][1])
			return -EIO;
	}
	return 0;
}

/* A reason that software gives, a factorial that is done, a transfer that is: each interrupts. */
static int fpedu_interrupts(struct fpedu *edu, unsigned int kind)
{
	int ret = pci_alloc_irq_vectors(edu->pdev, 1, 1, kind);

	if (ret < 0)
		return ret;
	ret = request_irq(pci_irq_vector(edu->pdev, 0), fpedu_interrupt, IRQF_SHARED, KBUILD_MODNAME, edu);
	if (ret)
		goto free_vectors;
	writel(0x28, edu->registers + FPEDU_IRQ_RAISE);
	ret = fpedu_wait(edu, 0x28);
	if (ret)
		goto free_irq;
	writel(0x80, edu->registers + FPEDU_STATUS);
	writel(6, edu->registers + FPEDU_FACTORIAL);
	ret = fpedu_wait(edu, 1);
	writel(0, edu->registers + FPEDU_STATUS);
	if (ret)
		goto free_irq;
	if (readl(edu->registers + FPEDU_FACTORIAL) != 720)
		ret = -EIO;
	else
		ret = fpedu_start(edu, edu->address, FPEDU_BUFFER, 64, FPEDU_INTERRUPT);
	if (!ret)
		ret = fpedu_wait(edu, FPEDU_DONE);
free_irq:
	free_irq(pci_irq_vector(edu->pdev, 0), edu);
free_vectors:
	pci_free_irq_vectors(edu->pdev);
	return ret;
}

static int fpedu_line(struct fpedu *edu)
{
	return fpedu_interrupts(edu, PCI_IRQ_INTX);
}

static int fpedu_message(struct fpedu *edu)
{
	return fpedu_interrupts(edu, PCI_IRQ_MSI);
}

/* One half of the memory through the device's buffer into the other, with these bits added to the addresses. */
static int fpedu_copy(struct fpedu *edu, u64 bits)
{
	const unsigned int half = FPEDU_BYTES / 2;
	int ret;

	for (unsigned int i = 0; i < half; i++)
		edu->memory[i] = i * 7 + (i >> 8);
	memset(edu->memory + half, 0, half);
	ret = fpedu_start(edu, edu->address | bits, FPEDU_BUFFER + 16, half, 0);
	if (!ret)
		ret = fpedu_start(edu, FPEDU_BUFFER + 16, (edu->address + half) | bits, half, FPEDU_TO_MEMORY);
	if (!ret && memcmp(edu->memory, edu->memory + half, half))
		ret = -EIO;
	return ret;
}

static int fpedu_dma(struct fpedu *edu)
{
	return fpedu_copy(edu, 0);
}

static int fpedu_more_bits(struct fpedu *edu)
{
	return fpedu_copy(edu, 0x5ull << 28 | 1ull << 40);
}

/* What the device's buffer does not hold is not moved. */
static int fpedu_outside(struct fpedu *edu)
{
	int ret;

	memset(edu->memory, 0xa5, FPEDU_BYTES);
	ret = fpedu_start(edu, FPEDU_BUFFER + 1, edu->address, FPEDU_BYTES, FPEDU_TO_MEMORY);
	if (!ret && memchr_inv(edu->memory, 0xa5, FPEDU_BYTES))
		ret = -EIO;
	return ret;
}

static const struct {
	const char *name;
	int (*run)(struct fpedu *edu);
} fpedu_cases[] = {
	{ "registers and factorials", fpedu_registers },
	{ "INTx", fpedu_line },
	{ "MSI", fpedu_message },
	{ "DMA there and back", fpedu_dma },
	{ "DMA with more than 28 bits", fpedu_more_bits },
	{ "a transfer outside the buffer", fpedu_outside },
};

static int fpedu_enabled(struct fpedu *edu)
{
	struct device *dev = &edu->pdev->dev;
	int ret = dma_set_mask_and_coherent(dev, DMA_BIT_MASK(28));

	if (ret)
		return ret;
	pci_set_master(edu->pdev);
	edu->registers = pci_iomap(edu->pdev, 0, 0);
	if (!edu->registers)
		return -ENOMEM;
	edu->memory = dma_alloc_coherent(dev, FPEDU_BYTES, &edu->address, GFP_KERNEL);
	if (edu->memory) {
		ret = fpedu_cases[fpedu_case].run(edu);
		dma_free_coherent(dev, FPEDU_BYTES, edu->memory, edu->address);
	} else {
		ret = -ENOMEM;
	}
	pci_iounmap(edu->pdev, edu->registers);
	pci_clear_master(edu->pdev);
	return ret;
}

static int __init fpedu_init(void)
{
	struct fpedu edu = {};
	int ret;

	if (fpedu_case >= ARRAY_SIZE(fpedu_cases))
		return -ENOENT;
	init_completion(&edu.interrupt);
	edu.pdev = pci_get_device(FPEDU_VENDOR, FPEDU_DEVICE, NULL);
	if (!edu.pdev)
		return -ENODEV;
	ret = pci_enable_device(edu.pdev);
	if (!ret) {
		ret = fpedu_enabled(&edu);
		pci_disable_device(edu.pdev);
	}
	pci_dev_put(edu.pdev);
	pr_info("case %u: %s\n", fpedu_case, fpedu_cases[fpedu_case].name);
	return ret;
}
module_init(fpedu_init);

static void __exit fpedu_exit(void)
{
}
module_exit(fpedu_exit);

MODULE_DESCRIPTION("Tests of Fencepost's educational device");
MODULE_AUTHOR("The Fencepost project");
MODULE_LICENSE("GPL");
