/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* An entry of a scatter-gather list, the same for all devices. */
#ifndef MICRO_SG_H
#define MICRO_SG_H

#include "micro.h"

struct sg_entry {
	uint64_t iova;
	uint32_t length, reserved;
};

#endif
