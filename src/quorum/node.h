/*
 * node.h - one member of the quorum: raft + rlog + coord + peers, in the one legal order of effects.
 *
 * The only code that joins them. Runs whole over the ports (disk, net, loop, clock). What is outside
 * (the native server, the ZooKeeper server, the cluster controller) proposes, reads and listens here, on
 * ANY node: a follower forwards to the leader.
 *
 * Invariants
 *   N1  done(OK) of a proposal comes after its entry was applied by this node: a client reads its own writes
 *   N2  proposals of one node are applied in the order in which they were made, each at most once, over
 *       any change of leaders (origin and sequence number are in the entry; docs/quorum.md)
 *   N3  a read's barrier passes only after this node has applied everything that was acknowledged to
 *       anybody before node_read() was called
 *   N4  the time of an entry is the wall clock of the leader that logged it
 *   N5  a session ends by a log entry only; the leader proposes it, never before the session's timeout
 */
#ifndef QUORUM_NODE_H
#define QUORUM_NODE_H

#include "coord/coord.h"
#include "io/clock.h"
#include "io/disk.h"
#include "io/loop.h"
#include "io/net.h"
#include "quorum/rlog.h"
#include "raft/raft.h"

#define NODE_LISTENERS_MAX 4
#define NODE_MEMBERS_MAX 16		/* voters (old and new ones of a change) and learners */
#define NODE_ADDRESS_MAX 256		/* bytes of HOST:PORT with its 0 */
#define NODE_ANY UINT32_MAX

struct node;

/*
 * Who follows committed changes: the feed, the watches of a ZooKeeper front, the cluster controller (a
 * recipe that runs while on_lead(true) holds and proposes by node_propose()). Any of them may be NULL.
 */
struct node_listener {
	void (*on_lead)(void *user, bool leads);	/* leads, with all of earlier terms applied */
	void (*on_applied)(void *user, int64_t zxid, const struct coord_result *r);
	/* The tree was replaced by an image from the leader: node_coord() is another object from now on, and
	 * nothing of the old one (sessions, nodes, what hangs on them) may be touched again. */
	void (*on_reset)(void *user);
	void *user;
};

struct node_peer {
	uint32_t id;
	const char *address;		/* HOST:PORT of its peer port */
};

struct node_config {
	const char *dir;
	uint32_t id;
	/* 23 bytes that live as long as the node. In: for a new quorum; out: the folder's, "" while it is not
	 * known (a node that joins, or waits for the others of a new quorum), then written when it is. */
	char *cluster_id;
	bool cluster_given;
	uint64_t snapshot_log_bytes;	/* an image is written after so much log */
	uint64_t seed;			/* of timeouts and jitter */
	uint64_t disk_id;		/* for a new folder: random, not 0 (raft.h: identity of a member) */
	/* The members of a new quorum, this node among them; none or one: a quorum of one. Only nodes whose
	 * folders are new use it, and only when all of them can be reached: a node that comes back with an
	 * empty folder joins what is there. */
	const struct node_peer *voters;
	uint32_t nvoters;
	const char *const *join;	/* addresses of members of a running quorum that is to be joined */
	uint32_t njoin;
	const char *address;		/* HOST:PORT where other nodes reach this one; NULL: nowhere */
	/* Why this node may not begin a new quorum, as when there is data that should be imported first: then it is
	 * told by on_fatal() instead. NULL: it may. */
	const char *no_founding;
	bool importing;			/* only node_import() will be called; the folder has to be empty */
	bool observer;			/* join as a learner for good: follows, never votes */
	const char *peer_subjects;	/* net speaks TLS, and these are nodes (subject.h); NULL: it does not */
	uint32_t beat_ms, elect_ms;	/* 0: RAFT_BEAT_MS, RAFT_ELECT_MS */
	void (*on_fatal)(void *user, const char *what, int err);
	void (*on_log)(void *user, const char *msg, const char *detail);	/* may be NULL */
	void *user;
};

/*
 * A proposal in flight; embedded by the caller, who may not free it before done(). done() never runs
 * inside node_propose(). r lives only in the call, and is NULL unless err is OK.
 *   OK        applied; what the tree said is in r->err
 *   E_AGAIN   not applied and never will be: no leader was found in time, or this node is going down
 *   E_NOSPC   not applied: the leader's disk is nearly full
 *   E_UNSURE  the outcome is unknown: the leader was lost, and no other one could tell in time
 */
struct node_req {
	void (*done)(struct node_req *q, int err, int64_t zxid, const struct coord_result *r);
};

/* A read's barrier; embedded by the caller. done() never runs inside node_read(). OK: read the tree now,
 * in the call (N3); E_AGAIN: no leader could be reached in time. */
struct node_read {
	void (*done)(struct node_read *r, int err);
	struct node_read *next;		/* the node's, as the rest */
	uint64_t index, since_ms;
};

/* A request about members; embedded by the caller. why: words for the user when err is not OK. */
struct node_admin {
	void (*done)(struct node_admin *a, int err, const char *why);
	struct node_admin *next;	/* the node's, as the rest */
	uint64_t since_ms, seq;
	uint32_t kind, id;
	bool observer;
	int err;
	char why[160];
};

enum node_state { NODE_FOLLOWER, NODE_CANDIDATE, NODE_LEADER, NODE_LEARNER, NODE_OUTSIDE /* not a member */ };

struct node_member {
	uint32_t id;
	uint64_t disk_id;
	char address[NODE_ADDRESS_MAX];
	bool voter, leaving, learner;	/* leaving: a voter until the change of members is complete */
	bool self, leader, connected;
	uint64_t match;			/* on the leader: durable there and verified; otherwise 0 */
};

struct node_role {
	enum node_state state;
	bool leader_known;
	uint32_t leader;		/* node id */
	uint64_t term;
	bool changing;			/* members are being changed */
	uint32_t nmembers;
	struct node_member members[NODE_MEMBERS_MAX];
};

struct node_stats {
	uint64_t term, commit, applied, last, durable, log_segments, snapshots, proposals, syncs, torn_bytes;
	uint64_t elections, forwarded, reads, snapshots_sent, snapshots_received, dropped_messages;
	uint64_t repeated;		/* entries that were skipped: N2 */
	bool leads;
};

/*
 * net may be NULL for a quorum of one that nobody can join. E_FOREIGN, E_VERSION, E_DAMAGED, E_IO, ... with
 * words in why; nothing was started then.
 */
int node_open(struct disk *d, struct net *net, struct loop *loop, struct clock *clock,
	      const struct node_config *conf, struct node **ret, char *why, size_t why_cap) MUST_CHECK;
void node_close(struct node *n);
/* Listeners hear of entries applied from now on, and of the log's entries replayed after node_start(). */
void node_listen(struct node *n, const struct node_listener *l);
/* Elections begin. */
void node_start(struct node *n);
/* A connection accepted on the peer port; the descriptor is taken over. */
void node_accept(struct node *n, int fd);

/*
 * The entry (coord_encode_*; its time is replaced, N4) is copied. Waits for a leader for a while when
 * there is none. E_AGAIN at once: there has been none for long, or too much is waiting; E_NOSPC: this
 * node leads, its disk is nearly full, and the entry does not free (ends a session, deletes). Then
 * done() is not called. q NULL: nobody waits.
 */
int node_propose(struct node *n, const uint8_t *entry, uint32_t len, bool frees,
		 struct node_req *q) MUST_CHECK;
void node_read(struct node *n, struct node_read *r);
/* Keep-alives of sessions that this node heard; told to the leader in batches. Unknown ids are skipped. */
void node_touch(struct node *n, const int64_t *sessions, uint32_t count);
/* sessions.h E4 */
bool node_closing(const struct node *n, const struct coord_session *x);
void node_set_closing(struct node *n, int64_t session, bool proposed);

/* This node leads and serves. */
bool node_serves(const struct node *n);
/* Proposals and reads have somebody to go to: this node is a member and knows a leader that serves. */
bool node_ready(const struct node *n);
struct coord *node_coord(struct node *n);
/* The wall clock for entries: never goes back. */
int64_t node_time_ms(struct node *n);
/* Nothing is waiting for the disk. */
bool node_idle(const struct node *n);
void node_stats(const struct node *n, struct node_stats *ret);
void node_role(const struct node *n, struct node_role *ret);

/*
 * Members. Each may be asked of any node; done() comes when the change is committed, or with words why not.
 *   add       the node at `address` (started with --join, or with an empty folder) becomes a learner and,
 *             unless `observer`, a voter as soon as it has caught up (done() comes then)
 *   remove    the leader itself may be removed: it hands over first
 *   transfer  leadership goes to node `id` (NODE_ANY: to the best follower)
 *   snapshot  this node writes an image of its tree now; done() comes when it is durable
 */
void node_add(struct node *n, uint32_t id, const char *address, bool observer, struct node_admin *a);
void node_remove(struct node *n, uint32_t id, struct node_admin *a);
void node_transfer(struct node *n, uint32_t id, struct node_admin *a);
void node_snapshot(struct node *n, struct node_admin *a);
/*
 * The tree (taken over) of elsewhere becomes the first snapshot of a new quorum of this node alone, whose folder was
 * opened with conf.importing; others join it later. The node is not started, and closed after done(): no node starts
 * on the folder until node_imported() was OK.
 */
void node_import(struct node *n, struct coord *tree, struct node_admin *a);
int node_imported(struct node *n) MUST_CHECK;

#endif
