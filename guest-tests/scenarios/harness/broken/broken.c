// SPDX-License-Identifier: GPL-2.0
/* Does not build: that this is told in one line is tested by ci/scenario-tests.sh. */
#include <linux/module.h>

static int __init broken_init(void)
{
	return no_such_function();
}

module_init(broken_init);
MODULE_LICENSE("GPL");
