/*
 * test_groups_proc.c - the groups process over ports in memory: its frames, its log, what it holds back,
 * and what is left after its death. (The rules of groups themselves: test_group.c.)
 */
#include "worker_env.h"

#include "broker/forward.h"
#include "broker/groups.h"
#include "wire/kafka_error.h"

struct gw {
	struct we e;
	struct role_env g;
	struct net_conn *peer;
	struct arena arena;
	uint64_t next_id;
};

static void step(struct gw *w)
{
	env_turn(&w->e);
	if (bell_pending(w->g.bells))
		groups_wake(&w->g);
	env_turn(&w->e);
	if (bell_pending(w->g.bells))
		groups_wake(&w->g);
}

static void sleep_ms(struct gw *w, int ms)
{
	for (int i = 0; i < ms; i += 50) {
		w->e.now_us += 50000;
		w->e.wall_ms += 50;
		step(w);
	}
}

static void start(struct gw *w)
{
	cr_assert_eq(groups_start(&w->g), OK);
	groups_peer(&w->g, 7);
	w->peer = w->e.last_adopted;
	step(w);
}

static void up(struct gw *w, const char *delay_ms)
{
	static const struct part_id id = { .boot_id = "b", .node_id = 1, .generation = 1 };
	char err[CONF_ERR_BYTES];

	memset(w, 0, sizeof *w);
	we_up(&w->e);
	w->g = w->e.env;
	w->g.groups = 1;
	w->g.role = NULL;
	w->g.proc = PROC_GROUPS;
	w->g.bells = bell_attach(w->e.bell_mem, bell_bytes(16), PROC_GROUPS, &w->e.bell);
	cr_assert_eq(part_table_attach(w->e.mem, &id, PROC_GROUPS, &w->e.disk->port, &w->e.lock.port, "/d", NULL,
				       NULL, &w->g.table), OK);
	cr_assert_eq(conf_set(w->g.conf, STR("offsets.topic.num.partitions"), STR("4"), err), OK);
	cr_assert_eq(conf_set(w->g.conf, STR("group.initial.rebalance.delay.ms"), str_of(delay_ms), err), OK);
	arena_init(&w->arena, 4096, 16 << 20);
	start(w);
}

static void die(struct gw *w)
{
	for (struct net_conn *c = w->e.conns; c; c = c->next)
		if (c == w->peer || c->user == w->g.role)
			c->closing = true;
	step(w);
	groups_free(&w->g);
}

static void down(struct gw *w)
{
	die(w);
	part_table_free(w->g.table);
	mem_free(w->g.bells);
	arena_release(&w->arena);
	we_down(&w->e);
}

static void topic(struct gw *w, enum part_durability d)
{
	we_topic(&w->e, "__consumer_offsets", 4, d);
	w->e.im.zxid++;
	*bell_word(w->g.bells, BELL_IMAGE_GEN) = (uint64_t)w->e.im.zxid;
	groups_wake(&w->g);
	step(w);
}

static void ask(struct gw *w, int16_t key, int16_t version, const void *m)
{
	const struct kafka_api *api = kafka_api(key);
	struct buf b;

	buf_init(&b, 1 << 20);
	buf_be32(&b, 0);
	buf_be64(&b, ++w->next_id);
	buf_u8(&b, FORWARD_VERSION);
	buf_u8(&b, 0);
	buf_be16(&b, 9);
	buf_put(&b, "127.0.0.1", 9);
	buf_be16(&b, (uint16_t)key);
	buf_be16(&b, (uint16_t)version);
	buf_be32(&b, 77);
	buf_be16(&b, 2);
	buf_put(&b, "me", 2);
	if (version >= api->flexible)
		buf_u8(&b, 0);
	cr_assert_eq(wire_encode(api->request, version, m, &b), OK, "%s v%d", api->name, version);
	be32_put(b.p, (uint32_t)(b.len - 4));
	buf_put(&w->peer->in, b.p, b.len);
	buf_release(&b);
	step(w);
}

static bool answer(struct gw *w, int16_t key, int16_t version, void *m)
{
	const struct kafka_api *api = kafka_api(key);
	struct buf *o = &w->peer->out;
	uint32_t head = 13 + 4;

	if (!o->len)
		return false;
	uint32_t len = be32_get(o->p) + 4;
	uint8_t *f = arena_alloc(&w->arena, len);

	memcpy(f, o->p, len);
	memmove(o->p, o->p + len, o->len - len);
	o->len -= len;
	cr_assert_eq(f[12], FORWARD_ANSWER, "status %d", f[12]);
	cr_assert_eq(be32_get(f + 13), 77);
	if (version >= api->flexible)
		head++;
	cr_assert_eq(wire_decode(api->response, version, f + head, len - head, &w->arena, m), OK);
	return true;
}

static void send_find(struct gw *w)
{
	struct find_coordinator_request m;
	struct str key = STR("grp");

	wire_init(&wire_find_coordinator_request, &m);
	m.coordinator_keys = &key;
	m.coordinator_keys_n = 1;
	ask(w, KAFKA_FIND_COORDINATOR, 4, &m);
}

/* -100: no answer yet. */
static int16_t found(struct gw *w, int32_t *ret_node)
{
	struct find_coordinator_response a;

	if (!answer(w, KAFKA_FIND_COORDINATOR, 4, &a))
		return -100;
	*ret_node = a.coordinators[0].node_id;
	return a.coordinators[0].error_code;
}

static int16_t find(struct gw *w, int32_t *ret_node)
{
	send_find(w);
	return found(w, ret_node);
}

static void commit(struct gw *w, int64_t offset, int32_t generation, struct str member)
{
	struct offset_commit_request_offset_commit_request_partition parts[2] = {
		{ .partition_index = 1, .committed_offset = offset, .commit_timestamp = -1,
		   .committed_metadata = STR("note") },
		{ .partition_index = 9, .committed_offset = offset, .commit_timestamp = -1,
		   .committed_metadata = STR_NULL },
	};
	struct offset_commit_request_offset_commit_request_topic t = { .name = STR("t"), .partitions = parts,
								       .partitions_n = 2 };
	struct offset_commit_request m;

	wire_init(&wire_offset_commit_request, &m);
	m.group_id = STR("grp");
	m.member_id = member;
	m.generation_id_or_member_epoch = generation;
	m.topics = &t;
	m.topics_n = 1;
	ask(w, KAFKA_OFFSET_COMMIT, 8, &m);
}

static int16_t committed(struct gw *w)
{
	struct offset_commit_response a;

	if (!answer(w, KAFKA_OFFSET_COMMIT, 8, &a))
		return -100;
	if (!a.topics[0].partitions[0].error_code)
		cr_assert_eq(a.topics[0].partitions[1].error_code, KAFKA_UNKNOWN_TOPIC_OR_PARTITION);
	return a.topics[0].partitions[0].error_code;
}

static int64_t fetch(struct gw *w, int16_t version)
{
	struct offset_fetch_request m;
	struct offset_fetch_request_offset_fetch_request_group g;
	struct offset_fetch_response a;

	wire_init(&wire_offset_fetch_request, &m);
	wire_init(&wire_offset_fetch_request_offset_fetch_request_group, &g);
	m.group_id = g.group_id = STR("grp");
	m.topics_n = g.topics_n = -1;
	m.groups = &g;
	m.groups_n = version >= 8;
	if (version >= 8) {
		m.group_id = STR("");
		m.topics_n = 0;
	}
	ask(w, KAFKA_OFFSET_FETCH, version, &m);
	if (!answer(w, KAFKA_OFFSET_FETCH, version, &a))
		return -100;
	if (version >= 8)
		return a.groups[0].error_code ? -a.groups[0].error_code * 1000
			: a.groups[0].topics_n ? a.groups[0].topics[0].partitions[0].committed_offset : -1;
	return a.error_code ? -a.error_code * 1000
		: a.topics_n ? a.topics[0].partitions[0].committed_offset : -1;
}

Test(groups_proc, first_use_makes_the_topic)
{
	struct gw w;
	int32_t node;

	up(&w, "0");
	cr_expect_eq(find(&w, &node), -100, "it waits for the topic");
	sleep_ms(&w, 2500);
	cr_expect_eq(found(&w, &node), KAFKA_COORDINATOR_NOT_AVAILABLE, "(77)");
	cr_expect_eq(find(&w, &node), -100);
	struct net_conn *agent = NULL;

	for (struct net_conn *c = w.e.conns; c; c = c->next)
		if (strcmp(c->address, "unix:/r/agent.sock") == 0 && c->user == w.g.role)
			agent = c;
	cr_assert(agent);
	agent->ev->on_connect(agent->user, agent, OK);
	struct create_topics_request m;
	/* frame: length, id, version, listener, peer "groups", then header with an empty client id */
	size_t at = 4 + 8 + 1 + 1 + 2 + 6;

	cr_assert_gt(agent->out.len, at + 11);
	cr_expect_eq(be32_get(agent->out.p) + 4, agent->out.len);
	cr_expect_eq(be16_get(agent->out.p + at), KAFKA_CREATE_TOPICS);
	cr_assert_eq(wire_decode(&wire_create_topics_request, 5, agent->out.p + at + 11, agent->out.len - at - 11,
				 &w.arena, &m), OK);
	cr_expect(str_is(m.topics[0].name, "__consumer_offsets"));
	cr_expect_eq(m.topics[0].num_partitions, 4);
	cr_expect_eq(m.topics[0].replication_factor, 1, "not more than brokers are alive");
	cr_expect_eq(fetch(&w, 8), -16000, "(77)");
	topic(&w, PART_REPLICATED);
	cr_expect_eq(found(&w, &node), 0, "it waited for the topic");
	cr_expect_eq(find(&w, &node), 0);
	cr_expect_eq(node, 1);
	cr_expect_eq(fetch(&w, 8), -1);
	down(&w);
}

/* Whoever waits for the topic when its client, or the process, goes away. */
Test(groups_proc, nobody_waits_for_the_topic_any_more)
{
	struct gw w;
	int32_t node;

	up(&w, "0");
	cr_expect_eq(find(&w, &node), -100);
	w.peer->closing = true;
	sleep_ms(&w, 2500);
	groups_peer(&w.g, 8);
	w.peer = w.e.last_adopted;
	step(&w);
	cr_expect_eq(find(&w, &node), -100);
	down(&w);			/* nothing is left: we_down() looks at the memory */
}

Test(groups_proc, offsets_survive_death)
{
	struct gw w;

	up(&w, "0");
	topic(&w, PART_REPLICATED);
	for (int64_t i = 1; i <= 50; i++) {
		commit(&w, i, -1, STR(""));
		cr_assert_eq(committed(&w), 0);
		cr_assert_eq(fetch(&w, 8), i);
	}
	cr_expect_eq(fetch(&w, 5), 50);
	for (int k = 0; k < 3; k++) {
		die(&w);
		start(&w);
		sleep_ms(&w, 200);
		cr_assert_eq(fetch(&w, 8), 50 + k, "life %d", k);
		commit(&w, 51 + k, -1, STR(""));
		cr_assert_eq(committed(&w), 0);
	}
	down(&w);
}

/* An answer leaves only when the log is as safe as its topic wants it (P1). */
Test(groups_proc, answers_wait_for_the_high_watermark)
{
	struct gw w;
	struct part_view v;
	uint64_t wake;
	int slot_of_group = -1;

	up(&w, "0");
	topic(&w, PART_QUORUM);
	commit(&w, 7, -1, STR(""));
	cr_expect_eq(committed(&w), -100);
	cr_expect_eq(fetch(&w, 8), -100, "nor is it shown to others");
	const struct fi_topic *t = &w.e.im.t[2];

	for (int i = 0; i < 4; i++)
		if (part_view(w.e.env.table, t->slot[i], &t->id, &v) == OK && v.end > 0)
			slot_of_group = i;
	cr_assert_geq(slot_of_group, 0);
	const struct part_conf conf = { .segment_bytes = 1 << 20, .durability = PART_QUORUM };

	cr_assert_eq(part_view(w.e.env.table, t->slot[slot_of_group], &t->id, &v), OK);
	cr_assert_eq(part_synced(w.e.env.table, t->slot[slot_of_group], v.generation, v.end, &conf, &wake), OK);
	bell_mark_mask(w.e.env.bells, wake, t->slot[slot_of_group]);
	step(&w);
	cr_expect_eq(committed(&w), 0);
	struct offset_fetch_response a;

	cr_expect(answer(&w, KAFKA_OFFSET_FETCH, 8, &a));
	cr_expect_eq(a.groups[0].topics[0].partitions[0].committed_offset, 7);
	down(&w);
}

static struct join_group_response join(struct gw *w, struct str member, bool *ret_done)
{
	struct join_group_request m;
	struct join_group_request_join_group_request_protocol p = { STR("range"), { (const uint8_t *)"x", 1 } };
	struct join_group_response a = { 0 };

	wire_init(&wire_join_group_request, &m);
	m.group_id = STR("grp");
	m.session_timeout_ms = 10000;
	m.rebalance_timeout_ms = 20000;
	m.member_id = member;
	m.protocol_type = STR("consumer");
	m.protocols = &p;
	m.protocols_n = 1;
	ask(w, KAFKA_JOIN_GROUP, 9, &m);
	*ret_done = answer(w, KAFKA_JOIN_GROUP, 9, &a);
	return a;
}

/* Deletes "grp" and "none"; the code of the first. */
static int16_t delete(struct gw *w, struct delete_groups_response *a)
{
	struct str names[2] = { STR("grp"), STR("none") };
	struct delete_groups_request q;

	wire_init(&wire_delete_groups_request, &q);
	q.groups_names = names;
	q.groups_names_n = 2;
	ask(w, KAFKA_DELETE_GROUPS, 2, &q);
	cr_assert(answer(w, KAFKA_DELETE_GROUPS, 2, a));
	return a->results[0].error_code;
}

static void tools_look(struct gw *w)
{
	struct describe_groups_request dq;
	struct describe_groups_response da;
	struct list_groups_request lq;
	struct list_groups_response la;
	struct delete_groups_response xa;
	struct str names[2] = { STR("grp"), STR("none") };

	wire_init(&wire_describe_groups_request, &dq);
	dq.groups = names;
	dq.groups_n = 2;
	ask(w, KAFKA_DESCRIBE_GROUPS, 5, &dq);
	cr_assert(answer(w, KAFKA_DESCRIBE_GROUPS, 5, &da));
	cr_expect(str_is(da.groups[0].group_state, "Stable"));
	cr_expect(str_is(da.groups[0].members[0].client_host, "/127.0.0.1"));
	cr_expect(str_is(da.groups[1].group_state, "Dead"));
	cr_expect_eq(da.groups[1].error_code, 0, "(76)");
	wire_init(&wire_list_groups_request, &lq);
	ask(w, KAFKA_LIST_GROUPS, 5, &lq);
	cr_assert(answer(w, KAFKA_LIST_GROUPS, 5, &la));
	cr_expect_eq(la.groups_n, 1);
	cr_expect_eq(delete(w, &xa), KAFKA_NON_EMPTY_GROUP, "(75)");
	cr_expect_eq(xa.results[1].error_code, KAFKA_GROUP_ID_NOT_FOUND);
}

Test(groups_proc, one_member_lives)
{
	struct gw w;
	bool done;
	struct sync_group_response s;
	struct heartbeat_request h;
	struct heartbeat_response ha;
	struct delete_groups_response xa;

	up(&w, "1000");
	topic(&w, PART_REPLICATED);
	struct join_group_response a = join(&w, STR(""), &done);

	cr_assert(done);
	cr_expect_eq(a.error_code, KAFKA_MEMBER_ID_REQUIRED, "(64)");
	cr_expect_eq(a.member_id.len, 2 + 1 + 36, "client id, dash, uuid");
	struct str me = a.member_id;

	join(&w, me, &done);
	cr_expect_not(done, "(66)");
	sleep_ms(&w, 1200);
	cr_assert(answer(&w, KAFKA_JOIN_GROUP, 9, &a));
	cr_expect_eq(a.error_code, 0);
	cr_expect_eq(a.members_n, 1);
	cr_expect(str_eq(a.leader, me));
	struct sync_group_request_sync_group_request_assignment as = { me, { (const uint8_t *)"part", 4 } };
	struct sync_group_request m;

	wire_init(&wire_sync_group_request, &m);
	m.group_id = STR("grp");
	m.generation_id = 1;
	m.member_id = me;
	m.protocol_type = STR("consumer");
	m.protocol_name = STR("range");
	m.assignments = &as;
	m.assignments_n = 1;
	ask(&w, KAFKA_SYNC_GROUP, 5, &m);
	cr_assert(answer(&w, KAFKA_SYNC_GROUP, 5, &s));
	cr_expect_eq(s.error_code, 0);
	cr_expect_eq(s.assignment.len, 4);
	commit(&w, 5, 1, me);
	cr_expect_eq(committed(&w), 0);
	commit(&w, 6, 2, me);
	cr_expect_eq(committed(&w), KAFKA_ILLEGAL_GENERATION);
	/* The process dies and is back: the member goes on. */
	die(&w);
	start(&w);
	sleep_ms(&w, 200);
	wire_init(&wire_heartbeat_request, &h);
	h.group_id = STR("grp");
	h.generation_id = 1;
	h.member_id = me;
	ask(&w, KAFKA_HEARTBEAT, 4, &h);
	cr_assert(answer(&w, KAFKA_HEARTBEAT, 4, &ha));
	cr_expect_eq(ha.error_code, 0);
	tools_look(&w);
	/* Its session ends. */
	sleep_ms(&w, 32000);
	cr_expect_eq(delete(&w, &xa), 0);
	cr_expect_eq(fetch(&w, 8), -1);
	die(&w);
	start(&w);
	sleep_ms(&w, 200);
	cr_expect_eq(fetch(&w, 8), -1);
	down(&w);
}

/* Garbage from a worker's stream ends that request only. */
Test(groups_proc, garbage)
{
	struct gw w;
	int32_t node;

	up(&w, "0");
	topic(&w, PART_REPLICATED);
	for (int n = 0; n < 60; n++) {
		uint8_t b[64];

		be32_put(b, (uint32_t)n);
		for (int i = 4; i < n + 4; i++)
			b[i] = (uint8_t)(i * 7 + n);
		buf_put(&w.peer->in, b, (size_t)n + 4);
		step(&w);
	}
	w.peer->out.len = 0;
	cr_expect_eq(find(&w, &node), 0);
	down(&w);
}
