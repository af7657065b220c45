/*
 * batch.c - headers of record batches, the walk over records, and the check of a produced batch.
 * Records are read in batch_read.c, batches are made in batch_build.c.
 */
#include "wire/batch.h"

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "wire/batch_walk.h"

#define RECORD_MIN 6		/* attributes, two deltas, two lengths, header count: one byte each */
#define HEADER_MIN 2		/* key length and value length */

/* ---- varints ------------------------------------------------------------------------------- */

unsigned batch_varlong(const uint8_t *p, size_t len, int64_t *ret)
{
	uint64_t v = 0;

	for (unsigned i = 0; i < 10 && i < len; i++) {
		v |= (uint64_t)(p[i] & 0x7f) << (7 * i);
		if (p[i] & 0x80)
			continue;
		if (i == 9 && p[i] > 1)
			return 0;
		*ret = (int64_t)(v >> 1 ^ -(v & 1));
		return i + 1;
	}
	return 0;
}

unsigned batch_varint(const uint8_t *p, size_t len, int32_t *ret)
{
	int64_t v;
	unsigned n = batch_varlong(p, len < 5 ? len : 5, &v);

	if (n == 0 || v < INT32_MIN || v > INT32_MAX)
		return 0;
	*ret = (int32_t)v;
	return n;
}

unsigned batch_varlong_put(uint8_t *p, int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
	unsigned n = 0;

	for (; z >= 0x80; z >>= 7)
		p[n++] = (uint8_t)(z | 0x80);
	p[n++] = (uint8_t)z;
	return n;
}

unsigned batch_varint_put(uint8_t *p, int32_t v)
{
	return batch_varlong_put(p, v);
}

/* ---- headers ------------------------------------------------------------------------------- */

int batch_parse(const uint8_t *p, size_t len, struct batch_head *ret)
{
	if (len < BATCH_HEAD)
		return E_SHORT;
	if (p[16] != 2)
		return E_VERSION;
	uint32_t after = be32_get(p + 8);

	if (after < BATCH_HEAD - BATCH_LEN_AT || after > INT32_MAX)
		return E_BAD;
	*ret = (struct batch_head){
		.bytes = after + BATCH_LEN_AT,
		.base_offset = (int64_t)be64_get(p),
		.leader_epoch = (int32_t)be32_get(p + 12),
		.crc = be32_get(p + 17),
		.attributes = be16_get(p + 21),
		.last_offset_delta = (int32_t)be32_get(p + 23),
		.base_timestamp = (int64_t)be64_get(p + 27),
		.max_timestamp = (int64_t)be64_get(p + 35),
		.producer_id = (int64_t)be64_get(p + 43),
		.producer_epoch = (int16_t)be16_get(p + 51),
		.base_sequence = (int32_t)be32_get(p + 53),
		.records = (int32_t)be32_get(p + 57),
	};
	return OK;
}

int batch_next(const uint8_t **p, size_t *len, struct batch_head *ret, const uint8_t **ret_batch)
{
	struct batch_head h;

	if (*len == 0)
		return E_NOENT;
	int err = batch_parse(*p, *len, &h);

	if (err != OK)
		return err;
	if (h.bytes > *len)
		return E_SHORT;
	*ret = h;
	*ret_batch = *p;
	*p += h.bytes;
	*len -= h.bytes;
	return OK;
}

bool batch_crc_ok(const uint8_t *p, const struct batch_head *h)
{
	return crc32c(0, p + BATCH_CRC_FROM, h->bytes - BATCH_CRC_FROM) == h->crc;
}

/* ---- the walk ------------------------------------------------------------------------------ */

int walk_open(struct walk *w, const uint8_t *p, const struct batch_head *h, uint64_t plain_max,
	      uint32_t record_max, struct batch_port *port)
{
	const uint8_t *area = p + BATCH_HEAD;
	size_t len = h->bytes - BATCH_HEAD;

	*w = (struct walk){
		.h = h,
		.left = h->records,
		.plain_max = plain_max,
		.record_max = record_max,
	};
	if (batch_codec(h) == BATCH_PLAIN) {
		w->start = w->p = area;
		w->end = area + len;
		w->plain_max = UINT64_MAX;
		w->record_max = INT32_MAX;
		return OK;
	}
	if (!port)
		return E_VERSION;
	w->port = port;
	return port->open(port, batch_codec(h), area, len);
}

void walk_close(struct walk *w)
{
	if (w->port)
		w->port->close(w->port);
	w->port = NULL;
}

/* Makes at least one byte readable. E_SHORT: there is no more. */
static int refill(struct walk *w)
{
	const uint8_t *p;
	size_t n;

	if (!w->port)
		return E_SHORT;
	w->before += (uint64_t)(w->end - w->start);
	w->start = w->p = w->end = NULL;
	int err = w->port->next(w->port, &p, &n);

	if (err != OK) {
		w->unpack_failed = err != E_LIMIT;
		return err;
	}
	if (n == 0)
		return E_SHORT;
	if (n > w->plain_max - w->before)
		return E_LIMIT;
	w->start = w->p = p;
	w->end = p + n;
	return OK;
}

/* Plain bytes read. */
static uint64_t walk_pos(const struct walk *w)
{
	return w->before + (uint64_t)(w->p - w->start);
}

static int get_varlong(struct walk *w, int64_t *ret)
{
	unsigned n;
	uint64_t v = 0;

	if (w->end - w->p >= 10) {
		n = batch_varlong(w->p, 10, ret);
		w->p += n;
		return n > 0 ? OK : E_BAD;
	}
	for (n = 0; n < 10; n++) {
		int err = w->p < w->end ? OK : refill(w);

		if (err != OK)
			return err;
		uint8_t b = *w->p++;
		v |= (uint64_t)(b & 0x7f) << (7 * n);
		if (b & 0x80)
			continue;
		if (n == 9 && b > 1)
			return E_BAD;
		*ret = (int64_t)(v >> 1 ^ -(v & 1));
		return OK;
	}
	return E_BAD;
}

/* One or two bytes, as nearly all are. False: longer, or not there. */
static inline bool quick(const uint8_t **at, const uint8_t *end, int32_t *ret)
{
	const uint8_t *p = *at;

	if (end - p < 2 || (p[0] & p[1] & 0x80))
		return false;
	uint32_t two = -(uint32_t)(p[0] >> 7), v = (p[0] & 0x7fu) | ((uint32_t)p[1] << 7 & two);

	*ret = (int32_t)(v >> 1 ^ -(v & 1));
	*at = p + 1 + (two & 1);
	return true;
}

/* A varint of 32 bits; canonical length is not asked for, as Kafka's readers do not. */
static int get_varint(struct walk *w, int32_t *ret)
{
	int64_t v;

	if (quick(&w->p, w->end, ret))
		return OK;
	int err = get_varlong(w, &v);

	if (err != OK)
		return err;
	if (v < INT32_MIN || v > INT32_MAX)
		return E_BAD;
	*ret = (int32_t)v;
	return OK;
}

/* n bytes that nobody looks at, all of them before `limit`. */
static int skip(struct walk *w, int64_t n, uint64_t limit)
{
	uint64_t pos = walk_pos(w);

	if (pos > limit || (uint64_t)n > limit - pos)
		return E_BAD;
	while (n > w->end - w->p) {
		n -= w->end - w->p;
		w->p = w->end;
		int err = refill(w);

		if (err != OK)
			return err;
	}
	w->p += n;
	return OK;
}

/* A length (-1: null when that is allowed) and as many bytes. */
static int skip_field(struct walk *w, int32_t least, uint64_t limit, bool *ret_null)
{
	int32_t len;
	int err = get_varint(w, &len);

	if (err != OK)
		return err;
	if (len < least)
		return E_BAD;
	*ret_null = len < 0;
	return len > 0 ? skip(w, len, limit) : OK;
}

static int skip_headers(struct walk *w, uint64_t limit)
{
	int32_t n;
	bool null;
	int err = get_varint(w, &n);

	if (err != OK)
		return err;
	if (n < 0 || walk_pos(w) > limit || (uint64_t)n > (limit - walk_pos(w)) / HEADER_MIN)
		return E_BAD;
	for (; n > 0; n--) {
		err = skip_field(w, 0, limit, &null);
		if (err == OK)
			err = skip_field(w, -1, limit, &null);
		if (err != OK)
			return err;
	}
	return OK;
}

static int64_t timestamp_of(const struct walk *w, int64_t delta)
{
	return w->h->attributes & BATCH_LOG_APPEND_TIME ? w->h->max_timestamp :
		(int64_t)((uint64_t)w->h->base_timestamp + (uint64_t)delta);
}

static int walk_body(struct walk *w, uint64_t limit, struct walk_record *r)
{
	int64_t delta;
	bool null;
	int err = skip(w, 1, limit);	/* attributes: no bit has a meaning, Kafka ignores them */

	if (err == OK)
		err = get_varlong(w, &delta);
	if (err == OK)
		err = get_varint(w, &r->offset_delta);
	if (err == OK)
		err = skip_field(w, -1, limit, &r->no_key);
	if (err == OK)
		err = skip_field(w, -1, limit, &null);
	if (err == OK)
		err = skip_headers(w, limit);
	if (err != OK)
		return err;
	if (walk_pos(w) != limit)
		return E_BAD;
	r->timestamp = timestamp_of(w, delta);
	return OK;
}

/* As walk_body(), of a record that is in hand, has no headers and short numbers. False: nothing has changed. */
static bool quick_body(struct walk *w, int32_t len, struct walk_record *r)
{
	const uint8_t *p = w->p + 1, *end = w->p + len;
	int32_t delta, key, value;

	if (len < 8 || len > w->end - w->p)
		return false;
	if (!quick(&p, end, &delta) || !quick(&p, end, &r->offset_delta) || !quick(&p, end, &key) || key < -1 ||
	    key > end - p)
		return false;
	p += key > 0 ? key : 0;
	if (!quick(&p, end, &value) || value < -1 || end - p != (value > 0 ? value : 0) + 1 || end[-1] != 0)
		return false;
	w->p = end;
	r->no_key = key < 0;
	r->timestamp = timestamp_of(w, delta);
	return true;
}

int walk_next(struct walk *w, struct walk_record *r)
{
	int32_t len;

	if (w->left <= 0)
		return E_NOENT;
	int err = get_varint(w, &len);

	if (err == OK && len < RECORD_MIN)
		err = E_BAD;
	if (err == OK && (uint32_t)len > w->record_max)
		return E_RANGE;
	if (err == OK && !w->port && len > w->end - w->p)
		err = E_BAD;
	if (err == OK && quick_body(w, len, r)) {
		w->left--;
		return OK;
	}
	if (err == OK)
		err = walk_body(w, walk_pos(w) + (uint64_t)len, r);
	w->left--;
	return err == E_SHORT ? E_BAD : err;
}

/* Nothing may follow the last record. */
static int walk_end(struct walk *w)
{
	if (w->p < w->end)
		return E_BAD;
	int err = refill(w);

	return err == E_SHORT ? OK : err == OK ? E_BAD : err;
}

/* ---- the check ----------------------------------------------------------------------------- */

/* Traps 30-32 and the size, in Kafka's order, so that a batch with two faults gets the same code. */
static enum batch_verdict check_frame(const uint8_t *p, size_t len, const struct batch_rules *rules,
				      struct batch_head *h)
{
	if (len == 0)
		return BATCH_EMPTY;
	if (len < 17)
		return BATCH_CUT;
	uint32_t after = be32_get(p + 8);

	if (after < 14 || after > INT32_MAX || p[16] > 2)
		return BATCH_GARBLED;
	if (len - BATCH_LEN_AT < after)
		return BATCH_CUT;
	if (p[16] != 2)
		return BATCH_MAGIC;
	if (after < BATCH_HEAD - BATCH_LEN_AT)
		return BATCH_GARBLED;
	must(batch_parse(p, len, h) == OK);
	if (len > h->bytes)
		return BATCH_MORE;
	if (rules->no_zstd && batch_codec(h) == BATCH_ZSTD)
		return BATCH_CODEC;
	if (h->base_offset != 0)
		return BATCH_BASE_OFFSET;
	if (h->bytes > rules->batch_bytes_max)
		return BATCH_TOO_LARGE;
	return batch_crc_ok(p, h) ? BATCH_OK : BATCH_BAD_CRC;
}

static enum batch_verdict check_head(const struct batch_head *h, const struct batch_rules *rules)
{
	if (h->records <= 0 || h->last_offset_delta != h->records - 1)
		return BATCH_COUNT;
	if ((h->attributes & BATCH_CONTROL) && !rules->internal)
		return BATCH_IS_CONTROL;
	if (h->attributes & ~(BATCH_ATTRIBUTES_KNOWN & ~BATCH_DELETE_HORIZON))
		return BATCH_ATTRIBUTES;
	if (batch_codec(h) >= BATCH_CODEC_N)
		return BATCH_CODEC;
	if (h->producer_id >= 0 && !(h->attributes & BATCH_CONTROL) &&
	    (h->base_sequence < 0 || h->producer_epoch < 0))
		return BATCH_SEQUENCE;
	if ((h->attributes & BATCH_TRANSACTIONAL) && h->producer_id < 0)
		return BATCH_SEQUENCE;
	return BATCH_OK;
}

static bool in_range(int64_t ts, const struct batch_rules *rules)
{
	/* As distances, so that a hostile timestamp cannot overflow. */
	if (ts <= rules->now_ms)
		return (uint64_t)rules->now_ms - (uint64_t)ts <= (uint64_t)rules->before_max_ms;
	return (uint64_t)ts - (uint64_t)rules->now_ms <= (uint64_t)rules->after_max_ms;
}

/* Trap 33. Kafka looks at the key first, then at the time, and names each bad record. */
static enum batch_verdict check_record(const struct walk_record *r, const struct batch_head *h,
				       const struct batch_rules *rules)
{
	if (rules->compacted && r->no_key && !(h->attributes & BATCH_CONTROL))
		return BATCH_NO_KEY;
	if (!rules->log_append_time && r->timestamp != BATCH_NO_TIMESTAMP)
		return in_range(r->timestamp, rules) ? BATCH_OK : BATCH_TIMESTAMP;
	return h->attributes & BATCH_LOG_APPEND_TIME ? BATCH_TIMESTAMP : BATCH_OK;
}

static enum batch_verdict verdict_of(const struct walk *w, int err)
{
	if (w->unpack_failed)
		return BATCH_UNPACK;
	return err == E_LIMIT ? BATCH_BOMB : err == E_RANGE ? BATCH_RECORD_TOO_LARGE : BATCH_RECORD;
}

static enum batch_verdict check_records(struct walk *w, const struct batch_rules *rules,
					struct batch_checked *ret)
{
	enum batch_verdict first = BATCH_OK;
	struct walk_record r;
	int err;

	for (int32_t i = 0; (err = walk_next(w, &r)) == OK; i++) {
		if (r.offset_delta != i)
			return BATCH_RECORD;
		enum batch_verdict v = check_record(&r, &ret->head, rules);

		if (v != BATCH_OK) {
			if (first == BATCH_OK)
				first = v;
			if (ret->record_errors_n < BATCH_RECORD_ERRORS)
				ret->record_errors[ret->record_errors_n++] = i;
		}
		if (r.timestamp > ret->max_timestamp) {
			ret->max_timestamp = r.timestamp;
			ret->max_timestamp_delta = i;
		}
	}
	if (err == E_NOENT)
		err = walk_end(w);
	ret->plain_bytes = walk_pos(w);
	return err == OK ? first : verdict_of(w, err);
}

enum batch_verdict batch_check(const uint8_t *p, size_t len, const struct batch_rules *rules,
			       struct batch_port *port, struct batch_checked *ret)
{
	struct walk w;

	*ret = (struct batch_checked){ .max_timestamp = BATCH_NO_TIMESTAMP, .max_timestamp_delta = -1 };
	ret->verdict = check_frame(p, len, rules, &ret->head);
	if (ret->verdict == BATCH_OK)
		ret->verdict = check_head(&ret->head, rules);
	if (ret->verdict != BATCH_OK)
		return ret->verdict;

	int err = walk_open(&w, p, &ret->head, rules->plain_bytes_max, rules->record_bytes_max, port);

	if (err == OK)
		ret->verdict = check_records(&w, rules, ret);
	else
		ret->verdict = err == E_VERSION ? BATCH_CODEC : err == E_LIMIT ? BATCH_BOMB : BATCH_UNPACK;
	walk_close(&w);
	if (rules->log_append_time) {
		ret->max_timestamp = rules->now_ms;
		ret->max_timestamp_delta = 0;
	}
	return ret->verdict;
}

static const struct verdict {
	int16_t kafka;
	const char *text;
} verdicts[BATCH_VERDICT_N] = {
	[BATCH_OK] = { 0, "ok" },
	[BATCH_EMPTY] = { 87, "Produce requests must have at least one record batch per partition" },
	[BATCH_CUT] = { 87, "The record batch ends before its length says" },
	[BATCH_GARBLED] = { 2, "The record batch has an impossible length or magic" },
	[BATCH_MAGIC] = { 87, "Produce requests must use record batches with magic version 2" },
	[BATCH_MORE] = { 87, "Produce requests must have exactly one record batch per partition" },
	[BATCH_BAD_CRC] = { 2, "The record batch does not match its checksum" },
	[BATCH_BASE_OFFSET] = { 87, "The base offset of a produced record batch must be 0" },
	[BATCH_TOO_LARGE] = { 10, "The record batch is larger than max.message.bytes" },
	[BATCH_COUNT] = { 87, "The record count and the offset range of the batch disagree" },
	[BATCH_IS_CONTROL] = { 87, "Clients are not allowed to write control records" },
	[BATCH_SEQUENCE] = { 87, "Producer id, epoch and sequence of the batch do not fit together" },
	[BATCH_ATTRIBUTES] = { 87, "The batch has attribute bits that a producer may not set" },
	[BATCH_CODEC] = { 76, "The compression type of the batch is not supported by this request" },
	[BATCH_UNPACK] = { 87, "The compressed records are damaged" },
	[BATCH_RECORD] = { 87, "A record of the batch is malformed" },
	[BATCH_RECORD_TOO_LARGE] = { 87, "A record is larger than max.decompressed.message.bytes" },
	[BATCH_BOMB] = { 10, "The batch is too large when decompressed" },
	[BATCH_NO_KEY] = { 87, "Compacted topic cannot accept message without key" },
	[BATCH_TIMESTAMP] = { 32, "Timestamp of the message is out of range or of the wrong type" },
};

int16_t batch_verdict_kafka(enum batch_verdict v)
{
	must((unsigned)v < BATCH_VERDICT_N);
	return verdicts[v].kafka;
}

const char *batch_verdict_text(enum batch_verdict v)
{
	must((unsigned)v < BATCH_VERDICT_N);
	return verdicts[v].text;
}

void batch_store_head(const uint8_t *p, const struct batch_rules *rules,
		      const struct batch_checked *c, uint8_t head[BATCH_HEAD])
{
	uint16_t attributes = c->head.attributes & (uint16_t)~BATCH_LOG_APPEND_TIME;

	must(c->verdict == BATCH_OK);
	if (rules->log_append_time)
		attributes |= BATCH_LOG_APPEND_TIME;
	memcpy(head, p, BATCH_HEAD);
	if (attributes == c->head.attributes && c->max_timestamp == c->head.max_timestamp)
		return;
	be16_put(head + 21, attributes);
	be64_put(head + 35, (uint64_t)c->max_timestamp);

	uint32_t change = crc32c(0, p + BATCH_CRC_FROM, BATCH_HEAD - BATCH_CRC_FROM) ^
			  crc32c(0, head + BATCH_CRC_FROM, BATCH_HEAD - BATCH_CRC_FROM);

	be32_put(head + 17, c->head.crc ^ crc32c_shift(change, c->head.bytes - BATCH_HEAD));
}
