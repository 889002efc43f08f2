/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The local APIC: interrupts the CPU sends itself, held back by IF and by the task priority, in order of priority. */
#include "micro.h"

#define TPR (APIC + 0x80)
#define ICR (APIC + 0x300)
#define SELF (1u << 18)
/* The words of request and service registers that hold vectors 0x40 to 0x5f. */
#define IRR (APIC + 0x220)
#define ISR (APIC + 0x120)

static void send(uint32_t what)
{
	write32(ICR, SELF | what);
}

/* To APIC 0 by its id: a shorthand takes no NMI. */
static void send_nmi(void)
{
	write32(ICR + 0x10, 0);
	write32(ICR, 4 << 8);
}

/* Gives NMI number `count` the time of a few thousand instructions. */
static void show_nmis(uint64_t count)
{
	for (int n = 0; n < 1000 && nmi_count < count; n++)
		asm volatile("nop");
	print_value("NMIs with interrupts off", nmi_count);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	print_value("version", read32(APIC + 0x30) & 0xff);
	enable_apic();
	send(IRQ_VECTOR);
	print_value("interrupts off: requested", read32(IRR));
	print_value("taken", irq_counts[0]);
	open_interrupts();
	print_value("interrupts on: requested", read32(IRR));
	print_value("taken", irq_counts[0]);
	print_value("in service", read32(ISR));

	/* The higher vector goes first, and two requests of one vector are one. */
	irq_order = 0;
	send(IRQ_VECTOR);
	send(IRQ_VECTOR + 2);
	send(IRQ_VECTOR + 2);
	open_interrupts();
	print_value("order", irq_order);

	write32(TPR, 0x40);
	send(IRQ_VECTOR + 1);
	open_interrupts();
	print_value("priority 4: taken", irq_counts[1]);
	write32(TPR, 0x30);
	open_interrupts();
	print_value("priority 3: taken", irq_counts[1]);
	write32(TPR, 0);

	/* HLT ends by it too. */
	send(IRQ_VECTOR + 3);
	wait_irq(3, 1);
	print_value("woken", irq_counts[3]);
	for (int turn = 1; turn <= 2; turn++) {
		send_nmi();
		show_nmis(turn);
	}
	return 0;
}
