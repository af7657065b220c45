/* clock_os.h - the clock port over the kernel's clocks. */
#ifndef OS_CLOCK_OS_H
#define OS_CLOCK_OS_H

#include "io/clock.h"

struct clock *clock_os(void);
/* 16 bytes of the kernel's randomness: seeds, ids, passwords. */
void os_random(void *buf, uint32_t len);

#endif
