/* wire_obj.h - private to wire*.c: members of a struct reached by their table. */
#ifndef WIRE_WIRE_OBJ_H
#define WIRE_WIRE_OBJ_H

#include <string.h>

#include "base/assert.h"
#include "wire/wire.h"

/* The plan of a version; stops the process if the type has no such version. */
const struct wire_plan *wire_plan(const struct wire_type *t, int version);
bool wire_is_default(const struct wire_field *f, const uint8_t *obj);
/* Bytes of one element of an array, in memory. */
size_t wire_elem_size(const struct wire_field *f);

static inline void *wire_pointer(const uint8_t *m)
{
	void *p;

	memcpy(&p, m, sizeof p);
	return p;
}

static inline int32_t wire_count(const struct wire_field *f, const uint8_t *obj)
{
	int32_t n;

	memcpy(&n, obj + f->n_at, sizeof n);
	return n;
}

static inline void wire_set_count(const struct wire_field *f, uint8_t *obj, int32_t n)
{
	memcpy(obj + f->n_at, &n, sizeof n);
}

/* A number or boolean; kinds up to WIRE_INT64. */
static inline int64_t wire_number(const struct wire_field *f, const uint8_t *m)
{
	union { uint16_t u16; int16_t i16; uint32_t u32; int32_t i32; int64_t i64; } v;

	memcpy(&v, m, f->kind <= WIRE_INT8 ? 1 : f->kind <= WIRE_UINT16 ? 2 :
	       f->kind <= WIRE_UINT32 ? 4 : 8);
	switch (f->kind) {
	case WIRE_BOOL:
		return *m != 0;
	case WIRE_INT8:
		return (int8_t)*m;
	case WIRE_INT16:
		return v.i16;
	case WIRE_UINT16:
		return v.u16;
	case WIRE_INT32:
		return v.i32;
	case WIRE_UINT32:
		return v.u32;
	default:
		must(f->kind == WIRE_INT64);
		return v.i64;
	}
}

static inline void wire_set_number(const struct wire_field *f, uint8_t *m, int64_t v)
{
	must(f->kind <= WIRE_INT64);
	/* Little-endian hosts (base/be.h): the low bytes come first. */
	memcpy(m, &v, f->kind <= WIRE_INT8 ? 1 : f->kind <= WIRE_UINT16 ? 2 :
	       f->kind <= WIRE_UINT32 ? 4 : 8);
}

#endif
