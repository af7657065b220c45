/* clock.h - the port through which logic learns the time. */
#ifndef IO_CLOCK_H
#define IO_CLOCK_H

#include <stdint.h>

struct clock {
	uint64_t (*mono_us)(struct clock *self);	/* never goes back */
	int64_t (*wall_ms)(struct clock *self);		/* since 1970; may jump */
};

#endif
