/* zk_int.h - what the files of the ZooKeeper front share. See zk.h. */
#ifndef QUORUM_ZK_INT_H
#define QUORUM_ZK_INT_H

#include "base/buf.h"
#include "base/mem.h"
#include "quorum/zk_conf.h"
#include "wire/jute.h"

#define ZK_REPLY_MAX (64u << 20)	/* a list of children may be longer than jute.maxbuffer, as ZooKeeper's */
#define ZK_QUEUE_MAX 1024		/* requests of one connection that wait */
#define ZK_UNSENT_MAX (4u << 20)	/* bytes to one connection; beyond it is not read */
#define ZK_PENDING_BYTES_MAX (64u << 20)	/* Z5: requests in flight of all connections */
#define ZK_IDS_MAX 32			/* of a connection: its entries carry them, rights are held to them */
#define ZK_IDS_BYTES_MAX (16u << 10)
/* Bytes of watches of a connection, and of events to one that does not read: it ends with more than its own bound, or
 * with more than a small share when all together have too many. */
#define ZK_SHARE_MAX (64u << 20)
#define ZK_SHARE_MIN (4u << 20)
#define ZK_SHARES_MAX (256u << 20)
#define ZK_TURN_US 10000u		/* of answering by this node alone; then the log and peers have theirs */
#define ZK_SESSION_BUCKETS 4096u
#define ZK_CONFIG_NODE "/zookeeper/config"
#define ZK_VERSION "3.9.5-moldau"

enum zk_mode { ZK_GREETING, ZK_OPENING, ZK_OPEN, ZK_CLOSING };

enum zk_mute {				/* why a connection is not read */
	ZK_MUTE_OPENING = 1u << 0, ZK_MUTE_QUEUE = 1u << 1, ZK_MUTE_LIMIT = 1u << 2, ZK_MUTE_UNSENT = 1u << 3,
	ZK_MUTE_CLOSING = 1u << 4, ZK_MUTE_TURN = 1u << 5,
};

enum zk_watch_mode { ZK_WATCH_ONCE = 1, ZK_WATCH_PERSISTENT = 2, ZK_WATCH_RECURSIVE = 4, ZK_WATCH_ANY = 7 };

struct zk_watch;

enum zk_req_state { ZK_REQ_LOCAL, ZK_REQ_SENT, ZK_REQ_DONE };

/* A request that waits for its turn or for the log. */
struct zk_req {
	struct node_req node;		/* first member */
	struct zk_conn *c;
	struct zk_req *next;
	enum zk_req_state state;
	struct node_read read;		/* of sync */
	int32_t xid, type;
	int32_t fail;			/* LOCAL: answer with this code; 0: do it */
	uint64_t at_us;
	uint8_t *frame;			/* LOCAL: of the net port */
	uint32_t len, bytes;
	struct buf reply;		/* DONE */
	bool close_after;
	uint32_t nops;			/* of multi: their kinds */
	uint8_t *ops;
};

struct zk_conn {
	struct zk *z;
	struct zk_conn *next, *prev;
	struct zk_conn *hash_next;	/* of the session's bucket */
	struct net *port;
	const struct net_calls *calls;	/* of port */
	struct net_conn *net;
	enum zk_mode mode;
	bool closed, aborted;		/* aborted: on_close() is on its way, nothing is done for it any more */
	bool read_only_known, read_only;
	unsigned muted;
	int64_t session, attached;	/* attached: which attachment of the session this is, see coord_session */
	bool heard;			/* in z->heard */
	bool secure;			/* over TLS */
	bool local;			/* a read-only session of this node alone */
	uint64_t born_us;
	struct zk_req *first, **tail;
	uint32_t nqueue, nsent;		/* waiting; in the log */
	struct buf ids;			/* jute vector of Id: the first is the latest */
	struct zk_watch *watches;
	uint32_t nwatches;
	uint64_t watch_bytes, event_bytes;	/* of all watches; of events since it had read everything */
	bool late;			/* in z->late */
	struct zk_conn *late_next;
	uint64_t mark;			/* of the last event that it heard of: Z3 */
	struct sasl *sasl;
	bool sasl_done;
	/* for the words */
	uint64_t received, sent, lat_min, lat_max, lat_sum, lat_n, lat_last, last_us;
	int64_t last_zxid;
	int32_t last_xid, last_op;
};

struct zk_summary {			/* of times in ms */
	uint64_t n, sum, min, max;
	uint32_t by_bits[40];		/* how many had so many bits */
};

struct zk {
	struct node *node;
	struct loop *loop;
	struct clock *clock;
	struct zk_config conf;
	struct zk_conn *conns;
	struct zk_conn *by_session[ZK_SESSION_BUCKETS];
	struct loop_timer scan, reap;
	uint64_t pending_bytes, event_mark;
	uint64_t watch_bytes, event_bytes;	/* of all connections */
	struct zk_stats st;
	struct zk_summary reads, updates;
	uint64_t started_us, ready_us;	/* ready: when it was known last that there is a quorum */
	bool draining;
	struct watch_table *data, *child;
	int64_t *heard;			/* sessions of this turn: one keep-alive each */
	uint32_t nheard, heard_cap;
	uint64_t turn_us;		/* spent in this turn on answers of this node alone */
	struct zk_conn *late, **late_tail;	/* what they ask waits for the next turn */
	uint64_t full_told_us;		/* when a refused connection was logged last */
};

/* zk_conn.c */
void zk_mute(struct zk_conn *c, enum zk_mute why);
void zk_unmute(struct zk_conn *c, enum zk_mute why);
void zk_send(struct zk_conn *c, struct buf *b);		/* b is consumed */
void zk_close(struct zk_conn *c);			/* after what was sent */
void zk_abort(struct zk_conn *c);			/* at once; c is there until its on_close() */
void zk_conn_gone(struct zk_conn *c);			/* closed, and nothing of it is in the log any more */
bool zk_id_add(struct zk_conn *c, struct str scheme, struct str id);	/* false: it has too many */
struct bytes zk_ids(const struct zk_conn *c);
int64_t zk_zxid(const struct zk *z);

/* zk_request.c */
void zk_request(struct zk_conn *c, uint8_t *frame, uint32_t len);
void zk_requests_drop(struct zk_conn *c);
void zk_requests_go(struct zk_conn *c);			/* answers that waited for it to read */
/* Begins a turn with what the last one had no time for; true: there is more. */
bool zk_requests_late(struct zk *z);

/* zk_write.c: *ret_code != 0: answer with it, nothing is to be logged. */
bool zk_is_write(int32_t type);
bool zk_write_entry(struct zk_conn *c, struct zk_req *r, int32_t type, const uint8_t *body, uint32_t len,
		    struct buf *entry);
void zk_write_reply(struct zk_req *r, int64_t zxid, const struct coord_result *res);

/* zk_read.c */
void zk_read(struct zk_conn *c, int32_t xid, int32_t type, const uint8_t *body, uint32_t len);
void zk_put_stat(struct buf *b, const struct coord_stat *s);

/* zk_watch.c */
struct watch_table *zk_watch_new(void);
void zk_watch_add(struct zk_conn *c, struct watch_table *t, struct str path, unsigned mode);
bool zk_watch_remove(struct zk_conn *c, struct watch_table *t, struct str path, unsigned modes);
bool zk_watch_has(struct zk_conn *c, struct watch_table *t, struct str path, unsigned modes);
void zk_watch_drop(struct zk_conn *c);
void zk_watch_fire(struct zk *z, int64_t zxid, const struct coord_change *v, uint32_t n);
void zk_event(struct zk_conn *c, int64_t zxid, enum zk_event type, struct str path);
void zk_events_read(struct zk_conn *c);			/* nothing of what was sent to it waits here any more */
/* Each path with its sessions, or each session with its paths: wchp, wchc and the admin pages. */
uint32_t zk_watch_paths(const struct zk *z, uint32_t *ret_conns);
void zk_watch_each(const struct zk *z, void (*on)(void *ctx, struct str path, const struct zk_conn *c, bool first),
		   void *ctx);
void zk_watch_of(const struct zk_conn *c, void (*on)(void *ctx, struct str path), void *ctx);

/* zk_auth.c */
void zk_auth(struct zk_conn *c, int32_t xid, const uint8_t *body, uint32_t len);
void zk_sasl(struct zk_conn *c, int32_t xid, const uint8_t *body, uint32_t len);
void zk_sasl_free(struct zk_conn *c);
bool zk_scheme_known(const struct zk *z, struct str scheme);
bool zk_scheme_valid(const struct zk *z, struct str scheme, struct str id);
bool zk_scheme_authenticates(struct str scheme);

/* zk_reconfig.c: the new text up to "version=", or why not. */
struct zk_reconfig_request;
enum coord_code zk_reconfig(struct zk *z, const struct zk_reconfig_request *q, struct buf *ret);
void zk_reconfig_lead(struct zk *z);			/* this node leads: the text is written if there is none */

/* zk_reap.c */
void zk_reap_start(struct zk *z);

/* zk_word.c */
bool zk_word(struct zk_conn *c, uint32_t word);
/* leader, follower, observer, standalone, read-only; NULL: there is no quorum. */
const char *zk_server_state(const struct zk *z);
void zk_reset_conns(struct zk *z);
void zk_reset_stats(struct zk *z);
uint64_t zk_znodes(const struct zk *z);			/* as ZooKeeper counts: the root has two names */
__attribute__((format(printf, 2, 3))) void zk_print(struct buf *b, const char *format, ...);

/* zk_mntr.c */
void zk_mntr(const struct zk *z, void (*on)(void *ctx, const char *name, const char *value), void *ctx);
void zk_summary_add(struct zk_summary *s, uint64_t ms);

#endif
