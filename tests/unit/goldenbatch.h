/* goldenbatch.h - the 100 records of every file in tests/golden/batches, and how to load one. */
#ifndef TESTS_UNIT_GOLDENBATCH_H
#define TESTS_UNIT_GOLDENBATCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "wire/batch.h"

#define GOLDEN_T0 INT64_C(1700000000000)
#define GOLDEN_N 100

/* A copy of exactly the file's size, so that ASan sees a read beyond it; mem_free() it. NULL: none. */
static inline uint8_t *golden_load(const char *name, size_t *ret_len)
{
	char path[512];
	const char *src = getenv("srcdir");

	snprintf(path, sizeof path, "%s/tests/golden/batches/%s", src ? src : "..", name);
	FILE *f = fopen(path, "rb");
	if (!f)
		return NULL;
	static uint8_t b[1 << 16];
	size_t n = fread(b, 1, sizeof b, f);
	fclose(f);
	uint8_t *p = mem_alloc(n);
	memcpy(p, b, n);
	*ret_len = n;
	return p;
}

static inline bool golden_bytes_are(struct bytes b, const char *text)
{
	return text ? b.len == (int32_t)strlen(text) && memcmp(b.p, text, (size_t)b.len) == 0 : b.len < 0;
}

/* Is r what record i has to be? Old formats: no headers; v0: no timestamps either. */
static inline bool golden_expect(int i, struct batch_record *r, int version)
{
	char key[16], value[256], h[16];
	struct batch_header kv;
	int n = snprintf(value, sizeof value, "value-%d-", i);

	for (int k = 0; k < i % 50; k++)
		n += snprintf(value + n, sizeof value - (size_t)n, "abc");
	snprintf(key, sizeof key, "key-%04d", i);
	snprintf(h, sizeof h, "%d", i);
	if (!golden_bytes_are(r->key, i % 10 == 0 ? NULL : key) ||
	    !golden_bytes_are(r->value, i % 11 == 5 ? NULL : value))
		return false;
	if (r->timestamp != (version == 0 ? -1 : GOLDEN_T0 + i * 37 % 100) || r->offset != i)
		return false;
	if (version == 2 && i % 3 == 0 &&
	    (batch_header_next(r, &kv) != OK || !str_is(kv.key, "h") || !golden_bytes_are(kv.value, h)))
		return false;
	if (version == 2 && i % 6 == 0 &&
	    (batch_header_next(r, &kv) != OK || !str_is(kv.key, "n") || kv.value.len != -1))
		return false;
	return batch_header_next(r, &kv) == E_NOENT;
}

#endif
