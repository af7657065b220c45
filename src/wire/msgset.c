/*
 * msgset.c - message sets v0 and v1: offset i64, size i32, crc u32, magic, attributes, [v1:
 * timestamp i64], key, value. A compressed set is one wrapper message whose value is a set.
 */
#include "wire/msgset.h"

#include "base/be.h"
#include "base/crc32.h"
#include "wire/batch_walk.h"

#define ENTRY_HEAD 12			/* offset and size */
#define MIN_V0 14			/* crc, magic, attributes, two lengths */
#define MIN_V1 22

static bool take(const uint8_t **p, const uint8_t *end, struct bytes *ret)
{
	if (end - *p < 4)
		return false;
	int32_t len = (int32_t)be32_get(*p);

	*p += 4;
	if (len < -1 || len > end - *p)
		return false;
	*ret = len < 0 ? BYTES_NULL : (struct bytes){ *p, len };
	*p += len > 0 ? len : 0;
	return true;
}

int msgset_next(const uint8_t **p, size_t *len, struct msgset_message *ret)
{
	const uint8_t *at = *p;
	struct msgset_message m = { .timestamp = BATCH_NO_TIMESTAMP };

	if (*len == 0)
		return E_NOENT;
	if (*len < ENTRY_HEAD + 5)
		return E_SHORT;
	uint32_t size = be32_get(at + 8);

	m.magic = (int8_t)at[16];
	if (m.magic < 0 || m.magic > 1)
		return m.magic == 2 ? E_VERSION : E_BAD;
	if (size < (m.magic == 0 ? MIN_V0 : MIN_V1) || size > INT32_MAX)
		return E_BAD;
	if (size > *len - ENTRY_HEAD)
		return E_SHORT;
	const uint8_t *end = at + ENTRY_HEAD + size, *body = at + ENTRY_HEAD + 6;

	if (crc32_ieee(0, at + 16, (size_t)(end - at) - 16) != be32_get(at + 12))
		return E_CRC;
	m.offset = (int64_t)be64_get(at);
	m.attributes = at[17];
	if (m.magic == 1) {
		m.timestamp = (int64_t)be64_get(body);
		body += 8;
	}
	if (!take(&body, end, &m.key) || !take(&body, end, &m.value) || body != end)
		return E_BAD;
	*p = end;
	*len -= ENTRY_HEAD + size;
	*ret = m;
	return OK;
}

/* ---- lz4 of v0 ------------------------------------------------------------------------------ */

static uint32_t le32(const uint8_t *p)
{
	return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t rotate(uint32_t v, int n)
{
	return v << n | v >> (32 - n);
}

/* xxHash32 with seed 0 of fewer than 16 bytes: all that a frame descriptor needs. */
static uint32_t xxh32_short(const uint8_t *p, size_t n)
{
	uint32_t h = 374761393u + (uint32_t)n;

	for (; n >= 4; p += 4, n -= 4)
		h = rotate(h + le32(p) * 3266489917u, 17) * 668265263u;
	for (; n > 0; p++, n--)
		h = rotate(h + *p * 374761393u, 11) * 2654435761u;
	h = (h ^ h >> 15) * 2246822519u;
	h = (h ^ h >> 13) * 3266489917u;
	return h ^ h >> 16;
}

/* Kafka's first lz4 frames had a header checksum over too many bytes; readers of v0 ignore it (KIP-57).
 * Our lz4 does not, so the right one is put into a copy. */
static void mend_lz4(uint8_t *p, size_t n)
{
	if (n < 7)
		return;
	size_t descriptor = 2 + (p[4] & 0x08 ? 8u : 0u) + (p[4] & 0x01 ? 4u : 0u);

	if (n > 4 + descriptor)
		p[4 + descriptor] = (uint8_t)(xxh32_short(p + 4, descriptor) >> 8);
}

/* ---- conversion ----------------------------------------------------------------------------- */

static enum batch_verdict verdict_of(int err)
{
	switch (err) {
	case OK:
		return BATCH_OK;
	case E_SHORT:
		return BATCH_CUT;
	case E_CRC:
		return BATCH_BAD_CRC;
	case E_VERSION:
		return BATCH_MAGIC;
	}
	return BATCH_GARBLED;
}

static enum batch_verdict add_all(const uint8_t *p, size_t len, int8_t magic, bool inner,
				  uint32_t bytes_max, struct batch_builder *b)
{
	struct msgset_message m;
	int err;

	for (;;) {
		size_t before = len;

		if ((err = msgset_next(&p, &len, &m)) != OK)
			return err == E_NOENT ? BATCH_OK : verdict_of(err);
		if (m.magic != magic)
			return BATCH_MAGIC;
		if (m.attributes & BATCH_CODEC_MASK)
			return inner ? BATCH_RECORD : BATCH_MORE;
		if (m.attributes & BATCH_LOG_APPEND_TIME)
			return BATCH_TIMESTAMP;
		if (!inner && before - len > bytes_max)
			return BATCH_TOO_LARGE;
		if (batch_builder_add(b, m.timestamp, m.key, m.value, NULL, 0) != OK)
			return BATCH_TOO_LARGE;
	}
}

static enum batch_verdict unwrap(const struct msgset_message *m, const struct batch_rules *rules,
				 struct batch_port *port, struct batch_builder *b)
{
	unsigned codec = m->attributes & BATCH_CODEC_MASK;
	size_t max = rules->plain_bytes_max < INT32_MAX ? (size_t)rules->plain_bytes_max : INT32_MAX;
	enum batch_verdict v = BATCH_UNPACK;
	struct buf plain, mended;

	if (!port || codec > BATCH_LZ4)		/* zstd came with v2 */
		return BATCH_CODEC;
	if (m->attributes & BATCH_LOG_APPEND_TIME)
		return BATCH_TIMESTAMP;
	if (m->value.len < 0)
		return BATCH_RECORD;
	buf_init(&plain, max);
	buf_init(&mended, INT32_MAX);

	const uint8_t *src = m->value.p;

	if (codec == BATCH_LZ4 && m->magic == 0) {
		buf_put(&mended, src, (size_t)m->value.len);
		mend_lz4(mended.p, mended.len);
		src = mended.p;
	}
	int err = batch_unpack(port, codec, src, (size_t)m->value.len, &plain);

	if (err == OK)
		v = plain.len == 0 ? BATCH_EMPTY : add_all(plain.p, plain.len, m->magic, true, 0, b);
	else if (err == E_LIMIT)
		v = BATCH_BOMB;
	buf_release(&plain);
	buf_release(&mended);
	return v;
}

enum batch_verdict msgset_convert(const uint8_t *p, size_t len, const struct batch_rules *rules,
				  struct batch_port *port, struct batch_builder *b,
				  const uint8_t **ret, size_t *ret_len)
{
	struct batch_stamp s = BATCH_STAMP;
	struct msgset_message first;
	const uint8_t *rest = p;
	size_t rest_len = len;
	enum batch_verdict v;

	if (len == 0)
		return BATCH_EMPTY;
	int err = msgset_next(&rest, &rest_len, &first);

	if (err != OK)
		return verdict_of(err);
	s.codec = first.attributes & BATCH_CODEC_MASK;
	if (s.codec == BATCH_PLAIN)
		v = add_all(p, len, first.magic, false, rules->batch_bytes_max, b);
	else if (rest_len > 0)
		v = BATCH_MORE;
	else if (len > rules->batch_bytes_max)
		v = BATCH_TOO_LARGE;
	else
		v = unwrap(&first, rules, port, b);
	if (v != BATCH_OK) {
		batch_builder_reset(b);
		return v;
	}
	err = batch_builder_finish(b, &s, port, ret, ret_len);
	return err == OK ? BATCH_OK : BATCH_TOO_LARGE;
}
