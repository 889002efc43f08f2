/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The processor that the guest sees is the same on every back end and every host. */
#include "micro.h"

static void leaf(uint32_t leaf, uint32_t subleaf)
{
	uint32_t a, b, c, d;

	asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(leaf), "c"(subleaf));
	print_hex(leaf, 8);
	print(".");
	print_hex(subleaf, 1);
	print(": ");
	print_hex(a, 8);
	print(" ");
	print_hex(b, 8);
	print(" ");
	print_hex(c, 8);
	print(" ");
	print_hex(d, 8);
	print("\n");
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	leaf(0, 0);
	leaf(1, 0);
	leaf(7, 0);
	leaf(0xb, 0);
	leaf(0xb, 1);
	leaf(0xd, 0);
	leaf(0x15, 0);
	leaf(0x16, 0);
	leaf(0x40000000, 0);
	for (uint32_t n = 0x80000000; n <= 0x80000008; n++)
		leaf(n, 0);
	return 0;
}
