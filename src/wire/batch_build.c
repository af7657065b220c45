/*
 * batch_build.c - makes record batches: from records, from a batch with another codec, and the
 * markers of transactions.
 */
#include "wire/batch.h"

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"

#define VARLONG_MAX 10

static unsigned varlong_bytes(int64_t v)
{
	uint8_t b[VARLONG_MAX];

	return batch_varlong_put(b, v);
}

void batch_builder_init(struct batch_builder *b, size_t max)
{
	must(max > BATCH_HEAD && max <= INT32_MAX);
	*b = (struct batch_builder){ .max_timestamp = BATCH_NO_TIMESTAMP };
	buf_init(&b->out, max);
	buf_init(&b->packed, max);
}

void batch_builder_release(struct batch_builder *b)
{
	buf_release(&b->out);
	buf_release(&b->packed);
	b->records = 0;
}

void batch_builder_reset(struct batch_builder *b)
{
	b->records = 0;
}

static size_t field_bytes(struct bytes v)
{
	return varlong_bytes(v.len) + (v.len > 0 ? (size_t)v.len : 0);
}

static uint8_t *field_put(uint8_t *p, struct bytes v)
{
	p += batch_varint_put(p, v.len);
	if (v.len > 0) {
		memcpy(p, v.p, (size_t)v.len);
		p += v.len;
	}
	return p;
}

static struct bytes text(struct str s)
{
	return (struct bytes){ (const uint8_t *)s.p, s.len };
}

int batch_builder_add(struct batch_builder *b, int64_t timestamp, struct bytes key,
		      struct bytes value, const struct batch_header *headers, int32_t n)
{
	int64_t base = b->records == 0 ? timestamp : b->base_timestamp;
	int64_t delta = (int64_t)((uint64_t)timestamp - (uint64_t)base);
	size_t body = 1 + varlong_bytes(delta) + varlong_bytes(b->records) + field_bytes(key) +
		      field_bytes(value) + varlong_bytes(n);

	for (int32_t i = 0; i < n; i++) {
		must(headers[i].key.len >= 0);
		body += field_bytes(text(headers[i].key)) + field_bytes(headers[i].value);
	}
	size_t head = b->records == 0 ? BATCH_HEAD : 0;

	if (body > INT32_MAX || b->records == INT32_MAX)
		return E_LIMIT;
	if (b->records == 0)
		buf_reset(&b->out);
	size_t need = head + varlong_bytes((int64_t)body) + body;

	if (need > b->out.max - b->out.len)
		return E_LIMIT;
	uint8_t *p = buf_room(&b->out, need), *end = p + need;

	p += head;
	p += batch_varint_put(p, (int32_t)body);
	*p++ = 0;
	p += batch_varlong_put(p, delta);
	p += batch_varint_put(p, b->records);
	p = field_put(p, key);
	p = field_put(p, value);
	p += batch_varint_put(p, n);
	for (int32_t i = 0; i < n; i++) {
		p = field_put(p, text(headers[i].key));
		p = field_put(p, headers[i].value);
	}
	must(p == end);
	b->base_timestamp = base;
	if (b->records == 0 || timestamp > b->max_timestamp)
		b->max_timestamp = timestamp;
	b->records++;
	return OK;
}

size_t batch_builder_bytes(const struct batch_builder *b)
{
	return b->records == 0 ? BATCH_HEAD : b->out.len;
}

static void seal(uint8_t *p, size_t len)
{
	be32_put(p + 8, (uint32_t)(len - BATCH_LEN_AT));
	be32_put(p + 17, crc32c(0, p + BATCH_CRC_FROM, len - BATCH_CRC_FROM));
}

static uint16_t attributes_of(const struct batch_stamp *s)
{
	return (uint16_t)(s->codec | (s->log_append_time ? BATCH_LOG_APPEND_TIME : 0) |
			  (s->transactional ? BATCH_TRANSACTIONAL : 0) |
			  (s->control ? BATCH_CONTROL : 0));
}

static void head_put(uint8_t *p, const struct batch_stamp *s, int32_t records, int64_t base_ts,
		     int64_t max_ts)
{
	be64_put(p, (uint64_t)s->base_offset);
	be32_put(p + 12, (uint32_t)s->leader_epoch);
	p[16] = 2;
	be16_put(p + 21, attributes_of(s));
	be32_put(p + 23, (uint32_t)(records - 1));
	be64_put(p + 27, (uint64_t)base_ts);
	be64_put(p + 35, (uint64_t)(s->log_append_time ? s->append_time_ms : max_ts));
	be64_put(p + 43, (uint64_t)s->producer_id);
	be16_put(p + 51, (uint16_t)s->producer_epoch);
	be32_put(p + 53, (uint32_t)s->base_sequence);
	be32_put(p + 57, (uint32_t)records);
}

int batch_builder_finish(struct batch_builder *b, const struct batch_stamp *s,
			 struct batch_port *port, const uint8_t **ret, size_t *ret_len)
{
	struct buf *out = &b->out;

	if (b->records == 0)
		return E_NOENT;
	must(s->codec < BATCH_CODEC_N && (s->codec == BATCH_PLAIN || port));
	head_put(b->out.p, s, b->records, b->base_timestamp, b->max_timestamp);
	if (s->codec != BATCH_PLAIN) {
		out = &b->packed;
		buf_reset(out);
		buf_put(out, b->out.p, BATCH_HEAD);
		int err = port->pack(port, s->codec, s->level, b->out.p + BATCH_HEAD,
				     b->out.len - BATCH_HEAD, out);
		if (err != OK) {
			b->records = 0;
			return err;
		}
	}
	seal(out->p, out->len);
	b->records = 0;
	*ret = out->p;
	*ret_len = out->len;
	return OK;
}

int batch_recode(const uint8_t *p, const struct batch_checked *c, const uint8_t head[BATCH_HEAD],
		 unsigned codec, int32_t level, uint64_t plain_max, struct batch_port *port,
		 struct buf *out)
{
	struct buf scratch;
	const uint8_t *plain;
	size_t len;

	must(c->verdict == BATCH_OK && codec < BATCH_CODEC_N);
	buf_init(&scratch, plain_max < SIZE_MAX ? (size_t)plain_max : SIZE_MAX);
	int err = batch_plain(p, &c->head, port, &scratch, &plain, &len);

	if (err != OK)
		goto out;
	buf_reset(out);
	buf_put(out, head, BATCH_HEAD);
	if (codec == BATCH_PLAIN)
		buf_put(out, plain, len);
	else
		err = port->pack(port, codec, level, plain, len, out);
	if (err == OK && out->bad)
		err = E_LIMIT;
	if (err != OK)
		goto out;
	be16_put(out->p + 21, (uint16_t)((be16_get(head + 21) & ~BATCH_CODEC_MASK) | codec));
	seal(out->p, out->len);
out:
	buf_release(&scratch);
	return err;
}

void batch_marker(uint8_t ret[BATCH_MARKER_BYTES], int64_t base_offset, int32_t leader_epoch,
		  int64_t producer_id, int16_t producer_epoch, enum batch_control type,
		  int32_t coordinator_epoch, int64_t timestamp)
{
	struct batch_stamp s = BATCH_STAMP;
	/* length 16, attributes 0, deltas 0 0, key of 4 bytes, value of 6 bytes, no headers */
	uint8_t record[17] = { 32, 0, 0, 0, 8, 0, 0, 0, (uint8_t)type, 12 };

	s.base_offset = base_offset;
	s.leader_epoch = leader_epoch;
	s.producer_id = producer_id;
	s.producer_epoch = producer_epoch;
	s.transactional = s.control = true;
	be32_put(record + 12, (uint32_t)coordinator_epoch);
	_Static_assert(BATCH_HEAD + sizeof record == BATCH_MARKER_BYTES, "one record");
	memcpy(ret + BATCH_HEAD, record, sizeof record);
	head_put(ret, &s, 1, timestamp, timestamp);
	seal(ret, BATCH_MARKER_BYTES);
}
