/* apply.c - one committed entry changes the tree; a batch that fails is undone step by step. */
#include "coord/tree.h"

#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "base/be.h"

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

static int create(struct coord *c, int64_t session, const struct coord_op *op,
		  struct coord_op_result *r)
{
	int32_t cut = op->path.len, more = 0;
	char digits[12];

	if (op->path.len < 2)
		return E_BAD;
	while (cut > 0 && op->path.p[cut - 1] != '/')
		cut--;
	struct str up = { op->path.p, cut > 1 ? cut - 1 : 1 };
	struct znode *parent = (struct znode *)(uintptr_t)coord_find(c, up);

	if (!parent)
		return E_NOENT;
	if (op->flags & COORD_SEQUENCE)
		more = ops_sequence(parent, digits);
	if (op->path.len + more > COORD_PATH_MAX)
		return E_BAD;
	struct str path = ops_keep(c, op->path, more);

	if (more > 0)
		memcpy((char *)(uintptr_t)path.p + op->path.len, digits, (size_t)more);
	if (coord_find(c, path))
		return E_EXIST;
	if (parent->kind == ZNODE_EPHEMERAL)
		return E_PERM;			/* C3 */
	struct coord_session *s = op->flags & COORD_EPHEMERAL ? coord_session(c, session) : NULL;

	if ((op->flags & COORD_EPHEMERAL) && !s)
		return E_CLOSED;
	ops_create(c, parent, path, cut, op->value, ZNODE_PLAIN, s, 0, NULL, true);
	r->path = path;
	return OK;
}

static int one(struct coord *c, int64_t session, const struct coord_op *op, struct coord_op_result *r)
{
	if (op->kind == COORD_CREATE)
		return create(c, session, op, r);
	struct znode *n = (struct znode *)(uintptr_t)coord_find(c, op->path);

	if (!n)
		return E_NOENT;
	if (op->version != -1 && op->version != n->version && !mutant(VERSION_UNCHECKED))
		return E_CONFLICT;
	r->version = n->version;
	if (op->kind == COORD_SET) {
		ops_set(c, n, ops_keep(c, op->path, 0), op->value);
		r->version = n->version;
	}
	if (op->kind == COORD_DELETE) {
		if (!n->parent)
			return E_BAD;
		if (n->first)
			return E_LIMIT;
		ops_erase(c, n, ops_keep(c, op->path, 0));
	}
	return OK;
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
		c->ops = ops_grow(c->ops, &c->ops_cap, c->ops_cap, sizeof *c->ops);
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
		ops_commit(c);
	} else {
		if (!mutant(BATCH_HALF_DONE))
			ops_undo(c);
		else
			ops_commit(c);
		for (uint32_t k = 0; k < n; k++)
			c->ops[k] = (struct coord_op_result){ .err = k + 1 == i ? err : E_AGAIN, .path = STR_NULL };
	}
	ret->err = err;
	ret->ops = c->ops;
	ret->nops = n;
}

static void apply_close(struct coord *c, int64_t id, int64_t attached, struct coord_result *ret)
{
	struct coord_session *s = coord_session(c, id);
	char path[COORD_PATH_MAX + 1];

	ret->session = id;
	if (!s) {
		ret->err = E_NOENT;
		return;
	}
	if (attached >= 0 && s->attached != attached) {
		ret->err = E_CONFLICT;
		return;
	}
	while (s->eph_first && !mutant(EPHEMERAL_OUTLIVES)) {
		struct znode *n = s->eph_first;
		struct str p = ops_keep(c, coord_path(n, path), 0);

		ops_erase(c, n, p);
		quota_count(c, p, -(int64_t)(n->value_len > 0 ? n->value_len : 0), -1);
	}
	ops_commit(c);
	session_drop(c, s);
}

static void apply_open(struct coord *c, struct bytes password, uint32_t timeout_ms, struct str name, bool client,
		       struct coord_result *ret)
{
	/* WHY the high bit pattern: never 0, and told apart from a ZooKeeper server's own ids. */
	struct coord_session *s = session_add(c, INT64_C(1) << 56 | c->zxid);
	size_t n = name.len < 0 ? 0 : (size_t)name.len;

	memcpy(s->password, password.p, sizeof s->password);
	s->timeout_ms = timeout_ms;
	s->epoch = c->zxid;
	s->client = client;
	memcpy(s->name, name.p, n < sizeof s->name ? n : sizeof s->name - 1);
	ret->session = s->id;
}

static void apply_attach(struct coord *c, int64_t id, struct bytes password, struct coord_result *ret)
{
	struct coord_session *s = coord_session(c, id);

	if (!s || !secret_eq(s->password, password.p, 16)) {
		ret->err = E_NOENT;
		return;
	}
	s->attached = c->zxid;
}

int coord_apply(struct coord *c, int64_t zxid, const uint8_t *entry, uint32_t len,
		struct coord_result *ret)
{
	struct mp_reader m = mp_of(entry, len), ops;
	uint32_t fields = mp_array(&m), n = 0;
	int64_t version = mp_int(&m), kind = mp_int(&m);

	if (!mp_ok(&m) || fields < 4)
		return E_BAD;
	if (version != COORD_VERSION || kind < COORD_OPEN || kind > COORD_ATTACH)
		return E_VERSION;
	int64_t session = mp_int(&m), time_ms = mp_int(&m), timeout_ms = 0, attached = -1;
	struct bytes password = BYTES_NULL;
	struct str name = STR_NULL;

	bool deletes, client = false;

	ops = m;
	if (kind == COORD_MULTI && coord_check_ops(&m, &n, &deletes) != OK)
		return E_BAD;
	if (kind == COORD_CLIENT && client_check(&m) != OK)
		return E_BAD;
	if (kind == COORD_OPEN) {
		password = mp_bin(&m);
		timeout_ms = mp_int(&m);
		name = mp_str(&m);
		client = fields > 7 && mp_bool(&m);
		if (password.len != 16 || timeout_ms < 1 || timeout_ms > UINT32_MAX)
			return E_BAD;
	}
	if (kind == COORD_CLOSE && fields > 4)
		attached = mp_int(&m);
	if (kind == COORD_ATTACH) {
		password = mp_bin(&m);
		if (password.len != 16)
			return E_BAD;
	}
	if (!mp_end(&m) || zxid <= c->zxid)
		return E_BAD;
	ops_fresh(c);
	c->zxid = zxid;
	c->time_ms = time_ms > c->time_ms ? time_ms : c->time_ms;	/* C5 */
	*ret = (struct coord_result){ .kind = (enum coord_kind)kind, .session = session };
	switch (ret->kind) {
	case COORD_OPEN:
		apply_open(c, password, (uint32_t)timeout_ms, name, client, ret);
		break;
	case COORD_CLOSE:
		apply_close(c, session, attached, ret);
		break;
	case COORD_MULTI:
		mp_array(&ops);
		apply_multi(c, session, &ops, n, ret);
		break;
	case COORD_CLIENT:
		client_apply(c, session, &ops, ret);
		break;
	case COORD_ATTACH:
		apply_attach(c, session, password, ret);
		break;
	case COORD_TICK:
		break;
	}
	ret->changes = c->changes;
	ret->nchanges = c->nchanges;
	return OK;
}

void entry_head(struct buf *b, uint32_t fields, enum coord_kind kind, int64_t session,
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

void coord_encode_open_client(struct buf *b, int64_t time_ms, const uint8_t password[16], uint32_t timeout_ms)
{
	entry_head(b, 8, COORD_OPEN, 0, time_ms);
	mp_put_bytes(b, (struct bytes){ password, 16 });
	mp_put_int(b, timeout_ms);
	mp_put_str(b, STR("zookeeper"));
	mp_put_bool(b, true);
}

void coord_encode_attach(struct buf *b, int64_t time_ms, int64_t session, const uint8_t password[16])
{
	entry_head(b, 5, COORD_ATTACH, session, time_ms);
	mp_put_bytes(b, (struct bytes){ password, 16 });
}

void coord_encode_close(struct buf *b, int64_t time_ms, int64_t session)
{
	entry_head(b, 4, COORD_CLOSE, session, time_ms);
}

void coord_encode_close_if(struct buf *b, int64_t time_ms, int64_t session, int64_t attached)
{
	entry_head(b, 5, COORD_CLOSE, session, time_ms);
	mp_put_int(b, attached);
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
