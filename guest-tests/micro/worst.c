/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Not a test: a hostile guest for ci/bench --worst. It has a device do the largest work that one access or one job can ask for, which
 * the command line names. Lists name the same memory again and again, so that a small machine has large operands; tables of pages
 * and of the IOMMU make every access walk.
 */
#include <fencepost_camera_regs.h>
#include <fencepost_display_regs.h>

#include "camera.h"
#include "gpu.h"
#include "vtd.h"
#include "worst.h"

#define MIB (1ull << 20)
#define ENTRIES_MAX 32768
/* Memory from here on is the operands'; below it are these tables. */
#define REGION (64 * MIB)
#define REGION_BYTES (256 * MIB)
#define LISTS (40 * MIB)
#define QUEUE (44 * MIB)
#define IOMMU_TABLES (46 * MIB)
#define CONTEXT_TABLES (50 * MIB)
#define TABLES 256

#define CONTEXT 1
#define SIDE 8192
#define QUARTER 1
#define BILINEAR 1

static struct gpu_packet packets[16] __attribute__((aligned(PAGE)));
static volatile uint64_t fence_word __attribute__((aligned(8)));
static volatile uint64_t result __attribute__((aligned(8)));
static uint64_t gpu;

/* The list in one of its places: `bytes` each entry, one behind the other in the region, which is repeated. */
static uint64_t list(int place, uint32_t entries, uint64_t bytes, uint64_t step)
{
	struct sg_entry *at = (struct sg_entry *)(LISTS + place * ENTRIES_MAX * sizeof(struct sg_entry));
	uint64_t offset = place * PAGE;

	for (uint32_t n = 0; n < entries; n++) {
		at[n] = (struct sg_entry){ REGION + offset, bytes, 0 };
		offset = (offset + step) % (REGION_BYTES - bytes);
	}
	return (uint64_t)at;
}

static struct gpu_operand large(int place, uint32_t stride)
{
	return (struct gpu_operand){ list(place, 6, 200 * MIB, 8 * MIB), 6, stride, 0 };
}

/* In the context all of the region is at its own address. */
static struct gpu_operand mapped(uint64_t offset, uint32_t stride)
{
	return (struct gpu_operand){ REGION + offset, 0, stride, 0 };
}

static struct gpu_packet *packet(uint32_t opcode, uint32_t width, uint32_t height)
{
	packets[0].opcode = opcode;
	packets[0].width = width;
	packets[0].height = height;
	return &packets[0];
}

/* Rings, and waits for the fence behind the job, or for the ring's error. */
static void run(void)
{
	packets[1].opcode = FPGPU_OPCODE_FENCE;
	packets[1].seqno = 1;
	write32(gpu + RING_TAIL, 2);
	wait_irq(0, 1);
	print_value("error", read32(gpu + RING_ERROR_CODE));
}

static void fill(void)
{
	packet(FPGPU_OPCODE_FILL, 1 << 30, 1)->dst = large(0, 0);
	run();
}

static void fill_rows(void)
{
	packet(FPGPU_OPCODE_FILL, 16380, 65536)->dst = large(0, 16384);
	run();
}

static void copy(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_COPY, 1 << 30, 1);

	it->dst = large(0, 0);
	it->src = large(1, 0);
	run();
}

/* Every row is in a page of its own: 65,536 rows of 4 bytes. */
static void copy_thin(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_COPY, 4, 65536);

	it->dst = large(0, 3 * PAGE);
	it->src = large(1, 3 * PAGE);
	run();
}

/* Every entry is a byte in a page of its own. */
static void copy_bytes(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_COPY, ENTRIES_MAX, 1);

	it->dst = (struct gpu_operand){ list(0, ENTRIES_MAX, 1, 3 * PAGE), ENTRIES_MAX, ENTRIES_MAX, 0 };
	it->src = (struct gpu_operand){ list(1, ENTRIES_MAX, 1, 3 * PAGE), ENTRIES_MAX, ENTRIES_MAX, 0 };
	run();
}

static void checksum(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_CHECKSUM, 1 << 30, 1);

	it->src = large(0, 0);
	it->address = (uint64_t)&result;
	run();
}

static void convert(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_CONVERT, SIDE, SIDE);

	it->dst = large(0, 4 * SIDE);
	it->src = large(1, 2 * SIDE);
	run();
}

static void convert_nv12(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_CONVERT, SIDE, SIDE);

	it->flags = 1;
	it->dst = large(0, 4 * SIDE);
	it->src = large(1, SIDE);
	it->src2 = large(2, SIDE);
	run();
}

static struct gpu_packet *picture(uint32_t opcode, uint32_t flags)
{
	struct gpu_packet *it = packet(opcode, SIDE, SIDE);

	it->flags = flags;
	it->dst = large(0, 4 * SIDE);
	it->src = large(1, 4 * SIDE);
	return it;
}

static void scale(void)
{
	struct gpu_packet *it = picture(FPGPU_OPCODE_SCALE, BILINEAR);

	it->src_width = SIDE;
	it->src_height = SIDE;
	run();
}

static void blend(void)
{
	picture(FPGPU_OPCODE_BLEND, 2)->value = 200;
	run();
}

static void rotate(void)
{
	picture(FPGPU_OPCODE_ROTATE, QUARTER);
	run();
}

/* The same with each row and each column in pages that neither the GPU's TLB nor the IOTLB holds. */
static void rotate_context(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_ROTATE, SIDE, SIDE);

	it->flags = QUARTER;
	it->dst = mapped(0, 4 * SIDE);
	it->src = mapped(0, 4 * SIDE);
	it->context = CONTEXT;
	run();
}

static void blend_thin(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_BLEND, 1, SIDE);

	it->dst = mapped(0, 7 * PAGE);
	it->src = mapped(PAGE, 7 * PAGE);
	it->value = 200;
	it->context = CONTEXT;
	run();
}

static void copy_context(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_COPY, 128 * MIB, 1);

	it->dst = mapped(0, 0);
	it->src = mapped(128 * MIB, 0);
	it->context = CONTEXT;
	run();
}

/* Operation, d, a, b, and the constant. */
#define INSTRUCTION(operation, d, a, b, c) \
	((operation) | (uint64_t)(d) << 8 | (uint64_t)(a) << 16 | (uint64_t)(b) << 24 | (uint64_t)(c) << 32)
enum operation { END, SET, ADD, LOAD = 10, STORE, JLT };

static void program(const uint64_t *text, uint32_t instructions, uint32_t width, uint32_t height)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_COMPUTE, width, height);
	volatile uint64_t *at = (volatile uint64_t *)REGION;

	for (uint32_t n = 0; n < instructions; n++)
		at[n] = text[n];
	it->src2 = (struct gpu_operand){ list(2, 1, PAGE, 0), 1, 0, 0 };
	((struct sg_entry *)it->src2.table)->iova = REGION;
	it->src_width = instructions;
	it->dst = large(0, 16 * MIB);
	it->src = large(1, 16 * MIB);
	run();
}

/* One place that goes on until the limit. */
static void compute(void)
{
	static const uint64_t text[] = { INSTRUCTION(SET, 4, 0, 0, 1), INSTRUCTION(JLT, 0, 5, 4, 1) };

	program(text, 2, 1, 1);
}

/* All places that there can be, each with four instructions and two words. */
static void compute_places(void)
{
	static const uint64_t text[] = {
		INSTRUCTION(LOAD, 4, 5, 0, 64), INSTRUCTION(ADD, 4, 4, 0, 0), INSTRUCTION(STORE, 4, 5, 0, 128),
		INSTRUCTION(END, 0, 0, 0, 0),
	};

	program(text, 4, 2048, 2048);
}

/* Starts of a job that reads three lists, of the longest, and then finds that it is wrong. */
static void lists(void)
{
	struct gpu_packet *it = packet(FPGPU_OPCODE_CONVERT, SIDE, SIDE);

	it->flags = 1;
	it->dst = (struct gpu_operand){ list(0, ENTRIES_MAX, 32768, PAGE), ENTRIES_MAX, 4 * SIDE, 0 };
	it->src = (struct gpu_operand){ list(1, ENTRIES_MAX, 32768, PAGE), ENTRIES_MAX, 4 * SIDE, 0 };
	it->src2 = (struct gpu_operand){ list(2, ENTRIES_MAX, 1, PAGE), ENTRIES_MAX, 4 * SIDE, 0 };
	run();
}

/* 32,767 descriptors by one write of the tail, when the IOTLB is full. */
static void invalidate(void)
{
	uint64_t (*queue)[2] = (uint64_t (*)[2])QUEUE;

	checksum();
	for (int n = 0; n < ENTRIES_MAX - 2; n++) {
		queue[n][0] = 2 | VTD_PAGES << 4 | 7 << 16;
		queue[n][1] = 0;
	}
	result = 0;
	queue[ENTRIES_MAX - 2][0] = 5 | 1 << 5 | 1ull << 32;
	queue[ENTRIES_MAX - 2][1] = (uint64_t)&result;
	write32(UNIT + GCMD, read32(UNIT + GSTS) & ~(1u << 26));
	write64(UNIT + IQT, 0);
	write64(UNIT + IQA, QUEUE | 7);
	write32(UNIT + GCMD, read32(UNIT + GSTS) | 1u << 26);
	write64(UNIT + IQT, (ENTRIES_MAX - 1) << 4);
	while ((uint32_t)result != 1)
		;
}

/* A picture of 4096 x 4096 pixels (4096 x 4095 is the mode's most), fetched from pages that are nowhere near each other. */
static void scan_out(void)
{
	uint64_t display = enable_function(FENCEPOST_PCI_SLOT_DISPLAY);

	route_vector(FENCEPOST_PCI_SLOT_DISPLAY, 0, IRQ_VECTOR + 1);
	write32(display + FPDISP_MODE_ACTIVE, 4000 << 16 | 4000);
	write32(display + FPDISP_MODE_TOTAL, 4010 << 16 | 4010);
	write32(display + FPDISP_MODE_CLOCK, 4010 * 4010 / 1000 * 60);
	write32(display + FPDISP_IRQ_ENABLE, FPDISP_IRQ_VBLANK);
	write32(display + FPDISP_PLANE_CONTROL, 1);
	write32(display + FPDISP_PLANE_FORMAT, 0x34325258);
	write32(display + FPDISP_PLANE_ENTRIES, ENTRIES_MAX);
	write32(display + FPDISP_PLANE_PITCH, 16000);
	write32(display + FPDISP_PLANE_SIZE, 4000 << 16 | 4000);
	write64(display + FPDISP_PLANE_TABLE, list(0, ENTRIES_MAX, PAGE, 3 * PAGE));
	write32(display + FPDISP_CRTC_ENABLE, 1);
	write32(display + FPDISP_COMMIT, 1);
	wait_irq(1, 5);
	print_value("refused", read32(display + FPDISP_REFUSED));
	print_value("underruns", read32(display + FPDISP_UNDERRUNS));
}

/* A frame of 4096 x 4096 pixels, into pages that are nowhere near each other. */
static void frame(void)
{
	static struct camera_descriptor queue[4] __attribute__((aligned(64)));
	static volatile struct camera_completion completions[4] __attribute__((aligned(64)));
	uint64_t camera = enable_function(FENCEPOST_PCI_SLOT_CAMERA);

	route_vector(FENCEPOST_PCI_SLOT_CAMERA, 0, IRQ_VECTOR + 2);
	write32(camera + FPCAM_WIDTH, 4096);
	write32(camera + FPCAM_HEIGHT, 4096);
	write32(camera + FPCAM_STRIDE, 2 * 4096);
	write32(camera + FPCAM_RATE_NUM, 1);
	write64(camera + FPCAM_QUEUE_BASE, (uint64_t)queue);
	write64(camera + FPCAM_COMPLETION_BASE, (uint64_t)completions);
	write32(camera + FPCAM_RING_ENTRIES, 4);
	queue[0].planes = 1;
	queue[0].table = list(0, ENTRIES_MAX, 1024, 3 * PAGE);
	queue[0].entries = ENTRIES_MAX;
	queue[0].len_bytes = 2 * 4096 * 4096;
	write32(camera + FPCAM_QUEUE_TAIL, 1);
	write32(camera + FPCAM_CONTROL, 1);
	wait_irq(2, 1);
	print_value("status", completions[0].status);
}

/* All of memory at its own address, in pages of 4 KiB, for the IOMMU and for the context. */
static void map_all(void)
{
	uint64_t *directory = (uint64_t *)(CONTEXT_TABLES + TABLES * PAGE), *contexts = directory + 2 * 512;

	for (uint64_t page = 0; page < TABLES * 512; page++) {
		((uint64_t *)IOMMU_TABLES)[page] = page * PAGE | 3;
		((uint64_t *)CONTEXT_TABLES)[page] = page * PAGE | 3;
	}
	for (uint64_t n = 0; n < TABLES; n++) {
		vtd_tables[2][n] = (IOMMU_TABLES + n * PAGE) | 3;
		directory[512 + n] = (CONTEXT_TABLES + n * PAGE) | 1;
	}
	directory[0] = (uint64_t)(directory + 512) | 1;
	contexts[CONTEXT] = (uint64_t)directory | 1;
	write64(gpu + FPGPU_CONTEXT_TABLE, (uint64_t)contexts);
	write32(gpu + FPGPU_CONTEXT_COUNT, 2);
}

static const struct action actions[] = {
	{ "fill", fill },
	{ "fill-rows", fill_rows },
	{ "copy", copy },
	{ "copy-thin", copy_thin },
	{ "copy-bytes", copy_bytes },
	{ "copy-context", copy_context },
	{ "checksum", checksum },
	{ "convert", convert },
	{ "convert-nv12", convert_nv12 },
	{ "scale", scale },
	{ "blend", blend },
	{ "blend-thin", blend_thin },
	{ "rotate", rotate },
	{ "rotate-context", rotate_context },
	{ "compute", compute },
	{ "compute-places", compute_places },
	{ "lists", lists },
	{ "invalidate", invalidate },
	{ "scan-out", scan_out },
	{ "frame", frame },
};

int micro_main(const uint8_t *zero_page)
{
	install_interrupts();
	enable_apic();
	gpu = enable_function(FENCEPOST_PCI_SLOT_GPU);
	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_RING, IRQ_VECTOR);
	route_vector(FENCEPOST_PCI_SLOT_GPU, GPU_VECTOR_ERROR, IRQ_VECTOR);
	vtd_attach(FENCEPOST_PCI_SLOT_CAMERA);
	vtd_attach(FENCEPOST_PCI_SLOT_DISPLAY);
	vtd_start(IRQ_VECTOR + 3);
	map_all();
	start_ring(gpu, (uint64_t)packets, (uint64_t)&fence_word);
	return act_by_name(zero_page, actions, sizeof(actions) / sizeof(actions[0]));
}
