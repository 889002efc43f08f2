// SPDX-License-Identifier: GPL-2.0
/* Workloads of loads and stores. */
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "workloads.h"

#define PAGE 4096
#define BUFFER (1 << 20)

/* What stands at a place: a row that repeats at no power of two. */
static uint8_t at(unsigned place)
{
	return place % 251;
}

/* Copies a buffer by the C library's memcpy in pieces of some sizes, small ones to large ones. */
int copies(unsigned turns)
{
	static const unsigned sizes[] = { 64, 256, 1024, PAGE, 64 << 10, BUFFER };
	static uint8_t from[BUFFER], to[BUFFER];

	for (unsigned n = 0; n < BUFFER; n++)
		from[n] = at(n);
	for (unsigned turn = 0; turn < turns; turn++) {
		unsigned size = sizes[turn % (sizeof(sizes) / sizeof(sizes[0]))];

		/* What this copy is to write and nothing else did. */
		for (unsigned n = turn % PAGE; n < BUFFER; n += PAGE)
			to[n] = ~at(n);
		for (unsigned n = 0; n < BUFFER; n += size)
			memcpy(to + n, from + n, size);
		for (unsigned n = turn % PAGE; n < BUFFER; n += PAGE)
			if (to[n] != at(n))
				return -1;
	}
	return memcmp(to, from, BUFFER) ? -1 : 0;
}

/* As many pointers as 8 MiB hold, in one circle. */
#define PLACES (1 << 20)

int chase(unsigned turns)
{
	static void *next[PLACES];
	uint32_t random = 1;

	/* Sattolo's algorithm: a random order that is one circle. */
	for (long n = 0; n < PLACES; n++)
		next[n] = &next[n];
	for (long n = PLACES - 1; n > 0; n--) {
		long other = next_random(&random) % n;
		void *kept = next[n];

		next[n] = next[other];
		next[other] = kept;
	}
	while (turns--) {
		void **here = next;
		unsigned steps = 0;

		do {
			here = *here;
			steps++;
		} while (here != next);
		if (steps != PLACES)
			return -1;
	}
	return 0;
}

static long minor_faults(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) ? -1 : usage.ru_minflt;
}

/* Writes to pages that are not there yet, and gives them back. */
int faults(unsigned turns)
{
	const unsigned pages = 4096;
	long before = minor_faults();

	for (unsigned turn = 0; turn < turns; turn++) {
		uint8_t *fresh = mmap(NULL, pages * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		/* A kernel without huge pages refuses it, and has none. */
		if (fresh == MAP_FAILED)
			return -1;
		madvise(fresh, pages * PAGE, MADV_NOHUGEPAGE);
		for (unsigned n = 0; n < pages; n++)
			if (fresh[n * PAGE + n % PAGE]++)
				return -1;
		if (munmap(fresh, pages * PAGE))
			return -1;
	}
	return before >= 0 && minor_faults() - before >= (long)pages * turns ? 0 : -1;
}
