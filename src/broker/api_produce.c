/*
 * api_produce.c - Produce: check each partition's batch, append, wait for the acknowledgement, answer.
 *
 *   api_produce -> check (errors at once) -> append_submit ... append_run -> on_appended
 *               -> big check off the loop -> on_big_checked -> append_submit
 *     acks 0, 1   all appended -> finish
 *     acks -1     all appended -> wait until the high watermark covers each -> finish | deadline: 7
 *
 * Every partition has its own result; one that is refused or late does not touch the others.
 */
#include <stddef.h>

#include "base/assert.h"
#include "base/be.h"
#include "broker/api.h"
#include "broker/append.h"
#include "broker/part_conf.h"
#include "broker/produce_check.h"
#include "broker/worker.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

struct part_op {			/* one partition of one request */
	struct produce *op;
	struct append a;
	struct waiter wt;
	struct produce_checked checked;
	uint32_t slot;
	uint32_t sent;			/* bytes */
	int32_t index;
	int16_t error;
	int64_t base_offset, append_time_ms, log_start;
	int32_t leader, leader_epoch;	/* answered with error 6 */
	bool log_append_time;
	bool waiting;			/* for the high watermark */
};

struct produce {
	struct req *q;
	struct produce_request *m;
	struct part_op *parts;
	uint32_t n;
	uint32_t appending;		/* not in the log yet */
	uint32_t waiting;		/* not acknowledged yet */
	bool checking;			/* api_produce() is not through: do not finish */
};

/* ---- the answer ----------------------------------------------------------------------------- */

typedef struct produce_response_topic_produce_response topic_answer;
typedef struct produce_response_partition_produce_response part_answer;

static bool fill_part(struct produce *op, const struct part_op *p, part_answer *a)
{
	struct arena *arena = &op->q->arena;

	a->index = p->index;
	a->error_code = p->error;
	a->base_offset = p->base_offset;
	a->log_append_time_ms = p->append_time_ms;
	a->log_start_offset = p->log_start;
	a->error_message = str_of(p->checked.message);
	a->current_leader.leader_id = op->q->version >= 10 ? p->leader : -1;
	a->current_leader.leader_epoch = op->q->version >= 10 ? p->leader_epoch : -1;
	if (p->checked.record_errors_n == 0)
		return true;
	a->record_errors = arena_array(arena, (size_t)p->checked.record_errors_n, sizeof *a->record_errors);
	if (!a->record_errors)
		return false;
	a->record_errors_n = p->checked.record_errors_n;
	for (int32_t i = 0; i < a->record_errors_n; i++) {
		a->record_errors[i].batch_index = p->checked.record_errors[i];
		a->record_errors[i].batch_index_error_message = str_of(p->checked.message);
	}
	return true;
}

/* Endpoints of the leaders that error 6 names (v10+). */
static void fill_endpoints(struct produce *op, struct produce_response *a)
{
	struct worker *w = op->q->w;

	for (uint32_t i = 0; i < op->n && w->im; i++) {
		struct image_broker b;
		struct image_endpoint e;
		bool have = op->parts[i].leader < 0;

		for (int32_t k = 0; k < a->node_endpoints_n; k++)
			have |= a->node_endpoints[k].node_id == op->parts[i].leader;
		if (have || !image_broker_by_id(w->im, op->parts[i].leader, &b) ||
		    !api_endpoint(op->q, &b, &e))
			continue;
		if (!a->node_endpoints)
			a->node_endpoints = arena_array(&op->q->arena, op->n, sizeof *a->node_endpoints);
		if (!a->node_endpoints)
			return;
		a->node_endpoints[a->node_endpoints_n++] = (struct produce_response_node_endpoint){
			.node_id = b.id, .host = e.host, .port = e.port, .rack = b.rack,
		};
	}
}

static bool fill(struct produce *op, struct produce_response *a)
{
	struct arena *arena = &op->q->arena;
	const struct part_op *p = op->parts;

	wire_init(&wire_produce_response, a);
	a->throttle_time_ms = (int32_t)op->q->throttle_ms;
	a->responses_n = op->m->topic_data_n;
	a->responses = arena_array(arena, (size_t)a->responses_n + 1, sizeof *a->responses);
	if (!a->responses)
		return false;
	for (int32_t t = 0; t < a->responses_n; t++) {
		topic_answer *ta = &a->responses[t];

		ta->name = op->m->topic_data[t].name;
		ta->topic_id = op->m->topic_data[t].topic_id;
		ta->partition_responses_n = op->m->topic_data[t].partition_data_n;
		ta->partition_responses = arena_array(arena, (size_t)ta->partition_responses_n + 1,
						      sizeof *ta->partition_responses);
		if (!ta->partition_responses)
			return false;
		for (int32_t i = 0; i < ta->partition_responses_n; i++)
			if (!fill_part(op, p++, &ta->partition_responses[i]))
				return false;
	}
	if (op->q->version >= 10)
		fill_endpoints(op, a);
	return true;
}

static void finish(struct produce *op)
{
	struct req *q = op->q;
	struct produce_response a;
	bool failed = false;

	for (uint32_t i = 0; i < op->n; i++) {
		struct part_op *p = &op->parts[i];

		mem_free(p->checked.recoded);
		failed |= p->error != KAFKA_NONE;
		if (p->error != KAFKA_NONE)
			count_add(q->w, COUNT_PRODUCE_FAILED, 1);
	}
	count_add(q->w, COUNT_PRODUCE_TIME_US, worker_now_us(q->w) - q->start_us);
	if (op->m->acks == 0) {		/* trap 12 */
		if (failed)
			req_close(q);
		else
			req_no_answer(q);
		return;
	}
	if (!q->conn)
		req_no_answer(q);
	else if (fill(op, &a))
		req_answer(q, &wire_produce_response, &a);
	else
		req_close(q);
}

static void maybe_finish(struct produce *op)
{
	if (!op->checking && op->appending == 0 && op->waiting == 0)
		finish(op);
}

/* ---- acks=-1 -------------------------------------------------------------------------------- */

static void set_not_leader(struct part_op *p)
{
	struct api_place place;

	p->error = KAFKA_NOT_LEADER_OR_FOLLOWER;
	api_find(p->op->q->w, STR(""), &p->a.topic_id, p->index, -1, &place);
	if (!place.known)
		return;
	p->leader = place.part.leader;
	p->leader_epoch = place.part.leader_epoch;
}

/* Is the partition's result known now? */
static bool acknowledged(struct part_op *p)
{
	struct worker *w = p->op->q->w;
	struct part_view v;
	int err = part_view(w->env->table, p->slot, &p->a.topic_id, &v);

	if (err != OK) {
		p->error = api_part_error(w, p->slot, err);
		if (p->error == KAFKA_NOT_LEADER_OR_FOLLOWER)
			set_not_leader(p);
		return true;
	}
	if (v.generation != p->a.ret.ticket.generation) {
		set_not_leader(p);
		return true;
	}
	return v.high_watermark >= p->a.ret.ticket.end_offset;	/* trap 42 */
}

/* The ISR shrank below the minimum after the append (trap 41). */
static bool too_few_replicas(const struct api_place *place)
{
	int32_t min = place->topic.conf.min_isr;

	if (min > place->part.replicas_n)
		min = place->part.replicas_n;
	return place->part.isr_n < min;
}

static void stop_waiting(struct part_op *p)
{
	struct produce *op = p->op;

	wait_remove(&op->q->w->waits, &p->wt);
	p->waiting = false;
	op->waiting--;
}

static void on_wake(struct waiter *wt)
{
	struct part_op *p = (struct part_op *)((char *)wt - offsetof(struct part_op, wt));
	struct api_place place;

	if (!acknowledged(p)) {
		api_find(p->op->q->w, STR(""), &p->a.topic_id, p->index, -1, &place);
		if (place.known && !too_few_replicas(&place))
			return;
		if (place.known)
			p->error = KAFKA_NOT_ENOUGH_REPLICAS_AFTER_APPEND;
		else
			set_not_leader(p);
	}
	stop_waiting(p);
	maybe_finish(p->op);
}

static void on_deadline(struct wait_timer *t)
{
	struct req *q = (struct req *)((char *)t - offsetof(struct req, timer));
	struct produce *op = q->op;

	for (uint32_t i = 0; i < op->n; i++) {
		struct part_op *p = &op->parts[i];

		if (!p->waiting)
			continue;
		stop_waiting(p);
		if (acknowledged(p))
			continue;
		p->error = KAFKA_REQUEST_TIMED_OUT;
		count_add(q->w, COUNT_PRODUCE_TIMEOUTS, 1);
	}
	maybe_finish(op);
}

static void wait_for_ack(struct part_op *p)
{
	struct produce *op = p->op;
	struct req *q = op->q;

	if (acknowledged(p))
		return;
	p->waiting = true;
	op->waiting++;
	p->wt.wake = on_wake;
	wait_add(&q->w->waits, &p->wt, p->slot);
	if (acknowledged(p)) {		/* between the look and the bit */
		stop_waiting(p);
		return;
	}
	if (q->timer.at != 0)
		return;
	uint64_t ms = op->m->timeout_ms > 0 ? (uint64_t)op->m->timeout_ms : 0;
	q->timer.fire = on_deadline;
	wait_timer_set(&q->w->waits, &q->timer, q->start_us + ms * 1000);
}

/* ---- appended ------------------------------------------------------------------------------- */

static void take_result(struct part_op *p)
{
	struct worker *w = p->op->q->w;
	const struct part_batch *b = &p->a.batch;

	if (p->a.err != OK) {
		p->error = api_part_error(w, p->slot, p->a.err);
		if (p->a.err == E_NOSPC)
			p->checked.message = "the disk of the partition's log directory is full";
		if (p->error == KAFKA_NOT_LEADER_OR_FOLLOWER)
			set_not_leader(p);
		return;
	}
	p->log_start = p->a.ret.log_start;
	if (b->err != OK) {
		p->error = b->kafka_error;
		if (p->error == KAFKA_NOT_LEADER_OR_FOLLOWER)
			set_not_leader(p);
		if (p->error == KAFKA_RECORD_LIST_TOO_LARGE)
			p->log_start = -1;
		return;
	}
	p->base_offset = b->base_offset;
	if (b->duplicate)
		p->append_time_ms = b->append_time_ms;
	else if (p->log_append_time)
		p->append_time_ms = b->max_timestamp;
	if (b->duplicate)
		return;
	count_add(w, COUNT_MESSAGES_IN, b->records);
	count_add(w, COUNT_BYTES_IN, p->checked.bytes);
}

static void on_appended(struct append *a)
{
	struct part_op *p = (struct part_op *)((char *)a - offsetof(struct part_op, a));
	struct produce *op = p->op;

	take_result(p);
	mem_free(p->checked.recoded);
	p->checked.recoded = NULL;
	op->appending--;
	if (p->error == KAFKA_NONE && op->m->acks == -1)
		wait_for_ack(p);
	maybe_finish(op);
}

/* ---- the request ---------------------------------------------------------------------------- */

static bool internal_refused(const struct req *q, const struct image_topic *t)
{
	return t->internal && !str_is(q->client_id, "__admin_client");	/* trap 26 */
}

/* The batch was checked: into the log, or the error. */
static void begin_append(struct part_op *p, const struct api_place *place)
{
	struct worker *w = p->op->q->w;
	struct part_view v;

	p->error = p->checked.error;
	p->slot = place->part.slot;
	if (p->error != KAFKA_NONE) {
		if (!p->checked.early && part_view(w->env->table, p->slot, &place->topic.id, &v) == OK)
			p->log_start = v.log_start;	/* trap 43 */
		count_add(w, COUNT_BYTES_REJECTED, p->sent);
		return;
	}
	p->log_append_time = place->topic.conf.timestamp_type == 1;
	p->a.slot = p->slot;
	p->a.epoch = place->part.leader_epoch;
	p->a.topic_id = place->topic.id;
	p->a.done = on_appended;
	p->a.conf = part_conf_of(&place->topic.conf, w->conf.producer_age_ms);
	p->op->appending++;
	append_submit(w, &p->a);
}

/* Leader, rights and minimum of replicas, now. */
static bool find_place(struct part_op *p, struct str name, const struct uuid *id, struct api_place *place)
{
	struct req *q = p->op->q;

	api_find(q->w, name, id, p->index, -1, place);
	if (place->known && internal_refused(q, &place->topic))
		place->error = KAFKA_INVALID_TOPIC_EXCEPTION;
	if (place->error == KAFKA_NOT_LEADER_OR_FOLLOWER && place->known) {
		p->leader = place->part.leader;
		p->leader_epoch = place->part.leader_epoch;
	}
	p->error = place->error;
	if (p->error == KAFKA_NONE && p->op->m->acks == -1 && too_few_replicas(place))
		p->error = KAFKA_NOT_ENOUGH_REPLICAS;	/* trap 41 */
	return p->error == KAFKA_NONE;
}

/* Off the loop it took a while: the partition is looked up again. */
static void on_big_checked(struct produce_big *b)
{
	struct part_op *p = (struct part_op *)((char *)b->head - offsetof(struct part_op, a) -
					       offsetof(struct append, head));
	struct api_place place;

	struct conn *c = p->op->q->conn;

	p->op->appending--;
	if (find_place(p, STR(""), &p->a.topic_id, &place))
		begin_append(p, &place);
	if (c)
		c->checking--;
	maybe_finish(p->op);
	if (c)
		conn_resume(c);
}

static void begin_big(struct part_op *p, const struct image_topic *t, struct bytes records)
{
	struct req *q = p->op->q;
	struct produce_big *b = arena_alloc(&q->arena, sizeof *b);

	if (!b) {
		p->error = KAFKA_MESSAGE_TOO_LARGE;
		return;
	}
	b->done = on_big_checked;
	p->a.topic_id = t->id;
	p->op->appending++;
	if (q->conn)
		q->conn->checking++;
	produce_check_big(b, q, t, records, p->a.head, &p->a.batch, &p->checked);
}

static void begin_part(struct part_op *p, const struct produce_request_topic_produce_data *t,
		       struct bytes records)
{
	struct req *q = p->op->q;
	struct api_place place;

	count_add(q->w, COUNT_PRODUCE_REQUESTS, 1);
	p->sent = records.len > 0 ? (uint32_t)records.len : 0;
	if (q->version >= 13 && uuid_is_zero(&t->topic_id)) {
		p->error = KAFKA_UNKNOWN_TOPIC_ID;
		return;
	}
	if (!find_place(p, t->name, q->version >= 13 ? &t->topic_id : NULL, &place))
		return;
	if (!produce_check(q, &place.topic, records, p->a.head, &p->a.batch, &p->checked))
		begin_big(p, &place.topic, records);
	else
		begin_append(p, &place);
}

/* Transactional data without a transactional id: nobody can be allowed it (trap 45). */
static bool nameless_transaction(const struct produce_request *m)
{
	for (int32_t t = 0; m->transactional_id.len < 0 && t < m->topic_data_n; t++)
		for (int32_t i = 0; i < m->topic_data[t].partition_data_n; i++) {
			struct bytes b = m->topic_data[t].partition_data[i].records;

			if (b.len >= BATCH_HEAD && b.p[BATCH_MAGIC_AT] == 2 &&
			    (be16_get(b.p + BATCH_ATTRIBUTES_AT) & BATCH_TRANSACTIONAL))
				return true;
		}
	return false;
}

static struct produce *make(struct req *q, struct produce_request *m)
{
	struct produce *op = arena_alloc(&q->arena, sizeof *op);
	size_t n = 0;

	for (int32_t t = 0; t < m->topic_data_n; t++)
		n += m->topic_data[t].partition_data_n > 0 ? (size_t)m->topic_data[t].partition_data_n : 0;
	if (!op)
		return NULL;
	*op = (struct produce){ .q = q, .m = m, .n = (uint32_t)n };
	op->parts = arena_array(&q->arena, n + 1, sizeof *op->parts);
	if (!op->parts)
		return NULL;
	struct part_op *p = op->parts;
	for (int32_t t = 0; t < m->topic_data_n; t++)
		for (int32_t i = 0; i < m->topic_data[t].partition_data_n; i++, p++)
			*p = (struct part_op){
				.op = op, .index = m->topic_data[t].partition_data[i].index,
				.base_offset = -1, .append_time_ms = -1, .log_start = -1,
				.leader = -1, .leader_epoch = -1,
			};
	return op;
}

void api_produce(struct req *q)
{
	struct produce_request *m = req_decode(q, &wire_produce_request, sizeof *m);

	if (!m)
		return;
	struct produce *op = make(q, m);
	if (!op) {
		req_close(q);
		return;
	}
	q->op = op;
	op->checking = true;
	bool nameless = nameless_transaction(m);
	struct part_op *p = op->parts;
	for (int32_t t = 0; t < m->topic_data_n; t++)
		for (int32_t i = 0; i < m->topic_data[t].partition_data_n; i++, p++) {
			if (nameless)
				p->error = KAFKA_TRANSACTIONAL_ID_AUTHORIZATION_FAILED;
			else if (m->acks < -1 || m->acks > 1)
				p->error = KAFKA_INVALID_REQUIRED_ACKS;	/* trap 41 */
			else
				begin_part(p, &m->topic_data[t],
					   m->topic_data[t].partition_data[i].records);
		}
	op->checking = false;
	maybe_finish(op);
}
