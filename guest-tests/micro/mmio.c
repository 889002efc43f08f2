/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Memory-mapped registers: reads and writes of each width, unaligned, across two registers, by string instructions. */
#include "gpu.h"

static void reads(uint64_t gpu)
{
	print_value("8 bits", read8(gpu + FPGPU_ID));
	print_value("8 bits at 1", read8(gpu + FPGPU_ID + 1));
	print_value("8 bits at 3", read8(gpu + FPGPU_ID + 3));
	print_value("16 bits", read16(gpu + FPGPU_ID));
	print_value("16 bits at 1", read16(gpu + FPGPU_ID + 1));
	print_value("32 bits", read32(gpu + FPGPU_ID));
	print_value("32 bits at 2", read32(gpu + FPGPU_ID + 2));
	print_value("64 bits", read64(gpu + FPGPU_ID));
	print_value("64 bits at 3", read64(gpu + FPGPU_ID + 3));
	/* Sign and zero extension of what a device gives. */
	print_value("zero-extended", ATTEMPT("movzbl 2(%%rcx), %%eax", gpu));
	print_value("sign-extended", ATTEMPT("movabs $0, %%rax\n\tmovsbq 1(%%rcx), %%rax", CONFIG(FENCEPOST_PCI_SLOT_GPU, 0)));
}

static void writes(uint64_t gpu)
{
	write64(gpu + RING_BASE, 0x1122334455667780);
	print_value("64 bits written", read64(gpu + RING_BASE));
	write32(gpu + RING_BASE, 0xaabbcc80);
	print_value("low 32 bits written", read64(gpu + RING_BASE));
	write32(gpu + RING_BASE + 4, 0x99887766);
	print_value("high 32 bits written", read64(gpu + RING_BASE));
	/* Less than a register is not written. */
	write8(gpu + RING_BASE + 1, 0x55);
	write16(gpu + RING_BASE + 4, 0x5555);
	write32(gpu + RING_BASE + 2, 0x55555555);
	print_value("parts written", read64(gpu + RING_BASE));
	/* Unaligned over three words: only the whole one in the middle is written. */
	write32(gpu + RING_SIZE, 0x10);
	write64(gpu + RING_BASE + 2, 0x0123456789abcdef);
	print_value("64 bits at 2 written", read64(gpu + RING_BASE));
	print_value("the next register", read32(gpu + RING_SIZE));
	write32(gpu + FPGPU_ID, 0);
	print_value("a read-only register", read32(gpu + FPGPU_ID));
}

/* Configuration space takes every width. */
static void configuration(void)
{
	uint64_t line = CONFIG(FENCEPOST_PCI_SLOT_GPU, 0x3c);

	write8(line, 0x5a);
	print_value("interrupt line", read8(line));
	write32(line, 0xffffff21);
	print_value("written with 32 bits", read32(line));
	write16(CONFIG(FENCEPOST_PCI_SLOT_GPU, 4), 6);
	print_value("command", read16(CONFIG(FENCEPOST_PCI_SLOT_GPU, 4)));
	print_value("capabilities pointer", read8(CONFIG(FENCEPOST_PCI_SLOT_GPU, 0x34)));
	print_value("nobody, 8 bits", read8(CONFIG(9, 0)));
	print_value("nobody, 64 bits", read64(CONFIG(9, 0)));
}

static void instructions(uint64_t gpu)
{
	static uint32_t words[4];
	uint64_t to = (uint64_t)words, from = gpu, count = 4;

	asm volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	for (int n = 0; n < 4; n++)
		print_value("moved", words[n]);
	print_value("address after", from - gpu);
	to = gpu + RING_BASE;
	from = (uint64_t)words;
	count = 2;
	asm volatile("rep movsl" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
	print_value("moved to the device", read64(gpu + RING_BASE));
	/* Read, change, write. */
	asm volatile("orl $0xf, 4(%0)\n\taddl $1, 4(%0)" : : "r"(gpu + RING_BASE) : "memory", "cc");
	print_value("changed in place", read64(gpu + RING_BASE));
	print_value("exchanged", ATTEMPT("mov $0x1000, %%eax\n\txchgl %%eax, (%%rcx)", gpu + RING_BASE));
	print_value("and left", read64(gpu + RING_BASE));
	print_value("compared", ATTEMPT("xor %%eax, %%eax\n\tcmpl $0x1000, (%%rcx)\n\tsete %%al", gpu + RING_BASE));
	print_value("pushed", ATTEMPT("pushq (%%rcx)\n\tpop %%rax", gpu + RING_BASE));
}

int micro_main(const uint8_t *zero_page)
{
	uint64_t gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);

	(void)zero_page;
	reads(gpu);
	writes(gpu);
	configuration();
	instructions(gpu);
	return 0;
}
