/*
 * log.h - the files of one partition replica: names, open files, segments, index, recovery scan.
 *
 * Knows nothing of the shared table: what is committed is told by the caller (src/part). Formats
 * are in docs/storage-format.md: segments are Kafka's byte for byte, `leader-epoch-checkpoint` and
 * `partition.metadata` are Kafka's text; index, producer snapshot and checkpoint are our own and
 * can always be rebuilt.
 *
 * Nothing here keeps state but struct log_files, which is private to a process: its open files
 * (LRU) and the segment lists of the replicas it read lately. Both are tagged with the replica's
 * file generation, which changes whenever a file of the replica is made, removed or replaced.
 *
 * Errors: OK, E_IO, E_NOSPC, E_NOENT from the disk; E_BAD bytes that make no sense; E_CRC.
 */
#ifndef LOG_LOG_H
#define LOG_LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "base/str.h"
#include "io/disk.h"

/* ---- names (name.c) ------------------------------------------------------------------------- */

#define LOG_PATH_MAX 768	/* log dir <= 400, topic 249, partition, file name with suffixes */

struct log_path {
	char s[LOG_PATH_MAX];
	uint32_t len;		/* too long a path is cut and len = LOG_PATH_MAX; opens then fail */
};

void log_path_init(struct log_path *p, const char *start);
void log_path_add(struct log_path *p, const char *text);
void log_path_num(struct log_path *p, uint64_t n, unsigned min_digits);
/* <dir>/<topic>-<partition> */
void log_path_folder(struct log_path *p, const char *dir, const char *topic, int32_t partition);
/* /<20 digits><suffix> behind what is there */
void log_path_segment(struct log_path *p, uint64_t base, const char *suffix);
/* "<20 digits><suffix>" -> number; false: another kind of name. */
bool log_name_is(const char *name, const char *suffix, uint64_t *ret_base);

/* ---- one batch's header (name in the format's own words) -------------------------------------- */

#define LOG_HEAD_BYTES 61
#define LOG_BATCH_MAX (1u << 30)

struct log_head {
	int64_t base_offset, last_offset;
	uint32_t bytes;			/* whole batch, header included */
	int32_t leader_epoch;
	uint32_t crc;
	uint16_t attributes;
	int64_t first_timestamp, max_timestamp;
	int64_t producer_id;
	int16_t producer_epoch;
	int32_t base_sequence;
	int32_t records;
};
#define LOG_ATTR_APPEND_TIME 0x08u
#define LOG_ATTR_TRANSACTIONAL 0x10u
#define LOG_ATTR_CONTROL 0x20u

/* Takes a header apart; E_BAD: another magic, or lengths that cannot be. The CRC is not checked. */
int log_head_parse(const uint8_t p[LOG_HEAD_BYTES], struct log_head *ret) MUST_CHECK;

/* ---- open files and segment lists (files.c) --------------------------------------------------- */

struct log_files;

struct log_replica {			/* who is meant; built by the caller for each call */
	struct log_files *files;
	const char *log_dir, *topic;	/* must live during the call only */
	int32_t partition;
	uint32_t tag;			/* slot: key of the caches */
	uint64_t gen;			/* file generation */
};

enum log_kind {
	LOG_SEGMENT,			/* .log */
	LOG_INDEX,			/* .idx */
	LOG_TXN,			/* .txnindex */
	LOG_KIND_N
};
extern const char *const log_suffix[LOG_KIND_N];

struct log_files *log_files_new(struct disk *d, uint32_t open_max);
void log_files_free(struct log_files *f);	/* closes all, pinned ones too */
struct disk *log_files_disk(struct log_files *f);
/* Opens or finds; the file stays open until log_files_put(handle). flags: enum disk_flag. */
int log_files_get(const struct log_replica *r, uint64_t base, enum log_kind kind, unsigned flags,
		  int *ret_file, uint32_t *ret_handle) MUST_CHECK;
void log_files_put(struct log_files *f, uint32_t handle);
/* Forgets what is cached of a replica with another generation than gen. */
void log_files_stale(struct log_files *f, uint32_t tag, uint64_t gen);
/* Calls want() for each cached replica; where the answer differs from what is cached, it is closed. */
void log_files_trim(struct log_files *f, uint64_t (*want)(void *ctx, uint32_t tag), void *ctx);

/* Base offsets of the segments, ascending; valid until the next call for any replica. */
int log_segments(const struct log_replica *r, const uint64_t **ret_base, uint32_t *ret_n) MUST_CHECK;

/* ---- small whole files (small.c) -------------------------------------------------------------- */

int log_small_read(struct disk *d, const char *path, struct buf *ret) MUST_CHECK;
/* Names in a folder, each 0-terminated, one behind the other; buf_release() by the caller on OK. */
int log_list(struct disk *d, const char *path, struct buf *ret) MUST_CHECK;
/* Writes <path>.tmp; sync: with fdatasync. */
int log_small_put(struct disk *d, const char *path, const void *p, size_t n, bool sync) MUST_CHECK;
/* <path>.tmp becomes path. */
int log_small_name(struct disk *d, const char *path) MUST_CHECK;

/* partition.metadata */
int log_topic_id_read(struct disk *d, const char *folder, struct uuid *ret) MUST_CHECK;
int log_topic_id_write(struct disk *d, const char *folder, const struct uuid *id) MUST_CHECK;

struct log_epoch {
	int32_t epoch;
	int64_t start;
};
#define LOG_EPOCHS_MAX 65536u
/* leader-epoch-checkpoint, ascending, the newest LOG_EPOCHS_MAX; E_NOENT none, E_BAD not readable.
 * *ret_v is mem_alloc'd, NULL when empty. */
int log_epochs_read(struct disk *d, const char *folder, struct log_epoch **ret_v, uint32_t *ret_n) MUST_CHECK;
int log_epochs_write(struct disk *d, const char *folder, const struct log_epoch *v, uint32_t n,
		     bool sync) MUST_CHECK;

/* truncation-checkpoint: when the log got a smaller end. A checkpoint of an older generation speaks of
 * bytes that are no more: its recovery point counts up to `end` only. */
struct log_cut {
	int64_t generation;		/* truncation generation that it made */
	int64_t end;			/* log end after it */
};
#define LOG_CUTS_MAX 32
/* Ascending in both; E_NOENT: never truncated; E_BAD. */
int log_cuts_read(struct disk *d, const char *folder, struct log_cut v[LOG_CUTS_MAX], uint32_t *ret_n) MUST_CHECK;
/* Adds one to v, which has *n: those that it covers go, and when there are too many the oldest two
 * become one that speaks for both. */
void log_cuts_add(struct log_cut v[LOG_CUTS_MAX], uint32_t *n, struct log_cut c);
/* Synced; the caller syncs the folder. */
int log_cuts_write(struct disk *d, const char *folder, const struct log_cut *v, uint32_t n) MUST_CHECK;

/* meta.properties of a log directory, with our lines added to Kafka's. */
struct log_dir_meta {
	struct uuid cluster_id, dir_id;
	int32_t node_id;
	uint64_t table_generation;	/* +1 each time a table is made; see struct part_id */
};
int log_dir_meta_read(struct disk *d, const char *log_dir, struct log_dir_meta *ret) MUST_CHECK;
int log_dir_meta_write(struct disk *d, const char *log_dir, const struct log_dir_meta *m) MUST_CHECK;

/* ---- index (index.c) -------------------------------------------------------------------------- */

#define LOG_INDEX_ENTRY 24		/* bytes in the file */

struct log_index_entry {
	uint32_t rel;			/* base offset of the batch at pos, minus the segment's */
	uint32_t pos;
	int64_t max_ts;			/* largest timestamp of the batches in front of pos */
	uint32_t ts_rel;		/* base offset of the batch that has it, minus the segment's */
	uint32_t nth;			/* results only: its number + 1; 0: no entry */
};

/* Writes entry number n (0, 1, ...); what stood there and behind is no longer committed. */
int log_index_put(const struct log_replica *r, uint64_t base, uint32_t n,
		  const struct log_index_entry *e) MUST_CHECK;
/* Entries of a closed segment by its file's length; 0 when there is no index. */
uint32_t log_index_count(const struct log_replica *r, uint64_t base);
/* The last of the first n entries with rel <= rel; OK with *ret all zero when there is none or the
 * index is damaged there: the segment's start is always right. */
void log_index_find(const struct log_replica *r, uint64_t base, uint32_t n, uint32_t rel,
		    struct log_index_entry *ret);
/* The last of the first n entries with pos <= pos. */
void log_index_find_pos(const struct log_replica *r, uint64_t base, uint32_t n, uint32_t pos,
			struct log_index_entry *ret);
/* The last of the first n entries with max_ts < ts: no batch in front of its pos is that young. */
void log_index_find_time(const struct log_replica *r, uint64_t base, uint32_t n, int64_t ts,
			 struct log_index_entry *ret);
/* Entry n - 1; false: none, or damaged. */
bool log_index_last(const struct log_replica *r, uint64_t base, uint32_t n,
		    struct log_index_entry *ret);

/* ---- walking batches (walk.c) ----------------------------------------------------------------- */

struct log_walk {			/* headers through a small window */
	struct disk *disk;
	int file;
	uint64_t end;			/* bytes of the file that exist for the caller */
	bool care_warm;			/* never read what is not in the page cache */
	uint64_t warm_from, warm_to;	/* known to be warm */
	uint64_t win_off;
	uint32_t win_len;
	bool small;			/* the last batch was smaller than the window: read ahead */
	uint8_t win[4096];
};

void log_walk_init(struct log_walk *w, struct disk *d, int file, uint64_t end, bool care_warm);
/* Header at pos. E_RANGE: pos is the end; E_AGAIN: cold; E_BAD: no batch there, or a cut one. */
int log_walk_head(struct log_walk *w, uint64_t pos, struct log_head *ret) MUST_CHECK;
/* From *pos, the start of a batch, to the first batch with last_offset >= offset. E_RANGE: none. */
int log_walk_offset(struct log_walk *w, uint64_t *pos, int64_t offset, struct log_head *ret) MUST_CHECK;

#define LOG_SCAN_BUFFER (256u << 10)
/*
 * Checks batches with their CRC from pos to the end of the file: offsets ascend from at least
 * next_offset (without gaps where dense: base offsets lie outside of the CRC) and stay below
 * offset_end, epochs do not fall. Stops at the first bad one; *pos and *next_offset are behind
 * the last good one. on_batch is called for each good one; body is that of a control batch's
 * record, else NULL. OK also when it stopped early (compare *pos); E_IO.
 */
struct log_scan {
	struct disk *disk;
	int file;
	uint64_t pos, end;
	int64_t next_offset;
	uint64_t segment_base;
	uint8_t *buf;			/* LOG_SCAN_BUFFER bytes of the caller */
	bool dense;			/* no compaction came by: the active segment */
	uint64_t offset_end;		/* base of the next segment; 0: none */
	bool skip_crc;			/* headers alone: for parts known to be durable */
	void (*on_batch)(void *ctx, const struct log_head *h, uint64_t pos, const uint8_t *body,
			 uint32_t body_len);
	void *ctx;
};
int log_scan(struct log_scan *s) MUST_CHECK;
/* Kind of a control batch by the bytes behind its header: 0 abort, 1 commit, -1 not readable. */
int log_control_type(const uint8_t *body, uint32_t len, int32_t *ret_coordinator_epoch);

/* ---- aborted transactions (txn.c) ------------------------------------------------------------- */

#define LOG_TXN_ENTRY 34
struct log_aborted {
	int64_t producer_id, first_offset, last_offset, last_stable;
};
int log_txn_put(const struct log_replica *r, uint64_t base, uint32_t n,
		const struct log_aborted *a) MUST_CHECK;
/* Entry n; E_RANGE: behind the end. */
int log_txn_get(const struct log_replica *r, uint64_t base, uint32_t n,
		struct log_aborted *ret) MUST_CHECK;
/* Takes away what stands behind the first n entries: markers of commits that never were. */
int log_txn_cut(const struct log_replica *r, uint64_t base, uint32_t n) MUST_CHECK;
uint32_t log_txn_count(const struct log_replica *r, uint64_t base);

/* ---- checkpoint of a log directory (ckpt.c) --------------------------------------------------- */

struct log_ckpt_entry {			/* all but the last two fields: see part.h */
	struct uuid topic_id;
	int32_t partition, leader_epoch;
	int64_t recovery_point;		/* everything below is durable */
	int64_t log_start, local_log_start;
	int64_t high_watermark;
	uint64_t generation;		/* truncation generation */
	uint64_t segment_base;		/* of the active segment, and */
	uint64_t segment_bytes;		/* its committed length: exact when the checkpoint is clean */
};

struct log_ckpt {			/* in memory; entries sorted by (topic id, partition) */
	struct uuid cluster_id;
	int32_t node_id;
	uint64_t sequence;		/* the larger of the two files is the valid one */
	bool clean;
	uint32_t n;
	struct log_ckpt_entry *v;	/* mem_alloc; freed by log_ckpt_release() */
};

/* Newest valid one of `moldau-checkpoint.0` and `.1`; E_NOENT: none is valid. */
int log_ckpt_read(struct disk *d, const char *log_dir, struct log_ckpt *ret) MUST_CHECK;
/* Sorts v, writes file (sequence & 1), syncs it. The other file stays as it was. */
int log_ckpt_write(struct disk *d, const char *log_dir, struct log_ckpt *c) MUST_CHECK;
const struct log_ckpt_entry *log_ckpt_find(const struct log_ckpt *c, const struct uuid *topic_id,
					   int32_t partition);
/* Of a replica that was deleted; no entry: nothing. */
void log_ckpt_forget(struct log_ckpt *c, const struct uuid *topic_id, int32_t partition);
void log_ckpt_release(struct log_ckpt *c);

#endif
