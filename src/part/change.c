/*
 * change.c - changes by others than the appender: leadership, syncs, log start, truncation.
 *
 * Each takes the record's lock. Truncation runs in the opposite order of an append: the smaller
 * end is published first, the files are cut after it (docs/table.md).
 */
#include "base/assert.h"
#include "base/mem.h"
#include "part/recover.h"
#include "part/table.h"

int part_synced(struct part_table *t, uint32_t slot, uint64_t gen, int64_t offset,
		const struct part_conf *conf, uint64_t *ret_wake)
{
	struct part_record *r = part_record(t, slot);
	struct lock_held *held;
	struct part_pub pub;
	uint64_t wake = 0;
	int err;

	*ret_wake = 0;
	err = part_hold(t, slot, r, &held, &pub, ret_wake);
	if (err)
		return err;
	err = E_FENCED;			/* what was synced may have been truncated since */
	if (pub.w[W_GENERATION] != gen)
		goto out;
	err = E_RANGE;
	if (offset < 0 || (uint64_t)offset > pub.w[W_END])
		goto out;
	err = OK;
	atomic_store_explicit(&r->durability, conf->durability, memory_order_relaxed);
	if ((uint64_t)offset > atomic_load(&r->synced))
		atomic_store(&r->synced, (uint64_t)offset);
	/* Only a job that began after the segment was made can have got behind its base, and such
	 * a job synced the folder too. */
	if ((uint64_t)offset > pub.w[W_SEG] && pub.w[W_SEG] > atomic_load(&r->synced_base))
		atomic_store(&r->synced_base, pub.w[W_SEG]);
	CRASH_POINT(synced_stored);
	if (part_advance(t, r, &pub))
		wake = atomic_load(&r->wait_hw);
out:
	part_unlock(t, r, held, ret_wake);
	*ret_wake |= wake;
	return err;
}

int part_set_log_start(struct part_table *t, uint32_t slot, int64_t offset, uint64_t *ret_wake)
{
	struct part_record *r = part_record(t, slot);
	struct lock_held *held;
	struct part_pub pub;
	int err;

	*ret_wake = 0;
	err = part_hold(t, slot, r, &held, &pub, ret_wake);
	if (err)
		return err;
	if (offset < 0 || (uint64_t)offset > atomic_load(&r->high_watermark)) {
		err = E_RANGE;
	} else {
		if ((uint64_t)offset > atomic_load(&r->log_start) || mutant(START_GOES_BACK))
			atomic_store(&r->log_start, (uint64_t)offset);
		if ((uint64_t)offset > atomic_load(&r->local_log_start))
			atomic_store(&r->local_log_start, (uint64_t)offset);
		*ret_wake |= atomic_load(&r->wait_hw) | atomic_load(&r->wait_end);
	}
	part_unlock(t, r, held, ret_wake);
	return err;
}

void part_offline(struct part_table *t, uint32_t slot, uint64_t *ret_wake)
{
	struct part_record *r = part_record(t, slot);

	*ret_wake = 0;
	if (!r || !part_online(r))
		return;
	part_fail(r);
	*ret_wake = part_wakes(r, true) | atomic_exchange(&r->busy, 0);
}

/* ---- leadership ------------------------------------------------------------------------------- */

static int write_epochs(struct part_table *t, uint32_t slot, struct part_record *r,
			const struct log_epoch *v, uint32_t n)
{
	struct log_path p;

	log_path_folder(&p, t->log_dir, part_name(t, slot), atomic_load(&r->partition));
	return log_epochs_write(t->disk, p.s, v, n, false);
}

int part_epochs_rewrite(struct part_table *t, uint32_t slot, struct part_record *r)
{
	struct log_epoch *v;
	uint32_t n;
	int err = part_epochs(t, slot, r, &v, &n);

	if (!err) {
		err = write_epochs(t, slot, r, v, n);
		mem_free(v);
	}
	return err == E_BAD ? OK : err;		/* recovery makes it new from the batches */
}

/* The file first; after a kill in between repair writes it again from what is committed. */
static int lead(struct part_table *t, uint32_t slot, struct part_record *r, struct part_pub *pub,
		int32_t epoch)
{
	int64_t end = (int64_t)pub->w[W_END];
	struct log_epoch *v;
	uint32_t n;
	int err = part_epochs(t, slot, r, &v, &n);

	if (err == E_BAD || err == E_CRC) {	/* recovery makes it new from the batches */
		v = mem_alloc(sizeof *v);
		n = 0;
	} else if (err) {
		return err;
	} else {
		v = mem_resize(v, (n + 1) * sizeof *v);
	}
	v[n++] = (struct log_epoch){ epoch, end };
	atomic_fetch_or(&r->intent, PART_INTENT_EPOCHS);
	err = write_epochs(t, slot, r, v, n);
	mem_free(v);
	if (err)			/* the file may have been replaced all the same: repair looks */
		return err;
	CRASH_POINT(epoch_written);
	part_epoch_push(r, pub, epoch, end);
	part_commit(r, pub);
	STEP_ORDER();
	atomic_fetch_and(&r->intent, ~PART_INTENT_EPOCHS);
	return OK;
}

int part_become_leader(struct part_table *t, uint32_t slot, int32_t epoch)
{
	struct part_record *r = part_record(t, slot);
	struct lock_held *held;
	struct part_pub pub;
	uint64_t wake = 0;
	int err;

	must(epoch >= 0);
	err = part_hold(t, slot, r, &held, &pub, &wake);
	if (err) {
		part_tell(t, slot, wake);
		return err;
	}
	int32_t now = (uint32_t)pub.w[W_EPOCH] == 0 ? -1 : (int32_t)(pub.w[W_EPOCH] >> 32);

	err = epoch < now ? E_FENCED : epoch == now ? OK : lead(t, slot, r, &pub, epoch);
	part_unlock(t, r, held, &wake);
	part_tell(t, slot, wake);
	return err;
}

/* ---- truncation ------------------------------------------------------------------------------- */

/* Where the log would end if everything from offset on went: base of the first batch that goes,
 * its segment and position, and what its index still counts. */
static int cut_place(struct part_table *t, uint32_t slot, struct part_record *r,
		     struct part_pub *pub, uint64_t offset)
{
	struct log_replica lr = part_files(t, slot, r);
	const uint64_t *v;
	uint32_t n, i, handle;
	struct log_walk w;
	struct log_head h;
	uint64_t bytes, pos = 0, base;
	int file, err = log_segments(&lr, &v, &n);

	if (err)
		return err;
	for (i = n; i > 0 && v[i - 1] > offset; i--)
		;
	if (i == 0)
		return E_RANGE;
	base = v[i - 1];
	err = log_files_get(&lr, base, LOG_SEGMENT, 0, &file, &handle);
	if (err)
		return err;
	bytes = pub->w[W_POS];
	if (base != pub->w[W_SEG])
		err = t->disk->calls->size(t->disk, file, &bytes);
	if (!err) {
		log_walk_init(&w, t->disk, file, bytes, false);
		err = log_walk_offset(&w, &pos, (int64_t)offset, &h);
		pub->w[W_END] = err == OK ? (uint64_t)h.base_offset : offset;
		if (err == E_RANGE)	/* just behind its last batch */
			err = OK;
	}
	log_files_put(t->files, handle);
	if (err)
		return err;
	pub->w[W_SEG] = base;
	pub->w[W_POS] = pos;
	pub->w[W_INDEX] = 0;		/* rebuilt by the recovery that follows */
	return OK;
}

static int truncate_locked(struct part_table *t, uint32_t slot, struct part_record *r, struct part_pub pub,
			   int32_t epoch, uint64_t offset)
{
	struct log_epoch *v = NULL;
	uint32_t n = 0;
	int err;

	if (epoch < (int32_t)(pub.w[W_EPOCH] >> 32) && (uint32_t)pub.w[W_EPOCH] != 0)
		return E_FENCED;
	if (offset > pub.w[W_END] || offset < atomic_load(&r->local_log_start))
		return E_RANGE;
	if (offset == pub.w[W_END])
		return OK;
	err = part_epochs(t, slot, r, &v, &n);
	if (!err)
		err = cut_place(t, slot, r, &pub, offset);
	if (err) {
		mem_free(v);
		return err;
	}
	/* From here on only a recovery can finish it: who finds the lock dead sends it there. */
	atomic_store(&r->intent, PART_INTENT_REBUILD);
	part_set_life(r, PART_OPENING);
	CRASH_POINT(truncate_intent);
	while (n > 0 && v[n - 1].start >= (int64_t)pub.w[W_END] && n > 1)
		n--;
	part_clear_hints(r);
	if (!mutant(CUT_KEEPS_GENERATION))
		part_generation_made(r, ++pub.w[W_GENERATION]);
	if (atomic_load(&r->high_watermark) > pub.w[W_END])
		atomic_store(&r->high_watermark, pub.w[W_END]);
	if (atomic_load(&r->last_stable) > pub.w[W_END])
		atomic_store(&r->last_stable, pub.w[W_END]);
	if (atomic_load(&r->synced) > pub.w[W_END])
		atomic_store(&r->synced, pub.w[W_END]);
	if (atomic_load(&r->synced_base) > pub.w[W_SEG])
		atomic_store(&r->synced_base, pub.w[W_SEG]);
	part_commit(r, &pub);
	CRASH_POINT(truncate_published);
	err = part_cut_files(t, slot, r, &pub);
	CRASH_POINT(truncate_cut);
	if (!err)
		err = write_epochs(t, slot, r, v, n);
	mem_free(v);
	return err;
}

int part_truncate(struct part_table *t, uint32_t slot, int32_t epoch, int64_t offset,
		  uint64_t *ret_wake)
{
	struct part_record *r = part_record(t, slot);
	struct lock_held *held;
	struct part_pub pub;
	int err;

	*ret_wake = 0;
	if (r && offset < 0)
		return E_RANGE;
	err = part_hold(t, slot, r, &held, &pub, ret_wake);
	if (err)
		return err;
	err = truncate_locked(t, slot, r, pub, epoch, (uint64_t)offset);
	if (!err && part_slot_state(t, slot) == PART_OPENING)
		err = part_recover_locked(t, slot, r, false);
	if (err == E_IO || err == E_NOSPC)
		part_fail(r);
	part_unlock(t, r, held, ret_wake);
	*ret_wake |= part_wakes(r, true);
	return err;
}
