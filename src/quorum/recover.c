/* recover.c - what a start finds in the data folder: newest good snapshot, log, torn tail. See rlog.h K3. */
#include "quorum/rlog.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/mutant.h"

#define SEGMENT_FILE_MAX (256u << 20)

int rlog_get_entry(const uint8_t *p, uint64_t len, struct rlog_entry *ret, uint64_t *ret_gap)
{
	if (len < RLOG_ENTRY_HEAD)
		return E_SHORT;
	uint32_t n = be32_get(p + 4);

	if (n > RLOG_ENTRY_MAX)
		return E_CRC;
	if (len - RLOG_ENTRY_HEAD < n)
		return E_SHORT;
	if (crc32c(0, p + 4, RLOG_ENTRY_HEAD - 4 + (size_t)n) != be32_get(p) && !mutant(TAIL_UNCHECKED))
		return E_CRC;
	*ret = (struct rlog_entry){ .index = be64_get(p + 8), .term = be64_get(p + 16),
				    .zxid = (int64_t)be64_get(p + 24), .type = be16_get(p + 32),
				    .version = be16_get(p + 34), .p = p + RLOG_ENTRY_HEAD, .len = n };
	*ret_gap = be32_get(p + 36);
	return OK;
}

int rlog_check_head(const struct rlog *l, const uint8_t *p, const char magic[4])
{
	if (memcmp(p, magic, 4) != 0 || be32_get(p + 60) != crc32c(0, p, 60))
		return E_CRC;
	if (be16_get(p + 4) != RLOG_FORMAT)
		return E_VERSION;
	if (be32_get(p + 8) != l->node_id || memcmp(p + 16, l->cluster_id, 22) != 0)
		return E_FOREIGN;
	return OK;
}

int rlog_read_all(struct disk *d, const char *path, uint8_t **ret, uint64_t *ret_len)
{
	uint64_t size = 0, at = 0;
	int file, err = d->calls->open(d, path, DISK_RDONLY, &file);

	if (err)
		return err;
	err = d->calls->size(d, file, &size);
	uint8_t *p = err ? NULL : mem_alloc(size);

	while (!err && at < size) {
		size_t got = 0;

		err = d->calls->pread(d, file, p + at, size - at, at, &got);
		if (got == 0)
			break;
		at += got;
	}
	d->calls->close(d, file);
	if (err) {
		mem_free(p);
		return err;
	}
	*ret = p;
	*ret_len = at;
	return OK;
}

struct found {
	uint64_t *log, *snap, *image;
	uint32_t nlog, nsnap, nimage, log_cap, snap_cap, image_cap;
};

static void found_add(uint64_t **v, uint32_t *n, uint32_t *cap, uint64_t x)
{
	if (*n == *cap) {
		*cap = *cap ? *cap * 2 : 16;
		*v = mem_resize(*v, *cap * sizeof **v);
	}
	uint32_t i = (*n)++;

	for (; i > 0 && (*v)[i - 1] > x; i--)
		(*v)[i] = (*v)[i - 1];
	(*v)[i] = x;
}

static bool number(const char *p, uint64_t *ret)
{
	uint64_t v = 0;

	if (strlen(p) != 20)
		return false;
	for (; *p; p++) {
		if (*p < '0' || *p > '9')
			return false;
		v = v * 10 + (uint64_t)(*p - '0');
	}
	*ret = v;
	return true;
}

static void on_name(void *ctx, const char *name)
{
	struct found *f = ctx;
	uint64_t x;

	if (!strncmp(name, "log-", 4) && number(name + 4, &x))
		found_add(&f->log, &f->nlog, &f->log_cap, x);
	if (!strncmp(name, "snap-", 5) && number(name + 5, &x))
		found_add(&f->snap, &f->nsnap, &f->snap_cap, x);
	if (!strncmp(name, "image-", 6) && number(name + 6, &x))
		found_add(&f->image, &f->nimage, &f->image_cap, x);
}

/* The newest image that is whole; older ones are tried in turn. */
static int load_snapshot(struct rlog *l, struct found *f, const struct rlog_load *load, char *why,
			 size_t cap)
{
	for (uint32_t i = f->nsnap; i-- > 0;) {
		char path[RLOG_PATH_MAX];
		uint8_t *p = NULL;
		uint64_t len = 0;
		uint32_t n = 0;

		snprintf(path, sizeof path, "%s/snap-%020llu", l->dir, (unsigned long long)f->snap[i]);
		int err = rlog_read_all(l->disk, path, &p, &len);

		if (!err)
			err = len < RLOG_SNAP_HEAD ? E_DAMAGED : rlog_check_head(l, p, "MQSN");
		if (!err) {
			n = be32_get(p + 12);
			if (len != RLOG_SNAP_HEAD + (uint64_t)n ||
			    crc32c(0, p + RLOG_SNAP_HEAD, n) != be32_get(p + RLOG_SEGMENT_HEAD))
				err = E_CRC;
		}
		if (!err) {
			int64_t zxid = (int64_t)((uint64_t)be16_get(p + 54) << 32 | be32_get(p + 56));

			err = load->snapshot(l->user, be64_get(p + 38), be64_get(p + 46), zxid,
					     p + RLOG_SNAP_HEAD, n);
			l->snaps[0] = l->last = l->written = l->durable = be64_get(p + 38);
			l->last_term = be64_get(p + 46);
			l->snaps[1] = i > 0 ? f->snap[i - 1] : 0;
			mem_free(p);
			if (err)
				snprintf(why, cap, "%s: %s", path, err_text(err));
			return err;
		}
		mem_free(p);
		if (err == E_FOREIGN || err == E_VERSION) {
			snprintf(why, cap, "%s: %s", path, err_text(err));
			return err;
		}
		snprintf(why, cap, "%s: %s", path, err_text(err));	/* said if the log has a gap, too */
	}
	return OK;
}

/* Do later bytes prove that entry `index` had been durable when they were written? */
static bool was_durable(const uint8_t *p, uint64_t len, uint64_t index)
{
	struct rlog_entry e;
	uint64_t gap;

	for (uint64_t at = 1; at + RLOG_ENTRY_HEAD <= len; at++) {
		uint64_t i = be64_get(p + at + 8);

		if (i <= index || i - index > 1u << 24)
			continue;
		if (rlog_get_entry(p + at, len - at, &e, &gap) == OK && e.index - gap >= index)
			return true;
	}
	return false;
}

static int cut(struct rlog *l, const char *path, uint64_t at, uint64_t len)
{
	int file, err = l->disk->calls->open(l->disk, path, 0, &file);

	if (err)
		return err;
	if (at < len) {
		l->cut_bytes += len - at;
		err = l->disk->calls->truncate(l->disk, file, at);
	}
	/* WHY always: a process that was killed leaves entries in the page cache only, and from now on
	 * they count as durable. */
	if (!err)
		err = l->disk->calls->sync(l->disk, file);
	l->file = file;
	l->file_bytes = at;
	return err;
}

/* What is there of the folder's newer log is of no use: it goes, newest first. */
static int drop_stale(struct rlog *l, const struct found *f)
{
	char path[RLOG_PATH_MAX];
	int err = OK;

	for (uint32_t i = f->nlog; !err && i-- > 0;) {
		snprintf(path, sizeof path, "%s/log-%020llu", l->dir, (unsigned long long)f->log[i]);
		err = l->disk->calls->unlink(l->disk, path);
		if (!err)
			err = l->disk->calls->sync_dir(l->disk, l->dir);
	}
	while (l->nseg > 0)
		rlog_seg_drop(l, l->nseg - 1);
	return err;
}

/* It ends before the snapshot: what comes next goes into a new one, or there would be a gap in it. */
static void end_segment(struct rlog *l)
{
	if (l->file >= 0)
		l->disk->calls->close(l->disk, l->file);
	l->file = -1;
}

static int copy_aside(struct rlog *l, const char *to, const uint8_t *p, uint64_t len)
{
	int file, err = l->disk->calls->open(l->disk, to, DISK_CREATE | DISK_TRUNC, &file);

	if (err)
		return err;
	err = rlog_put(l, file, p, len, 0);
	l->disk->calls->close(l->disk, file);
	return err;
}

/*
 * K3: damage, and peers to fetch from. First it is made durable that this log has lost entries, then what is
 * good of segment i stays and the rest is kept beside it under another name. joins: what stays reaches to l->last.
 */
static int set_aside(struct rlog *l, const struct found *f, uint32_t i, uint64_t good, bool joins)
{
	char path[RLOG_PATH_MAX], to[RLOG_PATH_MAX];
	uint8_t *p = NULL;
	uint64_t len = 0;

	l->recovering = l->repaired = true;
	int err = rlog_vote_now(l);

	for (uint32_t k = f->nlog; !err && k-- > i;) {
		snprintf(path, sizeof path, "%s/log-%020llu", l->dir, (unsigned long long)f->log[k]);
		snprintf(to, sizeof to, "%s/damaged-log-%020llu", l->dir, (unsigned long long)f->log[k]);
		if (k > i || good == 0) {
			err = l->disk->calls->rename(l->disk, path, to);
			if (!err)
				err = l->disk->calls->sync_dir(l->disk, l->dir);
			continue;
		}
		err = rlog_read_all(l->disk, path, &p, &len);
		if (!err)
			err = copy_aside(l, to, p, len);
		if (!err)
			err = cut(l, path, good, len);
		mem_free(p);
	}
	if (good == 0 && l->nseg > 0 && l->seg[l->nseg - 1].first == f->log[i])
		rlog_seg_drop(l, l->nseg - 1);
	if (!err && !joins && !mutant(SEGMENT_GAP))
		end_segment(l);
	return err;
}

/* *ret_good: with E_DAMAGED, the bytes before it; *ret_joins: they reach to l->last. E_CONFLICT: the log is older
 * than the snapshot (K8). */
static int load_entries(struct rlog *l, const char *path, const uint8_t *p, uint64_t len, bool last,
			const struct rlog_load *load, uint64_t *ret_good, bool *ret_joins, char *why, size_t cap)
{
	uint64_t at = RLOG_SEGMENT_HEAD, gap, expect = be64_get(p + 38);
	int err = OK;

	for (; at < len; expect++) {
		struct rlog_entry e;

		err = rlog_get_entry(p + at, len - at, &e, &gap);
		if (err == OK && (e.index != expect || (e.index > l->last && e.term < l->last_term)))
			err = E_BAD;
		if (err) {
			if (last && (mutant(DAMAGE_CUT) || !was_durable(p + at, len - at, expect))) {
				err = OK;
				break;
			}
			snprintf(why, cap, "%s: entry %llu at byte %llu is damaged (%s), and it was acknowledged: "
				 "refusing to go on without it; restore this folder from a copy, or empty it if other "
				 "nodes have the data",
				 path, (unsigned long long)expect, (unsigned long long)at, err_text(err));
			*ret_good = at;
			*ret_joins = expect == l->last + 1;
			return E_DAMAGED;
		}
		if (e.index == l->last && l->last == l->snaps[0] && e.term != l->last_term)
			return E_CONFLICT;
		if (e.index - gap > l->proved)
			l->proved = e.index - gap;
		rlog_mark(&l->seg[l->nseg - 1], e.index, at);
		at += RLOG_ENTRY_HEAD + (uint64_t)e.len;
		if (e.index <= l->last)
			continue;		/* the snapshot has it */
		err = load->entry(l->user, &e);
		if (err) {
			snprintf(why, cap, "%s: entry %llu: %s", path, (unsigned long long)e.index, err_text(err));
			return err;
		}
		l->last = l->written = l->durable = e.index;
		l->last_term = e.term;
		l->bytes_since_snapshot += RLOG_ENTRY_HEAD + (uint64_t)e.len;
	}
	/* Alone, what a snapshot has was durable in the log before: one that ends before has lost more. */
	if (last && expect <= l->snaps[0] && load->may_recover && !load->may_recover(l->user)) {
		snprintf(why, cap, "%s ends with entry %llu, and the snapshot has %llu: what was acknowledged after it "
			 "is lost; restore this folder from a copy, or move its log-* away to go on from the snapshot",
			 path, (unsigned long long)expect - 1, (unsigned long long)l->snaps[0]);
		return E_DAMAGED;
	}
	err = last ? cut(l, path, at, len) : OK;
	if (!err && last && expect != l->last + 1 && !mutant(SEGMENT_GAP))
		end_segment(l);
	return err;
}

static int load_segment(struct rlog *l, uint64_t first, bool last, const struct rlog_load *load,
			uint64_t *ret_good, bool *ret_joins, char *why, size_t cap)
{
	uint8_t *p = NULL;
	uint64_t len = 0;

	rlog_seg_add(l, first);
	char path[RLOG_PATH_MAX];

	memcpy(path, l->seg[l->nseg - 1].path, sizeof path);
	int err = rlog_read_all(l->disk, path, &p, &len);

	if (!err)
		err = len < RLOG_SEGMENT_HEAD ? E_CRC : rlog_check_head(l, p, "MQLG");
	if (err == E_CRC && last && (len <= RLOG_SEGMENT_HEAD ||
				     !was_durable(p + RLOG_SEGMENT_HEAD - 1, len - RLOG_SEGMENT_HEAD + 1, first))) {
		/* The power went before its first sync: nothing in it was acknowledged. */
		l->cut_bytes += len;
		rlog_seg_drop(l, l->nseg - 1);
		mem_free(p);
		return l->disk->calls->unlink(l->disk, path);
	}
	if (err) {
		snprintf(why, cap, "%s: %s", path, err_text(err));
		err = err == E_CRC ? E_DAMAGED : err;
	} else if (be64_get(p + 38) != first || first > l->last + 1) {
		snprintf(why, cap, "%s: the entries from %llu on are missing before it", path,
			 (unsigned long long)l->last + 1);
		err = E_DAMAGED;
	} else {
		err = load_entries(l, path, p, len, last, load, ret_good, ret_joins, why, cap);
	}
	mem_free(p);
	return err;
}

/* Bytes of a segment that nothing proves to have been durable, once more, and a sync of them. */
static int write_again_in(struct rlog *l, const struct rlog_seg *s)
{
	uint8_t *p = NULL;
	uint64_t len = 0, at = RLOG_SEGMENT_HEAD, index = s->first;
	int file, err = rlog_read_all(l->disk, s->path, &p, &len);

	if (err)
		return err;
	while (index <= l->proved && at + RLOG_ENTRY_HEAD <= len) {
		at += RLOG_ENTRY_HEAD + (uint64_t)be32_get(p + at + 4);
		index++;
	}
	if (index == s->first)
		at = 0;				/* its head was not synced either */
	err = at < len ? l->disk->calls->open(l->disk, s->path, 0, &file) : OK;
	if (!err && at < len) {
		err = rlog_put(l, file, p + at, len - at, at);
		if (!err)
			err = l->disk->calls->sync(l->disk, file);
		l->disk->calls->close(l->disk, file);
	}
	mem_free(p);
	return err;
}

/*
 * K10. WHY: after a sync that failed the kernel takes the pages for clean. Who reads them after a restart sees what is
 * on no disk, and the next sync says that all is well. So what was read and is not proved to have been durable is
 * written again before it counts: the last group or so. A snapshot proves nothing of the log: it may have what is
 * committed by others' disks, and the log is read from its first entry on.
 */
static int write_again(struct rlog *l)
{
	int err = OK;

	for (uint32_t i = l->nseg; !err && i-- > 0 && l->last > l->proved;) {
		err = write_again_in(l, &l->seg[i]);
		if (l->seg[i].first <= l->proved + 1)
			break;
	}
	return err;
}

int rlog_recover(struct rlog *l, const struct rlog_load *load, char *why, size_t cap)
{
	struct found f = { 0 };
	int err = l->disk->calls->list(l->disk, l->dir, on_name, &f);

	if (err)
		snprintf(why, cap, "%s: %s", l->dir, err_text(err));
	for (uint32_t i = 0; !err && i < f.nimage; i++) {	/* half of one, of a leader of then */
		char path[RLOG_PATH_MAX];

		snprintf(path, sizeof path, "%s/image-%020llu", l->dir, (unsigned long long)f.image[i]);
		(void)l->disk->calls->unlink(l->disk, path);
	}
	if (!err)
		err = rlog_load_vote(l, why, cap);
	if (!err)
		err = load_snapshot(l, &f, load, why, cap);
	if (!err && f.nsnap > 0 && l->snaps[0] == 0 && f.nlog == 0) {
		err = load->may_recover && load->may_recover(l->user) ? OK : E_DAMAGED;
		l->recovering |= err == OK;
		l->repaired |= err == OK;
		snprintf(l->damage, sizeof l->damage, "%.250s", why);
	}
	for (uint32_t i = 0; !err && i < f.nlog; i++) {
		uint64_t good = 0;
		bool joins = false;

		err = load_segment(l, f.log[i], i + 1 == f.nlog, load, &good, &joins, why, cap);
		if (err == E_CONFLICT) {
			err = drop_stale(l, &f);
			break;
		}
		if (err == E_DAMAGED && load->may_recover && load->may_recover(l->user)) {
			snprintf(l->damage, sizeof l->damage, "%.250s", why);
			err = set_aside(l, &f, i, good, joins);
			break;
		}
	}
	if (!err && !mutant(TRUSTS_CACHE)) {
		err = write_again(l);
		if (err)
			snprintf(why, cap, "%s: the end of the log: %s", l->dir, err_text(err));
	}
	if (!err)		/* names that were read must not be lost by the next power loss either */
		err = l->disk->calls->sync_dir(l->disk, l->dir);
	if (!err && l->term < l->last_term) {
		snprintf(why, cap, "%s/vote tells term %llu, the log has term %llu", l->dir,
			 (unsigned long long)l->term, (unsigned long long)l->last_term);
		err = E_DAMAGED;
	}
	mem_free(f.log);
	mem_free(f.snap);
	mem_free(f.image);
	return err;
}
