/* rlog.c - the way down: gather, write, sync, roll, cut, and back up for peers. Vote and meta: rlog_meta.c;
 * snapshots: rlog_snap.c; what a start finds: recover.c. */
#include "quorum/rlog.h"

#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/mutant.h"

#define GATHER_MAX ((size_t)1 << 30)
#define WRITE_MAX (1u << 20)		/* the port's limit of one pwritev */

/* [0] crc of the rest and the payload [4] payload bytes [8] index [16] term [24] zxid [32] type
 * [34] version [36] index - durable index when it was written */
void rlog_put_entry(struct buf *b, const struct rlog_entry *e, uint64_t durable)
{
	uint8_t *p = buf_room(b, RLOG_ENTRY_HEAD + (size_t)e->len);
	uint64_t gap = e->index - durable;

	must(p != NULL);
	be32_put(p + 4, e->len);
	be64_put(p + 8, e->index);
	be64_put(p + RLOG_ENTRY_TERM, e->term);
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
void rlog_put_head(const struct rlog *l, uint8_t *p, const char magic[4], uint64_t first, uint64_t term,
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

void rlog_fatal(struct rlog *l, const char *what, int err)
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

/* ---- segments ---- */

struct rlog_seg *rlog_seg_add(struct rlog *l, uint64_t first)
{
	if (l->nseg == l->seg_cap) {
		l->seg_cap = l->seg_cap ? l->seg_cap * 2 : 16;
		l->seg = mem_resize(l->seg, l->seg_cap * sizeof *l->seg);
	}
	struct rlog_seg *s = &l->seg[l->nseg++];

	*s = (struct rlog_seg){ .first = first };
	snprintf(s->path, sizeof s->path, "%s/log-%020llu", l->dir, (unsigned long long)first);
	return s;
}

void rlog_seg_drop(struct rlog *l, uint32_t i)
{
	mem_free(l->seg[i].mark);
	memmove(l->seg + i, l->seg + i + 1, (l->nseg - i - 1) * sizeof *l->seg);
	l->nseg--;
}

void rlog_mark(struct rlog_seg *s, uint64_t index, uint64_t off)
{
	if (s->nmarks > 0 && off - s->mark[s->nmarks - 1].off < RLOG_MARK_BYTES)
		return;
	if (s->nmarks == s->marks_cap) {
		s->marks_cap = s->marks_cap ? s->marks_cap * 2 : 16;
		s->mark = mem_resize(s->mark, s->marks_cap * sizeof *s->mark);
	}
	s->mark[s->nmarks++] = (struct rlog_mark){ index, off };
}

int rlog_put(struct rlog *l, int file, const uint8_t *p, uint64_t len, uint64_t off)
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

static void close_file(struct rlog *l)
{
	if (l->file < 0)
		return;
	if (l->busy && l->old_file < 0)		/* the sync in flight has it */
		l->old_file = l->file;
	else
		l->disk->calls->close(l->disk, l->file);
	l->file = -1;
}

static int roll(struct rlog *l, uint64_t first)
{
	uint8_t head[RLOG_SEGMENT_HEAD];

	must(l->written == l->durable);		/* nothing of the old segment is left unsynced */
	close_file(l);
	struct rlog_seg *s = rlog_seg_add(l, first);
	int err = l->disk->calls->open(l->disk, s->path, DISK_CREATE | DISK_TRUNC, &l->file);

	if (!err) {
		rlog_put_head(l, head, "MQLG", first, 0, 0, 0);
		err = rlog_put(l, l->file, head, sizeof head, 0);
	}
	if (err) {
		if (l->file >= 0) {
			l->disk->calls->close(l->disk, l->file);
			(void)l->disk->calls->unlink(l->disk, s->path);
		}
		l->file = -1;
		rlog_seg_drop(l, l->nseg - 1);
		return err;
	}
	l->disk->calls->reserve(l->disk, l->file, 0, RLOG_SEGMENT_BYTES);
	l->file_bytes = sizeof head;
	l->dir_dirty = true;
	return OK;
}

/* ---- writing ---- */

static void synced(struct rlog *l)
{
	l->busy = false;
	if (l->old_file >= 0) {
		l->disk->calls->close(l->disk, l->old_file);
		l->old_file = -1;
	}
	if (l->syncing > l->durable) {
		l->durable = l->syncing;
		l->ev->on_durable(l->user, l->syncing, l->syncing_term);
	}
	if (!l->dead)
		rlog_flush(l);
}

static void on_sync(struct disk_op *op, int err)
{
	struct rlog *l = (struct rlog *)(void *)((char *)op - offsetof(struct rlog, op));

	if (err) {
		rlog_fatal(l, "syncing the log", err);	/* K2 */
		return;
	}
	if (l->dir_dirty && !mutant(FOLDER_UNSYNCED)) {
		l->dir_dirty = false;
		l->op = (struct disk_op){ .what = DISK_SYNC_DIR, .path = l->dir, .done = on_sync };
		l->disk->calls->submit(l->disk, &l->op);
		return;
	}
	synced(l);
}

static void sync_file(struct rlog *l)
{
	if (mutant(LOG_UNSYNCED)) {
		l->busy = true;
		l->op = (struct disk_op){ .what = DISK_WARM, .file = l->file, .done = on_sync };
		l->disk->calls->submit(l->disk, &l->op);
		return;
	}
	l->busy = true;
	l->op = (struct disk_op){ .what = DISK_SYNC, .file = l->file, .done = on_sync };
	l->disk->calls->submit(l->disk, &l->op);
}

static void mark_gathered(struct rlog *l)
{
	struct rlog_seg *s = &l->seg[l->nseg - 1];

	for (uint64_t at = 0; at < l->gather.len; at += RLOG_ENTRY_HEAD + be32_get(l->gather.p + at + 4))
		rlog_mark(s, be64_get(l->gather.p + at + 8), l->file_bytes + at);
}

/* A full disk takes nothing now; what was half written is cut off, so that it can be written again. */
static void refused(struct rlog *l, const char *what, int err)
{
	if (err == E_NOSPC && l->file >= 0)
		err = l->disk->calls->truncate(l->disk, l->file, l->file_bytes) == OK ? E_NOSPC : E_IO;
	if (err == E_NOSPC)
		l->full = true;
	else
		rlog_fatal(l, what, err);
}

void rlog_flush(struct rlog *l)
{
	if (l->busy || l->dead || l->vote.on || l->full)
		return;
	if (l->cut_dirty) {			/* K7 */
		l->cut_dirty = false;
		if (l->file >= 0) {
			l->syncing = l->written;
			l->syncing_term = l->written_term;
			sync_file(l);
			return;
		}
	}
	if (l->gather.len == 0)
		return;
	int err = l->file < 0 || l->file_bytes >= RLOG_SEGMENT_BYTES ? roll(l, l->written + 1) : OK;

	if (err) {
		refused(l, "starting a log segment", err);
		return;
	}
	err = rlog_put(l, l->file, l->gather.p, l->gather.len, l->file_bytes);
	if (err) {
		refused(l, "writing the log", err);
		return;
	}
	mark_gathered(l);
	l->file_bytes += l->gather.len;
	l->bytes_since_snapshot += l->gather.len;
	if (l->gather.cap > 4u << 20)
		buf_release(&l->gather);
	buf_reset(&l->gather);
	l->written = l->syncing = l->last;
	l->written_term = l->syncing_term = l->last_term;
	sync_file(l);
}

void rlog_retry(struct rlog *l)
{
	l->full = false;
	rlog_vote_retry(l);
	rlog_flush(l);
}

/* ---- cutting ---- */

/* Where entry `index` begins in the last segment, which holds it or ends before it. */
static int find_end(struct rlog *l, uint64_t index, uint64_t *ret_off)
{
	struct rlog_seg *s = &l->seg[l->nseg - 1];
	uint64_t off = RLOG_SEGMENT_HEAD;
	uint8_t head[RLOG_ENTRY_HEAD];
	size_t got;

	for (uint32_t i = s->nmarks; i-- > 0;)
		if (s->mark[i].index <= index) {
			off = s->mark[i].off;
			break;
		}
	for (;;) {
		int err = l->disk->calls->pread(l->disk, l->file, head, sizeof head, off, &got);

		if (err)
			return err;
		if (got < sizeof head || be64_get(head + 8) >= index)
			break;
		off += RLOG_ENTRY_HEAD + (uint64_t)be32_get(head + 4);
	}
	*ret_off = off;
	return OK;
}

/* Newest first, each for good before the next: a gap would be damage. */
static int drop_segments(struct rlog *l, uint64_t from)
{
	int err = OK;

	while (!err && l->nseg > 0 && l->seg[l->nseg - 1].first >= from) {
		close_file(l);
		err = l->disk->calls->unlink(l->disk, l->seg[l->nseg - 1].path);
		if (!err)
			err = l->disk->calls->sync_dir(l->disk, l->dir);
		rlog_seg_drop(l, l->nseg - 1);
	}
	return err;
}

static int cut_file(struct rlog *l, uint64_t from)
{
	uint64_t off = 0;
	int err = drop_segments(l, from);

	if (err || l->nseg == 0)
		return err;
	if (l->file < 0)
		err = l->disk->calls->open(l->disk, l->seg[l->nseg - 1].path, 0, &l->file);
	if (!err)
		err = find_end(l, from, &off);
	if (!err)
		err = l->disk->calls->truncate(l->disk, l->file, off);
	struct rlog_seg *s = &l->seg[l->nseg - 1];

	while (s->nmarks > 0 && s->mark[s->nmarks - 1].off >= off)
		s->nmarks--;
	l->file_bytes = off;
	l->cut_dirty = true;
	return err;
}

void rlog_drop_log(struct rlog *l)
{
	int err = drop_segments(l, 0);

	if (err)
		rlog_fatal(l, "dropping the log", err);
	close_file(l);
	l->cut_dirty = false;
}

void rlog_truncate(struct rlog *l, uint64_t from, uint64_t term)
{
	must(from > 0 && from <= l->last);
	if (from > l->written) {
		uint64_t at = 0;

		while (at < l->gather.len && be64_get(l->gather.p + at + 8) < from)
			at += RLOG_ENTRY_HEAD + be32_get(l->gather.p + at + 4);
		l->gather.len = at;
	} else {
		buf_reset(&l->gather);
		int err = cut_file(l, from);

		if (err) {
			rlog_fatal(l, "cutting the log", err);
			return;
		}
		l->written = from - 1;
		l->written_term = term;
	}
	l->last = from - 1;
	l->last_term = term;
	if (l->syncing >= from) {		/* what the sync in flight says is true of what is left */
		l->syncing = from - 1;
		l->syncing_term = term;
	}
	if (l->durable >= from)
		l->durable = from - 1;
}

/* ---- reading back ---- */

static void fetch_end(struct rlog_fetch *f, int err)
{
	f->l->disk->calls->close(f->l->disk, f->file);
	f->done(f, err);
}

static void fetch_read(struct rlog_fetch *f);

static void on_fetched(struct disk_op *op, int err)
{
	struct rlog_fetch *f = (struct rlog_fetch *)op;
	struct rlog_entry e;
	uint64_t gap, expect = 0;
	uint32_t at = 0;

	if (err) {
		fetch_end(f, err);
		return;
	}
	for (f->from = UINT32_MAX; at < op->ret_len;) {
		err = rlog_get_entry(f->buf + at, op->ret_len - at, &e, &gap);
		if (err == E_SHORT || (err && f->from != UINT32_MAX))	/* the tail may be being written */
			break;
		if (err || (expect > 0 && e.index != expect)) {
			fetch_end(f, E_CRC);
			return;
		}
		if (e.index == f->index)
			f->from = at;
		expect = e.index + 1;
		at += RLOG_ENTRY_HEAD + e.len;
	}
	f->len = at;
	if (f->from != UINT32_MAX) {
		fetch_end(f, OK);
	} else if (expect > f->index || op->ret_len < f->cap) {
		fetch_end(f, E_NOENT);		/* it was cut meanwhile */
	} else {				/* one entry is larger than what was read, or the mark was far away */
		f->off += at;
		if (at == 0) {
			f->cap = RLOG_ENTRY_MAX + RLOG_ENTRY_HEAD;
			f->buf = mem_resize(f->buf, f->cap);
		}
		fetch_read(f);
	}
}

static void fetch_read(struct rlog_fetch *f)
{
	f->op = (struct disk_op){ .what = DISK_READ, .file = f->file, .off = f->off, .buf = f->buf, .len = f->cap,
				  .done = on_fetched };
	f->l->disk->calls->submit(f->l->disk, &f->op);
}

void rlog_fetch(struct rlog *l, struct rlog_fetch *f, uint64_t index, uint32_t bytes)
{
	uint32_t i = l->nseg;

	must(index > 0 && index <= l->written);
	while (i > 0 && l->seg[i - 1].first > index)
		i--;
	f->l = l;
	f->index = index;
	f->cap = bytes;
	f->buf = mem_alloc(bytes);
	f->off = RLOG_SEGMENT_HEAD;
	f->file = -1;
	int err = i == 0 ? E_NOENT : l->disk->calls->open(l->disk, l->seg[i - 1].path, DISK_RDONLY, &f->file);

	for (uint32_t k = err ? 0 : l->seg[i - 1].nmarks; k-- > 0;)
		if (l->seg[i - 1].mark[k].index <= index) {
			f->off = l->seg[i - 1].mark[k].off;
			break;
		}
	if (err)
		f->done(f, err);
	else
		fetch_read(f);
}

/* ---- open, close ---- */

void rlog_close(struct rlog *l)
{
	if (l->file >= 0)
		l->disk->calls->close(l->disk, l->file);
	if (l->old_file >= 0)
		l->disk->calls->close(l->disk, l->old_file);
	if (l->image.on && l->image.file >= 0)
		l->disk->calls->close(l->disk, l->image.file);
	mem_free(l->snap.p);
	buf_release(&l->gather);
	while (l->nseg > 0)
		rlog_seg_drop(l, l->nseg - 1);
	mem_free(l->seg);
}

/* The data folder's own name, each time, since a death may have come before it. Only who made the folder
 * must be able to. */
static int sync_parent(struct disk *d, const char *dir, bool made, char *why, size_t why_cap)
{
	char parent[RLOG_DIR_MAX];
	char *slash;

	memcpy(parent, dir, strlen(dir) + 1);
	slash = strrchr(parent, '/');
	if (slash)
		slash[slash == parent] = 0;
	int err = d->calls->sync_dir(d, slash ? parent : ".");

	if (!err || !made)
		return OK;
	snprintf(why, why_cap, "cannot sync the folder that %s lies in: %s", dir, err_text(err));
	return err;
}

/* As ZooKeeper does with dataDir. WHY no error of mkdir: the folder itself tells. */
static int make_parents(struct disk *d, const char *dir, char *why, size_t why_cap)
{
	char part[RLOG_DIR_MAX];
	int err = OK;

	for (size_t i = 1; dir[i] && !err; i++)
		if (dir[i] == '/') {
			memcpy(part, dir, i);
			part[i] = 0;
			err = sync_parent(d, part, d->calls->mkdir(d, part) == OK, why, why_cap);
		}
	return err;
}

int rlog_open(struct rlog *l, struct disk *d, const struct rlog_config *conf, const struct rlog_load *load,
	      const struct rlog_events *ev, void *user, char *why, size_t why_cap)
{
	*l = (struct rlog){ .disk = d, .ev = ev, .user = user, .file = -1, .old_file = -1, .node_id = conf->node_id };
	buf_init(&l->gather, GATHER_MAX);
	why[0] = 0;
	if (strlen(conf->dir) >= RLOG_DIR_MAX) {
		snprintf(why, why_cap, "data folder: name too long");
		return E_LIMIT;
	}
	memcpy(l->dir, conf->dir, strlen(conf->dir) + 1);
	int err = make_parents(d, conf->dir, why, why_cap);

	if (err)
		return err;
	err = d->calls->mkdir(d, conf->dir);
	bool made = err == OK;

	if (err && err != E_EXIST) {
		snprintf(why, why_cap, "cannot make the data folder %s: %s", conf->dir, err_text(err));
		return err;
	}
	err = rlog_open_meta(l, conf, why, why_cap);
	if (!err)
		err = sync_parent(d, conf->dir, made, why, why_cap);
	if (!err)
		err = rlog_recover(l, load, why, why_cap);
	l->starts++;
	if (!err && l->cluster_id[0]) {
		err = rlog_vote_now(l);
		if (err)
			snprintf(why, why_cap, "%s/vote: %s", l->dir, err_text(err));
	}
	return err;
}
