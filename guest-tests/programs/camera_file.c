// SPDX-License-Identifier: GPL-2.0
/*
 * `camera_file FORMAT WIDTH HEIGHT FILE...`: whether files have the frames 0, 1 and so on of the chart of waves, as
 * docs/camera.md has it, with lines as short as the device's are. FORMAT is yavta's name of it. Exit status 0 if all agree.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/videodev2.h>

#include "camera_oracle.h"

static const struct {
	const char *name;
	uint32_t fourcc;
	/* Bytes in a line for each pixel, and halves of the lines' number in a frame. */
	uint32_t line_bytes, halves;
} formats[] = {
	{ "YUYV", V4L2_PIX_FMT_YUYV, 2, 2 }, { "UYVY", V4L2_PIX_FMT_UYVY, 2, 2 },
	{ "NV12", V4L2_PIX_FMT_NV12, 1, 3 }, { "NV12M", V4L2_PIX_FMT_NV12M, 1, 3 },
	{ "XBGR32", V4L2_PIX_FMT_XBGR32, 4, 2 }, { "Y8", V4L2_PIX_FMT_GREY, 1, 2 },
	{ "SRGGB8", V4L2_PIX_FMT_SRGGB8, 1, 2 }, { "SRGGB10", V4L2_PIX_FMT_SRGGB10, 2, 2 },
};

/* The file's bytes, if there are as many as that and no more. */
static uint8_t *contents(const char *path, size_t bytes)
{
	uint8_t *memory = malloc(bytes + 1);
	FILE *file = fopen(path, "rb");
	size_t there = file && memory ? fread(memory, 1, bytes + 1, file) : 0;

	if (file)
		fclose(file);
	if (there == bytes)
		return memory;
	printf("# %s has not %zu bytes\n", path, bytes);
	free(memory);
	return NULL;
}

static bool agrees(size_t format, uint32_t width, uint32_t height, uint32_t n, const char *path)
{
	uint32_t stride = (width * formats[format].line_bytes + 3) / 4 * 4;
	uint8_t *bytes = contents(path, (size_t)stride * height * formats[format].halves / 2);
	struct camera_view view = {
		.controls = { 0, 128, 256, 256, 0, 0, 4 }, .width = width, .height = height,
	};
	struct camera_pixels pixels = {
		.fourcc = formats[format].fourcc, .stride = stride, .luma = bytes,
		.chroma = bytes && formats[format].halves == 3 ? bytes + (size_t)stride * height : NULL,
	};
	bool good = bytes && camera_oracle_agrees(&view, n, &pixels);

	free(bytes);
	return good;
}

int main(int argc, char **argv)
{
	size_t format = 0;

	while (argc > 4 && format < sizeof(formats) / sizeof(formats[0]) &&
	       strcmp(formats[format].name, argv[1]))
		format++;
	if (argc < 5 || format == sizeof(formats) / sizeof(formats[0])) {
		fprintf(stderr, "usage: camera_file FORMAT WIDTH HEIGHT FILE...\n");
		return 2;
	}
	for (int n = 0; n < argc - 4; n++)
		if (!agrees(format, atoi(argv[2]), atoi(argv[3]), n, argv[n + 4]))
			return 1;
	return 0;
}
