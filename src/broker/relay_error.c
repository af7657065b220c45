/*
 * relay_error.c - "the coordinator is not available" (15) in the form of each API that can say it.
 *
 * All of these errors are retriable for every client; where the code stands differs by API and version.
 */
#include "broker/api.h"
#include "broker/relay.h"
#include "broker/worker.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

#define CODE KAFKA_COORDINATOR_NOT_AVAILABLE

/* An answer of one structure with the code at its top, all else at its defaults. */
#define TOP(name) do { \
	struct name##_response a; \
	wire_init(&wire_##name##_response, &a); \
	a.error_code = CODE; \
	req_answer(q, &wire_##name##_response, &a); \
} while (0)

static void find_coordinator(struct req *q)
{
	struct find_coordinator_request *m = req_decode(q, &wire_find_coordinator_request, sizeof *m);
	struct find_coordinator_response a;

	if (!m)
		return;
	wire_init(&wire_find_coordinator_response, &a);
	a.error_code = q->version >= 4 ? KAFKA_NONE : CODE;
	a.node_id = -1;
	a.port = -1;
	if (q->version >= 4 && m->coordinator_keys_n > 0) {
		a.coordinators_n = m->coordinator_keys_n;
		a.coordinators = arena_array(&q->arena, (size_t)a.coordinators_n, sizeof *a.coordinators);
		if (!a.coordinators) {
			req_close(q);
			return;
		}
		for (int32_t i = 0; i < a.coordinators_n; i++) {
			a.coordinators[i].key = m->coordinator_keys[i];
			a.coordinators[i].host = STR("");
			a.coordinators[i].node_id = a.coordinators[i].port = -1;
			a.coordinators[i].error_code = CODE;
			a.coordinators[i].error_message = STR_NULL;
		}
	}
	req_answer(q, &wire_find_coordinator_response, &a);
}

static void offset_commit(struct req *q)
{
	struct offset_commit_request *m = req_decode(q, &wire_offset_commit_request, sizeof *m);
	struct offset_commit_response a;

	if (!m)
		return;
	wire_init(&wire_offset_commit_response, &a);
	a.topics_n = m->topics_n < 0 ? 0 : m->topics_n;
	a.topics = arena_array(&q->arena, (size_t)a.topics_n + 1, sizeof *a.topics);
	for (int32_t i = 0; a.topics && i < a.topics_n; i++) {
		int32_t n = m->topics[i].partitions_n < 0 ? 0 : m->topics[i].partitions_n;

		a.topics[i].name = m->topics[i].name;
		a.topics[i].topic_id = m->topics[i].topic_id;
		a.topics[i].partitions_n = n;
		a.topics[i].partitions = arena_array(&q->arena, (size_t)n + 1, sizeof *a.topics[i].partitions);
		for (int32_t k = 0; a.topics[i].partitions && k < n; k++) {
			a.topics[i].partitions[k].partition_index = m->topics[i].partitions[k].partition_index;
			a.topics[i].partitions[k].error_code = CODE;
		}
		if (!a.topics[i].partitions)
			a.topics[i].partitions_n = 0;
	}
	if (!a.topics)
		a.topics_n = 0;
	req_answer(q, &wire_offset_commit_response, &a);
}

static void describe_groups(struct req *q)
{
	struct describe_groups_request *m = req_decode(q, &wire_describe_groups_request, sizeof *m);
	struct describe_groups_response a;

	if (!m)
		return;
	wire_init(&wire_describe_groups_response, &a);
	a.groups_n = m->groups_n < 0 ? 0 : m->groups_n;
	a.groups = arena_array(&q->arena, (size_t)a.groups_n + 1, sizeof *a.groups);
	for (int32_t i = 0; a.groups && i < a.groups_n; i++) {
		a.groups[i].error_code = CODE;
		a.groups[i].error_message = STR_NULL;
		a.groups[i].group_id = m->groups[i];
		a.groups[i].group_state = a.groups[i].protocol_type = a.groups[i].protocol_data = STR("");
		a.groups[i].authorized_operations = INT32_MIN;
	}
	if (!a.groups)
		a.groups_n = 0;
	req_answer(q, &wire_describe_groups_response, &a);
}

static void delete_groups(struct req *q)
{
	struct delete_groups_request *m = req_decode(q, &wire_delete_groups_request, sizeof *m);
	struct delete_groups_response a;

	if (!m)
		return;
	wire_init(&wire_delete_groups_response, &a);
	a.results_n = m->groups_names_n < 0 ? 0 : m->groups_names_n;
	a.results = arena_array(&q->arena, (size_t)a.results_n + 1, sizeof *a.results);
	for (int32_t i = 0; a.results && i < a.results_n; i++) {
		a.results[i].group_id = m->groups_names[i];
		a.results[i].error_code = CODE;
	}
	if (!a.results)
		a.results_n = 0;
	req_answer(q, &wire_delete_groups_response, &a);
}

static void offset_fetch(struct req *q)
{
	struct offset_fetch_request *m = req_decode(q, &wire_offset_fetch_request, sizeof *m);
	struct offset_fetch_response a;

	if (!m)
		return;
	wire_init(&wire_offset_fetch_response, &a);
	if (q->version < 8) {
		a.error_code = CODE;
	} else {
		a.groups_n = m->groups_n < 0 ? 0 : m->groups_n;
		a.groups = arena_array(&q->arena, (size_t)a.groups_n + 1, sizeof *a.groups);
		for (int32_t i = 0; a.groups && i < a.groups_n; i++) {
			a.groups[i].group_id = m->groups[i].group_id;
			a.groups[i].error_code = CODE;
		}
		if (!a.groups)
			a.groups_n = 0;
	}
	req_answer(q, &wire_offset_fetch_response, &a);
}

static void join_group(struct req *q)
{
	struct join_group_response a;

	wire_init(&wire_join_group_response, &a);
	a.error_code = CODE;
	a.generation_id = -1;
	/* Null is only allowed from version 7 on; clients look at the code first. */
	a.protocol_name = a.leader = a.member_id = STR("");
	req_answer(q, &wire_join_group_response, &a);
}

bool relay_error(struct req *q)
{
	switch (q->api->key) {
	case 8: offset_commit(q); return true;
	case 9:
		if (q->version < 2)	/* no place for the code: clients retry on a new connection */
			return false;
		offset_fetch(q);
		return true;
	case 10: find_coordinator(q); return true;
	case 11: join_group(q); return true;
	case 12: TOP(heartbeat); return true;
	case 13: TOP(leave_group); return true;
	case 14: TOP(sync_group); return true;
	case 15: describe_groups(q); return true;
	case 16: TOP(list_groups); return true;
	case 22: {
		struct init_producer_id_response a;

		wire_init(&wire_init_producer_id_response, &a);
		a.error_code = CODE;
		a.producer_id = a.producer_epoch = -1;
		req_answer(q, &wire_init_producer_id_response, &a);
		return true;
	}
	case 42: delete_groups(q); return true;
	case 47: TOP(offset_delete); return true;
	default: return false;
	}
}
