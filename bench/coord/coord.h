/*
 * coord.h - parts of bench/coord/gen: one load for coordination services that speak ZooKeeper's protocol or etcd's v3.
 *
 * One thread, epoll, a closed loop: connections with so many operations in flight each. The protocols are written by
 * hand (etcd's HTTP/2 framing by libnghttp2), so that the generator costs little beside what it measures.
 */
#ifndef BENCH_COORD_COORD_H
#define BENCH_COORD_COORD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bench/bench.h"

enum coord_op {
	OP_SET,				/* overwrites one of the keys */
	OP_CREATE,			/* a new one */
	OP_GET,				/* as fresh as a write that was answered before, by whomever (etcd: Range;
					 * ZooKeeper: sync and getData) */
	OP_LOCAL,			/* what this server has (etcd: serializable Range; ZooKeeper: getData) */
	OP_SETUP,			/* a new one, which may exist */
};

struct bytes_out {			/* what has to be sent */
	uint8_t *p;
	size_t len, cap, off;
};

struct flight {				/* an operation that was sent */
	uint64_t start_ns;
	enum coord_op op;
	bool silent;			/* the first of two requests that are one operation */
};

struct coord_conn;

struct coord_proto {
	const char *name;
	/* Connected: the first bytes. The connection is ready when coord_ready() is called. */
	void (*open)(struct coord_conn *c);
	void (*send)(struct coord_conn *c, enum coord_op op, const char *path, const uint8_t *value, size_t len);
	/* Bytes of the server, whole; how many were used, < 0: it makes no sense. */
	ptrdiff_t (*take)(struct coord_conn *c, const uint8_t *p, size_t len);
	/* More to be put into out, if there is. */
	void (*pull)(struct coord_conn *c);
	void (*close)(struct coord_conn *c);
};

enum conn_at { CONN_NONE, CONN_DIALLING, CONN_GREETING, CONN_READY };

struct coord_conn {
	int fd, server;
	enum conn_at at;
	bool wants_out;
	const struct coord_proto *proto;
	void *http;			/* of the protocol */
	int32_t xid;
	uint8_t *in;
	size_t in_len, in_cap;
	struct bytes_out out;
	struct flight *ring;		/* in order of sending; ZooKeeper's answers come in it */
	uint32_t head, tail, ring_cap;	/* counters; cap is a power of two */
	uint32_t flying;		/* operations */
	uint64_t retry_ns, next_ns;
};

extern const struct coord_proto coord_zookeeper;
extern const struct coord_proto coord_etcd;	/* only where HAVE_NGHTTP2 */

/* ---- for the protocols ---- */

/* Room for n bytes at the end of what goes out, which counts them. */
uint8_t *coord_out(struct coord_conn *c, size_t n);
void coord_ready(struct coord_conn *c);
/* An operation ended; code 0: well. */
void coord_done(struct coord_conn *c, const struct flight *f, int code);
struct flight *coord_flight(struct coord_conn *c);	/* a new one, at the end */
/* NULL: none; it leaves the ring with the next call of coord_flight(). */
struct flight *coord_oldest(struct coord_conn *c);
uint32_t coord_timeout_ms(void);

#endif
