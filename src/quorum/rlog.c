/* rlog.c - the way down: gather, write, sync, roll, vote, snapshots. Recovery is in recover.c. */
#include "quorum/rlog.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"

#define GATHER_MAX ((size_t)1 << 30)
#define WRITE_MAX (1u << 20)		/* the port's limit of one pwritev */

/* [0] crc of the rest and the payload [4] payload bytes [8] index [16] term [24] zxid [32] type
 * [34] version [36] index - durable index when it was written */
static void rlog_put_entry(struct buf *b, const struct rlog_entry *e, uint64_t durable)
{
	uint8_t *p = buf_room(b, RLOG_ENTRY_HEAD + (size_t)e->len);
	uint64_t gap = e->index - durable;

	must(p != NULL);
	be32_put(p + 4, e->len);
	be64_put(p + 8, e->index);
	be64_put(p + 16, e->term);
	be64_put(p + 24, (uint64_t)e->zxid);
	be16_put(p + 32, e->type);
	be16_put(p + 34, e->version);
	be32_put(p + 36, gap > UINT32_MAX ? UINT32_MAX : (uint32_t)gap);
	if (e->len > 0)
		memcpy(p + RLOG_ENTRY_HEAD, e->p, e->len);
	be32_put(p, crc32c(0, p + 4, RLOG_ENTRY_HEAD - 4 + (size_t)e->len));
}

/* [0] magic [4] format [6] 0 [8] node id [12] bytes of the image [16] cluster id, 22 characters
 * [38] first index, index or vote [46] term [54] zxid, 48 bits [60] crc of the 60 bytes before */
static void rlog_put_head(const struct rlog *l, uint8_t *p, const char magic[4], uint64_t first, uint64_t term,
		   int64_t zxid, uint64_t len)
{
	memset(p, 0, RLOG_SEGMENT_HEAD);
	memcpy(p, magic, 4);
	be16_put(p + 4, RLOG_FORMAT);
	be16_put(p + 6, 0);
	be32_put(p + 8, l->node_id);
	be32_put(p + 12, (uint32_t)len);
	memcpy(p + 16, l->cluster_id, 22);
	be64_put(p + 38, first);
	be64_put(p + 46, term);
	/* 48 bits of zxid are 8,900 years at 1,000 a second */
	be16_put(p + 54, (uint16_t)(zxid >> 32));
	be32_put(p + 56, (uint32_t)zxid);
	be32_put(p + 60, crc32c(0, p, 60));
}

static void fatal(struct rlog *l, const char *what, int err)
{
	if (l->dead)
		return;
	l->dead = true;
	l->ev->on_fatal(l->user, what, err);
}

void rlog_append(struct rlog *l, const struct rlog_entry *e)
{
	must(e->index == l->last + 1);
	rlog_put_entry(&l->gather, e, l->durable);
	l->last = e->index;
	l->last_term = e->term;
}

void rlog_seg_add(struct rlog *l, uint64_t first)
{
	if (l->nseg == l->seg_cap) {
		l->seg_cap = l->seg_cap ? l->seg_cap * 2 : 16;
		l->seg = mem_resize(l->seg, l->seg_cap * sizeof *l->seg);
	}
	struct rlog_seg *s = &l->seg[l->nseg++];

	s->first = first;
	snprintf(s->path, sizeof s->path, "%s/log-%020llu", l->dir, (unsigned long long)first);
}

static int put(struct rlog *l, int file, const uint8_t *p, uint64_t len, uint64_t off)
{
	while (len > 0) {
		struct disk_piece v = { p, len < WRITE_MAX ? len : WRITE_MAX };
		int err = l->disk->calls->pwritev(l->disk, file, &v, 1, off);

		if (err)
			return err;
		p += v.len;
		off += v.len;
		len -= v.len;
	}
	return OK;
}

static int roll(struct rlog *l, uint64_t first)
{
	uint8_t head[RLOG_SEGMENT_HEAD];

	must(l->written == l->durable);		/* nothing of the old segment is left unsynced */
	if (l->file >= 0)
		l->disk->calls->close(l->disk, l->file);
	l->file = -1;
	rlog_seg_add(l, first);
	int err = l->disk->calls->open(l->disk, l->seg[l->nseg - 1].path, DISK_CREATE | DISK_TRUNC, &l->file);

	if (err)
		return err;
	rlog_put_head(l, head, "MQLG", first, 0, 0, 0);
	err = put(l, l->file, head, sizeof head, 0);
	if (err)
		return err;
	l->disk->calls->reserve(l->disk, l->file, 0, RLOG_SEGMENT_BYTES);
	l->file_bytes = sizeof head;
	l->dir_dirty = true;
	return OK;
}

static void synced(struct rlog *l)
{
	l->busy = false;
	l->durable = l->syncing;
	l->ev->on_durable(l->user, l->syncing, l->syncing_term);
	if (!l->dead)
		rlog_flush(l);
}

static void on_sync(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, op));

	if (err) {
		fatal(l, "syncing the log", err);	/* K2 */
		return;
	}
	if (l->dir_dirty) {
		l->dir_dirty = false;
		l->op = (struct disk_op){ .what = DISK_SYNC_DIR, .path = l->dir, .done = on_sync };
		l->disk->calls->submit(l->disk, &l->op);
		return;
	}
	synced(l);
}

void rlog_flush(struct rlog *l)
{
	if (l->busy || l->dead || l->gather.len == 0)
		return;
	if (l->file < 0 || l->file_bytes >= RLOG_SEGMENT_BYTES) {
		int err = roll(l, l->written + 1);

		if (err) {
			fatal(l, "starting a log segment", err);
			return;
		}
	}
	int err = put(l, l->file, l->gather.p, l->gather.len, l->file_bytes);

	if (err) {
		fatal(l, "writing the log", err);
		return;
	}
	l->file_bytes += l->gather.len;
	l->bytes_since_snapshot += l->gather.len;
	if (l->gather.cap > 4u << 20)
		buf_release(&l->gather);
	buf_reset(&l->gather);
	l->written = l->syncing = l->last;
	l->written_term = l->syncing_term = l->last_term;
	l->busy = true;
	l->op = (struct disk_op){ .what = DISK_SYNC, .file = l->file, .done = on_sync };
	l->disk->calls->submit(l->disk, &l->op);
}

int rlog_vote(struct rlog *l, uint64_t term, uint32_t voted_for)
{
	uint8_t p[RLOG_SEGMENT_HEAD + 8];
	char tmp[RLOG_DIR_MAX + 16], path[RLOG_DIR_MAX + 16];
	int file, err;

	rlog_put_head(l, p, "MQVT", voted_for, term, 0, 0);
	memset(p + RLOG_SEGMENT_HEAD, 0, 8);
	snprintf(tmp, sizeof tmp, "%s/vote.new", l->dir);
	snprintf(path, sizeof path, "%s/vote", l->dir);
	err = l->disk->calls->open(l->disk, tmp, DISK_CREATE | DISK_TRUNC, &file);
	if (err)
		return err;
	err = put(l, file, p, sizeof p, 0);
	if (!err)
		err = l->disk->calls->sync(l->disk, file);
	l->disk->calls->close(l->disk, file);
	if (!err)
		err = l->disk->calls->rename(l->disk, tmp, path);
	if (!err)
		err = l->disk->calls->sync_dir(l->disk, l->dir);
	if (!err) {
		l->term = term;
		l->voted_for = voted_for;
	}
	return err;
}

/* ---- snapshots ---- */

void rlog_snapshot(struct rlog *l, uint64_t index, uint64_t term, int64_t zxid, uint8_t *p, uint32_t len)
{
	uint8_t head[RLOG_SEGMENT_HEAD + 4];

	must(!l->snap.on);
	snprintf(l->snap.tmp, sizeof l->snap.tmp, "%s/snap.new", l->dir);
	snprintf(l->snap.path, sizeof l->snap.path, "%s/snap-%020llu", l->dir, (unsigned long long)index);
	int err = l->disk->calls->open(l->disk, l->snap.tmp, DISK_CREATE | DISK_TRUNC, &l->snap.file);

	if (!err) {
		rlog_put_head(l, head, "MQSN", index, term, zxid, len);
		be32_put(head + RLOG_SEGMENT_HEAD, crc32c(0, p, len));
		err = put(l, l->snap.file, head, sizeof head, 0);
		if (err)
			l->disk->calls->close(l->disk, l->snap.file);
	}
	if (err) {		/* no snapshot now: the log goes on, the next one is tried later */
		mem_free(p);
		l->bytes_since_snapshot = 0;
		return;
	}
	l->snap.on = true;
	l->snap.syncing = false;
	l->snap.p = p;
	l->snap.len = len;
	l->snap.at = 0;
	l->snap.index = index;
	l->bytes_since_snapshot = 0;
}

static void snap_end(struct rlog *l)
{
	mem_free(l->snap.p);
	l->snap.p = NULL;
	l->snap.on = l->snap.syncing = false;
}

/* K4: the log is kept from the older snapshot on. */
static void drop_old(struct rlog *l)
{
	uint64_t keep = l->snaps[1];
	uint32_t n = 0;

	while (n + 1 < l->nseg && l->seg[n + 1].first <= keep + 1 && keep > 0) {
		if (l->disk->calls->unlink(l->disk, l->seg[n].path) != OK)
			break;
		n++;
	}
	if (n > 0)
		memmove(l->seg, l->seg + n, (l->nseg - n) * sizeof *l->seg);
	l->nseg -= n;
}

static void on_snap_dir(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, snap.op));
	char old[RLOG_DIR_MAX + 40];

	if (err) {
		fatal(l, "syncing the data folder", err);
		return;
	}
	if (l->snaps[1] > 0) {
		snprintf(old, sizeof old, "%s/snap-%020llu", l->dir, (unsigned long long)l->snaps[1]);
		(void)l->disk->calls->unlink(l->disk, old);
	}
	l->snaps[1] = l->snaps[0];
	l->snaps[0] = l->snap.index;
	drop_old(l);
	snap_end(l);
	l->ev->on_snapshot(l->user, l->snaps[0]);
}

static void on_snap_sync(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, snap.op));

	l->disk->calls->close(l->disk, l->snap.file);
	if (!err)
		err = l->disk->calls->rename(l->disk, l->snap.tmp, l->snap.path);
	if (err) {
		fatal(l, "writing a snapshot", err);
		return;
	}
	l->snap.op = (struct disk_op){ .what = DISK_SYNC_DIR, .path = l->dir, .done = on_snap_dir };
	l->disk->calls->submit(l->disk, &l->snap.op);
}

bool rlog_snapshot_turn(struct rlog *l)
{
	if (!l->snap.on || l->snap.syncing || l->dead)
		return false;
	uint64_t n = l->snap.len - l->snap.at < WRITE_MAX ? l->snap.len - l->snap.at : WRITE_MAX;
	int err = put(l, l->snap.file, l->snap.p + l->snap.at, n, RLOG_SEGMENT_HEAD + 4 + l->snap.at);

	if (err) {
		l->disk->calls->close(l->disk, l->snap.file);
		(void)l->disk->calls->unlink(l->disk, l->snap.tmp);
		snap_end(l);
		if (err != E_NOSPC)
			fatal(l, "writing a snapshot", err);
		return false;
	}
	l->snap.at += n;
	if (l->snap.at < l->snap.len)
		return true;
	l->snap.syncing = true;
	l->snap.op = (struct disk_op){ .what = DISK_SYNC, .file = l->snap.file, .done = on_snap_sync };
	l->disk->calls->submit(l->disk, &l->snap.op);
	return false;
}

void rlog_close(struct rlog *l)
{
	if (l->file >= 0)
		l->disk->calls->close(l->disk, l->file);
	if (l->snap.on)
		snap_end(l);
	buf_release(&l->gather);
	mem_free(l->seg);
}

int rlog_open(struct rlog *l, struct disk *d, const char *dir, char *cluster_id, bool cluster_given,
	      uint32_t node_id, const struct rlog_load *load, const struct rlog_events *ev, void *user,
	      char *why, size_t why_cap)
{
	char path[RLOG_DIR_MAX + 16], text[512], want[512];
	unsigned format = 0, node = 0;
	char cluster[64] = "";
	size_t got = 0;
	int file, err;

	*l = (struct rlog){ .disk = d, .ev = ev, .user = user, .file = -1, .node_id = node_id,
			    .voted_for = UINT32_MAX };
	buf_init(&l->gather, GATHER_MAX);
	why[0] = 0;
	if (strlen(dir) >= RLOG_DIR_MAX) {
		snprintf(why, why_cap, "data folder: name too long");
		return E_LIMIT;
	}
	memcpy(l->dir, dir, strlen(dir) + 1);
	err = d->calls->mkdir(d, dir);
	if (err && err != E_EXIST) {
		snprintf(why, why_cap, "cannot make the data folder %s: %s", dir, err_text(err));
		return err;
	}
	snprintf(path, sizeof path, "%s/meta", dir);
	err = d->calls->open(d, path, DISK_RDONLY, &file);
	if (err == OK) {
		err = d->calls->pread(d, file, text, sizeof text - 1, 0, &got);
		d->calls->close(d, file);
		text[got] = 0;
		if (err || sscanf(text, "format=%u\ncluster.id=%63s\nnode.id=%u\n", &format, cluster, &node) != 3) {
			snprintf(why, why_cap, "%s is not a meta file of moldau-quorum", path);
			return E_DAMAGED;
		}
		if (format != RLOG_FORMAT) {
			snprintf(why, why_cap, "%s has format %u, this program knows %u", dir, format, RLOG_FORMAT);
			return E_VERSION;
		}
		if (node != node_id || (cluster_given && strcmp(cluster, cluster_id) != 0)) {
			snprintf(why, why_cap, "%s belongs to node %u of cluster %s, not to node %u of cluster %s",
				 dir, node, cluster, node_id, cluster_given ? cluster_id : cluster);
			return E_FOREIGN;
		}
		if (strlen(cluster) != 22) {
			snprintf(why, why_cap, "%s: bad cluster id", path);
			return E_DAMAGED;
		}
		memcpy(cluster_id, cluster, 23);
	} else if (err == E_NOENT) {
		char tmp[RLOG_DIR_MAX + 16];

		snprintf(want, sizeof want, "format=%u\ncluster.id=%s\nnode.id=%u\n", RLOG_FORMAT, cluster_id, node_id);
		snprintf(tmp, sizeof tmp, "%s/meta.new", dir);
		err = d->calls->open(d, tmp, DISK_CREATE | DISK_TRUNC, &file);
		if (err == OK) {
			err = put(l, file, (const uint8_t *)want, strlen(want), 0);
			if (!err)
				err = d->calls->sync(d, file);
			d->calls->close(d, file);
		}
		if (!err)
			err = d->calls->rename(d, tmp, path);
		if (!err)
			err = d->calls->sync_dir(d, dir);
	}
	if (err) {
		snprintf(why, why_cap, "%s: %s", path, err_text(err));
		return err;
	}
	memcpy(l->cluster_id, cluster_id, 23);
	return rlog_recover(l, load, why, why_cap);
}
