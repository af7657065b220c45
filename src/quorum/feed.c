/* feed.c - see feed.h. */
#include "quorum/feed.h"

#include <string.h>

#include "base/mem.h"

bool feed_public(bool secret, const struct coord_acl *acl)
{
	static const uint8_t nobody[4];

	return !secret && coord_allows(acl, PERM_READ, (struct bytes){ nobody, sizeof nobody });
}

void feed_init(struct feed *f, int64_t floor)
{
	*f = (struct feed){ .cap = 1024, .floor = floor };
	f->ring = mem_alloc(f->cap * sizeof *f->ring);
}

static void drop_first(struct feed *f)
{
	struct feed_entry *e = &f->ring[f->first++ & (f->cap - 1)];

	f->floor = e->zxid;
	f->bytes -= e->bytes;
	mem_free(e->v);
	e->v = NULL;
}

void feed_release(struct feed *f)
{
	while (f->first < f->next)
		drop_first(f);
	mem_free(f->ring);
	f->ring = NULL;
}

void feed_add(struct feed *f, int64_t zxid, const struct coord_change *v, uint32_t n)
{
	size_t bytes = n * sizeof(struct feed_change);

	if (n == 0)
		return;
	for (uint32_t i = 0; i < n; i++) {
		bytes += (size_t)v[i].path.len;
		bytes += v[i].node && v[i].node->value_len > 0 ? (size_t)v[i].node->value_len : 0;
	}
	if (f->next - f->first == f->cap) {
		struct feed_entry *ring = mem_alloc(f->cap * 2 * sizeof *ring);

		for (uint64_t s = f->first; s < f->next; s++)
			ring[s & (f->cap * 2 - 1)] = f->ring[s & (f->cap - 1)];
		mem_free(f->ring);
		f->ring = ring;
		f->cap *= 2;
	}
	struct feed_change *c = mem_alloc(bytes);
	char *at = (char *)(c + n);

	for (uint32_t i = 0; i < n; i++) {
		const struct znode *z = v[i].node;

		memcpy(at, v[i].path.p, (size_t)v[i].path.len);
		c[i] = (struct feed_change){ .deleted = v[i].deleted, .secret = !feed_public(v[i].secret, v[i].acl),
					     .path = { at, v[i].path.len }, .value = BYTES_NULL };
		at += v[i].path.len;
		if (!z)
			continue;
		c[i].value = (struct bytes){ (uint8_t *)at, z->value_len };
		if (z->value_len > 0) {
			memcpy(at, z->value, (size_t)z->value_len);
			at += z->value_len;
		}
		c[i].version = z->version;
		c[i].czxid = z->czxid;
		c[i].mzxid = z->mzxid;
		c[i].owner = coord_owner(z);
	}
	f->ring[f->next++ & (f->cap - 1)] = (struct feed_entry){ zxid, n, (uint32_t)bytes, c };
	f->bytes += bytes;
	while (f->bytes > FEED_BYTES_MAX && f->next - f->first > 1)
		drop_first(f);
}

bool feed_seek(const struct feed *f, int64_t from, uint64_t *ret_seq)
{
	uint64_t lo = f->first, hi = f->next;

	if (from < f->floor)
		return false;
	while (lo < hi) {
		uint64_t mid = lo + (hi - lo) / 2;

		if (f->ring[mid & (f->cap - 1)].zxid > from)
			hi = mid;
		else
			lo = mid + 1;
	}
	*ret_seq = lo;
	return true;
}

const struct feed_entry *feed_at(const struct feed *f, uint64_t seq)
{
	return seq < f->first || seq >= f->next ? NULL : &f->ring[seq & (f->cap - 1)];
}
