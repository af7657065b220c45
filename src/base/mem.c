/* mem.c - malloc behind a live count. */
#include "base/mem.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"

static _Atomic uint64_t live;

void *mem_alloc(size_t bytes)
{
	void *p = calloc(1, bytes ? bytes : 1);

	must(p != NULL);
	atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
	return p;
}

void *mem_resize(void *p, size_t bytes)
{
	void *q = realloc(p, bytes ? bytes : 1);

	must(q != NULL);
	if (!p)
		atomic_fetch_add_explicit(&live, 1, memory_order_relaxed);
	return q;
}

void mem_free(void *p)
{
	if (p)
		atomic_fetch_sub_explicit(&live, 1, memory_order_relaxed);
	free(p);
}

char *mem_strdup(const char *p, size_t n)
{
	char *s = mem_alloc(n + 1);

	memcpy(s, p, n);
	return s;
}

uint64_t mem_live(void)
{
	return atomic_load_explicit(&live, memory_order_relaxed);
}
