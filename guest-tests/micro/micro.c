/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The part that every micro-guest shares. */
#include "micro.h"

#define SERIAL 0x3f8
#define EXIT_PORT 0xf4

volatile struct trap trap;
volatile uint64_t resume;
volatile uint64_t irq_counts[IRQ_VECTORS];
volatile uint64_t irq_order;
volatile uint64_t nmi_count;

/* Memory functions that the compiler may call. */
void *memcpy(void *to, const void *from, size_t size)
{
	void *start = to;

	asm volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(size) : : "memory");
	return start;
}

void *memset(void *to, int value, size_t size)
{
	void *start = to;

	asm volatile("rep stosb" : "+D"(to), "+c"(size) : "a"(value) : "memory");
	return start;
}

static void put(char character)
{
	while (!(in8(SERIAL + 5) & 0x20))
		;
	out8(SERIAL, character);
}

void print(const char *text)
{
	while (*text)
		put(*text++);
}

void print_hex(uint64_t value, int digits)
{
	int digit = 15;

	while (digit >= digits && !(value >> (4 * digit)))
		digit--;
	for (; digit >= 0; digit--)
		put("0123456789abcdef"[value >> (4 * digit) & 15]);
}

void print_value(const char *name, uint64_t value)
{
	print(name);
	print(" ");
	print_hex(value, 1);
	print("\n");
}

_Noreturn void leave(int status)
{
	out8(EXIT_PORT, status);
	for (;;)
		asm volatile("cli; hlt");
}

void require(int holds, const char *what)
{
	if (holds)
		return;
	print("failed: ");
	print(what);
	print("\n");
	leave(1);
}

static void exception(struct frame *frame, uint64_t vector, uint64_t error)
{
	if (frame->rip == (uint64_t)user_return) {
		leave_user(frame);
		return;
	}
	trap.vector = vector;
	trap.error = error;
	trap.address = READ_CONTROL(2);
	trap.rip = frame->rip;
	trap.count++;
	/* A single step steps once. */
	frame->flags &= ~0x100ull;
	if (frame->cs & 3) {
		leave_user(frame);
		return;
	}
	if (!resume) {
		print_value("unexpected exception", vector);
		print_value("error code", error);
		print_value("at", frame->rip);
		leave(1);
	}
	frame->rip = resume;
}

#define EXCEPTION(n)                                                            \
	__attribute__((interrupt)) static void exception_##n(struct frame *frame) \
	{                                                                       \
		exception(frame, n, 0);                                         \
	}
#define EXCEPTION_WITH_CODE(n)                                                                  \
	__attribute__((interrupt)) static void exception_##n(struct frame *frame, uint64_t error) \
	{                                                                                       \
		exception(frame, n, error);                                                     \
	}
#define IRQ(n)                                                            \
	__attribute__((interrupt)) static void irq_##n(struct frame *frame) \
	{                                                                 \
		(void)frame;                                              \
		irq_counts[n]++;                                          \
		irq_order = irq_order << 4 | (n + 1);                     \
		write32(APIC + 0xb0, 0);                                  \
	}

EXCEPTION(0)
EXCEPTION(1)
EXCEPTION(3)
EXCEPTION(6)
EXCEPTION(7)
EXCEPTION_WITH_CODE(8)
EXCEPTION_WITH_CODE(10)
EXCEPTION_WITH_CODE(11)
EXCEPTION_WITH_CODE(12)
EXCEPTION_WITH_CODE(13)
EXCEPTION_WITH_CODE(14)
EXCEPTION(16)
EXCEPTION_WITH_CODE(17)
EXCEPTION(19)
IRQ(0)
IRQ(1)
IRQ(2)
IRQ(3)

__attribute__((interrupt)) static void nmi(struct frame *frame)
{
	(void)frame;
	nmi_count++;
}

static struct gate {
	uint16_t offset_low, selector, flags, offset_middle;
	uint32_t offset_high, reserved;
} gates[256];

void set_gate(int vector, void *handler)
{
	uint64_t address = (uint64_t)handler;

	/* Present, 64-bit interrupt gate, in the firmware's code segment. */
	gates[vector] = (struct gate){ address, 0x10, 0x8e00, address >> 16, address >> 32, 0 };
}

static const struct {
	int vector;
	void *handler;
} handlers[] = {
	{ 0, exception_0 },
	{ 1, exception_1 },
	{ 2, nmi },
	{ 3, exception_3 },
	{ 6, exception_6 },
	{ 7, exception_7 },
	{ 8, exception_8 },
	{ 10, exception_10 },
	{ 11, exception_11 },
	{ 12, exception_12 },
	{ 13, exception_13 },
	{ 14, exception_14 },
	{ 16, exception_16 },
	{ 17, exception_17 },
	{ 19, exception_19 },
	{ IRQ_VECTOR + 0, irq_0 },
	{ IRQ_VECTOR + 1, irq_1 },
	{ IRQ_VECTOR + 2, irq_2 },
	{ IRQ_VECTOR + 3, irq_3 },
};

void install_interrupts(void)
{
	struct {
		uint16_t limit;
		void *base;
	} __attribute__((packed)) table = { sizeof(gates) - 1, gates };

	for (size_t n = 0; n < sizeof(handlers) / sizeof(handlers[0]); n++)
		set_gate(handlers[n].vector, handlers[n].handler);
	asm volatile("lidt %0" : : "m"(table));
}

void enable_apic(void)
{
	/* Spurious vector 0xff, software enable; accept every priority. */
	write32(APIC + 0xf0, 0x1ff);
	write32(APIC + 0x80, 0);
}

void open_interrupts(void)
{
	/* A KVM without hardware under it looks for interrupts when it comes back from an exit. */
	asm volatile("sti");
	for (int n = 0; n < 4; n++)
		in8(NOBODY_PORT);
	asm volatile("cli");
}

void wait_irq(int n, uint64_t count)
{
	for (;;) {
		asm volatile("cli");
		if (irq_counts[n] >= count)
			break;
		asm volatile("sti; hlt");
	}
}

void print_trap(const char *name, int with_address)
{
	print(name);
	if (trap.vector == NO_TRAP) {
		print(": no exception\n");
		return;
	}
	print(": exception ");
	print_hex(trap.vector, 1);
	print(" code ");
	print_hex(trap.error, 1);
	if (with_address) {
		print(" at ");
		print_hex(trap.address, 1);
	}
	print("\n");
}

uint64_t enable_function(int slot)
{
	require(read32(CONFIG(slot, 0)) != 0xffffffff, "no function in the slot");
	/* Memory space and bus master. */
	write32(CONFIG(slot, 4), 6);
	return read32(CONFIG(slot, 0x10)) & ~15u;
}

uint64_t msix_capability(int slot)
{
	uint64_t capability = CONFIG(slot, read32(CONFIG(slot, 0x34)) & 0xff);

	while ((read32(capability) & 0xff) != 0x11) {
		require(read32(capability) >> 8 & 0xff, "no MSI-X capability");
		capability = CONFIG(slot, read32(capability) >> 8 & 0xff);
	}
	return capability;
}

uint64_t msix_memory(int slot, int at)
{
	uint32_t place = read32(msix_capability(slot) + at);

	return (read32(CONFIG(slot, 0x10 + 4 * (place & 7))) & ~15u) + (place & ~7u);
}

void route_vector(int slot, int entry, uint8_t vector)
{
	uint64_t capability = msix_capability(slot), table = msix_memory(slot, 4) + 16 * entry;

	/* Message to APIC 0: fixed, edge. Then unmask the entry and switch MSI-X on. */
	write32(table, 0xfee00000);
	write32(table + 4, 0);
	write32(table + 8, vector);
	write32(table + 12, 0);
	write32(capability, read32(capability) | 1u << 31);
}

_Noreturn void micro_start(const uint8_t *zero_page)
{
	leave(micro_main(zero_page));
}

uint64_t first_number(const uint8_t *zero_page, uint64_t otherwise)
{
	const char *at = (const char *)(uint64_t)read32((uint64_t)zero_page + 0x228);
	uint64_t number = 0;

	while (*at && (*at < '0' || *at > '9'))
		at++;
	while (*at >= '0' && *at <= '9')
		number = 10 * number + (uint64_t)(*at++ - '0');
	return number ? number : otherwise;
}
