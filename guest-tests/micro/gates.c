/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Software interrupts from CPL 3 pass only through gates that let CPL 3 in. */
#include "micro.h"

uint64_t user_int3(void), user_int(void), user_absent(void);
asm("user_int3:	int3; ret\n"
    "user_int:	int $14; ret\n"
    "user_absent:	int $0x90; ret\n");

static void attempt(const char *name, void *function)
{
	trap.vector = NO_TRAP;
	run_user(function, 0);
	print_trap(name, 0);
}

int micro_main(const uint8_t *zero_page)
{
	struct {
		uint16_t limit;
		uint64_t base;
	} __attribute__((packed)) table;

	(void)zero_page;
	install_interrupts();
	install_user();
	attempt("INT3, not allowed", user_int3);
	attempt("INT 14, not allowed", user_int);
	attempt("INT 90, absent", user_absent);
	asm volatile("sidt %0" : "=m"(table));
	((volatile uint32_t *)table.base)[4 * 3 + 1] |= 3 << 13;
	attempt("INT3, allowed", user_int3);
	print_value("  past it", trap.rip - (uint64_t)user_int3);
	return 0;
}
