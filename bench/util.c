/* util.c - time, latencies, ends. See bench.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "bench.h"

uint64_t now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

void die(const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	fputs("bench: ", stderr);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
	va_end(ap);
	exit(1);
}

void hist_add(struct hist *h, uint64_t ns)
{
	unsigned top = 63u - (unsigned)__builtin_clzll(ns | HIST_SUB);
	size_t i = (size_t)(top - 5) * HIST_SUB + (ns >> (top - 5));

	h->at[i < HIST_N ? i : HIST_N - 1]++;
	h->n++;
}

void hist_merge(struct hist *h, const struct hist *from)
{
	h->n += from->n;
	for (size_t i = 0; i < HIST_N; i++)
		h->at[i] += from->at[i];
}

double hist_us(const struct hist *h, double q)
{
	uint64_t want = (uint64_t)((double)h->n * q), seen = 0;

	for (size_t i = 0; i < HIST_N && h->n > 0; i++) {
		seen += h->at[i];
		if (seen <= want && seen < h->n)
			continue;
		size_t e = i < 2 * HIST_SUB ? 0 : i / HIST_SUB - 1;
		return (double)((i - e * HIST_SUB) << e) / 1e3;
	}
	return 0;
}

static int by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

double median(double *v, int n)
{
	qsort(v, (size_t)n, sizeof *v, by_size);
	return n == 0 ? 0 : n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

/* MemFree of /proc/meminfo in bytes; 0: not known. */
static uint64_t memory_free(void)
{
	char line[128];
	unsigned long long kib = 0;
	FILE *f = fopen("/proc/meminfo", "re");

	while (f && fgets(line, sizeof line, f) && sscanf(line, "MemFree: %llu", &kib) != 1)
		;
	if (f)
		fclose(f);
	return (uint64_t)kib << 10;
}

void memory_touch(void)
{
	pid_t pid = fork();

	if (pid == 0) {			/* where memory is limited it may be ended by that: nothing is lost */
		uint64_t n = memory_free() / 10 * 9;
		void *p = n > 0 ? mmap(NULL, n, PROT_READ | PROT_WRITE,
				       MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_POPULATE, -1, 0) : MAP_FAILED;

		_exit(p == MAP_FAILED);
	}
	if (pid > 0)
		waitpid(pid, NULL, 0);
}
