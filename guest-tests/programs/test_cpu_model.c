// SPDX-License-Identifier: GPL-2.0
/*
 * What a model of CPU can do, in KTAP: each feature is in /proc/cpuinfo and its instructions give the values of their specification, or
 * it is not, and they are invalid.
 *   test_cpu_model v2|baseline
 */
#define _GNU_SOURCE
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <immintrin.h>

#include "ktap.h"

static sigjmp_buf invalid;

static void on_invalid(int number)
{
	(void)number;
	siglongjmp(invalid, 1);
}

/* Each gives whether the values are right. `volatile` keeps the compiler from working them out. */
__attribute__((target("sse3"))) static bool sse3(void)
{
	volatile float a = 1.5f, b = 2.25f;
	__m128 sums = _mm_hadd_ps(_mm_set_ps(a, b, a, b), _mm_set1_ps(a));

	return _mm_cvtss_f32(sums) == 3.75f;
}

__attribute__((target("ssse3"))) static bool ssse3(void)
{
	volatile int four = 0x04030201;
	__m128i turned = _mm_shuffle_epi8(_mm_set1_epi32(four), _mm_set1_epi32(0x00010203));

	return (uint32_t)_mm_cvtsi128_si32(turned) == 0x01020304;
}

__attribute__((target("sse4.1"))) static bool sse41(void)
{
	volatile int least = -7;

	return _mm_extract_epi32(_mm_max_epi32(_mm_set1_epi32(least), _mm_set1_epi32(-9)), 2) == -7;
}

/* The check value of CRC-32C is that of "123456789": E3069283 (RFC 3720, appendix B.4, has others of the same). */
__attribute__((target("sse4.2"))) static bool sse42(void)
{
	static const char digits[] = "123456789";
	uint32_t crc = UINT32_MAX;

	for (const char *at = digits; *at; at++)
		crc = _mm_crc32_u8(crc, (unsigned char)*at);
	if (~crc != 0xe3069283)
		return false;
	/* The first of a set in a text. */
	return _mm_cmpestri(_mm_setr_epi8('x', '5', 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0), 2,
			    _mm_loadu_si128((const __m128i *)"1234567890abcdef"), 16, _SIDD_CMP_EQUAL_ANY) == 4;
}

/* The first round of FIPS 197's example of a cipher (appendix B). */
__attribute__((target("aes"))) static bool aes(void)
{
	static const uint8_t start[16] = { 0x19, 0x3d, 0xe3, 0xbe, 0xa0, 0xf4, 0xe2, 0x2b,
					   0x9a, 0xc6, 0x8d, 0x2a, 0xe9, 0xf8, 0x48, 0x08 };
	static const uint8_t key[16] = { 0xa0, 0xfa, 0xfe, 0x17, 0x88, 0x54, 0x2c, 0xb1,
					 0x23, 0xa3, 0x39, 0x39, 0x2a, 0x6c, 0x76, 0x05 };
	static const uint8_t next[16] = { 0xa4, 0x9c, 0x7f, 0xf2, 0x68, 0x9f, 0x35, 0x2b,
					  0x6b, 0x5b, 0xea, 0x43, 0x02, 0x6a, 0x50, 0x49 };
	uint8_t came[16];

	_mm_storeu_si128((__m128i *)came, _mm_aesenc_si128(_mm_loadu_si128((const __m128i *)start),
							   _mm_loadu_si128((const __m128i *)key)));
	return memcmp(came, next, sizeof(came)) == 0;
}

/* (x + 1) squared is x^2 + 1 where coefficients are bits. */
__attribute__((target("pclmul,sse4.1"))) static bool pclmul(void)
{
	volatile long long factor = 3;
	__m128i three = _mm_set_epi64x(0, factor);

	return _mm_cvtsi128_si64(_mm_clmulepi64_si128(three, three, 0)) == 5;
}

__attribute__((target("movbe"))) static bool movbe(void)
{
	volatile uint32_t word = 0x12345678;
	uint32_t swapped;

	__asm__ volatile("movbe %1, %0" : "=r"(swapped) : "m"(word));
	return swapped == 0x78563412;
}

/* The bases of segments, without the kernel: FS's is the C library's, so GS is written. */
__attribute__((target("fsgsbase"))) static bool fsgsbase(void)
{
	static volatile unsigned long words[2] = { 11, 22 };
	unsigned long second, fs = _readfsbase_u64(), first;

	__asm__ volatile("mov %%fs:0, %0" : "=r"(first));
	_writegsbase_u64((unsigned long)words);
	__asm__ volatile("mov %%gs:8, %0" : "=r"(second));
	/* The thread's block begins with its own address (x86-64 psABI, 3.4.2; TLS variant II). */
	return _readgsbase_u64() == (unsigned long)words && second == 22 && fs == first;
}

/* The kernel keeps the CPU's number in the low 12 bits of TSC_AUX (arch/x86/include/asm/segment.h, VDSO_CPUNODE_BITS). */
static bool rdpid(void)
{
	unsigned long number;
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(0, &one);
	if (sched_setaffinity(0, sizeof(one), &one))
		return false;
	__asm__ volatile("rdpid %0" : "=r"(number));
	return (number & 0xfff) == 0;
}

/* As long as a number is drawn (CF), sixteen are not the same, nor has one bit the same value in all. */
static bool differ(const unsigned long long *numbers)
{
	unsigned long long ones = 0, zeroes = 0;

	for (int i = 0; i < 64; i++) {
		ones |= numbers[i];
		zeroes |= ~numbers[i];
	}
	return ones == ~0ULL && zeroes == ~0ULL;
}

__attribute__((target("rdrnd"))) static bool rdrand(void)
{
	unsigned long long numbers[64];

	for (int i = 0; i < 64; i++)
		if (!_rdrand64_step(&numbers[i]))
			return false;
	return differ(numbers);
}

__attribute__((target("rdseed"))) static bool rdseed(void)
{
	unsigned long long numbers[64];

	for (int i = 0; i < 64; i++)
		if (!_rdseed64_step(&numbers[i]))
			return false;
	return differ(numbers);
}

/*
 * The kernel gives the user a made-up table of its own where UMIP stops SGDT (arch/x86/kernel/umip.c: its base is
 * 0xfffffffffffe0000, its limit 0). Without UMIP the true one is in the CPU's own area, which is elsewhere.
 */
static bool umip(void)
{
	struct __attribute__((packed)) {
		uint16_t limit;
		uint64_t base;
	} table;

	__asm__ volatile("sgdt %0" : "=m"(table));
	return table.base == 0xfffffffffffe0000ULL && table.limit == 0;
}

static const struct {
	/* As in /proc/cpuinfo. */
	const char *flag;
	/* None where the kernel alone can use it. */
	bool (*run)(void);
	/* What shows that it is not there. */
	enum { INVALID = -1, OTHERWISE = 0 } lacking;
} features[] = {
	{ "pni", sse3, INVALID },
	{ "ssse3", ssse3, INVALID },
	{ "sse4_1", sse41, INVALID },
	{ "sse4_2", sse42, INVALID },
	{ "aes", aes, INVALID },
	{ "pclmulqdq", pclmul, INVALID },
	{ "movbe", movbe, INVALID },
	{ "fsgsbase", fsgsbase, INVALID },
	{ "rdpid", rdpid, INVALID },
	{ "rdrand", rdrand, INVALID },
	{ "rdseed", rdseed, INVALID },
	{ "umip", umip, OTHERWISE },
	{ .flag = "smep" },
	{ .flag = "smap" },
	{ .flag = "pcid" },
	{ .flag = "invpcid" },
};

#define FEATURES (sizeof(features) / sizeof(features[0]))

static bool has_flag(const char *flag)
{
	FILE *file = fopen("/proc/cpuinfo", "re");
	char line[4096], word[32];
	bool found = false;

	snprintf(word, sizeof(word), " %s ", flag);
	while (file && fgets(line, sizeof(line), file)) {
		line[strcspn(line, "\n")] = ' ';
		if (!strncmp(line, "flags", 5))
			found = strstr(line, word) != NULL;
	}
	if (file)
		fclose(file);
	return found;
}

/* Whether the values are right; -1 when an instruction is invalid. */
static int try(bool (*run)(void))
{
	if (sigsetjmp(invalid, 1))
		return -1;
	return run();
}

int main(int argc, char **argv)
{
	const bool v2 = argc == 2 && !strcmp(argv[1], "v2");

	if (argc != 2 || (!v2 && strcmp(argv[1], "baseline"))) {
		fprintf(stderr, "usage: %s v2|baseline\n", argv[0]);
		return 2;
	}
	signal(SIGILL, on_invalid);
	ktap_plan(FEATURES);
	for (size_t i = 0; i < FEATURES; i++) {
		static const char *const said[] = { "invalid", "wrong values", "right" };
		bool flag = has_flag(features[i].flag);
		int came;

		if (!features[i].run) {
			ktap_result(flag == v2, "%s is told of: %s", features[i].flag, flag ? "yes" : "no");
			continue;
		}
		came = try(features[i].run);
		if (v2)
			ktap_result(flag && came == 1, "%s is there: %s", features[i].flag, said[came + 1]);
		else
			ktap_result(!flag && came == features[i].lacking, "%s is neither told of nor there: %s", features[i].flag, said[came + 1]);
	}
	return ktap_finish();
}
