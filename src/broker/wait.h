/*
 * wait.h - what a worker has parked: requests with a deadline, and whatever waits for a partition.
 *
 * Two structures. A binary heap of deadlines over one timer of the loop. And one wait_slot for each
 * slot of the partition table that somebody here is interested in: waiters (long polls, acks=all)
 * and the appends of this turn in their order. Is not: thread safe; all of it is private memory of
 * one worker.
 *
 * Invariants
 *   W1 a wait_slot exists exactly while it has a waiter or an append.
 *   W2 while a wait_slot has waiters, this process' bit is set in the partition's waiter mask
 *      (part_wait), and it was set before the waiter looked at the partition the last time.
 *   W3 a timer's callback and a waiter's callback may remove itself and any other.
 */
#ifndef BROKER_WAIT_H
#define BROKER_WAIT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/clock.h"
#include "io/loop.h"
#include "part/part.h"

struct append;

struct wait_timer {			/* embedded; zero before first use */
	uint64_t due_us;
	uint32_t at;			/* place in the heap + 1; 0: not armed */
	void (*fire)(struct wait_timer *t);
};

struct waiter {				/* embedded; zero before first use */
	struct wait_slot *ws;		/* NULL: not waiting */
	struct waiter *prev, *next;
	/* The partition changed (or may have): look again. */
	void (*wake)(struct waiter *wt);
};

struct wait_slot {
	uint32_t slot;
	bool dirty;			/* in the dirty list: appends to try this turn */
	bool walking;			/* wait_fire() is running over its waiters */
	struct wait_slot *chain;	/* of the hash */
	struct wait_slot *next_dirty;
	struct waiter *waiters;
	struct waiter *cursor;		/* next one of a running wait_fire() */
	struct append *head, **tail;	/* appends in order, not in the log yet */
};

struct waits {
	struct part_table *table;
	struct loop *loop;
	struct clock *clock;
	struct loop_timer timer;	/* for the earliest deadline */
	uint64_t armed_us;		/* when it fires; 0: not armed */
	struct wait_timer **heap;
	uint32_t heap_n, heap_cap;
	struct wait_slot **hash;
	uint32_t hash_n, hash_cap;	/* cap: a power of two */
	struct wait_slot *dirty;
	struct wait_slot *spare;
};

void wait_init(struct waits *w, struct part_table *table, struct loop *loop, struct clock *clock);
void wait_release(struct waits *w);

/* (Re)arms for the monotonic time due_us. */
void wait_timer_set(struct waits *w, struct wait_timer *t, uint64_t due_us);
void wait_timer_stop(struct waits *w, struct wait_timer *t);

/* The slot's entry; made when missing. Whoever makes one gives it a waiter or an append at once. */
struct wait_slot *wait_slot(struct waits *w, uint32_t slot);
struct wait_slot *wait_slot_find(struct waits *w, uint32_t slot);
/* W1: frees it when nothing is left in it. */
void wait_slot_settle(struct waits *w, struct wait_slot *ws);

/* Starts waiting; sets the bit in the partition (W2). The caller must look at the partition after it. */
void wait_add(struct waits *w, struct waiter *wt, uint32_t slot);
void wait_remove(struct waits *w, struct waiter *wt);
/* Has appends to try: the next wait_take_dirty() returns it. */
void wait_dirty(struct waits *w, struct wait_slot *ws);
struct wait_slot *wait_take_dirty(struct waits *w);

/* Wakes everything that waits for the slot. */
void wait_fire(struct waits *w, uint32_t slot);
/* The same for every slot ("look at everything you parked"). */
void wait_fire_all(struct waits *w);

#endif
