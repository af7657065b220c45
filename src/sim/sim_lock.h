/*
 * sim_lock.h - the lock port over plain words: who holds it, and whether that one died.
 *
 * A simulated process that is killed inside a critical section leaves its word; sim_lock_died()
 * marks it, as the kernel does with a robust mutex.
 */
#ifndef SIM_SIM_LOCK_H
#define SIM_SIM_LOCK_H

#include "io/lock.h"

struct sim_lock {
	struct lock_port port;		/* first member */
	uint32_t owner;			/* who calls through this port: 1 .. */
	struct lock_word *held;		/* at most one at any time */
	uint64_t busy, died;		/* how often each was met */
};

void sim_lock_init(struct sim_lock *l, uint32_t owner);
/* The process is gone: what it holds answers LOCK_OWNER_DIED from now on. */
void sim_lock_died(struct sim_lock *l);

#endif
