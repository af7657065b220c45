/*
 * buf.h - a byte buffer that grows up to a limit: where encoders write.
 *
 * After a failed call the buffer is marked bad and every later call fails too, so a chain of
 * puts needs one check at its end.
 */
#ifndef BASE_BUF_H
#define BASE_BUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct buf {
	uint8_t *p;
	size_t len;		/* bytes written */
	size_t cap;
	size_t max;		/* len never gets above it */
	bool bad;		/* the limit was met; contents are not to be used */
};

void buf_init(struct buf *b, size_t max);
/* n more bytes at the end, uninitialised; NULL: the limit is met. Moves b->p. */
uint8_t *buf_room(struct buf *b, size_t n);
void buf_put(struct buf *b, const void *p, size_t n);
void buf_u8(struct buf *b, uint8_t v);
/* Big-endian, as all of Kafka's and ZooKeeper's formats. */
void buf_be16(struct buf *b, uint16_t v);
void buf_be32(struct buf *b, uint32_t v);
void buf_be64(struct buf *b, uint64_t v);
/* Empty, memory kept, bad cleared. */
void buf_reset(struct buf *b);
void buf_release(struct buf *b);
/* The memory goes to the caller (mem_free); the buffer is empty. */
uint8_t *buf_steal(struct buf *b, size_t *ret_len);

#endif
