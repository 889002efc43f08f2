/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The leaves of CPUID that say what the processor can do are the model's, whatever the host's can. */
#include "cpuid.h"

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	show_leaf(1, 0);
	show_leaf(7, 0);
	show_leaf(0xd, 0);
	return 0;
}
