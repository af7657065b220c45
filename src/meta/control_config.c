/* control_config.c - describe and alter settings of topics and brokers (traps 98, 99; ConfigHelper,
 * ConfigurationControlManager). */
#include "meta/control.h"
#include "wire/kafka_error.h"

enum { RESOURCE_TOPIC = 2, RESOURCE_BROKER = 4 };
enum { OP_SET, OP_DELETE, OP_APPEND, OP_SUBTRACT };

typedef struct describe_configs_response_describe_configs_resource_result shown_t;

static bool wanted(const struct describe_configs_request_describe_configs_resource *r, const char *name)
{
	for (int32_t i = 0; i < r->configuration_keys_n; i++)
		if (str_is(r->configuration_keys[i], name))
			return true;
	return r->configuration_keys_n <= 0;	/* null and empty: all */
}

static void show(struct control *x, const struct describe_configs_request *q, const struct conf_def *d,
		 const struct meta_value *v, int n, const char *value, shown_t *s)
{
	bool secret = d->type == CONF_PASSWORD;

	wire_init(&wire_describe_configs_response_describe_configs_resource_result, s);
	s->name = str_of(d->name);
	s->value = value && !secret ? control_text(x, "", str_of(value), "") : STR_NULL;
	s->read_only = d->mode == CONF_READ_ONLY;
	s->config_source = (int8_t)(n > 0 ? v[0].source : META_DEFAULT);
	s->is_sensitive = secret;
	s->config_type = (int8_t)d->type;
	s->documentation = q->include_documentation ? str_of(d->doc) : STR_NULL;
	s->synonyms_n = 0;
	if (!q->include_synonyms)
		return;
	s->synonyms = control_alloc(x, (size_t)n, sizeof *s->synonyms);
	s->synonyms_n = n;
	for (int i = 0; i < n; i++) {
		wire_init(&wire_describe_configs_response_describe_configs_synonym, &s->synonyms[i]);
		s->synonyms[i].name = str_of(v[i].name);
		s->synonyms[i].value = secret ? STR_NULL : control_text(x, "", str_of(v[i].value), "");
		s->synonyms[i].source = (int8_t)v[i].source;
	}
}

/*
 * What is told of a topic setting's chain, as Kafka tells it: the topic's own value, then from the first place on
 * where the first of the broker settings behind it is set. Returns what is left.
 */
static int told(const struct conf_def *d, struct meta_value *v, int n)
{
	int32_t first = 0;
	int k = n > 0 && v[0].source == META_TOPIC ? 1 : 0;
	bool found = false;

	while (d->synonyms[first] && d->synonyms[first] != ',' && d->synonyms[first] != '*')
		first++;
	for (int i = k; i < n && first > 0; i++) {
		found |= str_eq(str_of(v[i].name), (struct str){ d->synonyms, first });
		if (found)
			v[k++] = v[i];
	}
	return k;
}

static void describe_topic(struct control *x, const struct describe_configs_request *q,
			   const struct describe_configs_request_describe_configs_resource *r,
			   struct describe_configs_response_describe_configs_result *a)
{
	const struct meta_topic *t = meta_topic(x->m, r->resource_name);
	struct meta_value v[META_CHAIN_MAX];
	char room[META_VALUE_MAX];
	enum meta_source src;

	if (!t) {
		a->error_code = control_check_name(x, r->resource_name, &a->error_message);
		if (a->error_code == KAFKA_NONE)
			a->error_code = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		return;
	}
	a->configs = control_alloc(x, conf_topic_defs_n, sizeof *a->configs);
	for (uint32_t i = 0; i < conf_topic_defs_n; i++) {
		const struct conf_def *d = &conf_topic_defs[i];

		if (!wanted(r, d->name))
			continue;
		int n = meta_topic_chain(x->m, x->conf, x->node, r->resource_name, d, v);
		n = told(d, v, n);
		bool set = meta_topic_value(x->m, x->conf, x->node, r->resource_name, t->parts[0].replicas.n, d,
					    room, &src);

		show(x, q, d, v, n, set ? room : NULL, &a->configs[a->configs_n++]);
	}
}

static bool is_self(const struct control *x, struct str name)
{
	int64_t id;

	return conf_parse_int(name, &id) && id == x->node;
}

static void describe_broker(struct control *x, const struct describe_configs_request *q,
			    const struct describe_configs_request_describe_configs_resource *r,
			    struct describe_configs_response_describe_configs_result *a)
{
	struct meta_value v[META_CHAIN_MAX];
	bool all = r->resource_name.len == 0;
	int64_t id;

	if (!all && !conf_parse_int(r->resource_name, &id)) {
		a->error_code = KAFKA_INVALID_REQUEST;
		a->error_message = control_text(x, "Broker id must be an integer, but it is: ", r->resource_name, "");
		return;
	}
	if (!all && !is_self(x, r->resource_name)) {
		a->error_code = KAFKA_INVALID_REQUEST;
		a->error_message = control_text(x, control_num(x, "Unexpected broker id, expected ", x->node,
						" or empty string, but received ", 0, "").p, r->resource_name, "");
		return;
	}
	a->configs = control_alloc(x, conf_defs_n, sizeof *a->configs);
	for (uint32_t i = 0; i < conf_defs_n; i++) {
		const struct conf_def *d = &conf_defs[i];
		int n = meta_broker_chain(x->m, x->conf, x->node, d, v), from = 0;

		if (!wanted(r, d->name))
			continue;
		if (all) {		/* the cluster's default resource: only what is set there */
			while (from < n && v[from].source != META_DEFAULT_BROKER)
				from++;
			if (from == n)
				continue;
			n = from + 1;
		}
		show(x, q, d, v + from, n - from, n > 0 ? v[from].value : NULL, &a->configs[a->configs_n++]);
	}
}

void control_describe_configs(struct control *x, const struct describe_configs_request *q,
			      struct describe_configs_response *res)
{
	wire_init(&wire_describe_configs_response, res);
	res->results = control_alloc(x, (size_t)q->resources_n, sizeof *res->results);
	res->results_n = q->resources_n;
	for (int32_t i = 0; i < q->resources_n; i++) {
		struct describe_configs_response_describe_configs_result *a = &res->results[i];

		wire_init(&wire_describe_configs_response_describe_configs_result, a);
		a->error_message = STR("");
		a->resource_type = q->resources[i].resource_type;
		a->resource_name = q->resources[i].resource_name;
		a->configs_n = 0;
		if (a->resource_type == RESOURCE_TOPIC) {
			describe_topic(x, q, &q->resources[i], a);
		} else if (a->resource_type == RESOURCE_BROKER) {
			describe_broker(x, q, &q->resources[i], a);
		} else {
			a->error_code = KAFKA_INVALID_REQUEST;
			a->error_message = control_num(x, "Unsupported resource type: ", a->resource_type, "", 0, "");
		}
	}
}

/* ---- altering ---- */

struct change {
	struct str name, value;
	int8_t op;
};

struct set {				/* the settings of a resource while they are changed */
	struct str *kv;
	uint32_t pairs, cap;
};

static void set_load(struct control *x, const char *kind, struct str name, uint32_t more, struct set *s)
{
	const struct meta_conf *c = meta_conf(x->m, kind, name);

	s->cap = more + (c ? c->kv_n : 0);
	s->kv = control_alloc(x, s->cap * 2, sizeof *s->kv);
	for (uint32_t i = 0; c && i < c->kv_n * 2; i++)
		s->kv[i] = str_of(c->kv[i]);
	s->pairs = c ? c->kv_n : 0;
}

static struct str *set_find(struct set *s, struct str name)
{
	for (uint32_t i = 0; i < s->pairs; i++)
		if (str_eq(s->kv[i * 2], name))
			return &s->kv[i * 2 + 1];
	return NULL;
}

static void set_put(struct set *s, struct str name, struct str value)
{
	struct str *at = set_find(s, name);

	if (at) {
		*at = value;
	} else {
		s->kv[s->pairs * 2] = name;
		s->kv[s->pairs++ * 2 + 1] = value;
	}
}

static void set_drop(struct set *s, struct str name)
{
	struct str *at = set_find(s, name);

	if (at) {
		s->pairs--;
		at[-1] = s->kv[s->pairs * 2];
		at[0] = s->kv[s->pairs * 2 + 1];
	}
}

static bool list_has(struct str list, struct str v)
{
	struct str one;

	for (int32_t at = 0; conf_list_next(list, &at, &one);)
		if (str_eq(one, v))
			return true;
	return false;
}

/* A list with the elements of b appended or taken out. */
static struct str list_merge(struct control *x, struct str a, struct str b, bool append)
{
	struct str out = STR(""), one;

	for (int32_t at = 0; conf_list_next(a, &at, &one);)
		if (append || !list_has(b, one))
			out = control_text(x, control_text(x, "", out, out.len > 0 ? "," : "").p, one, "");
	for (int32_t at = 0; append && conf_list_next(b, &at, &one);)
		if (!list_has(out, one))
			out = control_text(x, control_text(x, "", out, out.len > 0 ? "," : "").p, one, "");
	return out;
}

static const struct conf_def *def_of(bool topic, struct str name)
{
	return topic ? conf_topic_def(name) : conf_def(name);
}

static int16_t check_broker(struct control *x, struct str name, struct str value, bool all, struct str *msg)
{
	char err[CONF_ERR_BYTES];
	const struct conf_def *d = conf_def(name);

	if (!d && conf_is_foreign(name))
		return KAFKA_NONE;
	if (!d)
		return KAFKA_NONE;	/* Kafka stores names it does not know, for plug-ins */
	if (all && d->mode == CONF_PER_BROKER) {
		*msg = control_text(x, "Cannot update these configs at default cluster level, broker id must be "
				    "specified: [", name, "]");
		return KAFKA_INVALID_REQUEST;
	}
	if (d->mode == CONF_READ_ONLY) {
		*msg = control_text(x, "Cannot update these configs dynamically: [", name, "]");
		return KAFKA_INVALID_REQUEST;
	}
	if (value.len >= 0 && conf_check_value(d, value, err) != OK) {
		*msg = control_text(x, "", str_of(err), "");
		return KAFKA_INVALID_REQUEST;
	}
	return KAFKA_NONE;
}

static int16_t change_one(struct control *x, bool topic, struct str resource, struct set *s, struct change c,
			  struct str *msg)
{
	const struct conf_def *d = def_of(topic, c.name);
	int16_t rc;

	if (c.op < OP_SET || c.op > OP_SUBTRACT) {
		*msg = control_num(x, "Unknown operation type ", c.op, "", 0, "");
		return KAFKA_INVALID_REQUEST;
	}
	if (c.op == OP_DELETE) {		/* also of a name that nobody knows any more */
		set_drop(s, c.name);
		return KAFKA_NONE;
	}
	if (c.value.len < 0) {
		*msg = control_text(x, "Null value not supported for : ", c.name, "");
		return KAFKA_INVALID_REQUEST;
	}
	if (c.op != OP_SET) {
		const struct str *now = set_find(s, c.name);

		if (!d || d->type != CONF_LIST) {
			*msg = control_text(x, c.op == OP_APPEND ? "Can't APPEND to key " : "Can't SUBTRACT to key ",
					    c.name, " because its type is not LIST.");
			return KAFKA_INVALID_CONFIG;
		}
		c.value = list_merge(x, now ? *now : str_of(d->def ? d->def : ""), c.value, c.op == OP_APPEND);
	}
	rc = topic ? control_check_topic(x, c.name, c.value, msg) :
		     check_broker(x, c.name, c.value, resource.len == 0, msg);
	if (rc == KAFKA_NONE && !(topic && conf_topic_is_foreign(c.name)))
		set_put(s, c.name, c.value);
	return rc;
}

static int16_t check_resource(struct control *x, int8_t type, struct str name, struct str *msg)
{
	int64_t id;

	if (type == RESOURCE_TOPIC) {
		if (meta_topic(x->m, name))
			return KAFKA_NONE;
		if (name.len == 0) {
			*msg = STR("Default topic resources are not allowed.");
			return KAFKA_INVALID_REQUEST;
		}
		int16_t rc = control_check_name(x, name, msg);

		if (rc == KAFKA_NONE)
			*msg = control_text(x, "The topic '", name, "' does not exist.");
		return rc ? rc : KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
	}
	if (type == RESOURCE_BROKER) {	/* trap 98: clients send it to the broker it is about */
		if (name.len == 0 || is_self(x, name))
			return KAFKA_NONE;
		*msg = !conf_parse_int(name, &id) ?
		       control_text(x, "Node id must be an integer, but it is: ", name, "") :
		       control_text(x, control_num(x, "Unexpected broker id, expected ", x->node,
						   ", but received ", 0, "").p, name, "");
		return KAFKA_INVALID_REQUEST;
	}
	*msg = control_num(x, "Unknown resource type ", type, "", 0, "");
	return KAFKA_INVALID_REQUEST;
}

/* All changes of one resource, or none. */
static int16_t alter(struct control *x, int8_t type, struct str name, const struct change *v, int32_t n,
		     bool replace, bool validate_only, struct str *msg)
{
	bool topic = type == RESOURCE_TOPIC;
	int16_t rc = check_resource(x, type, name, msg);
	struct set s;

	for (int32_t i = 0; rc == KAFKA_NONE && i < n; i++)
		for (int32_t k = 0; k < i; k++)
			if (str_eq(v[i].name, v[k].name)) {
				*msg = STR("Error due to duplicate config keys");
				rc = KAFKA_INVALID_REQUEST;
			}
	if (rc != KAFKA_NONE)
		return rc;
	set_load(x, topic ? "topics" : "brokers", name, (uint32_t)(n > 0 ? n : 0), &s);
	if (replace)
		s.pairs = 0;
	for (int32_t i = 0; rc == KAFKA_NONE && i < n; i++)
		rc = change_one(x, topic, name, &s, v[i], msg);
	if (rc == KAFKA_NONE && !validate_only)
		control_put_conf(x, topic ? "topics" : "brokers", name, s.kv, s.pairs);
	return rc;
}

static struct str resource_key(struct control *x, int8_t type, struct str name)
{
	return control_text(x, control_num(x, "", type, " ", 0, "").p, name, "");
}

/* Several entries of one resource would fight each other. */
static int16_t refuse_twice(struct str *msg)
{
	*msg = STR("Each resource must appear at most once.");
	return KAFKA_INVALID_REQUEST;
}

void control_incremental_alter_configs(struct control *x, const struct incremental_alter_configs_request *q,
				       struct incremental_alter_configs_response *res)
{
	wire_init(&wire_incremental_alter_configs_response, res);
	res->responses = control_alloc(x, (size_t)q->resources_n, sizeof *res->responses);
	struct str *key = control_alloc(x, (size_t)q->resources_n, sizeof *key);

	for (int32_t i = 0; i < q->resources_n; i++)
		key[i] = resource_key(x, q->resources[i].resource_type, q->resources[i].resource_name);
	const uint8_t *named = control_named(x, key, q->resources_n);

	res->responses_n = q->resources_n;
	for (int32_t i = 0; i < q->resources_n; i++) {
		const struct incremental_alter_configs_request_alter_configs_resource *r = &q->resources[i];
		struct incremental_alter_configs_response_alter_configs_resource_response *a = &res->responses[i];
		struct change *v = control_alloc(x, (size_t)r->configs_n, sizeof *v);

		wire_init(&wire_incremental_alter_configs_response_alter_configs_resource_response, a);
		a->error_message = STR_NULL;
		a->resource_type = r->resource_type;
		a->resource_name = r->resource_name;
		for (int32_t k = 0; k < r->configs_n; k++)
			v[k] = (struct change){ r->configs[k].name, r->configs[k].value,
						r->configs[k].config_operation };
		a->error_code = named[i] != CONTROL_ONCE ? refuse_twice(&a->error_message) :
				alter(x, r->resource_type, r->resource_name, v, r->configs_n, false,
				      q->validate_only, &a->error_message);
	}
}

void control_alter_configs(struct control *x, const struct alter_configs_request *q,
			   struct alter_configs_response *res)
{
	wire_init(&wire_alter_configs_response, res);
	res->responses = control_alloc(x, (size_t)q->resources_n, sizeof *res->responses);
	struct str *key = control_alloc(x, (size_t)q->resources_n, sizeof *key);

	for (int32_t i = 0; i < q->resources_n; i++)
		key[i] = resource_key(x, q->resources[i].resource_type, q->resources[i].resource_name);
	const uint8_t *named = control_named(x, key, q->resources_n);

	res->responses_n = q->resources_n;
	for (int32_t i = 0; i < q->resources_n; i++) {
		const struct alter_configs_request_alter_configs_resource *r = &q->resources[i];
		struct alter_configs_response_alter_configs_resource_response *a = &res->responses[i];
		struct change *v = control_alloc(x, (size_t)r->configs_n, sizeof *v);

		wire_init(&wire_alter_configs_response_alter_configs_resource_response, a);
		a->error_message = STR_NULL;
		a->resource_type = r->resource_type;
		a->resource_name = r->resource_name;
		for (int32_t k = 0; k < r->configs_n; k++)
			v[k] = (struct change){ r->configs[k].name, r->configs[k].value, OP_SET };
		a->error_code = named[i] != CONTROL_ONCE ? refuse_twice(&a->error_message) :
				alter(x, r->resource_type, r->resource_name, v, r->configs_n, true,
				      q->validate_only, &a->error_message);
	}
}
