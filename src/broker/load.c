/*
 * load.c - reads a coordinator partition's log into its state: whole ranges of part_read(), read off
 * the loop, batch by batch to shard_replay(). Never blocks; several partitions load side by side.
 */
#include <string.h>

#include "base/assert.h"
#include "broker/groups.h"
#include "wire/batch.h"
#include "wire/codec.h"

#define CHUNK (1u << 20)
#define PLAIN_MAX ((size_t)64 << 20)

struct gload {
	struct disk_op op;
	struct gproc *p;
	struct gshard *sh;		/* NULL: stopped; freed when the read is done */
	bool busy;
	bool failed;			/* said so; the partition stays unserved until its next epoch */
	bool started;
	struct part_view view;
	int64_t at;
	struct part_range range;
	uint8_t *buf;
	struct buf plain;
};

static void load_free(struct gload *l)
{
	mem_free(l->buf);
	buf_release(&l->plain);
	mem_free(l);
}

static void refuse(struct gload *l, const char *why)
{
	struct role_env *env = l->sh->p->env;

	l->failed = true;
	env->log(env, 1, "a partition of __consumer_offsets cannot be loaded", why,
		 "its groups answer COORDINATOR_LOAD_IN_PROGRESS; look at it with `moldau log dump`");
}

/* The records of one batch. */
static int replay_batch(struct gload *l, const uint8_t *p, const struct batch_head *h)
{
	struct batch_records it;
	struct batch_record r;
	const uint8_t *plain;
	size_t n;

	if (h->attributes & BATCH_CONTROL)
		return OK;
	if (!batch_crc_ok(p, h))
		return E_CRC;
	int e = batch_plain(p, h, codec_port(l->sh->p->codec), &l->plain, &plain, &n);

	if (e)
		return e;
	batch_records_init(&it, h, plain, n);
	while ((e = batch_records_next(&it, &r)) == OK)
		if (r.key.len >= 0 && (e = shard_replay(l->sh->s, r.key, r.value)) != OK)
			return e;
	return e == E_NOENT ? OK : e;
}

static void next_chunk(struct gload *l);

/* False: the partition was dropped meanwhile. */
static bool read_done(struct gload *l)
{
	l->busy = false;
	part_range_release(l->p->env->table, &l->range);
	if (l->sh)
		return true;
	load_free(l);
	return false;
}

static void on_warm(struct disk_op *op, int err)
{
	struct gload *l = (struct gload *)(void *)((char *)op - offsetof(struct gload, op));

	(void)err;			/* the next part_read() says */
	if (read_done(l))
		next_chunk(l);
}

static void on_read(struct disk_op *op, int err)
{
	struct gload *l = (struct gload *)(void *)((char *)op - offsetof(struct gload, op));
	struct batch_head h;
	const uint8_t *p = l->buf, *at;
	size_t left = op->ret_len;

	if (!read_done(l))
		return;
	int e = err ? err : op->ret_len < op->len ? E_SHORT : OK;

	while (!e && (e = batch_next(&p, &left, &h, &at)) == OK)
		if (batch_last_offset(&h) >= l->at)
			e = replay_batch(l, at, &h);
	if (e != E_NOENT) {
		refuse(l, err_text(e));
		return;
	}
	l->at = l->range.next_offset;
	next_chunk(l);
}

static void finish(struct gload *l)
{
	struct gshard *sh = l->sh;

	sh->generation = l->view.generation;
	sh->end = l->view.end;
	sh->load = NULL;
	load_free(l);
	groups_loaded(sh);
}

/* Starts the next read, or pauses until load_poll() comes again. */
static void next_chunk(struct gload *l)
{
	struct gshard *sh = l->sh;
	struct role_env *env = sh->p->env;
	struct part_view v;

	if (part_view(env->table, sh->slot, &sh->topic, &v) != OK)
		return;			/* not recovered yet */
	if (v.leader_epoch < sh->epoch)
		return;			/* the log has not heard of this epoch yet */
	if (!l->started || v.generation != l->view.generation) {
		if (l->started) {
			refuse(l, "it was truncated meanwhile");
			return;
		}
		l->started = true;
		l->at = v.log_start;
	}
	l->view = v;
	if (l->at >= v.end) {
		finish(l);
		return;
	}
	int e = part_read(env->table, sh->slot, &v, l->at, v.end, CHUNK, true, &l->range);

	if (e == E_AGAIN) {		/* a cold header: bring it in, then again */
		l->op = (struct disk_op){ .what = DISK_WARM, .file = l->range.file, .off = l->range.off,
					  .len = (uint32_t)l->range.len, .done = on_warm };
		l->busy = true;
		env->disk->calls->submit(env->disk, &l->op);
		return;
	}
	if (e || !l->range.len) {
		refuse(l, e ? err_text(e) : "nothing could be read");
		return;
	}
	l->buf = mem_resize(l->buf, l->range.len);
	l->op = (struct disk_op){ .what = DISK_READ, .file = l->range.file, .off = l->range.off, .buf = l->buf,
				  .len = (uint32_t)l->range.len, .done = on_read };
	l->busy = true;
	env->disk->calls->submit(env->disk, &l->op);
}

void load_start(struct gshard *sh)
{
	struct gload *l = mem_alloc(sizeof *l);

	l->p = sh->p;
	l->sh = sh;
	buf_init(&l->plain, PLAIN_MAX);
	sh->load = l;
	next_chunk(l);
}

void load_stop(struct gshard *sh)
{
	struct gload *l = sh->load;

	if (!l)
		return;
	sh->load = NULL;
	if (l->busy)
		l->sh = NULL;
	else
		load_free(l);
}

void load_poll(struct gshard *sh)
{
	struct gload *l = sh->load;

	if (l && !l->busy && !l->failed)
		next_chunk(l);
}
