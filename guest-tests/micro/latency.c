/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Not a test: the guest's half of ci/bench's latencies. It times each thing COUNT times by RDTSC and leaves the samples, in
 * cycles, at SAMPLES, one row of COUNT for each kind; vmm/examples/latency is the other half and has the same numbers.
 */
#include "micro.h"

#define PROBE_SLOT 1
#define PROBE_COUNT 0x00
#define PROBE_NOTHING 0x04
#define PROBE_STAMP_ADDR 0x08
#define PROBE_RING 0x10
#define PROBE_BELL 0x14
#define PROBE_LATER 0x18

#define SAMPLES 0x1000000ul
#define SCRATCH_PORT 0x3ff

enum kind {
	BASELINE,
	PORT_READ,
	MMIO_READ,
	MMIO_WRITE,
	DOORBELL_EXIT,
	DOORBELL_EVENT,
	IRQFD_HALTED,
	IRQFD_RUNNING,
	SIGNALLED_HALTED,
	SIGNALLED_RUNNING,
	ASSIST,
};

/* The device's stamp of the moment it saw the doorbell, or raised the vector; the handler's of its first instruction. */
static volatile uint64_t stamp __attribute__((aligned(8)));
volatile uint64_t taken;
static volatile uint64_t pair[2] __attribute__((aligned(16)));
static uint64_t probe, count;

void handler(void);
asm("handler:\n"
    "	push %rax\n	push %rdx\n	rdtsc\n"
    "	mov %edx, taken+4(%rip)\n	mov %eax, taken(%rip)\n"
    "	mov $0xfee000b0, %eax\n	movl $0, (%rax)\n"
    "	pop %rdx\n	pop %rax\n	iretq\n");

static void sample(enum kind kind, uint64_t n, uint64_t cycles)
{
	((volatile uint64_t *)SAMPLES)[kind * count + n] = cycles;
}

/* The time between two readings of the counter with `what` between them. */
#define TIMED(kind, what)                                                  \
	for (uint64_t n = 0; n < count; n++) {                             \
		uint64_t start = tsc();                                    \
		what;                                                      \
		sample(kind, n, tsc() - start);                            \
	}

static void doorbell(enum kind kind, int reg)
{
	for (uint64_t n = 0; n < count; n++) {
		uint64_t start;

		stamp = 0;
		start = tsc();
		write32(probe + reg, 1);
		while (!stamp)
			;
		sample(kind, n, stamp - start);
	}
}

/* From the device's raising of a vector, some time after it was asked to, to the first instruction of the handler. */
static void interrupt(enum kind kind, uint32_t vector, int halted)
{
	for (uint64_t n = 0; n < count; n++) {
		taken = 0;
		write32(probe + PROBE_LATER, vector);
		if (halted) {
			while (!taken)
				asm volatile("sti; hlt; cli");
		} else {
			asm volatile("sti");
			while (!taken)
				;
			asm volatile("cli");
		}
		sample(kind, n, taken - stamp);
	}
}

static void compare_exchange(void)
{
	uint64_t low = 0, high = 0;

	asm volatile("lock cmpxchg16b %0" : "+m"(pair), "+a"(low), "+d"(high) : "b"(0ull), "c"(0ull) : "memory", "cc");
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	enable_apic();
	probe = enable_function(PROBE_SLOT);
	count = read32(probe + PROBE_COUNT);
	write64(probe + PROBE_STAMP_ADDR, (uint64_t)&stamp);
	for (int vector = 0; vector < 2; vector++) {
		set_gate(IRQ_VECTOR + vector, handler);
		route_vector(PROBE_SLOT, vector, IRQ_VECTOR + vector);
	}
	TIMED(BASELINE, );
	TIMED(PORT_READ, in8(SCRATCH_PORT));
	TIMED(MMIO_READ, read32(probe + PROBE_NOTHING));
	TIMED(MMIO_WRITE, write32(probe + PROBE_NOTHING, 0));
	doorbell(DOORBELL_EXIT, PROBE_RING);
	doorbell(DOORBELL_EVENT, PROBE_BELL);
	interrupt(IRQFD_HALTED, 0, 1);
	interrupt(IRQFD_RUNNING, 0, 0);
	interrupt(SIGNALLED_HALTED, 1, 1);
	interrupt(SIGNALLED_RUNNING, 1, 0);
	TIMED(ASSIST, compare_exchange());
	return 0;
}
