/* api.c - see api.h. */
#include "broker/api.h"

#include "base/assert.h"
#include "broker/fetch_session.h"
#include "broker/relay.h"
#include "broker/worker.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"

static void (*handler(int16_t key))(struct req *q)
{
	switch (key) {
	case API_KEY_PRODUCE: return api_produce;
	case API_KEY_FETCH: return api_fetch;
	case API_KEY_LIST_OFFSETS: return api_list_offsets;
	case API_KEY_METADATA: return api_metadata;
	case API_KEY_API_VERSIONS: return api_versions;
	case API_KEY_OFFSET_FOR_LEADER_EPOCH: return api_offset_for_leader_epoch;
	case API_KEY_DELETE_RECORDS: return api_delete_records;
	case API_KEY_DESCRIBE_CLUSTER: return api_describe_cluster;
	case API_KEY_DESCRIBE_PRODUCERS: return api_describe_producers;
	case API_KEY_LIST_CONFIG_RESOURCES: return api_list_config_resources;
	case API_KEY_DESCRIBE_TOPIC_PARTITIONS: return api_describe_topic_partitions;
	default: return NULL;
	}
}

static enum counter counter_of(int16_t key)
{
	switch (key) {
	case API_KEY_PRODUCE: return COUNT_REQ_PRODUCE;
	case API_KEY_FETCH: return COUNT_REQ_FETCH;
	case API_KEY_LIST_OFFSETS: return COUNT_REQ_LIST_OFFSETS;
	case API_KEY_METADATA: return COUNT_REQ_METADATA;
	case API_KEY_API_VERSIONS: return COUNT_REQ_API_VERSIONS;
	default: return COUNT_REQ_OTHER;
	}
}

bool api_serves(const struct kafka_api *api, int16_t version)
{
	if (version < api->min || version > api->max)
		return false;
	switch (api->served_by) {
	case API_WORKER: return handler(api->key) != NULL;
	case API_AGENT:
	case API_GROUPS: return true;
	case API_NONE: return false;
	}
	return false;
}

/*
 * May this connection's principal do what the API's row says? Every listener is open today and the
 * cluster has no ACLs: everybody may do everything, which is Kafka's answer without an authorizer.
 */
static bool authorize(const struct req *q)
{
	return q->conn->auth == CONN_OPEN;
}

/*
 * Milliseconds that this connection is to be left unread after the answer (trap 10). The cluster has no
 * quota settings yet, so nobody uses too much; conn.c carries out whatever is said here.
 */
static uint32_t throttle(const struct req *q)
{
	(void)q;
	return 0;
}

void api_dispatch(struct req *q)
{
	struct worker *w = q->w;

	count_add(w, counter_of(q->api->key), 1);
	if (!authorize(q)) {
		req_close(q);
		return;
	}
	q->throttle_ms = throttle(q);
	switch (q->api->served_by) {
	case API_WORKER:
		handler(q->api->key)(q);
		break;
	case API_AGENT:
		relay_request(w->agent, q);
		break;
	case API_GROUPS:
		relay_request(relay_route(w, q), q);
		break;
	case API_NONE:
		req_close(q);
		break;
	}
}

void api_conn_gone(struct conn *c)
{
	fetch_sessions_conn_gone(c->w->sessions, c);
}

int16_t api_part_error(struct worker *w, uint32_t slot, int err)
{
	switch (err) {
	case OK:
		return KAFKA_NONE;
	case E_NOENT:
		return part_slot_state(w->env->table, slot) == PART_OFFLINE ?
		       KAFKA_KAFKA_STORAGE_ERROR : KAFKA_NOT_LEADER_OR_FOLLOWER;
	case E_FENCED:
		return KAFKA_NOT_LEADER_OR_FOLLOWER;
	case E_RANGE:
		return KAFKA_OFFSET_OUT_OF_RANGE;
	default:
		return KAFKA_KAFKA_STORAGE_ERROR;
	}
}

static bool in(const int32_t *v, int32_t n, int32_t id)
{
	for (int32_t i = 0; i < n; i++)
		if (v[i] == id)
			return true;
	return false;
}

void api_find(struct worker *w, struct str name, const struct uuid *id, int32_t partition,
	      int32_t epoch, struct api_place *ret)
{
	bool by_id = id && !uuid_is_zero(id);

	*ret = (struct api_place){ .error = by_id ? KAFKA_UNKNOWN_TOPIC_ID :
					    KAFKA_UNKNOWN_TOPIC_OR_PARTITION };
	if (!w->im)
		return;
	if (by_id ? !image_topic_by_id(w->im, id, &ret->topic) :
		    !image_topic_by_name(w->im, name, &ret->topic))
		return;
	if (!image_part(w->im, &ret->topic, partition, &ret->part)) {
		ret->error = KAFKA_UNKNOWN_TOPIC_OR_PARTITION;
		return;
	}
	ret->known = true;
	int32_t self = w->env->node_id;
	if (!in(ret->part.replicas, ret->part.replicas_n, self))
		ret->error = KAFKA_NOT_LEADER_OR_FOLLOWER;
	else if (epoch != -1 && epoch < ret->part.leader_epoch)
		ret->error = KAFKA_FENCED_LEADER_EPOCH;
	else if (epoch != -1 && epoch > ret->part.leader_epoch)
		ret->error = KAFKA_UNKNOWN_LEADER_EPOCH;
	else if (ret->part.leader != self || ret->part.slot == PART_SLOT_NONE)
		ret->error = KAFKA_NOT_LEADER_OR_FOLLOWER;
	else
		ret->error = KAFKA_NONE;
}

bool api_endpoint(struct req *q, const struct image_broker *b, struct image_endpoint *ret)
{
	struct role_env *env = q->w->env;

	return q->conn && image_endpoint(q->w->im, b, str_of(env->listeners[q->conn->listener].name), ret);
}
