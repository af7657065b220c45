/*
 * index.c - which slot holds a replica: a hash of the table's keys, private to the process that opens slots (the
 * agent), made when it opens the first one.
 *
 * Is not: the truth. An entry only says where to look; the record there is asked (its key and life). Entries of slots
 * that have another key now are passed over, and go when the hash is made anew.
 */
#include "base/mem.h"
#include "part/table.h"

struct part_index {
	uint32_t *v;			/* slot + 1; 0: empty */
	uint32_t cap, used;		/* cap: a power of two */
	uint32_t free_from;		/* no slot below it is free */
};

static uint32_t hash(const struct uuid *id, int32_t partition)
{
	uint64_t w[2], h;

	memcpy(w, id, sizeof w);
	h = (w[0] ^ w[1] ^ (uint64_t)(uint32_t)partition) * UINT64_C(0x9E3779B97F4A7C15);
	return (uint32_t)(h >> 32);
}

static void put(struct part_index *x, uint32_t slot, uint32_t h)
{
	uint32_t i = h & (x->cap - 1);

	while (x->v[i] != 0)
		i = (i + 1) & (x->cap - 1);
	x->v[i] = slot + 1;
	x->used++;
}

static void make(struct part_table *t, struct part_index *x)
{
	uint32_t end = atomic_load(&t->h->parts_end);
	struct part_key key;

	mem_free(x->v);
	for (x->cap = 1024; x->cap < 4 * end; x->cap *= 2)
		continue;
	x->v = mem_alloc(x->cap * sizeof *x->v);
	x->used = 0;
	for (uint32_t i = 0; i < end; i++) {
		if (part_slot_state(t, i) == PART_FREE)
			continue;
		part_slot_key(t, i, &key);
		put(x, i, hash(&key.topic_id, key.partition));
	}
}

static struct part_index *index_of(struct part_table *t)
{
	if (!t->index)
		t->index = mem_alloc(sizeof *t->index);
	if (t->index->used * 2 >= t->index->cap)
		make(t, t->index);
	return t->index;
}

void part_index_freed(struct part_table *t, uint32_t slot)
{
	if (t->index && slot < t->index->free_from)
		t->index->free_from = slot;
}

uint32_t part_index_find(struct part_table *t, const struct part_key *key)
{
	struct part_index *x = index_of(t);
	uint32_t mask = x->cap - 1;

	for (uint32_t i = hash(&key->topic_id, key->partition) & mask; x->v[i] != 0; i = (i + 1) & mask) {
		uint32_t slot = x->v[i] - 1;
		enum part_state s = part_slot_state(t, slot);
		struct part_record *r = part_record(t, slot);

		if (s != PART_FREE && s != PART_DELETING && part_is(r, &key->topic_id) &&
		    atomic_load(&r->partition) == key->partition)
			return slot;
	}
	return NIL;
}

static uint32_t find_free(struct part_table *t, struct part_index *x)
{
	uint32_t end = atomic_load(&t->h->parts_end), i = x->free_from;

	x->free_from = end;
	for (; i < end; i++) {
		enum part_state s = part_slot_state(t, i);

		if (s == PART_DELETING || s == PART_FREE)	/* it will be free one day, or is */
			part_index_freed(t, i);
		if (s == PART_FREE)
			return i;
	}
	return NIL;
}

uint32_t part_index_free(struct part_table *t)
{
	struct part_index *x = index_of(t);
	uint32_t slot = find_free(t, x);

	if (slot != NIL || atomic_load(&t->h->parts_end) < t->lim.parts)
		return slot;
	x->free_from = 0;		/* the last resort: others may have given one up */
	return find_free(t, x);
}

void part_index_add(struct part_table *t, uint32_t slot, const struct part_key *key)
{
	put(index_of(t), slot, hash(&key->topic_id, key->partition));
}

void part_index_release(struct part_table *t)
{
	if (t->index)
		mem_free(t->index->v);
	mem_free(t->index);
}
