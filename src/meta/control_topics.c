/* control_topics.c - create and delete topics, add partitions (ReplicationControlManager; traps 24-26, 104). */
#include "base/assert.h"
#include "meta/control.h"
#include "wire/kafka_error.h"

#define PARTITIONS_A_REQUEST 10000	/* Kafka's limit */

typedef struct create_topics_request_creatable_topic ask_t;
typedef struct create_topics_response_creatable_topic_result answer_t;

static int16_t refuse(struct str *msg, int16_t code, struct str why)
{
	*msg = why;
	return code;
}

int16_t control_check_name(struct control *x, struct str name, struct str *msg)
{
	if (name.len <= 0)
		return refuse(msg, KAFKA_INVALID_TOPIC_EXCEPTION,
			      STR("Topic name is invalid: the empty string is not allowed"));
	if (str_is(name, ".") || str_is(name, ".."))
		return refuse(msg, KAFKA_INVALID_TOPIC_EXCEPTION,
			      control_text(x, "Topic name is invalid: '", name, "' is not allowed"));
	if (name.len > META_NAME_MAX)
		return refuse(msg, KAFKA_INVALID_TOPIC_EXCEPTION,
			      control_text(x, "Topic name is invalid: the length of '", name,
					   "' is longer than the max allowed length 249"));
	for (int32_t i = 0; i < name.len; i++) {
		char c = name.p[i];

		if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '.' ||
		      c == '_' || c == '-'))
			return refuse(msg, KAFKA_INVALID_TOPIC_EXCEPTION,
				      control_text(x, "Topic name is invalid: '", name, "' contains one or more "
						   "characters other than ASCII alphanumerics, '.', '_' and '-'"));
	}
	return KAFKA_NONE;
}

static bool collides(struct str a, struct str b)
{
	if (a.len != b.len)
		return false;
	for (int32_t i = 0; i < a.len; i++)
		if ((a.p[i] == '.' ? '_' : a.p[i]) != (b.p[i] == '.' ? '_' : b.p[i]))
			return false;
	return true;
}

static struct str collision(struct control *x, struct str name, struct str with)
{
	return control_text(x, control_text(x, "Topic '", name, "' collides with existing topic: ").p, with, "");
}

static bool has_period(struct str s)
{
	return s.len > 0 && (memchr(s.p, '.', (size_t)s.len) || memchr(s.p, '_', (size_t)s.len));
}

/* Name, existence and collisions with what is there and with earlier ones of the request. */
static int16_t check_new(struct control *x, const struct create_topics_request *q, int32_t idx,
			 const int16_t *before, struct str *msg)
{
	struct str name = q->topics[idx].name;
	int16_t rc = control_check_name(x, name, msg);

	if (rc)
		return rc;
	if (meta_topic(x->m, name))
		return refuse(msg, KAFKA_TOPIC_ALREADY_EXISTS, control_text(x, "Topic '", name, "' already exists."));
	if (!has_period(name))
		return KAFKA_NONE;
	for (uint32_t i = 0; i < x->m->topics_n; i++)
		if (collides(name, str_of(x->m->topics[i]->name)))
			return refuse(msg, KAFKA_INVALID_TOPIC_EXCEPTION,
				      collision(x, name, str_of(x->m->topics[i]->name)));
	for (int32_t i = 0; i < idx; i++)
		if (before[i] == KAFKA_NONE && collides(name, q->topics[i].name))
			return refuse(msg, KAFKA_INVALID_TOPIC_EXCEPTION,
				      collision(x, name, q->topics[i].name));
	return KAFKA_NONE;
}

struct plan {				/* of one new topic */
	int32_t parts, rf;
	struct meta_ids *replicas;	/* of each partition */
	struct str *kv;
	uint32_t pairs;
};

/* One manual assignment: distinct, registered brokers. */
static int16_t check_assignment(struct control *x, const int32_t *ids, int32_t n, int32_t want,
				struct meta_ids *ret, struct str *msg)
{
	if (n < 1)
		return refuse(msg, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			      STR("The manual partition assignment includes an empty replica list."));
	for (int32_t i = 0; i < n; i++) {
		const struct meta_broker *b = meta_broker(x->m, ids[i]);

		for (int32_t k = 0; k < i; k++)
			if (ids[k] == ids[i])
				return refuse(msg, KAFKA_INVALID_REPLICA_ASSIGNMENT,
					      control_num(x, "The manual partition assignment includes the broker ",
							  ids[i], " more than once.", 0, ""));
		if (!b || !b->registered)
			return refuse(msg, KAFKA_INVALID_REPLICA_ASSIGNMENT,
				      control_num(x, "The manual partition assignment includes broker ", ids[i],
						  ", but no such broker is registered.", 0, ""));
	}
	if (n > META_REPLICAS_MAX || (want > 0 && n != want))
		return refuse(msg, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			      control_num(x, "The manual partition assignment includes a partition with ", n,
					  " replica(s), but this is not consistent with previous "
					  "partitions, which have ", want, " replica(s)."));
	memcpy(ret->v, ids, (size_t)n * sizeof *ids);
	ret->n = n;
	return KAFKA_NONE;
}

/* Trap 25: a manual assignment excludes counts; ids go from 0 without a gap. */
static int16_t plan_manual(struct control *x, const ask_t *t, struct plan *p, struct str *msg)
{
	if (t->replication_factor != -1)
		return refuse(msg, KAFKA_INVALID_REQUEST, STR("A manual partition assignment was specified, but "
							      "replication factor was not set to -1."));
	if (t->num_partitions != -1)
		return refuse(msg, KAFKA_INVALID_REQUEST, STR("A manual partition assignment was specified, but "
							      "numPartitions was not set to -1."));
	p->parts = t->assignments_n;
	p->replicas = control_alloc(x, (size_t)p->parts, sizeof *p->replicas);
	for (int32_t i = 0; i < t->assignments_n; i++) {
		int32_t idx = t->assignments[i].partition_index;
		int16_t rc;

		if (idx >= 0 && idx < p->parts && p->replicas[idx].n > 0)
			return refuse(msg, KAFKA_INVALID_REPLICA_ASSIGNMENT,
				      control_num(x, "Found multiple manual partition assignments for partition ",
						  idx, "", 0, ""));
		if (idx < 0 || idx >= p->parts)
			return refuse(msg, KAFKA_INVALID_REPLICA_ASSIGNMENT,
				      STR("partitions should be a consecutive 0-based integer sequence"));
		rc = check_assignment(x, t->assignments[i].broker_ids, t->assignments[i].broker_ids_n,
				      i > 0 ? p->rf : 0, &p->replicas[idx], msg);
		if (rc)
			return rc;
		p->rf = p->replicas[idx].n;
	}
	return KAFKA_NONE;
}

static int16_t plan_auto(struct control *x, const ask_t *t, struct plan *p, struct str *msg)
{
	bool offsets = str_is(t->name, "__consumer_offsets");
	int32_t alive = control_alive(x);

	if (t->replication_factor < -1 || t->replication_factor == 0)
		return refuse(msg, KAFKA_INVALID_REPLICATION_FACTOR,
			      STR("Replication factor must be larger than 0, or -1 to use the default value."));
	if (t->num_partitions < -1 || t->num_partitions == 0)
		return refuse(msg, KAFKA_INVALID_PARTITIONS,
			      STR("Number of partitions was set to an invalid non-positive value."));
	p->parts = t->num_partitions > 0 ? t->num_partitions :
		   (int32_t)conf_int(x->conf, offsets ? "offsets.topic.num.partitions" : "num.partitions");
	p->rf = t->replication_factor > 0 ? t->replication_factor :
		(int32_t)conf_int(x->conf, offsets ? "offsets.topic.replication.factor" : "default.replication.factor");
	if (offsets && t->replication_factor < 0 && p->rf > alive && alive > 0)
		p->rf = alive;
	if (p->rf > alive || p->rf > META_REPLICAS_MAX)
		return refuse(msg, KAFKA_INVALID_REPLICATION_FACTOR,
			      control_num(x, "Unable to replicate the partition ", p->rf,
					  control_num(x, " time(s): The target replication factor of ", p->rf,
						      " cannot be reached because only ", alive,
						      " broker(s) are registered.").p, 0, ""));
	p->replicas = control_alloc(x, (size_t)p->parts, sizeof *p->replicas);
	uint32_t start = rng_below(x->rng, (uint32_t)alive);

	for (int32_t i = 0; i < p->parts; i++)
		must(control_place(x, i, p->rf, start, &p->replicas[i]));
	return KAFKA_NONE;
}

static int16_t plan_configs(struct control *x, const ask_t *t, struct plan *p, struct str *msg)
{
	p->kv = control_alloc(x, (size_t)(t->configs_n > 0 ? t->configs_n : 0) * 2 + 8, sizeof *p->kv);
	for (int32_t i = 0; i < t->configs_n; i++) {
		int16_t rc = control_check_topic(x, t->configs[i].name, t->configs[i].value, msg);

		if (rc)
			return rc;
		if (conf_topic_is_foreign(t->configs[i].name))
			continue;
		p->kv[p->pairs * 2] = t->configs[i].name;
		p->kv[p->pairs++ * 2 + 1] = t->configs[i].value;
	}
	if (str_is(t->name, "__consumer_offsets") && t->configs_n <= 0) {
		struct str v[6] = { STR("cleanup.policy"), STR("compact"), STR("compression.type"), STR("producer"),
				    STR("segment.bytes"), str_of(conf_str(x->conf, "offsets.topic.segment.bytes")) };

		memcpy(p->kv, v, sizeof v);
		p->pairs = 3;
	}
	return KAFKA_NONE;
}

/* v5+: the settings the new topic has. */
static void answer_configs(struct control *x, const struct plan *p, answer_t *a)
{
	a->configs = control_alloc(x, conf_topic_defs_n, sizeof *a->configs);
	a->configs_n = (int32_t)conf_topic_defs_n;
	a->num_partitions = p->parts;
	a->replication_factor = (int16_t)p->rf;
	for (uint32_t i = 0; i < conf_topic_defs_n; i++) {
		const struct conf_def *d = &conf_topic_defs[i];
		struct create_topics_response_creatable_topic_configs *c = &a->configs[i];
		char room[META_VALUE_MAX];
		enum meta_source src;

		wire_init(&wire_create_topics_response_creatable_topic_configs, c);
		c->name = str_of(d->name);
		c->value = STR_NULL;
		if (meta_topic_value(x->m, x->conf, x->node, STR(""), p->rf, d, room, &src))
			c->value = control_text(x, "", str_of(room), "");
		c->config_source = (int8_t)src;
		for (uint32_t k = 0; k < p->pairs; k++)
			if (str_eq(p->kv[k * 2], c->name)) {
				c->value = p->kv[k * 2 + 1];
				c->config_source = META_TOPIC;
			}
	}
}

static void put_new_part(struct control *x, struct str topic, int32_t p, const struct meta_ids *replicas)
{
	struct meta_part part = { .replicas = *replicas };
	struct buf b;

	for (int32_t i = 0; i < replicas->n; i++) {
		const struct meta_broker *o = meta_broker(x->m, replicas->v[i]);

		if (o && meta_broker_alive(o))
			part.isr.v[part.isr.n++] = replicas->v[i];
	}
	part.leader = part.isr.n > 0 ? part.isr.v[0] : -1;
	if (part.isr.n == 0)
		part.isr = *replicas;
	buf_init(&b, 4096);
	meta_put_part(&b, &part);
	control_op(x, META_CREATE, control_path(x, "/topics", topic, p), &b, -1);
}

static void put_new_topic(struct control *x, struct str name, const struct plan *p, const struct uuid *id)
{
	struct buf b;

	control_touch_topics(x);
	buf_init(&b, 4096);
	meta_put_topic(&b, id, p->parts);
	control_op(x, META_CREATE, control_path(x, "/topics", name, -1), &b, -1);
	for (int32_t i = 0; i < p->parts; i++)
		put_new_part(x, name, i, &p->replicas[i]);
	if (p->pairs > 0)
		control_put_conf(x, "topics", name, p->kv, p->pairs);
}

/* Trap 25: what the request would create in all. */
static bool too_many(const struct control *x, const struct create_topics_request *q, const uint8_t *named)
{
	int64_t total = 0;

	for (int32_t i = 0; i < q->topics_n; i++) {
		const ask_t *t = &q->topics[i];

		if (named[i] == CONTROL_ONCE)
			total += t->assignments_n > 0 ? t->assignments_n : t->num_partitions != -1 ?
				 t->num_partitions : conf_int(x->conf, "num.partitions");
	}
	return total > PARTITIONS_A_REQUEST;
}

static struct uuid new_id(struct control *x)
{
	struct uuid id;

	for (int i = 0; i < 16; i++)
		id.b[i] = (uint8_t)(rng_next(x->rng) >> 24);
	id.b[6] = (uint8_t)((id.b[6] & 0x0f) | 0x40);
	id.b[8] = (uint8_t)((id.b[8] & 0x3f) | 0x80);
	if ((id.b[0] & 0xfc) == 0xf8)
		id.b[0] ^= 0x80;		/* its text never begins with a dash */
	return id;
}

/* before: the answers of the topics before this one, by their index in the request. */
static int16_t create_one(struct control *x, const struct create_topics_request *q, int32_t idx,
			  const int16_t *before, struct plan *p, struct str *msg)
{
	const ask_t *t = &q->topics[idx];

	int16_t rc = check_new(x, q, idx, before, msg);

	if (rc == KAFKA_NONE)
		rc = plan_configs(x, t, p, msg);
	if (rc == KAFKA_NONE)
		rc = t->assignments_n > 0 ? plan_manual(x, t, p, msg) : plan_auto(x, t, p, msg);
	return rc;
}

void control_create_topics(struct control *x, const struct create_topics_request *q,
			   struct create_topics_response *res)
{
	struct str *names = control_alloc(x, (size_t)q->topics_n, sizeof *names);
	int16_t *codes = control_alloc(x, (size_t)q->topics_n, sizeof *codes);

	for (int32_t i = 0; i < q->topics_n; i++)
		names[i] = q->topics[i].name;
	const uint8_t *named = control_named(x, names, q->topics_n);
	bool many = too_many(x, q, named);

	wire_init(&wire_create_topics_response, res);
	res->topics = control_alloc(x, (size_t)q->topics_n, sizeof *res->topics);
	for (int32_t i = 0; i < q->topics_n; i++) {
		answer_t *a = &res->topics[res->topics_n];
		struct plan p = { 0 };

		if (named[i] == CONTROL_AGAIN)
			continue;	/* answered where it came first */
		res->topics_n++;
		wire_init(&wire_create_topics_response_creatable_topic_result, a);
		a->name = q->topics[i].name;
		a->error_message = STR_NULL;
		if (named[i] == CONTROL_FIRST)
			a->error_code = refuse(&a->error_message, KAFKA_INVALID_REQUEST, STR("Duplicate topic name."));
		else if (many)
			a->error_code = refuse(&a->error_message, KAFKA_POLICY_VIOLATION,
					       STR("Excessively large number of partitions per request."));
		else
			a->error_code = create_one(x, q, i, codes, &p, &a->error_message);
		codes[i] = a->error_code;
		if (a->error_code != KAFKA_NONE) {
			a->configs_n = 0;
			a->num_partitions = -1;
			a->replication_factor = -1;
			continue;
		}
		answer_configs(x, &p, a);
		a->topic_id = new_id(x);
		if (q->validate_only)
			continue;
		put_new_topic(x, a->name, &p, &a->topic_id);
	}
}

/* ---- delete ---- */

static int16_t delete_one(struct control *x, struct str name, const struct uuid *id, const struct meta_topic **ret,
			  struct str *msg)
{
	bool by_id = id && !uuid_is_zero(id);
	const struct meta_topic *t;

	*msg = STR_NULL;
	if (!conf_bool(x->conf, "delete.topic.enable"))
		return refuse(msg, x->version < 3 ? KAFKA_INVALID_REQUEST : KAFKA_TOPIC_DELETION_DISABLED,
			      STR("Topic deletion is disabled."));
	if (by_id && name.len >= 0)
		return refuse(msg, KAFKA_INVALID_REQUEST, STR("You may not specify both topic name and topic id."));
	if (!by_id && name.len < 0)
		return refuse(msg, KAFKA_INVALID_REQUEST, STR("Neither topic name nor id were specified."));
	t = by_id ? meta_topic_by_id(x->m, id) : meta_topic(x->m, name);
	if (!t)
		return refuse(msg, by_id ? KAFKA_UNKNOWN_TOPIC_ID : KAFKA_UNKNOWN_TOPIC_OR_PARTITION,
			      by_id ? STR("This server does not host this topic ID.") :
				      STR("This server does not host this topic-partition."));
	*ret = t;
	return KAFKA_NONE;
}

static void put_delete(struct control *x, const struct meta_topic *t)
{
	struct str name = str_of(t->name);
	const struct meta_conf *c = meta_conf(x->m, "topics", name);

	control_touch_topics(x);
	for (int32_t i = 0; i < t->parts_n; i++)
		control_op(x, META_DELETE, control_path(x, "/topics", name, i), NULL, -1);
	control_op(x, META_DELETE, control_path(x, "/topics", name, -1), NULL, t->version);
	if (c)
		control_op(x, META_DELETE, control_path(x, "/config/topics", name, -1), NULL, c->version);
}

/*
 * Entries that name one topic twice delete nothing and are answered once: the caller may have meant another
 * topic. For each entry: no problem; refused; refused, and another entry gives the id; answered with another one.
 */
enum { TWICE_NOT, TWICE, TWICE_MIXED, TWICE_SILENT };

static uint8_t *doomed_twice(struct control *x, const struct delete_topics_request *q, int32_t n, struct str *msg)
{
	bool names = q->topic_names_n > 0;
	uint8_t *rc = control_alloc(x, (size_t)n, 1);
	struct str *key = control_alloc(x, (size_t)n, sizeof *key), *id = control_alloc(x, (size_t)n, sizeof *id);
	int32_t *order = control_alloc(x, (size_t)n, sizeof *order), k = 0;	/* by name, then by id */

	for (int by_id = 0; by_id <= 1; by_id++)
		for (int32_t i = 0; i < n; i++) {
			bool has_id = !names && !uuid_is_zero(&q->topics[i].topic_id);
			struct str name = names ? q->topic_names[i] : q->topics[i].name;
			const struct meta_topic *t = has_id || name.len < 0 ? NULL : meta_topic(x->m, name);

			if (has_id != by_id)
				continue;
			order[k] = i;
			key[k] = has_id ? STR_NULL : name;
			id[k++] = has_id && name.len < 0 ? (struct str){ (const char *)q->topics[i].topic_id.b, 16 } :
				  t ? (struct str){ (const char *)t->id.b, 16 } : STR_NULL;
		}
	const uint8_t *by_name = control_named(x, key, n), *by_topic = control_named(x, id, n);

	for (k = 0; k < n; k++) {
		bool name = key[k].len >= 0;
		uint8_t d = name ? by_name[k] : by_topic[k];
		uint8_t *r = &rc[order[k]];
		struct str *why = &msg[order[k]];

		*why = STR_NULL;
		if (d == CONTROL_AGAIN) {
			*r = TWICE_SILENT;
		} else if (d == CONTROL_FIRST) {
			*r = TWICE;
			*why = name ? STR("Duplicate topic name.") : STR("Duplicate topic id.");
		} else if (name && by_topic[k] == CONTROL_FIRST) {
			*r = TWICE_MIXED;
			*why = STR("The provided topic name maps to an ID that was already supplied.");
		}
	}
	return rc;
}

void control_delete_topics(struct control *x, const struct delete_topics_request *q,
			   struct delete_topics_response *res)
{
	bool names = q->topic_names_n > 0;
	int32_t n = names ? q->topic_names_n : q->topics_n > 0 ? q->topics_n : 0;
	struct str *msg = control_alloc(x, (size_t)n, sizeof *msg);
	const uint8_t *twice = doomed_twice(x, q, n, msg);

	wire_init(&wire_delete_topics_response, res);
	res->responses = control_alloc(x, (size_t)n, sizeof *res->responses);
	for (int32_t i = 0; i < n; i++) {
		struct delete_topics_response_deletable_topic_result *a = &res->responses[res->responses_n];
		const struct meta_topic *t = NULL;

		if (twice[i] == TWICE_SILENT)
			continue;
		res->responses_n++;
		wire_init(&wire_delete_topics_response_deletable_topic_result, a);
		a->name = names ? q->topic_names[i] : q->topics[i].name;
		if (!names)
			a->topic_id = q->topics[i].topic_id;
		if (twice[i] == TWICE_MIXED)
			a->topic_id = meta_topic(x->m, a->name)->id;
		a->error_code = twice[i] ? KAFKA_INVALID_REQUEST :
				delete_one(x, a->name, names ? NULL : &a->topic_id, &t, &msg[i]);
		a->error_message = msg[i];
		if (t) {
			a->name = control_text(x, "", str_of(t->name), "");
			a->topic_id = t->id;
			put_delete(x, t);
		}
	}
}

/* ---- more partitions ---- */

static int16_t grow_one(struct control *x, const struct create_partitions_request *q, int32_t idx, int64_t *total,
			struct str *msg)
{
	const struct create_partitions_request_create_partitions_topic *a = &q->topics[idx];
	const struct meta_topic *t = meta_topic(x->m, a->name);

	if (!t)
		return refuse(msg, KAFKA_UNKNOWN_TOPIC_OR_PARTITION, STR_NULL);
	if (a->count == t->parts_n)
		return refuse(msg, KAFKA_INVALID_PARTITIONS,
			      control_num(x, "Topic already has ", t->parts_n, " partition(s).", 0, ""));
	if (a->count < t->parts_n)
		return refuse(msg, KAFKA_INVALID_PARTITIONS,
			      control_text(x, "The topic ", a->name,
					   control_num(x, " currently has ", t->parts_n, " partition(s); ",
						       a->count, " would not be an increase.").p));
	int32_t more = a->count - t->parts_n, rf = t->parts[0].replicas.n;

	*total += more;
	if (*total > PARTITIONS_A_REQUEST)
		return refuse(msg, KAFKA_POLICY_VIOLATION,
			      STR("Excessively large number of additional partitions per request."));
	if (a->assignments_n >= 0 && a->assignments_n != more)
		return refuse(msg, KAFKA_INVALID_REPLICA_ASSIGNMENT,
			      control_num(x, "Attempted to add ", more, " additional partition(s), but only ",
					  a->assignments_n, " assignment(s) were specified."));
	struct meta_ids *ids = control_alloc(x, (size_t)more, sizeof *ids);
	uint32_t start = rng_below(x->rng, 1024);

	for (int32_t i = 0; i < more; i++) {
		int16_t rc = KAFKA_NONE;

		if (a->assignments_n >= 0)
			rc = check_assignment(x, a->assignments[i].broker_ids, a->assignments[i].broker_ids_n, rf,
					      &ids[i], msg);
		else if (!control_place(x, t->parts_n + i, rf, start, &ids[i]))
			rc = refuse(msg, KAFKA_INVALID_REPLICATION_FACTOR,
				    STR("Unable to replicate the partition: too few brokers are registered."));
		if (rc)
			return rc;
	}
	if (q->validate_only)
		return KAFKA_NONE;
	struct buf b;

	control_touch_topics(x);
	buf_init(&b, 4096);
	meta_put_topic(&b, &t->id, a->count);
	control_op(x, META_SET, control_path(x, "/topics", a->name, -1), &b, t->version);
	for (int32_t i = 0; i < more; i++)
		put_new_part(x, a->name, t->parts_n + i, &ids[i]);
	return KAFKA_NONE;
}

void control_create_partitions(struct control *x, const struct create_partitions_request *q,
			       struct create_partitions_response *res)
{
	int64_t total = 0;
	struct str *names = control_alloc(x, (size_t)q->topics_n, sizeof *names);

	for (int32_t i = 0; i < q->topics_n; i++)
		names[i] = q->topics[i].name;
	const uint8_t *named = control_named(x, names, q->topics_n);

	wire_init(&wire_create_partitions_response, res);
	res->results = control_alloc(x, (size_t)q->topics_n, sizeof *res->results);
	for (int32_t i = 0; i < q->topics_n; i++) {
		struct create_partitions_response_create_partitions_topic_result *a = &res->results[res->results_n];

		if (named[i] == CONTROL_AGAIN)
			continue;	/* answered where it came first */
		res->results_n++;
		wire_init(&wire_create_partitions_response_create_partitions_topic_result, a);
		a->name = q->topics[i].name;
		a->error_message = STR_NULL;
		a->error_code = named[i] == CONTROL_ONCE ? grow_one(x, q, i, &total, &a->error_message) :
				refuse(&a->error_message, KAFKA_INVALID_REQUEST, STR("Duplicate topic name."));
	}
}
