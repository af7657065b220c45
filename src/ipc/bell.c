/*
 * bell.c - shared pages of doorbells. See bell.h for the protocol and B1, B2.
 *
 * Layout: header | BELL_WORDS words | PROC_N + 1 x (struct page | summary bits | dirty bits), the last
 * one for what is only noted. A summary
 * bit says "a dirty word of these 64 slots may be set"; it is set after the dirty bit and cleared
 * before the dirty word is looked at again, so no bit is ever overlooked.
 */
#include "ipc/bell.h"

#include <stdatomic.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define MAGIC UINT64_C(0x4d4f4c4442454c32)
#define NOTES PROC_N			/* the page of bell_note() */

struct header {
	uint64_t magic;
	uint32_t slots;
	uint32_t words;			/* 64-bit words of a dirty set */
	uint32_t sums;			/* 64-bit words of a summary */
	uint32_t page_words;		/* 64-bit words of one process' part */
	_Atomic uint64_t shared[BELL_WORDS];
};

struct page {
	_Atomic uint64_t beat_ms;	/* written by the owner */
	_Atomic uint32_t asleep;	/* 1 by the owner before a wait; 0 by whoever rings */
	_Atomic uint32_t all;		/* 1: look at everything */
	_Atomic uint32_t nudged;
	struct bell_load load;
	struct bell_life life;
	_Alignas(64) _Atomic uint64_t counters[BELL_COUNTERS];
	_Atomic uint16_t addresses[2][BELL_ADDRESSES];
};

struct bells {
	struct header *h;
	struct bell_port *port;
	unsigned self;
	uint64_t marked;		/* procs to ring at bell_flush() */
};

static uint32_t page_words(uint32_t slots)
{
	uint32_t words = (slots + 63) / 64, sums = (words + 63) / 64;

	return (uint32_t)((sizeof(struct page) / 8 + words + sums + 7) & ~UINT32_C(7));
}

static size_t header_bytes(void)
{
	return (sizeof(struct header) + 63) & ~(size_t)63;
}

size_t bell_bytes(uint32_t slots)
{
	return header_bytes() + (size_t)(PROC_N + 1) * page_words(slots) * 8;
}

void bell_format(void *mem, size_t bytes, uint32_t slots)
{
	struct header *h = mem;

	must(bytes >= bell_bytes(slots));
	h->slots = slots;
	h->words = (slots + 63) / 64;
	h->sums = (h->words + 63) / 64;
	h->page_words = page_words(slots);
	h->magic = MAGIC;
}

uint32_t bell_layout(void)
{
	return (uint32_t)MAGIC & 0xff;
}

bool bell_valid(const void *mem, size_t bytes)
{
	const struct header *h = mem;

	return bytes >= sizeof *h && h->magic == MAGIC && h->page_words == page_words(h->slots) &&
	       bytes >= bell_bytes(h->slots);
}

struct bells *bell_attach(void *mem, size_t bytes, unsigned self, struct bell_port *port)
{
	struct bells *b = mem_alloc(sizeof *b);

	b->h = mem;
	must(b->h->magic == MAGIC && bytes >= bell_bytes(b->h->slots));
	must(self < PROC_N);
	b->self = self;
	b->port = port;
	return b;
}

static struct page *page_of(struct bells *b, unsigned proc)
{
	must(proc <= NOTES);
	return (struct page *)((uint8_t *)b->h + header_bytes() + (size_t)proc * b->h->page_words * 8);
}

static _Atomic uint64_t *sums_of(struct page *p)
{
	return (_Atomic uint64_t *)(p + 1);
}

static _Atomic uint64_t *dirty_of(struct bells *b, struct page *p)
{
	return sums_of(p) + b->h->sums;
}

static void set_dirty(struct bells *b, unsigned proc, uint32_t slot)
{
	struct page *p = page_of(b, proc);
	uint32_t w = slot / 64;

	must(slot < b->h->slots);
	atomic_fetch_or(&dirty_of(b, p)[w], UINT64_C(1) << slot % 64);
	atomic_fetch_or(&sums_of(p)[w / 64], UINT64_C(1) << w % 64);
}

void bell_note(struct bells *b, uint32_t slot)
{
	set_dirty(b, NOTES, slot);
}

void bell_mark(struct bells *b, unsigned proc, uint32_t slot)
{
	must(proc < PROC_N);
	set_dirty(b, proc, slot);
	b->marked |= UINT64_C(1) << proc;
}

void bell_mark_mask(struct bells *b, uint64_t mask, uint32_t slot)
{
	while (mask != 0) {
		unsigned proc = (unsigned)__builtin_ctzll(mask);

		mask &= mask - 1;
		if (proc < PROC_N)
			bell_mark(b, proc, slot);
	}
}

void bell_mark_all(struct bells *b, unsigned proc)
{
	atomic_store(&page_of(b, proc)->all, 1);
	b->marked |= UINT64_C(1) << proc;
}

void bell_nudge(struct bells *b, unsigned proc)
{
	atomic_store(&page_of(b, proc)->nudged, 1);
	b->marked |= UINT64_C(1) << proc;
}

void bell_flush(struct bells *b)
{
	uint64_t mask = b->marked & ~(UINT64_C(1) << b->self);

	b->marked = 0;
	while (mask != 0) {
		unsigned proc = (unsigned)__builtin_ctzll(mask);

		mask &= mask - 1;
		if (atomic_exchange(&page_of(b, proc)->asleep, 0) != 0)	/* B2 */
			b->port->ring(b->port, proc);
	}
}

bool bell_pending(struct bells *b)
{
	struct page *p = page_of(b, b->self);

	if (atomic_load(&p->all) != 0 || atomic_load(&p->nudged) != 0)
		return true;
	for (uint32_t i = 0; i < b->h->sums; i++)
		if (atomic_load(&sums_of(p)[i]) != 0)
			return true;
	return false;
}

bool bell_sleep(struct bells *b)
{
	struct page *p = page_of(b, b->self);

	atomic_store(&p->asleep, 1);
	if (!bell_pending(b))
		return true;
	atomic_store(&p->asleep, 0);
	return false;
}

void bell_awake(struct bells *b)
{
	struct page *p = page_of(b, b->self);

	atomic_store(&p->asleep, 0);
}

void bell_nudge_take(struct bells *b)
{
	atomic_store(&page_of(b, b->self)->nudged, 0);
}

static uint32_t take_dirty(struct bells *b, unsigned proc)
{
	struct page *p = page_of(b, proc);
	_Atomic uint64_t *sums = sums_of(p), *dirty = dirty_of(b, p);

	for (uint32_t i = 0; i < b->h->sums; i++)
		for (uint64_t s; (s = atomic_load(&sums[i])) != 0;) {
			uint32_t w = i * 64 + (uint32_t)__builtin_ctzll(s);
			uint64_t d = atomic_load(&dirty[w]);

			if (d == 0) {
				atomic_fetch_and(&sums[i], ~(UINT64_C(1) << w % 64));
				if (atomic_load(&dirty[w]) != 0)
					atomic_fetch_or(&sums[i], UINT64_C(1) << w % 64);
				continue;
			}
			uint64_t bit = d & -d;

			atomic_fetch_and(&dirty[w], ~bit);	/* B1 */
			return w * 64 + (uint32_t)__builtin_ctzll(bit);
		}
	return UINT32_MAX;
}

uint32_t bell_take(struct bells *b, bool *ret_all)
{
	struct page *p = page_of(b, b->self);

	if (atomic_load(&p->all) != 0 && atomic_exchange(&p->all, 0) != 0)
		*ret_all = true;
	return take_dirty(b, b->self);
}

uint32_t bell_take_noted(struct bells *b)
{
	return take_dirty(b, NOTES);
}

void bell_beat(struct bells *b, uint64_t now_ms)
{
	atomic_store_explicit(&page_of(b, b->self)->beat_ms, now_ms, memory_order_relaxed);
}

uint64_t bell_last_beat(struct bells *b, unsigned proc)
{
	return atomic_load_explicit(&page_of(b, proc)->beat_ms, memory_order_relaxed);
}

struct bell_load *bell_load(struct bells *b, unsigned proc)
{
	return &page_of(b, proc)->load;
}

struct bell_life *bell_life(struct bells *b, unsigned proc)
{
	return &page_of(b, proc)->life;
}

_Atomic uint64_t *bell_counters(struct bells *b, unsigned proc)
{
	return page_of(b, proc)->counters;
}

_Atomic uint16_t *bell_addresses(struct bells *b, unsigned proc, int row)
{
	return page_of(b, proc)->addresses[row];
}

_Atomic uint64_t *bell_word(struct bells *b, enum bell_word w)
{
	must((unsigned)w < BELL_WORDS);
	return &b->h->shared[w];
}

unsigned bell_self(struct bells *b)
{
	return b->self;
}
