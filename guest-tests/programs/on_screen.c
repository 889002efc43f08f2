// SPDX-License-Identifier: GPL-2.0
/*
 * `on_screen FORMAT WIDTH HEIGHT FRAMES COMMAND ARGUMENT...`: runs a command, which shows the camera's pictures on the
 * whole of a screen of that size, and whether the screen showed frames 0 to FRAMES - 1 of the test pattern, each of them, in
 * order, every pixel as the models of the camera and of the display have it. What else is on the screen before the first
 * and behind the last does not count. FORMAT is the camera's: YUYV, NV12 or XBGR32. Exit status 0 if so, and if the
 * command ends well.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <drm/drm_fourcc.h>
#include <linux/videodev2.h>

#include "camera_oracle.h"
#include "display_model.h"
#include "display_picture.h"

#define DRIVER "fencepost_display"
#define MAX_PICTURES 65536
#define MAX_MINORS 64
#define WAIT_MS 2

static const struct {
	const char *name;
	uint32_t fourcc, format;
	uint32_t line_bytes;
} formats[] = {
	{ "YUYV", V4L2_PIX_FMT_YUYV, DRM_FORMAT_YUYV, 2 },
	{ "NV12", V4L2_PIX_FMT_NV12, DRM_FORMAT_NV12, 1 },
	{ "XBGR32", V4L2_PIX_FMT_XBGR32, DRM_FORMAT_XRGB8888, 4 },
};

/* The CRCs of what was on the screen, without repetitions. */
static uint32_t seen[MAX_PICTURES];
static size_t seen_len;

/* The list of CRCs of the display's first CRTC, which the kernel opens while that is on; -1 if it is not there. */
static int open_crcs(void)
{
	char path[128], name[64];

	for (int minor = 0; minor < MAX_MINORS; minor++) {
		FILE *file;
		bool found;

		snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%d/name", minor);
		file = fopen(path, "r");
		found = file && fgets(name, sizeof(name), file) && !strncmp(name, DRIVER, strlen(DRIVER));
		if (file)
			fclose(file);
		if (!found)
			continue;
		snprintf(path, sizeof(path), "/sys/kernel/debug/dri/%d/crtc-0/crc/data", minor);
		return open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	}
	return -1;
}

/* Reads what is in the list; false if there is no more to come. */
static bool read_crcs(int crcs)
{
	unsigned int frame;
	uint32_t crc;

	errno = 0;
	while (display_next_crc(crcs, &frame, &crc))
		if (seen_len < MAX_PICTURES && !(seen_len && seen[seen_len - 1] == crc))
			seen[seen_len++] = crc;
	return errno == EAGAIN;
}

/* Notes the pictures until the command ends; returns whether it ended well. */
static bool watch(pid_t command)
{
	struct pollfd crcs = { .fd = -1, .events = POLLIN };
	int status = 0;

	while (!waitpid(command, &status, WNOHANG)) {
		if (crcs.fd < 0)
			crcs.fd = open_crcs();
		poll(&crcs, 1, WAIT_MS);
		if (crcs.fd >= 0 && !read_crcs(crcs.fd)) {
			close(crcs.fd);
			crcs.fd = -1;
		}
	}
	if (crcs.fd >= 0)
		read_crcs(crcs.fd);
	if (!WIFEXITED(status) || WEXITSTATUS(status))
		printf("# the command ended with wait status %#x\n", status);
	return WIFEXITED(status) && !WEXITSTATUS(status);
}

/* The CRC that the screen must have with frame n. */
static uint32_t expected(size_t format, uint32_t width, uint32_t height, uint32_t n)
{
	static struct plane_buffer buffer;
	size_t luma = (size_t)width * height * formats[format].line_bytes;
	struct camera_view camera = { .controls = CAMERA_CONTROLS_PLAIN, .width = width, .height = height };
	struct plane_view view = {
		.format = formats[format].format, .width = width, .height = height,
		.buffers = { &buffer, &buffer }, .pitches = { width * formats[format].line_bytes, width },
		.offsets = { 0, luma }, .src_w = width, .src_h = height, .w = width, .h = height, .alpha = 0xffff,
	};
	const struct plane_view *planes[] = { &view };

	if (!buffer.pixels)
		buffer.pixels = malloc(luma + luma / 2);
	if (!buffer.pixels)
		exit(2);
	camera_oracle_paint(&camera, n, formats[format].fourcc, buffer.pixels,
			    view.format == DRM_FORMAT_NV12 ? buffer.pixels + luma : NULL);
	return model_crc(planes, 1, width, height);
}

static bool shown(size_t format, uint32_t width, uint32_t height, uint32_t frames)
{
	uint32_t crc = expected(format, width, height, 0);
	size_t at = 0;

	while (at < seen_len && seen[at] != crc)
		at++;
	for (uint32_t n = 0; n < frames; n++, at++) {
		crc = expected(format, width, height, n);
		if (at < seen_len && seen[at] == crc)
			continue;
		printf("# of %zu pictures number %zu is not frame %u (%08x): %08x\n", seen_len, at, n, crc,
		       at < seen_len ? seen[at] : 0);
		return false;
	}
	printf("# %u frames, %zu pictures\n", frames, seen_len);
	return true;
}

int main(int argc, char **argv)
{
	size_t format = 0;
	pid_t command;

	while (argc > 5 && format < sizeof(formats) / sizeof(formats[0]) && strcmp(formats[format].name, argv[1]))
		format++;
	if (argc < 6 || format == sizeof(formats) / sizeof(formats[0])) {
		fprintf(stderr, "usage: on_screen YUYV|NV12|XBGR32 WIDTH HEIGHT FRAMES COMMAND ARGUMENT...\n");
		return 2;
	}
	command = fork();
	if (!command) {
		execvp(argv[5], argv + 5);
		perror(argv[5]);
		_exit(127);
	}
	if (command < 0 || !watch(command))
		return 1;
	return shown(format, atoi(argv[2]), atoi(argv[3]), atoi(argv[4])) ? 0 : 1;
}
