/*
 * fuzz_import.c - a ZooKeeper's snapshot or log of any bytes: refused, or a tree that is saved and loaded (I3).
 *
 * Checksums are made right first, so that what lies behind them is reached. A log is read on a tree of a root alone.
 */
#include <stdlib.h>
#include <string.h>

#include "base/adler32.h"
#include "base/be.h"
#include "base/buf.h"
#include "base/mem.h"
#include "coord/import.h"

#define SEAL 13u
#define WHY 256

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void seal(uint8_t *p, size_t n)
{
	be64_put(p + n - SEAL, adler32_of(1, p, n - SEAL));
	memcpy(p + n - 5, "\0\0\0\1/", 5);
}

static void fix_records(uint8_t *p, size_t n)
{
	for (size_t at = 16; at + 13 <= n;) {
		size_t len = be32_get(p + at + 8);

		if (len == 0 || len > n - at - 13)
			return;
		p[at + 12 + len] = 'B';
		be64_put(p + at, adler32_of(1, p + at + 12, len));
		at += 13 + len;
	}
}

static int root_alone(struct coord_import *im, int64_t zxid)
{
	uint8_t p[16 + 8 + 4 + 72 + 5 + SEAL] = "ZKSN";
	char why[WHY];

	be32_put(p + 4, 2);
	be64_put(p + 16 + 8 + 4 + 4, UINT64_MAX);	/* rights: -1 */
	memcpy(p + sizeof p - SEAL - 5, "\0\0\0\1/", 5);
	seal(p, sizeof p);
	return import_snapshot(im, zxid, p, sizeof p, why, sizeof why);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
	static const struct coord_rules rules = { .nodes_max = 1000000 };
	struct coord_import *im = import_new();
	struct import_stats st;
	struct coord *c, *again;
	char why[WHY];
	uint8_t *p = mem_resize(NULL, n);
	int err = E_BAD;

	memcpy(p, bytes, n);
	if (n >= 4 && memcmp(p, "ZKSN", 4) == 0) {
		if (n >= 16 + SEAL)
			seal(p, n);
		err = import_snapshot(im, INT64_C(1) << 47, p, n, why, sizeof why);
	} else if (n >= 16 + 13 + 28) {
		fix_records(p, n);
		if (root_alone(im, (int64_t)(be64_get(p + 16 + 12 + 12) - 1)) != OK)
			abort();
		err = import_log(im, p, n, why, sizeof why);
	}
	if (err == OK && import_end(im, 0, &rules, &c, &st, why, sizeof why) == OK) {
		struct buf b;

		buf_init(&b, 1u << 28);
		coord_save(c, &b);
		again = coord_new();
		if (b.bad || coord_load(again, b.p, (uint32_t)b.len) != OK || coord_nodes(again) != coord_nodes(c) ||
		    coord_bytes(again) != coord_bytes(c) || coord_ephemerals(again) != coord_ephemerals(c))
			abort();
		coord_free(again);
		coord_free(c);
		buf_release(&b);
	}
	import_free(im);
	mem_free(p);
	return 0;
}
