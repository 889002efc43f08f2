/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The time-stamp counter is set by its MSR; RDTSCP gives the auxiliary value; CR4.TSD keeps both from CPL 3. */
#include "micro.h"

#define IA32_TSC 0x10
#define IA32_TSC_AUX 0xc0000103
#define CR4_TSD (1ull << 2)

uint64_t user_rdtsc(void), user_rdtscp(void);
asm("user_rdtsc:	rdtsc; ret\n"
    "user_rdtscp:	rdtscp; mov %ecx, %eax; ret\n");

int micro_main(const uint8_t *zero_page)
{
	uint64_t cycles;

	(void)zero_page;
	install_interrupts();
	install_user();
	write_msr(IA32_TSC, 1ull << 50);
	cycles = tsc();
	print_value("it can be set", cycles >= 1ull << 50 && cycles < (1ull << 50) + (1ull << 32));
	cycles = read_msr(IA32_TSC);
	print_value("the MSR has it", cycles >= 1ull << 50 && cycles < (1ull << 50) + (1ull << 32));
	ATTEMPT("mov $0x1234, %%eax\n\txor %%edx, %%edx\n\twrmsr", IA32_TSC_AUX);
	print_trap("auxiliary MSR", 0);
	print_value("RDTSCP", run_user(user_rdtscp, 0));
	WRITE_CONTROL(4, READ_CONTROL(4) | CR4_TSD);
	run_user(user_rdtsc, 0);
	print_trap("RDTSC at CPL 3, disabled", 0);
	run_user(user_rdtscp, 0);
	print_trap("RDTSCP at CPL 3, disabled", 0);
	return 0;
}
