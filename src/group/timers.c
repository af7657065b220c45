/* timers.c - see timers.h. */
#include "group/timers.h"

#include <stddef.h>

#include "base/mem.h"

static void put(struct timers *ts, uint32_t at, struct gtimer *t)
{
	ts->v[at] = t;
	t->pos = at;
}

static void sift(struct timers *ts, uint32_t at)
{
	struct gtimer *t = ts->v[at];

	while (at > 1 && ts->v[at / 2]->when > t->when) {
		put(ts, at, ts->v[at / 2]);
		at /= 2;
	}
	for (;;) {
		uint32_t kid = at * 2;

		if (kid > ts->n)
			break;
		if (kid < ts->n && ts->v[kid + 1]->when < ts->v[kid]->when)
			kid++;
		if (ts->v[kid]->when >= t->when)
			break;
		put(ts, at, ts->v[kid]);
		at = kid;
	}
	put(ts, at, t);
}

void timers_set(struct timers *ts, struct gtimer *t, int64_t when)
{
	t->when = when;
	if (!t->pos) {
		if (ts->n + 1 >= ts->cap) {
			ts->cap = ts->cap ? ts->cap * 2 : 16;
			ts->v = mem_resize(ts->v, ts->cap * sizeof *ts->v);
		}
		put(ts, ++ts->n, t);
	}
	sift(ts, t->pos);
}

void timers_stop(struct timers *ts, struct gtimer *t)
{
	uint32_t at = t->pos;

	if (!at)
		return;
	t->pos = 0;
	struct gtimer *last = ts->v[ts->n--];

	if (last != t) {
		put(ts, at, last);
		sift(ts, at);
	}
}

int64_t timers_next(const struct timers *ts)
{
	return ts->n ? ts->v[1]->when : TIMERS_NEVER;
}

struct gtimer *timers_due(struct timers *ts, int64_t now)
{
	if (!ts->n || ts->v[1]->when > now)
		return NULL;
	struct gtimer *t = ts->v[1];

	timers_stop(ts, t);
	return t;
}

void timers_release(struct timers *ts)
{
	mem_free(ts->v);
	*ts = (struct timers){ 0 };
}
