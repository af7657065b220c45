/* mp.c - see mp.h. */
#include "wire/mp.h"

void mp_put_nil(struct buf *b)
{
	buf_u8(b, 0xc0);
}

void mp_put_bool(struct buf *b, bool v)
{
	buf_u8(b, v ? 0xc3 : 0xc2);
}

void mp_put_int(struct buf *b, int64_t v)
{
	if (v >= -32 && v <= 127) {
		buf_u8(b, (uint8_t)v);
	} else if (v >= INT16_MIN && v <= INT16_MAX) {
		buf_u8(b, 0xd1);
		buf_be16(b, (uint16_t)v);
	} else if (v >= INT32_MIN && v <= INT32_MAX) {
		buf_u8(b, 0xd2);
		buf_be32(b, (uint32_t)v);
	} else {
		buf_u8(b, 0xd3);
		buf_be64(b, (uint64_t)v);
	}
}

void mp_put_str(struct buf *b, struct str s)
{
	if (s.len < 0) {
		mp_put_nil(b);
		return;
	}
	if (s.len < 32) {
		buf_u8(b, (uint8_t)(0xa0 | s.len));
	} else if (s.len < 65536) {
		buf_u8(b, 0xda);
		buf_be16(b, (uint16_t)s.len);
	} else {
		buf_u8(b, 0xdb);
		buf_be32(b, (uint32_t)s.len);
	}
	buf_put(b, s.p, (size_t)s.len);
}

void mp_put_bin(struct buf *b, const void *p, uint32_t n)
{
	if (n < 256) {
		buf_u8(b, 0xc4);
		buf_u8(b, (uint8_t)n);
	} else {
		buf_u8(b, 0xc6);
		buf_be32(b, n);
	}
	buf_put(b, p, n);
}

void mp_put_array(struct buf *b, uint32_t n)
{
	if (n < 16) {
		buf_u8(b, (uint8_t)(0x90 | n));
	} else {
		buf_u8(b, 0xdd);
		buf_be32(b, n);
	}
}

struct mp_reader mp_open(struct bytes v)
{
	return (struct mp_reader){ .p = v.p, .len = v.len > 0 ? (size_t)v.len : 0 };
}

static uint64_t take(struct mp_reader *r, uint32_t n)
{
	uint64_t v = 0;

	if (r->bad || r->len - r->at < n) {
		r->bad = true;
		return 0;
	}
	while (n-- > 0)
		v = v << 8 | r->p[r->at++];
	return v;
}

bool mp_bool(struct mp_reader *r)
{
	uint8_t t = (uint8_t)take(r, 1);

	if (t != 0xc2 && t != 0xc3)
		r->bad = true;
	return t == 0xc3;
}

int64_t mp_int(struct mp_reader *r)
{
	uint8_t t = (uint8_t)take(r, 1);

	if (t < 0x80 || t >= 0xe0)
		return (int8_t)t;
	switch (t) {
	case 0xcc: return (int64_t)take(r, 1);
	case 0xcd: return (int64_t)take(r, 2);
	case 0xce: return (int64_t)take(r, 4);
	case 0xcf: return (int64_t)take(r, 8);
	case 0xd0: return (int8_t)take(r, 1);
	case 0xd1: return (int16_t)take(r, 2);
	case 0xd2: return (int32_t)take(r, 4);
	case 0xd3: return (int64_t)take(r, 8);
	default:
		r->bad = true;
		return 0;
	}
}

/* n bytes as a view; null when they are not there. */
static const uint8_t *view(struct mp_reader *r, uint64_t n)
{
	if (r->bad || r->len - r->at < n || n > INT32_MAX) {
		r->bad = true;
		return NULL;
	}
	r->at += n;
	return r->p + r->at - n;
}

struct str mp_str(struct mp_reader *r)
{
	uint8_t t = (uint8_t)take(r, 1);
	uint64_t n = 0;

	if (t == 0xc0)
		return STR_NULL;
	if ((t & 0xe0) == 0xa0)
		n = t & 0x1f;
	else if (t == 0xd9)
		n = take(r, 1);
	else if (t == 0xda)
		n = take(r, 2);
	else if (t == 0xdb)
		n = take(r, 4);
	else
		r->bad = true;
	const uint8_t *p = view(r, n);

	return p ? (struct str){ (const char *)p, (int32_t)n } : STR_NULL;
}

struct bytes mp_bin(struct mp_reader *r)
{
	uint8_t t = (uint8_t)take(r, 1);
	uint64_t n = 0;

	if (t == 0xc0)
		return BYTES_NULL;
	if (t == 0xc4)
		n = take(r, 1);
	else if (t == 0xc5)
		n = take(r, 2);
	else if (t == 0xc6)
		n = take(r, 4);
	else
		r->bad = true;
	const uint8_t *p = view(r, n);

	return p ? (struct bytes){ p, (int32_t)n } : BYTES_NULL;
}

uint32_t mp_array(struct mp_reader *r)
{
	uint8_t t = (uint8_t)take(r, 1);
	uint64_t n = 0;

	if ((t & 0xf0) == 0x90)
		n = t & 0x0f;
	else if (t == 0xdc)
		n = take(r, 2);
	else if (t == 0xdd)
		n = take(r, 4);
	else
		r->bad = true;
	if (r->bad || n > r->len - r->at) {
		r->bad = true;
		return 0;
	}
	return (uint32_t)n;
}
