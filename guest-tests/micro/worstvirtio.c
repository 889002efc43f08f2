/* SPDX-License-Identifier: Apache-2.0 OR MIT */
/*
 * Not a test: a hostile guest for ci/bench --worst. It has a virtio device (Virtual I/O Device 1.2) do the largest work that one
 * notification or one command can ask for, which the command line names. The devices are in the slots that the bench plugs them into.
 */
#include "micro.h"
#include "vtd.h"
#include "worst.h"

#define NET 5
#define CONSOLE 6
#define DISPLAY 7
#define UNIT_SLOT 31

#define MIB (1ull << 20)
#define IOMMU_TABLES (46 * MIB)
#define TABLES 256
#define RINGS (8 * MIB)
#define CHAINS (16 * MIB)
#define BACKING (64 * MIB)

/* The common configuration, the notification registers, and status bits. */
#define FEATURE_SELECT 0x08
#define FEATURES 0x0c
#define STATUS 0x14
#define QUEUE_SELECT 0x16
#define QUEUE_SIZE 0x18
#define QUEUE_ENABLE 0x1c
#define QUEUE_DESC 0x20
#define QUEUE_DRIVER 0x28
#define QUEUE_DEVICE 0x30
#define NOTIFY 0x3000
#define INDIRECT_BIT (1u << 28)
#define VERSION_AND_PLATFORM 3

#define NEXT 1
#define WRITE 2
#define INDIRECT 4
#define CHAIN_MAX 1024

struct descriptor {
	uint64_t address;
	uint32_t bytes;
	uint16_t flags, next;
};

struct queue {
	uint64_t registers;
	int number, size;
	struct descriptor *descriptors;
	volatile uint16_t *driver, *device;
};

static uint64_t device;

/* Resets the device of a slot, and takes these features in place of none. */
static void begin(int slot, uint32_t features)
{
	device = enable_function(slot);
	write8(device + STATUS, 0);
	write8(device + STATUS, 3);
	write32(device + FEATURE_SELECT, 0);
	write32(device + FEATURES, INDIRECT_BIT | features);
	write32(device + FEATURE_SELECT, 1);
	write32(device + FEATURES, VERSION_AND_PLATFORM);
	write8(device + STATUS, 11);
	require(read8(device + STATUS) & 8, "the features are refused");
}

static struct queue enable(int number)
{
	uint64_t at = RINGS + number * 0x10000;
	struct queue it = { device, number, 0, (struct descriptor *)at, (uint16_t *)(at + 0x8000), (uint16_t *)(at + 0xc000) };

	write16(device + QUEUE_SELECT, number);
	it.size = read16(device + QUEUE_SIZE);
	write64(device + QUEUE_DESC, at);
	write64(device + QUEUE_DRIVER, (uint64_t)it.driver);
	write64(device + QUEUE_DEVICE, (uint64_t)it.device);
	write16(device + QUEUE_ENABLE, 1);
	return it;
}

static void start(void)
{
	write8(device + STATUS, 15);
}

/* Makes descriptor `n` available, and gives what is to be in the device's ring when all are done. */
static void offer(struct queue *queue, int n)
{
	queue->driver[2 + queue->driver[1] % queue->size] = n;
	queue->driver[1]++;
}

static void notify(struct queue *queue)
{
	write16(queue->registers + NOTIFY + 4 * queue->number, queue->number);
	while (queue->device[1] != queue->driver[1])
		require(!(read8(queue->registers + STATUS) & 0x40), "the queue is broken");
}

/* A table of as many descriptors as a chain has, of a byte each in a page of its own; `bytes` at `last` end it, if there are any. */
static uint64_t chain(int n, uint64_t request, uint32_t request_bytes, uint32_t answer_bytes)
{
	struct descriptor *table = (struct descriptor *)(CHAINS + n * CHAIN_MAX * sizeof(struct descriptor));
	int count = CHAIN_MAX - 1, parts = count - !!answer_bytes;

	for (int i = 0; i < parts; i++) {
		uint64_t at = request_bytes ? request + i : BACKING + (uint64_t)(i * 3 % 16384) * PAGE;

		table[i] = (struct descriptor){ at, !request_bytes || (uint32_t)i < request_bytes, NEXT, i + 1 };
	}
	if (answer_bytes)
		table[parts] = (struct descriptor){ BACKING + n * PAGE, answer_bytes, WRITE, 0 };
	else
		table[parts - 1].flags = 0;
	return (uint64_t)table;
}

/* As many of the longest chains as the queue has room for, by one notification. */
static void chains(struct queue *queue, uint64_t request, uint32_t request_bytes, uint32_t answer_bytes)
{
	int count = CHAIN_MAX - 1;

	for (int n = 0; n < queue->size; n++) {
		uint64_t table = chain(n, request, request_bytes, answer_bytes);

		queue->descriptors[n] = (struct descriptor){ table, count * sizeof(struct descriptor), INDIRECT, 0 };
		offer(queue, n);
	}
	notify(queue);
}

static void net(void)
{
	struct queue queue;

	begin(NET, 0);
	queue = enable(1);
	start();
	chains(&queue, 0, 0, 0);
}

static void console(void)
{
	struct queue queue;

	begin(CONSOLE, 0);
	queue = enable(1);
	start();
	chains(&queue, 0, 0, 0);
}

/* One request, of a part to read and a part to write. */
static void ask(struct queue *queue, const volatile void *request, uint32_t bytes, uint32_t answer_bytes)
{
	queue->descriptors[0] = (struct descriptor){ (uint64_t)request, bytes, NEXT, 1 };
	queue->descriptors[1] = (struct descriptor){ BACKING - PAGE, answer_bytes, WRITE, 0 };
	offer(queue, 0);
	notify(queue);
}

/* 5.7.6 */
struct command {
	uint32_t type, flags;
	uint64_t fence;
	uint32_t context, padding, words[16];
};

static void command(struct queue *queue, uint32_t type, uint32_t words, const uint32_t *values)
{
	static volatile struct command it;

	it.type = type;
	for (uint32_t n = 0; n < words; n++)
		it.words[n] = values[n];
	ask(queue, &it, 24 + 4 * words, 24);
	if ((*(volatile uint32_t *)(BACKING - PAGE) & 0xff00) != 0x1100)
		print_value("refused", type);
}

/* A picture of 16 Mi pixels in 16,384 pages, shown with a cursor. */
static void picture(void)
{
	const uint32_t side = 4096, entries = 16384;
	volatile uint32_t *attach = (volatile uint32_t *)(RINGS + 0x100000);
	struct queue queue, cursor;

	begin(DISPLAY, 0);
	queue = enable(0);
	cursor = enable(1);
	start();
	command(&queue, 0x101, 4, (uint32_t[]){ 1, 2, side, side });
	attach[0] = 0x106;
	attach[6] = 1;
	attach[7] = entries;
	for (uint32_t n = 0; n < entries; n++) {
		attach[8 + 4 * n] = BACKING + (uint64_t)(n * 3 % entries) * PAGE;
		attach[8 + 4 * n + 2] = PAGE;
	}
	ask(&queue, attach, 32 + 16 * entries, 24);
	command(&queue, 0x101, 4, (uint32_t[]){ 2, 1, 64, 64 });
	command(&queue, 0x103, 6, (uint32_t[]){ 0, 0, side, side, 0, 1 });
	command(&cursor, 0x300, 8, (uint32_t[]){ 0, 9, 9, 0, 2, 0, 0, 0 });
	command(&queue, 0x105, 8, (uint32_t[]){ 0, 0, side, side, 0, 0, 1, 0 });
	command(&queue, 0x104, 6, (uint32_t[]){ 0, 0, side, side, 1, 0 });
	/* The cursor moves over it. */
	command(&cursor, 0x301, 8, (uint32_t[]){ 0, 99, 99, 0, 2, 0, 0, 0 });
	command(&queue, 0x103, 6, (uint32_t[]){ 0, 0, 0, 0, 0, 0 });
	command(&queue, 0x102, 2, (uint32_t[]){ 1, 0 });
}

/* 5.13.6 */
struct __attribute__((packed)) map {
	uint32_t type, domain;
	uint64_t first, last, gpa;
	uint32_t flags;
};

static volatile struct map requests[64];

static struct queue unit(void)
{
	struct queue queue;

	begin(UNIT_SLOT, 1 << 2);
	queue = enable(0);
	start();
	/* ATTACH: the GPU's endpoint into domain 1. */
	ask(&queue, (uint32_t[]){ 1, 1, 1 << 3, 0, 0 }, 20, 4);
	return queue;
}

/* As many mappings as there can be, and all of them gone by one request. */
static void unmap(void)
{
	struct queue queue = unit();
	const uint32_t pages = 262144;

	for (uint32_t page = 0; page < pages; page += 32) {
		for (int n = 0; n < 32; n++) {
			uint64_t first = (uint64_t)(page + n) * 2 * PAGE + 4096 * MIB;

			requests[n] = (struct map){ 3, 1, first, first + PAGE - 1, 0, 1 };
			queue.descriptors[2 * n] = (struct descriptor){ (uint64_t)&requests[n], 36, NEXT, 2 * n + 1 };
			queue.descriptors[2 * n + 1] = (struct descriptor){ BACKING + n * PAGE, 4, WRITE, 0 };
			offer(&queue, 2 * n);
		}
		notify(&queue);
	}
	print_value("mapped", *(volatile uint8_t *)BACKING);
	ask(&queue, (uint64_t[]){ 4 | 1ull << 32, 0, 0xffffffffffff, 0 }, 28, 4);
	print_value("unmapped", *(volatile uint8_t *)(BACKING - PAGE));
}

/* Requests in as many parts as a chain has, by one notification. */
static void requests_in_parts(void)
{
	struct queue queue = unit();

	/* DETACH of somebody who is not there. */
	requests[0] = (struct map){ 2, 1, 0, 0, 0, 0 };
	chains(&queue, (uint64_t)requests, 20, 4);
}

/* All of memory at its own address, in pages of 4 KiB. */
static void map_all(void)
{
	for (uint64_t page = 0; page < TABLES * 512; page++)
		((uint64_t *)IOMMU_TABLES)[page] = page * PAGE | 3;
	for (int slot = NET; slot <= DISPLAY; slot++)
		vtd_attach(slot);
	vtd_start(IRQ_VECTOR);
	for (uint64_t n = 0; n < TABLES; n++)
		vtd_tables[2][n] = (IOMMU_TABLES + n * PAGE) | 3;
}

static void behind_vtd(void (*act)(void))
{
	map_all();
	act();
}

static void net_chains(void)
{
	behind_vtd(net);
}

static void console_chains(void)
{
	behind_vtd(console);
}

static void gpu_picture(void)
{
	behind_vtd(picture);
}

static const struct action actions[] = {
	{ "net-chains", net_chains },
	{ "console-chains", console_chains },
	{ "gpu-picture", gpu_picture },
	{ "iommu-unmap", unmap },
	{ "iommu-parts", requests_in_parts },
};

int micro_main(const uint8_t *zero_page)
{
	install_interrupts();
	enable_apic();
	return act_by_name(zero_page, actions, sizeof(actions) / sizeof(actions[0]));
}
