// SPDX-License-Identifier: GPL-2.0
/*
 * A program for a debugger: one variable is written and another one read, in functions of their own, and a thread does the same to others.
 * It ends with the sum of the first four squares, 30.
 */
#include <pthread.h>

volatile int written;
volatile int read_only = 7;
volatile int of_thread;

__attribute__((noinline)) void write_it(int value)
{
	written = value;
}

__attribute__((noinline)) int read_it(void)
{
	return read_only;
}

static void *thread(void *unused)
{
	for (int i = 1; i <= 3; i++)
		of_thread = 10 * i;
	return unused;
}

int main(void)
{
	pthread_t other;
	int sum = 0;

	if (pthread_create(&other, 0, thread, 0) || pthread_join(other, 0))
		return 1;
	for (int i = 1; i <= 4; i++) {
		write_it(i * i);
		sum += written;
	}
	return read_it() == 7 && of_thread == 30 ? sum : 1;
}
