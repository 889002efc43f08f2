// SPDX-License-Identifier: GPL-2.0
/*
 * The GPU's operations on pictures, in KTAP: scaling, blending, rotation and checksums of random pictures at odd offsets and strides, each
 * compared byte for byte with the formulae of docs/gpu.md, restated here one pixel at a time. Bytes beside the picture must stay.
 */
#include <errno.h>
#include <string.h>

#include "crc32.h"
#include "display.h"
#include "gpu_client.h"
#include "ktap.h"

#define BYTES (128 * 1024)
#define ROUNDS 24
#define MAX_SIDE 160

static int gpu;
static struct gpu_buffer src, dst;
static uint8_t wanted[BYTES];
static uint32_t state = 1;

static uint32_t random_word(void)
{
	state ^= state << 13;
	state ^= state >> 17;
	state ^= state << 5;
	return state;
}

static uint32_t random_below(uint32_t limit)
{
	return random_word() % limit;
}

/* A picture in a buffer. */
struct picture {
	uint8_t *bytes;
	uint32_t width, height, stride, offset;
};

static struct picture random_place(uint8_t *bytes, uint32_t width, uint32_t height)
{
	return (struct picture) { bytes, width, height, width * 4 + random_below(14), random_below(5000) };
}

static uint8_t *pixel(const struct picture *picture, uint32_t x, uint32_t y)
{
	return picture->bytes + picture->offset + y * picture->stride + x * 4;
}

static struct drm_fencepost_gpu_operand operand(const struct gpu_buffer *buffer, const struct picture *picture)
{
	return (struct drm_fencepost_gpu_operand) { buffer->handle, picture->stride, picture->offset };
}

static void scramble(void)
{
	for (uint32_t i = 0; i < BYTES; i += 4) {
		uint32_t words[2] = { random_word(), random_word() };

		memcpy(src.map + i, &words[0], 4);
		memcpy(dst.map + i, &words[1], 4);
		memcpy(wanted + i, &words[1], 4);
	}
}

/* Runs a command on a general ring; returns whether it did what the oracle did. */
static bool is_as_wanted(const struct drm_fencepost_gpu_command *command, const char *what, unsigned int round)
{
	int ret = gpu_run(gpu, round % 2, command);
	uint32_t at = 0;

	while (at < BYTES && dst.map[at] == wanted[at])
		at++;
	if (ret || at < BYTES)
		ktap_note("%s, round %u: %d, byte %u is %#x, not %#x", what, round, ret, at, at < BYTES ? dst.map[at] : 0,
			  at < BYTES ? wanted[at] : 0);
	return !ret && at == BYTES;
}

static void scale_nearest(const struct picture *to, const struct picture *from)
{
	for (uint32_t y = 0; y < to->height; y++)
		for (uint32_t x = 0; x < to->width; x++)
			memcpy(pixel(to, x, y), pixel(from, (2 * x + 1) * from->width / (2 * to->width),
						      (2 * y + 1) * from->height / (2 * to->height)), 4);
}

/* The middle of a pixel, in 1/256 of the source's, no nearer to the edge than the middle of the last. */
static uint32_t middle(uint32_t at, uint32_t to, uint32_t from)
{
	int64_t place = ((int64_t)2 * at + 1) * from * 128 / to - 128, last = ((int64_t)from - 1) * 256;

	return place < 0 ? 0 : place > last ? last : place;
}

static void scale_bilinear(const struct picture *to, const struct picture *from)
{
	for (uint32_t y = 0; y < to->height; y++) {
		for (uint32_t x = 0; x < to->width; x++) {
			uint32_t u = middle(x, to->width, from->width), v = middle(y, to->height, from->height);
			uint32_t x0 = u >> 8, y0 = v >> 8, fx = u & 255, fy = v & 255;
			uint32_t x1 = x0 + 1 < from->width ? x0 + 1 : x0, y1 = y0 + 1 < from->height ? y0 + 1 : y0;

			for (int channel = 0; channel < 4; channel++) {
				uint64_t sum = (uint64_t)pixel(from, x0, y0)[channel] * (256 - fx) * (256 - fy) +
					       (uint64_t)pixel(from, x1, y0)[channel] * fx * (256 - fy) +
					       (uint64_t)pixel(from, x0, y1)[channel] * (256 - fx) * fy +
					       (uint64_t)pixel(from, x1, y1)[channel] * fx * fy;

				pixel(to, x, y)[channel] = (sum + 32768) / 65536;
			}
		}
	}
}

static bool run_scale(unsigned int round, bool bilinear)
{
	/* The first rounds: one pixel to many, many to one, the same size. */
	uint32_t w = round == 0 ? 1 : 1 + random_below(MAX_SIDE), h = round == 0 ? 1 : 1 + random_below(MAX_SIDE);
	struct picture from = random_place(src.map, w, h);
	struct picture to = random_place(wanted, round == 1 ? 1 : round == 2 ? w : 1 + random_below(MAX_SIDE),
					 round == 1 ? 1 : round == 2 ? h : 1 + random_below(MAX_SIDE));
	struct drm_fencepost_gpu_command command = {
		.opcode = FENCEPOST_GPU_CMD_SCALE,
		.flags = bilinear ? FENCEPOST_GPU_SCALE_BILINEAR : 0,
		.dst = operand(&dst, &to),
		.src = operand(&src, &from),
		.width = to.width,
		.height = to.height,
		.value = (uint64_t)h << 32 | w,
	};

	if (bilinear)
		scale_bilinear(&to, &from);
	else
		scale_nearest(&to, &from);
	return is_as_wanted(&command, bilinear ? "bilinear" : "nearest", round);
}

static bool run_nearest(unsigned int round)
{
	return run_scale(round, false);
}

static bool run_bilinear(unsigned int round)
{
	return run_scale(round, true);
}

static uint32_t part(uint32_t value)
{
	return (value + 127) / 255;
}

static void blend_pixel(uint8_t *under, const uint8_t *over, uint32_t mode, uint32_t plane)
{
	uint32_t cover = mode == FENCEPOST_GPU_BLEND_IGNORED ? part(255 * plane) : part(over[3] * plane);

	for (int channel = 0; channel < 4; channel++) {
		uint32_t value = channel == 3 && mode != FENCEPOST_GPU_BLEND_PREMULTIPLIED ? 255 : over[channel];
		uint32_t weight = mode == FENCEPOST_GPU_BLEND_COVERAGE ? cover : plane;
		uint32_t sum = part(value * weight + under[channel] * (255 - cover));

		under[channel] = sum > 255 ? 255 : sum;
	}
}

static bool run_blend(unsigned int round)
{
	static const uint32_t planes[] = { 255, 0, 128 };
	uint32_t w = 1 + random_below(MAX_SIDE), h = 1 + random_below(MAX_SIDE), mode = round % 3;
	uint32_t plane = round < 9 ? planes[round / 3] : random_below(256);
	struct picture from = random_place(src.map, w, h), to = random_place(wanted, w, h);
	struct drm_fencepost_gpu_command command = {
		.opcode = FENCEPOST_GPU_CMD_BLEND,
		.flags = mode,
		.dst = operand(&dst, &to),
		.src = operand(&src, &from),
		.width = w,
		.height = h,
		.value = plane,
	};

	for (uint32_t y = 0; y < h; y++)
		for (uint32_t x = 0; x < w; x++)
			blend_pixel(pixel(&to, x, y), pixel(&from, x, y), mode, plane);
	return is_as_wanted(&command, "blend", round);
}

/* Where the pixel at (x, y) of a w by h picture goes: the flips, and then a quarter at a time. */
static void turned(uint32_t *x, uint32_t *y, uint32_t w, uint32_t h, uint32_t flags)
{
	if (flags & FENCEPOST_GPU_FLIP_X)
		*x = w - 1 - *x;
	if (flags & FENCEPOST_GPU_FLIP_Y)
		*y = h - 1 - *y;
	for (uint32_t quarter = 0; quarter < (flags & FENCEPOST_GPU_ROTATE_270); quarter++) {
		uint32_t column = h - 1 - *y, side = w;

		*y = *x;
		*x = column;
		w = h;
		h = side;
	}
}

static bool run_rotate(unsigned int round)
{
	uint32_t w = 1 + random_below(MAX_SIDE), h = 1 + random_below(MAX_SIDE), flags = round % 16;
	bool across = flags & FENCEPOST_GPU_ROTATE_90;
	struct picture from = random_place(src.map, w, h);
	struct picture to = random_place(wanted, across ? h : w, across ? w : h);
	struct drm_fencepost_gpu_command command = {
		.opcode = FENCEPOST_GPU_CMD_ROTATE,
		.flags = flags,
		.dst = operand(&dst, &to),
		.src = operand(&src, &from),
		.width = w,
		.height = h,
	};

	for (uint32_t y = 0; y < h; y++) {
		for (uint32_t x = 0; x < w; x++) {
			uint32_t at[2] = { x, y };

			turned(&at[0], &at[1], w, h, flags);
			memcpy(pixel(&to, at[0], at[1]), pixel(&from, x, y), 4);
		}
	}
	return is_as_wanted(&command, "rotate", round);
}

static bool run_checksum(unsigned int round)
{
	static uint8_t rows[MAX_SIDE * MAX_SIDE * 4];
	uint32_t w = 1 + random_below(4 * MAX_SIDE), h = 1 + random_below(MAX_SIDE), at = 8 * random_below(1000);
	struct picture from = { src.map, 0, h, w + random_below(14), random_below(5000) };
	struct drm_fencepost_gpu_command command = {
		.opcode = FENCEPOST_GPU_CMD_CHECKSUM,
		.dst = { .handle = dst.handle, .offset = at },
		.src = operand(&src, &from),
		.width = w,
		.height = h,
	};
	uint64_t sum;

	for (uint32_t y = 0; y < h; y++)
		memcpy(rows + y * w, pixel(&from, 0, y), w);
	sum = crc32_of(rows, (size_t)w * h);
	memcpy(wanted + at, &sum, sizeof(sum));
	return is_as_wanted(&command, "checksum", round);
}

static void test_rounds(bool (*run)(unsigned int round), const char *what)
{
	unsigned int right = 0;

	for (unsigned int round = 0; round < ROUNDS; round++) {
		scramble();
		right += run(round);
	}
	ktap_result(right == ROUNDS, "%s: %u of %u random pictures are as the formulae say", what, right, ROUNDS);
}

static void test_refusals(void)
{
	struct drm_fencepost_gpu_command scale = {
		.opcode = FENCEPOST_GPU_CMD_SCALE, .dst = { dst.handle, 64, 0 }, .src = { src.handle, 64, 0 },
		.width = 16, .height = 16, .value = 16ull << 32 | 16,
	};
	struct drm_fencepost_gpu_command commands[10];
	int wrong = 0;

	for (int i = 0; i < 10; i++)
		commands[i] = scale;
	commands[0].value = 16;			/* no rows */
	commands[1].value = 16ull << 32 | 17;	/* rows longer than the stride */
	commands[2].flags = 2;
	commands[3].width = 8193;
	commands[4].src2.handle = src.handle;
	commands[5].opcode = FENCEPOST_GPU_CMD_BLEND;
	commands[5].value = 256;
	commands[6].opcode = FENCEPOST_GPU_CMD_BLEND;
	commands[6].flags = 3;
	commands[6].value = 255;
	commands[7].opcode = FENCEPOST_GPU_CMD_ROTATE; /* a value that is not used */
	commands[8].opcode = FENCEPOST_GPU_CMD_ROTATE;
	commands[8].value = 0;
	commands[8].flags = 16;
	commands[9].opcode = FENCEPOST_GPU_CMD_CHECKSUM;
	commands[9].value = 0;
	commands[9].dst = (struct drm_fencepost_gpu_operand) { .handle = dst.handle, .offset = 4 };
	for (int i = 0; i < 10; i++) {
		int ret = gpu_submit(gpu, 0, &commands[i], 1, -1);

		if (ret != -EINVAL)
			ktap_note("command %d: %d", i, ret);
		wrong += ret != -EINVAL;
	}
	wrong += gpu_run(gpu, 0, &scale) != 0;
	wrong += gpu_submit(gpu, 2, &scale, 1, -1) != -EINVAL;
	ktap_result(!wrong, "what no picture is, and all of it on the copy ring, is refused (%d wrong)", wrong);
}

int main(void)
{
	int ret;

	ktap_plan(7);
	gpu = display_open_node("renderD", FENCEPOST_GPU_DRIVER_NAME);
	ret = gpu < 0 ? gpu : gpu_buffer_create(gpu, BYTES, &src);
	if (!ret)
		ret = gpu_buffer_create(gpu, BYTES, &dst);
	if (!ktap_result(!ret, "the GPU opens and gives buffers (%d)", ret))
		return ktap_finish();
	test_rounds(run_nearest, "scale to the nearest");
	test_rounds(run_bilinear, "scale between four");
	test_rounds(run_blend, "blend");
	test_rounds(run_rotate, "rotate and flip");
	test_rounds(run_checksum, "checksum");
	test_refusals();
	return ktap_finish();
}
