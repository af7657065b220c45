/*
 * gen.c - the raw-frame generator: keeps `depth` requests in flight on each connection, or sends on
 * a fixed schedule (latency then counts from the time a request was due, not from when it left).
 * See bench.h.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "base/be.h"
#include "base/mem.h"
#include "bench.h"

#define DEPTH_MAX 64
#define HEADS 256			/* bytes of a frame that differ from request to request */
#define ANSWER_HEAD 192			/* of an answer that is looked at */
#define DISCARD (1u << 20)

struct conn {
	int fd;
	uint8_t head[DEPTH_MAX][HEADS];	/* private front of each frame in flight */
	uint64_t due[DEPTH_MAX];
	uint32_t sent, begun, done;	/* counts; begun: queued, sent: left the socket, done: answered */
	size_t sent_at;			/* bytes of frame `sent` that have left */
	uint32_t part;
	uint64_t log_at;		/* Fetch: next batch */
	uint8_t in[ANSWER_HEAD];
	size_t in_n, skip;		/* bytes of the head; bytes to discard */
	bool want_out;
};

struct thread {
	struct gen *g;
	pthread_t id;
	int ep, conns;
	struct conn *conn;
	struct hist hist;
	uint64_t next_due, gap;		/* schedule of this thread */
	int turn;			/* connection that takes the next one */
	_Atomic uint64_t requests, bytes;
	_Atomic unsigned epoch;
	unsigned seen;
};

struct gen {
	struct gen_conf conf;
	struct thread *thread;
	uint8_t *discard;
	_Atomic bool stop;
};

static size_t head_bytes(const struct gen_conf *c)
{
	return c->kind == GEN_PRODUCE ? c->frame->patch_at + 4 : c->frame->len;
}

static void begin(struct thread *t, struct conn *c, uint64_t due)
{
	const struct gen_conf *g = &t->g->conf;
	uint32_t slot = c->begun % DEPTH_MAX;
	uint8_t *h = c->head[slot];

	if (c->begun < DEPTH_MAX)
		memcpy(h, g->frame->p, head_bytes(g));
	be32_put(h + FRAME_CORR_AT, c->begun);
	if (g->kind != GEN_METADATA)
		be32_put(h + g->frame->patch_at, c->part);
	if (g->kind == GEN_PRODUCE)
		c->part = (c->part + 1) % (uint32_t)g->parts;
	if (g->kind == GEN_FETCH) {
		uint64_t batches = g->log_bytes / g->batch_bytes, step = g->payload / g->batch_bytes;

		step = step > 0 ? step : 1;
		be64_put(h + g->frame->patch_at + 8, c->log_at * g->batch_records);
		c->log_at += step;
		if (c->log_at + step > batches)
			c->log_at = 0;
	}
	c->due[slot] = due;
	c->begun++;
}

static void poll_out(struct thread *t, struct conn *c, bool on)
{
	struct epoll_event e = { .events = EPOLLIN | (on ? EPOLLOUT : 0), .data.ptr = c };

	if (c->want_out == on)
		return;
	c->want_out = on;
	epoll_ctl(t->ep, EPOLL_CTL_MOD, c->fd, &e);
}

static void push(struct thread *t, struct conn *c)
{
	const struct gen_conf *g = &t->g->conf;
	size_t hn = head_bytes(g), len = g->frame->len;

	while (c->sent != c->begun) {
		struct iovec v[2 * DEPTH_MAX];
		int n = 0;
		size_t skip = c->sent_at;

		for (uint32_t i = c->sent; i != c->begun && n + 2 <= 2 * DEPTH_MAX; i++, skip = 0) {
			if (skip < hn)
				v[n++] = (struct iovec){ c->head[i % DEPTH_MAX] + skip, hn - skip };
			size_t from = skip > hn ? skip : hn;
			if (from < len)
				v[n++] = (struct iovec){ g->frame->p + from, len - from };
		}
		struct msghdr m = { .msg_iov = v, .msg_iovlen = (size_t)n };
		ssize_t got = sendmsg(c->fd, &m, MSG_DONTWAIT | MSG_NOSIGNAL);
		if (got < 0 && errno == EAGAIN) {
			poll_out(t, c, true);
			return;
		}
		if (got < 0)
			die("the server closed a connection: %s", strerror(errno));
		c->sent_at += (size_t)got;
		while (c->sent_at >= len && c->sent != c->begun) {
			c->sent_at -= len;
			c->sent++;
		}
	}
	poll_out(t, c, false);
}

/* The answer's front is in c->in: is it what was asked for? Returns the payload bytes. */
static uint64_t check(const struct gen_conf *g, const struct conn *c, uint32_t len)
{
	uint32_t corr = be32_get(c->in + 4);
	size_t at = 8;

	if (corr != c->done)
		die("answer %u came where %u was due", corr, c->done);
	if (g->kind == GEN_METADATA)
		return len;
	if (g->kind == GEN_FETCH)
		at += 4 + 2 + 4;
	at += 4;
	at += 2u + be16_get(c->in + at) + 4;
	if (at + 60 > ANSWER_HEAD)
		die("topic name too long for the generator");
	if (be16_get(c->in + at + 4) != 0)
		die("the server answered error %d for partition %u", be16_get(c->in + at + 4), c->part);
	if (g->kind == GEN_PRODUCE)
		return g->payload;
	at += 4 + 2 + 24;
	uint32_t aborted = be32_get(c->in + at);
	at += 4 + (aborted == UINT32_MAX ? 0 : aborted * 16u) + 4;
	return be32_get(c->in + at);
}

static void answered(struct thread *t, struct conn *c, uint32_t len)
{
	const struct gen_conf *g = &t->g->conf;
	uint64_t bytes = check(g, c, len), now = now_ns();

	if (g->kind == GEN_FETCH && bytes == 0)
		die("a fetch brought nothing");
	hist_add(&t->hist, now - c->due[c->done % DEPTH_MAX]);
	c->done++;
	atomic_store_explicit(&t->requests, t->requests + 1, memory_order_relaxed);
	atomic_store_explicit(&t->bytes, t->bytes + bytes, memory_order_relaxed);
	if (g->rate == 0 && c->begun - c->done < (uint32_t)g->depth)
		begin(t, c, now);
}

/* How many bytes of the answer's front there are to look at. */
static size_t front(const struct conn *c)
{
	uint32_t len = c->in_n >= 4 ? be32_get(c->in) + 4 : 4;

	return c->in_n < 4 ? 4 : len < ANSWER_HEAD ? len : ANSWER_HEAD;
}

static void take(struct thread *t, struct conn *c, const uint8_t *p, size_t n)
{
	while (n > 0) {
		size_t k;

		if (c->skip > 0) {
			k = c->skip < n ? c->skip : n;
			c->skip -= k;
		} else {
			k = front(c) - c->in_n;
			k = k < n ? k : n;
			memcpy(c->in + c->in_n, p, k);
			c->in_n += k;
			if (c->in_n >= 4 && c->in_n == front(c))
				c->skip = be32_get(c->in) + 4 - c->in_n;
		}
		p += k;
		n -= k;
		if (c->skip == 0 && c->in_n > 4 && c->in_n == front(c)) {
			uint32_t len = be32_get(c->in);

			c->in_n = 0;
			answered(t, c, len);
		}
	}
}

static void pull(struct thread *t, struct conn *c)
{
	uint8_t buf[16384];

	/* What is only counted is not copied. */
	if (c->skip > sizeof buf) {
		ssize_t got = recv(c->fd, t->g->discard, c->skip - 1 < DISCARD ? c->skip - 1 : DISCARD,
				   MSG_TRUNC | MSG_DONTWAIT);
		if (got > 0)
			c->skip -= (size_t)got;
		if (got > 0 || (got < 0 && errno == EAGAIN))
			return;
		die("the server closed a connection");
	}
	size_t want = c->skip > 0 ? c->skip + 4096 : t->g->conf.kind == GEN_FETCH ? ANSWER_HEAD : sizeof buf;
	ssize_t got = recv(c->fd, buf, want < sizeof buf ? want : sizeof buf, MSG_DONTWAIT);
	if (got < 0 && errno == EAGAIN)
		return;
	if (got <= 0)
		die("the server closed a connection");
	take(t, c, buf, (size_t)got);
	push(t, c);
}

/* What cannot be sent now keeps its due time: its latency counts from there. */
static void schedule(struct thread *t)
{
	uint64_t now = now_ns();

	while (t->next_due <= now) {
		struct conn *c = &t->conn[t->turn];

		if (c->begun - c->done >= DEPTH_MAX)
			return;
		t->turn = (t->turn + 1) % t->conns;
		begin(t, c, t->next_due);
		push(t, c);
		t->next_due += t->gap;
	}
}

static void *run(void *arg)
{
	struct thread *t = arg;
	struct gen *g = t->g;
	struct epoll_event ev[64];
	struct timespec ts;

	for (int i = 0; i < t->conns && g->conf.rate == 0; i++) {
		for (int k = 0; k < g->conf.depth; k++)
			begin(t, &t->conn[i], now_ns());
		push(t, &t->conn[i]);
	}
	t->next_due = now_ns();
	while (!atomic_load_explicit(&g->stop, memory_order_relaxed)) {
		unsigned epoch = atomic_load_explicit(&t->epoch, memory_order_relaxed);

		if (epoch != t->seen) {
			memset(&t->hist, 0, sizeof t->hist);
			t->seen = epoch;
		}
		uint64_t now = now_ns(), wait = 100000000;
		if (g->conf.rate > 0)
			wait = t->next_due > now ? t->next_due - now : 100000;
		ts = (struct timespec){ 0, (long)wait };
		int n = epoll_pwait2(t->ep, ev, 64, &ts, NULL);
		for (int i = 0; i < n; i++) {
			if (ev[i].events & EPOLLOUT)
				push(t, ev[i].data.ptr);
			if (ev[i].events & ~(unsigned)EPOLLOUT)
				pull(t, ev[i].data.ptr);
		}
		if (g->conf.rate > 0)
			schedule(t);
	}
	return NULL;
}

struct gen *gen_start(const struct gen_conf *conf)
{
	struct gen *g = mem_alloc(sizeof *g);
	int k = 0;

	if (head_bytes(conf) > HEADS || conf->depth > DEPTH_MAX)
		die("frame or depth too large for the generator");
	g->conf = *conf;
	g->conf.threads = conf->threads < conf->conns ? conf->threads : conf->conns;
	g->thread = mem_alloc(sizeof *g->thread * (size_t)g->conf.threads);
	g->discard = mem_alloc(DISCARD);
	for (int i = 0; i < g->conf.threads; i++) {
		struct thread *t = &g->thread[i];

		t->g = g;
		t->conns = conf->conns / g->conf.threads + (i < conf->conns % g->conf.threads);
		t->conn = mem_alloc(sizeof *t->conn * (size_t)t->conns);
		t->ep = epoll_create1(EPOLL_CLOEXEC);
		if (conf->rate > 0)
			t->gap = (uint64_t)(1e9 / conf->rate * g->conf.threads);
		for (int j = 0; j < t->conns; j++, k++) {
			struct conn *c = &t->conn[j];
			struct epoll_event e = { .events = EPOLLIN, .data.ptr = c };

			c->fd = dial_or_die(conf->port);
			c->part = (uint32_t)(k % conf->parts);
			if (conf->kind == GEN_FETCH)
				c->log_at = conf->log_bytes / conf->batch_bytes / (uint64_t)conf->conns * (uint64_t)k;
			epoll_ctl(t->ep, EPOLL_CTL_ADD, c->fd, &e);
		}
	}
	for (int i = 0; i < g->conf.threads; i++)
		if (pthread_create(&g->thread[i].id, NULL, run, &g->thread[i]) != 0)
			die("no thread");
	return g;
}

struct gen_count gen_count(const struct gen *g)
{
	struct gen_count c = { 0, 0 };

	for (int i = 0; i < g->conf.threads; i++) {
		c.requests += atomic_load_explicit(&g->thread[i].requests, memory_order_relaxed);
		c.bytes += atomic_load_explicit(&g->thread[i].bytes, memory_order_relaxed);
	}
	return c;
}

void gen_reset(struct gen *g)
{
	for (int i = 0; i < g->conf.threads; i++)
		atomic_fetch_add(&g->thread[i].epoch, 1);
}

void gen_stop(struct gen *g, struct hist *ret)
{
	memset(ret, 0, sizeof *ret);
	atomic_store(&g->stop, true);
	for (int i = 0; i < g->conf.threads; i++) {
		struct thread *t = &g->thread[i];

		pthread_join(t->id, NULL);
		hist_merge(ret, &t->hist);
		for (int j = 0; j < t->conns; j++)
			close(t->conn[j].fd);
		close(t->ep);
		mem_free(t->conn);
	}
	mem_free(g->thread);
	mem_free(g->discard);
	mem_free(g);
}
