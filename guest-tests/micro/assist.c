/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Instructions that a KVM without hardware under it cannot emulate, and neighbours that it can: the monitor
 * must help out so that the guest sees no difference.
 */
#include "micro.h"

static volatile uint64_t pair[2] __attribute__((aligned(16)));
static uint8_t image[512] __attribute__((aligned(16)));

static uint64_t compare_exchange(uint64_t low, uint64_t high)
{
	uint8_t same;

	asm volatile("lock cmpxchg16b %1\n\tsete %0"
		     : "=q"(same), "+m"(pair), "+a"(low), "+d"(high)
		     : "b"(0x1111ull), "c"(0x2222ull)
		     : "memory", "cc");
	print_value("compared", same);
	print_value("  memory", pair[0]);
	print_value("  and", pair[1]);
	print_value("  RAX", low);
	print_value("  RDX", high);
	return same;
}

static void atomics(void)
{
	uint64_t value;

	pair[0] = 5;
	pair[1] = 6;
	compare_exchange(5, 7);
	compare_exchange(5, 6);
	value = 3;
	asm volatile("lock xaddq %0, %1" : "+r"(value), "+m"(pair[0]) : : "memory", "cc");
	print_value("XADD gives", value);
	print_value("  and leaves", pair[0]);
	asm volatile("lock btsq $7, %0" : "+m"(pair[1]) : : "memory", "cc");
	print_value("BTS leaves", pair[1]);
	print_value("POPCNT", ATTEMPT("popcnt %%rcx, %%rax", 0xff00ff));
	print_value("BSWAP", ATTEMPT("mov %%rcx, %%rax\n\tbswap %%rax", 0x1122334455667788));
}

static void traps(void)
{
	ATTEMPT("int3", 0);
	print_trap("INT3", 0);
	/* A trap: the address is that of the instruction after it. */
	print_value("  of one byte, before", *(volatile uint8_t *)(trap.rip - 1));
	ATTEMPT("int $3", 0);
	print_trap("INT 3", 0);
	ATTEMPT("int $0x90", 0);
	print_trap("INT 90, absent gate", 0);
	ATTEMPT("pushfq\n\torl $0x100, (%%rsp)\n\tpopfq\n\tnop", 0);
	print_trap("single step", 0);
	ATTEMPT("mov %%rcx, %%dr7", 0x400);
	print_trap("debug register", 0);
}

/* The state of x87 and SSE, saved, changed, brought back. */
static void state(void)
{
	uint64_t value = 0;

	WRITE_CONTROL(0, (READ_CONTROL(0) | 1 << 1) & ~(1ull << 2 | 1ull << 3));
	WRITE_CONTROL(4, READ_CONTROL(4) | 3 << 9);
	asm volatile("fninit\n\tmovq %0, %%xmm5" : : "r"(0x123456789abcull));
	asm volatile("fxsave64 %0" : "=m"(image));
	print_value("control word", *(volatile uint16_t *)image);
	print_value("MXCSR", *(volatile uint32_t *)(image + 24));
	print_value("XMM5", *(volatile uint64_t *)(image + 160 + 5 * 16));
	*(volatile uint64_t *)(image + 160 + 5 * 16) = 0xfedcba;
	asm volatile("fxrstor64 %0" : : "m"(image));
	asm volatile("movq %%xmm5, %0" : "=r"(value));
	print_value("XMM5 restored", value);
	*(volatile uint32_t *)(image + 24) = 0xffff0000;
	ATTEMPT("fxrstor64 (%%rcx)", image);
	print_trap("reserved bits of MXCSR", 0);
}

static void others(void)
{
	print_value("nine bytes of NOP", ATTEMPT("mov %%rcx, %%rax\n\tnopw 512(%%rax,%%rax,1)", 9));
	ATTEMPT("lfence\n\tmfence\n\tsfence\n\tpause\n\tclflush (%%rcx)\n\tprefetcht0 (%%rcx)", image);
	print_trap("fences and hints", 0);
	ATTEMPT("wbinvd", 0);
	print_trap("WBINVD", 0);
	print_value("shifted", ATTEMPT("mov %%rcx, %%rax\n\tshrd $4, %%rcx, %%rax\n\tshld $8, %%rcx, %%rax", 0xabcd));
	print_value("scanned", ATTEMPT("bsf %%rcx, %%rax\n\tbsr %%rcx, %%rdx\n\tadd %%rdx, %%rax", 0x1010));
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	atomics();
	traps();
	state();
	others();
	return 0;
}
