/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The least that a machine must do: give the boot parameters, print, and take an exit status. */
#include "micro.h"

int micro_main(const uint8_t *zero_page)
{
	const char *command_line = (const char *)(uint64_t)read32((uint64_t)zero_page + 0x228);
	uint64_t ram = 0;
	const uint8_t *entry = zero_page + 0x2d0;

	print("hello\n");
	require(read32((uint64_t)zero_page + 0x202) == 0x53726448, "no HdrS in the zero page");
	print("command line: ");
	print(command_line);
	print("\n");
	for (int n = 0; n < zero_page[0x1e8]; n++, entry += 20)
		if (read32((uint64_t)entry + 16) == 1)
			ram += read64((uint64_t)entry + 8);
	print_value("bytes of RAM", ram);
	/* A port that nobody answers reads as all ones. */
	print_value("port 80", in8(0x80));
	print_value("control registers", (READ_CONTROL(0) & 0x80000001) | (READ_CONTROL(4) & 0x20));
	return 42;
}
