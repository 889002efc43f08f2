// SPDX-License-Identifier: GPL-2.0
/* Workloads of floating-point instructions. */
#include <emmintrin.h>

#include "workloads.h"

#define ROWS 192

static double left[ROWS][ROWS], right[ROWS][ROWS], product[ROWS][ROWS];

/* Two columns at once, as SSE2 has them. */
static void multiply(void)
{
	for (int i = 0; i < ROWS; i++)
		for (int j = 0; j < ROWS; j += 2) {
			__m128d sum = _mm_setzero_pd();

			for (int k = 0; k < ROWS; k++)
				sum = _mm_add_pd(sum, _mm_mul_pd(_mm_set1_pd(left[i][k]), _mm_load_pd(&right[k][j])));
			_mm_store_pd(&product[i][j], sum);
		}
}

int matrix(unsigned turns)
{
	/* The sums of k and of its square for all k below ROWS. */
	const long sum = ROWS * (ROWS - 1) / 2, squares = ROWS * (ROWS - 1L) * (2 * ROWS - 1) / 6;

	for (int i = 0; i < ROWS; i++)
		for (int k = 0; k < ROWS; k++) {
			left[i][k] = i + k;
			right[i][k] = i - k;
		}
	while (turns--) {
		multiply();
		/* The sum of (i + k) * (k - j) over k; whole numbers, which a double holds exactly. */
		for (long i = 0; i < ROWS; i++)
			for (long j = 0; j < ROWS; j++) {
				if (product[i][j] != squares + (i - j) * sum - ROWS * i * j)
					return -1;
				product[i][j] = 0;
			}
	}
	return 0;
}

/* Simpson's rule for the integral of 4 / (1 + x * x) from 0 to 1, which is pi: its error is far below that of 64 bits. */
#define STEPS 10000

int x87(unsigned turns)
{
	const long double pi = 3.14159265358979323846264338327950288L;

	while (turns--) {
		long double sum = 4.0L + 2.0L;

		for (int n = 1; n < STEPS; n++) {
			long double x = (long double)n / STEPS;

			sum += (n % 2 ? 4 : 2) * 4.0L / (1.0L + x * x);
		}
		/* Nearer than any double is. */
		if (__builtin_fabsl(sum / (3.0L * STEPS) - pi) > 1e-16L)
			return -1;
	}
	return 0;
}
