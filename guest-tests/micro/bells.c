/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Doorbells are heard in order, wherever the BAR is: the display refuses each COMMIT without a mode and counts it.
 * Also: its clock is this CPU's counter.
 */
#include "micro.h"

#define NOW_CYCLES 0x028
#define COMMIT 0x110
#define REFUSED 0x154
#define COMMAND 0x04
#define BAR0 0x10
#define MEMORY 2
#define ELSEWHERE 0xd0000000ul

static uint64_t refused(uint64_t registers)
{
	return read32(registers + REFUSED);
}

int micro_main(const uint8_t *zero_page)
{
	uint64_t registers = enable_function(FENCEPOST_PCI_SLOT_DISPLAY);

	(void)zero_page;
	write32(registers + COMMIT, 1);
	print_value("rung once", refused(registers));
	for (int n = 0; n < 5; n++)
		write32(registers + COMMIT, 1);
	print_value("and five times", refused(registers));
	write32(registers + COMMIT, 3);
	print_value("another value", refused(registers));
	for (int n = 0; n < 100; n++) {
		uint64_t before = tsc(), now = read64(registers + NOW_CYCLES), after = tsc();

		require(before <= now && now <= after, "the display's clock is between two readings of the counter");
	}

	write16(CONFIG(FENCEPOST_PCI_SLOT_DISPLAY, COMMAND), 0);
	write32(registers + COMMIT, 1);
	write32(CONFIG(FENCEPOST_PCI_SLOT_DISPLAY, BAR0), ELSEWHERE);
	write16(CONFIG(FENCEPOST_PCI_SLOT_DISPLAY, COMMAND), MEMORY);
	print_value("switched off", refused(ELSEWHERE));
	write32(registers + COMMIT, 1);
	print_value("at the old place", refused(ELSEWHERE));
	write32(ELSEWHERE + COMMIT, 1);
	print_value("at the new place", refused(ELSEWHERE));
	return 0;
}
