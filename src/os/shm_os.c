/* shm_os.c - see shm_os.h. */
#include "os/shm_os.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "os/disk_os.h"

bool shm_is_tmpfs(const char *path)
{
	struct statfs s;

	return statfs(path, &s) == 0 && s.f_type == TMPFS_MAGIC;
}

int shm_mkdir(const char *path)
{
	char part[1024];
	size_t n = strlen(path);

	if (n >= sizeof part)
		return E_LIMIT;
	for (size_t i = 1; i <= n; i++)
		if (path[i] == '/' || path[i] == 0) {
			memcpy(part, path, i);
			part[i] = 0;
			if (mkdir(part, 0750) != 0 && errno != EEXIST)
				return os_err(errno);
		}
	return OK;
}

int shm_map(const char *path, size_t bytes, bool create, void **ret_mem, int *ret_fd)
{
	int fd = open(path, O_RDWR | O_CLOEXEC | (create ? O_CREAT : 0), 0600);
	struct stat sb;

	if (fd < 0)
		return os_err(errno);
	if (fstat(fd, &sb) != 0 || ((size_t)sb.st_size < bytes && ftruncate(fd, (off_t)bytes) != 0)) {
		close(fd);
		return E_IO;
	}
	void *p = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, fd, 0);
	if (p == MAP_FAILED) {
		close(fd);
		return E_LIMIT;
	}
	*ret_mem = p;
	*ret_fd = fd;
	return OK;
}

int shm_memory(const char *name)
{
	return memfd_create(name, MFD_CLOEXEC);
}

int shm_clear(const char *path)
{
	bool memory = strncmp(path, "/proc/", 6) == 0;

	return (memory ? truncate(path, 0) : unlink(path)) == 0 || errno == ENOENT ? OK : os_err(errno);
}

int shm_grow(int fd, uint64_t off, uint64_t len)
{
	return posix_fallocate(fd, (off_t)off, (off_t)len) == 0 ? OK : E_NOSPC;
}

int shm_write(const char *path, const void *p, size_t bytes)
{
	char tmp[1100];
	int fd, err = OK;

	if (snprintf(tmp, sizeof tmp, "%s.tmp", path) >= (int)sizeof tmp)
		return E_LIMIT;
	fd = open(tmp, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		return os_err(errno);
	for (size_t at = 0; at < bytes && err == OK;) {
		ssize_t n = write(fd, (const char *)p + at, bytes - at);

		if (n <= 0)
			err = os_err(errno);
		else
			at += (size_t)n;
	}
	close(fd);
	if (err == OK && rename(tmp, path) != 0)
		err = os_err(errno);
	if (err != OK)
		unlink(tmp);
	return err;
}

int shm_map_ro(const char *path, const void **ret_mem, size_t *ret_bytes)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	struct stat sb;

	if (fd < 0)
		return os_err(errno);
	void *p = fstat(fd, &sb) == 0 && sb.st_size > 0 ?
		  mmap(NULL, (size_t)sb.st_size, PROT_READ, MAP_SHARED, fd, 0) : MAP_FAILED;
	close(fd);
	if (p == MAP_FAILED)
		return E_IO;
	*ret_mem = p;
	*ret_bytes = (size_t)sb.st_size;
	return OK;
}

void shm_unmap(const void *mem, size_t bytes)
{
	munmap((void *)(uintptr_t)mem, bytes);
}
