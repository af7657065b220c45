/*
 * raft.h - consensus as a step function: events in, effects out. No clock, disk, socket or payload.
 *
 * An entry is (index, term, type, handle); what it says stays with the caller. The log is known here
 * as runs of (first index, term) only. A member is known by a number that belongs to its disk: a node
 * whose disk was emptied comes back under another one (KIP-853), so a forgotten vote cannot be cast twice.
 *
 *   FOLLOWER --timeout--> PRECANDIDATE --majority would vote--> CANDIDATE --majority--> LEADER
 *       ^--------------- a newer term, or the term's leader speaks, or no quorum answers ---'
 * A single voter goes from FOLLOWER to LEADER in one step. Only voters of the newest configuration in
 * the own log leave FOLLOWER, and of the one before it until it is committed; learners and nodes without a
 * configuration follow.
 *
 * Invariants (T n: the trap of docs/quorum.md that it answers)
 *   R1  at most one leader in a term; a node that sees two says so (E_DAMAGED) and stops
 *   R2  term and vote are durable before a message that tells of them leaves (the caller's duty:
 *       effects are done in the order of the struct)
 *   R3  an entry is acknowledged, and counted by its own leader, only when it is durable
 *   R4  the leader commits by counting only entries of its own term; a new leader appends a no-op
 *   R5  commit never goes back, and nothing at or below it is ever truncated
 *   R6  a follower's verified index is what this term's leader has confirmed, not its log's end
 *   R7  a pre-vote changes neither term nor vote
 *   R8  the newest configuration in the log is in force from its append on, committed or not, and goes with
 *       a truncation; at most one is uncommitted, and none is proposed before the own no-op is committed
 *   R9  while two sets of voters are in force both majorities are needed: to elect, commit, confirm a read
 *   R10 a read's round begins after the read: only answers to what was sent later confirm it
 *   R11 a node whose log lost entries (recovering) neither votes nor asks for votes until a leader's
 *       commit of its own term is durable here
 */
#ifndef RAFT_RAFT_H
#define RAFT_RAFT_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/rng.h"

#define RAFT_MEMBERS_MAX 16		/* voters old and new, learners; sets of members have 32 bits */
#define RAFT_VOTERS_MAX 7		/* the largest quorum that is of use */
#define RAFT_BEAT_MS 50			/* a leader speaks this often */
#define RAFT_ELECT_MS 300		/* a follower waits this long, plus up to as much again */
#define RAFT_JITTER_MS 5		/* a lost connection to the leader: wait this long, plus up to 5 times that */
#define RAFT_BATCH_MAX 256		/* entries of one APPEND */
#define RAFT_BATCH_BYTES (1u << 20)	/* of one APPEND, unless a single entry is larger */
#define RAFT_FLIGHT_MAX 32		/* APPENDs of one peer that are not answered yet */
#define RAFT_WINDOW_BYTES (8u << 20)	/* and their bytes */
#define RAFT_CAUGHT_UP 64		/* a learner that is no more entries behind may become a voter */
#define RAFT_NOBODY 0			/* no member has this number */

enum raft_role { RAFT_FOLLOWER, RAFT_PRECANDIDATE, RAFT_CANDIDATE, RAFT_LEADER };

enum raft_entry_type { RAFT_NOOP = 1, RAFT_DATA, RAFT_CONFIG };

enum raft_member_flag {
	RAFT_VOTER = 1u << 0,		/* of the (new) set of voters */
	RAFT_OLD = 1u << 1,		/* of the old set, while two are in force */
	/* gets the log, does not vote; becomes a voter when it has caught up ... */
	RAFT_LEARNER = 1u << 2,
	RAFT_OBSERVER = 1u << 3,	/* ... but not this one */
};

struct raft_member {
	uint64_t id;			/* of its disk */
	uint32_t node;			/* number of the node: at most one voter of a set has it */
	uint32_t flags;
};

struct raft_config {
	uint64_t index;			/* of its entry */
	uint32_t n;
	struct raft_member m[RAFT_MEMBERS_MAX];
};

struct raft_entry {
	uint64_t index, term;
	enum raft_entry_type type;
	void *handle;			/* the caller's; NULL for a no-op */
	const struct raft_config *config;	/* CONFIG */
};

enum raft_msg_type {
	RAFT_PREVOTE = 1, RAFT_PREVOTE_OK, RAFT_VOTE, RAFT_VOTE_OK, RAFT_APPEND, RAFT_APPEND_OK,
	RAFT_SNAPSHOT,			/* to a peer that is behind the log's start: the caller sends its image */
	RAFT_TIMEOUT_NOW,		/* to who shall lead next [Raft 3.10] */
};

struct raft_msg {
	enum raft_msg_type type;
	uint64_t from, to;
	uint64_t term;
	uint64_t index, index_term;	/* VOTE: the log's end; APPEND: the entry before the first one;
					 * APPEND_OK: durable and verified up to, or a hint when refused */
	uint64_t at;			/* APPEND_OK: verified by this APPEND; refused: the index it named */
	uint64_t commit;		/* APPEND */
	uint64_t round;			/* APPEND, and back in APPEND_OK: R10 */
	bool ok;			/* _OK messages: granted, matched */
	bool forced;			/* VOTE: asked for by the leader, so stickiness does not hold */
	bool removed;			/* PREVOTE_OK: the asker is not a member any more */
	bool lost;			/* APPEND_OK refused: the sender's log lost what it had acknowledged (R11) */
	uint32_t n;			/* APPEND: entries index + 1 .. index + n; the caller adds them */
	const struct raft_entry *entries;	/* received APPEND only */
};

enum raft_event_type {
	RAFT_EV_TIMEOUT = 1,
	RAFT_EV_MSG,
	RAFT_EV_PROPOSE,		/* E_AGAIN: does not lead, hands over, or a CONFIG is not possible now */
	RAFT_EV_DURABLE,		/* the log is synced up to (index, term) */
	/* the end of a turn: what is due to peers is sent; again while fx->more */
	RAFT_EV_FLUSH,
	RAFT_EV_READ,			/* E_AGAIN: does not lead, or its no-op is not committed */
	RAFT_EV_UP, RAFT_EV_LOST,	/* the connection to `peer` */
	RAFT_EV_FETCHED,		/* what fx->fetch asked for `peer` is in memory, or cannot be had */
	RAFT_EV_IMAGE_FAILED,		/* the image did not get to `peer`: look again what it has */
	RAFT_EV_INSTALLED,		/* an image of (index, term) with `config` replaced the whole log, durably */
	RAFT_EV_TRANSFER,		/* leadership goes to `peer`, RAFT_NOBODY: to the best one */
	RAFT_EV_BOOTSTRAP,		/* the first entry of a new quorum: `config` */
};

struct raft_event {
	enum raft_event_type type;
	uint64_t now_ms;
	struct raft_msg msg;		/* MSG */
	struct raft_entry *entries;	/* PROPOSE: type, handle (and config) given, index and term filled in */
	uint32_t n;
	uint64_t index, term;
	uint64_t peer;
	const struct raft_config *config;
};

struct raft_fetch {
	uint64_t peer, index;
};

/* What the caller must do, in this order. */
struct raft_effects {
	bool persist;			/* 1: make term, voted_for and recovering durable */
	uint64_t truncate_from;		/* 2: drop entries from this index on; 0: none */
	const struct raft_entry *append;	/* 3: write these; tell RAFT_EV_DURABLE when synced */
	uint32_t nappend;
	uint32_t nmsgs;			/* 4: send */
	struct raft_msg msgs[2 * RAFT_MEMBERS_MAX];
	uint64_t commit;		/* 5: apply up to here; 0: as before */
	/* READ: the read passes when this round is confirmed, at r->commit of now */
	uint64_t read_round;
	uint64_t round_confirmed;	/* 6: reads of rounds up to it pass; 0: none */
	uint32_t nfetch;		/* 7: entries from `index` on are wanted for `peer`: RAFT_EV_FETCHED */
	struct raft_fetch fetch[RAFT_MEMBERS_MAX];
	bool role_changed, config_changed;
	bool more;			/* FLUSH: there is more to send */
	uint64_t next_timeout_ms;	/* 8: absolute; replaces the last one */
	struct raft_entry own;		/* storage of append */
};

/* How much of the log is in memory: entries from index on, at most n and (but for the first) max_bytes.
 * 0: it has to be fetched. A pure question. */
struct raft_store {
	uint32_t (*fit)(const struct raft_store *s, uint64_t index, uint32_t n, uint32_t max_bytes,
			uint32_t *ret_bytes);
};

struct raft_run {
	uint64_t first, term;
};

enum raft_pace {
	RAFT_PROBE,			/* one APPEND at a time, to find where the logs meet */
	RAFT_STREAM,			/* pipelined */
	RAFT_IMAGE,			/* an image is under way; heartbeats only */
};

struct raft_peer {
	uint64_t id;
	enum raft_pace pace;
	uint64_t next, match;
	uint64_t heard_ms, sent_ms;
	uint64_t round;			/* answered */
	uint64_t round_told, commit_told;
	bool waiting;			/* PROBE: for an answer */
	bool fetching;
	uint32_t flight_first, nflight;
	uint64_t flight_bytes;
	struct {
		uint64_t last;
		uint32_t bytes;
	} flight[RAFT_FLIGHT_MAX];
};

struct raft_options {
	uint32_t beat_ms, elect_ms;
	uint64_t seed;
	const struct raft_store *store;
};

struct raft {
	uint64_t id;
	struct raft_options opt;
	enum raft_role role;
	uint64_t term;
	uint64_t voted_for;		/* RAFT_NOBODY or a member */
	uint64_t leader;		/* of this term, RAFT_NOBODY: not known */
	uint32_t votes, refused;	/* sets: bit i is config.m[i] */
	uint64_t last, durable, commit;
	uint64_t verified;		/* R6 */
	uint64_t noop;			/* leader: its own first entry */
	uint64_t base, base_term;	/* entry before the log's first: of the snapshot */
	struct raft_run *runs;		/* terms of base + 1 .. last */
	uint32_t nruns, runs_cap;
	/* newest committed one, then those that are not; [nconfigs - 1] is in force */
	struct raft_config *configs;
	uint32_t nconfigs, configs_cap;
	bool recovering;		/* R11 */
	bool removed;			/* somebody who knows said so */
	uint64_t deadline_ms, heard_leader_ms;
	uint64_t asked_ms;		/* when the last pre-vote was asked for */
	uint64_t moved_ms;		/* when `durable` last moved, or was equal to `last` */
	uint64_t round, round_ms, round_wanted, round_confirmed, round_seen;
	uint64_t transfer_to, transfer_until_ms;
	bool transfer_sent;
	struct raft_peer peer[RAFT_MEMBERS_MAX];	/* of config.m[i] */
	struct rng rng;
};

void raft_init(struct raft *r, uint64_t id, const struct raft_options *opt);
void raft_release(struct raft *r);
/* Before the first step, from disk: hard state, snapshot with its configuration (n 0: none), entries in
 * order (all durable). */
void raft_restore(struct raft *r, uint64_t term, uint64_t voted_for, uint64_t base, uint64_t base_term,
		  const struct raft_config *config);
void raft_restore_entry(struct raft *r, const struct raft_entry *e);
/* Entries up to index are in a durable snapshot: their terms may be forgotten. */
void raft_compact(struct raft *r, uint64_t index);
/* An image of (index, term) has to replace the log. False: the log has that entry, and what is behind it may be
 * acknowledged already [Raft figure 13, step 6]. */
bool raft_wants_image(const struct raft *r, uint64_t index, uint64_t term);
/* 0: not in the log. */
uint64_t raft_term_of(const struct raft *r, uint64_t index);
/* Reads and proposals may be served: leader, and its own no-op is committed (Raft 6.4). */
bool raft_serves(const struct raft *r);

/* E_BAD: not an event; E_AGAIN: see the events; E_DAMAGED: a leader contradicts what is committed, or
 * there are two in one term. Then r has not changed. */
int raft_step(struct raft *r, const struct raft_event *ev, struct raft_effects *fx) MUST_CHECK;

/* ---- configurations ---- */

/* The one in force; n 0 when there is none. */
const struct raft_config *raft_config(const struct raft *r);
/* As of an applied entry: what belongs into its snapshot. */
const struct raft_config *raft_config_at(const struct raft *r, uint64_t index);
const struct raft_member *raft_config_find(const struct raft_config *c, uint64_t id);
bool raft_config_joint(const struct raft_config *c);
/* Is `set` (bit i: c->m[i]) a majority of each set of voters? */
bool raft_config_quorum(const struct raft_config *c, uint32_t set);
/* The largest value that a majority of each set of voters has reached; v[i] is of c->m[i]. */
uint64_t raft_config_agreed(const struct raft_config *c, const uint64_t *v);
/* Changes: the result is to be proposed. E_EXIST, E_NOENT, E_LIMIT; E_BAD: no voter would be left. */
int raft_config_add(const struct raft_config *c, const struct raft_member *m, struct raft_config *ret) MUST_CHECK;
int raft_config_remove(const struct raft_config *c, uint64_t id, struct raft_config *ret) MUST_CHECK;
/* What the leader should propose by itself now: the end of a joint configuration, or a learner that has
 * caught up as a voter (in the place of a voter of the same node). */
bool raft_next_config(const struct raft *r, uint64_t now_ms, struct raft_config *ret);

#endif
