/*
 * floor.c - what the same work costs in plain loops: one process, epoll, no decisions. See bench.h.
 *
 * Produce: recv into a buffer a connection, CRC over the batch, one pwritev a partition and turn into
 * a file with blocks reserved ahead, one send a connection and turn. Files start over at 64 MiB, so
 * page allocation is paid for. Fetch: a canned head and sendfile of the asked range of a file that
 * is in the page cache.
 */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "bench.h"

#define BUF ((size_t)1200 << 10)
#define FILE_BYTES (64ull << 20)
#define AHEAD (16ull << 20)
#define PIECES 256
#define PARTS 64

struct peer {
	int fd;
	uint8_t *buf;
	size_t n;			/* bytes in it */
	size_t used;			/* of whole frames, until the turn ends */
	uint32_t acks[PIECES];
	int n_acks;
	bool active;
};

struct part {
	int fd;
	uint64_t at, reserved;
	struct iovec v[PIECES];
	int n;
	size_t bytes;
};

struct loop {
	int ep, listener;
	enum floor_kind kind;
	int parts;
	size_t payload;
	struct part part[PARTS];
	struct peer *turn[1024];
	int n_turn;
	volatile uint32_t crc;
};

static void part_write(struct part *p)
{
	if (p->n == 0)
		return;
	if (p->at + p->bytes > FILE_BYTES) {
		if (ftruncate(p->fd, 0) != 0)
			_exit(1);
		p->at = p->reserved = 0;
	}
	if (p->at + p->bytes > p->reserved) {
		if (fallocate(p->fd, FALLOC_FL_KEEP_SIZE, (off_t)p->reserved, (off_t)AHEAD) != 0)
			_exit(1);
		p->reserved += AHEAD;
	}
	if (pwritev(p->fd, p->v, p->n, (off_t)p->at) != (ssize_t)p->bytes)
		_exit(1);
	p->at += p->bytes;
	p->n = 0;
	p->bytes = 0;
}

/* The answer that the generator reads, for topic "bench", partition 0. */
static size_t produce_answer(uint8_t *p, uint32_t corr)
{
	static const uint8_t rest[] = { 0, 0, 0, 1, 0, 5, 'b', 'e', 'n', 'c', 'h', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	size_t len = 8 + sizeof rest + 24 + 4;

	memset(p, 0, len);
	be32_put(p, (uint32_t)len - 4);
	be32_put(p + 4, corr);
	memcpy(p + 8, rest, sizeof rest);
	return len;
}

static size_t fetch_answer(uint8_t *p, uint32_t corr, uint32_t bytes)
{
	static const uint8_t topic[] = { 0, 0, 0, 1, 0, 5, 'b', 'e', 'n', 'c', 'h', 0, 0, 0, 1, 0, 0, 0, 0, 0, 0 };
	size_t at = 8 + 10 + sizeof topic + 24;

	memset(p, 0, at + 12);
	be32_put(p + 4, corr);
	memcpy(p + 18, topic, sizeof topic);
	be32_put(p + at, UINT32_MAX);
	be32_put(p + at + 8, bytes);
	be32_put(p, (uint32_t)(at + 12 - 4) + bytes);
	return at + 12;
}

static void wait_writable(int fd)
{
	int ep = epoll_create1(0);
	struct epoll_event e = { .events = EPOLLOUT };

	epoll_ctl(ep, EPOLL_CTL_ADD, fd, &e);
	epoll_wait(ep, &e, 1, -1);
	close(ep);
}

static void fetch_one(struct loop *l, struct peer *p, const uint8_t *frame, uint32_t len)
{
	uint8_t head[256];
	/* Partition, leader epoch, offset, log start, bytes, two empty arrays' lengths. */
	const uint8_t *at = frame + 4 + len - (4 + 4 + 8 + 8 + 4 + 4 + 2);
	struct part *part = &l->part[be32_get(at) % (uint32_t)l->parts];
	off_t off = (off_t)(be64_get(at + 8) * 1024 % (part->at - l->payload + 1));
	size_t n = fetch_answer(head, be32_get(frame + FRAME_CORR_AT), (uint32_t)l->payload);
	size_t left = l->payload;

	off &= ~(off_t)4095;
	if (send(p->fd, head, n, MSG_MORE | MSG_NOSIGNAL) != (ssize_t)n)
		return;
	while (left > 0) {
		ssize_t got = sendfile(p->fd, part->fd, &off, left);

		if (got < 0 && errno == EAGAIN)
			wait_writable(p->fd);
		else if (got <= 0)
			return;
		else
			left -= (size_t)got;
	}
}

static void produce_one(struct loop *l, struct peer *p, uint8_t *frame, uint32_t len)
{
	uint8_t *batch = frame + 4 + len - l->payload;
	struct part *part = &l->part[be32_get(batch - 8) % (uint32_t)l->parts];

	l->crc = crc32c(0, batch, l->payload);
	if (part->n == PIECES || part->bytes + l->payload > (1u << 20))
		part_write(part);
	part->v[part->n++] = (struct iovec){ batch, l->payload };
	part->bytes += l->payload;
	p->acks[p->n_acks++] = be32_get(frame + FRAME_CORR_AT);
}

static void readable(struct loop *l, struct peer *p)
{
	ssize_t got = recv(p->fd, p->buf + p->n, BUF - p->n, MSG_DONTWAIT);

	if (got <= 0) {
		if (got < 0 && errno == EAGAIN)
			return;
		close(p->fd);
		p->fd = -1;
		return;
	}
	p->n += (size_t)got;
	while (p->n - p->used >= 4) {
		uint8_t *f = p->buf + p->used;
		uint32_t len = be32_get(f);

		if (p->n - p->used < 4 + (size_t)len || p->n_acks == PIECES)
			break;
		if (l->kind == FLOOR_PRODUCE)
			produce_one(l, p, f, len);
		else
			fetch_one(l, p, f, len);
		p->used += 4 + (size_t)len;
	}
	if (!p->active) {
		p->active = true;
		l->turn[l->n_turn++] = p;
	}
}

static void turn_end(struct loop *l)
{
	static uint8_t out[PIECES * 80];

	for (int i = 0; i < l->parts && l->kind == FLOOR_PRODUCE; i++)
		part_write(&l->part[i]);
	for (int i = 0; i < l->n_turn; i++) {
		struct peer *p = l->turn[i];
		size_t n = 0;

		for (int k = 0; k < p->n_acks; k++)
			n += produce_answer(out + n, p->acks[k]);
		if (n > 0 && p->fd >= 0 && send(p->fd, out, n, MSG_NOSIGNAL) < 0)
			p->fd = -1;
		p->n_acks = 0;
		memmove(p->buf, p->buf + p->used, p->n - p->used);
		p->n -= p->used;
		p->used = 0;
		p->active = false;
	}
	l->n_turn = 0;
}

static void serve(struct loop *l)
{
	struct epoll_event ev[64], e = { .events = EPOLLIN };

	l->ep = epoll_create1(EPOLL_CLOEXEC);
	epoll_ctl(l->ep, EPOLL_CTL_ADD, l->listener, &e);
	for (;;) {
		int n = epoll_wait(l->ep, ev, 64, -1);

		for (int i = 0; i < n; i++) {
			if (ev[i].data.ptr) {
				readable(l, ev[i].data.ptr);
				continue;
			}
			struct peer *p = mem_alloc(sizeof *p);
			int one = 1;

			p->fd = accept4(l->listener, NULL, NULL, SOCK_NONBLOCK);
			p->buf = mem_alloc(BUF);
			setsockopt(p->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
			e.data.ptr = p;
			epoll_ctl(l->ep, EPOLL_CTL_ADD, p->fd, &e);
		}
		turn_end(l);
	}
}

static void open_files(struct loop *l, const char *base, uint64_t log_bytes)
{
	char path[512];

	for (int i = 0; i < l->parts; i++) {
		snprintf(path, sizeof path, "%s/floor-%d", base, i);
		l->part[i].fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
		if (l->part[i].fd < 0)
			die("cannot make %s: %s", path, strerror(errno));
		unlink(path);
		char *mem = mem_alloc(1 << 20);
		for (; l->kind == FLOOR_FETCH && l->part[i].at < log_bytes; l->part[i].at += 1 << 20)
			if (pwrite(l->part[i].fd, mem, 1 << 20, (off_t)l->part[i].at) != 1 << 20)
				die("cannot write %s", path);
		mem_free(mem);
	}
}

void floor_start(struct floor *f, enum floor_kind kind, const char *base, int parts, size_t payload,
		 uint64_t log_bytes)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;
	struct loop *l = mem_alloc(sizeof *l);

	l->kind = kind;
	l->parts = parts;
	l->payload = payload;
	l->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (parts > PARTS || bind(l->listener, (struct sockaddr *)&a, sizeof a) != 0 ||
	    listen(l->listener, 1024) != 0 || getsockname(l->listener, (struct sockaddr *)&a, &len) != 0)
		die("no listening socket");
	f->port = ntohs(a.sin_port);
	open_files(l, base, log_bytes);
	f->pid = fork();
	if (f->pid == 0) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		serve(l);
	}
	for (int i = 0; i < parts; i++)
		close(l->part[i].fd);
	close(l->listener);
	mem_free(l);
}

void floor_stop(struct floor *f)
{
	kill(f->pid, SIGKILL);
	waitpid(f->pid, NULL, 0);
}

void floor_sync(const char *base, size_t bytes, double seconds, struct hist *ret)
{
	char path[512], *mem = mem_alloc(bytes);
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
	off_t at = 0;

	snprintf(path, sizeof path, "%s/floor-sync", base);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0600);
	if (fd < 0)
		die("cannot make %s", path);
	unlink(path);
	memset(ret, 0, sizeof *ret);
	while (now_ns() < end) {
		uint64_t from = now_ns();

		if (pwrite(fd, mem, bytes, at) != (ssize_t)bytes || fdatasync(fd) != 0)
			die("cannot write %s", path);
		at += (off_t)bytes;
		hist_add(ret, now_ns() - from);
	}
	close(fd);
	mem_free(mem);
}
