// SPDX-License-Identifier: GPL-2.0
/*
 * The VT-d unit beneath the stock driver, in KTAP, by the module fencepost_vtd_test and the educational device in slot 5.
 * "faults": each reason for which DMA is refused is in the kernel's log by its name. "pages": pages of each size are used.
 * "interrupts": they are remapped, and each reason for which one is refused is in the log.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "kernel_log.h"
#include "ktap.h"
#include "module.h"

#define MODULE "fencepost_vtd_test"
#define DEVICE "device [00:05.0]"
/* The kernel counts to ten in five seconds before it falls silent, three for each fault. */
#define SILENCE_US 5000000
#define PAUSE_US (SILENCE_US / 3 + 100000)

struct reason {
	unsigned int code;
	const char *name;
};

/* What Linux calls them (and table 25 of the specification, in more words). */
static const struct reason dma_reasons[] = {
	{ 0x1, "Present bit in root entry is clear" },
	{ 0x2, "Present bit in context entry is clear" },
	{ 0x3, "Invalid context entry" },
	{ 0x4, "Access beyond MGAW" },
	{ 0x5, "PTE Write access is not set" },
	{ 0x6, "PTE Read access is not set" },
	{ 0x7, "Next page table ptr is invalid" },
	{ 0x8, "Root table address invalid" },
	{ 0x9, "Context table ptr is invalid" },
	{ 0xa, "non-zero reserved fields in RTP" },
	{ 0xb, "non-zero reserved fields in CTP" },
	{ 0xc, "non-zero reserved fields in PTE" },
};

/* 0x20 needs bits that a message of MSI does not have. */
static const struct reason interrupt_reasons[] = {
	{ 0x21, "Interrupt index exceeded the interrupt-remapping table size" },
	{ 0x22, "Present field in the IRTE entry is clear" },
	{ 0x23, "Error accessing interrupt-remapping table pointed by IRTA_REG" },
	{ 0x24, "Detected reserved fields in the IRTE entry" },
	{ 0x25, "Blocked a compatibility format interrupt request" },
	{ 0x26, "Blocked an interrupt request due to source-id verification failure" },
};

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

static int run_case(const char *kind, unsigned int number)
{
	char parameters[32];
	int ret;

	snprintf(parameters, sizeof(parameters), "%s=%u", kind, number);
	ret = module_load(MODULE, parameters);
	return ret ? ret : module_unload(MODULE);
}

static void test_reasons(const char *kind, const struct reason *reasons, size_t count)
{
	usleep(SILENCE_US);
	for (size_t i = 0; i < count; i++) {
		char named[128];
		int ret = run_case(kind, reasons[i].code);

		ktap_result(!ret, "reason %#x: what is refused has no effect, and then the device goes on (%d)",
			    reasons[i].code, ret);
		snprintf(named, sizeof(named), "[fault reason 0x%02x] %s", reasons[i].code, reasons[i].name);
		ktap_result(kernel_log_says(DEVICE, named), "reason %#x: the kernel's log names it: %s",
			    reasons[i].code, reasons[i].name);
		usleep(PAUSE_US);
	}
}

static void test_pages(void)
{
	static const char *const sizes[] = { "4 KiB", "2 MiB", "1 GiB" };

	for (unsigned int level = 1; level <= 3; level++) {
		int ret = run_case("page", level);

		ktap_result(!ret, "the device's memory is reached through a leaf of %s (%d)", sizes[level - 1], ret);
	}
}

/* How many lines of /proc/interrupts have `chip`, and of these how many have counted. */
static int lines_of(const char *chip, int *counted)
{
	FILE *file = fopen("/proc/interrupts", "re");
	char line[512];
	int lines = 0;

	*counted = 0;
	while (file && fgets(line, sizeof(line), file)) {
		char *numbers = strchr(line, ':');

		if (!numbers || !strstr(line, chip))
			continue;
		lines++;
		*counted += strtol(numbers + 1, NULL, 10) > 0;
		ktap_note("%.*s", (int)strcspn(line, "\n"), line);
	}
	if (file)
		fclose(file);
	return lines;
}

static void test_chips(void)
{
	static const char *const chips[] = { " IR-PCI-MSI", " IR-IO-APIC" };
	int counted;

	for (size_t i = 0; i < COUNT(chips); i++)
		ktap_result(lines_of(chips[i], &counted) > 0 && counted > 0, "interrupts come by%s", chips[i]);
	ktap_result(lines_of(" DMAR-MSI", &counted) > 0, "the unit's own are not remapped");
	ktap_result(!lines_of(" PCI-MSI", &counted) && !lines_of(" IO-APIC", &counted), "no others are left");
}

int main(int argc, char **argv)
{
	const char *what = argc == 2 ? argv[1] : "";
	int ret = kernel_log_open();

	if (!strcmp(what, "faults")) {
		ktap_plan(1 + 2 * COUNT(dma_reasons));
		ktap_result(!ret, "the kernel's log opens (%d)", ret);
		test_reasons("fault", dma_reasons, COUNT(dma_reasons));
	} else if (!strcmp(what, "pages")) {
		ktap_plan(3);
		test_pages();
	} else if (!strcmp(what, "interrupts")) {
		ktap_plan(5 + 2 * COUNT(interrupt_reasons));
		test_reasons("interrupt", interrupt_reasons, COUNT(interrupt_reasons));
		test_chips();
		kernel_log_rewind();
		ktap_result(kernel_log_says("DMAR-IR", "Enabled IRQ remapping in xapic mode"),
			    "the kernel has switched it on by itself");
	} else {
		return 1;
	}
	return ktap_finish();
}
