/*
 * loop.h - the port of an event loop: timers and the end of a turn.
 *
 * A turn is one wait plus everything that was ready. Work gathered in a turn (appends, wakes) is
 * done by the turn hooks, in the order in which they were added; then what was sent leaves.
 */
#ifndef IO_LOOP_H
#define IO_LOOP_H

#include <stdint.h>

struct loop_timer {			/* embedded by the caller */
	void (*fire)(struct loop_timer *t);
	void *user;
	void *impl[4];			/* of the port; zero before first use */
};

struct loop {
	const struct loop_calls *calls;
};

struct loop_calls {
	/* (Re)arms a one-shot timer; us = 0: in the next turn. It may fire some milliseconds early or late (the
	 * kernel's coarse clock): who needs the very moment looks at its clock and arms it again. */
	void (*timer_set)(struct loop *l, struct loop_timer *t, uint64_t us);
	void (*timer_stop)(struct loop *l, struct loop_timer *t);
	/* Runs at the end of each turn. Returns true when there is more to do: the next wait does
	 * not block then. */
	void (*turn_hook)(struct loop *l, int (*hook)(void *ctx), void *ctx);
	void (*stop)(struct loop *l, int exit_status);
};

#endif
