/*
 * batch_walk.h - the walk over the records of one batch without keeping them (inside src/wire).
 *
 * Plain batches are walked in place; compressed ones piece by piece through the port, so memory is
 * that of one piece however long a record is.
 */
#ifndef WIRE_BATCH_WALK_H
#define WIRE_BATCH_WALK_H

#include "wire/batch.h"

struct walk {
	const struct batch_head *h;
	const uint8_t *start, *p, *end;	/* the piece in hand; p: the next byte */
	uint64_t before;		/* plain bytes in earlier pieces */
	uint64_t plain_max;
	uint32_t record_max;
	int32_t left;			/* records still to come */
	bool unpack_failed;		/* the port found damage */
	struct batch_port *port;	/* NULL: plain */
};

struct walk_record {
	int32_t offset_delta;
	int64_t timestamp;
	bool no_key;
};

/* The whole batch lies at p. Errors of port->open(); E_VERSION: compressed and no port. Close it in
 * any case. */
int walk_open(struct walk *w, const uint8_t *p, const struct batch_head *h, uint64_t plain_max,
	      uint32_t record_max, struct batch_port *port) MUST_CHECK;
void walk_close(struct walk *w);
/* OK; E_NOENT: header's count reached; E_BAD; E_RANGE: a compressed record above record_max;
 * E_LIMIT: above plain_max or the port's memory. */
int walk_next(struct walk *w, struct walk_record *r) MUST_CHECK;

/* All of a compressed stream to out (reset first). E_LIMIT: above out->max; else errors of the port. */
int batch_unpack(struct batch_port *port, unsigned codec, const uint8_t *src, size_t len,
		 struct buf *out) MUST_CHECK;

#endif
