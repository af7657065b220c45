/*
 * table.h - what the files of src/part share: the process' private handle, locking, commit.
 * Only src/part includes it.
 */
#ifndef PART_TABLE_H
#define PART_TABLE_H

#include "base/mutant.h"
#include "log/log.h"
#include "part/part.h"
#include "part/record.h"

#define NIL UINT32_MAX
#define PART_SEEN 4096u			/* producer look-ups remembered by a process; a power of two */
#define PART_FILES_OPEN 512u		/* files kept open by a process */

/* A killed process leaves a prefix of its program order: between steps that only the next lock
 * owner looks at, it is enough that the compiler keeps the order. */
#define STEP_ORDER() atomic_signal_fence(memory_order_seq_cst)

struct part_pending {			/* a producer changed by the commit being built */
	int64_t id;
	uint32_t idx;			/* NIL: no slot yet */
	struct part_producer_version v;
};

#define PART_LAST_READS 1024

struct part_last_read {			/* where a read of this process ended */
	uint64_t offset, base, seg_gen, generation, pos;
	uint32_t slot;
	struct log_head head;		/* of the batch at pos; bytes 0: not known */
};

struct part_table {
	uint8_t *mem;
	struct part_header *h;
	struct part_limits lim;
	struct part_places at;
	struct disk *disk;
	struct lock_port *lock;
	char *log_dir;
	part_grow_fn *grow;
	void *grow_ctx;
	void (*progress)(void *ctx);	/* NULL, or called now and then by long work */
	void *progress_ctx;
	void (*on_wake)(void *ctx, uint32_t slot, uint64_t mask);	/* NULL, or part_on_wake() */
	void *wake_ctx;
	struct part_last_read *last_read;	/* by slot and offset; NULL until the first read */
	unsigned self;
	struct log_files *files;
	struct part_count_line *count;	/* of this process */
	uint32_t seen[PART_SEEN];	/* producer slot by hash of (slot, id); NIL */
	uint32_t stock[PART_BATCHES_MAX];	/* producer slots owned by this process */
	uint32_t stock_n;
	uint32_t evict_cursor;
	struct part_pending pending[PART_BATCHES_MAX];
	struct disk_piece piece[2 * PART_BATCHES_MAX];
	struct log_ckpt ckpt;		/* what part_checkpoint_load() read, or the one written last */
	bool (*keeps)(void *ctx, const struct uuid *topic_id);	/* part_on_checkpoint() */
	void *keeps_ctx;
	uint64_t ckpt_sequence;
	uint8_t *scan_buf;		/* LOG_SCAN_BUFFER bytes, made when first needed */
	struct part_index *index;	/* index.c; of who opens slots */
};

/* index.c: NIL when there is none. Find: the slot of a replica that is there; free: one that nobody has. */
uint32_t part_index_find(struct part_table *t, const struct part_key *key);
uint32_t part_index_free(struct part_table *t);
void part_index_add(struct part_table *t, uint32_t slot, const struct part_key *key);
void part_index_freed(struct part_table *t, uint32_t slot);	/* now or soon */
void part_index_release(struct part_table *t);

struct uuid part_topic_of(struct part_record *r);

static inline void part_tally(struct part_table *t, enum part_count which, uint64_t n)
{
	atomic_fetch_add_explicit(&t->count->n[which], n, memory_order_relaxed);
}

/* NULL: no such slot. */
struct part_record *part_record(struct part_table *t, uint32_t slot);
const char *part_name(struct part_table *t, uint32_t slot);
static inline bool part_is(struct part_record *r, const struct uuid *id)
{
	uint64_t w[2];

	memcpy(w, id, sizeof w);
	return atomic_load_explicit(&r->topic_id[0], memory_order_acquire) == w[0] &&
	       atomic_load_explicit(&r->topic_id[1], memory_order_acquire) == w[1];
}
static inline bool part_online(struct part_record *r)
{
	return atomic_load_explicit(&r->life, memory_order_acquire) == PART_ONLINE;
}
static inline void part_set_life(struct part_record *r, enum part_state s)
{
	atomic_store_explicit(&r->life, s, memory_order_release);
}
/* For calls into src/log; gen is read now. */
struct log_replica part_files(struct part_table *t, uint32_t slot, struct part_record *r);
uint8_t *part_scan_buffer(struct part_table *t);

/* ---- lock.c ----------------------------------------------------------------------------------- */

/* OK: held, repaired if its owner had died. E_AGAIN: busy, own bit set in the busy mask.
 * E_DAMAGED: the lock is lost for good. *wake |= whoever a repair has to wake. */
int part_lock(struct part_table *t, uint32_t slot, struct part_record *r, struct lock_held **ret,
	      uint64_t *wake) MUST_CHECK;
/* part_lock() of a replica that is ONLINE, with its state. On an error nothing is held: E_NOENT also
 * when the state failed its checks, E_AGAIN, E_DAMAGED. r may be NULL. */
int part_hold(struct part_table *t, uint32_t slot, struct part_record *r, struct lock_held **ret,
	      struct part_pub *ret_pub, uint64_t *wake) MUST_CHECK;
/* Releases, then *wake |= whoever parked on the lock. */
/* For calls without a mask of their own: tells part_on_wake(). */
void part_tell(struct part_table *t, uint32_t slot, uint64_t mask);
void part_unlock(struct part_table *t, struct part_record *r, struct lock_held *h, uint64_t *wake);

/* Under the lock: the valid state; E_DAMAGED: it fails its checks, the record now waits for
 * recovery (OPENING). */
int part_load(struct part_table *t, struct part_record *r, struct part_pub *ret) MUST_CHECK;
/* Under the lock, before the commit that publishes a new truncation generation. T14 */
void part_generation_made(struct part_record *r, uint64_t generation);
/* Without the lock: a consistent copy; *ret_commit its number. Not checked against the checksum. */
void part_peek(struct part_record *r, struct part_pub *ret, uint64_t *ret_commit);
/* Under the lock: publishes pub as the next commit. */
void part_commit(struct part_record *r, struct part_pub *pub);
/* Under the lock, after a commit or a sync: high watermark by durability class, last stable offset.
 * True: one of them moved. */
bool part_advance(struct part_table *t, struct part_record *r, const struct part_pub *pub);
/* Last stable offset for a view with this high watermark. */
int64_t part_stable(struct part_record *r, const struct part_pub *pub, uint64_t hw);
/* Whoever has to hear of a commit or of a new high watermark. */
uint64_t part_wakes(struct part_record *r, bool visible);
void part_clear_hints(struct part_record *r);
/* Under the lock: the failed replica refuses everything from now on. */
void part_fail(struct part_record *r);
/* Under the lock: removes segment files at or behind base that are not the active one of pub, cuts
 * the active one to its committed length. Bumps the file generation. */
int part_cut_files(struct part_table *t, uint32_t slot, struct part_record *r,
		   const struct part_pub *pub) MUST_CHECK;

/* Under the lock: the epoch file again, as the record has it. */
int part_epochs_rewrite(struct part_table *t, uint32_t slot, struct part_record *r) MUST_CHECK;

/* ---- producer.c ------------------------------------------------------------------------------- */

struct part_producer *part_producer_at(struct part_table *t, uint32_t idx);
_Atomic uint64_t *part_owner(struct part_table *t, uint32_t idx);
/* Slot index of a producer of this partition, or NIL. Under the lock. */
uint32_t part_producer_find(struct part_table *t, uint32_t slot, struct part_record *r, int64_t id);
/* The version that counts at commit c, or NULL. */
struct part_producer_version *part_version(struct part_producer *p, uint64_t c);
/* Before the lock: gets n slots into the stock, by growth or eviction of idle ones. */
void part_stock(struct part_table *t, uint32_t n);
/* The same from what is free, without eviction: may be called under a lock. */
void part_stock_free(struct part_table *t, uint32_t n);
/* Under the lock: a slot for id from the stock, linked, without a version; NIL: stock is empty. */
uint32_t part_producer_link(struct part_table *t, uint32_t slot, struct part_record *r, int64_t id);
/* Under the lock: stores v as the version of commit + 1. */
void part_version_put(struct part_record *r, struct part_producer *p,
		      const struct part_producer_version *v);
/* Under the lock: drops versions above the commit and mends the slot named by intent. */
void part_producers_repair(struct part_table *t, uint32_t slot, struct part_record *r);
/* Under the lock: unlinks those whose last timestamp is older than `before` and that have no open
 * transaction; at most max of them, to the free pool. Returns how many. */
uint32_t part_producers_expire(struct part_table *t, uint32_t slot, struct part_record *r,
			       int64_t before, uint32_t max);
/* Under the lock: the idle one with the oldest timestamp goes to the stock; false: none. */
bool part_producer_evict(struct part_table *t, uint32_t slot, struct part_record *r);
void part_producers_drop_all(struct part_table *t, uint32_t slot, struct part_record *r);
/* Smallest first offset of an open transaction or of one whose marker is at or above hw. */
uint64_t part_first_unstable(struct part_table *t, struct part_record *r, uint64_t c, uint64_t hw);
/* Producer slots of a process that was killed with a stock come back. At attach. */
void part_stock_reclaim(struct part_table *t);

/* Sequence rules (traps 37-39). prev NULL: nothing known. OK: take it; E_EXIST: a duplicate, *ret_base
 * and *ret_ts are the original's; E_FENCED: old epoch (47); E_RANGE: out of sequence (45). */
int part_sequence(const struct part_producer_version *prev, int16_t epoch, int32_t seq,
		  uint32_t count, int64_t *ret_base, int64_t *ret_ts) MUST_CHECK;
struct part_event {			/* what a batch does to its producer */
	int64_t base_offset, timestamp;
	int64_t high_watermark;
	int32_t seq;
	uint32_t count;
	int16_t epoch;
	bool transactional, control;
	int32_t coordinator_epoch;	/* control only */
};
/* v: the previous version, or zeroed with epoch -1 for a new producer. *open: open transactions. */
void part_version_apply(struct part_producer_version *v, const struct part_event *e, uint64_t *open);
void part_version_init(struct part_producer_version *v);

/* ---- snapshot.c ------------------------------------------------------------------------------- */

struct part_set {			/* producers in private memory, for recovery and snapshots */
	struct part_pending *v;
	uint32_t n, cap;
	uint32_t *hash;			/* index + 1 by id; 0 empty */
	uint32_t hash_n;		/* a power of two */
};
struct part_pending *part_set_get(struct part_set *s, int64_t id);	/* made when missing */
void part_set_release(struct part_set *s);
/* <folder>/<20 digits of end>.producers: written and synced under another name, without a lock; */
int part_snapshot_put(struct part_table *t, const char *folder, int64_t end,
		      const struct part_set *s) MUST_CHECK;
/* then named, under the lock, when the truncation generation still is that of the copy (L4). */
int part_snapshot_name(struct part_table *t, const char *folder, int64_t end) MUST_CHECK;
int part_snapshot_read(struct part_table *t, const char *folder, int64_t end,
		       struct part_set *ret) MUST_CHECK;

/* ---- roll.c ----------------------------------------------------------------------------------- */

/* Under the lock: closes the active segment, makes the next, commits that. pub is the state before
 * and after. */
int part_roll(struct part_table *t, uint32_t slot, struct part_record *r, struct part_pub *pub,
	      int64_t now_ms) MUST_CHECK;
/* Under the lock: gives back what is reserved behind the end of a segment: what is told of it, or what
 * surely may be there. T15 */
int part_end_reserve(struct part_table *t, struct part_record *r, const struct log_replica *lr,
		     uint64_t seg, bool surely);
/* Under the lock: the same for whatever segment is told. A roll that was cut leaves it: before its
 * commit it is the active one, after it the one that it closed. */
int part_end_reserves(struct part_table *t, uint32_t slot, struct part_record *r,
		      const struct part_pub *pub) MUST_CHECK;
bool part_roll_due(const struct part_pub *pub, const struct part_conf *conf, uint32_t slot,
		   uint64_t more_bytes, uint64_t more_offsets, int64_t max_ts);
/* Under the lock, before the commit that counts it: epoch e starts at offset start. */
void part_epoch_push(struct part_record *r, struct part_pub *pub, int32_t e, int64_t start);
/* Without the lock: all epochs known, ascending; *ret_v is mem_alloc'd. */
int part_epochs(struct part_table *t, uint32_t slot, struct part_record *r,
		struct log_epoch **ret_v, uint32_t *ret_n) MUST_CHECK;

#endif
