/*
 * batch.h - record batches of Kafka's format v2: parse, check, build, walk.
 *
 * Is: arithmetic on memory. Nothing here reads a clock, allocates (but through struct buf) or
 * knows a compression format: plain bytes of compressed batches come in bounded pieces through
 * struct batch_port, which wire/codec.h implements and tests replace.
 * Is not: sequence and epoch checks against a producer's state (part), nor offsets (part stamps
 * them), nor old formats (wire/msgset.h).
 *
 * Everything that is read is bounded by the length given; outside bytes are never trusted.
 * Trap numbers in comments are those of the project's checklist of Kafka's semantics (docs/).
 */
#ifndef WIRE_BATCH_H
#define WIRE_BATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"

#define BATCH_HEAD 61			/* bytes before the records */
#define BATCH_LEN_AT 12			/* batchLength counts from here */
#define BATCH_MAGIC_AT 16
#define BATCH_CRC_FROM 21		/* the CRC covers attributes to end */
#define BATCH_ATTRIBUTES_AT 21
#define BATCH_NO_TIMESTAMP (-1)
#define BATCH_RECORD_ERRORS 16		/* bad records that are named in one answer */

enum batch_codec {			/* attribute bits 0-2; numbers are Kafka's */
	BATCH_PLAIN = 0,
	BATCH_GZIP = 1,
	BATCH_SNAPPY = 2,
	BATCH_LZ4 = 3,
	BATCH_ZSTD = 4,
	BATCH_CODEC_N
};

#define BATCH_CODEC_MASK 0x07u
#define BATCH_LOG_APPEND_TIME (1u << 3)
#define BATCH_TRANSACTIONAL (1u << 4)
#define BATCH_CONTROL (1u << 5)
#define BATCH_DELETE_HORIZON (1u << 6)	/* base_timestamp is then the horizon (compaction) */
#define BATCH_ATTRIBUTES_KNOWN 0x7fu

struct batch_head {
	uint32_t bytes;			/* of the whole batch: batchLength + 12 */
	int64_t base_offset;
	int32_t leader_epoch;
	uint32_t crc;
	uint16_t attributes;
	int32_t last_offset_delta;
	int64_t base_timestamp, max_timestamp;
	int64_t producer_id;		/* -1: none */
	int16_t producer_epoch;
	int32_t base_sequence;		/* -1: none */
	int32_t records;		/* recordsCount; may be below the offsets taken after compaction */
};

static inline unsigned batch_codec(const struct batch_head *h)
{
	return h->attributes & BATCH_CODEC_MASK;
}

static inline int64_t batch_last_offset(const struct batch_head *h)
{
	return h->base_offset + h->last_offset_delta;
}

/* ---- headers and buffers of batches -------------------------------------------------------- */

/* Reads the 61 header bytes; does not need the records. E_SHORT: fewer than 61 bytes; E_VERSION:
 * magic is not 2 (an old message set); E_BAD: the length field is below a header's. */
int batch_parse(const uint8_t *p, size_t len, struct batch_head *ret) MUST_CHECK;
/* The batch at *p: OK and *p, *len moved behind it; E_NOENT: *len is 0; E_SHORT: the last batch is
 * cut off (as fetched data may be); E_VERSION, E_BAD as batch_parse(). Does not look at the CRC. */
int batch_next(const uint8_t **p, size_t *len, struct batch_head *ret,
	       const uint8_t **ret_batch) MUST_CHECK;
/* The batch of h lies whole at p: is its CRC right? */
bool batch_crc_ok(const uint8_t *p, const struct batch_head *h);

/* ---- codecs -------------------------------------------------------------------------------- */

/*
 * How compressed record areas become plain and back. One stream at a time per port; a port
 * belongs to one thread. `src` stays the caller's and must live until close().
 */
struct batch_port {
	/* E_LIMIT: needs more memory than the port's stated bound; E_BAD; E_VERSION: no such codec. */
	int (*open)(struct batch_port *port, unsigned codec, const uint8_t *src, size_t len);
	/* The next plain bytes, valid until the next call; *ret_len = 0: clean end. E_BAD: damaged or
	 * cut off, E_LIMIT. Each piece is at most 64 KiB. */
	int (*next)(struct batch_port *port, const uint8_t **ret, size_t *ret_len);
	/* After each open(), whatever it returned. */
	void (*close)(struct batch_port *port);
	/* Appends the compressed form of src to out. level INT32_MIN: the codec's default. E_LIMIT:
	 * out is full. */
	int (*pack)(struct batch_port *port, unsigned codec, int32_t level, const uint8_t *src,
		    size_t len, struct buf *out);
};

/* ---- check what a producer sent ------------------------------------------------------------ */

enum batch_verdict {
	BATCH_OK = 0,
	BATCH_EMPTY,			/* no batch at all (trap 30) */
	BATCH_CUT,			/* ends before its length field says, or too short for a header */
	BATCH_GARBLED,			/* length field below a header's, or a magic that never was */
	BATCH_MAGIC,			/* an old message set, 0 or 1 (trap 30) */
	BATCH_MORE,			/* bytes behind the first batch (trap 30) */
	BATCH_BAD_CRC,			/* trap 32 */
	BATCH_BASE_OFFSET,		/* not 0 (trap 31) */
	BATCH_TOO_LARGE,		/* above max.message.bytes (trap 35) */
	BATCH_COUNT,			/* records and last offset delta disagree (trap 31) */
	BATCH_IS_CONTROL,		/* trap 31 */
	BATCH_SEQUENCE,			/* producer id without sequence or epoch (trap 31) */
	BATCH_ATTRIBUTES,		/* bits a producer may not set */
	BATCH_CODEC,			/* unknown codec, or zstd in an old request (trap 30) */
	BATCH_UNPACK,			/* compressed bytes are damaged */
	BATCH_RECORD,			/* a record is malformed */
	BATCH_RECORD_TOO_LARGE,		/* plain size above max.decompressed.message.bytes (trap 36) */
	BATCH_BOMB,			/* the plain batch is above its bound, or needs too much memory */
	BATCH_NO_KEY,			/* compacted topic (trap 33) */
	BATCH_TIMESTAMP,		/* out of range, or flagged LogAppendTime (trap 33) */
	BATCH_VERDICT_N
};

/* Kafka's error code of a verdict (0, 2, 10, 32, 76, 87), and the message for the answer. */
int16_t batch_verdict_kafka(enum batch_verdict v);
const char *batch_verdict_text(enum batch_verdict v);

struct batch_rules {			/* of the topic and the request */
	uint32_t batch_bytes_max;	/* max.message.bytes */
	uint32_t record_bytes_max;	/* max.decompressed.message.bytes: bound of a compressed record */
	uint64_t plain_bytes_max;	/* bound of all records of a compressed batch: work and bombs */
	bool compacted;			/* cleanup.policy has compact */
	bool log_append_time;		/* message.timestamp.type */
	bool no_zstd;			/* request version below 7 */
	bool internal;			/* written by the broker itself: control batches are allowed */
	int64_t now_ms;
	int64_t before_max_ms;		/* message.timestamp.before.max.ms */
	int64_t after_max_ms;		/* message.timestamp.after.max.ms */
};

struct batch_checked {
	enum batch_verdict verdict;
	struct batch_head head;		/* as sent; valid from BATCH_BAD_CRC on and when OK */
	int64_t max_timestamp;		/* over the records; of LogAppendTime topics: now */
	int32_t max_timestamp_delta;	/* offset delta of the first record that has it; -1: no record
					 * has a timestamp */
	uint64_t plain_bytes;		/* of the record area, uncompressed */
	int32_t record_errors_n;	/* record_errors of the answer: batch indexes, ascending */
	int32_t record_errors[BATCH_RECORD_ERRORS];
};

/*
 * Checks the records field of one partition of a produce request: exactly one sound batch. port
 * may be NULL when no codec is wanted (then compressed batches give BATCH_CODEC). Returns
 * ret->verdict. Touches no byte of p. Cost: one CRC pass and one walk over the record heads.
 */
enum batch_verdict batch_check(const uint8_t *p, size_t len, const struct batch_rules *rules,
			       struct batch_port *port, struct batch_checked *ret);

/*
 * Copies the 61 header bytes of a checked batch to head, as the leader stores them: LogAppendTime
 * bit, max timestamp and CRC set as the topic wants (traps 33, 34); offset and leader epoch are
 * stamped later by the partition. The CRC is moved by arithmetic, not by a second pass.
 */
void batch_store_head(const uint8_t *p, const struct batch_rules *rules,
		      const struct batch_checked *c, uint8_t head[BATCH_HEAD]);

/*
 * compression.type of the topic differs from the batch's codec (trap 35): writes the whole batch
 * again to out. head comes from batch_store_head(). level as in struct batch_port. E_LIMIT: above
 * out->max (MESSAGE_TOO_LARGE); E_BAD cannot happen after batch_check() but is passed on.
 */
int batch_recode(const uint8_t *p, const struct batch_checked *c, const uint8_t head[BATCH_HEAD],
		 unsigned codec, int32_t level, uint64_t plain_max, struct batch_port *port,
		 struct buf *out) MUST_CHECK;

/* ---- read records -------------------------------------------------------------------------- */

struct batch_record {			/* views into the plain bytes */
	int64_t offset;
	int64_t timestamp;		/* LogAppendTime batches: the batch's (trap 34) */
	struct bytes key, value;	/* len -1: null */
	int32_t headers;		/* count; read with batch_header_next() */
	const uint8_t *header_at, *header_end;
};

struct batch_header {
	struct str key;
	struct bytes value;		/* len -1: null */
};

struct batch_records {			/* iterator */
	struct batch_head head;
	const uint8_t *p, *end;
	int32_t left;
};

/* Plain bytes of the record area of a whole batch at p: in place when it is not compressed, else
 * unpacked to scratch (reset first), bounded by scratch->max (E_LIMIT). E_BAD: damaged. */
int batch_plain(const uint8_t *p, const struct batch_head *h, struct batch_port *port,
		struct buf *scratch, const uint8_t **ret, size_t *ret_len) MUST_CHECK;
void batch_records_init(struct batch_records *it, const struct batch_head *h, const uint8_t *plain,
			size_t len);
/* OK with a record; E_NOENT: all were given; E_BAD: malformed. */
int batch_records_next(struct batch_records *it, struct batch_record *ret) MUST_CHECK;
/* OK; E_NOENT: no more headers of r; E_BAD. Moves r->header_at. */
int batch_header_next(struct batch_record *r, struct batch_header *ret) MUST_CHECK;

/*
 * The first record of a whole batch with timestamp >= ts. OK; E_NOENT: none; E_BAD; E_LIMIT: above
 * plain_max. Compressed batches are walked in pieces, nothing is kept.
 */
int batch_find_time(const uint8_t *p, const struct batch_head *h, int64_t ts, uint64_t plain_max,
		    struct batch_port *port, int64_t *ret_offset, int64_t *ret_timestamp) MUST_CHECK;
/* The first record that has the greatest timestamp (ListOffsets -3, trap 61). Errors as above. */
int batch_find_max_time(const uint8_t *p, const struct batch_head *h, uint64_t plain_max,
			struct batch_port *port, int64_t *ret_offset,
			int64_t *ret_timestamp) MUST_CHECK;

/* ---- build --------------------------------------------------------------------------------- */

struct batch_stamp {			/* what a batch says of itself; BATCH_STAMP for the usual values */
	int64_t base_offset;
	int32_t leader_epoch;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	bool transactional, control, log_append_time;
	unsigned codec;
	int32_t level;			/* of the codec; INT32_MIN: default */
	int64_t append_time_ms;		/* with log_append_time: max timestamp */
};

#define BATCH_STAMP ((struct batch_stamp){ .leader_epoch = -1, .producer_id = -1, \
	.producer_epoch = -1, .base_sequence = -1, .level = INT32_MIN })

struct batch_builder {
	struct buf out;			/* room for a header, then records */
	struct buf packed;		/* the same compressed */
	int32_t records;
	int64_t base_timestamp, max_timestamp;
};

/* Batches of at most `max` bytes before compression. Memory is kept over batches; release frees. */
void batch_builder_init(struct batch_builder *b, size_t max);
void batch_builder_release(struct batch_builder *b);
/* E_LIMIT: the record does not fit, the batch is as before. headers may be NULL when n is 0. */
int batch_builder_add(struct batch_builder *b, int64_t timestamp, struct bytes key,
		      struct bytes value, const struct batch_header *headers, int32_t n) MUST_CHECK;
/* Drops the records that were added. */
void batch_builder_reset(struct batch_builder *b);
/* Bytes the batch has now, uncompressed. */
size_t batch_builder_bytes(const struct batch_builder *b);
/* Finishes: the whole batch is at *ret until the next call on b. port may be NULL for plain ones.
 * E_NOENT: no record was added; E_LIMIT: the packed form is above max. Then empty again. */
int batch_builder_finish(struct batch_builder *b, const struct batch_stamp *s,
			 struct batch_port *port, const uint8_t **ret, size_t *ret_len) MUST_CHECK;

/* ---- control batches ----------------------------------------------------------------------- */

enum batch_control {			/* type in the key of a control record */
	BATCH_ABORT = 0,
	BATCH_COMMIT = 1,
};

#define BATCH_MARKER_BYTES 78

/* A transaction marker (one record): 78 bytes to ret. */
void batch_marker(uint8_t ret[BATCH_MARKER_BYTES], int64_t base_offset, int32_t leader_epoch,
		  int64_t producer_id, int16_t producer_epoch, enum batch_control type,
		  int32_t coordinator_epoch, int64_t timestamp);
/* The record of a control batch: its type, and the coordinator epoch of a marker (-1: another
 * kind). E_BAD: malformed or not a control batch. */
int batch_control_read(const uint8_t *p, const struct batch_head *h, int16_t *ret_type,
		       int32_t *ret_coordinator_epoch) MUST_CHECK;

/* ---- varints (zig-zag), for those who write records themselves ------------------------------ */

/* Bytes used (1-5, 1-10), 0: cut off or too long. */
unsigned batch_varint(const uint8_t *p, size_t len, int32_t *ret);
unsigned batch_varlong(const uint8_t *p, size_t len, int64_t *ret);
/* Bytes written to p. */
unsigned batch_varint_put(uint8_t *p, int32_t v);
unsigned batch_varlong_put(uint8_t *p, int64_t v);

#endif
