/*
 * fuzz_batch.c - a produced record batch or old message set through every reader of wire/batch.h.
 *
 * Each input is tried as it is and with length and CRC made right, so that the walk is reached.
 * What the check accepts, the iterator must read to its end, with as many records.
 */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "wire/codec.h"
#include "wire/msgset.h"

#define MAX (4u << 20)

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n);

static void read_all(const uint8_t *p, const struct batch_checked *k, struct batch_port *port)
{
	struct buf scratch;
	const uint8_t *plain;
	size_t len;
	struct batch_records it;
	struct batch_record r;
	struct batch_header h;
	int64_t off, ts, max = BATCH_NO_TIMESTAMP;
	int err, n = 0;

	buf_init(&scratch, MAX);
	must(batch_plain(p, &k->head, port, &scratch, &plain, &len) == OK);
	must(len == k->plain_bytes);
	batch_records_init(&it, &k->head, plain, len);
	while ((err = batch_records_next(&it, &r)) == OK) {
		must(r.offset == n++);
		max = r.timestamp > max ? r.timestamp : max;
		while ((err = batch_header_next(&r, &h)) == OK)
			must(h.key.len >= 0);
		must(err == E_NOENT);
	}
	must(err == E_NOENT && n == k->head.records && max == k->max_timestamp);
	must(batch_find_max_time(p, &k->head, MAX, port, &off, &ts) == OK);
	must(max == BATCH_NO_TIMESTAMP || (ts == max && off == k->max_timestamp_delta));
	buf_release(&scratch);
}

static void check(const uint8_t *p, size_t n, struct batch_port *port)
{
	static const struct batch_rules rules = {
		.batch_bytes_max = 1 << 20, .record_bytes_max = 1 << 20, .plain_bytes_max = MAX,
		.internal = true, .now_ms = INT64_C(1700000000000), .before_max_ms = INT64_MAX,
		.after_max_ms = INT64_MAX,
	};
	struct batch_checked k;
	uint8_t head[BATCH_HEAD];
	int16_t type;
	int32_t epoch;

	if (batch_check(p, n, &rules, port, &k) == BATCH_OK) {
		must(crc32c(0, p + 21, n - 21) == be32_get(p + 17));
		read_all(p, &k, port);
		batch_store_head(p, &rules, &k, head);
		must(crc32c(crc32c(0, head + 21, 40), p + 61, n - 61) == be32_get(head + 17));
		int err = batch_control_read(p, &k.head, &type, &epoch);
		must(err == OK || err == E_BAD);
	}
}

static void convert(const uint8_t *p, size_t n, struct batch_port *port)
{
	static const struct batch_rules rules = { .batch_bytes_max = 1 << 20, .plain_bytes_max = MAX };
	struct batch_builder b;
	const uint8_t *out;
	size_t len;

	batch_builder_init(&b, MAX);
	if (msgset_convert(p, n, &rules, port, &b, &out, &len) == BATCH_OK)
		check(out, len, port);
	batch_builder_release(&b);
}

int LLVMFuzzerTestOneInput(const uint8_t *p, size_t n)
{
	struct codec_limits lim = CODEC_LIMITS;
	struct codec *c = codec_new(&lim);
	const uint8_t *walk = p, *at;
	size_t left = n;
	struct batch_head h;

	while (batch_next(&walk, &left, &h, &at) == OK)
		(void)batch_crc_ok(at, &h);
	check(p, n, codec_port(c));
	convert(p, n, codec_port(c));
	if (n >= BATCH_HEAD && n < INT32_MAX) {
		uint8_t *q = mem_alloc(n);

		memcpy(q, p, n);
		be32_put(q + 8, (uint32_t)n - 12);
		if (q[16] == 2) {
			be32_put(q + 17, crc32c(0, q + 21, n - 21));
			check(q, n, codec_port(c));
		} else {
			be32_put(q + 12, crc32_ieee(0, q + 16, n - 16));
			convert(q, n, codec_port(c));
		}
		mem_free(q);
	}
	codec_free(c);
	return 0;
}
