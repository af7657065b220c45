/* offsets.c - committed offsets: commit, fetch, delete, expiry (traps 72-75, 80). */
#include "base/assert.h"
#include "base/mutant.h"
#include "group/group.h"

/* ---- the store ----------------------------------------------------------------------------- */

static struct gtopic *topic_find(const struct group *g, struct str name)
{
	struct smap_node *n = smap_find(&g->topics, name);

	return n ? SMAP_OF(n, struct gtopic, by_name) : NULL;
}

static int32_t place(const struct gtopic *t, int32_t partition)
{
	int32_t lo = 0, hi = t->n;

	while (lo < hi) {
		int32_t mid = lo + (hi - lo) / 2;

		if (t->v[mid].partition < partition)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct goffset *offset_find(const struct group *g, struct str topic, int32_t partition)
{
	struct gtopic *t = topic_find(g, topic);
	int32_t at = t ? place(t, partition) : 0;

	return t && at < t->n && t->v[at].partition == partition ? &t->v[at] : NULL;
}

void offset_set(struct group *g, struct str topic, int32_t partition, const struct goffset *o)
{
	struct gtopic *t = topic_find(g, topic);

	if (!t) {
		t = mem_alloc(sizeof *t);
		t->name = text_keep(topic);
		smap_add(&g->topics, &t->by_name, t->name);
	}
	int32_t at = place(t, partition);

	if (at == t->n || t->v[at].partition != partition) {
		if (t->n == t->cap) {
			t->cap = t->cap ? t->cap * 2 : 1;
			t->v = mem_resize(t->v, (size_t)t->cap * sizeof *t->v);
		}
		memmove(&t->v[at + 1], &t->v[at], (size_t)(t->n - at) * sizeof *t->v);
		t->n++;
	} else {
		text_drop(&t->v[at].metadata);
	}
	t->v[at] = *o;
	t->v[at].partition = partition;
	t->v[at].metadata = text_keep(o->metadata.len < 0 ? STR("") : o->metadata);
	t->missing = false;
}

static void topic_free(struct group *g, struct gtopic *t)
{
	for (int32_t i = 0; i < t->n; i++)
		text_drop(&t->v[i].metadata);
	smap_del(&g->topics, &t->by_name);
	text_drop(&t->name);
	mem_free(t->v);
	mem_free(t);
}

void offset_drop(struct group *g, struct str topic, int32_t partition)
{
	struct gtopic *t = topic_find(g, topic);
	int32_t at = t ? place(t, partition) : 0;

	if (!t || at == t->n || t->v[at].partition != partition)
		return;
	text_drop(&t->v[at].metadata);
	t->n--;
	memmove(&t->v[at], &t->v[at + 1], (size_t)(t->n - at) * sizeof *t->v);
	if (!t->n)
		topic_free(g, t);
}

void offsets_free(struct group *g)
{
	for (struct smap_node *n; (n = smap_each(&g->topics, NULL)) != NULL;)
		topic_free(g, SMAP_OF(n, struct gtopic, by_name));
}

static void offsets_all_gone(struct shard *s, const struct group *g)
{
	for (struct smap_node *n = NULL; (n = smap_each(&g->topics, n)) != NULL;) {
		const struct gtopic *t = SMAP_OF(n, struct gtopic, by_name);

		for (int32_t i = 0; i < t->n; i++)
			write_offset_gone(s, g->id, t->name, t->v[i].partition);
	}
}

/* ---- commit -------------------------------------------------------------------------------- */

/* May this caller commit? (trap 72) */
static int16_t commit_allowed(struct group *g, const struct offset_commit_op *op)
{
	if (op->generation < 0 && g->state == GROUP_EMPTY)
		return GE_NONE;
	if (op->generation >= 0 || op->member.len > 0 || op->instance.len >= 0) {
		if (op->instance.len >= 0) {
			const struct gmember *m = member_by_instance(g, op->instance);

			if (!m)
				return GE_UNKNOWN_MEMBER;
			if (!str_eq(m->id, op->member))
				return GE_FENCED_INSTANCE;
		}
		if (!member_find(g, op->member))
			return GE_UNKNOWN_MEMBER;
		if (op->generation != g->generation && !mutant(COMMIT_ANY_GENERATION))
			return GE_ILLEGAL_GENERATION;
	} else {
		return GE_UNKNOWN_MEMBER;
	}
	return g->state == GROUP_COMPLETING ? GE_REBALANCING : GE_NONE;
}

void shard_commit(struct shard *s, struct group_call *c, struct offset_commit_op *op)
{
	must(!s->w.on);
	struct group *g = group_find(s, op->group);
	int16_t e = GE_NONE;

	if (g)
		e = commit_allowed(g, op);
	else if (op->generation >= 0)
		e = c->version >= 9 ? GE_GROUP_NOT_FOUND : GE_ILLEGAL_GENERATION;
	if (e) {
		s->port->fail(s->port, c, e);
		return;
	}
	struct gmember *m = g && op->member.len > 0 ? member_find(g, op->member) : NULL;

	if (m && !m->join && !m->sync)
		timers_set(&s->timers, &m->session, s->mono + m->session_ms);
	int64_t expires = op->retention_ms >= 0 ? s->wall + op->retention_ms : -1;

	for (int32_t i = 0; i < op->n; i++) {
		struct offset_commit *o = &op->v[i];

		if (o->error)
			continue;
		if (group_utf16_units(o->metadata) > s->conf->metadata_max || o->metadata.len > INT16_MAX)
			o->error = GE_OFFSET_METADATA_TOO_LARGE;
		else
			write_offset(s, op->group, o, s->wall, expires);
	}
	if (mutant(COMMIT_BEFORE_WRITE)) {
		s->port->reply(s->port, c, op);
		return;
	}
	reply_after(s, c, op);
}

/* ---- fetch --------------------------------------------------------------------------------- */

static struct offset_found found(const struct goffset *o)
{
	if (!o)
		return (struct offset_found){ -1, -1, STR("") };
	return (struct offset_found){ o->offset, o->leader_epoch, o->metadata };
}

void shard_offset(struct shard *s, struct str group, struct str topic, const struct uuid *topic_id,
		  int32_t partition, struct offset_found *ret)
{
	struct group *g = group_find(s, group);
	const struct goffset *o = g ? offset_find(g, topic, partition) : NULL;

	if (o && !uuid_is_zero(topic_id) && !uuid_is_zero(&o->topic_id) && !uuid_eq(topic_id, &o->topic_id))
		o = NULL;
	*ret = found(o);
}

void shard_offsets_each(struct shard *s, struct str group,
			void (*on)(void *ctx, struct str topic, const struct uuid *topic_id,
				   int32_t partition, const struct offset_found *o), void *ctx)
{
	struct group *g = group_find(s, group);

	for (struct smap_node *n = NULL; g && (n = smap_each(&g->topics, n)) != NULL;) {
		const struct gtopic *t = SMAP_OF(n, struct gtopic, by_name);

		for (int32_t i = 0; i < t->n; i++) {
			struct offset_found f = found(&t->v[i]);

			on(ctx, t->name, &t->v[i].topic_id, t->v[i].partition, &f);
		}
	}
}

/* ---- delete -------------------------------------------------------------------------------- */

void shard_offset_delete(struct shard *s, struct group_call *c, struct offset_delete_op *op)
{
	must(!s->w.on);
	struct group *g = group_find(s, op->group);

	if (!g) {
		s->port->fail(s->port, c, op->group.len <= 0 ? GE_INVALID_GROUP_ID : GE_GROUP_NOT_FOUND);
		return;
	}
	if (g->state != GROUP_EMPTY && !str_is(g->protocol_type, "consumer")) {
		s->port->fail(s->port, c, GE_NON_EMPTY_GROUP);
		return;
	}
	for (int32_t i = 0; i < op->n; i++) {
		struct offset_commit *o = &op->v[i];

		if (o->error)
			continue;
		if (group_subscribed(g, o->topic))
			o->error = GE_SUBSCRIBED_TO_TOPIC;
		else if (offset_find(g, o->topic, o->partition))
			write_offset_gone(s, g->id, o->topic, o->partition);
	}
	reply_after(s, c, op);
}

void shard_delete(struct shard *s, struct group_call *c, struct str group)
{
	must(!s->w.on);
	static const int16_t ok = GE_NONE, unknown = GE_GROUP_NOT_FOUND, busy = GE_NON_EMPTY_GROUP;
	struct group *g = group_find(s, group);

	if (!g) {
		s->port->reply(s->port, c, &unknown);
	} else if (g->state != GROUP_EMPTY) {
		s->port->reply(s->port, c, &busy);
	} else {
		offsets_all_gone(s, g);
		write_group_gone(s, g->id);
		reply_after(s, c, &ok);
	}
}

/* ---- expiry -------------------------------------------------------------------------------- */

/* From when the retention counts; INT64_MAX: the offset stays (trap 74). */
static int64_t counts_from(const struct group *g, const struct gtopic *t, const struct goffset *o)
{
	if (g->protocol_type.len <= 0)
		return o->committed_ms;
	if (g->state == GROUP_EMPTY)
		return g->state_ms >= 0 ? g->state_ms : o->committed_ms;
	if (g->state != GROUP_STABLE || !str_is(g->protocol_type, "consumer"))
		return INT64_MAX;
	return group_subscribed(g, t->name) ? INT64_MAX : o->committed_ms;
}

static bool expired(const struct shard *s, const struct group *g, const struct gtopic *t,
		    const struct goffset *o)
{
	int64_t from = counts_from(g, t, o);

	if (from == INT64_MAX)
		return false;
	if (o->expires_ms >= 0)
		return s->wall >= o->expires_ms;
	return s->wall - from >= s->conf->retention_ms;
}

bool offsets_expire(struct shard *s)
{
	for (struct smap_node *n = NULL; (n = smap_each(&s->groups, n)) != NULL;) {
		struct group *g = SMAP_OF(n, struct group, by_id);
		bool left = false;

		for (struct smap_node *k = NULL; (k = smap_each(&g->topics, k)) != NULL;) {
			const struct gtopic *t = SMAP_OF(k, struct gtopic, by_name);

			for (int32_t i = 0; i < t->n; i++) {
				if (expired(s, g, t, &t->v[i]))
					write_offset_gone(s, g->id, t->name, t->v[i].partition);
				else
					left = true;
			}
		}
		if (!left && g->state == GROUP_EMPTY && !g->pending.n)
			write_group_gone(s, g->id);
		if (s->w.n >= GROUP_WRITE_MAX)
			return true;
	}
	return false;
}

bool shard_topics_gone(struct shard *s, bool (*exists)(void *ctx, struct str topic,
						       const struct uuid *topic_id), void *ctx)
{
	must(!s->w.on);
	for (struct smap_node *n = NULL; (n = smap_each(&s->groups, n)) != NULL;) {
		struct group *g = SMAP_OF(n, struct group, by_id);

		for (struct smap_node *k = NULL; (k = smap_each(&g->topics, k)) != NULL;) {
			struct gtopic *t = SMAP_OF(k, struct gtopic, by_name);
			bool gone = false;

			for (int32_t i = 0; i < t->n; i++) {
				if (exists(ctx, t->name, &t->v[i].topic_id))
					continue;
				gone = true;
				if (t->missing)
					write_offset_gone(s, g->id, t->name, t->v[i].partition);
			}
			t->missing = gone;
		}
		if (s->w.n >= GROUP_WRITE_MAX)
			return true;
	}
	return false;
}
