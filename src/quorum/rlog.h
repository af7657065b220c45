/*
 * rlog.h - the Raft log, hard state and snapshots of one node, on the disk port.
 *
 *   DIR/meta                     who owns the folder: format version, cluster id, node id
 *   DIR/vote                     term and vote, replaced by rename
 *   DIR/log-<first index>        segments: a header, then entries
 *   DIR/snap-<index>             images of the tree as of an entry
 *
 * Invariants
 *   K1  rlog_append() only gathers; one write and one fdatasync take everything gathered, and
 *       on_durable() comes only after it (a new segment's folder entry is synced before too)
 *   K2  a failed write or sync is final: on_fatal(), nothing is ever retried
 *   K3  at start only the tail of the last segment may be cut, at its first bad entry, and only when
 *       no later bytes prove that this entry had been durable (each entry tells the durable index of
 *       its time). Everything else that is bad is refused: E_DAMAGED
 *   K4  a snapshot counts once file and folder are synced; two are kept, and the log from the older on
 *   K5  a folder of another cluster, node or newer format is refused, naming both
 *
 * All integers are big-endian. Layouts: docs/quorum.md.
 */
#ifndef QUORUM_RLOG_H
#define QUORUM_RLOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/buf.h"
#include "base/err.h"
#include "io/disk.h"

#define RLOG_FORMAT 1
#define RLOG_SEGMENT_BYTES (16u << 20)	/* a segment that is larger is followed by a new one */
#define RLOG_ENTRY_MAX (33u << 20)
#define RLOG_ENTRY_HEAD 40u
#define RLOG_SEGMENT_HEAD 64u
#define RLOG_DIR_MAX 400

struct rlog_entry {
	uint64_t index, term;
	int64_t zxid;
	uint16_t type, version;
	const uint8_t *p;
	uint32_t len;
};

struct rlog_events {
	void (*on_durable)(void *user, uint64_t index, uint64_t term);
	void (*on_snapshot)(void *user, uint64_t index);	/* it is durable; old files are gone */
	void (*on_fatal)(void *user, const char *what, int err);
};

struct rlog_load {			/* what recovery hands over, in this order */
	int (*snapshot)(void *user, uint64_t index, uint64_t term, int64_t zxid, const uint8_t *p,
			uint32_t len);
	int (*entry)(void *user, const struct rlog_entry *e);
};

struct rlog_seg {
	uint64_t first;
	char path[RLOG_DIR_MAX + 40];
};

struct rlog {
	struct disk *disk;
	const struct rlog_events *ev;
	void *user;
	char dir[RLOG_DIR_MAX];
	char cluster_id[64];
	uint32_t node_id;
	uint64_t term;
	uint32_t voted_for;
	struct rlog_seg *seg;
	uint32_t nseg, seg_cap;
	int file;			/* of the last segment; -1: none yet */
	uint64_t file_bytes;
	uint64_t last, last_term;	/* gathered */
	uint64_t written, written_term;	/* in the file */
	uint64_t syncing, syncing_term;	/* in flight */
	uint64_t durable;
	struct buf gather;
	bool busy, dir_dirty, dead;
	struct disk_op op;
	uint64_t bytes_since_snapshot;
	uint64_t snaps[2];		/* durable ones, newest first; 0: none */
	struct {			/* the one being written */
		bool on;
		int file;
		uint8_t *p;
		uint64_t len, at, index;
		char tmp[RLOG_DIR_MAX + 40], path[RLOG_DIR_MAX + 40];
		struct disk_op op;
		bool syncing;
	} snap;
	uint64_t cut_bytes;		/* torn tail cut at start, for the log */
};

/*
 * Opens DIR (made when missing), recovers and hands everything over. *cluster_id: 22 characters; the
 * one to use when the folder is new, may be overwritten with the folder's. why: words for the user
 * after an error (E_FOREIGN, E_VERSION, E_DAMAGED, E_IO, ...).
 */
int rlog_open(struct rlog *l, struct disk *d, const char *dir, char *cluster_id, bool cluster_given,
	      uint32_t node_id, const struct rlog_load *load, const struct rlog_events *ev, void *user,
	      char *why, size_t why_cap) MUST_CHECK;
void rlog_close(struct rlog *l);
/* Gathers; the payload is copied. */
void rlog_append(struct rlog *l, const struct rlog_entry *e);
/* Starts writing what was gathered, unless a sync is in flight (then it goes with the next one). */
void rlog_flush(struct rlog *l);
/* Term and vote, durable when it returns. */
int rlog_vote(struct rlog *l, uint64_t term, uint32_t voted_for) MUST_CHECK;
/* Starts writing an image (owned by rlog from now on). One at a time; rlog_snapshot_turn() goes on
 * with it: true while there is more to do. */
void rlog_snapshot(struct rlog *l, uint64_t index, uint64_t term, int64_t zxid, uint8_t *p, uint32_t len);
bool rlog_snapshot_turn(struct rlog *l);

/* For recovery and rlog.c. */
int rlog_recover(struct rlog *l, const struct rlog_load *load, char *why, size_t why_cap);
void rlog_seg_add(struct rlog *l, uint64_t first);

#endif
