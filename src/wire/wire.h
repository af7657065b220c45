/*
 * wire.h - messages between bytes and structs, by tables that wiregen made of proto/.
 *
 * One table drives everything here: decode, encode, size, print, defaults, equality and random
 * values, so the six cannot disagree. Tables are constant; nothing is prepared at run time and
 * the library keeps no state, so all calls may be made from any thread and process.
 *
 * A message is a struct of wire/kafka_gen.h (naming: HACKING.md) and its table wire_<name>. The
 * elements of arrays and inner structures have tables of their own (wire_<message>_<structure>),
 * which wire_init() takes too.
 *
 * Versions: a field that the version does not have reads as its default. Whoever builds a message
 * starts with wire_init(), since some defaults are not zero.
 */
#ifndef WIRE_WIRE_H
#define WIRE_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/mem.h"
#include "base/rng.h"
#include "base/str.h"

#define WIRE_ARRAY_MAX 1000000	/* elements of one array; Kafka 4.4 has the same limit */
#define WIRE_TAGS_MAX 10000	/* fields of one tag buffer; Kafka 4.4 has the same limit */
#define WIRE_STRING_MAX 32767	/* bytes of a string: its length is an int16 */

/* ---- tables (read by wire*.c; others only use the version range) ---- */

enum wire_kind {
	WIRE_BOOL, WIRE_INT8, WIRE_INT16, WIRE_UINT16, WIRE_INT32, WIRE_UINT32, WIRE_INT64,
	WIRE_FLOAT64, WIRE_UUID, WIRE_STRING,
	WIRE_USTRING,			/* jute's: an int32 length, may be null in an array too */
	WIRE_BYTES, WIRE_RECORDS, WIRE_STRUCT,
};

enum {
	WIRE_ARRAY = 1,
	WIRE_NULLABLE = 2,		/* in some version; of a structure: the member is a pointer */
	WIRE_NULL_DEFAULT = 4,
	WIRE_SET_DEFAULT = 8,		/* the default is not all zero bytes */
	WIRE_IGNORABLE = 16,		/* may be dropped where the version lacks it */
	WIRE_INFLEXIBLE = 32,		/* keeps fixed lengths in flexible versions */
	WIRE_SECRET = 64,		/* never printed */
};

struct wire_type;

struct wire_field {
	const char *name;
	const struct wire_type *sub;	/* of structures */
	int64_t def;			/* of numbers and booleans */
	uint16_t at;			/* offset of the member */
	uint16_t n_at;			/* of the member <name>_n, if an array */
	uint16_t tag;
	uint8_t kind;			/* enum wire_kind; of an array: its elements */
	uint8_t flags;
};

struct wire_op {
	uint8_t field;			/* number in fields[] */
	uint8_t nullable;		/* in this version */
};

/* What one structure looks like in some versions. */
struct wire_plan {
	const struct wire_op *ops;	/* n in their order, then tags by tag, then those absent */
	uint16_t min;			/* the fewest bytes it can take */
	uint8_t n, ntags, nabsent;
	bool flexible;
	bool set_default;		/* a tagged or absent field has WIRE_SET_DEFAULT */
};

struct wire_type {
	const char *name;		/* "ProduceRequest"; of an inner structure "topic_produce_data" */
	const struct wire_field *fields;
	const struct wire_plan *plans;
	const uint8_t *plan_of;		/* by version - vmin */
	uint32_t size;			/* of the struct */
	uint8_t nfields;
	int16_t vmin, vmax;		/* versions we can read and write */
	int16_t kafka_min;		/* Kafka 4.4 defines kafka_min..vmax; what is below was added */
	int16_t flexible_min;		/* first flexible version; INT16_MAX: none */
};

static inline bool wire_has(const struct wire_type *t, int version)
{
	return t->vmin <= version && version <= t->vmax;
}

/* ---- calls; version must be one that the type has: ask wire_has() first ---- */

/*
 * All fields to their defaults. Works for inner structures and array elements too. (The one
 * nullable structure that Kafka does not default to null, classic_member_metadata of a consumer
 * group's member record, becomes NULL here, which is written as null.)
 */
void wire_init(const struct wire_type *t, void *obj);
/*
 * Reads one message. Strings, bytes and records are views of p; arrays and nullable structures
 * come from the arena. Bytes behind the message are no error: *ret_used (may be NULL) says how
 * many were read. On an error *obj is not to be used.
 * E_SHORT: p ends inside the message. E_BAD: it makes no sense (a null where none may be, a length
 * or count that cannot be, tags out of order). E_LIMIT: more than WIRE_ARRAY_MAX elements or
 * WIRE_TAGS_MAX tags, or the arena is full.
 */
MUST_CHECK int wire_decode_some(const struct wire_type *t, int version, const void *p, size_t len,
				struct arena *a, void *obj, size_t *ret_used);
/* The same, but bytes behind the message are E_BAD. */
MUST_CHECK int wire_decode(const struct wire_type *t, int version, const void *p, size_t len,
			   struct arena *a, void *obj);
/*
 * Appends one message to b. On an error nothing was appended.
 * E_VERSION: a field is set that this version has not and that may not be dropped, or is null where
 * this version knows no null. E_LIMIT: the buffer's limit is met (then b->bad), a string is longer
 * than WIRE_STRING_MAX, or the whole is longer than a frame can be.
 */
MUST_CHECK int wire_encode(const struct wire_type *t, int version, const void *obj, struct buf *b);
/* Bytes that wire_encode() would write, gaps (below) included; errors as there. */
MUST_CHECK int wire_size(const struct wire_type *t, int version, const void *obj, size_t *ret);

/*
 * For records that lie in a file: a field of type records with p = NULL and len > 0 is written as
 * its length only; its bytes are left out and reported as a gap, in rising order of `at`. The
 * caller sends buffer and file pieces in turn.
 */
struct wire_gap {
	size_t at;			/* the gap is before this byte of the buffer (b->p + at) */
	int32_t len;			/* bytes that are missing there */
	const struct bytes *field;	/* whose they are */
};
/* Errors as wire_encode(); also E_LIMIT if there are more than cap gaps. */
MUST_CHECK int wire_encode_gaps(const struct wire_type *t, int version, const void *obj,
				struct buf *b, struct wire_gap *gaps, int cap, int *ret_n);

/* One line for traces: "ProduceRequest v9 {acks=-1 ...}". What does not fit in b is cut (b->bad). */
void wire_print(const struct wire_type *t, int version, const void *obj, struct buf *b);
/* A message that this version can carry, of random values and small arrays. E_LIMIT: arena full. */
MUST_CHECK int wire_random(const struct wire_type *t, int version, struct rng *r, struct arena *a,
			   void *obj);
/* Whether all fields are equal, also those that no version at hand has. */
bool wire_equal(const struct wire_type *t, const void *a, const void *b);

#endif
