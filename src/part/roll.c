/* roll.c - the next segment, and the history of leader epochs. */
#include "base/assert.h"
#include "base/mem.h"
#include "part/table.h"

/* Each segment gets its own jitter, the same one in every process. */
static uint64_t jitter(const struct part_pub *pub, const struct part_conf *conf, uint32_t slot)
{
	uint64_t h = (pub->w[W_SEG] + slot + 1) * UINT64_C(0x9E3779B97F4A7C15);

	return conf->segment_jitter_ms ? (h >> 20) % conf->segment_jitter_ms : 0;
}

bool part_roll_due(const struct part_pub *pub, const struct part_conf *conf, uint32_t slot,
		   uint64_t more_bytes, uint64_t more_offsets, int64_t max_ts)
{
	uint64_t ms = conf->segment_ms, j = jitter(pub, conf, slot);
	int64_t first = (int64_t)pub->w[W_SEG_FIRST_TS];

	if (pub->w[W_POS] == 0)
		return false;
	if (pub->w[W_POS] + more_bytes > conf->segment_bytes ||
	    pub->w[W_POS] + more_bytes > UINT32_MAX)
		return true;
	if (pub->w[W_END] + more_offsets - pub->w[W_SEG] > INT32_MAX)
		return true;
	ms -= j < ms ? j : ms;
	return conf->segment_ms != 0 && first >= 0 && max_ts > first && (uint64_t)(max_ts - first) > ms;
}

/* Empty files of the segment at base; what a killed roll left there is cut. */
static int make_files(struct part_table *t, uint32_t slot, struct part_record *r, uint64_t base)
{
	struct log_replica lr = part_files(t, slot, r);
	static const enum log_kind kinds[] = { LOG_SEGMENT, LOG_INDEX };
	struct log_path p;
	uint32_t handle;
	int file, err;

	for (unsigned i = 0; i < 2; i++) {
		err = log_files_get(&lr, base, kinds[i], DISK_CREATE | DISK_TRUNC, &file, &handle);
		if (err)
			return err;
		log_files_put(t->files, handle);
	}
	log_path_folder(&p, t->log_dir, lr.topic, lr.partition);
	log_path_segment(&p, base, log_suffix[LOG_TXN]);
	err = t->disk->calls->unlink(t->disk, p.s);
	return err == E_NOENT ? OK : err;
}

int part_end_reserve(struct part_table *t, struct part_record *r, const struct log_replica *lr, uint64_t seg,
		     bool surely)
{
	uint64_t told = atomic_load(&r->reserved), bytes;
	bool mine = told != 0 && (uint32_t)(told >> 32) == (uint32_t)seg;
	uint32_t handle;
	int file, err;

	if (!mine && !surely)
		return OK;
	err = log_files_get(lr, seg, LOG_SEGMENT, 0, &file, &handle);
	if (err)
		return err;
	err = t->disk->calls->size(t->disk, file, &bytes);
	if (!err)
		err = t->disk->calls->truncate(t->disk, file, bytes);
	log_files_put(t->files, handle);
	if (!err && mine)	/* unless more was told meanwhile, of the next segment */
		atomic_compare_exchange_strong(&r->reserved, &told, 0);
	return err;
}

int part_end_reserves(struct part_table *t, uint32_t slot, struct part_record *r, const struct part_pub *pub)
{
	struct log_replica lr = part_files(t, slot, r);
	const uint64_t *v;
	uint32_t n = 0;
	int err = atomic_load(&r->reserved) == 0 ? OK : log_segments(&lr, &v, &n);

	for (uint32_t i = n; !err && atomic_load(&r->reserved) != 0 && i-- > 0;)
		if (v[i] <= pub->w[W_SEG])
			err = part_end_reserve(t, r, &lr, v[i], false);
	return err;
}

int part_roll(struct part_table *t, uint32_t slot, struct part_record *r, struct part_pub *pub,
	      int64_t now_ms)
{
	struct log_replica lr = part_files(t, slot, r);
	struct part_pub next = *pub;
	uint64_t seg = pub->w[W_SEG], intent = atomic_load(&r->intent);
	struct log_index_entry last = { .rel = (uint32_t)(pub->w[W_END] - seg),
		.pos = (uint32_t)pub->w[W_POS], .max_ts = (int64_t)pub->w[W_SEG_MAX_TS],
		.ts_rel = (uint32_t)(pub->w[W_SEG_MAX_AT] - seg) };
	int err;

	/* The closing entry: largest timestamp of the whole segment. A hint; its loss costs time. */
	err = log_index_put(&lr, seg, (uint32_t)(pub->w[W_INDEX] >> 32), &last);
	/* Of a closed segment all entries count: those of a marker that was never committed go. */
	if (!err && !mutant(ABORTED_NOT_CUT))
		err = log_txn_cut(&lr, seg, (uint32_t)pub->w[W_ABORTED]);
	if (err)
		return err;
	atomic_store_explicit(&r->intent, intent | PART_INTENT_FILES, memory_order_relaxed);
	STEP_ORDER();
	CRASH_POINT(roll_intent);
	/* Bumped first: what is opened or listed from now on is opened under the new number. */
	if (!mutant(ROLL_KEEPS_GENERATION))
		atomic_fetch_add(&r->seg_gen, 1);
	err = make_files(t, slot, r, pub->w[W_END]);
	CRASH_POINT(roll_files);
	/* And once more: a list that was made in between does not hold the new files. */
	if (!err && !mutant(ROLL_KEEPS_GENERATION))
		atomic_fetch_add(&r->seg_gen, 1);
	if (err) {
		if (part_cut_files(t, slot, r, pub))
			part_fail(r);
		atomic_store(&r->intent, intent);
		return err;
	}
	next.w[W_SEG] = pub->w[W_END];
	next.w[W_POS] = 0;
	next.w[W_SEG_FIRST_TS] = next.w[W_SEG_MAX_TS] = (uint64_t)-1;
	next.w[W_SEG_MAX_AT] = pub->w[W_END];
	next.w[W_INDEX] = 0;
	next.w[W_ABORTED] = 0;
	next.w[W_SEG_MADE] = (uint64_t)now_ms;
	if (!mutant(HINTS_NOT_CLEARED))
		part_clear_hints(r);
	part_commit(r, &next);
	CRASH_POINT(roll_committed);
	lr = part_files(t, slot, r);
	/* After the commit: who reserves looks again after it, and undoes it for a closed segment. A
	 * hint: its failure costs room. */
	if (!mutant(ROLL_KEEPS_RESERVE))
		part_end_reserve(t, r, &lr, seg, false);
	STEP_ORDER();
	atomic_store(&r->intent, intent);
	CRASH_POINT(roll_done);
	*pub = next;
	return OK;
}

/* ---- leader epochs ---------------------------------------------------------------------------- */

void part_epoch_push(struct part_record *r, struct part_pub *pub, int32_t e, int64_t start)
{
	uint32_t n = (uint32_t)pub->w[W_EPOCH];
	int at = (int)(n % PART_EPOCHS);

	atomic_store_explicit(&r->epochs[at].epoch, e, memory_order_release);
	atomic_store_explicit(&r->epochs[at].start, start, memory_order_release);
	pub->w[W_EPOCH] = (uint64_t)(uint32_t)e << 32 | (n + 1);
}

static uint32_t ring(struct part_record *r, struct part_pub *pub, struct log_epoch *v)
{
	uint64_t c;
	uint32_t n, k;

	do {
		part_peek(r, pub, &c);
		n = (uint32_t)pub->w[W_EPOCH];
		k = n < PART_EPOCHS - 1 ? n : PART_EPOCHS - 1;
		for (uint32_t i = 0; i < k; i++) {
			int at = (int)((n - k + i) % PART_EPOCHS);

			v[i].epoch = (int32_t)atomic_load_explicit(&r->epochs[at].epoch,
								   memory_order_acquire);
			v[i].start = atomic_load_explicit(&r->epochs[at].start,
							  memory_order_acquire);
		}
	} while (atomic_load(&r->commit) != c);
	return k;
}

int part_epochs(struct part_table *t, uint32_t slot, struct part_record *r,
		struct log_epoch **ret_v, uint32_t *ret_n)
{
	struct log_epoch near[PART_EPOCHS], *v;
	struct part_pub pub;
	uint32_t k = ring(r, &pub, near), n = 0;

	if ((uint32_t)pub.w[W_EPOCH] <= k) {
		v = mem_alloc((k + 1) * sizeof *v);
		memcpy(v, near, k * sizeof *v);
		*ret_v = v;
		*ret_n = k;
		return OK;
	}
	struct log_path p;

	log_path_folder(&p, t->log_dir, part_name(t, slot), atomic_load(&r->partition));
	v = NULL;
	int err = log_epochs_read(t->disk, p.s, &v, &n);
	if (err && err != E_NOENT)
		return err;
	v = mem_resize(v, (n + PART_EPOCHS) * sizeof *v);
	while (n > 0 && v[n - 1].epoch >= near[0].epoch)	/* the ring is newer than the file */
		n--;
	memcpy(v + n, near, k * sizeof *v);
	*ret_v = v;
	*ret_n = n + k;
	return OK;
}
