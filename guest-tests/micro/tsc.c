/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The time-stamp counter only goes forward, by RDTSC at CPL 0 and 3 and by its MSR; tscset.c sets it. */
#include "micro.h"

#define IA32_TSC 0x10

uint64_t user_cycles(void);
asm("user_cycles:	rdtsc; shl $32, %rdx; or %rdx, %rax; ret\n");

int micro_main(const uint8_t *zero_page)
{
	uint64_t last = tsc(), next;

	(void)zero_page;
	install_interrupts();
	install_user();
	for (int n = 0; n < 1000; n++) {
		next = tsc();
		require(next > last, "each reading is later than the one before");
		last = next;
	}
	last = read_msr(IA32_TSC);
	print_value("the MSR is the same counter", tsc() > last && tsc() < last + (1ull << 32));
	trap.vector = NO_TRAP;
	run_user(user_cycles, 0);
	print_trap("RDTSC at CPL 3", 0);
	last = tsc();
	require(run_user(user_cycles, 0) > last, "CPL 3 reads the same counter");
	return 0;
}
