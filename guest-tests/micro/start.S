/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Where every micro-guest starts: in 64-bit mode, as the firmware leaves the CPU; RSI holds the zero page. */
	.section .head, "ax"
	.globl _start
_start:
	lea	stack_end(%rip), %rsp
	xor	%ebp, %ebp
	cld
	mov	%rsi, %rdi
	call	micro_start

	.bss
	.balign	4096
	.space	16384
stack_end:

	.section .note.GNU-stack, "", @progbits
