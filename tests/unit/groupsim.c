/* groupsim.c - see groupsim.h. */
#include "groupsim.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"

static void keep(char *to, size_t n, struct str from)
{
	snprintf(to, n, "%.*s", from.len > 0 ? (int)from.len : 0, from.len > 0 ? from.p : "");
}

static struct sim_call *of(struct group_call *c)
{
	return (struct sim_call *)(void *)((char *)c - offsetof(struct sim_call, call));
}

static void on_reply(struct group_port *p, struct group_call *gc, const void *response)
{
	struct sim_call *c = of(gc);

	(void)p;
	c->done++;
	if (c->kind == K_JOIN) {
		const struct join_answer *a = response;

		c->error = a->error;
		c->generation = a->generation;
		c->members = a->n;
		c->skip = a->skip_assignment;
		keep(c->member, sizeof c->member, a->member);
		keep(c->leader, sizeof c->leader, a->leader);
		for (int32_t i = 0; i < a->n && i < 16; i++)
			keep(c->ids[i], sizeof c->ids[i], a->v[i].id);
	} else if (c->kind == K_SYNC) {
		const struct sync_answer *a = response;

		c->error = a->error;
		keep(c->text, sizeof c->text, (struct str){ (const char *)a->assignment.p, a->assignment.len });
	} else if (c->kind == K_CODE) {
		c->error = *(const int16_t *)response;
	} else if (c->kind == K_LEAVE) {
		c->error = ((const struct leave_op *)response)->v[0].error;
	} else if (c->kind == K_COMMIT) {
		c->error = ((const struct offset_commit_op *)response)->v[0].error;
	}
}

static void on_fail(struct group_port *p, struct group_call *gc, int16_t error)
{
	(void)p;
	of(gc)->done++;
	of(gc)->error = error;
}

static void fresh(struct sim *t)
{
	t->s = shard_new(&t->conf, &t->port, ++t->seed, 0, 1);
	shard_now(t->s, t->mono, t->wall);
}

void sim_init(struct sim *t, uint64_t seed)
{
	*t = (struct sim){
		.port = { .reply = on_reply, .fail = on_fail },
		.conf = { .min_session_ms = 6000, .max_session_ms = 1800000, .initial_delay_ms = 3000,
			  .new_member_ms = 300000, .max_size = 5, .members_bytes_max = 1 << 20, .metadata_max = 4096,
			  .retention_ms = INT64_C(7) * 24 * 3600 * 1000, .check_ms = 600000 },
		.seed = seed * 1000, .mono = 1000, .wall = INT64_C(1700000000000),
	};
	fresh(t);
}

void sim_ready(struct sim *t)
{
	shard_loaded(t->s);
}

void sim_free(struct sim *t)
{
	shard_free(t->s, GE_NOT_COORDINATOR);
	must(t->port.members_bytes == 0);
	for (struct sim_call *c = t->calls, *next; c; c = next) {
		next = c->next;
		arena_release(&c->arena);
		mem_free(c);
	}
	for (uint32_t i = 0; i < t->log_n; i++)
		mem_free(t->log[i].p);
	mem_free(t->log);
}

static void to_log(struct sim *t)
{
	for (uint32_t i = 0; i < shard_write_records(t->s); i++) {
		struct bytes k, v;

		shard_write_at(t->s, i, &k, &v);
		t->log = mem_resize(t->log, (t->log_n + 1) * sizeof *t->log);
		struct sim_record *r = &t->log[t->log_n++];

		*r = (struct sim_record){ mem_alloc((size_t)k.len + (v.len > 0 ? (size_t)v.len : 0) + 1),
					  k.len, v.len };
		memcpy(r->p, k.p, (size_t)k.len);
		if (v.len > 0)
			memcpy(r->p + k.len, v.p, (size_t)v.len);
	}
}

void sim_append(struct sim *t, int16_t error)
{
	must(shard_writing(t->s));
	if (!error)
		to_log(t);
	shard_written(t->s, error);
	while (shard_writing(t->s)) {
		to_log(t);
		shard_written(t->s, 0);
	}
}

void sim_restart(struct sim *t)
{
	shard_free(t->s, GE_NOT_COORDINATOR);
	fresh(t);
	for (uint32_t i = 0; i < t->log_n; i++) {
		struct sim_record *r = &t->log[i];
		int e = shard_replay(t->s, (struct bytes){ r->p, r->key_len },
				     (struct bytes){ r->value_len < 0 ? NULL : r->p + r->key_len,
						     r->value_len });

		must(!e);
	}
	shard_loaded(t->s);
}

void sim_pass(struct sim *t, int64_t ms)
{
	int64_t end = t->mono + ms;

	for (;;) {
		int64_t at = shard_next(t->s);

		if (at > end)
			at = end;
		if (at > t->mono) {
			t->wall += at - t->mono;
			t->mono = at;
		}
		shard_now(t->s, t->mono, t->wall);
		while (shard_tick(t->s))
			sim_append(t, 0);
		if (shard_next(t->s) > end && t->mono == end)
			return;
	}
}

struct sim_call *sim_call(struct sim *t, int16_t version)
{
	struct sim_call *c = mem_alloc(sizeof *c);

	arena_init(&c->arena, 512, 1 << 20);
	c->call = (struct group_call){ .version = version, .client_id = STR("c"),
				       .client_host = STR("/1.2.3.4"), .arena = &c->arena };
	c->kind = K_COMMIT;
	c->next = t->calls;
	t->calls = c;
	return c;
}

struct sim_call *sim_join(struct sim *t, int16_t version, const char *group, const char *member,
			  const char *instance, const char *type, int32_t session_ms, const char *protocol)
{
	struct sim_call *c = sim_call(t, version);

	c->kind = K_JOIN;
	c->proto = (struct group_proto){ str_of(protocol), { (const uint8_t *)"\0\1", 2 } };
	shard_join(t->s, &c->call, &(struct join_op){
		.group = str_of(group), .member = str_of(member), .instance = str_of(instance),
		.protocol_type = str_of(type), .session_ms = session_ms, .rebalance_ms = session_ms,
		.protos = &c->proto, .protos_n = 1 });
	return c;
}

static struct sim_call *sync_with(struct sim *t, const char *group, const char *member,
				  int32_t generation, const struct sim_call *joined, const char *text)
{
	struct sim_call *c = sim_call(t, 5);
	int32_t n = joined ? joined->members : 1;
	struct sync_assignment *v = arena_array(&c->arena, 16, sizeof *v);
	struct sync_op *op = arena_alloc(&c->arena, sizeof *op);

	for (int32_t i = 0; i < n && i < 16; i++)
		v[i] = (struct sync_assignment){ str_of(joined ? joined->ids[i] : member),
						 { (const uint8_t *)text, (int32_t)strlen(text) } };
	c->kind = K_SYNC;
	c->asked_generation = generation;
	*op = (struct sync_op){ .group = str_of(group), .member = str_of(member), .instance = STR_NULL,
				.protocol_type = STR_NULL, .protocol = STR_NULL, .generation = generation,
				.v = v, .n = n };
	shard_sync(t->s, &c->call, op);
	return c;
}

struct sim_call *sim_sync(struct sim *t, const char *group, const char *member, int32_t generation)
{
	return sync_with(t, group, member, generation, NULL, "a");
}

int16_t sim_beat_static(struct sim *t, const char *group, const char *member, const char *instance,
			int32_t generation)
{
	struct sim_call *c = sim_call(t, 4);

	c->kind = K_CODE;
	shard_heartbeat(t->s, &c->call, &(struct heartbeat_op){
		.group = str_of(group), .member = str_of(member), .instance = str_of(instance),
		.generation = generation });
	must(c->done == 1);
	return c->error;
}

int16_t sim_beat(struct sim *t, const char *group, const char *member, int32_t generation)
{
	return sim_beat_static(t, group, member, NULL, generation);
}

int16_t sim_leave(struct sim *t, const char *group, const char *member, const char *instance)
{
	struct sim_call *c = sim_call(t, 5);
	struct leave_member m = { str_of(member), str_of(instance), 0 };
	struct leave_op op = { str_of(group), &m, 1 };

	c->kind = K_LEAVE;
	shard_leave(t->s, &c->call, &op);
	if (shard_writing(t->s))
		sim_append(t, 0);
	must(c->done == 1);
	return c->error;
}

static struct sim_call *commit(struct sim *t, int16_t version, const char *group, const char *member,
			       int32_t generation, const char *topic, int32_t partition, int64_t offset,
			       int16_t outcome)
{
	struct sim_call *c = sim_call(t, version);
	struct offset_commit v = { .topic = str_of(topic), .partition = partition, .offset = offset,
				   .leader_epoch = -1, .metadata = STR("") };
	struct offset_commit_op op = { .group = str_of(group), .member = str_of(member),
				       .instance = STR_NULL, .generation = generation, .retention_ms = -1,
				       .v = &v, .n = 1 };

	shard_commit(t->s, &c->call, &op);
	if (shard_writing(t->s))
		sim_append(t, outcome);
	return c;
}

int16_t sim_commit(struct sim *t, int16_t version, const char *group, const char *member,
		   int32_t generation, const char *topic, int32_t partition, int64_t offset)
{
	struct sim_call *c = commit(t, version, group, member, generation, topic, partition, offset, 0);

	must(c->done == 1);
	return c->error;
}

int64_t sim_offset(struct sim *t, const char *group, const char *topic, int32_t partition)
{
	static const struct uuid any;
	struct offset_found f;

	shard_offset(t->s, str_of(group), str_of(topic), &any, partition, &f);
	return f.offset;
}

int16_t sim_delete(struct sim *t, const char *group)
{
	struct sim_call *c = sim_call(t, 2);

	c->kind = K_CODE;
	shard_delete(t->s, &c->call, str_of(group));
	if (shard_writing(t->s))
		sim_append(t, 0);
	must(c->done == 1);
	return c->error;
}

/* ---- random runs ----------------------------------------------------------------------------- */

#define CLIENTS 6
#define GENERATIONS 512

struct client {
	const char *group, *instance;
	int g;
	char member[128];
	struct sim_call *join, *sync;	/* in flight */
	struct sim_call *joined;	/* the last good join */
	bool first;			/* the join in flight is a newcomer's */
	bool kicked;			/* somebody removed it on purpose */
	int32_t generation;		/* 0: none */
};

struct run {
	struct sim t;
	struct rng rng;
	struct client c[CLIENTS];
	char nonce[2][GENERATIONS][24];	/* what a generation was told, by its first sync answer */
	int32_t synced[2];		/* greatest generation with a sync answer */
	int64_t acked[2], tried;
	int nonces;
	uint64_t counts[4];
};

static void took_join(struct run *r, struct client *c)
{
	struct sim_call *j = c->join;

	c->join = NULL;
	if (j->error == GE_MEMBER_ID_REQUIRED) {
		snprintf(c->member, sizeof c->member, "%s", j->member);
	} else if (j->error == 0) {
		snprintf(c->member, sizeof c->member, "%s", j->member);
		c->joined = j;
		c->generation = j->generation;
	} else if (j->error == GE_UNKNOWN_MEMBER || j->error == GE_GROUP_FULL) {
		c->member[0] = 0;
		c->generation = 0;
	}
	(void)r;
}

static const char *took_sync(struct run *r, struct client *c)
{
	struct sim_call *y = c->sync;

	c->sync = NULL;
	if (y->error == GE_UNKNOWN_MEMBER) {
		c->member[0] = 0;
		c->generation = 0;
	}
	if (y->error)
		return NULL;
	char *nonce = r->nonce[c->g][y->asked_generation % GENERATIONS];

	r->counts[0]++;
	if (!y->text[0])
		return NULL;		/* it was not in the leader's list */
	if (nonce[0] && strcmp(nonce, y->text) != 0)
		return "G3: one generation, two assignments";
	snprintf(nonce, sizeof r->nonce[0][0], "%.23s", y->text);
	if (y->asked_generation > r->synced[c->g])
		r->synced[c->g] = y->asked_generation;
	return NULL;
}

static const char *look(struct run *r)
{
	const char *e = shard_check(r->t.s);

	for (int i = 0; i < CLIENTS && !e; i++) {
		struct client *c = &r->c[i];

		if (c->join && c->join->done > 1)
			e = "G2: a join was answered twice";
		if (c->sync && c->sync->done > 1)
			e = "G2: a sync was answered twice";
		if (!e && c->join && c->join->done) {
			if (c->join->error == GE_UNKNOWN_MEMBER && !c->first && !c->kicked && c->generation &&
			    c->join->call.version == 6)
				e = "a parked member was lost";
			took_join(r, c);
		}
		if (!e && c->sync && c->sync->done) {
			if (c->sync->error == GE_UNKNOWN_MEMBER && c->sync->call.version == 6 && !c->kicked)
				e = "a parked member was lost";
			else
				e = took_sync(r, c);
		}
	}
	for (int g = 0; g < 2 && !e; g++) {
		int64_t o = sim_offset(&r->t, g ? "h" : "g", "t", 0);

		if (o < r->acked[g])
			e = "G5: an acknowledged offset went back";
		if (o > r->tried)
			e = "G5: an offset nobody committed";
	}
	return e;
}

static const char *do_commit(struct run *r, struct client *c)
{
	int16_t outcome = rng_below(&r->rng, 4) ? 0 : GE_NOT_AVAILABLE;
	struct sim_call *k = commit(&r->t, 8, c->group, c->member, c->generation ? c->generation : -1, "t", 0,
				    ++r->tried, outcome);

	must(k->done == 1);
	if (k->error)
		return NULL;
	r->counts[1]++;
	if (c->generation && c->generation < r->synced[c->g])
		return "a commit of an old generation was taken";
	r->acked[c->g] = r->tried;
	return NULL;
}

static void settle(struct run *r)
{
	while (shard_writing(r->t.s))
		sim_append(&r->t, rng_below(&r->rng, 5) ? 0 : GE_NOT_AVAILABLE);
}

static void do_join(struct run *r, struct client *c)
{
	int16_t v = rng_below(&r->rng, 2) ? 3 : 9;

	c->first = !c->member[0] || !c->generation;
	c->kicked = false;
	c->join = sim_join(&r->t, v, c->group, c->member, c->instance, "consumer",
			   6000 + (int32_t)rng_below(&r->rng, 3) * 4000, "range");
	if (!c->join->done)
		c->join->call.version = v == 9 ? 9 : 3;
	settle(r);
	if (!c->join->done)
		c->join->call.version = 6;	/* it parked: from here on it must not be lost */
}

static void do_sync(struct run *r, struct client *c)
{
	int32_t generation = c->generation - (rng_below(&r->rng, 8) == 0 && c->generation > 1);
	char *text = mem_alloc(24);

	snprintf(text, 24, "n%d", ++r->nonces);
	c->kicked = false;
	c->sync = sync_with(&r->t, c->group, c->member, generation, c->joined, text);
	if (shard_writing(r->t.s) && rng_below(&r->rng, 6) == 0) {
		sim_restart(&r->t);		/* died between decision and append */
		r->counts[2]++;
	}
	settle(r);
	mem_free(text);
	if (!c->sync->done)
		c->sync->call.version = 6;
}

static const char *step(struct run *r)
{
	struct client *c = &r->c[rng_below(&r->rng, CLIENTS)];
	unsigned what = rng_below(&r->rng, 20);

	if (what == 0) {
		sim_restart(&r->t);
		r->counts[2]++;
	} else if (what < 5) {
		sim_pass(&r->t, rng_below(&r->rng, what == 1 ? 12000 : 2500));
	} else if (c->join || c->sync) {
		return NULL;
	} else if (!c->member[0] || !c->generation || what < 8) {
		do_join(r, c);
	} else if (what < 13) {
		do_sync(r, c);
	} else if (what < 16) {
		int16_t e = sim_beat_static(&r->t, c->group, c->member, c->instance, c->generation);

		if (e == GE_UNKNOWN_MEMBER) {
			r->counts[3]++;
			c->member[0] = 0;
			c->generation = 0;
		}
	} else if (what < 19) {
		return do_commit(r, c);
	} else {
		for (int i = 0; i < CLIENTS; i++)
			if (&r->c[i] == c || (c->instance && r->c[i].instance == c->instance))
				r->c[i].kicked = true;
		sim_leave(&r->t, c->group, c->instance ? "" : c->member, c->instance);
		c->member[0] = 0;
		c->generation = 0;
	}
	return NULL;
}

const char *sim_random(uint64_t seed, int steps, uint64_t counts[4])
{
	struct run *r = mem_alloc(sizeof *r);
	const char *e = NULL;

	sim_init(&r->t, seed);
	sim_ready(&r->t);
	rng_init(&r->rng, seed);
	for (int i = 0; i < CLIENTS; i++)
		r->c[i] = (struct client){ .g = i & 1, .group = i & 1 ? "h" : "g",
					   .instance = i == 2 ? "i2" : i == 4 ? "i4" : NULL };
	r->acked[0] = r->acked[1] = -1;
	for (int i = 0; i < steps && !e; i++) {
		e = step(r);
		if (!e)
			e = look(r);
	}
	if (!e) {
		sim_pass(&r->t, 700000);	/* every phase ends by itself */
		for (int i = 0; i < CLIENTS && !e; i++)
			if ((r->c[i].join && !r->c[i].join->done) || (r->c[i].sync && !r->c[i].sync->done))
				e = "a parked call is never answered";
	}
	if (!e)
		sim_restart(&r->t);
	for (int g = 0; g < 2 && !e; g++)
		if (sim_offset(&r->t, g ? "h" : "g", "t", 0) < r->acked[g])
			e = "G5: an acknowledged offset is lost at the end";
	for (int i = 0; i < 4 && counts; i++)
		counts[i] += r->counts[i];
	sim_free(&r->t);
	mem_free(r);
	return e;
}
