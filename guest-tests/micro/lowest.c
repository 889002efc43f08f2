/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Messages of lowest priority to all CPUs: one takes it, the one whose processor priority is lowest, by its task priority or by what
 * it has in service. They come from a pin of the I/O APIC, and by logical destination.
 */
#include "smp.h"

#define IOAPIC 0xfec00000ul
#define SERIAL 0x3f8
#define PIN 4
#define TPR (APIC + 0x80)
#define EOI (APIC + 0xb0)
#define LDR (APIC + 0xd0)
#define SVR (APIC + 0xf0)
/* The delivery mode, and a destination that is a set of CPUs. */
#define LOWEST 0x100
#define LOGICAL 0x800
#define VECTOR 0x51
/* Of another class: what is in service holds back what is below it. */
#define HIGH_VECTOR 0x61
#define NOBODY 0xff

static volatile uint64_t running, taken, by, in_service, done, go, off;
/* The task priority that each CPU is to have next, and the number of the wish. */
static volatile uint64_t priority[CPUS], wish, heeded;

__attribute__((interrupt)) static void on_message(struct frame *frame)
{
	(void)frame;
	by = number();
	lock_add(&taken, 1);
	write32(EOI, 0);
}

/* Stays in service until it is told. */
__attribute__((interrupt)) static void on_high(struct frame *frame)
{
	(void)frame;
	lock_add(&in_service, 1);
	spin_until(&go, 1);
	write32(EOI, 0);
	lock_add(&done, 1);
}

/* Sets this CPU apart from the others: bit n of a logical destination is CPU n. */
static void join(void)
{
	enable_apic();
	write32(LDR, 1u << (24 + number()));
}

/* What each of the others does: its task priority follows the wishes, and it takes what comes. */
static void cpu_main(void)
{
	uint64_t last = 0;

	install_interrupts();
	set_gate(VECTOR, on_message);
	set_gate(HIGH_VECTOR, on_high);
	join();
	lock_add(&running, 1);
	for (;;) {
		asm volatile("cli");
		if (wish != last) {
			last = wish;
			write32(TPR, priority[number()]);
			write32(SVR, number() == off ? 0xff : 0x1ff);
			lock_add(&heeded, 1);
		}
		asm volatile("sti; pause");
	}
}

static void ioapic_write(uint32_t index, uint32_t value)
{
	write32(IOAPIC, index);
	write32(IOAPIC + 0x10, value);
}

/* Has all CPUs take these priorities, the first one's digit first. */
static void prioritize(uint64_t digits)
{
	for (int cpu = 0; cpu < CPUS; cpu++)
		priority[cpu] = (digits >> (4 * (CPUS - 1 - cpu)) & 15) << 4;
	heeded = 0;
	lock_add(&wish, 1);
	write32(TPR, priority[0]);
	spin_until(&heeded, CPUS - 1);
}

/* An edge on the serial port's pin: the transmitter is empty. */
static void edge(void)
{
	out8(SERIAL + 1, 2);
	in8(SERIAL + 2);
	out8(SERIAL + 1, 0);
}

/* One message by the I/O APIC; who took it. KVM, which knows no priorities, may give it to one that serves something, or is off. */
static void show(const char *name)
{
	uint64_t before = taken;

	by = NOBODY;
	edge();
	for (int looks = 0; looks < 10000 && taken == before; looks++) {
		/* This CPU, too, takes what comes. */
		open_interrupts();
		if (looks == 2000)
			go = 1;
	}
	/* If more than one was sent it, the others take it as well. */
	for (int n = 0; n < 2000; n++)
		asm volatile("pause");
	open_interrupts();
	require(taken <= before + 1, name);
	print_value(name, by);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	set_gate(VECTOR, on_message);
	join();
	cpu_starts_with(cpu_main);
	for (uint64_t cpu = 1; cpu < CPUS; cpu++) {
		start_cpu(cpu);
		spin_until(&running, cpu);
	}
	ioapic_write(0x11 + 2 * PIN, 0xfu << 24);
	ioapic_write(0x10 + 2 * PIN, LOWEST | LOGICAL | VECTOR);
	prioritize(0x3214);
	show("priorities 3 2 1 4");
	prioritize(0x4321);
	show("priorities 4 3 2 1");
	prioritize(0x1234);
	show("priorities 1 2 3 4");
	prioritize(0x3123);
	show("priorities 3 1 2 3");

	/* Only those that are named count. */
	ioapic_write(0x11 + 2 * PIN, 0xcu << 24);
	show("the last two of 3 1 2 3");
	ioapic_write(0x11 + 2 * PIN, 0xfu << 24);

	/* What is in service is a priority, too. */
	prioritize(0x3021);
	go = 0;
	send(1, HIGH_VECTOR);
	spin_until(&in_service, 1);
	show("priorities 3 0 2 1, the second serves 6");
	go = 1;
	spin_until(&done, 1);
	show("priorities 3 0 2 1, it serves nothing");

	/* One that is switched off takes no part. */
	off = 1;
	prioritize(0x3021);
	show("priorities 3 - 2 1");
	return 0;
}
