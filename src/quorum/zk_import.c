/* zk_import.c - see zk_import.h. Which files count: FileTxnSnapLog.restore, FileSnap.deserialize of 3.9.5. */
#include "quorum/zk_import.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/buf.h"
#include "base/mem.h"
#include "quorum/rlog.h"

#define PATH_CAP 1024
#define PLAIN_MAX UINT32_MAX		/* of a compressed snapshot */

enum form { FORM_PLAIN, FORM_GZIP = 1, FORM_SNAPPY = 2 };	/* as codecs of wire/codec.h */

struct file {
	int64_t zxid;
	enum form form;
	char name[64];
};

struct files {
	struct file *v;
	uint32_t n, cap;
};

struct listing {			/* of one folder */
	struct files snaps, logs;
};

static void tell(const struct zk_import *im, const char *msg, const char *detail)
{
	if (im->on_log)
		im->on_log(im->user, msg, detail);
}

/* PREFIX.ZXID, the zxid in hex, then perhaps the kind of compression. */
static bool parse(const char *name, const char *prefix, struct file *ret)
{
	size_t n = strlen(prefix);
	char *end;

	if (strncmp(name, prefix, n) != 0 || name[n] != '.' || strlen(name) >= sizeof ret->name)
		return false;
	unsigned long long zxid = strtoull(name + n + 1, &end, 16);

	if (end == name + n + 1 || zxid > INT64_MAX)
		return false;
	*ret = (struct file){ .zxid = (int64_t)zxid };
	if (strcmp(end, ".gz") == 0)
		ret->form = FORM_GZIP;
	else if (strcmp(end, ".snappy") == 0)
		ret->form = FORM_SNAPPY;
	else if (*end != 0)
		return false;
	memcpy(ret->name, name, strlen(name) + 1);
	return true;
}

static void add(struct files *f, const struct file *x)
{
	if (f->n == f->cap) {
		f->cap = f->cap ? f->cap * 2 : 16;
		f->v = mem_resize(f->v, f->cap * sizeof *f->v);
	}
	uint32_t i = f->n++;

	for (; i > 0 && f->v[i - 1].zxid > x->zxid; i--)
		f->v[i] = f->v[i - 1];
	f->v[i] = *x;
}

static void on_name(void *ctx, const char *name)
{
	struct listing *l = ctx;
	struct file x;

	if (parse(name, "snapshot", &x))
		add(&l->snaps, &x);
	else if (parse(name, "log", &x) && x.form == FORM_PLAIN)
		add(&l->logs, &x);
}

static void release(struct listing *l)
{
	mem_free(l->snaps.v);
	mem_free(l->logs.v);
	*l = (struct listing){ 0 };
}

/* dir/version-2, or dir; ret_path: which. */
static int list(struct disk *d, const char *dir, struct listing *ret, char *ret_path)
{
	*ret = (struct listing){ 0 };
	if (snprintf(ret_path, PATH_CAP, "%s/version-2", dir) >= PATH_CAP)
		return E_RANGE;
	int err = d->calls->list(d, ret_path, on_name, ret);

	if (err) {
		snprintf(ret_path, PATH_CAP, "%s", dir);
		err = d->calls->list(d, ret_path, on_name, ret);
	}
	return err;
}

bool zk_import_there(struct disk *d, const char *dir)
{
	struct listing l;
	char path[PATH_CAP];
	bool there = list(d, dir, &l, path) == OK && l.snaps.n + l.logs.n > 0;

	release(&l);
	return there;
}

/* ---- files ---- */

static int unpack(const struct zk_import *im, enum form form, uint8_t **p, uint64_t *len)
{
	struct buf b;
	const uint8_t *piece = NULL;
	size_t n = 0, total;
	int err = im->codec->open(im->codec, form, *p, *len);

	buf_init(&b, PLAIN_MAX);
	while (!err && (err = im->codec->next(im->codec, &piece, &n)) == OK && n > 0) {
		buf_put(&b, piece, n);
		err = b.bad ? E_LIMIT : OK;
	}
	im->codec->close(im->codec);
	if (err) {
		buf_release(&b);
		return err;
	}
	mem_free(*p);
	*p = buf_steal(&b, &total);
	*len = total;
	return OK;
}

static int read_snapshot(struct disk *d, const struct zk_import *im, struct coord_import *state, const char *path,
			 const struct file *f, char *why)
{
	uint8_t *p = NULL;
	uint64_t len = 0;
	char inner[ZK_IMPORT_WHY / 2] = "";
	int err = rlog_read_all(d, path, &p, &len);

	if (!err && f->form != FORM_PLAIN)
		err = unpack(im, f->form, &p, &len);
	if (err)
		snprintf(inner, sizeof inner, "%s", err_text(err));
	else
		err = import_snapshot(state, f->zxid, p, len, inner, sizeof inner);
	mem_free(p);
	if (err)
		snprintf(why, ZK_IMPORT_WHY, "%.250s: %s", path, inner);
	else
		tell(im, "snapshot read", path);
	return err;
}

/* The newest that is whole, as a ZooKeeper that starts does. */
static int newest_snapshot(struct disk *d, const struct zk_import *im, struct coord_import *state, const char *dir,
			   const struct files *f, char *why)
{
	int err = E_NOENT;

	for (uint32_t i = f->n; i-- > 0;) {
		char path[PATH_CAP + 80];

		snprintf(path, sizeof path, "%s/%s", dir, f->v[i].name);
		err = read_snapshot(d, im, state, path, &f->v[i], why);
		if (err == OK || err == E_LIMIT || err == E_VERSION)
			return err;
		tell(im, "a snapshot that is not whole is passed over", why);
	}
	if (f->n == 0)
		snprintf(why, ZK_IMPORT_WHY, "%.300s: there is no snapshot.* of a ZooKeeper in it", dir);
	return err;
}

static int read_logs(struct disk *d, struct zk_import *im, struct coord_import *state, int64_t zxid, const char *dir,
		     const struct files *f, char *why)
{
	uint32_t i = f->n;

	while (i > 0 && f->v[i - 1].zxid > zxid)
		i--;
	for (i = i > 0 ? i - 1 : 0; i < f->n; i++) {
		char path[PATH_CAP + 80], inner[ZK_IMPORT_WHY / 2] = "";
		uint8_t *p = NULL;
		uint64_t len = 0;

		snprintf(path, sizeof path, "%s/%s", dir, f->v[i].name);
		int err = rlog_read_all(d, path, &p, &len);

		if (err)
			snprintf(inner, sizeof inner, "%s", err_text(err));
		else
			err = import_log(state, p, len, inner, sizeof inner);
		mem_free(p);
		if (err) {
			snprintf(why, ZK_IMPORT_WHY, "%.250s: %s", path, inner);
			return err;
		}
		im->logs++;
		tell(im, "log read", path);
	}
	return OK;
}

/* An epoch that began without a transaction: clients may have seen its zxid 0. */
static int64_t epoch_zxid(struct disk *d, const char *dir)
{
	static const char *const names[] = { "currentEpoch", "acceptedEpoch" };
	int64_t most = 0;

	for (int i = 0; i < 2; i++) {
		char path[PATH_CAP + 80], text[24] = "";
		uint8_t *p = NULL;
		uint64_t len = 0;

		snprintf(path, sizeof path, "%s/%s", dir, names[i]);
		if (rlog_read_all(d, path, &p, &len) != OK)
			continue;
		memcpy(text, p, len < sizeof text - 1 ? len : sizeof text - 1);
		mem_free(p);
		long long epoch = strtoll(text, NULL, 10);

		if (epoch > 0 && epoch <= INT32_MAX && epoch << 32 > most)
			most = epoch << 32;
	}
	return most;
}

static int one_file(struct disk *d, const struct zk_import *im, struct coord_import *state, char *why)
{
	const char *name = strrchr(im->dir, '/');
	struct file f;

	if (parse(name ? name + 1 : im->dir, "snapshot", &f))
		return read_snapshot(d, im, state, im->dir, &f, why);
	snprintf(why, ZK_IMPORT_WHY, "%.300s is neither a folder that can be read nor a file snapshot.ZXID", im->dir);
	return E_NOENT;
}

static int both(struct disk *d, struct zk_import *im, struct coord_import *state, int64_t *ret_zxid, char *why)
{
	struct listing snaps, logs;
	char dir[PATH_CAP], log_dir[PATH_CAP];
	int err = list(d, im->dir, &snaps, dir);

	if (err)
		return one_file(d, im, state, why);
	*ret_zxid = epoch_zxid(d, dir);
	err = list(d, im->log_dir[0] ? im->log_dir : im->dir, &logs, log_dir);
	if (err)
		snprintf(why, ZK_IMPORT_WHY, "%.300s: %s", log_dir, err_text(err));
	err = err ? err : newest_snapshot(d, im, state, dir, &snaps.snaps, why);
	if (!err && logs.logs.n == 0) {
		snprintf(why, ZK_IMPORT_WHY, "%.200s: there is no log.* of a ZooKeeper in it; say where dataLogDir is, "
			 "or name a snapshot file to take that alone", log_dir);
		err = E_NOENT;
	}
	err = err ? err : read_logs(d, im, state, import_zxid(state), log_dir, &logs.logs, why);
	release(&snaps);
	release(&logs);
	return err;
}

int zk_import(struct disk *d, struct zk_import *im, char *why)
{
	struct coord_import *state = import_new();
	char inner[ZK_IMPORT_WHY / 2] = "";
	int64_t zxid = 0;
	int err = both(d, im, state, &zxid, why);

	if (!err) {
		err = import_end(state, zxid, &im->rules, &im->coord, &im->stats, inner, sizeof inner);
		if (err)
			snprintf(why, ZK_IMPORT_WHY, "%.200s: %s", im->dir, inner);
	}
	import_free(state);
	return err;
}
