/*
 * test_group.c - the group coordinator as a state machine: cases of Kafka's semantics (trap numbers
 * of the project's list), its record bytes, and thousands of random runs with a restart from the
 * log at any point. `--mutants` of tests/unit/group_mutants runs the same with planted bugs.
 */
#include <criterion/criterion.h>
#include <stdio.h>

#include "group/shard.h"
#include "groupsim.h"

/* ---- facts --------------------------------------------------------------------------------- */

Test(group, java_hash)
{
	static const struct {
		const char *id;
		int32_t hash, partition;
	} v[] = {
		{ "test", 3556498, 48 },
		{ "my-group", -1906497762, 12 },
		{ "polygenelubricants", INT32_MIN, 0 },
		{ "gr\xc3\xbcppe", -1233264812, 12 },
		{ "g\xf0\x9f\x98\x80", 1871882, 32 },
		{ "", 0, 0 },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		cr_expect_eq(group_java_hash(str_of(v[i].id)), v[i].hash, "%s", v[i].id);
		cr_expect_eq(group_partition(str_of(v[i].id), 50), v[i].partition, "%s", v[i].id);
	}
	cr_expect_eq(group_utf16_units(STR("g\xf0\x9f\x98\x80\xc3\xbc")), 4);
}

/* ---- record bytes: made by Kafka's own classes ---------------------------------------------- */

static size_t unhex(const char *hex, uint8_t *ret)
{
	size_t n = 0;

	for (; hex[0] && hex[1]; hex += 2) {
		unsigned v;

		sscanf(hex, "%2x", &v);
		ret[n++] = (uint8_t)v;
	}
	return n;
}

static void expect_bytes(const char *what, struct bytes got, const char *hex)
{
	uint8_t want[512];
	size_t n = unhex(hex, want);

	cr_expect(got.len == (int32_t)n && memcmp(got.p, want, n) == 0, "%s", what);
}

#define T0 INT64_C(1700000000000)
static const char offset_key[] = "000100016700017400000003";
static const char offset_v4[] = "0004000000000000002a00000005026d0000018bcfe56800010010"
	"0102030405060708090a0b0c0d0e0f10";
static const char offset_v3[] = "0003000000000000002a0000000500016d0000018bcfe56800";
static const char offset_v1[] = "0001000000000000002a00016d0000018bcfe568000000018bcfee8fc0";
static const char group_key[] = "0002000167";
static const char group_v3[] = "00030008636f6e73756d657200000001000572616e676500026d310000018bcfe568"
	"000000000100026d31ffff000163000a2f3132372e302e302e31000493e00000afc8000000030001020000000203"
	"04";

Test(group, offset_bytes)
{
	struct sim t;

	sim_init(&t, 1);
	shard_now(t.s, 1000, T0);
	struct sim_call *c = sim_call(&t, 9);
	struct offset_commit v = { .topic = STR("t"), .partition = 3, .offset = 42, .leader_epoch = 5,
				   .metadata = STR("m") };

	for (int i = 0; i < 16; i++)
		v.topic_id.b[i] = (uint8_t)(i + 1);
	struct offset_commit_op op = { .group = STR("g"), .member = STR(""), .instance = STR_NULL,
				       .generation = -1, .retention_ms = -1, .v = &v, .n = 1 };
	struct bytes key, value;

	shard_commit(t.s, &c->call, &op);
	cr_assert(shard_writing(t.s));
	shard_write_at(t.s, 0, &key, &value);
	expect_bytes("key", key, offset_key);
	expect_bytes("value v4", value, offset_v4);
	sim_append(&t, 0);
	cr_expect_eq(c->done, 1);
	c = sim_call(&t, 4);
	op.retention_ms = 600000;
	shard_commit(t.s, &c->call, &op);
	shard_write_at(t.s, 0, &key, &value);
	expect_bytes("value v1", value, offset_v1);
	sim_append(&t, 0);
	sim_free(&t);
}

Test(group, old_values_are_read)
{
	static const char *const values[] = { offset_v1, offset_v3, offset_v4 };

	for (int i = 0; i < 3; i++) {
		struct sim t;
		uint8_t k[64], v[256];
		struct bytes key = { k, (int32_t)unhex(offset_key, k) };
		struct bytes value = { v, (int32_t)unhex(values[i], v) };
		struct offset_found f;
		static const struct uuid any;

		sim_init(&t, 1);
		cr_assert_eq(shard_replay(t.s, key, value), OK);
		shard_offset(t.s, STR("g"), STR("t"), &any, 3, &f);
		cr_expect_eq(f.offset, 42);
		cr_expect_eq(f.leader_epoch, i ? 5 : -1);
		cr_expect(str_is(f.metadata, "m"));
		for (int32_t cut = 0; cut < value.len; cut++)
			cr_expect_eq(shard_replay(t.s, key, (struct bytes){ v, cut }), E_BAD, "cut %d", cut);
		v[1] = 5;
		cr_expect_eq(shard_replay(t.s, key, value), E_VERSION);
		sim_free(&t);
	}
}

/* Read, and written again by the next generation with only that number changed. */
Test(group, metadata_bytes)
{
	struct sim t;
	uint8_t k[64], v[256];
	struct bytes key = { k, (int32_t)unhex(group_key, k) };
	struct bytes value = { v, (int32_t)unhex(group_v3, v) };
	struct arena a;
	struct describe_answer d;

	sim_init(&t, 1);
	for (int32_t cut = 0; cut < value.len; cut++)
		cr_expect_eq(shard_replay(t.s, key, (struct bytes){ v, cut }), E_BAD, "cut %d", cut);
	cr_assert_eq(shard_replay(t.s, key, value), OK);
	shard_now(t.s, 0, T0);
	shard_loaded(t.s);
	arena_init(&a, 1024, 65536);
	shard_describe(t.s, STR("g"), &a, &d);
	cr_expect_eq(d.n, 1);
	cr_expect_str_eq(d.state, "Stable");
	cr_expect(str_is(d.protocol, "range"));
	cr_expect(str_is(d.v[0].client_host, "/127.0.0.1"));
	arena_release(&a);
	/* The leader joins again with other metadata, syncs: the value that is written is the
	 * same but for generation, subscription and time. */
	struct sim_call *c = sim_call(&t, 5);
	struct group_proto p = { STR("range"), { (const uint8_t *)"\0\1\2", 3 } };
	struct join_op j = { .group = STR("g"), .member = STR("m1"), .instance = STR_NULL,
			     .protocol_type = STR("consumer"), .session_ms = 45000,
			     .rebalance_ms = 300000, .protos = &p, .protos_n = 1 };

	c->kind = K_JOIN;
	shard_join(t.s, &c->call, &j);
	cr_assert_eq(c->done, 1);
	cr_expect_eq(c->error, 0);
	cr_expect_eq(c->generation, 2);
	struct sync_assignment sa = { STR("m1"), { (const uint8_t *)"\3\4", 2 } };
	struct sync_op so = { .group = STR("g"), .member = STR("m1"), .instance = STR_NULL,
			      .protocol_type = STR_NULL, .protocol = STR_NULL, .generation = 2,
			      .v = &sa, .n = 1 };

	c = sim_call(&t, 5);
	c->kind = K_SYNC;
	shard_sync(t.s, &c->call, &so);
	cr_assert(shard_writing(t.s));
	shard_write_at(t.s, 0, &key, &value);
	unhex(group_v3, v);
	v[15] = 2;
	cr_expect_eq(value.len, (int32_t)(sizeof group_v3 / 2));
	cr_expect_arr_eq(value.p, v, (size_t)value.len);
	expect_bytes("key", key, group_key);
	sim_append(&t, 0);
	cr_expect_eq(c->done, 1);
	sim_free(&t);
}

/* ---- cases of the traps ---------------------------------------------------------------------- */

Test(group, join_rules_64_65)
{
	static const struct {
		const char *what, *group, *member, *type;
		int32_t session;
		int16_t version, error;
	} v[] = {
		{ "v4 without id", "g", "", "consumer", 10000, 4, GE_MEMBER_ID_REQUIRED },
		{ "id of an unknown group", "g", "x", "consumer", 10000, 4, GE_UNKNOWN_MEMBER },
		{ "empty group id", "", "", "consumer", 10000, 4, GE_INVALID_GROUP_ID },
		{ "session too short", "g", "", "consumer", 5999, 4, GE_INVALID_SESSION_TIMEOUT },
		{ "session too long", "g", "", "consumer", 1800001, 4, GE_INVALID_SESSION_TIMEOUT },
		{ "no protocol type", "g", "", "", 10000, 4, GE_INCONSISTENT_PROTOCOL },
	};

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		struct sim t;

		sim_init(&t, 1);
		sim_ready(&t);
		struct sim_call *c = sim_join(&t, v[i].version, v[i].group, v[i].member, NULL, v[i].type,
					      v[i].session, "range");

		cr_expect_eq(c->done, 1, "%s", v[i].what);
		cr_expect_eq(c->error, v[i].error, "%s: %d", v[i].what, c->error);
		cr_expect_eq(shard_groups(t.s), v[i].error == GE_MEMBER_ID_REQUIRED, "%s", v[i].what);
		sim_free(&t);
	}
}

/* One member through its first generation; returns its call of the join. */
static struct sim_call *first_member(struct sim *t, const char *instance)
{
	struct sim_call *c = sim_join(t, 3, "g", "", instance, "consumer", 10000, "range");

	cr_expect_eq(c->done, 0);
	sim_pass(t, 2999);
	cr_expect_eq(c->done, 0, "the initial delay runs its full time (66)");
	sim_pass(t, 1);
	cr_expect_eq(c->done, 1);
	cr_expect_eq(c->error, 0);
	cr_expect_eq(c->generation, 1);
	cr_expect_eq(c->members, 1, "the leader gets the list (67)");
	struct sim_call *y = sim_sync(t, "g", c->member, 1);

	cr_expect_eq(y->done, 0, "nobody is answered before the log has it (68)");
	sim_append(t, 0);
	cr_expect_eq(y->done, 1);
	cr_expect_eq(y->error, 0);
	return c;
}

Test(group, life_66_69)
{
	struct sim t;

	sim_init(&t, 1);
	sim_ready(&t);
	struct sim_call *a = first_member(&t, NULL);

	cr_expect_eq(sim_beat(&t, "g", a->member, 1), GE_NONE);
	cr_expect_eq(sim_beat(&t, "g", a->member, 2), GE_ILLEGAL_GENERATION);
	cr_expect_eq(sim_beat(&t, "g", "nobody", 1), GE_UNKNOWN_MEMBER);
	cr_expect_eq(sim_beat(&t, "other", a->member, 1), GE_UNKNOWN_MEMBER);
	/* A second one: the group rebalances, the first is told by its heartbeat. */
	struct sim_call *b = sim_join(&t, 3, "g", "", NULL, "consumer", 10000, "range");

	cr_expect_eq(b->done, 0);
	cr_expect_eq(sim_beat(&t, "g", a->member, 1), GE_REBALANCING);
	struct sim_call *y = sim_sync(&t, "g", a->member, 1);

	cr_expect_eq(y->error, GE_REBALANCING, "(68)");
	struct sim_call *a2 = sim_join(&t, 5, "g", a->member, NULL, "consumer", 10000, "range");

	cr_expect_eq(a2->done, 1);
	cr_expect_eq(b->done, 1);
	cr_expect_eq(a2->members, 2);
	cr_expect_eq(b->members, 0);
	cr_expect_eq(b->generation, 2);
	/* A join that comes again in CompletingRebalance is answered again (67). */
	struct sim_call *b2 = sim_join(&t, 5, "g", b->member, NULL, "consumer", 10000, "range");

	cr_expect_eq(b2->done, 1);
	cr_expect_eq(b2->generation, 2);
	/* The leader never syncs: it and whoever did not sync are out (68). */
	struct sim_call *yb = sim_sync(&t, "g", b->member, 2);

	sim_pass(&t, 10000);
	cr_expect_eq(yb->done, 1);
	cr_expect_eq(yb->error, GE_REBALANCING);
	cr_expect_eq(sim_beat(&t, "g", a->member, 2), GE_UNKNOWN_MEMBER);
	cr_expect_eq(sim_beat(&t, "g", b->member, 2), GE_REBALANCING);
	/* b does not come back either: its session ends, then the group is empty. */
	sim_pass(&t, 10000);
	cr_expect_eq(sim_beat(&t, "g", b->member, 2), GE_UNKNOWN_MEMBER);
	sim_free(&t);
}

Test(group, static_70)
{
	struct sim t;

	sim_init(&t, 1);
	sim_ready(&t);
	struct sim_call *a = first_member(&t, "i1");
	struct sim_call *b = sim_join(&t, 9, "g", "", "i1", "consumer", 10000, "range");

	cr_expect_eq(b->done, 0, "persisted before answering");
	sim_append(&t, 0);
	cr_expect_eq(b->done, 1);
	cr_expect_eq(b->error, 0);
	cr_expect_eq(b->generation, 1, "no rebalance");
	cr_expect(b->skip, "v9: the leader does not assign");
	cr_expect_eq(b->members, 1);
	cr_expect_eq(sim_beat_static(&t, "g", a->member, "i1", 1), GE_FENCED_INSTANCE);
	cr_expect_eq(sim_beat_static(&t, "g", b->member, "i1", 1), GE_NONE);
	struct sim_call *c = sim_join(&t, 5, "g", "", "i1", "consumer", 10000, "range");

	sim_append(&t, 0);
	cr_expect_eq(c->done, 1);
	cr_expect_str_eq(c->leader, b->member, "before v9 the old leader is named");
	/* A failed write takes the new id back. */
	struct sim_call *d = sim_join(&t, 9, "g", "", "i1", "consumer", 10000, "range");

	sim_append(&t, GE_NOT_AVAILABLE);
	cr_expect_eq(d->error, GE_NOT_AVAILABLE);
	cr_expect_eq(sim_beat_static(&t, "g", c->member, "i1", 1), GE_NONE);
	sim_restart(&t);
	cr_expect_eq(sim_beat_static(&t, "g", c->member, "i1", 1), GE_NONE, "survives a restart");
	cr_expect_eq(sim_leave(&t, "g", "", "i1"), GE_NONE, "an administrator removes it (70)");
	cr_expect_eq(sim_leave(&t, "g", "", "i1"), GE_UNKNOWN_MEMBER, "(71)");
	sim_free(&t);
}

Test(group, members_take_no_more_than_the_budget_of_all_groups)
{
	static const char *const group[] = { "g0", "g1", "g2", "g3" };
	struct sim t;
	struct sim_call *c[4];

	sim_init(&t, 1);
	t.conf.members_bytes_max = 3000;
	sim_ready(&t);
	for (int i = 0; i < 4; i++) {
		c[i] = sim_join(&t, 3, group[i], "", NULL, "consumer", 10000, "range");
		cr_expect_eq(c[i]->done, i == 3);
	}
	cr_expect_eq(c[3]->error, GE_NOT_AVAILABLE, "comes again");
	cr_expect_eq(t.port.crowded, 1);
	sim_pass(&t, 4000);
	cr_assert(c[0]->done == 1 && c[0]->error == 0);
	/* Who is in goes on; with who leaves, room comes back. */
	c[1] = sim_join(&t, 3, "g1", c[1]->member, NULL, "consumer", 10000, "range");
	sim_pass(&t, 4000);
	cr_expect(c[1]->done == 1 && c[1]->error == 0);
	cr_expect_eq(sim_leave(&t, "g0", c[0]->member, NULL), GE_NONE);
	c[3] = sim_join(&t, 3, "g3", "", NULL, "consumer", 10000, "range");
	sim_pass(&t, 4000);
	cr_expect(c[3]->done == 1 && c[3]->error == 0);
	sim_restart(&t);
	sim_free(&t);				/* and all of it is given back */
}

Test(group, commit_72_73)
{
	static const struct {
		const char *what, *group;
		int member;		/* 0 none, 1 the right one, 2 another */
		int32_t generation;
		int16_t version, error;
	} v[] = {
		{ "a simple group", "s", 0, -1, 8, GE_NONE },
		{ "unknown group, generation, v9", "x", 0, 3, 9, GE_GROUP_NOT_FOUND },
		{ "unknown group, generation, v8", "x", 0, 3, 8, GE_ILLEGAL_GENERATION },
		{ "members are there", "g", 0, -1, 8, GE_UNKNOWN_MEMBER },
		{ "another generation", "g", 1, 7, 8, GE_ILLEGAL_GENERATION },
		{ "another member", "g", 2, 1, 8, GE_UNKNOWN_MEMBER },
		{ "right", "g", 1, 1, 8, GE_NONE },
	};
	struct sim t;

	sim_init(&t, 1);
	sim_ready(&t);
	struct sim_call *a = first_member(&t, NULL);

	for (size_t i = 0; i < sizeof v / sizeof *v; i++) {
		const char *m = v[i].member == 0 ? "" : v[i].member == 1 ? a->member : "other";
		int16_t e = sim_commit(&t, v[i].version, v[i].group, m, v[i].generation, "t", 0, (int64_t)i);

		cr_expect_eq(e, v[i].error, "%s: %d", v[i].what, e);
	}
	cr_expect_eq(sim_offset(&t, "g", "t", 0), 6);
	cr_expect_eq(sim_offset(&t, "g", "t", 1), -1);
	cr_expect_eq(sim_offset(&t, "nobody", "t", 0), -1, "(73)");
	sim_restart(&t);
	cr_expect_eq(sim_offset(&t, "g", "t", 0), 6);
	cr_expect_eq(sim_offset(&t, "s", "t", 0), 0);
	cr_expect_eq(sim_delete(&t, "g"), GE_NON_EMPTY_GROUP, "(75)");
	cr_expect_eq(sim_delete(&t, "s"), GE_NONE);
	cr_expect_eq(sim_delete(&t, "s"), GE_GROUP_NOT_FOUND);
	cr_expect_eq(sim_offset(&t, "s", "t", 0), -1);
	sim_restart(&t);
	cr_expect_eq(sim_offset(&t, "s", "t", 0), -1);
	cr_expect_eq(sim_delete(&t, "s"), GE_GROUP_NOT_FOUND);
	sim_free(&t);
}

Test(group, expiry_74)
{
	struct sim t;
	const int64_t week = INT64_C(7) * 24 * 3600 * 1000;

	sim_init(&t, 1);
	sim_ready(&t);
	cr_expect_eq(sim_commit(&t, 8, "s", "", -1, "t", 0, 5), GE_NONE);
	sim_pass(&t, week - 3600000);
	cr_expect_eq(sim_offset(&t, "s", "t", 0), 5);
	sim_pass(&t, 3600000 + 600000);
	cr_expect_eq(sim_offset(&t, "s", "t", 0), -1, "a simple group counts from the commit");
	cr_expect_eq(shard_groups(t.s), 0);
	/* An empty group counts from the moment it became empty. */
	struct sim_call *a = first_member(&t, NULL);

	cr_expect_eq(sim_commit(&t, 8, "g", a->member, 1, "t", 0, 7), GE_NONE);
	for (int64_t at = 0; at < week + 3600000; at += 9000) {
		sim_pass(&t, 9000);
		if (sim_beat(&t, "g", a->member, 1))
			break;
	}
	cr_expect_eq(sim_offset(&t, "g", "t", 0), 7, "a member with an unreadable subscription keeps it");
	cr_expect_eq(sim_leave(&t, "g", a->member, NULL), GE_NONE);
	sim_pass(&t, week - 3600000);
	cr_expect_eq(sim_offset(&t, "g", "t", 0), 7);
	sim_restart(&t);
	sim_pass(&t, 3600000 + 1200000);
	cr_expect_eq(sim_offset(&t, "g", "t", 0), -1);
	cr_expect_eq(shard_groups(t.s), 0, "nothing is left of it");
	sim_free(&t);
}

static bool only_u(void *ctx, struct str topic, const struct uuid *id)
{
	(void)ctx;
	(void)id;
	return str_is(topic, "u");
}

Test(group, deleted_topics_80)
{
	struct sim t;

	sim_init(&t, 1);
	sim_ready(&t);
	sim_commit(&t, 8, "s", "", -1, "t", 0, 5);
	sim_commit(&t, 8, "s", "", -1, "u", 0, 6);
	shard_topics_gone(t.s, only_u, NULL);
	cr_expect_not(shard_writing(t.s), "seen missing once");
	shard_topics_gone(t.s, only_u, NULL);
	cr_assert(shard_writing(t.s));
	sim_append(&t, 0);
	cr_expect_eq(sim_offset(&t, "s", "t", 0), -1);
	cr_expect_eq(sim_offset(&t, "s", "u", 0), 6);
	sim_free(&t);
}

/* ---- random runs ----------------------------------------------------------------------------- */

Test(group, random_runs)
{
	for (uint64_t seed = 0; seed < 1500; seed++) {
		const char *e = sim_random(seed, 250, NULL);

		cr_assert(!e, "seed %llu: %s", (unsigned long long)seed, e);
	}
}
