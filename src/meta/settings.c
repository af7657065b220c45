/* settings.c - effective settings: topic, then broker, cluster default, file, default (ConfigHelper). */
#include "base/text.h"
#include "meta/state.h"

static void add(struct meta_value *v, int *n, const char *name, const char *value, enum meta_source source,
		int64_t factor)
{
	if (value && *n < META_CHAIN_MAX)
		v[(*n)++] = (struct meta_value){ name, value, source, factor };
}

static struct str node_name(char *room, int32_t node)
{
	struct text t = text_open(room, 16);

	text_i64(&t, node);
	return (struct str){ t.p, (int32_t)t.len };
}

/* The broker's layers of some of its settings (d[i] may be NULL), layer by layer. */
static void layers(const struct meta *m, const struct conf *c, int32_t node, const struct conf_def **d,
		   const int64_t *factor, int dn, struct meta_value *v, int *n)
{
	char room[16];
	struct str self = node_name(room, node);

	for (int i = 0; i < dn; i++)
		add(v, n, d[i]->name, meta_conf_get(m, "brokers", self, d[i]->name), META_BROKER, factor[i]);
	for (int i = 0; i < dn; i++)
		add(v, n, d[i]->name, meta_conf_get(m, "brokers", STR(""), d[i]->name), META_DEFAULT_BROKER,
		    factor[i]);
	for (int i = 0; i < dn; i++)
		if (conf_is_set(c, d[i]->name))
			add(v, n, d[i]->name, conf_str(c, d[i]->name), META_STATIC, factor[i]);
	for (int i = 0; i < dn; i++)
		add(v, n, d[i]->name, d[i]->def, META_DEFAULT, factor[i]);
}

int meta_broker_chain(const struct meta *m, const struct conf *c, int32_t node, const struct conf_def *d,
		      struct meta_value *v)
{
	int n = 0;
	int64_t one = 1;

	layers(m, c, node, &d, &one, 1, v, &n);
	return n;
}

int meta_topic_chain(const struct meta *m, const struct conf *c, int32_t node, struct str topic,
		     const struct conf_def *d, struct meta_value *v)
{
	const struct conf_def *syn[4];
	int64_t factor[4];
	int n = 0, sn = 0;
	struct str one;

	if (topic.len > 0)
		add(v, &n, d->name, meta_conf_get(m, "topics", topic, d->name), META_TOPIC, 1);
	for (int32_t at = 0; sn < 4 && conf_list_next(str_of(d->synonyms), &at, &one);) {
		int32_t star = 0;

		while (star < one.len && one.p[star] != '*')
			star++;
		factor[sn] = 1;
		if (star < one.len)
			(void)conf_parse_int((struct str){ one.p + star + 1, one.len - star - 1 }, &factor[sn]);
		syn[sn] = conf_def((struct str){ one.p, star });
		if (syn[sn])
			sn++;
	}
	layers(m, c, node, syn, factor, sn, v, &n);
	if (sn == 0)
		add(v, &n, d->name, d->def, META_DEFAULT, 1);
	return n;
}

bool meta_topic_value(const struct meta *m, const struct conf *c, int32_t node, struct str topic, int32_t rf,
		      const struct conf_def *d, char *ret, enum meta_source *ret_source)
{
	struct meta_value v[META_CHAIN_MAX];
	int n = meta_topic_chain(m, c, node, topic, d, v);
	struct text t = text_open(ret, META_VALUE_MAX);
	const char *value = n > 0 ? v[0].value : d->def;
	int64_t num;

	*ret_source = n > 0 ? v[0].source : META_DEFAULT;
	if (!value)
		return false;
	if (*ret_source == META_DEFAULT && rf >= 3 && strcmp(d->name, "min.insync.replicas") == 0)
		value = "2";
	if (n > 0 && v[0].factor != 1 && conf_parse_int(str_of(value), &num) &&
	    num <= INT64_MAX / v[0].factor) {
		text_i64(&t, num < 0 ? num : num * v[0].factor);
		return true;
	}
	text_add(&t, value);
	return true;
}
