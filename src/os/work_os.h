/* work_os.h - the work port by one thread, started when first needed. */
#ifndef OS_WORK_OS_H
#define OS_WORK_OS_H

#include "io/work.h"
#include "os/loop_os.h"

/* Lives as long as the process. */
struct work_port *work_os_new(struct loop_os *loop);

#endif
