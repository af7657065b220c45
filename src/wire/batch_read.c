/*
 * batch_read.c - records of a stored batch: unpack, iterate, search by time, control records.
 * Stored batches may have gaps in their offsets (compaction), so nothing here wants 0..n-1.
 */
#include "wire/batch.h"

#include "base/be.h"
#include "wire/batch_walk.h"

int batch_unpack(struct batch_port *port, unsigned codec, const uint8_t *src, size_t len,
		 struct buf *out)
{
	const uint8_t *piece;
	size_t n;

	buf_reset(out);
	int err = port->open(port, codec, src, len);

	while (err == OK && (err = port->next(port, &piece, &n)) == OK && n > 0) {
		buf_put(out, piece, n);
		if (out->bad)
			err = E_LIMIT;
	}
	port->close(port);
	return err;
}

int batch_plain(const uint8_t *p, const struct batch_head *h, struct batch_port *port,
		struct buf *scratch, const uint8_t **ret, size_t *ret_len)
{
	if (batch_codec(h) == BATCH_PLAIN) {
		*ret = p + BATCH_HEAD;
		*ret_len = h->bytes - BATCH_HEAD;
		return OK;
	}
	if (!port)
		return E_BAD;
	int err = batch_unpack(port, batch_codec(h), p + BATCH_HEAD, h->bytes - BATCH_HEAD, scratch);

	if (err != OK)
		return err == E_LIMIT ? E_LIMIT : E_BAD;
	*ret = scratch->p;
	*ret_len = scratch->len;
	return OK;
}

void batch_records_init(struct batch_records *it, const struct batch_head *h, const uint8_t *plain,
			size_t len)
{
	*it = (struct batch_records){ .head = *h, .p = plain, .end = plain + len, .left = h->records };
}

/* ---- cursor over bytes in memory: every read is bounded by end ----------------------------- */

static bool take_varint(const uint8_t **p, const uint8_t *end, int32_t *ret)
{
	unsigned n = batch_varint(*p, (size_t)(end - *p), ret);

	*p += n;
	return n > 0;
}

static bool take_varlong(const uint8_t **p, const uint8_t *end, int64_t *ret)
{
	unsigned n = batch_varlong(*p, (size_t)(end - *p), ret);

	*p += n;
	return n > 0;
}

static bool take_bytes(const uint8_t **p, const uint8_t *end, struct bytes *ret)
{
	int32_t len;

	if (!take_varint(p, end, &len) || len < -1 || len > end - *p)
		return false;
	*ret = len < 0 ? BYTES_NULL : (struct bytes){ *p, len };
	*p += len > 0 ? len : 0;
	return true;
}

int batch_header_next(struct batch_record *r, struct batch_header *ret)
{
	const uint8_t *p = r->header_at;
	struct bytes key, value;

	if (r->headers == 0)
		return p == r->header_end ? E_NOENT : E_BAD;
	if (!take_bytes(&p, r->header_end, &key) || key.len < 0 ||
	    !take_bytes(&p, r->header_end, &value))
		return E_BAD;
	r->header_at = p;
	r->headers--;
	*ret = (struct batch_header){ { (const char *)key.p, key.len }, value };
	return OK;
}

int batch_records_next(struct batch_records *it, struct batch_record *ret)
{
	const uint8_t *p = it->p;
	struct batch_record r;
	int32_t len, offset_delta;
	int64_t time_delta;

	if (it->left <= 0)
		return it->p == it->end ? E_NOENT : E_BAD;
	if (!take_varint(&p, it->end, &len) || len < 1 || len > it->end - p)
		return E_BAD;
	const uint8_t *end = p + len;

	p++;				/* attributes: none has a meaning */
	if (!take_varlong(&p, end, &time_delta) || !take_varint(&p, end, &offset_delta) ||
	    !take_bytes(&p, end, &r.key) || !take_bytes(&p, end, &r.value) ||
	    !take_varint(&p, end, &r.headers) || r.headers < 0 || r.headers > (end - p) / 2 ||
	    (r.headers == 0 && p != end))
		return E_BAD;
	r.header_at = p;
	r.header_end = end;
	r.offset = (int64_t)((uint64_t)it->head.base_offset + (uint64_t)(int64_t)offset_delta);
	r.timestamp = it->head.attributes & BATCH_LOG_APPEND_TIME ? it->head.max_timestamp :
		(int64_t)((uint64_t)it->head.base_timestamp + (uint64_t)time_delta);
	it->p = end;
	it->left--;
	*ret = r;
	return OK;
}

/* ---- search -------------------------------------------------------------------------------- */

/* The first record with timestamp >= ts or, with `greatest`, the first of the greatest. */
static int find(const uint8_t *p, const struct batch_head *h, int64_t ts, bool greatest,
		uint64_t plain_max, struct batch_port *port, int64_t *ret_offset,
		int64_t *ret_timestamp)
{
	struct walk w;
	struct walk_record r;
	int64_t offset = -1, timestamp = 0;
	int err = walk_open(&w, p, h, plain_max, INT32_MAX, port);

	while (err == OK && (err = walk_next(&w, &r)) == OK) {
		if (greatest ? offset >= 0 && r.timestamp <= timestamp : r.timestamp < ts)
			continue;
		offset = h->base_offset + r.offset_delta;
		timestamp = r.timestamp;
		if (!greatest)
			break;
	}
	walk_close(&w);
	if (err != OK && err != E_NOENT)
		return err == E_LIMIT ? E_LIMIT : E_BAD;
	if (offset < 0)
		return E_NOENT;
	*ret_offset = offset;
	*ret_timestamp = timestamp;
	return OK;
}

int batch_find_time(const uint8_t *p, const struct batch_head *h, int64_t ts, uint64_t plain_max,
		    struct batch_port *port, int64_t *ret_offset, int64_t *ret_timestamp)
{
	return find(p, h, ts, false, plain_max, port, ret_offset, ret_timestamp);
}

int batch_find_max_time(const uint8_t *p, const struct batch_head *h, uint64_t plain_max,
			struct batch_port *port, int64_t *ret_offset, int64_t *ret_timestamp)
{
	return find(p, h, 0, true, plain_max, port, ret_offset, ret_timestamp);
}

int batch_control_read(const uint8_t *p, const struct batch_head *h, int16_t *ret_type,
		       int32_t *ret_coordinator_epoch)
{
	struct batch_records it;
	struct batch_record r;

	if (!(h->attributes & BATCH_CONTROL) || batch_codec(h) != BATCH_PLAIN)
		return E_BAD;
	batch_records_init(&it, h, p + BATCH_HEAD, h->bytes - BATCH_HEAD);
	if (batch_records_next(&it, &r) != OK || r.key.len < 4)
		return E_BAD;
	int16_t type = (int16_t)be16_get(r.key.p + 2);
	bool marker = type == BATCH_ABORT || type == BATCH_COMMIT;

	if ((int16_t)be16_get(r.key.p) < 0 || (marker && r.value.len < 6))
		return E_BAD;
	*ret_type = type;
	*ret_coordinator_epoch = marker ? (int32_t)be32_get(r.value.p + 2) : -1;
	return OK;
}
