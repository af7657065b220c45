/* shard.c - one coordinator partition: replay, writes, time; see shard.h. */
#include "group/shard.h"

#include "base/assert.h"
#include "base/mutant.h"
#include "group/group.h"
#include "group/records.h"

/* ---- facts --------------------------------------------------------------------------------- */

/* One code point of UTF-8 at *at; malformed bytes count as U+FFFD, one each. */
static uint32_t code_point(struct str t, int32_t *at)
{
	const uint8_t *p = (const uint8_t *)t.p + *at;
	int32_t left = t.len - *at;
	int n = p[0] < 0x80 ? 1 : p[0] >= 0xf0 && p[0] < 0xf8 ? 4 : p[0] >= 0xe0 && p[0] < 0xf0 ? 3
		: p[0] >= 0xc0 && p[0] < 0xe0 ? 2 : 0;
	uint32_t c = n == 1 ? p[0] : n ? p[0] & (0x7fu >> n) : 0;

	if (n == 0 || n > left)
		goto bad;
	for (int i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			goto bad;
		c = c << 6 | (p[i] & 0x3f);
	}
	*at += n;
	return c;
bad:
	*at += 1;
	return 0xfffd;
}

int32_t group_java_hash(struct str text)
{
	uint32_t h = 0;

	for (int32_t at = 0; at < text.len;) {
		uint32_t c = code_point(text, &at);

		if (c >= 0x10000) {
			c -= 0x10000;
			h = 31 * h + (0xd800 + (c >> 10));
			c = 0xdc00 + (c & 0x3ff);
		}
		h = 31 * h + c;
	}
	return (int32_t)h;
}

int32_t group_partition(struct str id, int32_t partitions)
{
	int32_t h = group_java_hash(id);

	return h == INT32_MIN ? 0 : (h < 0 ? -h : h) % partitions;
}

int32_t group_utf16_units(struct str text)
{
	int32_t n = 0;

	for (int32_t at = 0; at < text.len; n++)
		n += code_point(text, &at) >= 0x10000;
	return n;
}

/* ---- life ---------------------------------------------------------------------------------- */

static void expiry_fire(struct gtimer *t)
{
	struct shard *s = SMAP_OF(t, struct shard, expiry);
	bool more = offsets_expire(s);

	timers_set(&s->timers, &s->expiry, more ? s->mono : s->mono + s->conf->check_ms);
}

struct shard *shard_new(const struct shard_conf *conf, struct group_port *port, uint64_t seed,
			int32_t partition, int32_t leader_epoch)
{
	struct shard *s = mem_alloc(sizeof *s);

	s->conf = conf;
	s->port = port;
	s->partition = partition;
	s->epoch = leader_epoch;
	s->loading = true;
	rng_init(&s->rng, seed);
	smap_init(&s->groups, rng_next(&s->rng));
	buf_init(&s->w.bytes, INT32_MAX);
	s->w.old_id = STR_NULL;
	s->expiry.fire = expiry_fire;
	return s;
}

void shard_free(struct shard *s, int16_t error)
{
	if (s->w.on)
		shard_written(s, error);
	for (struct smap_node *n; (n = smap_each(&s->groups, NULL)) != NULL;) {
		struct group *g = SMAP_OF(n, struct group, by_id);

		classic_fail_all(g, error);
		group_free(g);
	}
	smap_release(&s->groups);
	timers_release(&s->timers);
	buf_release(&s->w.bytes);
	mem_free(s->w.v);
	mem_free(s);
}

uint32_t shard_groups(const struct shard *s)
{
	return s->groups.n;
}

/* ---- replay: the only function that changes what the records say --------------------------- */

static void set_text(struct str *to, struct str from)
{
	struct str kept = text_keep(from);

	text_drop(to);
	*to = kept;
}

/* One member of a metadata record: by its id, else the static member that has a new id. */
static struct gmember *replay_member(struct group *g, const struct record_member *r, struct str protocol)
{
	struct gmember *m = member_find(g, r->id);

	if (!m && r->instance.len >= 0 && (m = member_by_instance(g, r->instance)) != NULL)
		member_rename(g, m, r->id);
	if (!m)
		m = member_add(g, r->id, r->instance, r->client_id, r->client_host);
	struct bytes have = member_metadata(m, protocol);

	if (protocol.len >= 0 && (m->protos_n == 0 || have.len != r->subscription.len ||
	    (have.len > 0 && memcmp(have.p, r->subscription.p, (size_t)have.len) != 0)))
		member_set_protos(g, m, &(struct group_proto){ protocol, r->subscription }, 1);
	m->session_ms = r->session_ms;
	m->rebalance_ms = r->rebalance_ms;
	g->s->port->members_bytes += r->assignment.len - m->assignment.len;
	mem_free((void *)(uintptr_t)m->assignment.p);
	m->assignment = (struct bytes){
		(const uint8_t *)mem_strdup((const char *)r->assignment.p, (size_t)r->assignment.len),
		r->assignment.len };
	return m;
}

static void drop_others(struct group *g, struct gmember **keep, int32_t n)
{
	for (struct gmember *m = g->first, *next; m; m = next) {
		bool kept = false;

		next = m->next;
		for (int32_t i = 0; i < n && !kept; i++)
			kept = keep[i] == m;
		if (!kept)
			member_remove(g, m);
	}
}

static int replay_group(struct shard *s, struct group *g, struct bytes value)
{
	struct record_group r;
	struct record_member rm;
	int e = record_group_open(value, &r);

	if (e)
		return e;
	struct record_group walk = r;

	for (int32_t i = 0; i < r.members; i++)		/* all of it is sound before anything changes */
		if ((e = record_group_member(&walk, &rm)) != OK)
			return e;
	struct gmember **keep = mem_alloc(((size_t)r.members + 1) * sizeof *keep);

	for (int32_t i = 0; i < r.members; i++) {
		e = record_group_member(&r, &rm);
		must(!e);
		keep[i] = replay_member(g, &rm, r.protocol);
		if (str_eq(rm.id, r.leader))
			g->leader = keep[i];
	}
	if ((uint32_t)r.members < g->members.n)
		drop_others(g, keep, r.members);
	mem_free(keep);
	if (!g->leader)
		g->leader = g->first;
	g->generation = r.generation;
	g->stored = true;
	set_text(&g->protocol_type, r.protocol_type.len > 0 ? r.protocol_type : STR_NULL);
	set_text(&g->protocol, r.protocol);
	if (s->loading) {	/* not a move: the group is born in this state */
		g->state = g->previous = g->first ? GROUP_STABLE : GROUP_EMPTY;
		g->state_ms = r.state_ms;
	}
	return OK;
}

int shard_replay(struct shard *s, struct bytes key, struct bytes value)
{
	struct record_key k;
	int e = record_key(key, &k);

	if (e || k.kind == RECORD_OTHER)
		return e;
	struct group *g = group_find(s, k.group);

	if (value.len < 0) {
		if (g && k.kind == RECORD_OFFSET)
			offset_drop(g, k.topic, k.partition);
		else if (g && !s->loading)
			group_free(g);		/* its offsets went before */
		else if (g) {
			/* In a compacted log offsets may be older than the tombstone: only the group goes. */
			while (g->first)
				member_remove(g, g->first);
			text_drop(&g->protocol_type);
			text_drop(&g->protocol);
			g->generation = 0;
			g->leader = NULL;
			g->stored = false;
			g->state = g->previous = GROUP_EMPTY;
			g->state_ms = -1;
		}
		return OK;
	}
	struct goffset o = { 0 };

	if (k.kind == RECORD_OFFSET && (e = record_offset(value, &o)) != OK)
		return e;
	if (!g)
		g = group_new(s, k.group);
	if (k.kind == RECORD_GROUP)
		return replay_group(s, g, value);
	if (!mutant(LOSE_OFFSET) || !s->loading || k.partition)
		offset_set(g, k.topic, k.partition, &o);
	return OK;
}

void shard_loaded(struct shard *s)
{
	s->loading = false;
	for (struct smap_node *n = smap_each(&s->groups, NULL), *next; n; n = next) {
		struct group *g = SMAP_OF(n, struct group, by_id);

		next = smap_each(&s->groups, n);
		if (!g->stored && !g->topics.n)
			group_free(g);		/* what its tombstones left */
		else
			classic_loaded(g);
	}
	timers_set(&s->timers, &s->expiry, s->mono + s->conf->check_ms);
}

/* ---- time ---------------------------------------------------------------------------------- */

void shard_now(struct shard *s, int64_t mono_ms, int64_t wall_ms)
{
	s->mono = mono_ms;
	s->wall = wall_ms;
}

int64_t shard_next(const struct shard *s)
{
	return timers_next(&s->timers);
}

bool shard_tick(struct shard *s)
{
	for (struct gtimer *t; !s->w.on && (t = timers_due(&s->timers, s->mono)) != NULL;)
		t->fire(t);
	return s->w.on;
}

/* ---- writes -------------------------------------------------------------------------------- */

bool shard_writing(const struct shard *s)
{
	return s->w.on;
}

uint32_t shard_write_records(const struct shard *s)
{
	return s->w.n;
}

void shard_write_at(const struct shard *s, uint32_t i, struct bytes *key, struct bytes *value)
{
	const struct write_record *r = &s->w.v[i];

	must(i < s->w.n);
	*key = (struct bytes){ s->w.bytes.p + r->key_at, (int32_t)r->key_len };
	*value = r->value_len < 0 ? BYTES_NULL : (struct bytes){ s->w.bytes.p + r->value_at, r->value_len };
}

void reply_after(struct shard *s, struct group_call *c, const void *response)
{
	if (!s->w.on) {
		s->port->reply(s->port, c, response);
		return;
	}
	must(!s->w.call);
	s->w.call = c;
	s->w.response = response;
}

void shard_written(struct shard *s, int16_t error)
{
	struct shard_write *w = &s->w;

	must(w->on);
	for (uint32_t i = 0; i < w->n && !error; i++) {
		struct bytes key, value;
		int e;

		shard_write_at(s, i, &key, &value);
		e = shard_replay(s, key, value);
		must(!e);		/* our own bytes */
	}
	enum write_then then = w->then;
	struct group_call *c = w->call;

	w->on = false;
	w->n = 0;
	w->then = THEN_NOTHING;
	w->call = NULL;
	buf_reset(&w->bytes);
	if (c && error)
		s->port->fail(s->port, c, error);
	else if (c)
		s->port->reply(s->port, c, w->response);
	switch (then) {
	case THEN_NOTHING:
		break;
	case THEN_SYNC:
		classic_synced(s, w->g, w->generation, error);
		break;
	case THEN_STATIC:
		classic_static_done(s, error);
		break;
	}
}

/* ---- looking ------------------------------------------------------------------------------- */

void shard_each(struct shard *s, void (*on)(void *ctx, const struct group_about *a), void *ctx)
{
	for (struct smap_node *n = NULL; (n = smap_each(&s->groups, n)) != NULL;) {
		const struct group *g = SMAP_OF(n, struct group, by_id);

		on(ctx, &(struct group_about){
			.id = g->id, .protocol_type = g->protocol_type.len < 0 ? STR("") : g->protocol_type,
			.state = group_state_name(g), .type = "classic" });
	}
}

void shard_describe(struct shard *s, struct str group, struct arena *a, struct describe_answer *ret)
{
	const struct group *g = group_find(s, group);

	*ret = (struct describe_answer){ .state = "Dead", .protocol_type = STR(""), .protocol = STR("") };
	if (!g) {
		ret->error = GE_GROUP_NOT_FOUND;
		return;
	}
	struct describe_member *v = arena_array(a, (size_t)g->members.n + 1, sizeof *v);
	bool full = g->state == GROUP_STABLE;

	if (!v) {
		ret->error = GE_UNKNOWN;
		return;
	}
	ret->state = group_state_name(g);
	if (g->protocol_type.len >= 0)
		ret->protocol_type = g->protocol_type;
	if (full && g->protocol.len >= 0)
		ret->protocol = g->protocol;
	for (const struct gmember *m = g->first; m; m = m->next) {
		struct bytes none = { (const uint8_t *)"", 0 };

		v[ret->n++] = (struct describe_member){
			.id = m->id, .instance = m->instance, .client_id = m->client_id,
			.client_host = m->client_host,
			.metadata = full ? member_metadata(m, g->protocol) : none,
			.assignment = full ? m->assignment : none };
	}
	ret->v = v;
}

const char *shard_check(struct shard *s)
{
	const char *e = NULL;

	for (struct smap_node *n = NULL; !e && (n = smap_each(&s->groups, n)) != NULL;)
		e = group_check(SMAP_OF(n, struct group, by_id));
	return e;
}
