/* sim_disk.c - see sim_disk.h. */
#include "sim/sim_disk.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

#define SECTOR 512u
#define PATH_MAX_BYTES 800

enum change_kind { CH_WRITE, CH_TRUNCATE };

struct change {				/* of a file's bytes, not synced yet */
	struct change *next;
	enum change_kind kind;
	uint64_t off, len;		/* TRUNCATE: off = the new size */
	uint8_t data[];
};

struct inode {
	struct inode *next;
	int refs;			/* names + handles, in cache and on the platter */
	uint8_t *mem;			/* what processes see */
	uint64_t size, cap;
	uint8_t *dur;			/* what is on the platter */
	uint64_t dur_size, dur_cap;
	struct change *first, *last;
};

struct name {				/* a folder entry; node NULL: a folder */
	struct name *next;
	char path[PATH_MAX_BYTES];
	struct inode *node;
	bool dir;
};

enum entry_kind { EN_CREATE, EN_UNLINK, EN_RENAME };

struct entry_change {			/* of names in one folder, not synced yet, in order */
	struct entry_change *next;
	enum entry_kind kind;
	char path[PATH_MAX_BYTES], to[PATH_MAX_BYTES];
	struct inode *node;
	bool dir;
};

struct sim_fs {
	struct sim *sim;
	struct sim_fs_faults faults;
	struct sim_fs_counts counts;
	struct inode *inodes;
	struct name *names;		/* what processes see */
	struct name *dur_names;		/* what is on the platter */
	struct entry_change *changes, *changes_last;
	uint64_t used;
	void (*hook)(void *ctx);
	void *hook_ctx;
};

struct sim_handle {
	struct inode *node;
	bool rdonly;
};

struct sim_op {
	struct sim_event event;
	struct sim_op *next;
	struct sim_disk *disk;
	struct disk_op *op;
	int err;
};

/* ---- names ---- */

static struct name *lookup(struct name *list, const char *path)
{
	for (struct name *n = list; n; n = n->next)
		if (strcmp(n->path, path) == 0)
			return n;
	return NULL;
}

static void copy_path(char *to, const char *path)
{
	size_t n = strlen(path);

	must(n < PATH_MAX_BYTES);
	memcpy(to, path, n + 1);
}

static void name_add(struct name **list, const char *path, struct inode *node, bool dir)
{
	struct name *n = mem_alloc(sizeof *n);

	copy_path(n->path, path);
	n->node = node;
	n->dir = dir;
	n->next = *list;
	*list = n;
	if (node)
		node->refs++;
}

static void inode_unref(struct sim_fs *fs, struct inode *node)
{
	if (!node || --node->refs > 0)
		return;
	struct inode **at = &fs->inodes;

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	fs->used -= node->size;
	for (struct change *c = node->first; c;) {
		struct change *next = c->next;

		mem_free(c);
		c = next;
	}
	mem_free(node->mem);
	mem_free(node->dur);
	mem_free(node);
}

static void name_drop(struct sim_fs *fs, struct name **list, const char *path)
{
	for (struct name **at = list; *at; at = &(*at)->next)
		if (strcmp((*at)->path, path) == 0) {
			struct name *n = *at;

			*at = n->next;
			inode_unref(fs, n->node);
			mem_free(n);
			return;
		}
}

static bool under(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/';
}

/* Moves path, and everything below it when it is a folder, to another name. */
static void name_move(struct sim_fs *fs, struct name **list, const char *from, const char *to)
{
	name_drop(fs, list, to);
	for (struct name *n = *list; n; n = n->next) {
		char rest[PATH_MAX_BYTES];

		if (strcmp(n->path, from) == 0)
			rest[0] = 0;
		else if (under(n->path, from))
			copy_path(rest, n->path + strlen(from));
		else
			continue;
		size_t a = strlen(to), b = strlen(rest);

		must(a + b < PATH_MAX_BYTES);
		memcpy(n->path, to, a);
		memcpy(n->path + a, rest, b + 1);
	}
}

static void name_change(struct sim_fs *fs, enum entry_kind kind, const char *path, const char *to,
			struct inode *node, bool dir)
{
	struct entry_change *c = mem_alloc(sizeof *c);

	c->kind = kind;
	copy_path(c->path, path);
	if (to)
		copy_path(c->to, to);
	c->node = node;
	c->dir = dir;
	if (node)
		node->refs++;
	if (fs->changes_last)
		fs->changes_last->next = c;
	else
		fs->changes = c;
	fs->changes_last = c;
}

static void entry_apply(struct sim_fs *fs, struct entry_change *c)
{
	switch (c->kind) {
	case EN_CREATE:
		if (!lookup(fs->dur_names, c->path))
			name_add(&fs->dur_names, c->path, c->node, c->dir);
		break;
	case EN_UNLINK:
		name_drop(fs, &fs->dur_names, c->path);
		break;
	case EN_RENAME:
		name_move(fs, &fs->dur_names, c->path, c->to);
		break;
	}
}

static bool in_folder(const char *path, const char *dir)
{
	size_t n = strlen(dir);

	return strncmp(path, dir, n) == 0 && path[n] == '/' && !strchr(path + n + 1, '/');
}

/* Takes the changes of one folder (NULL: all) off the list; keep: they reach the platter. */
static void entries_settle(struct sim_fs *fs, const char *dir, bool keep)
{
	struct entry_change **at = &fs->changes;

	fs->changes_last = NULL;
	while (*at) {
		struct entry_change *c = *at;

		if (dir && !in_folder(c->path, dir) && !(c->kind == EN_RENAME && in_folder(c->to, dir))) {
			fs->changes_last = c;
			at = &c->next;
			continue;
		}
		*at = c->next;
		if (keep)
			entry_apply(fs, c);
		inode_unref(fs, c->node);
		mem_free(c);
	}
}

/* ---- bytes ---- */

static void grow(uint8_t **p, uint64_t *cap, uint64_t size, uint64_t want)
{
	if (want > *cap) {
		uint64_t n = *cap ? *cap : 4096;

		while (n < want)
			n *= 2;
		*p = mem_resize(*p, n);
		*cap = n;
	}
	if (want > size)
		memset(*p + size, 0, want - size);
}

static void put_bytes(uint8_t **p, uint64_t *cap, uint64_t *size, uint64_t off, const void *data,
		      uint64_t len)
{
	if (off + len > *size) {
		grow(p, cap, *size, off + len);
		*size = off + len;
	}
	if (len > 0)
		memcpy(*p + off, data, len);
}

static void set_size(uint8_t **p, uint64_t *cap, uint64_t *size, uint64_t to)
{
	grow(p, cap, *size, to);
	*size = to;
}

static struct change *change_add(struct inode *n, enum change_kind kind, uint64_t off, uint64_t len)
{
	struct change *c = mem_alloc(sizeof *c + (kind == CH_WRITE ? len : 0));

	c->kind = kind;
	c->off = off;
	c->len = len;
	if (n->last)
		n->last->next = c;
	else
		n->first = c;
	n->last = c;
	return c;
}

static void changes_drop(struct inode *n)
{
	while (n->first) {
		struct change *c = n->first;

		n->first = c->next;
		mem_free(c);
	}
	n->last = NULL;
}

static void inode_sync(struct inode *n)
{
	changes_drop(n);
	if (n->dur_size > n->size)
		n->dur_size = n->size;
	put_bytes(&n->dur, &n->dur_cap, &n->dur_size, 0, n->mem, n->size);
}

/* Applies what the platter happens to have of one change. */
static void change_survive(struct sim_fs *fs, struct inode *n, struct change *c, uint32_t percent)
{
	if (c->kind == CH_TRUNCATE) {
		if (rng_below(&fs->sim->rng, 100) < percent)
			set_size(&n->dur, &n->dur_cap, &n->dur_size, c->off);
		return;
	}
	uint32_t mode = rng_below(&fs->sim->rng, 100);
	bool torn = mode < 20;
	bool keep = rng_below(&fs->sim->rng, 100) < percent;

	fs->counts.torn_writes += torn;
	fs->counts.kept_writes += !torn && keep;
	fs->counts.lost_writes += !torn && !keep;
	for (uint64_t at = 0; at < c->len;) {	/* D2 */
		uint64_t n_bytes = SECTOR - (c->off + at) % SECTOR;

		n_bytes = n_bytes < c->len - at ? n_bytes : c->len - at;
		if (torn ? rng_below(&fs->sim->rng, 100) < 50 : keep)
			put_bytes(&n->dur, &n->dur_cap, &n->dur_size, c->off + at, c->data + at, n_bytes);
		at += n_bytes;
	}
	/* The size may have reached the platter without the bytes: zeros are read then. */
	if (!keep && sim_chance(fs->sim, 100000) && c->off + c->len > n->dur_size)
		set_size(&n->dur, &n->dur_cap, &n->dur_size, c->off + c->len);
}

void sim_fs_power_loss(struct sim_fs *fs)
{
	uint32_t percent = fs->faults.loss_keep_percent;

	fs->counts.losses++;
	/* Names: a prefix of the journal survives. */
	bool alive = true;
	while (fs->changes) {
		struct entry_change *c = fs->changes;

		alive = alive && rng_below(&fs->sim->rng, 100) < percent;
		fs->counts.kept_names += alive;
		fs->counts.lost_names += !alive;
		fs->changes = c->next;
		if (alive)
			entry_apply(fs, c);
		inode_unref(fs, c->node);
		mem_free(c);
	}
	fs->changes_last = NULL;
	for (struct inode *n = fs->inodes; n; n = n->next) {
		for (struct change *c = n->first; c; c = c->next)
			change_survive(fs, n, c, percent);
		changes_drop(n);
		fs->used -= n->size;
		n->size = 0;
		put_bytes(&n->mem, &n->cap, &n->size, 0, n->dur, n->dur_size);
		fs->used += n->size;
	}
	while (fs->names)
		name_drop(fs, &fs->names, fs->names->path);
	for (struct name *n = fs->dur_names; n; n = n->next)
		name_add(&fs->names, n->path, n->node, n->dir);
}

/* ---- the port ---- */

static struct sim_disk *self(struct disk *d)
{
	return (struct sim_disk *)d;
}

static struct sim_handle *handle(struct disk *d, int file)
{
	must(file >= 0 && (uint32_t)file < self(d)->n_handles);
	must(self(d)->handles[file].node != NULL);
	return &self(d)->handles[file];
}

static bool parent_exists(struct sim_fs *fs, const char *path)
{
	char dir[PATH_MAX_BYTES];
	const char *slash = strrchr(path, '/');

	if (!slash || slash == path)
		return true;
	memcpy(dir, path, (size_t)(slash - path));
	dir[slash - path] = 0;
	struct name *n = lookup(fs->names, dir);
	return n && n->dir;
}

static int d_open(struct disk *d, const char *path, unsigned flags, int *ret_file)
{
	struct sim_fs *fs = self(d)->fs;
	struct name *n = lookup(fs->names, path);
	uint32_t i = 0;

	if (n && n->dir)
		return E_BAD;
	if (!n && !(flags & DISK_CREATE))
		return E_NOENT;
	if (n && flags & DISK_CREATE && flags & DISK_EXCL)
		return E_EXIST;
	if (!n && !parent_exists(fs, path))
		return E_NOENT;
	struct inode *node = n ? n->node : NULL;
	if (!node) {
		node = mem_alloc(sizeof *node);
		node->next = fs->inodes;
		fs->inodes = node;
		name_add(&fs->names, path, node, false);
		name_change(fs, EN_CREATE, path, NULL, node, false);
	}
	if (flags & DISK_TRUNC && node->size > 0) {
		change_add(node, CH_TRUNCATE, 0, 0);
		fs->used -= node->size;
		node->size = 0;
	}
	while (i < self(d)->n_handles && self(d)->handles[i].node)
		i++;
	if (i == self(d)->n_handles) {
		self(d)->n_handles++;
		self(d)->handles = mem_resize(self(d)->handles,
					      sizeof(struct sim_handle) * self(d)->n_handles);
	}
	self(d)->handles[i] = (struct sim_handle){ node, (flags & DISK_RDONLY) != 0 };
	node->refs++;
	*ret_file = (int)i;
	return OK;
}

static void d_close(struct disk *d, int file)
{
	struct sim_handle *h = handle(d, file);

	inode_unref(self(d)->fs, h->node);
	h->node = NULL;
}

static int d_size(struct disk *d, int file, uint64_t *ret)
{
	*ret = handle(d, file)->node->size;
	return OK;
}

static void write_piece(struct sim_fs *fs, struct inode *n, uint64_t off, const void *p, uint64_t len)
{
	uint64_t old = n->size;
	struct change *c = change_add(n, CH_WRITE, off, len);

	memcpy(c->data, p, len);
	put_bytes(&n->mem, &n->cap, &n->size, off, p, len);
	fs->used += n->size - old;
}

static int d_pwritev(struct disk *d, int file, const struct disk_piece *v, int cnt, uint64_t off)
{
	struct sim_fs *fs = self(d)->fs;
	struct sim_handle *h = handle(d, file);
	uint64_t total = 0, allowed;
	int err = OK;

	must(!h->rdonly);
	for (int i = 0; i < cnt; i++)
		total += v[i].len;
	allowed = total;
	if (sim_chance(fs->sim, fs->faults.eio_write)) {
		fs->counts.eio++;
		err = E_IO;
	} else if (sim_chance(fs->sim, fs->faults.nospc) || (fs->faults.capacity_bytes > 0 &&
		   fs->used + total > fs->faults.capacity_bytes)) {
		fs->counts.nospc++;
		err = E_NOSPC;
	}
	/* A write that fails may have put a part of its bytes into the file. */
	if (err != OK || sim_chance(fs->sim, fs->faults.short_write)) {
		fs->counts.short_writes++;
		allowed = total > 0 ? rng_below(&fs->sim->rng, (uint32_t)total) : 0;
		err = err != OK ? err : E_NOSPC;
	}
	uint64_t half = fs->hook && allowed > 1 ? rng_below(&fs->sim->rng, (uint32_t)allowed) : 0;
	bool hooked = false;
	for (int i = 0; i < cnt && allowed > 0; i++) {
		uint64_t n = v[i].len < allowed ? v[i].len : allowed, part = n;

		if (fs->hook && !hooked && half < n)
			part = half;
		write_piece(fs, h->node, off, v[i].p, part);
		if (part < n || (fs->hook && !hooked && half == n)) {
			hooked = true;
			fs->hook(fs->hook_ctx);		/* may not come back */
			write_piece(fs, h->node, off + part, (const uint8_t *)v[i].p + part, n - part);
		}
		half -= half < n ? half : n;
		off += n;
		allowed -= n;
	}
	return err;
}

static int d_pread(struct disk *d, int file, void *buf, size_t len, uint64_t off, size_t *ret_len)
{
	struct inode *n = handle(d, file)->node;
	uint64_t left = off < n->size ? n->size - off : 0;

	*ret_len = len < left ? len : left;
	if (*ret_len > 0)
		memcpy(buf, n->mem + off, *ret_len);
	return OK;
}

static int d_truncate(struct disk *d, int file, uint64_t bytes)
{
	struct sim_fs *fs = self(d)->fs;
	struct inode *n = handle(d, file)->node;

	change_add(n, CH_TRUNCATE, bytes, 0);
	fs->used += bytes - n->size;
	set_size(&n->mem, &n->cap, &n->size, bytes);
	return OK;
}

static int d_reserve(struct disk *d, int file, uint64_t off, uint64_t bytes)
{
	(void)handle(d, file);
	(void)off;
	(void)bytes;
	return OK;
}

static bool d_is_warm(struct disk *d, int file, uint64_t off, uint64_t len)
{
	(void)handle(d, file);
	(void)off;
	(void)len;
	return true;
}

static int d_rename(struct disk *d, const char *from, const char *to)
{
	struct sim_fs *fs = self(d)->fs;

	if (!lookup(fs->names, from) || !parent_exists(fs, to))
		return E_NOENT;
	name_move(fs, &fs->names, from, to);
	name_change(fs, EN_RENAME, from, to, NULL, false);
	return OK;
}

static int d_unlink(struct disk *d, const char *path)
{
	struct sim_fs *fs = self(d)->fs;

	if (!lookup(fs->names, path))
		return E_NOENT;
	name_change(fs, EN_UNLINK, path, NULL, NULL, false);
	name_drop(fs, &fs->names, path);
	return OK;
}

static int d_mkdir(struct disk *d, const char *path)
{
	struct sim_fs *fs = self(d)->fs;

	if (lookup(fs->names, path))
		return E_EXIST;
	if (!parent_exists(fs, path))
		return E_NOENT;
	name_add(&fs->names, path, NULL, true);
	name_change(fs, EN_CREATE, path, NULL, NULL, true);
	return OK;
}

static int d_list(struct disk *d, const char *path, void (*on_name)(void *ctx, const char *name), void *ctx)
{
	struct sim_fs *fs = self(d)->fs;
	struct name *dir = lookup(fs->names, path);

	if (!dir || !dir->dir)
		return E_NOENT;
	for (struct name *n = fs->names, *next; n; n = next) {
		next = n->next;
		if (in_folder(n->path, path))
			on_name(ctx, n->path + strlen(path) + 1);
	}
	return OK;
}

static int d_space(struct disk *d, const char *path, struct disk_space *ret)
{
	struct sim_fs *fs = self(d)->fs;
	uint64_t cap = fs->faults.capacity_bytes ? fs->faults.capacity_bytes : UINT64_C(1) << 40;

	(void)path;
	ret->total_bytes = cap;
	ret->free_bytes = fs->used < cap ? cap - fs->used : 0;
	return OK;
}

static int d_sync(struct disk *d, int file)
{
	struct sim_fs *fs = self(d)->fs;

	fs->counts.syncs++;
	if (sim_chance(fs->sim, fs->faults.eio_sync)) {
		fs->counts.failed_syncs++;
		changes_drop(handle(d, file)->node);	/* the kernel marks the pages clean: never synced again */
		return E_IO;
	}
	inode_sync(handle(d, file)->node);
	return OK;
}

static int d_sync_dir(struct disk *d, const char *path)
{
	entries_settle(self(d)->fs, path, true);
	return OK;
}

static int d_rmdir(struct disk *d, const char *path)
{
	struct sim_fs *fs = self(d)->fs;

	for (struct name *n = fs->names; n; n = n->next)
		if (in_folder(n->path, path))
			return E_EXIST;
	return d_unlink(d, path);
}

static void op_finish(struct sim_event *e)
{
	struct sim_op *o = (struct sim_op *)e, **at = &o->disk->ops;
	struct disk_op *op = o->op;
	struct disk *d = &o->disk->disk;
	int err = OK;

	while (*at != o)
		at = &(*at)->next;
	*at = o->next;
	mem_free(o);
	switch (op->what) {
	case DISK_SYNC:
		err = d_sync(d, op->file);
		break;
	case DISK_SYNC_DIR:
		err = d_sync_dir(d, op->path);
		break;
	case DISK_READ: {
		size_t n = 0;

		err = d_pread(d, op->file, op->buf, op->len, op->off, &n);
		op->ret_len = (uint32_t)n;
		break;
	}
	case DISK_WARM:
		break;
	case DISK_UNLINK:
		err = d_unlink(d, op->path);
		break;
	}
	op->done(op, err);
}

static void d_submit(struct disk *d, struct disk_op *op)
{
	struct sim_fs *fs = self(d)->fs;
	struct sim_op *o = mem_alloc(sizeof *o);
	uint64_t span = fs->faults.sync_us_max > fs->faults.sync_us_min ?
			fs->faults.sync_us_max - fs->faults.sync_us_min : 1;
	uint64_t us = fs->faults.sync_us_min + rng_below(&fs->sim->rng, (uint32_t)span);

	if (sim_chance(fs->sim, fs->faults.slow_sync)) {
		fs->counts.slow_syncs++;
		us += 200000;
	}
	o->event.run = op_finish;
	o->disk = self(d);
	o->op = op;
	o->next = self(d)->ops;
	self(d)->ops = o;
	sim_at(fs->sim, &o->event, us);
}

static const struct disk_calls calls = {
	.open = d_open, .close = d_close, .size = d_size, .pwritev = d_pwritev, .pread = d_pread,
	.truncate = d_truncate, .reserve = d_reserve, .is_warm = d_is_warm, .rename = d_rename,
	.unlink = d_unlink, .mkdir = d_mkdir, .rmdir = d_rmdir, .list = d_list, .space = d_space,
	.sync = d_sync, .sync_dir = d_sync_dir, .submit = d_submit,
};

void sim_disk_init(struct sim_disk *d, struct sim_fs *fs)
{
	*d = (struct sim_disk){ .disk = { &calls }, .fs = fs };
}

void sim_disk_reset(struct sim_disk *d)
{
	while (d->ops) {
		struct sim_op *o = d->ops;

		d->ops = o->next;
		sim_cancel(d->fs->sim, &o->event);
		mem_free(o);
	}
	for (uint32_t i = 0; i < d->n_handles; i++)
		inode_unref(d->fs, d->handles[i].node);
	mem_free(d->handles);
	d->handles = NULL;
	d->n_handles = 0;
	d->incarnation++;
}

struct sim_fs *sim_fs_new(struct sim *s)
{
	struct sim_fs *fs = mem_alloc(sizeof *fs);

	fs->sim = s;
	fs->faults.sync_us_min = 50;
	fs->faults.sync_us_max = 3000;
	fs->faults.loss_keep_percent = 50;
	return fs;
}

void sim_fs_free(struct sim_fs *fs)
{
	entries_settle(fs, NULL, false);
	while (fs->names)
		name_drop(fs, &fs->names, fs->names->path);
	while (fs->dur_names)
		name_drop(fs, &fs->dur_names, fs->dur_names->path);
	must(fs->inodes == NULL);
	mem_free(fs);
}

struct sim_fs_faults *sim_fs_faults(struct sim_fs *fs)
{
	return &fs->faults;
}

const struct sim_fs_counts *sim_fs_counts(struct sim_fs *fs)
{
	return &fs->counts;
}

void sim_fs_on_write(struct sim_fs *fs, void (*hook)(void *ctx), void *ctx)
{
	fs->hook = hook;
	fs->hook_ctx = ctx;
}

const uint8_t *sim_fs_peek(struct sim_fs *fs, const char *path, uint64_t *ret_bytes)
{
	struct name *n = lookup(fs->names, path);

	if (!n || n->dir)
		return NULL;
	*ret_bytes = n->node->size;
	return n->node->mem ? n->node->mem : (const uint8_t *)"";
}

bool sim_fs_rot(struct sim_fs *fs, const char *path, uint64_t off)
{
	struct name *n = lookup(fs->names, path);

	if (!n || n->dir || off >= n->node->size)
		return false;
	n->node->mem[off] ^= 1;
	if (off < n->node->dur_size)
		n->node->dur[off] ^= 1;
	return true;
}
