// SPDX-License-Identifier: GPL-2.0
/*
 * Large packets are cut into slices of rows, or of a part of one row: a ring that is stopped for sleep,
 * a reset or another's fault goes on at the slice that it was at.
 */
#include "gpu_job.h"

/* Bytes that a slice writes. */
#define FPGPU_SLICE_BYTES	(4U << 20)

static u32 fpgpu_row_bytes(const struct fpgpu_packet *packet)
{
	u32 width = le32_to_cpu(packet->width);

	switch (le32_to_cpu(packet->opcode)) {
	case FPGPU_OPCODE_FILL:
	case FPGPU_OPCODE_COPY:
		return width;
	case FPGPU_OPCODE_CONVERT:
	case FPGPU_OPCODE_BLEND:
		return width * FPGPU_PIXEL_BYTES;
	default:
		/* Not made of rows that know nothing of each other. */
		return 0;
	}
}

static void fpgpu_window_down(struct fpgpu_window *window, u32 rows)
{
	u64 bytes = (u64)le32_to_cpu(window->stride) * rows;

	if (window->start)
		window->offset = cpu_to_le64(le64_to_cpu(window->offset) + bytes);
}

static void fpgpu_window_right(struct fpgpu_window *window, u32 bytes)
{
	if (window->start)
		window->offset = cpu_to_le64(le64_to_cpu(window->offset) + bytes);
}

/* Rows of several: an even number, since two rows of NV12 share one of chroma. */
static unsigned int fpgpu_slice_rows(struct fpgpu_packet *packets, u32 row, unsigned int most)
{
	u32 height = le32_to_cpu(packets->height);
	u32 fit = max(FPGPU_SLICE_BYTES / row, DIV_ROUND_UP(height, most));
	u32 rows = round_up(fit, 2), left = height;
	unsigned int count = 0;

	for (; left > rows; left -= rows, count++) {
		packets[count + 1] = packets[count];
		packets[count].height = cpu_to_le32(rows);
		fpgpu_window_down(&packets[count + 1].dst, rows);
		fpgpu_window_down(&packets[count + 1].src, rows);
		fpgpu_window_down(&packets[count + 1].src2, rows / 2);
	}
	packets[count].height = cpu_to_le32(left);
	return count + 1;
}

/* Bytes of one row: whole words, as a fill has them. */
static unsigned int fpgpu_slice_bytes(struct fpgpu_packet *packets, unsigned int most)
{
	u32 left = le32_to_cpu(packets->width);
	u32 bytes = round_up(max(FPGPU_SLICE_BYTES, DIV_ROUND_UP(left, most)), sizeof(u32));
	unsigned int count = 0;

	for (; left > bytes; left -= bytes, count++) {
		packets[count + 1] = packets[count];
		packets[count].width = cpu_to_le32(bytes);
		fpgpu_window_right(&packets[count + 1].dst, bytes);
		fpgpu_window_right(&packets[count + 1].src, bytes);
	}
	packets[count].width = cpu_to_le32(left);
	return count + 1;
}

/*
 * Cuts the packet at @packets, which has room for @most, into slices. Returns how many it became. The
 * order of the rows stays.
 */
unsigned int fpgpu_slice(struct fpgpu_packet *packets, unsigned int most)
{
	u32 row = fpgpu_row_bytes(packets), height = le32_to_cpu(packets->height);
	u32 opcode = le32_to_cpu(packets->opcode);

	if (!row || (u64)row * height <= FPGPU_SLICE_BYTES)
		return 1;
	if (height > 2)
		return fpgpu_slice_rows(packets, row, most);
	if (height == 1 && (opcode == FPGPU_OPCODE_FILL || opcode == FPGPU_OPCODE_COPY))
		return fpgpu_slice_bytes(packets, most);
	return 1;
}
