/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a kernel that panics says on the console (docs/panic.md): the machine ends with the last line, whatever comes behind it.
 * Before, a program's words without a time stamp, which are nothing.
 */
#include "micro.h"

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	print("[    0.000000] a kernel with time stamps\n");
	print("---[ end Kernel panic - not syncing: a program's words ]---\n");
	print("[    1.000000] Kernel panic - not syncing: the micro-guest's\n");
	print("[    1.000100] ---[ end Kernel panic - not syncing: the micro-guest's ]---\n");
	print("not reached\n");
	return 0;
}
