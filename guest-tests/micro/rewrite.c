/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Not a test: code that is rewritten again and again, measured by hand (docs/translator.md). The first number on the command line is how often the
 * function is called each time before it is rewritten; it is called five million times in all.
 */
#include "micro.h"

#define CALLS 5000000

/* On a page of its own, as those who make code while they run have it. */
asm(".balign 4096\n"
    "rewritten:\n"
    "	mov %edi, %eax\n"
    "rewritten_constant:\n"
    "	add $0x12345678, %eax\n"
    "	rol $3, %eax\n	xor %edi, %eax\n	ret\n"
    ".balign 4096\n");
uint32_t rewritten(uint32_t with);
extern uint8_t rewritten_constant[];

int micro_main(const uint8_t *zero_page)
{
	uint64_t calls = first_number(zero_page, 1);
	uint32_t sum = 0, expected = 0, constant = 1;

	for (uint64_t done = 0; done < CALLS; done += calls) {
		constant = constant * 1664525 + 1013904223;
		*(volatile uint32_t *)(rewritten_constant + 1) = constant;
		for (uint64_t n = 0; n < calls; n++) {
			uint32_t value = (uint32_t)n + constant;

			sum += rewritten((uint32_t)n);
			expected += (value << 3 | value >> 29) ^ (uint32_t)n;
		}
	}
	require(sum == expected, "what was written was run");
	return 0;
}
