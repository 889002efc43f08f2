/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Printing a leaf of CPUID. */
#ifndef MICRO_CPUID_H
#define MICRO_CPUID_H

#include "micro.h"

static inline void show_leaf(uint32_t leaf, uint32_t subleaf)
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

#endif
