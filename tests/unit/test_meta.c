/*
 * test_meta.c - the mirror, the image and the operations of administrators (traps 24-26, 99, 104).
 * The random test compares image lookups with a naive model.
 */
#include <criterion/criterion.h>

#include "base/mem.h"
#include "meta/control.h"
#include "meta/image.h"
#include "wire/kafka_error.h"
#include "wire/mp.h"

#include <stdio.h>

struct bed {
	struct meta *m;
	struct conf *conf;
	struct rng rng;
	struct arena arena;
	struct control x;
	int64_t zxid;
};

static void apply(struct bed *b, bool deleted, struct str path, struct bytes value, int32_t version)
{
	struct meta_change c = { deleted, path, value, version, b->zxid, 7 };

	cr_assert_eq(meta_apply(b->m, &c), OK);
}

static void broker(struct bed *b, int id, const char *rack)
{
	char path[64];
	struct buf v;

	buf_init(&v, 4096);
	mp_put_array(&v, 4);
	mp_put_int(&v, 1);
	mp_put_bin(&v, "0123456789abcdef", 16);
	mp_put_str(&v, str_of(rack));
	mp_put_array(&v, 4);
	mp_put_str(&v, STR("PLAINTEXT"));
	mp_put_str(&v, STR("host"));
	mp_put_int(&v, 9000 + id);
	mp_put_str(&v, STR("PLAINTEXT"));
	snprintf(path, sizeof path, "/brokers/ids/%d", id);
	apply(b, false, str_of(path), (struct bytes){ v.p, (int32_t)v.len }, 0);
	snprintf(path, sizeof path, "/brokers/%d/workers/0", id);
	apply(b, false, str_of(path), BYTES_NULL, 0);
	buf_release(&v);
}

static void open_bed(struct bed *b, int brokers)
{
	static const char *const racks[] = { "a", "a", "b", "b", "c", "c" };

	memset(b, 0, sizeof *b);
	b->m = meta_open();
	b->conf = conf_open();
	rng_init(&b->rng, 1);
	arena_init(&b->arena, 65536, 1u << 28);
	for (int i = 0; i < brokers; i++)
		broker(b, i + 1, racks[i % 6]);
	apply(b, false, STR("/topics"), BYTES_NULL, 5);
}

static void close_bed(struct bed *b)
{
	meta_free(b->m);
	conf_free(b->conf);
	arena_release(&b->arena);
	cr_assert_eq(mem_live(), 0);
}

static struct control *ask(struct bed *b, int16_t version)
{
	b->x = (struct control){ .m = b->m, .conf = b->conf, .node = 1, .version = version, .rng = &b->rng,
				 .arena = &b->arena };
	return &b->x;
}

/* What the quorum would do with the batch. */
static void commit(struct bed *b)
{
	b->zxid++;
	for (uint32_t i = 0; i < b->x.ops_n; i++) {
		const struct meta_op *o = &b->x.ops[i];

		apply(b, o->kind == META_DELETE, o->path, o->value, o->kind == META_SET ? o->version + 1 : 0);
	}
	b->m->zxid = b->zxid;
}

static int16_t create(struct bed *b, const char *name, int32_t parts, int16_t rf, const char *k, const char *v)
{
	struct create_topics_request_creatable_topic_config kv = { str_of(k), str_of(v) };
	struct create_topics_request_creatable_topic t = {
		.name = str_of(name), .num_partitions = parts, .replication_factor = rf,
		.configs = &kv, .configs_n = k != NULL,
	};
	struct create_topics_request q = { .topics = &t, .topics_n = 1 };
	struct create_topics_response r;

	control_create_topics(ask(b, 7), &q, &r);
	if (r.topics[0].error_code == KAFKA_NONE)
		commit(b);
	else
		cr_assert_eq(b->x.ops_n, 0);
	return r.topics[0].error_code;
}

struct row {
	const char *name;
	int32_t parts;
	int16_t rf;
	const char *k, *v;
	int16_t want;
};

static const struct row rows[] = {
	{ "", 1, 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION },		/* trap 24 */
	{ "..", 1, 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION },
	{ "a/b", 1, 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION },
	{ "a.b", 1, 1, NULL, NULL, KAFKA_NONE },
	{ "a_b", 1, 1, NULL, NULL, KAFKA_INVALID_TOPIC_EXCEPTION },	/* collides */
	{ "a.b", 1, 1, NULL, NULL, KAFKA_TOPIC_ALREADY_EXISTS },
	{ "a.b", 0, 1, "no.such", "1", KAFKA_TOPIC_ALREADY_EXISTS },	/* trap 25: before configs */
	{ "p0", 0, 1, NULL, NULL, KAFKA_INVALID_PARTITIONS },
	{ "p0", -2, 1, NULL, NULL, KAFKA_INVALID_PARTITIONS },
	{ "p0", 1, 0, NULL, NULL, KAFKA_INVALID_REPLICATION_FACTOR },
	{ "p0", 1, -2, NULL, NULL, KAFKA_INVALID_REPLICATION_FACTOR },
	{ "p0", 1, 4, NULL, NULL, KAFKA_INVALID_REPLICATION_FACTOR },
	{ "p0", 10001, 1, NULL, NULL, KAFKA_POLICY_VIOLATION },
	{ "p0", 1, 1, "no.such", "1", KAFKA_INVALID_CONFIG },
	{ "p0", 1, 1, "segment.bytes", "1", KAFKA_INVALID_CONFIG },
	{ "p0", 1, 1, "retention.ms", NULL, KAFKA_INVALID_CONFIG },
	{ "p0", -1, -1, "message.format.version", "2.0", KAFKA_NONE },	/* of old tools: accepted */
	{ "p1", 3, 3, "retention.ms", "5", KAFKA_NONE },
};

Test(meta, create_topics)
{
	struct bed b;

	open_bed(&b, 3);
	for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
		int16_t got = create(&b, rows[i].name, rows[i].parts, rows[i].rf, rows[i].k, rows[i].v);

		cr_assert_eq(got, rows[i].want, "row %zu (%s): %d", i, rows[i].name, got);
	}
	const struct meta_topic *t = meta_topic(b.m, STR("p1"));

	cr_assert(t && t->parts_n == 3 && t->parts[2].replicas.n == 3 && t->parts[2].leader >= 1);
	cr_assert_str_eq(meta_conf_get(b.m, "topics", STR("p1"), "retention.ms"), "5");
	close_bed(&b);
}

Test(meta, min_isr_follows_the_replicas)
{
	struct bed b;
	char room[META_VALUE_MAX], err[CONF_ERR_BYTES];
	enum meta_source src;
	const struct conf_def *d = conf_topic_def(STR("min.insync.replicas"));

	open_bed(&b, 3);
	cr_assert(meta_topic_value(b.m, b.conf, 1, STR("x"), 3, d, room, &src));
	cr_assert_str_eq(room, "2");
	cr_assert(meta_topic_value(b.m, b.conf, 1, STR("x"), 2, d, room, &src));
	cr_assert_str_eq(room, "1");
	cr_assert_eq(conf_set(b.conf, STR("min.insync.replicas"), STR("1"), err), OK);
	cr_assert(meta_topic_value(b.m, b.conf, 1, STR("x"), 3, d, room, &src));
	cr_assert_str_eq(room, "1");
	cr_assert_eq(src, META_STATIC);
	d = conf_topic_def(STR("retention.ms"));
	cr_assert(meta_topic_value(b.m, b.conf, 1, STR("x"), 1, d, room, &src));
	cr_assert_str_eq(room, "604800000");
	cr_assert_eq(conf_set(b.conf, STR("log.retention.minutes"), STR("2"), err), OK);
	cr_assert(meta_topic_value(b.m, b.conf, 1, STR("x"), 1, d, room, &src));
	cr_assert_str_eq(room, "120000");
	close_bed(&b);
}

Test(meta, placement_spreads_over_racks)
{
	struct bed b;
	struct meta_ids ids;

	open_bed(&b, 6);
	for (int p = 0; p < 50; p++) {
		cr_assert(control_place(ask(&b, 7), p, 3, 4, &ids));
		int racks = 0;

		for (int i = 0; i < 3; i++)
			racks |= 1 << (ids.v[i] - 1) / 2;
		cr_assert_eq(racks, 7, "partition %d is not on three racks", p);
	}
	cr_assert(!control_place(ask(&b, 7), 0, 7, 0, &ids));
	close_bed(&b);
}

static int16_t alter(struct bed *b, int8_t type, const char *res, const char *k, int8_t op, const char *v)
{
	struct incremental_alter_configs_request_alterable_config c = { str_of(k), op, str_of(v) };
	struct incremental_alter_configs_request_alter_configs_resource r = {
		.resource_type = type, .resource_name = str_of(res), .configs = &c, .configs_n = 1,
	};
	struct incremental_alter_configs_request q = { .resources = &r, .resources_n = 1 };
	struct incremental_alter_configs_response a;

	control_incremental_alter_configs(ask(b, 1), &q, &a);
	if (a.responses[0].error_code == KAFKA_NONE)
		commit(b);
	return a.responses[0].error_code;
}

Test(meta, alter_configs)
{
	struct bed b;

	open_bed(&b, 1);
	cr_assert_eq(create(&b, "t", 1, 1, NULL, NULL), KAFKA_NONE);
	cr_assert_eq(alter(&b, 2, "t", "retention.ms", 0, "7"), KAFKA_NONE);
	cr_assert_eq(alter(&b, 2, "u", "retention.ms", 0, "7"), KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	cr_assert_eq(alter(&b, 2, "t", "retention.ms", 2, "7"), KAFKA_INVALID_CONFIG);	/* trap 99: not a list */
	cr_assert_eq(alter(&b, 2, "t", "cleanup.policy", 2, "compact"), KAFKA_NONE);
	cr_assert_str_eq(meta_conf_get(b.m, "topics", STR("t"), "cleanup.policy"), "delete,compact");
	cr_assert_eq(alter(&b, 2, "t", "cleanup.policy", 2, "compact"), KAFKA_NONE);	/* there already */
	cr_assert_str_eq(meta_conf_get(b.m, "topics", STR("t"), "cleanup.policy"), "delete,compact");
	cr_assert_eq(alter(&b, 2, "t", "cleanup.policy", 3, "delete"), KAFKA_NONE);
	cr_assert_str_eq(meta_conf_get(b.m, "topics", STR("t"), "cleanup.policy"), "compact");
	cr_assert_eq(alter(&b, 2, "t", "retention.ms", 1, NULL), KAFKA_NONE);
	cr_assert_null(meta_conf_get(b.m, "topics", STR("t"), "retention.ms"));
	cr_assert_eq(alter(&b, 2, "t", "retention.bytes", 1, NULL), KAFKA_NONE);		/* absent: no-op */
	cr_assert_eq(alter(&b, 4, "1", "node.id", 0, "2"), KAFKA_INVALID_REQUEST);	/* read-only */
	cr_assert_eq(alter(&b, 4, "", "message.max.bytes", 0, "5000"), KAFKA_NONE);
	cr_assert_eq(alter(&b, 4, "9", "message.max.bytes", 0, "5000"), KAFKA_INVALID_REQUEST);
	cr_assert_eq(alter(&b, 4, "", "message.max.bytes", 0, "x"), KAFKA_INVALID_REQUEST);
	cr_assert_eq(alter(&b, 8, "1", "kafka", 0, "INFO"), KAFKA_INVALID_REQUEST);
	close_bed(&b);
}

/* Traps 25, 98, 104: what a request names twice is answered once and nothing of it is done. */
Test(meta, named_twice)
{
	struct bed b;

	open_bed(&b, 1);
	cr_assert_eq(create(&b, "t", 1, 1, NULL, NULL), KAFKA_NONE);
	struct create_topics_request_creatable_topic ct[] = {
		{ .name = STR("a"), .num_partitions = 1, .replication_factor = 1 },
		{ .name = STR("b"), .num_partitions = 1, .replication_factor = 1 },
		{ .name = STR("a"), .num_partitions = 2, .replication_factor = 1 },
	};
	struct create_topics_request cq = { .topics = ct, .topics_n = 3 };
	struct create_topics_response ca;

	control_create_topics(ask(&b, 7), &cq, &ca);
	commit(&b);
	cr_assert_eq(ca.topics_n, 2);
	cr_assert_eq(ca.topics[0].error_code, KAFKA_INVALID_REQUEST);
	cr_assert_eq(ca.topics[1].error_code, KAFKA_NONE);
	cr_assert(!meta_topic(b.m, STR("a")) && meta_topic(b.m, STR("b")));

	ct[0].num_partitions = 10000;
	ct[2] = (struct create_topics_request_creatable_topic){ .name = STR("c"), .num_partitions = 1,
								.replication_factor = 1 };
	ct[1].name = STR("d");
	control_create_topics(ask(&b, 7), &cq, &ca);
	for (int i = 0; i < 3; i++)	/* 10,002 partitions in all */
		cr_assert_eq(ca.topics[i].error_code, KAFKA_POLICY_VIOLATION);
	cr_assert_eq(b.x.ops_n, 0);

	struct uuid id = meta_topic(b.m, STR("t"))->id;
	struct delete_topics_request_delete_topic_state dt[] = {
		{ STR("t"), { { 0 } } }, { STR_NULL, id }, { STR("b"), { { 0 } } }, { STR("b"), { { 0 } } },
	};
	struct delete_topics_request dq = { .topics = dt, .topics_n = 4 };
	struct delete_topics_response da;

	control_delete_topics(ask(&b, 6), &dq, &da);
	cr_assert_eq(da.responses_n, 2);
	cr_assert(da.responses[0].error_code == KAFKA_INVALID_REQUEST && uuid_eq(&da.responses[0].topic_id, &id));
	cr_assert_eq(da.responses[1].error_code, KAFKA_INVALID_REQUEST);
	cr_assert_eq(b.x.ops_n, 0);

	struct create_partitions_request_create_partitions_topic pt[] = {
		{ .name = STR("t"), .count = 2, .assignments_n = -1 },
		{ .name = STR("t"), .count = 3, .assignments_n = -1 },
	};
	struct create_partitions_request pq = { .topics = pt, .topics_n = 2 };
	struct create_partitions_response pa;

	control_create_partitions(ask(&b, 3), &pq, &pa);
	cr_assert(pa.results_n == 1 && pa.results[0].error_code == KAFKA_INVALID_REQUEST && b.x.ops_n == 0);

	struct alter_configs_request_alterable_config kv = { STR("retention.ms"), STR("5") };
	struct alter_configs_request_alter_configs_resource ar[] = {
		{ .resource_type = 2, .resource_name = STR("t"), .configs = &kv, .configs_n = 1 },
		{ .resource_type = 2, .resource_name = STR("t"), .configs = &kv, .configs_n = 1 },
	};
	struct alter_configs_request aq = { .resources = ar, .resources_n = 2 };
	struct alter_configs_response aa;

	control_alter_configs(ask(&b, 1), &aq, &aa);
	for (int i = 0; i < 2; i++)
		cr_assert_eq(aa.responses[i].error_code, KAFKA_INVALID_REQUEST);
	cr_assert_eq(b.x.ops_n, 0);
	close_bed(&b);
}

Test(meta, delete_topics)
{
	struct bed b;

	open_bed(&b, 1);
	cr_assert_eq(create(&b, "t", 2, 1, "retention.ms", "1"), KAFKA_NONE);
	struct uuid id = meta_topic(b.m, STR("t"))->id;
	struct delete_topics_request_delete_topic_state v[] = {
		{ STR("t"), id }, { STR_NULL, { { 0 } } }, { STR_NULL, { { 1 } } }, { STR("u"), { { 0 } } },
		{ STR_NULL, id },
	};
	static const int16_t want[] = { KAFKA_INVALID_REQUEST, KAFKA_INVALID_REQUEST, KAFKA_UNKNOWN_TOPIC_ID,
					KAFKA_UNKNOWN_TOPIC_OR_PARTITION, KAFKA_NONE };		/* trap 104 */
	struct delete_topics_request q = { .topics = v, .topics_n = 5 };
	struct delete_topics_response r;

	control_delete_topics(ask(&b, 6), &q, &r);
	for (int i = 0; i < 5; i++)
		cr_assert_eq(r.responses[i].error_code, want[i], "row %d", i);
	commit(&b);
	cr_assert_null(meta_topic(b.m, STR("t")));
	cr_assert_null(meta_conf(b.m, "topics", STR("t")));
	close_bed(&b);
}

static int64_t image_max_bytes(struct bed *b, const char *topic)
{
	struct buf blk;
	struct image *im;
	struct image_topic t;

	buf_init(&blk, 1u << 24);
	cr_assert_eq(meta_image(b->m, b->conf, 1, STR("c"), 1, &blk), OK);
	cr_assert_eq(image_open(blk.p, blk.len, &im), OK);
	cr_assert(image_topic_by_name(im, str_of(topic), &t));
	image_close(im);
	buf_release(&blk);
	return t.conf.max_message_bytes;
}

/* Kept settings are dropped when what they came from changes. */
Test(meta, settings_reach_the_image)
{
	struct bed b;

	open_bed(&b, 1);
	cr_assert_eq(create(&b, "t", 1, 1, NULL, NULL), KAFKA_NONE);
	cr_assert_eq(create(&b, "u", 1, 1, "max.message.bytes", "77"), KAFKA_NONE);
	cr_assert_eq(image_max_bytes(&b, "t"), 1048588);
	cr_assert_eq(image_max_bytes(&b, "u"), 77);
	cr_assert_eq(alter(&b, 4, "", "message.max.bytes", 0, "5000"), KAFKA_NONE);
	cr_assert_eq(image_max_bytes(&b, "t"), 5000);
	cr_assert_eq(image_max_bytes(&b, "u"), 77);
	cr_assert_eq(alter(&b, 4, "1", "message.max.bytes", 0, "6000"), KAFKA_NONE);
	cr_assert_eq(image_max_bytes(&b, "t"), 6000);
	cr_assert_eq(alter(&b, 2, "t", "max.message.bytes", 0, "88"), KAFKA_NONE);
	cr_assert_eq(image_max_bytes(&b, "t"), 88);
	cr_assert_eq(alter(&b, 2, "t", "max.message.bytes", 1, NULL), KAFKA_NONE);
	cr_assert_eq(image_max_bytes(&b, "t"), 6000);
	close_bed(&b);
}

/* The builder against the mirror, after each of many random changes. */
Test(meta, image_random)
{
	struct bed b;
	struct rng r;
	char name[32];

	open_bed(&b, 3);
	rng_init(&r, 42);
	for (int step = 0; step < 300; step++) {
		snprintf(name, sizeof name, "topic-%u", rng_below(&r, 40));
		if (meta_topic(b.m, str_of(name))) {
			struct str one = str_of(name);
			struct delete_topics_request q = { .topic_names = &one, .topic_names_n = 1 };
			struct delete_topics_response res;

			control_delete_topics(ask(&b, 1), &q, &res);
			commit(&b);
		} else {
			cr_assert_eq(create(&b, name, (int32_t)rng_below(&r, 5) + 1, (int16_t)(rng_below(&r, 3) + 1),
					    rng_below(&r, 2) ? "segment.ms" : NULL, "1234"), KAFKA_NONE);
		}
		struct buf blk;
		struct image *im;

		buf_init(&blk, 1u << 26);
		cr_assert_eq(meta_image(b.m, b.conf, 1, STR("cluster"), 9, &blk), OK);
		cr_assert_eq(image_open(blk.p, blk.len, &im), OK);
		cr_assert_eq(image_topics(im), b.m->topics_n);
		cr_assert_eq(image_brokers(im), 3);
		cr_assert(image_zxid(im) == b.m->zxid && image_self(im) == 1 && image_controller(im) == 1);
		for (uint32_t i = 0; i < b.m->topics_n; i++) {
			const struct meta_topic *t = b.m->topics[i];
			struct image_topic a, c;
			struct image_part p;

			cr_assert(image_topic_by_name(im, str_of(t->name), &a));
			cr_assert(image_topic_by_id(im, &t->id, &c));
			cr_assert(str_eq(a.name, c.name) && a.partitions == t->parts_n);
			cr_assert_eq(a.conf.segment_ms,
				     meta_conf(b.m, "topics", str_of(t->name)) ? 1234 : 604800000);
			for (int32_t k = 0; k < t->parts_n; k++) {
				cr_assert(image_part(im, &a, k, &p));
				cr_assert(p.leader == t->parts[k].leader && p.replicas_n == t->parts[k].replicas.n);
				cr_assert(memcmp(p.replicas, t->parts[k].replicas.v, (size_t)p.replicas_n * 4) == 0);
			}
			cr_assert(!image_part(im, &a, t->parts_n, &p));
		}
		image_close(im);
		for (int cut = 0; cut < 20; cut++) {	/* damaged blocks are refused or read without harm */
			uint8_t *at = blk.p + rng_below(&r, (uint32_t)blk.len), old = *at;

			*at ^= (uint8_t)(1 + rng_below(&r, 255));
			if (image_open(blk.p, blk.len, &im) == OK) {
				struct image_topic a;

				for (uint32_t i = 0; i < image_topics(im); i++)
					image_topic_at(im, i, &a);
				image_close(im);
			}
			*at = old;
		}
		buf_release(&blk);
		arena_reset(&b.arena);
	}
	close_bed(&b);
}
