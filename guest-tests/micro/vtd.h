/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* The IOMMU (Intel VT-d specification, legacy mode) as the micro-guests use it: the GPU alone, in one domain. */
#ifndef MICRO_VTD_H
#define MICRO_VTD_H

#include "micro.h"

#define UNIT 0xfed90000ul
#define CAP 0x08
#define GCMD 0x18
#define GSTS 0x1c
#define RTADDR 0x20
#define FSTS 0x34
#define FECTL 0x38
#define FEDATA 0x3c
#define FEADDR 0x40
#define FEUADDR 0x44
#define IQH 0x80
#define IQT 0x88
#define IQA 0x90
#define IVA 0x200
#define IOTLB 0x208

#define GPU_DOMAIN 1

/* Granularities of an IOTLB invalidation. */
enum vtd_scope { VTD_GLOBAL = 1, VTD_DOMAIN = 2, VTD_PAGES = 3 };

/* The GPU's tables, the first of each level from the root down: vtd_start links them. */
extern uint64_t vtd_tables[4][512];
/* Puts another function into the GPU's domain; vtd_start comes after it. */
void vtd_attach(int slot);
/* Tables for the GPU, empty, and translation on; fault events go to vector `fault_vector`. */
void vtd_start(uint8_t fault_vector);
/* Maps an address of the first 2 MiB to a page, readable and writable; 0 unmaps. Invalidates nothing. */
void vtd_map(uint64_t iova, const volatile void *page);
/* Drops translations through the queue, and waits until that is done. */
void vtd_invalidate(enum vtd_scope scope, uint16_t domain, uint64_t iova);
/* Prints and clears the first fault record. */
void vtd_show_fault(void);

#endif
