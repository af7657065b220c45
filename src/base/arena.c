/* arena.c - the arenas of mem.h. */
#include "base/mem.h"

#include <string.h>

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
