/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The exit port takes the low byte of a wide write as the status, and nothing is executed after it. */
#include "micro.h"

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	print_value("the exit port reads as", in8(0xf4));
	out32(0xf4, 0x12345607);
	print("still here\n");
	return 1;
}
