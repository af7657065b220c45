/*
 * read.c - everything that looks at a partition without its lock: view, ranges, times, epochs.
 *
 * What a reader gets is immutable below the high watermark (T2), so a range found here stays right
 * although the partition moves on. Results found by walking headers are dropped and found again
 * when the set of files or the truncation generation changed meanwhile.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "part/table.h"

#define FEW_HOPS 4		/* from batch to batch is as cheap as a look-up in the index */
#define TRIES 8			/* a reader that meets that many changes lets others go first */

static bool here(struct part_record *r, const struct uuid *topic_id)
{
	return part_online(r) && part_is(r, topic_id);
}

int part_view(struct part_table *t, uint32_t slot, const struct uuid *topic_id,
	      struct part_view *ret)
{
	struct part_record *r = part_record(t, slot);
	struct part_pub p;
	uint64_t c, hw, synced, log_start, local_start;

	if (!r || !here(r, topic_id))
		return E_NOENT;
	do {
		/* Words of their own first: they never lie above what is published after them. */
		hw = atomic_load(&r->high_watermark);
		synced = atomic_load(&r->synced);
		log_start = atomic_load(&r->log_start);
		local_start = atomic_load(&r->local_log_start);
		part_peek(r, &p, &c);
	} while (!mutant(READER_NO_RECHECK) && atomic_load(&r->commit) != c);
	if (!here(r, topic_id))
		return E_NOENT;
	if (p.w[W_END] > INT64_MAX || p.w[W_SEG] > p.w[W_END])
		return E_DAMAGED;
	if (hw > p.w[W_END])		/* a truncation lies between the two loads */
		hw = p.w[W_END];
	*ret = (struct part_view){
		.commit = c,
		.generation = p.w[W_GENERATION],
		.log_start = (int64_t)log_start,
		.local_log_start = (int64_t)local_start,
		.high_watermark = (int64_t)hw,
		.last_stable = part_stable(r, &p, hw),
		.end = (int64_t)p.w[W_END],
		.synced = (int64_t)(synced < p.w[W_END] ? synced : p.w[W_END]),
		.leader_epoch = (int32_t)(p.w[W_EPOCH] >> 32),
		.max_timestamp = (int64_t)p.w[W_MAX_TS],
		.segment_base = p.w[W_SEG],
		.segment_bytes = p.w[W_POS],
	};
	return OK;
}

static void set_bit(struct part_table *t, uint32_t slot, bool end, bool on)
{
	struct part_record *r = part_record(t, slot);
	uint64_t bit = UINT64_C(1) << t->self;

	if (!r)
		return;
	_Atomic uint64_t *mask = end ? &r->wait_end : &r->wait_hw;
	if (on)
		atomic_fetch_or(mask, bit);
	else if (atomic_load_explicit(mask, memory_order_relaxed) & bit)
		atomic_fetch_and(mask, ~bit);
}

void part_wait(struct part_table *t, uint32_t slot)
{
	set_bit(t, slot, false, true);
}

void part_unwait(struct part_table *t, uint32_t slot)
{
	set_bit(t, slot, false, false);
}

void part_wait_end(struct part_table *t, uint32_t slot)
{
	set_bit(t, slot, true, true);
}

/* ---- finding a place -------------------------------------------------------------------------- */

struct place {				/* one segment as a reader may see it */
	struct part_table *t;
	uint32_t slot;
	struct part_record *r;
	struct log_replica lr;
	struct part_pub pub;
	bool active;
	uint64_t base;
	uint64_t next_base;		/* of the segment behind, or the log's end */
	uint64_t bytes;			/* that exist */
	uint32_t index_n;
	int file;
	uint32_t handle;
	uint64_t hint[PART_HINTS];
	int hints;
};

/* Opens the segment at base; next_base is what follows it. */
static int enter(struct place *p, uint64_t base, uint64_t next_base)
{
	int err = log_files_get(&p->lr, base, LOG_SEGMENT, 0, &p->file, &p->handle);

	if (err)
		return err;
	p->base = base;
	p->next_base = next_base;
	p->active = base == p->pub.w[W_SEG];
	p->hints = 0;
	if (p->active) {
		p->bytes = p->pub.w[W_POS];
		p->index_n = (uint32_t)(p->pub.w[W_INDEX] >> 32);
		return OK;
	}
	p->index_n = log_index_count(&p->lr, base);
	err = p->t->disk->calls->size(p->t->disk, p->file, &p->bytes);
	if (err)
		log_files_put(p->t->files, p->handle);
	return err;
}

static void leave(struct place *p)
{
	log_files_put(p->t->files, p->handle);
}

/* Copies the hints; they count only if the state is still of the same segment after it. */
static void load_hints(struct place *p)
{
	struct part_pub now;
	uint64_t c;

	for (int i = 0; i < PART_HINTS; i++)
		p->hint[i] = atomic_load_explicit(&p->r->hints[i], memory_order_acquire);
	part_peek(p->r, &now, &c);
	if (now.w[W_SEG] == p->pub.w[W_SEG] && now.w[W_GENERATION] == p->pub.w[W_GENERATION])
		p->hints = PART_HINTS;
}

/* A batch boundary at or in front of rel and pos, as far back as need be; UINT64_MAX: no such limit. */
static uint64_t start_at(struct place *p, uint64_t rel, uint64_t pos)
{
	struct log_index_entry e = { .pos = rel == UINT64_MAX ? UINT32_MAX : 0 }, e2 = { .pos = 0 };
	uint64_t best = 0;

	if (p->active && p->hints == 0)
		load_hints(p);
	for (int i = 0; i < p->hints; i++) {
		uint64_t h_rel = p->hint[i] >> 32, h_pos = (uint32_t)p->hint[i];

		if (h_rel <= rel && h_pos <= pos && h_pos > best && h_pos < p->bytes) {
			best = h_pos;
			if (h_rel == rel)	/* a reader at the tail: no look-up at all */
				return best;
		}
	}
	if (best != 0 && pos - best < 4096)
		return best;
	if (rel <= UINT32_MAX)
		log_index_find(&p->lr, p->base, p->index_n, (uint32_t)rel, &e);
	if (pos < p->bytes) {		/* both limits count: take the smaller */
		log_index_find_pos(&p->lr, p->base, p->index_n, (uint32_t)pos, &e2);
		if (e2.pos < e.pos)
			e = e2;
	}
	return e.pos > best && e.pos < p->bytes ? e.pos : best;
}

/* Consumers read on where they stopped: no look-up for them. A wrong position is found out by the batch
 * header there, as with any hint. */
static struct part_last_read *last_slot(struct place *p, uint64_t offset)
{
	return &p->t->last_read[(p->slot * UINT32_C(2654435761) ^ (uint32_t)offset * UINT32_C(2246822519)) >> 16 &
				(PART_LAST_READS - 1)];
}

static bool last_read(struct place *p, uint64_t offset, uint64_t *ret_pos, struct log_head *ret_head)
{
	if (!p->t->last_read)
		return false;
	const struct part_last_read *l = last_slot(p, offset);

	if (l->slot != p->slot || l->offset != offset || l->base != p->base || l->seg_gen != p->lr.gen ||
	    l->generation != p->pub.w[W_GENERATION] || l->pos >= p->bytes)
		return false;
	*ret_pos = l->pos;
	*ret_head = l->head;
	return true;
}

static void remember_read(struct place *p, uint64_t next, uint64_t pos, const struct log_head *head)
{
	if (!p->t->last_read)
		p->t->last_read = mem_alloc(PART_LAST_READS * sizeof *p->t->last_read);
	*last_slot(p, next) = (struct part_last_read){ .slot = p->slot, .offset = next, .base = p->base,
		.seg_gen = p->lr.gen, .generation = p->pub.w[W_GENERATION], .pos = pos, .head = *head };
}

/* Where the segments are; *ret_i is the one that holds offset. */
static int segment_of(struct place *p, uint64_t offset, uint64_t *ret_base, uint64_t *ret_next)
{
	const uint64_t *v;
	uint32_t n;
	int err;

	if (offset >= p->pub.w[W_SEG]) {
		*ret_base = p->pub.w[W_SEG];
		*ret_next = p->pub.w[W_END];
		return OK;
	}
	err = log_segments(&p->lr, &v, &n);
	if (err)
		return err;
	for (uint32_t i = n; i-- > 0;)
		if (v[i] <= offset && v[i] < p->pub.w[W_SEG]) {
			*ret_base = v[i];
			*ret_next = i + 1 < n && v[i + 1] < p->pub.w[W_SEG] ? v[i + 1] : p->pub.w[W_SEG];
			return OK;
		}
	return E_RANGE;
}

static bool changed(struct place *p)
{
	struct part_pub now;
	uint64_t c;

	part_peek(p->r, &now, &c);
	return now.w[W_GENERATION] != p->pub.w[W_GENERATION] ||
	       (!p->active && atomic_load(&p->r->seg_gen) != p->lr.gen) || !part_online(p->r);
}

/* ---- ranges ----------------------------------------------------------------------------------- */

static int cold(struct place *p, uint64_t pos, struct part_range *ret)
{
	*ret = (struct part_range){ .file = p->file, .off = pos, .first_offset = -1,
		.next_offset = -1, .handle = p->handle,
		.len = p->bytes - pos < (1u << 20) ? p->bytes - pos : 1u << 20 };
	return E_AGAIN;
}

/* The walk has asked for the first part already. */
static bool warm(struct place *p, const struct log_walk *w, uint64_t from, uint64_t to)
{
	if (w->warm_from <= from && from < w->warm_to)
		from = w->warm_to;
	return from >= to || p->t->disk->calls->is_warm(p->t->disk, p->file, from, to - from);
}

/* The end of the range that starts with batch `first` at `from`: positions by index, then hops. ret_behind:
 * the header of the batch there, if it was read. */
static int range_end(struct place *p, struct log_walk *w, uint64_t from, const struct log_head *first,
		     uint64_t limit, uint64_t max_bytes, uint64_t *ret_pos, uint64_t *ret_next,
		     struct log_head *ret_behind)
{
	uint64_t stop = from + max_bytes, pos;
	struct log_head h = *first;
	int err;

	*ret_behind = (struct log_head){ .bytes = 0 };
	*ret_pos = from + first->bytes;
	*ret_next = (uint64_t)first->last_offset + 1;
	if (p->next_base <= limit && p->bytes <= stop) {
		*ret_pos = p->bytes;
		*ret_next = p->next_base;
		return OK;
	}
	if (max_bytes - first->bytes < LOG_HEAD_BYTES)
		return OK;
	pos = *ret_pos;
	if (max_bytes / first->bytes > FEW_HOPS) {
		pos = start_at(p, limit < p->next_base ? limit - p->base : UINT64_MAX, stop);
		if (pos < *ret_pos)
			pos = *ret_pos;
	}
	while (!(err = log_walk_head(w, pos, &h)) && pos + h.bytes <= stop &&
	       (uint64_t)h.last_offset < limit) {
		pos += h.bytes;
		*ret_pos = pos;
		*ret_next = (uint64_t)h.last_offset + 1;
	}
	if (err == OK && pos > *ret_pos) {	/* the jump was right, the batch behind it too big */
		*ret_pos = pos;
		*ret_next = (uint64_t)h.base_offset;
	}
	if (err == OK)
		*ret_behind = h;
	return err == E_AGAIN || err == E_RANGE ? OK : err;
}

static int read_once(struct place *p, uint64_t offset, uint64_t limit, uint32_t max_bytes,
		     bool min_one, struct part_range *ret)
{
	uint64_t base, next, pos, end_pos, end_next;
	struct log_walk w;
	struct log_head h = { .bytes = 0 }, behind;
	int err = segment_of(p, offset, &base, &next);

	if (!err)
		err = enter(p, base, next);
	if (err)
		return err;
	log_walk_init(&w, p->t->disk, p->file, p->bytes, true);
	if (!last_read(p, offset, &pos, &h))
		pos = start_at(p, offset - base, UINT64_MAX);
	if (h.bytes == 0)
		err = log_walk_offset(&w, &pos, (int64_t)offset, &h);
	if (err == E_BAD) {		/* hints are hints: the segment's start is always right */
		pos = 0;
		err = log_walk_offset(&w, &pos, (int64_t)offset, &h);
	}
	if (err == E_AGAIN)
		return cold(p, pos, ret);
	if (err == E_RANGE && !p->active && next < limit) {
		/* Compaction may leave the end of a segment empty: the answer is in the next one. */
		leave(p);
		return read_once(p, next, limit, max_bytes, min_one, ret);
	}
	if (err == E_BAD)
		err = E_IO;
	if (err || (uint64_t)h.last_offset >= limit || (h.bytes > max_bytes && !min_one))
		goto empty;
	err = range_end(p, &w, pos, &h, limit, max_bytes > h.bytes ? max_bytes : h.bytes, &end_pos,
			&end_next, &behind);
	if (err)
		goto empty;
	remember_read(p, end_next, end_pos, &behind);
	*ret = (struct part_range){ .file = p->file, .off = pos, .len = end_pos - pos,
		.first_offset = h.base_offset, .next_offset = (int64_t)end_next, .handle = p->handle,
		.warm = warm(p, &w, pos, end_pos) };
	return OK;
empty:
	leave(p);
	if (!err || err == E_RANGE) {
		*ret = (struct part_range){ .file = -1, .first_offset = (int64_t)offset,
			.next_offset = (int64_t)offset, .handle = NIL, .warm = true };
		err = OK;
	}
	return err;
}

static void place_init(struct place *p, struct part_table *t, uint32_t slot, struct part_record *r)
{
	uint64_t c;

	p->t = t;
	p->slot = slot;
	p->r = r;
	p->lr = part_files(t, slot, r);	/* the file generation first, then the state */
	p->active = false;
	part_peek(r, &p->pub, &c);
}

int part_read(struct part_table *t, uint32_t slot, const struct part_view *view, int64_t offset,
	      int64_t limit_offset, uint32_t max_bytes, bool min_one, struct part_range *ret)
{
	struct part_record *r = part_record(t, slot);
	struct part_range found = { .handle = NIL };
	struct place p;
	int err = E_FENCED;

	if (!r)
		return E_NOENT;
	if (offset < view->local_log_start || offset > view->end)
		return E_RANGE;
	if (offset >= limit_offset || offset == view->end) {
		*ret = (struct part_range){ .file = -1, .first_offset = offset,
			.next_offset = offset, .handle = NIL, .warm = true };
		return OK;
	}
	for (int i = 0; i < TRIES; i++) {
		place_init(&p, t, slot, r);
		if (p.pub.w[W_GENERATION] != view->generation || !part_online(r))
			return E_FENCED;
		if (limit_offset > (int64_t)p.pub.w[W_END])
			limit_offset = (int64_t)p.pub.w[W_END];
		if (offset >= limit_offset)
			return E_FENCED;
		err = read_once(&p, (uint64_t)offset, (uint64_t)limit_offset, max_bytes, min_one, &found);
		if (!changed(&p)) {
			if (err == OK || err == E_AGAIN)
				*ret = found;
			break;
		}
		if ((err == OK || err == E_AGAIN) && found.handle != NIL)
			part_range_release(t, &found);
		err = E_FENCED;
	}
	if (err == E_NOENT || (err == E_RANGE && offset < (int64_t)atomic_load(&r->local_log_start)))
		err = E_RANGE;		/* retention was faster */
	return err;
}

void part_range_release(struct part_table *t, struct part_range *r)
{
	if (r->handle != NIL)
		log_files_put(t->files, r->handle);
	r->handle = NIL;
}

/* ---- time ------------------------------------------------------------------------------------- */

/* Largest timestamp of the segment entered; INT64_MAX when the index does not tell. */
static int64_t newest(struct place *p)
{
	struct log_index_entry e;

	if (p->active)
		return (int64_t)p->pub.w[W_SEG_MAX_TS];
	/* Only a closing entry speaks for the whole segment. */
	if (log_index_last(&p->lr, p->base, p->index_n, &e) && e.pos == p->bytes)
		return e.max_ts;
	return INT64_MAX;
}

/* In the segment entered, from the batch that holds offset `from` on. E_RANGE: no batch of it is that young. */
static int find_time_in(struct place *p, int64_t ts, uint64_t from, uint64_t limit, struct part_range *ret)
{
	struct log_index_entry e;
	struct log_walk w;
	struct log_head h;
	int err;

	if (newest(p) < ts)
		return E_RANGE;
	log_index_find_time(&p->lr, p->base, p->index_n, ts, &e);
	uint64_t pos = e.pos < p->bytes ? e.pos : 0;
	log_walk_init(&w, p->t->disk, p->file, p->bytes, true);
	for (; !(err = log_walk_head(&w, pos, &h)) &&
	     (h.max_timestamp < ts || (uint64_t)h.last_offset < from); pos += h.bytes)
		if ((uint64_t)h.last_offset >= limit)
			return E_RANGE;
	if (err == E_AGAIN)
		return cold(p, pos, ret);
	if (err)
		return err == E_BAD ? E_IO : err;
	if ((uint64_t)h.base_offset >= limit)
		return E_RANGE;
	*ret = (struct part_range){ .file = p->file, .off = pos, .len = h.bytes,
		.first_offset = h.base_offset, .next_offset = h.last_offset + 1, .handle = p->handle,
		.warm = p->t->disk->calls->is_warm(p->t->disk, p->file, pos, h.bytes) };
	return OK;
}

static int find_time_once(struct place *p, int64_t ts, uint64_t from, uint64_t limit,
			  struct part_range *ret)
{
	uint64_t base, next;
	int err;

	for (uint64_t at = from; at < limit && at < p->pub.w[W_END]; at = next) {
		err = segment_of(p, at, &base, &next);
		if (!err)
			err = enter(p, base, next);
		if (err)
			return err;
		err = find_time_in(p, ts, from, limit, ret);
		if (err != E_RANGE) {
			if (err && err != E_AGAIN)
				leave(p);
			return err;
		}
		leave(p);
		if (next <= at)
			break;
	}
	*ret = (struct part_range){ .file = -1, .first_offset = -1, .next_offset = -1,
		.handle = NIL, .warm = true };
	return OK;
}

int part_find_time(struct part_table *t, uint32_t slot, const struct part_view *view, int64_t ts,
		   int64_t limit_offset, struct part_range *ret_batch)
{
	struct part_record *r = part_record(t, slot);
	struct part_range found;
	struct place p;
	int err = E_FENCED;

	if (!r)
		return E_NOENT;
	for (int i = 0; i < TRIES; i++) {
		place_init(&p, t, slot, r);
		if (p.pub.w[W_GENERATION] != view->generation || !part_online(r))
			return E_FENCED;
		found.handle = NIL;
		err = find_time_once(&p, ts, (uint64_t)view->local_log_start, (uint64_t)limit_offset, &found);
		if (!changed(&p)) {
			if (err == OK || err == E_AGAIN)
				*ret_batch = found;
			return err == E_NOENT ? E_FENCED : err;
		}
		if ((err == OK || err == E_AGAIN) && found.handle != NIL)
			part_range_release(t, &found);
		err = E_FENCED;
	}
	return err;
}

/* ---- aborted transactions --------------------------------------------------------------------- */

static int aborted_in(struct place *p, uint64_t base, uint64_t from, uint64_t to,
		      struct part_aborted *v, uint32_t max, uint32_t *n)
{
	uint32_t count = base == p->pub.w[W_SEG] ? (uint32_t)p->pub.w[W_ABORTED] :
			 log_txn_count(&p->lr, base);
	struct log_aborted a;

	for (uint32_t i = 0; i < count; i++) {
		int err = log_txn_get(&p->lr, base, i, &a);

		if (err)
			return err == E_RANGE ? OK : err;
		if (a.last_offset < (int64_t)from || a.first_offset >= (int64_t)to)
			continue;
		if (*n == max)
			return E_LIMIT;
		v[(*n)++] = (struct part_aborted){ a.producer_id, a.first_offset };
	}
	return OK;
}

/* A marker lies behind the records it aborts, perhaps segments behind: all of them are asked. */
int part_aborted(struct part_table *t, uint32_t slot, const struct part_view *view, int64_t from,
		 int64_t to, struct part_aborted *v, uint32_t max, uint32_t *ret_n)
{
	struct part_record *r = part_record(t, slot);
	uint64_t base, next;
	struct place p;
	uint32_t n = 0;
	int err;

	if (!r)
		return E_NOENT;
	place_init(&p, t, slot, r);
	if (p.pub.w[W_GENERATION] != view->generation || !part_online(r))
		return E_FENCED;
	for (uint64_t at = (uint64_t)from; at < p.pub.w[W_END]; at = next) {
		err = segment_of(&p, at, &base, &next);
		if (!err)
			err = aborted_in(&p, base, (uint64_t)from, (uint64_t)to, v, max, &n);
		if (err)
			return err;
	}
	if (changed(&p))
		return E_FENCED;
	*ret_n = n;
	return OK;
}

/* ---- leader epochs ---------------------------------------------------------------------------- */

int part_epoch_end(struct part_table *t, uint32_t slot, int32_t epoch, struct part_epoch_end *ret)
{
	struct part_record *r = part_record(t, slot);
	struct log_epoch *v;
	struct part_pub pub;
	uint64_t c;
	uint32_t n, i;
	int err;

	if (!r || !part_online(r))
		return E_NOENT;
	err = part_epochs(t, slot, r, &v, &n);
	if (err)
		return err;
	part_peek(r, &pub, &c);
	*ret = (struct part_epoch_end){ -1, -1 };
	if (n > 0 && epoch != -1 && epoch <= v[n - 1].epoch) {
		for (i = 0; i < n && v[i].epoch <= epoch; i++)
			;
		if (i == n)			/* the latest one */
			*ret = (struct part_epoch_end){ epoch, (int64_t)pub.w[W_END] };
		else if (i == 0)		/* older than all known */
			*ret = (struct part_epoch_end){ epoch, v[0].start };
		else
			*ret = (struct part_epoch_end){ v[i - 1].epoch, v[i].start };
	}
	mem_free(v);
	return OK;
}
