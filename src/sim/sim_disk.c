/* sim_disk.c - the disk port over sim_fs.c. See sim_disk.h. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "sim/sim_fs.h"

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

/* ---- the port ---- */

static struct sim_disk *self(struct disk *d)
{
	return (struct sim_disk *)d;
}

static void called(struct disk *d, const char *what)
{
	struct sim_fs *fs = self(d)->fs;

	if (fs->call_hook)
		fs->call_hook(fs->call_ctx, what);
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
	struct name *n = fs_lookup(fs->names, dir);
	return n && n->dir != 0;
}

static int d_open(struct disk *d, const char *path, unsigned flags, int *ret_file)
{
	struct sim_fs *fs = self(d)->fs;
	struct name *n;
	uint32_t i = 0;

	called(d, "open");
	n = fs_lookup(fs->names, path);
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
		node = fs->mem.alloc(sizeof *node);
		node->next = fs->inodes;
		fs->inodes = node;
		fs_name_add(fs, &fs->names, path, node, 0);
		fs_name_change(fs, EN_CREATE, path, NULL, node, 0);
	}
	if (flags & DISK_TRUNC && node->size > 0) {
		fs_change_add(fs, node, CH_TRUNCATE, 0, 0);
		fs->used -= fs_blocks(node);
		node->size = node->reserved = 0;
	}
	while (i < self(d)->n_handles && self(d)->handles[i].node)
		i++;
	if (i == self(d)->n_handles) {
		self(d)->n_handles++;
		self(d)->handles = fs->mem.resize(self(d)->handles,
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

	fs_inode_unref(self(d)->fs, h->node);
	h->node = NULL;
}

static int d_size(struct disk *d, int file, uint64_t *ret)
{
	called(d, "size");
	*ret = handle(d, file)->node->size;
	return OK;
}

static void write_piece(struct sim_fs *fs, struct inode *n, uint64_t off, const void *p, uint64_t len)
{
	uint64_t old = fs_blocks(n);
	struct change *c = fs_change_add(fs, n, CH_WRITE, off, len);

	memcpy(c->data, p, len);
	fs_put_bytes(fs, &n->mem, &n->cap, &n->size, off, p, len);
	fs->used += fs_blocks(n) - old;
}

static int d_pwritev(struct disk *d, int file, const struct disk_piece *v, int cnt, uint64_t off)
{
	struct sim_fs *fs = self(d)->fs;
	struct sim_handle *h = handle(d, file);
	uint64_t total = 0, allowed;
	int err = OK;

	must(!h->rdonly);
	called(d, "pwritev");
	h = handle(d, file);		/* the hook may have made room for more */
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
	uint64_t left;

	called(d, "pread");
	left = off < n->size ? n->size - off : 0;
	*ret_len = len < left ? len : left;
	if (*ret_len > 0)
		memcpy(buf, n->mem + off, *ret_len);
	return OK;
}

static int d_truncate(struct disk *d, int file, uint64_t bytes)
{
	struct sim_fs *fs = self(d)->fs;
	struct inode *n = handle(d, file)->node;

	called(d, "truncate");
	fs_change_add(fs, n, CH_TRUNCATE, bytes, 0);
	fs->used += bytes - fs_blocks(n);
	n->reserved = 0;
	fs_set_size(fs, &n->mem, &n->cap, &n->size, bytes);
	return OK;
}

static int d_reserve(struct disk *d, int file, uint64_t off, uint64_t bytes)
{
	struct sim_fs *fs = self(d)->fs;
	struct inode *n = handle(d, file)->node;
	uint64_t old = fs_blocks(n), to = off + bytes > old ? off + bytes : old;

	called(d, "reserve");
	if (fs->faults.capacity_bytes > 0 && fs->used + (to - old) > fs->faults.capacity_bytes) {
		fs->counts.nospc++;
		return E_NOSPC;
	}
	fs->counts.reserves++;
	n->reserved = to;
	fs->used += to - old;
	return OK;
}

static bool d_is_warm(struct disk *d, int file, uint64_t off, uint64_t len)
{
	struct sim_fs *fs = self(d)->fs;

	(void)handle(d, file);
	(void)off;
	(void)len;
	if (self(d)->warmed || !sim_chance(fs->sim, fs->faults.cold))
		return true;
	fs->counts.cold++;
	return false;
}

static int d_rename(struct disk *d, const char *from, const char *to)
{
	struct sim_fs *fs = self(d)->fs;

	called(d, "rename");
	if (!fs_lookup(fs->names, from) || !parent_exists(fs, to))
		return E_NOENT;
	fs_name_change(fs, EN_RENAME, from, to, NULL, 0);
	fs_name_move(fs, &fs->names, from, to);
	return OK;
}

static int d_unlink(struct disk *d, const char *path)
{
	struct sim_fs *fs = self(d)->fs;

	called(d, "unlink");
	if (!fs_lookup(fs->names, path))
		return E_NOENT;
	fs_name_change(fs, EN_UNLINK, path, NULL, NULL, 0);
	fs_name_drop(fs, &fs->names, path);
	return OK;
}

static int d_mkdir(struct disk *d, const char *path)
{
	struct sim_fs *fs = self(d)->fs;

	called(d, "mkdir");
	if (fs_lookup(fs->names, path))
		return E_EXIST;
	if (!parent_exists(fs, path))
		return E_NOENT;
	fs_name_add(fs, &fs->names, path, NULL, ++fs->dirs);
	fs_name_change(fs, EN_CREATE, path, NULL, NULL, fs->dirs);
	return OK;
}

static int d_list(struct disk *d, const char *path, void (*on_name)(void *ctx, const char *name), void *ctx)
{
	struct sim_fs *fs = self(d)->fs;
	struct name *dir;

	called(d, "list");
	dir = fs_lookup(fs->names, path);
	if (!dir || !dir->dir)
		return E_NOENT;
	for (struct name *n = fs->names, *next; n; n = next) {
		next = n->next;
		if (fs_in_folder(n->path, path))
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

	called(d, "sync");
	fs->counts.syncs++;
	if (sim_chance(fs->sim, fs->faults.eio_sync)) {
		fs->counts.failed_syncs++;
		fs_changes_drop(handle(d, file)->node);	/* the kernel marks the pages clean: never synced again */
		return E_IO;
	}
	fs_inode_sync(fs, handle(d, file)->node);
	return OK;
}

static int d_sync_dir(struct disk *d, const char *path)
{
	called(d, "sync_dir");
	fs_entries_settle(self(d)->fs, path);
	return OK;
}

static int d_rmdir(struct disk *d, const char *path)
{
	struct sim_fs *fs = self(d)->fs;

	for (struct name *n = fs->names; n; n = n->next)
		if (fs_in_folder(n->path, path))
			return E_EXIST;
	return d_unlink(d, path);
}

static void op_finish(struct sim_event *e)
{
	struct sim_op *o = (struct sim_op *)e, **at = &o->disk->ops;
	struct disk_op *op = o->op;
	struct sim_disk *port = o->disk;
	struct disk *d = &port->disk;
	uint64_t stands = port->stands ? port->stands(port->ctx) : 0;
	int err = OK;

	if (stands > 0) {
		sim_at(port->fs->sim, e, stands);
		return;
	}
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
	if (port->finish)
		port->finish(port->ctx, op, err);
	else
		op->done(op, err);
}

static void d_submit(struct disk *d, struct disk_op *op)
{
	struct sim_fs *fs = self(d)->fs;
	struct sim_op *o = fs->mem.alloc(sizeof *o);
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

bool sim_disk_open(const struct sim_disk *d, uint32_t i)
{
	return i < d->n_handles && d->handles[i].node != NULL;
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
		fs_inode_unref(d->fs, d->handles[i].node);
	mem_free(d->handles);
	d->handles = NULL;
	d->n_handles = 0;
	d->incarnation++;
}

struct sim_fs *sim_fs_new(struct sim *s)
{
	struct sim_fs *fs = mem_alloc(sizeof *fs);

	fs->mem = (struct sim_fs_mem){ mem_alloc, mem_resize };
	fs->sim = s;
	fs->faults.sync_us_min = 50;
	fs->faults.sync_us_max = 3000;
	fs->faults.loss_keep_percent = 50;
	return fs;
}

void sim_fs_wipe(struct sim_fs *fs)
{
	fs_entries_drop(fs);
	while (fs->names)
		fs_name_drop(fs, &fs->names, fs->names->path);
	while (fs->dur_names)
		fs_name_drop(fs, &fs->dur_names, fs->dur_names->path);
	must(fs->inodes == NULL);
}

void sim_fs_free(struct sim_fs *fs)
{
	sim_fs_wipe(fs);
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

void sim_fs_on_call(struct sim_fs *fs, void (*hook)(void *ctx, const char *what), void *ctx)
{
	fs->call_hook = hook;
	fs->call_ctx = ctx;
}

void sim_fs_mem(struct sim_fs *fs, const struct sim_fs_mem *mem)
{
	fs->mem = *mem;
}

uint64_t sim_fs_used(const struct sim_fs *fs)
{
	return fs->used;
}

uint64_t sim_fs_reserved(struct sim_fs *fs, const char *path)
{
	struct name *n = fs_lookup(fs->names, path);

	return n && !n->dir ? fs_blocks(n->node) - n->node->size : 0;
}

const uint8_t *sim_fs_peek(struct sim_fs *fs, const char *path, uint64_t *ret_bytes)
{
	struct name *n = fs_lookup(fs->names, path);

	if (!n || n->dir)
		return NULL;
	*ret_bytes = n->node->size;
	return n->node->mem ? n->node->mem : (const uint8_t *)"";
}

bool sim_fs_rot(struct sim_fs *fs, const char *path, uint64_t off)
{
	struct name *n = fs_lookup(fs->names, path);

	if (!n || n->dir || off >= n->node->size)
		return false;
	n->node->mem[off] ^= 1;
	if (off < n->node->dur_size)
		n->node->dur[off] ^= 1;
	return true;
}
