// SPDX-License-Identifier: GPL-2.0
/*
 * Compute jobs of the GPU, in KTAP: programs written here, whose results are computed here as well, and programs that do not end or that
 * reach for what is not theirs.
 */
#include <errno.h>
#include <string.h>

#include "display.h"
#include "gpu_client.h"
#include "ktap.h"

#define BYTES 65536
#define WORDS (BYTES / 4)

/* docs/gpu.md, Instructions. */
enum { END, SET, ADD, SUB, MUL, AND, OR, XOR, SHL, SHR, LOAD, STORE, JUMP_IF_LESS };

struct instruction {
	uint8_t operation, d, a, b;
	uint32_t constant;
};

static int gpu;
static struct gpu_buffer program, from, to;

static struct drm_fencepost_gpu_command job(const struct instruction *code, unsigned int bytes, uint32_t width, uint32_t height)
{
	memcpy(program.map, code, bytes);
	return (struct drm_fencepost_gpu_command) {
		.opcode = FENCEPOST_GPU_CMD_COMPUTE,
		.dst = { .handle = to.handle, .stride = BYTES },
		.src = { .handle = from.handle, .stride = BYTES },
		.src2 = { .handle = program.handle, .stride = bytes },
		.width = width,
		.height = height,
	};
}

static uint32_t word(const struct gpu_buffer *buffer, uint32_t index)
{
	uint32_t value;

	memcpy(&value, buffer->map + index * 4, 4);
	return value;
}

static void scramble(void)
{
	uint32_t state = 77;

	for (uint32_t i = 0; i < BYTES; i++) {
		state = state * 1664525u + 1013904223u;
		from.map[i] = state >> 24;
		to.map[i] = 0xee;
	}
}

/* Every operation of the arithmetic, at each place of a grid. */
static void test_arithmetic(void)
{
	enum { WIDTH = 64, HEIGHT = 32 };
	static const struct instruction code[] = {
		{ SET, 4, 0, 0, WIDTH }, { MUL, 5, 1, 4, 0 }, { ADD, 5, 5, 0, 0 },	/* r5: the place */
		{ SET, 6, 0, 0, 2 }, { SHL, 7, 5, 6, 0 },				/* r7: its byte */
		{ LOAD, 8, 7, 0, 0 }, { LOAD, 9, 7, 0, 4 },
		{ SUB, 10, 8, 9, 0 }, { XOR, 10, 10, 2, 0 }, { AND, 11, 8, 3, 0 }, { OR, 10, 10, 11, 0 },
		{ SHR, 11, 9, 0, 0 }, { MUL, 10, 10, 11, 0 },
		{ STORE, 10, 7, 0, 0 },
	};
	struct drm_fencepost_gpu_command command = job(code, sizeof(code), WIDTH, HEIGHT);
	unsigned int wrong = 0;
	int ret;

	scramble();
	command.value = 0x0f0f0f0fcafef00dull;
	ret = gpu_run(gpu, 0, &command);
	for (uint32_t i = 0; i < WORDS; i++) {
		uint32_t a = word(&from, i), b = i + 1 < WORDS ? word(&from, i + 1) : 0;
		uint32_t result = (((a - b) ^ 0xcafef00d) | (a & 0x0f0f0f0f)) * (b >> (i % WIDTH % 32));

		wrong += word(&to, i) != (i < WIDTH * HEIGHT ? result : 0xeeeeeeee);
	}
	ktap_result(!ret && !wrong, "arithmetic over a grid of %dx%d, and nothing else is written (%d, %u wrong)", WIDTH, HEIGHT, ret,
		    wrong);
}

/* A loop: each place sums up the words before it. */
static void test_loop(void)
{
	enum { PLACES = 500 };
	static const struct instruction code[] = {
		{ SET, 4, 0, 0, 4 }, { MUL, 5, 0, 4, 0 },	/* r5: the end */
		{ JUMP_IF_LESS, 0, 6, 5, 4 }, { END, 0, 0, 0, 0 },
		{ LOAD, 7, 6, 0, 0 }, { ADD, 8, 8, 7, 0 }, { STORE, 8, 5, 0, 0 }, { ADD, 6, 6, 4, 0 },
		{ JUMP_IF_LESS, 0, 6, 5, 4 },
	};
	struct drm_fencepost_gpu_command command = job(code, sizeof(code), PLACES, 1);
	uint32_t sum = 0;
	unsigned int wrong;
	int ret;

	scramble();
	ret = gpu_run(gpu, 1, &command);
	wrong = word(&to, 0) != 0xeeeeeeee;
	for (uint32_t i = 1; i < PLACES; i++) {
		sum += word(&from, i - 1);
		wrong += word(&to, i) != sum;
	}
	ktap_result(!ret && !wrong, "a loop sums up at each of %d places (%d, %u wrong)", PLACES, ret, wrong);
}

/* Fails as it should, alone, and writes nothing. */
static void test_fault(const struct instruction *code, unsigned int bytes, uint32_t code_wanted, const char *what)
{
	struct drm_fencepost_gpu_ring_info info = { .ring = 1 };
	struct drm_fencepost_gpu_command command = job(code, bytes, 16, 1), other = gpu_fill(&from, 4096, 5), behind = gpu_fill(&from, 4096, 6);
	int fence, beside, after, ret;

	scramble();
	fence = gpu_submit(gpu, 1, &command, 1, -1);
	beside = gpu_run(gpu, 0, &other);
	after = gpu_run(gpu, 1, &behind);
	ret = gpu_fence_wait(fence, 20000);
	gpu_ioctl(gpu, DRM_IOCTL_FENCEPOST_GPU_RING_INFO, &info);
	ktap_result(ret == -EIO && !beside && !after && info.last_error == code_wanted && gpu_is_filled(to.map, BYTES, 0xeeeeeeee) &&
		    gpu_is_filled(from.map, 4096, 6), "%s: the job fails, others go on, nothing is written (%d, error %u)", what, ret,
		    info.last_error);
}

static void test_faults(void)
{
	static const struct instruction endless[] = { { STORE, 0, 0, 0, 0 }, { SET, 4, 0, 0, 1 }, { JUMP_IF_LESS, 0, 5, 4, 1 } };
	static const struct instruction beyond[] = { { STORE, 0, 0, 0, 0 }, { SET, 4, 0, 0, BYTES }, { STORE, 0, 4, 0, 0 } };
	static const struct instruction before[] = { { STORE, 0, 0, 0, 0 }, { LOAD, 4, 0, 0, -4 } };
	static const struct instruction crooked[] = { { STORE, 0, 0, 0, 0 }, { LOAD, 4, 0, 0, 2 } };
	static const struct instruction unknown[] = { { 13, 0, 0, 0, 0 } };
	static const struct instruction no_register[] = { { SET, 16, 0, 0, 0 } };
	static const struct instruction away[] = { { JUMP_IF_LESS, 0, 0, 1, 1 } };

	test_fault(endless, sizeof(endless), FENCEPOST_GPU_ERROR_LIMIT, "a program that does not end");
	test_fault(beyond, sizeof(beyond), FENCEPOST_GPU_ERROR_BOUNDS, "a store beyond the buffer");
	test_fault(before, sizeof(before), FENCEPOST_GPU_ERROR_BOUNDS, "a load before the buffer");
	test_fault(crooked, sizeof(crooked), FENCEPOST_GPU_ERROR_BOUNDS, "a load of half a word");
	test_fault(unknown, sizeof(unknown), FENCEPOST_GPU_ERROR_PACKET, "an unknown instruction");
	test_fault(no_register, sizeof(no_register), FENCEPOST_GPU_ERROR_PACKET, "an unknown register");
	test_fault(away, sizeof(away), FENCEPOST_GPU_ERROR_PACKET, "a jump out of the program");
}

static void test_refusals(void)
{
	static const struct instruction code[257];
	struct drm_fencepost_gpu_command good = job(code, 8, 4, 4), commands[6];
	int wrong = 0;

	for (int i = 0; i < 6; i++)
		commands[i] = good;
	commands[0].src2.stride = 12;
	commands[1].src2.stride = sizeof(code);
	commands[2].dst.stride = 6;
	commands[3].width = commands[3].height = 4096;
	commands[4].src.stride = 0;
	commands[5].dst.offset = 4;
	for (int i = 0; i < 6; i++)
		wrong += gpu_submit(gpu, 0, &commands[i], 1, -1) != -EINVAL;
	good.src = (struct drm_fencepost_gpu_operand) { 0 };
	wrong += gpu_run(gpu, 0, &good) != 0;
	ktap_result(!wrong, "what no program or grid is, is refused (%d wrong)", wrong);
}

int main(void)
{
	int ret;

	ktap_plan(11);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : gpu_buffer_create(gpu, BYTES, &from);
	if (!ret)
		ret = gpu_buffer_create(gpu, BYTES, &to);
	if (!ret)
		ret = gpu_buffer_create(gpu, 4096, &program);
	if (!ktap_result(!ret, "the GPU opens and gives buffers (%d)", ret))
		return ktap_finish();
	test_arithmetic();
	test_loop();
	test_faults();
	test_refusals();
	return ktap_finish();
}
