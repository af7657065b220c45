/* sessions.c - see sessions.h. */
#include "quorum/sessions.h"

#include "base/assert.h"
#include "base/mem.h"
#include "base/mutant.h"

static void touch_one(struct sessions *s, struct coord_session *x, uint64_t now_us)
{
	x->soft.deadline_us = now_us + x->timeout_ms * 1000ull;
	if (x->soft.deadline_us < s->soonest_us)
		s->soonest_us = x->soft.deadline_us;
}

/* All that are due end; what is next is remembered, so that most ticks look at nothing. */
static void scan(struct sessions *s, uint64_t now)
{
	uint64_t soonest = UINT64_MAX;

	for (struct coord_session *x = coord_session_next(s->coord, NULL), *next; x; x = next) {
		next = coord_session_next(s->coord, x);
		if (sessions_are_closing(s, x)) {
			if (x->soft.closing_us < soonest)
				soonest = x->soft.closing_us;
			continue;
		}
		if (x->soft.deadline_us == 0)
			touch_one(s, x, now);
		else if (x->soft.deadline_us <= now + (mutant(SESSION_EARLY) ? x->timeout_ms * 500ull : 0))
			s->on_end(s->user, x);		/* E1 */
		if (x->soft.deadline_us < soonest)
			soonest = x->soft.deadline_us;
	}
	s->soonest_us = soonest;
}

static void move_all(struct sessions *s, uint64_t by_us)
{
	for (struct coord_session *x = coord_session_next(s->coord, NULL); x; x = coord_session_next(s->coord, x))
		if (x->soft.deadline_us > 0)
			x->soft.deadline_us += by_us;
	if (s->soonest_us != UINT64_MAX)
		s->soonest_us += by_us;
}

static void on_tick(struct loop_timer *t)
{
	struct sessions *s = t->user;
	uint64_t now = s->clock->mono_us(s->clock), past = now - s->ticked_us;

	if (past > 3 * SESSIONS_TICK_US)
		move_all(s, past - SESSIONS_TICK_US);		/* E3 */
	else if (now >= s->soonest_us)
		scan(s, now);
	s->ticked_us = now;
	if (s->leads)
		s->loop->calls->timer_set(s->loop, t, SESSIONS_TICK_US);
}

void sessions_init(struct sessions *s, struct loop *loop, struct clock *clock, struct coord *coord,
		   void (*on_end)(void *user, struct coord_session *x), void *user)
{
	*s = (struct sessions){ .loop = loop, .clock = clock, .coord = coord, .on_end = on_end, .user = user };
	s->tick = (struct loop_timer){ .fire = on_tick, .user = s };
}

void sessions_release(struct sessions *s)
{
	if (s->leads)
		s->loop->calls->timer_stop(s->loop, &s->tick);
	mem_free(s->heard);
	s->heard = NULL;
}

void sessions_reset(struct sessions *s, struct coord *coord)
{
	must(!s->leads);
	s->coord = coord;
	s->nheard = 0;
}

void sessions_lead(struct sessions *s, bool leads, uint64_t gap_us)
{
	uint64_t now = s->clock->mono_us(s->clock);

	if (s->leads && !leads)
		s->loop->calls->timer_stop(s->loop, &s->tick);
	s->leads = leads;
	if (!leads)
		return;
	for (struct coord_session *x = coord_session_next(s->coord, NULL); x; x = coord_session_next(s->coord, x)) {
		uint64_t whole = now + x->timeout_ms * 1000ull, known = x->soft.deadline_us + gap_us;

		x->soft.deadline_us = x->soft.deadline_us > 0 && known < whole ? known : whole;	/* E2 */
	}
	s->soonest_us = 0;
	s->ticked_us = now;
	s->loop->calls->timer_set(s->loop, &s->tick, SESSIONS_TICK_US);
}

void sessions_touch(struct sessions *s, const int64_t *ids, uint32_t n, bool keep)
{
	uint64_t now = s->clock->mono_us(s->clock);

	for (uint32_t i = 0; i < n; i++) {
		struct coord_session *x = coord_session(s->coord, ids[i]);

		if (!x)
			continue;
		touch_one(s, x, now);
		if (!keep || s->nheard == SESSIONS_BATCH * 16)
			continue;
		if (s->nheard == s->cap) {
			s->cap = s->cap ? s->cap * 2 : 64;
			s->heard = mem_resize(s->heard, s->cap * sizeof *s->heard);
		}
		s->heard[s->nheard++] = x->id;
	}
}

void sessions_opened(struct sessions *s, int64_t id)
{
	struct coord_session *x = coord_session(s->coord, id);

	if (x)
		touch_one(s, x, s->clock->mono_us(s->clock));
}

void sessions_closing(struct sessions *s, int64_t id, bool proposed)
{
	struct coord_session *x = coord_session(s->coord, id);

	if (!x)
		return;
	x->soft.closing_us = proposed ? s->clock->mono_us(s->clock) + SESSIONS_CLOSING_US : 0;
	if (!proposed)
		s->soonest_us = 0;
}

bool sessions_are_closing(const struct sessions *s, const struct coord_session *x)
{
	return x->soft.closing_us > 0 && s->clock->mono_us(s->clock) < x->soft.closing_us;
}

uint32_t sessions_take(struct sessions *s, const int64_t **ret)
{
	uint32_t n = s->nheard;

	*ret = s->heard;
	s->nheard = 0;
	return n;
}
