/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Starts the other CPUs: where they begin in real mode, their stacks, INIT and SIPI. */
#include "smp.h"

/* Where a CPU starts: a page below 1 MiB that the firmware leaves alone. */
#define TRAMPOLINE 0x8000ul
#define INIT 0x4500
#define SIPI 0x4600

/* From real mode to 64-bit mode: the page itself is the code segment, and what it needs is behind the code. */
asm(".section .rodata\n"
    ".globl trampoline, trampoline_end, trampoline_cr3, trampoline_stack, trampoline_main\n"
    ".balign 16\n"
    "trampoline:\n"
    ".code16\n"
    "	cli\n"
    "	mov	%cs, %ax\n"
    "	mov	%ax, %ds\n"
    "	lgdtl	trampoline_gdt_pointer - trampoline\n"
    "	mov	$0xa0, %eax\n" /* CR4: PAE, PGE */
    "	mov	%eax, %cr4\n"
    "	mov	trampoline_cr3 - trampoline, %eax\n"
    "	mov	%eax, %cr3\n"
    "	mov	$0xc0000080, %ecx\n" /* EFER: LME, NXE */
    "	mov	$0x900, %eax\n"
    "	xor	%edx, %edx\n"
    "	wrmsr\n"
    "	mov	$0x80000033, %eax\n" /* CR0: PG, NE, ET, MP, PE */
    "	mov	%eax, %cr0\n"
    "	ljmpl	$0x10, $0x8000 + (1f - trampoline)\n"
    ".code64\n"
    "1:	mov	$0x18, %eax\n"
    "	mov	%eax, %ds\n"
    "	mov	%eax, %es\n"
    "	mov	%eax, %ss\n"
    "	mov	0x8000 + (trampoline_stack - trampoline), %rsp\n"
    "	xor	%ebp, %ebp\n"
    "	cld\n"
    "	call	*0x8000 + (trampoline_main - trampoline)\n"
    ".balign 8\n"
    "trampoline_gdt:\n"
    "	.quad	0, 0\n"
    "	.quad	0x00af9b000000ffff\n"
    "	.quad	0x00cf93000000ffff\n"
    "trampoline_gdt_pointer:\n"
    "	.word	31\n"
    "	.long	0x8000 + (trampoline_gdt - trampoline)\n"
    ".balign 8\n"
    "trampoline_cr3: .quad 0\n"
    "trampoline_stack: .quad 0\n"
    "trampoline_main: .quad 0\n"
    "trampoline_end:\n"
    ".previous\n");
extern const uint8_t trampoline[], trampoline_end[], trampoline_cr3[], trampoline_stack[], trampoline_main[];

static uint8_t stacks[CPUS][4 * PAGE] __attribute__((aligned(16)));

static void set(const uint8_t *word, uint64_t value)
{
	write64(TRAMPOLINE + (word - trampoline), value);
}

void send(uint64_t to, uint32_t what)
{
	write32(ICR + 0x10, to << 24);
	write32(ICR, what);
}

void cpu_starts_with(void (*function)(void))
{
	for (const uint8_t *byte = trampoline; byte != trampoline_end; byte++)
		write8(TRAMPOLINE + (byte - trampoline), *byte);
	set(trampoline_cr3, READ_CONTROL(3));
	set(trampoline_main, (uint64_t)function);
}

void start_cpu(uint64_t cpu)
{
	set(trampoline_stack, (uint64_t)(stacks[cpu] + sizeof(stacks[cpu])));
	send(cpu, INIT);
	send(cpu, SIPI | TRAMPOLINE >> 12);
	/* A second one means nothing to a CPU that has started. */
	send(cpu, SIPI | TRAMPOLINE >> 12);
}
