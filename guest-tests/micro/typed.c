/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What is typed: bytes of the serial port, and how often it had nothing before. A command line that begins with "w" has the guest wait
 * for two; without, it looks a few times.
 */
#include "micro.h"

#define SERIAL 0x3f8
#define LOOKS 1000

/* Called for each byte, for a debugger to stop at. */
__attribute__((noinline)) static void took(uint8_t byte, uint64_t looks)
{
	print_value("byte", byte);
	require(looks != 0, "the port is looked at first");
}

int micro_main(const uint8_t *zero_page)
{
	const char *command_line = (const char *)(uint64_t)read32((uint64_t)zero_page + 0x228);
	int waits = *command_line == 'w', bytes = 0;

	for (uint64_t looks = 1; waits ? bytes < 2 : looks <= LOOKS; looks++) {
		/* Data is ready. */
		if (!(in8(SERIAL + 5) & 1))
			continue;
		took(in8(SERIAL), looks);
		bytes++;
	}
	print_value("bytes", bytes);
	return 0;
}
