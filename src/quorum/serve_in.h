/* serve_in.h - what serve.c (requests, sessions), serve_feed.c (changes, snapshots) and serve_admin.c share. */
#ifndef QUORUM_SERVE_IN_H
#define QUORUM_SERVE_IN_H

#include "quorum/feed.h"
#include "quorum/serve.h"
#include "wire/quorum_frame.h"

#define PREFIXES_MAX 32

struct conn {
	struct conn *next, *prev;
	struct serve *s;
	struct net_conn *net;
	int64_t session;		/* 0: none yet */
	bool live;			/* a liveness connection ... */
	int64_t attached;		/* ... since this attachment of its session */
	bool hello;			/* HELLO came; its answer may be under way */
	bool closed;			/* on_close ran; the rest goes with the last answer */
	bool known, system;		/* by its certificate: V5 */
	uint32_t inflight;		/* writes */
	uint32_t reading;		/* reads behind a barrier; never both */
	uint8_t *parked;		/* the frame that waits for them: V1 */
	uint32_t parked_len;
	bool subscribed, behind;
	uint32_t nprefixes;
	struct str prefix[PREFIXES_MAX];
	uint64_t seq;			/* of the feed: the next entry to push */
	int64_t cursor;			/* zxid: pushed up to it */
};

struct serve {
	struct node *node;
	struct net *net;
	struct loop *loop;
	struct clock *clock;
	struct serve_config conf;
	struct conn *conns;
	uint32_t nconns;
	struct feed feed;
	bool draining;
};

void serve_answer(struct buf *b, enum qf_type t, uint32_t fields, uint32_t id, int err);
/* A write or a read of c (inflight, reading) is answered: what waited for it goes on. c may be freed. */
void serve_answered(struct conn *c);
void serve_status(struct conn *c, uint32_t id);
void serve_admin(struct conn *c, uint32_t id, struct mp_reader *m);
void serve_start(struct buf *b, enum qf_type t, uint32_t fields);
/* The frame goes out; b is released. */
void serve_push(struct conn *c, struct buf *b);
void serve_put_znode(struct buf *b, const struct znode *z);
/* V5: c may see it. */
bool serve_shows(const struct conn *c, const struct znode *z);
/* All of the subtrees as of now, in one turn: the tree cannot change meanwhile. */
void serve_push_snapshot(struct conn *c);
/* Pushes what the subscriber has not seen, as far as its queue has room. */
void serve_pump(struct conn *c);

#endif
