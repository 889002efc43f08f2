// SPDX-License-Identifier: GPL-2.0
/*
 * The educational device by a stock kernel: loads fencepost_edu_test once for each of its cases. What a case is, and what went
 * wrong, is in the kernel's log.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "ktap.h"
#include "module.h"

#define MODULE "fencepost_edu_test"
/* As many as the module has: one more is not there. */
#define CASES 6

static int run(unsigned int number)
{
	char parameters[32];
	int ret;

	snprintf(parameters, sizeof(parameters), "case=%u", number);
	ret = module_load(MODULE, parameters);
	return ret ? ret : module_unload(MODULE);
}

int main(void)
{
	ktap_plan(CASES + 1);
	for (unsigned int i = 0; i < CASES; i++) {
		int ret = run(i);

		ktap_result(!ret, "case %u of the device%s%s", i, ret ? ": " : "", ret ? strerror(-ret) : "");
	}
	ktap_result(run(CASES) == -ENOENT, "these are all cases");
	return ktap_finish();
}
