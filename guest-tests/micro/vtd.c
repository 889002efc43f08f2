/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Switching the IOMMU on, its tables, its queue and its fault records. */
#include "vtd.h"

#define TRANSLATE (1u << 31)
#define SET_ROOT (1u << 30)
#define QUEUE (1u << 26)
#define QUEUE_DESCRIPTORS 256

static uint64_t root[512] __attribute__((aligned(PAGE)));
static uint64_t contexts[512] __attribute__((aligned(PAGE)));
uint64_t vtd_tables[4][512] __attribute__((aligned(PAGE)));
static uint64_t queue[QUEUE_DESCRIPTORS][2] __attribute__((aligned(PAGE)));
static volatile uint32_t queue_done;
static uint32_t command, tail;

/* Gives a command that stays on, and waits until the unit says it holds. */
static void give(uint32_t bit)
{
	if (bit != SET_ROOT)
		command |= bit;
	write32(UNIT + GCMD, command | bit);
	while (!(read32(UNIT + GSTS) & bit))
		;
}

static void post(uint64_t low, uint64_t high)
{
	queue[tail][0] = low;
	queue[tail][1] = high;
	tail = (tail + 1) % QUEUE_DESCRIPTORS;
}

/* Has the unit run what was posted: the last descriptor says when. */
static void run_queue(void)
{
	queue_done = 0;
	post(5 | 1 << 5 | 1ull << 32, (uint64_t)&queue_done);
	write64(UNIT + IQT, tail << 4);
	while (!queue_done)
		;
}

void vtd_invalidate(enum vtd_scope scope, uint16_t domain, uint64_t iova)
{
	post(2 | scope << 4 | (uint64_t)domain << 16, iova);
	run_queue();
}

void vtd_map(uint64_t iova, const volatile void *page)
{
	vtd_tables[3][iova >> 12 & 511] = page ? (uint64_t)page | 3 : 0;
}

void vtd_attach(int slot)
{
	/* 48-bit addresses (four levels). */
	contexts[2 * (slot << 3)] = (uint64_t)vtd_tables[0] | 1;
	contexts[2 * (slot << 3) + 1] = 2 | GPU_DOMAIN << 8;
}

void vtd_start(uint8_t fault_vector)
{
	/* Bus 0, then the GPU. */
	root[0] = (uint64_t)contexts | 1;
	vtd_attach(FENCEPOST_PCI_SLOT_GPU);
	for (int level = 0; level < 3; level++)
		vtd_tables[level][0] = (uint64_t)vtd_tables[level + 1] | 3;

	write64(UNIT + RTADDR, (uint64_t)root);
	give(SET_ROOT);
	write64(UNIT + IQA, (uint64_t)queue);
	give(QUEUE);
	/* All contexts, then all translations. */
	post(1 | 1 << 4, 0);
	vtd_invalidate(VTD_GLOBAL, 0, 0);
	write32(UNIT + FEDATA, fault_vector);
	write32(UNIT + FEADDR, 0xfee00000);
	write32(UNIT + FEUADDR, 0);
	write32(UNIT + FECTL, 0);
	give(TRANSLATE);
}

void vtd_show_fault(void)
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
