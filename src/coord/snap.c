/*
 * snap.c - the whole state as msgpack, and back.
 *
 * [version, zxid, time_ms, nodes, sessions], then the root and all nodes in preorder as
 * [depth, name, value, czxid, mzxid, pzxid, ctime, mtime, version, aversion, creates, acl, kind, ttl, system],
 * then the sessions as [id, epoch, password, timeout_ms, name, client, attached, [paths of its ephemerals in order]].
 * Order of children and of ephemerals is kept, so a tree that was loaded answers as the one saved.
 */
#include "coord/tree.h"
#include "base/mutant.h"

#include <string.h>

#define NODE_FIELDS 15
#define SESSION_FIELDS 8
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
	mp_put_bytes(b, n->acl ? coord_acl_bytes(n->acl) : BYTES_NULL);
	mp_put_int(b, n->kind);
	mp_put_int(b, n->kind == ZNODE_TTL ? n->ttl_ms : 0);
	mp_put_bool(b, n->system);
}

void coord_save(const struct coord *c, struct buf *b)
{
	char path[COORD_PATH_MAX + 1];

	mp_put_array(b, 5);
	mp_put_int(b, COORD_SNAP_VERSION);
	mp_put_int(b, c->zxid);
	mp_put_int(b, mutant(IMAGE_FORGETS_TIME) ? 0 : c->time_ms);
	mp_put_int(b, (int64_t)c->nodes + 1);
	mp_put_int(b, mutant(IMAGE_FORGETS_SESSIONS) ? 0 : c->nsessions);
	for (const struct znode *n = c->root; n; n = coord_next(c->root, n))
		save_node(n, b);
	for (const struct coord_session *s = c->first; s && !mutant(IMAGE_FORGETS_SESSIONS); s = s->next) {
		uint32_t n = 0;

		for (const struct znode *e = s->eph_first; e; e = e->eph_next)
			n++;
		mp_put_array(b, SESSION_FIELDS);
		mp_put_int(b, s->id);
		mp_put_int(b, s->epoch);
		mp_put_bytes(b, (struct bytes){ s->password, sizeof s->password });
		mp_put_int(b, s->timeout_ms);
		mp_put_str(b, str_of(s->name));
		mp_put_bool(b, s->client);
		mp_put_int(b, s->attached);
		mp_put_array(b, n);
		for (const struct znode *e = s->eph_first; e; e = e->eph_next)
			mp_put_str(b, coord_path(e, path));
	}
}

struct place {				/* of the last node of each depth */
	struct znode *node;
	uint32_t path_len;
};

static int load_kind(struct coord *c, struct mp_reader *m, struct znode *n, uint32_t path_len,
		     uint64_t *ret_ephemerals)
{
	struct bytes acl = mp_bin(m);
	int64_t kind = mp_int(m);

	int64_t ttl_ms = mp_int(m);

	n->system = mp_bool(m);
	if (!mp_ok(m) || n->mzxid > c->zxid || kind < ZNODE_PLAIN || kind > ZNODE_TTL ||
	    (acl.len >= 0 && !acl_list_ok(acl)))
		return E_BAD;
	if (acl.len >= 0)
		n->acl = acl_get(c, acl);
	n->kind = (uint8_t)kind;
	if (kind == ZNODE_TTL)
		n->ttl_ms = ttl_ms;
	if (kind == ZNODE_CONTAINER || kind == ZNODE_TTL)
		tree_timed(c, n);
	*ret_ephemerals += kind == ZNODE_EPHEMERAL;
	tree_count(c, n, path_len);
	return OK;
}

static int load_node(struct coord *c, struct mp_reader *m, struct place *at, uint32_t *depth_last,
		     uint64_t *ret_ephemerals)
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
		n = tree_make(c, at[depth - 1].node, name, value);
	} else if (*depth_last != 0 || c->nodes != 0) {
		return E_BAD;
	} else {
		mem_free(n->value);
		n->value = NULL;
		n->value_len = value.len;
		if (value.len > 0) {
			n->value = mem_alloc((size_t)value.len);
			memcpy(n->value, value.p, (size_t)value.len);
		}
	}
	at[depth] = (struct place){ n, depth > 0 ? at[depth - 1].path_len + 1 + (uint32_t)name.len : 0 };
	*depth_last = (uint32_t)depth;
	n->czxid = mp_int(m);
	n->mzxid = mp_int(m);
	n->pzxid = mp_int(m);
	n->ctime_ms = mp_int(m);
	n->mtime_ms = mp_int(m);
	n->version = (int32_t)mp_int(m);
	n->aversion = (int32_t)mp_int(m);
	n->creates = (uint32_t)mp_int(m);
	return load_kind(c, m, n, at[depth].path_len, ret_ephemerals);
}

static int load_session(struct coord *c, struct mp_reader *m)
{
	if (mp_array(m) != SESSION_FIELDS)
		return E_BAD;
	int64_t id = mp_int(m), epoch = mp_int(m);
	struct bytes password = mp_bin(m);
	int64_t timeout_ms = mp_int(m);
	struct str name = mp_str(m);
	bool client = mp_bool(m);
	int64_t attached = mp_int(m);
	uint32_t n = mp_array(m);

	if (!mp_ok(m) || id == 0 || password.len != 16 || timeout_ms < 1 || timeout_ms > UINT32_MAX ||
	    name.len < 0 || name.len >= 64 || coord_session(c, id))
		return E_BAD;
	struct coord_session *s = session_add(c, id);

	s->epoch = epoch;
	s->client = client;
	s->attached = attached;
	s->timeout_ms = (uint32_t)timeout_ms;
	memcpy(s->password, password.p, 16);
	memcpy(s->name, name.p, (size_t)name.len);
	for (uint32_t i = 0; i < n; i++) {
		struct str path = mp_str(m);
		struct znode *e = (struct znode *)(uintptr_t)coord_find(c, path);

		if (!e || e->kind != ZNODE_EPHEMERAL || e->owner != 0 || e->first || !e->parent)
			return E_BAD;
		tree_own(c, s, e);
	}
	return mp_ok(m) ? OK : E_BAD;
}

int coord_load(struct coord *c, const uint8_t *p, uint32_t len)
{
	struct mp_reader m = mp_of(p, len);
	struct place *at = mem_alloc(DEPTH_MAX * sizeof *at);
	uint32_t depth = 0;
	uint64_t ephemerals = 0;
	int err = mp_array(&m) == 5 ? OK : E_BAD;

	if (err == OK && mp_int(&m) != COORD_SNAP_VERSION)
		err = mp_ok(&m) ? E_VERSION : E_BAD;
	tree_drop_all(c);
	c->zxid = mp_int(&m);
	c->time_ms = mp_int(&m);
	int64_t nodes = mp_int(&m), sessions = mp_int(&m);

	if (err == OK && (nodes < 1 || sessions < 0))
		err = E_BAD;
	for (int64_t i = 0; err == OK && i < nodes; i++)
		err = load_node(c, &m, at, &depth, &ephemerals);
	for (int64_t i = 0; err == OK && i < sessions; i++)
		err = load_session(c, &m);
	if (err == OK && ephemerals != c->ephemerals)	/* one without a session: C3 */
		err = E_BAD;
	mem_free(at);
	return err != OK ? err : mp_end(&m) ? OK : E_BAD;
}
