/*
 * producer.c - producer slots: who owns them, the list of a partition, versions and their rules.
 *
 * A slot is free, in the stock of a process, or used by a partition (owners[]). Stock is taken
 * before the partition's lock, so that nothing in the critical section waits or searches. A slot
 * whose owner is a partition but that is not in its list can only be the one that the record's
 * intent names: repair frees it.
 */
#include "base/assert.h"
#include "part/table.h"

#define PROBE_MAX 8192u		/* slots looked at for a free one per call: 64 KiB of owners[] */
#define EVICT_PARTS 64u		/* partitions asked for an idle producer per call */

struct part_producer *part_producer_at(struct part_table *t, uint32_t idx)
{
	return (struct part_producer *)(t->mem + t->at.producers) + idx;
}

_Atomic uint64_t *part_owner(struct part_table *t, uint32_t idx)
{
	return (_Atomic uint64_t *)(t->mem + t->at.owners) + idx;
}

static uint32_t grown(struct part_table *t)
{
	uint32_t n = atomic_load_explicit(&t->h->producers_grown, memory_order_acquire);

	return n < t->lim.producers ? n : t->lim.producers;
}

/* The slot at index + 1 = link if it is sound and of this partition, else NULL. */
static struct part_producer *linked(struct part_table *t, uint32_t slot, uint32_t link)
{
	if (link == 0 || link > grown(t) ||
	    atomic_load_explicit(part_owner(t, link - 1), memory_order_relaxed) !=
	    (PART_OWNER_USED | slot))
		return NULL;
	return part_producer_at(t, link - 1);
}

static uint32_t *seen_at(struct part_table *t, uint32_t slot, int64_t id)
{
	uint64_t h = ((uint64_t)id * 31 + slot) * UINT64_C(0x9E3779B97F4A7C15);

	return &t->seen[(h >> 32) & (PART_SEEN - 1)];
}

uint32_t part_producer_find(struct part_table *t, uint32_t slot, struct part_record *r, int64_t id)
{
	uint32_t *seen = seen_at(t, slot, id), steps = 0;
	struct part_producer *p = *seen == NIL ? NULL : linked(t, slot, *seen + 1);

	if (p && p->id == id)
		return *seen;
	for (uint32_t at = r->producers; (p = linked(t, slot, at)) && steps++ < t->lim.producers;
	     at = p->next)
		if (p->id == id) {
			*seen = at - 1;
			return at - 1;
		}
	return NIL;
}

struct part_producer_version *part_version(struct part_producer *p, uint64_t c)
{
	struct part_producer_version *best = NULL;

	for (int i = 0; i < 2; i++)
		if (p->v[i].tag > 0 && p->v[i].tag <= c && (!best || p->v[i].tag > best->tag))
			best = &p->v[i];
	return best;
}

void part_version_put(struct part_record *r, struct part_producer *p,
		      const struct part_producer_version *v)
{
	uint64_t c = atomic_load_explicit(&r->commit, memory_order_relaxed);
	struct part_producer_version *now = part_version(p, c);
	struct part_producer_version *spare = now == &p->v[0] ? &p->v[1] : &p->v[0];

	if (mutant(ONE_VERSION))
		spare = &p->v[0];
	spare->tag = PART_TAG_NEVER;
	STEP_ORDER();
	CRASH_POINT(version_never);
	memcpy((uint8_t *)spare + sizeof spare->tag, (const uint8_t *)v + sizeof v->tag,
	       sizeof *v - sizeof v->tag);
	STEP_ORDER();
	CRASH_POINT(version_filled);
	spare->tag = c + 1;
	STEP_ORDER();
	CRASH_POINT(version_tagged);
}

/* ---- the slab --------------------------------------------------------------------------------- */

static int grow_producers(struct part_table *t)
{
	uint32_t have = atomic_load(&t->h->producers_grown);
	uint32_t to = t->lim.producers - have < PART_EXTENT_PRODUCERS ?
		      t->lim.producers : have + PART_EXTENT_PRODUCERS;

	if (have >= t->lim.producers)
		return E_LIMIT;
	if (t->grow) {
		int err = t->grow(t->grow_ctx, t->at.owners + (uint64_t)have * sizeof(uint64_t),
				  (uint64_t)(to - have) * sizeof(uint64_t));

		if (!err)
			err = t->grow(t->grow_ctx,
				      t->at.producers + (uint64_t)have * sizeof(struct part_producer),
				      (uint64_t)(to - have) * sizeof(struct part_producer));
		if (err)
			return err;
	}
	atomic_compare_exchange_strong(&t->h->producers_grown, &have, to);
	return OK;
}

static bool claim(struct part_table *t, uint32_t idx)
{
	_Atomic uint64_t *o = part_owner(t, idx);
	uint64_t want = 0;

	return atomic_load_explicit(o, memory_order_relaxed) == 0 &&
	       atomic_compare_exchange_strong(o, &want, PART_OWNER_STOCK | t->self);
}

static void search(struct part_table *t, uint32_t n)
{
	uint32_t all = grown(t), at = atomic_load(&t->h->producer_cursor);

	if (all == 0)
		return;
	at %= all;
	for (uint32_t i = 0; i < PROBE_MAX && i < all && t->stock_n < n; i++) {
		if (claim(t, at))
			t->stock[t->stock_n++] = at;
		at = at + 1 == all ? 0 : at + 1;
	}
	atomic_store(&t->h->producer_cursor, at);
}

void part_stock_free(struct part_table *t, uint32_t n)
{
	if (n > PART_BATCHES_MAX)
		n = PART_BATCHES_MAX;
	if (t->stock_n >= n)
		return;
	search(t, n);
	while (t->stock_n < n && grow_producers(t) == OK)
		search(t, n);
}

void part_stock(struct part_table *t, uint32_t n)
{
	part_stock_free(t, n);
	/* The slab is full: somebody's oldest idle producer goes, wherever it is. One lock at a
	 * time. Whoever still finds no slot pushes out one of its own partition (append.c). */
	for (uint32_t i = 0; i < EVICT_PARTS && t->stock_n < n; i++) {
		uint32_t end = part_slots_end(t), slot;
		struct part_record *r;
		struct lock_held *held;
		uint64_t wake = 0;

		if (end == 0)
			return;
		slot = t->evict_cursor++ % end;
		r = part_record(t, slot);
		if (!part_online(r) || part_lock(t, slot, r, &held, &wake))
			continue;
		(void)part_producer_evict(t, slot, r);
		part_unlock(t, r, held, &wake);
		part_tell(t, slot, wake);	/* of that partition, not of the one that is short */
	}
}

void part_stock_reclaim(struct part_table *t)
{
	uint32_t all = grown(t);

	for (uint32_t i = 0; i < all; i++)
		if (atomic_load_explicit(part_owner(t, i), memory_order_relaxed) ==
		    (PART_OWNER_STOCK | t->self)) {
			if (t->stock_n < PART_BATCHES_MAX)
				t->stock[t->stock_n++] = i;
			else
				atomic_store(part_owner(t, i), 0);
		}
}

/* ---- the list --------------------------------------------------------------------------------- */

static void set_intent(struct part_record *r, uint32_t link)
{
	uint64_t flags = atomic_load_explicit(&r->intent, memory_order_relaxed) &
			 PART_INTENT_FLAGS;

	atomic_store_explicit(&r->intent, flags | link, memory_order_relaxed);
	STEP_ORDER();
}

uint32_t part_producer_link(struct part_table *t, uint32_t slot, struct part_record *r, int64_t id)
{
	if (t->stock_n == 0)
		return NIL;
	uint32_t idx = t->stock[--t->stock_n];
	struct part_producer *p = part_producer_at(t, idx);

	if (!mutant(LINK_WITHOUT_INTENT))
		set_intent(r, idx + 1);
	CRASH_POINT(link_intent);
	p->id = id;
	p->v[0].tag = p->v[1].tag = PART_TAG_NEVER;
	p->next = r->producers;
	atomic_store(part_owner(t, idx), PART_OWNER_USED | slot);
	STEP_ORDER();
	CRASH_POINT(link_owned);
	r->producers = idx + 1;
	r->producers_n++;
	STEP_ORDER();
	CRASH_POINT(link_done);
	set_intent(r, 0);
	*seen_at(t, slot, id) = idx;
	return idx;
}

/* Takes the slot behind *link out of the list; it is free then, or in this process' stock. */
static void unlink_at(struct part_table *t, struct part_record *r, uint32_t *link, bool to_stock)
{
	uint32_t idx = *link - 1;
	struct part_producer *p = part_producer_at(t, idx);

	set_intent(r, idx + 1);
	CRASH_POINT(unlink_intent);
	*link = p->next;
	STEP_ORDER();
	CRASH_POINT(unlink_out);
	r->producers_n -= r->producers_n > 0;
	to_stock = to_stock && t->stock_n < PART_BATCHES_MAX;
	atomic_store(part_owner(t, idx), to_stock ? PART_OWNER_STOCK | t->self : 0);
	if (to_stock)
		t->stock[t->stock_n++] = idx;
	set_intent(r, 0);
}

static bool idle(const struct part_producer_version *v)
{
	return !v || v->txn_first < 0 || v->txn_len != 0;
}

uint32_t part_producers_expire(struct part_table *t, uint32_t slot, struct part_record *r,
			       int64_t before, uint32_t max)
{
	uint64_t c = atomic_load(&r->commit);
	uint32_t *link = &r->producers, n = 0, steps = 0;
	struct part_producer *p;

	while (n < max && (p = linked(t, slot, *link)) && steps++ < t->lim.producers) {
		struct part_producer_version *v = part_version(p, c);

		if (idle(v) && (!v || v->last_ts < before)) {
			unlink_at(t, r, link, false);
			n++;
		} else {
			link = &p->next;
		}
	}
	return n;
}

static void show(const struct part_producer *p, const struct part_producer_version *v, struct part_producer_seen *ret)
{
	/* Sequences wrap from 2^31 - 1 to 0 (trap 38). */
	int64_t last = v->n > 0 ? (int64_t)v->newest.seq + v->newest.count - 1 : -1;

	if (last > INT32_MAX)
		last -= (int64_t)INT32_MAX + 1;
	*ret = (struct part_producer_seen){
		.id = p->id, .epoch = v->epoch, .last_sequence = (int32_t)last,
		.last_timestamp = v->n > 0 ? v->last_ts : -1, .coordinator_epoch = v->coordinator_epoch,
		.txn_start = v->txn_first >= 0 && v->txn_len == 0 ? v->txn_first : -1,
	};
}

int part_producers(struct part_table *t, uint32_t slot, const struct uuid *topic_id,
		   struct part_producer_seen *v, uint32_t max, uint32_t *ret_n, uint64_t *ret_wake)
{
	struct part_record *r = part_record(t, slot);
	struct part_producer *p;
	struct lock_held *held;
	uint32_t steps = 0;

	*ret_n = 0;
	*ret_wake = 0;
	if (!r || !part_online(r))
		return E_NOENT;
	int err = part_lock(t, slot, r, &held, ret_wake);
	if (err)
		return err;
	if (!part_online(r) || !part_is(r, topic_id)) {
		err = E_NOENT;
	} else if (r->producers_n > max) {
		*ret_n = r->producers_n;
		err = E_LIMIT;
	} else {
		uint64_t c = atomic_load(&r->commit);

		for (uint32_t at = r->producers; *ret_n < max && (p = linked(t, slot, at)) &&
						 steps++ < t->lim.producers; at = p->next) {
			struct part_producer_version *now = part_version(p, c);

			if (now)
				show(p, now, &v[(*ret_n)++]);
		}
	}
	part_unlock(t, r, held, ret_wake);
	return err;
}

bool part_producer_evict(struct part_table *t, uint32_t slot, struct part_record *r)
{
	uint64_t c = atomic_load(&r->commit);
	uint32_t *best = NULL, steps = 0;
	int64_t best_ts = INT64_MAX;
	struct part_producer *p;

	for (uint32_t *link = &r->producers; (p = linked(t, slot, *link)) && steps++ < t->lim.producers;
	     link = &p->next) {
		struct part_producer_version *v = part_version(p, c);
		int64_t ts = v ? v->last_ts : INT64_MIN;

		/* A version of the commit being built is not idle. */
		if (p->v[0].tag == c + 1 || p->v[1].tag == c + 1 || !idle(v))
			continue;
		if (ts < best_ts || !best) {
			best_ts = ts;
			best = link;
		}
	}
	if (!best)
		return false;
	unlink_at(t, r, best, true);
	part_tally(t, PC_EVICTED, 1);
	return true;
}

void part_producers_drop_all(struct part_table *t, uint32_t slot, struct part_record *r)
{
	uint32_t steps = 0;

	while (linked(t, slot, r->producers) && steps++ < t->lim.producers)
		unlink_at(t, r, &r->producers, false);
	r->producers = 0;
	r->producers_n = 0;
}

void part_producers_repair(struct part_table *t, uint32_t slot, struct part_record *r)
{
	uint64_t c = atomic_load(&r->commit);
	uint32_t named = (uint32_t)atomic_load_explicit(&r->intent, memory_order_relaxed);
	uint32_t steps = 0, at;
	bool in_list = false;
	struct part_producer *p;

	for (at = r->producers; (p = linked(t, slot, at)) && steps++ < t->lim.producers; at = p->next) {
		in_list |= at == named;
		for (int i = 0; i < 2; i++)
			if (p->v[i].tag > c && p->v[i].tag != PART_TAG_NEVER) {
				p->v[i].tag = PART_TAG_NEVER;
				part_tally(t, PC_DROPPED, 1);
			}
	}
	r->producers_n = steps;
	if (named != 0 && !in_list && linked(t, slot, named))
		atomic_store(part_owner(t, named - 1), 0);
}

uint64_t part_first_unstable(struct part_table *t, struct part_record *r, uint64_t c, uint64_t hw)
{
	uint64_t first = PART_NO_OFFSET;
	uint32_t at = r->producers, steps = 0;

	while (at != 0 && at <= grown(t) && steps++ < t->lim.producers) {
		struct part_producer *p = part_producer_at(t, at - 1);
		struct part_producer_version *v = part_version(p, c);

		if (v && v->txn_first >= 0 &&
		    (v->txn_len == 0 || (uint64_t)v->txn_first + v->txn_len >= hw) &&
		    (uint64_t)v->txn_first < first)
			first = (uint64_t)v->txn_first;
		at = p->next;
	}
	return first;
}

/* ---- rules ------------------------------------------------------------------------------------ */

/* Sequence numbers go from 2^31 - 1 to 0. */
static int32_t seq_add(int32_t seq, uint32_t n)
{
	return (int32_t)(((uint64_t)(uint32_t)seq + n) & INT32_MAX);
}

static int64_t clip(int64_t v, int64_t lo, int64_t hi)
{
	return v < lo ? lo : v > hi ? hi : v;
}

int part_sequence(const struct part_producer_version *prev, int16_t epoch, int32_t seq,
		  uint32_t count, int64_t *ret_base, int64_t *ret_ts)
{
	if (!prev || (prev->n == 0 && prev->epoch <= epoch))
		return OK;		/* nothing known: any sequence (trap 38) */
	if (epoch < prev->epoch)
		return E_FENCED;
	if (epoch > prev->epoch)
		return seq == 0 ? OK : E_RANGE;
	if (prev->newest.seq == seq && prev->newest.count == count) {
		*ret_base = prev->last_base;
		*ret_ts = prev->last_ts;
		return E_EXIST;
	}
	for (int i = 0; i + 1 < prev->n; i++)
		if (prev->older[i].seq == seq && prev->older[i].count == count) {
			*ret_base = prev->last_base - prev->older[i].back;
			*ret_ts = prev->last_ts + prev->older[i].ts_back;
			return E_EXIST;
		}
	return seq == seq_add(prev->newest.seq, prev->newest.count) ? OK : E_RANGE;
}

void part_version_init(struct part_producer_version *v)
{
	memset(v, 0, sizeof *v);
	v->txn_first = -1;
	v->coordinator_epoch = -1;
	v->epoch = -1;
	v->last_ts = -1;
	v->last_base = -1;
}

/* The newest batch becomes the first of the older ones; those too far back for 32 bits go. */
static void push_down(struct part_producer_version *v, const struct part_event *e)
{
	int keep = v->n < PART_LAST_BATCHES ? v->n : PART_LAST_BATCHES - 1;
	int64_t moved = e->base_offset - v->last_base, ts = v->last_ts - e->timestamp;

	for (int i = keep - 1; i > 0; i--) {
		v->older[i] = v->older[i - 1];
		if ((int64_t)v->older[i].back + moved > UINT32_MAX) {
			keep = i;
			continue;
		}
		v->older[i].back += (uint32_t)moved;
		v->older[i].ts_back = (int32_t)clip(v->older[i].ts_back + ts, INT32_MIN, INT32_MAX);
	}
	if (keep > 0 && moved <= UINT32_MAX) {
		v->older[0].back = (uint32_t)moved;
		v->older[0].seq = v->newest.seq;
		v->older[0].count = v->newest.count;
		v->older[0].ts_back = (int32_t)clip(ts, INT32_MIN, INT32_MAX);
	} else {
		keep = 0;
	}
	v->n = (uint16_t)(keep + 1);
}

void part_version_apply(struct part_producer_version *v, const struct part_event *e, uint64_t *open)
{
	if (e->control) {
		if (v->txn_first >= 0 && v->txn_len == 0) {
			v->txn_len = (uint32_t)clip(e->base_offset - v->txn_first, 1, UINT32_MAX);
			*open -= *open > 0;
		}
		if (e->epoch > v->epoch)
			v->n = 0;
		v->epoch = e->epoch;
		v->coordinator_epoch = e->coordinator_epoch;
		v->last_ts = e->timestamp > v->last_ts ? e->timestamp : v->last_ts;
		return;
	}
	if (e->epoch != v->epoch)
		v->n = 0;
	push_down(v, e);
	v->epoch = e->epoch;
	v->newest.seq = e->seq;
	v->newest.count = e->count;
	v->last_base = e->base_offset;
	v->last_ts = e->timestamp;
	if (e->transactional && (v->txn_first < 0 || v->txn_len != 0)) {
		/* An ended one counts on until its marker is below the high watermark. */
		if (v->txn_first < 0 || v->txn_first + v->txn_len < e->high_watermark)
			v->txn_first = e->base_offset;
		v->txn_len = 0;
		(*open)++;
	}
}
