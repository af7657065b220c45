/* wire_value.c - print, random values and equality of messages by their tables; see wire.h. */
#include <string.h>

#include "wire/wire_obj.h"

/* ---- print ---- */

#define PRINT_BYTES 16		/* of a bytes field, in hex, before it is cut */
#define PRINT_ELEMS 32		/* of an array, before it is cut */

static void text(struct buf *b, const char *s)
{
	for (; *s; s++)
		buf_u8(b, (uint8_t)*s);
}

static void number(struct buf *b, int64_t v)
{
	char digits[24];
	int n = 0;
	uint64_t u = v < 0 ? -(uint64_t)v : (uint64_t)v;

	if (v < 0)
		buf_u8(b, '-');
	do
		digits[n++] = (char)('0' + u % 10);
	while ((u /= 10) > 0);
	while (n > 0)
		buf_u8(b, (uint8_t)digits[--n]);
}

static void hex(struct buf *b, const uint8_t *p, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		buf_u8(b, (uint8_t)"0123456789abcdef"[p[i] >> 4]);
		buf_u8(b, (uint8_t)"0123456789abcdef"[p[i] & 15]);
	}
}

static void print_string(struct buf *b, const struct str *s)
{
	if (s->len < 0) {
		text(b, "null");
		return;
	}
	buf_u8(b, '"');
	for (int32_t i = 0; i < s->len; i++) {
		uint8_t c = (uint8_t)s->p[i];

		if (c < 0x20 || c == 0x7f) {
			text(b, "\\x");
			hex(b, &c, 1);
			continue;
		}
		if (c == '"' || c == '\\')
			buf_u8(b, '\\');
		buf_u8(b, c);
	}
	buf_u8(b, '"');
}

static void print_bytes(struct buf *b, const struct bytes *s, bool records)
{
	if (s->len < 0) {
		text(b, "null");
		return;
	}
	buf_u8(b, '<');
	number(b, s->len);
	text(b, " bytes");
	if (!records && s->len > 0) {
		buf_u8(b, ' ');
		hex(b, s->p, s->len < PRINT_BYTES ? (size_t)s->len : PRINT_BYTES);
		text(b, s->len > PRINT_BYTES ? ".." : "");
	}
	buf_u8(b, '>');
}

static void print_struct(const struct wire_type *t, int version, const uint8_t *obj, struct buf *b);

static void print_elem(const struct wire_field *f, int version, const uint8_t *m, struct buf *b)
{
	char id[UUID_TEXT + 1];

	switch ((enum wire_kind)f->kind) {
	case WIRE_BOOL:
		text(b, *m ? "true" : "false");
		break;
	case WIRE_INT8: case WIRE_INT16: case WIRE_UINT16: case WIRE_INT32: case WIRE_UINT32:
	case WIRE_INT64:
		number(b, wire_number(f, m));
		break;
	case WIRE_FLOAT64: {
		uint64_t bits;
		uint8_t be[8];

		/* Exact, and needs no libc: the bits. */
		memcpy(&bits, m, sizeof bits);
		for (int i = 0; i < 8; i++)
			be[i] = (uint8_t)(bits >> (56 - 8 * i));
		text(b, "0x");
		hex(b, be, 8);
		break;
	}
	case WIRE_UUID:
		uuid_text((const void *)m, id);
		text(b, id);
		break;
	case WIRE_STRING: case WIRE_USTRING:
		print_string(b, (const void *)m);
		break;
	case WIRE_BYTES: case WIRE_RECORDS:
		print_bytes(b, (const void *)m, f->kind == WIRE_RECORDS);
		break;
	case WIRE_STRUCT:
		print_struct(f->sub, version, m, b);
		break;
	}
}

static void print_field(const struct wire_field *f, int version, const uint8_t *obj, struct buf *b)
{
	const uint8_t *m = obj + f->at;

	text(b, f->name);
	buf_u8(b, '=');
	if (f->flags & WIRE_SECRET) {
		text(b, "***");
	} else if (f->flags & WIRE_ARRAY) {
		int32_t n = wire_count(f, obj);

		m = wire_pointer(m);
		if (n < 0) {
			text(b, "null");
			return;
		}
		buf_u8(b, '[');
		for (int32_t i = 0; i < n && i < PRINT_ELEMS; i++, m += wire_elem_size(f)) {
			text(b, i > 0 ? " " : "");
			print_elem(f, version, m, b);
		}
		if (n > PRINT_ELEMS) {
			text(b, " ..");
			number(b, n);
		}
		buf_u8(b, ']');
	} else if (f->kind == WIRE_STRUCT && f->flags & WIRE_NULLABLE) {
		if (wire_pointer(m))
			print_elem(f, version, wire_pointer(m), b);
		else
			text(b, "null");
	} else
		print_elem(f, version, m, b);
}

static void print_struct(const struct wire_type *t, int version, const uint8_t *obj, struct buf *b)
{
	const struct wire_plan *p = wire_plan(t, version);
	bool first = true;

	buf_u8(b, '{');
	for (int i = 0; i < p->n + p->ntags; i++) {
		const struct wire_field *f = &t->fields[p->ops[i].field];

		if (i >= p->n && wire_is_default(f, obj))
			continue;
		text(b, first ? "" : " ");
		first = false;
		print_field(f, version, obj, b);
	}
	buf_u8(b, '}');
}

void wire_print(const struct wire_type *t, int version, const void *obj, struct buf *b)
{
	text(b, t->name);
	text(b, " v");
	number(b, version);
	buf_u8(b, ' ');
	print_struct(t, version, obj, b);
}

/* ---- random values ---- */

struct maker {
	struct rng *r;
	struct arena *arena;
	int version;
};

static int random_struct(struct maker *k, const struct wire_type *t, uint8_t *obj);

/* Small, large and border values alike. */
static int64_t random_number(struct rng *r)
{
	switch (rng_below(r, 6)) {
	case 0:
		return (int64_t)rng_below(r, 4) - 1;
	case 1:
		return INT64_MAX;
	case 2:
		return INT64_MIN;
	case 3:
		return (int64_t)(rng_next(r) >> rng_below(r, 64));
	default:
		return (int64_t)rng_next(r);
	}
}

static int random_view(struct maker *k, const struct wire_field *f, bool nullable, uint8_t *m)
{
	int32_t len = rng_below(k->r, 4) ? (int32_t)rng_below(k->r, 12) :
		      (int32_t)rng_below(k->r, 300);
	uint8_t *p = NULL;

	if (nullable && rng_below(k->r, 4) == 0)
		len = -1;
	if (len > 0) {
		p = arena_alloc(k->arena, (size_t)len);
		if (!p)
			return E_LIMIT;
	}
	for (int32_t i = 0; i < len; i++)
		p[i] = f->kind <= WIRE_USTRING ? (uint8_t)('a' + rng_below(k->r, 26)) :
						(uint8_t)rng_next(k->r);
	if (f->kind <= WIRE_USTRING)
		*(struct str *)(void *)m = (struct str){ (const char *)p, len };
	else
		*(struct bytes *)(void *)m = (struct bytes){ p, len };
	return OK;
}

static int random_elem(struct maker *k, const struct wire_field *f, bool nullable, uint8_t *m)
{
	uint64_t v;

	switch ((enum wire_kind)f->kind) {
	case WIRE_BOOL:
		*m = rng_next(k->r) >> 63 != 0;
		return OK;
	case WIRE_INT8: case WIRE_INT16: case WIRE_UINT16: case WIRE_INT32: case WIRE_UINT32:
	case WIRE_INT64:
		wire_set_number(f, m, random_number(k->r));
		return OK;
	case WIRE_FLOAT64:
		v = rng_next(k->r);
		memcpy(m, &v, sizeof v);
		return OK;
	case WIRE_UUID:
		for (int i = 0; i < 2; i++) {
			v = rng_next(k->r);
			memcpy(m + 8 * i, &v, sizeof v);
		}
		return OK;
	case WIRE_STRING: case WIRE_USTRING: case WIRE_BYTES: case WIRE_RECORDS:
		return random_view(k, f, nullable, m);
	case WIRE_STRUCT:
		return random_struct(k, f->sub, m);
	}
	return OK;
}

static int random_array(struct maker *k, const struct wire_field *f, bool nullable, uint8_t *obj)
{
	int32_t n = (int32_t)rng_below(k->r, 4);
	size_t size = wire_elem_size(f);

	if (nullable && rng_below(k->r, 4) == 0)
		n = -1;
	wire_set_count(f, obj, n);
	if (n <= 0)
		return OK;
	uint8_t *m = arena_array(k->arena, (size_t)n, size);
	if (!m)
		return E_LIMIT;
	memcpy(obj + f->at, &m, sizeof m);
	for (int err = OK; n > 0; n--, m += size)
		if ((err = random_elem(k, f, f->kind == WIRE_USTRING, m)) != OK)
			return err;
	return OK;
}

static int random_field(struct maker *k, const struct wire_field *f, bool nullable, uint8_t *obj)
{
	uint8_t *m = obj + f->at;

	if (f->flags & WIRE_ARRAY)
		return random_array(k, f, nullable, obj);
	if (f->kind == WIRE_STRUCT && f->flags & WIRE_NULLABLE) {
		if (nullable && rng_below(k->r, 3) == 0)
			return OK;
		uint8_t *sub = arena_alloc(k->arena, f->sub->size);
		if (!sub)
			return E_LIMIT;
		memcpy(m, &sub, sizeof sub);
		m = sub;
	}
	return random_elem(k, f, nullable, m);
}

static int random_struct(struct maker *k, const struct wire_type *t, uint8_t *obj)
{
	const struct wire_plan *p = wire_plan(t, k->version);
	int err = OK;

	wire_init(t, obj);
	for (int i = 0; i < p->n + p->ntags && err == OK; i++)
		if (i < p->n || rng_below(k->r, 2))
			err = random_field(k, &t->fields[p->ops[i].field], p->ops[i].nullable, obj);
	return err;
}

int wire_random(const struct wire_type *t, int version, struct rng *r, struct arena *a, void *obj)
{
	return random_struct(&(struct maker){ r, a, version }, t, obj);
}

/* ---- equality ---- */

static bool equal_elem(const struct wire_field *f, const uint8_t *a, const uint8_t *b)
{
	const struct bytes *x = (const void *)a, *y = (const void *)b;

	switch ((enum wire_kind)f->kind) {
	case WIRE_BOOL: case WIRE_INT8: case WIRE_INT16: case WIRE_UINT16: case WIRE_INT32:
	case WIRE_UINT32: case WIRE_INT64:
		return wire_number(f, a) == wire_number(f, b);
	case WIRE_FLOAT64: case WIRE_UUID:
		return memcmp(a, b, wire_elem_size(f)) == 0;
	case WIRE_STRING: case WIRE_USTRING:
		return str_eq(*(const struct str *)(const void *)a, *(const struct str *)(const void *)b);
	case WIRE_BYTES: case WIRE_RECORDS:
		return x->len == y->len && (x->len <= 0 || memcmp(x->p, y->p, (size_t)x->len) == 0);
	case WIRE_STRUCT:
		return wire_equal(f->sub, a, b);
	}
	return false;
}

static bool equal_field(const struct wire_field *f, const uint8_t *a, const uint8_t *b)
{
	const uint8_t *x = a + f->at, *y = b + f->at;
	int32_t n = 1;

	if (f->flags & WIRE_ARRAY) {
		n = wire_count(f, a);
		if (n != wire_count(f, b))
			return false;
	}
	if (f->flags & WIRE_ARRAY || (f->kind == WIRE_STRUCT && f->flags & WIRE_NULLABLE)) {
		x = wire_pointer(x);
		y = wire_pointer(y);
		if (n <= 0 || !x || !y)
			return n <= 0 || x == y;
	}
	for (; n > 0; n--, x += wire_elem_size(f), y += wire_elem_size(f))
		if (!equal_elem(f, x, y))
			return false;
	return true;
}

bool wire_equal(const struct wire_type *t, const void *a, const void *b)
{
	for (const struct wire_field *f = t->fields; f < t->fields + t->nfields; f++)
		if (!equal_field(f, a, b))
			return false;
	return true;
}
