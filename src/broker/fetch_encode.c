/* fetch_encode.c - the body of a Fetch answer, with records as file ranges. See fetch.h. */
#include "broker/fetch.h"
#include "wire/kafka_error.h"

struct out {
	struct reply *r;
	int16_t version;
	bool flex;			/* v12+ */
};

static void uvarint(struct buf *b, uint32_t v)
{
	for (; v >= 0x80; v >>= 7)
		buf_u8(b, (uint8_t)(v | 0x80));
	buf_u8(b, (uint8_t)v);
}

static uint32_t uvarint_bytes(uint32_t v)
{
	uint32_t n = 1;

	for (; v >= 0x80; v >>= 7)
		n++;
	return n;
}

static void count(struct out *o, uint32_t n)
{
	if (o->flex)
		uvarint(&o->r->buf, n + 1);
	else
		buf_be32(&o->r->buf, n);
}

static void string(struct out *o, struct str s)
{
	if (o->flex)
		uvarint(&o->r->buf, (uint32_t)s.len + 1);
	else
		buf_be16(&o->r->buf, (uint16_t)s.len);
	buf_put(&o->r->buf, s.p, (size_t)(s.len < 0 ? 0 : s.len));
}

static void part_tags(struct out *o, const struct fetch_got *g)
{
	struct buf *b = &o->r->buf;
	bool diverges = g->diverging_end >= 0, leader = g->leader >= 0;

	uvarint(b, (uint32_t)diverges + (uint32_t)leader);
	if (diverges) {
		uvarint(b, 0);
		uvarint(b, 4 + 8 + 1);
		buf_be32(b, (uint32_t)g->diverging_epoch);
		buf_be64(b, (uint64_t)g->diverging_end);
		uvarint(b, 0);
	}
	if (leader) {
		uvarint(b, 1);
		uvarint(b, 4 + 4 + 1);
		buf_be32(b, (uint32_t)g->leader);
		buf_be32(b, (uint32_t)g->leader_epoch);
		uvarint(b, 0);
	}
}

static void part(struct out *o, const struct fetch_answer *a, const struct fetch_want *w,
		 struct fetch_got *g)
{
	struct buf *b = &o->r->buf;

	buf_be32(b, (uint32_t)w->partition);
	/* Trap 59: clients before v6 do not know the code of a failed log directory. */
	buf_be16(b, (uint16_t)(g->error == KAFKA_KAFKA_STORAGE_ERROR && o->version <= 5 ?
			       KAFKA_NOT_LEADER_OR_FOLLOWER : g->error));
	buf_be64(b, (uint64_t)g->high_watermark);
	buf_be64(b, (uint64_t)g->last_stable);
	if (o->version >= 5)
		buf_be64(b, (uint64_t)g->log_start);
	if (a->committed || g->error == KAFKA_UNKNOWN_TOPIC_OR_PARTITION || g->error == KAFKA_UNKNOWN_TOPIC_ID)
		count(o, 0);
	else if (o->flex)
		uvarint(b, 0);
	else
		buf_be32(b, UINT32_MAX);
	if (o->version >= 11)
		buf_be32(b, UINT32_MAX);	/* no preferred replica: only one can be read */
	count(o, (uint32_t)g->range.len);
	if (g->range.len > 0) {
		reply_add_file(o->r, &g->range);
		g->range.len = 0;
	}
	if (o->flex)
		part_tags(o, g);
}

static bool same_topic(const struct out *o, const struct fetch_want *a, const struct fetch_want *b)
{
	return o->version >= 13 ? uuid_eq(&a->topic_id, &b->topic_id) : str_eq(a->topic, b->topic);
}

/* First partition at or behind i that is answered; n: none. */
static uint32_t shown(const struct fetch_answer *a, uint32_t i)
{
	while (i < a->n && a->got[i].left_out)
		i++;
	return i;
}

/* Partitions that follow each other and have one topic share its entry. */
static uint32_t topic_run(const struct out *o, const struct fetch_answer *a, uint32_t i,
			  uint32_t *ret_parts)
{
	const struct fetch_want *first = a->wants[i];
	uint32_t parts = 0;

	for (; i < a->n && same_topic(o, first, a->wants[i]); i = shown(a, i + 1))
		parts++;
	*ret_parts = parts;
	return i;
}

static uint32_t endpoint_bytes(const struct fetch_answer *a, uint32_t i)
{
	uint32_t host = (uint32_t)a->endpoints[i].host.len;
	int32_t rack = a->endpoint_racks[i].len;

	return 4 + uvarint_bytes(host + 1) + host + 4 + uvarint_bytes((uint32_t)(rack + 1)) +
	       (rack > 0 ? (uint32_t)rack : 0) + 1;
}

static void end_tags(struct out *o, const struct fetch_answer *a)
{
	struct buf *b = &o->r->buf;
	uint32_t bytes = uvarint_bytes(a->endpoints_n + 1);

	if (o->version < 16 || a->endpoints_n == 0) {
		uvarint(b, 0);
		return;
	}
	for (uint32_t i = 0; i < a->endpoints_n; i++)
		bytes += endpoint_bytes(a, i);
	uvarint(b, 1);
	uvarint(b, 0);
	uvarint(b, bytes);
	uvarint(b, a->endpoints_n + 1);
	for (uint32_t i = 0; i < a->endpoints_n; i++) {
		buf_be32(b, (uint32_t)a->endpoint_ids[i]);
		string(o, a->endpoints[i].host);
		buf_be32(b, a->endpoints[i].port);
		string(o, a->endpoint_racks[i]);
		uvarint(b, 0);
	}
}

void fetch_encode(const struct fetch_answer *a, struct reply *r)
{
	struct out o = { .r = r, .version = a->version, .flex = a->version >= 12 };
	uint32_t topics = 0, parts;

	buf_be32(&r->buf, a->throttle_ms);
	if (a->version >= 7) {
		buf_be16(&r->buf, (uint16_t)a->error);
		buf_be32(&r->buf, (uint32_t)a->session_id);
	}
	for (uint32_t i = shown(a, 0); i < a->n; topics++)
		i = topic_run(&o, a, i, &parts);
	count(&o, topics);
	for (uint32_t i = shown(a, 0); i < a->n;) {
		uint32_t end = topic_run(&o, a, i, &parts);

		if (a->version >= 13)
			buf_put(&r->buf, a->wants[i]->topic_id.b, 16);
		else
			string(&o, a->wants[i]->topic);
		count(&o, parts);
		for (; i < end; i = shown(a, i + 1))
			part(&o, a, a->wants[i], &a->got[i]);
		if (o.flex)
			uvarint(&r->buf, 0);
	}
	if (o.flex)
		end_tags(&o, a);
}
