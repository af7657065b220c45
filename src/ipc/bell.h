/*
 * bell.h - who is awake, what each process has to look at, and heartbeats: the shared pages.
 *
 * One page set per process of the broker ("proc"), in a shared mapping made by the supervisor:
 * a heartbeat word, an asleep flag and a dirty set over partition slots (a bitmap set by atomic OR,
 * so that it survives a kill at any point). All operations are sequentially consistent
 * (store-then-load on both sides; docs/table.md, doorbells).
 *
 *   waiter      sets its bit in the partition's waiter mask, THEN re-reads what it waits for;
 *               if that holds already it marks the slot dirty for itself.
 *   sleeper     asleep = 1, THEN looks at its dirty set; waits only when that is empty.
 *   committer   stores the commit, fence, reads the waiter mask, bell_mark() each waiter, and
 *               rings at the end of its turn whoever was asleep (bell_flush()).
 *
 * Invariants: B1 a bit set in a dirty set is cleared only by its owner, before it looks at the slot.
 * B2 a process is rung at most once per sleep.
 */
#ifndef IPC_BELL_H
#define IPC_BELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "io/bell.h"

#define PROC_WORKERS_MAX 48	/* procs 0 .. 47 */
#define PROC_GROUPS 48		/* 48 .. 55: group coordinator processes */
#define PROC_GROUPS_MAX 8
#define PROC_AGENT 56
#define PROC_STORAGE 57
#define PROC_SUPERVISOR 58
#define PROC_N 59		/* each is one bit of a 64-bit waiter mask */

struct bells;			/* private handle of one process: mapping + who was marked this turn */

/* Bytes of the shared pages for partition slots 0 .. slots - 1. */
size_t bell_bytes(uint32_t slots);
/* Formats zeroed memory; by the supervisor, once. */
void bell_format(void *mem, size_t bytes, uint32_t slots);
/* Layout version of the pages. */
uint32_t bell_layout(void);
/* These are formatted pages of this layout, all of them. */
bool bell_valid(const void *mem, size_t bytes);
/* A handle on formatted pages; `self` is this process. The caller frees it with mem_free(). */
struct bells *bell_attach(void *mem, size_t bytes, unsigned self, struct bell_port *port);

/* Puts slot into proc's dirty set and remembers that proc wants waking at bell_flush(). */
void bell_mark(struct bells *b, unsigned proc, uint32_t slot);
/* The same for every proc whose bit is in mask. */
void bell_mark_mask(struct bells *b, uint64_t mask, uint32_t slot);
/* "Look at everything you parked": after the death of a process. */
void bell_mark_all(struct bells *b, unsigned proc);
/* Something else than a partition changed (new image, shutdown): wakes without a slot. */
void bell_nudge(struct bells *b, unsigned proc);
/* For the storage process, without waking it: the slot was appended to and has time to be synced.
 * bell_take_noted() takes them as bell_take() does. */
void bell_note(struct bells *b, uint32_t slot);
uint32_t bell_take_noted(struct bells *b);
/* End of a turn: rings everyone marked who is asleep. */
void bell_flush(struct bells *b);

/* Before a wait that may block; false: there is work, do not block (asleep is 0 then). */
bool bell_sleep(struct bells *b);
void bell_awake(struct bells *b);
/* Takes dirty slots one by one; UINT32_MAX when there is none. *ret_all: look at everything. */
uint32_t bell_take(struct bells *b, bool *ret_all);

/* Heartbeat words, milliseconds of the monotonic clock; 0 = never. */
void bell_beat(struct bells *b, uint64_t now_ms);
uint64_t bell_last_beat(struct bells *b, unsigned proc);

/* Which process of a role this is, for who has to know that it was replaced. */
struct bell_life {
	_Atomic uint32_t generation;	/* how many were started; by the supervisor */
	_Atomic uint32_t ready;		/* the generation that serves; by its owner */
};
struct bell_life *bell_life(struct bells *b, unsigned proc);

/* Counters that all processes add to and /metrics reads; see proto/counters.def. */
struct bell_load {		/* per worker, written by it alone with relaxed stores */
	_Atomic uint32_t conns;
	_Atomic uint32_t busy_permille;
};
struct bell_load *bell_load(struct bells *b, unsigned proc);
/* Connections of a worker by client address: two rows of cells, an address has one cell in each. Written by
 * the worker alone; zeroed when it starts. */
#define BELL_ADDRESSES 4096
_Atomic uint16_t *bell_addresses(struct bells *b, unsigned proc, int row);
/* Room for counters of one process: bell_counters_n words, zeroed at format, never reset by a restart. */
#define BELL_COUNTERS 1024
_Atomic uint64_t *bell_counters(struct bells *b, unsigned proc);
/* 64 shared words for all processes: image generation, drain flag ... */
enum bell_word {
	BELL_IMAGE_GEN,		/* newest cluster image; written by the agent */
	BELL_DRAINING,		/* 1: the supervisor asks everyone to finish */
	BELL_RESTARTS,		/* children that died and were replaced, all roles */
	BELL_TABLE_GEN,		/* generation of the partition table in use; 0: none yet */
	BELL_RESTARTS_ROLE,	/* + enum super_role: the same by role */
	BELL_RESTARTS_ROLE_LAST = BELL_RESTARTS_ROLE + 7,
	BELL_RESET,		/* 1: the partition table cannot be trusted; asked by whoever saw it */
	BELL_RESETS,		/* how often the table was thrown away while the broker ran */
	BELL_VIOLATIONS,	/* children that tried a forbidden system call and ended by it */
	BELL_HANGS,		/* children that did not answer and were killed */
	BELL_CLEAN,		/* 1: the storage process wrote a clean checkpoint */
	BELL_BEHIND,		/* 1: too much is written and not synced: workers begin no Produce */
	BELL_WORDS = 64
};
unsigned bell_self(struct bells *b);
/* True: a dirty slot, "everything" or a nudge waits. */
bool bell_pending(struct bells *b);
/* Clears the nudge: after bell_pending() said so and before looking at what it may be about. */
void bell_nudge_take(struct bells *b);
_Atomic uint64_t *bell_word(struct bells *b, enum bell_word w);

#endif
