/*
 * conn.h - a client's connection and the requests of it that are in processing.
 *
 * Requests of a connection are processed one after another, but for Produce: those that a client
 * pipelined are in processing together, so that one write, one sync and one send serve them all.
 * They reach a partition in their order (append.h), and answers always leave in the order of
 * requests. A client cannot make this process hold more than PIPE_REQS requests and PIPE_BYTES of
 * frames, plus the frame that went over it and one that waits for its turn.
 *
 *   frame -> [stash while it may not begin] -> header -> api_dispatch() -> handler
 *         -> req_answer() | req_reply() | req_no_answer() | req_close() -> [earlier ones] -> sent
 *
 * Invariants
 *   C1 conn->first .. conn->last are the requests that were begun and not yet answered on the wire,
 *      in their order; when there is more than one, all of them are Produce.
 *   C2 a request outlives its connection when its handler says so (appends of a client that went
 *      away): q->conn is NULL then and the answer is dropped.
 *   C3 every request is finished by exactly one of the four calls above.
 *   C4 no request is begun before the worker has a cluster image: "there is no such topic" is never
 *      said by a broker that has not been told yet.
 *   C5 a finished request that waits for earlier ones holds its answer only, no frame and no arena.
 *   C6 no Produce is begun while more is written and not synced than the kernel takes without making
 *      the writer wait (BELL_BEHIND): the socket is not read, the client waits (P20).
 *   C7 no request is begun while a batch of an earlier one is checked off the loop: it would overtake it.
 */
#ifndef BROKER_CONN_H
#define BROKER_CONN_H

#include <stdbool.h>
#include <stdint.h>

#include "base/mem.h"
#include "base/str.h"
#include "broker/admit.h"
#include "broker/reply.h"
#include "broker/wait.h"
#include "io/net.h"

struct kafka_api;
struct wire_type;
struct worker;

enum conn_auth {
	CONN_OPEN,			/* a listener without authentication */
};

struct conn {
	struct worker *w;
	struct net_conn *nc;		/* NULL after on_close */
	int listener;			/* of env->listeners */
	enum conn_auth auth;
	struct str principal;		/* "User:ANONYMOUS" */
	uint64_t mute_until_us;		/* throttled; 0: not */
	struct wait_timer mute_timer;
	struct req *first, *last;	/* C1 */
	uint32_t reqs;			/* how many */
	uint64_t frame_bytes;		/* of those that are in processing */
	uint32_t checking;		/* batches that are checked off the loop (C7) */
	uint8_t *stash;			/* a frame that came when it could not be begun */
	uint32_t stash_len;
	uint64_t used_us;		/* last frame */
	struct admit admit;
	bool muted;			/* the port delivers no frame */
	bool closing;			/* close() was called: nothing is taken any more */
	bool refused;			/* by a limit of connections: it is in no list */
	struct conn *prev, *next;	/* all of the worker */
};

struct req {
	struct worker *w;
	struct conn *conn;		/* NULL: the client went away (C2) */
	const struct kafka_api *api;
	uint8_t *frame;			/* NULL once given back */
	const uint8_t *body;		/* in frame */
	uint32_t body_len;
	uint32_t frame_len;
	int16_t version;
	bool flexible;
	int32_t correlation;
	struct str client_id;		/* in frame; null becomes "" (trap 3) */
	struct arena arena;
	uint64_t start_us;
	uint32_t throttle_ms;		/* set before the answer is encoded */
	struct wait_timer timer;	/* the handler's deadline */
	/* The client went away while the handler waited. NULL: the handler goes on by itself (C2);
	 * otherwise it must let go of everything and call req_no_answer(). */
	void (*on_gone)(struct req *q);
	void *op;			/* the handler's own, in the arena */
	struct req *next;		/* spare list; of the connection, in order */
	/* finished, but earlier ones of the connection are not: */
	bool done, close;
	struct reply *reply;		/* NULL: none */
};

void conn_adopt(struct worker *w, int fd, int listener);
/* Closes those that sent nothing since that time and wait for nothing. */
void conn_close_idle(struct worker *w, uint64_t since_us);
/* Looks whether the next request may be begun. */
void conn_resume(struct conn *c);
/* The worker is ready now: what came before is taken (C4). */
void conn_resume_all(struct worker *w);
/* Closes when nothing is in processing, else after the answer. */
void conn_drain(struct conn *c);

/* The body decoded into a zeroed object of `bytes` in the arena; NULL: it makes no sense and the
 * connection was closed (trap 6). */
void *req_decode(struct req *q, const struct wire_type *type, size_t bytes);
/* A copy of the body in the arena, and the frame goes back to its pool: for requests that wait. */
int req_keep_small(struct req *q);
/* Correlation id and header tags: where the body of an answer starts. */
struct reply *req_reply_begin(struct req *q);
void req_answer(struct req *q, const struct wire_type *type, const void *obj);
void req_reply(struct req *q, struct reply *r);
void req_no_answer(struct req *q);
void req_close(struct req *q);

#endif
