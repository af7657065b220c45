/*
 * super.h - policy of the supervisor: what to do when a child dies, hangs, or all must stop. Pure.
 *
 * States of a child: idle (to be started at start_at) -> running -> (dead) idle ... ; stopping when
 * the broker drains: then it is not started again. Restarts back off from 0 to 1 s while a child
 * keeps dying within 5 s of its start.
 *
 * Invariants: U1 at most one process a child. U2 each death of a child that was not asked to stop
 * counts one restart of its role. U3 after TERM a child gets KILL at last.
 */
#ifndef BROKER_SUPER_H
#define BROKER_SUPER_H

#include <stdbool.h>
#include <stdint.h>

#define SUPER_CHILDREN_MAX 64

enum super_role { SUPER_AGENT, SUPER_STORAGE, SUPER_GROUPS, SUPER_WORKER, SUPER_ROLES };

enum super_fx_kind { SUPER_SPAWN, SUPER_TERM, SUPER_KILL, SUPER_RING_ALL, SUPER_EXIT };

struct super_fx {
	enum super_fx_kind kind;
	int child;
};

struct super_child {
	enum super_role role;
	int idx;			/* worker or groups number */
	unsigned proc;			/* of ipc/bell.h */
	bool running, killed;
	uint64_t started_ms, start_at_ms, backoff_ms, term_at_ms;
};

struct super {
	struct super_child child[SUPER_CHILDREN_MAX];
	int n;
	uint64_t hang_ms;		/* a heartbeat older than this means stuck */
	bool draining;
	int drain_stage;		/* workers and groups first, then agent and storage */
	uint64_t restarts[SUPER_ROLES];
	struct super_fx fx[SUPER_CHILDREN_MAX + 4];
	int n_fx;
};

void super_init(struct super *s, int workers, int groups, uint64_t hang_ms);
const char *super_role_name(enum super_role r);
/* Each returns with what is to be done in s->fx[0 .. n_fx). */
void super_tick(struct super *s, uint64_t now_ms, const uint64_t *beat_ms);	/* by child; 0: none */
void super_exited(struct super *s, int child, uint64_t now_ms);
void super_term(struct super *s, uint64_t now_ms);

#endif
