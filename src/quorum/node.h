/*
 * node.h - one member of the quorum: raft + rlog + coord, in the one legal order of effects (raft.h R2).
 *
 * The only code that joins the three. An answer and a listener's call come only after the entry is
 * committed, which for this node's own copy means: after its fdatasync.
 */
#ifndef QUORUM_NODE_H
#define QUORUM_NODE_H

#include "coord/coord.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/loop.h"
#include "quorum/rlog.h"
#include "raft/raft.h"

#define NODE_LISTENERS_MAX 4

struct node;

/* Who follows committed changes: the native server's feed, later the ZooKeeper front's watches and the
 * cluster controller (a recipe that runs where on_lead(true) was called and proposes by node_propose()). */
struct node_listener {
	void (*on_lead)(void *user, bool leads);	/* true: reads and proposals are served from now on */
	void (*on_applied)(void *user, int64_t zxid, const struct coord_result *r);
	void *user;
};

struct node_config {
	const char *dir;
	uint32_t id;
	char *cluster_id;		/* 23 bytes; in: for a new folder, out: the folder's */
	bool cluster_given;
	uint64_t snapshot_log_bytes;	/* an image is written after so much log */
	uint64_t seed;
	void (*on_fatal)(void *user, const char *what, int err);
	void *user;
};

/* A proposal in flight; embedded by the caller, who may not free it before done(). r lives only in
 * the call; NULL when err says that the entry was not applied. */
struct node_req {
	void (*done)(struct node_req *q, int err, int64_t zxid, const struct coord_result *r);
};

struct node_stats {
	uint64_t term, commit, applied, log_segments, snapshots, proposals, syncs, torn_bytes;
	bool leads;
};

int node_open(struct disk *d, struct loop *loop, struct clock *clock, const struct node_config *conf,
	      struct node **ret, char *why, size_t why_cap) MUST_CHECK;
void node_close(struct node *n);
/* Listeners hear of entries applied from now on, and of the log's entries replayed by node_start(). */
void node_listen(struct node *n, const struct node_listener *l);
/* Elections begin. */
void node_start(struct node *n);
/* The entry (coord_encode_*) is copied. E_AGAIN: this node does not lead; E_NOSPC: the disk is nearly
 * full, and the entry does not free (ends a session, deletes); then done() is not called. q NULL:
 * nobody waits. */
int node_propose(struct node *n, const uint8_t *entry, uint32_t len, bool frees,
		 struct node_req *q) MUST_CHECK;
bool node_serves(const struct node *n);
struct coord *node_coord(struct node *n);
/* The wall clock for entries: never goes back. */
int64_t node_time_ms(struct node *n);
/* Nothing is waiting for the disk. */
bool node_idle(const struct node *n);
void node_stats(const struct node *n, struct node_stats *ret);

#endif
