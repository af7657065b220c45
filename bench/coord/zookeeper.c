/* zookeeper.c - ZooKeeper's client protocol (zookeeper.jute), as far as the load needs it. */
#include <string.h>

#include "bench/coord/coord.h"

enum { ZK_CREATE = 1, ZK_GET_DATA = 4, ZK_SET_DATA = 5, ZK_SYNC = 9 };

#define ZK_NODE_EXISTS (-110)
#define FRAME_MAX (16u << 20)

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
	for (int i = 0; i < 4; i++)
		p[i] = (uint8_t)(v >> (24 - 8 * i));
	return p + 4;
}

static uint32_t get_u32(const uint8_t *p)
{
	return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint8_t *put_bytes(uint8_t *p, const void *v, size_t n)
{
	p = put_u32(p, (uint32_t)n);
	memcpy(p, v, n);
	return p + n;
}

/* ConnectRequest: protocol 0, nothing seen, timeout, no session, sixteen bytes of password, not read-only. */
static void zk_open(struct coord_conn *c)
{
	uint8_t *p = coord_out(c, 49);

	memset(p, 0, 49);
	put_u32(p, 45);
	put_u32(p + 16, coord_timeout_ms());
	put_u32(p + 28, 16);
}

static uint8_t *request(struct coord_conn *c, uint32_t type, size_t body)
{
	uint8_t *p = coord_out(c, 12 + body);

	p = put_u32(p, (uint32_t)(8 + body));
	p = put_u32(p, (uint32_t)++c->xid);
	return put_u32(p, type);
}

static void zk_send(struct coord_conn *c, enum coord_op op, const char *path, const uint8_t *value, size_t len)
{
	static const char world[] = "world", anyone[] = "anyone";
	size_t n = strlen(path);
	uint64_t now = now_ns();

	if (op == OP_GET) {
		put_bytes(request(c, ZK_SYNC, 4 + n), path, n);
		*coord_flight(c) = (struct flight){ .start_ns = now, .op = op, .silent = true };
	}
	if (op == OP_GET || op == OP_LOCAL) {
		*put_bytes(request(c, ZK_GET_DATA, 5 + n), path, n) = 0;
	} else if (op == OP_SET) {
		put_u32(put_bytes(put_bytes(request(c, ZK_SET_DATA, 12 + n + len), path, n), value, len), UINT32_MAX);
	} else {
		uint8_t *p = request(c, ZK_CREATE, 4 + n + 4 + len + 4 + 4 + 9 + 10 + 4);

		p = put_bytes(put_bytes(p, path, n), value, len);
		p = put_u32(put_u32(p, 1), 31);
		p = put_bytes(put_bytes(p, world, 5), anyone, 6);
		put_u32(p, 0);
	}
	*coord_flight(c) = (struct flight){ .start_ns = now, .op = op };
	c->flying++;
}

static ptrdiff_t zk_take(struct coord_conn *c, const uint8_t *p, size_t len)
{
	size_t at = 0;

	while (len - at >= 4) {
		uint32_t n = get_u32(p + at);

		if (n > FRAME_MAX)
			return -1;
		if (len - at - 4 < n)
			break;
		const uint8_t *f = p + at + 4;

		at += 4 + n;
		if (c->at == CONN_GREETING) {
			if (n < 36 || get_u32(f + 4) == 0)
				return -1;
			coord_ready(c);
			continue;
		}
		if (n < 16)
			return -1;
		int32_t xid = (int32_t)get_u32(f), code = (int32_t)get_u32(f + 12);

		if (xid < 0)			/* a ping, a watch */
			continue;
		struct flight *o = coord_oldest(c);

		if (!o)
			return -1;
		if (!o->silent || code != 0)
			coord_done(c, o, o->op == OP_SETUP && code == ZK_NODE_EXISTS ? 0 : code);
	}
	return (ptrdiff_t)at;
}

static void zk_pull(struct coord_conn *c)
{
	(void)c;
}

const struct coord_proto coord_zookeeper = {
	.name = "zookeeper", .open = zk_open, .send = zk_send, .take = zk_take, .pull = zk_pull, .close = zk_pull,
};
