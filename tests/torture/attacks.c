/*
 * attacks.c - one kind of hostile client each. They are paced: what is tested is what a small effort of
 * the attacker costs the others, not how much the machine can take.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <lz4frame.h>
#include <snappy-c.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/assert.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "../lib/raw.h"
#include "hostile.h"

static void nap_us(long us)
{
	nanosleep(&(struct timespec){ 0, us * 1000 }, NULL);
}

int hostile_open(struct hostile *h)
{
	int fd = h->n < HOSTILE_FDS ? raw_connect(h->port, 2000) : -1;

	if (fd < 0)
		return -1;
	fcntl(fd, F_SETFL, O_NONBLOCK);
	h->fd[h->n] = fd;
	h->sent[h->n++] = 0;
	return fd;
}

void hostile_close(struct hostile *h, int i)
{
	close(h->fd[i]);
	h->fd[i] = h->fd[--h->n];
	h->sent[i] = h->sent[h->n];
}

void hostile_close_all(struct hostile *h)
{
	while (h->n > 0)
		hostile_close(h, h->n - 1);
	h->cursor = 0;
}

static bool put(int fd, const void *p, size_t n)
{
	return send(fd, p, n, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)n;
}

static void open_many(struct hostile *h, int n)
{
	while (h->n < n && hostile_open(h) >= 0)
		continue;
}

/* Polls until the peer closed it; false: it did not within ms. What comes before is thrown away. */
static bool closed_by_peer(int fd, int ms)
{
	char junk[4096];

	for (int i = 0; i < ms; i++) {
		ssize_t got = recv(fd, junk, sizeof junk, MSG_DONTWAIT);

		if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
			return true;
		if (got < 0)
			nap_us(1000);
	}
	return false;
}

/* ---- frames that make no sense ---------------------------------------------------------------- */

static void step_lengths(struct hostile *h)
{
	static const uint32_t lengths[] = { 0, 1, 9, UINT32_MAX, INT32_MAX, 0x80000000u, 104857601, 0x47455420 };
	uint32_t len = lengths[h->done++ % (sizeof lengths / sizeof lengths[0])];
	uint8_t b[24] = { 0 };
	int fd = hostile_open(h);

	if (fd < 0)
		return;
	be32_put(b, len);
	if (!put(fd, b, 4 + (len < 16 ? len : 16)) || !closed_by_peer(fd, 3000))
		h->wrong++;
	hostile_close(h, h->n - 1);
	nap_us(2000);
}

static void put_fetch(struct buf *b)
{
	buf_be32(b, UINT32_MAX);
	buf_be32(b, 0);
	buf_be32(b, 1);
	buf_be32(b, 1 << 20);
	buf_u8(b, 0);
	buf_be32(b, 0);
	buf_be32(b, UINT32_MAX);
	buf_be32(b, 1);
	raw_str(b, "hostile");
	buf_be32(b, 1);
	buf_be32(b, 0);
	buf_be32(b, UINT32_MAX);
	buf_be64(b, 0);
	buf_be64(b, UINT64_MAX);
	buf_be32(b, 1 << 20);
	buf_be32(b, 0);
	raw_str(b, "");
}

/* Valid requests of several APIs, as seeds of mutations. */
static void make_seed(struct hostile *h, uint32_t which)
{
	struct buf *b = &h->frame;
	struct raw_batch batch;
	size_t at, part;

	buf_reset(b);
	switch (which % 6) {
	case 0:
		at = raw_begin(b, RAW_PRODUCE, 8, 1, "mallory");
		raw_produce_head(b, -1, 1000, "hostile", 1);
		part = raw_produce_part(b, 0);
		batch = raw_batch_begin(b, -1, -1, -1, 1);
		raw_batch_record(b, &batch, "value", 5);
		raw_batch_record(b, &batch, "value", 5);
		raw_batch_end(b, &batch);
		raw_produce_part_end(b, part);
		break;
	case 1:
		at = raw_begin(b, RAW_FETCH, 11, 1, "mallory");
		put_fetch(b);
		break;
	case 2:
		at = raw_begin(b, RAW_METADATA, 4, 1, "mallory");
		buf_be32(b, 2);
		raw_str(b, "hostile");
		raw_str(b, "nobody");
		buf_u8(b, 0);
		break;
	case 3:
		at = raw_begin(b, RAW_LIST_OFFSETS, 2, 1, "mallory");
		buf_be32(b, UINT32_MAX);
		buf_u8(b, 0);
		buf_be32(b, 1);
		raw_str(b, "hostile");
		buf_be32(b, 1);
		buf_be32(b, 0);
		buf_be64(b, UINT64_MAX);
		break;
	case 4:
		at = raw_begin(b, 11, 2, 1, "mallory");	/* JoinGroup */
		raw_str(b, "g");
		buf_be32(b, 10000);
		buf_be32(b, 10000);
		raw_str(b, "");
		raw_str(b, "consumer");
		buf_be32(b, 1);
		raw_str(b, "range");
		buf_be32(b, 4);
		buf_be32(b, 0);
		break;
	default:
		at = raw_begin(b, 32, 1, 1, "mallory");	/* DescribeConfigs */
		buf_be32(b, 1);
		buf_u8(b, 2);
		raw_str(b, "hostile");
		buf_be32(b, UINT32_MAX);
		buf_u8(b, 0);
		break;
	}
	raw_end(b, at);
}

static void step_mutations(struct hostile *h)
{
	int fd = hostile_open(h);

	if (fd < 0)
		return;
	make_seed(h, rng_below(&h->rng, 6));
	uint8_t *p = h->frame.p;
	uint32_t len = (uint32_t)h->frame.len, flips = 1 + rng_below(&h->rng, 4);
	for (uint32_t i = 0; i < flips; i++)
		p[4 + rng_below(&h->rng, len - 4)] = (uint8_t)rng_next(&h->rng);
	if (rng_below(&h->rng, 4) == 0) {	/* cut short, and said so */
		len = 14 + rng_below(&h->rng, len - 14);
		be32_put(p, len - 4);
	}
	put(fd, p, len);
	h->done++;
	if (h->n > 50)			/* some stay open for a while, answered or not */
		hostile_close(h, (int)rng_below(&h->rng, (uint32_t)h->n));
	nap_us(500);
}

/* INT32_MAX, and other lies, at each place where a length could stand. */
static void step_array_lengths(struct hostile *h)
{
	static const uint32_t lies[] = { INT32_MAX, 0x10000000, 100000, UINT32_MAX - 1 };
	int fd = hostile_open(h);

	if (fd < 0)
		return;
	make_seed(h, (uint32_t)h->done % 6);
	uint64_t k = h->done++ / 6;
	uint32_t places = (uint32_t)h->frame.len - 8;
	be32_put(h->frame.p + 4 + k % places, lies[k / places % 4]);
	put(fd, h->frame.p, h->frame.len);
	if (h->n > 50)
		hostile_close(h, 0);
	nap_us(500);
}

/* ---- those who take their time ---------------------------------------------------------------- */

/* A frame of 100 MiB announced, a little of it sent, then a byte now and then. */
static void begin_announced(struct hostile *h)
{
	static uint8_t first[40000];

	open_many(h, 500);
	be32_put(first, 104857600);
	for (int i = 0; i < h->n; i++)
		put(h->fd[i], first, i % 10 == 0 ? sizeof first : 2000);
}

static void step_drip(struct hostile *h)
{
	for (int i = 0; i < 10 && h->n > 0; i++) {
		int k = h->cursor++ % h->n;

		if (!put(h->fd[k], "\0", 1))
			hostile_close(h, k);
		h->done++;
	}
	nap_us(2000);
}

/* Nearly all of a frame of 100 MiB, and then nothing: memory that is really taken. */
static void begin_hog(struct hostile *h)
{
	open_many(h, 10);
}

static void step_hog(struct hostile *h)
{
	static uint8_t piece[256 << 10];
	const uint64_t most = 100 << 20;
	int k = h->cursor++ % (h->n ? h->n : 1);

	if (h->n == 0) {
		open_many(h, 10);
		return;
	}
	be32_put(piece, 104857600);
	ssize_t got = h->sent[k] >= most ? 0 : send(h->fd[k], piece, sizeof piece, MSG_NOSIGNAL | MSG_DONTWAIT);
	be32_put(piece, 0);
	if (got > 0)
		h->sent[k] += (uint64_t)got;
	else if (got < 0 && errno != EAGAIN)
		hostile_close(h, k);
	h->done++;
	nap_us(1000);
}

/* A real request, one byte at a time. */
static void begin_slowloris(struct hostile *h)
{
	open_many(h, 500);
}

static void step_slowloris(struct hostile *h)
{
	make_seed(h, 2);
	for (int i = 0; i < 20 && h->n > 0; i++) {
		int k = h->cursor++ % h->n;

		put(h->fd[k], h->frame.p + h->sent[k]++ % h->frame.len, 1);
		h->done++;
	}
	nap_us(2000);
}

/* Half-closed, reset, gone in the middle of a frame or of a long poll. */
static void step_half_closed(struct hostile *h)
{
	struct linger reset = { 1, 0 };
	int fd = hostile_open(h);

	if (fd < 0)
		return;
	make_seed(h, 1);
	be32_put(h->frame.p + 4 + 8 + 2 + 7 + 4, INT32_MAX);	/* max_wait of the fetch */
	be32_put(h->frame.p + 4 + 8 + 2 + 7 + 8, 1 << 20);	/* min_bytes: it parks */
	switch (h->done++ % 4) {
	case 0:
		put(fd, h->frame.p, h->frame.len);
		shutdown(fd, SHUT_WR);
		break;
	case 1:
		put(fd, h->frame.p, h->frame.len / 2);
		shutdown(fd, SHUT_WR);
		break;
	case 2:
		put(fd, h->frame.p, h->frame.len);
		setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
		hostile_close(h, h->n - 1);
		break;
	default:
		put(fd, h->frame.p, h->frame.len);
		hostile_close(h, h->n - 1);
		break;
	}
	if (h->n > 200)
		hostile_close(h, 0);
	nap_us(1000);
}

/* ---- masses ------------------------------------------------------------------------------------ */

static void step_idle(struct hostile *h)
{
	for (int i = 0; i < 10 && h->n < h->idle_max; i++)
		if (hostile_open(h) >= 0)
			h->done++;
	nap_us(1000);
}

/* Requests without end, answers never read. */
static void begin_flood(struct hostile *h)
{
	open_many(h, 50);
}

static void step_flood(struct hostile *h)
{
	static const uint32_t seeds[] = { 2, 1, 3, 0 };

	for (int i = 0; i < 4 && h->n > 0; i++) {
		int k = h->cursor++ % h->n;

		make_seed(h, seeds[k % 4]);
		if (put(h->fd[k], h->frame.p, h->frame.len))
			h->done++;
	}
	nap_us(300);
}

/* A long poll, and behind it as much as the kernel takes: what is read ahead must be little. */
static void begin_read_ahead(struct hostile *h)
{
	open_many(h, 400);
	for (int i = 0; i < h->n; i++) {
		make_seed(h, 1);
		be32_put(h->frame.p + 4 + 8 + 2 + 7 + 4, 60000);
		be32_put(h->frame.p + 4 + 8 + 2 + 7 + 8, 1 << 30);
		uint8_t one[128];
		size_t len = h->frame.len;

		must(len <= sizeof one);
		memcpy(one, h->frame.p, len);
		for (int k = 0; k < 2500; k++)
			buf_put(&h->frame, one, len);
		send(h->fd[i], h->frame.p, h->frame.len, MSG_NOSIGNAL | MSG_DONTWAIT);
		h->done++;
		nap_us(200);
	}
}

static void step_wait(struct hostile *h)
{
	(void)h;
	nap_us(5000);
}

#define PIECE ((size_t)128 << 10)

/* Requests as big as they may be, full of little things to decode. */
static void begin_big(struct hostile *h)
{
	open_many(h, 4);
}

static void step_big(struct hostile *h)
{
	struct buf *b = &h->frame;
	uint32_t n = 1000000;
	int k = h->n > 0 ? h->cursor % h->n : 0;

	if (h->n == 0) {
		open_many(h, 4);
		return;
	}
	if (h->sent[k] == 0) {		/* a Metadata request with a million topics */
		buf_reset(b);
		size_t at = raw_begin(b, RAW_METADATA, 4, 1, "mallory");
		buf_be32(b, n);
		for (uint32_t i = 0; i < n; i++)
			raw_str(b, "nobody");
		buf_u8(b, 0);
		raw_end(b, at);
	}
	/* In pieces: what the kernel copies in one call is time of this machine that no scheduler takes back. */
	size_t left = b->len - h->sent[k];
	ssize_t got = send(h->fd[k], b->p + h->sent[k], left < PIECE ? left : PIECE, MSG_NOSIGNAL | MSG_DONTWAIT);
	if (got > 0)
		h->sent[k] += (uint64_t)got;
	if ((got < 0 && errno != EAGAIN) || h->sent[k] >= b->len) {
		hostile_close(h, k);
		h->done++;
		open_many(h, 4);
		nap_us(20000);
	}
	nap_us(200);
}

/* ---- bombs ------------------------------------------------------------------------------------- */

#define BOMBS 8

static struct bomb {
	const char *name;
	int codec;
	uint64_t plain;
	uint8_t *p;
	size_t len;
	bool too_large;			/* must be refused */
} bombs[BOMBS] = {
	{ "gzip", 1, 48 << 20, NULL, 0, false }, { "snappy", 2, 12 << 20, NULL, 0, false },
	{ "lz4", 3, 48 << 20, NULL, 0, false }, { "zstd", 4, 48 << 20, NULL, 0, false },
	{ "gzip", 1, 200 << 20, NULL, 0, true }, { "lz4", 3, 200 << 20, NULL, 0, true },
	{ "zstd", 4, 1 << 30, NULL, 0, true }, { "snappy", 2, 18 << 20, NULL, 0, true },
};

static size_t zigzag(uint8_t *p, uint64_t v)
{
	size_t n = 0;

	for (v <<= 1; v > 0x7f; v >>= 7)
		p[n++] = (uint8_t)(v | 0x80);
	p[n++] = (uint8_t)v;
	return n;
}

/* One record whose value is zeros; about `plain` bytes in all, *ret_len exactly. */
static uint8_t *zeros(uint64_t plain, uint64_t *ret_len)
{
	uint8_t *p = mem_alloc(plain), length[10];
	uint64_t value = plain - 32, body = 4 + zigzag(length, value) + value + 1;
	size_t n = zigzag(p, body);

	p[n + 3] = 1;			/* behind attributes, time and offset: the key is null */
	zigzag(p + n + 4, value);
	*ret_len = n + body;
	return p;
}

static void compress_bomb(struct bomb *b)
{
	uint64_t len;
	uint8_t *plain = zeros(b->plain, &len);
	size_t cap = b->codec == 2 ? snappy_max_compressed_length(len) :
		     b->codec == 3 ? LZ4F_compressFrameBound(len, NULL) : len / 16 + 65536;
	z_stream z = { .next_in = plain, .avail_in = (uInt)len };

	b->p = mem_resize(NULL, cap);
	switch (b->codec) {
	case 1:
		must(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY) == Z_OK);
		z.next_out = b->p;
		z.avail_out = (uInt)cap;
		must(deflate(&z, Z_FINISH) == Z_STREAM_END);
		b->len = z.total_out;
		deflateEnd(&z);
		break;
	case 2:
		b->len = cap;
		must(snappy_compress((char *)plain, len, (char *)b->p, &b->len) == SNAPPY_OK);
		break;
	case 3:
		b->len = LZ4F_compressFrame(b->p, cap, plain, len, NULL);
		must(!LZ4F_isError(b->len));
		break;
	default:
		b->len = ZSTD_compress(b->p, cap, plain, len, 3);
		must(!ZSTD_isError(b->len));
		break;
	}
	mem_free(plain);
}

void hostile_prepare(void)
{
	for (int i = 0; i < BOMBS; i++)
		compress_bomb(&bombs[i]);
}

static void step_bombs(struct hostile *h)
{
	const struct bomb *b = &bombs[h->done++ % BOMBS];
	struct buf *f = &h->frame;
	struct cursor c;
	uint32_t skip;
	uint16_t code = 0;

	buf_reset(f);
	size_t at = raw_begin(f, RAW_PRODUCE, 8, 1, "mallory");
	raw_produce_head(f, 1, 5000, "hostile", 1);
	size_t part = raw_produce_part(f, 0);
	struct raw_batch batch = raw_batch_begin(f, -1, -1, -1, 1);
	buf_put(f, b->p, b->len);
	batch.records = 1;
	raw_batch_end(f, &batch);
	f->p[batch.at + 22] = (uint8_t)b->codec;
	be32_put(f->p + batch.at + 17, crc32c(0, f->p + batch.at + 21, f->len - batch.at - 21));
	raw_produce_part_end(f, part);
	raw_end(f, at);
	int fd = raw_connect(h->port, 20000);
	if (fd < 0)
		return;
	if (raw_call(fd, f, &h->answer) != OK) {
		h->wrong++;
	} else {			/* correlation, 1 topic, its name, 1 partition, index, error */
		c = cursor_of(h->answer.p, h->answer.len);
		if (!cursor_take(&c, 4 + 4 + 2 + 7) || cursor_be32(&c, &skip) || cursor_be32(&c, &skip) ||
		    cursor_be16(&c, &code) || (code != 0) != b->too_large) {
			printf("bomb %s of %llu MiB: error %d\n", b->name, (unsigned long long)b->plain >> 20, code);
			h->wrong++;
		}
	}
	close(fd);
	nap_us(50000);
}

const struct attack attacks[] = {
	{ "wrong frame lengths", NULL, step_lengths },
	{ "mutated frames", NULL, step_mutations },
	{ "wrong array lengths", NULL, step_array_lengths },
	{ "announced and not sent", begin_announced, step_drip },
	{ "memory taken and held", begin_hog, step_hog },
	{ "one byte at a time", begin_slowloris, step_slowloris },
	{ "half-closed and reset", NULL, step_half_closed },
	{ "idle connections", NULL, step_idle },
	{ "flood, answers unread", begin_flood, step_flood },
	{ "long poll and read ahead", begin_read_ahead, step_wait },
	{ "big requests", begin_big, step_big },
	{ "decompression bombs", NULL, step_bombs },
};
const int attacks_n = sizeof attacks / sizeof attacks[0];
