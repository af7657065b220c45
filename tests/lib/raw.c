/* raw.c - see raw.h. */
#include "raw.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/crc32c.h"

size_t raw_begin(struct buf *b, int16_t key, int16_t version, int32_t correlation, const char *client_id)
{
	size_t at = b->len;

	buf_be32(b, 0);
	buf_be16(b, (uint16_t)key);
	buf_be16(b, (uint16_t)version);
	buf_be32(b, (uint32_t)correlation);
	raw_str(b, client_id);
	return at;
}

void raw_end(struct buf *b, size_t begin)
{
	be32_put(b->p + begin, (uint32_t)(b->len - begin - 4));
}

void raw_str(struct buf *b, const char *s)
{
	buf_be16(b, s ? (uint16_t)strlen(s) : UINT16_MAX);
	if (s)
		buf_put(b, s, strlen(s));
}

/* ---- batches ---- */

struct raw_batch raw_batch_begin(struct buf *b, int64_t producer_id, int16_t epoch, int32_t sequence,
				 int64_t timestamp)
{
	struct raw_batch batch = { .at = b->len };
	uint8_t *p = buf_room(b, RAW_BATCH_HEAD);

	if (!p)
		return batch;
	memset(p, 0, RAW_BATCH_HEAD);
	p[16] = 2;
	be64_put(p + 27, (uint64_t)timestamp);
	be64_put(p + 35, (uint64_t)timestamp);
	be64_put(p + 43, (uint64_t)producer_id);
	be16_put(p + 51, (uint16_t)epoch);
	be32_put(p + 53, (uint32_t)sequence);
	return batch;
}

static void varint(struct buf *b, int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);

	for (; z > 0x7f; z >>= 7)
		buf_u8(b, (uint8_t)(z | 0x80));
	buf_u8(b, (uint8_t)z);
}

static int varint_bytes(int64_t v)
{
	uint64_t z = (uint64_t)v << 1 ^ (uint64_t)(v >> 63);
	int n = 1;

	for (; z > 0x7f; z >>= 7)
		n++;
	return n;
}

void raw_batch_record(struct buf *b, struct raw_batch *batch, const void *value, uint32_t len)
{
	int64_t delta = batch->records++;

	varint(b, 1 + 1 + varint_bytes(delta) + 1 + varint_bytes(len) + (int64_t)len + 1);
	buf_u8(b, 0);			/* attributes */
	varint(b, 0);			/* timestamp */
	varint(b, delta);
	varint(b, -1);			/* no key */
	varint(b, len);
	buf_put(b, value, len);
	varint(b, 0);			/* no headers */
}

void raw_batch_end(struct buf *b, const struct raw_batch *batch)
{
	uint8_t *p = b->p + batch->at;

	be32_put(p + 8, (uint32_t)(b->len - batch->at - 12));
	be32_put(p + 23, batch->records - 1);
	be32_put(p + 57, batch->records);
	be32_put(p + 17, crc32c(0, p + 21, b->len - batch->at - 21));
}

void raw_produce_head(struct buf *b, int16_t acks, int32_t timeout_ms, const char *topic, int32_t parts)
{
	raw_str(b, NULL);
	buf_be16(b, (uint16_t)acks);
	buf_be32(b, (uint32_t)timeout_ms);
	buf_be32(b, 1);
	raw_str(b, topic);
	buf_be32(b, (uint32_t)parts);
}

size_t raw_produce_part(struct buf *b, int32_t partition)
{
	buf_be32(b, (uint32_t)partition);
	buf_be32(b, 0);
	return b->len;
}

void raw_produce_part_end(struct buf *b, size_t at)
{
	be32_put(b->p + at - 4, (uint32_t)(b->len - at));
}

static int take_varint(struct cursor *c, int64_t *ret)
{
	uint64_t z = 0;

	for (unsigned shift = 0; shift < 70; shift += 7) {
		uint8_t v;

		if (cursor_u8(c, &v) != OK)
			return E_SHORT;
		z |= (uint64_t)(v & 0x7f) << shift;
		if (!(v & 0x80)) {
			*ret = (int64_t)(z >> 1) ^ -(int64_t)(z & 1);
			return OK;
		}
	}
	return E_BAD;
}

int raw_batch_walk(const uint8_t *batch, uint32_t len, raw_record_fn *fn, void *ctx)
{
	int64_t base = (int64_t)be64_get(batch), bytes, skip, delta, key, value;
	struct cursor c = cursor_of(batch + RAW_BATCH_HEAD, len - RAW_BATCH_HEAD);
	uint32_t n = be32_get(batch + 57);

	if (batch[16] != 2 || (be16_get(batch + 21) & 7) != 0 ||
	    be32_get(batch + 17) != crc32c(0, batch + 21, len - 21))
		return E_BAD;
	for (uint32_t i = 0; i < n; i++) {
		const uint8_t *p;
		uint8_t attributes;

		if (take_varint(&c, &bytes) != OK || bytes < 0 || cursor_left(&c) < (size_t)bytes)
			return E_BAD;
		struct cursor r = cursor_of(c.p, (size_t)bytes);
		c.p += bytes;
		if (cursor_u8(&r, &attributes) != OK || take_varint(&r, &skip) != OK ||
		    take_varint(&r, &delta) != OK || take_varint(&r, &key) != OK ||
		    (key > 0 && !cursor_take(&r, (size_t)key)) || take_varint(&r, &value) != OK)
			return E_BAD;
		p = cursor_take(&r, value > 0 ? (size_t)value : 0);
		if (!p || delta != (int64_t)i)
			return E_BAD;
		fn(ctx, base + delta, p, value > 0 ? (uint32_t)value : 0);
	}
	return cursor_left(&c) == 0 ? OK : E_BAD;
}

/* ---- blocking calls ---- */

int raw_connect(int port, int ms)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_port = htons((uint16_t)port),
				 .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	struct timeval tv = { .tv_sec = ms / 1000, .tv_usec = ms % 1000 * 1000 };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		return -1;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &tv, sizeof tv);
	setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &tv, sizeof tv);
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
	if (connect(fd, (struct sockaddr *)&a, sizeof a) == 0)
		return fd;
	close(fd);
	return -1;
}

static int receive(int fd, uint8_t *p, size_t n)
{
	while (n > 0) {
		ssize_t got = recv(fd, p, n, 0);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 && errno == EAGAIN ? E_TIMEOUT : E_CLOSED;
		p += got;
		n -= (size_t)got;
	}
	return OK;
}

int raw_call(int fd, const struct buf *b, struct buf *ret)
{
	uint8_t head[4], *p;
	size_t at = 0;
	int err;

	while (at < b->len) {
		ssize_t got = send(fd, b->p + at, b->len - at, MSG_NOSIGNAL);

		if (got < 0 && errno == EINTR)
			continue;
		if (got <= 0)
			return got < 0 && errno == EAGAIN ? E_TIMEOUT : E_CLOSED;
		at += (size_t)got;
	}
	err = receive(fd, head, sizeof head);
	if (err != OK)
		return err;
	buf_reset(ret);
	p = buf_room(ret, be32_get(head));
	return p ? receive(fd, p, be32_get(head)) : E_BAD;
}
