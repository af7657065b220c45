/*
 * lock.c - the record's lock, its repair, and the commit word.
 *
 * Invariants T1 .. T6 of docs/table.md. The order of the stores here is the protocol; between any
 * two of them the process may be killed (CRASH_POINT).
 */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "part/table.h"

static uint32_t state_crc(const struct part_pub *p, uint64_t commit)
{
	return crc32c((uint32_t)commit, p->w, W_CRC * sizeof p->w[0]);
}

static struct part_state_slot *state_of(struct part_record *r, uint64_t commit)
{
	if (mutant(ONE_STATE_SLOT))
		return &r->state[0];
	return &r->state[commit & 1];
}

static void copy_state(struct part_record *r, uint64_t commit, struct part_pub *ret)
{
	struct part_state_slot *s = state_of(r, commit);

	/* Acquire loads: the re-check of commit that follows must not overtake them. */
	for (int i = 0; i < W_N; i++) {
		ret->w[i] = atomic_load_explicit(&s->w[i], memory_order_acquire);
		if (i == W_END)
			CRASH_POINT(peek_half);
	}
}

void part_peek(struct part_record *r, struct part_pub *ret, uint64_t *ret_commit)
{
	for (;;) {
		uint64_t c = atomic_load(&r->commit);

		copy_state(r, c, ret);
		if (mutant(READER_NO_RECHECK) || atomic_load(&r->commit) == c) {
			*ret_commit = c;
			return;
		}
	}
}

int part_load(struct part_table *t, struct part_record *r, struct part_pub *ret)
{
	uint64_t c = atomic_load_explicit(&r->commit, memory_order_relaxed);

	copy_state(r, c, ret);
	if (((uint32_t)ret->w[W_CRC] == state_crc(ret, c) || mutant(LOAD_UNCHECKED)) && ret->w[W_END] <= INT64_MAX &&
	    ret->w[W_SEG] <= ret->w[W_END] && ret->w[W_POS] <= UINT32_MAX)
		return OK;
	part_tally(t, PC_REBUILT, 1);
	if (part_online(r))
		part_set_life(r, PART_OPENING);
	return E_DAMAGED;
}

void part_generation_made(struct part_record *r, uint64_t generation)
{
	if (atomic_load(&r->generation_made) < generation && !mutant(GENERATION_NOT_KEPT))
		atomic_store(&r->generation_made, generation);
}

void part_commit(struct part_record *r, struct part_pub *pub)
{
	uint64_t c = atomic_load_explicit(&r->commit, memory_order_relaxed) + 1 + (mutant(COMMIT_SKIPS) ? 2u : 0u);
	struct part_state_slot *s = state_of(r, c);

	pub->w[W_CRC] = state_crc(pub, c);
	if (mutant(COMMIT_BEFORE_STATE)) {
		atomic_store(&r->commit, c);
		CRASH_POINT(commit_early);
	}
	/* Release stores: the previous commit must not be seen after them by a reader that
	 * still reads this slot (it re-checks commit and retries). */
	for (int i = 0; i < W_N; i++) {
		if (mutant(STATE_PLAIN))	/* for ThreadSanitizer: readers race with it */
			memcpy((void *)(uintptr_t)&s->w[i], &pub->w[i], sizeof pub->w[i]);
		else
			atomic_store_explicit(&s->w[i], pub->w[i], memory_order_release);
		if (i == W_END || i == W_POS)
			CRASH_POINT(state_half);
	}
	CRASH_POINT(before_commit);
	atomic_store(&r->commit, c);	/* seq_cst: waiters set their bit, then re-read it */
	CRASH_POINT(after_commit);
}

uint64_t part_wakes(struct part_record *r, bool visible)
{
	return (visible && !mutant(WAKE_FORGOTTEN) ? atomic_load(&r->wait_hw) : 0) | atomic_load(&r->wait_end);
}

void part_clear_hints(struct part_record *r)
{
	for (int i = 0; i < PART_HINTS; i++)
		atomic_store_explicit(&r->hints[i], 0, memory_order_release);
}

void part_fail(struct part_record *r)
{
	part_set_life(r, PART_OFFLINE);
}

int64_t part_stable(struct part_record *r, const struct part_pub *pub, uint64_t hw)
{
	uint64_t s;

	if (pub->w[W_TXN_OPEN] == 0 &&
	    (pub->w[W_TXN_DONE] == PART_NO_OFFSET || pub->w[W_TXN_DONE] < hw))
		return (int64_t)hw;
	s = atomic_load(&r->last_stable);
	return (int64_t)(s < hw ? s : hw);
}

bool part_advance(struct part_table *t, struct part_record *r, const struct part_pub *pub)
{
	uint64_t end = pub->w[W_END], hw = atomic_load(&r->high_watermark);
	uint64_t synced = atomic_load(&r->synced), to = end;
	uint64_t stable_was = (uint64_t)part_stable(r, pub, hw), stable;

	if (atomic_load_explicit(&r->durability, memory_order_relaxed) != PART_REPLICATED &&
	    !mutant(EARLY_HIGH_WATERMARK))
		to = synced < end ? synced : end;
	if (to < hw)
		to = hw;	/* never back: truncation alone lowers it, explicitly */
	stable = to;
	if (pub->w[W_TXN_OPEN] != 0 ||
	    (pub->w[W_TXN_DONE] != PART_NO_OFFSET && pub->w[W_TXN_DONE] >= to)) {
		uint64_t first = part_first_unstable(t, r, atomic_load(&r->commit), to);

		if (first < stable && !mutant(STABLE_IGNORES_OPEN))
			stable = first;
	}
	if (stable > atomic_load(&r->last_stable))
		atomic_store(&r->last_stable, stable);
	if (to > hw)
		atomic_store(&r->high_watermark, to);
	return to > hw || stable > stable_was;
}

/* ---- repair ----------------------------------------------------------------------------------- */

static const char *const segment_files[] = { ".log", ".idx", ".txnindex" };

/* Removes a file of a segment behind `keep`. */
static int cut_name(struct part_table *t, const char *folder, const char *name, uint64_t keep)
{
	uint64_t base;

	for (unsigned i = 0; i < sizeof segment_files / sizeof segment_files[0]; i++) {
		struct log_path p;

		if (!log_name_is(name, segment_files[i], &base) || base <= keep)
			continue;
		log_path_init(&p, folder);
		log_path_segment(&p, base, segment_files[i]);
		int err = t->disk->calls->unlink(t->disk, p.s);
		if (err && err != E_NOENT)
			return err;
	}
	return OK;
}

int part_cut_files(struct part_table *t, uint32_t slot, struct part_record *r,
		   const struct part_pub *pub)
{
	struct log_replica lr = part_files(t, slot, r);
	struct log_path p;
	struct buf names;
	uint32_t handle;
	uint64_t bytes;
	int file, err;

	log_path_folder(&p, t->log_dir, lr.topic, lr.partition);
	err = log_list(t->disk, p.s, &names);
	if (!err) {
		for (size_t at = 0; at < names.len && !err; at += strlen((char *)names.p + at) + 1)
			err = cut_name(t, p.s, (char *)names.p + at, pub->w[W_SEG]);
		buf_release(&names);
	}
	if (!err)
		err = log_files_get(&lr, pub->w[W_SEG], LOG_SEGMENT, 0, &file, &handle);
	if (!err) {
		err = t->disk->calls->size(t->disk, file, &bytes);
		if (!err && bytes > pub->w[W_POS])
			err = t->disk->calls->truncate(t->disk, file, pub->w[W_POS]);
		log_files_put(t->files, handle);
	}
	atomic_fetch_add(&r->seg_gen, 1);
	return err;
}

/* 4.5 of the protocol. Idempotent: a repairer that is killed leaves it to the next one. */
static void repair(struct part_table *t, uint32_t slot, struct part_record *r, uint64_t *wake)
{
	uint64_t intent = atomic_load_explicit(&r->intent, memory_order_relaxed), left = 0, bytes;
	struct part_pub pub;
	uint32_t handle;
	int file, err = OK;

	part_tally(t, PC_REPAIRS, 1);
	CRASH_POINT(repair_start);
	if (!mutant(REPAIR_KEEPS_VERSIONS))
		part_producers_repair(t, slot, r);
	CRASH_POINT(repair_producers);
	if (part_load(t, r, &pub))
		return;			/* OPENING: recovery makes everything new */
	if (intent & PART_INTENT_REBUILD) {
		part_tally(t, PC_REBUILT, 1);
		if (part_slot_state(t, slot) == PART_ONLINE)
			part_set_life(r, PART_OPENING);
	} else if (part_slot_state(t, slot) == PART_ONLINE && !mutant(REPAIR_NO_CUT)) {
		struct log_replica lr = part_files(t, slot, r);

		if (intent & PART_INTENT_FILES)
			err = part_cut_files(t, slot, r, &pub);
		if (!err && (intent & PART_INTENT_FILES))
			err = part_end_reserves(t, slot, r, &pub);
		lr.gen = atomic_load(&r->seg_gen);
		if (!err)
			err = log_files_get(&lr, pub.w[W_SEG], LOG_SEGMENT, 0, &file, &handle);
		if (!err) {
			err = t->disk->calls->size(t->disk, file, &bytes);
			if (!err && bytes > pub.w[W_POS]) {
				part_tally(t, PC_TORN, 1);
				err = t->disk->calls->truncate(t->disk, file, pub.w[W_POS]);
			}
			log_files_put(t->files, handle);
		}
		if (!err && (intent & PART_INTENT_EPOCHS) && !mutant(EPOCHS_NOT_REPAIRED)) {
			err = part_epochs_rewrite(t, slot, r);
			if (err == E_NOSPC) {	/* no reason to go offline: the next repair tries again */
				left = PART_INTENT_EPOCHS;
				err = OK;
			}
		}
		CRASH_POINT(repair_cut);
		if (err)
			part_fail(r);
		else if (!mutant(REPAIR_NO_ADVANCE))
			part_advance(t, r, &pub);
	}
	if (!(intent & PART_INTENT_REBUILD))
		atomic_store_explicit(&r->intent, left, memory_order_relaxed);
	CRASH_POINT(repair_end);
	*wake |= part_wakes(r, true);	/* the dead one may have committed without telling */
}

int part_lock(struct part_table *t, uint32_t slot, struct part_record *r, struct lock_held **ret,
	      uint64_t *wake)
{
	uint64_t bit = UINT64_C(1) << t->self;
	enum lock_result res = t->lock->try_lock(t->lock, &r->lock, ret);

	if (res == LOCK_BUSY) {
		/* Set the bit, then look again: the owner releases, then takes the mask. */
		atomic_fetch_or(&r->busy, bit);
		res = t->lock->try_lock(t->lock, &r->lock, ret);
		if (res == LOCK_BUSY) {
			part_tally(t, PC_BUSY, 1);
			return E_AGAIN;
		}
		atomic_fetch_and(&r->busy, ~bit);
	}
	if (res == LOCK_LOST) {
		part_tally(t, PC_LOST, 1);
		return E_DAMAGED;
	}
	if (res == LOCK_OWNER_DIED) {
		repair(t, slot, r, wake);
		if (!mutant(REPAIR_NOT_CONSISTENT))
			t->lock->consistent(t->lock, &r->lock, *ret);
	}
	return OK;
}

int part_hold(struct part_table *t, uint32_t slot, struct part_record *r, struct lock_held **ret,
	      struct part_pub *ret_pub, uint64_t *wake)
{
	if (!r || !part_online(r))
		return E_NOENT;
	int err = part_lock(t, slot, r, ret, wake);

	if (err)
		return err;
	if (part_online(r) && !part_load(t, r, ret_pub))
		return OK;
	part_unlock(t, r, *ret, wake);
	return E_NOENT;
}

void part_unlock(struct part_table *t, struct part_record *r, struct lock_held *h, uint64_t *wake)
{
	CRASH_POINT(before_release);
	t->lock->release(t->lock, &r->lock, h);
	if (atomic_load(&r->busy) != 0 && !mutant(BUSY_FORGOTTEN))
		*wake |= atomic_exchange(&r->busy, 0);
}
