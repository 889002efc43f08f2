/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * The machine's trace port (docs/trace-agent.md): frames of a header and a payload, written as 32-bit words.
 */
#ifndef FENCEPOST_TRACE_PORT_H
#define FENCEPOST_TRACE_PORT_H

#include <stdint.h>
#include <sys/io.h>

#define TRACE_PORT 0x610
#define TRACE_PORT_BYTES 4
/* What the port reads while a trace is wanted. */
#define TRACE_WANTED 0x31545046u
#define TRACE_FRAME_MAX (64u << 10)

enum trace_frame {
	TRACE_HEADER_PAGE = 1,
	TRACE_FORMAT = 2,
	TRACE_TASKS = 3,
	TRACE_PAGE = 4,
	TRACE_LOST = 5,
};

/* Whether the machine wants a trace. Leaves the calling process with the right to write the port if so. */
static inline int trace_port_open(void)
{
	if (ioperm(TRACE_PORT, TRACE_PORT_BYTES, 1))
		return 0;
	if (inl(TRACE_PORT) == TRACE_WANTED)
		return 1;
	ioperm(TRACE_PORT, TRACE_PORT_BYTES, 0);
	return 0;
}

/* libc's outsl() does not tell the compiler that it reads memory. */
static inline void trace_port_words(const void *words, unsigned long count)
{
	asm volatile("rep outsl" : "+S"(words), "+c"(count) : "d"(TRACE_PORT) : "memory");
}

/* Sends a frame; up to 3 bytes behind the payload are sent with it. */
static inline void trace_port_send(enum trace_frame kind, unsigned int cpu, const void *payload, uint32_t length)
{
	uint32_t header[2] = { (uint32_t)kind | (uint32_t)cpu << 16, length };

	trace_port_words(header, 2);
	trace_port_words(payload, (length + 3) / 4);
}

#endif
