/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Several CPUs: started by INIT and SIPI, counting together, and sending each other interrupts. */
#include "smp.h"

/* To the other CPUs. */
#define WAKE_VECTOR 0x50
/* How often each CPU counts: most by LOCK INC, some by an instruction that not every KVM knows. */
#define ROUNDS 500
#define WIDE_ROUNDS 50

static volatile uint64_t counted, running, stage, woken[CPUS], nmis, finished;
static volatile char alone_does;
static volatile struct {
	uint64_t low, high;
} __attribute__((aligned(16))) wide;
static volatile struct {
	uint64_t apic, leaf1, leafb, bootstrap;
} seen[CPUS];

/* One up and one down, at once. */
static void lock_wide(void)
{
	uint64_t low = 0, high = 0;
	uint8_t done;

	do {
		asm volatile("lock cmpxchg16b %0; sete %3"
			     : "+m"(wide), "+a"(low), "+d"(high), "=&r"(done)
			     : "b"(low + 1), "c"(high - 1)
			     : "memory", "cc");
	} while (!done);
}

static void cpuid(uint32_t leaf, uint32_t *ebx, uint32_t *edx)
{
	uint32_t eax = leaf, ecx = 0;

	asm volatile("cpuid" : "+a"(eax), "=b"(*ebx), "+c"(ecx), "=d"(*edx));
}

static void look(void)
{
	uint32_t ebx, edx;

	cpuid(1, &ebx, &edx);
	seen[number()].leaf1 = ebx >> 24;
	cpuid(0xb, &ebx, &edx);
	seen[number()].leafb = edx;
	seen[number()].apic = number();
	seen[number()].bootstrap = read_msr(0x1b) >> 8 & 1;
}

static void count(void)
{
	for (int n = 0; n < ROUNDS; n++)
		asm volatile("lock incq %0" : "+m"(counted) : : "memory", "cc");
	for (int n = 0; n < WIDE_ROUNDS; n++)
		lock_wide();
}

__attribute__((interrupt)) static void wake(struct frame *frame)
{
	(void)frame;
	woken[number()]++;
	write32(APIC + 0xb0, 0);
}

__attribute__((interrupt)) static void on_nmi(struct frame *frame)
{
	(void)frame;
	lock_add(&nmis, 1ull << 8 * number());
}

/* Halts, with interrupts on, until a word that its own interrupts change is at least this. */
static void sleep_until(volatile uint64_t *word, uint64_t value)
{
	for (;;) {
		asm volatile("cli");
		if (*word >= value)
			break;
		asm volatile("sti; hlt");
	}
}

/* What CPU 2 does for the first letter of the command line; one that none of these is for is the whole test. */
static void misbehave(char how)
{
	struct {
		uint16_t limit;
		void *base;
	} __attribute__((packed)) none = { 0, 0 };

	switch (how) {
	case 't': /* A triple fault. */
		asm volatile("lidt %0; ud2" : : "m"(none));
		break;
	case 's': /* Spins with its interrupts off. */
		for (;;)
			asm volatile("");
	case 'e': /* Ends the machine. */
		leave(7);
	case 'p': /* A kernel's panic on the console; after it the machine ends. */
		print("[    0.000000] a kernel with time stamps\n");
		print("[    1.000000] Kernel panic - not syncing: the second CPU's\n");
		print("[    1.000100] ---[ end Kernel panic - not syncing: the second CPU's ]---\n");
		leave(0);
	case 'r': /* Resets it. */
		out8(0x602, 1);
		break;
	}
	/* The others, and with another letter this one, are lost. */
	for (;;)
		asm volatile("cli; hlt");
}

/* What each CPU but the first does. */
static void cpu_main(void)
{
	install_interrupts();
	set_gate(WAKE_VECTOR, wake);
	set_gate(2, on_nmi);
	enable_apic();
	look();
	lock_add(&running, 1);
	spin_until(&stage, 1);
	if (alone_does)
		misbehave(number() == 2 ? alone_does : 0);
	count();
	send(0, IRQ_VECTOR + number());
	/* Asleep until the first CPU wakes it. */
	sleep_until(&woken[number()], 1);
	count();
	lock_add(&finished, 1);
	send(0, IRQ_VECTOR);
	/* Only an NMI comes through. */
	for (;;)
		asm volatile("cli; hlt");
}

static void start(uint64_t cpu)
{
	start_cpu(cpu);
	spin_until(&running, cpu);
}

/* A place where the machine may be saved, or go on elsewhere. */
static void mark(int number)
{
	out8(0xf8, number);
}

/* Has the others do what the command line asks for, and never comes back. */
static void misbehaving(char how)
{
	alone_does = how;
	lock_add(&stage, 1);
	/* A watchdog is for each CPU, whatever the others do: this one makes exits, and hears interrupts. */
	asm volatile("sti");
	for (;;) {
		if (how == 'd')
			asm volatile("cli; hlt");
		in8(NOBODY_PORT);
	}
}

int micro_main(const uint8_t *zero_page)
{
	const char *command_line = (const char *)(uint64_t)read32((uint64_t)zero_page + 0x228);

	install_interrupts();
	enable_apic();
	look();
	mark(1);
	cpu_starts_with(cpu_main);
	for (uint64_t cpu = 1; cpu < CPUS; cpu++)
		start(cpu);
	print_value("running besides", running);
	if (*command_line && *command_line != 'a')
		misbehaving(*command_line);
	mark(2);
	for (int cpu = 0; cpu < CPUS; cpu++) {
		print_value("APIC", seen[cpu].apic);
		print_value(" by leaf 1", seen[cpu].leaf1);
		print_value(" by leaf b", seen[cpu].leafb);
		print_value(" bootstrap", seen[cpu].bootstrap);
	}

	/* All at once. */
	lock_add(&stage, 1);
	count();
	for (int n = 1; n < CPUS; n++)
		wait_irq(n, 1);
	print_value("counted", counted);
	print_value("wide, up", wide.low);
	print_value("wide, down", -wide.high);

	mark(3);
	send(0, WAKE_VECTOR | ALL_OTHERS | 1u << 14);
	while (finished < CPUS - 1)
		open_interrupts();
	print_value("woken", woken[1] + woken[2] + woken[3]);
	print_value("counted", counted);
	print_value("interrupts from each", irq_counts[1] << 8 | irq_counts[2] << 4 | irq_counts[3]);

	mark(4);
	/* With its interrupts off a CPU takes an NMI, and goes on. */
	for (int turn = 1; turn <= 2; turn++) {
		send(2, 0x4400);
		spin_until(&nmis, (uint64_t)turn << 16);
		print_value("NMIs by CPU", nmis);
	}
	/* The same by a store that KVM's emulator does not know. */
	WRITE_CONTROL(4, READ_CONTROL(4) | 0x600);
	write32(ICR + 0x10, 2 << 24);
	asm volatile("movd %0, %%xmm0; movd %%xmm0, (%1)" : : "r"(0x4400), "r"(ICR) : "memory");
	spin_until(&nmis, 3ull << 16);
	print_value("NMIs by CPU", nmis);
	/* One that gets INIT begins anew: it counts twice at once, since the stage has come. */
	running = 2;
	start(3);
	spin_until(&finished, CPUS);
	print_value("one once more", counted);
	return 0;
}
