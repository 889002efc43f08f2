// SPDX-License-Identifier: GPL-2.0
/*
 * The processor's debug registers, as ptrace and perf use them: data and instruction breakpoints, single steps, INT1.
 * What is counted is known from the code that runs.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/hw_breakpoint.h>
#include <linux/perf_event.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

#include "ktap.h"

#define TIMES 7

static volatile uint64_t watched __attribute__((aligned(64)));
static volatile uint64_t neighbour;
static uint64_t filled[64] __attribute__((aligned(64)));

/* Two instructions: the count in memory, and the return. */
extern const char counted_return[], stepped_code[], stepped_syscall[], stepped_end[];
void counted(void);
void stepped(void);
__asm__(".text\n"
	"counted:\n"
	"	incq neighbour(%rip)\n"
	"counted_return:\n"
	"	ret\n"
	"stepped:\n"
	"	push %rbx\n"
	"stepped_code:\n"
	"	mov $39, %eax\n" /* getpid */
	"stepped_syscall:\n"
	"	syscall\n"
	"	pushf\n"
	"	popf\n"
	"	mov $3, %ecx\n"
	"	lea filled(%rip), %rdi\n"
	"	rep stosq\n" /* a step for each element */
	"	xor %ebx, %ebx\n"
	"stepped_end:\n"
	"	pop %rbx\n"
	"	ret\n");

/* From stepped_code to stepped_end. */
#define STEPS (7 + 3)

static void workload(void)
{
	for (int i = 0; i < TIMES; i++) {
		watched = i;
		counted();
	}
	stepped();
	_exit(0);
}

/* A child that is traced, stopped before its workload. */
static pid_t start(void)
{
	pid_t child = fork();
	int status;

	if (child == 0) {
		ptrace(PTRACE_TRACEME, 0, 0, 0);
		raise(SIGSTOP);
		workload();
	}
	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status))
		ktap_note("the child did not stop");
	return child;
}

static int poke(pid_t child, unsigned int number, uint64_t value)
{
	return ptrace(PTRACE_POKEUSER, child, offsetof(struct user, u_debugreg) + 8 * number, value);
}

static uint64_t peek(pid_t child, unsigned int number)
{
	return ptrace(PTRACE_PEEKUSER, child, offsetof(struct user, u_debugreg) + 8 * number, 0);
}

/* Goes on; whether the child stopped by a trap, and where. */
static int trapped(pid_t child, int request, uint64_t *rip)
{
	struct user_regs_struct registers;
	int status;

	ptrace(request, child, 0, 0);
	if (waitpid(child, &status, 0) != child || !WIFSTOPPED(status) || WSTOPSIG(status) != SIGTRAP)
		return 0;
	ptrace(PTRACE_GETREGS, child, 0, &registers);
	*rip = registers.rip;
	return 1;
}

static void end(pid_t child)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static void test_watch(void)
{
	pid_t child = start();
	uint64_t rip, found = 0;
	int hits = 0, refused;
	int right = 1;

	/* Four bytes to be written (R/W 01, LEN 11), register 0, locally. */
	refused = poke(child, 0, (uint64_t)&watched) || poke(child, 7, 0xd0001);
	while (trapped(child, PTRACE_CONT, &rip) && hits <= TIMES) {
		siginfo_t info;

		ptrace(PTRACE_GETSIGINFO, child, 0, &info);
		errno = 0;
		found = ptrace(PTRACE_PEEKDATA, child, &watched, 0);
		right &= found == (uint64_t)hits && info.si_code == TRAP_HWBKPT && (peek(child, 6) & 0xf) == 1;
		poke(child, 6, 0);
		hits++;
	}
	ktap_result(!refused && right && hits == TIMES, "ptrace: a watched variable stops after each write");
	end(child);
}

static void test_break(void)
{
	pid_t child = start();
	uint64_t rip;
	int hits = 0, right = 1;

	poke(child, 3, (uint64_t)counted_return);
	/* An instruction, register 3. */
	poke(child, 7, 0x40);
	while (trapped(child, PTRACE_CONT, &rip) && hits <= TIMES) {
		uint64_t count = ptrace(PTRACE_PEEKDATA, child, &neighbour, 0);

		hits++;
		right &= rip == (uint64_t)counted_return && count == (uint64_t)hits;
		right &= (peek(child, 6) & 0xf) == 8;
		poke(child, 6, 0);
	}
	ktap_result(right && hits == TIMES, "ptrace: an instruction is stopped before, each time");
	end(child);
}

static void test_steps(void)
{
	pid_t child = start();
	uint64_t rip = 0;
	int steps = 0, after_syscall = 0;

	poke(child, 0, (uint64_t)stepped_code);
	poke(child, 7, 1);
	ktap_result(trapped(child, PTRACE_CONT, &rip) && rip == (uint64_t)stepped_code,
		    "ptrace: the code to step is reached");
	poke(child, 7, 0);
	while (steps < 100 && rip != (uint64_t)stepped_end && trapped(child, PTRACE_SINGLESTEP, &rip)) {
		steps++;
		after_syscall += rip == (uint64_t)stepped_syscall + 2;
	}
	if (!ktap_result(steps == STEPS && after_syscall == 1,
			 "ptrace: single steps through SYSCALL, POPF and a repeated store"))
		ktap_note("%d steps for %d, %d after the system call", steps, STEPS, after_syscall);
	end(child);
}

static volatile sig_atomic_t traps;
static volatile uint64_t trap_rip;

static void on_trap(int signal, siginfo_t *info, void *context)
{
	(void)signal;
	(void)info;
	traps++;
	trap_rip = ((ucontext_t *)context)->uc_mcontext.gregs[REG_RIP];
}

static void test_own_traps(void)
{
	struct sigaction action = { .sa_sigaction = on_trap, .sa_flags = SA_SIGINFO };
	uint64_t after;

	sigaction(SIGTRAP, &action, NULL);
	__asm__ volatile("lea 1f(%%rip), %0\n .byte 0xf1\n 1:" : "=r"(after) : : "memory");
	ktap_result(traps == 1 && trap_rip == after, "INT1 traps behind itself");
	traps = 0;
	/* The trap flag works from the instruction after POPF to the POPF that clears it. */
	__asm__ volatile("sub $128, %%rsp\n"
			 "pushf\n"
			 "orl $0x100, (%%rsp)\n"
			 "popf\n"
			 "nop\n"
			 "nop\n"
			 "pushf\n"
			 "andl $~0x100, (%%rsp)\n"
			 "popf\n"
			 "add $128, %%rsp\n"
			 : : : "memory", "cc");
	ktap_result(traps == 5, "the trap flag that POPF sets traps after each instruction");
	if (traps != 5)
		ktap_note("%d traps", (int)traps);
}

/* A counter of breakpoints of this process; -1 with a note if there is none. */
static int counter(uint64_t address, uint32_t type, uint64_t length)
{
	struct perf_event_attr attributes = {
		.type = PERF_TYPE_BREAKPOINT, .size = sizeof(attributes), .bp_type = type,
		.bp_addr = address, .bp_len = length, .exclude_kernel = 1, .exclude_hv = 1,
	};
	int file = syscall(SYS_perf_event_open, &attributes, 0, -1, -1, 0);

	if (file < 0)
		ktap_note("perf_event_open: %s", strerror(errno));
	return file;
}

static void counts(int file, uint64_t expected, const char *name)
{
	uint64_t count = 0;

	if (!ktap_result(file >= 0 && read(file, &count, sizeof(count)) == sizeof(count) && count == expected, "%s",
			 name))
		ktap_note("%llu for %llu", (unsigned long long)count, (unsigned long long)expected);
	close(file);
}

static void fill(uint64_t *at, uint64_t elements)
{
	__asm__ volatile("rep stosq" : "+D"(at), "+c"(elements) : "a"(5) : "memory");
}

static void test_perf(void)
{
	int writes = counter((uint64_t)&watched, HW_BREAKPOINT_W, HW_BREAKPOINT_LEN_8);
	int both = counter((uint64_t)&watched, HW_BREAKPOINT_RW, HW_BREAKPOINT_LEN_8);
	int calls = counter((uint64_t)counted, HW_BREAKPOINT_X, sizeof(long));
	int store = counter((uint64_t)&filled[40], HW_BREAKPOINT_W, HW_BREAKPOINT_LEN_4);

	for (int i = 0; i < TIMES; i++) {
		watched = i;
		(void)watched;
		counted();
		fill(filled, 64);
	}
	counts(writes, TIMES, "perf: writes are counted");
	counts(both, 2 * TIMES, "perf: reads and writes are counted");
	counts(calls, TIMES, "perf: executions are counted");
	counts(store, TIMES, "perf: one element of a repeated store is counted");
	watched = 1;
	counted();
	ktap_result(1, "the process goes on without them");
}

int main(void)
{
	ktap_plan(11);
	test_watch();
	test_break();
	test_steps();
	test_own_traps();
	test_perf();
	return ktap_finish();
}
