/* reply.c - see reply.h. */
#include "broker/reply.h"

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "broker/worker.h"

#define REPLY_MAX ((size_t)256 << 20)	/* of memory; a client asks for less than this by far */
#define KEEP_BYTES ((size_t)64 << 10)	/* a spare keeps a buffer up to this size */
#define SPARES_MAX 64
#define PIECES 64			/* of one net->send() */

struct reply *reply_new(struct worker *w)
{
	struct reply *r = w->spare_replies;

	if (r) {
		w->spare_replies = r->next;
		w->spare_replies_n--;
	} else {
		r = mem_alloc(sizeof *r);
		buf_init(&r->buf, REPLY_MAX);
		r->w = w;
	}
	buf_be32(&r->buf, 0);
	return r;
}

void reply_add_file(struct reply *r, const struct part_range *range)
{
	if (r->files_n == r->files_cap) {
		r->files_cap = r->files_cap ? r->files_cap * 2 : 8;
		r->files = mem_resize(r->files, r->files_cap * sizeof *r->files);
	}
	r->files[r->files_n++] = (struct reply_file){ .range = *range, .at = r->buf.len };
	r->file_bytes += range->len;
}

/* Bytes on the wire, length word included. */
static uint64_t reply_bytes(const struct reply *r)
{
	return r->buf.len + r->file_bytes;
}

static void spare(struct reply *r)
{
	struct worker *w = r->w;

	r->files_n = 0;
	r->file_bytes = 0;
	if (w->spare_replies_n >= SPARES_MAX || r->buf.cap > KEEP_BYTES || r->files_cap > 64) {
		buf_release(&r->buf);
		mem_free(r->files);
		mem_free(r);
		return;
	}
	buf_reset(&r->buf);
	r->next = w->spare_replies;
	w->spare_replies = r;
	w->spare_replies_n++;
}

void reply_drop(struct reply *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->files_n; i++)
		part_range_release(r->w->env->table, &r->files[i].range);
	spare(r);
}

static void put(struct reply *r)
{
	must(r->refs > 0);
	if (--r->refs == 0)
		spare(r);
}

static void mem_gone(void *ctx)
{
	put(ctx);
}

static void file_gone(void *ctx)
{
	struct reply_file *f = ctx;

	part_range_release(f->reply->w->env->table, &f->range);
	put(f->reply);
}

struct pieces {
	struct reply *reply;
	struct net_conn *nc;
	struct net_piece v[PIECES];
	int n;
};

static void flush(struct pieces *p)
{
	struct net *net = p->reply->w->env->net;

	net->calls->send(p->nc, p->v, p->n);
	p->n = 0;
}

static void add(struct pieces *p, const struct net_piece *piece)
{
	if (p->n == PIECES)
		flush(p);
	p->v[p->n++] = *piece;
}

static void add_mem(struct pieces *p, size_t from, size_t to)
{
	struct reply *r = p->reply;

	if (from == to)
		return;
	r->refs++;
	add(p, &(struct net_piece){ .kind = NET_MEM, .mem = r->buf.p + from, .len = to - from,
				    .release = mem_gone, .release_ctx = r });
}

void reply_send(struct reply *r, struct net_conn *nc)
{
	struct pieces p = { .reply = r, .nc = nc };
	size_t at = 0;

	must(!r->buf.bad);
	must(reply_bytes(r) - 4 <= INT32_MAX);
	be32_put(r->buf.p, (uint32_t)(reply_bytes(r) - 4));
	r->refs = 1;			/* ours, while pieces may already be given back */
	for (uint32_t i = 0; i < r->files_n; i++) {
		struct reply_file *f = &r->files[i];

		add_mem(&p, at, f->at);
		at = f->at;
		f->reply = r;
		r->refs++;
		add(&p, &(struct net_piece){ .kind = NET_FILE, .file = f->range.file,
					     .off = f->range.off, .len = f->range.len,
					     .release = file_gone, .release_ctx = f });
	}
	add_mem(&p, at, r->buf.len);
	if (p.n > 0)
		flush(&p);
	put(r);
}

void reply_spares_free(struct worker *w)
{
	while (w->spare_replies) {
		struct reply *r = w->spare_replies;

		w->spare_replies = r->next;
		buf_release(&r->buf);
		mem_free(r->files);
		mem_free(r);
	}
	w->spare_replies_n = 0;
}
