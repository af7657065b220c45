/*
 * lock.h - the port of the robust lock of a shared record.
 *
 * In src/os a process-shared robust mutex inside the record; in the simulator a plain word.
 * Only the port hands out struct lock_held, so a function that takes one is known to run under
 * the lock. At most one lock is held by a thread at any time.
 */
#ifndef IO_LOCK_H
#define IO_LOCK_H

#include <stdint.h>

struct lock_word {			/* lies in shared memory; made once by init() */
	_Alignas(8) uint8_t opaque[48];
};

enum lock_result {
	LOCK_OK,
	LOCK_BUSY,			/* somebody else has it: park the request, serve others */
	LOCK_OWNER_DIED,		/* held now; repair, then consistent() */
	LOCK_LOST,			/* a repairer released without consistent(): damaged table */
};

struct lock_held;			/* never defined: a token */

struct lock_port {
	void (*init)(struct lock_port *l, struct lock_word *w);
	/* Tries, spins at most 20 us; *ret_held is set on LOCK_OK and LOCK_OWNER_DIED. */
	enum lock_result (*try_lock)(struct lock_port *l, struct lock_word *w,
				     struct lock_held **ret_held);
	/* The last act of a repair. */
	void (*consistent)(struct lock_port *l, struct lock_word *w, struct lock_held *h);
	void (*release)(struct lock_port *l, struct lock_word *w, struct lock_held *h);
};

#endif
