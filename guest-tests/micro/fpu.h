/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/* What the micro-guests about x87 and SSE share. */
#ifndef MICRO_FPU_H
#define MICRO_FPU_H

#include "micro.h"

#define CR0_MP (1ull << 1)
#define CR0_EM (1ull << 2)
#define CR0_TS (1ull << 3)
#define CR0_NE (1ull << 5)
#define CR4_OSFXSR (1ull << 9)
#define CR4_OSXMMEXCPT (1ull << 10)

/* A function for run_user, in assembly; its data is at RDI. */
#define USER(name, code)                                   \
	uint64_t name(volatile void *data);                \
	asm(#name ":\n\t" code "\n\tret\n")

#endif
