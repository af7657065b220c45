/* sim.c - event queue (binary heap), virtual clock. See sim.h. */
#include "sim/sim.h"

#include "base/assert.h"
#include "base/mem.h"

#define WALL_START_MS INT64_C(1700000000000)

static uint64_t mono_us(struct clock *c)
{
	return ((struct sim *)c)->now_us;
}

static int64_t wall_ms(struct clock *c)
{
	struct sim *s = (struct sim *)c;

	return WALL_START_MS + (int64_t)(s->now_us / 1000) + s->wall_skew_ms;
}

static bool before(const struct sim_event *a, const struct sim_event *b)
{
	return a->at_us != b->at_us ? a->at_us < b->at_us : a->order < b->order;
}

static void put(struct sim *s, uint32_t i, struct sim_event *e)
{
	s->heap[i] = e;
	e->pos = i;
}

static void sift(struct sim *s, uint32_t i)
{
	struct sim_event *e = s->heap[i];

	while (i > 0 && before(e, s->heap[(i - 1) / 2])) {
		put(s, i, s->heap[(i - 1) / 2]);
		i = (i - 1) / 2;
	}
	for (;;) {
		uint32_t k = 2 * i + 1;

		if (k + 1 < s->n && before(s->heap[k + 1], s->heap[k]))
			k++;
		if (k >= s->n || !before(s->heap[k], e))
			break;
		put(s, i, s->heap[k]);
		i = k;
	}
	put(s, i, e);
}

static void take(struct sim *s, uint32_t i)
{
	struct sim_event *e = s->heap[i];

	e->queued = false;
	if (i != --s->n) {
		put(s, i, s->heap[s->n]);
		sift(s, i);
	}
}

void sim_init(struct sim *s, uint64_t seed)
{
	*s = (struct sim){ .clock = { .mono_us = mono_us, .wall_ms = wall_ms } };
	rng_init(&s->rng, seed);
	s->hash = UINT64_C(0xcbf29ce484222325);
}

void sim_release(struct sim *s)
{
	mem_free(s->heap);
	s->heap = NULL;
}

void sim_at(struct sim *s, struct sim_event *e, uint64_t delay_us)
{
	if (e->queued)
		take(s, e->pos);
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 64;
		s->heap = mem_resize(s->heap, sizeof(struct sim_event *) * s->cap);
	}
	e->at_us = s->now_us + delay_us;
	e->order = s->order++;
	e->queued = true;
	put(s, s->n, e);
	s->n++;
	sift(s, s->n - 1);
}

void sim_cancel(struct sim *s, struct sim_event *e)
{
	if (e->queued)
		take(s, e->pos);
}

bool sim_step(struct sim *s)
{
	if (s->n == 0)
		return false;
	struct sim_event *e = s->heap[0];

	take(s, 0);
	must(e->at_us >= s->now_us);	/* S1 */
	s->now_us = e->at_us;
	s->events++;
	sim_mix(s, e->at_us);
	e->run(e);
	return true;
}

void sim_mix(struct sim *s, uint64_t v)
{
	s->hash = (s->hash ^ v) * UINT64_C(0x100000001b3);
	s->hash ^= s->hash >> 29;
}

bool sim_chance(struct sim *s, uint32_t ppm)
{
	return ppm > 0 && rng_below(&s->rng, 1000000) < ppm;
}
