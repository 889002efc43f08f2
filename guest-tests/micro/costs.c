/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Not a test: the guest's half of ci/bench --devices. It does each thing COUNT times in a loop, and has the device stamp the host's
 * clock before and after; vmm/examples/costs.rs is the other half and has the same numbers.
 */
#include "micro.h"

#define METER_SLOT 4
#define METER_COUNT 0x00
#define METER_ROUNDS 0x04
#define METER_STAMP 0x08
#define METER_NOTHING 0x0c
#define METER_BELL 0x10
#define METER_RAISE 0x14
#define METER_JOB 0x18

enum kind {
	LOOP,
	READ,
	WRITE,
	DOORBELL,
	GATE,
	MESSAGE,
	JOB,
};

volatile uint64_t taken;
static uint64_t meter, count;

void handler(void);
asm("handler:\n"
    "	push %rax\n	incq taken(%rip)\n"
    "	mov $0xfee000b0, %eax\n	movl $0, (%rax)\n"
    "	pop %rax\n	iretq\n");

#define TIMED(kind, what)                               \
	do {                                            \
		write32(meter + METER_STAMP, kind);     \
		for (uint64_t n = 0; n < count; n++) {  \
			asm volatile("" : : : "memory"); \
			what;                           \
		}                                       \
		write32(meter + METER_STAMP, kind);     \
	} while (0)

/* The same handler without a message. */
static void gate(void)
{
	uint64_t before = taken;

	TIMED(GATE, asm volatile("int %0" : : "i"(IRQ_VECTOR) : "memory"));
	require(taken - before == count, "every interrupt was taken");
}

/* The handler runs before the instruction that follows the write. */
static void message(void)
{
	uint64_t before = taken;

	asm volatile("sti");
	TIMED(MESSAGE, write32(meter + METER_RAISE, 0));
	asm volatile("cli");
	require(taken - before == count, "every message was delivered");
}

/* The device is called some time after it was asked for a job, and interrupts the CPU, which waits. */
static void job(void)
{
	uint64_t before = taken;

	TIMED(JOB, write32(meter + METER_JOB, 0); asm volatile("sti; hlt; cli"));
	require(taken - before == count, "every job was done");
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	enable_apic();
	meter = enable_function(METER_SLOT);
	count = read32(meter + METER_COUNT);
	set_gate(IRQ_VECTOR, handler);
	route_vector(METER_SLOT, 0, IRQ_VECTOR);
	for (uint32_t round = read32(meter + METER_ROUNDS); round; round--) {
		TIMED(LOOP, );
		TIMED(READ, read32(meter + METER_NOTHING));
		TIMED(WRITE, write32(meter + METER_NOTHING, 0));
		TIMED(DOORBELL, write32(meter + METER_BELL, 0));
		gate();
		message();
		job();
	}
	return 0;
}
