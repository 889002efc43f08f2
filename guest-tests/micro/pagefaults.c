/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* Page faults from CPL 0 and CPL 3 with every bit of their error codes (P, W, U, RSVD, I/D) and CR2; accessed, dirty. */
#include "micro.h"

uint64_t user_read(uint64_t address), user_write(uint64_t address), user_fetch(uint64_t address);
asm("user_read:	mov 48(%rdi), %rax; ret\n"
    "user_write:	movb $0x11, 56(%rdi); ret\n"
    "user_fetch:	jmp *%rdi\n");

static void from_kernel(void)
{
	set_window(0);
	ATTEMPT("movq 8(%%rcx), %%rax", WINDOW);
	print_trap("read, not present", 1);
	ATTEMPT("movq %%rax, 16(%%rcx)", WINDOW);
	print_trap("write, not present", 1);
	ATTEMPT("jmp *%%rcx", WINDOW);
	print_trap("fetch, not present", 1);
	set_window(PTE_PRESENT);
	ATTEMPT("movq %%rax, 24(%%rcx)", WINDOW);
	print_trap("write, read-only", 1);
	WRITE_CONTROL(0, READ_CONTROL(0) & ~(1ull << 16));
	ATTEMPT("movq %%rax, 32(%%rcx)", WINDOW);
	print_trap("write, read-only without WP", 1);
	WRITE_CONTROL(0, READ_CONTROL(0) | 1ull << 16);
	set_window(PTE_PRESENT | PTE_WRITABLE | PTE_NO_EXECUTE);
	ATTEMPT("jmp *%%rcx", WINDOW);
	print_trap("fetch, no-execute", 1);
}

static void from_user(void)
{
	run_user(user_read, WINDOW);
	print_trap("user read, kernel's page", 1);
	run_user(user_write, WINDOW);
	print_trap("user write, kernel's page", 1);
	set_window(0);
	run_user(user_read, WINDOW);
	print_trap("user read, not present", 1);
	run_user(user_write, WINDOW);
	print_trap("user write, not present", 1);
	run_user(user_fetch, WINDOW);
	print_trap("user fetch, not present", 1);
	set_window(PTE_PRESENT | PTE_USER);
	trap.vector = NO_TRAP;
	print_value("user read", run_user(user_read, WINDOW));
	print_trap("user read, allowed", 0);
	run_user(user_write, WINDOW);
	print_trap("user write, read-only", 1);
	set_window(PTE_PRESENT | PTE_WRITABLE | PTE_USER | PTE_NO_EXECUTE);
	trap.vector = NO_TRAP;
	run_user(user_write, WINDOW);
	print_trap("user write, allowed", 0);
	run_user(user_fetch, WINDOW);
	print_trap("user fetch, no-execute", 1);
}

/* The page-size bit of a top-level entry is reserved. */
static void reserved(void)
{
	volatile uint64_t *top = (volatile uint64_t *)READ_CONTROL(3) + 1;

	*top |= 0x80;
	WRITE_CONTROL(3, READ_CONTROL(3));
	ATTEMPT("movq 40(%%rcx), %%rax", WINDOW);
	print_trap("read, reserved bit", 1);
	run_user(user_write, WINDOW);
	print_trap("user write, reserved bit", 1);
	*top &= ~0x80ull;
	WRITE_CONTROL(3, READ_CONTROL(3));
}

static void print_bits(const char *name)
{
	uint64_t entry = *(volatile uint64_t *)window_table;

	print(name);
	print(entry & PTE_ACCESSED ? ": accessed" : ": not accessed");
	print(entry & PTE_DIRTY ? ", dirty\n" : ", clean\n");
}

static void accessed_and_dirty(void)
{
	set_window(PTE_PRESENT | PTE_WRITABLE);
	print_bits("untouched");
	window_page[0] = 0x5a;
	print_value("read through the window", ATTEMPT("movzbl (%%rcx), %%eax", WINDOW));
	print_bits("read");
	ATTEMPT("movb $0x7e, (%%rcx)", WINDOW);
	print_bits("written");
	print_value("the page itself", *(volatile uint8_t *)window_page);
}

int micro_main(const uint8_t *zero_page)
{
	(void)zero_page;
	install_interrupts();
	install_user();
	open_window();
	*(volatile uint64_t *)(window_page + 48) = 0x1234;
	from_kernel();
	from_user();
	reserved();
	accessed_and_dirty();
	return 0;
}
