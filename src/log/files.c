/*
 * files.c - open files of a process, least recently used out first, and cached segment lists.
 *
 * A cached file counts only for the generation it was opened under: a file that was removed and
 * made again under the same name is another file. Pinned files (a range being sent, a sync in
 * flight) are closed at their last put when they have become stale.
 */
#include "base/assert.h"
#include "base/mem.h"
#include "log/log.h"

#define HEADS 1024u		/* hash heads; a power of two */
#define NIL UINT32_MAX
#define LISTS 64u		/* segment lists kept; direct-mapped by tag */

struct entry {
	uint64_t base, gen;
	uint32_t tag;
	uint8_t kind;
	bool used, stale;	/* stale: no longer found, closed at the last put */
	int file;
	uint32_t pins;
	uint32_t hash_next, older, newer;
};

struct list {
	bool valid;
	uint32_t tag, n, cap;
	uint64_t gen;
	uint64_t *base;
};

struct log_files {
	struct disk *disk;
	uint32_t open_max, n_used, cap;
	struct entry *v;
	uint32_t head[HEADS];
	uint32_t oldest, newest, free;
	struct list list[LISTS];
};

static uint32_t hash(uint32_t tag, uint64_t base, enum log_kind kind)
{
	uint64_t h = (base * 31 + tag) * 31 + kind;

	h *= UINT64_C(0x9E3779B97F4A7C15);
	return (uint32_t)(h >> 40) & (HEADS - 1);
}

static void lru_out(struct log_files *f, uint32_t i)
{
	struct entry *e = &f->v[i];

	*(e->older == NIL ? &f->oldest : &f->v[e->older].newer) = e->newer;
	*(e->newer == NIL ? &f->newest : &f->v[e->newer].older) = e->older;
}

static void lru_in(struct log_files *f, uint32_t i)
{
	struct entry *e = &f->v[i];

	e->older = f->newest;
	e->newer = NIL;
	*(f->newest == NIL ? &f->oldest : &f->v[f->newest].newer) = i;
	f->newest = i;
}

static void unhash(struct log_files *f, uint32_t i)
{
	struct entry *e = &f->v[i];
	uint32_t *at = &f->head[hash(e->tag, e->base, (enum log_kind)e->kind)];

	while (*at != i)
		at = &f->v[*at].hash_next;
	*at = e->hash_next;
}

static void drop(struct log_files *f, uint32_t i)
{
	struct entry *e = &f->v[i];

	must(e->used && e->pins == 0);
	f->disk->calls->close(f->disk, e->file);
	lru_out(f, i);
	e->used = false;
	e->hash_next = f->free;
	f->free = i;
	f->n_used--;
}

static void outdate(struct log_files *f, uint32_t i)
{
	unhash(f, i);
	f->v[i].stale = true;
	if (f->v[i].pins == 0)
		drop(f, i);
}

static void grow(struct log_files *f, uint32_t more)
{
	f->v = mem_resize(f->v, (f->cap + more) * sizeof *f->v);
	for (uint32_t i = f->cap; i < f->cap + more; i++) {
		f->v[i] = (struct entry){ .hash_next = f->free };
		f->free = i;
	}
	f->cap += more;
}

static void make_room(struct log_files *f)
{
	uint32_t next;

	for (uint32_t i = f->oldest; i != NIL && f->n_used >= f->open_max; i = next) {
		next = f->v[i].newer;
		if (f->v[i].pins == 0) {
			unhash(f, i);
			drop(f, i);
		}
	}
	if (f->free == NIL)		/* all are pinned */
		grow(f, f->cap);
}

struct log_files *log_files_new(struct disk *d, uint32_t open_max)
{
	struct log_files *f = mem_alloc(sizeof *f);

	f->disk = d;
	f->open_max = open_max;
	f->oldest = f->newest = f->free = NIL;
	for (uint32_t i = 0; i < HEADS; i++)
		f->head[i] = NIL;
	grow(f, open_max);	/* at once: appends allocate nothing (T4) */
	return f;
}

void log_files_free(struct log_files *f)
{
	if (!f)
		return;
	for (uint32_t i = 0; i < f->cap; i++)
		if (f->v[i].used)
			f->disk->calls->close(f->disk, f->v[i].file);
	for (uint32_t i = 0; i < LISTS; i++)
		mem_free(f->list[i].base);
	mem_free(f->v);
	mem_free(f);
}

struct disk *log_files_disk(struct log_files *f)
{
	return f->disk;
}

int log_files_get(const struct log_replica *r, uint64_t base, enum log_kind kind, unsigned flags,
		  int *ret_file, uint32_t *ret_handle)
{
	struct log_files *f = r->files;
	uint32_t h = hash(r->tag, base, kind), i = f->head[h];
	struct log_path p;
	int file;

	while (i != NIL && (f->v[i].tag != r->tag || f->v[i].base != base || f->v[i].kind != kind))
		i = f->v[i].hash_next;
	if (i != NIL && (f->v[i].gen != r->gen || (flags & (DISK_EXCL | DISK_TRUNC)))) {
		outdate(f, i);
		i = NIL;
	}
	if (i == NIL) {
		log_path_folder(&p, r->log_dir, r->topic, r->partition);
		log_path_segment(&p, base, log_suffix[kind]);
		int err = f->disk->calls->open(f->disk, p.s, flags, &file);

		if (err)
			return err;
		make_room(f);
		i = f->free;
		f->free = f->v[i].hash_next;
		f->v[i] = (struct entry){ .base = base, .gen = r->gen, .tag = r->tag,
			.kind = (uint8_t)kind, .used = true, .file = file, .hash_next = f->head[h] };
		f->head[h] = i;
		f->n_used++;
	} else {
		lru_out(f, i);
	}
	lru_in(f, i);
	f->v[i].pins++;
	*ret_file = f->v[i].file;
	*ret_handle = i;
	return OK;
}

void log_files_put(struct log_files *f, uint32_t handle)
{
	must(handle < f->cap && f->v[handle].used && f->v[handle].pins > 0);
	if (--f->v[handle].pins == 0 && f->v[handle].stale)
		drop(f, handle);
}

void log_files_stale(struct log_files *f, uint32_t tag, uint64_t gen)
{
	struct list *l = &f->list[tag % LISTS];

	for (uint32_t i = 0; i < f->cap; i++)
		if (f->v[i].used && !f->v[i].stale && f->v[i].tag == tag && f->v[i].gen != gen)
			outdate(f, i);
	if (l->valid && l->tag == tag && l->gen != gen)
		l->valid = false;
}

void log_files_trim(struct log_files *f, uint64_t (*want)(void *ctx, uint32_t tag), void *ctx)
{
	for (uint32_t i = 0; i < f->cap; i++)
		if (f->v[i].used && !f->v[i].stale && want(ctx, f->v[i].tag) != f->v[i].gen)
			outdate(f, i);
}

static void on_name(void *ctx, const char *name)
{
	struct list *l = ctx;
	uint64_t base;

	if (!log_name_is(name, ".log", &base))
		return;
	if (l->n == l->cap) {
		l->cap = l->cap ? l->cap * 2 : 16;
		l->base = mem_resize(l->base, l->cap * sizeof *l->base);
	}
	uint32_t i = l->n++;
	for (; i > 0 && l->base[i - 1] > base; i--)
		l->base[i] = l->base[i - 1];
	l->base[i] = base;
}

int log_segments(const struct log_replica *r, const uint64_t **ret_base, uint32_t *ret_n)
{
	struct list *l = &r->files->list[r->tag % LISTS];

	if (!l->valid || l->tag != r->tag || l->gen != r->gen) {
		struct log_path p;

		log_path_folder(&p, r->log_dir, r->topic, r->partition);
		l->valid = false;
		l->n = 0;
		int err = r->files->disk->calls->list(r->files->disk, p.s, on_name, l);
		if (err)
			return err;
		l->valid = true;
		l->tag = r->tag;
		l->gen = r->gen;
	}
	*ret_base = l->base;
	*ret_n = l->n;
	return OK;
}
