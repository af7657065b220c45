/*
 * api_records.c - DeleteRecords: moves the start of logs (trap 85).
 *
 * Only the start of the log moves here; the storage process removes the segments below it. A
 * partition whose lock is taken is tried again until the request's time is over.
 */
#include <stddef.h>

#include "broker/api.h"
#include "broker/topic_create.h"
#include "broker/worker.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

#define TO_HIGH_WATERMARK (-1)
#define RETRY_US 2000u
#define CLEANUP_COMPACT 2

typedef struct delete_records_response_delete_records_partition_result part_answer;
typedef struct delete_records_response_delete_records_topic_result topic_answer;

struct deletes {
	struct req *q;
	struct delete_records_request *m;
	struct delete_records_response a;
	int32_t topic, part;		/* the next one */
	uint64_t until_us;
};

static int16_t delete_error(struct worker *w, const struct api_place *place, int err)
{
	switch (err) {
	case E_RANGE: return KAFKA_OFFSET_OUT_OF_RANGE;
	case E_AGAIN: return KAFKA_REQUEST_TIMED_OUT;
	default: return api_part_error(w, place->part.slot, err);
	}
}

/* E_AGAIN: the lock is taken. */
static int move_start(struct worker *w, const struct api_place *place, int64_t offset, int64_t *ret_low)
{
	uint32_t slot = place->part.slot;
	struct part_view v;
	uint64_t wake = 0;
	int err = part_view(w->env->table, slot, &place->topic.id, &v);

	if (err == OK)
		err = part_set_log_start(w->env->table, slot,
					 offset == TO_HIGH_WATERMARK ? v.high_watermark : offset, &wake);
	worker_wake_mask(w, wake, slot);
	if (err == OK)
		err = part_view(w->env->table, slot, &place->topic.id, &v);
	if (err == OK)
		*ret_low = v.log_start;
	return err;
}

/* False: to be tried again. */
static bool one(struct deletes *d, struct str topic, const struct delete_records_request_delete_records_partition *p,
		part_answer *a)
{
	struct worker *w = d->q->w;
	struct api_place place;

	a->low_watermark = -1;
	api_find(w, topic, NULL, p->partition_index, -1, &place);
	a->error_code = place.error;
	if (place.known && topic_is_internal(topic))
		a->error_code = KAFKA_INVALID_TOPIC_EXCEPTION;		/* trap 26 */
	else if (place.error == KAFKA_NONE && place.topic.conf.cleanup == CLEANUP_COMPACT)
		a->error_code = KAFKA_POLICY_VIOLATION;
	if (a->error_code != KAFKA_NONE)
		return true;
	int err = move_start(w, &place, p->offset, &a->low_watermark);
	if (err == E_AGAIN && worker_now_us(w) < d->until_us)
		return false;
	if (err != OK)
		a->error_code = delete_error(w, &place, err);
	return true;
}

static void run(struct deletes *d)
{
	struct req *q = d->q;

	for (; d->topic < d->a.topics_n; d->topic++, d->part = 0)
		for (; d->part < d->a.topics[d->topic].partitions_n; d->part++)
			if (!one(d, d->a.topics[d->topic].name, &d->m->topics[d->topic].partitions[d->part],
				 &d->a.topics[d->topic].partitions[d->part])) {
				wait_timer_set(&q->w->waits, &q->timer, worker_now_us(q->w) + RETRY_US);
				return;
			}
	if (q->conn)
		req_answer(q, &wire_delete_records_response, &d->a);
	else
		req_no_answer(q);
}

static void again(struct wait_timer *t)
{
	struct req *q = (struct req *)((char *)t - offsetof(struct req, timer));

	run(q->op);
}

static bool make(struct deletes *d)
{
	struct arena *arena = &d->q->arena;

	wire_init(&wire_delete_records_response, &d->a);
	d->a.throttle_time_ms = (int32_t)d->q->throttle_ms;
	d->a.topics_n = d->m->topics_n > 0 ? d->m->topics_n : 0;
	d->a.topics = arena_array(arena, (size_t)d->a.topics_n + 1, sizeof(topic_answer));
	if (!d->a.topics)
		return false;
	for (int32_t t = 0; t < d->a.topics_n; t++) {
		int32_t n = d->m->topics[t].partitions_n > 0 ? d->m->topics[t].partitions_n : 0;
		part_answer *v = arena_array(arena, (size_t)n + 1, sizeof *v);

		if (!v)
			return false;
		for (int32_t i = 0; i < n; i++)
			v[i].partition_index = d->m->topics[t].partitions[i].partition_index;
		d->a.topics[t] = (topic_answer){ d->m->topics[t].name, v, n };
	}
	return true;
}

void api_delete_records(struct req *q)
{
	struct delete_records_request *m = req_decode(q, &wire_delete_records_request, sizeof *m);

	if (!m)
		return;
	struct deletes *d = arena_alloc(&q->arena, sizeof *d);
	if (d)
		*d = (struct deletes){ .q = q, .m = m };
	if (!d || !make(d)) {
		req_close(q);
		return;
	}
	d->until_us = worker_now_us(q->w) + (m->timeout_ms > 0 ? (uint64_t)m->timeout_ms * 1000 : 0);
	q->op = d;
	q->timer.fire = again;
	run(d);
}
