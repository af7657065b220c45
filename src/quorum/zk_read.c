/* zk_read.c - requests that this node answers by itself, in ZooKeeper's order of checks (FinalRequestProcessor). */
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "base/be.h"
#include "quorum/zk_int.h"
#include "wire/zk_gen.h"

#define ARENA_MAX (64u << 20)

struct reading {
	struct zk_conn *c;
	struct buf *out;		/* the body of the answer is written behind its header */
	struct arena arena;
	const uint8_t *p;
	uint32_t len;
	bool keeps_body;		/* with a code other than OK too */
};

static const struct znode *find(const struct zk *z, struct str path)
{
	const struct coord *t = node_coord(z->node);

	/* "" is ZooKeeper's other name of the root */
	return path.len == 0 ? coord_find(t, STR("/")) : coord_find(t, path);
}

void zk_put_stat(struct buf *b, const struct coord_stat *s)
{
	jute_long(b, s->czxid);
	jute_long(b, s->mzxid);
	jute_long(b, s->ctime_ms);
	jute_long(b, s->mtime_ms);
	jute_int(b, s->version);
	jute_int(b, s->cversion);
	jute_int(b, s->aversion);
	jute_long(b, s->owner);
	jute_int(b, s->data_len);
	jute_int(b, s->children);
	jute_long(b, s->pzxid);
}

static void put_stat_of(struct buf *b, const struct znode *n)
{
	struct coord_stat s;

	coord_stat(n, &s);
	zk_put_stat(b, &s);
}

static bool may(const struct zk_conn *c, const struct znode *n, unsigned perm)
{
	if (coord_secret(n))
		return false;
	return (c->z->conf.rules.flags & COORD_SKIP_ACL) || coord_allows(n->acl, perm, zk_ids(c));
}

static enum coord_code get_path(struct reading *r, struct zk_path_watch_request *q)
{
	size_t used;

	if (wire_decode_some(&wire_zk_path_watch_request, 0, r->p, r->len, &r->arena, q, &used) != OK ||
	    q->path.len < 0)
		return ZK_MARSHALLING;
	return ZK_OK;
}

/* The node, or the code why not. */
static enum coord_code node_for(struct reading *r, struct str path, unsigned perm, const struct znode **ret)
{
	*ret = find(r->c->z, path);
	if (!*ret)
		return ZK_NO_NODE;
	return may(r->c, *ret, perm) ? ZK_OK : ZK_NO_AUTH;
}

static enum coord_code exists(struct reading *r)
{
	struct zk_path_watch_request q;
	enum coord_code code = get_path(r, &q);

	if (code != ZK_OK)
		return code;
	if (q.path.len > 0 && memchr(q.path.p, 0, (size_t)q.path.len))
		return ZK_BAD_ARGUMENTS;
	const struct znode *n = find(r->c->z, q.path);

	if (n && !may(r->c, n, PERM_READ))
		return ZK_NO_AUTH;
	if (q.watch)				/* also for a node that is to come */
		zk_watch_add(r->c, r->c->z->data, q.path, ZK_WATCH_ONCE);
	if (!n)
		return ZK_NO_NODE;
	put_stat_of(r->out, n);
	return ZK_OK;
}

static void put_data(struct buf *b, const struct znode *n)
{
	jute_buffer(b, (struct bytes){ n->value, n->value_len });
	put_stat_of(b, n);
}

static void put_children(struct buf *b, const struct znode *n)
{
	jute_int(b, (int32_t)n->children);
	for (const struct znode *k = n->first; k && !b->bad; k = k->next)
		jute_str(b, (struct str){ k->name, k->name_len });
}

/* The node that a request with a watch flag reads; the watch goes into `table` when it may be read. */
static enum coord_code read_node(struct reading *r, struct watch_table *table, const struct znode **ret)
{
	struct zk_path_watch_request q;
	enum coord_code code = get_path(r, &q);

	if (code == ZK_OK)
		code = node_for(r, q.path, PERM_READ, ret);
	if (code == ZK_OK && q.watch)
		zk_watch_add(r->c, table, q.path, ZK_WATCH_ONCE);
	return code;
}

static enum coord_code get_data(struct reading *r)
{
	const struct znode *n = NULL;
	enum coord_code code = read_node(r, r->c->z->data, &n);

	if (code == ZK_OK)
		put_data(r->out, n);
	return code;
}

static enum coord_code get_children(struct reading *r, bool with_stat)
{
	const struct znode *n = NULL;
	enum coord_code code = read_node(r, r->c->z->child, &n);

	if (code != ZK_OK)
		return code;
	put_children(r->out, n);
	if (with_stat)
		put_stat_of(r->out, n);
	return ZK_OK;
}

static enum coord_code path_only(struct reading *r, struct str *ret)
{
	struct zk_path_request q;
	size_t used;

	if (wire_decode_some(&wire_zk_path_request, 0, r->p, r->len, &r->arena, &q, &used) != OK)
		return ZK_MARSHALLING;
	*ret = q.path;
	return ZK_OK;
}

/* Who may not change the rights sees no digests of passwords: "user:x". */
static void put_acl(struct buf *b, struct bytes list, bool masked)
{
	struct coord_ace e;
	uint32_t n;

	if (!masked) {
		buf_put(b, list.p, (size_t)list.len);
		return;
	}
	must(coord_acl_count(&list, &n));
	jute_int(b, (int32_t)n);
	while (n-- > 0 && coord_acl_next(&list, &e)) {
		const char *colon = e.id.id.len > 0 ? memchr(e.id.id.p, ':', (size_t)e.id.id.len) : NULL;

		jute_int(b, (int32_t)e.perms);
		jute_str(b, e.id.scheme);
		if (str_is(e.id.scheme, "digest") && colon) {
			int32_t user = (int32_t)(colon - e.id.id.p);

			jute_int(b, user + 2);
			buf_put(b, e.id.id.p, (size_t)user);
			buf_put(b, ":x", 2);
		} else {
			jute_str(b, e.id.id);
		}
	}
}

static enum coord_code get_acl(struct reading *r)
{
	static const uint8_t readers[] = "\0\0\0\1" "\0\0\0\1" "\0\0\0\5world" "\0\0\0\6anyone";
	struct str path;
	const struct znode *n = NULL;
	enum coord_code code = path_only(r, &path);

	if (code == ZK_OK && path.len < 0)
		code = ZK_MARSHALLING;
	if (code == ZK_OK)
		code = node_for(r, path, PERM_READ | PERM_ADMIN, &n);
	if (code != ZK_OK)
		return code;
	if (n->system)
		put_acl(r->out, (struct bytes){ readers, sizeof readers - 1 }, false);
	else
		put_acl(r->out, coord_acl_bytes(n->acl), !may(r->c, n, PERM_ADMIN));
	put_stat_of(r->out, n);
	return ZK_OK;
}

static enum coord_code count_all(struct reading *r)
{
	struct str path;
	const struct znode *n = NULL;
	enum coord_code code = path_only(r, &path);
	int32_t count = code == ZK_OK && path.len == 0 ? 0 : -1;	/* the empty path has the root below it */

	if (code == ZK_OK && path.len < 0)
		code = ZK_MARSHALLING;
	if (code == ZK_OK)
		code = node_for(r, path, PERM_READ, &n);
	if (code != ZK_OK)
		return code;
	for (const struct znode *k = n; k; k = coord_next(n, k))
		count++;
	jute_int(r->out, count);
	return ZK_OK;
}

static bool all_blank(struct str s)
{
	for (int32_t i = 0; i < s.len; i++)
		if ((uint8_t)s.p[i] > ' ')
			return false;
	return true;
}

static enum coord_code ephemerals(struct reading *r)
{
	struct coord_session *x = coord_session(node_coord(r->c->z->node), r->c->session);
	char path[COORD_PATH_MAX + 1];
	struct str prefix;
	enum coord_code code = path_only(r, &prefix);
	size_t at = r->out->len;
	uint32_t n = 0;

	if (code != ZK_OK)
		return code;
	bool all = all_blank(prefix) || str_is(prefix, "/");

	jute_int(r->out, 0);
	for (const struct znode *e = x ? x->eph_first : NULL; e; e = e->eph_next) {
		struct str p = coord_path(e, path);

		if (!all && (p.len < prefix.len || memcmp(p.p, prefix.p, (size_t)prefix.len) != 0))
			continue;
		jute_str(r->out, p);
		n++;
	}
	if (!r->out->bad) {
		struct buf count = { .p = r->out->p + at, .cap = 4, .max = 4 };

		jute_int(&count, (int32_t)n);
	}
	return ZK_OK;
}

static enum coord_code who_am_i(struct reading *r)
{
	struct bytes l = zk_ids(r->c);
	struct coord_id id;
	uint32_t n = 0;

	must(coord_acl_count(&l, &n));
	jute_int(r->out, (int32_t)n);
	while (n-- > 0 && coord_id_next(&l, &id)) {
		const char *colon = id.id.len > 0 ? memchr(id.id.p, ':', (size_t)id.id.len) : NULL;

		jute_str(r->out, id.scheme);
		if (str_is(id.scheme, "digest") && colon)
			id.id.len = (int32_t)(colon - id.id.p);
		jute_str(r->out, id.id);
	}
	return ZK_OK;
}

static enum coord_code sync(struct reading *r)
{
	struct str path;
	enum coord_code code = path_only(r, &path);

	if (code == ZK_OK)
		jute_str(r->out, path);
	return code;
}

static enum coord_code add_watch(struct reading *r, const struct zk_path_mode_request *q)
{
	struct zk_conn *c = r->c;

	if (q->mode < 0 || q->mode > 1)
		return ZK_MARSHALLING;
	if (q->path.len >= 0)		/* ZooKeeper watches a null, too: nothing ever happens to it */
		zk_watch_add(c, c->z->data, q->path, q->mode == 0 ? ZK_WATCH_PERSISTENT : ZK_WATCH_RECURSIVE);
	if (q->path.len >= 0 && q->mode == 0)
		zk_watch_add(c, c->z->child, q->path, ZK_WATCH_PERSISTENT);
	jute_int(r->out, 0);
	return ZK_OK;
}

/* WatcherType: which tables and modes a type means. */
static bool watch_type(int32_t type, unsigned *ret_child, unsigned *ret_data)
{
	static const struct { unsigned child, data; } types[] = {
		[1] = { ZK_WATCH_ONCE, 0 }, [2] = { 0, ZK_WATCH_ONCE }, [3] = { ZK_WATCH_ANY, ZK_WATCH_ANY },
		[4] = { ZK_WATCH_PERSISTENT, ZK_WATCH_PERSISTENT }, [5] = { 0, ZK_WATCH_RECURSIVE },
	};

	if (type < 1 || type > 5)
		return false;
	*ret_child = types[type].child;
	*ret_data = types[type].data;
	return true;
}

static enum coord_code watches(struct reading *r, int32_t type)
{
	struct zk_path_mode_request q;
	struct zk *z = r->c->z;
	unsigned child, data;
	size_t used;

	if (wire_decode_some(&wire_zk_path_mode_request, 0, r->p, r->len, &r->arena, &q, &used) != OK)
		return ZK_MARSHALLING;
	if (type == ZK_OP_ADD_WATCH)
		return add_watch(r, &q);
	if (!watch_type(q.mode, &child, &data))
		return ZK_MARSHALLING;
	if (q.path.len < 0)
		return ZK_NO_WATCHER;
	bool in_child, in_data;

	if (type == ZK_OP_CHECK_WATCHES) {
		in_child = q.mode != 4 && zk_watch_has(r->c, z->child, q.path, child);
		in_data = zk_watch_has(r->c, z->data, q.path, data);
	} else {
		in_child = zk_watch_remove(r->c, z->child, q.path, child);
		in_data = zk_watch_remove(r->c, z->data, q.path, data);
	}
	return in_child || in_data ? ZK_OK : ZK_NO_WATCHER;
}

/* DataTree.setWatches: what happened while the client was away is told at once, the rest is watched again. */
/* What may not be read is as if it were not there: not even a watch tells of it. */
static const struct znode *find_open(const struct zk *z, struct str path)
{
	const struct znode *n = path.len < 0 ? NULL : find(z, path);

	return n && coord_secret(n) ? NULL : n;
}

static enum coord_code set_watches(struct reading *r, int version)
{
	struct zk_conn *c = r->c;
	struct zk_set_watches q;
	size_t used;

	if (wire_decode_some(&wire_zk_set_watches, version, r->p, r->len, &r->arena, &q, &used) != OK)
		return ZK_MARSHALLING;
	for (int32_t i = 0; i < q.data_n; i++) {
		const struct znode *n = find_open(c->z, q.data[i]);

		if (!n)
			zk_event(c, -1, ZK_EVENT_DELETED, q.data[i]);
		else if (n->mzxid > q.relative_zxid && !mutant(MISSED_UNTOLD))
			zk_event(c, -1, ZK_EVENT_DATA, q.data[i]);
		else
			zk_watch_add(c, c->z->data, q.data[i], ZK_WATCH_ONCE);
	}
	for (int32_t i = 0; i < q.exist_n; i++)
		if (find_open(c->z, q.exist[i]))
			zk_event(c, -1, ZK_EVENT_CREATED, q.exist[i]);
		else
			zk_watch_add(c, c->z->data, q.exist[i], ZK_WATCH_ONCE);
	for (int32_t i = 0; i < q.child_n; i++) {
		const struct znode *n = find_open(c->z, q.child[i]);

		if (!n)
			zk_event(c, -1, ZK_EVENT_DELETED, q.child[i]);
		else if (n->pzxid > q.relative_zxid)
			zk_event(c, -1, ZK_EVENT_CHILDREN, q.child[i]);
		else
			zk_watch_add(c, c->z->child, q.child[i], ZK_WATCH_ONCE);
	}
	for (int32_t i = 0; i < q.persistent_n; i++) {
		zk_watch_add(c, c->z->child, q.persistent[i], ZK_WATCH_PERSISTENT);
		zk_watch_add(c, c->z->data, q.persistent[i], ZK_WATCH_PERSISTENT);
	}
	for (int32_t i = 0; i < q.recursive_n; i++)
		zk_watch_add(c, c->z->data, q.recursive[i], ZK_WATCH_RECURSIVE);
	return ZK_OK;
}

static enum coord_code multi_read(struct reading *r)
{
	struct zk_multi_header h;
	size_t at = 0, used = 0;

	while (!r->out->bad) {			/* else the connection ends: the answer is too long */
		struct zk_path_watch_request q;
		const struct znode *n = NULL;
		int err = wire_decode_some(&wire_zk_multi_header, 0, r->p + at, r->len - at, &r->arena, &h, &used);

		at += used;
		if (err != OK)
			return ZK_MARSHALLING;
		if (h.done)
			break;
		if (at == used && (zk_is_write(h.type) || h.type == ZK_OP_CHECK)) {
			/* ZooKeeper has begun its answer when it finds that it does not like this. */
			jute_multi(r->out, -1, true, -1);
			r->keeps_body = true;
			return ZK_MARSHALLING;
		}
		if (h.type != ZK_OP_GET_DATA && h.type != ZK_OP_GET_CHILDREN)
			return ZK_MARSHALLING;
		if (wire_decode_some(&wire_zk_path_watch_request, 0, r->p + at, r->len - at, &r->arena, &q,
				     &used) != OK ||
		    q.path.len < 0)
			return ZK_MARSHALLING;
		at += used;
		enum coord_code code = node_for(r, q.path, PERM_READ, &n);

		if (code != ZK_OK) {
			jute_multi(r->out, -1, false, code);
			jute_int(r->out, code);
			continue;
		}
		jute_multi(r->out, h.type, false, 0);
		if (h.type == ZK_OP_GET_DATA)
			put_data(r->out, n);
		else
			put_children(r->out, n);
	}
	jute_multi(r->out, -1, true, -1);
	return ZK_OK;
}

static enum coord_code dispatch(struct reading *r, int32_t type)
{
	switch (type) {
	case ZK_OP_EXISTS:
		return exists(r);
	case ZK_OP_GET_DATA:
		return get_data(r);
	case ZK_OP_GET_CHILDREN: case ZK_OP_GET_CHILDREN2:
		return get_children(r, type == ZK_OP_GET_CHILDREN2);
	case ZK_OP_GET_ACL:
		return get_acl(r);
	case ZK_OP_SYNC:
		return sync(r);
	case ZK_OP_GET_ALL_CHILDREN:
		return count_all(r);
	case ZK_OP_GET_EPHEMERALS:
		return ephemerals(r);
	case ZK_OP_WHO_AM_I:
		return who_am_i(r);
	case ZK_OP_CHECK_WATCHES: case ZK_OP_REMOVE_WATCHES: case ZK_OP_ADD_WATCH:
		return watches(r, type);
	case ZK_OP_SET_WATCHES: case ZK_OP_SET_WATCHES2:
		return set_watches(r, type == ZK_OP_SET_WATCHES2);
	case ZK_OP_MULTI_READ:
		return multi_read(r);
	default:
		return ZK_OK;			/* ping */
	}
}

void zk_read(struct zk_conn *c, int32_t xid, int32_t type, const uint8_t *body, uint32_t len)
{
	struct buf b;
	struct reading r = { .c = c, .out = &b, .p = body, .len = len };

	arena_init(&r.arena, 4096, ARENA_MAX);
	jute_begin_reply(&b, ZK_REPLY_MAX, xid, zk_zxid(c->z), ZK_OK);
	enum coord_code code = dispatch(&r, type);

	if (code != ZK_OK && r.keeps_body && !b.bad) {
		be32_put(b.p + 16, (uint32_t)code);
	} else if (code != ZK_OK) {
		buf_release(&b);
		jute_begin_reply(&b, 64, xid, zk_zxid(c->z), code);
	}
	arena_release(&r.arena);
	zk_send(c, &b);
}
