/*
 * msgset.h - message sets v0 and v1, which producers before Kafka 0.11 send: read, convert to v2.
 *
 * Is: the way in for old producers. Is not: a check of the topic's rules: what comes out is an
 * ordinary record batch that goes through batch_check() like any other.
 */
#ifndef WIRE_MSGSET_H
#define WIRE_MSGSET_H

#include "wire/batch.h"

struct msgset_message {
	int64_t offset;			/* of an inner message of v1: relative */
	int8_t magic;			/* 0 or 1 */
	uint8_t attributes;		/* bits 0-2 codec, bit 3 LogAppendTime */
	int64_t timestamp;		/* v0: -1 */
	struct bytes key, value;	/* len -1: null */
};

/* The message at *p: OK and *p, *len moved behind it; E_NOENT: *len is 0; E_SHORT: cut off; E_CRC;
 * E_VERSION: magic above 1; E_BAD. */
int msgset_next(const uint8_t **p, size_t *len, struct msgset_message *ret) MUST_CHECK;

/*
 * All messages of a produced set as one batch v2 with the set's codec, in b's memory until the next
 * call on b (which is empty before and after). Uses of rules: batch_bytes_max and plain_bytes_max.
 * Not OK: BATCH_EMPTY, _CUT, _GARBLED, _BAD_CRC, _MAGIC (mixed, or not old), _MORE (a compressed
 * message is not alone), _CODEC, _UNPACK, _BOMB, _TOO_LARGE, _RECORD, _TIMESTAMP (flagged
 * LogAppendTime).
 */
enum batch_verdict msgset_convert(const uint8_t *p, size_t len, const struct batch_rules *rules,
				  struct batch_port *port, struct batch_builder *b,
				  const uint8_t **ret, size_t *ret_len);

#endif
