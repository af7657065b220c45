/* test_codec.c - wire/codec.h and compressed batches, against what real producers wrote. */
#include <criterion/criterion.h>
#include <zlib.h>
#include <zstd.h>

#include "base/be.h"
#include "base/crc32.h"
#include "base/crc32c.h"
#include "base/rng.h"
#include "goldenbatch.h"
#include "wire/codec.h"
#include "wire/msgset.h"

static const struct {
	const char *name;
	unsigned codec;
} golden[] = {
	{ "java-v2-none.bin", BATCH_PLAIN }, { "java-v2-gzip.bin", BATCH_GZIP },
	{ "java-v2-gzip-1.bin", BATCH_GZIP }, { "java-v2-snappy.bin", BATCH_SNAPPY },
	{ "java-v2-lz4.bin", BATCH_LZ4 }, { "java-v2-lz4-17.bin", BATCH_LZ4 },
	{ "java-v2-txn.bin", BATCH_LZ4 }, { "java-v2-zstd.bin", BATCH_ZSTD },
	{ "java-v2-zstd-22.bin", BATCH_ZSTD }, { "rdkafka-v2-none.bin", BATCH_PLAIN },
	{ "rdkafka-v2-gzip.bin", BATCH_GZIP }, { "rdkafka-v2-snappy.bin", BATCH_SNAPPY },
	{ "rdkafka-v2-lz4.bin", BATCH_LZ4 }, { "rdkafka-v2-zstd.bin", BATCH_ZSTD },
	{ "kafkapython-v2-none.bin", BATCH_PLAIN }, { "kafkapython-v2-gzip.bin", BATCH_GZIP },
};

static const struct batch_rules usual = {
	.batch_bytes_max = 1 << 20,
	.record_bytes_max = 1 << 20,
	.plain_bytes_max = 8 << 20,
	.now_ms = GOLDEN_T0 + 1000,
	.before_max_ms = INT64_MAX,
	.after_max_ms = 3600000,
};

static void expect_all(const uint8_t *p, struct batch_port *port, const char *name)
{
	struct batch_head h;
	struct batch_records it;
	struct batch_record r;
	struct buf scratch;
	const uint8_t *plain;
	size_t len;
	int i = 0, err;

	buf_init(&scratch, 1 << 20);
	cr_assert_eq(batch_parse(p, BATCH_HEAD, &h), OK);
	cr_assert(batch_crc_ok(p, &h));
	cr_assert_eq(batch_plain(p, &h, port, &scratch, &plain, &len), OK, "%s", name);
	batch_records_init(&it, &h, plain, len);
	for (; (err = batch_records_next(&it, &r)) == OK; i++)
		cr_assert(golden_expect(i, &r, 2), "%s: record %d", name, i);
	cr_assert(err == E_NOENT && i == GOLDEN_N, "%s: %d records", name, i);
	buf_release(&scratch);
}

Test(codec, golden)
{
	struct codec_limits lim = CODEC_LIMITS;
	uint64_t live = mem_live();
	struct codec *c = codec_new(&lim);
	struct batch_port *port = codec_port(c);

	for (size_t g = 0; g < sizeof golden / sizeof *golden; g++) {
		const char *name = golden[g].name;
		size_t n;
		uint8_t *p = golden_load(name, &n), head[BATCH_HEAD];
		struct batch_checked k;
		struct buf out;
		int64_t off, ts;

		cr_assert(p, "%s", name);
		cr_assert_eq(batch_check(p, n, &usual, port, &k), BATCH_OK, "%s: %s", name,
			     batch_verdict_text(k.verdict));
		cr_assert_eq(batch_codec(&k.head), golden[g].codec);
		cr_assert(k.max_timestamp == GOLDEN_T0 + 99 && k.head.max_timestamp == GOLDEN_T0 + 99);
		cr_assert_eq(k.max_timestamp_delta, 27);	/* 27 * 37 = 999 */
		expect_all(p, port, name);
		cr_assert_eq(batch_find_time(p, &k.head, GOLDEN_T0 + 98, UINT64_MAX, port, &off, &ts), OK);
		cr_assert(off == 27 && ts == GOLDEN_T0 + 99);
		cr_assert_eq(batch_find_max_time(p, &k.head, UINT64_MAX, port, &off, &ts), OK);
		cr_assert_eq(off, 27);
		if (strstr(name, "txn"))
			cr_assert(k.head.producer_id == 4711 && k.head.producer_epoch == 3 &&
				  k.head.base_sequence == 17 && (k.head.attributes & BATCH_TRANSACTIONAL));

		/* Trap 35: written again with every codec, then read again. */
		batch_store_head(p, &usual, &k, head);
		buf_init(&out, 1 << 20);
		for (unsigned to = 0; to < BATCH_CODEC_N; to++) {
			cr_assert_eq(batch_recode(p, &k, head, to, INT32_MIN, 1 << 20, port, &out), OK);
			expect_all(out.p, port, name);
			cr_assert_eq(be16_get(out.p + 21) & BATCH_CODEC_MASK, to);
		}
		out.max = 700;
		cr_assert_eq(batch_recode(p, &k, head, BATCH_LZ4, INT32_MIN, 1 << 20, port, &out), E_LIMIT);
		buf_release(&out);

		/* Every prefix and every changed byte is refused: by the CRC, and without it by
		 * the codec or the walk, or it is read to its end without harm. */
		for (size_t cut = 0; cut < n; cut += 1 + cut / 100)
			cr_assert_neq(batch_check(p, cut, &usual, port, &k), BATCH_OK);
		for (size_t at = BATCH_CRC_FROM; at < n; at += 1 + n / 400) {
			p[at] ^= 0x55;
			cr_assert_eq(batch_check(p, n, &usual, port, &k), BATCH_BAD_CRC);
			be32_put(p + 17, crc32c(0, p + 21, n - 21));
			batch_check(p, n, &usual, port, &k);
			p[at] ^= 0x55;
			be32_put(p + 17, crc32c(0, p + 21, n - 21));
		}
		/* A shorter payload under a right CRC and length. */
		for (size_t cut = BATCH_HEAD; cut < n; cut += 1 + n / 100) {
			uint8_t *q = mem_alloc(cut);
			memcpy(q, p, cut);
			be32_put(q + 8, (uint32_t)cut - 12);
			be32_put(q + 17, crc32c(0, q + 21, cut - 21));
			cr_assert_neq(batch_check(q, cut, &usual, port, &k), BATCH_OK, "%s cut %zu", name, cut);
			mem_free(q);
		}
		mem_free(p);
	}
	codec_free(c);
	cr_assert_eq(mem_live(), live);
}

/* ---- old formats ----------------------------------------------------------------------------- */

static const char *const old[] = {
	"java-v0-none.bin", "java-v0-gzip.bin", "java-v0-snappy.bin", "java-v0-lz4.bin",
	"java-v1-none.bin", "java-v1-gzip.bin", "java-v1-snappy.bin", "java-v1-lz4.bin",
	"rdkafka-v0-none.bin", "rdkafka-v0-gzip.bin", "rdkafka-v0-snappy.bin", "rdkafka-v0-lz4.bin",
	"rdkafka-v1-none.bin", "rdkafka-v1-gzip.bin", "rdkafka-v1-snappy.bin", "rdkafka-v1-lz4.bin",
	"kafkapython-v0-none.bin", "kafkapython-v0-gzip.bin", "kafkapython-v1-none.bin",
	"kafkapython-v1-gzip.bin",
};

/* The number of a message set's messages that are readable, and what stopped the reading. */
static int count_messages(const uint8_t *p, size_t n, int *ret_err)
{
	struct msgset_message m;
	int count = 0;

	while ((*ret_err = msgset_next(&p, &n, &m)) == OK)
		count++;
	return count;
}

Test(msgset, golden)
{
	struct codec_limits lim = CODEC_LIMITS;
	uint64_t live = mem_live();
	struct codec *c = codec_new(&lim);
	struct batch_port *port = codec_port(c);
	struct batch_builder b;

	batch_builder_init(&b, 1 << 20);
	for (size_t g = 0; g < sizeof old / sizeof *old; g++) {
		const char *name = old[g];
		size_t n, len, plain_len;
		uint8_t *p = golden_load(name, &n);
		const uint8_t *out, *plain;
		struct batch_checked k;
		struct batch_records it;
		struct batch_record r;
		struct buf scratch;
		int i = 0, err, version = strstr(name, "-v0-") ? 0 : 1;

		cr_assert(p, "%s", name);
		enum batch_verdict v = msgset_convert(p, n, &usual, port, &b, &out, &len);
		cr_assert_eq(v, BATCH_OK, "%s: %s", name, batch_verdict_text(v));
		cr_assert_eq(batch_check(out, len, &usual, port, &k), BATCH_OK, "%s", name);
		cr_assert_eq(k.max_timestamp, version == 0 ? -1 : GOLDEN_T0 + 99);
		cr_assert_eq(batch_codec(&k.head), (unsigned)codec_by_name((struct str){ strrchr(name, '-') + 1,
			     (int32_t)strcspn(strrchr(name, '-') + 1, ".") }));
		buf_init(&scratch, 1 << 20);
		cr_assert_eq(batch_plain(out, &k.head, port, &scratch, &plain, &plain_len), OK);
		batch_records_init(&it, &k.head, plain, plain_len);
		for (; (err = batch_records_next(&it, &r)) == OK; i++)
			cr_assert(golden_expect(i, &r, version), "%s: record %d", name, i);
		cr_assert(err == E_NOENT && i == GOLDEN_N);
		buf_release(&scratch);

		/* A prefix is refused, or ends exactly between two messages of a plain set. */
		int whole = count_messages(p, n, &err);
		cr_assert(err == E_NOENT && (whole == GOLDEN_N || whole == 1));
		for (size_t cut = 0; cut < n; cut += 1 + n / 300) {
			count_messages(p, cut, &err);
			v = msgset_convert(p, cut, &usual, port, &b, &out, &len);
			cr_assert_eq(v == BATCH_OK, err == E_NOENT && cut > 0, "%s cut %zu", name, cut);
		}
		/* (Of a plain set the first message: the offsets of the others are in no checksum.) */
		for (size_t at = 12; at < (whole == 1 ? n : 34); at += 1 + n / 300) {
			p[at] ^= 0x55;
			cr_assert_neq(msgset_convert(p, n, &usual, port, &b, &out, &len), BATCH_OK);
			if (whole == 1) {	/* the wrapper's checksum is right, what is inside is not */
				be32_put(p + 12, crc32_ieee(0, p + 16, n - 16));
				(void)msgset_convert(p, n, &usual, port, &b, &out, &len);
			}
			p[at] ^= 0x55;
			be32_put(p + 12, whole == 1 ? crc32_ieee(0, p + 16, n - 16) : be32_get(p + 12));
		}
		mem_free(p);
	}
	batch_builder_release(&b);
	codec_free(c);
	cr_assert_eq(mem_live(), live);
}

/* ---- bounds --------------------------------------------------------------------------------- */

/* One record whose value is `size` zeros, packed with codec. */
static struct batch_checked check_zeros(struct batch_port *port, unsigned codec, size_t size,
					const struct batch_rules *rules)
{
	struct batch_builder b;
	struct batch_stamp s = BATCH_STAMP;
	struct batch_checked k;
	const uint8_t *p;
	size_t n;
	uint8_t *zeros = mem_alloc(size);

	batch_builder_init(&b, 100 << 20);
	s.codec = codec;
	cr_assert_eq(batch_builder_add(&b, GOLDEN_T0, BYTES_NULL, (struct bytes){ zeros, (int32_t)size },
				       NULL, 0), OK);
	cr_assert_eq(batch_builder_finish(&b, &s, port, &p, &n), OK);
	batch_check(p, n, rules, port, &k);
	batch_builder_release(&b);
	mem_free(zeros);
	return k;
}

Test(codec, bombs)
{
	struct codec_limits lim = CODEC_LIMITS;
	struct codec *c = codec_new(&lim);
	struct batch_port *port = codec_port(c);
	struct batch_rules r = usual;

	r.batch_bytes_max = 100 << 20;
	for (unsigned codec = BATCH_GZIP; codec < BATCH_CODEC_N; codec++) {
		r.record_bytes_max = 1 << 20;
		r.plain_bytes_max = 8 << 20;
		cr_assert_eq(check_zeros(port, codec, 1000000, &r).verdict, BATCH_OK);
		/* Trap 36: one record above the bound: 87. */
		cr_assert_eq(check_zeros(port, codec, (1 << 20) + 1, &r).verdict, BATCH_RECORD_TOO_LARGE);
		/* The whole above its bound: stopped there, 10. */
		r.record_bytes_max = INT32_MAX;
		struct batch_checked k = check_zeros(port, codec, 20 << 20, &r);
		cr_assert_eq(k.verdict, BATCH_BOMB);
		cr_assert_leq(k.plain_bytes, r.plain_bytes_max + CODEC_PIECE);
	}
	cr_assert_eq(check_zeros(port, BATCH_PLAIN, 20 << 20, &r).verdict, BATCH_OK);
	codec_free(c);
}

static int pull(struct batch_port *port, unsigned codec, const void *src, size_t len, size_t *ret_plain)
{
	const uint8_t *p;
	size_t n = 1;
	int err = port->open(port, codec, src, len);

	*ret_plain = 0;
	while (err == OK && n > 0 && (err = port->next(port, &p, &n)) == OK) {
		cr_assert_leq(n, CODEC_PIECE);
		*ret_plain += n;
	}
	port->close(port);
	return err;
}

Test(codec, streams)
{
	struct codec_limits lim = CODEC_LIMITS;
	lim.zstd_window_log = 20;
	lim.block_bytes_max = 1 << 20;
	struct codec *c = codec_new(&lim);
	struct batch_port *port = codec_port(c);
	struct buf b;
	size_t n;
	static uint8_t plain[3 << 20];
	struct rng rng;

	rng_init(&rng, 1);
	for (size_t i = 0; i < sizeof plain; i++)
		plain[i] = (uint8_t)rng_below(&rng, 8);
	buf_init(&b, 16 << 20);
	for (unsigned codec = BATCH_GZIP; codec < BATCH_CODEC_N; codec++) {
		static const size_t sizes[] = { 0, 1, 100, 32768, 65536, 65537, 300000, sizeof plain };

		for (size_t i = 0; i < sizeof sizes / sizeof *sizes; i++) {
			buf_reset(&b);
			cr_assert_eq(port->pack(port, codec, INT32_MIN, plain, sizes[i], &b), OK);
			/* zstd writes a window of the content's size: above the limit of this test. */
			bool wide = codec == BATCH_ZSTD && sizes[i] > 1 << 20;
			cr_assert_eq(pull(port, codec, b.p, b.len, &n), wide ? E_LIMIT : OK, "%u %zu", codec,
				     sizes[i]);
			cr_assert(wide || n == sizes[i]);
			size_t one = b.len;
			/* Concatenated streams are one; junk behind or a cut is damage. */
			cr_assert_eq(port->pack(port, codec, INT32_MIN, plain, sizes[i], &b), OK);
			if (!wide && i > 0) {
				cr_assert_eq(pull(port, codec, b.p, b.len, &n), OK, "%u", codec);
				cr_assert_eq(n, 2 * sizes[i]);
			}
			cr_assert_neq(pull(port, codec, b.p, one - 1, &n), OK);
			cr_assert_neq(pull(port, codec, b.p, one + 1, &n), OK);
		}
		cr_assert_eq(pull(port, codec, "", 0, &n), E_BAD);
	}
	cr_assert_eq(pull(port, 5, "x", 1, &n), E_VERSION);

	/* Raw snappy, as some clients send: 5 bytes "hello" as one literal. */
	cr_assert_eq(pull(port, BATCH_SNAPPY, "\x05\x10hello", 7, &n), OK);
	cr_assert_eq(n, 5);
	/* A block that claims 4 GiB, and one that claims more than its bytes can make. */
	cr_assert_eq(pull(port, BATCH_SNAPPY, "\xff\xff\xff\xff\x0f\x10hello", 11, &n), E_BAD);
	cr_assert_eq(pull(port, BATCH_SNAPPY, "\xff\x7f\x10hello", 8, &n), E_BAD);
	/* zstd: a frame header that asks for a window of 128 MiB (windowLog 27), then an empty block. */
	cr_assert_eq(pull(port, BATCH_ZSTD, "\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", 9, &n), E_LIMIT);
	codec_free(c);

	lim = CODEC_LIMITS;
	c = codec_new(&lim);
	cr_assert_eq(pull(codec_port(c), BATCH_ZSTD, "\x28\xb5\x2f\xfd\x00\x88\x01\x00\x00", 9, &n), OK);
	cr_assert_eq(pull(codec_port(c), BATCH_ZSTD, "\x28\xb5\x2f\xfd\x00\x90\x01\x00\x00", 9, &n), E_LIMIT);
	codec_free(c);
	buf_release(&b);
}

Test(codec, names_and_levels)
{
	cr_assert_eq(codec_by_name(STR("zstd")), BATCH_ZSTD);
	cr_assert_eq(codec_by_name(STR("uncompressed")), BATCH_PLAIN);
	cr_assert_eq(codec_by_name(STR("producer")), -1);
	cr_assert_str_eq(codec_name(BATCH_LZ4), "lz4");
	cr_assert_null(codec_name(5));
	cr_assert(codec_level_check(BATCH_GZIP, 0) == E_RANGE && codec_level_check(BATCH_GZIP, -1) == OK);
	cr_assert(codec_level_check(BATCH_LZ4, 17) == OK && codec_level_check(BATCH_LZ4, 18) == E_RANGE);
	cr_assert(codec_level_check(BATCH_ZSTD, 22) == OK && codec_level_check(BATCH_SNAPPY, 1) == E_NOENT);
}

/* ---- checksums ------------------------------------------------------------------------------ */

Test(crc, all_ways_agree)
{
	static uint8_t b[40000];
	struct rng rng;

	rng_init(&rng, 7);
	for (size_t i = 0; i < sizeof b; i++)
		b[i] = (uint8_t)rng_next(&rng);
	cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283u);		/* published check values */
	cr_assert_eq(crc32_ieee(0, "123456789", 9), 0xcbf43926u);
	for (size_t n = 0; n < sizeof b - 16; n += n < 1200 ? 1 : 997) {
		uint32_t want = crc32c_table(0, b + n % 13, n);

		cr_assert_eq(crc32c(0, b + n % 13, n), want, "length %zu", n);
		for (enum crc32c_way w = 0; w < CRC32C_WAYS; w++)
			if (crc32c_can(w))
				cr_assert_eq(crc32c_by(w, 0, b + n % 13, n), want, "way %d length %zu", w, n);
		/* Chained, and joined by the shift. */
		size_t half = n / 3;
		uint32_t a = crc32c(0, b + n % 13, half), z = crc32c(0, b + n % 13 + half, n - half);
		cr_assert_eq(crc32c(a, b + n % 13 + half, n - half), want);
		cr_assert_eq(crc32c_shift(a, n - half) ^ z, want);
		cr_assert_eq(crc32_ieee(0, b, n), (uint32_t)crc32(0, b, (uInt)n));
	}
}
