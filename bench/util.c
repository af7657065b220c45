/* util.c - time, latencies, ends. See bench.h. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

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
