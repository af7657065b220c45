/*
 * watch.c - the table and the files are compared with the protocol of docs/table.md.
 *
 * watch_point() looks at every point of every call: what must hold for a reader at any time (T1, T6,
 * T7, T11, T13, T14). watch_rest() looks between two calls, at the partitions whose lock is free:
 * files (T2, T8), hints (T9), lists of producers (T10), high watermark (T11), snapshots (L4), the
 * active segment's place (L5), index entries (L6), reserved blocks (T15); and that nobody waits who was
 * not rung (W7). It is no part of what is tested: it looks at the memory as it lies there.
 */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "part/table.h"
#include "world.h"

struct seen {				/* of a slot, at the last look */
	bool any;
	bool known;			/* what follows is what readers saw last, of the same replica */
	uint64_t commit, generation, end, hw, synced, start, seg_gen;
	uint32_t life;
	uint64_t topic[2];
	uint64_t files;			/* hash of the names of its segments */
	bool files_known;
};

struct watch {
	struct part_places at;
	struct seen seen[8];
	uint32_t turn;
};

static struct part_record *record(struct world *w, uint32_t slot)
{
	return (struct part_record *)((uint8_t *)w->mem + w->watch->at.records) + slot;
}

static uint32_t slots(struct world *w)
{
	return atomic_load(&((struct part_header *)w->mem)->parts_end);
}

static int part_of(struct world *w, uint32_t slot)
{
	for (int i = 0; i < PARTS; i++)
		if (w->part[i].slot == slot)
			return i;
	return -1;
}

void watch_new(struct world *w)
{
	w->watch = mem_alloc(sizeof *w->watch);
	must(w->lim.parts <= 8);
	part_places(&w->lim, &w->watch->at);
}

void watch_free(struct world *w)
{
	mem_free(w->watch);
}

void watch_boot(struct world *w)
{
	memset(w->watch->seen, 0, sizeof w->watch->seen);
}

/* ---- at every point ---- */

/* FREE -> OPENING -> ONLINE -> OFFLINE or DELETING -> FREE; ONLINE -> OPENING. T13 */
static bool may_become(uint32_t from, uint32_t to)
{
	static const uint8_t may[5] = {
		[PART_FREE] = 1 << PART_OPENING,
		[PART_OPENING] = 1 << PART_ONLINE | 1 << PART_OFFLINE | 1 << PART_DELETING,
		[PART_ONLINE] = 1 << PART_OPENING | 1 << PART_OFFLINE | 1 << PART_DELETING,
		[PART_OFFLINE] = 1 << PART_DELETING,
		[PART_DELETING] = 1 << PART_FREE,
	};

	return from == to || (from < 5 && to < 5 && (may[from] & 1 << to));
}

/* Retention may move the log start to what it leaves enough behind of. */
static void start_moved(struct world *w, int part, uint64_t start, uint64_t hw)
{
	struct partition *t = &w->part[part];

	if ((int64_t)start <= t->start)
		return;
	if (!t->retains || !w->keep.del || start > hw)
		broken(w, "W1", "the log start moved and nobody asked", (long long)start, t->start);
	t->start = (int64_t)start;
}

static void look(struct world *w, uint32_t slot)
{
	struct part_record *r = record(w, slot);
	struct seen *s = &w->watch->seen[slot], n = { .any = true, .files = s->files, .files_known = s->files_known,
						      .seg_gen = s->seg_gen };
	int part = part_of(w, slot);
	struct part_pub pub;

	n.life = atomic_load(&r->life);
	n.topic[0] = atomic_load(&r->topic_id[0]);
	n.topic[1] = atomic_load(&r->topic_id[1]);
	n.hw = atomic_load(&r->high_watermark);
	n.synced = atomic_load(&r->synced);
	n.start = atomic_load(&r->log_start);
	bool online = n.life == PART_ONLINE;
	n.commit = atomic_load(&r->commit);
	if (s->any && s->commit == n.commit && s->life == n.life && s->hw == n.hw && s->synced == n.synced &&
	    s->start == n.start && s->topic[1] == n.topic[1])
		return;
	part_peek(r, &pub, &n.commit);
	n.generation = pub.w[W_GENERATION];
	n.end = pub.w[W_END];
	if (s->any && n.commit != s->commit && n.commit != s->commit + 1)
		broken(w, "T1", "commit does not grow by one", (long long)s->commit, (long long)n.commit);
	/* Freed, and used for another topic, between two looks. */
	bool reused = (s->life == PART_DELETING || s->life == PART_FREE) && s->topic[1] != n.topic[1];

	if (s->any && !reused && !may_become(s->life, n.life))
		broken(w, "T13", "life of a slot", s->life, n.life);
	if (s->any && !reused && s->life != PART_FREE && n.life != PART_FREE &&
	    (s->topic[0] != n.topic[0] || s->topic[1] != n.topic[1]))
		broken(w, "T13", "the key changed while the slot was in use", s->life, n.life);
	bool same = s->any && n.life != PART_FREE && s->life != PART_FREE && s->topic[1] == n.topic[1];
	if (!same)
		n.files_known = false;
	if (online) {
		uint32_t d = atomic_load(&r->durability);

		if (n.hw > n.end || n.synced > n.end)
			broken(w, "T7", "a word above what the state publishes", (long long)n.hw, (long long)n.end);
		if (n.hw > n.synced && d != PART_REPLICATED && w->conf.durability != PART_REPLICATED)
			broken(w, "T11", "high watermark above what is synced", (long long)n.hw, (long long)n.synced);
		if (part >= 0)
			start_moved(w, part, n.start, n.hw);
	}
	if (online && same && s->known && !w->broken) {
		if (n.generation < s->generation || (n.end < s->end && n.generation == s->generation))
			broken(w, "T14", "a smaller end without a new generation", (long long)n.end,
			       (long long)s->end);
		if (n.generation == s->generation && (n.hw < s->hw || n.synced < s->synced || n.start < s->start))
			broken(w, "T6", "a word went back", (long long)n.hw, (long long)s->hw);
	}
	n.known = online;
	if (!online && same && s->known) {	/* readers see nothing now: what they saw last stays */
		n.known = true;
		n.generation = s->generation;
		n.end = s->end;
		n.hw = s->hw;
		n.synced = s->synced;
		n.start = s->start;
	}
	*s = n;
}

void watch_point(struct world *w)
{
	w->watching = true;
	for (uint32_t i = 0; i < slots(w) && !w->broken; i++)
		look(w, i);
	w->watching = false;
}

/* Under the lock an append allocates nothing. T4 */
void watch_append(struct world *w, struct proc *p, const char *point)
{
	if (strcmp(point, "locked") == 0)
		p->allocs = p->heap.allocs;
	if (strcmp(point, "before_release") == 0 && p->allocs != UINT64_MAX && p->heap.allocs != p->allocs)
		broken(w, "T4", "memory was allocated under the lock of an append", (long long)p->heap.allocs,
		       (long long)p->allocs);
}

/* ---- between two calls ---- */

struct files {				/* of a partition's folder */
	struct world *w;
	char folder[64];
	uint64_t hash, newest, snapshot;
	uint64_t base[256];
	int n;
};

static void on_name(void *ctx, const char *name)
{
	struct files *f = ctx;
	uint64_t base;

	if (log_name_is(name, ".producers", &base) && base > f->snapshot)
		f->snapshot = base;
	if (!log_name_is(name, ".log", &base))
		return;
	f->hash += (base + 1) * UINT64_C(0x9E3779B97F4A7C15);
	if (base > f->newest)
		f->newest = base;
	if (f->n < 256)
		f->base[f->n++] = base;
}

static const uint8_t *peek(struct files *f, uint64_t base, const char *suffix, uint64_t *ret_bytes,
			   uint64_t *ret_reserved)
{
	char path[128];

	snprintf(path, sizeof path, "%s/%020llu%s", f->folder, (unsigned long long)base, suffix);
	if (ret_reserved)
		*ret_reserved = sim_fs_reserved(f->w->fs, path);
	return sim_fs_peek(f->w->fs, path, ret_bytes);
}

/* A batch of the file starts at pos with that base offset. */
static bool starts_at(const uint8_t *p, uint64_t bytes, uint64_t pos, uint64_t base)
{
	struct log_head h;

	return pos + LOG_HEAD_BYTES <= bytes && log_head_parse(p + pos, &h) == OK && (uint64_t)h.base_offset == base;
}

static void check_hints(struct world *w, struct part_record *r, const struct part_pub *pub, const uint8_t *log)
{
	for (int i = 0; i < PART_HINTS && !w->broken; i++) {
		uint64_t h = atomic_load(&r->hints[i]), pos = (uint32_t)h;

		if (h != 0 && !starts_at(log, pub->w[W_POS], pos, pub->w[W_SEG] + (h >> 32)))
			broken(w, "T9", "a hint that names no batch", (long long)(h >> 32), (long long)pos);
	}
}

/* The index that counts: entries name batches, and a closing entry closes. */
static void check_index(struct world *w, struct files *f, const struct part_pub *pub, uint64_t base)
{
	struct heap *was = heap_enter(NULL);
	struct log_files *files = log_files_new(&w->eye.disk, 4);
	struct log_replica lr = { .files = files, .log_dir = DIR, .topic = "t",
				  .partition = f->folder[strlen(f->folder) - 1] - '0' };
	uint64_t bytes = 0;
	const uint8_t *log = peek(f, base, ".log", &bytes, NULL);
	uint32_t n = base == pub->w[W_SEG] ? (uint32_t)(pub->w[W_INDEX] >> 32) : log_index_count(&lr, base);
	struct log_index_entry e;

	for (uint32_t i = 1; i <= n && log && !w->broken; i++) {
		if (!log_index_last(&lr, base, i, &e))
			continue;		/* damaged: it does not count */
		bool closing = base != pub->w[W_SEG] && e.pos == bytes;

		/* An append may have been cut just where the next batch will start. */
		bool end = base == pub->w[W_SEG] && e.pos == pub->w[W_POS] && base + e.rel == pub->w[W_END];

		if (!closing && !end && !starts_at(log, bytes, e.pos, base + e.rel))
			broken(w, "L6", "an index entry that names no batch", (long long)base, e.pos);
	}
	log_files_free(files);
	heap_enter(was);
}

/* Every slot that says it is of a partition is in its list, and nobody is in two. T10 */
static void check_lists(struct world *w)
{
	struct part_header *h = w->mem;
	uint32_t all = atomic_load(&h->producers_grown);
	_Atomic uint64_t *owner = (_Atomic uint64_t *)((uint8_t *)w->mem + w->watch->at.owners);
	struct part_producer *slab = (struct part_producer *)((uint8_t *)w->mem + w->watch->at.producers);
	uint8_t met[64] = { 0 };

	must(all <= sizeof met);
	for (uint32_t i = 0; i < slots(w) && !w->broken; i++) {
		uint32_t steps = 0;

		for (uint32_t at = record(w, i)->producers; at != 0 && !w->broken; at = slab[at - 1].next) {
			if (at > all || steps++ > all || atomic_load(&owner[at - 1]) != (PART_OWNER_USED | i)) {
				if (!(atomic_load(&record(w, i)->intent) & UINT32_MAX))
					broken(w, "T10", "a list holds what is not its own", i, at);
				break;
			}
			if (met[at - 1]++)
				broken(w, "T10", "a producer slot in two lists", i, at);
		}
	}
	for (uint32_t k = 0; k < all && !w->broken; k++) {
		uint64_t o = atomic_load(&owner[k]);

		if ((o & PART_OWNER_USED) && !met[k] &&
		    (uint32_t)atomic_load(&record(w, (uint32_t)o)->intent) != k + 1)
			broken(w, "T10", "a producer slot that no list holds", (long long)(uint32_t)o, k);
	}
}

static void check_files(struct world *w, uint32_t slot, int part)
{
	struct part_record *r = record(w, slot);
	struct seen *s = &w->watch->seen[slot];
	struct files f = { .w = w };
	uint64_t c, bytes = 0, reserved = 0, gen = atomic_load(&r->seg_gen);
	struct part_pub pub;

	part_peek(r, &pub, &c);
	snprintf(f.folder, sizeof f.folder, DIR "/t-%d", part);
	(void)w->eye.disk.calls->list(&w->eye.disk, f.folder, on_name, &f);
	const uint8_t *log = peek(&f, pub.w[W_SEG], ".log", &bytes, &reserved);
	if (!log || bytes != pub.w[W_POS])
		broken(w, "T2", "the file does not end with what is committed", (long long)bytes,
		       (long long)pub.w[W_POS]);
	else if (f.newest != pub.w[W_SEG])
		broken(w, "L5", "a segment behind the active one", (long long)f.newest, (long long)pub.w[W_SEG]);
	if (s->files_known && s->files != f.hash && s->seg_gen == gen)
		broken(w, "T8", "other files, the same file generation", (long long)gen, part);
	s->files = f.hash;
	s->seg_gen = gen;
	s->files_known = true;
	if (w->broken)
		return;
	if (f.snapshot > atomic_load(&r->synced))
		broken(w, "L4", "a snapshot of what is not synced", (long long)f.snapshot,
		       (long long)atomic_load(&r->synced));
	check_hints(w, r, &pub, log);
	if (reserved > 0 && atomic_load(&r->reserved) == 0 && !w->part[part].leaks)
		broken(w, "T15", "reserved blocks that nobody knows of", (long long)reserved, part);
	if (w->watch->turn % 64 != 0)
		return;
	for (int i = 0; i < f.n && !w->broken; i++) {
		if (f.base[i] < (uint64_t)w->part[part].start && f.base[i] != pub.w[W_SEG])
			continue;
		check_index(w, &f, &pub, f.base[i]);
		peek(&f, f.base[i], ".log", &bytes, &reserved);
		if (reserved > 0 && f.base[i] != pub.w[W_SEG] && !w->part[part].leaks)
			broken(w, "T15", "a closed segment holds reserved blocks", (long long)f.base[i],
			       (long long)reserved);
	}
}

static bool lock_is_free(struct part_record *r)
{
	static const struct lock_word zero;

	return memcmp(&r->lock, &zero, 4) == 0;
}

static void check_waits(struct world *w)
{
	for (int i = 0; i < PROCS && !w->broken; i++)
		for (int k = 0; k < PARTS && !w->broken; k++) {
			struct waiter *x = &w->proc[i].wait[k];

			if (!w->proc[i].alive || w->part[k].slot == PART_SLOT_NONE)
				continue;
			struct part_record *r = record(w, w->part[k].slot);

			if (atomic_load(&r->life) != PART_ONLINE)
				continue;
			if (x->hw && !x->hw_rung && (int64_t)atomic_load(&r->high_watermark) > x->seen_hw)
				broken(w, "W7", "the high watermark moved and a waiter was not rung", i, k);
			if (x->lock && !x->lock_rung && lock_is_free(r))
				broken(w, "W7", "the lock was released and who parked was not rung", i, k);
		}
}

void watch_rest(struct world *w)
{
	watch_point(w);
	w->watching = true;
	w->watch->turn++;
	for (uint32_t i = 0; i < slots(w) && !w->broken; i++) {
		struct part_record *r = record(w, i);
		int part = part_of(w, i);

		if (part < 0 || atomic_load(&r->life) != PART_ONLINE || !lock_is_free(r))
			continue;
		uint64_t end = w->watch->seen[i].end, synced = atomic_load(&r->synced);
		uint64_t want = w->conf.durability == PART_REPLICATED ? end : synced < end ? synced : end;

		if (atomic_load(&r->durability) == (uint32_t)w->conf.durability &&
		    atomic_load(&r->high_watermark) < want)
			broken(w, "T11", "the high watermark was left behind",
			       (long long)atomic_load(&r->high_watermark), (long long)want);
		if (!w->broken && w->watch->turn % 8 == 0)
			check_files(w, i, part);
	}
	if (!w->broken)
		check_lists(w);
	if (!w->broken)
		check_waits(w);
	w->watching = false;
}

/* ---- a wild store ---- */

/* One bit of the published state, while nobody holds the lock. The next owner must not build on it. */
void watch_damage(struct world *w)
{
	uint32_t slot = w->part[rng_below(&w->sim.rng, PARTS)].slot;
	struct proc *p = &w->proc[rng_below(&w->sim.rng, PROCS)];

	if (!p->alive || slot == PART_SLOT_NONE || slot >= slots(w))
		return;
	struct part_record *r = record(w, slot);
	if (atomic_load(&r->life) != PART_ONLINE || !lock_is_free(r))
		return;
	uint64_t c = atomic_load(&r->commit), wake = 0;
	_Atomic uint64_t *word = &r->state[c & 1].w[rng_below(&w->sim.rng, W_CRC)];
	int part = part_of(w, slot);

	atomic_fetch_xor(word, UINT64_C(1) << rng_below(&w->sim.rng, 8));
	w->watching = true;
	struct heap *was = heap_enter(&p->heap);
	int err = part_set_log_start(p->table, slot, 0, &wake);
	heap_enter(was);
	w->watching = false;
	if (err != E_NOENT || atomic_load(&r->life) != PART_OPENING)
		broken(w, "T5", "an owner built on a damaged state", err, atomic_load(&r->life));
	world_ring(w, wake, part);
	trace(w, p, "damage", "%d", part);
	count(C_damage);
	watch_point(w);
}
