/* image_build.c - makes the block of image.h from the mirror. */
#include "base/assert.h"
#include "base/mem.h"
#include "meta/block.h"
#include "meta/state.h"

struct counts {
	uint32_t topics, parts, numbers, brokers, endpoints;
};

static bool complete(const struct meta_topic *t)
{
	if (t->version < 0)
		return false;
	for (int32_t i = 0; i < t->parts_n; i++)
		if (t->parts[i].version < 0)
			return false;
	return t->parts_n > 0;
}

static int64_t number(const struct meta *m, const struct conf *c, int32_t self, struct str topic, int32_t rf,
		      const char *name)
{
	char room[META_VALUE_MAX];
	enum meta_source src;
	const struct conf_def *d = conf_topic_def(str_of(name));
	int64_t v = 0;
	bool b;

	must(d != NULL);
	if (!meta_topic_value(m, c, self, topic, rf, d, room, &src))
		return -1;
	if (d->type == CONF_BOOLEAN)
		return conf_parse_bool(str_of(room), &b) && b;
	return conf_parse_int(str_of(room), &v) ? v : -1;
}

/* Position of a text setting's value in a list of words. */
static uint8_t word(const struct meta *m, const struct conf *c, int32_t self, struct str topic, const char *name,
		    const char *const *words, uint8_t n)
{
	char room[META_VALUE_MAX];
	enum meta_source src;

	if (meta_topic_value(m, c, self, topic, 1, conf_topic_def(str_of(name)), room, &src))
		for (uint8_t i = 0; i < n; i++)
			if (strcmp(room, words[i]) == 0)
				return i;
	return 0;
}

static uint8_t cleanup(const struct meta *m, const struct conf *c, int32_t self, struct str topic)
{
	char room[META_VALUE_MAX];
	enum meta_source src;
	struct str one;
	uint8_t bits = 0;

	if (meta_topic_value(m, c, self, topic, 1, conf_topic_def(STR("cleanup.policy")), room, &src))
		for (int32_t at = 0; conf_list_next(str_of(room), &at, &one);)
			bits |= str_is(one, "delete") ? 1 : 2;
	return bits;
}

static void topic_conf(const struct meta *m, const struct conf *c, int32_t self, struct str t, int32_t rf,
		       struct image_conf *r)
{
	static const char *const codecs[] = { "uncompressed", "gzip", "snappy", "lz4", "zstd", "producer" };
	static const char *const level[] = { NULL, "compression.gzip.level", NULL, "compression.lz4.level",
					     "compression.zstd.level" };
	static const char *const stamps[] = { "CreateTime", "LogAppendTime" };
	static const char *const classes[] = { "replicated", "quorum", "all" };

	memset(r, 0, sizeof *r);
	r->retention_ms = number(m, c, self, t, rf, "retention.ms");
	r->retention_bytes = number(m, c, self, t, rf, "retention.bytes");
	r->segment_bytes = number(m, c, self, t, rf, "segment.bytes");
	r->segment_ms = number(m, c, self, t, rf, "segment.ms");
	r->segment_jitter_ms = number(m, c, self, t, rf, "segment.jitter.ms");
	r->max_message_bytes = number(m, c, self, t, rf, "max.message.bytes");
	r->timestamp_before_max_ms = number(m, c, self, t, rf, "message.timestamp.before.max.ms");
	r->timestamp_after_max_ms = number(m, c, self, t, rf, "message.timestamp.after.max.ms");
	r->file_delete_delay_ms = number(m, c, self, t, rf, "file.delete.delay.ms");
	r->min_isr = (int32_t)number(m, c, self, t, rf, "min.insync.replicas");
	r->index_interval_bytes = (int32_t)number(m, c, self, t, rf, "index.interval.bytes");
	r->timestamp_type = word(m, c, self, t, "message.timestamp.type", stamps, 2);
	r->durability = word(m, c, self, t, "durability", classes, 3);
	r->compression = word(m, c, self, t, "compression.type", codecs, 6);
	if (r->compression < 5 && level[r->compression])
		r->compression_level = (int32_t)number(m, c, self, t, rf, level[r->compression]);
	if (r->compression == 5)
		r->compression = 255;
	r->cleanup = cleanup(m, c, self, t);
	r->unclean_election = number(m, c, self, t, rf, "unclean.leader.election.enable") == 1;
}

/* The same out of what was kept. A topic's replicas count only for the default of min.insync.replicas. */
static void topic_conf_kept(struct meta *m, const struct conf *c, int32_t self, struct meta_topic *t,
			    struct image_conf *r)
{
	int32_t rf = t->parts[0].replicas.n;
	bool own = meta_conf(m, "topics", str_of(t->name)) != NULL;
	struct image_conf *kept = own ? &t->conf : &m->plain[rf];
	uint64_t *stamp = own ? &t->conf_stamp : &m->plain_stamp[rf];

	if (*stamp != m->conf_stamp) {
		topic_conf(m, c, self, str_of(t->name), rf, kept);
		*stamp = m->conf_stamp;
	}
	*r = *kept;
}

static struct counts count(const struct meta *m)
{
	struct counts n = { 0 };

	for (uint32_t i = 0; i < m->topics_n; i++) {
		const struct meta_topic *t = m->topics[i];

		if (!complete(t))
			continue;
		n.topics++;
		n.parts += (uint32_t)t->parts_n;
		for (int32_t p = 0; p < t->parts_n; p++)
			n.numbers += (uint32_t)(t->parts[p].replicas.n + t->parts[p].isr.n + t->parts[p].elr.n);
	}
	for (uint32_t i = 0; i < m->brokers_n; i++)
		if (m->brokers[i].registered) {
			n.brokers++;
			n.endpoints += (uint32_t)m->brokers[i].ep_n;
		}
	return n;
}

static void align(struct buf *b)
{
	while (b->len % 8 && !b->bad)
		buf_u8(b, 0);
}

/* Zeroed room for n records; its position. */
static uint64_t room(struct buf *b, uint32_t n, size_t size)
{
	align(b);
	uint64_t at = b->len;
	uint8_t *p = buf_room(b, n * size);

	if (p)
		memset(p, 0, n * size);
	return at;
}

static struct block_text put(struct buf *b, struct str s)
{
	struct block_text t = { (uint32_t)b->len, s.len };

	if (s.len > 0)
		buf_put(b, s.p, (size_t)s.len);
	return t;
}

static void put_ids(int32_t *numbers, uint32_t *n, const struct meta_ids *v)
{
	for (int32_t i = 0; i < v->n; i++)
		numbers[(*n)++] = v->v[i];
}

static void fill_parts(struct buf *b, const struct block_head *h, const struct meta_topic *t, uint32_t first,
		       uint32_t *numbers_n)
{
	struct block_part *v = (struct block_part *)(void *)(b->p + h->parts) + first;
	int32_t *numbers = (int32_t *)(void *)(b->p + h->numbers);

	for (int32_t i = 0; i < t->parts_n; i++) {
		const struct meta_part *p = &t->parts[i];

		v[i] = (struct block_part){
			.leader = p->leader, .leader_epoch = p->leader_epoch,
			.partition_epoch = p->partition_epoch, .slot = p->slot, .ids = *numbers_n,
			.replicas_n = (uint16_t)p->replicas.n, .isr_n = (uint16_t)p->isr.n,
			.elr_n = (uint16_t)p->elr.n,
		};
		put_ids(numbers, numbers_n, &p->replicas);
		put_ids(numbers, numbers_n, &p->isr);
		put_ids(numbers, numbers_n, &p->elr);
	}
}

static void sort_ids(const struct block_topic *t, uint32_t *v, uint32_t n)
{
	for (uint32_t start = n / 2, end = n; end > 1;) {	/* heap sort: no recursion, no memory */
		if (start > 0) {
			start--;
		} else {
			uint32_t x = v[--end];

			v[end] = v[0];
			v[0] = x;
		}
		for (uint32_t i = start, c; (c = 2 * i + 1) < end; i = c) {
			if (c + 1 < end && memcmp(&t[v[c]].id, &t[v[c + 1]].id, 16) < 0)
				c++;
			if (memcmp(&t[v[i]].id, &t[v[c]].id, 16) >= 0)
				break;
			uint32_t x = v[i];

			v[i] = v[c];
			v[c] = x;
		}
	}
}

static void fill_topics(struct meta *m, const struct conf *c, int32_t self, struct buf *b,
			const struct block_head *h)
{
	uint32_t n = 0, parts = 0, numbers = 0;

	for (uint32_t i = 0; i < m->topics_n; i++) {
		struct meta_topic *t = m->topics[i];

		if (!complete(t))
			continue;
		struct block_topic o = { .id = t->id, .first = parts, .partitions = t->parts_n };

		o.name = put(b, str_of(t->name));
		o.internal = meta_topic_internal(str_of(t->name));
		topic_conf_kept(m, c, self, t, &o.conf);
		if (b->bad)
			return;
		((struct block_topic *)(void *)(b->p + h->topics))[n] = o;
		((uint32_t *)(void *)(b->p + h->by_id))[n] = n;
		fill_parts(b, h, t, parts, &numbers);
		parts += (uint32_t)t->parts_n;
		n++;
	}
	sort_ids((const void *)(b->p + h->topics), (uint32_t *)(void *)(b->p + h->by_id), n);
}

static void fill_brokers(const struct meta *m, struct buf *b, struct block_head *h)
{
	uint32_t n = 0, eps = 0;

	h->controller = -1;
	for (uint32_t i = 0; i < m->brokers_n; i++) {
		const struct meta_broker *o = &m->brokers[i];

		if (!o->registered)
			continue;
		struct block_broker v = {
			.epoch = o->epoch, .id = o->id, .fenced = !meta_broker_alive(o),
			.first = eps, .endpoints = (uint32_t)o->ep_n,
		};
		v.rack = put(b, str_of(o->rack));
		for (int k = 0; k < o->ep_n; k++) {
			struct block_endpoint e = { .port = o->ep[k].port };

			e.listener = put(b, str_of(o->ep[k].listener));
			e.host = put(b, str_of(o->ep[k].host));
			if (b->bad)
				return;
			((struct block_endpoint *)(void *)(b->p + h->endpoints))[eps++] = e;
		}
		if (b->bad)
			return;
		((struct block_broker *)(void *)(b->p + h->brokers))[n++] = v;
		if (h->controller < 0 && meta_broker_alive(o))
			h->controller = o->id;
	}
}

int meta_image(struct meta *m, const struct conf *c, int32_t self, struct str cluster_id, uint64_t gen,
	       struct buf *b)
{
	struct counts n = count(m);
	struct block_head h = {
		.magic = BLOCK_MAGIC, .version = BLOCK_VERSION, .head_bytes = sizeof h, .gen = gen,
		.zxid = m->zxid, .self = self, .topics_n = n.topics, .parts_n = n.parts,
		.numbers_n = n.numbers, .brokers_n = n.brokers, .endpoints_n = n.endpoints,
	};

	room(b, 1, sizeof h);
	h.topics = room(b, n.topics, sizeof(struct block_topic));
	h.by_id = room(b, n.topics, 4);
	h.parts = room(b, n.parts, sizeof(struct block_part));
	h.numbers = room(b, n.numbers, 4);
	h.brokers = room(b, n.brokers, sizeof(struct block_broker));
	h.endpoints = room(b, n.endpoints, sizeof(struct block_endpoint));
	if (b->bad)
		return E_LIMIT;
	fill_topics(m, c, self, b, &h);
	fill_brokers(m, b, &h);
	h.cluster_id = put(b, cluster_id);
	align(b);
	if (b->bad)
		return E_LIMIT;
	h.bytes = b->len;
	memcpy(b->p, &h, sizeof h);
	return OK;
}
