// SPDX-License-Identifier: GPL-2.0
/*
 * `pixels WIDTH HEIGHT COUNT`: converts one NV12 picture COUNT times to XRGB8888, one conversion behind the other, for
 * ci/bench. Both pictures are buffers of the GPU: pages of 4 KiB, wherever the kernel finds them. Exit status 0 if the last
 * one is right, by BT.601.
 */
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "bt601.h"
#include "convert.h"

#define TIMEOUT_MS 60000

static uint8_t *make(struct converter *converter, size_t bytes, uint32_t *handle)
{
	int dmabuf = convert_create(converter, bytes, handle);
	void *memory = dmabuf < 0 ? MAP_FAILED :
		       mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, dmabuf, 0);

	if (memory == MAP_FAILED) {
		fprintf(stderr, "pixels: no buffer of %zu bytes\n", bytes);
		exit(1);
	}
	return memory;
}

static bool is_right(const uint8_t *nv12, const uint8_t *bgrx, size_t width, size_t height)
{
	for (size_t y = 0; y < height; y++) {
		for (size_t x = 0; x < width; x++) {
			const uint8_t *chroma = nv12 + width * (height + y / 2) + x / 2 * 2;

			if (!bt601_is_pixel(bgrx + 4 * (y * width + x), false, nv12[y * width + x], chroma[0],
					    chroma[1])) {
				printf("pixels: pixel %zu of line %zu is wrong\n", x, y);
				return false;
			}
		}
	}
	return true;
}

int main(int argc, char **argv)
{
	size_t width = argc == 4 ? atoi(argv[1]) : 0, height = argc == 4 ? atoi(argv[2]) : 0;
	struct v4l2_pix_format pix = {
		.width = width, .height = height, .bytesperline = width, .pixelformat = V4L2_PIX_FMT_NV12,
		.quantization = V4L2_QUANTIZATION_LIM_RANGE,
	};
	struct convert_target target = { .stride = 4 * width };
	struct converter converter;
	uint32_t source, state = 1;
	uint8_t *from, *to;

	if (!width || !height || convert_open(&converter)) {
		fprintf(stderr, "usage: pixels WIDTH HEIGHT COUNT, with the GPU's driver\n");
		return 2;
	}
	from = make(&converter, width * height * 3 / 2, &source);
	to = make(&converter, width * height * 4, &target.handle);
	for (size_t i = 0; i < width * height * 3 / 2; i++) {
		state = state * 1664525 + 1013904223;
		from[i] = state >> 24;
	}
	for (int n = atoi(argv[3]); n > 0; n--) {
		struct pollfd fence = { .fd = convert_submit(&converter, source, &pix, &target), .events = POLLIN };

		if (fence.fd < 0 || poll(&fence, 1, TIMEOUT_MS) != 1) {
			fprintf(stderr, "pixels: no conversion: %d\n", fence.fd);
			return 1;
		}
		close(fence.fd);
	}
	return is_right(from, to, width, height) ? 0 : 1;
}
