/*
 * cursor.h - bounds-checked reading of bytes from outside.
 *
 * The only place of the schema codec that moves a read pointer: every primitive checks what is
 * left before it reads, and moves the cursor only if it succeeds.
 */
#ifndef WIRE_CURSOR_H
#define WIRE_CURSOR_H

#include <stddef.h>
#include <stdint.h>

#include "base/be.h"
#include "base/err.h"

struct cursor {
	const uint8_t *p, *end;		/* p <= end */
};

static inline struct cursor cursor_of(const void *p, size_t len)
{
	const uint8_t *b = p;

	return (struct cursor){ b, b + len };
}

static inline size_t cursor_left(const struct cursor *c)
{
	return (size_t)(c->end - c->p);
}

/* The next n bytes, which are then behind the cursor; NULL: there are fewer. */
static inline const uint8_t *cursor_take(struct cursor *c, size_t n)
{
	const uint8_t *p = c->p;

	if (cursor_left(c) < n)
		return NULL;
	c->p += n;
	return p;
}

static inline MUST_CHECK int cursor_u8(struct cursor *c, uint8_t *ret)
{
	const uint8_t *p = cursor_take(c, 1);

	if (!p)
		return E_SHORT;
	*ret = *p;
	return OK;
}

static inline MUST_CHECK int cursor_be16(struct cursor *c, uint16_t *ret)
{
	const uint8_t *p = cursor_take(c, 2);

	if (!p)
		return E_SHORT;
	*ret = be16_get(p);
	return OK;
}

static inline MUST_CHECK int cursor_be32(struct cursor *c, uint32_t *ret)
{
	const uint8_t *p = cursor_take(c, 4);

	if (!p)
		return E_SHORT;
	*ret = be32_get(p);
	return OK;
}

static inline MUST_CHECK int cursor_be64(struct cursor *c, uint64_t *ret)
{
	const uint8_t *p = cursor_take(c, 8);

	if (!p)
		return E_SHORT;
	*ret = be64_get(p);
	return OK;
}

/* Base-128, least significant group first, at most 32 bits in at most 5 bytes. */
static inline MUST_CHECK int cursor_uvarint(struct cursor *c, uint32_t *ret)
{
	size_t left = cursor_left(c);
	uint32_t v = 0;

	for (size_t i = 0; i < 5; i++) {
		if (i == left)
			return E_SHORT;
		uint8_t b = c->p[i];
		if (i == 4 && b > 0x0f)
			return E_BAD;
		v |= (uint32_t)(b & 0x7f) << 7 * i;
		if (!(b & 0x80)) {
			c->p += i + 1;
			*ret = v;
			return OK;
		}
	}
	return E_BAD;
}

#endif
