/* lock_os.h - the lock port over process-shared robust mutexes. */
#ifndef OS_LOCK_OS_H
#define OS_LOCK_OS_H

#include "io/lock.h"

struct lock_port *lock_os(void);

#endif
