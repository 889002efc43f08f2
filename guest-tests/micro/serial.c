/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The serial port's interrupts by way of the I/O APIC: the transmitter is empty, a looped-back byte has come. */
#include "micro.h"

#define SERIAL 0x3f8
#define IOAPIC 0xfec00000ul
#define PIN 4

static uint32_t ioapic(uint32_t index)
{
	write32(IOAPIC, index);
	return read32(IOAPIC + 0x10);
}

static void set_pin(uint32_t low)
{
	write32(IOAPIC, 0x10 + 2 * PIN + 1);
	write32(IOAPIC + 0x10, 0);
	write32(IOAPIC, 0x10 + 2 * PIN);
	write32(IOAPIC + 0x10, low);
}

int micro_main(const uint8_t *zero_page)
{
	uint8_t reason, byte;

	(void)zero_page;
	install_interrupts();
	enable_apic();
	print_value("pins", (ioapic(1) >> 16 & 0xff) + 1);
	print_value("masked after reset", ioapic(0x10 + 2 * PIN) >> 16 & 1);
	/* Fixed, physical, edge-triggered, to APIC 0. */
	set_pin(IRQ_VECTOR);

	/* Interrupts are enabled after the last byte went out, so that only one comes. */
	out8(SERIAL + 1, 2);
	out8(SERIAL, '.');
	wait_irq(0, 1);
	reason = in8(SERIAL + 2) & 15;
	out8(SERIAL + 1, 0);
	print_value("\nreason: transmitter empty", reason);

	/* Loop-back: what is sent is received. */
	out8(SERIAL + 4, 0x10);
	out8(SERIAL + 1, 1);
	out8(SERIAL, 0x5a);
	wait_irq(0, irq_counts[0] + 1);
	reason = in8(SERIAL + 2) & 15;
	byte = in8(SERIAL);
	out8(SERIAL + 1, 0);
	out8(SERIAL + 4, 0);
	print_value("reason: data", reason);
	print_value("byte", byte);

	/* A masked pin interrupts nobody. */
	set_pin(1 << 16 | IRQ_VECTOR);
	irq_counts[0] = 0;
	out8(SERIAL + 1, 2);
	out8(SERIAL, '.');
	open_interrupts();
	out8(SERIAL + 1, 0);
	print_value("\ninterrupts while masked", irq_counts[0]);
	return 0;
}
