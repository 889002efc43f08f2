/* SPDX-License-Identifier: GPL-2.0 */
/* Tests of the VT-d unit (docs/iommu.md) beneath the stock driver, with DMA and interrupts of the educational device. */
#ifndef FENCEPOST_VTD_TEST_H
#define FENCEPOST_VTD_TEST_H

#include <linux/completion.h>
#include <linux/types.h>

struct pci_dev;

struct fpvtd {
	struct pci_dev *pdev;
	/* Registers of the device and of the unit. */
	void __iomem *edu;
	void __iomem *unit;
	/* A page that the stock driver has mapped for the device. */
	u8 *memory;
	dma_addr_t address;
	struct completion interrupt;
};

#define FPVTD_BYTES 4096

/* The device moves so many bytes. */
#define FPVTD_CHUNK 64

/* The device reads memory into its buffer, or writes its buffer to memory. What the unit refuses moves nothing. */
int fpvtd_from_memory(struct fpvtd *vtd, u64 iova);
int fpvtd_to_memory(struct fpvtd *vtd, u64 iova);

/* Whether the bytes at `from` reach `to` through the device: -EIO if they do not. */
int fpvtd_copies(struct fpvtd *vtd, u64 from, u64 to, const u8 *source, u8 *target);

/* The unit takes a pointer that was written to a register: `command` is of GCMD. */
void fpvtd_command(struct fpvtd *vtd, u32 command);

#define FPVTD_ROOT_TABLE 0x20
#define FPVTD_SET_ROOT (1u << 30)
#define FPVTD_INTERRUPT_TABLE 0xb8
#define FPVTD_SET_INTERRUPT_TABLE (1u << 24)

/* Forgets all that is cached of translations and of the device's context. */
void fpvtd_invalidate(struct fpvtd *vtd);

/* The device's entries, in the tables that the stock driver has made. NULL where a table is missing. */
u64 *fpvtd_root(struct fpvtd *vtd);
u64 *fpvtd_context(struct fpvtd *vtd);

/* The second-level entry of `iova` at `level` (4 to 1), or the leaf above it; `found` is that entry's level. */
u64 *fpvtd_entry(struct fpvtd *vtd, u64 iova, unsigned int level, unsigned int *found);

/* Cases: 0, or a negative errno. -ENOENT: there is no such case. */
int fpvtd_fault(struct fpvtd *vtd, unsigned int reason);
int fpvtd_page(struct fpvtd *vtd, unsigned int level);
int fpvtd_interrupt_fault(struct fpvtd *vtd, unsigned int reason);

#endif /* FENCEPOST_VTD_TEST_H */
