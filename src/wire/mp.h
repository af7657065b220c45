/*
 * mp.h - msgpack: the few shapes that tree values and internal frames use, over buf and a cursor.
 *
 * Written in the shortest form. A reader that met something else than asked for is bad from then
 * on and returns zeros, so a chain of reads needs one check at its end.
 */
#ifndef WIRE_MP_H
#define WIRE_MP_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/str.h"

struct mp_reader {
	const uint8_t *p;
	size_t len, at;
	bool bad;
};

void mp_put_nil(struct buf *b);
void mp_put_bool(struct buf *b, bool v);
void mp_put_int(struct buf *b, int64_t v);
void mp_put_str(struct buf *b, struct str s);		/* null: nil */
void mp_put_bin(struct buf *b, const void *p, uint32_t n);
void mp_put_array(struct buf *b, uint32_t n);

struct mp_reader mp_open(struct bytes v);
bool mp_bool(struct mp_reader *r);
int64_t mp_int(struct mp_reader *r);
struct str mp_str(struct mp_reader *r);			/* nil: null */
struct bytes mp_bin(struct mp_reader *r);
uint32_t mp_array(struct mp_reader *r);			/* never more than the bytes that are left */

static inline struct mp_reader mp_of(const void *p, uint32_t len)
{
	return mp_open((struct bytes){ p, (int32_t)len });
}

static inline bool mp_ok(const struct mp_reader *r)
{
	return !r->bad;
}

/* Everything was read and nothing was bad. */
static inline bool mp_end(const struct mp_reader *r)
{
	return !r->bad && r->at == r->len;
}

static inline void mp_put_bytes(struct buf *b, struct bytes v)	/* null: nil */
{
	if (v.len < 0)
		mp_put_nil(b);
	else
		mp_put_bin(b, v.p, (uint32_t)v.len);
}

#endif
