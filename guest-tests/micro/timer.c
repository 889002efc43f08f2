/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The TSC-deadline timer wakes a halted CPU, not before its time; a deadline in the past fires at once. */
#include "micro.h"

#define TSC_DEADLINE 0x6e0
#define LVT_TIMER 0xfee00320ul

int micro_main(const uint8_t *zero_page)
{
	uint64_t deadline;

	(void)zero_page;
	install_interrupts();
	enable_apic();
	/* TSC-deadline mode. */
	write32(LVT_TIMER, 2 << 17 | (IRQ_VECTOR + 3));
	for (int turn = 1; turn <= 3; turn++) {
		deadline = tsc() + 1000000;
		write_msr(TSC_DEADLINE, deadline);
		wait_irq(3, turn);
		require(tsc() >= deadline, "no interrupt comes before its time");
		print_value("interrupts", irq_counts[3]);
		print_value("deadline is disarmed", read_msr(TSC_DEADLINE) == 0);
	}
	write_msr(TSC_DEADLINE, tsc() - 1);
	wait_irq(3, 4);
	print_value("interrupts", irq_counts[3]);
	/* Writing 0 disarms. */
	write_msr(TSC_DEADLINE, tsc() + 100000);
	write_msr(TSC_DEADLINE, 0);
	deadline = tsc() + 300000;
	write_msr(TSC_DEADLINE, deadline);
	wait_irq(3, 5);
	require(tsc() >= deadline, "a disarmed deadline stays silent");
	print_value("interrupts", irq_counts[3]);
	return 0;
}
