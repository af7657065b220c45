/*
 * wire_roundtrip.c [ROUNDS [SEED]] - random values of every message and version: encode, decode,
 * compare; size equals length; every prefix is refused; a byte behind is refused; every single-byte
 * change is either refused or gives a message that encodes again.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire_types.h"

static int bad;
static uint64_t prefixes, changes, accepted;

static void complain(const struct wire_type *t, int version, const char *what, int err)
{
	if (bad++ < 20)
		printf("%s v%d: %s %s\n", t->name, version, what, err_name(err));
}

static void try_prefixes(const struct wire_type *t, int version, const struct buf *b, void *obj)
{
	struct arena a;

	arena_init(&a, 4096, 1 << 22);
	for (size_t n = 0; n < b->len; n++, prefixes++) {
		/* Memory of exactly n bytes: a sanitizer sees a read behind it. */
		uint8_t *p = mem_resize(NULL, n);

		memcpy(p, b->p, n);
		if (wire_decode(t, version, p, n, &a, obj) == OK)
			complain(t, version, "takes a prefix", OK);
		mem_free(p);
		arena_reset(&a);
	}
	arena_release(&a);
}

static void try_changes(const struct wire_type *t, int version, struct buf *b, struct rng *r,
			void *obj)
{
	struct arena a;
	struct buf out;

	arena_init(&a, 4096, 1 << 22);
	buf_init(&out, 1 << 24);
	for (int i = 0; i < 20 && b->len > 0; i++, changes++) {
		uint8_t *at = &b->p[rng_below(r, (uint32_t)b->len)], old = *at;

		*at = (uint8_t)(rng_below(r, 2) ? *at ^ 1u << rng_below(r, 8) : rng_next(r));
		if (wire_decode(t, version, b->p, b->len, &a, obj) == OK) {
			int err = wire_encode(t, version, obj, &out);

			accepted++;
			if (err != OK)
				complain(t, version, "decoded does not encode", err);
			wire_print(t, version, obj, &out);
		}
		*at = old;
		buf_reset(&out);
		arena_reset(&a);
	}
	buf_release(&out);
	arena_release(&a);
}

static void round_trip(const struct wire_type *t, int version, struct rng *r, bool thorough)
{
	struct arena a;
	struct buf b;
	size_t size = 0;
	void *x = mem_alloc(t->size), *y = mem_alloc(t->size);

	arena_init(&a, 1 << 16, 1 << 26);
	buf_init(&b, 1 << 24);
	int err = wire_random(t, version, r, &a, x);
	if (err == OK)
		err = wire_encode(t, version, x, &b);
	if (err != OK)
		complain(t, version, "random or encode", err);
	else if (wire_size(t, version, x, &size) != OK || size != b.len)
		complain(t, version, "size", OK);
	else if ((err = wire_decode(t, version, b.p, b.len, &a, y)) != OK)
		complain(t, version, "decode", err);
	else if (!wire_equal(t, x, y))
		complain(t, version, "not equal", OK);
	else if (thorough && b.len < 2000) {
		try_prefixes(t, version, &b, y);
		try_changes(t, version, &b, r, y);
		buf_u8(&b, 0);
		if (wire_decode(t, version, b.p, b.len, &a, y) != E_BAD)
			complain(t, version, "takes a byte behind", OK);
	}
	mem_free(x);
	mem_free(y);
	buf_release(&b);
	arena_release(&a);
}

int main(int argc, char **argv)
{
	int rounds = argc > 1 ? atoi(argv[1]) : 10, n = 0;
	struct rng r;

	rng_init(&r, argc > 2 ? strtoull(argv[2], NULL, 0) : 1);
	for (int i = 0; wire_types(i); i++)
		for (int v = wire_types(i)->vmin; v <= wire_types(i)->vmax; v++)
			for (int k = 0; k < rounds; k++, n++)
				round_trip(wire_types(i), v, &r, k < 2);
	printf("%d round trips, %llu prefixes, %llu changed bytes (%llu accepted), %d wrong\n", n,
	       (unsigned long long)prefixes, (unsigned long long)changes, (unsigned long long)accepted,
	       bad);
	return bad > 0 || mem_live() != 0;
}
