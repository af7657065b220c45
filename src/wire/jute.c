/* jute.c - see jute.h. */
#include "wire/jute.h"

#include "base/be.h"

void jute_begin(struct buf *b, size_t max)
{
	buf_init(b, max);
	buf_be32(b, 0);
}

void jute_begin_reply(struct buf *b, size_t max, int32_t xid, int64_t zxid, int32_t err)
{
	jute_begin(b, max);
	jute_int(b, xid);
	jute_long(b, zxid);
	jute_int(b, err);
}

bool jute_end(struct buf *b)
{
	if (b->bad) {
		buf_release(b);
		return false;
	}
	be32_put(b->p, (uint32_t)(b->len - 4));
	return true;
}

void jute_buffer(struct buf *b, struct bytes v)
{
	jute_int(b, v.len);
	if (v.len > 0)
		buf_put(b, v.p, (size_t)v.len);
}

void jute_str(struct buf *b, struct str s)
{
	jute_buffer(b, (struct bytes){ (const uint8_t *)s.p, s.len });
}

void jute_multi(struct buf *b, int32_t type, bool done, int32_t err)
{
	jute_int(b, type);
	buf_u8(b, done);
	jute_int(b, err);
}
