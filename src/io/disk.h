/*
 * disk.h - the port through which logic touches files.
 *
 * Two kinds of call, because records are written under the partition's lock:
 *   now      open, size, pwritev into the page cache, pread of what is warm, truncate, rename ...:
 *            they return with their result. At most 1 MiB a pwritev.
 *   later    whatever may wait for a device (fdatasync, cold read, unlink of a big file): an embedded
 *            request (struct disk_op) served off the loop. submit() never blocks and never calls
 *            done() itself; done() comes later from the loop (src/os) or the simulator (src/sim).
 *            Until done() runs, op and its buffer belong to the port.
 *
 * All calls return OK or a negative enum err; E_NOSPC is told apart from E_IO. A file handle is a
 * small number of this port (in src/os: the descriptor itself), private to the process.
 * Paths are absolute or relative to the process' start folder, 0-terminated.
 */
#ifndef IO_DISK_H
#define IO_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct disk_piece {			/* same layout as struct iovec */
	const void *p;
	size_t len;
};

enum disk_flag {
	DISK_RDONLY = 1u << 0,		/* otherwise read and write */
	DISK_CREATE = 1u << 1,		/* make it when it is missing */
	DISK_EXCL = 1u << 2,		/* with CREATE: E_EXIST when it is there */
	DISK_TRUNC = 1u << 3,
};

enum disk_what {
	DISK_SYNC = 1,			/* fdatasync of file */
	DISK_SYNC_DIR,			/* fsync of the folder path */
	DISK_READ,			/* pread that may wait: buf, len, off; ret_len */
	DISK_WARM,			/* bring [off, off + len) into the page cache */
	DISK_UNLINK,			/* unlink of path */
};

struct disk_op {
	enum disk_what what;
	int file;			/* SYNC, READ, WARM */
	const char *path;		/* SYNC_DIR, UNLINK */
	uint64_t off;
	void *buf;
	uint32_t len;
	uint32_t ret_len;		/* READ: bytes read, short only at the end of the file */
	void (*done)(struct disk_op *op, int err);
	int err;			/* for the port only */
	struct disk_op *next;		/* for the port only */
};

struct disk_space {
	uint64_t total_bytes, free_bytes;	/* free: for an unprivileged writer */
};

struct disk {
	const struct disk_calls *calls;
};

struct disk_calls {
	int (*open)(struct disk *d, const char *path, unsigned flags, int *ret_file);
	void (*close)(struct disk *d, int file);
	int (*size)(struct disk *d, int file, uint64_t *ret_bytes);
	/* All or an error; after an error the file may be longer than before (torn). */
	int (*pwritev)(struct disk *d, int file, const struct disk_piece *v, int n, uint64_t off);
	/* ret_len < len only at the end of the file. */
	int (*pread)(struct disk *d, int file, void *buf, size_t len, uint64_t off, size_t *ret_len);
	int (*truncate)(struct disk *d, int file, uint64_t bytes);
	/* Reserves blocks behind the end without changing the size; E_NOSPC or OK; a file system
	 * that cannot is OK too (it is only a hint). */
	int (*reserve)(struct disk *d, int file, uint64_t off, uint64_t bytes);
	/* True: [off, off + len) is in the page cache and can be sent without waiting. */
	bool (*is_warm)(struct disk *d, int file, uint64_t off, uint64_t len);
	int (*rename)(struct disk *d, const char *from, const char *to);
	int (*unlink)(struct disk *d, const char *path);	/* small files only */
	int (*mkdir)(struct disk *d, const char *path);		/* E_EXIST when it is there */
	int (*rmdir)(struct disk *d, const char *path);
	/* Calls on_name for each name in the folder but . and .., in no order. */
	int (*list)(struct disk *d, const char *path,
		    void (*on_name)(void *ctx, const char *name), void *ctx);
	int (*space)(struct disk *d, const char *path, struct disk_space *ret);
	/* Blocking syncs: for start-up and small checkpoints in processes that serve nobody. */
	int (*sync)(struct disk *d, int file);
	int (*sync_dir)(struct disk *d, const char *path);
	void (*submit)(struct disk *d, struct disk_op *op);
};

#endif
