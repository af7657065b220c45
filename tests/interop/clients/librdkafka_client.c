/*
 * librdkafka_client.c - a plain C program on librdkafka: librdkafka_client BOOTSTRAP.
 *
 * Prints `version TEXT` and a line a step, as the other client programs of this folder do. It uses
 * nothing but librdkafka's public header.
 */
#include <librdkafka/rdkafka.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define PARTS 4
#define WAIT_MS 60000

static const char *boot;
static char topic[64], group[80];
static int made[PARTS];			/* records in each partition; value i of partition p is "p i ..." */
static int failed;
static jmp_buf out;

__attribute__((noreturn, format(printf, 1, 2))) static void fail(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	printf("not ok ");
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
	fflush(stdout);
	failed++;
	longjmp(out, 1);
}

static const char *step_name;
#define FAIL(fmt, ...) fail("%s: line %d: " fmt, step_name, __LINE__, ##__VA_ARGS__)
#define SAME(got, want) do { \
	long long g_ = (long long)(got), w_ = (long long)(want); \
	if (g_ != w_) \
		FAIL("%s is %lld, not %lld", #got, g_, w_); \
} while (0)

static void step(const char *name, void (*f)(const void *arg), const void *arg)
{
	step_name = name;
	if (setjmp(out) == 0) {
		f(arg);
		printf("ok %s\n", name);
	}
	fflush(stdout);
}

static int64_t now_ms(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

/* ---- handles ---------------------------------------------------------------------------------- */

/* Names and values in pairs, then NULL. */
static rd_kafka_t *handle(rd_kafka_type_t type, ...)
{
	char err[512];
	rd_kafka_conf_t *c = rd_kafka_conf_new();
	va_list ap;

	if (rd_kafka_conf_set(c, "bootstrap.servers", boot, err, sizeof err) != RD_KAFKA_CONF_OK)
		FAIL("%s", err);
	va_start(ap, type);
	for (const char *name; (name = va_arg(ap, const char *));)
		if (rd_kafka_conf_set(c, name, va_arg(ap, const char *), err, sizeof err) != RD_KAFKA_CONF_OK)
			FAIL("%s", err);
	va_end(ap);
	rd_kafka_t *rk = rd_kafka_new(type, c, err, sizeof err);
	if (!rk)
		FAIL("%s", err);
	if (type == RD_KAFKA_CONSUMER)
		rd_kafka_poll_set_consumer(rk);
	return rk;
}

/* The next result of an admin call; its event must be destroyed. */
static rd_kafka_event_t *result(rd_kafka_queue_t *q, bool want_ok)
{
	rd_kafka_event_t *ev = rd_kafka_queue_poll(q, WAIT_MS);

	if (!ev)
		FAIL("no answer in %d ms", WAIT_MS);
	if (want_ok && rd_kafka_event_error(ev))
		FAIL("%s", rd_kafka_event_error_string(ev));
	return ev;
}

static void topics_ok(const rd_kafka_topic_result_t **v, size_t n, rd_kafka_resp_err_t want)
{
	SAME(n, 1);
	if (rd_kafka_topic_result_error(v[0]) != want)
		FAIL("%s: %s", rd_kafka_topic_result_name(v[0]), rd_kafka_err2name(rd_kafka_topic_result_error(v[0])));
}

/* ---- administration --------------------------------------------------------------------------- */

static void create_once(rd_kafka_t *rk, rd_kafka_resp_err_t want)
{
	char err[512];
	rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
	rd_kafka_NewTopic_t *t = rd_kafka_NewTopic_new(topic, 2, 1, err, sizeof err);
	size_t n;

	rd_kafka_NewTopic_set_config(t, "retention.ms", "3600000");
	rd_kafka_CreateTopics(rk, &t, 1, NULL, q);
	rd_kafka_event_t *ev = result(q, true);
	const rd_kafka_topic_result_t **v =
		rd_kafka_CreateTopics_result_topics(rd_kafka_event_CreateTopics_result(ev), &n);
	topics_ok(v, n, want);
	rd_kafka_event_destroy(ev);
	rd_kafka_NewTopic_destroy(t);
	rd_kafka_queue_destroy(q);
}

static void create(const void *arg)
{
	rd_kafka_t *rk = handle(RD_KAFKA_PRODUCER, NULL);

	(void)arg;
	create_once(rk, RD_KAFKA_RESP_ERR_NO_ERROR);
	create_once(rk, RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS);
	rd_kafka_destroy(rk);
}

static int partitions_of(rd_kafka_t *rk, int *ret_leader)
{
	const struct rd_kafka_metadata *md;
	rd_kafka_resp_err_t e = rd_kafka_metadata(rk, 1, NULL, &md, WAIT_MS);
	int n = 0;

	if (e)
		FAIL("metadata: %s", rd_kafka_err2str(e));
	for (int i = 0; i < md->topic_cnt; i++)
		if (strcmp(md->topics[i].topic, topic) == 0) {
			n = md->topics[i].partition_cnt;
			*ret_leader = n ? md->topics[i].partitions[0].leader : -1;
		}
	rd_kafka_metadata_destroy(md);
	return n;
}

static void describe(const void *arg)
{
	rd_kafka_t *rk = handle(RD_KAFKA_PRODUCER, NULL);
	char *id = rd_kafka_clusterid(rk, WAIT_MS);
	int leader = -1;

	(void)arg;
	SAME(partitions_of(rk, &leader), 2);
	SAME(leader, 1);
	SAME(rd_kafka_controllerid(rk, WAIT_MS), 1);
	SAME(id && strlen(id) == 22, true);
	rd_kafka_mem_free(rk, id);
	rd_kafka_destroy(rk);
}

static void partitions(const void *arg)
{
	char err[512];
	rd_kafka_t *rk = handle(RD_KAFKA_PRODUCER, NULL);
	rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
	rd_kafka_NewPartitions_t *p = rd_kafka_NewPartitions_new(topic, PARTS, err, sizeof err);
	int64_t end = now_ms() + WAIT_MS;
	int leader;
	size_t n;

	(void)arg;
	rd_kafka_CreatePartitions(rk, &p, 1, NULL, q);
	rd_kafka_event_t *ev = result(q, true);
	const rd_kafka_topic_result_t **v =
		rd_kafka_CreatePartitions_result_topics(rd_kafka_event_CreatePartitions_result(ev), &n);
	topics_ok(v, n, 0);
	rd_kafka_event_destroy(ev);
	rd_kafka_NewPartitions_destroy(p);
	rd_kafka_queue_destroy(q);
	while (partitions_of(rk, &leader) != PARTS)
		if (now_ms() > end)
			FAIL("the new partitions do not show");
	rd_kafka_destroy(rk);
}

static void value_of(rd_kafka_t *rk, const char *name, char *ret, size_t size)
{
	rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
	rd_kafka_ConfigResource_t *r = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	size_t n, entries;

	rd_kafka_DescribeConfigs(rk, &r, 1, NULL, q);
	rd_kafka_event_t *ev = result(q, true);
	const rd_kafka_ConfigResource_t **v =
		rd_kafka_DescribeConfigs_result_resources(rd_kafka_event_DescribeConfigs_result(ev), &n);
	SAME(n, 1);
	SAME(rd_kafka_ConfigResource_error(v[0]), 0);
	const rd_kafka_ConfigEntry_t **e = rd_kafka_ConfigResource_configs(v[0], &entries);
	snprintf(ret, size, "%s", "");
	for (size_t i = 0; i < entries; i++)
		if (strcmp(rd_kafka_ConfigEntry_name(e[i]), name) == 0)
			snprintf(ret, size, "%s", rd_kafka_ConfigEntry_value(e[i]));
	rd_kafka_event_destroy(ev);
	rd_kafka_ConfigResource_destroy(r);
	rd_kafka_queue_destroy(q);
}

static void configs(const void *arg)
{
	rd_kafka_t *rk = handle(RD_KAFKA_PRODUCER, NULL);
	rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
	rd_kafka_ConfigResource_t *r = rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, topic);
	int64_t end = now_ms() + WAIT_MS;
	char value[100];
	size_t n;

	(void)arg;
	value_of(rk, "retention.ms", value, sizeof value);
	if (strcmp(value, "3600000") != 0)
		FAIL("retention.ms is %s", value);
	rd_kafka_ConfigResource_set_config(r, "retention.ms", "7200000");
	rd_kafka_AlterConfigs(rk, &r, 1, NULL, q);
	rd_kafka_event_t *ev = result(q, true);
	const rd_kafka_ConfigResource_t **v =
		rd_kafka_AlterConfigs_result_resources(rd_kafka_event_AlterConfigs_result(ev), &n);
	SAME(n, 1);
	SAME(rd_kafka_ConfigResource_error(v[0]), 0);
	rd_kafka_event_destroy(ev);
	do {
		value_of(rk, "retention.ms", value, sizeof value);
		if (now_ms() > end)
			FAIL("the new value does not show: %s", value);
	} while (strcmp(value, "7200000") != 0);
	rd_kafka_ConfigResource_destroy(r);
	rd_kafka_queue_destroy(q);
	rd_kafka_destroy(rk);
}

/* ---- produce ---------------------------------------------------------------------------------- */

static int acked[PARTS];
static int64_t bad_offset;

/* Deliveries of a partition come in order, with consecutive offsets. */
static void on_delivery(rd_kafka_t *rk, const rd_kafka_message_t *m, void *opaque)
{
	(void)rk, (void)opaque;
	if (m->err || m->offset != acked[m->partition])
		bad_offset = m->err ? -(int64_t)m->err : m->offset;
	else
		acked[m->partition]++;
}

static rd_kafka_t *producer(const char *codec, const char *idempotent)
{
	char err[512];
	rd_kafka_conf_t *c = rd_kafka_conf_new();
	const char *v[][2] = { { "bootstrap.servers", boot }, { "compression.codec", codec }, { "linger.ms", "5" },
			       { "enable.idempotence", idempotent }, { "batch.num.messages", "50" } };

	for (size_t i = 0; i < sizeof v / sizeof *v; i++)
		if (rd_kafka_conf_set(c, v[i][0], v[i][1], err, sizeof err) != RD_KAFKA_CONF_OK)
			FAIL("%s", err);
	rd_kafka_conf_set_dr_msg_cb(c, on_delivery);
	rd_kafka_t *rk = rd_kafka_new(RD_KAFKA_PRODUCER, c, err, sizeof err);
	if (!rk)
		FAIL("%s", err);
	bad_offset = -1;
	memcpy(acked, made, sizeof made);
	return rk;
}

static void flushed(rd_kafka_t *rk)
{
	SAME(rd_kafka_flush(rk, WAIT_MS), 0);
	SAME(bad_offset, -1);
	for (int p = 0; p < PARTS; p++)
		SAME(acked[p], made[p]);
	rd_kafka_destroy(rk);
}

static void produce_n(const char *codec, const char *idempotent, int n)
{
	rd_kafka_t *rk = producer(codec, idempotent);
	char value[200];

	for (int i = 0; i < n; i++) {
		int p = i % PARTS;
		int len = snprintf(value, sizeof value, "%d %d %s some text that compresses, some text", p, made[p],
				   codec);
		rd_kafka_resp_err_t e = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(p),
			RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_VALUE(value, (size_t)len),
			RD_KAFKA_V_KEY(&made[p], sizeof made[p]), RD_KAFKA_V_END);
		if (e)
			FAIL("%s", rd_kafka_err2str(e));
		made[p]++;
	}
	flushed(rk);
}

static void produce(const void *codec)
{
	produce_n(codec, "false", 400);
}

static void idempotent(const void *arg)
{
	(void)arg;
	produce_n("lz4", "true", 1000);
}

/* Partition 0 gets a record without key, without value, with headers of every kind. */
static void nulls_headers(const void *arg)
{
	rd_kafka_t *rk = producer("none", "false");
	rd_kafka_resp_err_t e = rd_kafka_producev(rk, RD_KAFKA_V_TOPIC(topic), RD_KAFKA_V_PARTITION(0),
		RD_KAFKA_V_HEADER("a", "1", 1), RD_KAFKA_V_HEADER("a", "22", 2), RD_KAFKA_V_HEADER("none", NULL, 0),
		RD_KAFKA_V_HEADER("empty", "", 0), RD_KAFKA_V_END);

	(void)arg;
	if (e)
		FAIL("%s", rd_kafka_err2str(e));
	made[0]++;
	flushed(rk);
}

/* ---- consume ---------------------------------------------------------------------------------- */

static void check_plain(const rd_kafka_message_t *m)
{
	int p, n;

	if (m->len == 0)
		return;
	if (sscanf(m->payload, "%d %d ", &p, &n) != 2 || p != m->partition)
		FAIL("partition %d, offset %lld: value %.*s", m->partition, (long long)m->offset, (int)m->len,
		     (char *)m->payload);
	SAME(n, m->offset);
	SAME(m->key_len, sizeof(int));
	SAME(*(int *)m->key, n);
}

static void check_headers(const rd_kafka_message_t *m)
{
	static const struct { const char *name, *value; } want[] = {
		{ "a", "1" }, { "a", "22" }, { "none", NULL }, { "empty", "" },
	};
	rd_kafka_headers_t *h;
	const char *name;
	const void *value;
	size_t len;

	SAME(rd_kafka_message_headers(m, &h), 0);
	SAME(rd_kafka_header_cnt(h), 4);
	for (size_t i = 0; i < 4; i++) {
		SAME(rd_kafka_header_get_all(h, i, &name, &value, &len), 0);
		if (strcmp(name, want[i].name) != 0 || !value != !want[i].value)
			FAIL("header %d is %s", (int)i, name);
		if (value && (len != strlen(want[i].value) || memcmp(value, want[i].value, len) != 0))
			FAIL("header %s has another value", name);
	}
	SAME(m->key == NULL && m->payload == NULL, true);
}

static void consume(const void *arg)
{
	rd_kafka_t *rk = handle(RD_KAFKA_CONSUMER, "group.id", "none", "check.crcs", "true", "enable.auto.commit",
				"false", "enable.partition.eof", "true", NULL);
	rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(PARTS);
	int64_t next[PARTS] = { 0 }, end = now_ms() + WAIT_MS;
	int ends = 0, with_headers = 0;

	(void)arg;
	for (int p = 0; p < PARTS; p++)
		rd_kafka_topic_partition_list_add(l, topic, p)->offset = RD_KAFKA_OFFSET_BEGINNING;
	SAME(rd_kafka_assign(rk, l), 0);
	rd_kafka_topic_partition_list_destroy(l);
	while (ends < PARTS) {
		rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 100);

		if (now_ms() > end)
			FAIL("not at the end in %d ms", WAIT_MS);
		if (!m)
			continue;
		if (m->err == RD_KAFKA_RESP_ERR__PARTITION_EOF) {
			SAME(m->offset, made[m->partition]);
			ends++;
		} else if (m->err) {
			FAIL("%s", rd_kafka_message_errstr(m));
		} else {
			SAME(m->offset, next[m->partition]);
			next[m->partition]++;
			check_plain(m);
			if (!m->payload) {
				check_headers(m);
				with_headers++;
			}
		}
		rd_kafka_message_destroy(m);
	}
	for (int p = 0; p < PARTS; p++)
		SAME(next[p], made[p]);
	SAME(with_headers, 1);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
}

/* ---- a group of two ---------------------------------------------------------------------------- */

static char *seen[PARTS];
static int seen_n;

static void turn(rd_kafka_t *rk)
{
	rd_kafka_message_t *m = rd_kafka_consumer_poll(rk, 20);

	if (!m)
		return;
	if (m->err)
		FAIL("%s", rd_kafka_message_errstr(m));
	if (!seen[m->partition][m->offset]) {
		seen[m->partition][m->offset] = 1;
		seen_n++;
	}
	rd_kafka_message_destroy(m);
}

static int assigned(rd_kafka_t *rk)
{
	rd_kafka_topic_partition_list_t *l;
	int n;

	SAME(rd_kafka_assignment(rk, &l), 0);
	n = l->cnt;
	rd_kafka_topic_partition_list_destroy(l);
	return n;
}

static void until_assigned(rd_kafka_t *a, int want_a, rd_kafka_t *b, int want_b)
{
	int64_t end = now_ms() + WAIT_MS;

	while (assigned(a) != want_a || (b && assigned(b) != want_b)) {
		turn(a);
		if (b)
			turn(b);
		if (now_ms() > end)
			FAIL("%d and %d partitions, not %d and %d", assigned(a), b ? assigned(b) : 0, want_a, want_b);
	}
}

static rd_kafka_t *member(void)
{
	rd_kafka_t *rk = handle(RD_KAFKA_CONSUMER, "group.id", group, "auto.offset.reset", "earliest",
				"enable.auto.commit", "false", "session.timeout.ms", "10000", "heartbeat.interval.ms",
				"300", "partition.assignment.strategy", "roundrobin", NULL);
	rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(1);

	rd_kafka_topic_partition_list_add(l, topic, RD_KAFKA_PARTITION_UA);
	SAME(rd_kafka_subscribe(rk, l), 0);
	rd_kafka_topic_partition_list_destroy(l);
	return rk;
}

static void commit_assigned(rd_kafka_t *rk)
{
	rd_kafka_topic_partition_list_t *l;

	SAME(rd_kafka_assignment(rk, &l), 0);
	for (int i = 0; i < l->cnt; i++)
		l->elems[i].offset = made[l->elems[i].partition];
	SAME(rd_kafka_commit(rk, l, 0), 0);
	for (int i = 0; i < l->cnt; i++)
		SAME(l->elems[i].err, 0);
	rd_kafka_topic_partition_list_destroy(l);
}

static void two_members(const void *arg)
{
	const struct rd_kafka_group_list *gl;
	int total = 0;

	(void)arg;
	for (int p = 0; p < PARTS; p++) {
		seen[p] = calloc(1, (size_t)made[p] + 1);
		total += made[p];
	}
	rd_kafka_t *a = member();
	until_assigned(a, PARTS, NULL, 0);
	rd_kafka_t *b = member();
	until_assigned(a, PARTS / 2, b, PARTS / 2);
	for (int64_t end = now_ms() + WAIT_MS; seen_n < total;) {
		turn(a);
		turn(b);
		if (now_ms() > end)
			FAIL("%d of %d records", seen_n, total);
	}
	commit_assigned(a);
	commit_assigned(b);
	SAME(rd_kafka_list_groups(a, group, &gl, WAIT_MS), 0);
	SAME(gl->group_cnt, 1);
	SAME(gl->groups[0].member_cnt, 2);
	if (strcmp(gl->groups[0].state, "Stable") != 0)
		FAIL("state %s", gl->groups[0].state);
	rd_kafka_group_list_destroy(gl);
	rd_kafka_consumer_close(b);
	rd_kafka_destroy(b);
	until_assigned(a, PARTS, NULL, 0);
	rd_kafka_consumer_close(a);
	rd_kafka_destroy(a);
}

static void offsets(const void *arg)
{
	rd_kafka_t *rk = handle(RD_KAFKA_CONSUMER, "group.id", group, "enable.auto.commit", "false", NULL);
	rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(PARTS);
	int64_t low, high;

	(void)arg;
	for (int p = 0; p < PARTS; p++)
		rd_kafka_topic_partition_list_add(l, topic, p);
	SAME(rd_kafka_committed(rk, l, WAIT_MS), 0);
	for (int p = 0; p < PARTS; p++) {
		SAME(l->elems[p].offset, made[p]);
		SAME(rd_kafka_query_watermark_offsets(rk, topic, p, &low, &high, WAIT_MS), 0);
		SAME(low, 0);
		SAME(high - l->elems[p].offset, 0);	/* the lag */
		l->elems[p].offset = p == 0 ? 0 : INT64_MAX / 2;	/* times */
	}
	SAME(rd_kafka_offsets_for_times(rk, l, WAIT_MS), 0);
	SAME(l->elems[0].offset, 0);
	SAME(l->elems[1].offset, RD_KAFKA_OFFSET_END);
	for (int p = 0; p < PARTS; p++)
		l->elems[p].offset = 3;
	l->elems[0].metadata = strdup("note");
	l->elems[0].metadata_size = 4;
	SAME(rd_kafka_commit(rk, l, 0), 0);
	SAME(rd_kafka_committed(rk, l, WAIT_MS), 0);
	SAME(l->elems[0].offset, 3);
	SAME(l->elems[0].metadata_size, 4);
	SAME(memcmp(l->elems[0].metadata, "note", 4), 0);
	rd_kafka_topic_partition_list_destroy(l);
	rd_kafka_consumer_close(rk);
	rd_kafka_destroy(rk);
}

/* ---- deletes ---------------------------------------------------------------------------------- */

static void delete_records(const void *arg)
{
	rd_kafka_t *rk = handle(RD_KAFKA_PRODUCER, NULL);
	rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
	rd_kafka_topic_partition_list_t *l = rd_kafka_topic_partition_list_new(2);
	int64_t low, high;

	(void)arg;
	rd_kafka_topic_partition_list_add(l, topic, 0)->offset = 100;
	rd_kafka_topic_partition_list_add(l, topic, 1)->offset = RD_KAFKA_OFFSET_END;
	rd_kafka_DeleteRecords_t *d = rd_kafka_DeleteRecords_new(l);
	rd_kafka_DeleteRecords(rk, &d, 1, NULL, q);
	rd_kafka_event_t *ev = result(q, true);
	const rd_kafka_topic_partition_list_t *r =
		rd_kafka_DeleteRecords_result_offsets(rd_kafka_event_DeleteRecords_result(ev));
	for (int i = 0; i < r->cnt; i++) {
		SAME(r->elems[i].err, 0);
		SAME(r->elems[i].offset, r->elems[i].partition == 0 ? 100 : made[1]);
	}
	rd_kafka_event_destroy(ev);
	SAME(rd_kafka_query_watermark_offsets(rk, topic, 0, &low, &high, WAIT_MS), 0);
	SAME(low, 100);
	rd_kafka_DeleteRecords_destroy(d);
	rd_kafka_topic_partition_list_destroy(l);
	rd_kafka_queue_destroy(q);
	rd_kafka_destroy(rk);
}

static void delete_group(const void *arg)
{
	rd_kafka_t *rk = handle(RD_KAFKA_PRODUCER, NULL);
	rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
	rd_kafka_DeleteGroup_t *d = rd_kafka_DeleteGroup_new(group);
	const struct rd_kafka_group_list *gl;
	size_t n;

	(void)arg;
	rd_kafka_DeleteGroups(rk, &d, 1, NULL, q);
	rd_kafka_event_t *ev = result(q, true);
	const rd_kafka_group_result_t **v =
		rd_kafka_DeleteGroups_result_groups(rd_kafka_event_DeleteGroups_result(ev), &n);
	SAME(n, 1);
	if (rd_kafka_group_result_error(v[0]))
		FAIL("%s", rd_kafka_error_string(rd_kafka_group_result_error(v[0])));
	rd_kafka_event_destroy(ev);
	SAME(rd_kafka_list_groups(rk, NULL, &gl, WAIT_MS), 0);
	for (int i = 0; i < gl->group_cnt; i++)
		if (strcmp(gl->groups[i].group, group) == 0)
			FAIL("%s is still listed", group);
	rd_kafka_group_list_destroy(gl);
	rd_kafka_DeleteGroup_destroy(d);
	rd_kafka_queue_destroy(q);
	rd_kafka_destroy(rk);
}

static void delete(const void *arg)
{
	rd_kafka_t *rk = handle(RD_KAFKA_PRODUCER, NULL);
	rd_kafka_queue_t *q = rd_kafka_queue_new(rk);
	rd_kafka_DeleteTopic_t *d = rd_kafka_DeleteTopic_new(topic);
	int64_t end = now_ms() + WAIT_MS;
	int leader;
	size_t n;

	(void)arg;
	rd_kafka_DeleteTopics(rk, &d, 1, NULL, q);
	rd_kafka_event_t *ev = result(q, true);
	const rd_kafka_topic_result_t **v =
		rd_kafka_DeleteTopics_result_topics(rd_kafka_event_DeleteTopics_result(ev), &n);
	topics_ok(v, n, 0);
	rd_kafka_event_destroy(ev);
	rd_kafka_DeleteTopic_destroy(d);
	rd_kafka_queue_destroy(q);
	while (partitions_of(rk, &leader) != 0)
		if (now_ms() > end)
			FAIL("the topic is still there");
	rd_kafka_destroy(rk);
}

int main(int argc, char **argv)
{
	static const char *codecs[][2] = { { "produce-none", "none" }, { "produce-gzip", "gzip" },
		{ "produce-snappy", "snappy" }, { "produce-lz4", "lz4" }, { "produce-zstd", "zstd" } };

	if (argc != 2) {
		fprintf(stderr, "usage: librdkafka_client BOOTSTRAP\n");
		return 2;
	}
	boot = argv[1];
	snprintf(topic, sizeof topic, "librdkafka-%08llx", (unsigned long long)time(NULL) * 7919 + (unsigned)clock());
	snprintf(group, sizeof group, "g-%s", topic);
	printf("version %s\n", rd_kafka_version_str());
	step("create", create, NULL);
	step("describe", describe, NULL);
	step("partitions", partitions, NULL);
	step("configs", configs, NULL);
	for (int i = 0; i < 5; i++)
		step(codecs[i][0], produce, codecs[i][1]);
	step("nulls-headers", nulls_headers, NULL);
	step("idempotent", idempotent, NULL);
	step("consume", consume, NULL);
	step("group", two_members, NULL);
	step("offsets", offsets, NULL);
	step("delete-records", delete_records, NULL);
	step("delete-group", delete_group, NULL);
	step("delete", delete, NULL);
	return failed ? 1 : 0;
}
