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

/* The clock's frequency is the host's under KVM, but it is always given, and the two leaves agree. */
static void clock(void)
{
	uint32_t a, b, c, d, mhz;

	asm volatile("cpuid" : "=a"(a), "=b"(b), "=c"(c), "=d"(d) : "a"(0x15), "c"(0));
	print_value("crystal is known", c != 0);
	print_value("ratio numerator", b);
	print_value("ratio denominator", a);
	asm volatile("cpuid" : "=a"(mhz), "=b"(b), "=c"(a), "=d"(d) : "a"(0x16), "c"(0));
	print_value("megahertz agree", mhz == c / 1000000);
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
	for (uint32_t n = 0x80000000; n <= 0x80000008; n++)
		leaf(n, 0);
	clock();
	return 0;
}
