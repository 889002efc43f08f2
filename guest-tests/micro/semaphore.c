/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Two GPU rings: one waits on a semaphore in memory until the other has copied and signalled it; one by the CPU. */
#include "gpu.h"

static struct gpu_packet packets[2][16] __attribute__((aligned(PAGE)));
static volatile uint64_t fence_words[2] __attribute__((aligned(8)));
static volatile uint64_t semaphores[2] __attribute__((aligned(8)));
static struct sg_entry lists[3] __attribute__((aligned(16)));
static volatile uint32_t source[8], middle[8], target[8];

static void start(uint64_t gpu, int ring)
{
	start_ring(gpu + ring * FPGPU_RING_STEP, (uint64_t)packets[ring], (uint64_t)&fence_words[ring]);
}

static void copy(struct gpu_packet *packet, int to, int from)
{
	packet->opcode = FPGPU_OPCODE_COPY;
	packet->dst = (struct gpu_operand){ (uint64_t)&lists[to], 1, 32, 0 };
	packet->src = (struct gpu_operand){ (uint64_t)&lists[from], 1, 32, 0 };
	packet->width = 32;
	packet->height = 1;
}

static void semaphore(struct gpu_packet *packet, uint32_t opcode, int which, uint64_t value)
{
	packet->opcode = opcode;
	packet->address = (uint64_t)&semaphores[which];
	packet->value = value;
}

static void fence(struct gpu_packet *packet, uint64_t seqno)
{
	packet->opcode = FPGPU_OPCODE_FENCE;
	packet->seqno = seqno;
}

int micro_main(const uint8_t *zero_page)
{
	volatile uint32_t *const words[] = { source, middle, target };
	uint64_t gpu;

	(void)zero_page;
	install_interrupts();
	enable_apic();
	gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);
	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_RING, IRQ_VECTOR);
	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_RING + 1, IRQ_VECTOR + 1);
	for (int n = 0; n < 3; n++)
		lists[n] = (struct sg_entry){ (uint64_t)words[n], 32, 0 };
	for (int n = 0; n < 8; n++)
		source[n] = 0x1010101 * n;

	/* Ring 0 copies on what ring 1 has copied, when it is there. */
	semaphore(&packets[0][0], FPGPU_OPCODE_SEM_WAIT, 0, 5);
	copy(&packets[0][1], 2, 1);
	fence(&packets[0][2], 1);
	copy(&packets[1][0], 1, 0);
	semaphore(&packets[1][1], FPGPU_OPCODE_SEM_SIGNAL, 0, 5);
	semaphore(&packets[1][2], FPGPU_OPCODE_SEM_WAIT, 1, 9);
	fence(&packets[1][3], 2);
	start(gpu, 0);
	start(gpu, 1);
	write32(gpu + RING_TAIL, 3);
	print_value("ring 0 waits at", read32(gpu + RING_HEAD));
	print_value("nothing copied", target[7]);
	write32(gpu + FPGPU_RING_STEP + RING_TAIL, 4);
	wait_irq(0, 1);
	print_value("fence of ring 0", fence_words[0]);
	print_value("semaphore", semaphores[0]);
	for (int n = 0; n < 8; n++)
		require(target[n] == source[n], "what was copied is what was there");
	print_value("copied", target[7]);
	print_value("fence of ring 1", fence_words[1]);
	/* A store of the CPU's is seen when the device looks again. */
	semaphores[1] = 9;
	wait_irq(1, 1);
	print_value("fence of ring 1", fence_words[1]);
	print_value("order", irq_order);
	return 0;
}
