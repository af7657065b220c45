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

#define COORD_VERSION 1			/* of entries and snapshots */
#define COORD_PATH_MAX 4096		/* bytes */
#define COORD_VALUE_MAX (1u << 20)	/* bytes; ZooKeeper's default limit is the same */
#define COORD_OPS_MAX 200000		/* of one batch: the partitions of a large broker's failover */

enum coord_kind { COORD_OPEN = 1, COORD_CLOSE, COORD_MULTI, COORD_TICK };

enum coord_op_kind { COORD_CREATE = 1, COORD_SET, COORD_DELETE, COORD_CHECK };

enum coord_flag { COORD_EPHEMERAL = 1u << 0, COORD_SEQUENCE = 1u << 1 };

struct coord_op {
	enum coord_op_kind kind;
	unsigned flags;
	struct str path;
	struct bytes value;
	int32_t version;		/* -1: any */
};

struct znode {
	struct znode *parent, *first, *last, *next, *prev;
	struct znode *chain;		/* of the hash bucket */
	struct znode *eph_next, *eph_prev;
	uint8_t *value;			/* NULL when value_len <= 0 */
	int64_t czxid, mzxid, pzxid;
	int64_t ctime_ms, mtime_ms;
	int64_t owner;			/* session of an ephemeral, else 0 */
	int32_t value_len;		/* -1: null, which is not the empty value */
	int32_t version, aversion;
	uint32_t creates;		/* children ever made: the next sequence number */
	uint32_t children;		/* cversion = 2 * creates - children, as ZooKeeper's */
	uint32_t acl;			/* list of rights; 0: everybody may everything */
	uint32_t hash;			/* of the whole path */
	uint16_t name_len;
	char name[];
};

struct coord_session {
	struct coord_session *chain, *next, *prev;
	int64_t id, epoch;		/* epoch: zxid of its opening; fences what depends on it */
	uint8_t password[16];
	uint32_t timeout_ms;
	struct znode *eph_first, *eph_last;	/* in the order of their making */
	struct {			/* the server's own, neither replicated nor in snapshots */
		uint64_t deadline_us;
		void *conn, *live;
		bool closing;
	} soft;
	char name[64];
};

struct coord_op_result {
	int err;
	struct str path;
	int32_t version;
};

struct coord_change {
	bool deleted;
	struct str path;
	const struct znode *node;	/* its state after the whole entry; NULL: deleted */
};

/* Everything in it lives until the next coord_apply(). */
struct coord_result {
	enum coord_kind kind;
	int err;			/* OK, or of the op that failed */
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
uint64_t coord_nodes(const struct coord *c);
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

/* The whole state as bytes, and back into an empty tree (E_BAD, E_VERSION). */
void coord_save(const struct coord *c, struct buf *b);
int coord_load(struct coord *c, const uint8_t *p, uint32_t len) MUST_CHECK;

#endif
