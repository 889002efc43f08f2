/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The IOTLB: a stale translation stays until it is invalidated, by page, by domain, globally, by queue or register. */
#include "gpu.h"
#include "vtd.h"

#define IOVA_PACKETS 0x1000ull
#define IOVA_FENCE 0x2000ull

static struct gpu_packet packets[16] __attribute__((aligned(PAGE)));
static volatile uint64_t first[512] __attribute__((aligned(PAGE)));
static volatile uint64_t second[512] __attribute__((aligned(PAGE)));
static uint64_t gpu;
static uint32_t done;

/* One fence, and the page it was written to. */
static void fence(const char *name)
{
	packets[done].opcode = FPGPU_OPCODE_FENCE;
	packets[done].seqno = done + 1;
	done++;
	write32(gpu + RING_TAIL, done);
	while (read32(gpu + RING_HEAD) != done && !(read32(gpu + RING_STATUS) & FPGPU_RING_STATUS_ERROR))
		;
	print(name);
	print(first[0] == done ? ": first page\n" : second[0] == done ? ": second page\n" : ": refused\n");
}

/* By the registers: all of one domain. */
static void invalidate_by_register(void)
{
	write64(UNIT + IOTLB, 1ull << 63 | 2ull << 60 | (uint64_t)GPU_DOMAIN << 32);
	while (read64(UNIT + IOTLB) >> 63)
		;
	print_value("granularity done", read64(UNIT + IOTLB) >> 57 & 3);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	enable_apic();
	gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);
	vtd_map(IOVA_PACKETS, packets);
	vtd_map(IOVA_FENCE, first);
	vtd_start(IRQ_VECTOR + 1);
	start_ring(gpu, IOVA_PACKETS, IOVA_FENCE);
	fence("mapped to the first page");

	vtd_map(IOVA_FENCE, second);
	fence("changed, not invalidated");
	vtd_invalidate(VTD_PAGES, GPU_DOMAIN, IOVA_PACKETS);
	fence("another page invalidated");
	vtd_invalidate(VTD_PAGES, GPU_DOMAIN + 1, IOVA_FENCE);
	fence("another domain's page invalidated");
	vtd_invalidate(VTD_PAGES, GPU_DOMAIN, IOVA_FENCE);
	fence("the page invalidated");

	vtd_map(IOVA_FENCE, first);
	fence("changed, not invalidated");
	vtd_invalidate(VTD_DOMAIN, GPU_DOMAIN + 1, 0);
	fence("another domain invalidated");
	vtd_invalidate(VTD_DOMAIN, GPU_DOMAIN, 0);
	fence("the domain invalidated");

	vtd_map(IOVA_FENCE, second);
	vtd_invalidate(VTD_GLOBAL, 0, 0);
	fence("all invalidated");
	vtd_map(IOVA_FENCE, first);
	invalidate_by_register();
	fence("the domain invalidated by register");

	vtd_map(IOVA_FENCE, NULL);
	fence("unmapped, not invalidated");
	vtd_invalidate(VTD_PAGES, GPU_DOMAIN, IOVA_FENCE);
	fence("unmapped and invalidated");
	vtd_show_fault();
	print_value("gpu error address", read64(gpu + RING_ERROR_ADDRESS));
	return 0;
}
