/* wait.c - see wait.h. */
#include "broker/wait.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

/* ---- deadlines ------------------------------------------------------------------------------ */

static void heap_put(struct waits *w, uint32_t i, struct wait_timer *t)
{
	w->heap[i] = t;
	t->at = i + 1;
}

static void heap_up(struct waits *w, uint32_t i, struct wait_timer *t)
{
	while (i > 0 && w->heap[(i - 1) / 2]->due_us > t->due_us) {
		heap_put(w, i, w->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	heap_put(w, i, t);
}

static void heap_down(struct waits *w, uint32_t i, struct wait_timer *t)
{
	for (;;) {
		uint32_t c = 2 * i + 1;

		if (c >= w->heap_n)
			break;
		if (c + 1 < w->heap_n && w->heap[c + 1]->due_us < w->heap[c]->due_us)
			c++;
		if (w->heap[c]->due_us >= t->due_us)
			break;
		heap_put(w, i, w->heap[c]);
		i = c;
	}
	heap_put(w, i, t);
}

/* The loop's timer fires for the earliest deadline. A deadline that went away leaves it armed: it
 * then fires for nothing once, which is cheaper than a timer change per request. */
static void arm(struct waits *w)
{
	if (w->heap_n == 0)
		return;
	uint64_t due = w->heap[0]->due_us;
	if (w->armed_us != 0 && w->armed_us <= due)
		return;
	uint64_t now = w->clock->mono_us(w->clock);
	w->armed_us = due;
	w->loop->calls->timer_set(w->loop, &w->timer, due > now ? due - now : 0);
}

static void on_timer(struct loop_timer *lt)
{
	struct waits *w = lt->user;
	uint64_t now = w->clock->mono_us(w->clock);

	w->armed_us = 0;
	while (w->heap_n > 0 && w->heap[0]->due_us <= now) {
		struct wait_timer *t = w->heap[0];

		wait_timer_stop(w, t);
		t->fire(t);
	}
	arm(w);
}

void wait_timer_set(struct waits *w, struct wait_timer *t, uint64_t due_us)
{
	wait_timer_stop(w, t);
	if (w->heap_n == w->heap_cap) {
		w->heap_cap = w->heap_cap ? w->heap_cap * 2 : 64;
		w->heap = mem_resize(w->heap, w->heap_cap * sizeof(struct wait_timer *));
	}
	t->due_us = due_us;
	heap_up(w, w->heap_n++, t);
	arm(w);
}

void wait_timer_stop(struct waits *w, struct wait_timer *t)
{
	if (t->at == 0)
		return;
	uint32_t i = t->at - 1;
	must(i < w->heap_n && w->heap[i] == t);
	t->at = 0;
	struct wait_timer *last = w->heap[--w->heap_n];
	if (last == t)
		return;
	if (i > 0 && w->heap[(i - 1) / 2]->due_us > last->due_us)
		heap_up(w, i, last);
	else
		heap_down(w, i, last);
}

/* ---- slots ---------------------------------------------------------------------------------- */

#define HASH_FIRST 256

static uint32_t bucket(const struct waits *w, uint32_t slot)
{
	return (slot * UINT32_C(2654435761)) >> 7 & (w->hash_cap - 1);
}

static void hash_grow(struct waits *w)
{
	struct wait_slot **old = w->hash;
	uint32_t cap = w->hash_cap;

	w->hash_cap = cap * 2;
	w->hash = mem_alloc(w->hash_cap * sizeof(struct wait_slot *));
	for (uint32_t i = 0; i < cap; i++)
		for (struct wait_slot *ws = old[i], *next; ws; ws = next) {
			next = ws->chain;
			struct wait_slot **b = &w->hash[bucket(w, ws->slot)];
			ws->chain = *b;
			*b = ws;
		}
	mem_free(old);
}

struct wait_slot *wait_slot_find(struct waits *w, uint32_t slot)
{
	struct wait_slot *ws = w->hash[bucket(w, slot)];

	while (ws && ws->slot != slot)
		ws = ws->chain;
	return ws;
}

struct wait_slot *wait_slot(struct waits *w, uint32_t slot)
{
	struct wait_slot *ws = wait_slot_find(w, slot);

	if (ws)
		return ws;
	if (w->hash_n >= w->hash_cap)
		hash_grow(w);
	ws = w->spare;
	if (ws) {
		w->spare = ws->chain;
		memset(ws, 0, sizeof *ws);
	} else {
		ws = mem_alloc(sizeof *ws);
	}
	ws->slot = slot;
	ws->tail = &ws->head;
	struct wait_slot **b = &w->hash[bucket(w, slot)];
	ws->chain = *b;
	*b = ws;
	w->hash_n++;
	return ws;
}

void wait_slot_settle(struct waits *w, struct wait_slot *ws)
{
	if (ws->waiters || ws->head || ws->walking || ws->dirty)
		return;
	struct wait_slot **at = &w->hash[bucket(w, ws->slot)];

	while (*at != ws)
		at = &(*at)->chain;
	*at = ws->chain;
	w->hash_n--;
	ws->chain = w->spare;
	w->spare = ws;
}

void wait_add(struct waits *w, struct waiter *wt, uint32_t slot)
{
	must(wt->ws == NULL);
	struct wait_slot *ws = wait_slot(w, slot);

	wt->ws = ws;
	wt->prev = NULL;
	wt->next = ws->waiters;
	if (ws->waiters)
		ws->waiters->prev = wt;
	ws->waiters = wt;
	part_wait(w->table, slot);	/* W2 */
}

void wait_remove(struct waits *w, struct waiter *wt)
{
	struct wait_slot *ws = wt->ws;

	if (!ws)
		return;
	if (ws->cursor == wt)
		ws->cursor = wt->next;
	if (wt->prev)
		wt->prev->next = wt->next;
	else
		ws->waiters = wt->next;
	if (wt->next)
		wt->next->prev = wt->prev;
	wt->ws = NULL;
	if (!ws->waiters)
		part_unwait(w->table, ws->slot);
	wait_slot_settle(w, ws);
}

void wait_dirty(struct waits *w, struct wait_slot *ws)
{
	if (ws->dirty)
		return;
	ws->dirty = true;
	ws->next_dirty = w->dirty;
	w->dirty = ws;
}

struct wait_slot *wait_take_dirty(struct waits *w)
{
	struct wait_slot *ws = w->dirty;

	if (ws) {
		w->dirty = ws->next_dirty;
		ws->dirty = false;
	}
	return ws;
}

static void fire(struct waits *w, struct wait_slot *ws)
{
	if (ws->walking)		/* a waiter's callback appended to its own partition */
		return;
	ws->walking = true;
	if (ws->waiters)
		part_wait(w->table, ws->slot);
	ws->cursor = ws->waiters;
	while (ws->cursor) {
		struct waiter *wt = ws->cursor;

		ws->cursor = wt->next;
		wt->wake(wt);
	}
	ws->walking = false;
	if (ws->head)
		wait_dirty(w, ws);
	wait_slot_settle(w, ws);
}

void wait_fire(struct waits *w, uint32_t slot)
{
	struct wait_slot *ws = wait_slot_find(w, slot);

	if (ws)
		fire(w, ws);
}

void wait_fire_all(struct waits *w)
{
	/* The callbacks change the table while it is walked: take the slot numbers first. */
	uint32_t n = 0, *slots = mem_alloc((size_t)(w->hash_n + 1) * sizeof *slots);

	for (uint32_t i = 0; i < w->hash_cap; i++)
		for (struct wait_slot *ws = w->hash[i]; ws; ws = ws->chain)
			slots[n++] = ws->slot;
	for (uint32_t i = 0; i < n; i++)
		wait_fire(w, slots[i]);
	mem_free(slots);
}

void wait_init(struct waits *w, struct part_table *table, struct loop *loop, struct clock *clock)
{
	*w = (struct waits){ .table = table, .loop = loop, .clock = clock, .hash_cap = HASH_FIRST };
	w->hash = mem_alloc(HASH_FIRST * sizeof(struct wait_slot *));
	w->timer.fire = on_timer;
	w->timer.user = w;
}

void wait_release(struct waits *w)
{
	must(w->hash_n == 0);
	while (w->spare) {
		struct wait_slot *ws = w->spare;

		w->spare = ws->chain;
		mem_free(ws);
	}
	w->loop->calls->timer_stop(w->loop, &w->timer);
	mem_free(w->hash);
	mem_free(w->heap);
	w->hash = NULL;
	w->heap = NULL;
}
