/*
 * timers.h - a binary heap of deadlines, embedded by their owners. Deadlines are milliseconds of
 * the monotonic clock that the caller passes around; the heap has no clock.
 */
#ifndef GROUP_TIMERS_H
#define GROUP_TIMERS_H

#include <stdbool.h>
#include <stdint.h>

#define TIMERS_NEVER INT64_MAX

struct gtimer {
	int64_t when;
	uint32_t pos;			/* place in the heap, from 1; 0: not armed */
	void (*fire)(struct gtimer *t);	/* disarmed before the call */
};

struct timers {
	struct gtimer **v;		/* v[1] is the earliest */
	uint32_t n, cap;
};

/* (Re)arms. */
void timers_set(struct timers *ts, struct gtimer *t, int64_t when);
void timers_stop(struct timers *ts, struct gtimer *t);
/* The earliest deadline or TIMERS_NEVER. */
int64_t timers_next(const struct timers *ts);
/* Takes one timer that is due at `now` out of the heap, or NULL. */
struct gtimer *timers_due(struct timers *ts, int64_t now);
void timers_release(struct timers *ts);

#endif
