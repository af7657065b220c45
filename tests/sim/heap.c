/* heap.c - see heap.h. A block knows its heap, so it may be freed from anywhere. */
#include "heap.h"

#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

struct heap_block {
	struct heap_block *next, *prev;
	struct heap *heap;
	size_t bytes;
	_Alignas(16) uint8_t mem[];
};

static struct heap machine;
static struct heap *now = &machine;

struct heap *heap_enter(struct heap *h)
{
	struct heap *was = now;

	now = h ? h : &machine;
	return was;
}

static void put_in(struct heap *h, struct heap_block *b)
{
	b->heap = h;
	b->prev = NULL;
	b->next = h->first;
	if (h->first)
		h->first->prev = b;
	h->first = b;
	h->blocks++;
}

static void take_out(struct heap_block *b)
{
	*(b->prev ? &b->prev->next : &b->heap->first) = b->next;
	if (b->next)
		b->next->prev = b->prev;
	b->heap->blocks--;
}

static struct heap_block *block(void *p)
{
	return (struct heap_block *)((uint8_t *)p - offsetof(struct heap_block, mem));
}

void *mem_alloc(size_t bytes)
{
	struct heap_block *b = calloc(1, sizeof *b + bytes);

	must(b != NULL);
	b->bytes = bytes;
	put_in(now, b);
	now->allocs++;
	return b->mem;
}

void *mem_resize(void *p, size_t bytes)
{
	struct heap *h = p ? block(p)->heap : now;

	if (p)
		take_out(block(p));
	struct heap_block *b = realloc(p ? block(p) : NULL, sizeof *b + bytes);

	must(b != NULL);
	b->bytes = bytes;
	put_in(h, b);
	h->allocs++;
	return b->mem;
}

void mem_free(void *p)
{
	if (!p)
		return;
	take_out(block(p));
	free(block(p));
}

char *mem_strdup(const char *p, size_t n)
{
	char *s = mem_alloc(n + 1);

	memcpy(s, p, n);
	return s;
}

uint64_t mem_live(void)
{
	return machine.blocks;
}

void heap_drop(struct heap *h)
{
	while (h->first)
		mem_free(h->first->mem);
}
