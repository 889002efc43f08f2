/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The camera writes two frames of its test pattern into scattered buffers, with records, interrupts and right CRCs. */
#include "camera.h"
#include "crc.h"

#define SIDE 16
#define FRAME_WORDS (SIDE * SIDE / 2)
#define FRAMES 2

static struct camera_descriptor queue[4] __attribute__((aligned(64)));
static volatile struct camera_completion completions[4] __attribute__((aligned(64)));
static volatile uint32_t tail_word __attribute__((aligned(4)));
static struct sg_entry lists[FRAMES][2] __attribute__((aligned(16)));
static volatile uint32_t frames[FRAMES][FRAME_WORDS] __attribute__((aligned(64)));

/* Each frame in two pieces, the second half first in memory. */
static void post(int n)
{
	uint64_t middle = (uint64_t)(frames[n] + FRAME_WORDS / 2);

	lists[n][0] = (struct sg_entry){ middle, 4 * FRAME_WORDS / 2, 0 };
	lists[n][1] = (struct sg_entry){ (uint64_t)frames[n], 4 * FRAME_WORDS / 2, 0 };
	queue[n].cookie = 0xc00c1e00 + n;
	queue[n].index = n;
	queue[n].planes = 1;
	queue[n].table = (uint64_t)lists[n];
	queue[n].entries = 2;
	queue[n].len_bytes = 4 * FRAME_WORDS;
}

/* Puts the frame's halves in order. */
static void swap_halves(volatile uint32_t *words)
{
	for (int n = 0; n < FRAME_WORDS / 2; n++) {
		uint32_t word = words[n];

		words[n] = words[n + FRAME_WORDS / 2];
		words[n + FRAME_WORDS / 2] = word;
	}
}

/* Bars of two pixels each, Y Cb Y Cr, from the left of frame 0; each frame moves them by two bars. */
static const uint32_t bars[8] = {
	0x80b480b4, 0x8ea22ca2, 0x2c839c83, 0x3a704870, 0xc654b854, 0xd4416441, 0x7223d423, 0x80108010,
};

static void show(int n)
{
	volatile struct camera_completion *record = &completions[n];
	volatile uint32_t *words = frames[n];

	print_value("record", record->ordinal);
	print_value("  cookie", record->cookie);
	print_value("  status", record->status);
	print_value("  bytes", record->bytes);
	print_value("  ends after it starts", record->end_cycles > record->start_cycles);
	/* A host that is late drops frames: the sequence number says which this is. */
	print_value("  in sequence", n ? record->sequence > completions[n - 1].sequence : !record->sequence);
	swap_halves(words);
	print_value("  crc agrees", record->crc == crc32(words, FRAME_WORDS));
	for (int at = 0; at < FRAME_WORDS; at++)
		require(words[at] == bars[(at + 2 * record->sequence) % 8], "the bars are where they belong");
	print("  the bars are where they belong\n");
}

static void set_up(uint64_t camera)
{
	write32(camera + FPCAM_WIDTH, SIDE);
	write32(camera + FPCAM_HEIGHT, SIDE);
	write32(camera + FPCAM_STRIDE, 2 * SIDE);
	write32(camera + FPCAM_RATE_NUM, 60);
	write64(camera + FPCAM_QUEUE_BASE, (uint64_t)queue);
	write64(camera + FPCAM_COMPLETION_BASE, (uint64_t)completions);
	write32(camera + FPCAM_RING_ENTRIES, 4);
	write64(camera + FPCAM_QUEUE_TAIL_ADDR, (uint64_t)&tail_word);
}

int micro_main(const uint8_t *zero_page)
{
	uint64_t camera;

	(void)zero_page;
	install_interrupts();
	enable_apic();
	camera = enable_function(FENCEPOST_PCI_SLOT_CAMERA);
	print_value("camera", read32(camera + FPCAM_ID));
	for (int vector = 0; vector < 3; vector++)
		route_vector(FENCEPOST_PCI_SLOT_CAMERA, vector, IRQ_VECTOR + vector);
	set_up(camera);
	write32(camera + FPCAM_CONTROL, 1);
	print_value("streaming", read32(camera + FPCAM_STATUS) & 1);
	write32(camera + FPCAM_WIDTH, SIDE + 2);
	wait_irq(1, 1);
	print_value("error of a locked register", read32(camera + FPCAM_ERROR_CODE));
	write32(camera + FPCAM_ERROR_CODE, 0);
	write32(camera + FPCAM_CONTROL, 0);

	for (int n = 0; n < FRAMES; n++)
		post(n);
	/* One buffer by the register, the next by the tail word and the doorbell. */
	write32(camera + FPCAM_QUEUE_TAIL, 1);
	tail_word = FRAMES;
	write32(camera + FPCAM_QUEUE_DOORBELL, 1);
	print_value("posted", read32(camera + FPCAM_QUEUE_TAIL));
	write32(camera + FPCAM_CONTROL, 1);
	wait_irq(0, FRAMES);
	for (int n = 0; n < FRAMES; n++)
		show(n);
	/* No buffer is left. */
	wait_irq(2, 1);
	print_value("frames dropped", read32(camera + FPCAM_OVERRUN_COUNT) != 0);
	write32(camera + FPCAM_CONTROL, 0);
	print_value("streaming", read32(camera + FPCAM_STATUS) & 1);
	print_value("frames", read32(camera + FPCAM_FRAME_COUNT));
	print_value("errors", read32(camera + FPCAM_ERROR_COUNT));
	return 0;
}
