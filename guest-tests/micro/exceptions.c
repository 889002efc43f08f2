/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Exceptions at CPL 0 with their vectors and error codes, a double fault and an NMI; page faults are pagefaults.c. */
#include "micro.h"

/* The firmware's six descriptors, and data that is not present as the seventh. */
static uint64_t descriptors[7] __attribute__((aligned(16)));
#define ABSENT_SELECTOR 0x30

static void copy_descriptors(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table;

	asm volatile("sgdt %0" : "=m"(table));
	for (int n = 0; n < 6; n++)
		descriptors[n] = ((const volatile uint64_t *)table.base)[n];
	descriptors[6] = 0x00cf13000000ffff;
	table.limit = sizeof(descriptors) - 1;
	table.base = (uint64_t)descriptors;
	asm volatile("lgdt %0" : : "m"(table) : "memory");
}

static void faults(void)
{
	ATTEMPT("ud2", 0);
	print_trap("ud2", 0);
	ATTEMPT("xor %%eax, %%eax\n\txor %%edx, %%edx\n\tdivq %%rcx", 0);
	print_trap("division by zero", 0);
	ATTEMPT("movq (%%rcx), %%rax", 1ull << 62);
	print_trap("non-canonical address", 0);
	ATTEMPT("xchg %%rcx, %%rbp\n\tmovq (%%rbp), %%rax", 1ull << 62);
	print_trap("non-canonical stack address", 0);
	ATTEMPT("rdmsr", 0x12345678);
	print_trap("unknown MSR", 0);
	ATTEMPT("mov %%rcx, %%cr4", 1ull << 40);
	print_trap("reserved bit of CR4", 0);
}

static void selectors(void)
{
	ATTEMPT("mov %%cx, %%ds", 0xfff8);
	print_trap("selector beyond the GDT", 0);
	ATTEMPT("mov %%cx, %%es", CODE_SELECTOR + 3);
	print_trap("readable code as data", 0);
	asm volatile("mov %0, %%es" : : "r"(DATA_SELECTOR));
	ATTEMPT("mov %%cx, %%fs", ABSENT_SELECTOR);
	print_trap("absent segment", 0);
	ATTEMPT("mov %%cx, %%ss", ABSENT_SELECTOR);
	print_trap("absent stack segment", 0);
	ATTEMPT("mov %%cx, %%ss", 0);
	print_trap("null stack segment", 0);
	asm volatile("mov %0, %%ss" : : "r"(DATA_SELECTOR));
}

/* A division error whose gate is absent: the second fault while the first is delivered makes a double fault. */
static void double_fault(void)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table;
	volatile uint32_t *gate;

	asm volatile("sidt %0" : "=m"(table));
	gate = (volatile uint32_t *)table.base;
	gate[1] &= ~(1u << 15);
	ATTEMPT("xor %%eax, %%eax\n\txor %%edx, %%edx\n\tdivq %%rcx", 0);
	print_trap("absent gate of a division by zero", 0);
	gate[1] |= 1u << 15;
	ATTEMPT("xor %%eax, %%eax\n\txor %%edx, %%edx\n\tdivq %%rcx", 0);
	print_trap("the gate is back", 0);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	copy_descriptors();
	install_interrupts();
	faults();
	selectors();
	double_fault();
	return 0;
}
