/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a micro-guest has instead of an operating system: the serial port to print on, the exit
 * port to leave through, an interrupt table, and a few registers of the machine.
 */
#ifndef MICRO_H
#define MICRO_H

#include <stddef.h>
#include <stdint.h>

#define PAGE 4096

/* The micro-guest itself; what it returns is the machine's exit status. */
int micro_main(const uint8_t *zero_page);

/* Prints a string; print_hex prints at least `digits` digits of a number. */
void print(const char *text);
void print_hex(uint64_t value, int digits);
/* Prints "name value\n". */
void print_value(const char *name, uint64_t value);
/* Prints a complaint and ends the machine with status 1 when `holds` is 0. */
void require(int holds, const char *what);
_Noreturn void leave(int status);

/* The last exception or interrupt, and how many there were. */
struct trap {
	uint64_t vector, error, address, count;
};
extern volatile struct trap trap;
/* Where an exception goes on; an exception while this is 0 ends the machine. */
extern volatile uint64_t resume;

/* Loads the interrupt table: exceptions go on at `resume`, IRQ_VECTOR.. are counted in `trap`. */
void install_interrupts(void);
#define IRQ_VECTOR 0x40
#define IRQ_VECTORS 4
extern volatile uint64_t irq_counts[IRQ_VECTORS];
/* Turns the local APIC on. */
void enable_apic(void);
/* Halts until interrupt IRQ_VECTOR + n has come `count` times. */
void wait_irq(int n, uint64_t count);

/* Runs an instruction that may fault; afterwards `trap` tells. `result` in RAX, `input` in RCX. */
#define ATTEMPT(instruction, input)                                                           \
	({                                                                                    \
		uint64_t result_;                                                             \
		trap.vector = 0x100;                                                          \
		trap.error = 0;                                                               \
		asm volatile("lea 1f(%%rip), %%rax\n\tmov %%rax, resume(%%rip)\n\t" instruction \
			     "\n1:\tmovq $0, resume(%%rip)"                                   \
			     : "=a"(result_)                                                  \
			     : "c"((uint64_t)(input))                                         \
			     : "rdx", "memory", "cc");                                        \
		result_;                                                                      \
	})
/* Prints the exception that the last ATTEMPT made, if any. */
void print_trap(const char *name, int with_address);

static inline void out8(uint16_t port, uint8_t value)
{
	asm volatile("outb %0, %1" : : "a"(value), "Nd"(port) : "memory");
}

static inline uint8_t in8(uint16_t port)
{
	uint8_t value;

	asm volatile("inb %1, %0" : "=a"(value) : "Nd"(port) : "memory");
	return value;
}

static inline uint32_t read32(uint64_t address)
{
	uint32_t value;

	asm volatile("movl (%1), %0" : "=r"(value) : "r"(address) : "memory");
	return value;
}

static inline void write32(uint64_t address, uint32_t value)
{
	asm volatile("movl %0, (%1)" : : "r"(value), "r"(address) : "memory");
}

static inline uint64_t read64(uint64_t address)
{
	return read32(address) | (uint64_t)read32(address + 4) << 32;
}

static inline void write64(uint64_t address, uint64_t value)
{
	write32(address, value);
	write32(address + 4, value >> 32);
}

static inline uint64_t read_msr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

static inline void write_msr(uint32_t msr, uint64_t value)
{
	asm volatile("wrmsr" : : "c"(msr), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)) : "memory");
}

#define READ_CONTROL(n)                                           \
	({                                                        \
		uint64_t value_;                                  \
		asm volatile("mov %%cr" #n ", %0" : "=r"(value_)); \
		value_;                                           \
	})
#define WRITE_CONTROL(n, value) asm volatile("mov %0, %%cr" #n : : "r"((uint64_t)(value)) : "memory")

/* Configuration space of function 0 of a device on bus 0. */
#define ECAM 0xe0000000ul
#define CONFIG(slot, offset) (ECAM + ((uint64_t)(slot) << 15) + (offset))
#define GPU_SLOT 1

/* A function found and switched on: its registers, with vector `entry` of its MSI-X table sent to `vector`. */
uint64_t enable_function(int slot);
void route_vector(int slot, int entry, uint8_t vector);

#endif
