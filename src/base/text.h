/*
 * text.h - bounded, 0-terminated text built piece by piece without libc's printf, for pure code.
 *
 * What does not fit is cut. struct text borrows its memory; text_open() takes an array.
 */
#ifndef BASE_TEXT_H
#define BASE_TEXT_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/str.h"

struct text {
	char *p;		/* always 0-terminated */
	size_t len, cap;	/* bytes of text; bytes of memory */
};

static inline struct text text_open(char *p, size_t cap)
{
	if (cap > 0)
		p[0] = 0;
	return (struct text){ p, 0, cap };
}

static inline void text_put(struct text *t, const char *p, size_t n)
{
	size_t room = t->cap > t->len ? t->cap - t->len - 1 : 0;

	if (n > room)
		n = room;
	if (n > 0) {
		memcpy(t->p + t->len, p, n);
		t->len += n;
		t->p[t->len] = 0;
	}
}

static inline void text_add(struct text *t, const char *cstr)
{
	text_put(t, cstr, strlen(cstr));
}

static inline void text_str(struct text *t, struct str s)
{
	if (s.len < 0)
		text_add(t, "null");
	else
		text_put(t, s.p, (size_t)s.len);
}

static inline void text_i64(struct text *t, int64_t v)
{
	char digits[24];
	size_t at = sizeof digits;
	uint64_t u = v < 0 ? 0 - (uint64_t)v : (uint64_t)v;

	do
		digits[--at] = (char)('0' + u % 10);
	while ((u /= 10) > 0);
	if (v < 0)
		digits[--at] = '-';
	text_put(t, digits + at, sizeof digits - at);
}

#endif
