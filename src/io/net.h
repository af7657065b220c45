/*
 * net.h - the port of framed byte streams: Kafka's listeners, the unix sockets between the
 * processes of a broker, the quorum's clients and peers.
 *
 * Every stream carries frames: a 4-byte big-endian length, then that many bytes. The port
 * assembles whole frames in pooled buffers and hands them over; the receiver owns a frame until
 * net->frame_free(). What is sent is a list of pieces: memory, a file range, or descriptors as an
 * attachment. TLS, plain socket and simulated link are back ends below this line.
 *
 * Rules: a callback may close its connection or any other; on_close runs exactly once per
 * connection, never from inside close() itself, and is the last callback. A muted connection
 * delivers no frame (and at most one buffer is read ahead). Frames above max_frame, or of negative
 * length, close the connection, unless on_odd_length() takes the four bytes for something else.
 */
#ifndef IO_NET_H
#define IO_NET_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

#define NET_TLS_LENGTH 0x1603u		/* upper half of the length that a TLS client's first bytes make */

struct net_conn;			/* of the port */

enum net_piece_kind {
	NET_MEM,			/* mem; freed by release() when sent or dropped */
	NET_FILE,			/* [off, off + len) of disk file `file`, sent by sendfile; release() after */
};

struct net_piece {
	enum net_piece_kind kind;
	const uint8_t *mem;
	int file;
	uint64_t off;
	uint64_t len;			/* bytes */
	void (*release)(void *ctx);	/* NULL: nothing to give back */
	void *release_ctx;
};

struct net_events {
	/* A whole frame without its length word; the callee owns `frame` from now on. */
	void (*on_frame)(void *user, struct net_conn *c, uint8_t *frame, uint32_t len);
	/* All that was sent has left; only after it had to wait, or queued_bytes() was not 0. May be NULL. */
	void (*on_drained)(void *user, struct net_conn *c);
	/* The last callback. err: E_CLOSED = end of stream, E_BAD = framing, E_LIMIT = too large, E_IO. */
	void (*on_close)(void *user, struct net_conn *c, int err);
	/* The peer of a muted connection sends nothing any more: it is gone, or has closed that side. Comes
	 * some seconds later, perhaps more than once. May be NULL. */
	void (*on_gone)(void *user, struct net_conn *c);
	/* connect() finished: OK or why not (then on_close follows). NULL for accepted ones. */
	void (*on_connect)(void *user, struct net_conn *c, int err);
	/* A length above max_frame that may be a word of four letters: true when it is one, then nothing
	 * more is read (the callee sends an answer and closes). May be NULL. */
	bool (*on_odd_length)(void *user, struct net_conn *c, uint32_t length);
};

struct net {
	const struct net_calls *calls;
};

struct net_calls {
	/* Takes over a connected descriptor (plain stream). */
	int (*adopt)(struct net *n, int fd, const struct net_events *ev, void *user,
		     uint32_t max_frame, struct net_conn **ret);
	/* Starts connecting; "host:port" or "unix:/path". on_connect tells the end. */
	int (*connect)(struct net *n, const char *address, const struct net_events *ev, void *user,
		       uint32_t max_frame, struct net_conn **ret);
	/* Queues pieces in order; nothing leaves before net->flush or the end of the turn. The pieces
	 * must contain the length word (so that a reply can be one gather). */
	void (*send)(struct net_conn *c, const struct net_piece *v, int n);
	/* Sends a descriptor together with the next frame (unix sockets only). */
	int (*send_fd)(struct net_conn *c, int fd, const void *frame, uint32_t len);
	/* Takes the descriptor that came with the frame being delivered, or -1. */
	int (*take_fd)(struct net_conn *c);
	/* A duplicate of an open connection's descriptor, the caller's: who holds it keeps the connection open
	 * beyond our death. < 0: the port has none (simulator). */
	int (*dup_fd)(struct net_conn *c);
	void (*mute)(struct net_conn *c);
	void (*unmute)(struct net_conn *c);
	void (*close)(struct net_conn *c);		/* after what is queued has left */
	void (*abort)(struct net_conn *c);		/* at once */
	/* Not yet sent; UINT64_MAX: something, and the memory for all that is queued is short. */
	uint64_t (*queued_bytes)(struct net_conn *c);
	const char *(*peer)(struct net_conn *c);	/* "127.0.0.1" (no port), "unix" */
	uint16_t (*peer_port)(struct net_conn *c);	/* 0: it has none */
	/* Subject of the peer's verified certificate (RFC 2253); NULL: none, or no TLS. Known with the first frame. */
	const char *(*subject)(struct net_conn *c);
	void (*frame_free)(struct net *n, uint8_t *frame);
};

#endif
