/*
 * quorum.h - client of moldau-quorum's native protocol: a session, conditional batches, reads and
 * the change feed. A plain state machine over the net, loop and clock ports; reconnects and
 * re-attaches by itself, to any address of its list.
 *
 * Promises: calls are answered in order, or with E_CLOSED when the connection broke before the
 * answer (the caller cannot know then whether a batch was applied: make batches conditional).
 * The feed never skips a change: after a reconnect it goes on from the last zxid delivered, or
 * delivers a snapshot first (on_snapshot_begin) when the quorum no longer has that zxid.
 */
#ifndef CLIENT_QUORUM_H
#define CLIENT_QUORUM_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/net.h"

struct qclient;

enum q_state { Q_CONNECTING, Q_READY, Q_EXPIRED, Q_CLOSED };

enum q_op_kind {
	Q_CREATE = 1,			/* E_EXIST, E_NOENT (no parent) */
	Q_SET,				/* E_NOENT, E_CONFLICT */
	Q_DELETE,			/* E_NOENT, E_CONFLICT; E_LIMIT: it has children */
	Q_CHECK,			/* version only */
};

enum q_create_flag {
	Q_EPHEMERAL = 1u << 0,		/* gone with the session */
	Q_SEQUENCE = 1u << 1,		/* ten digits are appended to the name */
};

struct q_op {
	enum q_op_kind kind;
	unsigned flags;			/* CREATE */
	struct str path;
	struct bytes value;
	int32_t version;		/* SET, DELETE, CHECK: -1 = any */
};

struct q_op_result {
	int err;			/* of the op that failed; the others of the batch: E_AGAIN */
	struct str path;		/* CREATE: the name made */
	int32_t version;		/* of the node after the op */
};

struct q_node {				/* a node as a read or the feed shows it */
	struct str path;
	struct bytes value;
	int32_t version;
	int64_t czxid, mzxid;
	int64_t owner;			/* session of an ephemeral, else 0 */
};

struct q_change {
	bool deleted;
	struct q_node node;		/* deleted: path only */
};

struct q_events {
	void (*on_state)(void *user, enum q_state s);
	/* All changes of one zxid under the subscribed subtrees, in order; views die with the call. */
	void (*on_changes)(void *user, int64_t zxid, const struct q_change *v, uint32_t n);
	/* The full state follows as on_changes of `zxid` calls until on_snapshot_end. */
	void (*on_snapshot_begin)(void *user, int64_t zxid);
	void (*on_snapshot_end)(void *user, int64_t zxid);
	/* Not NULL: the session hangs on a connection of its own as well, and ends at once when the last
	 * holder of that one is gone. Called when it is connected, before the server is told to watch it
	 * (net->dup_fd() and let another process hold the copy), and once more, `watched`, when the server
	 * does: copies of earlier ones may be closed then. */
	void (*on_live)(void *user, struct net_conn *c, bool watched);
};

typedef void q_multi_done(void *ctx, int err, int64_t zxid, const struct q_op_result *v, uint32_t n);
typedef void q_list_done(void *ctx, int err, int64_t zxid, const struct q_node *v, uint32_t n);

struct q_options {
	const char *const *addresses;	/* "host:port" */
	int n_addresses;
	uint32_t session_timeout_ms;
	const char *cluster_id;		/* NULL: take what the quorum says; else E_FOREIGN on a mismatch */
	const char *name;		/* who we are, for the quorum's log: "broker 1 agent" */
	int64_t session_id;		/* re-attach: 0 = a new session */
	uint8_t password[16];
	int liveness_fd;		/* -1, or a connected descriptor that somebody else holds open */
};

int q_open(struct net *net, struct loop *loop, struct clock *clock, const struct q_options *opt,
	   const struct q_events *ev, void *user, struct qclient **ret) MUST_CHECK;
void q_close(struct qclient *q);	/* ends the session */
void q_detach(struct qclient *q);	/* leaves the session to its timeout; frees the handle */
enum q_state q_state(struct qclient *q);
/* Why it is Q_EXPIRED: E_NOENT, E_CLOSED (the session ended), E_FOREIGN (another cluster), E_VERSION. */
int q_why(struct qclient *q);
int64_t q_session(struct qclient *q, uint8_t ret_password[16]);
const char *q_cluster_id(struct qclient *q);

/* Atomic: all ops or none. Views may die when the call returns. */
void q_multi(struct qclient *q, const struct q_op *v, uint32_t n, q_multi_done *done, void *ctx);
/* Linearizable read of a node (and its direct children with values when `children`). */
void q_get(struct qclient *q, struct str path, bool children, q_list_done *done, void *ctx);
/* Follows subtrees from `from_zxid` (0: snapshot first). One subscription a client. */
void q_subscribe(struct qclient *q, const struct str *prefixes, uint32_t n, int64_t from_zxid);

#endif
