/*
 * ports.h - disk and lock over the operating system, blocking and small, for torture programs that
 * want neither a loop nor the daemons' ports.
 */
#ifndef TORTURE_PORTS_H
#define TORTURE_PORTS_H

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "io/disk.h"
#include "io/lock.h"

static int p_err(void)
{
	return errno == ENOENT ? E_NOENT : errno == EEXIST ? E_EXIST : errno == ENOSPC ? E_NOSPC : E_IO;
}

static int p_open(struct disk *d, const char *path, unsigned f, int *ret)
{
	(void)d;
	int fd = open(path, (f & DISK_RDONLY ? O_RDONLY : O_RDWR) | (f & DISK_CREATE ? O_CREAT : 0) |
		      (f & DISK_EXCL ? O_EXCL : 0) | (f & DISK_TRUNC ? O_TRUNC : 0) | O_CLOEXEC, 0644);

	if (fd < 0)
		return p_err();
	*ret = fd;
	return OK;
}

static void p_close(struct disk *d, int file)
{
	(void)d;
	close(file);
}

static int p_size(struct disk *d, int file, uint64_t *ret)
{
	struct stat st;

	(void)d;
	if (fstat(file, &st))
		return p_err();
	*ret = (uint64_t)st.st_size;
	return OK;
}

static int p_pwritev(struct disk *d, int file, const struct disk_piece *v, int n, uint64_t off)
{
	size_t want = 0;

	(void)d;
	for (int i = 0; i < n; i++)
		want += v[i].len;
	ssize_t got = pwritev(file, (const struct iovec *)v, n, (off_t)off);
	return got < 0 ? p_err() : (size_t)got == want ? OK : E_NOSPC;
}

static int p_pread(struct disk *d, int file, void *buf, size_t len, uint64_t off, size_t *ret)
{
	(void)d;
	ssize_t got = pread(file, buf, len, (off_t)off);

	if (got < 0)
		return p_err();
	*ret = (size_t)got;
	return OK;
}

static int p_truncate(struct disk *d, int file, uint64_t bytes)
{
	(void)d;
	return ftruncate(file, (off_t)bytes) ? p_err() : OK;
}

static int p_reserve(struct disk *d, int file, uint64_t off, uint64_t bytes)
{
	(void)d, (void)file, (void)off, (void)bytes;
	return OK;
}

static bool p_is_warm(struct disk *d, int file, uint64_t off, uint64_t len)
{
	(void)d, (void)file, (void)off, (void)len;
	return true;
}

static int p_rename(struct disk *d, const char *from, const char *to)
{
	(void)d;
	return rename(from, to) ? p_err() : OK;
}

static int p_unlink(struct disk *d, const char *path)
{
	(void)d;
	return unlink(path) ? p_err() : OK;
}

static int p_mkdir(struct disk *d, const char *path)
{
	(void)d;
	return mkdir(path, 0755) ? p_err() : OK;
}

static int p_rmdir(struct disk *d, const char *path)
{
	(void)d;
	return rmdir(path) ? p_err() : OK;
}

static int p_list(struct disk *d, const char *path, void (*on_name)(void *ctx, const char *name),
		  void *ctx)
{
	DIR *dir = opendir(path);
	struct dirent *e;

	(void)d;
	if (!dir)
		return p_err();
	while ((e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			on_name(ctx, e->d_name);
	closedir(dir);
	return OK;
}

static int p_space(struct disk *d, const char *path, struct disk_space *ret)
{
	(void)d, (void)path;
	*ret = (struct disk_space){ 1u << 30, 1u << 30 };
	return OK;
}

static int p_sync(struct disk *d, int file)
{
	(void)d, (void)file;	/* no power is lost here: the page cache survives kill -9 */
	return OK;
}

static int p_sync_dir(struct disk *d, const char *path)
{
	(void)d, (void)path;
	return OK;
}

static void p_submit(struct disk *d, struct disk_op *op)
{
	(void)d, (void)op;
	must(!"not used");
}

static const struct disk_calls p_calls = {
	.open = p_open, .close = p_close, .size = p_size, .pwritev = p_pwritev, .pread = p_pread,
	.truncate = p_truncate, .reserve = p_reserve, .is_warm = p_is_warm, .rename = p_rename,
	.unlink = p_unlink, .mkdir = p_mkdir, .rmdir = p_rmdir, .list = p_list, .space = p_space,
	.sync = p_sync, .sync_dir = p_sync_dir, .submit = p_submit,
};

_Static_assert(sizeof(pthread_mutex_t) <= sizeof(struct lock_word), "the mutex lies in the word");

static void p_lock_init(struct lock_port *l, struct lock_word *w)
{
	pthread_mutexattr_t a;

	(void)l;
	pthread_mutexattr_init(&a);
	pthread_mutexattr_setpshared(&a, PTHREAD_PROCESS_SHARED);
	pthread_mutexattr_setrobust(&a, PTHREAD_MUTEX_ROBUST);
	pthread_mutex_init((pthread_mutex_t *)w, &a);
}

/* What a thread wrote before it died is seen by who finds its lock dead: the kernel's promise, which
 * ThreadSanitizer does not know of. Counted up by a dying thread. */
static _Atomic uint64_t p_died;

static enum lock_result p_try_lock(struct lock_port *l, struct lock_word *w, struct lock_held **ret)
{
	int r = EBUSY;

	(void)l;
	for (int i = 0; i < 400 && r == EBUSY; i++)
		r = pthread_mutex_trylock((pthread_mutex_t *)w);
	*ret = (struct lock_held *)w;
	if (r == EOWNERDEAD)
		(void)atomic_load(&p_died);
	return r == 0 ? LOCK_OK : r == EBUSY ? LOCK_BUSY : r == EOWNERDEAD ? LOCK_OWNER_DIED : LOCK_LOST;
}

static void p_consistent(struct lock_port *l, struct lock_word *w, struct lock_held *h)
{
	(void)l, (void)h;
	pthread_mutex_consistent((pthread_mutex_t *)w);
}

static void p_release(struct lock_port *l, struct lock_word *w, struct lock_held *h)
{
	(void)l, (void)h;
	pthread_mutex_unlock((pthread_mutex_t *)w);
}

#endif
