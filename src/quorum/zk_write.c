/* zk_write.c - requests that change something: bytes -> an entry of the log, its result -> bytes. */
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "quorum/zk_int.h"
#include "wire/zk_gen.h"

#define ARENA_MAX (64u << 20)
#define ACL_MAX 1024			/* elements of one list of rights; finding equal ones costs their square */
#define TTL_MAX INT64_C(0xffffffffff)

/* CreateMode.fromFlag */
enum { MODE_PERSISTENT, MODE_EPHEMERAL, MODE_SEQUENCE, MODE_EPHEMERAL_SEQUENCE, MODE_CONTAINER, MODE_TTL,
      MODE_TTL_SEQUENCE };

struct batch {
	struct zk_conn *c;
	struct arena arena;
	struct buf ops;
	uint32_t n;
};

bool zk_is_write(int32_t type)
{
	switch (type) {
	case ZK_OP_CREATE: case ZK_OP_CREATE2: case ZK_OP_CREATE_CONTAINER: case ZK_OP_CREATE_TTL: case ZK_OP_DELETE:
	case ZK_OP_SET_DATA: case ZK_OP_SET_ACL: case ZK_OP_MULTI: case ZK_OP_RECONFIG: case ZK_OP_CLOSE_SESSION:
		return true;
	default:
		return false;
	}
}

static void put(struct batch *b, const struct coord_op *op)
{
	coord_encode_client_op(&b->ops, op);
	b->n++;
}

/* ZK_MARSHALLING: where nothing failed before it, the whole request is answered so. */
static void fail(struct batch *b, enum coord_code code)
{
	put(b, &(struct coord_op){ .kind = COORD_FAIL, .path = STR_NULL, .value = BYTES_NULL, .acl = BYTES_NULL,
				   .version = code });
}

static void put_ace(struct buf *b, const struct coord_ace *e)
{
	jute_int(b, (int32_t)e->perms);
	jute_str(b, e->id.scheme);
	jute_str(b, e->id.id);
}

static bool same(const struct coord_ace *a, const struct coord_ace *b)
{
	return a->perms == b->perms && str_eq(a->id.scheme, b->id.scheme) && str_eq(a->id.id, b->id.id);
}

/* The scheme "auth" stands for everything that this connection has proved to be. */
static bool expand(struct batch *b, uint32_t perms, struct buf *out, uint32_t *n)
{
	struct bytes l = zk_ids(b->c);
	struct coord_id id;
	uint32_t k = 0, before = *n;

	if (l.len <= 0 || !coord_acl_count(&l, &k))
		return false;
	for (uint32_t i = 0; i < k && coord_id_next(&l, &id); i++) {
		if (!zk_scheme_authenticates(id.scheme))
			continue;
		put_ace(out, &(struct coord_ace){ perms, id });
		(*n)++;
	}
	return *n > before;
}

/* PrepRequestProcessor.fixupACL of 3.9.5. out: a list for the tree. */
static enum coord_code fix_acl(struct batch *b, const struct coord_ace *v, int32_t count, struct buf *out)
{
	uint32_t n = 0;

	if (count <= 0 || count > ACL_MAX)
		return ZK_INVALID_ACL;
	jute_int(out, 0);
	for (int32_t i = 0; i < count; i++) {
		struct coord_id id = v[i].id;
		bool again = false;

		for (int32_t k = 0; k < i && !again; k++)
			again = same(&v[k], &v[i]);
		if (again)
			continue;
		if (id.scheme.len < 0)
			return ZK_INVALID_ACL;
		if (id.id.len < 0 && zk_scheme_known(b->c->z, id.scheme))
			return ZK_MARSHALLING;		/* ZooKeeper falls over a null there */
		if (str_is(id.scheme, "auth")) {
			if (!expand(b, v[i].perms, out, &n))
				return ZK_INVALID_ACL;
			continue;
		}
		if (!zk_scheme_valid(b->c->z, id.scheme, id.id))
			return ZK_INVALID_ACL;
		put_ace(out, &v[i]);
		n++;
	}
	be32_put(out->p, n);
	return out->bad ? ZK_INVALID_ACL : ZK_OK;
}

/* What is wrong with a create before the tree is looked at, in ZooKeeper's order; ZK_OK: nothing. */
static enum coord_code create_flags(const struct batch *b, int32_t type, const struct zk_create_request *r,
				    unsigned *ret)
{
	int64_t ttl = type == ZK_OP_CREATE_TTL ? r->ttl_ms : -1;
	bool is_ttl = r->flags == MODE_TTL || r->flags == MODE_TTL_SEQUENCE;

	if (r->flags < MODE_PERSISTENT || r->flags > MODE_TTL_SEQUENCE)
		return ZK_BAD_ARGUMENTS;
	if (is_ttl && !b->c->z->conf.extended_types)
		return ZK_UNIMPLEMENTED;
	if (is_ttl ? ttl <= 0 || ttl > TTL_MAX : ttl >= 0)
		return ZK_BAD_ARGUMENTS;
	if (type == ZK_OP_CREATE_TTL && r->flags == MODE_CONTAINER)
		return ZK_BAD_ARGUMENTS;	/* it ends a ZooKeeper 3.9.5 */
	*ret = 0;
	if (r->flags == MODE_SEQUENCE || r->flags == MODE_EPHEMERAL_SEQUENCE || r->flags == MODE_TTL_SEQUENCE)
		*ret |= COORD_SEQUENCE;
	if (type == ZK_OP_CREATE_CONTAINER)
		*ret |= COORD_CONTAINER;
	else if (is_ttl)
		*ret |= COORD_TTL;
	else if (r->flags == MODE_EPHEMERAL || r->flags == MODE_EPHEMERAL_SEQUENCE)
		*ret |= COORD_EPHEMERAL;
	return ZK_OK;
}

static struct coord_ace *aces(struct batch *b, int32_t n)
{
	return n > 0 ? arena_array(&b->arena, (size_t)n, sizeof(struct coord_ace)) : NULL;
}

/* op with these rights joins the batch; an error before, or in them, is its result instead. */
static void put_with_acl(struct batch *b, struct coord_op *op, enum coord_code code, struct coord_ace *v, int32_t n)
{
	struct buf acl;

	buf_init(&acl, 1 << 24);
	if (code == ZK_OK)
		code = fix_acl(b, v, n, &acl);
	op->acl = (struct bytes){ acl.p, (int32_t)acl.len };
	if (code != ZK_OK)
		fail(b, code);
	else
		put(b, op);
	buf_release(&acl);
}

static void create(struct batch *b, int32_t type, const struct zk_create_request *r)
{
	struct coord_op op = { .kind = COORD_CREATE, .path = r->path, .value = r->data, .ttl_ms = r->ttl_ms,
			      .version = -1 };
	enum coord_code code = create_flags(b, type, r, &op.flags);
	struct coord_ace *v = aces(b, r->acl_n);

	if (code == ZK_OK && r->path.len < 0)
		code = ZK_MARSHALLING;
	if (code == ZK_OK && !coord_session(node_coord(b->c->z->node), b->c->session))
		code = ZK_SESSION_EXPIRED;
	if (code == ZK_OK && (r->path.len == 0 || !memchr(r->path.p, '/', (size_t)r->path.len) ||
			      memchr(r->path.p, 0, (size_t)r->path.len)))
		code = ZK_BAD_ARGUMENTS;
	for (int32_t i = 0; v && i < r->acl_n; i++)
		v[i] = (struct coord_ace){ (uint32_t)r->acl[i].perms, { r->acl[i].scheme, r->acl[i].id } };
	put_with_acl(b, &op, code, v, v ? r->acl_n : 0);
}

static void set_acl(struct batch *b, const struct zk_set_acl_request *r)
{
	struct coord_op op = { .kind = COORD_SET_ACL, .path = r->path, .value = BYTES_NULL, .version = r->version };
	struct coord_ace *v = aces(b, r->acl_n);

	for (int32_t i = 0; v && i < r->acl_n; i++)
		v[i] = (struct coord_ace){ (uint32_t)r->acl[i].perms, { r->acl[i].scheme, r->acl[i].id } };
	put_with_acl(b, &op, coord_client_path_ok(r->path) ? ZK_OK : ZK_BAD_ARGUMENTS, v, v ? r->acl_n : 0);
}

/* Kinds with a path and a version, and perhaps a value. */
static void simple(struct batch *b, enum coord_op_kind kind, struct str path, struct bytes value, int32_t version)
{
	if (path.len < 0)
		fail(b, kind == COORD_DELETE ? ZK_MARSHALLING : ZK_BAD_ARGUMENTS);
	else
		put(b, &(struct coord_op){ .kind = kind, .path = path, .value = value, .version = version,
					   .acl = BYTES_NULL });
}

/* In a multi the mode says which kind of create it is (Op.create of 3.9.5); < 0: one that ZooKeeper falls over. */
static int32_t create_of_multi(int32_t type, int32_t mode)
{
	switch (mode) {
	case MODE_PERSISTENT: case MODE_EPHEMERAL: case MODE_SEQUENCE: case MODE_EPHEMERAL_SEQUENCE:
		return type == ZK_OP_CREATE2 ? ZK_OP_CREATE2 : ZK_OP_CREATE;
	case MODE_CONTAINER:
		return ZK_OP_CREATE_CONTAINER;
	case MODE_TTL: case MODE_TTL_SEQUENCE:
		return type == ZK_OP_CREATE_TTL ? ZK_OP_CREATE_TTL : -1;
	default:
		return type == ZK_OP_CREATE_TTL ? type : -1;
	}
}

/* One request of a kind that multi may hold too; < 0: its bytes make no sense. ret_used: what it took; type: in a
 * multi, what it is after all. */
static int one(struct batch *b, int32_t *type, bool in_multi, const uint8_t *p, size_t len, size_t *ret_used)
{
	struct zk_create_request c;
	struct zk_set_data_request s;
	struct zk_delete_request d;
	int err;

	switch (*type) {
	case ZK_OP_CREATE: case ZK_OP_CREATE2: case ZK_OP_CREATE_CONTAINER: case ZK_OP_CREATE_TTL:
		err = wire_decode_some(&wire_zk_create_request, *type == ZK_OP_CREATE_TTL, p, len, &b->arena, &c,
				       ret_used);
		if (err != OK)
			return err;
		if (in_multi)
			*type = create_of_multi(*type, c.flags);
		if (*type < 0 || (in_multi && (c.path.len < 0 || (c.acl_n < 0 && *type != ZK_OP_CREATE_TTL))))
			return E_BAD;
		create(b, *type, &c);
		return OK;
	case ZK_OP_SET_DATA:
		err = wire_decode_some(&wire_zk_set_data_request, 0, p, len, &b->arena, &s, ret_used);
		if (err == OK && in_multi && s.path.len < 0)
			return E_BAD;
		if (err == OK)
			simple(b, COORD_SET, s.path, s.data, s.version);
		return err;
	case ZK_OP_DELETE: case ZK_OP_CHECK:
		err = wire_decode_some(&wire_zk_delete_request, 0, p, len, &b->arena, &d, ret_used);
		if (err == OK && in_multi && d.path.len < 0)
			return E_BAD;
		if (err == OK)
			simple(b, *type == ZK_OP_DELETE ? COORD_DELETE : COORD_CHECK, d.path, BYTES_NULL, d.version);
		return err;
	default:
		return E_BAD;
	}
}

static void reconfig(struct batch *b, const struct zk_reconfig_request *q)
{
	struct buf text;

	buf_init(&text, 1 << 16);
	enum coord_code code = zk_reconfig(b->c->z, q, &text);

	if (code != ZK_OK)
		fail(b, code);
	else
		put(b, &(struct coord_op){ .kind = COORD_SET, .flags = COORD_ZXID, .path = STR(ZK_CONFIG_NODE),
					   .value = { text.p, (int32_t)text.len }, .version = -1, .acl = BYTES_NULL });
	buf_release(&text);
}

static int multi(struct batch *b, struct zk_req *r, const uint8_t *p, size_t len)
{
	struct zk_multi_header h;
	size_t at = 0, used = 0;
	uint32_t cap = 0;

	for (;;) {
		int err = wire_decode_some(&wire_zk_multi_header, 0, p + at, len - at, &b->arena, &h, &used);

		at += used;
		if (err != OK || h.done)
			return err;
		int32_t type = h.type;

		err = one(b, &type, true, p + at, len - at, &used);
		if (err != OK)
			return err;
		at += used;
		if (r->nops == cap) {
			cap = cap ? cap * 2 : 16;
			r->ops = mem_resize(r->ops, cap);
		}
		r->ops[r->nops++] = (uint8_t)type;
	}
}

bool zk_write_entry(struct zk_conn *c, struct zk_req *r, int32_t type, const uint8_t *body, uint32_t len,
		    struct buf *entry)
{
	struct batch b = { .c = c };
	struct zk_set_acl_request s;
	size_t used;
	int err = OK;

	arena_init(&b.arena, 4096, ARENA_MAX);
	buf_init(&b.ops, RLOG_ENTRY_MAX);
	if (type == ZK_OP_MULTI) {
		err = multi(&b, r, body, len);
	} else if (type == ZK_OP_SET_ACL) {
		err = wire_decode_some(&wire_zk_set_acl_request, 0, body, len, &b.arena, &s, &used);
		if (err == OK)
			set_acl(&b, &s);
	} else if (type == ZK_OP_RECONFIG) {
		struct zk_reconfig_request q;

		err = wire_decode_some(&wire_zk_reconfig_request, 0, body, len, &b.arena, &q, &used);
		if (err == OK)
			reconfig(&b, &q);
	} else {
		err = one(&b, &type, false, body, len, &used);
	}
	if (err != OK && type != ZK_OP_MULTI)
		r->fail = ZK_MARSHALLING;	/* WHY not logged: ZooKeeper's counter does not move either */
	if (err != OK) {
		buf_reset(&b.ops);
		b.n = 0;
		fail(&b, ZK_MARSHALLING);
	}
	coord_encode_client(entry, node_time_ms(c->z->node), c->session, c->attached, &c->z->conf.rules, zk_ids(c),
			    b.n, b.ops.p,
			    (uint32_t)b.ops.len);
	bool fits = !b.ops.bad && !entry->bad;

	buf_release(&b.ops);
	arena_release(&b.arena);
	return fits;
}

/* ---- answers ---- */

static void put_result(struct buf *b, int32_t type, const struct coord_op_result *o)
{
	if (type == ZK_OP_CREATE || type == ZK_OP_CREATE2 || type == ZK_OP_CREATE_CONTAINER || type == ZK_OP_CREATE_TTL)
		jute_str(b, o->path);
	if (o->stat && type != ZK_OP_CREATE)
		zk_put_stat(b, o->stat);
}

/* What is there now: nothing was applied since. */
static void put_config(struct buf *b, const struct zk *z, const struct coord_op_result *o)
{
	const struct znode *n = coord_find(node_coord(z->node), STR(ZK_CONFIG_NODE));

	jute_buffer(b, n ? (struct bytes){ n->value, n->value_len } : BYTES_NULL);
	zk_put_stat(b, o->stat);
}

static void put_multi(struct buf *b, const struct zk_req *r, const struct coord_result *res)
{
	for (uint32_t i = 0; i < res->nops; i++) {
		if (res->code != ZK_OK) {
			jute_multi(b, -1, false, res->ops[i].code);
			jute_int(b, res->ops[i].code);
			continue;
		}
		int32_t type = r->ops[i];

		/* ZooKeeper answers every kind of create that has a Stat as create2. */
		if (type == ZK_OP_CREATE_CONTAINER || type == ZK_OP_CREATE_TTL)
			type = ZK_OP_CREATE2;
		jute_multi(b, type, false, 0);
		put_result(b, type, &res->ops[i]);
	}
	jute_multi(b, -1, true, -1);
}

void zk_write_reply(struct zk_req *r, int64_t zxid, const struct coord_result *res)
{
	if (r->type == ZK_OP_CLOSE_SESSION) {
		jute_begin_reply(&r->reply, 64, r->xid, zxid, ZK_OK);
		r->close_after = true;
		return;
	}
	/* A multi that could not be read has no results: its code is the answer's. */
	bool is_multi = r->type == ZK_OP_MULTI && res->code != ZK_MARSHALLING;

	jute_begin_reply(&r->reply, ZK_REPLY_MAX, r->xid, zxid, is_multi ? ZK_OK : res->code);
	if (is_multi)
		put_multi(&r->reply, r, res);
	else if (res->code == ZK_OK && r->type == ZK_OP_RECONFIG)
		put_config(&r->reply, r->c->z, &res->ops[0]);
	else if (res->code == ZK_OK)
		put_result(&r->reply, r->type, &res->ops[0]);
}
