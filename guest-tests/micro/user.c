/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Code at CPL 3: its segments, the stack that traps from it arrive on, and the way there and back. */
#include "micro.h"

static uint8_t trap_stack[8192] __attribute__((aligned(16)));
uint8_t user_stack[4096] __attribute__((aligned(16)));

static struct {
	uint32_t reserved0;
	uint64_t rsp0;
	uint8_t rest[92];
} __attribute__((packed, aligned(8))) task = { .rest = { [90] = 104 } };

_Static_assert(sizeof(task) == 104, "a 64-bit TSS has 104 bytes");

/* Null, null, the firmware's code and data, a TSS of two entries, then data and code for CPL 3 in SYSRET's order. */
static uint64_t descriptors[8] __attribute__((aligned(16))) = {
	0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0, 0x00cff3000000ffff, 0x00affb000000ffff,
};

/* The stack of the run_user that is under way. */
uint64_t kernel_stack;

/*
 * run_user(function, argument): calls the function at CPL 3 with interrupts off. It comes back when it returns (to
 * an instruction that traps) or traps; either way registers that a callee must keep have their old values.
 */
asm(".globl run_user, user_return, user_exit\n"
    "run_user:\n"
    "	push %rbx\n	push %rbp\n	push %r12\n	push %r13\n	push %r14\n	push %r15\n	pushfq\n"
    "	mov %rsp, kernel_stack(%rip)\n"
    "	lea user_stack+4096-8(%rip), %rax\n"
    "	lea user_return(%rip), %rcx\n"
    "	mov %rcx, (%rax)\n"
    "	pushq $0x33\n	push %rax\n	pushq $2\n	pushq $0x3b\n	push %rdi\n"
    "	mov %rsi, %rdi\n"
    "	iretq\n"
    "user_return:\n"
    "	ud2\n"
    "user_exit:\n"
    "	popfq\n	pop %r15\n	pop %r14\n	pop %r13\n	pop %r12\n	pop %rbp\n	pop %rbx\n"
    "	ret\n");

extern uint8_t user_exit[];

void leave_user(struct frame *frame)
{
	*frame = (struct frame){ (uint64_t)user_exit, CODE_SELECTOR, 2, kernel_stack, DATA_SELECTOR };
}

void install_user(void)
{
	struct {
		uint16_t limit;
		void *base;
	} __attribute__((packed)) table = { sizeof(descriptors) - 1, descriptors };
	uint64_t base = (uint64_t)&task;
	volatile uint64_t *level = (volatile uint64_t *)READ_CONTROL(3);

	task.rsp0 = (uint64_t)(trap_stack + sizeof(trap_stack));
	descriptors[4] = (sizeof(task) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
	descriptors[5] = base >> 32;
	asm volatile("lgdt %0\n\tltr %w1" : : "m"(table), "r"(0x20) : "memory");
	/* The 2 MiB page that holds the micro-guest is CPL 3's too: entries 0, 0 and 1 of the firmware's tables. */
	level[0] |= PTE_USER;
	level = (volatile uint64_t *)(level[0] & ~0xfffull);
	level[0] |= PTE_USER;
	level = (volatile uint64_t *)(level[0] & ~0xfffull);
	level[1] |= PTE_USER;
	WRITE_CONTROL(3, READ_CONTROL(3));
}
