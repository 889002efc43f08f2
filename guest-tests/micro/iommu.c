/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The IOMMU (Intel VT-d specification, legacy mode): the GPU works through a four-level table, then
 * reads an address that is mapped nowhere. The access is refused, recorded and reported by interrupt;
 * the GPU reports its own error and works again after a ring reset.
 */
#include "gpu.h"

#define UNIT 0xfed90000ul
#define CAP 0x08
#define GCMD 0x18
#define GSTS 0x1c
#define RTADDR 0x20
#define FSTS 0x34
#define FECTL 0x38
#define FEDATA 0x3c
#define FEADDR 0x40
#define FEUADDR 0x44
#define IQH 0x80
#define IQT 0x88
#define IQA 0x90

#define TRANSLATE (1u << 31)
#define SET_ROOT (1u << 30)
#define QUEUE (1u << 26)

#define IOVA_PACKETS 0x1000ull
#define IOVA_FENCE 0x2000ull
#define IOVA_NOWHERE 0x7000ull

static uint64_t root[512] __attribute__((aligned(PAGE)));
static uint64_t contexts[512] __attribute__((aligned(PAGE)));
static uint64_t levels[4][512] __attribute__((aligned(PAGE)));
static uint64_t queue[512] __attribute__((aligned(PAGE)));
static struct gpu_packet packets[16] __attribute__((aligned(PAGE)));
static volatile uint64_t fence_word __attribute__((aligned(PAGE)));
static volatile uint32_t queue_done;
static uint32_t command;

/* Gives a command that stays on, and waits until the unit says it holds. */
static void give(uint32_t bit)
{
	if (bit != SET_ROOT)
		command |= bit;
	write32(UNIT + GCMD, command | bit);
	while (!(read32(UNIT + GSTS) & bit))
		;
}

/* Drops everything cached: contexts, then translations; the third descriptor says when. */
static void invalidate_all(void)
{
	queue[0] = 1 | 1 << 4;
	queue[2] = 2 | 1 << 4;
	queue[4] = 5 | 1 << 5 | 1ull << 32;
	queue[5] = (uint64_t)&queue_done;
	write64(UNIT + IQA, (uint64_t)queue);
	give(QUEUE);
	write64(UNIT + IQT, 3 << 4);
	while (!queue_done)
		;
}

static void map(uint64_t iova, const volatile void *page)
{
	levels[3][iova >> 12 & 511] = (uint64_t)page | 3;
}

static void set_up(void)
{
	/* Bus 0, then the GPU alone: 48-bit addresses (four levels), domain 1. */
	root[0] = (uint64_t)contexts | 1;
	contexts[2 * (GPU_SLOT << 3)] = (uint64_t)levels[0] | 1;
	contexts[2 * (GPU_SLOT << 3) + 1] = 2 | 1 << 8;
	for (int level = 0; level < 3; level++)
		levels[level][0] = (uint64_t)levels[level + 1] | 3;
	map(IOVA_PACKETS, packets);
	map(IOVA_FENCE, &fence_word);

	write64(UNIT + RTADDR, (uint64_t)root);
	give(SET_ROOT);
	invalidate_all();
	write32(UNIT + FEDATA, IRQ_VECTOR + 1);
	write32(UNIT + FEADDR, 0xfee00000);
	write32(UNIT + FEUADDR, 0);
	write32(UNIT + FECTL, 0);
	give(TRANSLATE);
	print_value("translation", read32(UNIT + GSTS) >> 31);
}

/* Prints and clears the first fault record. */
static void show_fault(void)
{
	/* The records' offset is in bits 33:24 of the capabilities, in units of 16 bytes. */
	uint64_t record = UNIT + ((read64(UNIT + CAP) >> 24 & 0x3ff) << 4);
	uint64_t low = read64(record), high = read64(record + 8);

	print_value("fault status", read32(UNIT + FSTS) & 2);
	print_value("fault address", low);
	print_value("source", high & 0xffff);
	print_value("reason", high >> 32 & 0xff);
	print_value("is a read", high >> 62 & 1);
	print_value("recorded", high >> 63);
	write32(record + 12, 1u << 31);
	write32(UNIT + FSTS, 1);
	print_value("fault status after it was cleared", read32(UNIT + FSTS) & 2);
}

int micro_main(const uint8_t *zero_page)
{
	uint64_t gpu;

	(void)zero_page;
	install_interrupts();
	enable_apic();
	gpu = enable_function(GPU_SLOT);
	route_vector(GPU_SLOT, GPU_VECTOR_RING, IRQ_VECTOR);
	route_vector(GPU_SLOT, GPU_VECTOR_ERROR, IRQ_VECTOR + 2);
	set_up();

	packets[0].opcode = OPCODE_FENCE;
	packets[0].seqno = 1;
	start_ring(gpu, IOVA_PACKETS, IOVA_FENCE);
	write32(gpu + RING_TAIL, 1);
	wait_irq(0, 1);
	print_value("fence through the IOMMU", fence_word);

	packets[1].opcode = OPCODE_FILL;
	packets[1].dst = (struct gpu_operand){ IOVA_NOWHERE, 1, 64, 0 };
	packets[1].width = 64;
	packets[1].height = 1;
	write32(gpu + RING_TAIL, 2);
	wait_irq(1, 1);
	show_fault();
	wait_irq(2, 1);
	print_value("gpu error", read32(gpu + RING_ERROR_CODE));
	print_value("gpu error address", read64(gpu + RING_ERROR_ADDRESS));

	packets[0].seqno = 2;
	write32(gpu + RING_CONTROL, 3);
	write32(gpu + RING_TAIL, 1);
	wait_irq(0, 2);
	print_value("fence after the reset", fence_word);
	print_value("fault interrupts", irq_counts[1]);
	return 0;
}
