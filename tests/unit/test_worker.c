/* test_worker.c - a worker over ports in memory: frames in, frames out. Trap numbers: docs on Kafka's semantics. */
#include "worker_ask.h"

#include "broker/api.h"
#include "broker/relay.h"
#include "broker/topic_create.h"
#include "wire/batch.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

struct ask_fetch {
	int16_t version;
	int topic;
	int32_t part;
	int64_t offset;
	int32_t wait_ms, min_bytes, max_bytes;
	int32_t answer_max;		/* bytes of the whole answer; 0: the default */
	int32_t session_id, session_epoch;
	bool nothing;			/* no partitions: an incremental request */
};

static void send_fetch(struct we *e, struct net_conn *c, const struct ask_fetch *f)
{
	struct fetch_request m;
	struct fetch_request_fetch_topic t = { .topic = STR("") };
	struct fetch_request_fetch_partition p;

	wire_init(&wire_fetch_request, &m);
	wire_init(&wire_fetch_request_fetch_partition, &p);
	if (f->version >= 13)
		t.topic_id = e->im.t[f->topic].id;
	else
		t.topic = str_of(e->im.t[f->topic].name);
	p.partition = f->part;
	p.fetch_offset = f->offset;
	p.partition_max_bytes = f->max_bytes ? f->max_bytes : 1 << 20;
	t.partitions = &p;
	t.partitions_n = 1;
	m.topics = &t;
	m.topics_n = f->nothing ? 0 : 1;
	m.max_wait_ms = f->wait_ms;
	m.min_bytes = f->min_bytes;
	if (f->answer_max)
		m.max_bytes = f->answer_max;
	if (f->version >= 7) {
		m.session_id = f->session_id;
		m.session_epoch = f->session_epoch;
	}
	m.rack_id = STR("");
	ask(c, API_KEY_FETCH, f->version, &m);
}

typedef struct fetch_response_partition_data fetched;

static bool got_fetch(struct net_conn *c, int16_t version, struct fetch_response *a, fetched *ret)
{
	if (!answer(c, API_KEY_FETCH, version, a))
		return false;
	if (a->responses_n == 1 && a->responses[0].partitions_n == 1)
		*ret = a->responses[0].partitions[0];
	return true;
}

Test(worker, produce_and_fetch_in_every_version)
{
	struct we e;
	struct worker *w = we_up(&e);
	struct fetch_response a;
	produced p;
	fetched f;

	begin();
	struct net_conn *c = env_client(&e);
	int64_t offset = 0;
	for (int16_t v = 3; v <= 13; v++, offset += 2) {
		send_produce(&e, c, v, 0, 1, v % 2 ? -1 : 1, batch_of(2, -1, 0));
		env_turn(&e);
		cr_assert(got_produce(c, v, &p));
		cr_assert_eq(p.error_code, 0);
		cr_assert_eq(p.base_offset, offset);
	}
	for (int16_t v = 4; v <= 18; v++) {
		send_fetch(&e, c, &(struct ask_fetch){ .version = v, .part = 1, .offset = 3, .session_epoch = -1 });
		env_turn(&e);
		cr_assert(got_fetch(c, v, &a, &f));
		cr_assert_eq(f.error_code, 0);
		cr_assert_eq(f.high_watermark, offset);
		cr_assert_eq(be64_get(f.records.p), 2, "the batch that contains the offset comes first (trap 48)");
	}
	cr_assert_eq(atomic_load(&w->counters[COUNT_MESSAGES_IN]), (uint64_t)offset);
	end(&e);
}

Test(worker, produce_errors)
{
	struct we e;
	produced p;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	struct bytes good = batch_of(1, -1, 0), bad = batch_of(1, -1, 0);
	((uint8_t *)(uintptr_t)bad.p)[bad.len - 1] ^= 1;
	const struct {
		const char *what;
		int32_t part;
		int16_t acks;
		struct bytes records;
		int16_t error;
	} t[] = {
		{ "checksum (32)", 0, 1, bad, KAFKA_CORRUPT_MESSAGE },
		{ "no batch (30)", 0, 1, { good.p, 0 }, KAFKA_INVALID_RECORD },
		{ "null", 0, 1, BYTES_NULL, KAFKA_INVALID_RECORD },
		{ "partition", 7, 1, good, KAFKA_UNKNOWN_TOPIC_OR_PARTITION },
		{ "acks (41)", 0, 5, good, KAFKA_INVALID_REQUIRED_ACKS },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		send_produce(&e, c, 9, 0, t[i].part, t[i].acks, t[i].records);
		env_turn(&e);
		cr_assert(got_produce(c, 9, &p), "%s", t[i].what);
		cr_assert_eq(p.error_code, t[i].error, "%s: %d", t[i].what, p.error_code);
		cr_assert_eq(p.base_offset, -1);
	}
	e.im.t[0].leader[0] = 2;
	send_produce(&e, c, 10, 0, 0, 1, good);
	env_turn(&e);
	cr_assert(got_produce(c, 10, &p));
	cr_assert_eq(p.error_code, KAFKA_NOT_LEADER_OR_FOLLOWER);
	cr_assert_eq(p.current_leader.leader_id, 2);
	send_produce(&e, c, 9, 0, 0, 0, good);	/* acks=0 and an error: the connection is closed (12) */
	env_turn(&e);
	cr_assert(c->dead);
	end(&e);
}

Test(worker, idempotent_retry_is_answered_with_the_first_offset)
{
	struct we e;
	produced p;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	struct bytes b = batch_of(3, 77, 0);
	for (int i = 0; i < 2; i++) {
		send_produce(&e, c, 9, 0, 0, -1, b);
		env_turn(&e);
		cr_assert(got_produce(c, 9, &p));
		cr_assert_eq(p.error_code, 0);
		cr_assert_eq(p.base_offset, 0);
	}
	send_produce(&e, c, 9, 0, 0, -1, batch_of(1, 77, 9));
	env_turn(&e);
	cr_assert(got_produce(c, 9, &p));
	cr_assert_eq(p.error_code, KAFKA_OUT_OF_ORDER_SEQUENCE_NUMBER);
	end(&e);
}

Test(worker, acks_all_waits_for_the_sync)
{
	struct we e;
	produced p;
	struct fetch_response a;
	fetched f = { 0 };
	uint64_t wake = 0;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e), *reader = env_client(&e);
	uint32_t slot = e.im.t[1].slot[0];
	struct part_conf conf = { .durability = PART_QUORUM };
	struct part_view v;

	send_fetch(&e, reader, &(struct ask_fetch){ .version = 12, .topic = 1, .wait_ms = 5000, .min_bytes = 1,
						    .session_epoch = -1 });
	send_produce(&e, c, 9, 1, 0, -1, batch_of(1, -1, 0));
	send_produce(&e, c, 9, 1, 0, 1, batch_of(1, -1, 0));	/* pipelined: appended, its answer stays behind (7) */
	env_turn(&e);
	cr_assert(!got_produce(c, 9, &p));
	cr_assert(!got_fetch(reader, 12, &a, &f), "nobody reads what a power loss could take back");
	cr_assert_eq(part_view(e.env.table, slot, &e.im.t[1].id, &v), OK);
	cr_assert_eq(v.end, 2);
	cr_assert_eq(part_synced(e.env.table, slot, v.generation, v.end, &conf, &wake), OK);
	bell_mark_mask(e.env.bells, wake, slot);
	env_turn(&e);
	cr_assert(got_produce(c, 9, &p));
	cr_assert_eq(p.error_code, 0);
	cr_assert_eq(p.base_offset, 0);
	cr_assert(got_produce(c, 9, &p));
	cr_assert_eq(p.base_offset, 1);
	cr_assert(got_fetch(reader, 12, &a, &f));
	cr_assert_eq(f.high_watermark, 2);
	cr_assert_gt(f.records.len, 0);
	send_produce(&e, c, 9, 1, 0, -1, batch_of(1, -1, 0));
	env_sleep(&e, 1200);
	cr_assert(got_produce(c, 9, &p));
	cr_assert_eq(p.error_code, KAFKA_REQUEST_TIMED_OUT, "trap 42");
	end(&e);
}

static enum lock_result busy_lock(struct lock_port *l, struct lock_word *word, struct lock_held **ret)
{
	(void)l, (void)word, (void)ret;
	return LOCK_BUSY;
}

Test(worker, a_locked_partition_parks_appends_in_order)
{
	struct we e;
	produced p;

	struct worker *w = we_up(&e);
	begin();
	struct net_conn *c[3];
	e.lock.port.try_lock = busy_lock;
	for (int i = 0; i < 3; i++) {
		c[i] = env_client(&e);
		send_produce(&e, c[i], 9, 0, 0, 1, batch_of(1, -1, 0));
	}
	env_turn(&e);
	cr_assert(!got_produce(c[0], 9, &p));
	cr_assert_geq(atomic_load(&w->counters[COUNT_APPEND_PARKED]), 1);
	e.lock.port.try_lock = tl_try;
	env_sleep(&e, 200);		/* nobody rings here: the tick tries again */
	for (int i = 0; i < 3; i++) {
		cr_assert(got_produce(c[i], 9, &p));
		cr_assert_eq(p.error_code, 0);
		cr_assert_eq(p.base_offset, 2 - i);	/* the last client is read first */
	}
	cr_assert_eq(w->waits.hash_n, 0, "W1");
	end(&e);
}

Test(worker, long_poll_ends_with_data_or_time)
{
	struct we e;
	struct fetch_response a;
	fetched f = { 0 };
	produced p;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e), *d = env_client(&e);
	const struct ask_fetch poll = { .version = 12, .wait_ms = 500, .min_bytes = 1, .session_epoch = -1 };
	send_fetch(&e, c, &poll);
	env_turn(&e);
	cr_assert(!got_fetch(c, 12, &a, &f));
	send_produce(&e, d, 9, 0, 0, 1, batch_of(1, -1, 0));
	env_turn(&e);
	cr_assert(got_produce(d, 9, &p));
	cr_assert(got_fetch(c, 12, &a, &f), "woken in the same turn");
	cr_assert_eq(f.high_watermark, 1);
	struct ask_fetch at_end = poll;
	at_end.offset = 1;
	send_fetch(&e, c, &at_end);
	env_sleep(&e, 400);
	cr_assert(!got_fetch(c, 12, &a, &f));
	env_sleep(&e, 200);
	cr_assert(got_fetch(c, 12, &a, &f));
	cr_assert_eq(f.records.len, 0);
	at_end.offset = 9;
	send_fetch(&e, c, &at_end);
	env_turn(&e);
	cr_assert(got_fetch(c, 12, &a, &f), "an error is answered at once (49)");
	cr_assert_eq(f.error_code, KAFKA_OFFSET_OUT_OF_RANGE);
	send_fetch(&e, c, &poll);
	env_turn(&e);
	cr_assert(got_fetch(c, 12, &a, &f));
	at_end.offset = 1;
	send_fetch(&e, c, &at_end);
	env_turn(&e);
	env_hang_up(&e, c);		/* while it waits */
	end(&e);
}

/* Trap 49: more is in the log than the answer may hold, so there is nothing to wait for. */
Test(worker, a_full_answer_does_not_wait)
{
	struct we e;
	struct fetch_response a;
	fetched f = { 0 };
	produced p;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	for (int i = 0; i < 3; i++) {
		send_produce(&e, c, 9, 0, 0, 1, batch_of(1, -1, 0));
		env_turn(&e);
		cr_assert(got_produce(c, 9, &p));
	}
	struct ask_fetch full = { .version = 12, .wait_ms = 500, .min_bytes = 1 << 20, .answer_max = 100,
				  .session_epoch = -1 };
	send_fetch(&e, c, &full);
	env_turn(&e);
	cr_assert(got_fetch(c, 12, &a, &f), "the next batch does not fit");
	cr_assert_gt(f.records.len, 0);
	full.offset = 2;
	send_fetch(&e, c, &full);
	env_turn(&e);
	cr_assert(!got_fetch(c, 12, &a, &f), "the last batch fits, more may come");
	env_sleep(&e, 600);
	cr_assert(got_fetch(c, 12, &a, &f));
	end(&e);
}

Test(worker, cold_data_is_brought_first)
{
	struct we e;
	struct fetch_response a;
	fetched f = { 0 };
	produced p;

	struct worker *w = we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	send_produce(&e, c, 9, 0, 0, 1, batch_of(4, -1, 0));
	env_turn(&e);
	cr_assert(got_produce(c, 9, &p));
	e.disk->cold = true;
	send_fetch(&e, c, &(struct ask_fetch){ .version = 12, .session_epoch = -1 });
	env_turn(&e);
	cr_assert(got_fetch(c, 12, &a, &f));
	cr_assert_gt(f.records.len, 0);
	cr_assert_geq(atomic_load(&w->counters[COUNT_FETCH_COLD]), 0);
	e.disk->cold = true;
	send_fetch(&e, c, &(struct ask_fetch){ .version = 12, .session_epoch = -1 });
	we_step(&e);
	env_hang_up(&e, c);		/* while the disk reads */
	end(&e);
}

Test(worker, sessions)
{
	struct we e;
	struct fetch_response a;
	fetched f = { 0 };
	produced p;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	send_fetch(&e, c, &(struct ask_fetch){ .version = 13 });
	env_turn(&e);
	cr_assert(got_fetch(c, 13, &a, &f));
	int32_t id = a.session_id;
	cr_assert_gt(id, 0);
	const struct { int32_t id, epoch; int16_t version, error; const char *what; } bad[] = {
		{ id + 1, 1, 13, KAFKA_FETCH_SESSION_ID_NOT_FOUND, "id" },
		{ id, 2, 13, KAFKA_INVALID_FETCH_SESSION_EPOCH, "epoch" },
		{ id, 1, 12, KAFKA_FETCH_SESSION_TOPIC_ID_ERROR, "names (55)" },
	};
	for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
		send_fetch(&e, c, &(struct ask_fetch){ .version = bad[i].version, .session_id = bad[i].id,
						       .session_epoch = bad[i].epoch, .nothing = true });
		env_turn(&e);
		cr_assert(got_fetch(c, bad[i].version, &a, &f));
		cr_assert_eq(a.error_code, bad[i].error, "%s", bad[i].what);
		cr_assert_eq(a.responses_n, 0);
	}
	struct ask_fetch next = { .version = 13, .session_id = id, .session_epoch = 1, .nothing = true };
	send_fetch(&e, c, &next);
	env_turn(&e);
	cr_assert(got_fetch(c, 13, &a, &f));
	cr_assert_eq(a.responses_n, 0, "nothing new (54)");
	cr_assert_eq(a.session_id, id);
	send_produce(&e, c, 9, 0, 0, 1, batch_of(1, -1, 0));
	env_turn(&e);
	cr_assert(got_produce(c, 9, &p));
	next.session_epoch = 2;
	send_fetch(&e, c, &next);
	env_turn(&e);
	cr_assert(got_fetch(c, 13, &a, &f));
	cr_assert_eq(a.responses_n, 1);
	cr_assert_eq(f.high_watermark, 1);
	for (int i = 0; i < 6; i++) {	/* 4 slots; those of living connections are kept (54) */
		send_fetch(&e, c, &(struct ask_fetch){ .version = 13 });
		env_turn(&e);
		cr_assert(got_fetch(c, 13, &a, &f));
		cr_assert_eq(a.session_id == 0, i >= 3, "%d", i);
	}
	env_hang_up(&e, c);
	c = env_client(&e);
	send_fetch(&e, c, &(struct ask_fetch){ .version = 13 });
	env_turn(&e);
	cr_assert(got_fetch(c, 13, &a, &f));
	cr_assert_gt(a.session_id, 0);
	end(&e);
}

/* ---- metadata and others ----------------------------------------------------------------------- */

Test(worker, metadata_in_every_version)
{
	struct we e;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	for (int16_t v = 0; v <= 13; v++) {
		struct metadata_request m;
		struct metadata_request_metadata_request_topic t[2] = { { .name = STR("t") }, { .name = STR("nope") } };
		struct metadata_response a;

		wire_init(&wire_metadata_request, &m);
		m.topics = t;
		m.topics_n = 2;
		ask(c, API_KEY_METADATA, v, &m);
		env_turn(&e);
		cr_assert(answer(c, API_KEY_METADATA, v, &a));
		cr_assert_eq(a.brokers_n, 1);
		cr_assert_eq(a.topics_n, 2);
		cr_assert_eq(a.topics[0].error_code, 0);
		cr_assert_eq(a.topics[0].partitions_n, 2);
		cr_assert_eq(a.topics[0].partitions[1].leader_id, 1);
		cr_assert_eq(a.topics[1].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, "trap 21");
		m.topics_n = v == 0 ? 0 : -1;	/* trap 18 */
		ask(c, API_KEY_METADATA, v, &m);
		env_turn(&e);
		cr_assert(answer(c, API_KEY_METADATA, v, &a));
		cr_assert_eq(a.topics_n, e.im.n);
		if (v == 10 || v == 11) {
			t[0].name = STR_NULL;
			t[0].topic_id = e.im.t[0].id;
			m.topics_n = 1;
			ask(c, API_KEY_METADATA, v, &m);
			env_turn(&e);
			cr_assert(answer(c, API_KEY_METADATA, v, &a));
			cr_assert_eq(a.topics[0].error_code, KAFKA_INVALID_REQUEST, "trap 23");
		}
	}
	end(&e);
}

Test(worker, list_offsets)
{
	struct we e;
	produced p;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	send_produce(&e, c, 9, 0, 0, 1, batch_of(5, -1, 0));
	env_turn(&e);
	cr_assert(got_produce(c, 9, &p));
	const struct { int16_t version; int64_t ts, offset; int16_t error; } t[] = {
		{ 1, -1, 5, 0 }, { 1, -2, 0, 0 }, { 1, -3, -1, KAFKA_UNSUPPORTED_VERSION }, { 7, -3, 4, 0 },
		{ 8, -4, 0, 0 }, { 9, -5, -1, 0 }, { 11, -6, -1, 0 }, { 10, -6, -1, KAFKA_UNSUPPORTED_VERSION },
		{ 2, 1700000000002, 2, 0 }, { 11, 1700000000000, 0, 0 }, { 5, 1700000000005, -1, 0 },
	};
	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		for (int cold = 0; cold < 2; cold++) {
			struct list_offsets_request m;
			struct list_offsets_request_list_offsets_partition lp;
			struct list_offsets_request_list_offsets_topic lt = {
				.name = STR("t"), .partitions = &lp, .partitions_n = 1,
			};
			struct list_offsets_response a;

			wire_init(&wire_list_offsets_request, &m);
			wire_init(&wire_list_offsets_request_list_offsets_partition, &lp);
			lp.timestamp = t[i].ts;
			m.replica_id = -1;
			m.topics = &lt;
			m.topics_n = 1;
			e.disk->cold = cold;
			ask(c, API_KEY_LIST_OFFSETS, t[i].version, &m);
			env_turn(&e);
			e.disk->cold = false;
			cr_assert(answer(c, API_KEY_LIST_OFFSETS, t[i].version, &a));
			cr_assert_eq(a.topics[0].partitions[0].error_code, t[i].error, "%d", (int)i);
			cr_assert_eq(a.topics[0].partitions[0].offset, t[i].offset, "%d", (int)i);
		}
	end(&e);
}

Test(worker, api_versions)
{
	struct we e;
	static const uint8_t too_new[] = { 0, 18, 0, 99, 0, 0, 0, 7, 0, 1, 'x', 1, 2, 3 };
	static const uint8_t want[] = { 0, 0, 0, 16, 0, 0, 0, 7, 0, 35, 0, 0, 0, 1, 0, 18, 0, 0, 0, 5 };

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	raw(c, too_new, sizeof too_new);
	env_turn(&e);
	cr_assert_eq(c->out.len, sizeof want);
	cr_assert_eq(memcmp(c->out.p, want, sizeof want), 0, "trap 1");
	c->out.len = 0;
	for (int16_t v = 0; v <= 5; v++) {
		struct api_versions_request m;
		struct api_versions_response a;

		wire_init(&wire_api_versions_request, &m);
		m.client_software_name = STR("a-b.c");
		m.client_software_version = STR("1");
		ask(c, API_KEY_API_VERSIONS, v, &m);
		env_turn(&e);
		cr_assert(answer(c, API_KEY_API_VERSIONS, v, &a));
		cr_assert_eq(a.error_code, 0);
		cr_assert_gt(a.api_keys_n, 10);
		cr_assert_eq(a.api_keys[0].min_version, 0, "trap 8");
		if (v < 3)
			continue;
		m.client_software_name = STR("-bad");
		ask(c, API_KEY_API_VERSIONS, v, &m);
		env_turn(&e);
		cr_assert(answer(c, API_KEY_API_VERSIONS, v, &a));
		cr_assert_eq(a.error_code, KAFKA_INVALID_REQUEST, "trap 4");
	}
	cr_assert(!c->dead);
	end(&e);
}

/* ---- relayed requests -------------------------------------------------------------------------- */

static struct net_conn *peer(struct we *e, const char *name)
{
	for (struct net_conn *c = e->conns; c; c = c->next)
		if (!c->dead && strstr(c->address, name))
			return c;
	return NULL;
}

static void send_heartbeat(struct net_conn *c)
{
	struct heartbeat_request m;

	wire_init(&wire_heartbeat_request, &m);
	m.group_id = STR("g");
	m.member_id = STR("m");
	ask(c, 12, 0, &m);
}

Test(worker, relay)
{
	struct we e;
	struct heartbeat_response a;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	send_heartbeat(c);
	env_turn(&e);
	struct net_conn *g = peer(&e, "groups-1");	/* hash("g") = 103, 103 % 50 % 2 = 1 */
	cr_assert(g != NULL);
	g->ev->on_connect(g->user, g, OK);
	cr_assert_gt(g->out.len, 16);
	uint64_t id = be64_get(g->out.p + 4);
	struct buf b;
	buf_init(&b, 100);
	buf_be64(&b, id);
	buf_u8(&b, 0);
	buf_be32(&b, 1200);
	buf_be16(&b, 27);
	raw(g, b.p, (uint32_t)b.len);
	env_turn(&e);
	cr_assert(answer(c, 12, 0, &a));
	cr_assert_eq(a.error_code, 27);
	g->out.len = 0;
	send_heartbeat(c);
	env_turn(&e);
	env_hang_up(&e, g);		/* dies with the request in its hands: the next one is asked */
	cr_assert_not(answer(c, 12, 0, &a));
	env_sleep(&e, 50);
	g = peer(&e, "groups-1");
	cr_assert(g != NULL);
	g->ev->on_connect(g->user, g, OK);
	cr_assert_gt(g->out.len, 16);
	env_hang_up(&e, g);		/* once only */
	cr_assert(answer(c, 12, 0, &a));
	cr_assert_eq(a.error_code, KAFKA_COORDINATOR_NOT_AVAILABLE);
	send_heartbeat(c);		/* nobody comes up in time */
	env_turn(&e);
	env_sleep(&e, RELAY_WAIT_MS + 100);
	cr_assert(answer(c, 12, 0, &a));
	cr_assert_eq(a.error_code, KAFKA_COORDINATOR_NOT_AVAILABLE);
	send_heartbeat(c);
	env_turn(&e);
	env_hang_up(&e, c);		/* the client goes first */
	buf_release(&b);
	end(&e);
}

Test(worker, auto_creation_asks_the_agent_once)
{
	struct we e;
	struct metadata_request m;
	struct metadata_request_metadata_request_topic t = { .name = STR("new") };
	struct metadata_response a;
	size_t first = 0;

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e);
	wire_init(&wire_metadata_request, &m);
	m.topics = &t;
	m.topics_n = 1;
	for (int i = 0; i < 4; i++) {
		ask(c, API_KEY_METADATA, 5, &m);
		env_turn(&e);
		cr_assert(answer(c, API_KEY_METADATA, 5, &a));
		cr_assert_eq(a.topics[0].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
		struct net_conn *agent = peer(&e, "agent");
		cr_assert(agent != NULL);
		if (i == 0) {
			cr_assert_eq(agent->out.len, 0);
			agent->ev->on_connect(agent->user, agent, OK);
			first = agent->out.len;
			cr_assert_gt(first, 16, "what was asked for before the stream was up");
		}
		cr_assert_eq(agent->out.len, first);
	}
	m.allow_auto_topic_creation = false;
	t.name = STR("other");
	ask(c, API_KEY_METADATA, 5, &m);
	env_turn(&e);
	cr_assert(answer(c, API_KEY_METADATA, 5, &a));
	cr_assert_eq(peer(&e, "agent")->out.len, first, "the request says no");
	end(&e);
}

/* ---- hostile frames ----------------------------------------------------------------------------- */

Test(worker, frames_that_make_no_sense_close_the_connection)
{
	static const struct { uint32_t len; uint8_t p[20]; } t[] = {
		{ 0, { 0 } }, { 4, { 0, 3, 0, 1 } },
		{ 10, { 0, 99, 0, 0, 0, 0, 0, 1, 0, 0 } },			/* unknown key (6) */
		{ 10, { 0, 3, 0, 99, 0, 0, 0, 1, 0, 0 } },			/* unknown version */
		{ 10, { 0, 0, 0, 2, 0, 0, 0, 1, 0, 0 } },			/* Produce 2 (8) */
		{ 10, { 0, 3, 0, 1, 0, 0, 0, 1, 0, 9 } },			/* client id cut off */
		{ 10, { 0, 3, 0, 1, 0, 0, 0, 1, 0xff, 0xf0 } },			/* client id of -16 */
		{ 11, { 0, 3, 0, 9, 0, 0, 0, 1, 0, 0, 0xff } },			/* tags cut off */
		{ 10, { 0, 3, 0, 1, 0, 0, 0, 1, 0, 0 } },			/* no body */
		{ 14, { 0, 3, 0, 1, 0, 0, 0, 1, 0, 0, 0x7f, 0xff, 0xff, 0xff } },	/* array of 2^31 */
	};
	struct we e;

	we_up(&e);
	begin();
	for (size_t i = 0; i < sizeof t / sizeof *t; i++) {
		struct net_conn *c = env_client(&e);

		raw(c, t[i].p, t[i].len);
		env_turn(&e);
		cr_assert(c->dead, "%d", (int)i);
		cr_assert_eq(c->out.len, 0, "%d", (int)i);
	}
	end(&e);
}

Test(worker, mutated_frames_do_no_harm)
{
	struct we e;
	struct rng r;

	we_up(&e);
	begin();
	rng_init(&r, 5);
	for (int i = 0; i < 1500; i++) {
		struct net_conn *c = env_client(&e);
		int16_t v = (int16_t)(i % 15);

		if (i % 3 == 0)
			send_produce(&e, c, (int16_t)(3 + v % 11), 0, 0, 1, batch_of(2, i % 2 ? 5 : -1, 0));
		else
			send_fetch(&e, c, &(struct ask_fetch){ .version = (int16_t)(4 + v), .wait_ms = i % 5 ? 0 : 50,
							       .min_bytes = 1, .session_epoch = i % 2 - 1 });
		for (uint32_t k = 0; k < 1 + rng_below(&r, 4); k++)
			c->in.p[4 + rng_below(&r, (uint32_t)c->in.len - 4)] = (uint8_t)rng_next(&r);
		env_turn(&e);
		arena_reset(&arena);
		if (i % 7 == 0)
			env_sleep(&e, 60);
		env_hang_up(&e, c);
		buf_release(&c->in);
		buf_release(&c->out);
	}
	end(&e);
}

Test(worker, drain_answers_and_stops)
{
	struct we e;
	struct fetch_response a;
	fetched f = { 0 };

	we_up(&e);
	begin();
	struct net_conn *c = env_client(&e), *idle = env_client(&e);
	send_fetch(&e, c, &(struct ask_fetch){ .version = 12, .wait_ms = 100000, .min_bytes = 1, .session_epoch = -1 });
	env_turn(&e);
	worker_drain(&e.env);
	env_turn(&e);
	env_sleep(&e, 20);
	cr_assert(idle->dead);
	cr_assert(got_fetch(c, 12, &a, &f), "the long poll was answered");
	cr_assert(c->dead);
	cr_assert(e.stopped);
	end(&e);
}

Test(worker, topic_names)
{
	cr_assert(topic_name_ok(STR("a.b_c-D9")));
	cr_assert(!topic_name_ok(STR("")));
	cr_assert(!topic_name_ok(STR("..")));
	cr_assert(!topic_name_ok(STR("a b")));
	cr_assert(topic_is_internal(STR("__consumer_offsets")));
	cr_assert(!topic_is_internal(STR("__other")));
}
