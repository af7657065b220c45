/* apply.c - one committed entry changes the tree; a batch that fails is undone step by step. */
#include "coord/tree.h"

#include <string.h>

#include "base/assert.h"
#include "base/be.h"

#define SEQUENCE_DIGITS 10
#define MP_INT64 0xd3u			/* msgpack: eight bytes follow */

bool coord_path_ok(struct str path)
{
	if (path.len < 1 || path.len > COORD_PATH_MAX || path.p[0] != '/')
		return false;
	if (path.len == 1)
		return true;
	int32_t start = 1;

	for (int32_t i = 1; i <= path.len; i++) {
		if (i < path.len && path.p[i] != '/') {
			if ((uint8_t)path.p[i] < 0x20 || path.p[i] == 0x7f)
				return false;
			continue;
		}
		int32_t n = i - start;

		if (n == 0 || (n == 1 && path.p[start] == '.') ||
		    (n == 2 && path.p[start] == '.' && path.p[start + 1] == '.'))
			return false;
		start = i + 1;
	}
	return true;
}

static void *grow(void *v, uint32_t *cap, uint32_t n, size_t size)
{
	if (n < *cap)
		return v;
	*cap = *cap ? *cap * 2 : 64;
	return mem_resize(v, *cap * size);
}

static struct undo *undo_add(struct coord *c, enum undo_kind kind, struct znode *n)
{
	c->undo = grow(c->undo, &c->undo_cap, c->nundo, sizeof *c->undo);
	struct undo *u = &c->undo[c->nundo++];

	*u = (struct undo){ .kind = kind, .node = n };
	return u;
}

static void changed(struct coord *c, bool deleted, struct str path, const struct znode *n)
{
	c->changes = grow(c->changes, &c->changes_cap, c->nchanges, sizeof *c->changes);
	c->changes[c->nchanges++] = (struct coord_change){ deleted, path, deleted ? NULL : n };
}

static struct str keep(struct coord *c, struct str a, int32_t more)
{
	char *p = arena_alloc(&c->arena, (size_t)(a.len + more + 1));

	must(p != NULL);
	memcpy(p, a.p, (size_t)a.len);
	return (struct str){ p, a.len + more };
}

static int create(struct coord *c, int64_t session, const struct coord_op *op,
		  struct coord_op_result *r)
{
	struct str path = keep(c, op->path, op->flags & COORD_SEQUENCE ? SEQUENCE_DIGITS : 0);
	int32_t cut = op->path.len;

	if (path.len > COORD_PATH_MAX || op->path.len < 2)
		return E_BAD;
	while (cut > 0 && path.p[cut - 1] != '/')
		cut--;
	struct str up = { path.p, cut > 1 ? cut - 1 : 1 };
	struct znode *parent = (struct znode *)(uintptr_t)coord_find(c, up);

	if (!parent)
		return E_NOENT;
	if (op->flags & COORD_SEQUENCE) {
		char *digit = (char *)(uintptr_t)path.p + path.len;

		for (uint32_t i = 0, v = parent->creates; i < SEQUENCE_DIGITS; i++, v /= 10)
			*--digit = (char)('0' + v % 10);
	}
	if (coord_find(c, path))
		return E_EXIST;
	if (parent->owner != 0)
		return E_PERM;			/* C3 */
	struct coord_session *s = op->flags & COORD_EPHEMERAL ? coord_session(c, session) : NULL;

	if ((op->flags & COORD_EPHEMERAL) && !s)
		return E_CLOSED;
	struct undo *u = undo_add(c, UNDO_CREATE, NULL);
	struct znode *n = tree_make(c, parent, (struct str){ path.p + cut, path.len - cut }, op->value);

	u->node = n;
	u->pzxid = parent->pzxid;
	n->czxid = n->mzxid = n->pzxid = c->zxid;
	n->ctime_ms = n->mtime_ms = c->time_ms;
	if (s)
		tree_own(s, n);
	parent->creates++;
	parent->pzxid = c->zxid;
	changed(c, false, path, n);
	r->path = path;
	return OK;
}

static int set(struct coord *c, struct znode *n, const struct coord_op *op, struct coord_op_result *r)
{
	struct undo *u = undo_add(c, UNDO_SET, n);

	u->value = n->value;
	u->value_len = n->value_len;
	u->version = n->version;
	u->mzxid = n->mzxid;
	u->mtime_ms = n->mtime_ms;
	n->value = NULL;
	n->value_len = op->value.len;
	if (op->value.len > 0) {
		n->value = mem_alloc((size_t)op->value.len);
		memcpy(n->value, op->value.p, (size_t)op->value.len);
	}
	n->version = n->version == INT32_MAX ? 0 : n->version + 1;
	n->mzxid = c->zxid;
	n->mtime_ms = c->time_ms;
	changed(c, false, keep(c, op->path, 0), n);
	r->version = n->version;
	return OK;
}

static int erase(struct coord *c, struct znode *n, struct str path)
{
	if (!n->parent)
		return E_BAD;
	if (n->first)
		return E_LIMIT;
	struct undo *u = undo_add(c, UNDO_DELETE, n);

	u->pzxid = n->parent->pzxid;
	tree_unlink(c, n);
	n->parent->pzxid = c->zxid;
	changed(c, true, keep(c, path, 0), NULL);
	return OK;
}

static int one(struct coord *c, int64_t session, const struct coord_op *op, struct coord_op_result *r)
{
	if (op->kind == COORD_CREATE)
		return create(c, session, op, r);
	struct znode *n = (struct znode *)(uintptr_t)coord_find(c, op->path);

	if (!n)
		return E_NOENT;
	if (op->version != -1 && op->version != n->version)
		return E_CONFLICT;
	r->version = n->version;
	if (op->kind == COORD_SET)
		return set(c, n, op, r);
	return op->kind == COORD_DELETE ? erase(c, n, op->path) : OK;
}

static void undo_all(struct coord *c)
{
	while (c->nundo > 0) {
		struct undo *u = &c->undo[--c->nundo];
		struct znode *n = u->node;

		switch (u->kind) {
		case UNDO_CREATE:
			tree_unlink(c, n);
			n->parent->creates--;
			n->parent->pzxid = u->pzxid;
			tree_free_node(n);
			break;
		case UNDO_SET:
			mem_free(n->value);
			n->value = u->value;
			n->value_len = u->value_len;
			n->version = u->version;
			n->mzxid = u->mzxid;
			n->mtime_ms = u->mtime_ms;
			break;
		case UNDO_DELETE:
			n->parent->pzxid = u->pzxid;
			tree_link(c, n);
			break;
		}
	}
	c->nchanges = 0;
}

/* What cannot be undone any more goes; deleted nodes stay readable until the next entry. */
static void commit(struct coord *c)
{
	while (c->nundo > 0) {
		struct undo *u = &c->undo[--c->nundo];

		if (u->kind == UNDO_SET)
			mem_free(u->value);
		if (u->kind == UNDO_DELETE) {
			u->node->children = UINT32_MAX;		/* marked: deleted */
			u->node->chain = c->trash;
			c->trash = u->node;
		}
	}
	/* A change of a node that the same batch deleted later must not show it. */
	for (uint32_t i = 0; c->trash && i < c->nchanges; i++)
		if (c->changes[i].node && c->changes[i].node->children == UINT32_MAX) {
			c->changes[i].node = NULL;
			c->changes[i].deleted = true;
		}
}

static int get_op(struct mp_reader *m, struct coord_op *op)
{
	if (mp_array(m) != 5)
		return E_BAD;
	int64_t kind = mp_int(m), flags = mp_int(m);

	op->path = mp_str(m);
	op->value = mp_bin(m);
	int64_t version = mp_int(m);

	if (!mp_ok(m) || kind < COORD_CREATE || kind > COORD_CHECK || flags < 0 ||
	    flags > (COORD_EPHEMERAL | COORD_SEQUENCE) || version < -1 || version > INT32_MAX)
		return E_BAD;
	if (op->value.len > (int32_t)COORD_VALUE_MAX || !coord_path_ok(op->path))
		return E_BAD;
	op->kind = (enum coord_op_kind)kind;
	op->flags = (unsigned)flags;
	op->version = (int32_t)version;
	return OK;
}

int coord_check_ops(struct mp_reader *m, uint32_t *ret_n, bool *ret_deletes)
{
	uint32_t n = mp_array(m);
	struct coord_op op;

	if (!mp_ok(m) || n > COORD_OPS_MAX)
		return E_BAD;
	bool deletes = false;

	for (uint32_t i = 0; i < n; i++) {
		if (get_op(m, &op) != OK)
			return E_BAD;
		deletes |= op.kind == COORD_DELETE;
	}
	*ret_n = n;
	*ret_deletes = deletes;
	return OK;
}

static void apply_multi(struct coord *c, int64_t session, struct mp_reader *m, uint32_t n,
			struct coord_result *ret)
{
	struct coord_op op;
	uint32_t i = 0;
	int err = OK;

	while (c->ops_cap < n)
		c->ops = grow(c->ops, &c->ops_cap, c->ops_cap, sizeof *c->ops);
	memset(c->ops, 0, n * sizeof *c->ops);
	if (session != 0 && !coord_session(c, session))
		err = E_CLOSED;
	for (; err == OK && i < n; i++) {
		err = get_op(m, &op);
		must(err == OK);		/* checked by coord_apply() */
		c->ops[i].path = STR_NULL;
		err = one(c, session, &op, &c->ops[i]);
	}
	if (err == OK) {
		commit(c);
	} else {
		undo_all(c);
		for (uint32_t k = 0; k < n; k++)
			c->ops[k] = (struct coord_op_result){ k + 1 == i ? err : E_AGAIN, STR_NULL, 0 };
	}
	ret->err = err;
	ret->ops = c->ops;
	ret->nops = n;
}

static void apply_close(struct coord *c, int64_t id, struct coord_result *ret)
{
	struct coord_session *s = coord_session(c, id);
	char path[COORD_PATH_MAX + 1];

	ret->session = id;
	if (!s) {
		ret->err = E_NOENT;
		return;
	}
	while (s->eph_first)
		must(erase(c, s->eph_first, coord_path(s->eph_first, path)) == OK);
	commit(c);
	session_drop(c, s);
}

static void apply_open(struct coord *c, struct bytes password, uint32_t timeout_ms, struct str name,
		       struct coord_result *ret)
{
	/* WHY the high bit pattern: never 0, and told apart from a ZooKeeper server's own ids. */
	struct coord_session *s = session_add(c, INT64_C(1) << 56 | c->zxid);
	size_t n = name.len < 0 ? 0 : (size_t)name.len;

	memcpy(s->password, password.p, sizeof s->password);
	s->timeout_ms = timeout_ms;
	s->epoch = c->zxid;
	memcpy(s->name, name.p, n < sizeof s->name ? n : sizeof s->name - 1);
	ret->session = s->id;
}

static void fresh(struct coord *c)
{
	for (struct znode *n = c->trash, *next; n; n = next) {
		next = n->chain;
		tree_free_node(n);
	}
	c->trash = NULL;
	c->nchanges = c->nops = 0;
	arena_reset(&c->arena);
}

int coord_apply(struct coord *c, int64_t zxid, const uint8_t *entry, uint32_t len,
		struct coord_result *ret)
{
	struct mp_reader m = mp_of(entry, len), ops;
	uint32_t fields = mp_array(&m), n = 0;
	int64_t version = mp_int(&m), kind = mp_int(&m);

	if (!mp_ok(&m) || fields < 4)
		return E_BAD;
	if (version != COORD_VERSION || kind < COORD_OPEN || kind > COORD_TICK)
		return E_VERSION;
	int64_t session = mp_int(&m), time_ms = mp_int(&m), timeout_ms = 0;
	struct bytes password = BYTES_NULL;
	struct str name = STR_NULL;

	bool deletes;

	ops = m;
	if (kind == COORD_MULTI && coord_check_ops(&m, &n, &deletes) != OK)
		return E_BAD;
	if (kind == COORD_OPEN) {
		password = mp_bin(&m);
		timeout_ms = mp_int(&m);
		name = mp_str(&m);
		if (password.len != 16 || timeout_ms < 1 || timeout_ms > UINT32_MAX)
			return E_BAD;
	}
	if (!mp_end(&m) || zxid <= c->zxid)
		return E_BAD;
	fresh(c);
	c->zxid = zxid;
	c->time_ms = time_ms > c->time_ms ? time_ms : c->time_ms;	/* C5 */
	*ret = (struct coord_result){ .kind = (enum coord_kind)kind, .session = session };
	switch (ret->kind) {
	case COORD_OPEN:
		apply_open(c, password, (uint32_t)timeout_ms, name, ret);
		break;
	case COORD_CLOSE:
		apply_close(c, session, ret);
		break;
	case COORD_MULTI:
		mp_array(&ops);
		apply_multi(c, session, &ops, n, ret);
		break;
	case COORD_TICK:
		break;
	}
	ret->changes = c->changes;
	ret->nchanges = c->nchanges;
	return OK;
}

static void entry_head(struct buf *b, uint32_t fields, enum coord_kind kind, int64_t session,
		       int64_t time_ms)
{
	mp_put_array(b, fields);
	mp_put_int(b, COORD_VERSION);
	mp_put_int(b, kind);
	mp_put_int(b, session);
	buf_u8(b, MP_INT64);		/* always in full, so that coord_stamp() can replace it */
	buf_be64(b, (uint64_t)time_ms);
}

int coord_stamp(uint8_t *entry, uint32_t len, int64_t time_ms)
{
	struct mp_reader m = mp_of(entry, len);

	mp_array(&m);
	for (int i = 0; i < 3; i++)		/* version, kind, session */
		mp_int(&m);
	if (!mp_ok(&m) || m.len - m.at < 9 || entry[m.at] != MP_INT64)
		return E_BAD;
	be64_put(entry + m.at + 1, (uint64_t)time_ms);
	return OK;
}

void coord_encode_open(struct buf *b, int64_t time_ms, const uint8_t password[16],
		       uint32_t timeout_ms, struct str name)
{
	entry_head(b, 7, COORD_OPEN, 0, time_ms);
	mp_put_bytes(b, (struct bytes){ password, 16 });
	mp_put_int(b, timeout_ms);
	mp_put_str(b, name);
}

void coord_encode_close(struct buf *b, int64_t time_ms, int64_t session)
{
	entry_head(b, 4, COORD_CLOSE, session, time_ms);
}

void coord_encode_multi(struct buf *b, int64_t time_ms, int64_t session, const uint8_t *ops,
			uint32_t len)
{
	entry_head(b, 5, COORD_MULTI, session, time_ms);
	buf_put(b, ops, len);
}

void coord_encode_tick(struct buf *b, int64_t time_ms)
{
	entry_head(b, 4, COORD_TICK, 0, time_ms);
}

void coord_encode_op(struct buf *b, const struct coord_op *op)
{
	mp_put_array(b, 5);
	mp_put_int(b, op->kind);
	mp_put_int(b, op->flags);
	mp_put_str(b, op->path);
	mp_put_bytes(b, op->value);
	mp_put_int(b, op->version);
}
