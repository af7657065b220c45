/* rlog_snap.c - images of the tree: written here, read for a peer, and taken from the leader. See rlog.h K4, K8. */
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "quorum/rlog.h"

#define WRITE_MAX (1u << 20)		/* bytes of an image a turn */

void rlog_snapshot(struct rlog *l, uint64_t index, uint64_t term, int64_t zxid, uint8_t *p, uint32_t len)
{
	uint8_t head[RLOG_SNAP_HEAD];

	must(!l->snap.on);
	snprintf(l->snap.tmp, sizeof l->snap.tmp, "%s/snap.new", l->dir);
	snprintf(l->snap.path, sizeof l->snap.path, "%s/snap-%020llu", l->dir, (unsigned long long)index);
	int err = l->disk->calls->open(l->disk, l->snap.tmp, DISK_CREATE | DISK_TRUNC, &l->snap.file);

	if (!err) {
		rlog_put_head(l, head, "MQSN", index, term, zxid, len);
		be32_put(head + RLOG_SEGMENT_HEAD, crc32c(0, p, len));
		err = rlog_put(l, l->snap.file, head, sizeof head, 0);
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
	while (n-- > 0)
		rlog_seg_drop(l, 0);
}

static void on_snap_dir(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, snap.op));
	char old[RLOG_PATH_MAX];

	if (err) {
		rlog_fatal(l, "syncing the data folder", err);
		return;
	}
	if (l->snap.index <= l->snaps[0]) {	/* an image from the leader was faster */
		(void)l->disk->calls->unlink(l->disk, l->snap.path);
		snap_end(l);
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

/* K6: not while a vote is being written; the end of that calls it. */
static void name_it(struct rlog *l, bool *synced, const char *from, const char *to, struct disk_op *op,
		    void (*done)(struct disk_op *op, int err))
{
	if (!*synced || l->vote.on)
		return;
	*synced = false;
	int err = l->disk->calls->rename(l->disk, from, to);

	if (err) {
		rlog_fatal(l, "naming a snapshot", err);
		return;
	}
	*op = (struct disk_op){ .what = DISK_SYNC_DIR, .path = l->dir, .done = done };
	l->disk->calls->submit(l->disk, op);
}

static void on_snap_sync(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, snap.op));

	l->disk->calls->close(l->disk, l->snap.file);
	if (err) {
		rlog_fatal(l, "writing a snapshot", err);
		return;
	}
	l->snap.synced = true;
	rlog_name_synced(l);
}

bool rlog_snapshot_turn(struct rlog *l)
{
	if (!l->snap.on || l->snap.syncing || l->dead)
		return false;
	uint64_t n = l->snap.len - l->snap.at < WRITE_MAX ? l->snap.len - l->snap.at : WRITE_MAX;
	int err = rlog_put(l, l->snap.file, l->snap.p + l->snap.at, n, RLOG_SNAP_HEAD + l->snap.at);

	if (err) {
		l->disk->calls->close(l->disk, l->snap.file);
		(void)l->disk->calls->unlink(l->disk, l->snap.tmp);
		snap_end(l);
		if (err != E_NOSPC)
			rlog_fatal(l, "writing a snapshot", err);
		return false;
	}
	l->snap.at += n;
	if (l->snap.at < l->snap.len)
		return true;
	l->snap.syncing = true;
	l->snap.op = (struct disk_op){ .what = mutant(SNAPSHOT_UNSYNCED) ? DISK_WARM : DISK_SYNC, .file = l->snap.file,
		.done = on_snap_sync };
	l->disk->calls->submit(l->disk, &l->snap.op);
	return false;
}

int rlog_snapshot_file(struct rlog *l, int *ret_file, struct rlog_image *ret)
{
	char path[RLOG_PATH_MAX];
	uint8_t head[RLOG_SNAP_HEAD];
	size_t got = 0;
	int file;

	if (l->snaps[0] == 0)
		return E_NOENT;
	snprintf(path, sizeof path, "%s/snap-%020llu", l->dir, (unsigned long long)l->snaps[0]);
	int err = l->disk->calls->open(l->disk, path, DISK_RDONLY, &file);

	if (err)
		return err;
	err = l->disk->calls->pread(l->disk, file, head, sizeof head, 0, &got);
	if (!err)
		err = got < sizeof head ? E_DAMAGED : rlog_check_head(l, head, "MQSN");
	if (err) {
		l->disk->calls->close(l->disk, file);
		return err;
	}
	*ret = (struct rlog_image){
		.index = be64_get(head + 38), .term = be64_get(head + 46), .bytes = be32_get(head + 12),
		.zxid = (int64_t)((uint64_t)be16_get(head + 54) << 32 | be32_get(head + 56)),
		.crc = be32_get(head + RLOG_SEGMENT_HEAD),
	};
	*ret_file = file;
	return OK;
}

/* ---- an image that comes ---- */

static int image_head(struct rlog *l)
{
	struct rlog_image *im = &l->image;
	uint8_t head[RLOG_SNAP_HEAD];

	rlog_put_head(l, head, "MQSN", im->index, im->term, im->zxid, im->bytes);
	be32_put(head + RLOG_SEGMENT_HEAD, im->crc);
	return rlog_put(l, im->file, head, sizeof head, 0);
}

static void image_drop(struct rlog *l)
{
	if (!l->image.on)
		return;
	l->disk->calls->close(l->disk, l->image.file);
	(void)l->disk->calls->unlink(l->disk, l->image.path);
	l->image.on = false;
}

int rlog_image_begin(struct rlog *l, const struct rlog_image *what)
{
	struct rlog_image *im = &l->image;

	if (im->busy)
		return E_AGAIN;
	if (im->on && im->index == what->index && im->term == what->term && im->bytes == what->bytes &&
		im->crc == what->crc)
		return OK;			/* goes on at im->have */
	image_drop(l);
	*im = (struct rlog_image){ .index = what->index, .term = what->term, .bytes = what->bytes, .zxid = what->zxid,
				   .crc = what->crc };
	snprintf(im->path, sizeof im->path, "%s/image-%020llu", l->dir, (unsigned long long)im->index);
	snprintf(im->final, sizeof im->final, "%s/snap-%020llu", l->dir, (unsigned long long)im->index);
	int err = l->disk->calls->open(l->disk, im->path, DISK_CREATE | DISK_TRUNC, &im->file);

	if (err)
		return err;
	im->on = true;
	err = image_head(l);
	if (err)
		image_drop(l);
	return err;
}

static void on_image_dir(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, image.op));

	l->image.on = l->image.busy = false;
	if (err)
		rlog_fatal(l, "syncing the data folder", err);
	else
		l->ev->on_image(l->user, OK);
}

void rlog_name_synced(struct rlog *l)
{
	name_it(l, &l->snap.synced, l->snap.tmp, l->snap.path, &l->snap.op, on_snap_dir);
	name_it(l, &l->image.synced, l->image.path, l->image.final, &l->image.op, on_image_dir);
}

static void on_image_sync(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, image.op));

	l->disk->calls->close(l->disk, l->image.file);
	l->image.file = -1;
	if (err) {
		rlog_fatal(l, "writing an image from the leader", err);
		return;
	}
	l->image.synced = true;
	rlog_name_synced(l);
}

int rlog_image_put(struct rlog *l, uint64_t off, const uint8_t *p, uint32_t n)
{
	struct rlog_image *im = &l->image;

	if (!im->on || im->busy || off != im->have || n > im->bytes - im->have)
		return E_RANGE;
	int err = rlog_put(l, im->file, p, n, RLOG_SNAP_HEAD + off);

	if (err) {
		image_drop(l);
		return err;
	}
	im->crc_have = crc32c(im->crc_have, p, n);
	im->have += n;
	if (im->have < im->bytes)
		return OK;
	if (im->crc_have != im->crc) {
		image_drop(l);
		return E_CRC;
	}
	im->busy = true;
	im->op = (struct disk_op){ .what = mutant(IMAGE_UNSYNCED) ? DISK_WARM : DISK_SYNC, .file = im->file,
		.done = on_image_sync };
	l->disk->calls->submit(l->disk, &im->op);
	return OK;
}

int rlog_image_load(struct rlog *l, uint8_t **ret, uint32_t *ret_len)
{
	uint64_t len = 0;
	uint8_t *p = NULL;
	int err = rlog_read_all(l->disk, l->image.final, &p, &len);

	if (!err && len != RLOG_SNAP_HEAD + l->image.bytes)
		err = E_DAMAGED;
	if (!err) {
		memmove(p, p + RLOG_SNAP_HEAD, l->image.bytes);
		*ret = p;
		*ret_len = (uint32_t)l->image.bytes;
		return OK;
	}
	mem_free(p);
	return err;
}

void rlog_image_discard(struct rlog *l)
{
	if (l->image.index != l->snaps[0] && l->image.index != l->snaps[1])
		(void)l->disk->calls->unlink(l->disk, l->image.final);
}

/* K8: the snapshot is durable; segments go newest first, so that what is left never has a gap. */
void rlog_image_install(struct rlog *l)
{
	uint64_t old[2] = { l->snaps[0], l->snaps[1] };

	if (l->nseg > 0)		/* also one that has no entry yet: it would have a gap behind its head */
		rlog_drop_log(l);
	buf_reset(&l->gather);
	l->snaps[0] = l->image.index;
	l->snaps[1] = 0;
	l->last = l->written = l->durable = l->image.index;
	l->last_term = l->written_term = l->image.term;
	l->syncing = l->syncing_term = 0;	/* of entries that are gone */
	l->bytes_since_snapshot = 0;
	for (int i = 0; i < 2; i++)
		if (old[i] > 0 && old[i] != l->image.index) {
			char path[RLOG_PATH_MAX];

			snprintf(path, sizeof path, "%s/snap-%020llu", l->dir, (unsigned long long)old[i]);
			(void)l->disk->calls->unlink(l->disk, path);
		}
}
