/*
 * ckpt.c - the checkpoint of a log directory: two files written in turn, each with its checksum.
 *
 * A power loss in the middle of a write leaves the other file, which is older but whole: recovery
 * then scans a little more. Little-endian; layout in docs/storage-format.md.
 */
#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "log/log.h"

#define CKPT_MAGIC 0x4b434c4du	/* "MLCK" */
#define CKPT_VERSION 1u
#define CKPT_MAX 4000000u	/* entries; a bound on what a damaged count can ask for */

struct file_head {
	uint32_t magic, version;
	uint64_t sequence;
	struct uuid cluster_id;
	int32_t node_id;
	uint32_t clean;
	uint32_t n;
	uint32_t crc;		/* of this head with crc = 0, then of the entries */
};
_Static_assert(sizeof(struct file_head) == 48, "written to disk");
_Static_assert(sizeof(struct log_ckpt_entry) == 80, "written to disk");

static void file_path(struct log_path *p, const char *log_dir, uint64_t sequence)
{
	log_path_init(p, log_dir);
	log_path_add(p, "/moldau-checkpoint.");
	log_path_num(p, sequence & 1, 1);
}

static int read_one(struct disk *d, const char *path, struct log_ckpt *ret)
{
	struct file_head h;
	uint64_t size;
	size_t got;
	int file, err = d->calls->open(d, path, DISK_RDONLY, &file);

	if (err)
		return err;
	struct log_ckpt_entry *v = NULL;
	err = d->calls->size(d, file, &size);
	if (!err)
		err = d->calls->pread(d, file, &h, sizeof h, 0, &got);
	if (err)
		goto out;
	err = E_BAD;
	if (got != sizeof h || h.magic != CKPT_MAGIC || h.n > CKPT_MAX ||
	    size < sizeof h + (uint64_t)h.n * sizeof *v)
		goto out;
	err = E_VERSION;
	if (h.version != CKPT_VERSION)
		goto out;
	v = mem_alloc(h.n * sizeof *v);
	err = d->calls->pread(d, file, v, h.n * sizeof *v, sizeof h, &got);
	if (err)
		goto out;
	uint32_t crc = h.crc;
	h.crc = 0;
	err = got == h.n * sizeof *v &&
	      crc == crc32c(crc32c(0, &h, sizeof h), v, got) ? OK : E_CRC;
	if (!err) {
		*ret = (struct log_ckpt){ .cluster_id = h.cluster_id, .node_id = h.node_id,
			.sequence = h.sequence, .clean = h.clean == 1, .n = h.n, .v = v };
		v = NULL;
	}
out:
	mem_free(v);
	d->calls->close(d, file);
	return err;
}

int log_ckpt_read(struct disk *d, const char *log_dir, struct log_ckpt *ret)
{
	struct log_ckpt c[2] = { { .v = NULL }, { .v = NULL } };
	struct log_path p;
	int err[2], best;

	for (unsigned i = 0; i < 2; i++) {
		file_path(&p, log_dir, i);
		err[i] = read_one(d, p.s, &c[i]);
	}
	if (err[0] && err[1])
		return E_NOENT;
	best = err[0] ? 1 : err[1] ? 0 : c[1].sequence > c[0].sequence;
	log_ckpt_release(&c[!best]);
	*ret = c[best];
	return OK;
}

static int order(const struct uuid *a, int32_t pa, const struct uuid *b, int32_t pb)
{
	int c = memcmp(a, b, sizeof *a);

	return c != 0 ? c : (pa > pb) - (pa < pb);
}

static void sift(struct log_ckpt_entry *v, uint32_t i, uint32_t n)
{
	struct log_ckpt_entry x = v[i];

	for (uint32_t kid; (kid = 2 * i + 1) < n; i = kid) {
		if (kid + 1 < n && order(&v[kid].topic_id, v[kid].partition,
					 &v[kid + 1].topic_id, v[kid + 1].partition) < 0)
			kid++;
		if (order(&x.topic_id, x.partition, &v[kid].topic_id, v[kid].partition) >= 0)
			break;
		v[i] = v[kid];
	}
	v[i] = x;
}

static void sort(struct log_ckpt_entry *v, uint32_t n)		/* heap sort: no memory, no worst case */
{
	for (uint32_t i = n / 2; i-- > 0;)
		sift(v, i, n);
	for (uint32_t end = n; end-- > 1;) {
		struct log_ckpt_entry x = v[0];

		v[0] = v[end];
		v[end] = x;
		sift(v, 0, end);
	}
}

int log_ckpt_write(struct disk *d, const char *log_dir, struct log_ckpt *c)
{
	struct file_head h = { .magic = CKPT_MAGIC, .version = CKPT_VERSION, .sequence = c->sequence,
		.cluster_id = c->cluster_id, .node_id = c->node_id, .clean = c->clean, .n = c->n };
	uint64_t bytes = (uint64_t)c->n * sizeof *c->v, off = sizeof h;
	struct disk_piece v = { &h, sizeof h };
	struct log_path p;
	int file, err;

	sort(c->v, c->n);
	h.crc = crc32c(crc32c(0, &h, sizeof h), c->v, (size_t)bytes);
	file_path(&p, log_dir, c->sequence);
	err = d->calls->open(d, p.s, DISK_CREATE, &file);
	if (err)
		return err;
	err = d->calls->pwritev(d, file, &v, 1, 0);
	for (uint64_t at = 0; !err && at < bytes; at += v.len) {
		v.p = (const uint8_t *)c->v + at;
		v.len = bytes - at < (1u << 20) ? (size_t)(bytes - at) : 1u << 20;
		err = d->calls->pwritev(d, file, &v, 1, off + at);
	}
	if (!err)
		err = d->calls->truncate(d, file, off + bytes);
	if (!err)
		err = d->calls->sync(d, file);
	d->calls->close(d, file);
	return err ? err : d->calls->sync_dir(d, log_dir);
}

const struct log_ckpt_entry *log_ckpt_find(const struct log_ckpt *c, const struct uuid *topic_id,
					   int32_t partition)
{
	uint32_t lo = 0, hi = c->n;

	while (lo < hi) {
		uint32_t mid = lo + (hi - lo) / 2;
		int o = order(&c->v[mid].topic_id, c->v[mid].partition, topic_id, partition);

		if (o == 0)
			return &c->v[mid];
		if (o < 0)
			lo = mid + 1;
		else
			hi = mid;
	}
	return NULL;
}

void log_ckpt_forget(struct log_ckpt *c, const struct uuid *topic_id, int32_t partition)
{
	const struct log_ckpt_entry *e = log_ckpt_find(c, topic_id, partition);

	if (!e)
		return;
	size_t i = (size_t)(e - c->v);

	memmove(&c->v[i], &c->v[i + 1], (--c->n - i) * sizeof *c->v);
}

void log_ckpt_release(struct log_ckpt *c)
{
	mem_free(c->v);
	c->v = NULL;
	c->n = 0;
}
