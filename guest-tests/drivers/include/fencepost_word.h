/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Fences that a device signals by a word in memory, for other devices to wait for without the CPU.
 *
 * The word is in a page of the driver's own. Who waits asks the fence's driver for it, by a function
 * that is looked up when it is needed: each module loads alone. A fence of nobody's is -ENOENT, and is
 * waited for by the CPU.
 *
 * The order that drivers keep: a fence that fails has signalled, with its error, before its word is
 * moved. Who finds the word at its value, and the fence without an error, has what it waited for.
 *
 * All devices here are coherent with the CPU, as PCI devices of x86 are.
 */
#ifndef FENCEPOST_WORD_H
#define FENCEPOST_WORD_H

#include <linux/dma-fence.h>
#include <linux/dma-mapping.h>
#include <linux/mm.h>
#include <linux/module.h>
#include <linux/mutex.h>

/* Where and what a device writes when a fence is done; at least that. */
struct fencepost_word {
	/* A reference, which is the asker's. */
	struct page *page;
	unsigned int offset;
	u64 value;
};

/*
 * Each takes a fence of any driver's that has not signalled. The GPU's sleeps until the fence's job is on
 * its ring; -ERESTARTSYS if a signal comes before that.
 */
int fpgpu_fence_word(struct dma_fence *fence, struct fencepost_word *word);
int fpcam_fence_word(struct dma_fence *fence, struct fencepost_word *word);

#define fencepost_ask(function, fence, word)				\
({									\
	typeof(&function) fencepost_asked = symbol_get(function);	\
	int fencepost_answer = -ENOENT;					\
									\
	if (fencepost_asked) {						\
		fencepost_answer = fencepost_asked(fence, word);	\
		symbol_put(function);					\
	}								\
	fencepost_answer;						\
})

/* Pages with words that a device can read: those of drivers that were bound lately. */
#define FENCEPOST_MAX_WORD_PAGES	8

struct fencepost_words {
	struct device *dev;
	struct mutex lock;
	struct {
		struct page *page;
		dma_addr_t dma;
	} pages[FENCEPOST_MAX_WORD_PAGES];
};

static inline void fencepost_words_drop(struct fencepost_words *words, unsigned int i)
{
	dma_unmap_page_attrs(words->dev, words->pages[i].dma, PAGE_SIZE, DMA_TO_DEVICE,
			     DMA_ATTR_SKIP_CPU_SYNC);
	put_page(words->pages[i].page);
	words->pages[i].page = NULL;
}

/* The device is to forget them. */
static inline void fencepost_words_drop_all(void *data)
{
	struct fencepost_words *words = data;
	unsigned int i;

	for (i = 0; i < FENCEPOST_MAX_WORD_PAGES; i++)
		if (words->pages[i].page)
			fencepost_words_drop(words, i);
}

static inline void fencepost_words_init(struct fencepost_words *words, struct device *dev)
{
	words->dev = dev;
	mutex_init(&words->lock);
}

/* The place of a word's page; a free one, if it has none. A page that only we hold is nobody's any more. */
static inline int fencepost_words_place(struct fencepost_words *words, struct page *page)
{
	int i, place = -ENOSPC;

	for (i = 0; i < FENCEPOST_MAX_WORD_PAGES; i++) {
		if (words->pages[i].page == page)
			return i;
		if (words->pages[i].page && page_count(words->pages[i].page) == 1)
			fencepost_words_drop(words, i);
		if (!words->pages[i].page)
			place = i;
	}
	return place;
}

/* Lets the device read a word, as long as its page is held. */
static inline int fencepost_words_map(struct fencepost_words *words,
				      const struct fencepost_word *word, dma_addr_t *at)
{
	int ret = 0, i;

	mutex_lock(&words->lock);
	i = fencepost_words_place(words, word->page);
	if (i < 0) {
		ret = i;
	} else if (!words->pages[i].page) {
		*at = dma_map_page_attrs(words->dev, word->page, 0, PAGE_SIZE, DMA_TO_DEVICE,
					 DMA_ATTR_SKIP_CPU_SYNC);
		ret = dma_mapping_error(words->dev, *at);
		if (!ret) {
			get_page(word->page);
			words->pages[i].page = word->page;
			words->pages[i].dma = *at;
		}
	}
	if (!ret)
		*at = words->pages[i].dma + word->offset;
	mutex_unlock(&words->lock);
	return ret;
}

/* A page of words that a device writes, and its driver. */
struct fencepost_word_page {
	struct device *dev;
	struct page *page;
	dma_addr_t dma;
};

static inline void fencepost_word_page_free(void *data)
{
	struct fencepost_word_page *words = data;

	if (!words->page)
		return;
	dma_unmap_page_attrs(words->dev, words->dma, PAGE_SIZE, DMA_BIDIRECTIONAL,
			     DMA_ATTR_SKIP_CPU_SYNC);
	/* Who has it mapped keeps it. */
	put_page(words->page);
	words->page = NULL;
}

static inline int fencepost_word_page_alloc(struct fencepost_word_page *words, struct device *dev)
{
	int ret;

	words->dev = dev;
	words->page = alloc_page(GFP_KERNEL | __GFP_ZERO);
	if (!words->page)
		return -ENOMEM;
	words->dma = dma_map_page_attrs(dev, words->page, 0, PAGE_SIZE, DMA_BIDIRECTIONAL,
					DMA_ATTR_SKIP_CPU_SYNC);
	ret = dma_mapping_error(dev, words->dma);
	if (ret) {
		put_page(words->page);
		words->page = NULL;
	}
	return ret;
}

#endif /* FENCEPOST_WORD_H */
