/*
 * import.h - the files of a ZooKeeper (3.4 to 3.9) become a tree: a snapshot, then its transaction logs.
 *
 * Is: the formats of snapshot.* and log.* (FileSnap, FileTxnLog of 3.9.5) over memory, and ZooKeeper's rules of replay
 * (DataTree.processTxn). A snapshot is fuzzy: it was written while transactions went on, so it may hold effects of
 * some that the log brings again. Is not: finding, reading and unpacking files (quorum/zk_import.c).
 *
 * Kept: values, rights, every field of Stat, the next sequence numbers, containers, TTL nodes, quotas (their counts are
 * made anew), sessions with ZooKeeper's own passwords and with their ephemerals. Not kept: /zookeeper/config, which
 * tells of servers that are no more: it is empty, as in a new quorum.
 *
 * Invariants
 *   I1  a transaction counts once, in the order of zxids; nothing is applied of one that cannot be read to its end
 *   I2  effects that are there already change nothing, whatever the snapshot holds of them; in particular a parent's
 *       cversion and pzxid never go back
 *   I3  what coord_import_end() hands out is a tree that coord_load() takes: C1, C3, C4 hold, limits too
 */
#ifndef COORD_IMPORT_H
#define COORD_IMPORT_H

#include "coord/coord.h"

enum import_digest { IMPORT_DIGEST_NONE, IMPORT_DIGEST_SAME, IMPORT_DIGEST_DIFFERS };

struct import_stats {
	int64_t zxid;			/* of the last transaction */
	uint64_t transactions;		/* applied on top of the snapshot */
	uint32_t sessions, ended;	/* taken over; ephemerals' sessions that were gone, whose ephemerals went too */
	enum import_digest digest;	/* the tree's, compared with the one that ZooKeeper logged last */
};

struct coord_import;

struct coord_import *import_new(void);
void import_free(struct coord_import *im);	/* NULL is fine */
/*
 * The plain bytes of a snapshot; zxid: of its name. What was taken in before is dropped. E_DAMAGED, E_VERSION with
 * words in why (the byte): im is empty then, and an older one may be tried.
 */
int import_snapshot(struct coord_import *im, int64_t zxid, const uint8_t *p, uint64_t len, char *why,
		    size_t cap) MUST_CHECK;
int64_t import_zxid(const struct coord_import *im);	/* what is newer is needed of the logs */
/*
 * The bytes of a transaction log; logs come in the order of the zxids of their names. What is not newer than the tree
 * is passed over. The log ends where ZooKeeper ends it: at zeros, or at a transaction that was cut off. E_DAMAGED: a
 * wrong checksum, a whole transaction behind that end, or transactions that are missing before this log. E_VERSION: a
 * kind of transaction that is not known.
 */
int import_log(struct coord_import *im, const uint8_t *p, uint64_t len, char *why, size_t cap) MUST_CHECK;
/*
 * After the last log: sessions, quotas and limits; the tree is the caller's (coord_free()). zxid_min: the tree's zxid
 * is not below it (a newer epoch may have begun without a transaction). E_LIMIT, E_EXIST: what cannot be kept, and why.
 */
int import_end(struct coord_import *im, int64_t zxid_min, const struct coord_rules *rules, struct coord **ret,
	       struct import_stats *ret_stats, char *why, size_t cap) MUST_CHECK;

#endif
