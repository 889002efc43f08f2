/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a CPU, its APICs and its clock have in them outlives the mark port, where a machine may move from one back end to
 * the other and back. The first number on the command line is how many turns there are (4).
 */
#include "micro.h"

#define MARK_PORT 0xf8
#define TSC_DEADLINE 0x6e0
#define STAR 0xc0000081
#define LSTAR 0xc0000082
#define KERNEL_GS_BASE 0xc0000102
#define IOAPIC 0xfec00000ul
#define IRR (APIC + 0x220)

/* As the assembly leaves them, RAX, RBX, RCX, RDX, RSI, RDI, RBP, nothing, R8 to R15, flags. */
volatile uint64_t registers_after[17];

/* Every general register but RSP has a value of its own across the write; the flags too. Gives what has changed. */
static uint64_t registers_across(uint8_t mark)
{
	static uint64_t before[17];
	uint64_t *from = before, changed = 0;

	for (int n = 0; n < 17; n++)
		before[n] = 0x0123456789abcdef * (n + 3);
	/* Carry, parity, adjust, zero, sign and overflow; or carry, adjust and direction. */
	before[16] = (mark & 1 ? 0x8d5 : 0x411) | 2;
	before[0] = (before[0] & ~0xffull) | mark;
	before[3] = MARK_PORT;
	asm volatile("push %%rbp\n\tpush %%rbx\n\t"
		     "pushq 128(%0)\n\tpopfq\n\t"
		     "mov 16(%0), %%rcx\n\tmov 24(%0), %%rdx\n\tmov 8(%0), %%rbx\n\tmov 32(%0), %%rsi\n\t"
		     "mov 40(%0), %%rdi\n\tmov 48(%0), %%rbp\n\t"
		     "mov 64(%0), %%r8\n\tmov 72(%0), %%r9\n\tmov 80(%0), %%r10\n\tmov 88(%0), %%r11\n\t"
		     "mov 96(%0), %%r12\n\tmov 104(%0), %%r13\n\tmov 112(%0), %%r14\n\tmov 120(%0), %%r15\n\t"
		     "mov (%0), %%rax\n\t"
		     "outb %%al, %%dx\n\t"
		     "mov %%rax, registers_after(%%rip)\n\tpushfq\n\tpopq 128+registers_after(%%rip)\n\t"
		     "mov %%rbx, 8+registers_after(%%rip)\n\tmov %%rcx, 16+registers_after(%%rip)\n\t"
		     "mov %%rdx, 24+registers_after(%%rip)\n\tmov %%rsi, 32+registers_after(%%rip)\n\t"
		     "mov %%rdi, 40+registers_after(%%rip)\n\tmov %%rbp, 48+registers_after(%%rip)\n\t"
		     "mov %%r8, 64+registers_after(%%rip)\n\tmov %%r9, 72+registers_after(%%rip)\n\t"
		     "mov %%r10, 80+registers_after(%%rip)\n\tmov %%r11, 88+registers_after(%%rip)\n\t"
		     "mov %%r12, 96+registers_after(%%rip)\n\tmov %%r13, 104+registers_after(%%rip)\n\t"
		     "mov %%r14, 112+registers_after(%%rip)\n\tmov %%r15, 120+registers_after(%%rip)\n\t"
		     "cld\n\tpop %%rbx\n\tpop %%rbp"
		     : "+a"(from)
		     :
		     : "rcx", "rdx", "rsi", "rdi", "r8", "r9", "r10", "r11", "r12", "r13", "r14", "r15", "memory", "cc");
	for (int n = 0; n < 17; n++) {
		if (n != 7 && registers_after[n] != before[n])
			changed |= 1ull << n;
	}
	return changed;
}

static uint64_t unused_pin(void)
{
	write32(IOAPIC, 0x10 + 2 * 7);
	return read32(IOAPIC + 0x10);
}

/* One way: what was set before is there after, an interrupt that waited is taken, and the clock did not go back. */
static void go(uint8_t mark, uint64_t turn)
{
	uint64_t before = tsc(), taken = irq_counts[0], deadlines = irq_counts[3], changed;

	write_msr(LSTAR, 0x1000 + turn);
	write_msr(KERNEL_GS_BASE, 0x2000 + turn);
	WRITE_CONTROL(2, 0x3000 + turn);
	write32(APIC + 0x80, 0x10);
	write32(APIC + 0x300, 1 << 18 | IRQ_VECTOR);
	write_msr(TSC_DEADLINE, before + 20000000);
	changed = registers_across(mark);
	if (changed)
		print_value("changed registers", changed);
	require(!changed, "the general registers and flags are kept");
	require(tsc() > before, "the clock does not go back");
	require(read_msr(STAR) == 0x00180010ull << 32, "STAR is kept");
	require(read_msr(LSTAR) == 0x1000 + turn, "LSTAR is kept");
	require(read_msr(KERNEL_GS_BASE) == 0x2000 + turn, "the other GS base is kept");
	require(READ_CONTROL(2) == 0x3000 + turn, "CR2 is kept");
	require(read32(APIC + 0x80) == 0x10, "the task priority is kept");
	require(unused_pin() == 0x10000 + 0x55, "the I/O APIC's pin is kept");
	require(irq_counts[0] == taken && (read32(IRR) & 1), "an interrupt waits on");
	wait_irq(0, taken + 1);
	wait_irq(3, deadlines + 1);
	require(tsc() >= before + 20000000, "the deadline is kept");
}

int micro_main(const uint8_t *zero_page)
{
	uint64_t count = first_number(zero_page, 4);

	install_interrupts();
	enable_apic();
	write32(APIC + 0x320, 2 << 17 | (IRQ_VECTOR + 3));
	write32(IOAPIC, 0x10 + 2 * 7);
	write32(IOAPIC + 0x10, 0x10000 + 0x55);
	write_msr(STAR, 0x00180010ull << 32);
	for (uint64_t turn = 0; turn < count; turn++) {
		go(1, turn);
		go(2, turn);
	}
	print("all is kept at every mark\n");
	print_value("interrupts that waited", irq_counts[0] == 2 * count);
	print_value("deadlines", irq_counts[3] == 2 * count);
	return 0;
}
