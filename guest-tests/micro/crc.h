/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* CRC-32 (IEEE 802.3: polynomial 0x04c11db7 reflected, initial and final inversion), four bits at a time. */
#ifndef MICRO_CRC_H
#define MICRO_CRC_H

#include "micro.h"

static inline uint32_t crc32(const volatile uint32_t *words, int count)
{
	uint32_t table[16], crc = ~0u;

	for (uint32_t n = 0; n < 16; n++) {
		table[n] = n;
		for (int bit = 0; bit < 4; bit++)
			table[n] = table[n] >> 1 ^ (table[n] & 1 ? 0xedb88320 : 0);
	}
	for (int n = 0; n < count; n++) {
		crc ^= words[n];
		for (int digit = 0; digit < 8; digit++)
			crc = crc >> 4 ^ table[crc & 15];
	}
	return ~crc;
}

#endif
