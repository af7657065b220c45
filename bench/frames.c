/* frames.c - requests as bytes, and the few blocking calls that set a measurement up. See bench.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "bench.h"

#define HEAD 61				/* bytes of a batch before its records */
#define RECORD 1024

struct out {
	uint8_t *p;
	size_t n;
};

static void put(struct out *o, const void *p, size_t n)
{
	memcpy(o->p + o->n, p, n);
	o->n += n;
}

static void put8(struct out *o, unsigned v)
{
	o->p[o->n++] = (uint8_t)v;
}

static void put16(struct out *o, int v)
{
	be16_put(o->p + o->n, (uint16_t)v);
	o->n += 2;
}

static void put32(struct out *o, int64_t v)
{
	be32_put(o->p + o->n, (uint32_t)v);
	o->n += 4;
}

static void put64(struct out *o, int64_t v)
{
	be64_put(o->p + o->n, (uint64_t)v);
	o->n += 8;
}

static void put_text(struct out *o, const char *s)
{
	put16(o, (int)strlen(s));
	put(o, s, strlen(s));
}

static void put_varint(struct out *o, int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);

	for (; z >= 0x80; z >>= 7)
		put8(o, (unsigned)(z | 0x80) & 0xff);
	put8(o, (unsigned)z);
}

static size_t varint_len(int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
	size_t n = 1;

	for (; z >= 0x80; z >>= 7)
		n++;
	return n;
}

/* A record of exactly `bytes` bytes with its length in front. */
static void put_record(struct out *o, int i, size_t bytes)
{
	for (size_t value = bytes;; value--) {
		size_t body = 1 + 1 + varint_len(i) + 1 + varint_len((int64_t)value) + value + 1;

		if (varint_len((int64_t)body) + body > bytes)
			continue;
		/* The odd byte that no length fits goes into the key. */
		size_t key = bytes - varint_len((int64_t)body) - body;
		put_varint(o, (int64_t)(body + key));
		put8(o, 0);
		put_varint(o, 0);
		put_varint(o, i);
		put_varint(o, key > 0 ? (int64_t)key : -1);
		memset(o->p + o->n, 'k', key);
		o->n += key;
		put_varint(o, (int64_t)value);
		for (size_t k = 0; k < value; k++)
			put8(o, (unsigned)(k * 131 + (size_t)i * 31) & 0xff);
		put_varint(o, 0);
		return;
	}
}

int batch_make(uint8_t *p, size_t bytes)
{
	struct out o = { p, 0 };
	size_t room = bytes - HEAD;
	int n = (int)(room / RECORD);

	n = n < 1 ? 1 : n;
	put64(&o, 0);
	put32(&o, (int64_t)bytes - 12);
	put32(&o, -1);
	put8(&o, 2);
	put32(&o, 0);			/* CRC, below */
	put16(&o, 0);
	put32(&o, n - 1);
	put64(&o, (int64_t)time(NULL) * 1000);
	put64(&o, (int64_t)time(NULL) * 1000);
	put64(&o, -1);
	put16(&o, -1);
	put32(&o, -1);
	put32(&o, n);
	for (int i = 0; i < n; i++)
		put_record(&o, i, i < n - 1 ? RECORD : bytes - o.n);
	if (o.n != bytes)
		die("a batch of %zu bytes came out as %zu", bytes, o.n);
	be32_put(p + 17, crc32c(0, p + 21, bytes - 21));
	return n;
}

static struct out begin(size_t cap, int key, int version)
{
	struct out o = { mem_alloc(cap), 0 };

	put32(&o, 0);
	put16(&o, key);
	put16(&o, version);
	put32(&o, 0);
	put_text(&o, "bench");
	return o;
}

static struct frame end(struct out *o, size_t patch_at)
{
	be32_put(o->p, (uint32_t)o->n - 4);
	return (struct frame){ o->p, o->n, patch_at };
}

struct frame frame_produce(const char *topic, size_t batch_bytes, int16_t acks)
{
	struct out o = begin(batch_bytes + 512, 0, 7);

	put16(&o, -1);			/* transactional id */
	put16(&o, acks);
	put32(&o, 30000);
	put32(&o, 1);
	put_text(&o, topic);
	put32(&o, 1);
	size_t at = o.n;
	put32(&o, 0);
	put32(&o, (int64_t)batch_bytes);
	batch_make(o.p + o.n, batch_bytes);
	o.n += batch_bytes;
	return end(&o, at);
}

struct frame frame_fetch(const char *topic, uint32_t max_bytes, int32_t max_wait_ms)
{
	struct out o = begin(1024, 1, 11);

	put32(&o, -1);
	put32(&o, max_wait_ms);
	put32(&o, 1);
	put32(&o, max_bytes);
	put8(&o, 0);
	put32(&o, 0);
	put32(&o, -1);			/* no session */
	put32(&o, 1);
	put_text(&o, topic);
	put32(&o, 1);
	size_t at = o.n;
	put32(&o, 0);			/* partition */
	put32(&o, -1);
	put64(&o, 0);			/* offset */
	put64(&o, -1);
	put32(&o, max_bytes);
	put32(&o, 0);
	put_text(&o, "");
	return end(&o, at);
}

struct frame frame_metadata(const char *topic)
{
	struct out o = begin(512, 3, 8);

	put32(&o, topic ? 1 : 0);
	if (topic)
		put_text(&o, topic);
	put8(&o, 0);
	put8(&o, 0);
	put8(&o, 0);
	return end(&o, 0);
}

/* ---- blocking calls ------------------------------------------------------------------------- */

int dial(int port)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0)
		die("no socket: %s", strerror(errno));
	/* The host's default may be bbr, which paces loopback. */
	setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, "reno", 4);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) != 0) {
		close(fd);
		return -1;
	}
	return fd;
}

int dial_or_die(int port)
{
	int fd = dial(port);

	if (fd < 0)
		die("cannot connect to port %d: %s", port, strerror(errno));
	return fd;
}

void send_all(int fd, const void *p, size_t n)
{
	for (size_t at = 0; at < n;) {
		ssize_t got = send(fd, (const char *)p + at, n - at, MSG_NOSIGNAL);

		if (got <= 0)
			die("the server closed the connection while it was sent to");
		at += (size_t)got;
	}
}

static bool recv_all(int fd, void *p, size_t n)
{
	return recv(fd, p, n, MSG_WAITALL) == (ssize_t)n;
}

ssize_t recv_frame(int fd, uint8_t *p, size_t cap)
{
	uint8_t head[4];

	if (!recv_all(fd, head, 4))
		return -1;
	uint32_t len = be32_get(head);
	if (len > cap)
		die("an answer of %u bytes", len);
	return recv_all(fd, p, len) ? (ssize_t)len : -1;
}

static ssize_t ask(int port, const struct frame *f, uint8_t *p, size_t cap)
{
	int fd = dial(port);

	if (fd < 0)
		return -1;
	ssize_t n = send(fd, f->p, f->len, MSG_NOSIGNAL) == (ssize_t)f->len ? recv_frame(fd, p, cap) : -1;
	close(fd);
	return n;
}

bool metadata_ok(int port)
{
	struct frame f = frame_metadata(NULL);
	uint8_t p[4096];
	ssize_t n = ask(port, &f, p, sizeof p);

	mem_free(f.p);
	/* correlation id, throttle time, number of brokers */
	return n >= 12 && be32_get(p + 8) > 0;
}

static void put_setting(struct out *o, const char *name, const char *value)
{
	put_text(o, name);
	put_text(o, value);
}

void topic_create(int port, const char *name, int parts, const char *durability, bool keep)
{
	struct out o = begin(1024, 19, 2);
	uint8_t p[4096];

	put32(&o, 1);
	put_text(&o, name);
	put32(&o, parts);
	put16(&o, 1);
	put32(&o, 0);
	put32(&o, 2 + (durability != NULL));
	put_setting(&o, "segment.bytes", keep ? "1073741824" : "16777216");
	put_setting(&o, "retention.bytes", keep ? "-1" : "16777216");
	if (durability)
		put_setting(&o, "durability", durability);
	put32(&o, 60000);
	put8(&o, 0);
	struct frame f = end(&o, 0);
	ssize_t n = ask(port, &f, p, sizeof p);
	mem_free(f.p);
	/* correlation id, throttle time, one topic, its name, error */
	size_t at = 4 + 4 + 4 + 2 + strlen(name);
	if (n < (ssize_t)at + 2 || be16_get(p + at) != 0)
		die("topic %s could not be created: error %d", name, n < (ssize_t)at + 2 ? -1 : be16_get(p + at));
	for (int i = 0; topic_answering(port, name, parts) < parts; i++) {
		if (i == 18000)
			die("the partitions of topic %s do not answer", name);
		usleep(10000);
	}
}

void topic_delete(int port, const char *name)
{
	struct out o = begin(512, 20, 1);
	uint8_t p[4096];

	put32(&o, 1);
	put_text(&o, name);
	put32(&o, 60000);
	struct frame f = end(&o, 0);
	if (ask(port, &f, p, sizeof p) < 0)
		die("topic %s could not be deleted", name);
	mem_free(f.p);
}

int topic_answering(int port, const char *name, int parts)
{
	size_t cap = (size_t)parts * 32 + 4096;
	struct out o = begin(cap, 2, 1);
	uint8_t *p = mem_alloc(cap);
	int ok = 0;

	put32(&o, -1);
	put32(&o, 1);
	put_text(&o, name);
	put32(&o, parts);
	for (int i = 0; i < parts; i++) {
		put32(&o, i);
		put64(&o, -1);
	}
	struct frame f = end(&o, 0);
	ssize_t n = ask(port, &f, p, cap);
	size_t at = 4 + 4 + 2 + strlen(name) + 4;
	for (int i = 0; i < parts && n >= (ssize_t)at + 22; i++, at += 22)
		ok += be16_get(p + at + 4) == 0;
	mem_free(f.p);
	mem_free(p);
	return ok;
}
