/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Port input and output of each width, and the string instructions in both directions. */
#include "micro.h"

#define SCRATCH 0x3ff
#define CLOCK_INDEX 0x70

static void widths(void)
{
	out8(SCRATCH, 0xa5);
	print_value("scratch register", in8(SCRATCH));
	/* A wide access is one access to each of the ports that follow: line status and modem status, say. */
	print_value("nobody, 8 bits", in8(NOBODY_PORT));
	print_value("nobody, 16 bits", in16(NOBODY_PORT));
	print_value("nobody, 32 bits", in32(NOBODY_PORT));
	out8(CLOCK_INDEX, 9);
	print_value("year", in8(CLOCK_INDEX + 1));
	/* Index (day of the month) and data in one write; the date clock keeps what it has. */
	out16(CLOCK_INDEX, 0x5507);
	print_value("day", in8(CLOCK_INDEX + 1));
	out8(SCRATCH, 0x3c);
	print_value("scratch at the end of 16 bits", in16(SCRATCH - 1) >> 8);
	print_value("scratch at the end of 32 bits", in32(SCRATCH - 3) >> 24);
	/* An immediate port number, too. */
	asm volatile("mov $0xffff, %%eax\n\tin $0x71, %%al\n\tmov %%eax, %0" : "=m"(*window_page) : : "rax", "memory");
	print_value("8 bits leave the rest of EAX", read32((uint64_t)window_page));
}

static void strings(void)
{
	static const char text[] = "printed by OUTSB\n", backward[] = "\nBSTUO yb drawkcab";
	const char *from = text;
	uint64_t count = sizeof(text) - 1;
	uint8_t *to = window_page;

	asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(0x3f8) : "memory");
	print_value("bytes gone", from - text);
	print_value("count left", count);
	from = backward + sizeof(backward) - 2;
	count = sizeof(backward) - 1;
	asm volatile("std\n\trep outsb\n\tcld" : "+S"(from), "+c"(count) : "d"(0x3f8) : "memory");
	print_value("one before the text", from == backward - 1);

	for (int n = 0; n < 16; n++)
		window_page[n] = n;
	count = 3;
	asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(SCRATCH) : "memory");
	count = 2;
	asm volatile("rep insw" : "+D"(to), "+c"(count) : "d"(NOBODY_PORT) : "memory");
	asm volatile("insl" : "+D"(to) : "d"(NOBODY_PORT) : "memory");
	print_value("bytes come", to - window_page);
	for (int n = 0; n < 16; n += 4)
		print_value("memory", read32((uint64_t)window_page + n));
	count = 0;
	asm volatile("rep insb" : "+D"(to), "+c"(count) : "d"(SCRATCH) : "memory");
	print_value("a count of 0 moves nothing", to - window_page);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	widths();
	strings();
	return 0;
}
