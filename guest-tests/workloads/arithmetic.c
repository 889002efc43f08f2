// SPDX-License-Identifier: GPL-2.0
/* Workloads of integer instructions. */
#include <string.h>

#include "workloads.h"

#define SIEVE_BELOW 1000000
#define PRIMES_BELOW_A_MILLION 78498

int sieve(unsigned turns)
{
	static uint8_t composite[SIEVE_BELOW];

	while (turns--) {
		unsigned primes = 0;

		memset(composite, 0, sizeof(composite));
		for (unsigned n = 2; n < SIEVE_BELOW; n++) {
			if (composite[n])
				continue;
			primes++;
			for (unsigned multiple = 2 * n; multiple < SIEVE_BELOW; multiple += n)
				composite[multiple] = 1;
		}
		if (primes != PRIMES_BELOW_A_MILLION)
			return -1;
	}
	return 0;
}

/* The constants of SHA-256 (FIPS 180-4, 4.2.2 and 5.3.3). */
static const uint32_t rounds[64] = {
	0x428a2f98, 0x71374491, 0xb5c0fbcf, 0xe9b5dba5, 0x3956c25b, 0x59f111f1, 0x923f82a4, 0xab1c5ed5,
	0xd807aa98, 0x12835b01, 0x243185be, 0x550c7dc3, 0x72be5d74, 0x80deb1fe, 0x9bdc06a7, 0xc19bf174,
	0xe49b69c1, 0xefbe4786, 0x0fc19dc6, 0x240ca1cc, 0x2de92c6f, 0x4a7484aa, 0x5cb0a9dc, 0x76f988da,
	0x983e5152, 0xa831c66d, 0xb00327c8, 0xbf597fc7, 0xc6e00bf3, 0xd5a79147, 0x06ca6351, 0x14292967,
	0x27b70a85, 0x2e1b2138, 0x4d2c6dfc, 0x53380d13, 0x650a7354, 0x766a0abb, 0x81c2c92e, 0x92722c85,
	0xa2bfe8a1, 0xa81a664b, 0xc24b8b70, 0xc76c51a3, 0xd192e819, 0xd6990624, 0xf40e3585, 0x106aa070,
	0x19a4c116, 0x1e376c08, 0x2748774c, 0x34b0bcb5, 0x391c0cb3, 0x4ed8aa4a, 0x5b9cca4f, 0x682e6ff3,
	0x748f82ee, 0x78a5636f, 0x84c87814, 0x8cc70208, 0x90befffa, 0xa4506ceb, 0xbef9a3f7, 0xc67178f2,
};
static const uint32_t initial[8] = {
	0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a, 0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19,
};
/* The digest of a million times the letter a, which NIST gives as an example. */
static const uint32_t million_a[8] = {
	0xcdc76e5c, 0x9914fb92, 0x81a1c7e2, 0x84d73e67, 0xf1809a48, 0xa497200e, 0x046d39cc, 0xc7112cd0,
};
#define MILLION 1000000
#define BLOCK 64

static uint32_t rotated(uint32_t x, int by)
{
	return x >> by | x << (32 - by);
}

/* Takes one block into the state (FIPS 180-4, 6.2.2). */
static void compress(uint32_t state[8], const uint32_t block[16])
{
	uint32_t a = state[0], b = state[1], c = state[2], d = state[3];
	uint32_t e = state[4], f = state[5], g = state[6], h = state[7];
	uint32_t w[64];

	memcpy(w, block, BLOCK);
	for (int t = 16; t < 64; t++) {
		uint32_t one = w[t - 15], two = w[t - 2];

		w[t] = w[t - 16] + w[t - 7] + (rotated(one, 7) ^ rotated(one, 18) ^ one >> 3) +
		       (rotated(two, 17) ^ rotated(two, 19) ^ two >> 10);
	}
	for (int t = 0; t < 64; t++) {
		uint32_t one = h + (rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25)) + ((e & f) ^ (~e & g)) + rounds[t] + w[t];
		uint32_t two = (rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22)) + ((a & b) ^ (a & c) ^ (b & c));

		h = g;
		g = f;
		f = e;
		e = d + one;
		d = c;
		c = b;
		b = a;
		a = one + two;
	}
	state[0] += a;
	state[1] += b;
	state[2] += c;
	state[3] += d;
	state[4] += e;
	state[5] += f;
	state[6] += g;
	state[7] += h;
}

int hash(unsigned turns)
{
	while (turns--) {
		uint32_t state[8], block[16];

		memcpy(state, initial, sizeof(state));
		memset(block, 'a', sizeof(block));
		/* A million is a whole number of blocks: the last one has nothing but the padding and the length in bits. */
		for (int n = 0; n < MILLION / BLOCK; n++)
			compress(state, block);
		memset(block, 0, sizeof(block));
		block[0] = 0x80000000;
		block[15] = MILLION * 8;
		compress(state, block);
		if (memcmp(state, million_a, sizeof(state)))
			return -1;
	}
	return 0;
}

#define SORTED 200000

static void sort(int32_t *numbers, long count)
{
	while (count > 1) {
		int32_t pivot = numbers[count / 2];
		long left = -1, right = count;

		for (;;) {
			do {
				left++;
			} while (numbers[left] < pivot);
			do {
				right--;
			} while (numbers[right] > pivot);
			if (left >= right)
				break;
			int32_t kept = numbers[left];

			numbers[left] = numbers[right];
			numbers[right] = kept;
		}
		sort(numbers, left);
		numbers += left;
		count -= left;
	}
}

int quicksort(unsigned turns)
{
	static int32_t numbers[SORTED];
	uint32_t random = 1;

	while (turns--) {
		uint32_t sum = 0, other = 0;

		/* The same numbers are there afterwards, in order. */
		for (int n = 0; n < SORTED; n++) {
			numbers[n] = next_random(&random);
			sum += (uint32_t)numbers[n] * (uint32_t)numbers[n];
		}
		sort(numbers, SORTED);
		for (int n = 0; n < SORTED; n++) {
			other += (uint32_t)numbers[n] * (uint32_t)numbers[n];
			if (n && numbers[n - 1] > numbers[n])
				return -1;
		}
		if (sum != other)
			return -1;
	}
	return 0;
}
