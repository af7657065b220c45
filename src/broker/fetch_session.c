/* fetch_session.c - see fetch_session.h. */
#include "broker/fetch_session.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/kafka_error.h"

#define BUCKETS 256
#define EVICT_IDLE_US (UINT64_C(120) * 1000000)	/* Kafka's min.incremental.fetch.session.eviction.ms */

struct fetch_cache {
	uint32_t max, n;
	struct rng *rng;
	struct fetch_session *bucket[BUCKETS];
	struct fetch_session *oldest, *newest;
};

/* ---- partitions of a session ---------------------------------------------------------------- */

static uint32_t want_hash(bool by_id, const struct uuid *id, struct str topic, int32_t partition)
{
	const uint8_t *p = by_id ? id->b : (const uint8_t *)topic.p;
	size_t n = by_id ? sizeof id->b : (size_t)(topic.len < 0 ? 0 : topic.len);
	uint32_t h = UINT32_C(2166136261) ^ (uint32_t)partition * UINT32_C(0x9E3779B1);

	for (size_t i = 0; i < n; i++)
		h = (h ^ p[i]) * UINT32_C(16777619);
	return h ^ h >> 15;
}

static struct fetch_want **place(struct fetch_session *s, const struct uuid *id, struct str topic,
				 int32_t partition)
{
	struct fetch_want **at = &s->hash[want_hash(s->by_id, id, topic, partition) & (s->hash_cap - 1)];

	while (*at && ((*at)->partition != partition ||
		       !(s->by_id ? uuid_eq(&(*at)->topic_id, id) : str_eq((*at)->topic, topic))))
		at = &(*at)->chain;
	return at;
}

static void grow(struct fetch_session *s)
{
	mem_free(s->hash);
	s->hash_cap = s->hash_cap ? s->hash_cap * 2 : 16;
	s->hash = mem_alloc(s->hash_cap * sizeof(struct fetch_want *));
	for (struct fetch_want *w = s->first; w; w = w->next) {
		struct fetch_want **at = &s->hash[want_hash(s->by_id, &w->topic_id, w->topic, w->partition) &
						  (s->hash_cap - 1)];

		w->chain = *at;
		*at = w;
	}
}

static void link_tail(struct fetch_session *s, struct fetch_want *w)
{
	w->next = NULL;
	w->prev = s->last;
	if (s->last)
		s->last->next = w;
	else
		s->first = w;
	s->last = w;
}

static void unlink_want(struct fetch_session *s, struct fetch_want *w)
{
	if (w->prev)
		w->prev->next = w->next;
	else
		s->first = w->next;
	if (w->next)
		w->next->prev = w->prev;
	else
		s->last = w->prev;
}

void fetch_session_to_tail(struct fetch_session *s, struct fetch_want *w)
{
	unlink_want(s, w);
	link_tail(s, w);
}

/* Adds a copy, or takes over what may change (S2). Returns the session's want. */
static struct fetch_want *add(struct fetch_session *s, const struct fetch_want *w)
{
	struct fetch_want *have = s->hash ? *place(s, &w->topic_id, w->topic, w->partition) : NULL;

	if (have) {
		have->leader_epoch = w->leader_epoch;
		have->last_epoch = w->last_epoch;
		have->offset = w->offset;
		have->max_bytes = w->max_bytes;
		return have;
	}
	size_t name = w->topic.len > 0 ? (size_t)w->topic.len : 0;
	struct fetch_want *own = mem_alloc(sizeof *own + name);
	*own = *w;
	own->chain = NULL;
	own->told_high_watermark = own->told_log_start = -1;
	own->topic = (struct str){ (char *)(own + 1), (int32_t)name };
	if (name > 0)
		memcpy(own + 1, w->topic.p, name);
	link_tail(s, own);
	s->n++;
	if (s->n > s->hash_cap) {
		grow(s);
	} else {
		*place(s, &own->topic_id, own->topic, own->partition) = own;
	}
	return own;
}

static void forget(struct fetch_session *s, const struct uuid *id, struct str topic, int32_t partition)
{
	struct fetch_want **at = s->hash ? place(s, id, topic, partition) : NULL;

	if (!at || !*at)
		return;
	struct fetch_want *w = *at;
	*at = w->chain;
	unlink_want(s, w);
	s->n--;
	mem_free(w);
}

/* ---- the cache ------------------------------------------------------------------------------ */

static struct fetch_session *find(const struct fetch_cache *c, int32_t id)
{
	struct fetch_session *s = c->bucket[(uint32_t)id % BUCKETS];

	while (s && s->id != id)
		s = s->chain;
	return s;
}

static void use_unlink(struct fetch_cache *c, struct fetch_session *s)
{
	if (s->older)
		s->older->newer = s->newer;
	else
		c->oldest = s->newer;
	if (s->newer)
		s->newer->older = s->older;
	else
		c->newest = s->older;
}

static void use_link(struct fetch_cache *c, struct fetch_session *s)
{
	s->newer = NULL;
	s->older = c->newest;
	if (c->newest)
		c->newest->newer = s;
	else
		c->oldest = s;
	c->newest = s;
}

static void drop(struct fetch_cache *c, struct fetch_session *s)
{
	struct fetch_session **at = &c->bucket[(uint32_t)s->id % BUCKETS];

	while (*at != s)
		at = &(*at)->chain;
	*at = s->chain;
	use_unlink(c, s);
	c->n--;
	for (struct fetch_want *w = s->first, *next; w; w = next) {
		next = w->next;
		mem_free(w);
	}
	mem_free(s->hash);
	mem_free(s);
}

static void drop_or_mark(struct fetch_cache *c, struct fetch_session *s)
{
	if (s->busy)
		s->dead = true;
	else
		drop(c, s);
}

int16_t fetch_session_take(struct fetch_cache *c, const struct fetch_request *m, bool by_id,
			   uint64_t now_us, struct fetch_session **ret)
{
	struct fetch_session *s = find(c, m->session_id);

	if (!s || s->dead)
		return KAFKA_FETCH_SESSION_ID_NOT_FOUND;
	if (s->busy || s->epoch != m->session_epoch)
		return KAFKA_INVALID_FETCH_SESSION_EPOCH;
	if (s->by_id != by_id)
		return KAFKA_FETCH_SESSION_TOPIC_ID_ERROR;
	for (int32_t t = 0; t < m->topics_n; t++)
		for (int32_t i = 0; i < m->topics[t].partitions_n; i++) {
			struct fetch_want w;

			fetch_want_of(&m->topics[t], &m->topics[t].partitions[i], &w);
			add(s, &w);
		}
	for (int32_t t = 0; t < m->forgotten_topics_data_n; t++) {
		const struct fetch_request_forgotten_topic *f = &m->forgotten_topics_data[t];

		for (int32_t i = 0; i < f->partitions_n; i++)
			forget(s, &f->topic_id, f->topic, f->partitions[i]);
	}
	*ret = NULL;
	if (s->n == 0) {
		drop(c, s);
		return KAFKA_NONE;
	}
	s->used_us = now_us;
	use_unlink(c, s);
	use_link(c, s);
	s->busy = true;
	*ret = s;
	return KAFKA_NONE;
}

void fetch_session_put(struct fetch_cache *c, struct fetch_session *s)
{
	must(s->busy);		/* S1 */
	s->busy = false;
	s->epoch = s->epoch == INT32_MAX ? 1 : s->epoch + 1;
	if (s->dead)
		drop(c, s);
}

void fetch_session_close(struct fetch_cache *c, int32_t id)
{
	struct fetch_session *s = find(c, id);

	if (s)
		drop_or_mark(c, s);
}

static bool make_room(struct fetch_cache *c, uint64_t now_us, bool *ret_evicted)
{
	*ret_evicted = false;
	if (c->n < c->max)
		return true;
	for (struct fetch_session *s = c->oldest; s; s = s->newer) {
		if (s->busy)
			continue;
		if (s->owner && now_us - s->used_us < EVICT_IDLE_US)
			continue;
		drop(c, s);
		*ret_evicted = true;
		return true;
	}
	return false;
}

int32_t fetch_session_make(struct fetch_cache *c, const struct conn *owner, bool by_id,
			   struct fetch_want *const *wants, const struct fetch_got *got, uint32_t n,
			   uint64_t now_us, bool *ret_evicted)
{
	if (!make_room(c, now_us, ret_evicted))
		return 0;
	struct fetch_session *s = mem_alloc(sizeof *s);
	do
		s->id = (int32_t)(rng_next(c->rng) >> 33);
	while (s->id == 0 || find(c, s->id));
	s->epoch = 1;
	s->by_id = by_id;
	s->owner = owner;
	s->used_us = now_us;
	for (uint32_t i = 0; i < n; i++) {
		struct fetch_want *w = add(s, wants[i]);

		/* An error is told again when it is over (trap 54). */
		w->told_high_watermark = got[i].error ? -1 : got[i].high_watermark;
		w->told_log_start = got[i].log_start;
	}
	s->chain = c->bucket[(uint32_t)s->id % BUCKETS];
	c->bucket[(uint32_t)s->id % BUCKETS] = s;
	use_link(c, s);
	c->n++;
	return s->id;
}

void fetch_sessions_conn_gone(struct fetch_cache *c, const struct conn *conn)
{
	for (struct fetch_session *s = c->newest; s; s = s->older)
		if (s->owner == conn)
			s->owner = NULL;	/* may be pushed out from now on */
}

void fetch_want_of(const struct fetch_request_fetch_topic *t, const struct fetch_request_fetch_partition *p,
		   struct fetch_want *ret)
{
	*ret = (struct fetch_want){
		.topic_id = t->topic_id,
		.topic = t->topic,
		.partition = p->partition,
		.leader_epoch = p->current_leader_epoch < 0 ? -1 : p->current_leader_epoch,
		.last_epoch = p->last_fetched_epoch,
		.offset = p->fetch_offset,
		.max_bytes = p->partition_max_bytes > 0 ? (uint32_t)p->partition_max_bytes : 0,
	};
}

struct fetch_cache *fetch_cache_new(uint32_t max, struct rng *rng)
{
	struct fetch_cache *c = mem_alloc(sizeof *c);

	c->max = max;
	c->rng = rng;
	return c;
}

void fetch_cache_free(struct fetch_cache *c)
{
	if (!c)
		return;
	while (c->oldest)
		drop(c, c->oldest);
	mem_free(c);
}
