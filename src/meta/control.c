/* control.c - parts shared by the operations: batch, texts, placement, producer ids. */
#include "meta/control.h"

#include "base/assert.h"
#include "base/text.h"
#include "wire/kafka_error.h"

#define VALUE_MAX (1u << 20)

void *control_alloc(struct control *x, size_t n, size_t size)
{
	void *p = arena_array(x->arena, n > 0 ? n : 1, size);

	must(p != NULL);	/* requests are bounded by the agent's frame limit, the arena by far more */
	return p;
}

struct str control_text(struct control *x, const char *a, struct str b, const char *c)
{
	size_t cap = strlen(a) + strlen(c) + (b.len > 0 ? (size_t)b.len : 4) + 1;
	struct text t = text_open(control_alloc(x, cap, 1), cap);

	text_add(&t, a);
	text_str(&t, b);
	text_add(&t, c);
	return (struct str){ t.p, (int32_t)t.len };
}

struct str control_num(struct control *x, const char *a, int64_t b, const char *c, int64_t d, const char *e)
{
	size_t cap = strlen(a) + strlen(c) + strlen(e) + 48;
	struct text t = text_open(control_alloc(x, cap, 1), cap);

	text_add(&t, a);
	text_i64(&t, b);
	text_add(&t, c);
	if (*e) {
		text_i64(&t, d);
		text_add(&t, e);
	}
	return (struct str){ t.p, (int32_t)t.len };
}

uint8_t *control_named(struct control *x, const struct str *names, int32_t n)
{
	uint8_t *ret = control_alloc(x, n > 0 ? (size_t)n : 0, 1);
	uint32_t cap = 16, seed = (uint32_t)rng_next(x->rng);

	while (cap < (uint32_t)(n > 0 ? n : 0) * 2)
		cap *= 2;
	int32_t *slot = control_alloc(x, cap, sizeof *slot);	/* index + 1 of the first of a name */

	for (int32_t i = 0; i < n; i++) {
		uint32_t h = seed;

		if (names[i].len < 0)
			continue;
		for (int32_t k = 0; k < names[i].len; k++)
			h = (h ^ (uint8_t)names[i].p[k]) * UINT32_C(16777619);
		h ^= h >> 15;
		while (slot[h & (cap - 1)] && !str_eq(names[slot[h & (cap - 1)] - 1], names[i]))
			h++;
		int32_t *at = &slot[h & (cap - 1)];

		if (*at) {
			ret[*at - 1] = CONTROL_FIRST;
			ret[i] = CONTROL_AGAIN;
		} else {
			*at = i + 1;
		}
	}
	return ret;
}

struct str control_path(struct control *x, const char *folder, struct str name, int64_t number)
{
	struct text t = text_open(control_alloc(x, META_PATH_MAX, 1), META_PATH_MAX);

	text_add(&t, folder);
	text_add(&t, "/");
	text_str(&t, name);
	if (number >= 0) {
		text_add(&t, "/");
		text_i64(&t, number);
	}
	return (struct str){ t.p, (int32_t)t.len };
}

void control_op(struct control *x, enum meta_op_kind kind, struct str path, struct buf *value, int32_t version)
{
	if (x->ops_n == x->ops_cap) {
		uint32_t cap = x->ops_cap ? x->ops_cap * 2 : 64;
		struct meta_op *v = control_alloc(x, cap, sizeof *v);

		if (x->ops_n > 0)
			memcpy(v, x->ops, x->ops_n * sizeof *v);
		x->ops = v;
		x->ops_cap = cap;
	}
	struct meta_op *o = &x->ops[x->ops_n++];

	*o = (struct meta_op){ kind, path, BYTES_NULL, version };
	if (value) {
		must(!value->bad);
		uint8_t *p = control_alloc(x, value->len, 1);

		memcpy(p, value->p, value->len);
		o->value = (struct bytes){ p, (int32_t)value->len };
		buf_release(value);
	}
}

void control_touch_topics(struct control *x)
{
	struct buf b;

	if (x->topics_touched)
		return;
	x->topics_touched = true;
	buf_init(&b, VALUE_MAX);
	buf_u8(&b, 0x91);		/* [1] */
	buf_u8(&b, META_FORMAT);
	control_op(x, META_SET, STR("/topics"), &b, x->m->topics_version);
}

void control_put_conf(struct control *x, const char *kind, struct str name, const struct str *kv, uint32_t pairs)
{
	const struct meta_conf *old = meta_conf(x->m, kind, name);
	struct str path = control_path(x, strcmp(kind, "topics") == 0 ? "/config/topics" : "/config/brokers",
				       name.len == 0 ? STR("default") : name, -1);
	struct buf b;

	buf_init(&b, VALUE_MAX);
	meta_put_conf(&b, kv, pairs);
	control_op(x, old ? META_SET : META_CREATE, path, &b, old ? old->version : -1);
}

int32_t control_alive(const struct control *x)
{
	int32_t n = 0;

	for (uint32_t i = 0; i < x->m->brokers_n; i++)
		n += meta_broker_alive(&x->m->brokers[i]);
	return n;
}

/* How many living brokers of the same rack have a smaller id: the round in which a broker's turn comes. */
static int32_t round_of(const struct meta *m, const struct meta_broker *b)
{
	int32_t n = 0;

	for (uint32_t i = 0; i < m->brokers_n && m->brokers[i].id < b->id; i++)
		n += meta_broker_alive(&m->brokers[i]) && str_eq(str_of(m->brokers[i].rack), str_of(b->rack));
	return n;
}

bool control_place(struct control *x, int32_t p, int32_t rf, uint32_t start, struct meta_ids *ret)
{
	const struct meta *m = x->m;
	int32_t alive = control_alive(x), n = 0;
	int32_t *order = control_alloc(x, (size_t)alive, sizeof *order);

	if (rf > alive || rf > META_REPLICAS_MAX || rf < 1)
		return false;
	for (int32_t round = 0; n < alive; round++)	/* one of each rack, then the second of each ... */
		for (uint32_t i = 0; i < m->brokers_n; i++)
			if (meta_broker_alive(&m->brokers[i]) && round_of(m, &m->brokers[i]) == round)
				order[n++] = m->brokers[i].id;
	ret->n = rf;
	for (int32_t i = 0; i < rf; i++)
		ret->v[i] = order[(start + (uint32_t)p + (uint32_t)i) % (uint32_t)alive];
	return true;
}

int16_t control_check_topic(struct control *x, struct str name, struct str value, struct str *ret_msg)
{
	char err[CONF_ERR_BYTES];
	const struct conf_def *d = conf_topic_def(name);

	if (conf_topic_is_foreign(name))
		return KAFKA_NONE;
	if (!d) {
		*ret_msg = control_text(x, "Unknown topic config name: ", name, "");
		return KAFKA_INVALID_CONFIG;
	}
	if (value.len < 0) {
		*ret_msg = control_text(x, "Null value not supported for topic configs: ", name, "");
		return KAFKA_INVALID_CONFIG;
	}
	if (conf_check_value(d, value, err) != OK) {
		*ret_msg = control_text(x, "", str_of(err), "");
		return KAFKA_INVALID_CONFIG;
	}
	if (str_is(name, "remote.storage.enable") && str_is(value, "true")) {
		*ret_msg = STR("Tiered storage functionality is disabled in the broker. Topic cannot be "
			       "configured with remote log storage.");
		return KAFKA_INVALID_CONFIG;
	}
	return KAFKA_NONE;
}

void control_producer_block(struct control *x, int64_t *ret_first)
{
	struct buf b;

	*ret_first = x->m->producers_next;
	buf_init(&b, 64);
	meta_put_producers(&b, *ret_first + CONTROL_PRODUCER_BLOCK);
	if (x->m->producers_version < 0)
		control_op(x, META_CREATE, STR("/producer-ids"), &b, -1);
	else
		control_op(x, META_SET, STR("/producer-ids"), &b, x->m->producers_version);
}
