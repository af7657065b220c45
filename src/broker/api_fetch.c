/*
 * api_fetch.c - Fetch: find the partitions, read them, wait when there is too little, answer.
 *
 *   api_fetch -> look (read every partition in order)
 *     enough, an error, no wait wanted -> finish -> [warm: the disk brings cold ranges] -> answer
 *     a cold batch header              -> warm it, look again
 *     else park: a waiter per partition, a deadline -> ready list -> look again at the turn hook
 *
 * Nothing of the data passes through this process: the answer holds file ranges (P6), and a range that is
 * not in the page cache is brought there off the loop before the answer leaves (P8).
 */
#include <stddef.h>

#include "base/assert.h"
#include "broker/api.h"
#include "broker/fetch.h"
#include "broker/fetch_session.h"
#include "broker/worker.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

struct fetch_wait {
	struct fetch *f;
	uint32_t i;
	struct waiter wt;
};

struct fetch {
	struct req *q;
	struct fetch_request *m;
	struct fetch_session *s;	/* incremental, else NULL */
	bool make_session;		/* full request that wants one */
	bool by_id, committed;
	int32_t replica_id;		/* -1: a consumer */
	struct fetch_want **wants;
	struct fetch_got *got;
	struct fetch_wait *waits;
	uint32_t n;
	uint64_t min_bytes, max_bytes;
	uint64_t bytes;			/* found by the last look */
	bool at_once;			/* it met an error, a divergence or the limit of the answer (trap 49) */
	bool again;			/* it met a cold header */
	bool parked, expired, failed;
	uint32_t warming;		/* disk requests that are out */
	uint32_t tries;			/* looks that met a cold header */
	struct reply *reply;		/* ready but for what is warming */
	struct fetch *prev_ready, *next_ready;
	bool is_ready;
};

#define COLD_TRIES 32			/* memory is short when what was just read is gone again */

static void look(struct fetch *f);
static void let_go(struct fetch *f);

/* ---- ready list ----------------------------------------------------------------------------- */

static void ready_push(struct fetch *f)
{
	struct worker *w = f->q->w;

	if (f->is_ready)
		return;
	f->is_ready = true;
	f->prev_ready = NULL;
	f->next_ready = w->fetch_ready;
	if (f->next_ready)
		f->next_ready->prev_ready = f;
	w->fetch_ready = f;
}

static void ready_remove(struct fetch *f)
{
	if (!f->is_ready)
		return;
	f->is_ready = false;
	if (f->prev_ready)
		f->prev_ready->next_ready = f->next_ready;
	else
		f->q->w->fetch_ready = f->next_ready;
	if (f->next_ready)
		f->next_ready->prev_ready = f->prev_ready;
}

static void unpark(struct fetch *f)
{
	if (!f->parked)
		return;
	f->parked = false;
	for (uint32_t i = 0; i < f->n; i++)
		wait_remove(&f->q->w->waits, &f->waits[i].wt);
}

void fetch_run_ready(struct worker *w)
{
	while (w->fetch_ready) {
		struct fetch *f = w->fetch_ready;

		ready_remove(f);
		unpark(f);
		look(f);
	}
}

/* ---- cold data ------------------------------------------------------------------------------ */

struct warm {
	struct disk_op op;
	struct fetch *f;
	struct part_range hold;		/* of a cold header; file -1: the reply holds its own */
};

static void on_warm(struct disk_op *op, int err)
{
	struct warm *wm = (struct warm *)((char *)op - offsetof(struct warm, op));
	struct fetch *f = wm->f;
	struct worker *w = f->q->w;

	if (wm->hold.file >= 0)
		part_range_release(w->env->table, &wm->hold);
	if (err != OK)
		f->failed = true;
	if (--f->warming > 0)
		return;
	if (!f->reply && !f->q->conn) {
		let_go(f);
		req_no_answer(f->q);
		return;
	}
	if (!f->reply) {
		if (f->failed || ++f->tries == COLD_TRIES)
			f->expired = true;
		look(f);
		return;
	}
	if (f->failed) {		/* the client asks again and meets the failed directory */
		reply_drop(f->reply);
		req_close(f->q);
		return;
	}
	req_reply(f->q, f->reply);
}

/* False: no memory left for it. */
static bool warm_up(struct fetch *f, const struct part_range *range, bool hold)
{
	struct warm *wm = arena_alloc(&f->q->arena, sizeof *wm);
	struct disk *disk = f->q->w->env->disk;

	if (!wm)
		return false;
	*wm = (struct warm){ .f = f, .hold = *range };
	if (!hold)
		wm->hold.file = -1;
	wm->op = (struct disk_op){ .what = DISK_WARM, .file = range->file, .off = range->off,
				   .len = (uint32_t)range->len, .done = on_warm };
	f->warming++;
	disk->calls->submit(disk, &wm->op);
	return true;
}

/* ---- one look at one partition --------------------------------------------------------------- */

static bool is_replica(const struct api_place *p, int32_t id)
{
	for (int32_t i = 0; i < p->part.replicas_n; i++)
		if (p->part.replicas[i] == id)
			return true;
	return false;
}

static void find(struct fetch *f, const struct fetch_want *want, struct api_place *place)
{
	api_find(f->q->w, want->topic, f->by_id ? &want->topic_id : NULL, want->partition,
		 want->leader_epoch, place);
	if (f->by_id && uuid_is_zero(&want->topic_id))
		place->error = KAFKA_UNKNOWN_TOPIC_ID;
	if (place->error == KAFKA_NONE && f->replica_id >= 0 && !is_replica(place, f->replica_id))
		place->error = want->leader_epoch >= 0 ? KAFKA_UNKNOWN_LEADER_EPOCH :
							 KAFKA_NOT_LEADER_OR_FOLLOWER; /* trap 57 */
}

static void set_error(struct fetch *f, struct fetch_got *g, int16_t error)
{
	g->error = error;
	g->high_watermark = g->last_stable = g->log_start = -1;
	f->at_once = true;
}

/* Trap 53. True: the answer of this partition is its divergence (or an error). */
static bool diverges(struct fetch *f, const struct fetch_want *want, struct fetch_got *g)
{
	struct part_epoch_end end;

	if (want->last_epoch < 0)
		return false;
	int err = part_epoch_end(f->q->w->env->table, g->slot, want->last_epoch, &end);
	if (err != OK) {
		set_error(f, g, api_part_error(f->q->w, g->slot, err));
		return true;
	}
	if (end.epoch < 0 || end.end_offset < 0) {
		set_error(f, g, KAFKA_OFFSET_OUT_OF_RANGE);
		return true;
	}
	if (end.epoch >= want->last_epoch && end.end_offset >= want->offset)
		return false;
	g->diverging_epoch = end.epoch;
	g->diverging_end = end.end_offset;
	f->at_once = true;
	return true;
}

static void read_range(struct fetch *f, const struct fetch_want *want, struct fetch_got *g,
		       const struct part_view *v)
{
	bool first = f->bytes == 0;	/* trap 47 */
	uint64_t left = f->max_bytes > f->bytes ? f->max_bytes - f->bytes : 0;
	uint32_t room = left < want->max_bytes ? (uint32_t)left : want->max_bytes;

	if (want->offset >= g->limit || (!first && room == 0))
		return;
	int err = part_read(f->q->w->env->table, g->slot, v, want->offset, g->limit, room, first, &g->range);
	if (err == E_AGAIN) {
		if (warm_up(f, &g->range, true))
			f->again = true;
		g->range.len = 0;
		return;
	}
	if (err != OK) {
		g->range.len = 0;
		set_error(f, g, api_part_error(f->q->w, g->slot, err));
		return;
	}
	f->bytes += g->range.len;
	/* More is there and the answer has no room for it: nothing to wait for. */
	f->at_once |= left <= want->max_bytes && g->range.next_offset < g->limit;
}

static void look_at(struct fetch *f, uint32_t i)
{
	const struct fetch_want *want = f->wants[i];
	struct fetch_got *g = &f->got[i];
	struct worker *w = f->q->w;
	struct api_place place;
	struct part_view v;

	*g = (struct fetch_got){ .slot = PART_SLOT_NONE, .diverging_end = -1, .leader = -1, .leader_epoch = -1 };
	find(f, want, &place);
	if (place.error != KAFKA_NONE) {
		set_error(f, g, place.error);
		if (place.known && (place.error == KAFKA_NOT_LEADER_OR_FOLLOWER ||
				    place.error == KAFKA_FENCED_LEADER_EPOCH)) {
			g->leader = place.part.leader;
			g->leader_epoch = place.part.leader_epoch;
		}
		return;
	}
	g->slot = place.part.slot;
	g->topic_id = place.topic.id;
	int err = part_view(w->env->table, g->slot, &place.topic.id, &v);
	if (err != OK) {
		set_error(f, g, api_part_error(w, g->slot, err));
		return;
	}
	g->high_watermark = v.high_watermark;
	g->last_stable = v.last_stable;
	g->log_start = v.log_start;
	g->limit = f->replica_id >= 0 ? v.end : f->committed ? v.last_stable : v.high_watermark;
	if (diverges(f, want, g))
		return;
	if (want->offset < v.log_start || want->offset > v.end)	/* trap 51 */
		set_error(f, g, KAFKA_OFFSET_OUT_OF_RANGE);
	else
		read_range(f, want, g, &v);
}

/* ---- the answer ----------------------------------------------------------------------------- */

/* Trap 54: does the client learn something new from this partition? */
static bool is_news(struct fetch_want *want, const struct fetch_got *g)
{
	bool news = g->range.len > 0 || g->error != KAFKA_NONE || g->diverging_end >= 0 ||
		    want->told_high_watermark != g->high_watermark ||
		    want->told_log_start != g->log_start;

	want->told_high_watermark = g->error != KAFKA_NONE ? -1 : g->high_watermark;
	want->told_log_start = g->log_start;
	return news;
}

struct endpoints {
	struct image_endpoint *at;
	int32_t *ids;
	struct str *racks;
	uint32_t n;
};

static void add_endpoint(struct fetch *f, int32_t id, struct endpoints *e)
{
	struct image_broker b;
	struct image_endpoint at;

	for (uint32_t i = 0; i < e->n; i++)
		if (e->ids[i] == id)
			return;
	if (!image_broker_by_id(f->q->w->im, id, &b) || !api_endpoint(f->q, &b, &at))
		return;
	if (!e->at) {
		e->at = arena_array(&f->q->arena, f->n, sizeof *e->at);
		e->ids = arena_array(&f->q->arena, f->n, sizeof *e->ids);
		e->racks = arena_array(&f->q->arena, f->n, sizeof *e->racks);
	}
	if (!e->at || !e->ids || !e->racks)
		return;
	e->at[e->n] = at;
	e->ids[e->n] = id;
	e->racks[e->n++] = b.rack;
}

static void session_answer(struct fetch *f, struct fetch_answer *a)
{
	struct worker *w = f->q->w;
	bool evicted = false;

	if (f->s) {
		a->session_id = f->s->id;
		for (uint32_t i = 0; i < f->n; i++) {
			f->got[i].left_out = !is_news(f->wants[i], &f->got[i]);
			if (f->got[i].range.len > 0)
				fetch_session_to_tail(f->s, f->wants[i]);
		}
		return;
	}
	if (!f->make_session || !f->q->conn)
		return;
	a->session_id = fetch_session_make(w->sessions, f->q->conn, f->by_id, f->wants, f->got, f->n,
					   worker_now_us(w), &evicted);
	count_add(w, COUNT_FETCH_SESSIONS, a->session_id != 0);
	count_add(w, COUNT_FETCH_SESSIONS_EVICTED, evicted);
}

static void let_go(struct fetch *f)
{
	unpark(f);
	ready_remove(f);
	if (f->s)
		fetch_session_put(f->q->w->sessions, f->s);
	f->s = NULL;
}

static void drop_ranges(struct fetch *f)
{
	for (uint32_t i = 0; i < f->n; i++) {
		if (f->got[i].range.len > 0)
			part_range_release(f->q->w->env->table, &f->got[i].range);
		f->got[i].range.len = 0;
	}
}

static void finish(struct fetch *f)
{
	struct req *q = f->q;
	struct worker *w = q->w;
	struct endpoints e = { 0 };
	struct fetch_answer a = {
		.version = q->version, .throttle_ms = q->throttle_ms, .committed = f->committed,
		.wants = f->wants, .got = f->got, .n = f->n,
	};

	q->on_gone = NULL;
	wait_timer_stop(&w->waits, &q->timer);
	if (!q->conn) {
		drop_ranges(f);
		let_go(f);
		if (f->warming == 0)	/* else on_warm() ends it */
			req_no_answer(q);
		return;
	}
	session_answer(f, &a);
	for (uint32_t i = 0; i < f->n; i++) {
		if (f->got[i].error != KAFKA_NONE)
			count_add(w, COUNT_FETCH_FAILED, 1);
		if (q->version < 16)
			f->got[i].leader = -1;
		else if (f->got[i].leader >= 0 && f->replica_id < 0)	/* brokers know each other (trap 60) */
			add_endpoint(f, f->got[i].leader, &e);
		if (f->got[i].range.len > 0 && !f->got[i].range.warm)
			warm_up(f, &f->got[i].range, false);
	}
	a.endpoints = e.at;
	a.endpoint_ids = e.ids;
	a.endpoint_racks = e.racks;
	a.endpoints_n = e.n;
	struct reply *r = req_reply_begin(q);
	fetch_encode(&a, r);
	let_go(f);
	count_add(w, COUNT_BYTES_OUT, f->bytes);
	count_add(w, COUNT_FETCH_TIME_US, worker_now_us(w) - q->start_us);
	if (f->warming > 0) {
		count_add(w, COUNT_FETCH_COLD, 1);
		f->reply = r;
		return;
	}
	req_reply(q, r);
}

/* ---- waiting -------------------------------------------------------------------------------- */

static bool changed(struct fetch *f, uint32_t i)
{
	const struct fetch_got *g = &f->got[i];
	struct api_place place;
	struct part_view v;

	find(f, f->wants[i], &place);
	if (place.error != KAFKA_NONE || place.part.slot != g->slot ||
	    part_view(f->q->w->env->table, g->slot, &g->topic_id, &v) != OK)
		return true;
	int64_t limit = f->replica_id >= 0 ? v.end : f->committed ? v.last_stable : v.high_watermark;
	return limit > g->limit || v.log_start > f->wants[i]->offset || v.end < f->wants[i]->offset;
}

static void on_wake(struct waiter *wt)
{
	struct fetch_wait *fw = (struct fetch_wait *)((char *)wt - offsetof(struct fetch_wait, wt));

	if (changed(fw->f, fw->i))
		ready_push(fw->f);
}

static void on_deadline(struct wait_timer *t)
{
	struct req *q = (struct req *)((char *)t - offsetof(struct req, timer));
	struct fetch *f = q->op;

	f->expired = true;
	if (f->parked)
		ready_push(f);
}

static void on_gone(struct req *q)
{
	let_go(q->op);
	req_no_answer(q);
}

static void park(struct fetch *f)
{
	struct req *q = f->q;
	struct worker *w = q->w;

	drop_ranges(f);
	if (!f->waits) {
		f->waits = arena_array(&q->arena, f->n, sizeof *f->waits);
		if (!f->waits) {
			f->expired = true;
			look(f);
			return;
		}
		count_add(w, COUNT_FETCH_PARKED, 1);
		q->timer.fire = on_deadline;
		wait_timer_set(&w->waits, &q->timer, q->start_us + (uint64_t)f->m->max_wait_ms * 1000);
	}
	f->parked = true;
	q->on_gone = on_gone;
	for (uint32_t i = 0; i < f->n; i++) {
		f->waits[i] = (struct fetch_wait){ .f = f, .i = i, .wt.wake = on_wake };
		wait_add(&w->waits, &f->waits[i].wt, f->got[i].slot);
		if (changed(f, i))	/* between the look and the bit (W2) */
			ready_push(f);
	}
}

static void look(struct fetch *f)
{
	f->bytes = 0;
	f->at_once = f->again = false;
	for (uint32_t i = 0; i < f->n; i++)
		look_at(f, i);
	if (f->again && !f->expired) {
		drop_ranges(f);
		f->q->on_gone = NULL;	/* on_warm() looks again, whoever is there then */
		return;
	}
	if (f->expired || f->at_once || f->n == 0 || f->m->max_wait_ms <= 0 || f->bytes >= f->min_bytes)
		finish(f);
	else
		park(f);
}

/* ---- the request ---------------------------------------------------------------------------- */

static void answer_error(struct fetch *f, int16_t error)
{
	struct fetch_answer a = { .version = f->q->version, .throttle_ms = f->q->throttle_ms, .error = error };
	struct reply *r = req_reply_begin(f->q);

	fetch_encode(&a, r);
	req_reply(f->q, r);
}

static bool wants_of_request(struct fetch *f)
{
	const struct fetch_request *m = f->m;
	struct arena *arena = &f->q->arena;
	size_t n = 0;

	for (int32_t t = 0; t < m->topics_n; t++)
		n += m->topics[t].partitions_n > 0 ? (size_t)m->topics[t].partitions_n : 0;
	struct fetch_want *v = arena_array(arena, n + 1, sizeof *v);
	f->wants = arena_array(arena, n + 1, sizeof(struct fetch_want *));
	if (!v || !f->wants)
		return false;
	for (int32_t t = 0; t < m->topics_n; t++)
		for (int32_t i = 0; i < m->topics[t].partitions_n; i++) {
			fetch_want_of(&m->topics[t], &m->topics[t].partitions[i], &v[f->n]);
			f->wants[f->n] = &v[f->n];
			f->n++;
		}
	return true;
}

static bool wants_of_session(struct fetch *f)
{
	f->wants = arena_array(&f->q->arena, f->s->n + 1, sizeof(struct fetch_want *));
	if (!f->wants)
		return false;
	for (struct fetch_want *w = f->s->first; w; w = w->next)
		f->wants[f->n++] = w;
	return true;
}

/* The four kinds of request of KIP-227. Returns Kafka's code; -2: no memory. */
static int16_t find_wants(struct fetch *f)
{
	const struct fetch_request *m = f->m;
	struct worker *w = f->q->w;

	if (m->session_epoch > 0) {
		int16_t error = fetch_session_take(w->sessions, m, f->by_id, worker_now_us(w), &f->s);

		if (error != KAFKA_NONE || !f->s)
			return error;
		return wants_of_session(f) ? KAFKA_NONE : -2;
	}
	if (m->session_id != 0)
		fetch_session_close(w->sessions, m->session_id);
	f->make_session = f->q->version >= 7 && m->session_epoch == 0;
	return wants_of_request(f) ? KAFKA_NONE : -2;
}

void api_fetch(struct req *q)
{
	struct worker *w = q->w;

	if (req_keep_small(q) != OK) {
		req_close(q);
		return;
	}
	struct fetch_request *m = req_decode(q, &wire_fetch_request, sizeof *m);
	if (!m)
		return;
	struct fetch *f = arena_alloc(&q->arena, sizeof *f);
	if (!f) {
		req_close(q);
		return;
	}
	*f = (struct fetch){
		.q = q, .m = m, .by_id = q->version >= 13, .committed = m->isolation_level == 1,
		.replica_id = q->version >= 15 ? m->replica_state.replica_id : m->replica_id,
		.max_bytes = m->max_bytes > 0 ? (uint64_t)m->max_bytes : 0,
	};
	q->op = f;
	if (f->max_bytes > w->conf.fetch_max_bytes)
		f->max_bytes = w->conf.fetch_max_bytes;
	f->min_bytes = m->min_bytes > 0 ? (uint64_t)m->min_bytes : 0;
	if (f->min_bytes > f->max_bytes)
		f->min_bytes = f->max_bytes;
	int16_t error = find_wants(f);
	if (error > 0) {
		answer_error(f, error);
		return;
	}
	f->got = error == KAFKA_NONE ? arena_array(&q->arena, f->n + 1, sizeof *f->got) : NULL;
	if (!f->got) {
		let_go(f);
		req_close(q);
		return;
	}
	count_add(w, COUNT_FETCH_REQUESTS, f->n);
	look(f);
}
