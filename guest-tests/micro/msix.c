/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* MSI-X: masked by entry and by function, pending bits, one message however often it was raised; disabled; rerouted. */
#include "gpu.h"

#define FUNCTION_MASK (1u << 30)
#define ENABLE (1u << 31)

static struct gpu_packet packets[16] __attribute__((aligned(PAGE)));
static volatile uint64_t fence_word __attribute__((aligned(8)));
static uint64_t gpu, table, pending, capability;
static uint32_t done;

/* One fence; when the packet is past, its vector has been raised. */
static void fence(void)
{
	packets[done].opcode = FPGPU_OPCODE_FENCE;
	packets[done].seqno = done + 1;
	done++;
	write32(gpu + RING_TAIL, done);
	while (read32(gpu + RING_HEAD) != done)
		;
}

static void show(const char *name)
{
	/* What was sent is taken now, if anything was. */
	open_interrupts();
	print(name);
	print_value(": pending", read32(pending));
	print_value("  interrupts", irq_counts[0]);
}

static void mask_entry(uint32_t mask)
{
	write32(table + 12, mask);
}

static void set_control(uint32_t set, uint32_t clear)
{
	write32(capability, (read32(capability) | set) & ~clear);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	enable_apic();
	gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);
	capability = msix_capability(FENCEPOST_PCI_SLOT_GPU);
	table = msix_memory(FENCEPOST_PCI_SLOT_GPU, 4);
	pending = msix_memory(FENCEPOST_PCI_SLOT_GPU, 8);
	print_value("vectors", (read32(capability) >> 16 & 0x7ff) + 1);
	print_value("masked after reset", read32(table + 12));
	start_ring(gpu, (uint64_t)packets, (uint64_t)&fence_word);
	fence();
	show("MSI-X off");
	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_RING, IRQ_VECTOR);
	show("switched on");
	fence();
	wait_irq(0, 1);
	show("unmasked");

	mask_entry(1);
	fence();
	fence();
	show("entry masked, raised twice");
	write32(pending, 0);
	show("pending bits written");
	mask_entry(0);
	wait_irq(0, 2);
	show("entry unmasked");

	set_control(FUNCTION_MASK, 0);
	fence();
	show("function masked");
	mask_entry(1);
	set_control(0, FUNCTION_MASK);
	show("entry masked instead");
	mask_entry(0);
	wait_irq(0, 3);
	show("both unmasked");

	/* Masked, sent elsewhere, unmasked: the message is the new one. */
	mask_entry(1);
	fence();
	write32(table + 8, IRQ_VECTOR + 1);
	mask_entry(0);
	wait_irq(1, 1);
	show("rerouted");
	print_value("  at the new vector", irq_counts[1]);
	print_value("order", irq_order);

	/* A pending bit outlives a time without bus mastering. */
	mask_entry(1);
	fence();
	write32(CONFIG(FENCEPOST_PCI_SLOT_GPU, 4), 2);
	mask_entry(0);
	show("no bus master");
	write32(CONFIG(FENCEPOST_PCI_SLOT_GPU, 4), 6);
	wait_irq(1, 2);
	show("bus master");
	set_control(0, ENABLE);
	fence();
	show("MSI-X off again");
	print_value("fence word", fence_word);
	return 0;
}
