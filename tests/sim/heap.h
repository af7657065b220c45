/*
 * heap.h - base/mem.h over heaps that can be dropped whole: memory of simulated processes.
 *
 * Takes the place of base/mem.c in the simulator, as a port takes the place of the system: each
 * simulated process has a heap. When the process is killed, its heap is dropped, whatever it had
 * allocated; when it ends in order, its heap must be empty, or it leaks.
 */
#ifndef SIM_HEAP_H
#define SIM_HEAP_H

#include <stddef.h>
#include <stdint.h>

struct heap {
	struct heap_block *first;
	uint64_t blocks;		/* allocated now */
	uint64_t allocs;		/* calls so far */
};

/* Allocations come from h from now on (NULL: the simulator's own); returns what it was before. */
struct heap *heap_enter(struct heap *h);
/* Frees every block of h. */
void heap_drop(struct heap *h);

#endif
