/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The IOMMU (Intel VT-d specification, legacy mode): the GPU works through a four-level table, then
 * reads an address that is mapped nowhere. The access is refused, recorded and reported by interrupt;
 * the GPU reports its own error and works again after a ring reset.
 */
#include "gpu.h"
#include "vtd.h"

#define IOVA_PACKETS 0x1000ull
#define IOVA_FENCE 0x2000ull
#define IOVA_NOWHERE 0x7000ull

static struct gpu_packet packets[16] __attribute__((aligned(PAGE)));
static volatile uint64_t fence_word __attribute__((aligned(PAGE)));

int micro_main(const uint8_t *zero_page)
{
	uint64_t gpu;

	(void)zero_page;
	install_interrupts();
	enable_apic();
	gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);
	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_RING, IRQ_VECTOR);
	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_ERROR, IRQ_VECTOR + 2);
	vtd_map(IOVA_PACKETS, packets);
	vtd_map(IOVA_FENCE, &fence_word);
	vtd_start(IRQ_VECTOR + 1);
	print_value("translation", read32(UNIT + GSTS) >> 31);

	packets[0].opcode = FPGPU_OPCODE_FENCE;
	packets[0].seqno = 1;
	start_ring(gpu, IOVA_PACKETS, IOVA_FENCE);
	write32(gpu + RING_TAIL, 1);
	wait_irq(0, 1);
	print_value("fence through the IOMMU", fence_word);

	packets[1].opcode = FPGPU_OPCODE_FILL;
	packets[1].dst = (struct gpu_operand){ IOVA_NOWHERE, 1, 64, 0 };
	packets[1].width = 64;
	packets[1].height = 1;
	write32(gpu + RING_TAIL, 2);
	wait_irq(1, 1);
	vtd_show_fault();
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
