/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* One page of memory that is seen a second time, far above what the firmware maps, with rights of one's choice. */
#include "micro.h"

static uint64_t pointers[512] __attribute__((aligned(PAGE)));
static uint64_t directory[512] __attribute__((aligned(PAGE)));
uint64_t window_table[512] __attribute__((aligned(PAGE)));
uint8_t window_page[PAGE] __attribute__((aligned(PAGE)));

void set_window(uint64_t bits)
{
	window_table[0] = (uint64_t)window_page | bits;
	asm volatile("invlpg (%0)" : : "r"(WINDOW) : "memory");
}

void open_window(void)
{
	/* No-execute, and read-only pages that bind CPL 0 too. */
	write_msr(EFER, read_msr(EFER) | 1 << 11);
	WRITE_CONTROL(0, READ_CONTROL(0) | 1ull << 16);
	pointers[0] = (uint64_t)directory | PTE_PRESENT | PTE_WRITABLE | PTE_USER;
	directory[0] = (uint64_t)window_table | PTE_PRESENT | PTE_WRITABLE | PTE_USER;
	((volatile uint64_t *)READ_CONTROL(3))[1] = (uint64_t)pointers | PTE_PRESENT | PTE_WRITABLE | PTE_USER;
	WRITE_CONTROL(3, READ_CONTROL(3));
}
