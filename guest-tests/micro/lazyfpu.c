/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What CR0 and CR4 keep CPL 3 from: x87 and SSE while TS or EM is set, SSE without OSFXSR; CLTS gives it back. */
#include "fpu.h"

static double data[2] = { 0, 0 };

USER(x87, "fldl (%rdi); fstpl 8(%rdi)");
USER(sse, "movupd (%rdi), %xmm0; movupd %xmm0, (%rdi)");
USER(wait, "fwait");

static void attempt(const char *name, uint64_t (*function)(volatile void *))
{
	trap.vector = NO_TRAP;
	run_user(function, (uint64_t)data);
	print_trap(name, 0);
}

int micro_main(const uint8_t *zero_page)
{
	uint64_t cr0 = (READ_CONTROL(0) | CR0_MP | CR0_NE) & ~(CR0_EM | CR0_TS);

	(void)zero_page;
	install_interrupts();
	install_user();
	WRITE_CONTROL(0, cr0);
	attempt("x87", x87);
	attempt("SSE without OSFXSR", sse);
	WRITE_CONTROL(4, READ_CONTROL(4) | CR4_OSFXSR);
	attempt("SSE", sse);
	WRITE_CONTROL(0, cr0 | CR0_TS);
	attempt("x87 while TS is set", x87);
	attempt("SSE while TS is set", sse);
	attempt("FWAIT while TS is set", wait);
	asm volatile("clts");
	attempt("x87 after CLTS", x87);
	WRITE_CONTROL(0, cr0 | CR0_EM);
	attempt("x87 while EM is set", x87);
	attempt("SSE while EM is set", sse);
	return 0;
}
