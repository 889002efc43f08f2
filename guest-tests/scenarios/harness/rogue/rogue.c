// SPDX-License-Identifier: GPL-2.0
/*
 * Does to the machine what `deed` names, while it is loaded: what a driver does that has gone wrong. That the host is not
 * moved by it is tested by ci/scenario-tests.sh.
 */
#include <linux/io.h>
#include <linux/irqflags.h>
#include <linux/module.h>
#include <linux/pci.h>
#include <linux/string.h>

static char *rogue_deed = "";
module_param_named(deed, rogue_deed, charp, 0444);

/* The IOMMU's registers and the I/O APIC's: the host's docs/iommu.md and docs/machine.md say where they are. */
static const resource_size_t rogue_fixed[] = { 0xfed90000, 0xfec00000 };

#define ROGUE_SPAN 4096

static void rogue_scribble_at(resource_size_t start, size_t size, u32 seed)
{
	void __iomem *at = ioremap(start, size);
	size_t offset;

	if (!at)
		return;
	for (offset = 0; offset + 4 <= size; offset += 4) {
		seed = seed * 1664525 + 1013904223;
		iowrite32(seed, at + offset);
		(void)ioread32(at + offset);
	}
	for (offset = 0; offset + 4 <= size; offset += 4)
		iowrite32(0xffffffff, at + offset);
	iounmap(at);
}

static void rogue_scribble(void)
{
	struct pci_dev *device = NULL;
	unsigned int i, offset;
	u32 seed = 1;

	/* Once as they are, and once with what the drivers left them of memory and of DMA. */
	for_each_pci_dev(device) {
		pci_write_config_word(device, PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
		for (i = 0; i < PCI_STD_NUM_BARS; i++)
			if (pci_resource_flags(device, i) & IORESOURCE_MEM)
				rogue_scribble_at(pci_resource_start(device, i),
						  min_t(size_t, pci_resource_len(device, i), 4 * ROGUE_SPAN), seed++);
		for (offset = 0x10; offset < 0x1000; offset += 4)
			pci_write_config_dword(device, offset, seed = seed * 1664525 + 1013904223);
	}
	for (i = 0; i < ARRAY_SIZE(rogue_fixed); i++)
		rogue_scribble_at(rogue_fixed[i], ROGUE_SPAN, seed++);
	/* The old ports: DMA, timers, keyboard, clock, serial; not those that end the machine. */
	for (i = 0; i < 0x400; i++)
		if (i != 0xf4 && i != 0x64 && i != 0x92)
			outb(seed = seed * 1664525 + 1013904223, i);
}

static void rogue_hang(void)
{
	local_irq_disable();
	for (;;)
		cpu_relax();
}

static int __init rogue_init(void)
{
	if (!strcmp(rogue_deed, "hang"))
		rogue_hang();
	else if (!strcmp(rogue_deed, "warn"))
		WARN(1, "a warning of %s\n", KBUILD_MODNAME);
	else if (!strcmp(rogue_deed, "scribble"))
		rogue_scribble();
	else if (strcmp(rogue_deed, "nothing"))
		return -EINVAL;
	return 0;
}

static void __exit rogue_exit(void)
{
}

module_init(rogue_init);
module_exit(rogue_exit);
MODULE_DESCRIPTION("A driver that has gone wrong");
MODULE_LICENSE("GPL");
