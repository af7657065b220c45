/* serve_feed.c - the change feed of a subscriber: entries from the ring, or a snapshot. See serve.h V4. */
#include "quorum/serve_in.h"

#include <string.h>

#define QUEUE_BYTES_MAX (8u << 20)	/* a subscriber with more unsent waits for on_drained */

static void put_node(struct buf *b, struct str path, struct bytes value, int32_t version, int64_t czxid,
		     int64_t mzxid, int64_t owner)
{
	mp_put_str(b, path);
	mp_put_bytes(b, value);
	mp_put_int(b, version);
	mp_put_int(b, czxid);
	mp_put_int(b, mzxid);
	mp_put_int(b, owner);
}

void serve_put_znode(struct buf *b, const struct znode *z)
{
	char path[COORD_PATH_MAX + 1];

	put_node(b, coord_path(z, path), (struct bytes){ z->value ? z->value : (const uint8_t *)"", z->value_len },
		 z->version, z->czxid, z->mzxid, coord_owner(z));
}

bool serve_shows(const struct conn *c, const struct znode *z)
{
	return c->system || feed_public(coord_secret(z), z->acl);
}

/* The change is one that c asked for, and may see. */
static bool under(const struct conn *c, struct str path, bool secret)
{
	if (secret && !c->system)
		return false;
	for (uint32_t i = 0; i < c->nprefixes; i++) {
		struct str p = c->prefix[i];

		if (p.len == 1)
			return true;
		if (path.len >= p.len && memcmp(path.p, p.p, (size_t)p.len) == 0 &&
		    (path.len == p.len || path.p[p.len] == '/'))
			return true;
	}
	return false;
}

static void push_entry(struct conn *c, const struct feed_entry *e)
{
	struct buf b;
	uint32_t n = 0;

	for (uint32_t i = 0; i < e->n; i++)
		n += under(c, e->v[i].path, e->v[i].secret);
	if (n == 0)
		return;
	serve_start(&b, QF_CHANGES, 4);
	mp_put_int(&b, e->zxid);
	mp_put_bool(&b, false);
	mp_put_array(&b, n);
	for (uint32_t i = 0; i < e->n; i++) {
		const struct feed_change *x = &e->v[i];

		if (!under(c, x->path, x->secret))
			continue;
		mp_put_array(&b, 7);
		mp_put_bool(&b, x->deleted);
		put_node(&b, x->path, x->value, x->version, x->czxid, x->mzxid, x->owner);
	}
	serve_push(c, &b);
}

static void push_chunk(struct conn *c, int64_t zxid, struct buf *nodes, uint32_t n)
{
	struct buf b;

	serve_start(&b, QF_CHANGES, 4);
	mp_put_int(&b, zxid);
	mp_put_bool(&b, true);
	mp_put_array(&b, n);
	buf_put(&b, nodes->p, nodes->len);
	serve_push(c, &b);
	buf_reset(nodes);
}

void serve_push_snapshot(struct conn *c)
{
	struct coord *t = node_coord(c->s->node);
	int64_t zxid = coord_zxid(t);
	struct buf b, nodes;
	uint32_t n = 0;

	serve_start(&b, QF_SNAP_BEGIN, 2);
	mp_put_int(&b, zxid);
	serve_push(c, &b);
	buf_init(&nodes, QF_FRAME_MAX);
	for (uint32_t i = 0; i < c->nprefixes; i++) {
		const struct znode *top = coord_find(t, c->prefix[i]);

		for (const struct znode *z = top; z; z = coord_next(top, z)) {
			if (!serve_shows(c, z))
				continue;
			mp_put_array(&nodes, 7);
			mp_put_bool(&nodes, false);
			serve_put_znode(&nodes, z);
			n++;
			if (nodes.len > QF_PUSH_BYTES) {
				push_chunk(c, zxid, &nodes, n);
				n = 0;
			}
		}
	}
	if (n > 0)
		push_chunk(c, zxid, &nodes, n);
	buf_release(&nodes);
	serve_start(&b, QF_SNAP_END, 2);
	mp_put_int(&b, zxid);
	serve_push(c, &b);
	c->seq = c->s->feed.next;
	c->cursor = zxid;
}

void serve_pump(struct conn *c)
{
	struct serve *s = c->s;

	if (!c->subscribed || c->closed)
		return;
	while (c->seq < s->feed.next) {
		if (s->net->calls->queued_bytes(c->net) > QUEUE_BYTES_MAX) {
			c->behind = true;
			return;
		}
		const struct feed_entry *e = feed_at(&s->feed, c->seq);

		if (!e) {		/* it fell out of the ring */
			serve_push_snapshot(c);
			break;
		}
		push_entry(c, e);
		c->seq++;
		c->cursor = e->zxid;
	}
	c->behind = false;
	c->cursor = coord_zxid(node_coord(s->node));
}
