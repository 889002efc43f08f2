// SPDX-License-Identifier: GPL-2.0
/* CRC-32 of IEEE 802.3, reflected: see crc32.h. */
#include "crc32.h"

uint32_t crc32_of(const void *data, size_t size)
{
	static uint32_t table[256];
	const uint8_t *bytes = data;
	uint32_t crc = ~0u;

	if (!table[1]) {
		for (uint32_t n = 0; n < 256; n++) {
			uint32_t value = n;

			for (int bit = 0; bit < 8; bit++)
				value = value & 1 ? value >> 1 ^ 0xedb88320u : value >> 1;
			table[n] = value;
		}
	}
	for (size_t i = 0; i < size; i++)
		crc = crc >> 8 ^ table[(crc ^ bytes[i]) & 0xff];
	return ~crc;
}
