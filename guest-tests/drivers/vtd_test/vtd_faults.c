// SPDX-License-Identifier: GPL-2.0
/* Each reason for which the unit refuses DMA in legacy mode: an entry is spoilt, the device tries, the entry is mended. */
#include <linux/io.h>
#include <linux/io-64-nonatomic-lo-hi.h>
#include <linux/kernel.h>

#include "vtd_test.h"

/* Where no memory is. */
#define NOWHERE 0x7fff00000000ull
#define FRAME GENMASK_ULL(47, 12)

enum which { NOTHING, ROOT_LOW, ROOT_HIGH, CONTEXT_LOW, CONTEXT_HIGH, TOP, LEAF, ROOT_POINTER };

/* By reason: which entry, what is cleared in it, what is set; whether the device writes, and how far beyond its page. */
static const struct {
	enum which which;
	u64 clear, set;
	bool write;
	u64 beyond;
} spoils[] = {
	[0x1] = { ROOT_LOW, .clear = 1 },
	[0x2] = { CONTEXT_LOW, .clear = 1 },
	/* Three levels, which are not announced. */
	[0x3] = { CONTEXT_HIGH, .clear = 7, .set = 1 },
	[0x4] = { NOTHING, .beyond = 1ull << 48 },
	[0x5] = { LEAF, .clear = 2, .write = true },
	[0x6] = { LEAF, .clear = 1 },
	[0x7] = { TOP, .clear = FRAME, .set = NOWHERE },
	[0x8] = { ROOT_POINTER, .clear = FRAME, .set = NOWHERE },
	[0x9] = { ROOT_LOW, .clear = FRAME, .set = NOWHERE },
	[0xa] = { ROOT_HIGH, .set = 1 },
	[0xb] = { CONTEXT_LOW, .set = 1 << 4 },
	[0xc] = { LEAF, .set = 1ull << 50 },
};

static u64 *find(struct fpvtd *vtd, enum which which)
{
	u64 *root = fpvtd_root(vtd), *context = fpvtd_context(vtd);
	unsigned int level;

	switch (which) {
	case ROOT_LOW:
		return root;
	case ROOT_HIGH:
		return root + 1;
	case CONTEXT_LOW:
		return context;
	case CONTEXT_HIGH:
		return context ? context + 1 : NULL;
	case TOP:
		return fpvtd_entry(vtd, vtd->address, 4, &level);
	case LEAF:
		return fpvtd_entry(vtd, vtd->address, 1, &level);
	default:
		return NULL;
	}
}

static void write_root_pointer(struct fpvtd *vtd, u64 value)
{
	writeq(value, vtd->unit + FPVTD_ROOT_TABLE);
	fpvtd_command(vtd, FPVTD_SET_ROOT);
}

/* The device's access while an entry is spoilt; the bytes before it and behind it are those of before. */
static int attempt(struct fpvtd *vtd, unsigned int reason)
{
	u64 iova = vtd->address + spoils[reason].beyond;

	return spoils[reason].write ? fpvtd_to_memory(vtd, iova) : fpvtd_from_memory(vtd, iova);
}

static int with_spoilt_pointer(struct fpvtd *vtd, unsigned int reason)
{
	u64 old = readq(vtd->unit + FPVTD_ROOT_TABLE);
	int ret;

	write_root_pointer(vtd, (old & ~spoils[reason].clear) | spoils[reason].set);
	fpvtd_invalidate(vtd);
	ret = attempt(vtd, reason);
	write_root_pointer(vtd, old);
	fpvtd_invalidate(vtd);
	return ret;
}

static int with_spoilt_entry(struct fpvtd *vtd, unsigned int reason)
{
	u64 *entry = find(vtd, spoils[reason].which), old;
	int ret;

	if (!entry)
		return -ENXIO;
	old = *entry;
	WRITE_ONCE(*entry, (old & ~spoils[reason].clear) | spoils[reason].set);
	fpvtd_invalidate(vtd);
	ret = attempt(vtd, reason);
	WRITE_ONCE(*entry, old);
	fpvtd_invalidate(vtd);
	return ret;
}

int fpvtd_fault(struct fpvtd *vtd, unsigned int reason)
{
	const unsigned int half = FPVTD_BYTES / 2;
	u8 *other = vtd->memory + half;
	int ret;

	if (reason >= ARRAY_SIZE(spoils) || !reason)
		return -ENOENT;
	/* The device's buffer has what the second half begins with. */
	ret = fpvtd_from_memory(vtd, vtd->address + half);
	if (ret)
		return ret;
	if (spoils[reason].which == NOTHING)
		ret = attempt(vtd, reason);
	else if (spoils[reason].which == ROOT_POINTER)
		ret = with_spoilt_pointer(vtd, reason);
	else
		ret = with_spoilt_entry(vtd, reason);
	if (ret)
		return ret;
	/* Neither the buffer nor memory has what was refused. */
	if (!memcmp(vtd->memory, other, FPVTD_CHUNK))
		return -EIO;
	memcpy(other + FPVTD_CHUNK, other, FPVTD_CHUNK);
	memset(other, 0, FPVTD_CHUNK);
	ret = fpvtd_to_memory(vtd, vtd->address + half);
	if (!ret && memcmp(other, other + FPVTD_CHUNK, FPVTD_CHUNK))
		ret = -EIO;
	/* And the device lives on. */
	return ret ? ret : fpvtd_copies(vtd, vtd->address, vtd->address + half, vtd->memory, other);
}
