/*
 * fuzz_wire.c - any bytes into the decoder of any message and version.
 *
 * Byte 0 and 1 choose the message, byte 2 the version, the rest is the message. What decodes must
 * encode, and its encoding must decode to an equal value and encode to the same bytes again. The
 * input is also read as a request frame: header first, then the body that the header names.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/wire_types.h"
#include "base/assert.h"
#include "base/mem.h"
#include "wire/kafka_api.h"

#define MAX (16u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void one(const struct wire_type *t, int version, const uint8_t *p, size_t n)
{
	struct arena a;
	struct buf first, second;
	void *x = mem_alloc(t->size), *y = mem_alloc(t->size);

	arena_init(&a, 1 << 14, MAX);
	buf_init(&first, MAX);
	buf_init(&second, MAX);
	if (wire_decode_some(t, version, p, n, &a, x, NULL) == OK) {
		must(wire_encode(t, version, x, &first) == OK);
		int err = wire_decode(t, version, first.p, first.len, &a, y);

		must(err == OK || err == E_LIMIT);
		if (err == OK) {
			must(wire_equal(t, x, y));
			must(wire_encode(t, version, y, &second) == OK);
			must(first.len == second.len);
			must(first.len == 0 || memcmp(first.p, second.p, first.len) == 0);
		}
		buf_reset(&first);
		wire_print(t, version, x, &first);
	}
	buf_release(&first);
	buf_release(&second);
	arena_release(&a);
	mem_free(x);
	mem_free(y);
}

static void as_frame(const uint8_t *p, size_t n)
{
	struct request_header h;
	struct arena a;
	size_t used = 0;

	if (n < 4)
		return;
	const struct kafka_api *api = kafka_api((int16_t)(p[0] << 8 | p[1]));
	int16_t version = (int16_t)(p[2] << 8 | p[3]);
	if (!api || !api->request || !wire_has(api->request, version))
		return;
	arena_init(&a, 1 << 12, MAX);
	if (wire_decode_some(&wire_request_header, kafka_request_header_version(api, version), p, n,
			     &a, &h, &used) == OK) {
		must(h.request_api_key == api->key && h.request_api_version == version);
		one(api->request, version, p + used, n - used);
	}
	arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	static int ntypes;

	while (wire_types(ntypes))
		ntypes++;
	if (n < 3)
		return 0;
	const struct wire_type *t = wire_types((p[0] << 8 | p[1]) % ntypes);
	one(t, t->vmin + p[2] % (t->vmax - t->vmin + 1), p + 3, n - 3);
	as_frame(p, n);
	return 0;
}
