// SPDX-License-Identifier: GPL-2.0
/*
 * Code that changes: each test rewrites a function or a program again and again, runs it after
 * every change, and fails when old code is seen once.
 *
 *   selfmod [--rounds N]    N rounds of each (300)
 */
#define _GNU_SOURCE
#include <cpuid.h>
#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

#define PAGE 4096

typedef uint32_t (*function)(void);

static unsigned int rounds = 300;

/* mov eax, value; ret */
static size_t assemble(uint8_t *code, uint32_t value)
{
	code[0] = 0xb8;
	memcpy(code + 1, &value, sizeof(value));
	code[5] = 0xc3;
	return 6;
}

/* A value that differs from every other round's in all of its bytes' places. */
static uint32_t value_of(unsigned int round)
{
	return round * 2654435761u + 1;
}

/* CPUID serialises, which the manual asks for when code was written through another mapping. */
static void serialise(void)
{
	unsigned int a, b, c, d;

	__cpuid(0, a, b, c, d);
}

static void *map(int file, int protection)
{
	int flags = file < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_SHARED;
	void *page = mmap(NULL, 2 * PAGE, protection, flags, file, 0);

	if (page == MAP_FAILED) {
		ktap_note("mmap: %s", strerror(errno));
		exit(1);
	}
	return page;
}

static int memory_file(void)
{
	int file = memfd_create("code", 0);

	if (file < 0 || ftruncate(file, 2 * PAGE)) {
		ktap_note("memfd_create: %s", strerror(errno));
		exit(1);
	}
	return file;
}

/* Writes at `offset` of one mapping and runs at the same offset of another (or the same) one. */
static unsigned int stale_runs(uint8_t *written, uint8_t *run, size_t offset)
{
	unsigned int stale = 0;

	for (unsigned int round = 0; round < rounds; round++) {
		assemble(written + offset, value_of(round));
		if (written != run)
			serialise();
		if (((function)(run + offset))() != value_of(round))
			stale++;
	}
	return stale;
}

static void report(const char *name, unsigned int stale)
{
	ktap_result(stale == 0, "%s: %u of %u runs saw old code", name, stale, rounds);
}

static void test_in_place(void)
{
	uint8_t *page = map(-1, PROT_READ | PROT_WRITE | PROT_EXEC);

	report("rewritten in place", stale_runs(page, page, 0));
	/* The first instruction lies in both pages: its last bytes and RET in the second one. */
	report("rewritten across a page boundary", stale_runs(page, page, PAGE - 3));
	munmap(page, 2 * PAGE);
}

static void test_alias(void)
{
	int file = memory_file();
	uint8_t *writable = map(file, PROT_READ | PROT_WRITE);
	uint8_t *executable = map(file, PROT_READ | PROT_EXEC);

	report("rewritten through another mapping", stale_runs(writable, executable, 64));
	munmap(writable, 2 * PAGE);
	munmap(executable, 2 * PAGE);
	close(file);
}

/* One page that follows itself: an instruction's first byte is its last one, the rest its first ones. */
static void test_folded(void)
{
	int file = memory_file();
	uint8_t *page = map(file, PROT_READ | PROT_WRITE | PROT_EXEC);
	uint8_t code[8];
	unsigned int stale = 0;

	if (mmap(page + PAGE, PAGE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_SHARED | MAP_FIXED, file,
		 0) == MAP_FAILED) {
		ktap_note("mmap: %s", strerror(errno));
		exit(1);
	}
	for (unsigned int round = 0; round < rounds; round++) {
		/* Through either view. */
		uint8_t *view = page + (round % 2) * PAGE;
		size_t length = assemble(code, value_of(round));

		view[PAGE - 1] = code[0];
		memcpy(view, code + 1, length - 1);
		serialise();
		if (((function)(page + PAGE - 1))() != value_of(round))
			stale++;
	}
	report("rewritten across one page that follows itself", stale);
	munmap(page, 2 * PAGE);
	close(file);
}

/* The kernel writes the code: pwrite() goes through its own map of the page. */
static void test_kernel_writes(void)
{
	int file = memory_file();
	uint8_t *executable = map(file, PROT_READ | PROT_EXEC);
	unsigned int stale = 0;

	for (unsigned int round = 0; round < rounds; round++) {
		uint8_t code[8];
		size_t length = assemble(code, value_of(round));

		if (pwrite(file, code, length, 128) != (ssize_t)length)
			stale++;
		serialise();
		if (((function)(executable + 128))() != value_of(round))
			stale++;
	}
	report("rewritten by the kernel", stale);
	munmap(executable, 2 * PAGE);
	close(file);
}

/* A loop whose own next instruction is rewritten by the instruction before it. */
static void test_next_instruction(void)
{
	uint8_t *page = map(-1, PROT_READ | PROT_WRITE | PROT_EXEC);
	/* mov [rip+1], edi (the immediate of the next MOV); mov eax, 0; ret */
	static const uint8_t code[] = { 0x89, 0x3d, 1, 0, 0, 0, 0xb8, 0, 0, 0, 0, 0xc3 };
	unsigned int stale = 0;

	memcpy(page, code, sizeof(code));
	for (unsigned int round = 0; round < rounds; round++)
		if (((uint32_t (*)(uint32_t))page)(value_of(round)) != value_of(round))
			stale++;
	report("an instruction that rewrites the next one", stale);
	munmap(page, 2 * PAGE);
}

/* A static ELF file of one segment: exit(status). */
struct program {
	uint8_t elf[64];
	uint8_t segment[56];
	uint8_t code[16];
};

static void put(uint8_t *at, uint64_t value, size_t size)
{
	memcpy(at, &value, size);
}

static void make_program(struct program *program)
{
	static const uint8_t identification[] = { 0x7f, 'E', 'L', 'F', 2, 1, 1 };
	/* mov edi, status; mov eax, 60; syscall */
	static const uint8_t code[] = { 0xbf, 0, 0, 0, 0, 0xb8, 60, 0, 0, 0, 0x0f, 0x05 };
	const uint64_t base = 0x400000, start = offsetof(struct program, code);

	memset(program, 0, sizeof(*program));
	memcpy(program->elf, identification, sizeof(identification));
	put(program->elf + 16, 2, 2);
	put(program->elf + 18, 62, 2);
	put(program->elf + 20, 1, 4);
	put(program->elf + 24, base + start, 8);
	put(program->elf + 32, offsetof(struct program, segment), 8);
	put(program->elf + 52, 64, 2);
	put(program->elf + 54, 56, 2);
	put(program->elf + 56, 1, 2);
	put(program->segment, 1, 4);
	put(program->segment + 4, 5, 4);
	put(program->segment + 16, base, 8);
	put(program->segment + 24, base, 8);
	put(program->segment + 32, sizeof(*program), 8);
	put(program->segment + 40, sizeof(*program), 8);
	put(program->segment + 48, PAGE, 8);
	memcpy(program->code, code, sizeof(code));
}

/* Runs a program to its end: its exit status, or -1. */
static int status_of(const char *path)
{
	int status;
	pid_t child = vfork();

	if (child < 0)
		return -1;
	if (!child) {
		execl(path, path, NULL);
		_exit(255);
	}
	if (waitpid(child, &status, 0) != child || !WIFEXITED(status))
		return -1;
	return WEXITSTATUS(status);
}

/* One byte of a program's file is rewritten in the page cache, then the program is run. */
static void test_program(void)
{
	static const char path[] = "/tmp/selfmod-program";
	struct program program;
	unsigned int stale = 0;

	make_program(&program);
	for (unsigned int round = 0; round < rounds; round++) {
		uint8_t expected = (round * 7 + 3) % 251;
		int file = open(path, O_RDWR | O_CREAT, 0755);

		program.code[1] = expected;
		if (file < 0 || (round == 0 && write(file, &program, sizeof(program)) < 0) ||
		    pwrite(file, &expected, 1, offsetof(struct program, code) + 1) != 1) {
			ktap_note("%s: %s", path, strerror(errno));
			stale++;
		}
		close(file);
		if (status_of(path) != expected)
			stale++;
	}
	unlink(path);
	report("a program rewritten and run", stale);
}

int main(int argc, char **argv)
{
	if (argc == 3 && !strcmp(argv[1], "--rounds"))
		rounds = strtoul(argv[2], NULL, 10);
	if ((argc != 1 && argc != 3) || !rounds) {
		fprintf(stderr, "usage: selfmod [--rounds N]\n");
		return 2;
	}
	ktap_plan(7);
	test_in_place();
	test_alias();
	test_folded();
	test_kernel_writes();
	test_next_instruction();
	test_program();
	return ktap_finish();
}
