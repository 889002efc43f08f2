/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Code that is written over: by a store, through another mapping, one instruction ahead, and by a device's DMA. */
#include "gpu.h"

static struct gpu_packet packets[16] __attribute__((aligned(PAGE)));
static volatile uint64_t fence_word __attribute__((aligned(8)));
static struct sg_entry list[1] __attribute__((aligned(16)));

/* The first instruction of the code in the window: MOV AL, value; RET; NOP. */
static uint32_t code(uint8_t value)
{
	return 0x90c300b0 | (uint32_t)value << 8;
}

static uint64_t call(uint64_t address)
{
	uint64_t result = 0;

	asm volatile("call *%1" : "+a"(result) : "r"(address) : "memory", "cc");
	return result;
}

static void by_stores(void)
{
	uint64_t page = (uint64_t)window_page;

	write32(page, code(1));
	print_value("first", call(page));
	write32(page, code(2));
	print_value("by a store", call(page));
	write8(page + 1, 3);
	print_value("one byte of it", call(page));
	print_value("through the window", call(WINDOW));
	write32(WINDOW, code(4));
	print_value("written through the window", call(page));
	write32(page, code(5));
	print_value("called through the window", call(WINDOW));
	for (uint32_t n = 0; n < 100; n++) {
		write32(page, code(n));
		require(call(page) == n, "every new code is executed");
	}
}

/* The store changes the very next instruction: MOV AL, 6 becomes MOV AL, 7. */
static void ahead(void)
{
	uint64_t result = 0;

	for (int turn = 0; turn < 2; turn++) {
		asm volatile("movb %b1, 1f+1(%%rip)\n1:\tmov $6, %%al" : "+a"(result) : "c"(7 + turn) : "memory");
		print_value("one instruction ahead", result);
	}
}

static void by_device(void)
{
	uint64_t gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);

	list[0] = (struct sg_entry){ (uint64_t)window_page, 64, 0 };
	packets[0].opcode = FPGPU_OPCODE_FILL;
	packets[0].dst = (struct gpu_operand){ (uint64_t)list, 1, 64, 0 };
	packets[0].width = 64;
	packets[0].height = 1;
	packets[0].value = code(9);
	write32((uint64_t)window_page, code(8));
	print_value("before the device writes", call((uint64_t)window_page));
	start_ring(gpu, (uint64_t)packets, (uint64_t)&fence_word);
	write32(gpu + RING_TAIL, 1);
	while (read32(gpu + RING_HEAD) != 1)
		;
	print_value("after", call((uint64_t)window_page));
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	open_window();
	set_window(PTE_PRESENT | PTE_WRITABLE);
	by_stores();
	ahead();
	by_device();
	return 0;
}
