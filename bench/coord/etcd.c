/* etcd.c - etcd's v3 API (rpc.proto: KV/Put and KV/Range) over gRPC; HTTP/2 by libnghttp2. */
#include <nghttp2/nghttp2.h>
#include <stdlib.h>
#include <string.h>

#include "bench/coord/coord.h"

#define WINDOW (1 << 20)

struct call {
	struct flight flight;
	size_t len, off;
	int status;			/* grpc-status; -1: none came */
	uint8_t body[];
};

static uint8_t *put_varint(uint8_t *p, uint64_t v)
{
	for (; v > 127; v >>= 7)
		*p++ = (uint8_t)(v | 128);
	*p++ = (uint8_t)v;
	return p;
}

/* A field of bytes: number << 3 | 2, length, bytes. */
static uint8_t *put_field(uint8_t *p, unsigned number, const void *v, size_t n)
{
	p = put_varint(put_varint(p, number << 3 | 2), n);
	memcpy(p, v, n);
	return p + n;
}

static ssize_t read_body(nghttp2_session *s, int32_t id, uint8_t *buf, size_t len, uint32_t *flags,
			 nghttp2_data_source *source, void *user)
{
	struct call *o = source->ptr;
	size_t n = o->len - o->off < len ? o->len - o->off : len;

	(void)s;
	(void)id;
	(void)user;
	memcpy(buf, o->body + o->off, n);
	o->off += n;
	if (o->off == o->len)
		*flags |= NGHTTP2_DATA_FLAG_EOF;
	return (ssize_t)n;
}

static nghttp2_nv header(const char *name, const char *value)
{
	return (nghttp2_nv){ (uint8_t *)(uintptr_t)name, (uint8_t *)(uintptr_t)value, strlen(name), strlen(value),
			     NGHTTP2_NV_FLAG_NO_COPY_NAME | NGHTTP2_NV_FLAG_NO_COPY_VALUE };
}

static void etcd_send(struct coord_conn *c, enum coord_op op, const char *path, const uint8_t *value, size_t len)
{
	bool put = op != OP_GET && op != OP_LOCAL;
	size_t n = strlen(path);
	struct call *o = malloc(sizeof *o + 5 + n + len + 32);

	*o = (struct call){ .flight = { .start_ns = now_ns(), .op = op }, .status = -1 };
	uint8_t *p = put_field(o->body + 5, 1, path, n);

	if (put)
		p = put_field(p, 2, value, len);
	else if (op == OP_LOCAL)		/* RangeRequest.serializable */
		p = put_varint(put_varint(p, 7 << 3), 1);
	o->len = (size_t)(p - o->body);
	o->body[0] = 0;				/* gRPC: not compressed, length */
	for (int i = 0; i < 4; i++)
		o->body[1 + i] = (uint8_t)((o->len - 5) >> (24 - 8 * i));
	nghttp2_nv h[] = {
		header(":method", "POST"), header(":scheme", "http"),
		header(":path", put ? "/etcdserverpb.KV/Put" : "/etcdserverpb.KV/Range"),
		header(":authority", "127.0.0.1"), header("content-type", "application/grpc"), header("te", "trailers"),
	};
	nghttp2_data_provider body = { .source = { .ptr = o }, .read_callback = read_body };

	if (nghttp2_submit_request(c->http, NULL, h, sizeof h / sizeof *h, &body, o) < 0)
		die("etcd: a request could not be made");
	c->flying++;
}

static int on_header(nghttp2_session *s, const nghttp2_frame *f, const uint8_t *name, size_t n, const uint8_t *v,
		     size_t len, uint8_t flags, void *user)
{
	struct call *o = nghttp2_session_get_stream_user_data(s, f->hd.stream_id);

	(void)flags;
	(void)user;
	if (o && n == 11 && memcmp(name, "grpc-status", 11) == 0)
		o->status = len == 1 ? v[0] - '0' : 99;
	return 0;
}

static int on_stream_close(nghttp2_session *s, int32_t id, uint32_t error, void *user)
{
	struct call *o = nghttp2_session_get_stream_user_data(s, id);

	if (!o)
		return 0;
	coord_done(user, &o->flight, error != 0 ? 1000 : o->status);
	free(o);
	return 0;
}

static ssize_t on_send(nghttp2_session *s, const uint8_t *p, size_t n, int flags, void *user)
{
	(void)s;
	(void)flags;
	memcpy(coord_out(user, n), p, n);
	return (ssize_t)n;
}

static void etcd_open(struct coord_conn *c)
{
	nghttp2_session_callbacks *cb;
	nghttp2_session *s;
	nghttp2_settings_entry settings[] = { { NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, WINDOW },
					      { NGHTTP2_SETTINGS_ENABLE_PUSH, 0 } };

	if (nghttp2_session_callbacks_new(&cb) != 0)
		die("etcd: no memory");
	nghttp2_session_callbacks_set_send_callback(cb, on_send);
	nghttp2_session_callbacks_set_on_header_callback(cb, on_header);
	nghttp2_session_callbacks_set_on_stream_close_callback(cb, on_stream_close);
	if (nghttp2_session_client_new(&s, cb, c) != 0)
		die("etcd: no memory");
	nghttp2_session_callbacks_del(cb);
	c->http = s;
	nghttp2_submit_settings(s, NGHTTP2_FLAG_NONE, settings, 2);
	nghttp2_session_set_local_window_size(s, NGHTTP2_FLAG_NONE, 0, 16 * WINDOW);
	coord_ready(c);
}

static ptrdiff_t etcd_take(struct coord_conn *c, const uint8_t *p, size_t len)
{
	nghttp2_session *s = c->http;

	if (nghttp2_session_mem_recv(s, p, len) < 0)
		return -1;
	return nghttp2_session_want_read(s) || nghttp2_session_want_write(s) ? (ptrdiff_t)len : -1;
}

static void etcd_pull(struct coord_conn *c)
{
	if (c->http && nghttp2_session_send(c->http) != 0)
		die("etcd: a frame could not be made");
}

static void etcd_close(struct coord_conn *c)
{
	if (c->http)
		nghttp2_session_del(c->http);		/* calls in flight are forgotten: the process ends soon */
	c->http = NULL;
}

const struct coord_proto coord_etcd = {
	.name = "etcd", .open = etcd_open, .send = etcd_send, .take = etcd_take, .pull = etcd_pull, .close = etcd_close,
};
