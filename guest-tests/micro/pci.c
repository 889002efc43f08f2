/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What is on the PCI bus: identities, BAR sizes, capabilities, by ECAM; and the same by the two configuration ports. */
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

#define CONFIG_ADDRESS 0xcf8
#define CONFIG_DATA 0xcfc
#define CONFIG_ENABLE 0x80000000u

/* The first 256 bytes of every slot are the same by the ports as by ECAM, with every width. */
static void compare_ports(void)
{
	for (uint32_t slot = 0; slot < 32; slot++) {
		for (uint32_t at = 0; at < 256; at++) {
			out32(CONFIG_ADDRESS, CONFIG_ENABLE | slot << 11 | (at & ~3u));
			require(in8(CONFIG_DATA + (at & 3)) == read8(CONFIG(slot, at)), "a byte is the same");
			if (!(at & 1))
				require(in16(CONFIG_DATA + (at & 2)) == read16(CONFIG(slot, at)), "16 bits are the same");
			if (!(at & 3))
				require(in32(CONFIG_DATA) == read32(CONFIG(slot, at)), "32 bits are the same");
		}
	}
}

static void use_ports(void)
{
	out32(CONFIG_ADDRESS, 0xffffffff);
	print_value("configuration address keeps", in32(CONFIG_ADDRESS));
	out8(CONFIG_ADDRESS + 3, 1);
	out16(CONFIG_ADDRESS, 0);
	print_value("narrow writes are not for it", in32(CONFIG_ADDRESS));
	compare_ports();
	/* A byte of a register is written through its own port. */
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | FENCEPOST_PCI_SLOT_GPU << 11 | 0x3c);
	out8(CONFIG_DATA, 0x5a);
	print_value("interrupt line", read32(CONFIG(FENCEPOST_PCI_SLOT_GPU, 0x3c)));
	out32(CONFIG_ADDRESS, FENCEPOST_PCI_SLOT_GPU << 11);
	print_value("switched off", in32(CONFIG_DATA));
	out32(CONFIG_ADDRESS, CONFIG_ENABLE | 1 << 16);
	print_value("another bus", in32(CONFIG_DATA));
}

/* The header that drivers take their ids from has those of this machine. */
static void check_id(int slot, uint32_t device)
{
	require(read32(CONFIG(slot, 0)) == (device << 16 | FENCEPOST_PCI_VENDOR), "a function has its id");
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	check_id(FENCEPOST_PCI_SLOT_GPU, FENCEPOST_PCI_DEVICE_GPU);
	check_id(FENCEPOST_PCI_SLOT_CAMERA, FENCEPOST_PCI_DEVICE_CAMERA);
	check_id(FENCEPOST_PCI_SLOT_DISPLAY, FENCEPOST_PCI_DEVICE_DISPLAY);
	for (int slot = 0; slot < 32; slot++)
		if (read32(CONFIG(slot, 0)) != 0xffffffff)
			show_function(slot);
	use_ports();
	/* Registers answer only while memory decoding is on. */
	uint64_t registers = read32(CONFIG(FENCEPOST_PCI_SLOT_GPU, 0x10)) & ~15u;

	print_value("decoding off", read32(registers));
	enable_function(FENCEPOST_PCI_SLOT_GPU);
	print_value("decoding on", read32(registers));
	return 0;
}
