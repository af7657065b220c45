/*
 * api_producers.c - DescribeProducers: the producers that a partition knows, and their open transactions.
 *
 * The list is taken under the partition's lock; a taken lock is tried again for a moment.
 */
#include <stddef.h>

#include "broker/api.h"
#include "broker/topic_create.h"
#include "broker/worker.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

#define RETRY_US 2000u
#define WAIT_US UINT64_C(5000000)

typedef struct describe_producers_response_topic_response topic_answer;
typedef struct describe_producers_response_partition_response part_answer;
typedef struct describe_producers_response_producer_state state_answer;

struct producers {
	struct req *q;
	struct describe_producers_request *m;
	struct describe_producers_response a;
	int32_t topic, part;		/* the next one */
	uint64_t until_us;
};

static int take(struct worker *w, const struct api_place *place, struct arena *arena,
		struct part_producer_seen **ret, uint32_t *ret_n)
{
	uint32_t room = 64;

	for (;;) {
		uint64_t wake;

		*ret = arena_array(arena, room, sizeof **ret);
		if (!*ret)
			return E_LIMIT;
		int err = part_producers(w->env->table, place->part.slot, &place->topic.id, *ret, room, ret_n, &wake);
		worker_wake_mask(w, wake, place->part.slot);
		if (err != E_LIMIT)
			return err;
		room = *ret_n + 64;	/* some may come meanwhile */
	}
}

static bool show(struct req *q, const struct part_producer_seen *v, uint32_t n, part_answer *a)
{
	a->active_producers = arena_array(&q->arena, (size_t)n + 1, sizeof(state_answer));
	if (!a->active_producers)
		return false;
	for (uint32_t i = 0; i < n; i++)
		a->active_producers[i] = (state_answer){
			.producer_id = v[i].id, .producer_epoch = v[i].epoch, .last_sequence = v[i].last_sequence,
			.last_timestamp = v[i].last_timestamp, .coordinator_epoch = v[i].coordinator_epoch,
			.current_txn_start_offset = v[i].txn_start,
		};
	a->active_producers_n = (int32_t)n;
	return true;
}

/* What is said of a topic that is not there; Kafka says nothing of a partition that is not. */
static void unknown(struct req *q, struct str topic, part_answer *a)
{
	struct image_topic t;

	if (!topic_name_ok(topic)) {
		a->error_code = KAFKA_INVALID_TOPIC_EXCEPTION;
		a->error_message = STR("Topic name is invalid: it must have 1 to 249 of the characters a-z, A-Z, 0-9, "
				       "'.', '_' and '-', and not be '.' or '..'.");
	} else if (q->w->im && !image_topic_by_name(q->w->im, topic, &t)) {
		a->error_message = STR("This server does not host this topic-partition.");
	}
}

/* OK; E_AGAIN: to be tried again; E_LIMIT: no memory. */
static int one(struct producers *d, struct str topic, int32_t partition, part_answer *a)
{
	struct worker *w = d->q->w;
	struct part_producer_seen *v = NULL;
	struct api_place place;
	uint32_t n = 0;

	a->partition_index = partition;
	api_find(w, topic, NULL, partition, -1, &place);
	a->error_code = place.error;
	if (place.error == KAFKA_NONE) {
		int err = take(w, &place, &d->q->arena, &v, &n);

		if (err == E_LIMIT || (err == E_AGAIN && worker_now_us(w) < d->until_us))
			return err;
		a->error_code = err == E_AGAIN ? KAFKA_REQUEST_TIMED_OUT : api_part_error(w, place.part.slot, err);
	} else if (!place.known) {
		unknown(d->q, topic, a);
	}
	return show(d->q, v, n, a) ? OK : E_LIMIT;
}

static void run(struct producers *d)
{
	struct req *q = d->q;

	for (; d->topic < d->a.topics_n; d->topic++, d->part = 0)
		for (; d->part < d->a.topics[d->topic].partitions_n; d->part++) {
			int err = one(d, d->a.topics[d->topic].name, d->m->topics[d->topic].partition_indexes[d->part],
				      &d->a.topics[d->topic].partitions[d->part]);

			if (err == E_AGAIN) {
				wait_timer_set(&q->w->waits, &q->timer, worker_now_us(q->w) + RETRY_US);
				return;
			}
			if (err != OK) {
				req_close(q);
				return;
			}
		}
	if (q->conn)
		req_answer(q, &wire_describe_producers_response, &d->a);
	else
		req_no_answer(q);
}

static void again(struct wait_timer *t)
{
	struct req *q = (struct req *)((char *)t - offsetof(struct req, timer));

	run(q->op);
}

static bool make(struct producers *d)
{
	wire_init(&wire_describe_producers_response, &d->a);
	d->a.throttle_time_ms = (int32_t)d->q->throttle_ms;
	d->a.topics_n = d->m->topics_n > 0 ? d->m->topics_n : 0;
	d->a.topics = arena_array(&d->q->arena, (size_t)d->a.topics_n + 1, sizeof(topic_answer));
	if (!d->a.topics)
		return false;
	for (int32_t t = 0; t < d->a.topics_n; t++) {
		int32_t n = d->m->topics[t].partition_indexes_n > 0 ? d->m->topics[t].partition_indexes_n : 0;
		part_answer *v = arena_array(&d->q->arena, (size_t)n + 1, sizeof *v);

		if (!v)
			return false;
		for (int32_t i = 0; i < n; i++)
			wire_init(&wire_describe_producers_response_partition_response, &v[i]);
		d->a.topics[t] = (topic_answer){ d->m->topics[t].name, v, n };
	}
	return true;
}

void api_describe_producers(struct req *q)
{
	struct describe_producers_request *m = req_decode(q, &wire_describe_producers_request, sizeof *m);

	if (!m)
		return;
	struct producers *d = arena_alloc(&q->arena, sizeof *d);
	if (d)
		*d = (struct producers){ .q = q, .m = m, .until_us = worker_now_us(q->w) + WAIT_US };
	if (!d || !make(d)) {
		req_close(q);
		return;
	}
	q->op = d;
	q->timer.fire = again;
	run(d);
}
