/*
 * wire.c - decode, encode and size of messages by their tables; see wire.h.
 *
 * Encoding runs the same code twice: first counting (p == NULL), where every check is made, then
 * into memory of exactly that size. Recursion is as deep as the schema, never as deep as the input.
 */
#include "wire/wire.h"

#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "wire/cursor.h"
#include "wire/wire_obj.h"

const struct wire_plan *wire_plan(const struct wire_type *t, int version)
{
	must(wire_has(t, version));
	return &t->plans[t->plan_of[version - t->vmin]];
}

/* ---- defaults ---- */

static void set_default(const struct wire_field *f, uint8_t *obj)
{
	uint8_t *m = obj + f->at;

	if (f->flags & WIRE_ARRAY) {
		wire_set_count(f, obj, f->flags & WIRE_NULL_DEFAULT ? -1 : 0);
		return;
	}
	switch ((enum wire_kind)f->kind) {
	case WIRE_BOOL: case WIRE_INT8: case WIRE_INT16: case WIRE_UINT16: case WIRE_INT32:
	case WIRE_UINT32: case WIRE_INT64:
		wire_set_number(f, m, f->def);
		break;
	case WIRE_STRING: case WIRE_USTRING:
		*(struct str *)(void *)m = f->flags & WIRE_NULL_DEFAULT ? STR_NULL : STR("");
		break;
	case WIRE_BYTES: case WIRE_RECORDS:
		*(struct bytes *)(void *)m =
			f->flags & WIRE_NULL_DEFAULT ? BYTES_NULL : (struct bytes){ NULL, 0 };
		break;
	case WIRE_STRUCT:
		if (!(f->flags & WIRE_NULLABLE))
			wire_init(f->sub, m);
		break;
	case WIRE_FLOAT64: case WIRE_UUID:
		break;
	}
}

void wire_init(const struct wire_type *t, void *obj)
{
	memset(obj, 0, t->size);
	for (const struct wire_field *f = t->fields; f < t->fields + t->nfields; f++)
		if (f->flags & WIRE_SET_DEFAULT)
			set_default(f, obj);
}

static bool all_default(const struct wire_type *t, const uint8_t *obj);

bool wire_is_default(const struct wire_field *f, const uint8_t *obj)
{
	const uint8_t *m = obj + f->at;
	int32_t empty = f->flags & WIRE_NULL_DEFAULT ? -1 : 0;

	if (f->flags & WIRE_ARRAY)
		return wire_count(f, obj) == empty;
	switch ((enum wire_kind)f->kind) {
	case WIRE_BOOL: case WIRE_INT8: case WIRE_INT16: case WIRE_UINT16: case WIRE_INT32:
	case WIRE_UINT32: case WIRE_INT64:
		return wire_number(f, m) == f->def;
	case WIRE_FLOAT64:
		return memcmp(m, &(double){ 0 }, sizeof(double)) == 0;
	case WIRE_UUID:
		return uuid_is_zero((const void *)m);
	case WIRE_STRING: case WIRE_USTRING:
		return ((const struct str *)(const void *)m)->len == empty;
	case WIRE_BYTES: case WIRE_RECORDS:
		return ((const struct bytes *)(const void *)m)->len == empty;
	case WIRE_STRUCT:
		if (!(f->flags & WIRE_NULLABLE))
			return all_default(f->sub, m);
		m = wire_pointer(m);
		return f->flags & WIRE_NULL_DEFAULT ? !m : m && all_default(f->sub, m);
	}
	return true;
}

static bool all_default(const struct wire_type *t, const uint8_t *obj)
{
	for (const struct wire_field *f = t->fields; f < t->fields + t->nfields; f++)
		if (!wire_is_default(f, obj))
			return false;
	return true;
}

/* ---- decode ---- */

struct reader {
	struct cursor c;
	struct arena *arena;
	int version;
};

static int get_struct(struct reader *r, const struct wire_type *t, uint8_t *obj);

static int get_scalar(struct cursor *c, unsigned kind, uint8_t *m)
{
	uint8_t v8;
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;
	int err;

	switch (kind) {
	case WIRE_BOOL: case WIRE_INT8:
		if ((err = cursor_u8(c, &v8)) == OK)
			*m = kind == WIRE_BOOL ? v8 != 0 : v8;
		return err;
	case WIRE_INT16: case WIRE_UINT16:
		if ((err = cursor_be16(c, &v16)) == OK)
			memcpy(m, &v16, 2);
		return err;
	case WIRE_INT32: case WIRE_UINT32:
		if ((err = cursor_be32(c, &v32)) == OK)
			memcpy(m, &v32, 4);
		return err;
	case WIRE_INT64: case WIRE_FLOAT64:
		if ((err = cursor_be64(c, &v64)) == OK)
			memcpy(m, &v64, 8);
		return err;
	default:
		must(kind == WIRE_UUID);
		const uint8_t *p = cursor_take(c, 16);
		if (!p)
			return E_SHORT;
		memcpy(m, p, 16);
		return OK;
	}
}

/* A length or count; -1: null. small: a string, whose fixed form is an int16. */
static inline int get_len(struct cursor *c, bool compact, bool small, int32_t *ret)
{
	int err;

	if (compact) {
		uint32_t v;

		if ((err = cursor_uvarint(c, &v)) != OK)
			return err;
		if (v > (uint32_t)INT32_MAX)
			return E_BAD;
		*ret = (int32_t)v - 1;
	} else if (small) {
		uint16_t v;

		if ((err = cursor_be16(c, &v)) != OK)
			return err;
		*ret = (int16_t)v;
	} else {
		uint32_t v;

		if ((err = cursor_be32(c, &v)) != OK)
			return err;
		*ret = (int32_t)v;
	}
	return *ret >= -1 ? OK : E_BAD;
}

static int get_view(struct cursor *c, unsigned kind, bool compact, bool nullable, uint8_t *m)
{
	int32_t len;
	const uint8_t *p = NULL;
	bool string = kind == WIRE_STRING;
	int err = get_len(c, compact, string, &len);

	if (err != OK)
		return err;
	if (len < 0 ? !nullable : string && len > WIRE_STRING_MAX)
		return E_BAD;
	if (len >= 0 && (p = cursor_take(c, (size_t)len)) == NULL)
		return E_SHORT;
	if (string || kind == WIRE_USTRING)
		*(struct str *)(void *)m = (struct str){ (const char *)p, len };
	else
		*(struct bytes *)(void *)m = (struct bytes){ p, len };
	return OK;
}

static size_t elem_size(const struct wire_field *f)
{
	static const uint8_t sizes[] = {
		[WIRE_BOOL] = sizeof(bool), [WIRE_INT8] = 1, [WIRE_INT16] = 2, [WIRE_UINT16] = 2,
		[WIRE_INT32] = 4, [WIRE_UINT32] = 4, [WIRE_INT64] = 8, [WIRE_FLOAT64] = 8,
		[WIRE_UUID] = 16, [WIRE_STRING] = sizeof(struct str), [WIRE_USTRING] = sizeof(struct str),
		[WIRE_BYTES] = sizeof(struct bytes), [WIRE_RECORDS] = sizeof(struct bytes),
	};

	return f->kind == WIRE_STRUCT ? f->sub->size : sizes[f->kind];
}

size_t wire_elem_size(const struct wire_field *f)
{
	return elem_size(f);
}

/* The fewest bytes an element takes: a count that cannot fit is refused before memory is taken. */
static size_t elem_min(const struct wire_field *f, bool compact, int version)
{
	if (f->kind == WIRE_STRUCT) {
		size_t min = wire_plan(f->sub, version)->min;

		return min > 0 ? min : 1;
	}
	if (f->kind >= WIRE_STRING)
		return compact ? 1 : f->kind == WIRE_STRING ? 2 : 4;
	return elem_size(f);
}

static int get_elem(struct reader *r, const struct wire_field *f, bool compact, bool nullable,
		    uint8_t *m)
{
	if (f->kind < WIRE_STRING)
		return get_scalar(&r->c, f->kind, m);
	if (f->kind < WIRE_STRUCT)
		return get_view(&r->c, f->kind, compact, nullable, m);
	return get_struct(r, f->sub, m);
}

static int get_array(struct reader *r, const struct wire_field *f, bool compact, bool nullable,
		     uint8_t *obj)
{
	int32_t n;
	int err = get_len(&r->c, compact, false, &n);

	if (err != OK)
		return err;
	wire_set_count(f, obj, n);
	if (n <= 0)
		return n == 0 || nullable ? OK : E_BAD;
	if (n > WIRE_ARRAY_MAX)
		return E_LIMIT;
	if ((size_t)n > cursor_left(&r->c) / elem_min(f, compact, r->version))
		return E_SHORT;
	size_t size = elem_size(f);
	uint8_t *m = arena_array(r->arena, (size_t)n, size);
	if (!m)
		return E_LIMIT;
	memcpy(obj + f->at, &m, sizeof m);
	for (; n > 0; n--, m += size)
		if ((err = get_elem(r, f, compact, f->kind == WIRE_USTRING, m)) != OK)
			return err;
	return OK;
}

static int get_field(struct reader *r, const struct wire_field *f, bool flexible, bool nullable,
		     uint8_t *obj)
{
	bool compact = flexible && !(f->flags & WIRE_INFLEXIBLE);
	uint8_t *m = obj + f->at;

	if (f->flags & WIRE_ARRAY)
		return get_array(r, f, compact, nullable, obj);
	if (f->kind == WIRE_STRUCT && f->flags & WIRE_NULLABLE) {
		uint8_t present;
		int err = nullable ? cursor_u8(&r->c, &present) : OK;

		if (err != OK)
			return err;
		uint8_t *sub = NULL;
		if (nullable && (int8_t)present < 0) {
			memcpy(m, &sub, sizeof sub);
			return OK;
		}
		sub = arena_alloc(r->arena, f->sub->size);
		if (!sub)
			return E_LIMIT;
		memcpy(m, &sub, sizeof sub);
		return get_struct(r, f->sub, sub);
	}
	return get_elem(r, f, compact, nullable, m);
}

static int get_tags(struct reader *r, const struct wire_type *t, const struct wire_plan *p,
		    uint8_t *obj)
{
	const struct wire_op *ops = p->ops + p->n;
	uint32_t n, tag, size;
	int64_t last = -1;
	int err = cursor_uvarint(&r->c, &n);

	if (err != OK)
		return err;
	if (n > WIRE_TAGS_MAX)
		return E_LIMIT;
	for (; n > 0; n--) {
		if ((err = cursor_uvarint(&r->c, &tag)) != OK ||
		    (err = cursor_uvarint(&r->c, &size)) != OK)
			return err;
		if ((int64_t)tag <= last)
			return E_BAD;
		last = tag;
		const uint8_t *payload = cursor_take(&r->c, size);
		if (!payload)
			return E_SHORT;
		for (int i = 0; i < p->ntags; i++) {
			const struct wire_field *f = &t->fields[ops[i].field];
			struct reader in = { { payload, payload + size }, r->arena, r->version };

			if (f->tag != tag)
				continue;
			err = get_field(&in, f, true, ops[i].nullable, obj);
			if (err != OK)
				return err == E_SHORT ? E_BAD : err;
			if (cursor_left(&in.c) != 0)
				return E_BAD;
		}
	}
	return OK;
}

/* The default of a nullable structure that is not null by default: memory is needed. */
static int default_struct(struct reader *r, const struct wire_field *f, uint8_t *obj)
{
	void *sub = arena_alloc(r->arena, f->sub->size);

	if (!sub)
		return E_LIMIT;
	wire_init(f->sub, sub);
	memcpy(obj + f->at, &sub, sizeof sub);
	return OK;
}

/* Tagged and absent fields, before the tags are read. */
static int get_defaults(struct reader *r, const struct wire_type *t, const struct wire_plan *p,
			uint8_t *obj)
{
	const struct wire_op *o = p->ops + p->n, *end = o + p->ntags + p->nabsent;
	int err = OK;

	for (; o < end && err == OK; o++) {
		const struct wire_field *f = &t->fields[o->field];

		if (!(f->flags & WIRE_SET_DEFAULT))
			continue;
		if (f->kind == WIRE_STRUCT && (f->flags & (WIRE_ARRAY | WIRE_NULLABLE)) == WIRE_NULLABLE)
			err = default_struct(r, f, obj);
		else
			set_default(f, obj);
	}
	return err;
}

/* obj is zeroed memory. */
static int get_struct(struct reader *r, const struct wire_type *t, uint8_t *obj)
{
	const struct wire_plan *p = wire_plan(t, r->version);
	const struct wire_op *op = p->ops, *end = op + p->n;
	int err = p->set_default ? get_defaults(r, t, p, obj) : OK;

	for (; op < end && err == OK; op++)
		err = get_field(r, &t->fields[op->field], p->flexible, op->nullable, obj);
	return err == OK && p->flexible ? get_tags(r, t, p, obj) : err;
}

int wire_decode_some(const struct wire_type *t, int version, const void *p, size_t len,
		     struct arena *a, void *obj, size_t *ret_used)
{
	struct reader r = { cursor_of(p, len), a, version };

	memset(obj, 0, t->size);
	int err = get_struct(&r, t, obj);
	if (err == OK && ret_used)
		*ret_used = len - cursor_left(&r.c);
	return err;
}

int wire_decode(const struct wire_type *t, int version, const void *p, size_t len, struct arena *a,
		void *obj)
{
	size_t used = 0;
	int err = wire_decode_some(t, version, p, len, a, obj, &used);

	return err == OK && used != len ? E_BAD : err;
}

/* ---- encode ---- */

struct writer {
	uint8_t *p;			/* NULL: only count */
	size_t n;			/* bytes written or counted, without gaps */
	size_t gap_bytes;
	struct wire_gap *gaps;		/* NULL: gaps are counted only */
	int ngaps, cap;
	int version;
	int err;			/* the first one */
};

static void fail(struct writer *w, int err)
{
	if (w->err == OK)
		w->err = err;
}

static void put(struct writer *w, const void *p, size_t n)
{
	if (w->p && n > 0)
		memcpy(w->p + w->n, p, n);
	w->n += n;
}

static void put_be(struct writer *w, uint64_t v, size_t n)
{
	v = __builtin_bswap64(v << (64 - 8 * n));
	if (w->p)
		memcpy(w->p + w->n, &v, n);
	w->n += n;
}

static void put_uvarint(struct writer *w, uint32_t v)
{
	for (; v >= 0x80; v >>= 7)
		put_be(w, (v & 0x7f) | 0x80, 1);
	put_be(w, v, 1);
}

static void put_len(struct writer *w, int32_t n, bool compact, bool small)
{
	if (compact)
		put_uvarint(w, (uint32_t)n + 1);
	else
		put_be(w, (uint64_t)(int64_t)n, small ? 2 : 4);
}

static void put_scalar(struct writer *w, unsigned kind, const uint8_t *m)
{
	uint16_t v16;
	uint32_t v32;
	uint64_t v64;

	switch (kind) {
	case WIRE_BOOL: case WIRE_INT8:
		put_be(w, kind == WIRE_BOOL ? *m != 0 : *m, 1);
		break;
	case WIRE_INT16: case WIRE_UINT16:
		memcpy(&v16, m, 2);
		put_be(w, v16, 2);
		break;
	case WIRE_INT32: case WIRE_UINT32:
		memcpy(&v32, m, 4);
		put_be(w, v32, 4);
		break;
	case WIRE_INT64: case WIRE_FLOAT64:
		memcpy(&v64, m, 8);
		put_be(w, v64, 8);
		break;
	default:
		must(kind == WIRE_UUID);
		put(w, m, 16);
	}
}

static void put_gap(struct writer *w, const struct bytes *b)
{
	w->gap_bytes += (size_t)b->len;
	if (!w->p)
		return;
	must(w->gaps != NULL);		/* records in a file need wire_encode_gaps() */
	if (w->ngaps == w->cap) {
		fail(w, E_LIMIT);
		return;
	}
	w->gaps[w->ngaps++] = (struct wire_gap){ w->n, b->len, b };
}

static void put_view(struct writer *w, unsigned kind, bool compact, bool nullable, const uint8_t *m)
{
	struct bytes b;

	if (kind == WIRE_STRING || kind == WIRE_USTRING) {
		const struct str *s = (const void *)m;

		b = (struct bytes){ (const uint8_t *)s->p, s->len };
		if (kind == WIRE_STRING && b.len > WIRE_STRING_MAX)
			fail(w, E_LIMIT);
	} else
		b = *(const struct bytes *)(const void *)m;
	if (b.len < 0 && !nullable)
		fail(w, E_VERSION);
	must(b.len >= -1);
	put_len(w, b.len, compact, kind == WIRE_STRING);
	if (kind == WIRE_RECORDS && !b.p && b.len > 0)
		put_gap(w, (const void *)m);
	else if (b.len > 0)
		put(w, b.p, (size_t)b.len);
}

static void put_struct(struct writer *w, const struct wire_type *t, const uint8_t *obj);

static void put_elem(struct writer *w, const struct wire_field *f, bool compact, bool nullable,
		     const uint8_t *m)
{
	if (f->kind < WIRE_STRING)
		put_scalar(w, f->kind, m);
	else if (f->kind < WIRE_STRUCT)
		put_view(w, f->kind, compact, nullable, m);
	else
		put_struct(w, f->sub, m);
}

static void put_field(struct writer *w, const struct wire_field *f, bool flexible, bool nullable,
		      const uint8_t *obj)
{
	bool compact = flexible && !(f->flags & WIRE_INFLEXIBLE);
	const uint8_t *m = obj + f->at;

	if (f->flags & WIRE_ARRAY) {
		int32_t n = wire_count(f, obj);
		size_t size = elem_size(f);

		must(n >= -1);
		if (n < 0 && !nullable)
			fail(w, E_VERSION);
		put_len(w, n, compact, false);
		m = wire_pointer(m);
		for (; n > 0; n--, m += size)
			put_elem(w, f, compact, f->kind == WIRE_USTRING, m);
	} else if (f->kind == WIRE_STRUCT && f->flags & WIRE_NULLABLE) {
		m = wire_pointer(m);
		if (nullable)
			put_be(w, m ? 1 : 0xff, 1);
		if (m)
			put_struct(w, f->sub, m);
		else if (!nullable)
			fail(w, E_VERSION);
	} else
		put_elem(w, f, compact, nullable, m);
}

static void put_tags(struct writer *w, const struct wire_type *t, const struct wire_plan *p,
		     const uint8_t *obj)
{
	const struct wire_op *ops = p->ops + p->n;
	uint32_t n = 0;

	for (int i = 0; i < p->ntags; i++)
		n += !wire_is_default(&t->fields[ops[i].field], obj);
	put_uvarint(w, n);
	for (int i = 0; i < p->ntags && n > 0; i++) {
		const struct wire_field *f = &t->fields[ops[i].field];
		struct writer count = { .version = w->version };

		if (wire_is_default(f, obj))
			continue;
		put_field(&count, f, true, ops[i].nullable, obj);
		must(count.gap_bytes == 0);
		put_uvarint(w, f->tag);
		put_uvarint(w, (uint32_t)count.n);
		put_field(w, f, true, ops[i].nullable, obj);
	}
}

static void put_struct(struct writer *w, const struct wire_type *t, const uint8_t *obj)
{
	const struct wire_plan *p = wire_plan(t, w->version);
	const struct wire_op *op = p->ops, *end = op + p->n;

	for (; op < end; op++)
		put_field(w, &t->fields[op->field], p->flexible, op->nullable, obj);
	if (p->flexible)
		put_tags(w, t, p, obj);
	if (w->p)
		return;
	end += p->ntags + p->nabsent;
	for (op += p->ntags; op < end; op++) {
		const struct wire_field *f = &t->fields[op->field];

		if (!(f->flags & WIRE_IGNORABLE) && !wire_is_default(f, obj))
			fail(w, E_VERSION);
	}
}

int wire_size(const struct wire_type *t, int version, const void *obj, size_t *ret)
{
	struct writer w = { .version = version };

	put_struct(&w, t, obj);
	if (w.n + w.gap_bytes > INT32_MAX)
		fail(&w, E_LIMIT);
	if (w.err == OK)
		*ret = w.n + w.gap_bytes;
	return w.err;
}

int wire_encode_gaps(const struct wire_type *t, int version, const void *obj, struct buf *b,
		     struct wire_gap *gaps, int cap, int *ret_n)
{
	struct writer count = { .version = version };
	size_t start = b->len;

	put_struct(&count, t, obj);
	if (count.n + count.gap_bytes > INT32_MAX)
		fail(&count, E_LIMIT);
	if (count.err != OK)
		return count.err;
	uint8_t *to = buf_room(b, count.n);
	if (b->bad)
		return E_LIMIT;
	if (ret_n)
		*ret_n = 0;
	if (count.n == 0)
		return OK;
	struct writer w = { .p = to, .version = version, .gaps = gaps, .cap = cap };
	put_struct(&w, t, obj);
	must(w.n == count.n);
	if (w.err != OK) {
		b->len = start;
		return w.err;
	}
	for (int i = 0; i < w.ngaps; i++)
		gaps[i].at += start;
	if (ret_n)
		*ret_n = w.ngaps;
	return OK;
}

int wire_encode(const struct wire_type *t, int version, const void *obj, struct buf *b)
{
	return wire_encode_gaps(t, version, obj, b, NULL, 0, NULL);
}
