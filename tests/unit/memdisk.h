/*
 * memdisk.h - the disk port in memory, for unit tests: no system calls, faults on demand.
 *
 * Files are found by their whole path; folders are entries too. An unlinked file lives on while
 * somebody has it open. fail_in = n makes the n-th call from now on that changes something fail
 * with fail_err (and a write leave half of its bytes); 0: no fault.
 */
#ifndef UNIT_MEMDISK_H
#define UNIT_MEMDISK_H

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "io/disk.h"

#define MD_NODES 512
#define MD_HANDLES 1024

struct md_node {
	char path[800];
	uint8_t *p;
	size_t len, cap;
	uint32_t opens;
	bool used, dir, linked;
};

struct memdisk {
	struct disk port;
	struct md_node node[MD_NODES];
	int handle[MD_HANDLES];		/* node + 1; 0: free */
	uint64_t fail_in, ops;
	int fail_err;
	bool fail_stays, cold;
	uint64_t writes, syncs, opens;
};

static int md_fault(struct memdisk *m)
{
	m->ops++;
	if (m->fail_in == 0)
		return OK;
	if (m->fail_in > 1) {
		m->fail_in--;
		return OK;
	}
	m->fail_in = m->fail_stays;
	return m->fail_err;
}

static struct md_node *md_find(struct memdisk *m, const char *path)
{
	for (int i = 0; i < MD_NODES; i++)
		if (m->node[i].used && m->node[i].linked && !strcmp(m->node[i].path, path))
			return &m->node[i];
	return NULL;
}

static struct md_node *md_make(struct memdisk *m, const char *path, bool dir)
{
	for (int i = 0; i < MD_NODES; i++)
		if (!m->node[i].used) {
			m->node[i] = (struct md_node){ .used = true, .linked = true, .dir = dir };
			strncpy(m->node[i].path, path, sizeof m->node[i].path - 1);
			return &m->node[i];
		}
	must(!"memdisk: too many files");
	return NULL;
}

static void md_gone(struct md_node *n)
{
	if (!n->linked && n->opens == 0) {
		mem_free(n->p);
		*n = (struct md_node){ .used = false };
	}
}

static int md_open(struct disk *d, const char *path, unsigned flags, int *ret)
{
	struct memdisk *m = (struct memdisk *)d;
	struct md_node *n = md_find(m, path);
	char parent[800];
	int err;

	if (n && n->dir)
		return E_IO;
	if (n && (flags & DISK_CREATE) && (flags & DISK_EXCL))
		return E_EXIST;
	if (!n) {
		if (!(flags & DISK_CREATE))
			return E_NOENT;
		strncpy(parent, path, sizeof parent - 1);
		parent[sizeof parent - 1] = 0;
		*strrchr(parent, '/') = 0;
		if (!md_find(m, parent))
			return E_NOENT;
		err = md_fault(m);
		if (err)
			return err;
		n = md_make(m, path, false);
	}
	if (flags & DISK_TRUNC)
		n->len = 0;
	for (int h = 0; h < MD_HANDLES; h++)
		if (m->handle[h] == 0) {
			m->handle[h] = (int)(n - m->node) + 1;
			n->opens++;
			m->opens++;
			*ret = h;
			return OK;
		}
	must(!"memdisk: too many open files");
	return E_LIMIT;
}

static struct md_node *md_at(struct disk *d, int h)
{
	struct memdisk *m = (struct memdisk *)d;

	must(h >= 0 && h < MD_HANDLES && m->handle[h] > 0);
	return &m->node[m->handle[h] - 1];
}

static void md_close(struct disk *d, int h)
{
	struct md_node *n = md_at(d, h);

	((struct memdisk *)d)->handle[h] = 0;
	n->opens--;
	md_gone(n);
}

static int md_size(struct disk *d, int h, uint64_t *ret)
{
	*ret = md_at(d, h)->len;
	return OK;
}

static int md_pwritev(struct disk *d, int h, const struct disk_piece *v, int n, uint64_t off)
{
	struct memdisk *m = (struct memdisk *)d;
	struct md_node *f = md_at(d, h);
	int err = md_fault(m);

	m->writes++;
	for (int i = 0; i < n; i++) {
		size_t len = err ? v[i].len / 2 : v[i].len;

		if (off + len > f->cap) {
			f->cap = (off + len) * 2;
			f->p = mem_resize(f->p, f->cap);
		}
		if (off > f->len)
			memset(f->p + f->len, 0, off - f->len);
		if (len)
			memcpy(f->p + off, v[i].p, len);
		off += len;
		if (off > f->len)
			f->len = off;
		if (err)
			break;
	}
	return err;
}

static int md_pread(struct disk *d, int h, void *buf, size_t len, uint64_t off, size_t *ret)
{
	struct md_node *f = md_at(d, h);

	*ret = off >= f->len ? 0 : f->len - off < len ? f->len - off : len;
	if (*ret)
		memcpy(buf, f->p + off, *ret);
	return OK;
}

static int md_truncate(struct disk *d, int h, uint64_t bytes)
{
	struct md_node *f = md_at(d, h);
	int err = md_fault((struct memdisk *)d);

	if (err)
		return err;
	must(bytes <= f->len);
	f->len = bytes;
	return OK;
}

static int md_reserve(struct disk *d, int h, uint64_t off, uint64_t bytes)
{
	(void)d, (void)h, (void)off, (void)bytes;
	return OK;
}

static bool md_is_warm(struct disk *d, int h, uint64_t off, uint64_t len)
{
	(void)h, (void)off, (void)len;
	return !((struct memdisk *)d)->cold;
}

static int md_rename(struct disk *d, const char *from, const char *to)
{
	struct memdisk *m = (struct memdisk *)d;
	struct md_node *a = md_find(m, from), *b = md_find(m, to);
	size_t n = strlen(from);
	int err = a ? md_fault(m) : E_NOENT;

	if (err)
		return err;
	if (b) {
		must(!b->dir);
		b->linked = false;
		md_gone(b);
	}
	for (int i = 0; i < MD_NODES; i++) {
		struct md_node *x = &m->node[i];
		size_t rest = strlen(x->path) - (strlen(x->path) < n ? 0 : n) + 1;

		if (!x->used || !x->linked || strncmp(x->path, from, n) ||
		    (x->path[n] != 0 && x->path[n] != '/'))
			continue;
		must(strlen(to) + rest < sizeof x->path);
		memmove(x->path + strlen(to), x->path + n, rest);
		memcpy(x->path, to, strlen(to));
	}
	return OK;
}

static int md_unlink(struct disk *d, const char *path)
{
	struct md_node *n = md_find((struct memdisk *)d, path);
	int err = n ? md_fault((struct memdisk *)d) : E_NOENT;

	if (err)
		return err;
	n->linked = false;
	md_gone(n);
	return OK;
}

static int md_mkdir(struct disk *d, const char *path)
{
	if (md_find((struct memdisk *)d, path))
		return E_EXIST;
	int err = md_fault((struct memdisk *)d);
	if (!err)
		md_make((struct memdisk *)d, path, true);
	return err;
}

static int md_list(struct disk *d, const char *path, void (*on_name)(void *ctx, const char *name),
		   void *ctx)
{
	struct memdisk *m = (struct memdisk *)d;
	size_t n = strlen(path);

	if (!md_find(m, path))
		return E_NOENT;
	for (int i = 0; i < MD_NODES; i++) {
		struct md_node *x = &m->node[i];

		if (x->used && x->linked && !strncmp(x->path, path, n) && x->path[n] == '/' &&
		    !strchr(x->path + n + 1, '/'))
			on_name(ctx, x->path + n + 1);
	}
	return OK;
}

static int md_space(struct disk *d, const char *path, struct disk_space *ret)
{
	(void)d, (void)path;
	*ret = (struct disk_space){ 1u << 30, 1u << 29 };
	return OK;
}

static int md_sync(struct disk *d, int h)
{
	(void)h;
	((struct memdisk *)d)->syncs++;
	return OK;
}

static int md_sync_dir(struct disk *d, const char *path)
{
	return md_find((struct memdisk *)d, path) ? OK : E_NOENT;
}

static void md_submit(struct disk *d, struct disk_op *op)
{
	(void)d, (void)op;
	must(!"memdisk: submit is not used");
}

static int md_rmdir(struct disk *d, const char *path)
{
	return md_unlink(d, path);
}

static const struct disk_calls md_calls = {
	.open = md_open, .close = md_close, .size = md_size, .pwritev = md_pwritev,
	.pread = md_pread, .truncate = md_truncate, .reserve = md_reserve, .is_warm = md_is_warm,
	.rename = md_rename, .unlink = md_unlink, .mkdir = md_mkdir, .rmdir = md_rmdir,
	.list = md_list, .space = md_space, .sync = md_sync, .sync_dir = md_sync_dir,
	.submit = md_submit,
};

static inline struct memdisk *memdisk_new(const char *root)
{
	struct memdisk *m = mem_alloc(sizeof *m);

	m->port.calls = &md_calls;
	md_make(m, root, true);
	return m;
}

static inline void memdisk_free(struct memdisk *m)
{
	for (int i = 0; i < MD_NODES; i++)
		mem_free(m->node[i].p);
	mem_free(m);
}

#endif
