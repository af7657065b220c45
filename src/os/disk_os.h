/*
 * disk_os.h - the disk port over files: page-cache calls at once, what may wait on a few threads.
 *
 * Threads are started with the first request; results come back through an eventfd in the loop.
 */
#ifndef OS_DISK_OS_H
#define OS_DISK_OS_H

#include "io/disk.h"
#include "os/loop_os.h"

/* loop NULL: submit() must not be used. threads: requests in flight at once (fdatasyncs). */
struct disk *disk_os_new(struct loop_os *loop, int threads);
/* E_NOSPC, E_NOENT ... from an errno. */
int os_err(int errno_value);

#endif
