/*
 * rlog.h - the Raft log, hard state and snapshots of one node, on the disk port.
 *
 *   DIR/meta                     who owns the folder: format version, cluster id, node id, disk id
 *   DIR/vote                     term and vote, starts, replaced by rename
 *   DIR/log-<first index>        segments: a header, then entries
 *   DIR/snap-<index>             images of the tree as of an entry
 *   DIR/image-<index>            an image that is coming from the leader
 *   DIR/damaged-*                what a repair from peers has set aside
 *
 * Invariants
 *   K1  rlog_append() only gathers; one write and one fdatasync take everything gathered, and
 *       on_durable() comes only after it (a new segment's folder entry is synced before too)
 *   K2  a failed write or sync is final: on_fatal(), nothing is ever retried. A full disk is told apart: what
 *       was half written is cut off again, and the same bytes are written when there is room
 *   K3  at start only the tail of the last segment may be cut, at its first bad entry, and only when
 *       no later bytes prove that this entry had been durable (each entry tells the durable index of
 *       its time). Everything else that is bad is refused (E_DAMAGED), or, when there are peers to fetch it
 *       from, set aside; the node is `recovering` then (raft.h R11), durably
 *   K4  a snapshot counts once file and folder are synced; two are kept, and the log from the older on
 *   K5  a folder of another cluster, node or newer format is refused, naming both
 *   K6  no entry of a term is written, and no snapshot that ends in it counts, before the term is durable
 *       (rlog_vote())
 *   K7  entries that were cut off are gone from the disk, durably, before new ones take their place
 *   K8  an image from the leader is durable before the log that it replaces is dropped; a log that does not
 *       hold the snapshot's last entry with its term is not read after it
 *   K9  a folder that a tree of elsewhere is written into has DIR/importing before it belongs to a cluster, and
 *       until all is durable; with it no node starts
 *   K10 what a start has read counts as durable when the log itself proves it, or it was written again and synced: the
 *       page cache may hold what a sync that failed has lost
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

#define RLOG_FORMAT 2
#define RLOG_SEGMENT_BYTES (16u << 20)	/* a segment that is larger is followed by a new one */
#define RLOG_ENTRY_MAX (33u << 20)
#define RLOG_ENTRY_HEAD 40u
#define RLOG_ENTRY_TERM 16u		/* where its term is in there */
#define RLOG_SEGMENT_HEAD 64u
#define RLOG_SNAP_HEAD 68u
#define RLOG_DIR_MAX 400
#define RLOG_PATH_MAX (RLOG_DIR_MAX + 48)
#define RLOG_MARK "importing"
#define RLOG_MARK_BYTES (64u << 10)	/* a segment's entries are found by marks this far apart */

struct rlog_entry {
	uint64_t index, term;
	int64_t zxid;
	uint16_t type, version;
	const uint8_t *p;
	uint32_t len;
};

struct rlog_events {
	void (*on_durable)(void *user, uint64_t index, uint64_t term);	/* everything up to it is synced */
	void (*on_voted)(void *user);			/* rlog_vote()'s last call is durable */
	void (*on_snapshot)(void *user, uint64_t index);	/* it is durable; old files are gone */
	/* The image that came is whole and durable as a snapshot (rlog_image_load()), or bad (err). */
	void (*on_image)(void *user, int err);
	void (*on_fatal)(void *user, const char *what, int err);
};

struct rlog_load {			/* what recovery hands over, in this order */
	int (*snapshot)(void *user, uint64_t index, uint64_t term, int64_t zxid, const uint8_t *p,
			uint32_t len);
	int (*entry)(void *user, const struct rlog_entry *e);
	/* Damage was met: may this node fetch from others what is lost? NULL: no. */
	bool (*may_recover)(void *user);
};

struct rlog_mark {
	uint64_t index, off;
};

struct rlog_seg {
	uint64_t first;
	char path[RLOG_PATH_MAX];
	struct rlog_mark *mark;
	uint32_t nmarks, marks_cap;
};

struct rlog_config {
	const char *dir;
	/* 23 bytes; in: for a new folder, "" when it is not known yet; out: the folder's */
	char *cluster_id;
	bool cluster_given;
	uint32_t node_id;
	uint64_t disk_id;		/* for a new folder */
	bool importing;			/* K9: the folder may know no cluster yet; see rlog_unmark() */
};

/* Entries read back for a peer that is behind. */
struct rlog_fetch {
	struct disk_op op;		/* first member */
	struct rlog *l;
	uint64_t index;
	uint8_t *buf;
	uint32_t cap;
	uint32_t from, len;		/* whole, good entries from `index` on are buf[from, len) */
	uint64_t off;
	int file;
	void (*done)(struct rlog_fetch *f, int err);
	void *user;
};

struct rlog_image {			/* one that is coming */
	bool on, busy;
	bool synced;			/* and not named yet: a vote is being written */
	int file;
	uint64_t index, term, bytes, have;
	int64_t zxid;
	uint32_t crc, crc_have;
	char path[RLOG_PATH_MAX], final[RLOG_PATH_MAX];
	struct disk_op op;
};

struct rlog {
	struct disk *disk;
	const struct rlog_events *ev;
	void *user;
	char dir[RLOG_DIR_MAX];
	char cluster_id[64];		/* "": not known yet, nothing but meta is written */
	uint32_t node_id;
	uint64_t disk_id;
	uint64_t term, voted_for;
	bool recovering;
	uint32_t starts;		/* of this folder's processes, this one counted */
	struct rlog_seg *seg;
	uint32_t nseg, seg_cap;
	int file;			/* of the last segment; -1: none yet */
	int old_file;			/* closed when the sync in flight is done; -1: none */
	uint64_t file_bytes, marked_bytes;
	uint64_t last, last_term;	/* gathered */
	uint64_t written, written_term;	/* in the file */
	uint64_t syncing, syncing_term;	/* in flight */
	uint64_t durable;
	uint64_t proved;		/* at a start: the log itself tells that it had been durable up to here */
	struct buf gather;
	bool busy, dir_dirty, cut_dirty, dead, full;
	struct disk_op op;
	uint64_t bytes_since_snapshot;
	struct {
		bool on, again;		/* again: it changed while it was being written */
		bool waits;		/* on, and the disk was full: rlog_retry() writes it */
		int file;
		char tmp[RLOG_PATH_MAX], path[RLOG_PATH_MAX];
		struct disk_op op;
	} vote;
	uint64_t snaps[2];		/* durable ones, newest first; 0: none */
	struct {			/* the one being written */
		bool on;
		int file;
		uint8_t *p;
		uint64_t len, at, index;
		char tmp[RLOG_PATH_MAX], path[RLOG_PATH_MAX];
		struct disk_op op;
		bool syncing, synced;		/* synced, and not named yet: a vote is being written */
	} snap;
	struct rlog_image image;
	uint64_t cut_bytes;		/* torn tail cut at start, for the log */
	bool repaired;			/* damage was set aside at start */
	char damage[256];		/* what, in words */
};

/*
 * Opens the folder (made when missing), recovers and hands everything over. why: words for the user
 * after an error (E_FOREIGN, E_VERSION, E_DAMAGED, E_IO, ...).
 */
int rlog_open(struct rlog *l, struct disk *d, const struct rlog_config *conf, const struct rlog_load *load,
	      const struct rlog_events *ev, void *user, char *why, size_t why_cap) MUST_CHECK;
void rlog_close(struct rlog *l);
/* The cluster of a new folder is known now. */
int rlog_adopt(struct rlog *l, const char *cluster_id) MUST_CHECK;
/* Takes the mark of an import away: it is complete. */
int rlog_unmark(struct rlog *l) MUST_CHECK;
/* Gathers; the payload is copied. */
void rlog_append(struct rlog *l, const struct rlog_entry *e);
/* Drops the entries from `from` on; term: of the one before. */
void rlog_truncate(struct rlog *l, uint64_t from, uint64_t term);
/* Starts writing what was gathered, unless a sync is in flight (then it goes with the next one) or a vote
 * is being written (K6). */
void rlog_flush(struct rlog *l);
/* The disk was full: try again. */
void rlog_retry(struct rlog *l);
void rlog_vote_retry(struct rlog *l);
/* Term and vote; on_voted() when they are durable. */
void rlog_vote(struct rlog *l, uint64_t term, uint64_t voted_for, bool recovering);
/* Reads entries from f->index on (it is in the log, and written), about `bytes`, at least one. f->buf is
 * the caller's to free after done(). E_NOENT: not in the log any more; E_CRC: damaged. */
void rlog_fetch(struct rlog *l, struct rlog_fetch *f, uint64_t index, uint32_t bytes);
/* Starts writing an image (owned by rlog from now on). One at a time; rlog_snapshot_turn() goes on
 * with it: true while there is more to do. */
void rlog_snapshot(struct rlog *l, uint64_t index, uint64_t term, int64_t zxid, uint8_t *p, uint32_t len);
bool rlog_snapshot_turn(struct rlog *l);
/* The newest snapshot, to be sent: its file (the caller closes it) and what its head says. */
int rlog_snapshot_file(struct rlog *l, int *ret_file, struct rlog_image *ret) MUST_CHECK;

/* An image from the leader: begin (again with the same one: goes on), bytes in order, then on_image(). */
int rlog_image_begin(struct rlog *l, const struct rlog_image *what) MUST_CHECK;
int rlog_image_put(struct rlog *l, uint64_t off, const uint8_t *p, uint32_t n) MUST_CHECK;
/* After on_image(OK): its bytes (the caller frees), then the log gives way to it. */
int rlog_image_load(struct rlog *l, uint8_t **ret, uint32_t *ret_len) MUST_CHECK;
void rlog_image_install(struct rlog *l);
/* ... or it is not needed any more. */
void rlog_image_discard(struct rlog *l);

/* For recovery and the parts of rlog. */
void rlog_put_entry(struct buf *b, const struct rlog_entry *e, uint64_t durable);
/* OK, E_SHORT, E_CRC: no whole, good entry at p. *ret_gap: index - durable index of its time. */
int rlog_get_entry(const uint8_t *p, uint64_t len, struct rlog_entry *ret, uint64_t *ret_gap);
int rlog_recover(struct rlog *l, const struct rlog_load *load, char *why, size_t why_cap);
struct rlog_seg *rlog_seg_add(struct rlog *l, uint64_t first);
void rlog_seg_drop(struct rlog *l, uint32_t i);
void rlog_mark(struct rlog_seg *s, uint64_t index, uint64_t off);
void rlog_put_head(const struct rlog *l, uint8_t *p, const char magic[4], uint64_t first, uint64_t term,
		   int64_t zxid, uint64_t len);
int rlog_check_head(const struct rlog *l, const uint8_t *p, const char magic[4]);
int rlog_put(struct rlog *l, int file, const uint8_t *p, uint64_t len, uint64_t off);
int rlog_read_all(struct disk *d, const char *path, uint8_t **ret, uint64_t *ret_len);
void rlog_fatal(struct rlog *l, const char *what, int err);
int rlog_open_meta(struct rlog *l, const struct rlog_config *conf, char *why, size_t why_cap);
int rlog_load_vote(struct rlog *l, char *why, size_t cap);
int rlog_vote_now(struct rlog *l);
/* Gives a snapshot or an image that was synced its name, unless a vote is being written: then that calls it. */
void rlog_name_synced(struct rlog *l);
void rlog_drop_log(struct rlog *l);

#endif
