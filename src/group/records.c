/*
 * records.c - Kafka's records of __consumer_offsets: written as 4.4 writes them, read in every
 * version (kafka.md 5.6 has the table; docs/storage.md names ours).
 *
 * A key is an int16 record type and its fields, a value an int16 version and its fields. Written:
 * OffsetCommit value 4 (1 with an explicit expiry), GroupMetadata value 3. Read: all below 5.
 */
#include "base/assert.h"
#include "base/mutant.h"
#include "group/group.h"
#include "group/records.h"

enum { KEY_OFFSET_OLD = 0, KEY_OFFSET = 1, KEY_GROUP = 2 };

/* ---- write --------------------------------------------------------------------------------- */

static void put_text(struct buf *b, struct str t)
{
	buf_be16(b, (uint16_t)t.len);	/* -1: null */
	if (t.len > 0)
		buf_put(b, t.p, (size_t)t.len);
}

static void put_bytes(struct buf *b, struct bytes v)
{
	buf_be32(b, (uint32_t)v.len);
	if (v.len > 0)
		buf_put(b, v.p, (size_t)v.len);
}

static void put_uvarint(struct buf *b, uint32_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_u8(b, (uint8_t)(v | 0x80));
	buf_u8(b, (uint8_t)v);
}

static struct write_record *begin(struct shard *s)
{
	struct shard_write *w = &s->w;

	if (!w->on) {
		must(!w->n && !w->call);
		w->on = true;
	}
	if (w->n == w->cap) {
		w->cap = w->cap ? w->cap * 2 : 16;
		w->v = mem_resize(w->v, w->cap * sizeof *w->v);
	}
	struct write_record *r = &w->v[w->n++];

	*r = (struct write_record){ .key_at = (uint32_t)w->bytes.len, .value_len = -1 };
	return r;
}

static void key_done(struct shard *s, struct write_record *r)
{
	r->key_len = (uint32_t)s->w.bytes.len - r->key_at;
	r->value_at = (uint32_t)s->w.bytes.len;
}

static void value_done(struct shard *s, struct write_record *r)
{
	r->value_len = (int32_t)((uint32_t)s->w.bytes.len - r->value_at);
}

void write_group(struct shard *s, const struct group *g, struct str protocol, struct str leader,
		 const struct gmember *renamed, struct str new_id,
		 struct bytes (*assignment)(void *ctx, const struct gmember *m), void *ctx)
{
	struct write_record *r = begin(s);
	struct buf *b = &s->w.bytes;

	buf_be16(b, KEY_GROUP);
	put_text(b, g->id);
	key_done(s, r);
	buf_be16(b, 3);
	put_text(b, g->protocol_type.len < 0 ? STR("") : g->protocol_type);
	buf_be32(b, (uint32_t)g->generation);
	put_text(b, protocol);
	put_text(b, leader);
	buf_be64(b, (uint64_t)s->wall);
	buf_be32(b, g->members.n);
	for (const struct gmember *m = g->first; m; m = m->next) {
		put_text(b, m == renamed ? new_id : m->id);
		put_text(b, m->instance);
		put_text(b, m->client_id);
		put_text(b, m->client_host);
		buf_be32(b, (uint32_t)m->rebalance_ms);
		buf_be32(b, (uint32_t)m->session_ms);
		put_bytes(b, member_metadata(m, protocol));
		put_bytes(b, assignment ? assignment(ctx, m) : m->assignment);
	}
	value_done(s, r);
}

void write_group_gone(struct shard *s, struct str group)
{
	struct write_record *r = begin(s);

	buf_be16(&s->w.bytes, KEY_GROUP);
	put_text(&s->w.bytes, group);
	key_done(s, r);
}

static void offset_key(struct shard *s, struct write_record *r, struct str group, struct str topic,
		       int32_t partition)
{
	buf_be16(&s->w.bytes, KEY_OFFSET);
	put_text(&s->w.bytes, group);
	put_text(&s->w.bytes, topic);
	buf_be32(&s->w.bytes, (uint32_t)partition);
	key_done(s, r);
}

void write_offset(struct shard *s, struct str group, const struct offset_commit *o, int64_t now_ms,
		  int64_t expires_ms)
{
	struct write_record *r = begin(s);
	struct buf *b = &s->w.bytes;
	struct str metadata = o->metadata.len < 0 ? STR("") : o->metadata;

	offset_key(s, r, group, o->topic, o->partition);
	buf_be16(b, expires_ms >= 0 ? 1 : 4);
	buf_be64(b, (uint64_t)o->offset);
	if (expires_ms >= 0) {
		put_text(b, metadata);
		buf_be64(b, (uint64_t)now_ms);
		buf_be64(b, (uint64_t)expires_ms);
	} else {
		buf_be32(b, (uint32_t)o->leader_epoch);
		put_uvarint(b, (uint32_t)metadata.len + 1);
		buf_put(b, metadata.p, (size_t)metadata.len);
		buf_be64(b, (uint64_t)now_ms);
		if (uuid_is_zero(&o->topic_id)) {
			buf_u8(b, 0);
		} else {
			buf_u8(b, 1);
			buf_u8(b, 0);
			buf_u8(b, sizeof o->topic_id);
			buf_put(b, o->topic_id.b, sizeof o->topic_id);
		}
	}
	value_done(s, r);
}

void write_offset_gone(struct shard *s, struct str group, struct str topic, int32_t partition)
{
	offset_key(s, begin(s), group, topic, partition);
}

/* ---- read ---------------------------------------------------------------------------------- */

struct reader {
	const uint8_t *p, *end;
	bool flexible, bad;
};

static uint64_t get(struct reader *r, int n)
{
	uint64_t v = 0;

	if (r->end - r->p < n) {
		r->bad = true;
		return 0;
	}
	for (int i = 0; i < n; i++)
		v = v << 8 | *r->p++;
	return v;
}

static uint32_t get_uvarint(struct reader *r)
{
	uint32_t v = 0;

	for (int i = 0; i < 5; i++) {
		uint32_t c = (uint32_t)get(r, 1);

		v |= (c & 0x7f) << (7 * i);
		if (!(c & 0x80))
			return v;
	}
	r->bad = true;
	return 0;
}

static struct str get_text(struct reader *r)
{
	int64_t len = r->flexible ? (int64_t)get_uvarint(r) - 1 : (int16_t)get(r, 2);

	if (r->bad || len < 0)
		return STR_NULL;
	if (len > r->end - r->p) {
		r->bad = true;
		return STR_NULL;
	}
	r->p += len;
	return (struct str){ (const char *)r->p - len, (int32_t)len };
}

static struct bytes get_bytes(struct reader *r)
{
	int64_t len = r->flexible ? (int64_t)get_uvarint(r) - 1 : (int32_t)get(r, 4);

	if (r->bad || len < 0)
		return (struct bytes){ (const uint8_t *)"", 0 };
	if (len > r->end - r->p) {
		r->bad = true;
		return (struct bytes){ (const uint8_t *)"", 0 };
	}
	r->p += len;
	return (struct bytes){ r->p - len, (int32_t)len };
}

/* Tag section: id (NULL: none is wanted) gets tag 0 when it is 16 bytes long. */
static void get_tags(struct reader *r, struct uuid *id)
{
	if (!r->flexible)
		return;
	for (uint32_t n = get_uvarint(r); n > 0 && !r->bad; n--) {
		uint32_t tag = get_uvarint(r), len = get_uvarint(r);

		if (r->bad || len > (size_t)(r->end - r->p)) {
			r->bad = true;
			return;
		}
		if (id && tag == 0 && len == sizeof *id)
			memcpy(id, r->p, sizeof *id);
		r->p += len;
	}
}

static struct reader reader(struct bytes v)
{
	return (struct reader){ .p = v.p, .end = v.p + (v.len > 0 ? v.len : 0) };
}

int record_key(struct bytes key, struct record_key *ret)
{
	struct reader r = reader(key);

	*ret = (struct record_key){ .type = (int16_t)get(&r, 2) };
	if (r.bad)
		return E_BAD;
	switch (ret->type) {
	case KEY_OFFSET_OLD:
	case KEY_OFFSET:
		ret->kind = RECORD_OFFSET;
		ret->group = get_text(&r);
		ret->topic = get_text(&r);
		ret->partition = (int32_t)get(&r, 4);
		return r.bad || ret->group.len < 0 || ret->topic.len < 0 ? E_BAD : OK;
	case KEY_GROUP:
		ret->kind = RECORD_GROUP;
		ret->group = get_text(&r);
		return r.bad || ret->group.len < 0 ? E_BAD : OK;
	default:
		ret->kind = RECORD_OTHER;
		return OK;
	}
}

/* A value's reader behind its version; both kinds of value have 0 .. 4, of which 4 is flexible. */
static int open_value(struct bytes value, struct reader *ret, int16_t *ret_version)
{
	*ret = reader(value);
	*ret_version = (int16_t)get(ret, 2);
	ret->flexible = *ret_version >= 4;
	return ret->bad || *ret_version < 0 ? E_BAD : *ret_version > 4 ? E_VERSION : OK;
}

int record_offset(struct bytes value, struct goffset *ret)
{
	struct reader r;
	int16_t version;
	int err = open_value(value, &r, &version);

	if (err)
		return err;
	*ret = (struct goffset){ .leader_epoch = -1, .expires_ms = -1 };
	ret->offset = (int64_t)get(&r, 8);
	if (version >= 3)
		ret->leader_epoch = (int32_t)get(&r, 4);
	ret->metadata = get_text(&r);
	ret->committed_ms = (int64_t)get(&r, 8);
	if (version == 1)
		ret->expires_ms = (int64_t)get(&r, 8);
	get_tags(&r, &ret->topic_id);
	return r.bad ? E_BAD : OK;
}

int record_group_open(struct bytes value, struct record_group *ret)
{
	struct reader r;
	int16_t version;
	int err = open_value(value, &r, &version);

	if (err)
		return err;
	*ret = (struct record_group){ .version = version, .state_ms = -1 };
	ret->protocol_type = get_text(&r);
	ret->generation = (int32_t)get(&r, 4);
	ret->protocol = get_text(&r);
	ret->leader = get_text(&r);
	if (version >= 2)
		ret->state_ms = (int64_t)get(&r, 8);
	ret->members = r.flexible ? (int32_t)get_uvarint(&r) - 1 : (int32_t)get(&r, 4);
	ret->p = r.p;
	ret->end = r.end;
	return r.bad || ret->members < 0 || ret->members > r.end - r.p ? E_BAD : OK;
}

int record_group_member(struct record_group *g, struct record_member *ret)
{
	struct reader r = { .p = g->p, .end = g->end, .flexible = g->version >= 4 };

	*ret = (struct record_member){ .instance = STR_NULL };
	ret->id = get_text(&r);
	if (g->version >= 3)
		ret->instance = get_text(&r);
	ret->client_id = get_text(&r);
	ret->client_host = get_text(&r);
	ret->rebalance_ms = g->version >= 1 ? (int32_t)get(&r, 4) : -1;
	ret->session_ms = (int32_t)get(&r, 4);
	if (ret->rebalance_ms < 0)
		ret->rebalance_ms = ret->session_ms;
	ret->subscription = get_bytes(&r);
	ret->assignment = get_bytes(&r);
	get_tags(&r, NULL);
	g->p = r.p;
	return r.bad || ret->id.len < 0 ? E_BAD : OK;
}
