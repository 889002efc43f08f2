/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * What a micro-guest has instead of an operating system: the serial port to print on, the exit
 * port to leave through, an interrupt table, and a few registers of the machine.
 */
#ifndef MICRO_H
#define MICRO_H

#include <fencepost_pci.h>
#include <stddef.h>
#include <stdint.h>

#define PAGE 4096
/* A port that nobody answers. */
#define NOBODY_PORT 0x180

/* The micro-guest itself; what it returns is the machine's exit status. */
int micro_main(const uint8_t *zero_page);
/* The first number on the command line, or another if there is none, or zero. */
uint64_t first_number(const uint8_t *zero_page, uint64_t otherwise);

/* Prints a string; print_hex prints at least `digits` digits of a number. */
void print(const char *text);
void print_hex(uint64_t value, int digits);
/* Prints "name value\n". */
void print_value(const char *name, uint64_t value);
/* Prints a complaint and ends the machine with status 1 when `holds` is 0. */
void require(int holds, const char *what);
_Noreturn void leave(int status);

/* What the CPU pushes. */
struct frame {
	uint64_t rip, cs, flags, rsp, ss;
};

/* The last exception, where it happened, and how many there were. */
struct trap {
	uint64_t vector, error, address, rip, count;
};
extern volatile struct trap trap;
/* Where to resume after an exception; an exception while this is 0 ends the machine. */
extern volatile uint64_t resume;

/* Loads the interrupt table: exceptions resume at `resume`, IRQ_VECTOR.. are counted in `trap`. */
void install_interrupts(void);
#define IRQ_VECTOR 0x40
#define IRQ_VECTORS 4
extern volatile uint64_t irq_counts[IRQ_VECTORS];
/* The last interrupts in their order, a hexadecimal digit n + 1 for each IRQ_VECTOR + n, the newest lowest. */
extern volatile uint64_t irq_order;
extern volatile uint64_t nmi_count;
/* Puts a handler of one's own into the table. */
void set_gate(int vector, void *handler);
/* Turns the local APIC on. */
void enable_apic(void);
/* Takes what interrupts wait, then switches them off again. */
void open_interrupts(void);
/* Halts until interrupt IRQ_VECTOR + n has come `count` times. */
void wait_irq(int n, uint64_t count);

/* `trap.vector` when nothing happened. */
#define NO_TRAP 0x100
/* Runs an instruction that may fault; afterwards `trap` tells. `result` in RAX, `input` in RCX. */
#define ATTEMPT(instruction, input)                                                           \
	({                                                                                    \
		uint64_t result_;                                                             \
		trap.vector = NO_TRAP;                                                        \
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

#define PORT_ACCESSORS(bits, suffix)                                                      \
	static inline void out##bits(uint16_t port, uint##bits##_t value)                 \
	{                                                                                 \
		asm volatile("out" suffix " %0, %1" : : "a"(value), "Nd"(port) : "memory"); \
	}                                                                                 \
	static inline uint##bits##_t in##bits(uint16_t port)                              \
	{                                                                                 \
		uint##bits##_t value;                                                     \
                                                                                          \
		asm volatile("in" suffix " %1, %0" : "=a"(value) : "Nd"(port) : "memory");  \
		return value;                                                             \
	}
PORT_ACCESSORS(8, "b")
PORT_ACCESSORS(16, "w")
PORT_ACCESSORS(32, "l")

/* One access of exactly this width. */
#define MEMORY_ACCESSORS(bits, suffix)                                                      \
	static inline uint##bits##_t read##bits(uint64_t address)                           \
	{                                                                                   \
		uint##bits##_t value;                                                       \
                                                                                            \
		asm volatile("mov" suffix " (%1), %0" : "=r"(value) : "r"(address) : "memory"); \
		return value;                                                               \
	}                                                                                   \
	static inline void write##bits(uint64_t address, uint##bits##_t value)              \
	{                                                                                   \
		asm volatile("mov" suffix " %0, (%1)" : : "r"(value), "r"(address) : "memory"); \
	}
MEMORY_ACCESSORS(8, "b")
MEMORY_ACCESSORS(16, "w")
MEMORY_ACCESSORS(32, "l")
MEMORY_ACCESSORS(64, "q")

static inline uint64_t read_msr(uint32_t msr)
{
	uint32_t low, high;

	asm volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr));
	return low | (uint64_t)high << 32;
}

#define EFER 0xc0000080

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

static inline uint64_t tsc(void)
{
	uint32_t low, high;

	asm volatile("rdtsc" : "=a"(low), "=d"(high) : : "memory");
	return low | (uint64_t)high << 32;
}

#define APIC 0xfee00000ul

/* The bits of a page-table entry. */
#define PTE_PRESENT 1ull
#define PTE_WRITABLE 2ull
#define PTE_USER 4ull
#define PTE_ACCESSED 0x20ull
#define PTE_DIRTY 0x40ull
#define PTE_NO_EXECUTE (1ull << 63)

/* paging.c: `window_page` is seen at WINDOW with the rights that set_window gives; open_window comes first. */
#define WINDOW (1ull << 39)
extern uint64_t window_table[512];
extern uint8_t window_page[PAGE];
void open_window(void);
void set_window(uint64_t bits);

/* user.c: install_user comes first; run_user returns what the function leaves in RAX, and `trap` tells if it trapped. */
#define CODE_SELECTOR 0x10
#define DATA_SELECTOR 0x18
#define USER_BASE_SELECTOR 0x2b
void install_user(void);
uint64_t run_user(void *function, uint64_t argument);
/* Where a function at CPL 3 returns to: an instruction that traps, which every processor takes from there. */
extern uint8_t user_return[];
/* Makes a frame that returns to CPL 3 return to run_user's caller. */
void leave_user(struct frame *frame);

/* Configuration space of function 0 of a device on bus 0. */
#define ECAM 0xe0000000ul
#define CONFIG(slot, offset) (ECAM + ((uint64_t)(slot) << 15) + (offset))

/* A function found and switched on: its registers, with vector `entry` of its MSI-X table sent to `vector`. */
uint64_t enable_function(int slot);
void route_vector(int slot, int entry, uint8_t vector);
/* Where a function's MSI-X capability is in configuration space, and its table (`at` 4) or pending bits (`at` 8). */
uint64_t msix_capability(int slot);
uint64_t msix_memory(int slot, int at);

#endif
