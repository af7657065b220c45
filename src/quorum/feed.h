/*
 * feed.h - the last changes of the tree in memory, bounded: what a subscriber resumes from.
 *
 * Entries are numbered by `seq`. Everything with a zxid above feed_floor() is there; who asks for
 * older changes gets a snapshot instead.
 */
#ifndef QUORUM_FEED_H
#define QUORUM_FEED_H

#include "coord/coord.h"

#define FEED_BYTES_MAX (2u << 20)

struct feed_change {
	bool deleted, secret;		/* secret: not for everybody */
	struct str path;
	struct bytes value;
	int32_t version;
	int64_t czxid, mzxid, owner;
};

struct feed_entry {
	int64_t zxid;
	uint32_t n, bytes;
	struct feed_change *v;		/* with paths and values behind it, one block */
};

struct feed {
	struct feed_entry *ring;	/* cap is a power of two; entry of seq is ring[seq & (cap - 1)] */
	uint32_t cap;
	uint64_t first, next;		/* seqs */
	uint64_t bytes;
	int64_t floor;
};

/* Everybody may read what has these rights and is (not) the system's secret. */
bool feed_public(bool secret, const struct coord_acl *acl);
void feed_init(struct feed *f, int64_t floor);
void feed_release(struct feed *f);
void feed_add(struct feed *f, int64_t zxid, const struct coord_change *v, uint32_t n);
/* The first entry with a zxid above from; false: it may have been dropped, take a snapshot. */
bool feed_seek(const struct feed *f, int64_t from, uint64_t *ret_seq);
/* NULL: seq is not there (yet, or any more). */
const struct feed_entry *feed_at(const struct feed *f, uint64_t seq);

#endif
