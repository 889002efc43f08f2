/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The processor that the guest sees is the same on every back end and every host; its features are features.c. */
#include "cpuid.h"

/* The clock's frequency is the host's under KVM, but it is always given, and the two leaves agree. */
static void show_clock(void)
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
	show_leaf(0, 0);
	show_leaf(0xb, 0);
	show_leaf(0xb, 1);
	for (uint32_t n = 0x80000000; n <= 0x80000008; n++)
		show_leaf(n, 0);
	show_clock();
	return 0;
}
