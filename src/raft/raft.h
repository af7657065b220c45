/*
 * raft.h - consensus as a step function: events in, effects out. No clock, disk, socket or payload.
 *
 * An entry is (index, term, type, handle); what it says stays with the caller. The log is known here
 * as runs of (first index, term) only.
 *
 *   FOLLOWER --timeout--> PRECANDIDATE --majority would vote--> CANDIDATE --majority--> LEADER
 *       ^--------------- a newer term, or the term's leader speaks, or no quorum answers ---'
 * A single voter goes from FOLLOWER to LEADER in one step.
 *
 * Invariants
 *   R1  at most one leader in a term
 *   R2  term and vote are durable before a message that tells of them leaves (the caller's duty:
 *       effects are done in the order of the struct)
 *   R3  an entry is acknowledged, and counted by its own leader, only when it is durable
 *   R4  the leader commits by counting only entries of its own term; a new leader appends a no-op
 *   R5  commit never goes back, and nothing at or below it is ever truncated
 *   R6  a follower's verified index is what this term's leader has confirmed, not its log's end
 *   R7  a pre-vote changes neither term nor vote
 */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

#define RAFT_NODES_MAX 7		/* the largest quorum that is of use; sets of nodes have 32 bits */
#define RAFT_BEAT_MS 50			/* a leader speaks this often */
#define RAFT_ELECT_MS 300		/* a follower waits this long, plus up to as much again */
#define RAFT_BATCH_MAX 256		/* entries of one APPEND */
#define RAFT_NOBODY UINT32_MAX

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_entry_type { RAFT_NOOP = 1, RAFT_DATA };

struct raft_entry {
	uint64_t index, term;
	enum raft_entry_type type;
	void *handle;			/* the caller's; NULL for a no-op */
};

enum raft_msg_type {
	RAFT_PREVOTE = 1, RAFT_PREVOTE_OK, RAFT_VOTE, RAFT_VOTE_OK, RAFT_APPEND, RAFT_APPEND_OK,
	RAFT_SNAPSHOT,			/* to a peer that is behind the log's start: the caller sends its image */
};

struct raft_msg {
	enum raft_msg_type type;
	uint32_t from, to;
	uint64_t term;
	uint64_t index, index_term;	/* VOTE: the log's end; APPEND: the entry before the first one;
					 * APPEND_OK: durable and verified up to, or a hint when refused */
	uint64_t commit;		/* APPEND */
	bool ok;			/* _OK messages: granted, matched */
	uint32_t n;			/* APPEND: entries index + 1 .. index + n; the caller adds them */
	const struct raft_entry *entries;	/* received APPEND only */
};

enum raft_event_type { RAFT_EV_TIMEOUT = 1, RAFT_EV_MSG, RAFT_EV_PROPOSE, RAFT_EV_DURABLE };

struct raft_event {
	enum raft_event_type type;
	uint64_t now_ms;
	struct raft_msg msg;		/* MSG */
	struct raft_entry *entries;	/* PROPOSE: type and handle given, index and term filled in */
	uint32_t n;
	uint64_t index, term;		/* DURABLE: the log is synced up to this entry */
};

/* What the caller must do, in this order. */
struct raft_effects {
	bool persist;			/* 1: make term and voted_for durable */
	uint64_t truncate_from;		/* 2: drop entries from this index on; 0: none */
	const struct raft_entry *append;	/* 3: write these; tell RAFT_EV_DURABLE when synced */
	uint32_t nappend;
	uint32_t nmsgs;			/* 4: send */
	struct raft_msg msgs[2 * RAFT_NODES_MAX];
	uint64_t commit;		/* 5: apply up to here; 0: as before */
	bool role_changed;
	uint64_t next_timeout_ms;	/* 6: absolute; replaces the last one */
	struct raft_entry noop;		/* storage of append */
};

struct raft_run {
	uint64_t first, term;
};

struct raft_peer {
	uint64_t next, match;
	uint64_t heard_ms;		/* leader: last answer, for check-quorum */
	uint64_t beat_ms;
};

struct raft {
	uint32_t id, n;
	enum raft_role role;
	uint64_t term;
	uint32_t voted_for;		/* RAFT_NOBODY or a node */
	uint32_t leader;		/* of this term, RAFT_NOBODY: not known */
	uint32_t votes, refused;	/* sets: bit i is node i */
	uint64_t last, durable, commit;
	uint64_t verified;		/* R6 */
	uint64_t noop;			/* leader: its own first entry */
	uint64_t base, base_term;	/* entry before the log's first: of the snapshot */
	struct raft_run *runs;		/* terms of base + 1 .. last */
	uint32_t nruns, runs_cap;
	uint64_t deadline_ms, heard_leader_ms;
	struct raft_peer peer[RAFT_NODES_MAX];
	struct rng rng;
};

/* Node `id` of `n`; seed decides its election timeouts. */
void raft_init(struct raft *r, uint32_t id, uint32_t n, uint64_t seed);
void raft_release(struct raft *r);
/* Before the first step, from disk: hard state, snapshot, entries in order (all durable). */
void raft_restore(struct raft *r, uint64_t term, uint32_t voted_for, uint64_t base, uint64_t base_term);
void raft_restore_entry(struct raft *r, uint64_t index, uint64_t term);
/* Entries up to index are in a durable snapshot: their terms may be forgotten. */
void raft_compact(struct raft *r, uint64_t index);
/* 0: not in the log. */
uint64_t raft_term_of(const struct raft *r, uint64_t index);
/* Reads may be served: leader, and its own no-op is committed (Raft 6.4). */
bool raft_serves(const struct raft *r);

/* E_BAD: not an event, or a peer that does not exist; E_AGAIN: PROPOSE to a node that does not lead.
 * Then r has not changed. */
int raft_step(struct raft *r, const struct raft_event *ev, struct raft_effects *fx) MUST_CHECK;

#endif
