/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The time-stamp counter is set by its MSR, far ahead and back, and the timer's deadline is compared with what it reads
 * then; RDTSCP gives the auxiliary value; CR4.TSD keeps both from CPL 3.
 */
#include "micro.h"

#define IA32_TSC 0x10
#define IA32_TSC_AUX 0xc0000103
#define CR4_TSD (1ull << 2)
#define TSC_DEADLINE 0x6e0
#define LVT_TIMER 0xfee00320ul
/* Far more than an interrupt is ever late. */
#define LATE (1ull << 36)

uint64_t user_rdtsc(void), user_rdtscp(void);
asm("user_rdtsc:	rdtsc; ret\n"
    "user_rdtscp:	rdtscp; mov %ecx, %eax; ret\n");

/* Halts until the `count`th interrupt of the timer, armed for a little later than now. */
static void wait_a_little(int count)
{
	uint64_t deadline = tsc() + 100000, late;

	write_msr(TSC_DEADLINE, deadline);
	wait_irq(3, count);
	late = tsc() - deadline;
	print_value("the timer waits for its deadline, and no longer", late < LATE);
}

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
	enable_apic();
	write32(LVT_TIMER, 2 << 17 | (IRQ_VECTOR + 3));
	wait_a_little(1);
	write_msr(IA32_TSC, 1000);
	cycles = tsc();
	print_value("it can be set back", cycles >= 1000 && cycles < 1ull << 32);
	wait_a_little(2);
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
