/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* A GPU job that fills memory and fences, its interrupt taken by MSI-X; both ways to ring for it. The IOMMU stays off. */
#include "gpu.h"

static struct gpu_packet packets[16] __attribute__((aligned(PAGE)));
static volatile uint64_t fence_word __attribute__((aligned(8)));
static volatile uint32_t tail_word __attribute__((aligned(4)));
static struct sg_entry list[2] __attribute__((aligned(16)));
static volatile uint32_t pixels[64] __attribute__((aligned(64)));

int micro_main(const uint8_t *zero_page)
{
	uint64_t gpu;

	(void)zero_page;
	install_interrupts();
	enable_apic();
	gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);
	print_value("gpu", read32(gpu + FPGPU_ID));
	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_RING, IRQ_VECTOR);

	/* Two segments, swapped: the first row of 32 bytes lands in the middle of the array. */
	list[0] = (struct sg_entry){ (uint64_t)(pixels + 16), 32, 0 };
	list[1] = (struct sg_entry){ (uint64_t)pixels, 32, 0 };
	packets[0].opcode = FPGPU_OPCODE_FILL;
	packets[0].dst = (struct gpu_operand){ (uint64_t)list, 2, 64, 0 };
	packets[0].width = 64;
	packets[0].height = 1;
	packets[0].value = 0xc0ffee00;
	packets[1].opcode = FPGPU_OPCODE_FENCE;
	packets[1].seqno = 7;
	write64(gpu + RING_TAIL_ADDR, (uint64_t)&tail_word);
	start_ring(gpu, (uint64_t)packets, (uint64_t)&fence_word);
	write32(gpu + RING_TAIL, 2);
	wait_irq(0, 1);
	print_value("interrupts", irq_counts[0]);
	print_value("fence word", fence_word);
	print_value("seqno register", read64(gpu + RING_SEQNO));
	for (int n = 0; n < 32; n += 4)
		print_value("pixel", pixels[n]);

	/* A second fence raises a second interrupt. */
	packets[2].opcode = FPGPU_OPCODE_FENCE;
	packets[2].seqno = 8;
	write32(gpu + RING_TAIL, 3);
	wait_irq(0, 2);
	print_value("fence word", fence_word);
	print_value("head", read32(gpu + RING_HEAD));

	/* A third by the tail word and the doorbell, whose value does not matter. */
	packets[3].opcode = FPGPU_OPCODE_FENCE;
	packets[3].seqno = 9;
	tail_word = 4;
	write32(gpu + RING_DOORBELL, 0x12345678);
	wait_irq(0, 3);
	print_value("fence word", fence_word);
	print_value("tail", read32(gpu + RING_TAIL));
	print_value("the doorbell reads as", read32(gpu + RING_DOORBELL));
	return 0;
}
