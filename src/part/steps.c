/*
 * steps.c - what the storage process does step by step: sync jobs, rolling, retention, reserve,
 * checkpoints. It decides nothing about when: src/broker/storage.c does.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "part/table.h"

/* Growth between two looks that is worth a reserve; the simulator writes little. */
#define RESERVE_MIN (CRASH_POINTS ? 64u : 256u << 10)
#define RESERVE_MAX (64u << 20)		/* ahead of the end at most */
#define SNAPSHOT_BYTES (64u << 20)	/* of log between two producer snapshots */
#define EXPIRE_MAX 256u			/* producers expired under one lock */

/* ---- sync ------------------------------------------------------------------------------------- */

static int sync_file(struct part_table *t, struct log_replica *lr, uint64_t base, struct part_sync *j)
{
	int err = log_files_get(lr, base, LOG_SEGMENT, 0, &j->file[j->n_files], &j->handle[j->n_files]);

	(void)t;
	if (!err)
		j->n_files++;
	return err;
}

int part_sync_begin(struct part_table *t, uint32_t slot, struct part_sync *ret)
{
	struct part_record *r = part_record(t, slot);
	struct log_replica lr;
	struct part_pub pub;
	uint64_t c, synced, from;
	const uint64_t *v;
	uint32_t n;
	int err = OK;

	*ret = (struct part_sync){ .n_files = 0 };
	if (!r || !part_online(r))
		return E_NOENT;
	from = atomic_load(&r->synced_base);
	synced = atomic_load(&r->synced);
	/* The state first, then the list of files: one that a roll makes in between is too much, but none
	 * that the state counts is missing. */
	if (mutant(FILES_BEFORE_STATE))
		lr = part_files(t, slot, r);
	CRASH_POINT(sync_looks);
	part_peek(r, &pub, &c);
	if (!mutant(FILES_BEFORE_STATE))
		lr = part_files(t, slot, r);
	ret->gen = pub.w[W_GENERATION];
	ret->end = (int64_t)pub.w[W_END];
	/* Whoever synced may have died before he moved the high watermark; nobody else takes the lock
	 * of a partition at rest. */
	ret->due = synced < pub.w[W_END] ||
		   (atomic_load(&r->high_watermark) < pub.w[W_END] && !mutant(SYNC_NOT_TOLD));
	if (synced >= pub.w[W_END])
		return OK;
	ret->dir = pub.w[W_SEG] > from && !mutant(FOLDER_NOT_SYNCED);
	if (pub.w[W_SEG] <= from || synced >= pub.w[W_SEG]) {
		err = sync_file(t, &lr, pub.w[W_SEG], ret);
	} else {
		err = log_segments(&lr, &v, &n);
		/* A list that was made while a roll was under way does not name the segment of that roll:
		 * the active one is taken from the state. L2 */
		for (uint32_t i = 0; i <= n && !err && !(i == n && mutant(FILES_BEFORE_STATE)); i++) {
			uint64_t base = i < n ? v[i] : pub.w[W_SEG];
			uint64_t next = i + 1 < n ? v[i + 1] : pub.w[W_SEG];

			if (i < n && ((base >= pub.w[W_SEG] && !mutant(FILES_BEFORE_STATE)) || next <= synced))
				continue;
			if (ret->n_files == PART_SYNC_FILES) {
				ret->end = (int64_t)base;
				break;
			}
			err = sync_file(t, &lr, base, ret);
		}
	}
	if (err) {
		part_sync_end(t, ret);
		return err == E_NOENT ? E_AGAIN : err;	/* files changed under us */
	}
	struct log_path p;
	log_path_folder(&p, t->log_dir, lr.topic, lr.partition);
	memcpy(ret->dir_path, p.s, sizeof ret->dir_path);
	return OK;
}

void part_sync_end(struct part_table *t, struct part_sync *job)
{
	while (job->n_files > 0)
		log_files_put(t->files, job->handle[--job->n_files]);
}

/* ---- roll ------------------------------------------------------------------------------------- */

int part_roll_if_due(struct part_table *t, uint32_t slot, const struct part_conf *conf,
		     int64_t now_ms, uint64_t *ret_wake)
{
	struct part_record *r = part_record(t, slot);
	struct lock_held *held;
	struct part_pub pub;
	uint64_t c;
	int err;

	*ret_wake = 0;
	if (!r || !part_online(r))
		return E_NOENT;
	part_peek(r, &pub, &c);
	if (!part_roll_due(&pub, conf, slot, 0, 0, now_ms))
		return OK;
	err = part_hold(t, slot, r, &held, &pub, ret_wake);
	if (err)
		return err;
	if (part_roll_due(&pub, conf, slot, 0, 0, now_ms)) {
		err = part_roll(t, slot, r, &pub, now_ms);
		*ret_wake |= atomic_load(&r->wait_end);
	}
	part_unlock(t, r, held, ret_wake);
	return err;
}

/* ---- retention -------------------------------------------------------------------------------- */

struct segment {
	uint64_t base, next, bytes;
	int64_t max_ts;			/* INT64_MAX: not known, counts as young */
};

struct retention {
	struct part_table *t;
	uint32_t slot;
	struct part_record *r;
	const struct part_retention *keep;
	int64_t now_ms;
	struct log_replica lr;
	struct part_pub pub;
	struct segment *v;
	uint32_t n;			/* closed segments */
	uint64_t total;
};

/* By walking headers when the index does not tell: storage process, nobody waits. */
static int64_t walk_max_ts(struct retention *k, int file, uint64_t bytes)
{
	struct log_walk w;
	struct log_head h;
	int64_t max = -1;

	log_walk_init(&w, k->t->disk, file, bytes, false);
	for (uint64_t pos = 0; pos < bytes; pos += h.bytes) {
		if (log_walk_head(&w, pos, &h))
			return INT64_MAX;
		if (h.max_timestamp > max)
			max = h.max_timestamp;
	}
	return max;
}

static int look(struct retention *k)
{
	const uint64_t *v;
	uint32_t n, handle;
	int file, err = log_segments(&k->lr, &v, &n);

	if (err)
		return err;
	k->v = mem_alloc((n + 1) * sizeof *k->v);
	for (uint32_t i = 0; i < n && v[i] < k->pub.w[W_SEG]; i++) {
		struct segment *s = &k->v[k->n++];
		struct log_index_entry e;

		s->base = v[i];
		s->next = i + 1 < n ? v[i + 1] : k->pub.w[W_SEG];
		err = log_files_get(&k->lr, v[i], LOG_SEGMENT, 0, &file, &handle);
		if (err)
			return err;
		err = k->t->disk->calls->size(k->t->disk, file, &s->bytes);
		if (!err) {
			uint32_t entries = log_index_count(&k->lr, v[i]);

			s->max_ts = log_index_last(&k->lr, v[i], entries, &e) && e.pos == s->bytes ?
				    e.max_ts : walk_max_ts(k, file, s->bytes);
		}
		log_files_put(k->t->files, handle);
		if (err)
			return err;
		k->total += s->bytes;
	}
	k->total += k->pub.w[W_POS];
	return OK;
}

/* How many of the oldest segments go. */
static uint32_t choose(struct retention *k)
{
	uint64_t hw = atomic_load(&k->r->high_watermark), start = atomic_load(&k->r->log_start);
	uint64_t left = k->total;
	uint32_t i;

	for (i = 0; i < k->n; i++) {
		struct segment *s = &k->v[i];
		bool go = s->next <= start;

		if (k->keep->del) {
			go |= k->keep->retention_ms >= 0 && s->max_ts < INT64_MAX &&
			      k->now_ms - s->max_ts > k->keep->retention_ms;
			go |= k->keep->retention_bytes >= 0 &&
			      left - s->bytes >= (uint64_t)k->keep->retention_bytes;
		}
		if (!go || s->next > hw)
			break;
		left -= s->bytes;
	}
	k->total = left;
	return i;
}

/* Under the lock: log start first, so that nobody is sent to a file that goes. */
static int drop(struct retention *k, uint32_t n)
{
	struct part_record *r = k->r;
	uint64_t to = k->v[n - 1].next;
	int err = OK;

	if (to > atomic_load(&r->log_start))
		atomic_store(&r->log_start, to);
	if (to > atomic_load(&r->local_log_start))
		atomic_store(&r->local_log_start, to);
	atomic_fetch_or(&r->intent, PART_INTENT_FILES);	/* killed: repair makes the next file generation (T8) */
	CRASH_POINT(retain_start_moved);
	for (uint32_t i = 0; i < n && !err; i++)
		for (int kind = 0; kind < LOG_KIND_N && !err; kind++) {
			struct log_path from, gone;

			log_path_folder(&from, k->t->log_dir, k->lr.topic, k->lr.partition);
			log_path_segment(&from, k->v[i].base, log_suffix[kind]);
			gone = from;
			log_path_add(&gone, ".deleted");
			err = k->t->disk->calls->rename(k->t->disk, from.s, gone.s);
			if (err == E_NOENT)
				err = OK;
			CRASH_POINT(retain_renamed);
		}
	atomic_fetch_add(&r->seg_gen, 1);
	atomic_fetch_and(&r->intent, ~PART_INTENT_FILES);
	return err;
}

static int garbage(struct retention *k, void (*on_garbage)(void *ctx, const char *path), void *ctx)
{
	struct log_path folder, p;
	struct buf b;
	int err;

	log_path_folder(&folder, k->t->log_dir, k->lr.topic, k->lr.partition);
	err = log_list(k->t->disk, folder.s, &b);
	if (err)
		return err;
	for (size_t at = 0; at < b.len; at += strlen((char *)b.p + at) + 1) {
		const char *name = (char *)b.p + at;
		size_t n = strlen(name);

		if (n <= 8 || strcmp(name + n - 8, ".deleted") != 0)
			continue;
		p = folder;
		log_path_add(&p, "/");
		log_path_add(&p, name);
		on_garbage(ctx, p.s);
	}
	buf_release(&b);
	return OK;
}

/* A segment whose youngest record is too old is rolled, so that it can go (trap 81). */
static int roll_old(struct retention *k)
{
	int64_t ts = (int64_t)k->pub.w[W_SEG_MAX_TS];

	if (!k->keep->del || k->keep->retention_ms < 0 || k->pub.w[W_POS] == 0 || ts < 0 ||
	    k->now_ms - ts <= k->keep->retention_ms ||
	    atomic_load(&k->r->high_watermark) < k->pub.w[W_END])
		return OK;
	int err = part_roll(k->t, k->slot, k->r, &k->pub, k->now_ms);
	k->lr = part_files(k->t, k->slot, k->r);
	return err;
}

int part_retain(struct part_table *t, uint32_t slot, const struct part_conf *conf,
		const struct part_retention *keep, int64_t now_ms,
		void (*on_garbage)(void *ctx, const char *path), void *ctx, uint64_t *ret_bytes,
		uint64_t *ret_wake)
{
	struct part_record *r = part_record(t, slot);
	struct retention k = { .t = t, .slot = slot, .r = r, .keep = keep, .now_ms = now_ms };
	struct lock_held *held;
	uint64_t c;
	uint32_t n = 0;
	int err;

	*ret_wake = 0;
	err = part_hold(t, slot, r, &held, &k.pub, ret_wake);
	if (err)
		return err;
	k.lr = part_files(t, slot, r);
	err = roll_old(&k);
	if (!err && conf->max_producer_age_ms > 0)
		(void)part_producers_expire(t, slot, r, now_ms - conf->max_producer_age_ms, EXPIRE_MAX);
	part_unlock(t, r, held, ret_wake);
	if (err)
		return err;
	/* Closed segments do not change: they are looked at without the lock. */
	part_peek(r, &k.pub, &c);
	k.lr = part_files(t, slot, r);
	err = look(&k);
	if (!err)
		n = choose(&k);
	if (!err && n > 0) {
		err = part_lock(t, slot, r, &held, ret_wake);
		if (!err) {
			if (part_online(r) && atomic_load(&r->seg_gen) == k.lr.gen)
				err = drop(&k, n);
			else
				err = E_AGAIN;
			*ret_wake |= atomic_load(&r->wait_hw) | atomic_load(&r->wait_end);
			part_unlock(t, r, held, ret_wake);
		}
	}
	mem_free(k.v);
	if (!err)
		err = garbage(&k, on_garbage, ctx);
	if (!err)
		*ret_bytes = k.total;
	return err;
}

/* ---- reserve ---------------------------------------------------------------------------------- */

/* Cutting a file to the length it has frees what is reserved behind. Under the lock, or an append in
 * between would be cut too. told: of whatever segment is told; else of seg. */
static int trim(struct part_table *t, uint32_t slot, struct part_record *r, uint64_t seg, bool told)
{
	struct log_replica lr;
	struct lock_held *held;
	struct part_pub pub;
	uint64_t wake = 0;
	int err = part_hold(t, slot, r, &held, &pub, &wake);

	if (!err) {
		lr = part_files(t, slot, r);
		err = told ? part_end_reserves(t, slot, r, &pub) : part_end_reserve(t, r, &lr, seg, true);
		part_unlock(t, r, held, &wake);
	}
	part_tell(t, slot, wake);
	return err == E_NOENT ? OK : err;
}

/* The reserve itself is made without the lock, since it may wait for the file system's journal. A
 * process that is killed just there may leave blocks behind a segment that was closed meanwhile,
 * until that one is deleted. T15 */
int part_reserve(struct part_table *t, uint32_t slot, const struct part_conf *conf)
{
	struct part_record *r = part_record(t, slot);
	struct log_replica lr;
	struct part_pub pub;
	uint64_t c, pos, seg, to, grown, have, was, told;
	uint32_t handle;
	int file, err;

	if (!r || !part_online(r))
		return E_NOENT;
	lr = part_files(t, slot, r);
	part_peek(r, &pub, &c);
	pos = pub.w[W_POS];
	seg = pub.w[W_SEG];
	told = atomic_load(&r->reserved);
	have = told != 0 && (uint32_t)(told >> 32) == (uint32_t)seg ? (uint32_t)told : 0;
	was = atomic_load(&r->reserved_pos);
	atomic_store(&r->reserved_pos, pos);
	if (was == pos)			/* idle */
		return have == 0 ? OK : trim(t, slot, r, seg, false);
	if (told != 0 && have == 0)	/* a roll was cut before it gave back what it had to */
		return trim(t, slot, r, seg, true);
	if (was > pos)			/* another segment */
		was = 0;
	grown = pos - was;
	to = pos + (2 * grown < RESERVE_MAX ? 2 * grown : RESERVE_MAX);
	if (to > conf->segment_bytes)
		to = conf->segment_bytes;
	if (grown < RESERVE_MIN || have >= pos + grown || have >= to || to <= pos)
		return OK;		/* slow, or far enough ahead */
	err = log_files_get(&lr, seg, LOG_SEGMENT, 0, &file, &handle);
	if (err)
		return err == E_NOENT ? OK : err;
	/* First: a roll gives back what may be there. */
	told = (uint64_t)(uint32_t)seg << 32 | (uint32_t)to;
	atomic_store(&r->reserved, told);
	CRASH_POINT(reserve_told);
	uint64_t from = have > pos ? have : pos;

	err = t->disk->calls->reserve(t->disk, file, from, to - from);
	CRASH_POINT(reserve_made);
	log_files_put(t->files, handle);
	part_peek(r, &pub, &c);
	/* Closed, or cut, meanwhile: whoever did it may have looked before the blocks were there. */
	if ((pub.w[W_SEG] != seg || atomic_load(&r->reserved) != told) && !mutant(RESERVE_OUTLIVES_ROLL))
		return trim(t, slot, r, seg, false);
	return err == E_NOSPC ? OK : err;	/* a hint: the append will tell */
}

/* ---- checkpoint ------------------------------------------------------------------------------- */

/* Copies the producers under the lock; *ret_pub: the state that they belong to. */
static int copy_producers(struct part_table *t, uint32_t slot, struct part_record *r,
			  struct part_set *ret, struct part_pub *ret_pub)
{
	struct lock_held *held;
	uint64_t wake = 0, c;
	uint32_t at, steps = 0, all = atomic_load(&t->h->producers_grown);
	int err = part_hold(t, slot, r, &held, ret_pub, &wake);

	if (err) {
		part_tell(t, slot, wake);
		return err;
	}
	c = atomic_load(&r->commit);
	for (at = r->producers; at != 0 && at <= all && steps++ < all;) {
		struct part_producer *p = part_producer_at(t, at - 1);
		struct part_producer_version *v = part_version(p, c);

		if (v)
			part_set_get(ret, p->id)->v = *v;
		at = p->next;
	}
	/* Entries of markers that were never committed must not get in front of the snapshot. L4 */
	struct log_replica lr = part_files(t, slot, r);

	err = log_txn_cut(&lr, ret_pub->w[W_SEG], (uint32_t)ret_pub->w[W_ABORTED]);
	part_unlock(t, r, held, &wake);
	part_tell(t, slot, wake);
	return err;
}

/* Gives the written snapshot of `was` its name. E_FENCED: it is one of a log that was cut since. */
static int name_snapshot(struct part_table *t, uint32_t slot, struct part_record *r, const char *folder,
			 const struct part_pub *was)
{
	struct lock_held *held;
	struct part_pub pub;
	uint64_t wake = 0;
	int err = part_hold(t, slot, r, &held, &pub, &wake);

	if (err) {
		part_tell(t, slot, wake);
		return err;
	}
	err = E_FENCED;
	if (pub.w[W_GENERATION] == was->w[W_GENERATION] || mutant(SNAPSHOT_OUTLIVES_CUT)) {
		err = part_snapshot_name(t, folder, (int64_t)was->w[W_END]);
		CRASH_POINT(snapshot_named);
		if (!err) {
			pub.w[W_SNAPSHOT] = was->w[W_END];
			part_commit(r, &pub);
		}
	}
	part_unlock(t, r, held, &wake);
	part_tell(t, slot, wake);
	return err;
}

static void drop_old_snapshots(struct part_table *t, const char *folder, uint64_t newest, uint64_t before)
{
	struct log_path p;
	struct buf b;
	uint64_t x;

	if (log_list(t->disk, folder, &b))
		return;
	for (size_t at = 0; at < b.len; at += strlen((char *)b.p + at) + 1)
		if (log_name_is((char *)b.p + at, ".producers", &x) && x < newest && x != before) {
			log_path_init(&p, folder);
			log_path_add(&p, "/");
			log_path_add(&p, (char *)b.p + at);
			(void)t->disk->calls->unlink(t->disk, p.s);
		}
	buf_release(&b);
}

/* Recovery replays from the snapshot on, so that aborted transactions in front of it must be on the
 * platter in their index: those since the last snapshot, which was at `before`. L4 */
static int sync_aborted(struct part_table *t, uint32_t slot, struct part_record *r, const char *folder,
			uint64_t before)
{
	struct log_replica lr = part_files(t, slot, r);
	const uint64_t *v;
	uint32_t n, handle;
	bool any = false;
	int file, err = log_segments(&lr, &v, &n);

	for (uint32_t i = 0; i < n && !err && !mutant(ABORTED_NOT_SYNCED); i++) {
		if (i + 1 < n && v[i + 1] <= before)
			continue;
		err = log_files_get(&lr, v[i], LOG_TXN, 0, &file, &handle);
		if (err == E_NOENT) {
			err = OK;
			continue;
		}
		if (err)
			break;
		err = t->disk->calls->sync(t->disk, file);
		log_files_put(t->files, handle);
		any = true;
	}
	return err || !any ? err : t->disk->calls->sync_dir(t->disk, folder);
}

/* The same of leader epochs that began in front of the snapshot: without this a power loss may leave an empty file, and
 * then every batch is read again for them. */
static int sync_epochs(struct part_table *t, const char *folder)
{
	struct log_path p;
	int file, err;

	log_path_init(&p, folder);
	log_path_add(&p, "/leader-epoch-checkpoint");
	err = t->disk->calls->open(t->disk, p.s, 0, &file);
	if (err)
		return err == E_NOENT ? OK : err;
	err = t->disk->calls->sync(t->disk, file);
	t->disk->calls->close(t->disk, file);
	return err ? err : t->disk->calls->sync_dir(t->disk, folder);
}

/* A snapshot lies at or below what is synced, or recovery would know producers of lost batches. */
static int snapshot(struct part_table *t, uint32_t slot, struct part_record *r, bool now)
{
	struct part_set s = { .n = 0 };
	struct log_path folder;
	struct part_pub pub;
	uint64_t c, before;
	int err;

	part_peek(r, &pub, &c);
	before = pub.w[W_SNAPSHOT];
	if (before >= pub.w[W_END])
		return OK;
	if (!now && before >= pub.w[W_SEG] && pub.w[W_POS] < SNAPSHOT_BYTES)
		return OK;
	if (!now && (pub.w[W_END] - before) < 1024 && before >= pub.w[W_SEG])
		return OK;
	err = copy_producers(t, slot, r, &s, &pub);
	log_path_folder(&folder, t->log_dir, part_name(t, slot), atomic_load(&r->partition));
	/* Read after the copy: if the log was cut in between, the name is refused. */
	if (!err && s.n > 0 && (pub.w[W_END] <= atomic_load(&r->synced) || mutant(SNAPSHOT_EARLY))) {
		err = sync_epochs(t, folder.s);
		if (!err)
			err = sync_aborted(t, slot, r, folder.s, before);
		if (!err)
			err = part_snapshot_put(t, folder.s, (int64_t)pub.w[W_END], &s);
		CRASH_POINT(snapshot_written);
		if (!err)
			err = name_snapshot(t, slot, r, folder.s, &pub);
		if (!err)
			drop_old_snapshots(t, folder.s, pub.w[W_END], before);
	}
	part_set_release(&s);
	/* Busy, deleted, or cut meanwhile (a recovery takes unnamed files away): next time. */
	return err == E_AGAIN || err == E_NOENT || err == E_FENCED ? OK : err;
}

/* Of a replica that cannot be asked now, since it waits for its recovery, the last checkpoint still tells
 * the truth: without its entry every byte would be checked, and log start and generation go back. T14 */
static bool entry_of(struct part_table *t, uint32_t slot, struct log_ckpt_entry *ret, bool *ret_synced,
		     bool *seen)
{
	struct part_record *r = part_record(t, slot);
	enum part_state s = part_slot_state(t, slot);
	struct uuid id = part_topic_of(r);
	int32_t partition = atomic_load(&r->partition);
	const struct log_ckpt_entry *was = log_ckpt_find(&t->ckpt, &id, partition);
	struct part_view v;

	*ret_synced = true;
	if (was && s != PART_FREE)
		seen[was - t->ckpt.v] = true;
	if (s == PART_FREE || s == PART_DELETING)
		return false;
	if (s != PART_ONLINE || part_view(t, slot, &id, &v)) {
		if (!was)
			return false;
		*ret = *was;
		return true;
	}
	*ret = (struct log_ckpt_entry){ .topic_id = id, .partition = partition,
		.leader_epoch = v.leader_epoch, .recovery_point = v.synced, .log_start = v.log_start,
		.local_log_start = v.local_log_start, .high_watermark = v.high_watermark,
		.generation = v.generation, .segment_base = v.segment_base,
		.segment_bytes = v.segment_bytes };
	*ret_synced = v.synced >= v.end;
	return true;
}

/* Replicas without a slot: after a start with a new table, until their topics are known. T14 */
static void keep_others(struct part_table *t, struct log_ckpt *c, const bool *seen)
{
	for (uint32_t i = 0; i < t->ckpt.n; i++) {
		if (seen[i] || (t->keeps && !t->keeps(t->keeps_ctx, &t->ckpt.v[i].topic_id)))
			continue;
		c->v[c->n++] = t->ckpt.v[i];
		c->clean = false;	/* who is written to behind this is not known here */
	}
}

int part_checkpoint(struct part_table *t, bool clean)
{
	uint32_t end = part_slots_end(t);
	struct log_ckpt c = { .cluster_id = t->h->id.cluster_id, .node_id = t->h->id.node_id,
		.sequence = t->ckpt_sequence + 1, .clean = clean };
	bool *seen = mem_alloc(t->ckpt.n + 1);
	int err = OK;

	c.v = mem_alloc((end + t->ckpt.n + 1) * sizeof *c.v);
	for (uint32_t i = 0; i < end && !err; i++) {
		bool synced;

		/* The recovery point before the snapshot: it may only be too small. */
		if (!entry_of(t, i, &c.v[c.n], &synced, seen))
			continue;
		c.n++;
		c.clean &= synced;
		if (part_online(part_record(t, i)))
			err = snapshot(t, i, part_record(t, i), clean);
	}
	keep_others(t, &c, seen);
	mem_free(seen);
	if (!err)
		err = log_ckpt_write(t->disk, t->log_dir, &c);
	if (err) {
		log_ckpt_release(&c);
		return err;
	}
	t->ckpt_sequence++;
	log_ckpt_release(&t->ckpt);
	t->ckpt = c;
	return OK;
}

int part_checkpoint_load(struct part_table *t, bool *ret_clean)
{
	struct log_ckpt c;
	int err = log_ckpt_read(t->disk, t->log_dir, &c);

	*ret_clean = false;
	if (err == E_NOENT)
		return OK;
	if (err)
		return err;
	if (!uuid_eq(&c.cluster_id, &t->h->id.cluster_id) || c.node_id != t->h->id.node_id) {
		log_ckpt_release(&c);
		return E_FOREIGN;
	}
	log_ckpt_release(&t->ckpt);
	t->ckpt = c;
	t->ckpt_sequence = c.sequence;
	*ret_clean = c.clean;
	if (!c.clean)
		return OK;
	c.clean = false;		/* from now on a stop is a crash until we say otherwise */
	c.sequence++;
	err = log_ckpt_write(t->disk, t->log_dir, &c);
	if (!err)
		t->ckpt_sequence = c.sequence;
	*ret_clean = err == OK;
	return err;
}
