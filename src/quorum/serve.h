/*
 * serve.h - the native protocol's server: sessions, batches, reads, the change feed. Frames are listed
 * in wire/quorum_frame.h.
 *
 * Invariants
 *   V1  requests of a connection are answered in their order; a read waits for the connection's own
 *       earlier writes
 *   V2  a session ends by a log entry only: asked for, at its deadline (sessions.h), or at once when its
 *       liveness connection was closed by the other side
 *   V3  a read, and the answer that a session does not exist, come behind a barrier (node.h N3)
 *   V4  a subscriber gets every change once and in order, or a snapshot
 *   V5  who is not of the system by its certificate changes nothing, and reads no secrets
 *   V6  a liveness connection that is not the first of its session is an entry of the log (COORD_ATTACH), and the
 *       end that a closed one proposes holds only as long as there was no later one: a node that was frozen or
 *       cut off sees the old one closed long after the session has moved
 */
#ifndef QUORUM_SERVE_H
#define QUORUM_SERVE_H

#include "io/net.h"
#include "quorum/node.h"

struct serve;

struct serve_config {
	const char *cluster_id;
	const char *subjects;		/* net speaks TLS, and these are of the system (subject.h); NULL: all are */
	void (*on_log)(void *user, const char *msg, const char *detail);
	void (*random)(void *buf, uint32_t len);
	void *user;
};

struct serve *serve_new(struct node *node, struct net *net, struct loop *loop, struct clock *clock,
			const struct serve_config *conf);
/* A connection that was accepted; the descriptor is taken over. */
void serve_accept(struct serve *s, int fd);
/* No session ends because of connections that close from now on; new requests are refused. */
void serve_drain(struct serve *s);
uint32_t serve_connections(const struct serve *s);

#endif
