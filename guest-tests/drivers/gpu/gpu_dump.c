// SPDX-License-Identifier: GPL-2.0
/*
 * What a ring and its jobs were at an error or a hang, as text for /sys/class/devcoredump. The kernel
 * keeps one dump of a device until it is read and cleared, for five minutes at most, and drops those
 * that come meanwhile.
 */
#include <linux/devcoredump.h>
#include <linux/kernel.h>
#include <linux/vmalloc.h>

#include "gpu_drv.h"

/* A line for each job on the ring, and the registers: there is room for more. */
#define FPGPU_DUMP_BYTES	(64 * 1024)
/* Packets before and behind the one at fault. */
#define FPGPU_DUMP_AROUND	4

struct fpgpu_dump {
	char *text;
	size_t len;
};

static __printf(2, 3) void fpgpu_dump_line(struct fpgpu_dump *dump, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	dump->len += vscnprintf(dump->text + dump->len, FPGPU_DUMP_BYTES - dump->len, format, arguments);
	va_end(arguments);
}

static void fpgpu_dump_registers(struct fpgpu_dump *dump, struct fpgpu_ring *ring)
{
	static const struct { const char *name; u32 offset; bool wide; } registers[] = {
		{ "base", FPGPU_RING_BASE, true },
		{ "size", FPGPU_RING_SIZE, false },
		{ "head", FPGPU_RING_HEAD, false },
		{ "tail", FPGPU_RING_TAIL, false },
		{ "status", FPGPU_RING_STATUS, false },
		{ "seqno", FPGPU_RING_SEQNO, true },
		{ "error_code", FPGPU_RING_ERROR_CODE, false },
		{ "error_packet", FPGPU_RING_ERROR_PACKET, false },
		{ "error_address", FPGPU_RING_ERROR_ADDRESS, true },
		{ "error_context", FPGPU_RING_ERROR_CONTEXT, false },
		{ "packets", FPGPU_RING_PACKETS, true },
		{ "busy_cycles", FPGPU_RING_BUSY_CYCLES, true },
	};
	unsigned int i;

	for (i = 0; i < ARRAY_SIZE(registers); i++) {
		void __iomem *at = ring->regs + registers[i].offset;

		fpgpu_dump_line(dump, "register %s %#llx\n", registers[i].name,
				registers[i].wide ? fpgpu_read64(at) : (u64)readl(at));
	}
}

static void fpgpu_dump_window(struct fpgpu_dump *dump, const char *name,
			      const struct fpgpu_window *window)
{
	if (window->start)
		fpgpu_dump_line(dump, " %s %#llx stride %u offset %#llx", name,
				le64_to_cpu(window->start), le32_to_cpu(window->stride),
				le64_to_cpu(window->offset));
}

static void fpgpu_dump_packets(struct fpgpu_dump *dump, struct fpgpu_ring *ring)
{
	u32 head = readl(ring->regs + FPGPU_RING_HEAD) % FPGPU_RING_SLOTS;
	int i;

	for (i = -FPGPU_DUMP_AROUND; i <= FPGPU_DUMP_AROUND; i++) {
		u32 slot = (head + i + FPGPU_RING_SLOTS) % FPGPU_RING_SLOTS;
		const struct fpgpu_packet *packet = &ring->packets[slot];

		fpgpu_dump_line(dump, "packet %u%s opcode %u flags %#x context %u seqno %llu", slot,
				i ? "" : " (head)", le32_to_cpu(packet->opcode),
				le32_to_cpu(packet->flags), le32_to_cpu(packet->context),
				le64_to_cpu(packet->seqno));
		fpgpu_dump_window(dump, "dst", &packet->dst);
		fpgpu_dump_window(dump, "src", &packet->src);
		fpgpu_dump_window(dump, "src2", &packet->src2);
		fpgpu_dump_line(dump, " size %ux%u value %#llx address %#llx\n",
				le32_to_cpu(packet->width), le32_to_cpu(packet->height),
				le64_to_cpu(packet->value), le64_to_cpu(packet->address));
	}
}

/* The scheduler is stopped: the list stands still. */
static void fpgpu_dump_jobs(struct fpgpu_dump *dump, struct fpgpu_ring *ring)
{
	struct drm_sched_job *sched_job;

	list_for_each_entry(sched_job, &ring->sched.pending_list, list) {
		struct fpgpu_job *job = to_fpgpu_job(sched_job);
		struct dma_fence *fence = &job->fence->base;

		fpgpu_dump_line(dump, "job seqno %llu process %d context %u packets %u buffers %u fence %s\n",
				fence->seqno, job->pid, job->file->vm.context, job->packet_count,
				job->obj_count,
				dma_fence_is_signaled(fence) ? "signalled" : "waits");
	}
}

/* Between drm_sched_stop() and fpgpu_ring_stop(): the ring's registers still say what happened. */
void fpgpu_dump(struct fpgpu_ring *ring)
{
	struct fpgpu_dump dump = { .text = vmalloc(FPGPU_DUMP_BYTES) };
	u32 code = readl(ring->regs + FPGPU_RING_ERROR_CODE);

	/* The ring's recovery does not depend on it. */
	if (!dump.text)
		return;
	fpgpu_dump_line(&dump, "%s %s\n", FENCEPOST_GPU_DRIVER_NAME, dev_name(ring->gpu->drm.dev));
	fpgpu_dump_line(&dump, "ring %u %s\n", ring->index,
			fpgpu_ring_only_copies(ring) ? "copy" : "general");
	fpgpu_dump_line(&dump, "reason %s\n", code ? "error" : "hang");
	fpgpu_dump_registers(&dump, ring);
	fpgpu_dump_line(&dump, "word fence %llu\nword tail %u\n",
			le64_to_cpu(READ_ONCE(ring->words->fence)),
			le32_to_cpu(READ_ONCE(ring->words->tail)));
	fpgpu_dump_jobs(&dump, ring);
	fpgpu_dump_packets(&dump, ring);
	/* It frees the text. */
	dev_coredumpv(ring->gpu->drm.dev, dump.text, dump.len, GFP_KERNEL);
}
