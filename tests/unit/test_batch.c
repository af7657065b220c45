/*
 * test_batch.c - wire/batch.h against bytes that our encoder did not make.
 *
 * The golden batches A-E were written by an independent script and read back by Kafka's
 * DumpLogSegments. Traps are numbered as in the project's checklist.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "wire/batch.h"

#define T0 INT64_C(1700000000000)

/* ---- golden bytes -------------------------------------------------------------------------- */

static const char A[] =
	"00000000000000000000004d000000000237827b3a0000000000010000018bcfe568000000018bcfe56805ffff"
	"ffffffffffffffffffffffff0000000210000000026b02760024000a02010a68656c6c6f0402680278026e01";
static const char B[] =
	"00000000000000020000003a0000000002f077c3e60010000000000000018bcfe568000000018bcfe568000000"
	"00000000000700000000000000000001100000000274023100";
static const char C[] =
	"000000000000000300000042000000000244c0ac440030000000000000018bcfe568000000018bcfe568000000"
	"0000000000070000ffffffff000000012000000008000000000c00000000000500";
static const char E[] =
	"0000000000000005000000420000000002b0fe7a0c0030000000000000018bcfe568000000018bcfe568000000"
	"0000000000070000ffffffff000000012000000008000000010c00000000000500";

static size_t unhex(const char *s, uint8_t *ret)
{
	size_t n = strlen(s) / 2;

	for (size_t i = 0; i < n; i++) {
		unsigned v;

		sscanf(s + 2 * i, "%2x", &v);
		ret[i] = (uint8_t)v;
	}
	return n;
}

static void reseal(uint8_t *p, size_t n)
{
	be32_put(p + 17, crc32c(0, p + 21, n - 21));
}

static const struct batch_rules usual = {
	.batch_bytes_max = 1 << 20,
	.record_bytes_max = 1 << 20,
	.plain_bytes_max = 64 << 20,
	.now_ms = T0,
	.before_max_ms = INT64_MAX,
	.after_max_ms = 3600000,
};

Test(batch, golden_read)
{
	uint8_t b[512];
	const uint8_t *p = b, *at;
	size_t n = unhex(A, b), len;
	struct batch_head h;
	struct batch_records it;
	struct batch_record r;
	struct batch_header kv;
	int16_t type;
	int32_t epoch;

	n += unhex(B, b + n);
	n += unhex(C, b + n);
	n += unhex(E, b + n);
	len = n;
	cr_assert_eq(batch_next(&p, &len, &h, &at), OK);
	cr_assert(batch_crc_ok(at, &h));
	cr_assert_eq(h.max_timestamp, T0 + 5);
	batch_records_init(&it, &h, at + BATCH_HEAD, h.bytes - BATCH_HEAD);
	cr_assert_eq(batch_records_next(&it, &r), OK);
	cr_assert(r.key.len == 1 && r.key.p[0] == 'k' && r.value.len == 1 && r.value.p[0] == 'v');
	cr_assert(r.timestamp == T0 && r.offset == 0);
	cr_assert_eq(batch_header_next(&r, &kv), E_NOENT);
	cr_assert_eq(batch_records_next(&it, &r), OK);
	cr_assert(r.key.len == -1 && r.value.len == 5 && r.timestamp == T0 + 5 && r.offset == 1);
	cr_assert_eq(batch_header_next(&r, &kv), OK);
	cr_assert(str_is(kv.key, "h") && kv.value.len == 1 && kv.value.p[0] == 'x');
	cr_assert_eq(batch_header_next(&r, &kv), OK);
	cr_assert(str_is(kv.key, "n") && kv.value.len == -1);
	cr_assert_eq(batch_header_next(&r, &kv), E_NOENT);
	cr_assert_eq(batch_records_next(&it, &r), E_NOENT);

	cr_assert_eq(batch_next(&p, &len, &h, &at), OK);
	cr_assert(h.producer_id == 7 && h.producer_epoch == 0 && h.base_sequence == 0);
	cr_assert(h.attributes == BATCH_TRANSACTIONAL && batch_crc_ok(at, &h));
	cr_assert_eq(batch_control_read(at, &h, &type, &epoch), E_BAD);
	cr_assert_eq(batch_next(&p, &len, &h, &at), OK);
	cr_assert(batch_crc_ok(at, &h) && batch_control_read(at, &h, &type, &epoch) == OK);
	cr_assert(type == BATCH_ABORT && epoch == 5 && h.base_sequence == -1);
	cr_assert_eq(batch_next(&p, &len, &h, &at), OK);
	cr_assert(batch_crc_ok(at, &h) && batch_control_read(at, &h, &type, &epoch) == OK);
	cr_assert(type == BATCH_COMMIT && epoch == 5);
	cr_assert_eq(batch_next(&p, &len, &h, &at), E_NOENT);

	/* Fetched data may end inside a batch. */
	for (size_t cut = 1; cut < 78; cut++) {
		p = b + n - 78;
		len = cut;
		cr_assert_eq(batch_next(&p, &len, &h, &at), E_SHORT);
		cr_assert(p == b + n - 78 && len == cut);
	}
}

Test(batch, golden_build)
{
	static const struct batch_header headers[] = {
		{ { "h", 1 }, { (const uint8_t *)"x", 1 } }, { { "n", 1 }, { NULL, -1 } },
	};
	struct batch_builder b;
	struct batch_stamp s = BATCH_STAMP;
	uint8_t want[512], marker[BATCH_MARKER_BYTES];
	const uint8_t *got;
	size_t n, len;
	uint64_t live = mem_live();

	batch_builder_init(&b, 1024);
	s.leader_epoch = 0;
	for (int again = 0; again < 2; again++) {
		cr_assert_eq(batch_builder_add(&b, T0, (struct bytes){ (const uint8_t *)"k", 1 },
					       (struct bytes){ (const uint8_t *)"v", 1 }, NULL, 0), OK);
		cr_assert_eq(batch_builder_add(&b, T0 + 5, BYTES_NULL,
					       (struct bytes){ (const uint8_t *)"hello", 5 }, headers, 2), OK);
		n = unhex(A, want);
		cr_assert_eq(batch_builder_bytes(&b), n);
		cr_assert_eq(batch_builder_add(&b, T0, BYTES_NULL, (struct bytes){ want, 1000 }, NULL, 0),
			     E_LIMIT);
		cr_assert_eq(batch_builder_finish(&b, &s, NULL, &got, &len), OK);
		cr_assert(len == n && memcmp(got, want, n) == 0);
	}
	cr_assert_eq(batch_builder_finish(&b, &s, NULL, &got, &len), E_NOENT);
	batch_builder_release(&b);
	cr_assert_eq(mem_live(), live);

	unhex(C, want);
	batch_marker(marker, 3, 0, 7, 0, BATCH_ABORT, 5, T0);
	cr_assert_eq(memcmp(marker, want, sizeof marker), 0);
	unhex(E, want);
	batch_marker(marker, 5, 0, 7, 0, BATCH_COMMIT, 5, T0);
	cr_assert_eq(memcmp(marker, want, sizeof marker), 0);
}

/* ---- the check: one change to batch A each -------------------------------------------------- */

struct fault {
	const char *what;
	int at;				/* first changed byte; -1: none */
	const char *bytes;		/* hex */
	bool keep_crc;			/* leave the checksum as it is */
	int cut, more;			/* bytes taken from or added at the end */
	enum batch_verdict want;
	int16_t kafka;
};

static const struct fault faults[] = {
	{ "as it is", -1, "", true, 0, 0, BATCH_OK, 0 },
	{ "trap 30: nothing", -1, "", true, 89, 0, BATCH_EMPTY, 87 },
	{ "trap 30: two batches", -1, "", true, 0, 1, BATCH_MORE, 87 },
	{ "trap 30: magic 1", 16, "01", true, 0, 0, BATCH_MAGIC, 87 },
	{ "trap 30: magic 0", 16, "00", true, 0, 0, BATCH_MAGIC, 87 },
	{ "magic 3", 16, "03", true, 0, 0, BATCH_GARBLED, 2 },
	{ "magic -1", 16, "ff", true, 0, 0, BATCH_GARBLED, 2 },
	{ "length 0", 8, "00000000", true, 0, 0, BATCH_GARBLED, 2 },
	{ "length -1", 8, "ffffffff", true, 0, 0, BATCH_GARBLED, 2 },
	{ "length max", 8, "7fffffff", true, 0, 0, BATCH_CUT, 87 },
	{ "length 48", 8, "00000030", true, 0, 0, BATCH_GARBLED, 2 },
	{ "length 49", 8, "00000031", true, 0, 0, BATCH_MORE, 87 },
	{ "one byte short", -1, "", true, 1, 0, BATCH_CUT, 87 },
	{ "trap 31: base offset 1", 7, "01", true, 0, 0, BATCH_BASE_OFFSET, 87 },
	{ "trap 32: crc", 17, "37", true, 0, 0, BATCH_OK, 0 },
	{ "trap 32: another crc", 17, "38", true, 0, 0, BATCH_BAD_CRC, 2 },
	{ "trap 32: a changed value", 88, "02", true, 0, 0, BATCH_BAD_CRC, 2 },
	{ "leader epoch is outside the crc", 12, "00000009", true, 0, 0, BATCH_OK, 0 },
	{ "trap 31: control", 21, "0020", false, 0, 0, BATCH_IS_CONTROL, 87 },
	{ "delete horizon", 21, "0040", false, 0, 0, BATCH_ATTRIBUTES, 87 },
	{ "bit 7", 21, "0080", false, 0, 0, BATCH_ATTRIBUTES, 87 },
	{ "bit 15", 21, "8000", false, 0, 0, BATCH_ATTRIBUTES, 87 },
	{ "codec 5", 21, "0005", false, 0, 0, BATCH_CODEC, 76 },
	{ "codec 7", 21, "0007", false, 0, 0, BATCH_CODEC, 76 },
	{ "zstd without a port", 21, "0004", false, 0, 0, BATCH_CODEC, 76 },
	{ "transactional without id", 21, "0010", false, 0, 0, BATCH_SEQUENCE, 87 },
	{ "trap 31: last delta 0", 23, "00000000", false, 0, 0, BATCH_COUNT, 87 },
	{ "trap 31: last delta -1", 23, "ffffffff", false, 0, 0, BATCH_COUNT, 87 },
	{ "trap 31: count 0", 57, "00000000", false, 0, 0, BATCH_COUNT, 87 },
	{ "trap 31: count 3", 57, "00000003", false, 0, 0, BATCH_COUNT, 87 },
	{ "trap 31: count -1", 57, "ffffffff", false, 0, 0, BATCH_COUNT, 87 },
	{ "trap 31: id without sequence", 43, "0000000000000007", false, 0, 0, BATCH_SEQUENCE, 87 },
	{ "id, epoch, sequence", 43, "0000000000000007000000000000", false, 0, 0, BATCH_OK, 0 },
	{ "record length 9", 61, "12", false, 0, 0, BATCH_RECORD, 87 },
	{ "record length -1", 61, "01", false, 0, 0, BATCH_RECORD, 87 },
	{ "record length beyond", 61, "ff7f", false, 0, 0, BATCH_RECORD, 87 },
	{ "record attributes are ignored", 62, "ff", false, 0, 0, BATCH_OK, 0 },
	{ "offset delta 1 first", 64, "02", false, 0, 0, BATCH_RECORD, 87 },
	{ "offset delta 0 again", 73, "00", false, 0, 0, BATCH_RECORD, 87 },
	{ "key length -2", 65, "03", false, 0, 0, BATCH_RECORD, 87 },
	{ "key beyond the record", 65, "0e", false, 0, 0, BATCH_RECORD, 87 },
	{ "value length -2", 67, "03", false, 0, 0, BATCH_RECORD, 87 },
	{ "value beyond the record", 75, "30", false, 0, 0, BATCH_RECORD, 87 },
	{ "header count -1", 81, "01", false, 0, 0, BATCH_RECORD, 87 },
	{ "header count 3", 81, "06", false, 0, 0, BATCH_RECORD, 87 },
	{ "header count huge", 81, "feffffff0f", false, 0, 0, BATCH_RECORD, 87 },
	{ "header key null", 86, "01", false, 0, 0, BATCH_RECORD, 87 },
	{ "varint of 11 bytes", 71, "ffffffffffffffffffffff", false, 0, 0, BATCH_RECORD, 87 },
};

Test(batch, faults)
{
	for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
		const struct fault *f = &faults[i];
		uint8_t b[128] = { 0 }, head[BATCH_HEAD];
		size_t n = unhex(A, b);
		struct batch_checked c;

		if (f->at >= 0)
			unhex(f->bytes, b + f->at);
		if (!f->keep_crc)
			reseal(b, n);
		/* A copy of exactly the size, so that ASan sees a read beyond it. */
		n = n - (size_t)f->cut + (size_t)f->more;
		uint8_t *exact = mem_alloc(n);
		memcpy(exact, b, n);
		enum batch_verdict v = batch_check(exact, n, &usual, NULL, &c);
		cr_expect_eq(v, f->want, "%s: %s", f->what, batch_verdict_text(v));
		cr_expect_eq(batch_verdict_kafka(v), f->kafka, "%s", f->what);
		if (v == BATCH_OK) {
			batch_store_head(exact, &usual, &c, head);
			cr_expect_eq(memcmp(exact, head, BATCH_HEAD), 0, "%s: header changed", f->what);
		}
		mem_free(exact);
	}
}

Test(batch, every_prefix_and_every_bit)
{
	uint8_t b[128];
	size_t n = unhex(A, b);
	struct batch_checked c;

	for (size_t cut = 0; cut < n; cut++) {
		uint8_t *exact = mem_alloc(cut);
		memcpy(exact, b, cut);
		cr_assert_neq(batch_check(exact, cut, &usual, NULL, &c), BATCH_OK);
		mem_free(exact);
	}
	for (size_t bit = 0; bit < n * 8; bit++) {
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
		bool epoch = bit / 8 >= 12 && bit / 8 < 16;
		cr_assert_eq(batch_check(b, n, &usual, NULL, &c) == BATCH_OK, epoch, "bit %zu", bit);
		b[bit / 8] ^= (uint8_t)(1 << bit % 8);
	}
}

/* ---- rules of the topic --------------------------------------------------------------------- */

Test(batch, topic_rules)
{
	uint8_t b[128], head[BATCH_HEAD];
	size_t n = unhex(A, b);
	struct batch_checked c;
	struct batch_rules r = usual;

	r.compacted = true;		/* trap 33: the second record has no key */
	cr_assert_eq(batch_check(b, n, &r, NULL, &c), BATCH_NO_KEY);
	cr_assert(c.record_errors_n == 1 && c.record_errors[0] == 1);
	r = usual;
	r.now_ms = T0 - 3600000;	/* trap 33: T0 is just allowed, T0 + 5 is not */
	cr_assert_eq(batch_check(b, n, &r, NULL, &c), BATCH_TIMESTAMP);
	cr_assert(c.record_errors_n == 1 && c.record_errors[0] == 1);
	r.now_ms = T0 + 1005;
	r.before_max_ms = 1000;
	cr_assert_eq(batch_check(b, n, &r, NULL, &c), BATCH_TIMESTAMP);
	cr_assert(c.record_errors_n == 1 && c.record_errors[0] == 0);
	r.compacted = true;		/* both: the code is that of the first bad record */
	cr_assert_eq(batch_check(b, n, &r, NULL, &c), BATCH_TIMESTAMP);
	cr_assert(c.record_errors_n == 2 && c.record_errors[0] == 0 && c.record_errors[1] == 1);
	r = usual;
	r.batch_bytes_max = (uint32_t)n - 1;	/* trap 35 */
	cr_assert_eq(batch_check(b, n, &r, NULL, &c), BATCH_TOO_LARGE);
	r = usual;
	r.record_bytes_max = 1;		/* trap 36: an uncompressed record is not bounded by it */
	cr_assert_eq(batch_check(b, n, &r, NULL, &c), BATCH_OK);
	cr_assert(c.max_timestamp == T0 + 5 && c.max_timestamp_delta == 1);

	/* Trap 34: header only, and the moved CRC is that of a full pass. */
	r = usual;
	r.log_append_time = true;
	r.now_ms = T0 + 77;
	cr_assert_eq(batch_check(b, n, &r, NULL, &c), BATCH_OK);
	batch_store_head(b, &r, &c, head);
	memcpy(b, head, BATCH_HEAD);
	cr_assert(be16_get(b + 21) == BATCH_LOG_APPEND_TIME && be64_get(b + 35) == (uint64_t)T0 + 77);
	cr_assert_eq(be32_get(b + 17), crc32c(0, b + 21, n - 21));
	/* A producer may not flag it itself. */
	cr_assert_eq(batch_check(b, n, &r, NULL, &c), BATCH_TIMESTAMP);
	cr_assert_eq(c.record_errors_n, 2);

	/* A wrong max timestamp in the header is corrected as Kafka does. */
	n = unhex(A, b);
	be64_put(b + 35, T0 + 999);
	reseal(b, n);
	cr_assert_eq(batch_check(b, n, &usual, NULL, &c), BATCH_OK);
	batch_store_head(b, &usual, &c, head);
	unhex(A, b);
	cr_assert_eq(memcmp(head, b, BATCH_HEAD), 0);

	/* Timestamp -1 is allowed (trap 33) and never the greatest. */
	be64_put(b + 27, (uint64_t)-6);
	reseal(b, n);
	cr_assert_eq(batch_check(b, n, &usual, NULL, &c), BATCH_OK);
	cr_assert(c.max_timestamp == -1 && c.max_timestamp_delta == -1);
}

Test(batch, find_time)
{
	uint8_t b[128];
	int64_t off, ts;
	struct batch_head h;

	cr_assert_eq(batch_parse(b, unhex(A, b), &h), OK);
	h.base_offset = 100;
	cr_assert(batch_find_time(b, &h, 0, 0, NULL, &off, &ts) == OK && off == 100 && ts == T0);
	cr_assert(batch_find_time(b, &h, T0, 0, NULL, &off, &ts) == OK && off == 100);
	cr_assert(batch_find_time(b, &h, T0 + 1, 0, NULL, &off, &ts) == OK && off == 101 && ts == T0 + 5);
	cr_assert_eq(batch_find_time(b, &h, T0 + 6, 0, NULL, &off, &ts), E_NOENT);
	cr_assert(batch_find_max_time(b, &h, 0, NULL, &off, &ts) == OK && off == 101 && ts == T0 + 5);
	h.attributes = BATCH_LOG_APPEND_TIME;	/* readers take the header's for all (trap 34) */
	cr_assert(batch_find_time(b, &h, T0 + 5, 0, NULL, &off, &ts) == OK && off == 100 && ts == T0 + 5);
}

Test(batch, varints)
{
	static const struct { int64_t v; const char *hex; } t[] = {
		{ 0, "00" }, { -1, "01" }, { 1, "02" }, { 63, "7e" }, { -64, "7f" }, { 64, "8001" },
		{ 300, "d804" }, { INT32_MAX, "feffffff0f" }, { INT32_MIN, "ffffffff0f" },
		{ INT64_MAX, "feffffffffffffffff01" }, { INT64_MIN, "ffffffffffffffffff01" },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		uint8_t want[16], got[16];
		size_t n = unhex(t[i].hex, want);
		int64_t v;
		int32_t v32;

		cr_assert_eq(batch_varlong_put(got, t[i].v), n);
		cr_assert_eq(memcmp(got, want, n), 0);
		cr_assert(batch_varlong(want, n, &v) == n && v == t[i].v);
		cr_assert_eq(batch_varlong(want, n - 1, &v), 0);
		bool fits = t[i].v >= INT32_MIN && t[i].v <= INT32_MAX;
		cr_assert_eq(batch_varint(want, n, &v32), fits ? n : 0);
	}
}
