/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* smp.c: the other CPUs, and interrupts from one to another. */
#ifndef MICRO_SMP_H
#define MICRO_SMP_H

#include "micro.h"

#define CPUS 4
#define ICR (APIC + 0x300)
#define ALL_OTHERS (3u << 18)

/* What each CPU but the first does when it is started; it must not return. */
void cpu_starts_with(void (*function)(void));
/* Has a CPU begin, or begin anew, by INIT and SIPI. */
void start_cpu(uint64_t cpu);
/* Sends an interrupt: the low word of the ICR, to an APIC's id. */
void send(uint64_t to, uint32_t what);

/* The running CPU's. */
static inline uint64_t number(void)
{
	return read32(APIC + 0x20) >> 24;
}

static inline void lock_add(volatile uint64_t *to, uint64_t value)
{
	asm volatile("lock addq %1, %0" : "+m"(*to) : "r"(value) : "memory", "cc");
}

/* Waits with PAUSE. */
static inline void spin_until(volatile uint64_t *word, uint64_t value)
{
	while (*word < value)
		asm volatile("pause");
}

#endif
