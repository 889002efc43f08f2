// SPDX-License-Identifier: GPL-2.0
/* CRC-32 of IEEE 802.3, reflected: see crc32.h. */
#include "crc32.h"

uint32_t crc32_of(const uint8_t *bytes, size_t size)
{
	uint32_t crc = ~0u;

	for (size_t i = 0; i < size; i++) {
		crc ^= bytes[i];
		for (int bit = 0; bit < 8; bit++)
			crc = crc & 1 ? crc >> 1 ^ 0xedb88320u : crc >> 1;
	}
	return ~crc;
}
