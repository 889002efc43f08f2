/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Exceptions with their error codes, page faults with every bit that CPL 0 can make, accessed and dirty bits. */
#include "micro.h"

#define PRESENT 1ull
#define WRITABLE 2ull
#define ACCESSED 0x20ull
#define DIRTY 0x40ull
#define NO_EXECUTE (1ull << 63)
/* In the second entry of the top table, which the firmware leaves empty. */
#define WINDOW (1ull << 39)

static uint64_t pointers[512] __attribute__((aligned(PAGE)));
static uint64_t directory[512] __attribute__((aligned(PAGE)));
static uint64_t table[512] __attribute__((aligned(PAGE)));
static uint8_t page[PAGE] __attribute__((aligned(PAGE)));

static void set_page(uint64_t bits)
{
	table[0] = (uint64_t)page | bits;
	asm volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
}

static void print_bits(const char *name)
{
	volatile uint64_t *entry = table;

	print(name);
	print(*entry & ACCESSED ? ": accessed" : ": not accessed");
	print(*entry & DIRTY ? ", dirty\n" : ", clean\n");
}

static void faults(void)
{
	ATTEMPT("ud2", 0);
	print_trap("ud2", 0);
	ATTEMPT("xor %%eax, %%eax\n\txor %%edx, %%edx\n\tdivq %%rcx", 0);
	print_trap("division by zero", 0);
	ATTEMPT("movq (%%rcx), %%rax", 1ull << 62);
	print_trap("non-canonical address", 0);
	ATTEMPT("mov %%cx, %%ds", 0xfff8);
	print_trap("selector beyond the GDT", 0);
	ATTEMPT("rdmsr", 0x12345678);
	print_trap("unknown MSR", 0);
}

static void page_faults(void)
{
	set_page(0);
	ATTEMPT("movq 8(%%rcx), %%rax", WINDOW);
	print_trap("read, not present", 1);
	ATTEMPT("movq %%rax, 16(%%rcx)", WINDOW);
	print_trap("write, not present", 1);
	ATTEMPT("jmp *%%rcx", WINDOW);
	print_trap("fetch, not present", 1);
	set_page(PRESENT);
	ATTEMPT("movq %%rax, 24(%%rcx)", WINDOW);
	print_trap("write, read-only", 1);
	WRITE_CONTROL(0, READ_CONTROL(0) & ~(1ull << 16));
	ATTEMPT("movq %%rax, 32(%%rcx)", WINDOW);
	print_trap("write, read-only without WP", 1);
	WRITE_CONTROL(0, READ_CONTROL(0) | 1ull << 16);
	set_page(PRESENT | WRITABLE | NO_EXECUTE);
	ATTEMPT("jmp *%%rcx", WINDOW);
	print_trap("fetch, no-execute", 1);
	/* The page-size bit of a top-level entry is reserved. */
	*(volatile uint64_t *)(READ_CONTROL(3) + 8) |= 0x80;
	WRITE_CONTROL(3, READ_CONTROL(3));
	ATTEMPT("movq 40(%%rcx), %%rax", WINDOW);
	print_trap("read, reserved bit", 1);
	*(volatile uint64_t *)(READ_CONTROL(3) + 8) &= ~0x80ull;
	WRITE_CONTROL(3, READ_CONTROL(3));
}

static void accessed_and_dirty(void)
{
	set_page(PRESENT | WRITABLE);
	print_bits("untouched");
	page[0] = 0x5a;
	print_value("read through the window", ATTEMPT("movzbl (%%rcx), %%eax", WINDOW));
	print_bits("read");
	ATTEMPT("movb $0x7e, (%%rcx)", WINDOW);
	print_bits("written");
	print_value("the page itself", *(volatile uint8_t *)page);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	write_msr(0xc0000080, read_msr(0xc0000080) | 1 << 11);
	WRITE_CONTROL(0, READ_CONTROL(0) | 1ull << 16);
	pointers[0] = (uint64_t)directory | PRESENT | WRITABLE;
	directory[0] = (uint64_t)table | PRESENT | WRITABLE;
	*(volatile uint64_t *)(READ_CONTROL(3) + 8) = (uint64_t)pointers | PRESENT | WRITABLE;
	WRITE_CONTROL(3, READ_CONTROL(3));
	faults();
	page_faults();
	accessed_and_dirty();
	return 0;
}
