// SPDX-License-Identifier: GPL-2.0
/* The builder of scatter-gather lists that the three drivers share: the cases of the module fencepost_sg_test. */
#include "module.h"

int main(void)
{
	return module_cases("fencepost_sg_test", 11, "builder");
}
