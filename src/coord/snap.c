/*
 * snap.c - the whole state as msgpack, and back.
 *
 * [version, zxid, time_ms, nodes, sessions], then the root and all nodes in preorder as
 * [depth, name, value, czxid, mzxid, pzxid, ctime, mtime, version, aversion, creates, acl], then the
 * sessions as [id, epoch, password, timeout_ms, name, [paths of its ephemerals in order]].
 * Order of children and of ephemerals is kept, so a tree that was loaded answers as the one saved.
 */
#include "coord/tree.h"

#include <string.h>

#define NODE_FIELDS 12
#define DEPTH_MAX (COORD_PATH_MAX / 2 + 1)

static uint32_t depth_of(const struct znode *n)
{
	uint32_t d = 0;

	for (; n->parent; n = n->parent)
		d++;
	return d;
}

static void save_node(const struct znode *n, struct buf *b)
{
	mp_put_array(b, NODE_FIELDS);
	mp_put_int(b, depth_of(n));
	mp_put_str(b, (struct str){ n->name, n->name_len });
	mp_put_bytes(b, (struct bytes){ n->value ? n->value : (const uint8_t *)"", n->value_len });
	mp_put_int(b, n->czxid);
	mp_put_int(b, n->mzxid);
	mp_put_int(b, n->pzxid);
	mp_put_int(b, n->ctime_ms);
	mp_put_int(b, n->mtime_ms);
	mp_put_int(b, n->version);
	mp_put_int(b, n->aversion);
	mp_put_int(b, n->creates);
	mp_put_int(b, n->acl);
}

void coord_save(const struct coord *c, struct buf *b)
{
	char path[COORD_PATH_MAX + 1];

	mp_put_array(b, 5);
	mp_put_int(b, COORD_VERSION);
	mp_put_int(b, c->zxid);
	mp_put_int(b, c->time_ms);
	mp_put_int(b, (int64_t)c->nodes + 1);
	mp_put_int(b, c->nsessions);
	for (const struct znode *n = c->root; n; n = coord_next(c->root, n))
		save_node(n, b);
	for (const struct coord_session *s = c->first; s; s = s->next) {
		uint32_t n = 0;

		for (const struct znode *e = s->eph_first; e; e = e->eph_next)
			n++;
		mp_put_array(b, 6);
		mp_put_int(b, s->id);
		mp_put_int(b, s->epoch);
		mp_put_bytes(b, (struct bytes){ s->password, sizeof s->password });
		mp_put_int(b, s->timeout_ms);
		mp_put_str(b, str_of(s->name));
		mp_put_array(b, n);
		for (const struct znode *e = s->eph_first; e; e = e->eph_next)
			mp_put_str(b, coord_path(e, path));
	}
}

static int load_node(struct coord *c, struct mp_reader *m, struct znode **at, uint32_t *depth_last)
{
	if (mp_array(m) != NODE_FIELDS)
		return E_BAD;
	int64_t depth = mp_int(m);
	struct str name = mp_str(m);
	struct bytes value = mp_bin(m);
	struct znode *n = c->root;

	if (!mp_ok(m) || depth < 0 || depth > (int64_t)*depth_last + 1 || depth >= DEPTH_MAX)
		return E_BAD;
	if (value.len > (int32_t)COORD_VALUE_MAX || name.len < 0 || name.len > COORD_PATH_MAX)
		return E_BAD;
	if (depth > 0) {
		if (name.len == 0)
			return E_BAD;
		n = tree_make(c, at[depth - 1], name, value);
	} else if (*depth_last != 0 || c->nodes != 0) {
		return E_BAD;
	} else if (value.len >= 0) {
		mem_free(n->value);
		n->value = mem_alloc((size_t)value.len);
		memcpy(n->value, value.p, (size_t)value.len);
		n->value_len = value.len;
	}
	at[depth] = n;
	*depth_last = (uint32_t)depth;
	n->czxid = mp_int(m);
	n->mzxid = mp_int(m);
	n->pzxid = mp_int(m);
	n->ctime_ms = mp_int(m);
	n->mtime_ms = mp_int(m);
	n->version = (int32_t)mp_int(m);
	n->aversion = (int32_t)mp_int(m);
	n->creates = (uint32_t)mp_int(m);
	n->acl = (uint32_t)mp_int(m);
	return mp_ok(m) && n->mzxid <= c->zxid ? OK : E_BAD;
}

static int load_session(struct coord *c, struct mp_reader *m)
{
	if (mp_array(m) != 6)
		return E_BAD;
	int64_t id = mp_int(m), epoch = mp_int(m);
	struct bytes password = mp_bin(m);
	int64_t timeout_ms = mp_int(m);
	struct str name = mp_str(m);
	uint32_t n = mp_array(m);

	if (!mp_ok(m) || id == 0 || password.len != 16 || timeout_ms < 1 || timeout_ms > UINT32_MAX ||
	    name.len < 0 || name.len >= 64 || coord_session(c, id))
		return E_BAD;
	struct coord_session *s = session_add(c, id);

	s->epoch = epoch;
	s->timeout_ms = (uint32_t)timeout_ms;
	memcpy(s->password, password.p, 16);
	memcpy(s->name, name.p, (size_t)name.len);
	for (uint32_t i = 0; i < n; i++) {
		struct str path = mp_str(m);
		struct znode *e = (struct znode *)(uintptr_t)coord_find(c, path);

		if (!e || e->owner != 0 || e->first || !e->parent)
			return E_BAD;
		tree_own(s, e);
	}
	return mp_ok(m) ? OK : E_BAD;
}

int coord_load(struct coord *c, const uint8_t *p, uint32_t len)
{
	struct mp_reader m = mp_of(p, len);
	struct znode **at = mem_alloc(DEPTH_MAX * sizeof *at);
	uint32_t depth = 0;
	int err = mp_array(&m) == 5 ? OK : E_BAD;

	if (err == OK && mp_int(&m) != COORD_VERSION)
		err = mp_ok(&m) ? E_VERSION : E_BAD;
	c->zxid = mp_int(&m);
	c->time_ms = mp_int(&m);
	int64_t nodes = mp_int(&m), sessions = mp_int(&m);

	if (err == OK && (nodes < 1 || sessions < 0))
		err = E_BAD;
	for (int64_t i = 0; err == OK && i < nodes; i++)
		err = load_node(c, &m, at, &depth);
	for (int64_t i = 0; err == OK && i < sessions; i++)
		err = load_session(c, &m);
	mem_free(at);
	return err != OK ? err : mp_end(&m) ? OK : E_BAD;
}
