/*
 * api_topic.c - DescribeTopicPartitions: topics in the order of their names, in pages (trap 29).
 *
 * A page ends after so many partitions; the cursor in its answer says where the next one starts. The
 * last known ELR is empty: this cluster keeps no such set. No array is null: Java's clients need that.
 */
#include <stdlib.h>

#include "broker/api.h"
#include "broker/topic_create.h"
#include "broker/worker.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

typedef struct describe_topic_partitions_request request;
typedef struct describe_topic_partitions_response response;
typedef struct describe_topic_partitions_response_describe_topic_partitions_response_topic topic_answer;
typedef struct describe_topic_partitions_response_describe_topic_partitions_response_partition part_answer;

struct page {
	struct req *q;
	response *a;
	int32_t left;			/* partitions that still fit */
	struct describe_topic_partitions_response_cursor next;
};

static bool fill_part(struct req *q, const struct image_topic *t, int32_t idx, part_answer *a)
{
	struct image_part p = { .leader = -1, .leader_epoch = -1 };
	struct api_nodes n;

	image_part(q->w->im, t, idx, &p);
	if (!api_nodes(q, &p, &n))
		return false;
	wire_init(&wire_describe_topic_partitions_response_describe_topic_partitions_response_partition, a);
	a->partition_index = idx;
	a->leader_id = n.leader;
	a->leader_epoch = p.leader_epoch;
	a->replica_nodes = n.replicas;
	a->replica_nodes_n = n.replicas_n;
	a->isr_nodes = n.isr;
	a->isr_nodes_n = n.isr_n;
	a->eligible_leader_replicas = n.elr;
	a->eligible_leader_replicas_n = n.elr_n;
	a->last_known_elr = n.elr;
	a->last_known_elr_n = 0;
	a->offline_replicas = n.offline;
	a->offline_replicas_n = n.offline_n;
	return true;
}

static void end_page(struct page *p, struct str topic, int32_t partition)
{
	p->next.topic_name = topic;
	p->next.partition_index = partition;
	p->a->next_cursor = &p->next;
}

static bool fill_topic(struct page *p, const struct image_topic *t, int32_t from)
{
	topic_answer *ta = &p->a->topics[p->a->topics_n++];
	int32_t n = t->partitions - from;

	if (n > p->left) {
		n = p->left;
		end_page(p, t->name, from + n);
	}
	ta->name = t->name;
	ta->topic_id = t->id;
	ta->is_internal = t->internal;
	ta->topic_authorized_operations = API_TOPIC_OPERATIONS;
	ta->partitions = arena_array(&p->q->arena, (size_t)(n > 0 ? n : 0) + 1, sizeof *ta->partitions);
	if (!ta->partitions)
		return false;
	for (; ta->partitions_n < n; ta->partitions_n++)
		if (!fill_part(p->q, t, from + ta->partitions_n, &ta->partitions[ta->partitions_n]))
			return false;
	p->left -= ta->partitions_n;
	return true;
}

/* One name after the other, in order. False: no memory. */
static bool next_topic(struct page *p, struct str name, const struct image_topic *t, const request *m)
{
	if (p->left <= 0) {
		end_page(p, name, 0);
		return true;
	}
	if (t)
		return fill_topic(p, t, m->cursor && str_eq(name, m->cursor->topic_name) ?
				  m->cursor->partition_index : 0);
	topic_answer *ta = &p->a->topics[p->a->topics_n++];
	ta->name = name;
	ta->error_code = topic_name_ok(name) ? KAFKA_UNKNOWN_TOPIC_OR_PARTITION : KAFKA_INVALID_TOPIC_EXCEPTION;
	ta->is_internal = topic_is_internal(name);
	ta->topic_authorized_operations = API_TOPIC_OPERATIONS;
	return true;
}

static int by_name(const void *a, const void *b)
{
	return str_cmp(*(const struct str *)a, *(const struct str *)b);
}

static bool before_cursor(const request *m, struct str name)
{
	return m->cursor && str_cmp(name, m->cursor->topic_name) < 0;
}

static bool fill_all(struct page *p, const request *m)
{
	const struct image *im = p->q->w->im;
	uint32_t n = im ? image_topics(im) : 0;
	struct image_topic t;

	p->a->topics = arena_array(&p->q->arena, n + 1, sizeof(topic_answer));
	if (!p->a->topics)
		return false;
	for (uint32_t i = 0; i < n && !p->a->next_cursor; i++) {
		image_topic_at(im, i, &t);
		if (!before_cursor(m, t.name) && !next_topic(p, t.name, &t, m))
			return false;
	}
	return true;
}

/* Sorts the names of the request in place. */
static bool fill_asked(struct page *p, request *m)
{
	struct image_topic t;

	p->a->topics = arena_array(&p->q->arena, (size_t)m->topics_n + 1, sizeof(topic_answer));
	if (!p->a->topics)
		return false;
	qsort(m->topics, (size_t)m->topics_n, sizeof *m->topics, by_name);
	for (int32_t i = 0; i < m->topics_n && !p->a->next_cursor; i++) {
		struct str name = m->topics[i].name;
		bool known = p->q->w->im && image_topic_by_name(p->q->w->im, name, &t);

		if (before_cursor(m, name) || (i > 0 && str_eq(name, m->topics[i - 1].name)))
			continue;
		if (!next_topic(p, name, known ? &t : NULL, m))
			return false;
	}
	return true;
}

/* A cursor that does not fit the names: every topic that was asked for gets the error. */
static bool bad_cursor(const request *m)
{
	if (!m->cursor)
		return false;
	if (m->cursor->partition_index < 0)
		return true;
	for (int32_t i = 0; i < m->topics_n; i++)
		if (str_eq(m->topics[i].name, m->cursor->topic_name))
			return false;
	return m->topics_n > 0;
}

static bool refuse(struct page *p, const request *m)
{
	int32_t n = m->topics_n > 0 ? m->topics_n : 0;

	p->a->topics = arena_array(&p->q->arena, (size_t)n + 1, sizeof(topic_answer));
	if (!p->a->topics)
		return false;
	for (int32_t i = 0; i < n; i++) {
		p->a->topics[i].name = m->topics[i].name;
		p->a->topics[i].error_code = KAFKA_INVALID_REQUEST;
		p->a->topics[i].topic_authorized_operations = INT32_MIN;
	}
	p->a->topics_n = n;
	return true;
}

void api_describe_topic_partitions(struct req *q)
{
	request *m = req_decode(q, &wire_describe_topic_partitions_request, sizeof *m);
	response a;
	bool ok;

	if (!m)
		return;
	wire_init(&wire_describe_topic_partitions_response, &a);
	a.throttle_time_ms = (int32_t)q->throttle_ms;
	struct page p = { .q = q, .a = &a, .left = m->response_partition_limit };
	if (p.left > q->w->conf.describe_max)
		p.left = q->w->conf.describe_max;
	if (p.left < 1)
		p.left = 1;
	if (bad_cursor(m))
		ok = refuse(&p, m);
	else
		ok = m->topics_n > 0 ? fill_asked(&p, m) : fill_all(&p, m);
	if (ok)
		req_answer(q, &wire_describe_topic_partitions_response, &a);
	else
		req_close(q);
}
