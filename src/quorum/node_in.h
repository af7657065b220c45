/*
 * node_in.h - the inside of a node, shared by its parts:
 *   node.c      open, the order of effects, apply, the end of a turn
 *   propose.c   proposals and reads: queued here, forwarded, de-duplicated
 *   member.c    configurations: as bytes, addresses, changes, a new quorum, joining
 *   message.c   raft's messages as frames
 *   image.c     the state as an image, and back
 *   ship.c      images to and from peers
 */
#ifndef QUORUM_NODE_IN_H
#define QUORUM_NODE_IN_H

#include "quorum/node.h"
#include "quorum/peer.h"
#include "quorum/sessions.h"

#define NODE_TICK_US 20000u
#define NODE_PATIENCE_MS 5000u		/* without a leader: then what waits is given up */
#define NODE_QUEUE_MAX 65536u		/* proposals that wait */
#define NODE_QUEUE_BYTES (64u << 20)
#define NODE_CACHE_BYTES (16u << 20)	/* of entries that were applied but not every peer has */
#define NODE_GATHER_BYTES (64u << 20)	/* a disk that takes nothing: no more is taken from the leader */
#define NODE_HELD_MAX 256		/* messages that wait for a vote to be durable */
#define NODE_ORIGINS_MAX 64
#define NODE_SPACE_MIN (16u << 20)	/* below it nothing new is logged, so that sessions can still end */
#define NODE_ADMIN_MS 60000u
#define NODE_SHIP_LOG 8u		/* an image is under way: the next one waits for so much more log */
#define ENTRY_HEAD 20u			/* of a DATA entry: origin's disk, its starts, its sequence number */

struct pend {				/* a log entry in memory */
	uint64_t index, term;
	int64_t zxid;
	uint16_t type, version;
	uint32_t len;
	uint8_t p[];
};

struct prop {				/* a proposal of this node, until it is applied */
	struct prop *next;
	uint64_t seq;
	struct node_req *req;
	bool frees, sent, resent;	/* sent: somebody may have logged it; resent: two may have had it */
	int64_t ends;			/* the session whose time is over by this leader's clock (E1), 0: none */
	uint32_t len;
	uint8_t p[];			/* ENTRY_HEAD, then the entry */
};

struct origin {				/* replicated: what was applied of each node's proposals (N2) */
	uint64_t disk, seq, index;	/* index: of its last entry; the oldest gives way */
	uint32_t starts;
};

struct read_batch {			/* leader: reads that wait for a round; here or of a peer */
	uint64_t peer, id;		/* RAFT_NOBODY: this node's own */
	uint64_t round, index;
};

struct known {				/* address of a member */
	uint64_t disk;
	uint32_t node;
	char address[NODE_ADDRESS_MAX];
};

struct intake {				/* leader: proposals of a peer */
	uint64_t disk;
	uint32_t starts;
	uint64_t seq;			/* logged up to it, in this term */
	uint64_t hold;			/* this one was refused, so those after it are too until it comes again */
};

struct ship {				/* leader: an image under way to a peer */
	uint64_t peer;			/* RAFT_NOBODY: free */
	struct rlog_image what;
	int file;
	uint64_t sent, acked;
	bool reading, cut;
	uint64_t since_ms;
	uint8_t *buf;
	struct disk_op op;
	struct node *n;
};

struct catchup {			/* entries read back from the log for a peer */
	struct rlog_fetch f;		/* first member */
	struct node *n;
	uint64_t peer;			/* RAFT_NOBODY: free */
	bool ready;
	uint64_t first, last;		/* entries in f.buf */
};

struct node {
	struct disk *disk;
	struct net *net;
	struct loop *loop;
	struct clock *clock;
	struct raft raft;
	struct raft_store store;
	struct rlog log;
	struct coord *coord;
	struct sessions sessions;
	struct peers *peers;
	struct node_config conf;
	struct node_listener listener[NODE_LISTENERS_MAX];
	uint32_t nlisteners;
	/* the log in memory: entries cache_first .. raft.last, in a ring */
	struct pend **cache;
	uint32_t cache_cap;
	uint64_t cache_first, cache_last, cache_bytes;
	uint64_t applied;
	int64_t next_zxid;
	struct origin origin[NODE_ORIGINS_MAX];
	uint32_t norigins;
	/* effects that wait for a vote */
	bool voting;
	struct raft_msg held[NODE_HELD_MAX];
	uint32_t nheld;
	bool served, started, in_turn, flush_due;
	uint64_t led_ms;		/* when somebody last led, as far as this node knows */
	struct loop_timer timer, tick;
	/* proposals */
	struct prop *props, **props_tail, *unsent;
	uint32_t nprops;
	uint64_t props_bytes, seq;
	bool again;			/* refused for now: at the next tick */
	struct intake intake[RAFT_MEMBERS_MAX];
	uint32_t nintake;
	bool full;
	uint64_t space_us;
	/* reads */
	struct node_read *reads_new, **reads_new_tail, *reads_sent, **reads_sent_tail;
	uint64_t reads_id;		/* of the batch that is out; no run of a node has another's */
	struct read_batch batch[4 * RAFT_MEMBERS_MAX];
	uint32_t nbatch;
	struct node_read *waiting, **waiting_tail;	/* barrier known: until it is applied */
	/* members */
	struct known known[2 * NODE_MEMBERS_MAX];
	uint32_t nknown;
	struct {			/* leader: a node that is asked in */
		bool on, observer;
		uint32_t id;
		uint64_t until_ms;
		char address[NODE_ADDRESS_MAX];
	} admit;
	struct known moved;		/* a member that listens elsewhere now; disk RAFT_NOBODY: none */
	struct node_admin *admins;
	uint64_t admin_seq;
	uint32_t wanted;		/* raft.nconfigs, as the connections are */
	bool born;			/* knows its cluster */
	bool was_member;		/* a configuration that is bound to be committed names this disk */
	struct {
		uint64_t index, term;	/* of the newest one that names it; it may be lost again */
	} named_by;
	uint64_t said_removed_ms;
	uint64_t voters_sum;
	char new_cluster_id[24];
	bool said_waiting, said_twin;
	char hint[8][NODE_ADDRESS_MAX];
	uint32_t nhints;
	uint64_t joined_ms;
	struct node_admin *image;
	/* images */
	struct ship ship[2];
	struct catchup catchup[RAFT_MEMBERS_MAX];
	uint64_t image_from;		/* the leader that sends one */
	uint64_t snapshot_log_bytes;
	/* counters */
	uint64_t snapshots, proposals, syncs, nreads, elections, forwarded, images_sent, images_taken;
	uint64_t dropped, repeated;
};

static inline uint64_t node_now_ms(struct node *n)
{
	return n->clock->mono_us(n->clock) / 1000;
}

/* node.c */
int node_step(struct node *n, struct raft_event *ev) MUST_CHECK;
/* An entry from the leader or to be proposed; in the cache from node_step()'s append on. */
struct pend *node_pend(uint16_t type, int64_t zxid, const uint8_t *p, uint32_t len);
/* NULL: not in memory. */
struct pend *node_cached(const struct node *n, uint64_t index);
/* The log in memory begins anew behind `index`. */
void node_cache_begin(struct node *n, uint64_t index);
void node_log(struct node *n, const char *msg, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
bool node_has_space(struct node *n);
/* image.c */
/* Starts writing an image of now. */
void node_save_image(struct node *n);
void node_load_image(struct node *n, const uint8_t *p, uint32_t len, uint64_t index, uint64_t term,
		     struct raft_config *ret_config, int *ret_err);

/* propose.c */
void propose_turn(struct node *n);		/* what is queued goes to the leader's log, here or there */
/* the leader or the way to it changed: all that waits is sent again */
/* E1: as node_propose(), the end of a session whose time is over. */
int propose_end(struct node *n, int64_t session, const uint8_t *entry, uint32_t len);
/* This node does not lead any more: what it proposed by propose_end() is forgotten. */
void propose_drop_ends(struct node *n);
void propose_again(struct node *n);
void propose_tick(struct node *n, uint64_t now_ms);
/* Is this entry to be applied? False: it is a repetition. */
bool propose_fresh(struct node *n, const struct pend *e);
/* An entry of this node was applied (r) or skipped (NULL). */
void propose_applied(struct node *n, const struct pend *e, const struct coord_result *r);
void propose_fail(struct node *n, int err_sent);
void propose_after_image(struct node *n);
void propose_on_forward(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void propose_on_refuse(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void read_turn(struct node *n);
void read_confirmed(struct node *n, uint64_t round);
void read_applied(struct node *n);
void read_on_ask(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void read_on_ok(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void read_lost_lead(struct node *n);
void read_again(struct node *n);
void read_fail(struct node *n);

/* member.c */
void member_put(const struct node *n, struct buf *b, const struct raft_config *c);
int member_get(struct node *n, const uint8_t *p, uint32_t len, struct raft_config *ret) MUST_CHECK;
void member_changed(struct node *n);		/* another configuration is in force */
void member_tick(struct node *n, uint64_t now_ms);
uint32_t member_node(const struct node *n, uint64_t disk);	/* NODE_ANY: not known */
int member_hello(void *user, const struct peer_hello *h, char *why, size_t cap);
void member_up(struct node *n, const struct peer_hello *h);
void member_hint(void *user, struct str address);
void member_put_hints(void *user, struct buf *b);
void member_on_adopt(struct node *n, const uint8_t *p, uint32_t len);
void member_on_join(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void member_on_admin(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void member_on_admin_ok(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void member_open(struct node *n);
const char *member_address(const struct node *n, uint64_t disk);	/* "": not known */
const struct peer_hello *member_hello_of(const struct node *n, uint32_t node, bool both);
int member_propose(struct node *n, const struct raft_config *c);
int member_add(struct node *n, uint64_t disk, uint32_t node, struct str address, bool observer);
void member_admin_tick(struct node *n, uint64_t now_ms);
void member_fail(struct node *n);

/* message.c */
void message_send(struct node *n, const struct raft_msg *m);
void message_on_raft(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void message_fetch(struct node *n, const struct raft_fetch *f);
uint32_t message_fit(const struct raft_store *s, uint64_t index, uint32_t count, uint32_t max_bytes,
		     uint32_t *ret_bytes);
void message_drop_catchup(struct node *n, uint64_t peer);

/* ship.c */
void ship_start(struct node *n, uint64_t peer);
void ship_stop(struct node *n, uint64_t peer);
void ship_tick(struct node *n, uint64_t now_ms);
bool ship_busy(const struct node *n);
void ship_on_image(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void ship_on_image_ok(struct node *n, uint64_t from, const uint8_t *p, uint32_t len);
void ship_taken(struct node *n, int err);
void ship_close(struct node *n);

#endif
