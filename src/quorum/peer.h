/*
 * peer.h - connections between the nodes of a quorum: one that each node opens to each other one and sends on,
 * and those that others opened, on which it receives. Over the net port; TLS lies below it.
 *
 * The first frame of a connection is HELLO, answered by WELCOME: protocol, cluster, node, disk. Only after both
 * does anything else count, so a stranger's bytes never reach the layers above. A frame is a type byte and a
 * body; HELLO and WELCOME are msgpack, docs/quorum.md has the others.
 *
 *   link:  WAITING --dial--> DIALING --connected--> GREETING --WELCOME ok--> OPEN
 *             ^---------- closed, refused, too slow; backoff with jitter ---------'
 *
 * Invariants
 *   P1  a node is known by the disk id of its greeting; frames go to and come from a disk id
 *   P2  what one connection takes is bounded (PEER_QUEUE_MAX); above it frames are dropped and counted
 *   P3  frames of one connection arrive in order or not at all after the first that did not
 *   P4  a machine that lost its power says no farewell: its connections are given up when something that is sent
 *       meets nobody (each link sends at least every PEER_PING_MS), or when another run of it calls
 *   P5  with TLS both sides are nodes by their certificates before a greeting counts
 */
#ifndef QUORUM_PEER_H
#define QUORUM_PEER_H

#include "base/buf.h"
#include "base/rng.h"
#include "io/clock.h"
#include "io/loop.h"
#include "io/net.h"
#include "wire/mp.h"

#define PEER_PROTOCOL 3
#define PEER_LINKS_MAX 32
#define PEER_ADDRESS_MAX 256
#define PEER_QUEUE_MAX (64u << 20)	/* bytes */
#define PEER_FRAME_MAX (48u << 20)
#define PEER_DIAL_MS_MIN 20u
#define PEER_DIAL_MS_MAX 1000u
#define PEER_PING_MS 1000u
#define PEER_GREET_MS 2000u		/* connecting and greeting may take so long */

enum peer_frame {
	PF_HELLO = 1, PF_WELCOME,
	PF_ADOPT,			/* cluster id: a new quorum begins */
	PF_RAFT,			/* raft.h's messages with their entries */
	PF_FORWARD, PF_REFUSE,		/* proposals to the leader; those that it cannot take */
	PF_READ, PF_READ_OK,		/* a read's barrier */
	PF_TOUCH,			/* sessions heard */
	PF_ADMIN, PF_ADMIN_OK,
	PF_JOIN,			/* a node that wants to become a member */
	PF_IMAGE, PF_IMAGE_OK,		/* a snapshot in pieces */
	PF_PING,			/* nothing: whether the other side is there shows only when something is sent */
};

/* Who somebody is. */
struct peer_hello {
	uint32_t node;
	uint64_t disk;
	char cluster_id[24];		/* "": does not know yet */
	char address[PEER_ADDRESS_MAX];	/* where it listens for peers */
	bool empty;			/* has no log: belongs to no quorum yet */
	uint64_t run;			/* random, of this process; peers_self() sets it */
	uint64_t voters;		/* checksum of the members that it was told to begin with */
};

struct peers;

struct peers_events {
	/* May this node talk to us? OK, or an error with words for the other side. */
	int (*on_hello)(void *user, const struct peer_hello *h, char *why, size_t cap);
	void (*on_up)(void *user, const struct peer_hello *h);		/* both connections are open */
	void (*on_lost)(void *user, uint64_t disk);			/* one of the two connections is gone */
	void (*on_frame)(void *user, uint64_t from, uint8_t type, const uint8_t *p, uint32_t len);
	/* Hints of a WELCOME: addresses of members that it knows. */
	void (*on_hint)(void *user, struct str address);
	/* What our own WELCOMEs tell: an array of addresses. */
	void (*put_hints)(void *user, struct buf *b);
	void (*on_log)(void *user, const char *msg, const char *detail);
};

/* subjects: net speaks TLS, and this is whom the certificates of nodes name (subject.h); lives as long as p. NULL: it
 * does not. */
struct peers *peers_new(struct net *net, struct loop *loop, struct clock *clock, uint64_t seed, const char *subjects,
			const struct peers_events *ev, void *user);
void peers_free(struct peers *p);
void peers_start(struct peers *p);
/* What is said of this node from now on. */
void peers_self(struct peers *p, const struct peer_hello *self);
/* A connection to `address` is wanted; those that were wanted before and are not named again between
 * peers_want_begin() and peers_want_end() are closed. */
void peers_want_begin(struct peers *p);
void peers_want(struct peers *p, const char *address);
void peers_want_end(struct peers *p);
void peers_accept(struct peers *p, int fd);

/* A frame to be filled; then peers_send() takes it. */
void peers_frame(struct buf *b, enum peer_frame type);
/* False: there is no open connection, or too much is waiting; b is released anyway. */
bool peers_send(struct peers *p, uint64_t disk, struct buf *b);
bool peers_up(const struct peers *p, uint64_t disk);
/* Greetings of the nodes that we (both: and that to us) have a connection to, in no order. NULL at the end. */
const struct peer_hello *peers_next(const struct peers *p, uint32_t *at, bool both);
uint64_t peers_dropped(const struct peers *p);

#endif
