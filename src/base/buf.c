/* buf.c - see buf.h. */
#include "base/buf.h"

#include <string.h>

#include "base/be.h"
#include "base/mem.h"

void buf_init(struct buf *b, size_t max)
{
	*b = (struct buf){ .max = max };
}

uint8_t *buf_room(struct buf *b, size_t n)
{
	if (b->bad || n > b->max || b->len > b->max - n) {
		b->bad = true;
		return NULL;
	}
	if (b->cap - b->len < n) {
		size_t cap = b->cap ? b->cap : 256;

		while (cap - b->len < n)
			cap *= 2;
		b->p = mem_resize(b->p, cap);
		b->cap = cap;
	}
	uint8_t *at = b->p + b->len;
	b->len += n;
	return at;
}

void buf_put(struct buf *b, const void *p, size_t n)
{
	uint8_t *at = buf_room(b, n);

	if (at && n > 0)
		memcpy(at, p, n);
}

void buf_u8(struct buf *b, uint8_t v)
{
	uint8_t *at = buf_room(b, 1);

	if (at)
		*at = v;
}

void buf_be16(struct buf *b, uint16_t v)
{
	uint8_t *at = buf_room(b, 2);

	if (at)
		be16_put(at, v);
}

void buf_be32(struct buf *b, uint32_t v)
{
	uint8_t *at = buf_room(b, 4);

	if (at)
		be32_put(at, v);
}

void buf_be64(struct buf *b, uint64_t v)
{
	uint8_t *at = buf_room(b, 8);

	if (at)
		be64_put(at, v);
}

void buf_reset(struct buf *b)
{
	b->len = 0;
	b->bad = false;
}

void buf_release(struct buf *b)
{
	mem_free(b->p);
	b->p = NULL;
	b->len = b->cap = 0;
	b->bad = false;
}

uint8_t *buf_steal(struct buf *b, size_t *ret_len)
{
	uint8_t *p = b->p;

	*ret_len = b->len;
	b->p = NULL;
	b->len = b->cap = 0;
	return p;
}
