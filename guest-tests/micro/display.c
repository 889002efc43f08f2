/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The display: a mode, two flips at vertical blanks with their interrupts, and the CRC of what is on the screen. */
#include <fencepost_display_regs.h>

#include "crc.h"
#include "sg.h"

#define XRGB8888 0x34325258

#define WIDTH 16
#define HEIGHT 8
#define PIXELS (WIDTH * HEIGHT)

static volatile uint32_t pictures[2][PIXELS] __attribute__((aligned(64)));
static struct sg_entry lists[2][2] __attribute__((aligned(16)));
static uint64_t display;

/* Picture `n`, in two segments whose order in memory is the other way round. */
static void draw(int n)
{
	for (int at = 0; at < PIXELS; at++)
		pictures[n][at] = 0x010203 * at + 0x400000 * n;
	lists[n][0] = (struct sg_entry){ (uint64_t)pictures[n] + 2 * PIXELS, 2 * PIXELS, 0 };
	lists[n][1] = (struct sg_entry){ (uint64_t)pictures[n], 2 * PIXELS, 0 };
}

/* What the screen shows of it: halves swapped. */
static uint32_t shown_crc(int n)
{
	static uint32_t shown[PIXELS];

	for (int at = 0; at < PIXELS; at++)
		shown[at] = pictures[n][(at + PIXELS / 2) % PIXELS] & 0xffffff;
	return crc32(shown, PIXELS);
}

/* The CRC of the newest frame, once one is on the screen that began after now. */
static uint32_t screen_crc(void)
{
	uint64_t frame = read64(display + FPDISP_VBLANK_COUNT);

	while (read64(display + FPDISP_CRC_FRAME) <= frame)
		wait_irq(0, irq_counts[0] + 1);
	return read32(display + FPDISP_CRC_VALUE);
}

/* Whether the screen shows what has this CRC. A host that is late makes a frame black, and says so: then the next counts. */
static int shows(uint32_t crc)
{
	uint32_t late;

	do {
		late = read32(display + FPDISP_UNDERRUNS);
		if (screen_crc() == crc)
			return 1;
	} while (read32(display + FPDISP_UNDERRUNS) != late);
	return 0;
}

static void commit(void)
{
	uint64_t flips = irq_counts[1];

	write32(display + FPDISP_COMMIT, 1);
	wait_irq(1, flips + 1);
	print_value("flip done", read32(display + FPDISP_IRQ_STATUS) & FPDISP_IRQ_FLIP_DONE);
	write32(display + FPDISP_IRQ_STATUS, FPDISP_IRQ_FLIP_DONE);
	print_value("  acknowledged", read32(display + FPDISP_IRQ_STATUS) & FPDISP_IRQ_FLIP_DONE);
	print_value("  latched", read64(display + FPDISP_COMMIT_LATCHED));
}

static void flip(int n)
{
	write64(display + FPDISP_PLANE_TABLE, (uint64_t)lists[n]);
	commit();
	print_value("  the picture is on the screen", shows(shown_crc(n)));
}

static void set_up(void)
{
	/* 20 x 10 pixels in all at 100 kHz: a frame lasts 2 ms. */
	write32(display + FPDISP_MODE_ACTIVE, HEIGHT << 16 | WIDTH);
	write32(display + FPDISP_MODE_TOTAL, 10 << 16 | 20);
	write32(display + FPDISP_MODE_CLOCK, 100);
	write32(display + FPDISP_IRQ_ENABLE, FPDISP_IRQ_VBLANK | FPDISP_IRQ_FLIP_DONE);
	write32(display + FPDISP_PLANE_CONTROL, 1);
	write32(display + FPDISP_PLANE_FORMAT, XRGB8888);
	write32(display + FPDISP_PLANE_ENTRIES, 2);
	write32(display + FPDISP_PLANE_PITCH, 4 * WIDTH);
	write32(display + FPDISP_PLANE_SIZE, HEIGHT << 16 | WIDTH);
}

int micro_main(const uint8_t *zero_page)
{
	static const uint32_t black[PIXELS];

	(void)zero_page;
	install_interrupts();
	enable_apic();
	display = enable_function(FENCEPOST_PCI_SLOT_DISPLAY);
	print_value("display", read32(display + FPDISP_ID));
	route_vector(FENCEPOST_PCI_SLOT_DISPLAY, 0, IRQ_VECTOR);
	route_vector(FENCEPOST_PCI_SLOT_DISPLAY, 1, IRQ_VECTOR + 1);
	set_up();
	write32(display + FPDISP_COMMIT, 1);
	print_value("refused while it is off", read32(display + FPDISP_REFUSED));
	print_value("error", read32(display + FPDISP_ERROR_STATUS));
	write32(display + FPDISP_ERROR_STATUS, ~0u);
	write32(display + FPDISP_CRTC_ENABLE, 1);
	print_value("on", read32(display + FPDISP_CRTC_ENABLE));
	print_value("black until the first commit", shows(crc32(black, PIXELS)));
	for (int n = 0; n < 2; n++) {
		draw(n);
		flip(n);
	}
	/* A picture changed while it is shown is fetched again with the next frame. */
	pictures[1][0] = 0xffffffff;
	print_value("changed while it is shown", shows(shown_crc(1)));
	write32(display + FPDISP_PLANE_CONTROL, 0);
	commit();
	print_value("black without the plane", shows(crc32(black, PIXELS)));
	print_value("commits", read64(display + FPDISP_COMMIT_ACCEPTED));
	write32(display + FPDISP_CRTC_ENABLE, 0);
	return 0;
}
