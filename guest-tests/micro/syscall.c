/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* From CPL 3 and back by SYSCALL and SYSRET: selectors, registers and flags; SWAPGS. */
#include "micro.h"

#define STAR 0xc0000081
#define LSTAR 0xc0000082
#define FMASK 0xc0000084
#define GS_BASE 0xc0000101
#define KERNEL_GS_BASE 0xc0000102

struct entry {
	uint64_t rip, flags, cs, ss, user_flags, user_gs, kernel_gs, calls;
};
volatile struct entry entry;
uint64_t user_rsp;

uint64_t user_call(uint64_t argument);
extern uint8_t user_after[];
void system_call(void);
/* CPL 3 sets the carry and direction flags, calls, and gives back what it got plus its code selector. */
asm("user_call:\n"
    "	std\n	stc\n	mov $0x100, %eax\n"
    "	syscall\n"
    "user_after:\n"
    "	cld\n	mov %cs, %ecx\n	add %rcx, %rax\n	ret\n"
    "system_call:\n"
    "	swapgs\n"
    "	mov %rsp, user_rsp(%rip)\n"
    "	lea kernel_stack(%rip), %rsp\n	mov (%rsp), %rsp\n"
    "	mov %rcx, entry+0(%rip)\n"
    "	pushfq\n	popq entry+8(%rip)\n"
    "	mov %cs, %edx\n	mov %rdx, entry+16(%rip)\n"
    "	mov %ss, %edx\n	mov %rdx, entry+24(%rip)\n"
    "	mov %r11, entry+32(%rip)\n"
    "	incq entry+56(%rip)\n"
    "	add $0x1000, %rax\n"
    "	mov user_rsp(%rip), %rsp\n"
    "	swapgs\n"
    "	sysretq\n");

static void swap(void)
{
	static uint64_t places[2] = { 0x11, 0x22 };

	write_msr(GS_BASE, (uint64_t)&places[0]);
	write_msr(KERNEL_GS_BASE, (uint64_t)&places[1]);
	print_value("GS", ATTEMPT("movq %%gs:0, %%rax", 0));
	print_value("after SWAPGS", ATTEMPT("swapgs\n\tmovq %%gs:0, %%rax", 0));
	print_value("swapped back", ATTEMPT("swapgs\n\tmovq %%gs:0, %%rax", 0));
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	install_user();
	write_msr(EFER, read_msr(EFER) | 1);
	write_msr(STAR, (uint64_t)USER_BASE_SELECTOR << 48 | (uint64_t)CODE_SELECTOR << 32);
	write_msr(LSTAR, (uint64_t)system_call);
	/* Clears direction and interrupt flags. */
	write_msr(FMASK, 0x600);
	print_value("result", run_user(user_call, 0));
	print_value("calls", entry.calls);
	print_value("return address", entry.rip == (uint64_t)user_after);
	print_value("direction flag in the kernel", entry.flags >> 10 & 1);
	print_value("carry flag in the kernel", entry.flags & 1);
	print_value("CS", entry.cs);
	print_value("SS", entry.ss);
	print_value("flags of CPL 3", entry.user_flags & 0x401);
	swap();
	return 0;
}
