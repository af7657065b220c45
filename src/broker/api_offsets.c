/* api_offsets.c - OffsetCommit, OffsetFetch, OffsetDelete: between Kafka's messages and group/shard.h. */
#include <string.h>

#include "broker/api_group.h"
#include "wire/kafka_error.h"

/* ---- OffsetCommit, OffsetDelete -------------------------------------------------------------- */

static int16_t resolve(struct greq *q, struct str *name, struct uuid *id, int32_t partition)
{
	struct image_topic t;
	bool by_id = !uuid_is_zero(id);

	if (!q->p->im)
		return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	if (by_id ? !image_topic_by_id(q->p->im, id, &t) : !image_topic_by_name(q->p->im, *name, &t))
		return by_id || (q->api->key != KAFKA_OFFSET_DELETE && q->version >= 10) ?
			KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	if (by_id)
		*name = t.name;
	*id = t.id;
	return partition < 0 || partition >= t.partitions ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_NONE;
}

void api_commit_run(struct greq *q, struct gshard *sh)
{
	const struct offset_commit_request *m = q->msg;
	struct offset_commit_op *op = arena_alloc(&q->arena, sizeof *op);
	int32_t n = 0;

	for (int32_t i = 0; i < m->topics_n; i++)
		n += m->topics[i].partitions_n > 0 ? m->topics[i].partitions_n : 0;
	struct offset_commit *v = api_room(q, n, sizeof *v);

	if (!op || !v) {
		groups_close(q);
		return;
	}
	*op = (struct offset_commit_op){ .group = m->group_id, .member = m->member_id,
		.instance = m->group_instance_id, .generation = m->generation_id_or_member_epoch,
		.retention_ms = q->version <= 4 ? m->retention_time_ms : -1, .v = v };
	for (int32_t i = 0; i < m->topics_n; i++)
		for (int32_t k = 0; k < m->topics[i].partitions_n; k++) {
			const struct offset_commit_request_offset_commit_request_partition *r =
				&m->topics[i].partitions[k];
			struct offset_commit *o = &v[op->n++];

			*o = (struct offset_commit){ .topic = m->topics[i].name, .topic_id = m->topics[i].topic_id,
				.partition = r->partition_index, .offset = r->committed_offset,
				.leader_epoch = r->committed_leader_epoch, .metadata = r->committed_metadata };
			o->error = resolve(q, &o->topic, &o->topic_id, o->partition);
		}
	shard_commit(sh->s, &q->call->call, op);
}

/* Each partition with its own error, or all with one. */
void api_commit_reply(struct greq *q, const struct offset_commit_op *op, int16_t error)
{
	const struct offset_commit_request *m = q->msg;
	struct offset_commit_response a;
	int32_t at = 0;

	wire_init(&wire_offset_commit_response, &a);
	a.topics_n = m->topics_n > 0 ? m->topics_n : 0;
	a.topics = api_room(q, a.topics_n, sizeof *a.topics);
	for (int32_t i = 0; a.topics && i < a.topics_n; i++) {
		struct offset_commit_response_offset_commit_response_topic *t = &a.topics[i];

		t->name = m->topics[i].name;
		t->topic_id = m->topics[i].topic_id;
		t->partitions_n = m->topics[i].partitions_n > 0 ? m->topics[i].partitions_n : 0;
		t->partitions = api_room(q, t->partitions_n, sizeof *t->partitions);
		if (!t->partitions) {
			groups_close(q);
			return;
		}
		for (int32_t k = 0; k < t->partitions_n; k++, at++) {
			t->partitions[k].partition_index = m->topics[i].partitions[k].partition_index;
			t->partitions[k].error_code = op ? op->v[at].error : error;
		}
	}
	api_answer(q, &a);
}

void api_delete_offsets_run(struct greq *q, struct gshard *sh)
{
	const struct offset_delete_request *m = q->msg;
	struct offset_delete_op *op = arena_alloc(&q->arena, sizeof *op);
	int32_t n = 0;

	for (int32_t i = 0; i < m->topics_n; i++)
		n += m->topics[i].partitions_n > 0 ? m->topics[i].partitions_n : 0;
	struct offset_commit *v = api_room(q, n, sizeof *v);

	if (!op || !v) {
		groups_close(q);
		return;
	}
	*op = (struct offset_delete_op){ .group = m->group_id, .v = v };
	for (int32_t i = 0; i < m->topics_n; i++)
		for (int32_t k = 0; k < m->topics[i].partitions_n; k++) {
			struct offset_commit *o = &v[op->n++];

			*o = (struct offset_commit){ .topic = m->topics[i].name,
				.partition = m->topics[i].partitions[k].partition_index };
			o->error = resolve(q, &o->topic, &o->topic_id, o->partition);
		}
	shard_offset_delete(sh->s, &q->call->call, op);
}

void api_delete_offsets_reply(struct greq *q, const struct offset_delete_op *op, int16_t error)
{
	const struct offset_delete_request *m = q->msg;
	struct offset_delete_response a;
	int32_t at = 0;

	wire_init(&wire_offset_delete_response, &a);
	a.error_code = error;
	a.topics_n = op && m->topics_n > 0 ? m->topics_n : 0;
	a.topics = api_room(q, a.topics_n, sizeof *a.topics);
	for (int32_t i = 0; a.topics && i < a.topics_n; i++) {
		struct offset_delete_response_offset_delete_response_topic *t = &a.topics[i];

		t->name = m->topics[i].name;
		t->partitions_n = m->topics[i].partitions_n > 0 ? m->topics[i].partitions_n : 0;
		t->partitions = api_room(q, t->partitions_n, sizeof *t->partitions);
		if (!t->partitions) {
			groups_close(q);
			return;
		}
		for (int32_t k = 0; k < t->partitions_n; k++, at++) {
			t->partitions[k].partition_index = m->topics[i].partitions[k].partition_index;
			t->partitions[k].error_code = op->v[at].error;
		}
	}
	api_answer(q, &a);
}

/* ---- OffsetFetch ---------------------------------------------------------------------------- */

typedef struct offset_fetch_response_offset_fetch_response_group fetched_group;
typedef struct offset_fetch_response_offset_fetch_response_topics fetched_topic;
typedef struct offset_fetch_response_offset_fetch_response_partitions fetched_part;

struct fetch_all {			/* collects the offsets of a group, one topic after the other */
	struct greq *q;
	fetched_group *g;
	int32_t topics_cap, parts_cap;
	bool full;
};

static void fill(fetched_part *to, int32_t partition, const struct offset_found *f)
{
	*to = (fetched_part){ .partition_index = partition, .committed_offset = f->offset,
			      .committed_leader_epoch = f->leader_epoch, .metadata = f->metadata };
}

static void on_offset(void *ctx, struct str topic, const struct uuid *id, int32_t partition,
		      const struct offset_found *f)
{
	struct fetch_all *x = ctx;
	fetched_topic *t = x->g->topics_n ? &x->g->topics[x->g->topics_n - 1] : NULL;
	struct uuid now = *id;
	struct str name = topic;

	if (x->full)
		return;
	if (x->q->version >= 10) {	/* the answer names topics by id only */
		now = (struct uuid){ { 0 } };
		int16_t e = resolve(x->q, &name, &now, 0);

		if (e || (!uuid_is_zero(id) && !uuid_eq(id, &now)))
			return;
	}
	if (!t || !str_eq(t->name, topic)) {
		x->g->topics = api_grown(x->q, x->g->topics, x->g->topics_n, &x->topics_cap, sizeof *t);
		if (!x->g->topics) {
			x->full = true;
			x->g->topics_n = 0;
			return;
		}
		t = &x->g->topics[x->g->topics_n++];
		wire_init(&wire_offset_fetch_response_offset_fetch_response_topics, t);
		t->name = topic;
		t->topic_id = now;
		x->parts_cap = 0;
	}
	t->partitions = api_grown(x->q, t->partitions, t->partitions_n, &x->parts_cap, sizeof *t->partitions);
	if (!t->partitions) {
		x->full = true;
		t->partitions_n = 0;
		return;
	}
	fill(&t->partitions[t->partitions_n++], partition, f);
}

/* One topic that was asked for. */
static bool fetch_topic(struct greq *q, struct gshard *sh, struct str group, struct str name, struct uuid id,
			const int32_t *parts, int32_t n, int16_t error, fetched_topic *to)
{
	int16_t e = resolve(q, &name, &id, 0);
	bool by_id = q->version >= 10;

	wire_init(&wire_offset_fetch_response_offset_fetch_response_topics, to);
	to->name = name;
	to->topic_id = id;
	to->partitions_n = n > 0 ? n : 0;
	to->partitions = api_room(q, n, sizeof *to->partitions);
	if (!to->partitions)
		return false;
	for (int32_t i = 0; i < to->partitions_n; i++) {
		struct offset_found f = { -1, -1, STR("") };

		if (sh && !(by_id && e))
			shard_offset(sh->s, group, name, &id, parts[i], &f);
		fill(&to->partitions[i], parts[i], &f);
		to->partitions[i].error_code = by_id && e == KAFKA_UNKNOWN_TOPIC_ID ? e : error;
	}
	return true;
}

/* v8+: groups; before: one group, reshaped at the end. */
static bool fetch_group(struct greq *q, struct str group, fetched_group *g, bool all, int32_t n,
			const struct offset_fetch_request_offset_fetch_request_topics *by8,
			const struct offset_fetch_request_offset_fetch_request_topic *by1)
{
	int16_t e;
	struct gshard *sh = groups_shard(q->p, group, &e);
	struct fetch_all x = { .q = q, .g = g };

	wire_init(&wire_offset_fetch_response_offset_fetch_response_group, g);
	g->group_id = group;
	g->error_code = e;
	if (sh)
		groups_barrier(q, sh);
	if (e && q->version >= 2)
		return true;
	if (all) {
		if (sh)
			shard_offsets_each(sh->s, group, on_offset, &x);
		return !x.full;
	}
	g->topics = api_room(q, n, sizeof *g->topics);
	for (int32_t i = 0; g->topics && i < n; i++) {
		struct uuid none = { { 0 } };

		if (!(by8 ? fetch_topic(q, sh, group, by8[i].name, by8[i].topic_id, by8[i].partition_indexes,
					by8[i].partition_indexes_n, e, &g->topics[i])
			  : fetch_topic(q, sh, group, by1[i].name, none, by1[i].partition_indexes,
					by1[i].partition_indexes_n, e, &g->topics[i])))
			return false;
	}
	g->topics_n = g->topics ? n : 0;
	return g->topics != NULL;
}

static bool reshape(struct greq *q, const fetched_group *g, struct offset_fetch_response *a)
{
	a->error_code = q->version >= 2 ? g->error_code : KAFKA_NONE;
	a->topics_n = g->topics_n;
	a->topics = api_room(q, g->topics_n, sizeof *a->topics);
	for (int32_t i = 0; a->topics && i < g->topics_n; i++) {
		struct offset_fetch_response_offset_fetch_response_topic *t = &a->topics[i];

		t->name = g->topics[i].name;
		t->partitions_n = g->topics[i].partitions_n;
		t->partitions = api_room(q, t->partitions_n, sizeof *t->partitions);
		if (!t->partitions)
			return false;
		for (int32_t k = 0; k < t->partitions_n; k++) {
			const fetched_part *f = &g->topics[i].partitions[k];

			t->partitions[k].partition_index = f->partition_index;
			t->partitions[k].committed_offset = f->committed_offset;
			t->partitions[k].committed_leader_epoch = f->committed_leader_epoch;
			t->partitions[k].metadata = f->metadata;
			t->partitions[k].error_code = f->error_code;
		}
	}
	return a->topics != NULL;
}

void api_offset_fetch(struct greq *q)
{
	const struct offset_fetch_request *m = q->msg;
	struct offset_fetch_response a;
	int32_t n = q->version >= 8 ? (m->groups_n > 0 ? m->groups_n : 0) : 1;
	fetched_group *g = api_room(q, n, sizeof *g);
	bool ok = g != NULL;

	wire_init(&wire_offset_fetch_response, &a);
	if (q->version >= 8) {
		for (int32_t i = 0; ok && i < n; i++)
			ok = fetch_group(q, m->groups[i].group_id, &g[i], m->groups[i].topics_n < 0,
					 m->groups[i].topics_n, m->groups[i].topics, NULL);
		a.groups = g;
		a.groups_n = n;
	} else if (ok) {
		ok = fetch_group(q, m->group_id, g, m->topics_n < 0, m->topics_n, NULL, m->topics) &&
		     reshape(q, g, &a);
	}
	if (ok)
		api_answer(q, &a);
	else
		groups_close(q);
}
