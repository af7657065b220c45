/*
 * snapshot.c - the producers of a partition in private memory, and as a file beside the log.
 *
 * `<20 digits>.producers`: what is known of every producer at that end offset, the last five
 * batches of each included. Little-endian; docs/storage-format.md.
 */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "part/table.h"

#define SNAP_MAGIC 0x52504c4du	/* "MLPR" */
#define SNAP_VERSION 1u

struct file_head {
	uint32_t magic, version;
	int64_t end;
	uint32_t n;
	uint32_t crc;			/* of this head with crc = 0, then of the entries */
};
struct file_entry {
	int64_t id;
	struct part_producer_version v;	/* tag = 0 */
};
_Static_assert(sizeof(struct file_head) == 24, "written to disk");
_Static_assert(sizeof(struct file_entry) == 128, "written to disk");

static uint32_t slot_of(const struct part_set *s, int64_t id)
{
	uint64_t h = (uint64_t)id * UINT64_C(0x9E3779B97F4A7C15);
	uint32_t i = (uint32_t)(h >> 32) & (s->hash_n - 1);

	while (s->hash[i] != 0 && s->v[s->hash[i] - 1].id != id)
		i = (i + 1) & (s->hash_n - 1);
	return i;
}

static void grow(struct part_set *s)
{
	s->cap = s->cap ? s->cap * 2 : 64;
	s->v = mem_resize(s->v, s->cap * sizeof *s->v);
	mem_free(s->hash);
	s->hash_n = s->cap * 2;
	s->hash = mem_alloc(s->hash_n * sizeof *s->hash);
	for (uint32_t i = 0; i < s->n; i++)
		s->hash[slot_of(s, s->v[i].id)] = i + 1;
}

struct part_pending *part_set_get(struct part_set *s, int64_t id)
{
	uint32_t i;

	if (s->n == s->cap)
		grow(s);
	i = slot_of(s, id);
	if (s->hash[i] == 0) {
		s->v[s->n] = (struct part_pending){ .id = id, .idx = NIL };
		part_version_init(&s->v[s->n].v);
		s->hash[i] = ++s->n;
	}
	return &s->v[s->hash[i] - 1];
}

void part_set_release(struct part_set *s)
{
	mem_free(s->v);
	mem_free(s->hash);
	*s = (struct part_set){ .n = 0 };
}

static void name(struct log_path *p, const char *folder, int64_t end)
{
	log_path_init(p, folder);
	log_path_segment(p, (uint64_t)end, ".producers");
}

int part_snapshot_put(struct part_table *t, const char *folder, int64_t end, const struct part_set *s)
{
	struct file_head h = { .magic = SNAP_MAGIC, .version = SNAP_VERSION, .end = end, .n = s->n };
	size_t bytes = sizeof h + s->n * sizeof(struct file_entry);
	uint8_t *b = mem_alloc(bytes);
	struct log_path p;
	int err;

	for (uint32_t i = 0; i < s->n; i++) {
		struct file_entry e = { .id = s->v[i].id, .v = s->v[i].v };

		e.v.tag = 0;
		memcpy(b + sizeof h + i * sizeof e, &e, sizeof e);
	}
	h.crc = crc32c(crc32c(0, &h, sizeof h), b + sizeof h, bytes - sizeof h);
	memcpy(b, &h, sizeof h);
	name(&p, folder, end);
	err = log_small_put(t->disk, p.s, b, bytes, true);
	mem_free(b);
	return err;
}

int part_snapshot_name(struct part_table *t, const char *folder, int64_t end)
{
	struct log_path p;

	name(&p, folder, end);
	return log_small_name(t->disk, p.s);
}

int part_snapshot_read(struct part_table *t, const char *folder, int64_t end, struct part_set *ret)
{
	struct file_head h;
	struct log_path p;
	struct buf b;
	uint32_t crc;
	int err;

	name(&p, folder, end);
	err = log_small_read(t->disk, p.s, &b);
	if (err)
		return err;
	err = E_BAD;
	if (b.len < sizeof h)
		goto out;
	memcpy(&h, b.p, sizeof h);
	crc = h.crc;
	h.crc = 0;
	if (h.magic != SNAP_MAGIC || h.version != SNAP_VERSION || h.end != end ||
	    b.len != sizeof h + (uint64_t)h.n * sizeof(struct file_entry) ||
	    crc != crc32c(crc32c(0, &h, sizeof h), b.p + sizeof h, b.len - sizeof h))
		goto out;
	for (uint32_t i = 0; i < h.n; i++) {
		struct file_entry e;

		memcpy(&e, b.p + sizeof h + i * sizeof e, sizeof e);
		if (e.v.n > PART_LAST_BATCHES)
			goto out;
		part_set_get(ret, e.id)->v = e.v;
	}
	err = OK;
out:
	if (err)
		part_set_release(ret);
	buf_release(&b);
	return err;
}
