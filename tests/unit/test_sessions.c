/* test_sessions.c - deadlines of sessions (sessions.h E1-E4) over a clock that the test moves. */
#include <criterion/criterion.h>

#include "quorum/sessions.h"

static uint64_t now_us;
static struct loop_timer *armed;
static uint32_t ends;
static struct sessions s;

static uint64_t mono_us(struct clock *c)
{
	(void)c;
	return now_us;
}

static void timer_set(struct loop *l, struct loop_timer *t, uint64_t us)
{
	(void)l, (void)us;
	armed = t;
}

static void timer_stop(struct loop *l, struct loop_timer *t)
{
	(void)l, (void)t;
	armed = NULL;
}

static void on_end(void *user, struct coord_session *x)
{
	(void)user;
	ends++;
	sessions_closing(&s, x->id, true);
}

static void ticks(uint64_t us)
{
	for (uint64_t end = now_us + us; now_us < end;) {
		now_us += SESSIONS_TICK_US;
		armed->fire(armed);
	}
}

static int64_t open_session(struct coord *c, uint32_t timeout_ms)
{
	static const uint8_t password[16] = "0123456789abcde";
	struct coord_result r;
	struct buf b;

	buf_init(&b, 1024);
	coord_encode_open(&b, 5, password, timeout_ms, str_of("test"));
	cr_assert_eq(coord_apply(c, 1, b.p, (uint32_t)b.len, &r), OK);
	buf_release(&b);
	return r.session;
}

/* A closeSession, or the end of an expired session, that was dropped while nobody led must not leave a session, and
 * its ephemeral nodes, for ever. */
Test(sessions, an_end_that_was_lost_is_proposed_again)
{
	static const struct loop_calls calls = { .timer_set = timer_set, .timer_stop = timer_stop };
	struct loop loop = { &calls };
	struct clock clock = { .mono_us = mono_us };
	struct coord *c = coord_new();

	now_us = 1000000;
	sessions_init(&s, &loop, &clock, c, on_end, NULL);
	int64_t id = open_session(c, 1000);

	sessions_lead(&s, true, 0);
	ticks(900000);
	cr_assert_eq(ends, 0, "E1");
	ticks(200000);
	cr_assert_eq(ends, 1);
	cr_assert(sessions_are_closing(&s, coord_session(c, id)));
	ticks(SESSIONS_CLOSING_US / 2);
	cr_assert_eq(ends, 1, "it may be undecided");
	ticks(SESSIONS_CLOSING_US / 2 + 2 * SESSIONS_TICK_US);
	cr_assert_eq(ends, 2, "E4");
	/* one that was refused is asked for again at once */
	sessions_closing(&s, id, false);
	cr_assert_not(sessions_are_closing(&s, coord_session(c, id)));
	ticks(2 * SESSIONS_TICK_US);
	cr_assert_eq(ends, 3);
	/* one that its client proposed at a follower, and that was lost there, ends by its timeout */
	sessions_touch(&s, &id, 1, false);
	sessions_closing(&s, id, true);
	sessions_lead(&s, false, 0);
	now_us += 2 * SESSIONS_CLOSING_US;
	sessions_lead(&s, true, SESSIONS_CLOSING_US);
	ticks(1100000);
	cr_assert_eq(ends, 4);
	sessions_closing(&s, id + 1, true);		/* gone already */
	sessions_release(&s);
	coord_free(c);
}
