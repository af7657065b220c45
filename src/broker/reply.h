/*
 * reply.h - one answer on its way to a client: bytes in memory with file ranges in between.
 *
 * A reply is memory, file ranges, or both; what is cold is brought into the page cache first
 * (reply_send waits for it off the loop), so the loop never blocks in sendfile. TLS and sendfile live
 * below the net port. The reply belongs to the connection's send queue from reply_send() on and
 * frees itself when its last piece has left or was dropped.
 */
#ifndef BROKER_REPLY_H
#define BROKER_REPLY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "io/net.h"
#include "part/part.h"

struct worker;

struct reply_file {
	struct reply *reply;
	struct part_range range;
	size_t at;			/* the range goes out before this byte of buf */
};

struct reply {
	struct worker *w;
	struct buf buf;			/* length word, response header, body without the file ranges */
	struct reply_file *files;
	uint32_t files_n, files_cap;
	uint64_t file_bytes;
	uint32_t refs;			/* pieces that have not been given back */
	struct reply *next;		/* spare list of the worker */
};

/* An empty reply with room for the length word. */
struct reply *reply_new(struct worker *w);
/* The range follows what is in buf now; the reply gives it back to the partition. */
void reply_add_file(struct reply *r, const struct part_range *range);
/* Queues it; the caller has no reply any more. */
void reply_send(struct reply *r, struct net_conn *nc);
/* Nobody wants it any more. NULL is fine. */
void reply_drop(struct reply *r);
void reply_spares_free(struct worker *w);

#endif
