/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What CPL 3 may not do ends in an exception at the instruction itself. */
#include "micro.h"

uint64_t user_hlt(void), user_cli(void), user_in(void), user_cr(void), user_msr(void), user_lgdt(void),
	user_ud2(void), user_div(void), user_far(void);
asm("user_hlt: hlt; ret\n"
    "user_cli: cli; ret\n"
    "user_in: mov $0x3fd, %edx; in %dx, %al; ret\n"
    "user_cr: mov %cr0, %rax; ret\n"
    "user_msr: mov $0x10, %ecx; rdmsr; ret\n"
    "user_lgdt: lgdt (%rdi); ret\n"
    "user_ud2: ud2\n"
    "user_div: xor %ecx, %ecx; mov $1, %eax; cltd; idivl %ecx; ret\n"
    "user_far: movabs $0x4000000000000000, %rcx; mov (%rcx), %al; ret\n");

static void forbidden(void *function, const char *name)
{
	trap.vector = NO_TRAP;
	run_user(function, 0);
	print_trap(name, 0);
	require(trap.rip >= (uint64_t)function && trap.rip < (uint64_t)function + 16, "the trap's address");
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	install_user();
	forbidden(user_hlt, "HLT");
	forbidden(user_cli, "CLI");
	forbidden(user_in, "IN");
	forbidden(user_cr, "MOV from CR0");
	forbidden(user_msr, "RDMSR");
	forbidden(user_lgdt, "LGDT");
	forbidden(user_ud2, "UD2");
	forbidden(user_div, "division by zero");
	forbidden(user_far, "non-canonical address");
	return 0;
}
