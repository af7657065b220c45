/*
 * super.h - policy of the supervisor: what to do when a child dies, hangs, or all must stop. Pure.
 *
 * States of a child: idle (to be started at start_at) -> running -> (dead) idle ... ; stopping when
 * the broker drains: then it is not started again. Restarts back off from 0 to 1 s while a child
 * keeps dying within 5 s of its start.
 *
 *   serving --super_term(), or a child says that starting again will not help--> draining --> end
 *   serving --super_reset()--> resetting (all are killed) --all are dead: WIPE--> serving
 *   serving --super_roll()--> one child after the other is stopped and started again --> serving
 *
 * Invariants: U1 at most one process a child. U2 each death of a child that was not asked to stop
 * counts one restart of its role. U3 after TERM a child gets KILL at last. U4 while one child is
 * being replaced by a roll, no other is.
 */
#ifndef BROKER_SUPER_H
#define BROKER_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#define SUPER_CHILDREN_MAX 64

/* The supervisor is no child of itself; it has a row of its own among the restarts. */
enum super_role { SUPER_AGENT, SUPER_STORAGE, SUPER_GROUPS, SUPER_WORKER, SUPER_SELF, SUPER_ROLES };

/* How a process of the broker ends; moldau-broker(8), exit status. */
enum super_status {
	SUPER_DONE = 0,			/* asked to stop */
	SUPER_FAILED = 1,		/* a child is started again; the broker could not start */
	SUPER_USAGE = 2,		/* command line or settings */
	SUPER_UNFIT = 3,		/* data of another broker, cluster or newer release: the broker ends */
	SUPER_OTHER_LAYOUT = 5,		/* a checker's: this release cannot take over while the broker runs */
	SUPER_DENIED = 4,		/* a child's: rights or room are missing; the broker ends with FAILED */
};

enum super_fx_kind {
	SUPER_SPAWN, SUPER_TERM, SUPER_KILL, SUPER_RING_ALL,
	SUPER_WIPE,			/* no child lives: the partition table is thrown away */
	SUPER_ROLLED,			/* the last child of a roll serves */
	SUPER_EXIT,
};

struct super_fx {
	enum super_fx_kind kind;
	int child;
};

struct super_child {
	enum super_role role;
	int idx;			/* worker or groups number */
	unsigned proc;			/* of ipc/bell.h */
	bool running, killed;
	bool old;			/* to be replaced by the roll under way */
	uint64_t started_ms, start_at_ms, backoff_ms, term_at_ms;
};

struct super_seen {			/* of a child, as its shared page says */
	uint64_t beat_ms;		/* last heartbeat; 0: none */
	bool ready;			/* this process of it serves */
};

struct super {
	struct super_child child[SUPER_CHILDREN_MAX];
	int n;
	uint64_t hang_ms;		/* a heartbeat older than this means stuck */
	uint64_t tick_ms;		/* of the last tick */
	uint64_t awake_ms;		/* silence before this is the machine's fault, not a child's */
	bool draining, resetting;
	int drain_stage;		/* workers and groups first, then storage, then agent */
	int rolling;			/* child that is being replaced, or -1 */
	int status;			/* what the broker ends with */
	uint64_t restarts[SUPER_ROLES], hangs, resets;
	struct super_fx fx[SUPER_CHILDREN_MAX + 4];
	int n_fx;
};

void super_init(struct super *s, int workers, int groups, uint64_t hang_ms);
const char *super_role_name(enum super_role r);
/* Each returns with what is to be done in s->fx[0 .. n_fx). */
void super_tick(struct super *s, uint64_t now_ms, const struct super_seen *seen);	/* by child */
/* status: as it exited, or < 0: the signal that killed it. */
void super_exited(struct super *s, int child, uint64_t now_ms, int status);
void super_term(struct super *s, uint64_t now_ms);
/* The partition table cannot be trusted any more: nobody may use it, then it is made anew. */
void super_reset(struct super *s, uint64_t now_ms);
/* Every child is replaced, one at a time, the next when the last one serves. */
void super_roll(struct super *s);
/* The child runs already as a process of the supervisor before us (upgrade). */
void super_adopt(struct super *s, int child, uint64_t now_ms);

#endif
