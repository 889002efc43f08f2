/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The educational device (docs/edu.md): identification, factorial, INTx through the I/O APIC, MSI, DMA both ways with address
 * bits that the device does not have, and transfers that move nothing. The same with the IOMMU and without.
 */
#include "vtd.h"

#define SLOT 5
/* INTA# of slot 5 (docs/pci.md). */
#define PIN (16 + SLOT % 8)
#define IOAPIC 0xfec00000ul
#define LEVEL (1u << 15)

#define ID 0x00
#define LIVENESS 0x04
#define FACTORIAL 0x08
#define STATUS 0x20
#define IRQ_STATUS 0x24
#define IRQ_RAISE 0x60
#define IRQ_ACK 0x64
#define DMA_SRC 0x80
#define DMA_DST 0x88
#define DMA_COUNT 0x90
#define DMA_CMD 0x98
#define BUFFER 0x40000ull
#define TO_MEMORY 2
#define INTERRUPT 4

static uint8_t source[PAGE] __attribute__((aligned(PAGE)));
static uint8_t target[PAGE] __attribute__((aligned(PAGE)));
static uint64_t edu, at_source = 0x8000, at_target = 0x9000;
static volatile uint64_t reasons;

/* INTx: takes one reason at a time, so that the line stays asserted while there are others. */
__attribute__((interrupt)) static void on_line(struct frame *frame)
{
	uint32_t status = read32(edu + IRQ_STATUS);

	(void)frame;
	/*
	 * None is not ours, as on a shared line: a KVM without hardware under it ends an interrupt when it delivers it, and
	 * so repeats one whose line is still up.
	 */
	if (status) {
		irq_counts[0]++;
		reasons = reasons << 16 | (status & -status);
		write32(edu + IRQ_ACK, status & -status);
	}
	write32(APIC + 0xb0, 0);
}

static void ioapic_write(uint32_t index, uint32_t value)
{
	write32(IOAPIC, index);
	write32(IOAPIC + 0x10, value);
}

static uint64_t msi_capability(void)
{
	uint64_t capability = CONFIG(SLOT, read32(CONFIG(SLOT, 0x34)) & 0xff);

	while ((read32(capability) & 0xff) != 0x05) {
		require(read32(capability) >> 8 & 0xff, "no MSI capability");
		capability = CONFIG(SLOT, read32(capability) >> 8 & 0xff);
	}
	return capability;
}

static uint32_t factorial(uint32_t n)
{
	write32(edu + FACTORIAL, n);
	while (read32(edu + STATUS) & 1)
		;
	return read32(edu + FACTORIAL);
}

static void transfer(uint64_t from, uint64_t to, uint64_t count, uint32_t command)
{
	write64(edu + DMA_SRC, from);
	write64(edu + DMA_DST, to);
	write64(edu + DMA_COUNT, count);
	write32(edu + DMA_CMD, command | 1);
	while (read32(edu + DMA_CMD) & 1)
		;
}

static uint32_t sum(const uint8_t *bytes, uint32_t count)
{
	uint32_t sum = 0;

	while (count--)
		sum = sum * 31 + *bytes++;
	return sum;
}

static void line_interrupts(void)
{
	set_gate(IRQ_VECTOR, on_line);
	ioapic_write(0x11 + 2 * PIN, 0);
	ioapic_write(0x10 + 2 * PIN, LEVEL | IRQ_VECTOR);
	write32(edu + IRQ_RAISE, 0x28);
	wait_irq(0, 2);
	print_value("INTx, two reasons", reasons);
	write32(edu + STATUS, 0x80);
	factorial(5);
	wait_irq(0, 3);
	write32(edu + STATUS, 0);
	print_value("INTx after a factorial", reasons & 0xffff);
	transfer(at_source, BUFFER, 8, INTERRUPT);
	wait_irq(0, 4);
	print_value("INTx after a transfer", reasons & 0xffff);

	/* What was repeated comes first. Disabled: the status register shows it, the CPU hears nothing until it is enabled. */
	open_interrupts();
	write32(CONFIG(SLOT, 4), 0x406);
	write32(edu + IRQ_RAISE, 4);
	open_interrupts();
	print_value("INTx disabled: interrupts", irq_counts[0]);
	print_value("  status", read32(CONFIG(SLOT, 4)) >> 16 & 8);
	write32(CONFIG(SLOT, 4), 6);
	wait_irq(0, 5);
	print_value("  enabled", reasons & 0xffff);
	print_value("  status", read32(CONFIG(SLOT, 4)) >> 16 & 8);
	open_interrupts();
}

static void message_interrupts(void)
{
	uint64_t capability = msi_capability();

	write32(capability + 4, 0xfee00000);
	write32(capability + 8, 0);
	write32(capability + 12, IRQ_VECTOR + 1);
	write32(capability, read32(capability) | 1u << 16);
	write32(edu + IRQ_RAISE, 1);
	wait_irq(1, 1);
	/* Not acknowledged: another reason is another message. */
	transfer(at_source, BUFFER, 8, INTERRUPT);
	wait_irq(1, 2);
	print_value("MSI, reasons", read32(edu + IRQ_STATUS));
	write32(capability + 16, 1);
	write32(edu + IRQ_RAISE, 2);
	open_interrupts();
	print_value("MSI masked: interrupts", irq_counts[1]);
	print_value("  pending", read32(capability + 20));
	write32(capability + 16, 0);
	wait_irq(1, 3);
	print_value("  pending after it was unmasked", read32(capability + 20));
	write32(edu + IRQ_ACK, ~0u);
	print_value("INTx interrupts", irq_counts[0]);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	enable_apic();
	print_value("vendor and device", read32(CONFIG(SLOT, 0)));
	print_value("class and revision", read32(CONFIG(SLOT, 8)));
	edu = enable_function(SLOT);
	if (read32(UNIT) == ~0u) {
		at_source = (uint64_t)source;
		at_target = (uint64_t)target;
	} else {
		vtd_map(at_source, source);
		vtd_map(at_target, target);
		vtd_attach(SLOT);
		vtd_start(IRQ_VECTOR + 3);
	}
	print_value("identification", read32(edu + ID));
	write32(edu + LIVENESS, 0x12345678);
	print_value("liveness", read32(edu + LIVENESS));
	print_value("5!", factorial(5));
	print_value("13!, low 32 bits", factorial(13));

	for (int n = 0; n < PAGE; n++)
		source[n] = n * 7 + (n >> 8);
	transfer(at_source + 5, BUFFER + 3, 1000, 0);
	transfer(BUFFER + 3, at_target + 1, 1000, TO_MEMORY);
	print_value("moved there and back", sum(source + 5, 1000) == sum(target + 1, 1000));
	print_value("  before and behind", target[0] | target[1001]);

	/* Bits 28 and up are not driven. */
	transfer(at_source | 0x350000000ull, BUFFER, PAGE, 0);
	transfer(BUFFER, at_target | 1ull << 28, PAGE, TO_MEMORY);
	print_value("moved with more than 28 bits", sum(source, PAGE) == sum(target, PAGE));

	/* Nothing is there, whether addresses are translated or not; then one that the buffer does not hold. */
	transfer(0x8000000, BUFFER, 16, 0);
	transfer(at_source + 64, BUFFER + PAGE - 15, 16, 0);
	transfer(BUFFER, at_target, PAGE, TO_MEMORY);
	print_value("buffer after refused transfers", sum(source, PAGE) == sum(target, PAGE));

	line_interrupts();
	message_interrupts();
	return 0;
}
