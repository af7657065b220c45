/*
 * part.c - the table itself: format, trust, slots.
 *
 * Is not: what happens to a partition (append.c, read.c, change.c) or on disk (recover.c).
 * The agent alone opens slots and marks them for deletion; the storage process alone recovers and
 * reaps them. Nothing is ever unmapped while processes use it.
 */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "part/table.h"

#define PAGE 4096u

static uint64_t round_up(uint64_t n)
{
	return (n + PAGE - 1) / PAGE * PAGE;
}

void part_places(const struct part_limits *lim, struct part_places *ret)
{
	ret->counts = PAGE;
	ret->owners = ret->counts + round_up(PART_PROCS * sizeof(struct part_count_line));
	ret->names = ret->owners + round_up((uint64_t)lim->producers * sizeof(uint64_t));
	ret->records = ret->names + round_up((uint64_t)lim->parts * PART_NAME_BYTES);
	ret->producers = ret->records + round_up((uint64_t)lim->parts * sizeof(struct part_record));
	ret->bytes = ret->producers + round_up((uint64_t)lim->producers * sizeof(struct part_producer));
}

uint64_t part_table_bytes(const struct part_limits *lim)
{
	struct part_places at;

	part_places(lim, &at);
	return at.bytes;
}

static uint32_t header_crc(const struct part_header *h)
{
	return crc32c(0, h, offsetof(struct part_header, crc));
}

int part_table_format(void *mem, const struct part_limits *lim, const struct part_id *id,
		      struct lock_port *lock, part_grow_fn *grow, void *grow_ctx)
{
	struct part_header *h = mem;
	struct part_places at;

	(void)lock;
	if (lim->parts == 0 || lim->producers == 0)
		return E_RANGE;
	part_places(lim, &at);
	if (grow) {
		int err = grow(grow_ctx, 0, at.owners);

		if (err)
			return err;
	}
	h->formatted = 0;
	h->magic = PART_MAGIC;
	h->layout = PART_LAYOUT;
	h->record_bytes = sizeof(struct part_record);
	h->producer_bytes = sizeof(struct part_producer);
	h->limits = *lim;
	memcpy(&h->id, id, sizeof *id);
	h->crc = header_crc(h);
	STEP_ORDER();
	h->formatted = 1;
	return OK;
}

uint32_t part_table_layout(void)
{
	return PART_LAYOUT;
}

int part_table_limits(const void *mem, size_t bytes, struct part_limits *ret)
{
	const struct part_header *h = mem;

	if (bytes < sizeof *h || h->magic != PART_MAGIC || h->formatted != 1)
		return E_DAMAGED;
	if (h->layout != PART_LAYOUT)
		return E_VERSION;
	if (h->crc != header_crc(h) || bytes < part_table_bytes(&h->limits))
		return E_DAMAGED;
	*ret = h->limits;
	return OK;
}

static bool same_id(const struct part_id *a, const struct part_id *b)
{
	return strncmp(a->boot_id, b->boot_id, sizeof a->boot_id) == 0 &&
	       uuid_eq(&a->cluster_id, &b->cluster_id) && a->node_id == b->node_id &&
	       uuid_eq(&a->dir_id, &b->dir_id) && a->generation == b->generation;
}

static bool extents_ok(const struct part_header *h, const struct part_limits *lim)
{
	return atomic_load(&h->parts_end) <= atomic_load(&h->parts_grown) &&
	       atomic_load(&h->parts_grown) <= lim->parts && atomic_load(&h->producers_grown) <= lim->producers;
}

int part_table_check(struct part_table *t)
{
	const struct part_header *h = t->h;

	return h->magic == PART_MAGIC && h->layout == PART_LAYOUT && h->formatted == 1 && h->crc == header_crc(h) &&
	       memcmp(&h->limits, &t->lim, sizeof t->lim) == 0 && extents_ok(h, &t->lim) ? OK : E_DAMAGED;
}

int part_table_attach(void *mem, const struct part_id *expect, unsigned self_proc, struct disk *disk,
		      struct lock_port *lock, const char *log_dir, part_grow_fn *grow,
		      void *grow_ctx, struct part_table **ret)
{
	struct part_header *h = mem;

	must(self_proc < PART_PROCS);
	if (h->magic != PART_MAGIC)
		return E_DAMAGED;
	if (h->layout != PART_LAYOUT || h->record_bytes != sizeof(struct part_record) ||
	    h->producer_bytes != sizeof(struct part_producer))
		return E_VERSION;
	if (h->crc != header_crc(h) || h->formatted != 1)
		return E_DAMAGED;
	if (!same_id(&h->id, expect))
		return E_FOREIGN;
	if (!extents_ok(h, &h->limits))
		return E_DAMAGED;
	struct part_table *t = mem_alloc(sizeof *t);
	t->mem = mem;
	t->h = h;
	t->lim = h->limits;
	part_places(&t->lim, &t->at);
	t->disk = disk;
	t->lock = lock;
	t->log_dir = mem_strdup(log_dir, strlen(log_dir));
	t->grow = grow;
	t->grow_ctx = grow_ctx;
	t->self = self_proc;
	t->files = log_files_new(disk, PART_FILES_OPEN);
	t->count = (struct part_count_line *)(t->mem + t->at.counts) + self_proc;
	for (uint32_t i = 0; i < PART_SEEN; i++)
		t->seen[i] = NIL;
	part_stock_reclaim(t);
	*ret = t;
	return OK;
}

void part_on_wake(struct part_table *t, void (*fn)(void *ctx, uint32_t slot, uint64_t mask), void *ctx)
{
	t->on_wake = fn;
	t->wake_ctx = ctx;
}

void part_tell(struct part_table *t, uint32_t slot, uint64_t mask)
{
	if (mask != 0 && t->on_wake)
		t->on_wake(t->wake_ctx, slot, mask);
}

void part_on_progress(struct part_table *t, void (*fn)(void *ctx), void *ctx)
{
	t->progress = fn;
	t->progress_ctx = ctx;
}

struct uuid part_topic_of(struct part_record *r)
{
	uint64_t w[2] = { atomic_load(&r->topic_id[0]), atomic_load(&r->topic_id[1]) };
	struct uuid id;

	memcpy(&id, w, sizeof id);
	return id;
}

void part_on_checkpoint(struct part_table *t, bool (*keeps)(void *ctx, const struct uuid *topic_id), void *ctx)
{
	t->keeps = keeps;
	t->keeps_ctx = ctx;
}

void part_table_free(struct part_table *t)
{
	if (!t)
		return;
	part_index_release(t);
	log_files_free(t->files);
	log_ckpt_release(&t->ckpt);
	mem_free(t->scan_buf);
	mem_free(t->last_read);
	mem_free(t->log_dir);
	mem_free(t);
}

struct part_record *part_record(struct part_table *t, uint32_t slot)
{
	if (slot >= atomic_load_explicit(&t->h->parts_end, memory_order_acquire) ||
	    slot >= t->lim.parts)
		return NULL;
	return (struct part_record *)(t->mem + t->at.records) + slot;
}

static char *name_at(struct part_table *t, uint32_t slot)
{
	return (char *)t->mem + t->at.names + (uint64_t)slot * PART_NAME_BYTES;
}

const char *part_name(struct part_table *t, uint32_t slot)
{
	char *s = name_at(t, slot);

	/* A wild store must not send strlen() away; the byte is always 0 otherwise. */
	return s[PART_NAME_BYTES - 1] == 0 ? s : "";
}

struct log_replica part_files(struct part_table *t, uint32_t slot, struct part_record *r)
{
	return (struct log_replica){ .files = t->files, .log_dir = t->log_dir,
		.topic = part_name(t, slot), .partition = atomic_load(&r->partition), .tag = slot,
		.gen = atomic_load_explicit(&r->seg_gen, memory_order_acquire) };
}

uint8_t *part_scan_buffer(struct part_table *t)
{
	if (!t->scan_buf)
		t->scan_buf = mem_alloc(LOG_SCAN_BUFFER);
	return t->scan_buf;
}

static uint32_t cold_crc(struct part_table *t, uint32_t slot, struct part_record *r)
{
	struct {
		uint32_t magic, layout;
		uint64_t id[2];
		int32_t partition, dir;
	} c = { r->magic, r->layout, { atomic_load(&r->topic_id[0]), atomic_load(&r->topic_id[1]) },
		atomic_load(&r->partition), atomic_load(&r->dir) };

	return crc32c(crc32c(0, &c, sizeof c), name_at(t, slot), PART_NAME_BYTES);
}

/* ---- slots ------------------------------------------------------------------------------------ */

static int grow_parts(struct part_table *t, uint32_t need)
{
	uint32_t have = atomic_load(&t->h->parts_grown), to;

	while (have < need) {
		to = have + PART_EXTENT_PARTS < t->lim.parts ? have + PART_EXTENT_PARTS : t->lim.parts;
		if (t->grow) {
			int err = t->grow(t->grow_ctx, t->at.names + (uint64_t)have * PART_NAME_BYTES,
					  (uint64_t)(to - have) * PART_NAME_BYTES);

			if (!err)
				err = t->grow(t->grow_ctx,
					      t->at.records + (uint64_t)have * sizeof(struct part_record),
					      (uint64_t)(to - have) * sizeof(struct part_record));
			if (err)
				return err;
		}
		atomic_store(&t->h->parts_grown, to);
		have = to;
	}
	return OK;
}

static size_t name_len(const char *name)
{
	const char *end = memchr(name, 0, sizeof ((struct part_key *)0)->topic - 1);

	return end ? (size_t)(end - name) : sizeof ((struct part_key *)0)->topic - 1;
}

static void fill_key(struct part_table *t, uint32_t slot, struct part_record *r,
		     const struct part_key *key)
{
	uint64_t w[2];
	char *name = name_at(t, slot);

	memcpy(w, &key->topic_id, sizeof w);
	memset(name, 0, PART_NAME_BYTES);
	memcpy(name, key->topic, name_len(key->topic));
	atomic_store(&r->topic_id[0], w[0]);
	atomic_store(&r->topic_id[1], w[1]);
	atomic_store(&r->partition, key->partition);
	atomic_store(&r->dir, key->dir);
	r->future = key->future;
	for (int i = 0; i < PART_REPLICAS_MAX; i++)
		atomic_store(&r->replicas[i].id, -1);
	r->cold_crc = cold_crc(t, slot, r);
}

int part_slot_open(struct part_table *t, const struct part_key *key, uint32_t *ret_slot)
{
	uint32_t end = atomic_load(&t->h->parts_end), slot = part_index_find(t, key);
	struct part_record *r;
	int err;

	must(key->partition >= 0);
	if (slot != NIL) {
		*ret_slot = slot;
		return E_EXIST;
	}
	slot = part_index_free(t);
	if (slot == NIL) {
		if (end == t->lim.parts)
			return E_LIMIT;
		err = grow_parts(t, end + 1);
		if (err)
			return err;
		slot = end;
		r = (struct part_record *)(t->mem + t->at.records) + slot;
		if (r->magic != PART_MAGIC)	/* else a killed agent came as far as this before */
			t->lock->init(t->lock, &r->lock);
		r->layout = PART_LAYOUT;
		STEP_ORDER();
		r->magic = PART_MAGIC;
		fill_key(t, slot, r, key);
		part_set_life(r, PART_OPENING);
		atomic_store_explicit(&t->h->parts_end, end + 1, memory_order_release);
	} else {
		r = part_record(t, slot);
		fill_key(t, slot, r, key);
		part_set_life(r, PART_OPENING);
	}
	part_index_add(t, slot, key);
	*ret_slot = slot;
	return OK;
}

uint32_t part_slot_find(struct part_table *t, const struct uuid *topic_id, int32_t partition)
{
	uint32_t end = part_slots_end(t);

	for (uint32_t i = 0; i < end; i++) {
		struct part_record *r = part_record(t, i);
		enum part_state s = part_slot_state(t, i);

		if (s != PART_FREE && s != PART_DELETING && part_is(r, topic_id) &&
		    atomic_load(&r->partition) == partition)
			return i;
	}
	return PART_SLOT_NONE;
}

enum part_state part_slot_state(struct part_table *t, uint32_t slot)
{
	struct part_record *r = part_record(t, slot);
	uint32_t s = r ? atomic_load_explicit(&r->life, memory_order_acquire) : PART_FREE;

	return s <= PART_DELETING ? (enum part_state)s : PART_OFFLINE;
}

void part_slot_key(struct part_table *t, uint32_t slot, struct part_key *ret)
{
	struct part_record *r = part_record(t, slot);
	uint64_t w[2];

	must(r != NULL);
	memset(ret, 0, sizeof *ret);
	w[0] = atomic_load(&r->topic_id[0]);
	w[1] = atomic_load(&r->topic_id[1]);
	memcpy(&ret->topic_id, w, sizeof w);
	ret->partition = atomic_load(&r->partition);
	ret->dir = atomic_load(&r->dir);
	ret->future = r->future != 0;
	const char *name = part_name(t, slot);
	memcpy(ret->topic, name, name_len(name));
}

void part_slot_delete(struct part_table *t, uint32_t slot)
{
	struct part_record *r = part_record(t, slot);

	must(r != NULL);
	if (part_slot_state(t, slot) != PART_FREE)
		part_set_life(r, mutant(DELETE_FREES) ? PART_FREE : PART_DELETING);
	part_index_freed(t, slot);
}

uint32_t part_slots_end(struct part_table *t)
{
	return atomic_load_explicit(&t->h->parts_end, memory_order_acquire);
}

int part_slot_check(struct part_table *t, uint32_t slot)
{
	struct part_record *r = part_record(t, slot);
	struct part_pub pub;
	uint64_t c, bytes = 0;
	uint32_t handle;
	int file;

	if (!r)
		return E_NOENT;
	if (part_slot_state(t, slot) != PART_ONLINE)
		return OK;
	part_peek(r, &pub, &c);
	bool good = r->magic == PART_MAGIC && r->cold_crc == cold_crc(t, slot, r);
	if (good) {
		struct log_replica lr = part_files(t, slot, r);

		good = !log_files_get(&lr, pub.w[W_SEG], LOG_SEGMENT, 0, &file, &handle);
		if (good) {
			good = !t->disk->calls->size(t->disk, file, &bytes) && bytes >= pub.w[W_POS];
			log_files_put(t->files, handle);
		}
	}
	if (good)
		return OK;
	part_tally(t, PC_REBUILT, 1);
	part_set_life(r, PART_OPENING);
	return E_DAMAGED;
}

static uint64_t want_gen(void *ctx, uint32_t slot)
{
	struct part_record *r = part_record(ctx, slot);

	return r ? atomic_load_explicit(&r->seg_gen, memory_order_acquire) : 0;
}

void part_files_trim(struct part_table *t)
{
	log_files_trim(t->files, want_gen, t);
}

void part_counts(struct part_table *t, struct part_counts *ret)
{
	uint64_t sum[PC_N] = { 0 };

	for (int p = 0; p < PART_PROCS; p++)
		for (int i = 0; i < PC_N; i++)
			sum[i] += atomic_load_explicit(
				&((struct part_count_line *)(t->mem + t->at.counts))[p].n[i],
				memory_order_relaxed);
	*ret = (struct part_counts){ .lock_repairs = sum[PC_REPAIRS], .torn_tails = sum[PC_TORN],
		.dropped_versions = sum[PC_DROPPED], .dedups = sum[PC_DEDUPS],
		.appends = sum[PC_APPENDS], .append_bytes = sum[PC_BYTES], .rebuilt = sum[PC_REBUILT],
		.long_files = sum[PC_LONG], .producers_evicted = sum[PC_EVICTED], .busy = sum[PC_BUSY],
		.lost_locks = sum[PC_LOST], .recovered = sum[PC_RECOVERED], .scanned_files = sum[PC_SCANNED_FILES],
		.scanned_bytes = sum[PC_SCANNED_BYTES] };
}
