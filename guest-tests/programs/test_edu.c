// SPDX-License-Identifier: GPL-2.0
/* The educational device, driven by a stock kernel: the cases of the module fencepost_edu_test. */
#include "module.h"

int main(void)
{
	return module_cases("fencepost_edu_test", 6, "device");
}
