/*
 * mem.h - memory: the only caller of malloc in our code, arenas for requests, live counts.
 *
 * Is not: a general allocator. Three patterns are meant (docs/architecture.md, memory):
 * pools sized at start, an arena per request, and long-lived nodes of pure state machines
 * that take their memory from mem_alloc() under a named tag. Tests compare mem_live() at
 * teardown, which is this house's leak check.
 */
#ifndef BASE_MEM_H
#define BASE_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

/* Zeroed memory; never returns NULL (out of memory stops the process: a supervisor restarts it). */
void *mem_alloc(size_t bytes) __attribute__((malloc, returns_nonnull));
/* Grows or shrinks; new bytes are not zeroed. p may be NULL. */
void *mem_resize(void *p, size_t bytes) __attribute__((returns_nonnull));
/* p may be NULL. */
void mem_free(void *p);
/* A 0-terminated copy of n bytes. */
char *mem_strdup(const char *p, size_t n);
/* Blocks that are allocated now and were not freed. */
uint64_t mem_live(void);

/*
 * An arena: allocations that are all given back at once by arena_reset(). Grows by chunks up to
 * max bytes; the first chunk is kept over resets, so that a steady load allocates nothing.
 */
struct arena {
	struct arena_chunk *head;	/* newest chunk; the oldest is kept over resets */
	size_t used;			/* bytes used in head */
	size_t total;			/* bytes of all chunks */
	size_t max;			/* limit of total */
	size_t chunk_bytes;
};

void arena_init(struct arena *a, size_t chunk_bytes, size_t max);
/* 16-byte aligned, zeroed. NULL when the limit is reached: the caller answers E_LIMIT. */
void *arena_alloc(struct arena *a, size_t bytes);
/* Room for n elements of size bytes; NULL on overflow or limit. */
void *arena_array(struct arena *a, size_t n, size_t size);
/* Everything allocated from the arena is gone. */
void arena_reset(struct arena *a);
void arena_release(struct arena *a);

#endif
