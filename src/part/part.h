/*
 * part.h - one partition replica in the shared table: append, read, high watermark, repair.
 * (The seam between storage and everybody else; record layout in part/record.h.)
 *
 * Any process of the broker may append to any partition: the truth of a partition is its 1 KiB
 * record in the table, its bytes are in Kafka's segment files. Hostile bytes are parsed and checked
 * (wire/batch.h) before they get here. Critical sections do not parse, allocate, send or wake.
 * See docs/table.md for the protocol and the invariants T1..Tn.
 */
#ifndef PART_PART_H
#define PART_PART_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/str.h"
#include "io/disk.h"
#include "io/lock.h"

#define PART_SLOT_NONE UINT32_MAX
#define PART_REPLICAS_MAX 8
#define PART_BATCHES_MAX 256	/* of one part_append() */
#define PART_SYNC_FILES 8	/* segment files of one sync job */

/* ---- the table ---------------------------------------------------------------------------- */

struct part_limits {
	uint32_t parts;			/* slots; the file grows in extents up to it */
	uint32_t producers;		/* producer slots over all partitions */
};

struct part_id {			/* who this table belongs to; all must match to be trusted */
	char boot_id[40];		/* of the kernel */
	struct uuid cluster_id;
	int32_t node_id;
	struct uuid dir_id;		/* of the log directory */
	uint64_t generation;		/* stored on disk beside the logs; +1 each time a table is made */
};

struct part_table;			/* private handle of one process */

uint64_t part_table_bytes(const struct part_limits *lim);	/* of the sparse mapping */
/* Grows the memory behind the mapping: the caller's function makes [off, off + len) usable. */
typedef int part_grow_fn(void *ctx, uint64_t off, uint64_t len);

/* Formats zeroed memory (agent or supervisor, once). */
int part_table_format(void *mem, const struct part_limits *lim, const struct part_id *id,
		      struct lock_port *lock, part_grow_fn *grow, void *grow_ctx) MUST_CHECK;
/* Layout version of a table made by this release. */
uint32_t part_table_layout(void);
/* How a formatted table was made; E_DAMAGED, E_VERSION: it is none that we can read. `bytes`: of mem. */
int part_table_limits(const void *mem, size_t bytes, struct part_limits *ret) MUST_CHECK;
/* E_FOREIGN: another id, boot or generation; E_VERSION: another layout; E_DAMAGED: bad checksum.
 * log_dir: the folder of the partition folders. Handle freed by part_table_free(). */
int part_table_attach(void *mem, const struct part_id *expect, unsigned self_proc, struct disk *disk,
		      struct lock_port *lock, const char *log_dir, part_grow_fn *grow,
		      void *grow_ctx, struct part_table **ret) MUST_CHECK;
/* E_DAMAGED: the header is not what it was when the table was attached. */
int part_table_check(struct part_table *t) MUST_CHECK;
void part_table_free(struct part_table *t);
/* fn is called every few batches that a recovery reads, so that its process can show that it lives. */
void part_on_progress(struct part_table *t, void (*fn)(void *ctx), void *ctx);
/* Whether a replica that has no slot (yet) still exists, so that part_checkpoint() keeps its entry; unset: it does. */
void part_on_checkpoint(struct part_table *t, bool (*keeps)(void *ctx, const struct uuid *topic_id), void *ctx);
/* Calls fn with processes to bell_mark() for a slot, from calls that hold a partition's lock for a moment
 * and return no mask (reserve, checkpoint, recovery, leadership): others may have parked on it meanwhile. */
void part_on_wake(struct part_table *t, void (*fn)(void *ctx, uint32_t slot, uint64_t mask), void *ctx);

/* ---- slots: life of a replica ------------------------------------------------------------- */

enum part_state {
	PART_FREE = 0,
	PART_OPENING,			/* allocated by the agent; storage creates or recovers it */
	PART_ONLINE,
	PART_OFFLINE,			/* its log directory failed: reads and appends refused (56) */
	PART_DELETING,			/* out of the image; storage removes the files, then FREE */
};

struct part_key {
	struct uuid topic_id;
	int32_t partition;
	char topic[250];		/* name, 0-terminated; the folder is <topic>-<partition> */
	int32_t dir;			/* log directory index; 0 today */
	bool future;			/* a move between directories; false today */
};

/* Allocates a slot in state OPENING (agent only); E_LIMIT: table full; E_EXIST with *ret the slot. */
int part_slot_open(struct part_table *t, const struct part_key *key, uint32_t *ret_slot) MUST_CHECK;
/* Slot of a replica or PART_SLOT_NONE (linear in allocated slots: start-up and agent only). */
uint32_t part_slot_find(struct part_table *t, const struct uuid *topic_id, int32_t partition);
enum part_state part_slot_state(struct part_table *t, uint32_t slot);
void part_slot_key(struct part_table *t, uint32_t slot, struct part_key *ret);
void part_slot_delete(struct part_table *t, uint32_t slot);	/* -> DELETING (agent only) */
/* Slots ever used are below this. */
uint32_t part_slots_end(struct part_table *t);

/* Storage only: creates or recovers the files of an OPENING slot -> ONLINE (OFFLINE on E_IO).
 * trusted_clean: a clean shutdown was recorded, so tails are not scanned. */
int part_slot_recover(struct part_table *t, uint32_t slot, bool trusted_clean) MUST_CHECK;
/* Storage only: removes the files of a DELETING slot and frees it; call again on E_AGAIN. */
int part_slot_reap(struct part_table *t, uint32_t slot) MUST_CHECK;

/* Leadership as the controller gave it: writes the epoch history when the epoch grows. */
int part_become_leader(struct part_table *t, uint32_t slot, int32_t epoch) MUST_CHECK;

/* ---- append ------------------------------------------------------------------------------- */

enum part_durability {			/* setting `durability` */
	PART_REPLICATED,		/* Kafka's rule: memory of every ISR member; here: high watermark = end */
	PART_QUORUM,			/* fsynced on min.insync.replicas members before the high watermark moves */
	PART_ALL,			/* fsynced on every ISR member */
};

struct part_conf {			/* of the topic, from the cluster image; given with every call */
	uint64_t segment_bytes;
	uint64_t segment_ms;
	uint64_t segment_jitter_ms;
	uint32_t index_interval_bytes;
	uint32_t max_producer_age_ms;	/* producer.id.expiration.ms */
	enum part_durability durability;
};

struct part_batch {			/* one record batch v2 that passed batch_check() */
	/* in: */
	uint8_t *head;			/* its first 61 bytes, private: offset and epoch are stamped here */
	const uint8_t *rest;		/* what follows the header */
	uint32_t rest_len;
	uint32_t records;		/* offsets it takes: lastOffsetDelta + 1 */
	int64_t max_timestamp;
	int64_t producer_id;		/* -1: none */
	int16_t producer_epoch;
	int32_t base_sequence;
	bool transactional, control;
	bool from_coordinator;		/* written by the broker itself (internal topics) */
	/* out: */
	int err;			/* OK, or see part_append() */
	int16_t kafka_error;		/* the protocol's code for err */
	int64_t base_offset;		/* of a duplicate: that of the original */
	int64_t append_time_ms;		/* of a duplicate: of the original; else -1 */
	bool duplicate;
};

struct part_ticket {			/* what an append must wait for */
	uint64_t generation;		/* truncation generation; another one: NOT_LEADER_OR_FOLLOWER */
	int64_t end_offset;		/* acknowledged when the high watermark >= this */
};

struct part_appended {
	struct part_ticket ticket;
	int64_t log_start;
	uint64_t wake_mask;		/* processes to bell_mark() for this slot; always set */
};

/*
 * Appends batches of one partition in order in one write and one commit. expect_epoch: leader
 * epoch the caller read in the image, or -1. Returns
 *   OK        each batch has its own err: OK, duplicates, sequence errors (45), old producer
 *             epochs (47), a batch above the segment size (18)
 *   E_AGAIN   the lock is taken: the caller's bit is in the append-busy mask; park and retry when rung
 *   E_FENCED  another leader epoch (74 / 6); E_NOENT: the slot is not ONLINE or holds another replica
 *   E_NOSPC   disk full, nothing was committed (56 with a message); E_IO: directory offline (56)
 *   E_DAMAGED the table needs the supervisor's full reset
 * When a roll split the call into several commits and a later one failed, it returns OK and the
 * batches behind have the failure in their own err. ret is set in every case; its wake_mask is to
 * be used even after an error (others may have parked on the lock). n <= PART_BATCHES_MAX.
 * now_ms: wall clock.
 */
int part_append(struct part_table *t, uint32_t slot, const struct uuid *topic_id,
		int32_t expect_epoch, const struct part_conf *conf, struct part_batch *v, int n,
		int64_t now_ms, struct part_appended *ret) MUST_CHECK;

/* ---- read --------------------------------------------------------------------------------- */

struct part_view {			/* a consistent copy of the published state, taken without the lock */
	uint64_t commit;
	uint64_t generation;		/* truncation generation */
	int64_t log_start, local_log_start;
	int64_t high_watermark;
	int64_t last_stable;		/* last stable offset */
	int64_t end;			/* log end offset */
	int64_t synced;			/* everything below is on the platter */
	int32_t leader_epoch;
	int64_t max_timestamp;
	uint64_t segment_base;
	uint64_t segment_bytes;		/* committed length of the active segment */
};

/* E_NOENT: not ONLINE or another replica in the slot; E_DAMAGED. */
int part_view(struct part_table *t, uint32_t slot, const struct uuid *topic_id,
	      struct part_view *ret) MUST_CHECK;
/* Sets this process' bit in the fetch/acks waiter mask; the caller re-reads the view after it. */
void part_wait(struct part_table *t, uint32_t slot);
void part_unwait(struct part_table *t, uint32_t slot);
/* The same for whoever waits for the log's end and not for the high watermark: the storage
 * process of partitions that must be synced (set once; woken at each commit), replica fetches. */
void part_wait_end(struct part_table *t, uint32_t slot);

struct part_range {			/* whole batches in one segment file, for sendfile */
	int file;			/* of the disk port; give back by part_range_release() */
	uint64_t off;
	uint64_t len;			/* bytes; 0: nothing there */
	int64_t first_offset;		/* base offset of the first batch */
	int64_t next_offset;		/* behind the last batch */
	bool warm;			/* false: ask for DISK_WARM first */
	uint32_t handle;
};

/*
 * Whole batches from the one that contains `offset`, up to max_bytes and below `limit_offset`
 * (high watermark or last stable offset). At least one batch when min_one. E_RANGE: offset below
 * local_log_start or above the end. Never reads cold data bytes in the caller: only indexes and
 * batch headers. E_AGAIN: what is needed is not in the page cache; ret says which bytes (file, off,
 * len): ask for DISK_WARM, release, call again. E_FENCED: the log was truncated since the view was
 * taken: take a new one. On OK and E_AGAIN ret must be released.
 */
int part_read(struct part_table *t, uint32_t slot, const struct part_view *view, int64_t offset,
	      int64_t limit_offset, uint32_t max_bytes, bool min_one, struct part_range *ret) MUST_CHECK;
void part_range_release(struct part_table *t, struct part_range *r);

/* First batch whose max timestamp >= ts, below limit; OK with first_offset = -1 when there is none.
 * The exact record inside the batch is found by the caller (wire/batch.h). Errors as part_read(). */
int part_find_time(struct part_table *t, uint32_t slot, const struct part_view *view, int64_t ts,
		   int64_t limit_offset, struct part_range *ret_batch) MUST_CHECK;

struct part_aborted {			/* a transaction whose records read_committed must skip */
	int64_t producer_id, first_offset;
};
/* Aborted transactions with records in [from, to), in the order of their markers; at most max of
 * them. E_LIMIT: there are more (answer a shorter range). Errors as part_read(). */
int part_aborted(struct part_table *t, uint32_t slot, const struct part_view *view, int64_t from,
		 int64_t to, struct part_aborted *v, uint32_t max, uint32_t *ret_n) MUST_CHECK;

struct part_producer_seen {		/* what DescribeProducers shows */
	int64_t id;
	int16_t epoch;
	int32_t last_sequence;		/* -1: no batch is known */
	int64_t last_timestamp;
	int32_t coordinator_epoch;	/* of its last marker; -1: none */
	int64_t txn_start;		/* first offset of its open transaction; -1: none */
};
/* The producers that are known now. E_LIMIT: there are *ret_n of them, which is more than max;
 * E_AGAIN: the lock is taken. *ret_wake: processes to mark, whatever is returned. */
int part_producers(struct part_table *t, uint32_t slot, const struct uuid *topic_id,
		   struct part_producer_seen *v, uint32_t max, uint32_t *ret_n, uint64_t *ret_wake) MUST_CHECK;

struct part_epoch_end {
	int32_t epoch;			/* -1: undefined */
	int64_t end_offset;		/* -1: undefined */
};
/* KIP-101/279: end offset of the largest epoch <= epoch (trap 63). */
int part_epoch_end(struct part_table *t, uint32_t slot, int32_t epoch,
		   struct part_epoch_end *ret) MUST_CHECK;

/* ---- changes by others than the appender --------------------------------------------------- */

/* Storage: everything below `offset` of truncation generation `gen` is durable. Moves the high
 * watermark as the durability class says. ret_wake: processes to mark. */
int part_synced(struct part_table *t, uint32_t slot, uint64_t gen, int64_t offset,
		const struct part_conf *conf, uint64_t *ret_wake) MUST_CHECK;
/* DeleteRecords and retention: moves log start; never above the high watermark (E_RANGE). */
int part_set_log_start(struct part_table *t, uint32_t slot, int64_t offset,
		       uint64_t *ret_wake) MUST_CHECK;
/* First-class truncation by (epoch, offset); bumps the generation. */
int part_truncate(struct part_table *t, uint32_t slot, int32_t epoch, int64_t offset,
		  uint64_t *ret_wake) MUST_CHECK;

/* An I/O error was seen outside of this library (a failed fdatasync is never tried again): the
 * replica refuses appends and reads from now on. */
void part_offline(struct part_table *t, uint32_t slot, uint64_t *ret_wake);

/* ---- steps of the storage process ----------------------------------------------------------- */

/*
 * Group commit of one partition. begin() tells what has to reach the platter so that everything
 * below `end` is durable; the caller runs fdatasync (DISK_SYNC) on each file and, when `dir`, one
 * DISK_SYNC_DIR of dir_path, all at once, then part_synced(t, slot, gen, end, ...) if all were OK
 * and part_offline() if one failed; in every case part_sync_end(). OK without `due`: nothing to do;
 * due with n_files = 0: only part_synced(), somebody died in the middle of it. More than
 * PART_SYNC_FILES segments: the job covers the oldest, and begin() again after it.
 */
struct part_sync {
	uint64_t gen;
	int64_t end;
	bool due;
	int n_files;
	int file[PART_SYNC_FILES];
	uint32_t handle[PART_SYNC_FILES];
	bool dir;
	char dir_path[768];
};
int part_sync_begin(struct part_table *t, uint32_t slot, struct part_sync *ret) MUST_CHECK;
void part_sync_end(struct part_table *t, struct part_sync *job);

/* Rolls the active segment when its time has come although nobody appends (trap 83). */
int part_roll_if_due(struct part_table *t, uint32_t slot, const struct part_conf *conf,
		     int64_t now_ms, uint64_t *ret_wake) MUST_CHECK;

struct part_retention {
	int64_t retention_ms;		/* -1: for ever */
	int64_t retention_bytes;	/* -1: no limit */
	bool del;			/* cleanup.policy has delete; else only log start counts */
};
/*
 * Whole segments that are too old, too many or below the log start leave the log (traps 81, 82):
 * log start moves, the files are renamed to *.deleted, and on_garbage is called with each path
 * that can be unlinked now (DISK_UNLINK; leftovers of earlier runs too), outside of any lock.
 * *ret_bytes: size of the log after it. E_AGAIN: the lock was busy, call again.
 */
int part_retain(struct part_table *t, uint32_t slot, const struct part_conf *conf,
		const struct part_retention *keep, int64_t now_ms,
		void (*on_garbage)(void *ctx, const char *path), void *ctx, uint64_t *ret_bytes,
		uint64_t *ret_wake) MUST_CHECK;

/* Reserves blocks behind the active segment's end: twice what was appended since the last call, 64 MiB
 * at most; gives the reserve back when nothing was. Call every 100 ms or so for slots that are
 * appended to, and until a call finds nothing appended. */
int part_reserve(struct part_table *t, uint32_t slot, const struct part_conf *conf) MUST_CHECK;

/*
 * Producer snapshots of the slots whose producers changed much (all of them when clean), then the
 * checkpoint file of the log directory: recovery points (= synced offsets), log starts, high
 * watermarks. A slot that waits for its recovery, or is OFFLINE, keeps the entry of the last
 * checkpoint; so does a replica that has no slot yet, and then the checkpoint is not clean.
 * clean: everything was synced and nobody appends any more; the next start does not scan. Blocks on
 * the device; storage process only.
 */
int part_checkpoint(struct part_table *t, bool clean) MUST_CHECK;
/* Reads the newest valid checkpoint for part_slot_recover(); *ret_clean: written by a clean
 * shutdown. Takes the clean mark away on disk. Missing or damaged files are no error: everything
 * is scanned then. Call once, before the first part_slot_recover(). E_FOREIGN: another cluster. */
int part_checkpoint_load(struct part_table *t, bool *ret_clean) MUST_CHECK;

/* A record of a table that was attached, not made: E_DAMAGED when its file is shorter than
 * committed or the record fails its checks; the slot is OPENING then and must be recovered. */
int part_slot_check(struct part_table *t, uint32_t slot) MUST_CHECK;

/* Closes cached files of this process that were replaced or deleted meanwhile. Once a second. */
void part_files_trim(struct part_table *t);

struct part_counts {			/* sums over the table since it was made */
	uint64_t lock_repairs;		/* owners that died */
	uint64_t torn_tails;		/* files cut back by a repair */
	uint64_t dropped_versions;	/* uncommitted producer versions dropped by a repair */
	uint64_t dedups;		/* batches answered as duplicates */
	uint64_t appends;		/* batches committed */
	uint64_t append_bytes;
	uint64_t rebuilt;		/* records sent to recovery because they failed a check */
	uint64_t long_files;		/* files longer than committed without a death: must stay 0 */
	uint64_t producers_evicted;	/* live producers pushed out because the slab was full */
	uint64_t busy;			/* lock was taken, request parked */
	uint64_t lost_locks;		/* seen for good: only a new table helps */
	uint64_t recovered;		/* replicas made from their files */
	uint64_t scanned_files, scanned_bytes;	/* of segments, by that */
};
void part_counts(struct part_table *t, struct part_counts *ret);

#endif
