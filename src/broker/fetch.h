/*
 * fetch.h - one Fetch request on its way: what is wanted, what was found. Shared by the files that
 * find its partitions (fetch_session.c), read (api_fetch.c) and write the answer (fetch_encode.c).
 */
#ifndef BROKER_FETCH_H
#define BROKER_FETCH_H

#include <stdbool.h>
#include <stdint.h>

#include "broker/reply.h"
#include "meta/image.h"
#include "part/part.h"

struct fetch_want {			/* one partition a client wants to read */
	struct uuid topic_id;		/* v13+ */
	struct str topic;		/* before v13 */
	int32_t partition;
	int32_t leader_epoch;		/* -1: do not check (trap 52) */
	int32_t last_epoch;		/* last_fetched_epoch, -1: none (trap 53) */
	int64_t offset;
	uint32_t max_bytes;
	/* In a session: what the client was told last. */
	int64_t told_high_watermark, told_log_start;
	struct fetch_want *prev, *next;	/* order in which partitions are served (trap 48) */
	struct fetch_want *chain;	/* of the session's hash */
};

struct fetch_got {			/* what became of it */
	int16_t error;
	bool left_out;			/* of an incremental answer: nothing new */
	uint32_t slot;			/* PART_SLOT_NONE: not found here */
	struct uuid topic_id;
	int64_t high_watermark, last_stable, log_start;
	int64_t limit;			/* what may be read: below this */
	int32_t diverging_epoch;	/* with diverging_end >= 0 */
	int64_t diverging_end;		/* -1: does not diverge */
	int32_t leader, leader_epoch;	/* with errors 6 and 74 (trap 60); leader -1: not given */
	struct part_range range;	/* len 0: no records */
};

struct fetch_answer {
	int16_t version;
	uint32_t throttle_ms;
	int16_t error;
	int32_t session_id;
	bool committed;			/* read_committed: aborted transactions are an array (trap 56) */
	struct fetch_want **wants;
	struct fetch_got *got;
	uint32_t n;
	const struct image_endpoint *endpoints;	/* of the leaders named in got */
	const int32_t *endpoint_ids;
	const struct str *endpoint_racks;
	uint32_t endpoints_n;
};

/* Appends the body to the reply; file ranges go over to it. Writes what wire_encode() of a
 * fetch_response would write if the records were in memory (tests compare both). */
void fetch_encode(const struct fetch_answer *a, struct reply *r);

#endif
