/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What is on the PCI bus: identities, BAR sizes, capabilities. */
#include "micro.h"

/* The size of a 32-bit memory BAR: what it reads back when it is written with ones. */
static uint32_t bar_size(uint64_t bar)
{
	uint32_t before = read32(bar), mask;

	write32(bar, 0xffffffff);
	mask = read32(bar);
	write32(bar, before);
	require(read32(bar) == before, "a BAR keeps what is written to it");
	return mask ? ~(mask & ~15u) + 1 : 0;
}

static void show_function(int slot)
{
	print_hex(slot, 2);
	print(": ");
	print_hex(read32(CONFIG(slot, 0)), 8);
	print(" class ");
	print_hex(read32(CONFIG(slot, 8)) >> 8, 6);
	print("\n");
	for (int bar = 0; bar < 6; bar++) {
		uint32_t size = bar_size(CONFIG(slot, 0x10 + 4 * bar));

		if (!size)
			continue;
		print("  bar ");
		print_hex(bar, 1);
		print_value(" size", size);
		require(!(read32(CONFIG(slot, 0x10 + 4 * bar)) & (size - 1) & ~15u), "a BAR is aligned to its size");
	}
	for (uint32_t at = read32(CONFIG(slot, 0x34)) & 0xff; at; at = read32(CONFIG(slot, at)) >> 8 & 0xff)
		print_value("  capability", read32(CONFIG(slot, at)) & 0xff);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	for (int slot = 0; slot < 32; slot++)
		if (read32(CONFIG(slot, 0)) != 0xffffffff)
			show_function(slot);
	/* Registers answer only while memory decoding is on. */
	uint64_t registers = read32(CONFIG(GPU_SLOT, 0x10)) & ~15u;

	print_value("decoding off", read32(registers));
	enable_function(GPU_SLOT);
	print_value("decoding on", read32(registers));
	return 0;
}
