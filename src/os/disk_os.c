/* disk_os.c - see disk_os.h. */
#include "os/disk_os.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"

#define THREADS_MAX 32
#define STACK_BYTES (64 << 10)

_Static_assert(sizeof(struct disk_piece) == sizeof(struct iovec), "disk_piece is an iovec");

struct disk_os {
	struct disk disk;		/* first member: the port */
	int threads, started, idle;
	pthread_mutex_t mu;
	pthread_cond_t more;
	struct disk_op *todo, **todo_tail;
	struct disk_op *done, **done_tail;
	int event_fd;
};

int os_err(int e)
{
	switch (e) {
	case 0:
		return OK;
	case ENOSPC:
	case EDQUOT:
		return E_NOSPC;
	case ENOENT:
		return E_NOENT;
	case EEXIST:
	case ENOTEMPTY:
		return E_EXIST;
	case EACCES:
	case EPERM:
	case EROFS:
		return E_PERM;
	case EMFILE:
	case ENFILE:
	case ENOMEM:
		return E_LIMIT;
	default:
		return E_IO;
	}
}

static int d_open(struct disk *d, const char *path, unsigned flags, int *ret)
{
	int fl = O_CLOEXEC | (flags & DISK_RDONLY ? O_RDONLY : O_RDWR);

	(void)d;
	fl |= flags & DISK_CREATE ? O_CREAT : 0;
	fl |= flags & DISK_EXCL ? O_EXCL : 0;
	fl |= flags & DISK_TRUNC ? O_TRUNC : 0;
	int fd = open(path, fl, 0640);
	if (fd < 0)
		return os_err(errno);
	*ret = fd;
	return OK;
}

static void d_close(struct disk *d, int file)
{
	(void)d;
	close(file);
}

/* Not fstat(): who reads a file's times makes the next write to it store a new, finer one (multigrain
 * timestamps, Linux 6.13), which costs a journal entry a write. Nobody uses the offset that this moves. */
static int d_size(struct disk *d, int file, uint64_t *ret)
{
	off_t end = lseek(file, 0, SEEK_END);

	(void)d;
	if (end < 0)
		return os_err(errno);
	*ret = (uint64_t)end;
	return OK;
}

/* What is left of v[0..n) behind `skip` bytes goes to w; returns how many pieces. */
static int rest_of(const struct disk_piece *v, int n, size_t skip, struct iovec *w)
{
	int k = 0;

	for (int i = 0; i < n && k < IOV_MAX; i++) {
		if (skip >= v[i].len) {
			skip -= v[i].len;
			continue;
		}
		w[k++] = (struct iovec){ (char *)(uintptr_t)v[i].p + skip, v[i].len - skip };
		skip = 0;
	}
	return k;
}

static int d_pwritev(struct disk *d, int file, const struct disk_piece *v, int n, uint64_t off)
{
	struct iovec w[IOV_MAX];
	size_t total = 0, at = 0;

	(void)d;
	for (int i = 0; i < n; i++)
		total += v[i].len;
	while (at < total) {
		int k = rest_of(v, n, at, w);
		ssize_t got = pwritev(file, w, k, (off_t)(off + at));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return os_err(errno);
		if (got == 0)
			return E_IO;
		at += (size_t)got;
	}
	return OK;
}

static int d_pread(struct disk *d, int file, void *buf, size_t len, uint64_t off, size_t *ret_len)
{
	size_t at = 0;

	(void)d;
	while (at < len) {
		ssize_t got = pread(file, (char *)buf + at, len - at, (off_t)(off + at));

		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return os_err(errno);
		if (got == 0)
			break;
		at += (size_t)got;
	}
	*ret_len = at;
	return OK;
}

static int d_truncate(struct disk *d, int file, uint64_t bytes)
{
	(void)d;
	return ftruncate(file, (off_t)bytes) == 0 ? OK : os_err(errno);
}

static int d_reserve(struct disk *d, int file, uint64_t off, uint64_t bytes)
{
	(void)d;
	if (fallocate(file, FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)bytes) == 0)
		return OK;
	return errno == ENOSPC || errno == EDQUOT ? E_NOSPC : OK;
}

#ifndef __NR_cachestat
#define __NR_cachestat 451
#endif

static bool d_is_warm(struct disk *d, int file, uint64_t off, uint64_t len)
{
	struct { uint64_t off, len; } range = { off, len };
	struct { uint64_t cache, dirty, writeback, evicted, recently_evicted; } cs;
	uint64_t page = 4096;
	char c;

	(void)d;
	if (len == 0)
		return true;
	if (syscall(__NR_cachestat, file, &range, &cs, 0) == 0)
		return cs.cache >= (off + len + page - 1) / page - off / page;
	/* Kernels before 6.5: ask for the last byte without waiting. */
	struct iovec v = { &c, 1 };
	return preadv2(file, &v, 1, (off_t)(off + len - 1), RWF_NOWAIT) == 1;
}

static int d_rename(struct disk *d, const char *from, const char *to)
{
	(void)d;
	return rename(from, to) == 0 ? OK : os_err(errno);
}

static int d_unlink(struct disk *d, const char *path)
{
	(void)d;
	return unlink(path) == 0 ? OK : os_err(errno);
}

static int d_mkdir(struct disk *d, const char *path)
{
	(void)d;
	return mkdir(path, 0750) == 0 ? OK : os_err(errno);
}

static int d_rmdir(struct disk *d, const char *path)
{
	(void)d;
	return rmdir(path) == 0 ? OK : os_err(errno);
}

static int d_list(struct disk *d, const char *path, void (*on_name)(void *ctx, const char *name), void *ctx)
{
	DIR *dir = opendir(path);

	(void)d;
	if (!dir)
		return os_err(errno);
	for (struct dirent *e; (e = readdir(dir)) != NULL;)
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			on_name(ctx, e->d_name);
	closedir(dir);
	return OK;
}

static int d_space(struct disk *d, const char *path, struct disk_space *ret)
{
	struct statvfs s;

	(void)d;
	if (statvfs(path, &s) != 0)
		return os_err(errno);
	ret->total_bytes = (uint64_t)s.f_blocks * s.f_frsize;
	ret->free_bytes = (uint64_t)s.f_bavail * s.f_frsize;
	return OK;
}

static int d_sync(struct disk *d, int file)
{
	(void)d;
	return fdatasync(file) == 0 ? OK : os_err(errno);
}

static int d_sync_dir(struct disk *d, const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

	(void)d;
	if (fd < 0)
		return os_err(errno);
	int err = fsync(fd) == 0 ? OK : os_err(errno);
	close(fd);
	return err;
}

static int op_run(struct disk_os *d, struct disk_op *op)
{
	size_t n = 0;
	int err;

	switch (op->what) {
	case DISK_SYNC:
		return d_sync(&d->disk, op->file);
	case DISK_SYNC_DIR:
		return d_sync_dir(&d->disk, op->path);
	case DISK_READ:
		err = d_pread(&d->disk, op->file, op->buf, op->len, op->off, &n);
		op->ret_len = (uint32_t)n;
		return err;
	case DISK_WARM: {
		char page[4096];

		(void)posix_fadvise(op->file, (off_t)op->off, (off_t)op->len, POSIX_FADV_WILLNEED);
		for (uint64_t at = 0; at < op->len; at += sizeof page) {
			err = d_pread(&d->disk, op->file, page, 1, op->off + at, &n);
			if (err != OK)
				return err;
		}
		return OK;
	}
	case DISK_UNLINK:
		return d_unlink(&d->disk, op->path);
	}
	return E_BAD;
}


static void *thread_main(void *arg)
{
	struct disk_os *d = arg;

	pthread_mutex_lock(&d->mu);
	for (;;) {
		while (!d->todo) {
			d->idle++;
			pthread_cond_wait(&d->more, &d->mu);
			d->idle--;
		}
		struct disk_op *op = d->todo;

		d->todo = op->next;
		if (!d->todo)
			d->todo_tail = &d->todo;
		pthread_mutex_unlock(&d->mu);
		int err = op_run(d, op);
		pthread_mutex_lock(&d->mu);
		op->next = NULL;
		op->err = err;
		*d->done_tail = op;
		d->done_tail = &op->next;
		uint64_t one = 1;
		if (write(d->event_fd, &one, sizeof one) < 0)
			must(errno == EAGAIN);
	}
	return NULL;
}

static void on_done(void *ctx, int fd)
{
	struct disk_os *d = ctx;
	uint64_t n;

	if (read(fd, &n, sizeof n) < 0)
		return;
	pthread_mutex_lock(&d->mu);
	struct disk_op *op = d->done;
	d->done = NULL;
	d->done_tail = &d->done;
	pthread_mutex_unlock(&d->mu);
	while (op) {
		struct disk_op *next = op->next;

		op->done(op, op->err);
		op = next;
	}
}

static void thread_start(struct disk_os *d)
{
	pthread_attr_t a;
	pthread_t t;

	must(pthread_attr_init(&a) == 0);
	pthread_attr_setstacksize(&a, STACK_BYTES);
	pthread_attr_setdetachstate(&a, PTHREAD_CREATE_DETACHED);
	must(pthread_create(&t, &a, thread_main, d) == 0);
	pthread_attr_destroy(&a);
	d->started++;
}

static void d_submit(struct disk *port, struct disk_op *op)
{
	struct disk_os *d = (struct disk_os *)port;

	must(d->event_fd >= 0);
	pthread_mutex_lock(&d->mu);
	op->next = NULL;
	*d->todo_tail = op;
	d->todo_tail = &op->next;
	if (d->idle == 0 && d->started < d->threads)
		thread_start(d);
	pthread_cond_signal(&d->more);
	pthread_mutex_unlock(&d->mu);
}

static const struct disk_calls calls = {
	.open = d_open, .close = d_close, .size = d_size, .pwritev = d_pwritev, .pread = d_pread,
	.truncate = d_truncate, .reserve = d_reserve, .is_warm = d_is_warm, .rename = d_rename,
	.unlink = d_unlink, .mkdir = d_mkdir, .rmdir = d_rmdir, .list = d_list, .space = d_space,
	.sync = d_sync, .sync_dir = d_sync_dir, .submit = d_submit,
};

struct disk *disk_os_new(struct loop_os *loop, int threads)
{
	struct disk_os *d = mem_alloc(sizeof *d);

	d->disk.calls = &calls;
	d->threads = threads < THREADS_MAX ? threads : THREADS_MAX;
	d->todo_tail = &d->todo;
	d->done_tail = &d->done;
	d->event_fd = -1;
	must(pthread_mutex_init(&d->mu, NULL) == 0);
	must(pthread_cond_init(&d->more, NULL) == 0);
	if (loop) {
		d->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
		must(d->event_fd >= 0);
		loop_os_watch(loop, d->event_fd, on_done, d);
	}
	return &d->disk;
}
