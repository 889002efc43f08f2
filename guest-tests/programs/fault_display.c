// SPDX-License-Identifier: GPL-2.0
/*
 * What the display's driver does at each fault: `fault_display KIND`, for faults.h. Whatever happens, flips are done within
 * half a second, and the ones behind in their time.
 */
#include "faults.h"

#include <errno.h>

#include "display.h"
#include "display_commit.h"
#include "display_fb.h"

#define FLIPS 6
#define LONG_MS 500

static struct display display;
static struct display_fb fbs[2];

static bool flips(unsigned int count)
{
	struct display_flip flip;
	int ret = 0;

	for (unsigned int i = 0; !ret && i < count; i++) {
		ret = display_flip(&display, fbs[i % 2].fb, -1, NULL, i);
		if (!ret)
			ret = display_wait_flip(&display, LONG_MS, &flip);
		if (ret)
			return faults_wrong("flip %u is not done: %d", i, ret);
	}
	return true;
}

static bool set_up(void)
{
	int ret = display_open(&display, FENCEPOST_DISPLAY_DRIVER_NAME);

	for (unsigned int i = 0; !ret && i < 2; i++)
		ret = display_create_dumb(&display, &fbs[i]);
	if (!ret)
		ret = display_modeset(&display, fbs[0].fb);
	if (ret)
		return faults_wrong("the display shows nothing: %d", ret);
	return flips(2);
}

static bool goes_on(void)
{
	if (!set_up())
		return false;
	faults_begin();
	return flips(FLIPS);
}

/* A vertical blank that is not told of is counted all the same. */
static bool vblanks(void)
{
	uint32_t before, after;
	int ret;

	if (!set_up())
		return false;
	ret = display_wait_vblank(&display, &before);
	faults_begin();
	if (!ret)
		ret = display_wait_vblank(&display, &after);
	if (ret || after - before < 2)
		return faults_wrong("the vertical blank behind that lost is %u further (%d)", after - before, ret);
	return flips(FLIPS);
}

int main(int argc, char **argv)
{
	static const struct fault_check checks[] = {
		{ "underrun", goes_on },
		{ "vblank-lost", vblanks },
		{ "flip-stuck", goes_on },
		{ "dma-error", goes_on },
		{ "descriptor-error", goes_on },
		{ "translation", goes_on },
		{ "irq-lost", goes_on },
		{ "irq-late", goes_on },
		{ "irq-twice", goes_on },
		{ "irq-spurious", goes_on },
	};

	return faults_main(argc, argv, checks, sizeof(checks) / sizeof(checks[0]));
}
