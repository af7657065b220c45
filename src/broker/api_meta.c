/* api_meta.c - Metadata, ApiVersions, DescribeCluster, ListConfigResources: what the cluster image says. */
#include "base/text.h"
#include <stdio.h>

#include "broker/api.h"
#include "broker/relay.h"
#include "broker/topic_create.h"
#include "broker/worker.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

#define CLUSTER_OPERATIONS 8096	/* create, alter, describe, cluster action, configs, idempotent write */
#define NO_OPERATIONS INT32_MIN

typedef struct metadata_response_metadata_response_topic topic_answer;
typedef struct metadata_response_metadata_response_partition part_answer;
typedef struct metadata_response_metadata_response_broker broker_answer;

/* ---- brokers -------------------------------------------------------------------------------- */

/* A broker that clients of this listener can talk to (trap 19). */
static bool reachable(struct req *q, int32_t id, bool *ret_alive)
{
	struct image_broker b;
	struct image_endpoint e;

	*ret_alive = image_broker_by_id(q->w->im, id, &b) && !b.fenced;
	return *ret_alive && api_endpoint(q, &b, &e);
}

static bool fill_brokers(struct req *q, struct metadata_response *a)
{
	const struct image *im = q->w->im;
	uint32_t n = im ? image_brokers(im) : 0;

	a->brokers = arena_array(&q->arena, n + 1, sizeof(broker_answer));
	if (!a->brokers)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct image_broker b;
		struct image_endpoint e;

		image_broker_at(im, i, &b);
		if (b.fenced || !api_endpoint(q, &b, &e))
			continue;
		a->brokers[a->brokers_n++] = (broker_answer){
			.node_id = b.id, .host = e.host, .port = e.port, .rack = b.rack,
		};
	}
	if (im) {
		a->cluster_id = image_cluster_id(im);
		a->controller_id = image_controller(im);	/* trap 20 */
	}
	return true;
}

/* ---- topics --------------------------------------------------------------------------------- */

static bool copy(struct arena *arena, const int32_t *v, int32_t n, int32_t **ret, int32_t *ret_n)
{
	*ret = arena_array(arena, (size_t)n + 1, sizeof(int32_t));
	if (!*ret)
		return false;
	if (n > 0)
		memcpy(*ret, v, (size_t)n * sizeof(int32_t));
	*ret_n = n;
	return true;
}

bool api_nodes(struct req *q, const struct image_part *p, struct api_nodes *ret)
{
	bool alive;

	*ret = (struct api_nodes){ .leader = -1 };
	if (!copy(&q->arena, p->replicas, p->replicas_n, &ret->replicas, &ret->replicas_n) ||
	    !copy(&q->arena, p->isr, p->isr_n, &ret->isr, &ret->isr_n) ||
	    !copy(&q->arena, p->elr, p->elr_n, &ret->elr, &ret->elr_n) ||
	    !copy(&q->arena, p->replicas, p->replicas_n, &ret->offline, &ret->offline_n))
		return false;
	ret->offline_n = 0;
	for (int32_t i = 0; i < p->replicas_n; i++)
		if (!reachable(q, p->replicas[i], &alive))
			ret->offline[ret->offline_n++] = p->replicas[i];
	if (p->leader >= 0 && reachable(q, p->leader, &ret->leader_alive))
		ret->leader = p->leader;
	return true;
}

static bool fill_part(struct req *q, const struct image_topic *t, int32_t idx, part_answer *a)
{
	struct image_part p;
	struct api_nodes n;

	a->partition_index = idx;
	a->leader_id = a->leader_epoch = -1;
	if (!image_part(q->w->im, t, idx, &p)) {
		a->error_code = KAFKA_LEADER_NOT_AVAILABLE;
		return true;
	}
	if (!api_nodes(q, &p, &n))
		return false;
	a->leader_epoch = p.leader_epoch;
	a->leader_id = n.leader;
	a->replica_nodes = n.replicas;
	a->replica_nodes_n = n.replicas_n;
	a->isr_nodes = n.isr;
	a->isr_nodes_n = n.isr_n;
	a->offline_replicas = n.offline;
	a->offline_replicas_n = n.offline_n;
	if (n.leader >= 0)
		a->error_code = q->version == 0 && n.offline_n > 0 ? KAFKA_REPLICA_NOT_AVAILABLE : KAFKA_NONE;
	else
		a->error_code = n.leader_alive && q->version >= 6 ? KAFKA_LISTENER_NOT_FOUND :
								    KAFKA_LEADER_NOT_AVAILABLE;
	return true;
}

static bool fill_topic(struct req *q, const struct image_topic *t, const struct metadata_request *m,
		       topic_answer *a)
{
	a->name = t->name;
	a->topic_id = t->id;
	a->is_internal = t->internal;
	a->topic_authorized_operations = m->include_topic_authorized_operations ? API_TOPIC_OPERATIONS :
						NO_OPERATIONS;
	a->partitions = arena_array(&q->arena, (size_t)t->partitions + 1, sizeof(part_answer));
	if (!a->partitions)
		return false;
	a->partitions_n = t->partitions;
	for (int32_t i = 0; i < t->partitions; i++)
		if (!fill_part(q, t, i, &a->partitions[i]))
			return false;
	return true;
}

/* Trap 21: a name that does not exist; made when broker and request allow it. */
static int16_t unknown_topic(struct req *q, const struct metadata_request *m, struct str name)
{
	struct worker *w = q->w;

	if (!topic_name_ok(name))
		return KAFKA_INVALID_TOPIC_EXCEPTION;
	if (!w->im)
		return KAFKA_LEADER_NOT_AVAILABLE;
	if (w->conf.auto_create && (q->version < 4 || m->allow_auto_topic_creation) &&
	    !topic_is_internal(name))
		topic_create(w, name);
	return KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
}

static bool fill_asked(struct req *q, const struct metadata_request *m, struct metadata_response *a)
{
	struct image *im = q->w->im;

	a->topics = arena_array(&q->arena, (size_t)m->topics_n + 1, sizeof(topic_answer));
	if (!a->topics)
		return false;
	for (int32_t i = 0; i < m->topics_n; i++) {
		const struct metadata_request_metadata_request_topic *ask = &m->topics[i];
		topic_answer *ta = &a->topics[a->topics_n];
		bool by_id = q->version >= 12 && (ask->name.len < 0 || !uuid_is_zero(&ask->topic_id));
		bool twice = false;
		struct image_topic t;

		for (int32_t k = 0; k < a->topics_n && m->topics_n <= 64; k++)
			twice |= by_id ? uuid_eq(&a->topics[k].topic_id, &ask->topic_id) :
					 str_eq(a->topics[k].name, ask->name);
		if (twice)
			continue;
		a->topics_n++;
		if (im && (by_id ? image_topic_by_id(im, &ask->topic_id, &t) :
				   image_topic_by_name(im, ask->name, &t))) {
			if (!fill_topic(q, &t, m, ta))
				return false;
			continue;
		}
		ta->name = by_id ? STR_NULL : ask->name;
		ta->topic_authorized_operations = m->include_topic_authorized_operations && !by_id ?
						  API_TOPIC_OPERATIONS : NO_OPERATIONS;
		if (by_id) {
			ta->topic_id = ask->topic_id;
			ta->error_code = KAFKA_UNKNOWN_TOPIC_ID;	/* trap 23 */
		} else {
			ta->is_internal = topic_is_internal(ask->name);
			ta->error_code = unknown_topic(q, m, ask->name);
		}
	}
	return true;
}

static bool fill_all(struct req *q, const struct metadata_request *m, struct metadata_response *a)
{
	const struct image *im = q->w->im;
	uint32_t n = im ? image_topics(im) : 0;

	a->topics = arena_array(&q->arena, n + 1, sizeof(topic_answer));
	if (!a->topics)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct image_topic t;

		image_topic_at(im, i, &t);
		if (!fill_topic(q, &t, m, &a->topics[a->topics_n++]))
			return false;
	}
	return true;
}

/* Trap 23: ids or null names in versions that do not serve them. */
static bool ids_too_early(const struct req *q, const struct metadata_request *m)
{
	for (int32_t i = 0; q->version < 12 && i < m->topics_n; i++)
		if (!uuid_is_zero(&m->topics[i].topic_id) || m->topics[i].name.len < 0)
			return true;
	return false;
}

static bool fill_invalid(struct req *q, const struct metadata_request *m, struct metadata_response *a)
{
	a->topics = arena_array(&q->arena, (size_t)m->topics_n + 1, sizeof(topic_answer));
	a->brokers = arena_alloc(&q->arena, sizeof(broker_answer));
	if (!a->topics || !a->brokers)
		return false;
	a->brokers_n = 0;
	a->topics_n = m->topics_n;
	for (int32_t i = 0; i < m->topics_n; i++) {
		a->topics[i].name = m->topics[i].name.len < 0 ? STR("") : m->topics[i].name;
		a->topics[i].error_code = KAFKA_INVALID_REQUEST;
		a->topics[i].topic_id = m->topics[i].topic_id;
		a->topics[i].topic_authorized_operations = NO_OPERATIONS;
	}
	return true;
}

void api_metadata(struct req *q)
{
	struct metadata_request *m = req_decode(q, &wire_metadata_request, sizeof *m);
	struct metadata_response a;
	bool ok;

	if (!m)
		return;
	wire_init(&wire_metadata_response, &a);
	a.throttle_time_ms = (int32_t)q->throttle_ms;
	if (m->include_cluster_authorized_operations)
		a.cluster_authorized_operations = CLUSTER_OPERATIONS;
	if (ids_too_early(q, m))
		ok = fill_invalid(q, m, &a);
	else if (!fill_brokers(q, &a))
		ok = false;
	else if (m->topics_n < 0 || (q->version == 0 && m->topics_n == 0))	/* trap 18 */
		ok = fill_all(q, m, &a);
	else
		ok = fill_asked(q, m, &a);
	if (ok)
		req_answer(q, &wire_metadata_response, &a);
	else
		req_close(q);
}

/* ---- ApiVersions ---------------------------------------------------------------------------- */

static bool name_char(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

/* Trap 4: [a-zA-Z0-9](?:[a-zA-Z0-9\-.]*[a-zA-Z0-9])? */
static bool software_ok(struct str s)
{
	if (s.len <= 0 || !name_char(s.p[0]) || !name_char(s.p[s.len - 1]))
		return false;
	for (int32_t i = 0; i < s.len; i++)
		if (!name_char(s.p[i]) && s.p[i] != '-' && s.p[i] != '.')
			return false;
	return true;
}

static int16_t versions_error(struct req *q, const struct api_versions_request *m)
{
	const struct image *im = q->w->im;

	if (q->version >= 3 && (!software_ok(m->client_software_name) ||
				!software_ok(m->client_software_version)))
		return KAFKA_INVALID_REQUEST;
	if (q->version < 5)
		return KAFKA_NONE;
	if ((m->cluster_id.len < 0) != (m->node_id == -1))
		return KAFKA_INVALID_REQUEST;
	if (m->cluster_id.len >= 0 && im &&
	    (!str_eq(m->cluster_id, image_cluster_id(im)) || m->node_id != q->w->env->node_id))
		return KAFKA_REBOOTSTRAP_REQUIRED;
	return KAFKA_NONE;
}

/*
 * The one feature that says how this cluster behaves today: the level of Kafka 4.4. The others
 * (group.version, transaction.version, ...) are at level 0 here: their supported range would be 0..0, and a
 * finalized level of 0 is left out (trap 5). metadata.version has a minimum above 0, so old clients may see it.
 */
#define METADATA_VERSION_MIN 7
#define METADATA_VERSION 33

static void fill_features(struct req *q, struct api_versions_response *a)
{
	static struct api_versions_response_supported_feature_key supported = {
		.name = { "metadata.version", 16 },
		.min_version = METADATA_VERSION_MIN, .max_version = METADATA_VERSION,
	};
	static struct api_versions_response_finalized_feature_key finalized = {
		.name = { "metadata.version", 16 },
		.max_version_level = METADATA_VERSION, .min_version_level = METADATA_VERSION,
	};

	a->supported_features = &supported;
	a->supported_features_n = 1;
	if (!q->w->im)
		return;
	a->finalized_features = &finalized;
	a->finalized_features_n = 1;
	a->finalized_features_epoch = image_zxid(q->w->im);
}

void api_versions(struct req *q)
{
	struct api_versions_request *m = req_decode(q, &wire_api_versions_request, sizeof *m);
	struct api_versions_response a;

	if (!m)
		return;
	wire_init(&wire_api_versions_response, &a);
	a.error_code = versions_error(q, m);
	a.throttle_time_ms = (int32_t)q->throttle_ms;
	a.api_keys = arena_array(&q->arena, kafka_apis_n + 1, sizeof *a.api_keys);
	if (!a.api_keys) {
		req_close(q);
		return;
	}
	for (uint32_t i = 0; a.error_code == KAFKA_NONE && i < kafka_apis_n; i++) {
		const struct kafka_api *api = &kafka_apis[i];

		if (!api_serves(api, api->max))
			continue;
		a.api_keys[a.api_keys_n++] = (struct api_versions_response_api_version){
			.api_key = api->key, .max_version = api->max, .min_version = api->advertised_min,
		};
	}
	if (a.error_code == KAFKA_NONE)
		fill_features(q, &a);
	req_answer(q, &wire_api_versions_response, &a);
}

void api_versions_too_new(struct req *q)
{
	const struct kafka_api *api = q->api;
	struct reply *r = reply_new(q->w);

	buf_be32(&r->buf, (uint32_t)q->correlation);
	buf_be16(&r->buf, KAFKA_UNSUPPORTED_VERSION);
	buf_be32(&r->buf, 1);
	buf_be16(&r->buf, (uint16_t)api->key);
	buf_be16(&r->buf, (uint16_t)api->min);
	buf_be16(&r->buf, (uint16_t)api->max);
	req_reply(q, r);
}

/* ---- DescribeCluster ------------------------------------------------------------------------ */

#define ENDPOINT_BROKERS 1
#define ENDPOINT_CONTROLLERS 2

static bool fill_cluster(struct req *q, const struct describe_cluster_request *m,
			 struct describe_cluster_response *a)
{
	const struct image *im = q->w->im;
	uint32_t n = im ? image_brokers(im) : 0;

	a->brokers = arena_array(&q->arena, n + 1, sizeof *a->brokers);
	if (!a->brokers)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		struct image_broker b;
		struct image_endpoint e;

		image_broker_at(im, i, &b);
		if ((b.fenced && !m->include_fenced_brokers) || !api_endpoint(q, &b, &e))
			continue;
		a->brokers[a->brokers_n++] = (struct describe_cluster_response_describe_cluster_broker){
			.broker_id = b.id, .host = e.host, .port = e.port, .rack = b.rack, .is_fenced = b.fenced,
		};
	}
	if (im) {
		a->cluster_id = image_cluster_id(im);
		a->controller_id = image_controller(im);
	}
	if (m->include_cluster_authorized_operations)
		a->cluster_authorized_operations = CLUSTER_OPERATIONS;
	return true;
}

void api_describe_cluster(struct req *q)
{
	struct describe_cluster_request *m = req_decode(q, &wire_describe_cluster_request, sizeof *m);
	struct describe_cluster_response a;

	if (!m)
		return;
	wire_init(&wire_describe_cluster_response, &a);
	a.throttle_time_ms = (int32_t)q->throttle_ms;
	if (q->version >= 1 && m->endpoint_type == ENDPOINT_CONTROLLERS) {
		a.error_code = KAFKA_MISMATCHED_ENDPOINT_TYPE;
		a.error_message = STR("The request was sent to an endpoint of type BROKER, but we wanted an "
				      "endpoint of type CONTROLLER");
	} else if (q->version >= 1 && m->endpoint_type != ENDPOINT_BROKERS) {
		a.error_code = KAFKA_UNSUPPORTED_ENDPOINT_TYPE;
		char *room = arena_alloc(&q->arena, 48);

		if (!room) {
			req_close(q);
			return;
		}
		struct text t = text_open(room, 48);

		text_add(&t, "Unsupported endpoint type ");
		text_i64(&t, m->endpoint_type);
		a.error_message = (struct str){ t.p, (int32_t)t.len };
	} else if (!fill_cluster(q, m, &a)) {
		req_close(q);
		return;
	}
	req_answer(q, &wire_describe_cluster_response, &a);
}

/* ---- ListConfigResources --------------------------------------------------------------------- */

#define RESOURCE_TOPIC 2
#define RESOURCE_BROKER 4
#define RESOURCE_BROKER_LOGGER 8
#define RESOURCE_CLIENT_METRICS 16
#define RESOURCE_GROUP 32
#define ID_BYTES 12			/* of a node id as text */

/* False: a type that this version does not list. Version 0 lists client metrics. */
static bool wanted(const struct req *q, const struct list_config_resources_request *m, int8_t type)
{
	if (q->version == 0)
		return type == RESOURCE_CLIENT_METRICS;
	for (int32_t i = 0; i < m->resource_types_n; i++)
		if (m->resource_types[i] == type)
			return true;
	return m->resource_types_n <= 0;
}

static bool types_known(const struct list_config_resources_request *m)
{
	for (int32_t i = 0; i < m->resource_types_n; i++)
		switch (m->resource_types[i]) {
		case RESOURCE_TOPIC:
		case RESOURCE_BROKER:
		case RESOURCE_BROKER_LOGGER:
		case RESOURCE_CLIENT_METRICS:
		case RESOURCE_GROUP: break;
		default: return false;
		}
	return true;
}

/* Groups, client metrics and loggers have no settings here: none of them is listed. */
static bool fill_resources(struct req *q, const struct list_config_resources_request *m,
			   struct list_config_resources_response *a)
{
	const struct image *im = q->w->im;
	uint32_t brokers = im && wanted(q, m, RESOURCE_BROKER) ? image_brokers(im) : 0;
	uint32_t topics = im && wanted(q, m, RESOURCE_TOPIC) ? image_topics(im) : 0;

	a->config_resources = arena_array(&q->arena, (size_t)brokers + topics + 1, sizeof *a->config_resources);
	if (!a->config_resources)
		return false;
	for (uint32_t i = 0; i < brokers; i++) {
		char *name = arena_alloc(&q->arena, ID_BYTES);
		struct image_broker b;
		struct image_endpoint e;

		image_broker_at(im, i, &b);
		if (!name)
			return false;
		if (b.fenced || !api_endpoint(q, &b, &e))
			continue;
		a->config_resources[a->config_resources_n++] = (struct list_config_resources_response_config_resource){
			{ name, snprintf(name, ID_BYTES, "%d", b.id) }, RESOURCE_BROKER };
	}
	for (uint32_t i = 0; i < topics; i++) {
		struct image_topic t;

		image_topic_at(im, i, &t);
		a->config_resources[a->config_resources_n++] =
			(struct list_config_resources_response_config_resource){ t.name, RESOURCE_TOPIC };
	}
	return true;
}

void api_list_config_resources(struct req *q)
{
	struct list_config_resources_request *m = req_decode(q, &wire_list_config_resources_request, sizeof *m);
	struct list_config_resources_response a;

	if (!m)
		return;
	wire_init(&wire_list_config_resources_response, &a);
	a.throttle_time_ms = (int32_t)q->throttle_ms;
	if (!types_known(m)) {
		a.error_code = KAFKA_UNSUPPORTED_VERSION;
		a.config_resources = arena_array(&q->arena, 1, sizeof *a.config_resources);
	} else if (!fill_resources(q, m, &a)) {
		req_close(q);
		return;
	}
	req_answer(q, &wire_list_config_resources_response, &a);
}
