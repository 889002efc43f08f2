/* SPDX-License-Identifier: GPL-2.0 */
/* The CRC-32 that zlib calls crc32: what the camera and the display say of a picture. */
#ifndef FENCEPOST_CRC32_H
#define FENCEPOST_CRC32_H

#include <stddef.h>
#include <stdint.h>

uint32_t crc32_of(const void *data, size_t size);

#endif /* FENCEPOST_CRC32_H */
