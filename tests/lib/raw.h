/*
 * raw.h - Kafka requests and record batches put together byte by byte, for load and torture.
 *
 * Not a client: the caller owns sockets, retries and time. Fixed old versions are used, which need
 * no negotiation and no compact encodings: Produce 8, Fetch 11, InitProducerId 1, ListOffsets 4.
 * Shares nothing with src/wire but the cursor and the checksum.
 */
#ifndef TESTS_RAW_H
#define TESTS_RAW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "wire/cursor.h"

#define RAW_BATCH_HEAD 61
#define RAW_PRODUCE 0
#define RAW_FETCH 1
#define RAW_LIST_OFFSETS 2
#define RAW_METADATA 3
#define RAW_API_VERSIONS 18
#define RAW_INIT_PRODUCER_ID 22

/* A request with header version 1; returns where it begins in b, for raw_end(). */
size_t raw_begin(struct buf *b, int16_t key, int16_t version, int32_t correlation, const char *client_id);
void raw_end(struct buf *b, size_t begin);		/* fills in the length word */
void raw_str(struct buf *b, const char *s);		/* NULL: null */

struct raw_batch {
	size_t at;			/* in the buffer */
	uint32_t records;
};

/* An uncompressed batch v2; producer_id -1: none. timestamp in ms. */
struct raw_batch raw_batch_begin(struct buf *b, int64_t producer_id, int16_t epoch, int32_t sequence,
				 int64_t timestamp);
void raw_batch_record(struct buf *b, struct raw_batch *batch, const void *value, uint32_t len);
void raw_batch_end(struct buf *b, const struct raw_batch *batch);	/* lengths, count, CRC */

/* Produce 8, acks -1, up to the partitions; then for each raw_produce_part(), a batch, raw_part_end(). */
void raw_produce_head(struct buf *b, int16_t acks, int32_t timeout_ms, const char *topic, int32_t parts);
size_t raw_produce_part(struct buf *b, int32_t partition);
void raw_produce_part_end(struct buf *b, size_t at);

/* Blocking, for set-up: a socket connected to 127.0.0.1, -1 when it cannot; ms limits each call. */
int raw_connect(int port, int ms);
/* Sends b, receives one answer without its length word into ret; OK, E_CLOSED, E_TIMEOUT, E_BAD. */
int raw_call(int fd, const struct buf *b, struct buf *ret);

/* Records of one batch v2 that is not compressed; 0: fine, else it is damaged. */
typedef void raw_record_fn(void *ctx, int64_t offset, const uint8_t *value, uint32_t len);
int raw_batch_walk(const uint8_t *batch, uint32_t len, raw_record_fn *fn, void *ctx);

#endif
