/* state.c - see state.h. */
#include "meta/state.h"

#include "base/assert.h"
#include "base/mem.h"
#include "wire/mp.h"

struct meta *meta_open(void)
{
	struct meta *m = mem_alloc(sizeof *m);

	m->topics_version = -1;
	m->producers_version = -1;
	m->conf_stamp = 1;
	return m;
}

static void topic_free(struct meta_topic *t)
{
	mem_free(t->name);
	mem_free(t->parts);
	mem_free(t);
}

static void kv_free(struct meta_conf *c)
{
	for (uint32_t i = 0; i < c->kv_n * 2; i++)
		mem_free(c->kv[i]);
	mem_free(c->kv);
	c->kv = NULL;
	c->kv_n = 0;
}

static void conf_drop(struct meta_conf *c)
{
	kv_free(c);
	mem_free(c->key);
	mem_free(c);
}

static void endpoints_free(struct meta_broker *b)
{
	for (int i = 0; i < b->ep_n; i++) {
		mem_free(b->ep[i].listener);
		mem_free(b->ep[i].host);
		mem_free(b->ep[i].protocol);
	}
	mem_free(b->rack);
	b->rack = NULL;
	b->ep_n = 0;
}

void meta_free(struct meta *m)
{
	if (!m)
		return;
	for (uint32_t i = 0; i < m->topics_n; i++)
		topic_free(m->topics[i]);
	for (uint32_t i = 0; i < m->confs_n; i++)
		conf_drop(m->confs[i]);
	for (uint32_t i = 0; i < m->brokers_n; i++)
		endpoints_free(&m->brokers[i]);
	mem_free(m->topics);
	mem_free(m->confs);
	mem_free(m->brokers);
	mem_free(m);
}

/* Index of the first topic that is not before name. */
static uint32_t topic_at(const struct meta *m, struct str name)
{
	uint32_t lo = 0, hi = m->topics_n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (str_cmp(str_of(m->topics[mid]->name), name) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

struct meta_topic *meta_topic(const struct meta *m, struct str name)
{
	uint32_t i = topic_at(m, name);

	return i < m->topics_n && str_is(name, m->topics[i]->name) ? m->topics[i] : NULL;
}

struct meta_topic *meta_topic_by_id(const struct meta *m, const struct uuid *id)
{
	for (uint32_t i = 0; i < m->topics_n; i++)
		if (uuid_eq(&m->topics[i]->id, id))
			return m->topics[i];
	return NULL;
}

static uint32_t conf_at(const struct meta *m, struct str key)
{
	uint32_t lo = 0, hi = m->confs_n;

	while (lo < hi) {
		uint32_t mid = (lo + hi) / 2;

		if (str_cmp(str_of(m->confs[mid]->key), key) < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo;
}

static struct str conf_key(char *room, const char *kind, struct str name)
{
	size_t n = strlen(kind);

	if (name.len < 0 || (size_t)name.len + n + 1 > META_PATH_MAX)
		return STR_NULL;
	memcpy(room, kind, n);
	room[n] = '/';
	memcpy(room + n + 1, name.p, (size_t)name.len);
	return (struct str){ room, (int32_t)n + 1 + name.len };
}

struct meta_conf *meta_conf(const struct meta *m, const char *kind, struct str name)
{
	char room[META_PATH_MAX];
	struct str key = conf_key(room, kind, name.len == 0 ? STR("default") : name);
	uint32_t i = conf_at(m, key);

	return i < m->confs_n && str_is(key, m->confs[i]->key) ? m->confs[i] : NULL;
}

const char *meta_conf_get(const struct meta *m, const char *kind, struct str name, const char *key)
{
	const struct meta_conf *c = meta_conf(m, kind, name);

	for (uint32_t i = 0; c && i < c->kv_n; i++)
		if (strcmp(c->kv[i * 2], key) == 0)
			return c->kv[i * 2 + 1];
	return NULL;
}

struct meta_broker *meta_broker(const struct meta *m, int32_t id)
{
	for (uint32_t i = 0; i < m->brokers_n; i++)
		if (m->brokers[i].id == id)
			return &m->brokers[i];
	return NULL;
}

bool meta_broker_alive(const struct meta_broker *b)
{
	return b->registered && b->workers != 0;
}

bool meta_topic_internal(struct str name)
{
	return str_is(name, "__consumer_offsets") || str_is(name, "__transaction_state") ||
	       str_is(name, "__share_group_state");
}

/* ---- applying ---- */

static void *insert(void ***v, uint32_t *n, uint32_t *cap, uint32_t at, void *item)
{
	if (*n == *cap) {
		*cap = *cap ? *cap * 2 : 16;
		*v = mem_resize(*v, *cap * sizeof **v);
	}
	memmove(*v + at + 1, *v + at, (*n - at) * sizeof **v);
	(*v)[at] = item;
	(*n)++;
	return item;
}

static void take_out(void **v, uint32_t *n, uint32_t at)
{
	memmove(v + at, v + at + 1, (*n - at - 1) * sizeof *v);
	(*n)--;
}

static int format_of(struct mp_reader *r)
{
	mp_array(r);
	int64_t format = mp_int(r);

	return r->bad ? E_BAD : format != META_FORMAT ? E_VERSION : OK;
}

static void parts_grow(struct meta_topic *t, int32_t n)
{
	if (n <= t->parts_n)
		return;
	t->parts = mem_resize(t->parts, (size_t)n * sizeof *t->parts);
	for (int32_t i = t->parts_n; i < n; i++)
		t->parts[i] = (struct meta_part){
			.leader = -1, .version = -1, .slot = UINT32_MAX, .led_epoch = -1,
		};
	t->parts_n = n;
}

static struct meta_topic *topic_make(struct meta *m, struct str name)
{
	uint32_t at = topic_at(m, name);

	if (at < m->topics_n && str_is(name, m->topics[at]->name))
		return m->topics[at];
	struct meta_topic *t = mem_alloc(sizeof *t);

	t->name = mem_strdup(name.p, (size_t)name.len);
	t->version = -1;
	return insert((void ***)&m->topics, &m->topics_n, &m->topics_cap, at, t);
}

static int apply_topic(struct meta *m, struct str name, const struct meta_change *c)
{
	if (c->deleted) {
		uint32_t at = topic_at(m, name);

		if (at < m->topics_n && str_is(name, m->topics[at]->name)) {
			topic_free(m->topics[at]);
			take_out((void **)m->topics, &m->topics_n, at);
		}
		return OK;
	}
	struct mp_reader r = mp_open(c->value);
	int rc = format_of(&r);
	struct bytes id = mp_bin(&r);
	int64_t parts = mp_int(&r);

	if (rc != OK)
		return rc;
	if (r.bad || id.len != 16 || parts < 0 || parts > 1000000 || name.len > META_NAME_MAX)
		return E_BAD;
	struct meta_topic *t = topic_make(m, name);

	memcpy(t->id.b, id.p, 16);
	t->version = c->version;
	parts_grow(t, (int32_t)parts);
	return OK;
}

static void ids_read(struct mp_reader *r, struct meta_ids *ret)
{
	uint32_t n = mp_array(r);

	if (n > META_REPLICAS_MAX) {
		r->bad = true;
		return;
	}
	ret->n = (int32_t)n;
	for (uint32_t i = 0; i < n; i++)
		ret->v[i] = (int32_t)mp_int(r);
}

static int apply_part(struct meta *m, struct str name, struct str number, const struct meta_change *c)
{
	int64_t p;

	if (c->deleted || !conf_parse_int(number, &p) || p < 0 || p > 1000000)
		return c->deleted ? OK : E_BAD;	/* partitions go with their topic */
	struct mp_reader r = mp_open(c->value);
	struct meta_part v = { .version = c->version };
	int rc = format_of(&r);

	if (rc != OK)
		return rc;
	v.leader = (int32_t)mp_int(&r);
	v.leader_epoch = (int32_t)mp_int(&r);
	v.partition_epoch = (int32_t)mp_int(&r);
	ids_read(&r, &v.replicas);
	ids_read(&r, &v.isr);
	ids_read(&r, &v.elr);
	if (r.bad)
		return E_BAD;
	struct meta_topic *t = topic_make(m, name);

	parts_grow(t, (int32_t)p + 1);
	v.slot = t->parts[p].slot;
	v.led_epoch = t->parts[p].led_epoch;
	t->parts[p] = v;
	return OK;
}

/* What was resolved from these settings is stale now. */
static void conf_changed(struct meta *m, struct str key)
{
	static const char topics[] = "topics/";
	int32_t n = (int32_t)sizeof topics - 1;

	if (key.len > n && memcmp(key.p, topics, (size_t)n) == 0) {
		struct meta_topic *t = meta_topic(m, (struct str){ key.p + n, key.len - n });

		if (t)
			t->conf_stamp = 0;
	} else {
		m->conf_stamp++;
	}
}

static int apply_conf(struct meta *m, struct str key, const struct meta_change *c)
{
	conf_changed(m, key);
	uint32_t at = conf_at(m, key);
	struct meta_conf *o = at < m->confs_n && str_is(key, m->confs[at]->key) ? m->confs[at] : NULL;

	if (c->deleted) {
		if (o) {
			conf_drop(o);
			take_out((void **)m->confs, &m->confs_n, at);
		}
		return OK;
	}
	struct mp_reader r = mp_open(c->value);
	int rc = format_of(&r);
	uint32_t n = mp_array(&r);

	if (rc != OK)
		return rc;
	if (r.bad || n % 2)
		return E_BAD;
	if (!o) {
		o = mem_alloc(sizeof *o);
		o->key = mem_strdup(key.p, (size_t)key.len);
		insert((void ***)&m->confs, &m->confs_n, &m->confs_cap, at, o);
	}
	kv_free(o);
	o->version = c->version;
	o->kv = mem_alloc((n + 1) * sizeof *o->kv);
	for (uint32_t i = 0; i < n; i++) {
		struct str s = mp_str(&r);

		o->kv[i] = mem_strdup(s.len > 0 ? s.p : "", s.len > 0 ? (size_t)s.len : 0);
	}
	o->kv_n = n / 2;
	return r.bad ? E_BAD : OK;
}

static struct meta_broker *broker_make(struct meta *m, int32_t id)
{
	uint32_t at = 0;

	while (at < m->brokers_n && m->brokers[at].id < id)
		at++;
	if (at < m->brokers_n && m->brokers[at].id == id)
		return &m->brokers[at];
	m->brokers = mem_resize(m->brokers, (m->brokers_n + 1) * sizeof *m->brokers);
	memmove(m->brokers + at + 1, m->brokers + at, (m->brokers_n - at) * sizeof *m->brokers);
	m->brokers_n++;
	m->brokers[at] = (struct meta_broker){ .id = id };
	return &m->brokers[at];
}

static char *copy(struct str s)
{
	return s.len < 0 ? NULL : mem_strdup(s.p, (size_t)s.len);
}

static int apply_broker(struct meta *m, int32_t id, const struct meta_change *c)
{
	struct meta_broker *b = broker_make(m, id);

	b->registered = false;
	endpoints_free(b);
	if (c->deleted)
		return OK;
	struct mp_reader r = mp_open(c->value);
	int rc = format_of(&r);
	struct bytes inc = mp_bin(&r);

	if (rc != OK)
		return rc;
	b->rack = copy(mp_str(&r));
	uint32_t n = mp_array(&r);

	if (r.bad || inc.len != 16 || n % 4 || n / 4 > META_ENDPOINTS_MAX)
		return E_BAD;
	memcpy(b->incarnation.b, inc.p, 16);
	for (uint32_t i = 0; i < n / 4 && !r.bad; i++) {
		struct meta_endpoint *e = &b->ep[b->ep_n++];

		e->listener = copy(mp_str(&r));
		e->host = copy(mp_str(&r));
		e->port = (uint16_t)mp_int(&r);
		e->protocol = copy(mp_str(&r));
		if (!e->listener || !e->host || !e->protocol)
			return E_BAD;
	}
	b->epoch = c->czxid;
	b->owner = c->owner;
	b->registered = !r.bad;
	return r.bad ? E_BAD : OK;
}

/* The path's next part behind a slash; null at the end. */
static struct str part_of(struct str *path)
{
	int32_t n = 1;

	if (path->len < 2 || path->p[0] != '/')
		return STR_NULL;
	while (n < path->len && path->p[n] != '/')
		n++;
	struct str s = { path->p + 1, n - 1 };

	path->p += n;
	path->len -= n;
	return s;
}

static int apply_brokers(struct meta *m, struct str a, struct str b, struct str rest, const struct meta_change *c)
{
	int64_t id, n;
	struct str worker = part_of(&rest);

	if (str_is(a, "ids") && b.len > 0)
		return conf_parse_int(b, &id) ? apply_broker(m, (int32_t)id, c) : E_BAD;
	if (!str_is(b, "workers") || worker.len <= 0)
		return OK;
	if (!conf_parse_int(a, &id) || !conf_parse_int(worker, &n) || n < 0 || n > 63)
		return E_BAD;
	struct meta_broker *o = broker_make(m, (int32_t)id);

	if (c->deleted)
		o->workers &= ~(UINT64_C(1) << n);
	else
		o->workers |= UINT64_C(1) << n;
	return OK;
}

int meta_apply(struct meta *m, const struct meta_change *c)
{
	struct str rest = c->path, top = part_of(&rest), tail = rest;
	struct str a = part_of(&rest), b = part_of(&rest);

	if (str_is(top, "topics")) {
		if (a.len < 0)
			m->topics_version = c->deleted ? -1 : c->version;
		if (a.len <= 0)
			return OK;
		return b.len > 0 ? apply_part(m, a, b, c) : apply_topic(m, a, c);
	}
	if (str_is(top, "config") && b.len > 0)
		return apply_conf(m, (struct str){ tail.p + 1, tail.len - 1 }, c);
	if (str_is(top, "brokers"))
		return apply_brokers(m, a, b, rest, c);
	if (str_is(top, "producer-ids") && a.len < 0) {
		struct mp_reader r = mp_open(c->value);
		int rc = c->deleted || c->value.len == 0 ? OK : format_of(&r);

		if (rc != OK)
			return rc;
		m->producers_next = c->deleted || c->value.len == 0 ? 0 : mp_int(&r);
		m->producers_version = c->deleted ? -1 : c->version;
	}
	return OK;
}

/* ---- values ---- */

void meta_put_topic(struct buf *b, const struct uuid *id, int32_t parts)
{
	mp_put_array(b, 3);
	mp_put_int(b, META_FORMAT);
	mp_put_bin(b, id->b, 16);
	mp_put_int(b, parts);
}

static void put_ids(struct buf *b, const struct meta_ids *v)
{
	mp_put_array(b, (uint32_t)v->n);
	for (int32_t i = 0; i < v->n; i++)
		mp_put_int(b, v->v[i]);
}

void meta_put_part(struct buf *b, const struct meta_part *p)
{
	mp_put_array(b, 7);
	mp_put_int(b, META_FORMAT);
	mp_put_int(b, p->leader);
	mp_put_int(b, p->leader_epoch);
	mp_put_int(b, p->partition_epoch);
	put_ids(b, &p->replicas);
	put_ids(b, &p->isr);
	put_ids(b, &p->elr);
}

void meta_put_conf(struct buf *b, const struct str *kv, uint32_t pairs)
{
	mp_put_array(b, 2);
	mp_put_int(b, META_FORMAT);
	mp_put_array(b, pairs * 2);
	for (uint32_t i = 0; i < pairs * 2; i++)
		mp_put_str(b, kv[i]);
}

void meta_put_producers(struct buf *b, int64_t next)
{
	mp_put_array(b, 2);
	mp_put_int(b, META_FORMAT);
	mp_put_int(b, next);
}
