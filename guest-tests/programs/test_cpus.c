// SPDX-License-Identifier: GPL-2.0
/*
 * Several CPUs, in KTAP: they go off and come back on line, their time-stamp counters agree, locks hold, what one unmaps or writes
 * as code the others see, interrupts go where they are steered, and an NMI reaches all.
 *   test_cpus CPUS    how many there must be
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <setjmp.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
#include <x86intrin.h>

#include <linux/membarrier.h>

#include "cpus.h"
#include "kernel_log.h"
#include "ktap.h"

#define ROUNDS 20000
#define UNMAPS 100
#define REWRITES 500

static int cpus;

/* Waits for what another CPU is to do. */
static void relax(void)
{
	_mm_pause();
}

static void wait_for(atomic_int *word, int value)
{
	while (atomic_load(word) != value)
		relax();
}

/* A token goes round; whoever has it reads its counter, which must not be behind the one read before. */
static atomic_int token;
static _Atomic uint64_t newest;

static int pass_token(int cpu)
{
	int backward = 0;

	for (int round = 0; round < 200; round++) {
		uint64_t now;

		wait_for(&token, round * cpus + cpu);
		now = __rdtsc();
		backward |= now <= atomic_load(&newest);
		atomic_store(&newest, now);
		atomic_fetch_add(&token, 1);
	}
	return backward;
}

static void test_counters(void)
{
	ktap_result(cpus_on_each(cpus, pass_token), "the time-stamp counters agree");
}

/* A mutex of the C library: a futex, and in the kernel wake-ups across CPUs. What it guards is not atomic. */
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static unsigned long guarded, spun;
static atomic_ulong counted;
static atomic_flag spinning = ATOMIC_FLAG_INIT;

static int contend(int cpu)
{
	(void)cpu;
	for (int round = 0; round < ROUNDS; round++) {
		pthread_mutex_lock(&mutex);
		guarded++;
		if (round % 64 == 0)
			sched_yield();
		pthread_mutex_unlock(&mutex);
		while (atomic_flag_test_and_set_explicit(&spinning, memory_order_acquire))
			relax();
		spun++;
		atomic_flag_clear_explicit(&spinning, memory_order_release);
		atomic_fetch_add(&counted, 1);
	}
	return 0;
}

static void test_locks(void)
{
	unsigned long expected = (unsigned long)cpus * ROUNDS;
	bool ran = cpus_on_each(cpus, contend);

	ktap_result(ran && guarded == expected, "a mutex holds: %lu of %lu", guarded, expected);
	ktap_result(ran && spun == expected && atomic_load(&counted) == expected, "so do a spinlock and LOCK ADD");
}

/*
 * One CPU takes the right to write from a page that the others write all the time: none of their translations may let a write
 * through once mprotect() is back. Who writes meets a fault, which it waits out.
 */
static volatile uint32_t *page;
static atomic_int stage;
static _Thread_local sigjmp_buf fault;
static atomic_int faults;

static void on_fault(int number)
{
	(void)number;
	atomic_fetch_add(&faults, 1);
	siglongjmp(fault, 1);
}

static int write_or_protect(int cpu)
{
	int wrong = 0;

	for (int round = 0; cpu == 0 && round < UNMAPS; round++) {
		uint32_t before[CPUS_MAX];

		mprotect((void *)page, 4096, PROT_READ);
		for (int other = 1; other < cpus; other++)
			before[other] = page[other];
		for (int n = 0; n < 200; n++)
			relax();
		for (int other = 1; other < cpus; other++)
			wrong |= page[other] != before[other];
		mprotect((void *)page, 4096, PROT_READ | PROT_WRITE);
		usleep(100);
	}
	if (cpu == 0) {
		atomic_store(&stage, 1);
		return wrong;
	}
	while (!atomic_load(&stage)) {
		if (!sigsetjmp(fault, 1))
			page[cpu]++;
		else
			relax();
	}
	return page[cpu] == 0;
}

static void test_shootdown(void)
{
	struct sigaction action = { .sa_handler = on_fault };
	unsigned long before[CPUS_MAX], after[CPUS_MAX];
	bool held;

	page = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	sigaction(SIGSEGV, &action, NULL);
	cpus_interrupts("TLB shootdowns", before);
	held = page != MAP_FAILED && cpus_on_each(cpus, write_or_protect);
	cpus_interrupts("TLB shootdowns", after);
	signal(SIGSEGV, SIG_DFL);
	ktap_result(held && atomic_load(&faults) > 0, "no CPU writes a page once another has protected it");
	for (int cpu = 1; cpu < cpus; cpu++)
		held &= after[cpu] > before[cpu];
	ktap_result(held, "the kernel has shot down translations on every other CPU");
}

/* `mov eax, imm32; ret`, whose number one CPU changes and the others call. */
static uint8_t *code;
static atomic_int version, seen;

static int rewrite_or_call(int cpu)
{
	int wrong = 0;

	if (cpu != 0) {
		for (int round = 1; round <= REWRITES; round++) {
			wait_for(&version, round);
			wrong |= ((int (*)(void))(uintptr_t)code)() != round;
			atomic_fetch_add(&seen, 1);
		}
		return wrong;
	}
	for (int32_t round = 1; round <= REWRITES; round++) {
		memcpy(code + 1, &round, sizeof(round));
		syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
		atomic_store(&version, round);
		wait_for(&seen, round * (cpus - 1));
	}
	return 0;
}

static void test_code(void)
{
	static const uint8_t function[] = { 0xb8, 0, 0, 0, 0, 0xc3 };

	syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_SYNC_CORE, 0, 0);
	code = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (code != MAP_FAILED)
		memcpy(code, function, sizeof(function));
	ktap_result(code != MAP_FAILED && cpus_on_each(cpus, rewrite_or_call), "code that one CPU writes is what the others run");
}

/* A word that each waits for in the kernel. */
static _Atomic uint32_t word;

static int wait_in_turn(int cpu)
{
	for (uint32_t round = 0; round < 300; round++) {
		uint32_t mine = round * cpus + cpu, now;

		while ((now = atomic_load(&word)) != mine)
			syscall(SYS_futex, &word, FUTEX_WAIT_PRIVATE, now, NULL, NULL, 0);
		atomic_store(&word, mine + 1);
		syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, cpus, NULL, NULL, 0);
	}
	return 0;
}

/* A kernel wakes another CPU by either of them. */
static void count_wake_ups(unsigned long counts[CPUS_MAX])
{
	unsigned long calls[CPUS_MAX];

	cpus_interrupts("Rescheduling interrupts", counts);
	cpus_interrupts("Function call interrupts", calls);
	for (int cpu = 0; cpu < cpus; cpu++)
		counts[cpu] += calls[cpu];
}

static void test_wake_ups(void)
{
	unsigned long before[CPUS_MAX], after[CPUS_MAX];
	bool woken;

	count_wake_ups(before);
	woken = cpus_on_each(cpus, wait_in_turn);
	count_wake_ups(after);
	for (int cpu = 0; cpu < cpus; cpu++)
		woken &= after[cpu] > before[cpu];
	ktap_result(woken, "sleepers on all CPUs wake each other, by interrupts");
}

static int nothing(int cpu)
{
	unsigned int now = CPUS_MAX;

	syscall(SYS_getcpu, &now, NULL, NULL);
	return (int)now != cpu;
}

static void test_hotplug(void)
{
	bool good = true, gone = true;

	for (int round = 0; round < 3; round++) {
		for (int cpu = 1; cpu < cpus; cpu++) {
			good &= cpus_set_online(cpu, false) == 0;
			gone &= cpus_online() == cpus - 1 && cpus_run_on(cpu) == -EINVAL;
			good &= cpus_set_online(cpu, true) == 0;
		}
		good &= cpus_on_each(cpus, nothing);
	}
	ktap_result(gone, "a CPU that is off line runs nothing");
	ktap_result(good, "it comes back, again and again");
	for (int cpu = 1; cpu < cpus; cpu++)
		good &= cpus_set_online(cpu, false) == 0;
	good &= cpus_online() == 1;
	for (int cpu = 1; cpu < cpus; cpu++)
		good &= cpus_set_online(cpu, true) == 0;
	ktap_result(good && cpus_on_each(cpus, nothing), "all but the first go and come back");
}

/* Has the serial port's interrupt go to one CPU after the other. */
static void test_steering(void)
{
	int number, wrong = 0, steered = 0;
	unsigned long before[CPUS_MAX], after[CPUS_MAX];

	number = cpus_interrupt_number("ttyS0");
	for (int cpu = 0; number >= 0 && cpu < cpus; cpu++) {
		char path[64], text[16];
		int fd, length;

		snprintf(path, sizeof(path), "/proc/irq/%d/smp_affinity_list", number);
		fd = open(path, O_WRONLY | O_CLOEXEC);
		length = snprintf(text, sizeof(text), "%d", cpu);
		if (fd < 0 || write(fd, text, length) != length)
			wrong = 1;
		close(fd);
		/* The vector moves when the next one is taken where it was. */
		for (int settle = 0; settle < 2; settle++) {
			cpus_interrupts("ttyS0", before);
			fd = open("/dev/ttyS0", O_WRONLY | O_CLOEXEC | O_NOCTTY);
			wrong |= fd < 0 || write(fd, "# an interrupt, please\n", 23) != 23;
			fsync(fd);
			usleep(20000);
			close(fd);
			cpus_interrupts("ttyS0", after);
		}
		for (int other = 0; other < cpus; other++)
			wrong |= other != cpu && after[other] != before[other];
		steered += after[cpu] > before[cpu];
	}
	if (number < 0)
		ktap_skip("an interrupt goes to the CPU that it is steered to", "the serial port has none");
	else
		ktap_result(!wrong && steered == cpus, "an interrupt goes to the CPU that it is steered to: %d", steered);
}

/* Magic SysRq's "l": the kernel sends the others an NMI, and each tells where it is. */
static void test_nmi(void)
{
	int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
	bool all = fd >= 0 && kernel_log_open() == 0 && cpus_run_on(0) == 0 && write(fd, "l", 1) == 1;

	for (int cpu = 1; all && cpu < cpus; cpu++) {
		char text[64];

		snprintf(text, sizeof(text), "NMI backtrace for cpu %d", cpu);
		kernel_log_rewind();
		all = kernel_log_says(text, "");
	}
	close(fd);
	ktap_result(all, "an NMI reaches every CPU");
}

int main(int argc, char **argv)
{
	cpus = argc == 2 ? atoi(argv[1]) : 0;
	if (cpus < 2 || cpus > CPUS_MAX) {
		fprintf(stderr, "usage: %s CPUS, 2 to %d\n", argv[0], CPUS_MAX);
		return 2;
	}
	ktap_plan(13);
	if (!ktap_result(cpus_online() == cpus, "%d CPUs are on line", cpus))
		cpus = cpus_online();
	test_counters();
	test_locks();
	test_shootdown();
	test_code();
	test_wake_ups();
	test_hotplug();
	test_steering();
	test_nmi();
	return ktap_finish();
}
