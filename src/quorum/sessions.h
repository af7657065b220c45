/*
 * sessions.h - deadlines of sessions: soft state that every node keeps, and that the leader acts on.
 *
 * A keep-alive ("touch") gives a session its whole timeout again. Each node tells the leader in batches
 * which sessions it heard, and the leader tells all, so whoever leads next knows what is left
 * (coord_session.soft.deadline_us). Is not: the sessions themselves, which only log entries open and end.
 *
 * Invariants
 *   E1  a session's end is proposed only by the leader, and not before its timeout has passed since the
 *       last touch that this node knows of; what it proposed is not sent to another leader, who may have heard
 *       of the session since
 *   E2  a new leader adds the time in which nobody led, and never gives more than the whole timeout
 *   E3  while this process did not run (stopped, busy) no deadline passes: all move by the stall
 *   E4  a session whose end was proposed counts as closing for no longer than the proposal may be undecided
 *       (SESSIONS_CLOSING_US); then its end is proposed again, as the first one may have been lost
 */
#ifndef QUORUM_SESSIONS_H
#define QUORUM_SESSIONS_H

#include "coord/coord.h"
#include "io/clock.h"
#include "io/loop.h"

#define SESSIONS_TICK_US 10000u
#define SESSIONS_CLOSING_US 10000000u	/* more than a proposal waits for a leader (NODE_PATIENCE_MS) */
#define SESSIONS_BATCH 4096		/* touches of one message */

struct sessions {
	struct loop *loop;
	struct clock *clock;
	struct coord *coord;
	bool leads;
	struct loop_timer tick;
	uint64_t ticked_us;
	uint64_t soonest_us;		/* no deadline is earlier */
	int64_t *heard;			/* touched here and not yet told to others */
	uint32_t nheard, cap;
	void (*on_end)(void *user, struct coord_session *x);
	void *user;
};

/* on_end: this session's time is over, propose its end; which calls sessions_closing(). */
void sessions_init(struct sessions *s, struct loop *loop, struct clock *clock, struct coord *coord,
		   void (*on_end)(void *user, struct coord_session *x), void *user);
void sessions_release(struct sessions *s);
/* The tree was replaced. */
void sessions_reset(struct sessions *s, struct coord *coord);
/* gap_us: how long nobody led before this node did. */
void sessions_lead(struct sessions *s, bool leads, uint64_t gap_us);
/* keep: heard here, so others are to be told (sessions_take()). */
void sessions_touch(struct sessions *s, const int64_t *ids, uint32_t n, bool keep);
void sessions_opened(struct sessions *s, int64_t id);
/* E4: the end of session id (gone already: nothing) was proposed; false: it was refused, and may be asked for again. */
void sessions_closing(struct sessions *s, int64_t id, bool proposed);
bool sessions_are_closing(const struct sessions *s, const struct coord_session *x);
/* What was heard here since the last call; valid until the next touch. */
uint32_t sessions_take(struct sessions *s, const int64_t **ret);

#endif
