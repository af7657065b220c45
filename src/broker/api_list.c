/*
 * api_list.c - ListOffsets and OffsetForLeaderEpoch: where in a log is a time, an end, an epoch's end.
 *
 * A search by time may have to read a batch from the disk: partitions are served one after the other, at
 * most one batch of a request is in memory; what is cold is read off the loop, and what is compressed is
 * unpacked off the loop.
 */
#include <stddef.h>
#include <stdlib.h>

#include "broker/api.h"
#include "broker/worker.h"
#include "wire/batch.h"
#include "wire/codec.h"
#include "wire/kafka_api.h"
#include "wire/kafka_error.h"
#include "wire/kafka_gen.h"
#include "wire/wire.h"

#define LATEST (-1)
#define EARLIEST (-2)
#define MAX_TIMESTAMP (-3)
#define EARLIEST_LOCAL (-4)
#define LAST_TIERED (-5)
#define PENDING_UPLOAD (-6)
#define BATCH_BYTES_MAX ((uint64_t)128 << 20)
#define COLD_TRIES 64
#define PLAIN_MAX ((uint64_t)1 << 30)

typedef struct list_offsets_response_list_offsets_topic_response topic_answer;
typedef struct list_offsets_response_list_offsets_partition_response part_answer;

struct item {
	struct str topic;
	int32_t partition, epoch;
	int64_t ts;
	bool twice, again;		/* again: answered with the one before it */
	part_answer *a;
};

struct list {
	struct req *q;
	struct list_offsets_request *m;
	struct list_offsets_response a;
	struct item *items;
	uint32_t n, next;
	uint32_t tries;			/* cold headers met */
	/* the search that is running */
	uint32_t slot;
	int64_t limit;
	int16_t none;			/* error when nothing is found: 0, or 78 / 5 (trap 62) */
	struct part_range range;
	struct disk_op op;
	uint8_t *batch;
	size_t batch_len;
	struct work work;
	/* what find() found */
	int found;			/* OK; E_NOENT: nothing that young; else the batch is damaged */
	int64_t found_offset, found_ts;
	int32_t found_epoch;
};

static void run(struct list *l);

/* ---- one partition -------------------------------------------------------------------------- */

static void set(const struct list *l, struct item *it, int64_t offset, int64_t ts, int32_t epoch)
{
	it->a->offset = offset;
	it->a->timestamp = ts;
	it->a->leader_epoch = l->q->version >= 4 ? epoch : -1;
}

/* Trap 61: the version that brought a special timestamp. */
static bool supported(int64_t ts, int16_t version)
{
	switch (ts) {
	case LATEST:
	case EARLIEST: return true;
	case MAX_TIMESTAMP: return version >= 7;
	case EARLIEST_LOCAL: return version >= 8;
	case LAST_TIERED: return version >= 9;
	case PENDING_UPLOAD: return version >= 11;
	default: return ts >= 0;
	}
}

/* Trap 62: has the high watermark not yet reached the start of this leader's epoch? */
static int16_t not_yet(struct list *l, uint32_t slot, const struct part_view *v)
{
	struct part_epoch_end end;

	if (l->m->replica_id >= 0 || v->high_watermark >= v->end || v->leader_epoch <= 0)
		return KAFKA_NONE;
	if (part_epoch_end(l->q->w->env->table, slot, v->leader_epoch - 1, &end) != OK || end.epoch < 0 ||
	    v->high_watermark >= end.end_offset)
		return KAFKA_NONE;
	return l->q->version >= 5 ? KAFKA_OFFSET_NOT_AVAILABLE : KAFKA_LEADER_NOT_AVAILABLE;
}

/* Leader epoch of the batch at an offset, or at the end the leader's own; -1: not known without waiting. */
static int32_t epoch_at(struct list *l, uint32_t slot, const struct part_view *v, int64_t offset)
{
	struct role_env *env = l->q->w->env;
	struct part_range r;
	uint8_t head[BATCH_HEAD];
	struct batch_head h;
	size_t len;
	int32_t epoch = -1;

	if (offset >= v->end)
		return v->leader_epoch;		/* what comes next there is this leader's */
	if (part_read(env->table, slot, v, offset, v->end, 0, true, &r) != OK)
		return -1;
	if (r.len >= BATCH_HEAD &&
	    env->disk->calls->pread(env->disk, r.file, head, sizeof head, r.off, &len) == OK &&
	    len == sizeof head && batch_parse(head, len, &h) == OK)
		epoch = h.leader_epoch;
	part_range_release(env->table, &r);
	return epoch;
}

static void search_over(struct list *l)
{
	part_range_release(l->q->w->env->table, &l->range);
	mem_free(l->batch);
	l->batch = NULL;
}

/* The record in l->batch. Touches nothing but l and the codec: it may run on the other thread. */
static void find(struct list *l, struct codec *codec)
{
	int64_t ts = l->items[l->next].ts;
	struct batch_port *port = codec_port(codec);
	struct batch_head h;
	int err = batch_parse(l->batch, l->batch_len, &h);

	if (err == OK && h.bytes > l->batch_len)
		err = E_SHORT;
	if (err == OK)
		err = ts == MAX_TIMESTAMP ?
		      batch_find_max_time(l->batch, &h, PLAIN_MAX, port, &l->found_offset, &l->found_ts) :
		      batch_find_time(l->batch, &h, ts, PLAIN_MAX, port, &l->found_offset, &l->found_ts);
	l->found = err;
	l->found_epoch = h.leader_epoch;
}

static void take_found(struct list *l)
{
	struct item *it = &l->items[l->next];

	if (l->found == OK && l->found_offset < l->limit)
		set(l, it, l->found_offset, l->found_ts, l->found_epoch);
	else if (l->found == OK || l->found == E_NOENT)
		it->a->error_code = l->none;
	else
		it->a->error_code = KAFKA_KAFKA_STORAGE_ERROR;
	search_over(l);
}

static void find_run(struct work *work)
{
	struct list *l = (struct list *)((char *)work - offsetof(struct list, work));

	find(l, l->q->w->work_codec);
}

static void find_done(struct work *work)
{
	struct list *l = (struct list *)((char *)work - offsetof(struct list, work));

	take_found(l);
	l->next++;
	run(l);
}

/* The batch of a search by time lies in l->batch. False: the answer comes from find_done(). */
static bool search_batch(struct list *l, size_t len)
{
	struct worker *w = l->q->w;
	struct batch_head h;

	l->batch_len = len;
	if (batch_parse(l->batch, len, &h) == OK && batch_codec(&h) != BATCH_PLAIN) {
		l->work = (struct work){ .run = find_run, .done = find_done };
		w->env->work->submit(w->env->work, &l->work);
		return false;
	}
	find(l, w->codec);
	take_found(l);
	return true;
}

static void on_read(struct disk_op *op, int err)
{
	struct list *l = (struct list *)((char *)op - offsetof(struct list, op));

	if (err == OK) {
		if (!search_batch(l, op->ret_len))
			return;
	} else {
		l->items[l->next].a->error_code = KAFKA_KAFKA_STORAGE_ERROR;
		search_over(l);
	}
	l->next++;
	run(l);
}

/* A cold batch header was brought in: the same partition again. */
static void on_warm(struct disk_op *op, int err)
{
	struct list *l = (struct list *)((char *)op - offsetof(struct list, op));

	part_range_release(l->q->w->env->table, &l->range);
	if (err != OK || ++l->tries == COLD_TRIES)
		l->items[l->next++].a->error_code = KAFKA_KAFKA_STORAGE_ERROR;
	run(l);
}

/* False: the answer comes from on_read(), on_warm() or find_done(). */
static bool search(struct list *l, const struct part_view *v)
{
	struct item *it = &l->items[l->next];
	struct role_env *env = l->q->w->env;
	int64_t ts = it->ts == MAX_TIMESTAMP ? v->max_timestamp : it->ts;
	size_t len;
	int err = ts < 0 ? E_NOENT : part_find_time(env->table, l->slot, v, ts, v->end, &l->range);

	if (err == E_NOENT || err == E_RANGE || (err == OK && l->range.len == 0)) {
		it->a->error_code = l->none;
		return true;
	}
	if (err == E_AGAIN) {
		l->op = (struct disk_op){ .what = DISK_WARM, .file = l->range.file, .off = l->range.off,
					  .len = (uint32_t)l->range.len, .done = on_warm };
		env->disk->calls->submit(env->disk, &l->op);
		return false;
	}
	if (err == E_FENCED) {		/* truncated or moved since we looked */
		it->a->error_code = KAFKA_NOT_LEADER_OR_FOLLOWER;
		return true;
	}
	if (err != OK || l->range.len > BATCH_BYTES_MAX) {
		it->a->error_code = KAFKA_KAFKA_STORAGE_ERROR;
		if (err == OK)
			part_range_release(env->table, &l->range);
		return true;
	}
	l->batch = mem_resize(NULL, l->range.len);
	if (!l->range.warm) {
		l->op = (struct disk_op){ .what = DISK_READ, .file = l->range.file, .off = l->range.off,
					  .buf = l->batch, .len = (uint32_t)l->range.len, .done = on_read };
		env->disk->calls->submit(env->disk, &l->op);
		return false;
	}
	if (env->disk->calls->pread(env->disk, l->range.file, l->batch, l->range.len, l->range.off, &len) == OK)
		return search_batch(l, len);
	it->a->error_code = KAFKA_KAFKA_STORAGE_ERROR;
	search_over(l);
	return true;
}

/* False: not finished; run() goes on with the next one later. */
static bool one(struct list *l)
{
	struct item *it = &l->items[l->next];
	struct worker *w = l->q->w;
	struct api_place place;
	struct part_view v;

	set(l, it, -1, -1, -1);
	it->a->error_code = KAFKA_NONE;
	if (it->twice) {
		it->a->error_code = KAFKA_INVALID_REQUEST;
		return true;
	}
	if (!supported(it->ts, l->q->version)) {
		it->a->error_code = KAFKA_UNSUPPORTED_VERSION;
		return true;
	}
	api_find(w, it->topic, NULL, it->partition, it->epoch, &place);
	it->a->error_code = place.error;
	if (place.error != KAFKA_NONE)
		return true;
	l->slot = place.part.slot;
	int err = part_view(w->env->table, l->slot, &place.topic.id, &v);
	if (err != OK) {
		it->a->error_code = api_part_error(w, l->slot, err);
		return true;
	}
	l->limit = l->m->replica_id >= 0 ? v.end :
		   l->m->isolation_level == 1 ? v.last_stable : v.high_watermark;
	l->none = not_yet(l, l->slot, &v);
	switch (it->ts) {
	case LATEST:
		if (l->none != KAFKA_NONE)
			it->a->error_code = l->none;
		else
			set(l, it, l->limit, -1, v.leader_epoch);
		return true;
	case EARLIEST:
		set(l, it, v.log_start, -1, epoch_at(l, l->slot, &v, v.log_start));
		return true;
	case EARLIEST_LOCAL:
		set(l, it, v.local_log_start, -1, epoch_at(l, l->slot, &v, v.local_log_start));
		return true;
	case LAST_TIERED:		/* nothing is tiered */
	case PENDING_UPLOAD:
		return true;
	default:
		return search(l, &v);
	}
}

static void run(struct list *l)
{
	for (; l->next < l->n; l->next++)
		if (!one(l))
			return;
	if (l->q->conn)
		req_answer(l->q, &wire_list_offsets_response, &l->a);
	else
		req_no_answer(l->q);
}

/* ---- the request ---------------------------------------------------------------------------- */

static int by_place(const void *x, const void *y)
{
	const struct item *a = *(struct item *const *)x, *b = *(struct item *const *)y;
	int c = str_cmp(a->topic, b->topic);

	return c != 0 ? c : (a->partition > b->partition) - (a->partition < b->partition);
}

static int by_place_in_order(const void *x, const void *y)
{
	const struct item *a = *(struct item *const *)x, *b = *(struct item *const *)y;
	int c = by_place(x, y);

	return c != 0 ? c : (a > b) - (a < b);
}

static bool mark_twice(struct list *l)
{
	struct item **v = arena_array(&l->q->arena, l->n + 1, sizeof(struct item *));

	if (!v)
		return false;
	for (uint32_t i = 0; i < l->n; i++)
		v[i] = &l->items[i];
	qsort(v, l->n, sizeof(struct item *), by_place_in_order);
	for (uint32_t i = 1; i < l->n; i++)
		if (by_place(&v[i - 1], &v[i]) == 0)
			v[i - 1]->twice = v[i]->twice = v[i]->again = true;
	return true;
}

/* A partition that was asked for twice is answered once, where it came first. */
static void drop_again(struct list *l)
{
	uint32_t n = 0, at = 0;

	for (int32_t t = 0; t < l->a.topics_n; t++) {
		topic_answer *ta = &l->a.topics[t];
		int32_t kept = 0;

		for (int32_t i = 0; i < ta->partitions_n; i++, at++) {
			if (l->items[at].again)
				continue;
			ta->partitions[kept].partition_index = l->items[at].partition;
			l->items[n] = l->items[at];
			l->items[n++].a = &ta->partitions[kept++];
		}
		ta->partitions_n = kept;
	}
	l->n = n;
}

static bool make(struct list *l)
{
	struct list_offsets_request *m = l->m;
	struct arena *arena = &l->q->arena;
	size_t n = 0;

	wire_init(&wire_list_offsets_response, &l->a);
	l->a.throttle_time_ms = (int32_t)l->q->throttle_ms;
	l->a.topics_n = m->topics_n > 0 ? m->topics_n : 0;
	l->a.topics = arena_array(arena, (size_t)l->a.topics_n + 1, sizeof *l->a.topics);
	for (int32_t t = 0; t < l->a.topics_n; t++)
		n += m->topics[t].partitions_n > 0 ? (size_t)m->topics[t].partitions_n : 0;
	l->items = arena_array(arena, n + 1, sizeof *l->items);
	if (!l->a.topics || !l->items)
		return false;
	for (int32_t t = 0; t < l->a.topics_n; t++) {
		topic_answer *ta = &l->a.topics[t];

		ta->name = m->topics[t].name;
		ta->partitions_n = m->topics[t].partitions_n > 0 ? m->topics[t].partitions_n : 0;
		ta->partitions = arena_array(arena, (size_t)ta->partitions_n + 1, sizeof *ta->partitions);
		if (!ta->partitions)
			return false;
		for (int32_t i = 0; i < ta->partitions_n; i++) {
			const struct list_offsets_request_list_offsets_partition *p = &m->topics[t].partitions[i];

			ta->partitions[i].partition_index = p->partition_index;
			l->items[l->n++] = (struct item){
				.topic = ta->name, .partition = p->partition_index, .ts = p->timestamp,
				.epoch = p->current_leader_epoch, .a = &ta->partitions[i],
			};
		}
	}
	if (!mark_twice(l))
		return false;
	drop_again(l);
	return true;
}

void api_list_offsets(struct req *q)
{
	struct list_offsets_request *m = req_decode(q, &wire_list_offsets_request, sizeof *m);

	if (!m)
		return;
	struct list *l = arena_alloc(&q->arena, sizeof *l);
	if (l)
		*l = (struct list){ .q = q, .m = m };
	if (!l || !make(l)) {
		req_close(q);
		return;
	}
	run(l);
}

/* ---- OffsetForLeaderEpoch (trap 63) ---------------------------------------------------------- */

typedef struct offset_for_leader_epoch_response_epoch_end_offset epoch_answer;

static void epoch_end(struct req *q, struct str topic,
		      const struct offset_for_leader_epoch_request_offset_for_leader_partition *p,
		      epoch_answer *a)
{
	struct worker *w = q->w;
	struct api_place place;
	struct part_epoch_end end;

	a->partition = p->partition;
	a->leader_epoch = -1;
	a->end_offset = -1;
	api_find(w, topic, NULL, p->partition, p->current_leader_epoch, &place);
	a->error_code = place.error;
	if (place.error != KAFKA_NONE)
		return;
	int err = part_epoch_end(w->env->table, place.part.slot, p->leader_epoch, &end);
	if (err != OK) {
		a->error_code = api_part_error(w, place.part.slot, err);
		return;
	}
	a->leader_epoch = end.epoch;
	a->end_offset = end.end_offset;
}

void api_offset_for_leader_epoch(struct req *q)
{
	struct offset_for_leader_epoch_request *m =
		req_decode(q, &wire_offset_for_leader_epoch_request, sizeof *m);
	struct offset_for_leader_epoch_response a;

	if (!m)
		return;
	wire_init(&wire_offset_for_leader_epoch_response, &a);
	a.throttle_time_ms = (int32_t)q->throttle_ms;
	a.topics_n = m->topics_n > 0 ? m->topics_n : 0;
	a.topics = arena_array(&q->arena, (size_t)a.topics_n + 1, sizeof *a.topics);
	if (!a.topics) {
		req_close(q);
		return;
	}
	for (int32_t t = 0; t < a.topics_n; t++) {
		int32_t n = m->topics[t].partitions_n > 0 ? m->topics[t].partitions_n : 0;

		a.topics[t].topic = m->topics[t].topic;
		a.topics[t].partitions = arena_array(&q->arena, (size_t)n + 1, sizeof(epoch_answer));
		if (!a.topics[t].partitions) {
			req_close(q);
			return;
		}
		a.topics[t].partitions_n = n;
		for (int32_t i = 0; i < n; i++)
			epoch_end(q, m->topics[t].topic, &m->topics[t].partitions[i],
				  &a.topics[t].partitions[i]);
	}
	req_answer(q, &wire_offset_for_leader_epoch_response, &a);
}
