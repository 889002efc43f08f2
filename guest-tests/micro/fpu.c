/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* x87 and SSE at CPL 3: exact results, rounding, and the exceptions of both. */
#include "fpu.h"

static volatile struct {
	double a, b, result[2];
	uint32_t integers[4], mxcsr;
	uint16_t control, status;
} data;

/* The data's offsets: a 0, b 8, result 16, integers 32, MXCSR 48, control word 52, status word 54. */
USER(x87_sum, "fninit; fldl (%rdi); faddl 8(%rdi); fstpl 16(%rdi)");
USER(x87_root, "fninit; fldl (%rdi); fsqrt; fstpl 16(%rdi)");
USER(x87_third, "fninit; fld1; fdivl 8(%rdi); fstpl 16(%rdi)");
USER(x87_status, "fninit; fldz; fldpi; fnstsw 54(%rdi); fninit");
USER(x87_divide, "fninit; fldcw 52(%rdi); fld1; fldz; fdivrp; fwait");
USER(x87_clear, "fnclex; fninit");
USER(sse_sum, "movupd (%rdi), %xmm0; movapd %xmm0, %xmm1; shufpd $1, %xmm1, %xmm1; addpd %xmm1, %xmm0; movupd %xmm0, 16(%rdi)");
USER(sse_third, "ldmxcsr 48(%rdi); mov $1, %eax; cvtsi2sd %eax, %xmm0; divsd 8(%rdi), %xmm0; movsd %xmm0, 16(%rdi)");
USER(sse_integers, "movdqu 32(%rdi), %xmm2; paddd %xmm2, %xmm2; pshufd $0x1b, %xmm2, %xmm3; movdqu %xmm3, 32(%rdi)");
USER(sse_divide, "ldmxcsr 48(%rdi); pxor %xmm0, %xmm0; movsd (%rdi), %xmm1; divsd %xmm0, %xmm1; stmxcsr 48(%rdi)");

static void attempt(const char *name, uint64_t (*function)(volatile void *))
{
	trap.vector = NO_TRAP;
	run_user(function, (uint64_t)&data);
	print_trap(name, 0);
}

static void show(const char *name)
{
	print_value(name, *(volatile uint64_t *)&data.result[0]);
}

/* Bits of 1/3 downward end in 5, upward in 6. */
static void third(const char *name, uint32_t rounding)
{
	data.mxcsr = 0x1f80 | rounding << 13;
	run_user(sse_third, (uint64_t)&data);
	show(name);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	install_user();
	WRITE_CONTROL(0, READ_CONTROL(0) | CR0_MP | CR0_NE);
	WRITE_CONTROL(4, READ_CONTROL(4) | CR4_OSFXSR | CR4_OSXMMEXCPT);
	*(volatile uint64_t *)&data.a = 0x4002000000000000; /* 2.25 */
	*(volatile uint64_t *)&data.b = 0x4008000000000000; /* 3 */
	attempt("sum", x87_sum);
	show("2.25 + 3");
	run_user(x87_root, (uint64_t)&data);
	show("root of 2.25");
	run_user(x87_third, (uint64_t)&data);
	show("1 / 3");
	run_user(x87_status, (uint64_t)&data);
	print_value("top of the stack", data.status >> 11 & 7);
	data.control = 0x37f & ~4;
	attempt("x87 division by zero, unmasked", x87_divide);
	attempt("cleared", x87_clear);
	run_user(sse_sum, (uint64_t)&data);
	show("2.25 + 3 by SSE");
	print_value("3 + 2.25", *(volatile uint64_t *)&data.result[1]);
	third("1 / 3 to nearest", 0);
	third("1 / 3 down", 1);
	third("1 / 3 up", 2);
	for (int n = 0; n < 4; n++)
		data.integers[n] = 0x10000000 * n + n;
	run_user(sse_integers, (uint64_t)&data);
	for (int n = 0; n < 4; n++)
		print_value("doubled and turned round", data.integers[n]);
	data.mxcsr = 0x1f80;
	attempt("SSE division by zero, masked", sse_divide);
	print_value("flags", data.mxcsr & 0x3f);
	data.mxcsr = 0x1f80 & ~0x200;
	attempt("SSE division by zero, unmasked", sse_divide);
	return 0;
}
