/*
 * coord.h - the replicated coordination tree: znodes, sessions, ephemerals, sequences, atomic batches.
 *
 * Pure and deterministic: coord_apply(committed entry) is the only mutator, and time, passwords and
 * ids come in only by entries. So leader, follower, restart and snapshot give the same tree.
 *
 * Invariants
 *   C1  zxids grow from entry to entry; mzxid, pzxid of any node <= zxid of the tree
 *   C2  a batch changes everything or nothing; a failed entry still consumes its zxid
 *   C3  an ephemeral node's owner is a living session, and it has no children
 *   C4  every node but the root has its parent in the tree
 *   C5  the clock (time_ms of an entry) never goes back
 *
 *   C6  an entry of a ZooKeeper client (COORD_CLIENT) changes nothing that the system made: neither nodes of
 *       COORD_MULTI, nor, under COORD_RESERVE, the names at the root that belong to the system
 *   C7  the rights of a client's entry are judged here, by the ids that the entry carries, in ZooKeeper's order
 *       of checks (PrepRequestProcessor of 3.9.5), so that all replicas agree
 *
 * Entries are msgpack arrays [version, kind, session, time_ms, ...], see coord_encode_*(). An entry of
 * a version or kind that this code does not know is E_VERSION: the node must stop, never guess.
 */
#ifndef COORD_COORD_H
#define COORD_COORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "wire/mp.h"

#define COORD_VERSION 1			/* of entries */
#define COORD_SNAP_VERSION 2
#define COORD_PATH_MAX 4096		/* bytes */
#define COORD_VALUE_MAX (1u << 20)	/* bytes; ZooKeeper's default limit is the same */
#define COORD_OPS_MAX 200000		/* of one batch: the partitions of a large broker's failover */

enum coord_kind { COORD_OPEN = 1, COORD_CLOSE, COORD_MULTI, COORD_TICK, COORD_CLIENT, COORD_ATTACH };

enum coord_op_kind {
	COORD_CREATE = 1, COORD_SET, COORD_DELETE, COORD_CHECK,
	/* the rest in COORD_CLIENT only */
	COORD_SET_ACL,
	COORD_REAP,			/* ZooKeeper's deleteContainer: an empty container or TTL node goes */
	COORD_FAIL,			/* found wrong before it was logged: the code is in `version` */
};

enum coord_flag {
	COORD_EPHEMERAL = 1u << 0, COORD_SEQUENCE = 1u << 1,
	COORD_CONTAINER = 1u << 2, COORD_TTL = 1u << 3,		/* in COORD_CLIENT only */
	COORD_ZXID = 1u << 4,		/* SET in COORD_CLIENT: behind the value goes the zxid in hex */
};

/* ZooKeeper's error codes (KeeperException.Code of 3.9.5). */
enum coord_code {
	ZK_OK = 0, ZK_SYSTEM_ERROR = -1, ZK_RUNTIME_INCONSISTENCY = -2, ZK_MARSHALLING = -5,
	ZK_UNIMPLEMENTED = -6, ZK_BAD_ARGUMENTS = -8, ZK_NO_QUORUM = -13, ZK_NO_NODE = -101,
	ZK_NO_AUTH = -102, ZK_BAD_VERSION = -103, ZK_EPHEMERAL_PARENT = -108, ZK_NODE_EXISTS = -110,
	ZK_NOT_EMPTY = -111, ZK_SESSION_EXPIRED = -112, ZK_INVALID_ACL = -114, ZK_AUTH_FAILED = -115,
	ZK_SESSION_MOVED = -118, ZK_NOT_READ_ONLY = -119, ZK_NO_WATCHER = -121,
	ZK_RECONFIG_DISABLED = -123, ZK_SASL_REQUIRED = -124, ZK_QUOTA_EXCEEDED = -125,
};

enum coord_perm { PERM_READ = 1, PERM_WRITE = 2, PERM_CREATE = 4, PERM_DELETE = 8, PERM_ADMIN = 16, PERM_ALL = 31 };

struct coord_op {
	enum coord_op_kind kind;
	unsigned flags;
	struct str path;
	struct bytes value;
	int32_t version;		/* -1: any; SET_ACL: of the ACL */
	struct bytes acl;		/* of clients: a list as in struct coord_acl */
	int64_t ttl_ms;
};

/* A list of rights: jute's vector of ACL {int perms, Id {ustring scheme, ustring id}}, as on the wire. */
struct coord_acl {
	struct coord_acl *chain;
	uint32_t refs, hash, len;
	uint32_t granted;		/* to the client of batch `judged`: found out once a batch */
	uint64_t judged;
	uint8_t p[];
};

enum znode_kind { ZNODE_PLAIN, ZNODE_EPHEMERAL, ZNODE_CONTAINER, ZNODE_TTL };

struct znode {
	struct znode *parent, *first, *last, *next, *prev;
	struct znode *chain;		/* of the hash bucket */
	struct znode *eph_next, *eph_prev;	/* of its session; containers and TTL nodes: of the tree */
	struct coord_acl *acl;		/* NULL: world:anyone, everything */
	uint8_t *value;			/* NULL when value_len <= 0 */
	int64_t czxid, mzxid, pzxid;
	int64_t ctime_ms, mtime_ms;
	union {
		int64_t owner;		/* of an ephemeral: its session; see coord_owner() */
		int64_t ttl_ms;		/* of a TTL node */
	};
	int32_t value_len;		/* -1: null, which is not the empty value */
	int32_t version, aversion;
	uint32_t creates;		/* children ever made: the next sequence number */
	uint32_t children;		/* cversion = 2 * creates - children, as ZooKeeper's */
	uint32_t hash;			/* of the whole path */
	uint16_t name_len;
	uint8_t kind;			/* enum znode_kind */
	bool system;			/* made by COORD_MULTI: clients may not change it (C6) */
	char name[];
};

/* The session that an ephemeral node is of; 0: it is none. */
static inline int64_t coord_owner(const struct znode *n)
{
	return n->kind == ZNODE_EPHEMERAL ? n->owner : 0;
}

struct coord_session {
	struct coord_session *chain, *next, *prev;
	int64_t id, epoch;		/* epoch: zxid of its opening; fences what depends on it */
	uint8_t password[16];
	uint32_t timeout_ms;
	bool client;			/* of a ZooKeeper client */
	int64_t attached;		/* zxid of its last move to another connection (COORD_ATTACH); 0: none */
	struct znode *eph_first, *eph_last;	/* in the order of their making */
	struct {			/* the server's own, neither replicated nor in snapshots */
		uint64_t deadline_us;
		void *conn, *live;
		bool opened_here;	/* by this run of this server */
		uint64_t closing_us;	/* its end was proposed: until then it may be undecided */
	} soft;
	char name[64];
};

/* ZooKeeper's Stat, as of the op (DataNode.copyStat). */
struct coord_stat {
	int64_t czxid, mzxid, ctime_ms, mtime_ms;
	int32_t version, cversion, aversion;
	int64_t owner;
	int32_t data_len, children;
	int64_t pzxid;
};

struct coord_op_result {
	int err;
	struct str path;
	int32_t version;
	int32_t code;			/* CLIENT: enum coord_code */
	const struct coord_stat *stat;	/* CLIENT, of CREATE, SET, SET_ACL that succeeded */
};

struct coord_change {
	bool deleted;
	struct str path;
	const struct znode *node;	/* its state after the whole entry; NULL: deleted */
	enum coord_op_kind what;	/* the step itself, in the order of steps: CREATE, SET, DELETE, SET_ACL */
	const struct coord_acl *acl, *parent_acl;	/* of the node and its parent at that step */
	bool secret;			/* clients may not read it, so they may not hear of it */
};

/* Everything in it lives until the next coord_apply(). */
struct coord_result {
	enum coord_kind kind;
	int err;			/* OK, or of the op that failed */
	int32_t code;			/* CLIENT: the same as enum coord_code */
	int64_t session;		/* OPEN: the new one; CLOSE: the one that ended */
	const struct coord_op_result *ops;
	uint32_t nops;
	const struct coord_change *changes;
	uint32_t nchanges;
};

struct coord;

struct coord *coord_new(void);
void coord_free(struct coord *c);

/* E_VERSION, E_BAD: an entry that this code cannot read; nothing has changed, the caller stops. */
int coord_apply(struct coord *c, int64_t zxid, const uint8_t *entry, uint32_t len,
		struct coord_result *ret) MUST_CHECK;

int64_t coord_zxid(const struct coord *c);
int64_t coord_time_ms(const struct coord *c);
/* All but the three under /zookeeper that every tree has. */
uint64_t coord_nodes(const struct coord *c);
uint64_t coord_ephemerals(const struct coord *c);
uint64_t coord_bytes(const struct coord *c);	/* of paths and values, as ZooKeeper's approximate_data_size */
/* The tree's containers and TTL nodes, in the order of their making; NULL: the first, the end. */
const struct znode *coord_timed_next(const struct coord *c, const struct znode *n);
uint32_t coord_sessions(const struct coord *c);
const struct znode *coord_find(const struct coord *c, struct str path);
/* Preorder: parents before children; NULL at the end of the subtree of `top`. */
const struct znode *coord_next(const struct znode *top, const struct znode *n);
/* The full path of n; ret has COORD_PATH_MAX + 1 bytes. */
struct str coord_path(const struct znode *n, char *ret);
struct coord_session *coord_session(struct coord *c, int64_t id);
struct coord_session *coord_session_next(struct coord *c, struct coord_session *s);	/* NULL: first */

/* Entries. The ops of a batch are checked before they are logged: coord_check_ops() reads one msgpack
 * array of ops [kind, flags, path, value, version] and leaves the reader behind it; *ret_deletes: one of
 * them is a delete. */
void coord_encode_open(struct buf *b, int64_t time_ms, const uint8_t password[16],
		       uint32_t timeout_ms, struct str name);
void coord_encode_close(struct buf *b, int64_t time_ms, int64_t session);
/* As long as it has not moved since: E_CONFLICT on apply when `attached` is another one by then. */
void coord_encode_close_if(struct buf *b, int64_t time_ms, int64_t session, int64_t attached);
void coord_encode_multi(struct buf *b, int64_t time_ms, int64_t session, const uint8_t *ops,
			uint32_t len);
void coord_encode_tick(struct buf *b, int64_t time_ms);
/* Replaces the time of an encoded entry: only the leader that logs it says what time it is. E_BAD: not
 * an entry; nothing has changed. */
int coord_stamp(uint8_t *entry, uint32_t len, int64_t time_ms) MUST_CHECK;
void coord_encode_op(struct buf *b, const struct coord_op *op);
int coord_check_ops(struct mp_reader *m, uint32_t *ret_n, bool *ret_deletes) MUST_CHECK;
/* false: relative, empty component, "." or "..", control character, too long. */
bool coord_path_ok(struct str path);

/* ---- ZooKeeper clients ---- */

enum coord_rule {
	COORD_ENFORCE_QUOTA = 1u << 0,	/* hard limits under /zookeeper/quota refuse */
	COORD_SKIP_ACL = 1u << 1,
	COORD_RESERVE = 1u << 2,	/* C6: the system's names at the root are refused even before they exist */
};

struct coord_rules {			/* of the server that logs it: all replicas must judge alike */
	unsigned flags;			/* enum coord_rule */
	uint64_t nodes_max, bytes_max;	/* of all that clients made together; 0: no limit */
};

/* attached: the attachment of the session by which the request came; a later one refuses it (ZK_SESSION_MOVED).
 * ids: jute's vector of Id {ustring scheme, ustring id}; ops: an array of coord_encode_client_op(). */
void coord_encode_client(struct buf *b, int64_t time_ms, int64_t session, int64_t attached,
			 const struct coord_rules *rules,
			 struct bytes ids, uint32_t nops, const uint8_t *ops, uint32_t len);
/* E_NOENT on apply: there is no such session, or it has another password. */
void coord_encode_attach(struct buf *b, int64_t time_ms, int64_t session, const uint8_t password[16]);
void coord_encode_client_op(struct buf *b, const struct coord_op *op);
void coord_encode_open_client(struct buf *b, int64_t time_ms, const uint8_t password[16], uint32_t timeout_ms);

struct coord_id {
	struct str scheme, id;
};

struct coord_ace {			/* one element of a list of rights */
	uint32_t perms;
	struct coord_id id;
};

/* Element by element: count first, then that many; false: the bytes are no such list. */
bool coord_acl_count(struct bytes *list, uint32_t *ret_n);
bool coord_acl_next(struct bytes *list, struct coord_ace *ret);
bool coord_id_next(struct bytes *list, struct coord_id *ret);
struct bytes coord_acl_bytes(const struct coord_acl *a);
/* Whether ids hold perm by the list (NULL: everybody does). ZooKeeperServer.checkACL of 3.9.5. */
bool coord_allows(const struct coord_acl *a, unsigned perm, struct bytes ids);
/* An address with optional /bits, as ZooKeeper's scheme ip takes it. */
bool coord_ip_ok(struct str expr);
/* Clients may not read it, whoever they are. */
bool coord_secret(const struct znode *n);
void coord_stat(const struct znode *n, struct coord_stat *ret);
/* ZooKeeper's rule of paths (PathUtils.validatePath), and not above COORD_PATH_MAX. */
bool coord_client_path_ok(struct str path);

/* The whole state as bytes, and back into an empty tree (E_BAD, E_VERSION). */
void coord_save(const struct coord *c, struct buf *b);
int coord_load(struct coord *c, const uint8_t *p, uint32_t len) MUST_CHECK;

#endif
