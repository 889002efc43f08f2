/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The ACPI tables are where a kernel looks, sum up to zero, and say where things are. */
#include "micro.h"

/* Sums to zero modulo 256. */
static int sums_up(uint64_t at, uint32_t bytes)
{
	uint8_t sum = 0;

	while (bytes--)
		sum += *(const volatile uint8_t *)at++;
	return !sum;
}

static uint64_t find_rsdp(void)
{
	for (uint64_t at = 0xe0000; at < 0x100000; at += 16)
		if (read64(at) == 0x2052545020445352) /* "RSD PTR " */
			return at;
	require(0, "a root pointer below 1 MiB");
	return 0;
}

static int is(uint64_t table, const char *name)
{
	return read32(table) == *(const uint32_t *)name;
}

static void show_interrupts(uint64_t table)
{
	print_value("  local APIC", read32(table + 36));
	for (uint64_t at = table + 44; at < table + read32(table + 4); at += read8(at + 1)) {
		print_value("  entry type", read8(at));
		if (read8(at) == 0)
			print_value("    processor enabled, id", (read32(at + 4) & 1) << 8 | read8(at + 3));
		if (read8(at) == 1)
			print_value("    I/O APIC", read32(at + 4));
	}
}

static void show(uint64_t table)
{
	char name[5] = { 0 };

	*(uint32_t *)name = read32(table);
	print(name);
	print_value(" sums up", sums_up(table, read32(table + 4)));
	if (is(table, "APIC"))
		show_interrupts(table);
	if (is(table, "MCFG")) {
		print_value("  configuration space", read64(table + 44));
		print_value("  buses", read16(table + 54));
	}
	if (is(table, "DMAR")) {
		print_value("  address bits", read8(table + 36) + 1);
		print_value("  unit for all devices", read8(table + 52) & 1);
		print_value("  registers", read64(table + 56));
	}
	if (is(table, "FACP")) {
		print_value("  hardware-reduced", read32(table + 112) >> 20 & 1);
		print_value("  reset register", read64(table + 120));
		print_value("  reset value", read8(table + 128));
		show(read64(table + 140));
	}
}

int micro_main(const uint8_t *zero_page)
{
	uint64_t rsdp = find_rsdp(), xsdt = read64(rsdp + 24);

	print_value("the zero page names it", read64((uint64_t)zero_page + 0x70) == rsdp);
	print_value("root pointer revision", read8(rsdp + 15));
	print_value("sums up", sums_up(rsdp, 20) && sums_up(rsdp, read32(rsdp + 20)));
	show(xsdt);
	for (uint64_t at = xsdt + 36; at < xsdt + read32(xsdt + 4); at += 8)
		show(read64(at));
	return 0;
}
