/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Not a test: a hostile guest for ci/bench --worst. It has the CPU do what takes an emulator long and the guest an instruction or
 * little more; the command line names what.
 */
#include "gpu.h"
#include "worst.h"

#define MIB (1ull << 20)
#define REGION (64 * MIB)
#define RAM_END (2048 * MIB)

/* More than are kept of decoded instructions. */
#define JUMPS 700000

static void rep_movs(void)
{
	uint64_t to = REGION + 512 * MIB, from = REGION, count = 512 * MIB;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(count) : : "memory");
}

/* Downwards, and by bytes: an element at a time. */
static void rep_movs_down(void)
{
	uint64_t to = REGION + 300 * MIB + 1, from = REGION + 100 * MIB, count = 64 * MIB;

	asm volatile("std\n\trep movsb\n\tcld" : "+D"(to), "+S"(from), "+c"(count) : : "memory", "cc");
}

static void rep_scas(void)
{
	uint64_t at = REGION, count = 64 * MIB;

	asm volatile("repe scasb" : "+D"(at), "+c"(count) : "a"(0) : "memory", "cc");
}

static void rep_outs(void)
{
	uint64_t from = REGION, count = MIB;

	asm volatile("rep outsb" : "+S"(from), "+c"(count) : "d"(NOBODY_PORT) : "memory");
}

/* Over the registers of all functions and what lies between. */
static void rep_stos_registers(void)
{
	uint64_t at = enable_function(FENCEPOST_PCI_SLOT_GPU), count = MIB / 4;

	asm volatile("rep stosl" : "+D"(at), "+c"(count) : "a"(0) : "memory");
}

static void rep_movs_registers(void)
{
	uint64_t from = enable_function(FENCEPOST_PCI_SLOT_GPU), to = REGION, count = MIB / 4;

	asm volatile("rep movsl" : "+S"(from), "+D"(to), "+c"(count) : : "memory");
}

/* Writes of a register, one behind the other. */
static void registers(void)
{
	uint64_t at = enable_function(FENCEPOST_PCI_SLOT_GPU) + RING_DOORBELL;

	for (int n = 0; n < 1000000; n++)
		write32(at, 0);
}

/* The functions that are worked out in software. */
static void x87(void)
{
	asm volatile("fninit");
	for (int n = 0; n < 300000; n++)
		asm volatile("fldpi\n\tfldl2e\n\tfyl2x\n\tfsin\n\tfldl2t\n\tfpatan\n\tf2xm1\n\tfptan\n\tfprem\n\tfstp %%st(0)\n\tfstp %%st(0)"
			     : : : "memory");
}

static void save_and_restore(void)
{
	static uint8_t area[512] __attribute__((aligned(16)));

	WRITE_CONTROL(4, READ_CONTROL(4) | 1 << 9);
	for (int n = 0; n < 1000000; n++)
		asm volatile("fxsave %0\n\tfxrstor %0" : "+m"(area));
}

static void cpuid(void)
{
	for (uint32_t n = 0; n < 1000000; n++) {
		uint32_t a = n % 20, c = 0;

		asm volatile("cpuid" : "+a"(a), "+c"(c) : : "ebx", "edx");
	}
}

/* Every load is from a page that the TLB does not have, and every translation is dropped now and then. */
static void walks(void)
{
	for (int n = 0; n < 30; n++) {
		for (uint64_t at = REGION; at < RAM_END; at += 16 * PAGE)
			read8(at);
		WRITE_CONTROL(3, READ_CONTROL(3));
	}
}

/* Drops all translations with each instruction. */
static void flushes(void)
{
	for (int n = 0; n < 300000; n++)
		WRITE_CONTROL(3, READ_CONTROL(3));
}

/* Blocks of one instruction, each a jump to the next, at `from`; the last returns. */
static void write_jumps(uint64_t from, uint32_t count)
{
	for (uint32_t n = 0; n < count; n++)
		write16(from + 2 * n, 0x00eb);
	write8(from + 2 * count, 0xc3);
}

/* More code than is kept: all of it is dropped. */
static void much_code(void)
{
	write_jumps(REGION, JUMPS);
	for (int n = 0; n < 3; n++)
		((void (*)(void))REGION)();
}

/* As much code as is kept, and a device writes over all of it at once. */
static void code_written_by_device(void)
{
	static struct gpu_packet packets[16] __attribute__((aligned(PAGE)));
	static volatile uint64_t fence_word __attribute__((aligned(8)));
	static struct sg_entry list __attribute__((aligned(16)));
	uint64_t gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);

	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_RING, IRQ_VECTOR);
	write_jumps(REGION, 240000);
	((void (*)(void))REGION)();
	list = (struct sg_entry){ REGION, MIB, 0 };
	packets[0].opcode = FPGPU_OPCODE_FILL;
	packets[0].dst = (struct gpu_operand){ (uint64_t)&list, 1, 0, 0 };
	packets[0].width = MIB;
	packets[0].height = 1;
	packets[1].opcode = FPGPU_OPCODE_FENCE;
	packets[1].seqno = 1;
	start_ring(gpu, (uint64_t)packets, (uint64_t)&fence_word);
	write32(gpu + RING_TAIL, 2);
	wait_irq(0, 1);
}

/* Blocks at physical addresses that a table of 2^17 chains by their low bits would have in one chain. */
static void one_chain(void)
{
	uint64_t first = 0, last = 0;

	for (uint64_t high = REGION >> 17; high < RAM_END >> 17; high++) {
		uint64_t at = high << 17 | (high ^ 0x5550);

		if (last) {
			/* JMP rel32. */
			write8(last, 0xe9);
			write32(last + 1, (uint32_t)(at - (last + 5)));
		} else {
			first = at;
		}
		last = at;
	}
	write8(last, 0xc3);
	for (int n = 0; n < 4; n++)
		((void (*)(void))first)();
}

static const struct action actions[] = {
	{ "rep-movs", rep_movs },
	{ "rep-movs-down", rep_movs_down },
	{ "rep-scas", rep_scas },
	{ "rep-outs", rep_outs },
	{ "rep-stos-registers", rep_stos_registers },
	{ "rep-movs-registers", rep_movs_registers },
	{ "registers", registers },
	{ "x87", x87 },
	{ "fxsave", save_and_restore },
	{ "cpuid", cpuid },
	{ "walks", walks },
	{ "flushes", flushes },
	{ "much-code", much_code },
	{ "code-written", code_written_by_device },
	{ "one-chain", one_chain },
};

int micro_main(const uint8_t *zero_page)
{
	install_interrupts();
	enable_apic();
	return act_by_name(zero_page, actions, sizeof(actions) / sizeof(actions[0]));
}
