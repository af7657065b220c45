/* mem.c - malloc behind a live count, and arenas. */
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

struct arena_chunk {
	struct arena_chunk *older;
	size_t bytes;			/* usable, behind this header */
	_Alignas(16) uint8_t mem[];
};

void arena_init(struct arena *a, size_t chunk_bytes, size_t max)
{
	*a = (struct arena){ .chunk_bytes = chunk_bytes, .max = max };
}

void *arena_alloc(struct arena *a, size_t bytes)
{
	size_t need = (bytes + 15) & ~(size_t)15;

	if (need < bytes)
		return NULL;
	if (!a->head || a->head->bytes - a->used < need) {
		size_t n = need > a->chunk_bytes ? need : a->chunk_bytes;

		if (n > a->max || a->total > a->max - n)
			return NULL;
		struct arena_chunk *c = mem_resize(NULL, sizeof *c + n);
		c->older = a->head;
		c->bytes = n;
		a->head = c;
		a->used = 0;
		a->total += n;
	}
	void *p = a->head->mem + a->used;
	a->used += need;
	memset(p, 0, need);
	return p;
}

void *arena_array(struct arena *a, size_t n, size_t size)
{
	if (size != 0 && n > SIZE_MAX / 2 / size)
		return NULL;
	return arena_alloc(a, n * size);
}

void arena_reset(struct arena *a)
{
	while (a->head && (a->head->older || a->head->bytes > a->chunk_bytes)) {
		struct arena_chunk *c = a->head;

		a->head = c->older;
		a->total -= c->bytes;
		mem_free(c);
	}
	a->used = 0;
}

void arena_release(struct arena *a)
{
	while (a->head) {
		struct arena_chunk *c = a->head;

		a->head = c->older;
		mem_free(c);
	}
	a->used = a->total = 0;
}
