/*
 * recover.c - from files to a record: creation of a replica, recovery after power loss.
 *
 * What is below the recovery point of the checkpoint was synced and is walked by headers only where
 * something has to be rebuilt (index, producers since the newest snapshot); behind it every batch
 * is checked with its CRC, and the log ends at the first bad one: a torn tail. Runs under the
 * record's lock with life OPENING; a kill in between leaves OPENING, and it all happens again.
 */
#include "part/recover.h"

#include "base/assert.h"
#include "base/mem.h"

#define REBUILD_INTERVAL 65536u		/* bytes between index entries that are made new */

struct numbers {			/* of files, ascending */
	uint64_t *v;
	uint32_t n, cap;
};

struct recovery {
	struct part_table *t;
	uint32_t slot;
	struct part_record *r;
	bool clean;
	struct log_replica lr;
	struct log_path folder;
	struct numbers segment, snapshot;
	const struct log_ckpt_entry *ckpt;
	uint64_t recovery_point;
	uint64_t generation;		/* of the replica once it is recovered */
	struct log_cut cut[LOG_CUTS_MAX];
	uint32_t cuts;
	bool walk_all;			/* the epoch history has to be found in the batches */
	int64_t replay_from;		/* producers are known up to here */
	struct part_set set;
	uint64_t txn_open;
	struct log_epoch *epoch;
	uint32_t epochs;
	bool epochs_changed, made, folder_made;
	bool unlinked;			/* and the folder not synced since */
	/* of the segment that is being walked: */
	uint64_t base, first_pos;
	uint32_t index_n, index_pos, aborted;
	bool index_changed;
	int64_t first_ts, max_ts;
	uint64_t max_at;
	int64_t log_max_ts;
	uint64_t end, pos;		/* result: log end, bytes of the last segment */
	int err;			/* of a callback */
};

static void add_number(struct numbers *s, uint64_t x)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? s->cap * 2 : 16;
		s->v = mem_resize(s->v, s->cap * sizeof *s->v);
	}
	uint32_t i = s->n++;
	for (; i > 0 && s->v[i - 1] > x; i--)
		s->v[i] = s->v[i - 1];
	s->v[i] = x;
}

static int unlink_in(struct recovery *k, uint64_t base, const char *suffix)
{
	struct log_path p;
	int err;

	log_path_init(&p, k->folder.s);
	log_path_segment(&p, base, suffix);
	err = k->t->disk->calls->unlink(k->t->disk, p.s);
	k->unlinked |= err == OK;
	return err == E_NOENT ? OK : err;
}

/* ---- folder ----------------------------------------------------------------------------------- */

/* A folder of the same name but another topic: the old topic's reaper, or an operator, takes it. */
static int set_aside(struct recovery *k, const struct uuid *other)
{
	char text[UUID_TEXT + 1];
	struct log_path to;
	uint32_t end = part_slots_end(k->t);
	bool dying = false;

	for (uint32_t i = 0; i < end; i++)
		dying |= part_slot_state(k->t, i) == PART_DELETING &&
			 part_is(part_record(k->t, i), other);
	uuid_text(other, text);
	log_path_init(&to, k->folder.s);
	log_path_add(&to, ".");
	log_path_add(&to, text);
	log_path_add(&to, dying ? "-delete" : "-stray");
	return k->t->disk->calls->rename(k->t->disk, k->folder.s, to.s);
}

static int open_folder(struct recovery *k)
{
	struct disk *d = k->t->disk;
	struct uuid found, want;
	uint64_t w[2] = { atomic_load(&k->r->topic_id[0]), atomic_load(&k->r->topic_id[1]) };
	int err;

	memcpy(&want, w, sizeof want);
	log_path_folder(&k->folder, k->t->log_dir, k->lr.topic, k->lr.partition);
	err = log_topic_id_read(d, k->folder.s, &found);
	if (!err && !uuid_eq(&found, &want)) {
		err = set_aside(k, &found);
		if (!err)
			err = E_NOENT;
	}
	if (err == OK)
		return OK;
	if (err != E_NOENT && err != E_BAD)
		return err;
	err = d->calls->mkdir(d, k->folder.s);
	if (err && err != E_EXIST)
		return err;
	err = log_topic_id_write(d, k->folder.s, &want);
	if (!err)
		err = d->calls->sync_dir(d, k->t->log_dir);
	k->made = k->folder_made = true;
	return err;
}

static void meet_file(struct recovery *k, const char *name)
{
	size_t n = strlen(name);
	uint64_t x;

	if (log_name_is(name, ".log", &x)) {
		add_number(&k->segment, x);
	} else if (log_name_is(name, ".producers", &x)) {
		add_number(&k->snapshot, x);
	} else if ((n > 8 && strcmp(name + n - 8, ".deleted") == 0) ||
		   (n > 8 && strcmp(name + n - 8, ".cleaned") == 0) ||
		   (n > 4 && strcmp(name + n - 4, ".tmp") == 0)) {
		struct log_path p;

		log_path_init(&p, k->folder.s);
		log_path_add(&p, "/");
		log_path_add(&p, name);
		(void)k->t->disk->calls->unlink(k->t->disk, p.s);
	}
}

static int list_files(struct recovery *k)
{
	struct buf b;
	int err = log_list(k->t->disk, k->folder.s, &b);

	if (err)
		return err;
	for (size_t at = 0; at < b.len; at += strlen((char *)b.p + at) + 1)
		meet_file(k, (char *)b.p + at);
	buf_release(&b);
	return OK;
}

/* ---- batches met ------------------------------------------------------------------------------ */

static void note_epoch(struct recovery *k, int32_t epoch, int64_t start)
{
	/* An entry of the file that was written and never led: the batch tells that it was not so. */
	while (k->epochs > 0 && epoch >= 0 && k->epoch[k->epochs - 1].epoch > epoch &&
	       k->epoch[k->epochs - 1].start <= start) {
		k->epochs--;
		k->epochs_changed = true;
	}
	if (epoch < 0 || (k->epochs > 0 && k->epoch[k->epochs - 1].epoch >= epoch) ||
	    k->epochs == LOG_EPOCHS_MAX)
		return;
	k->epoch = mem_resize(k->epoch, (k->epochs + 1) * sizeof *k->epoch);
	k->epoch[k->epochs++] = (struct log_epoch){ epoch, start };
	k->epochs_changed = true;
}

static void replay_producer(struct recovery *k, const struct log_head *h, const uint8_t *body,
			    uint32_t body_len)
{
	struct part_event e = { .base_offset = h->base_offset, .timestamp = h->max_timestamp,
		.high_watermark = INT64_MAX, .seq = h->base_sequence,
		.count = (uint32_t)(h->last_offset - h->base_offset) + 1, .epoch = h->producer_epoch,
		.transactional = (h->attributes & LOG_ATTR_TRANSACTIONAL) != 0,
		.control = (h->attributes & LOG_ATTR_CONTROL) != 0, .coordinator_epoch = -1 };

	if (h->producer_id < 0 || (!e.control && h->base_sequence < 0) || mutant(DEDUP_FORGOTTEN))
		return;
	struct part_pending *p = part_set_get(&k->set, h->producer_id);
	if (e.control && log_control_type(body, body_len, &e.coordinator_epoch) == 0 &&
	    p->v.txn_first >= 0 && p->v.txn_len == 0) {
		struct log_aborted a = { h->producer_id, p->v.txn_first, h->base_offset, p->v.txn_first };
		int err = log_txn_put(&k->lr, k->base, k->aborted++, &a);

		k->err = k->err ? k->err : err;
	}
	part_version_apply(&p->v, &e, &k->txn_open);
}

static void on_batch(void *ctx, const struct log_head *h, uint64_t pos, const uint8_t *body,
		     uint32_t body_len)
{
	struct recovery *k = ctx;

	if (k->t->progress)
		k->t->progress(k->t->progress_ctx);
	if (pos != 0 && pos - k->index_pos >= REBUILD_INTERVAL) {
		struct log_index_entry e = { .rel = (uint32_t)((uint64_t)h->base_offset - k->base),
			.pos = (uint32_t)pos, .max_ts = k->max_ts,
			.ts_rel = (uint32_t)(k->max_at - k->base) };
		int err = log_index_put(&k->lr, k->base, k->index_n++, &e);

		k->index_changed = true;
		k->index_pos = (uint32_t)pos;
		k->err = k->err ? k->err : err;
	}
	if (pos == 0)
		k->first_ts = h->max_timestamp;
	if (h->max_timestamp > k->max_ts) {
		k->max_ts = h->max_timestamp;
		k->max_at = (uint64_t)h->base_offset;
	}
	note_epoch(k, h->leader_epoch, h->base_offset);
	if (h->base_offset >= k->replay_from)
		replay_producer(k, h, body, body_len);
}

/* ---- one segment ------------------------------------------------------------------------------ */

/* Where the walk starts: the last index entry that is sound and not behind what has to be seen. */
static uint64_t walk_from(struct recovery *k, int file, uint64_t bytes)
{
	uint64_t need = k->recovery_point, next = k->base;
	struct log_index_entry e;
	struct log_walk w;
	struct log_head h;

	if ((uint64_t)k->replay_from < need)
		need = (uint64_t)k->replay_from;
	k->index_n = k->index_pos = 0;
	k->index_changed = false;
	k->first_ts = k->max_ts = -1;
	k->max_at = k->base;
	k->first_pos = 0;
	if (k->walk_all || need <= k->base)
		return next;
	log_index_find(&k->lr, k->base, log_index_count(&k->lr, k->base),
		       need - k->base < UINT32_MAX ? (uint32_t)(need - k->base) : UINT32_MAX, &e);
	if (e.nth == 0)
		return next;
	log_walk_init(&w, k->t->disk, file, bytes, false);
	if (log_walk_head(&w, e.pos, &h) || (uint64_t)h.base_offset != k->base + e.rel)
		return next;		/* an entry of bytes that are no more */
	if (log_walk_head(&w, 0, &h))
		return next;
	k->first_ts = h.max_timestamp;
	k->index_n = e.nth;
	k->index_pos = e.pos;
	k->max_ts = e.max_ts;
	k->max_at = k->base + e.ts_rel;
	k->first_pos = e.pos;
	return k->base + e.rel;
}

/* A clean stop synced what the checkpoint tells. An append that was killed before its commit may have left whole
 * batches behind it: they are found, count from now on, and were never synced. L2 */
static bool on_the_platter(const struct recovery *k)
{
	return k->clean && ((k->ckpt && k->end <= k->recovery_point) || mutant(CLEAN_FOR_EVER));
}

static int trim_side_files(struct recovery *k)
{
	struct { enum log_kind kind; uint64_t bytes; } v[] = {
		{ LOG_INDEX, (uint64_t)k->index_n * LOG_INDEX_ENTRY },
		{ LOG_TXN, (uint64_t)k->aborted * LOG_TXN_ENTRY },
	};

	for (unsigned i = 0; i < 2; i++) {
		uint64_t have;
		uint32_t handle;
		int file, err = log_files_get(&k->lr, k->base, v[i].kind,
					      v[i].kind == LOG_INDEX ? DISK_CREATE : 0, &file, &handle);

		if (err == E_NOENT)
			continue;
		if (err)
			return err;
		err = k->t->disk->calls->size(k->t->disk, file, &have);
		if (!err && have > v[i].bytes && !mutant(INDEX_NOT_CUT))
			err = k->t->disk->calls->truncate(k->t->disk, file, v[i].bytes);
		/* Synced, or a power loss brings back entries of batches that are no more (L6). WHY also when nothing
		 * was cut: a recovery that was killed may have cut it, and not come to its sync. */
		bool may_differ = have > v[i].bytes || (i == 0 && k->index_changed) || !on_the_platter(k);

		if (!err && may_differ && !mutant(INDEX_NOT_SYNCED))
			err = k->t->disk->calls->sync(k->t->disk, file);
		log_files_put(k->t->files, handle);
		if (err)
			return err;
	}
	return OK;
}

/* Markers in front of the replay are in the aborted index already, and on the platter (L4). What is
 * behind them may be torn, or zeros. */
static void count_aborted(struct recovery *k)
{
	uint32_t n = log_txn_count(&k->lr, k->base);
	int64_t last = (int64_t)k->base - 1;
	struct log_aborted a;

	for (k->aborted = 0; k->aborted < n; k->aborted++, last = a.last_offset)
		if (log_txn_get(&k->lr, k->base, k->aborted, &a) || a.last_offset >= k->replay_from ||
		    a.last_offset <= last || a.first_offset >= a.last_offset)
			break;
}

/* Only such a segment may have holes: compaction works on what is durable. Elsewhere a hole is what a
 * power loss made. L1, L5 */
static bool below_recovery_point(const struct recovery *k, uint64_t next_base)
{
	return next_base <= k->recovery_point || mutant(HOLES_ALLOWED);
}

/* Walks [first_pos, bytes): headers alone up to the recovery point, then with CRC. */
static int walk(struct recovery *k, int file, uint64_t bytes, uint64_t next, uint64_t next_base)
{
	struct log_scan s = { .disk = k->t->disk, .file = file, .pos = k->first_pos, .end = bytes,
		.next_offset = (int64_t)next, .segment_base = k->base,
		.buf = part_scan_buffer(k->t), .on_batch = on_batch, .ctx = k,
		.dense = !below_recovery_point(k, next_base), .offset_end = next_base };
	int err = OK;

	part_tally(k->t, PC_SCANNED_FILES, 1);
	part_tally(k->t, PC_SCANNED_BYTES, bytes > k->first_pos ? bytes - k->first_pos : 0);
	if (next < k->recovery_point) {
		struct log_walk w;
		struct log_head h;
		uint64_t at = s.pos;

		log_walk_init(&w, k->t->disk, file, bytes, false);
		err = log_walk_offset(&w, &at, (int64_t)k->recovery_point, &h);
		bool broke = err == E_BAD && next_base <= k->recovery_point;
		if (err != OK && err != E_RANGE && err != E_BAD)
			return err;
		s.end = at;		/* start of the first batch to distrust, or where it broke */
		s.skip_crc = true;
		err = log_scan(&s);
		if (!err && broke) {
			/* A closed segment that is whole may have grown again by a power loss: bytes of an
			 * append that was cut before the roll. Else it is bit rot in what was synced: not
			 * ours to cut. */
			k->pos = s.pos;
			k->end = (uint64_t)s.next_offset;
			return k->end == next_base ? k->err : E_IO;
		}
		s.end = bytes;
		s.skip_crc = mutant(RECOVERY_SKIPS_CRC);
	}
	if (!err)
		err = log_scan(&s);
	k->pos = s.pos;
	k->end = (uint64_t)s.next_offset;
	return err ? err : k->err;
}

static int recover_segment(struct recovery *k, uint32_t i, bool *ret_stop)
{
	bool last = i + 1 == k->segment.n;
	uint64_t next_base = last ? UINT64_MAX : k->segment.v[i + 1], bytes, next;
	struct log_index_entry e;
	uint32_t handle;
	int file, err;

	k->base = k->segment.v[i];
	err = log_files_get(&k->lr, k->base, LOG_SEGMENT, 0, &file, &handle);
	if (err)
		return err;
	err = k->t->disk->calls->size(k->t->disk, file, &bytes);
	if (err)
		goto out;
	if (next_base <= k->recovery_point && next_base <= (uint64_t)k->replay_from && !k->walk_all &&
	    log_index_last(&k->lr, k->base, log_index_count(&k->lr, k->base), &e) && e.pos == bytes) {
		k->end = next_base;
		k->pos = bytes;
		k->max_ts = e.max_ts;
		if (e.max_ts > k->log_max_ts)
			k->log_max_ts = e.max_ts;
		goto out;
	}
	next = walk_from(k, file, bytes);
	count_aborted(k);
	err = walk(k, file, bytes, next, next_base);
	if (err)
		goto out;
	*ret_stop = k->end != next_base && (k->pos < bytes || !below_recovery_point(k, next_base));
	if (k->pos < bytes)
		part_tally(k->t, PC_TORN, 1);
	/* The active one also when nothing is to be cut: blocks may be reserved behind its end. */
	if (k->pos < bytes || *ret_stop || last)
		err = k->t->disk->calls->truncate(k->t->disk, file, k->pos);
	if (!err && !last && !*ret_stop) {	/* the closing entry */
		e = (struct log_index_entry){ .rel = (uint32_t)(k->end - k->base),
			.pos = (uint32_t)k->pos, .max_ts = k->max_ts,
			.ts_rel = (uint32_t)(k->max_at - k->base) };
		err = log_index_put(&k->lr, k->base, k->index_n++, &e);
		k->index_changed = true;
	}
	if (!err)
		err = trim_side_files(k);
	if (!err && !on_the_platter(k) && k->pos > 0)
		err = k->t->disk->calls->sync(k->t->disk, file);
	if (k->max_ts > k->log_max_ts)
		k->log_max_ts = k->max_ts;
out:
	log_files_put(k->t->files, handle);
	return err;
}

/* ---- the whole replica ------------------------------------------------------------------------ */

static int load_epochs(struct recovery *k)
{
	int err;

	err = log_epochs_read(k->t->disk, k->folder.s, &k->epoch, &k->epochs);
	if (err == E_NOENT || err == E_BAD) {
		k->walk_all = !k->made && k->segment.n > 0;
		k->epochs = 0;
		err = OK;
	}
	return err;
}

/* The newest good snapshot at or below limit. */
static void load_producers(struct recovery *k, uint64_t limit)
{
	part_set_release(&k->set);
	k->txn_open = 0;
	k->replay_from = 0;
	for (uint32_t i = k->snapshot.n; i-- > 0;) {
		if (k->snapshot.v[i] > limit)
			continue;
		if (!mutant(DEDUP_FORGOTTEN) &&
		    part_snapshot_read(k->t, k->folder.s, (int64_t)k->snapshot.v[i], &k->set))
			continue;
		k->replay_from = (int64_t)k->snapshot.v[i];
		break;
	}
	for (uint32_t i = 0; i < k->set.n; i++)
		k->txn_open += k->set.v[i].v.txn_first >= 0 && k->set.v[i].v.txn_len == 0;
}

static int first_segment(struct recovery *k)
{
	uint64_t base = k->ckpt ? (uint64_t)k->ckpt->log_start : 0;
	uint32_t handle;
	int file, err;

	if (k->segment.n > 0)
		return OK;
	err = log_files_get(&k->lr, base, LOG_SEGMENT, DISK_CREATE | DISK_TRUNC, &file, &handle);
	if (err)
		return err;
	err = k->t->disk->calls->sync(k->t->disk, file);
	log_files_put(k->t->files, handle);
	add_number(&k->segment, base);
	k->made = true;
	return err;
}

/* A roll that was cut before its commit leaves an empty file, and a power loss can bring it back
 * although appends went on in the segment before: it says nothing about where that one ends. */
static int drop_empty(struct recovery *k)
{
	uint32_t n = k->segment.n < 1 ? 0 : 1;
	int err = OK;

	for (uint32_t i = 1; i < k->segment.n && !err; i++) {
		uint64_t bytes = 0;
		uint32_t handle;
		int file;

		err = log_files_get(&k->lr, k->segment.v[i], LOG_SEGMENT, 0, &file, &handle);
		if (err)
			break;
		err = k->t->disk->calls->size(k->t->disk, file, &bytes);
		log_files_put(k->t->files, handle);
		if (err || bytes > 0) {
			k->segment.v[n++] = k->segment.v[i];
			continue;
		}
		for (unsigned s = 0; s < LOG_KIND_N && !err; s++)
			err = unlink_in(k, k->segment.v[i], log_suffix[s]);
	}
	k->segment.n = n;
	return err;
}

static int walk_segments(struct recovery *k, uint64_t snapshot_limit)
{
	bool stop = false;
	uint32_t i;
	int err = OK;

	load_producers(k, snapshot_limit);
	k->log_max_ts = -1;
	for (i = 0; i < k->segment.n && !err && !stop; i++)
		err = recover_segment(k, i, &stop);
	/* Behind a cut nothing is part of the log any more. */
	for (; i < k->segment.n && !err; i++) {
		for (unsigned s = 0; s < LOG_KIND_N && !err; s++)
			err = unlink_in(k, k->segment.v[i], log_suffix[s]);
	}
	while (stop && k->segment.n > 0 && k->segment.v[k->segment.n - 1] > k->base)
		k->segment.n--;
	return err;
}

/* What the checkpoint says of the replica, as far as it still is true: it does not know of a
 * truncation that came after it, and what was appended since may be torn. L3 */
static int load_checkpoint(struct recovery *k)
{
	uint64_t known = k->ckpt ? k->ckpt->generation : 0;
	int err = log_cuts_read(k->t->disk, k->folder.s, k->cut, &k->cuts);

	if (err == E_BAD)		/* never written by halves: bit rot; every byte is checked then */
		k->recovery_point = 0;
	else if (err)
		return err == E_NOENT ? OK : err;
	for (uint32_t i = 0; i < k->cuts; i++) {
		if ((uint64_t)k->cut[i].generation <= known || mutant(CHECKPOINT_OUTLIVES_CUT))
			continue;
		if (k->recovery_point > (uint64_t)k->cut[i].end)
			k->recovery_point = (uint64_t)k->cut[i].end;
		if (k->generation <= (uint64_t)k->cut[i].generation)
			k->generation = (uint64_t)k->cut[i].generation + 1;
	}
	return OK;
}

/* cut: the log got a smaller end than some checkpoint may know of. */
static int settle(struct recovery *k, bool cut)
{
	int err = OK;

	if (cut || k->end < k->recovery_point) {
		log_cuts_add(k->cut, &k->cuts, (struct log_cut){ (int64_t)k->generation, (int64_t)k->end });
		err = log_cuts_write(k->t->disk, k->folder.s, k->cut, k->cuts);
	}
	for (uint32_t i = 0; i < k->snapshot.n && !err; i++)
		if (k->snapshot.v[i] > k->end)
			err = unlink_in(k, k->snapshot.v[i], ".producers");
	while (k->epochs > 0 && k->epoch[k->epochs - 1].start > (int64_t)k->end) {
		k->epochs--;
		k->epochs_changed = true;
	}
	if (!err && k->epochs_changed)
		err = log_epochs_write(k->t->disk, k->folder.s, k->epoch, k->epochs, true);
	/* Also when a segment went: if a power loss brings it back, the one before would end at its base. L2 */
	if (!err && (!on_the_platter(k) || k->made || k->unlinked))
		err = k->t->disk->calls->sync_dir(k->t->disk, k->folder.s);
	/* A kill may have come between mkdir and its sync, last time. */
	if (!err && (!k->clean || (!k->ckpt && !k->folder_made)))
		err = k->t->disk->calls->sync_dir(k->t->disk, k->t->log_dir);
	return err;
}

/* Producers from private memory into slots; those that find no slot are the oldest of a full slab. */
static void publish_producers(struct recovery *k)
{
	part_producers_drop_all(k->t, k->slot, k->r);
	for (uint32_t i = 0; i < k->set.n; i++) {
		uint32_t idx;

		if (k->t->stock_n == 0)
			part_stock_free(k->t, 1);
		idx = part_producer_link(k->t, k->slot, k->r, k->set.v[i].id);
		if (idx != NIL)
			part_version_put(k->r, part_producer_at(k->t, idx), &k->set.v[i].v);
	}
}

static void publish(struct recovery *k, struct part_pub *pub, bool fresh)
{
	struct part_record *r = k->r;
	uint64_t start = k->segment.v[0];

	if (mutant(ONLINE_EARLY))
		part_set_life(r, PART_ONLINE);
	publish_producers(k);
	pub->w[W_END] = k->end;
	pub->w[W_POS] = k->pos;
	pub->w[W_SEG] = k->base;
	pub->w[W_SEG_FIRST_TS] = (uint64_t)k->first_ts;
	pub->w[W_SEG_MAX_TS] = (uint64_t)k->max_ts;
	pub->w[W_SEG_MAX_AT] = k->max_at;
	pub->w[W_MAX_TS] = (uint64_t)k->log_max_ts;
	pub->w[W_INDEX] = (uint64_t)k->index_n << 32 | k->index_pos;
	pub->w[W_TXN_OPEN] = k->txn_open;
	pub->w[W_TXN_DONE] = PART_NO_OFFSET;
	pub->w[W_ABORTED] = k->aborted;
	pub->w[W_SNAPSHOT] = (uint64_t)k->replay_from;
	pub->w[W_EPOCH] = (uint64_t)UINT32_MAX << 32;
	for (uint32_t i = k->epochs > PART_EPOCHS ? k->epochs - PART_EPOCHS : 0; i < k->epochs; i++) {
		if (i + PART_EPOCHS == k->epochs || i == 0)	/* the count tells that there are more */
			pub->w[W_EPOCH] = i;
		part_epoch_push(r, pub, k->epoch[i].epoch, k->epoch[i].start);
	}
	if (fresh) {
		uint64_t ls = k->ckpt ? (uint64_t)k->ckpt->log_start : 0;

		start = ls > start ? ls : start;
		start = start < k->end ? start : k->end;
		atomic_store(&r->log_start, start);
		atomic_store(&r->local_log_start, start);
		atomic_store(&r->last_stable, 0);
		atomic_store(&r->high_watermark, 0);
	}
	part_clear_hints(r);
	atomic_store(&r->synced, k->end);
	atomic_store(&r->synced_base, k->base);
	atomic_store(&r->reserved, 0);
	atomic_fetch_add(&r->seg_gen, 1);
	CRASH_POINT(recover_publish);
	part_commit(r, pub);
	if (fresh) {
		atomic_store(&r->high_watermark, k->end);
	} else if (k->txn_open > 0 && !mutant(STABLE_OUTLIVES_CUT)) {
		/* A marker went, and the transaction that it ended is open again. T12 */
		uint64_t first = part_first_unstable(k->t, r, atomic_load(&r->commit), k->end);

		if (first < atomic_load(&r->last_stable))
			atomic_store(&r->last_stable, first);
	}
	(void)part_advance(k->t, r, pub);
	atomic_store(&r->intent, 0);
	part_set_life(r, PART_ONLINE);
}

int part_recover_locked(struct part_table *t, uint32_t slot, struct part_record *r, bool clean)
{
	/* The clean mark speaks of the files as this broker found them, not of what was appended since. */
	bool found = atomic_load(&r->commit) == 0 || mutant(CLEAN_FOR_EVER);
	struct recovery k = { .t = t, .slot = slot, .r = r, .clean = clean && found };
	struct part_pub pub = { .w = { 0 } }, was;
	bool cut = (atomic_load(&r->intent) & PART_INTENT_REBUILD) != 0;
	uint64_t limit = UINT64_MAX, id[2] = { atomic_load(&r->topic_id[0]), atomic_load(&r->topic_id[1]) };
	struct uuid topic;
	int err = OK;

	memcpy(&topic, id, sizeof topic);
	atomic_fetch_add(&r->seg_gen, 1);
	k.lr = part_files(t, slot, r);
	log_files_stale(t->files, slot, k.lr.gen);
	k.ckpt = log_ckpt_find(&t->ckpt, &topic, atomic_load(&r->partition));
	k.recovery_point = k.ckpt ? (uint64_t)k.ckpt->recovery_point : 0;
	k.generation = k.ckpt ? k.ckpt->generation + 1 : 1;
	if (atomic_load(&r->commit) != 0 && !part_load(t, r, &was)) {
		if (was.w[W_GENERATION] >= k.generation)
			k.generation = was.w[W_GENERATION] + !cut;
		if (cut) {		/* a truncation was published; finish it first */
			limit = was.w[W_END];
			if (k.recovery_point > limit)
				k.recovery_point = limit;
			err = part_cut_files(t, slot, r, &was);
			k.lr = part_files(t, slot, r);
		}
	} else {
		cut = false;
		/* A damaged record may not tell its generation; the checkpoint may be older, or lost. T14 */
		if (k.generation <= atomic_load(&r->generation_made))
			k.generation = atomic_load(&r->generation_made) + 1;
	}
	if (!err)
		err = open_folder(&k);
	if (!err)
		err = load_checkpoint(&k);
	if (!err)
		err = list_files(&k);
	if (!err)
		err = load_epochs(&k);
	if (!err)
		err = atomic_load(&r->commit) == 0 ? drop_empty(&k) : OK;	/* else the record knows */
	if (!err)
		err = first_segment(&k);
	if (!err)
		err = walk_segments(&k, limit);
	if (!err && (uint64_t)k.replay_from > k.end)	/* a snapshot of what is no more */
		err = walk_segments(&k, k.end);
	if (!err && k.end < k.segment.v[0])
		k.end = k.segment.v[0];
	if (!err)
		err = settle(&k, cut);
	pub.w[W_GENERATION] = k.generation;
	if (!err)
		part_generation_made(r, k.generation);
	if (!err)
		publish(&k, &pub, !cut);
	part_set_release(&k.set);
	mem_free(k.epoch);
	mem_free(k.segment.v);
	mem_free(k.snapshot.v);
	return err;
}

int part_slot_recover(struct part_table *t, uint32_t slot, bool trusted_clean)
{
	struct part_record *r = part_record(t, slot);
	struct lock_held *held;
	uint64_t wake = 0;
	int err;

	if (!r || part_slot_state(t, slot) != PART_OPENING)
		return E_NOENT;
	err = part_lock(t, slot, r, &held, &wake);
	if (err)
		return err;
	err = part_recover_locked(t, slot, r, trusted_clean);
	if (err == E_IO)
		part_fail(r);
	part_tally(t, PC_RECOVERED, err == OK);
	part_unlock(t, r, held, &wake);
	part_tell(t, slot, wake | part_wakes(r, true));
	return err;
}
