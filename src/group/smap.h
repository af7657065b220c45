/*
 * smap.h - a hash map from text to nodes that the caller embeds; seeded, grows, never shrinks.
 *
 * Is not: an owner. Key bytes belong to whoever owns the node. Order of smap_each() is that of
 * the slots: nothing that a client sees may depend on it.
 */
#ifndef GROUP_SMAP_H
#define GROUP_SMAP_H

#include <stddef.h>

#include "base/str.h"

#define SMAP_OF(node, type, field) ((type *)(void *)((char *)(node) - offsetof(type, field)))

struct smap_node {
	struct smap_node *next;
	struct str key;
	uint64_t hash;
};

struct smap {
	struct smap_node **slot;
	uint32_t slots;			/* 0 or a power of two */
	uint32_t n;
	uint64_t seed;
};

void smap_init(struct smap *m, uint64_t seed);
/* Frees the slots; the nodes are the caller's. */
void smap_release(struct smap *m);
/* NULL: no such key. */
struct smap_node *smap_find(const struct smap *m, struct str key);
/* The key must not be there yet. */
void smap_add(struct smap *m, struct smap_node *n, struct str key);
void smap_del(struct smap *m, struct smap_node *n);
/* The node after prev (NULL: the first) or NULL. Removing `prev` before the call is not allowed;
 * take the next one first. */
struct smap_node *smap_each(const struct smap *m, const struct smap_node *prev);

#endif
