/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the guests of ci/bench --worst share: each does one thing, which the command line names, at its largest. */
#ifndef MICRO_WORST_H
#define MICRO_WORST_H

#include "micro.h"

struct action {
	const char *name;
	void (*act)(void);
};

/* Does what the command line names first; the machine's exit status. */
static inline int act_by_name(const uint8_t *zero_page, const struct action *actions, int count)
{
	const char *wanted = (const char *)(uint64_t)read32((uint64_t)zero_page + 0x228);

	for (int n = 0; n < count; n++) {
		const char *name = actions[n].name, *at = wanted;

		while (*name && *name == *at)
			name++, at++;
		if (!*name && (!*at || *at == ' ')) {
			actions[n].act();
			return 0;
		}
	}
	print("worst: there is no such action\n");
	return 1;
}

#endif
