/* clock_os.c - see clock_os.h. */
#include "os/clock_os.h"

#include <sys/random.h>
#include <time.h>

#include "base/assert.h"

static uint64_t mono_us(struct clock *c)
{
	struct timespec t;

	(void)c;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000u + (uint64_t)t.tv_nsec / 1000u;
}

static int64_t wall_ms(struct clock *c)
{
	struct timespec t;

	(void)c;
	clock_gettime(CLOCK_REALTIME, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

struct clock *clock_os(void)
{
	static struct clock c = { mono_us, wall_ms };

	return &c;
}

void os_random(void *buf, uint32_t len)
{
	uint8_t *p = buf;

	while (len > 0) {
		ssize_t n = getrandom(p, len, 0);

		must(n > 0);
		p += n;
		len -= (uint32_t)n;
	}
}
