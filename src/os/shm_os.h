/*
 * shm_os.h - memory that survives the death of every process of the broker: files on a tmpfs.
 */
#ifndef OS_SHM_OS_H
#define OS_SHM_OS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* True: path is a folder on a tmpfs. */
bool shm_is_tmpfs(const char *path);
/* Makes a folder and its parents; E_PERM, E_IO. */
int shm_mkdir(const char *path);
/* Maps a file of at least `bytes` shared and writable (made sparse when missing, grown when shorter).
 * E_NOENT: missing and !create. */
int shm_map(const char *path, size_t bytes, bool create, void **ret_mem, int *ret_fd);
/* Shared memory without a file, as a descriptor (closed on exec); "/proc/self/fd/N" is its path. < 0: none. */
int shm_memory(const char *name);
/* Empties what nobody maps any more: a file is removed, memory without a file cut to nothing. OK when it
 * is not there. */
int shm_clear(const char *path);
/* Allocates [off, off + len) so that touching it cannot fail later; E_NOSPC. */
int shm_grow(int fd, uint64_t off, uint64_t len);
/* Whole small files, for images. */
int shm_write(const char *path, const void *p, size_t bytes);
int shm_map_ro(const char *path, const void **ret_mem, size_t *ret_bytes);
void shm_unmap(const void *mem, size_t bytes);

#endif
