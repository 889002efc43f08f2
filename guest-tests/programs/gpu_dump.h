/* SPDX-License-Identifier: GPL-2.0 */
/* The dump that the GPU's driver leaves when it resets a ring. */
#ifndef FENCEPOST_GPU_DUMP_H
#define FENCEPOST_GPU_DUMP_H

/* Has the kernel forget the dump that is there, if any: it keeps the first. */
void gpu_dump_clear(void);

/* What the dump says, until the next call; empty if there is none. */
const char *gpu_dump_read(void);

/* How many of the texts, ended by NULL, a dump lacks. Notes each. */
int gpu_dump_lacks(const char *dump, const char *const *wanted);

#endif /* FENCEPOST_GPU_DUMP_H */
