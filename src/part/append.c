/*
 * append.c - batches into a partition: one write and one commit for a whole turn's gathering.
 *
 * The order of steps is that of docs/table.md, "append"; what each death in between leaves is
 * repaired by lock.c. Nothing here allocates, waits for a device or sends.
 */
#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "part/table.h"

#define WRITE_BYTES (1u << 20)		/* of one pwritev: io/disk.h */
#define WRITE_PIECES (CRASH_POINTS ? 1 : 128)	/* with crash points: torn in every place */
/* Kafka's default of 4096 is for its 8-byte entries; ours are found by fewer, wider steps: one for so many
 * batches of the size that is being written, within these bounds (an entry costs a write of its own). */
#define KAFKA_INDEX_INTERVAL 4096u
#define INDEX_BATCHES 4u
#define INDEX_INTERVAL_MIN 65536u
#define INDEX_INTERVAL_MAX (1u << 20)

struct turn {				/* one call of part_append() */
	struct part_table *t;
	uint32_t slot;
	struct part_record *r;
	const struct part_conf *conf;
	struct part_batch *v;
	struct part_appended *ret;
	int64_t now_ms;
	struct log_replica lr;
	struct part_pub old, pub;	/* committed; being built */
	int first;			/* batch that starts this commit */
	int pieces;
	uint32_t pendings;
	uint64_t hint;			/* of the first batch of this commit */
	uint32_t appended, duplicates;
	bool committed;
};

static const struct {
	int err;
	int16_t kafka;
} kafka_codes[] = {
	{ E_LIMIT, 18 },		/* RECORD_LIST_TOO_LARGE */
	{ E_RANGE, 45 },		/* OUT_OF_ORDER_SEQUENCE_NUMBER */
	{ E_FENCED, 47 },		/* INVALID_PRODUCER_EPOCH */
	{ E_NOSPC, 56 },		/* KAFKA_STORAGE_ERROR */
	{ E_IO, 56 },
};

static void refuse(struct part_batch *b, int err)
{
	b->err = err;
	b->kafka_error = -1;
	for (unsigned i = 0; i < sizeof kafka_codes / sizeof kafka_codes[0]; i++)
		if (kafka_codes[i].err == err)
			b->kafka_error = kafka_codes[i].kafka;
}

/* ---- producers -------------------------------------------------------------------------------- */

static struct part_pending *pending(struct turn *u, int64_t id)
{
	struct part_table *t = u->t;

	for (uint32_t i = 0; i < u->pendings; i++)
		if (t->pending[i].id == id)
			return &t->pending[i];
	struct part_pending *p = &t->pending[u->pendings];
	struct part_producer_version *v = NULL;

	must(u->pendings < PART_BATCHES_MAX);
	p->id = id;
	p->idx = part_producer_find(t, u->slot, u->r, id);
	if (p->idx != NIL)
		v = part_version(part_producer_at(t, p->idx), atomic_load(&u->r->commit));
	if (v)
		p->v = *v;
	else
		part_version_init(&p->v);
	return p;		/* counted by keep_pending() once a batch is accepted */
}

static void keep_pending(struct turn *u, struct part_pending *p)
{
	if (p == &u->t->pending[u->pendings])
		u->pendings++;
}

/* OK: append it. E_EXIST: a duplicate, answered in b. */
static int check_producer(struct turn *u, struct part_batch *b, struct part_pending **ret)
{
	int64_t base = -1, ts = -1;
	int err = OK;

	*ret = NULL;
	if (b->producer_id < 0)
		return OK;
	struct part_pending *p = pending(u, b->producer_id);
	if (b->control || b->base_sequence < 0)
		err = b->producer_epoch < p->v.epoch ? E_FENCED : OK;
	else
		err = part_sequence(&p->v, b->producer_epoch, b->base_sequence, b->records, &base, &ts);
	if (err == E_EXIST && mutant(DUPLICATE_APPENDED))
		err = OK;
	if (err == E_EXIST) {
		b->err = OK;
		b->duplicate = true;
		b->base_offset = base;
		b->append_time_ms = ts;
		if (u->ret->ticket.end_offset < base + (int64_t)b->records)
			u->ret->ticket.end_offset = base + (int64_t)b->records;
		u->duplicates++;
		return err;
	}
	if (!err)
		*ret = p;
	return err;
}

/* What the batch does to its producer, and the entry of an aborted transaction. */
static int apply_producer(struct turn *u, struct part_batch *b, struct part_pending *p)
{
	struct part_pub *pub = &u->pub;
	struct part_event e = { .base_offset = b->base_offset, .timestamp = b->max_timestamp,
		.high_watermark = (int64_t)atomic_load(&u->r->high_watermark), .seq = b->base_sequence,
		.count = b->records, .epoch = b->producer_epoch, .transactional = b->transactional,
		.control = b->control, .coordinator_epoch = -1 };
	int64_t first = p->v.txn_len == 0 ? p->v.txn_first : -1;

	if (b->control) {
		int type = log_control_type(b->rest, b->rest_len, &e.coordinator_epoch);

		if (type == 0 && first >= 0) {
			struct log_aborted a = { b->producer_id, first, b->base_offset, first };
			int err = log_txn_put(&u->lr, pub->w[W_SEG], (uint32_t)pub->w[W_ABORTED], &a);

			if (err)
				return err;
			pub->w[W_ABORTED]++;
		}
		if (first >= 0)
			pub->w[W_TXN_DONE] = (uint64_t)b->base_offset;
	}
	if (!b->control && b->base_sequence < 0)
		return OK;		/* a producer id without sequences: nothing to remember */
	part_version_apply(&p->v, &e, &pub->w[W_TXN_OPEN]);
	keep_pending(u, p);
	return OK;
}

/* ---- one batch into the commit being built ---------------------------------------------------- */

/* An entry is made for the first batch of a commit only: it follows from what is committed, so that
 * whoever writes it again after a death writes the same bytes, and a power loss cannot mix two
 * versions of it (L6). */
static int index_batch(struct turn *u, uint64_t bytes)
{
	struct part_pub *pub = &u->pub;
	uint32_t n = (uint32_t)(pub->w[W_INDEX] >> 32), last = (uint32_t)pub->w[W_INDEX];
	uint32_t interval = u->conf->index_interval_bytes;
	uint64_t pos = pub->w[W_POS];

	if (interval == KAFKA_INDEX_INTERVAL) {
		uint64_t wide = bytes * INDEX_BATCHES;

		interval = wide < INDEX_INTERVAL_MIN ? INDEX_INTERVAL_MIN :
			   wide > INDEX_INTERVAL_MAX ? INDEX_INTERVAL_MAX : (uint32_t)wide;
	}
	if (pos == 0 || pos - last < interval || (u->pieces > 0 && !mutant(INDEX_UNCOMMITTED)))
		return OK;
	struct log_index_entry e = { .rel = (uint32_t)(pub->w[W_END] - pub->w[W_SEG]),
		.pos = (uint32_t)pos, .max_ts = (int64_t)pub->w[W_SEG_MAX_TS],
		.ts_rel = (uint32_t)(pub->w[W_SEG_MAX_AT] - pub->w[W_SEG]) };
	int err = log_index_put(&u->lr, pub->w[W_SEG], n, &e);
	if (!err)
		pub->w[W_INDEX] = (uint64_t)(n + 1) << 32 | (uint32_t)pos;
	return err;
}

static int take_batch(struct turn *u, struct part_batch *b, struct part_pending *p)
{
	struct part_pub *pub = &u->pub;
	uint64_t bytes = LOG_HEAD_BYTES + (uint64_t)b->rest_len, base = pub->w[W_END];
	int32_t epoch = (int32_t)(pub->w[W_EPOCH] >> 32);
	int err = index_batch(u, bytes);

	b->base_offset = (int64_t)base;
	if (!err && p)
		err = apply_producer(u, b, p);
	if (err)
		return err;
	be64_put(b->head, base);	/* both lie in front of what the CRC covers */
	be32_put(b->head + 12, (uint32_t)epoch);
	u->t->piece[u->pieces++] = (struct disk_piece){ b->head, LOG_HEAD_BYTES };
	u->t->piece[u->pieces++] = (struct disk_piece){ b->rest, b->rest_len };
	if (pub->w[W_POS] == 0)
		pub->w[W_SEG_FIRST_TS] = (uint64_t)b->max_timestamp;
	if (u->pieces == 2)
		u->hint = (base - pub->w[W_SEG]) << 32 | pub->w[W_POS];
	if (b->max_timestamp > (int64_t)pub->w[W_SEG_MAX_TS]) {
		pub->w[W_SEG_MAX_TS] = (uint64_t)b->max_timestamp;
		pub->w[W_SEG_MAX_AT] = base;
	}
	if (b->max_timestamp > (int64_t)pub->w[W_MAX_TS])
		pub->w[W_MAX_TS] = (uint64_t)b->max_timestamp;
	pub->w[W_POS] += bytes;
	pub->w[W_END] += b->records;
	b->err = OK;
	b->append_time_ms = -1;
	return OK;
}

/* ---- write and commit ------------------------------------------------------------------------- */

/* The bytes gathered, at the committed position. The file must end just there (T2). */
static int write_pieces(struct turn *u, int file)
{
	struct disk *d = u->t->disk;
	struct disk_piece *v = u->t->piece;
	uint64_t off = u->old.w[W_POS], size;
	int err = d->calls->size(d, file, &size);

	if (err)
		return err;
	if (size < off)
		return E_IO;		/* somebody cut a file behind our back */
	if (size > off) {
		part_tally(u->t, PC_LONG, 1);
		err = d->calls->truncate(d, file, off);
		if (err)
			return err;
	}
	for (int i = 0; i < u->pieces;) {
		size_t bytes = 0;
		int n = 0;

		if (v[i].len > WRITE_BYTES) {	/* a part of a big batch */
			struct disk_piece part = { v[i].p, WRITE_BYTES };

			err = d->calls->pwritev(d, file, &part, 1, off);
			v[i].p = (const uint8_t *)v[i].p + WRITE_BYTES;
			v[i].len -= WRITE_BYTES;
			bytes = WRITE_BYTES;
		} else {
			while (i + n < u->pieces && n < WRITE_PIECES && bytes + v[i + n].len <= WRITE_BYTES)
				bytes += v[i + n++].len;
			err = d->calls->pwritev(d, file, &v[i], n, off);
		}
		if (err)
			return err;
		CRASH_POINT(half_written);
		off += bytes;
		i += n;
	}
	must(off == u->pub.w[W_POS]);
	return OK;
}

/* Versions of every producer of this commit; those that exist first, so that a push-out for a new
 * one never meets them. */
static int put_producers(struct turn *u)
{
	struct part_table *t = u->t;

	for (uint32_t i = 0; i < u->pendings; i++)
		if (t->pending[i].idx != NIL)
			part_version_put(u->r, part_producer_at(t, t->pending[i].idx), &t->pending[i].v);
	for (uint32_t i = 0; i < u->pendings; i++) {
		struct part_pending *p = &t->pending[i];

		if (p->idx != NIL)
			continue;
		p->idx = part_producer_link(t, u->slot, u->r, p->id);
		if (p->idx == NIL && part_producer_evict(t, u->slot, u->r))
			p->idx = part_producer_link(t, u->slot, u->r, p->id);
		/* The slab is full of producers that are all busy elsewhere: this one is not
		 * remembered and its retries are not de-duplicated; it is served all the same. */
		if (p->idx != NIL)
			part_version_put(u->r, part_producer_at(t, p->idx), &p->v);
	}
	return OK;
}

static int write_commit(struct turn *u)
{
	struct part_table *t = u->t;
	uint32_t handle;
	int file, err;

	err = log_files_get(&u->lr, u->pub.w[W_SEG], LOG_SEGMENT, 0, &file, &handle);
	if (err)
		return err == E_NOENT ? E_IO : err;
	CRASH_POINT(before_write);
	if (mutant(COMMIT_BEFORE_WRITE))
		err = OK;
	else
		err = write_pieces(u, file);
	if (err) {
		int cut = t->disk->calls->truncate(t->disk, file, u->old.w[W_POS]);

		if (cut || err != E_NOSPC)
			part_fail(u->r);
		log_files_put(t->files, handle);
		return err == E_NOSPC && cut ? E_IO : err;
	}
	CRASH_POINT(after_write);
	err = put_producers(u);
	CRASH_POINT(after_producers);
	if (mutant(WATERMARK_BEFORE_COMMIT))
		(void)part_advance(t, u->r, &u->pub);
	part_commit(u->r, &u->pub);
	if (mutant(COMMIT_BEFORE_WRITE))
		err = write_pieces(u, file);
	log_files_put(t->files, handle);
	return err;
}

/* A retry of a batch that is only being built: it is refused with it, and is no duplicate of anything. */
static bool is_of(struct turn *u, struct part_batch *b)
{
	if (b->base_offset < (int64_t)u->old.w[W_END])
		return false;
	b->duplicate = false;
	u->duplicates--;
	return true;
}

/* Steps 3 to 8 of the protocol for what was gathered. On an error nothing of it is committed. */
static int flush(struct turn *u, int behind)
{
	struct part_record *r = u->r;
	int err;

	if (u->pieces == 0)
		return OK;
	err = write_commit(u);
	if (err) {
		for (int i = u->first; i < behind; i++)
			if (u->v[i].err == OK && (!u->v[i].duplicate || is_of(u, &u->v[i])))
				refuse(&u->v[i], err);
		if (u->ret->ticket.end_offset > (int64_t)u->old.w[W_END])
			u->ret->ticket.end_offset = (int64_t)u->old.w[W_END];
	} else {
		bool visible;

		atomic_store_explicit(&r->hints[r->hint_n++ % PART_HINTS], u->hint,
				      memory_order_release);
		CRASH_POINT(before_watermark);
		visible = part_advance(u->t, r, &u->pub);
		u->ret->wake_mask |= part_wakes(r, visible);
		if (u->ret->ticket.end_offset < (int64_t)u->pub.w[W_END])
			u->ret->ticket.end_offset = (int64_t)u->pub.w[W_END];
		part_tally(u->t, PC_APPENDS, (uint64_t)u->pieces / 2);
		part_tally(u->t, PC_BYTES, u->pub.w[W_POS] - u->old.w[W_POS]);
		u->old = u->pub;
		u->committed = true;
	}
	u->pieces = 0;
	u->pendings = 0;
	u->first = behind;
	return err;
}

static int roll_if_due(struct turn *u, const struct part_batch *b, int i)
{
	uint64_t bytes = LOG_HEAD_BYTES + (uint64_t)b->rest_len;
	int err;

	if (!part_roll_due(&u->pub, u->conf, u->slot, bytes, b->records, b->max_timestamp))
		return OK;
	err = flush(u, i);
	if (!err)
		err = part_roll(u->t, u->slot, u->r, &u->old, u->now_ms);
	if (err)
		return err;
	u->pub = u->old;
	u->lr = part_files(u->t, u->slot, u->r);
	return OK;
}

static int append_all(struct turn *u, int n)
{
	int err = OK;

	for (int i = 0; i < n; i++) {
		struct part_batch *b = &u->v[i];
		struct part_pending *p;

		b->duplicate = false;
		b->base_offset = b->append_time_ms = -1;
		b->kafka_error = 0;
		if (err) {		/* the disk failed: nothing behind it may overtake */
			refuse(b, err);
			continue;
		}
		if (LOG_HEAD_BYTES + (uint64_t)b->rest_len > u->conf->segment_bytes) {
			refuse(b, E_LIMIT);
			continue;
		}
		int bad = check_producer(u, b, &p);
		if (bad) {
			if (bad != E_EXIST)
				refuse(b, bad);
			continue;
		}
		err = roll_if_due(u, b, i);
		if (!err && p && u->pendings == 0)	/* the roll committed: look it up again */
			bad = check_producer(u, b, &p);
		must(bad == OK);
		if (!err)
			err = take_batch(u, b, p);
		if (err)
			refuse(b, err);
		if (err && u->pieces > 0) {	/* what was gathered before it is still good */
			int late = flush(u, i);

			err = late ? late : err;
		}
	}
	return err ? err : flush(u, n);
}

int part_append(struct part_table *t, uint32_t slot, const struct uuid *topic_id,
		int32_t expect_epoch, const struct part_conf *conf, struct part_batch *v, int n,
		int64_t now_ms, struct part_appended *ret)
{
	struct part_record *r = part_record(t, slot);
	struct turn u = { .t = t, .slot = slot, .r = r, .conf = conf, .v = v, .ret = ret,
		.now_ms = now_ms };
	struct lock_held *held;
	uint32_t ids = 0;
	int err;

	must(n > 0 && n <= PART_BATCHES_MAX);
	*ret = (struct part_appended){ .wake_mask = 0 };
	if (!r || !part_is(r, topic_id))
		return E_NOENT;
	for (int i = 0; i < n; i++)
		ids += v[i].producer_id >= 0;
	part_stock(t, ids);
	err = part_hold(t, slot, r, &held, &u.old, &ret->wake_mask);
	if (err)
		return err;
	CRASH_POINT(locked);
	if (mutant(APPEND_ALLOCATES))
		mem_free(mem_alloc(1));
	err = E_NOENT;
	if (!part_is(r, topic_id))
		goto out;
	u.pub = u.old;
	err = E_FENCED;
	if (expect_epoch >= 0 && expect_epoch != (int32_t)(u.old.w[W_EPOCH] >> 32))
		goto out;
	u.lr = part_files(t, slot, r);
	if (atomic_load_explicit(&r->durability, memory_order_relaxed) != conf->durability)
		atomic_store_explicit(&r->durability, conf->durability, memory_order_relaxed);
	ret->ticket.generation = u.old.w[W_GENERATION];
	err = append_all(&u, n);
	if (err && (u.committed || u.duplicates))
		err = OK;		/* each batch tells its own */
	ret->log_start = (int64_t)atomic_load(&r->log_start);
	if (u.duplicates)
		part_tally(t, PC_DEDUPS, u.duplicates);
out:
	part_unlock(t, r, held, &ret->wake_mask);
	return err;
}
