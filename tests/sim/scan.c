/*
 * scan.c - what is read is compared with what the clients know.
 *
 *   W1 an acknowledged record is at its offset for ever (of the class `replicated`: until power is lost)
 *   W2 the batches of a producer lie in order, none twice, none missing in between
 *   W3 what lay below the high watermark once never changes
 *   W4 a view is consistent: log start <= high watermark <= end, synced <= end
 *   W9 leader epochs, timestamps and aborted transactions are answered as the batches tell
 *   L1 every batch is whole, and they lie without a gap
 *   T12 the last stable offset is that of the open transactions
 */
#include <string.h>

#include "base/be.h"
#include "base/crc32c.h"
#include "log/log.h"
#include "world.h"

void check_view(struct world *w, int part, const struct part_view *v)
{
	if (v->log_start > v->high_watermark || v->high_watermark > v->end || v->synced > v->end ||
	    v->last_stable > v->high_watermark || v->local_log_start < v->log_start)
		broken(w, "W4", "a view that cannot be", v->high_watermark, v->end);
	if (v->log_start > w->part[part].start)
		broken(w, "W1", "the log starts where nobody asked it to", v->log_start, w->part[part].start);
}

/* ---- one batch ---- */

static int producer_of(struct world *w, int64_t id)
{
	for (int i = 0; i < PRODUCERS; i++)
		if (w->prod[i].id == id && id >= 0)
			return i;
	return -1;
}

/* Above the high watermark a reader may meet a truncation that came after its view. */
static bool cut_meanwhile(struct world *w, struct proc *p, int part, const struct part_view *v, int64_t at)
{
	struct partition *t = &w->part[part];
	struct part_view now;

	return at >= v->high_watermark && (t->slot == PART_SLOT_NONE ||
	       part_view(p->table, t->slot, &t->topic, &now) != OK || now.generation != v->generation);
}

/* Reads the batch at pos of a range; false: broken, or it was cut since. */
static bool take(struct world *w, struct proc *p, int part, const struct part_view *v, const struct part_range *r,
		 uint64_t pos, int64_t at, uint8_t *b, struct log_head *h)
{
	int64_t offset = at >= 0 ? at : r->first_offset;
	size_t n;
	int err = p->disk.disk.calls->pread(&p->disk.disk, r->file, b, 61 + BODY_MAX, r->off + pos, &n);

	if (err != OK || n < 61 || log_head_parse(b, h) != OK || h->bytes > n || h->bytes > r->len - pos) {
		if (cut_meanwhile(w, p, part, v, offset))
			return false;
		broken(w, "L1", "no batch, or a cut one", at, (long long)pos);
		return false;
	}
	if (at >= 0 && h->base_offset != at) {
		if (cut_meanwhile(w, p, part, v, offset))
			return false;
		broken(w, "L1", "a gap", at, h->base_offset);
		return false;
	}
	if (h->crc != crc32c(0, b + 21, h->bytes - 21)) {
		if (cut_meanwhile(w, p, part, v, offset))
			return false;
		broken(w, "L1", "a batch with a bad checksum", h->base_offset, h->bytes);
		return false;
	}
	return true;
}

/* topic: whose log it was when the view was taken; it may have been deleted since. */
static void compare(struct world *w, int part, const struct uuid *topic, const struct part_view *v,
		    const struct log_head *h)
{
	uint64_t tag = (uint64_t)h->first_timestamp;

	if (!uuid_eq(topic, &w->part[part].topic))
		return;

	for (int64_t o = h->base_offset; o <= h->last_offset && o < OFFSETS && !w->broken; o++) {
		struct cell *c = &w->part[part].cell[o];

		if (c->tag != 0 && c->tag != tag)
			broken(w, c->acked ? "W1" : "W3", "another batch than there was", o, (long long)c->tag);
		if (o < v->high_watermark)
			c->tag = tag;
	}
}

/* ---- a partition read whole ---- */

struct state {				/* of the producers while batches go by */
	int16_t epoch[PRODUCERS];
	int32_t next[PRODUCERS];	/* sequence; -1: not seen yet */
	int64_t open[PRODUCERS];	/* first offset of the open transaction; -1 */
	int64_t open_from[PRODUCERS], ended[PRODUCERS];	/* the last one that ended: first offset, marker */
};

static void order(struct world *w, struct state *s, const struct log_head *h, const uint8_t *body, struct batch *b)
{
	int i = producer_of(w, h->producer_id);

	if (i < 0)
		return;
	if (b->control) {
		int32_t ignored;

		if (s->open[i] >= 0) {
			b->aborts = log_control_type(body, 17, &ignored) == 0;
			b->first = s->open[i];
			s->open_from[i] = s->open[i];
			s->ended[i] = b->base;
		}
		s->open[i] = -1;
		return;
	}
	if (b->txn && s->open[i] < 0)
		s->open[i] = b->base;
	if (w->loose)
		return;
	if (h->producer_epoch > s->epoch[i])
		s->next[i] = s->epoch[i] < 0 ? -1 : 0;
	if (h->producer_epoch < s->epoch[i] || (s->next[i] >= 0 && h->base_sequence != s->next[i]))
		broken(w, "W2", "a producer's batches out of order", h->base_offset, h->base_sequence);
	s->epoch[i] = h->producer_epoch;
	s->next[i] = h->base_sequence + (int32_t)(h->last_offset - h->base_offset) + 1;
}

static void stable(struct world *w, struct scan *k, const struct state *s, int64_t hw)
{
	(void)w;
	k->stable = hw;
	for (int i = 0; i < PRODUCERS; i++) {
		if (s->open[i] >= 0 && s->open[i] < k->stable)
			k->stable = s->open[i];
		if (s->ended[i] >= hw && s->open_from[i] < k->stable)
			k->stable = s->open_from[i];
	}
}

/* Everything from the log start to v->end; false: it changed under us, or is broken. */
static bool read_all(struct world *w, struct proc *p, int part, const struct part_view *v, struct state *s)
{
	static uint8_t bytes[PROCS][61 + BODY_MAX];
	struct scan *k = p->scan;
	struct uuid topic = w->part[part].topic;
	int64_t at = v->local_log_start;
	bool first = true;

	k->n = 0;
	while (at < v->end && !w->broken) {
		struct part_range r;
		struct log_head h;
		int err = part_read(p->table, w->part[part].slot, v, at, v->end,
				    300 + rng_below(&w->sim.rng, 100000), true, &r);

		if (err == E_AGAIN) {
			part_range_release(p->table, &r);
			p->disk.warmed = true;
			count(C_cold);
			continue;
		}
		p->disk.warmed = false;
		if (err == E_FENCED || err == E_NOENT || (err == E_RANGE && at < w->part[part].start))
			return false;
		if (err != OK || r.len == 0) {
			if (err != E_IO || sim_fs_counts(w->fs)->eio == 0)
				broken(w, "W5", "read", err, at);
			if (err == OK)
				part_range_release(p->table, &r);
			return false;
		}
		uint64_t pos = 0;
		while (pos < r.len && take(w, p, part, v, &r, pos, first ? -1 : at, bytes[p->id], &h)) {
			struct batch *b = &k->v[k->n < OFFSETS - 1 ? k->n++ : k->n];

			if (first && (h.base_offset > at || h.last_offset < at))
				broken(w, "L1", "the first batch does not hold the log start", at, h.base_offset);
			first = false;
			*b = (struct batch){ .base = h.base_offset, .last = h.last_offset, .ts = h.max_timestamp,
				.id = h.producer_id, .epoch = h.leader_epoch,
				.txn = (h.attributes & LOG_ATTR_TRANSACTIONAL) != 0,
				.control = (h.attributes & LOG_ATTR_CONTROL) != 0, .first = -1 };
			compare(w, part, &topic, v, &h);
			order(w, s, &h, bytes[p->id] + 61, b);
			if (k->n > 1 && b->epoch < k->v[k->n - 2].epoch)
				broken(w, "L1", "a leader epoch goes back", b->base, b->epoch);
			at = h.last_offset + 1;
			pos += h.bytes;
		}
		part_range_release(p->table, &r);
		if (pos < r.len)
			return false;		/* cut since */
	}
	p->disk.warmed = false;
	return !w->broken;
}

/* ---- answers that are derived from the batches ---- */

static void check_time(struct world *w, struct proc *p, int part, const struct part_view *v)
{
	struct scan *k = p->scan;
	struct part_range r;
	int64_t ts, want = -1;

	if (k->n == 0)
		return;
	ts = k->v[rng_below(&w->sim.rng, (uint32_t)k->n)].ts + (int64_t)rng_below(&w->sim.rng, 3) - 1;
	for (int i = 0; i < k->n && want < 0; i++)
		if (k->v[i].ts >= ts && k->v[i].base < v->high_watermark)
			want = k->v[i].base;
	int err = part_find_time(p->table, w->part[part].slot, v, ts, v->high_watermark, &r);

	if (err == E_AGAIN)
		part_range_release(p->table, &r);
	if (err != OK)
		return;
	if (r.first_offset != want && w->part[part].start <= v->log_start)
		broken(w, "W9", "first batch of a timestamp", r.first_offset, want);
	part_range_release(p->table, &r);
	count(C_time);
}

static void check_epoch(struct world *w, struct proc *p, int part, const struct part_view *v)
{
	struct partition *t = &w->part[part];
	struct scan *k = p->scan;
	struct part_epoch_end e;
	struct part_view after;
	struct uuid topic = t->topic;
	int32_t epoch = (int32_t)rng_below(&w->sim.rng, (uint32_t)w->epoch + 1);

	if (part_epoch_end(p->table, t->slot, epoch, &e) != OK || e.epoch < 0 ||
	    part_view(p->table, t->slot, &topic, &after) != OK || after.generation != v->generation)
		return;
	for (int i = 0; i < k->n && !w->broken; i++)
		if (k->v[i].epoch <= epoch ? k->v[i].last >= e.end_offset : k->v[i].base < e.end_offset)
			broken(w, "W9", "end of a leader epoch", e.end_offset, k->v[i].base);
}

static void check_aborted(struct world *w, struct proc *p, int part, const struct part_view *v)
{
	static struct part_aborted got[PROCS][256];
	struct part_aborted *g = got[p->id];
	struct scan *k = p->scan;
	uint32_t n = 0, at = 0;

	if (v->log_start > 0 || part_aborted(p->table, w->part[part].slot, v, 0, v->end, g, 256, &n) != OK)
		return;
	for (int i = 0; i < k->n && !w->broken; i++) {
		if (!k->v[i].aborts)
			continue;
		trace(w, p, "aborted", "id %lld %lld; told %lld %lld of %u", (long long)k->v[i].id,
		      (long long)k->v[i].first, (long long)(at < n ? g[at].producer_id : -1),
		      (long long)(at < n ? g[at].first_offset : -1), n);
		if (at >= n || g[at].producer_id != k->v[i].id || g[at].first_offset != k->v[i].first)
			broken(w, "W9", "an aborted transaction is not told", k->v[i].base, at);
		at++;
	}
}

void scan_whole(struct world *w, struct proc *p, int part)
{
	struct partition *t = &w->part[part];
	struct part_view v, after;
	struct state s;

	struct uuid topic = t->topic;

	if (t->slot == PART_SLOT_NONE || part_view(p->table, t->slot, &topic, &v) != OK ||
	    !uuid_eq(&topic, &t->topic))
		return;
	check_view(w, part, &v);
	for (int i = 0; i < PRODUCERS; i++) {
		s.epoch[i] = -1;
		s.next[i] = -1;
		s.open[i] = s.open_from[i] = s.ended[i] = -1;
	}
	if (!read_all(w, p, part, &v, &s) || part_view(p->table, t->slot, &topic, &after) != OK ||
	    after.generation != v.generation || !uuid_eq(&topic, &t->topic))
		return;
	count(C_scan);
	trace(w, p, "scan", "%d: start %lld high watermark %lld end %lld generation %llu", part, (long long)v.log_start,
	      (long long)v.high_watermark, (long long)v.end, (unsigned long long)v.generation);
	stable(w, p->scan, &s, after.high_watermark);
	if (v.last_stable > p->scan->stable)
		broken(w, "T12", "last stable offset above an open transaction", v.last_stable, p->scan->stable);
	if (v.high_watermark == v.end && after.high_watermark == v.end && v.log_start == 0 &&
	    v.last_stable != p->scan->stable)
		broken(w, "T12", "last stable offset is behind", v.last_stable, p->scan->stable);
	if (t->verify) {
		for (int64_t o = v.end; o < OFFSETS && !w->broken; o++)
			if (t->cell[o].tag != 0)
				broken(w, t->cell[o].acked ? "W1" : "W3", "lost", o, v.end);
		t->verify = false;
	}
	check_time(w, p, part, &v);
	check_epoch(w, p, part, &v);
	check_aborted(w, p, part, &v);
	sim_mix(&w->sim, (uint64_t)v.end);
}

/* ---- a fetch ---- */

void read_somewhere(struct world *w, struct proc *p, int part)
{
	static uint8_t bytes[PROCS][61 + BODY_MAX];
	struct partition *t = &w->part[part];
	struct uuid topic = t->topic;
	struct part_view v;
	struct part_range r;
	struct log_head h;

	if (part_view(p->table, t->slot, &topic, &v) != OK || !uuid_eq(&topic, &t->topic))
		return;
	check_view(w, part, &v);
	if (v.end == v.log_start)
		return;
	int64_t limit = rng_below(&w->sim.rng, 4) ? v.high_watermark : v.end;
	int64_t at = v.log_start + rng_below(&w->sim.rng, (uint32_t)(v.end - v.log_start) + 1);
	uint32_t max = 100 + rng_below(&w->sim.rng, 5000);
	bool min_one = rng_below(&w->sim.rng, 2);
	int err = part_read(p->table, t->slot, &v, at, limit, max, min_one, &r);

	count(C_read);
	if (err == E_AGAIN) {
		count(C_cold);
		part_range_release(p->table, &r);
	}
	if (err == E_RANGE && at >= t->start && uuid_eq(&topic, &t->topic))
		broken(w, "W5", "read out of range", at, v.log_start);
	if (err == E_IO && sim_fs_counts(w->fs)->eio == 0)
		broken(w, "W5", "read", err, at);
	if (err != OK)
		return;
	if (r.len > max && !(min_one && r.first_offset <= at && at < r.next_offset))
		broken(w, "W5", "more than asked", (long long)r.len, max);
	uint64_t pos = 0;
	int64_t next = -1;
	while (pos < r.len && !w->broken && take(w, p, part, &v, &r, pos, next, bytes[p->id], &h)) {
		if (pos == 0 && (h.base_offset > at || h.last_offset < at || h.base_offset != r.first_offset))
			broken(w, "L1", "the range does not start with the offset asked", at, h.base_offset);
		if (h.last_offset >= limit)
			broken(w, "W5", "a batch above the limit", h.last_offset, limit);
		compare(w, part, &topic, &v, &h);
		next = h.last_offset + 1;
		pos += h.bytes;
	}
	if (r.len > 0 && pos == r.len && !w->broken && next != r.next_offset)
		broken(w, "L1", "the range does not end where it says", next, r.next_offset);
	part_range_release(p->table, &r);
}
