/* crc_bench.c - GB/s of each way to CRC-32C on this processor, best of 7. */
#include <stdio.h>
#include <time.h>

#include "base/crc32c.h"
#include "base/mem.h"
#include "base/rng.h"

static double cpu_seconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static double speed(enum crc32c_way way, const uint8_t *p, size_t n)
{
	volatile uint32_t sink = 0;	/* keeps the calls alive */
	double from = cpu_seconds(), now;
	size_t bytes = 0;

	do {
		for (int i = 0; i < (n < 65536 ? 64 : 1); i++, bytes += n)
			sink = crc32c_by(way, sink, p, n);
		now = cpu_seconds();
	} while (now - from < 0.02);
	return (double)bytes / (now - from) / 1e9;
}

int main(void)
{
	static const char *const names[CRC32C_WAYS] = { "table", "sse4.2", "wide" };
	static const size_t sizes[] = { 64, 512, 1024, 16384, 65536, 1 << 20, 64 << 20 };
	uint8_t *p = mem_alloc(64 << 20);
	struct rng rng;

	rng_init(&rng, 1);
	for (size_t i = 0; i < 64 << 20; i++)
		p[i] = (uint8_t)rng_next(&rng);
	for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
		printf("%9zu B:", sizes[s]);
		for (enum crc32c_way w = 0; w < CRC32C_WAYS; w++) {
			double best = 0;

			for (int r = 0; r < (w == CRC32C_TABLE ? 1 : 7) && crc32c_can(w); r++) {
				double v = speed(w, p, sizes[s]);

				best = v > best ? v : best;
			}
			printf("  %s %.1f GB/s", names[w], best);
		}
		printf("\n");
	}
	mem_free(p);
	return 0;
}
