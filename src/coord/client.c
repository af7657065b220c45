/*
 * client.c - batches of ZooKeeper clients: rights, quotas and errors in the order in which ZooKeeper 3.9.5
 * checks (PrepRequestProcessor.pRequest2Txn), judged when the entry is applied (C7).
 *
 * [version, COORD_CLIENT, session, time, attached, rules, nodes max, bytes max, ids, [op...]],
 * op = [kind, flags, path, value, version, ttl, acl]. Op and rights were checked for their form before.
 */
#include "coord/tree.h"

#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"

struct batch {
	struct coord *c;
	int64_t session, attached;
	struct coord_rules rules;
	struct bytes ids;
	uint64_t number;		/* of this batch: see coord_acl.judged */
};

/* The names at the root that belong to the system, made or not; what lies under a secret one no client reads. */
static const struct {
	const char *name;
	bool secret;
} reserved[] = {
	{ "acls", false }, { "brokers", false }, { "cluster", false }, { "config", false }, { "controller", false },
	{ "features", false }, { "jobs", false }, { "producer-ids", false }, { "quotas", false }, { "tokens", true },
	{ "topics", false }, { "users", true },
};

bool coord_reserved(struct str name, bool *ret_secret)
{
	for (size_t i = 0; i < sizeof reserved / sizeof reserved[0]; i++)
		if (str_is(name, reserved[i].name)) {
			*ret_secret = reserved[i].secret;
			return true;
		}
	return false;
}

bool coord_secret(const struct znode *n)
{
	bool secret = false;

	if (!n->system || !n->parent)
		return false;
	while (n->parent->parent)
		n = n->parent;
	return coord_reserved((struct str){ n->name, n->name_len }, &secret) && secret;
}

/* The next character; < 0: no UTF-8. Surrogates are none either. */
static int32_t utf8(const uint8_t *p, int32_t left, int32_t *ret_len)
{
	int32_t n = p[0] < 0x80 ? 1 : p[0] >> 5 == 6 ? 2 : p[0] >> 4 == 14 ? 3 : p[0] >> 3 == 30 ? 4 : 0;
	int32_t v = n == 1 ? p[0] : p[0] & (0x7f >> n);

	if (n == 0 || n > left)
		return -1;
	for (int32_t i = 1; i < n; i++) {
		if (p[i] >> 6 != 2)
			return -1;
		v = v << 6 | (p[i] & 0x3f);
	}
	*ret_len = n;
	return v;
}

static bool char_ok(int32_t v)
{
	return v >= 0x20 && !(v >= 0x7f && v <= 0x9f) && !(v >= 0xd800 && v <= 0xf8ff) && v < 0xfff0;
}

bool coord_client_path_ok(struct str path)
{
	if (path.len < 1 || path.len > COORD_PATH_MAX || path.p[0] != '/')
		return false;
	if (path.len == 1)
		return true;
	for (int32_t i = 1, start = 1, n = 1; i <= path.len; i += n) {
		n = 1;
		if (i < path.len && path.p[i] != '/') {
			if (!char_ok(utf8((const uint8_t *)path.p + i, path.len - i, &n)))
				return false;
			continue;
		}
		int32_t len = i - start;

		if (len == 0 || (len == 1 && path.p[start] == '.') ||
		    (len == 2 && path.p[start] == '.' && path.p[start + 1] == '.'))
			return false;
		start = i + 1;
	}
	return true;
}

static struct znode *find(struct coord *c, struct str path)
{
	if (path.len == 0)		/* ZooKeeper's other name of the root */
		return c->root;
	return (struct znode *)(uintptr_t)coord_find(c, path);
}

/* Where the name begins; 0: there is no '/'. */
static int32_t cut_of(struct str path)
{
	int32_t cut = path.len;

	while (cut > 0 && path.p[cut - 1] != '/')
		cut--;
	return cut;
}

/* C6. name: of the child that is to be made or deleted; null: n itself is to be changed. */
static bool belongs_to_system(const struct batch *b, const struct znode *n, struct str name)
{
	bool secret;

	if (n->parent)
		return n->system;
	return (b->rules.flags & COORD_RESERVE) && name.len > 0 && coord_reserved(name, &secret);
}

static bool may(const struct batch *b, const struct znode *n, unsigned perm)
{
	struct coord_acl *a = n->acl;

	if (!a || (b->rules.flags & COORD_SKIP_ACL))
		return true;
	/* WHY kept: a batch of many ops on long lists of rights must not stop every replica for minutes. */
	if (a->judged != b->number) {
		a->judged = b->number;
		a->granted = acl_grants(a, 0, b->ids);
	}
	return a->granted & perm;
}

static bool over_quota(const struct batch *b, struct str path, int64_t bytes, int64_t nodes)
{
	struct coord *c = b->c;

	if (b->rules.nodes_max > 0 && nodes > 0 && c->client_nodes >= b->rules.nodes_max)
		return true;
	if (b->rules.bytes_max > 0 && bytes > 0 && c->client_bytes + (uint64_t)bytes > b->rules.bytes_max)
		return true;
	return (b->rules.flags & COORD_ENFORCE_QUOTA) && quota_refuses(c, path, bytes, nodes);
}

static int64_t size_of(struct bytes v)
{
	return v.len > 0 ? v.len : 0;
}

static const struct coord_stat *stat_now(struct coord *c, const struct znode *n)
{
	struct coord_stat *s = arena_alloc(&c->arena, sizeof *s);

	must(s != NULL);
	coord_stat(n, s);
	return s;
}

static enum coord_code create(struct batch *b, const struct coord_op *op, struct coord_op_result *r)
{
	struct coord *c = b->c;
	int32_t cut = cut_of(op->path), more = 0;
	char digits[12];

	if (cut == 0 || memchr(op->path.p, 0, (size_t)op->path.len))
		return ZK_BAD_ARGUMENTS;
	struct znode *parent = find(c, (struct str){ op->path.p, cut - 1 });

	if (!parent)
		return ZK_NO_NODE;
	if (belongs_to_system(b, parent, (struct str){ op->path.p + cut, op->path.len - cut }) ||
	    !may(b, parent, PERM_CREATE))
		return ZK_NO_AUTH;
	if (op->flags & COORD_SEQUENCE)
		more = ops_sequence(parent, digits);
	struct str path = ops_keep(c, op->path, more);

	memcpy((char *)(uintptr_t)path.p + op->path.len, digits, (size_t)more);
	if (!coord_client_path_ok(path))
		return ZK_BAD_ARGUMENTS;
	if (find(c, path))
		return ZK_NODE_EXISTS;
	if (parent->kind == ZNODE_EPHEMERAL)
		return ZK_EPHEMERAL_PARENT;
	if (over_quota(b, path, size_of(op->value), 1))
		return ZK_QUOTA_EXCEEDED;
	struct coord_session *s = op->flags & COORD_EPHEMERAL ? coord_session(c, b->session) : NULL;
	enum znode_kind kind = op->flags & COORD_CONTAINER ? ZNODE_CONTAINER
		: op->flags & COORD_TTL ? ZNODE_TTL : ZNODE_PLAIN;
	struct znode *n = ops_create(c, parent, path, cut, op->value, kind, s, kind == ZNODE_TTL ? op->ttl_ms : 0,
				     acl_get(c, op->acl), false);

	quota_made(c, n, path);
	quota_count(c, path, size_of(op->value), 1);
	r->path = path;
	r->stat = stat_now(c, n);
	return ZK_OK;
}

static enum coord_code set(struct batch *b, const struct coord_op *op, struct coord_op_result *r)
{
	struct coord *c = b->c;

	if (!coord_client_path_ok(op->path))
		return ZK_BAD_ARGUMENTS;
	struct znode *n = find(c, op->path);

	if (!n)
		return ZK_NO_NODE;
	if (belongs_to_system(b, n, STR_NULL) || !may(b, n, PERM_WRITE))
		return ZK_NO_AUTH;
	int64_t more = size_of(op->value) - (n->value_len > 0 ? n->value_len : 0);

	if (over_quota(b, op->path, more, 0))
		return ZK_QUOTA_EXCEEDED;
	if (op->version != -1 && op->version != n->version && !mutant(CLIENT_VERSION_UNCHECKED))
		return ZK_BAD_VERSION;
	struct str path = ops_keep(c, op->path, 0);
	struct bytes value = op->value;

	if ((op->flags & COORD_ZXID) && value.len >= 0) {
		struct str text = ops_keep(c, (struct str){ (const char *)value.p, value.len }, 16);
		int32_t at = value.len;

		for (int shift = 60; shift >= 0; shift -= 4)
			if (c->zxid >> shift > 0 || shift == 0)
				((char *)(uintptr_t)text.p)[at++] = "0123456789abcdef"[c->zxid >> shift & 15];
		value = (struct bytes){ (const uint8_t *)text.p, at };
	}
	ops_set(c, n, path, value);
	quota_count(c, path, more, 0);
	r->stat = stat_now(c, n);
	return ZK_OK;
}

static enum coord_code set_acl(struct batch *b, const struct coord_op *op, struct coord_op_result *r)
{
	struct coord *c = b->c;
	struct znode *n = find(c, op->path);

	if (!n)
		return ZK_NO_NODE;
	if (belongs_to_system(b, n, STR_NULL) || !may(b, n, PERM_ADMIN))
		return ZK_NO_AUTH;
	if (op->version != -1 && op->version != n->aversion)
		return ZK_BAD_VERSION;
	ops_set_acl(c, n, ops_keep(c, op->path, 0), acl_get(c, op->acl));
	r->stat = stat_now(c, n);
	return ZK_OK;
}

static enum coord_code check(struct batch *b, const struct coord_op *op)
{
	if (!coord_client_path_ok(op->path))
		return ZK_BAD_ARGUMENTS;
	const struct znode *n = find(b->c, op->path);

	if (!n)
		return ZK_NO_NODE;
	if (coord_secret(n) || !may(b, n, PERM_READ))
		return ZK_NO_AUTH;
	return op->version != -1 && op->version != n->version ? ZK_BAD_VERSION : ZK_OK;
}

static bool special(struct str path)
{
	return str_is(path, "/") || str_is(path, "/zookeeper") || str_is(path, "/zookeeper/quota") ||
		str_is(path, "/zookeeper/config");
}

static enum coord_code erase(struct batch *b, const struct coord_op *op)
{
	struct coord *c = b->c;
	int32_t cut = cut_of(op->path);

	if (cut == 0 || memchr(op->path.p, 0, (size_t)op->path.len) || special(op->path))
		return ZK_BAD_ARGUMENTS;
	struct znode *parent = find(c, (struct str){ op->path.p, cut - 1 });

	if (!parent)
		return ZK_NO_NODE;
	if (op->kind == COORD_DELETE &&
	    (belongs_to_system(b, parent, (struct str){ op->path.p + cut, op->path.len - cut }) ||
	     !may(b, parent, PERM_DELETE)))
		return ZK_NO_AUTH;
	struct znode *n = find(c, op->path);

	if (!n)
		return ZK_NO_NODE;
	if (n->system)
		return ZK_NO_AUTH;
	if (op->kind == COORD_DELETE && op->version != -1 && op->version != n->version)
		return ZK_BAD_VERSION;
	if (n->first)
		return ZK_NOT_EMPTY;
	if (op->kind == COORD_REAP && n->kind != ZNODE_CONTAINER && n->kind != ZNODE_TTL)
		return ZK_BAD_VERSION;
	struct str path = ops_keep(c, op->path, 0);

	ops_erase(c, n, path);
	quota_count(c, path, -(int64_t)(n->value_len > 0 ? n->value_len : 0), -1);
	return ZK_OK;
}

static enum coord_code one(struct batch *b, const struct coord_op *op, struct coord_op_result *r)
{
	if (op->kind == COORD_FAIL)
		return (enum coord_code)op->version;
	if (op->kind != COORD_REAP) {
		const struct coord_session *s = coord_session(b->c, b->session);

		if (!s || s->attached != b->attached)
			return s ? ZK_SESSION_MOVED : ZK_SESSION_EXPIRED;
	}
	switch (op->kind) {
	case COORD_CREATE:
		return create(b, op, r);
	case COORD_SET:
		return set(b, op, r);
	case COORD_SET_ACL:
		return set_acl(b, op, r);
	case COORD_CHECK:
		return check(b, op);
	case COORD_DELETE: case COORD_REAP: case COORD_FAIL:
		break;
	}
	return erase(b, op);
}

static int get_op(struct mp_reader *m, struct coord_op *op)
{
	if (mp_array(m) != 7)
		return E_BAD;
	int64_t kind = mp_int(m), flags = mp_int(m);

	op->path = mp_str(m);
	op->value = mp_bin(m);
	int64_t version = mp_int(m);
	op->ttl_ms = mp_int(m);
	op->acl = mp_bin(m);
	if (!mp_ok(m) || kind < COORD_CREATE || kind > COORD_FAIL || flags < 0 || flags > 31 || version < INT32_MIN ||
	    version > INT32_MAX || (kind != COORD_FAIL && op->path.len < 0))
		return E_BAD;
	if ((kind == COORD_CREATE || kind == COORD_SET_ACL) && !acl_list_ok(op->acl))
		return E_BAD;
	op->kind = (enum coord_op_kind)kind;
	op->flags = (unsigned)flags;
	op->version = (int32_t)version;
	return OK;
}

static void get_head(struct mp_reader *m, struct batch *b)
{
	b->attached = mp_int(m);
	b->rules.flags = (unsigned)mp_int(m);
	b->rules.nodes_max = (uint64_t)mp_int(m);
	b->rules.bytes_max = (uint64_t)mp_int(m);
	b->ids = mp_bin(m);
}

int client_check(struct mp_reader *m)
{
	struct batch b;
	struct coord_op op;

	get_head(m, &b);
	uint32_t n = mp_array(m);

	for (uint32_t i = 0; mp_ok(m) && i < n; i++)
		if (get_op(m, &op) != OK)
			return E_BAD;
	return mp_ok(m) ? OK : E_BAD;
}

void client_apply(struct coord *c, int64_t session, struct mp_reader *m, struct coord_result *ret)
{
	struct batch b = { .c = c, .session = session, .number = ++c->batches };
	struct coord_op op;

	get_head(m, &b);
	uint32_t n = mp_array(m), i = 0;

	while (c->ops_cap < n)
		c->ops = ops_grow(c->ops, &c->ops_cap, c->ops_cap, sizeof *c->ops);
	memset(c->ops, 0, n * sizeof *c->ops);
	for (; ret->code == ZK_OK && i < n; i++) {
		int err = get_op(m, &op);

		must(err == OK);		/* checked by coord_apply() */
		c->ops[i].path = STR_NULL;
		ret->code = one(&b, &op, &c->ops[i]);
	}
	if (ret->code == ZK_OK) {
		ops_commit(c);
	} else {
		if (!mutant(CLIENT_HALF_DONE))
			ops_undo(c);
		else
			ops_commit(c);
		for (uint32_t k = 0; k < n; k++) {
			c->ops[k] = (struct coord_op_result){ .err = E_AGAIN, .path = STR_NULL };
			c->ops[k].code = k + 1 < i ? ZK_OK : k + 1 == i ? ret->code : ZK_RUNTIME_INCONSISTENCY;
		}
	}
	ret->err = ret->code == ZK_OK ? OK : E_CONFLICT;
	ret->ops = c->ops;
	ret->nops = n;
}

void coord_encode_client_op(struct buf *b, const struct coord_op *op)
{
	mp_put_array(b, 7);
	mp_put_int(b, op->kind);
	mp_put_int(b, op->flags);
	mp_put_str(b, op->path);
	mp_put_bytes(b, op->value);
	mp_put_int(b, op->version);
	mp_put_int(b, op->ttl_ms);
	mp_put_bytes(b, op->acl);
}

void coord_encode_client(struct buf *b, int64_t time_ms, int64_t session, int64_t attached,
			 const struct coord_rules *rules,
			 struct bytes ids, uint32_t nops, const uint8_t *ops, uint32_t len)
{
	entry_head(b, 10, COORD_CLIENT, session, time_ms);
	mp_put_int(b, attached);
	mp_put_int(b, rules->flags);
	mp_put_int(b, (int64_t)rules->nodes_max);
	mp_put_int(b, (int64_t)rules->bytes_max);
	mp_put_bytes(b, ids);
	mp_put_array(b, nops);
	buf_put(b, ops, len);
}
