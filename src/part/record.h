/*
 * record.h - the layout of the shared partition table. Only src/part includes it.
 *
 *   header        one page: who the table belongs to, limits, how far each area was grown
 *   counts        one line of counters per process
 *   owners        8 bytes per producer slot: free, in a process' stock, or used by a partition
 *   names         256 bytes per partition: topic name, 0-terminated
 *   records       1 KiB per partition
 *   producers     256 bytes per producer slot
 *
 * No pointers; everything is found by index. The areas lie at fixed places of a sparse mapping and
 * are made usable in extents. Each field below says who writes it, under what, and why a reader
 * may trust it. "Lock" is the record's robust lock. docs/table.md has the protocol.
 */
#ifndef PART_RECORD_H
#define PART_RECORD_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>

#include "io/lock.h"
#include "part/part.h"

#define PART_MAGIC 0x444c4f4du		/* "MOLD" */
#define PART_LAYOUT 1u			/* changes with any change below */
#define PART_PROCS 64			/* one bit each of the waiter masks */
#define PART_NAME_BYTES 256
#define PART_HINTS 16
#define PART_EPOCHS 8			/* of which 7 count: the oldest may be under the pen */
#define PART_EXTENT_PARTS 1024u		/* slots made usable at once */
#define PART_EXTENT_PRODUCERS 4096u
#define PART_NO_OFFSET UINT64_MAX

/*
 * What a commit publishes. state[commit & 1] of a record is valid; the other is scratch of the lock
 * owner. Readers without the lock load the words relaxed and re-check commit (T2). The last word is
 * a checksum over the others, checked by lock owners before they build on it.
 */
enum part_word {
	W_END,				/* log end offset */
	W_POS,				/* bytes of the active segment that exist */
	W_SEG,				/* base offset of the active segment */
	W_SEG_FIRST_TS,			/* timestamp of its first batch; -1: empty */
	W_SEG_MAX_TS,			/* largest timestamp in it; -1: empty */
	W_SEG_MAX_AT,			/* base offset of the batch that has it */
	W_MAX_TS,			/* largest timestamp of the log */
	W_INDEX,			/* entries of its index << 32 | position of the last one */
	W_EPOCH,			/* leader epoch << 32 | epochs ever put into the ring */
	W_GENERATION,			/* truncation generation */
	W_TXN_OPEN,			/* open transactions */
	W_TXN_DONE,			/* largest offset of a marker that ended one; -1 none */
	W_ABORTED,			/* committed entries of the active segment's aborted index */
	W_SEG_MADE,			/* wall clock when the segment was made, ms */
	W_SNAPSHOT,			/* end offset of the newest producer snapshot on disk */
	W_CRC,
	W_N
};

struct part_state_slot {
	_Atomic uint64_t w[W_N];
};
_Static_assert(sizeof(struct part_state_slot) == 128, "two of them fit the record");

/* The same as a plain copy. */
struct part_pub {
	uint64_t w[W_N];
};

#define PART_INTENT_EPOCHS (UINT64_C(1) << 61)	/* the epoch file is being written */
#define PART_INTENT_FILES (UINT64_C(1) << 62)	/* files are being made or removed */
#define PART_INTENT_REBUILD (UINT64_C(1) << 63)	/* truncation: only recovery can finish it */
#define PART_INTENT_FLAGS (PART_INTENT_EPOCHS | PART_INTENT_FILES | PART_INTENT_REBUILD)

struct part_replica {			/* for replication: another replica's progress */
	_Atomic int32_t id;		/* -1: none */
	_Atomic uint32_t flags;
	_Atomic int64_t end;
	_Atomic int64_t caught_up_ms;
};

struct part_record {
	/* PART_MAGIC, PART_LAYOUT. Written by part_slot_open() when the slot is used the first time. */
	uint32_t magic;
	uint32_t layout;
	/* enum part_state. Moves as part.h says; the process that moves it is the only one that may
	 * in that state (agent, storage), or holds the lock (-> OFFLINE, -> OPENING). Release store;
	 * an acquire load of ONLINE makes the key and the first state visible. */
	_Atomic uint32_t life;
	/* crc32c of magic, layout, key and name. Written with the key. */
	uint32_t cold_crc;
	/* The key. Written by the agent while life is FREE, before life = OPENING. Readers load it
	 * before and after what they read, and want life ONLINE both times. */
	_Atomic uint64_t topic_id[2];
	_Atomic int32_t partition;
	_Atomic int32_t dir;
	uint32_t future;
	uint32_t pad0;
	/* Made once, when the slot is used the first time; never again, since others may hold it. */
	struct lock_word lock;
	uint8_t pad1[32];

	/* The published word. Only the lock owner stores it, +1 each time, release, after everything
	 * that it publishes. It is never reset, not even when the slot gets another replica. */
	_Atomic uint64_t commit;
	/* Monotonic within a truncation generation; stored by lock owners only, after the commit that
	 * made the bytes exist. Readers clip them to the end they read. */
	_Atomic uint64_t high_watermark;
	_Atomic uint64_t synced;
	_Atomic uint64_t last_stable;	/* valid only when transactions are open or just ended */
	_Atomic uint64_t log_start;
	_Atomic uint64_t local_log_start;
	/* File generation: bumped by the lock owner after the set of files changed. A process that
	 * sees another value than its cached one reopens. */
	_Atomic uint64_t seg_gen;
	/* Base of the newest segment whose file and folder entry are on the platter. Lock owner. */
	_Atomic uint64_t synced_base;

	/* Waiter masks, one bit per process. Set by the waiter (seq_cst), cleared by it; read after a
	 * fence by whoever published. `busy` is taken with an exchange after each release. */
	_Atomic uint64_t wait_hw;
	_Atomic uint64_t wait_end;
	_Atomic uint64_t busy;
	/* Lock owner: what a repair has to look at: producer slot + 1 being linked or unlinked, and
	 * PART_INTENT_ flags. 0: nothing. */
	_Atomic uint64_t intent;
	/* enum part_durability last used; lock owner. Repair needs it to move the high watermark. */
	_Atomic uint32_t durability;
	/* Lock owner: hints written so far; the next one goes to hints[hint_n % 16]. */
	uint32_t hint_n;
	/* Lock owner: head of the list of producer slots (index + 1; 0: none) and its length. */
	uint32_t producers;
	uint32_t producers_n;
	/* Low half of the segment's base << 32 | position up to which blocks may be reserved behind its
	 * end; 0: none. Stored by the storage process before it reserves; to 0 by lock owners. */
	_Atomic uint64_t reserved;
	_Atomic uint64_t reserved_pos;	/* W_POS at its last look */

	struct part_state_slot state[2];

	/* (offset - segment base) << 32 | position of recent batches of the active segment; 0: none.
	 * Cleared by the lock owner before a commit that changes the segment or truncates, stored
	 * (release) after the commit that made the batch exist. A reader loads (acquire), then
	 * re-reads the state and takes the hint only if segment and generation are still those. */
	_Atomic uint64_t hints[PART_HINTS];
	/* Ring of the last epochs; entry n (of W_EPOCH's count) lies at [n % 8]. Written by the lock
	 * owner before the commit that counts it. Older ones are in leader-epoch-checkpoint. */
	struct {
		_Atomic int64_t epoch;
		_Atomic int64_t start;
	} epochs[PART_EPOCHS];
	struct part_replica replicas[PART_REPLICAS_MAX];
	/* Largest truncation generation that was ever published, or nearly; lock owner, before the commit.
	 * It is outside the state, so that a state that is damaged does not take it along. */
	_Atomic uint64_t generation_made;
	uint8_t pad2[56];
};
_Static_assert(sizeof(struct part_record) == 1024, "layout 1");
_Static_assert(offsetof(struct part_record, lock) == 48, "layout 1");
_Static_assert(offsetof(struct part_record, commit) == 128, "layout 1");
_Static_assert(offsetof(struct part_record, wait_hw) == 192, "layout 1");
_Static_assert(offsetof(struct part_record, state) == 256, "layout 1");
_Static_assert(offsetof(struct part_record, hints) == 512, "layout 1");
_Static_assert(offsetof(struct part_record, epochs) == 640, "layout 1");
_Static_assert(offsetof(struct part_record, replicas) == 768, "layout 1");
_Static_assert(offsetof(struct part_record, generation_made) == 960, "layout 1");

/* ---- producers -------------------------------------------------------------------------------- */

#define PART_TAG_NEVER UINT64_MAX
#define PART_LAST_BATCHES 5		/* Kafka's number (trap 37) */

/* What is known of a producer, in a version of its slot and in snapshot files. Batches newest
 * first; `back` and `ts_back` of older ones count from last_base and last_ts. */
struct part_producer_version {
	uint64_t tag;			/* the commit that made it; counts if 0 < tag <= commit */
	int64_t last_ts;		/* of the newest batch */
	int64_t last_base;		/* its base offset */
	int64_t txn_first;		/* first offset of its transaction; -1: none */
	uint32_t txn_len;		/* 0: still open; else the marker is at txn_first + txn_len */
	int32_t coordinator_epoch;	/* of the last marker; -1 */
	int16_t epoch;
	uint16_t n;			/* batches known, 0 .. 5 */
	struct {
		int32_t seq;		/* first sequence */
		uint32_t count;		/* records */
	} newest;
	struct {
		uint32_t back;
		int32_t seq;
		uint32_t count;
		int32_t ts_back;
	} older[PART_LAST_BATCHES - 1];
	uint32_t pad;
};
_Static_assert(sizeof(struct part_producer_version) == 120, "two of them fit the slot");

/* Written by the lock owner of the partition that uses it (owners[] says which). */
struct part_producer {
	int64_t id;
	uint32_t next;			/* next of the partition's list, index + 1; 0: end */
	uint32_t pad;
	struct part_producer_version v[2];
};
_Static_assert(sizeof(struct part_producer) == 256, "layout 1");

/* owners[]: 0 free; STOCK | process; USED | partition slot. Taken from free by compare-and-swap;
 * stock -> used under the partition's lock by the process that has it; used -> free under the lock. */
#define PART_OWNER_STOCK (UINT64_C(1) << 62)
#define PART_OWNER_USED (UINT64_C(1) << 63)

/* ---- header ----------------------------------------------------------------------------------- */

struct part_header {
	uint32_t magic, layout;
	uint32_t record_bytes, producer_bytes;
	struct part_limits limits;
	struct part_id id;
	uint32_t crc;			/* of what is above; written once by format */
	uint32_t formatted;		/* 1: format came to its end */
	/* Grown by the agent alone (parts), by anybody with compare-and-swap (producers). Never shrink.
	 * A reader that sees n may use the first n. */
	_Atomic uint32_t parts_grown;
	_Atomic uint32_t parts_end;	/* slots ever used; agent, release */
	_Atomic uint32_t producers_grown;
	_Atomic uint32_t producer_cursor;	/* a hint where to look for a free one */
};
_Static_assert(sizeof(struct part_header) <= 4096, "one page");

enum part_count {
	PC_REPAIRS, PC_TORN, PC_DROPPED, PC_DEDUPS, PC_APPENDS, PC_BYTES, PC_REBUILT, PC_LONG,
	PC_EVICTED, PC_BUSY, PC_RECOVERED, PC_SCANNED_FILES, PC_SCANNED_BYTES, PC_LOST, PC_N = 16
};
struct part_count_line {		/* written by one process, relaxed; read by anybody */
	_Atomic uint64_t n[PC_N];
};

/* Where the areas lie. */
struct part_places {
	uint64_t counts, owners, names, records, producers, bytes;
};
void part_places(const struct part_limits *lim, struct part_places *ret);

#endif
