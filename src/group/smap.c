/* smap.c - see smap.h. */
#include "group/smap.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

static uint64_t hash_text(uint64_t seed, struct str key)
{
	uint64_t h = seed ^ UINT64_C(0xcbf29ce484222325);

	for (int32_t i = 0; i < key.len; i++)
		h = (h ^ (uint8_t)key.p[i]) * UINT64_C(0x100000001b3);
	h ^= h >> 32;
	h *= UINT64_C(0x9E3779B97F4A7C15);
	return h ^ h >> 29;
}

void smap_init(struct smap *m, uint64_t seed)
{
	*m = (struct smap){ .seed = seed };
}

void smap_release(struct smap *m)
{
	mem_free(m->slot);
	*m = (struct smap){ .seed = m->seed };
}

struct smap_node *smap_find(const struct smap *m, struct str key)
{
	if (!m->n)
		return NULL;
	uint64_t h = hash_text(m->seed, key);

	for (struct smap_node *n = m->slot[h & (m->slots - 1)]; n; n = n->next)
		if (n->hash == h && str_eq(n->key, key))
			return n;
	return NULL;
}

static void grow(struct smap *m)
{
	uint32_t slots = m->slots ? m->slots * 2 : 8;
	struct smap_node **v = mem_alloc(slots * sizeof *v);

	for (uint32_t i = 0; i < m->slots; i++)
		for (struct smap_node *n = m->slot[i], *next; n; n = next) {
			next = n->next;
			n->next = v[n->hash & (slots - 1)];
			v[n->hash & (slots - 1)] = n;
		}
	mem_free(m->slot);
	m->slot = v;
	m->slots = slots;
}

void smap_add(struct smap *m, struct smap_node *n, struct str key)
{
	if (m->n >= m->slots)
		grow(m);
	n->key = key;
	n->hash = hash_text(m->seed, key);
	struct smap_node **at = &m->slot[n->hash & (m->slots - 1)];

	n->next = *at;
	*at = n;
	m->n++;
}

void smap_del(struct smap *m, struct smap_node *n)
{
	struct smap_node **at = &m->slot[n->hash & (m->slots - 1)];

	while (*at != n) {
		must(*at);
		at = &(*at)->next;
	}
	*at = n->next;
	n->next = NULL;
	m->n--;
}

struct smap_node *smap_each(const struct smap *m, const struct smap_node *prev)
{
	if (prev && prev->next)
		return prev->next;
	for (uint32_t i = prev ? (uint32_t)(prev->hash & (m->slots - 1)) + 1 : 0; i < m->slots; i++)
		if (m->slot[i])
			return m->slot[i];
	return NULL;
}
