// SPDX-License-Identifier: GPL-2.0
/*
 * Buffers between our GPU and the stock driver virtio_gpu, in KTAP. In these kernels that driver imports no buffer of another's. It
 * exports its own, so the GPU draws into those, and each flip waits for the GPU's fence. Prints the CRC-32 of every picture
 * that must be on the screen, for the host to compare with what was.
 *
 *   test_gpu_to_virtio
 */
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <unistd.h>

#include "crc32.h"
#include "display.h"
#include "display_commit.h"
#include "display_fb.h"
#include "gpu_client.h"
#include "ktap.h"

#define BUFFERS 3
#define PICTURES 6
/* Long enough for a machine that is slow beside its own clock. */
#define TIMEOUT_MS 10000

static struct display display;
static int gpu;

/* What the stock driver says to a buffer of the GPU's. */
static int import_foreign(void)
{
	uint32_t width = display.mode.hdisplay, height = display.mode.vdisplay;
	struct gpu_buffer buffer;
	struct display_fb fb;
	int ret = gpu_buffer_create(gpu, (uint64_t)width * height * 4, &buffer), dmabuf;

	if (ret)
		return ret;
	dmabuf = gpu_export(gpu, buffer.handle);
	if (dmabuf < 0)
		return dmabuf;
	ret = display_import(&display, dmabuf, width, height, width * 4, 0, &fb);
	close(dmabuf);
	gpu_buffer_destroy(gpu, &buffer);
	return ret;
}

/* Makes a buffer of the display's that the GPU has too. */
static int share(struct display_fb *fb, struct gpu_buffer *buffer)
{
	int ret = display_create_dumb(&display, fb), dmabuf;

	if (ret)
		return ret;
	dmabuf = display_export(&display, fb);
	if (dmabuf < 0)
		return dmabuf;
	*buffer = (struct gpu_buffer) { .size = fb->size };
	ret = gpu_import(gpu, dmabuf, &buffer->handle);
	close(dmabuf);
	return ret;
}

/* Has the GPU fill a buffer, and the display flip to it when it has. */
static bool draw_and_flip(const struct display_fb *fb, const struct gpu_buffer *buffer, uint32_t colour)
{
	uint32_t bytes = fb->pitch * fb->height;
	struct drm_fencepost_gpu_command fill = gpu_fill(buffer, bytes, colour);
	struct display_flip flip = { 0 };
	int fence = gpu_submit(gpu, 0, &fill, 1, -1), ret;

	if (fence < 0)
		return false;
	ret = display_flip(&display, fb->fb, fence, NULL, colour);
	close(fence);
	return !ret && !display_wait_flip(&display, TIMEOUT_MS, &flip) && flip.user_data == colour;
}

/* The CRC of a screen of one colour. */
static uint32_t crc_of(uint32_t colour)
{
	size_t pixels = (size_t)display.mode.hdisplay * display.mode.vdisplay;
	uint32_t *screen = malloc(pixels * 4), crc = 0;

	if (screen) {
		for (size_t i = 0; i < pixels; i++)
			screen[i] = colour;
		crc = crc32_of(screen, pixels * 4);
	}
	free(screen);
	return crc;
}

int main(void)
{
	struct display_fb fbs[BUFFERS];
	struct gpu_buffer buffers[BUFFERS];
	unsigned int flips = 0;
	int ret = display_open(&display, "virtio_gpu");

	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ktap_plan(4);
	ktap_result(ret == 0 && gpu >= 0, "there are both drivers (%d, %d)", ret, gpu);
	if (ret || gpu < 0)
		return ktap_finish();
	ret = import_foreign();
	ktap_result(ret == -ENODEV, "the stock driver imports no buffer of another's (%d)", ret);
	ret = 0;
	for (int i = 0; !ret && i < BUFFERS; i++)
		ret = share(&fbs[i], &buffers[i]);
	ktap_result(ret == 0, "the GPU imports the stock driver's buffers (%d)", ret);
	if (!ret)
		ret = display_modeset(&display, fbs[BUFFERS - 1].fb);
	for (uint32_t i = 0; !ret && i < PICTURES; i++) {
		uint32_t colour = 0x204060 + 0x10101 * i;

		if (!draw_and_flip(&fbs[i % BUFFERS], &buffers[i % BUFFERS], colour))
			break;
		ktap_note("shown %u", crc_of(colour));
		flips++;
	}
	ktap_result(flips == PICTURES, "%u of %u flips wait for the GPU's fence", flips, PICTURES);
	display_close(&display);
	usleep(50000);
	return ktap_finish();
}
