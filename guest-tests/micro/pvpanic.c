/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The panic device (docs/pvpanic.md): what it offers, what it ignores, and a panic, after which nothing is executed. */
#include "micro.h"

#define SLOT 5
#define EVENTS 0x00

int micro_main(const uint8_t *zero_page)
{
	uint64_t bar;

	(void)zero_page;
	print_value("vendor and device", read32(CONFIG(SLOT, 0)));
	print_value("class and revision", read32(CONFIG(SLOT, 8)));
	print_value("subsystem", read32(CONFIG(SLOT, 0x2c)));
	bar = enable_function(SLOT);
	print_value("events", read8(bar + EVENTS));
	print_value("the rest of the word", read32(bar + EVENTS) >> 8);
	/* No event, one that does not exist, and a panic that a crash kernel deals with. */
	write8(bar + EVENTS, 0);
	write8(bar + EVENTS, 8);
	write8(bar + EVENTS, 2);
	print_value("events", read8(bar + EVENTS));
	write8(bar + EVENTS + 1, 1);
	print("now\n");
	write8(bar + EVENTS, 1);
	print("not reached\n");
	return 0;
}
