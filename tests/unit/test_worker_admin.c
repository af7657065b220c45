/* test_worker_admin.c - what tools ask of a worker: records deleted, topics, producers and resources listed. */
#include "worker_ask.h"

#include "wire/kafka_error.h"

/* ---- DeleteRecords ---------------------------------------------------------------------------- */

typedef struct delete_records_response_delete_records_partition_result deleted;

static void send_delete(struct net_conn *c, int16_t version, const char *topic, int32_t part, int64_t offset)
{
	struct delete_records_request_delete_records_partition p = { part, offset };
	struct delete_records_request_delete_records_topic t = { str_of(topic), &p, 1 };
	struct delete_records_request m = { &t, 1, 1000 };

	ask(c, API_KEY_DELETE_RECORDS, version, &m);
}

static bool got_delete(struct net_conn *c, int16_t version, deleted *ret)
{
	struct delete_records_response a;

	if (!answer(c, API_KEY_DELETE_RECORDS, version, &a))
		return false;
	cr_assert_eq(a.topics_n, 1);
	cr_assert_eq(a.topics[0].partitions_n, 1);
	*ret = a.topics[0].partitions[0];
	return true;
}

/* Traps 26 and 85. */
Test(worker_admin, delete_records)
{
	struct we e;
	produced p;
	deleted d;
	struct part_view v;

	we_up(&e);
	begin();
	we_topic(&e, "compact", 1, PART_REPLICATED);
	e.im.t[2].conf.cleanup = 2;
	we_topic(&e, "__consumer_offsets", 1, PART_REPLICATED);
	struct net_conn *c = env_client(&e);
	send_produce(&e, c, 9, 0, 0, 1, batch_of(10, -1, 0));
	env_turn(&e);
	cr_assert(got_produce(c, 9, &p));
	const struct { const char *topic; int32_t part; int64_t offset, low; int16_t error; } t[] = {
		{ "t", 0, 0, 0, 0 }, { "t", 0, 4, 4, 0 },
		{ "t", 0, 2, 4, 0 },				/* below the start: nothing moves */
		{ "t", 0, 11, -1, KAFKA_OFFSET_OUT_OF_RANGE }, { "t", 0, -2, -1, KAFKA_OFFSET_OUT_OF_RANGE },
		{ "t", 0, -1, 10, 0 },				/* the high watermark */
		{ "t", 7, 0, -1, KAFKA_UNKNOWN_TOPIC_OR_PARTITION },
		{ "nosuch", 0, 0, -1, KAFKA_UNKNOWN_TOPIC_OR_PARTITION },
		{ "compact", 0, 0, -1, KAFKA_POLICY_VIOLATION },
		{ "__consumer_offsets", 0, 0, -1, KAFKA_INVALID_TOPIC_EXCEPTION },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		for (int16_t version = 0; version <= 2; version++) {
			send_delete(c, version, t[i].topic, t[i].part, t[i].offset);
			env_turn(&e);
			cr_assert(got_delete(c, version, &d), "%d", (int)i);
			cr_assert_eq(d.error_code, t[i].error, "%d: %d", (int)i, d.error_code);
			cr_assert_eq(d.low_watermark, t[i].low, "%d", (int)i);
		}
	cr_assert_eq(part_view(e.env.table, e.im.t[0].slot[0], &e.im.t[0].id, &v), OK);
	cr_assert_eq(v.log_start, 10);
	cr_assert_eq(v.end, 10);
	end(&e);
}

static enum lock_result busy_lock(struct lock_port *l, struct lock_word *word, struct lock_held **ret)
{
	(void)l, (void)word, (void)ret;
	return LOCK_BUSY;
}

/* A lock that is taken is waited for, to the request's own time; whoever went away does no harm. */
Test(worker_admin, delete_records_of_a_locked_partition)
{
	struct we e;
	produced p;
	deleted d;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e), *gone = env_client(&e);
	send_produce(&e, c, 9, 0, 0, 1, batch_of(10, -1, 0));
	env_turn(&e);
	cr_assert(got_produce(c, 9, &p));
	e.lock.port.try_lock = busy_lock;
	send_delete(c, 2, "t", 0, 3);
	send_delete(gone, 2, "t", 0, 5);
	env_turn(&e);
	gone->closing = true;
	env_sleep(&e, 100);
	cr_assert(!got_delete(c, 2, &d));
	e.lock.port.try_lock = tl_try;
	env_sleep(&e, 100);
	cr_assert(got_delete(c, 2, &d));
	cr_assert_eq(d.error_code, 0);
	cr_assert_eq(d.low_watermark >= 3, true);
	e.lock.port.try_lock = busy_lock;
	send_delete(c, 2, "t", 0, 7);
	env_sleep(&e, 1500);
	cr_assert(got_delete(c, 2, &d));
	cr_assert_eq(d.error_code, KAFKA_REQUEST_TIMED_OUT);
	e.lock.port.try_lock = tl_try;
	end(&e);
}

/* ---- DescribeTopicPartitions (trap 29) --------------------------------------------------------- */

typedef struct describe_topic_partitions_response described;

static void describe(struct we *e, struct net_conn *c, const char *names, int32_t limit, const char *cursor,
		     int32_t partition, described *a)
{
	struct describe_topic_partitions_request_topic_request v[8];
	struct describe_topic_partitions_request_cursor at = { str_of(cursor ? cursor : ""), partition };
	struct describe_topic_partitions_request m = {
		.topics = v, .response_partition_limit = limit, .cursor = cursor ? &at : NULL,
	};
	static char copy[100];
	char *save;

	snprintf(copy, sizeof copy, "%s", names);
	for (char *n = strtok_r(copy, " ", &save); n; n = strtok_r(NULL, " ", &save))
		v[m.topics_n++].name = str_of(n);
	ask(c, API_KEY_DESCRIBE_TOPIC_PARTITIONS, 0, &m);
	env_turn(e);
	cr_assert(answer(c, API_KEY_DESCRIBE_TOPIC_PARTITIONS, 0, a));
}

/* "t:0,1 q:0 >c:3" - topics with their partitions or !error, then the cursor. */
static const char *shown(const described *a)
{
	static char s[400];
	size_t n = 0;

	s[0] = 0;
	for (int32_t i = 0; i < a->topics_n; i++) {
		n += (size_t)snprintf(s + n, sizeof s - n, "%s%.*s", i ? " " : "", a->topics[i].name.len,
				      a->topics[i].name.p);
		if (a->topics[i].error_code)
			n += (size_t)snprintf(s + n, sizeof s - n, "!%d", a->topics[i].error_code);
		for (int32_t k = 0; k < a->topics[i].partitions_n; k++)
			n += (size_t)snprintf(s + n, sizeof s - n, "%c%d", k ? ',' : ':',
					      a->topics[i].partitions[k].partition_index);
	}
	if (a->next_cursor)
		snprintf(s + n, sizeof s - n, " >%.*s:%d", a->next_cursor->topic_name.len,
			 a->next_cursor->topic_name.p, a->next_cursor->partition_index);
	return s;
}

Test(worker_admin, describe_topic_partitions)
{
	struct we e;
	described a;

	we_up(&e);
	begin();
	we_topic(&e, "w", 3, PART_REPLICATED);
	struct net_conn *c = env_client(&e);
	const struct { const char *names; int32_t limit; const char *cursor; int32_t at; const char *want; } t[] = {
		{ "w t t", 2000, NULL, 0, "t:0,1 w:0,1,2" },
		{ "w t q", 4, NULL, 0, "q:0 t:0,1 w:0 >w:1" },
		{ "w t q", 3, NULL, 0, "q:0 t:0,1 >w:0" },
		{ "w t q", 0, "t", 1, "t:1 >w:0" },
		{ "w t q", 9, "w", 1, "w:1,2" },
		{ "w", 9, "w", 5, "w" },
		{ "x a/b t", 9, NULL, 0, "a/b!17 t:0,1 x!3" },
		{ "w", 9, "t", 0, "w!42" },
		{ "w", 9, "w", -1, "w!42" },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		describe(&e, c, t[i].names, t[i].limit, t[i].cursor, t[i].at, &a);
		cr_assert_str_eq(shown(&a), t[i].want, "%d: %s", (int)i, shown(&a));
	}
	describe(&e, c, "t", 9, NULL, 0, &a);
	cr_assert(uuid_eq(&a.topics[0].topic_id, &e.im.t[0].id));
	cr_assert_eq(a.topics[0].partitions[0].leader_id, 1);
	cr_assert_eq(a.topics[0].partitions[0].leader_epoch, 3);
	cr_assert_eq(a.topics[0].partitions[0].replica_nodes_n, 1);
	cr_assert_eq(a.topics[0].partitions[0].eligible_leader_replicas_n, 0, "not null: Java's clients need that");
	cr_assert_eq(a.topics[0].partitions[0].last_known_elr_n, 0);
	describe(&e, c, "", 9, NULL, 0, &a);
	cr_assert_eq(a.topics_n, 3, "no names: all of them");
	end(&e);
}

/* ---- ListConfigResources ------------------------------------------------------------------------ */

Test(worker_admin, list_config_resources)
{
	struct we e;
	const struct { int16_t version; int8_t types[3]; int32_t n; int16_t error; const char *want; } t[] = {
		{ 0, { 0 }, 0, 0, "" },				/* client metrics: there are none */
		{ 1, { 0 }, 0, 0, " 4:1 2:t 2:q" },		/* no types: all of them */
		{ 1, { 2 }, 1, 0, " 2:t 2:q" }, { 1, { 4, 16, 32 }, 3, 0, " 4:1" },
		{ 1, { 4, 64 }, 2, KAFKA_UNSUPPORTED_VERSION, "" },
	};

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		int8_t types[3] = { t[i].types[0], t[i].types[1], t[i].types[2] };
		struct list_config_resources_request m = { types, t[i].n };
		struct list_config_resources_response a;
		char s[100] = "";
		size_t n = 0;

		ask(c, API_KEY_LIST_CONFIG_RESOURCES, t[i].version, &m);
		env_turn(&e);
		cr_assert(answer(c, API_KEY_LIST_CONFIG_RESOURCES, t[i].version, &a));
		cr_assert_eq(a.error_code, t[i].error);
		for (int32_t k = 0; k < a.config_resources_n; k++)
			n += (size_t)snprintf(s + n, sizeof s - n, " %d:%.*s", a.config_resources[k].resource_type,
					      a.config_resources[k].resource_name.len,
					      a.config_resources[k].resource_name.p);
		cr_assert_str_eq(s, t[i].want, "%d: %s", (int)i, s);
	}
	end(&e);
}

/* ---- DescribeProducers -------------------------------------------------------------------------- */

Test(worker_admin, describe_producers)
{
	struct we e;
	produced p;
	struct describe_producers_response a;
	int32_t parts[] = { 0, 1, 9 };
	struct describe_producers_request_topic_request topic = { STR("t"), parts, 3 };
	struct describe_producers_request m = { &topic, 1 };

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	const struct { int64_t pid; int n; int32_t seq; } t[] = { { 7, 3, 0 }, { 7, 2, 3 }, { 8, 5, INT32_MAX - 1 } };
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		send_produce(&e, c, 9, 0, 0, 1, batch_of(t[i].n, t[i].pid, t[i].seq));
		env_turn(&e);
		cr_assert(got_produce(c, 9, &p));
		cr_assert_eq(p.error_code, 0);
	}
	ask(c, API_KEY_DESCRIBE_PRODUCERS, 0, &m);
	env_turn(&e);
	cr_assert(answer(c, API_KEY_DESCRIBE_PRODUCERS, 0, &a));
	cr_assert_eq(a.topics[0].partitions[0].error_code, 0);
	cr_assert_eq(a.topics[0].partitions[0].active_producers_n, 2);
	for (int i = 0; i < 2; i++) {
		const struct describe_producers_response_producer_state *s =
			&a.topics[0].partitions[0].active_producers[i];

		cr_assert(s->producer_id == 7 || s->producer_id == 8);
		/* Trap 38: sequences wrap to 0. */
		cr_assert_eq(s->last_sequence, s->producer_id == 7 ? 4 : 2, "%d", s->last_sequence);
		cr_assert_eq(s->producer_epoch, 0);
		cr_assert_eq(s->last_timestamp, 1700000000000 + (s->producer_id == 7 ? 1 : 4));
		cr_assert_eq(s->coordinator_epoch, -1);
		cr_assert_eq(s->current_txn_start_offset, -1);
	}
	cr_assert_eq(a.topics[0].partitions[1].active_producers_n, 0);
	cr_assert_eq(a.topics[0].partitions[2].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	e.lock.port.try_lock = busy_lock;
	ask(c, API_KEY_DESCRIBE_PRODUCERS, 0, &m);
	env_sleep(&e, 100);
	cr_assert(!answer(c, API_KEY_DESCRIBE_PRODUCERS, 0, &a), "a taken lock is waited for");
	e.lock.port.try_lock = tl_try;
	env_sleep(&e, 100);
	cr_assert(answer(c, API_KEY_DESCRIBE_PRODUCERS, 0, &a));
	cr_assert_eq(a.topics[0].partitions[0].active_producers_n, 2);
	end(&e);
}
