/*
 * import_read.c - the bytes of ZooKeeper's snapshots and transaction logs (jute: zookeeper.jute of 3.9.5).
 *
 * Snapshot: [ZKSN, version, dbid] [sessions: count, (id, timeout)] [rights: count, (id, vector of ACL)]
 *   nodes (path, value, id of rights, StatPersisted), the root first under the path "", until the path "/"; seal.
 *   Since 3.6 a digest (zxid, version, value) and a seal, since 3.9 the last zxid and a seal.
 *   Seal: Adler-32 of everything before (64 bits), the string "/".
 * Log: [ZKLG, version, dbid], then (Adler-32 in 64 bits, length, transaction, 'B'), then zeros.
 * Transaction: [session, cxid, zxid, time, type] its body [digest: version, value (since 3.6)]
 */
#include <string.h>

#include "base/adler32.h"
#include "base/assert.h"
#include "base/text.h"
#include "coord/import_in.h"
#include "wire/cursor.h"
#include "wire/jute.h"

#define MAGIC_SNAPSHOT 0x5a4b534eu
#define MAGIC_LOG 0x5a4b4c47u
#define FILE_VERSION 2u
#define FILE_HEAD 16u
#define DIGEST_VERSION 2u
#define SEAL 13u			/* bytes */
#define TRAILER_ZXID 8u
#define RECORD_HEAD 12u
#define END_OF_RECORD 'B'
#define TOO_LONG "a path of more than 4096 bytes"
#define OP_ERROR (-1)
#define OP_CREATE_SESSION (-10)
#define OP_DELETE_CONTAINER 20

static int told(int err, char *why, size_t cap, const char *what, uint64_t at)
{
	struct text t = text_open(why, cap);

	text_add(&t, what);
	text_add(&t, " at byte ");
	text_i64(&t, (int64_t)at);
	return err;
}

/* ---- jute ---- */

static int take_i32(struct cursor *k, int32_t *ret)
{
	uint32_t v;
	int err = cursor_be32(k, &v);

	if (!err)
		*ret = (int32_t)v;
	return err;
}

static int take_i64(struct cursor *k, int64_t *ret)
{
	uint64_t v;
	int err = cursor_be64(k, &v);

	if (!err)
		*ret = (int64_t)v;
	return err;
}

static int take_bytes(struct cursor *k, struct bytes *ret)
{
	int32_t n;
	int err = take_i32(k, &n);

	if (err)
		return err;
	*ret = BYTES_NULL;
	if (n < 0)
		return OK;
	*ret = (struct bytes){ cursor_take(k, (size_t)n), n };
	return ret->p ? OK : E_SHORT;
}

static int take_str(struct cursor *k, struct str *ret)
{
	struct bytes b;
	int err = take_bytes(k, &b);

	if (!err)
		*ret = (struct str){ (const char *)b.p, b.len };
	return err ? err : b.len < 0 ? E_BAD : OK;
}

/* A vector of ACL; a null or an empty one allows everybody everything. */
static int take_acl(struct coord_import *im, struct cursor *k, struct coord_acl **ret)
{
	const uint8_t *from = k->p;
	struct bytes scheme, id;
	int32_t n, perms;
	int err = take_i32(k, &n);

	*ret = NULL;
	if (err || n <= 0)
		return err;
	for (int32_t i = 0; i < n; i++) {
		err = take_i32(k, &perms);
		if (!err)
			err = take_bytes(k, &scheme);
		if (!err)
			err = take_bytes(k, &id);
		if (err)
			return err;
	}
	if (k->p - from > INT32_MAX)
		return E_BAD;
	struct bytes list = { from, (int32_t)(k->p - from) };

	if (!acl_list_ok(list))
		return E_BAD;
	*ret = acl_get(im->c, list);
	return OK;
}

/* ---- snapshots ---- */

/* The snapshot's table of rights, in any order: by open addressing, at most half full. */
struct import_acl {
	int64_t id;
	struct coord_acl *acl;
	bool used;
};

struct acls {
	struct import_acl *v;
	uint32_t bits;
};

static struct import_acl *acl_slot(const struct acls *a, int64_t id)
{
	uint32_t mask = (1u << a->bits) - 1, at = (uint32_t)((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15) >> 32) & mask;

	while (a->v[at].used && a->v[at].id != id)
		at = (at + 1) & mask;
	return &a->v[at];
}

static int take_acls(struct coord_import *im, struct cursor *k, struct acls *a)
{
	int32_t n = 0;
	int err = take_i32(k, &n);

	if (err || n < 0 || (size_t)n > cursor_left(k) / 12)	/* each has an id and a count */
		return E_BAD;
	for (a->bits = 1; a->bits < 31 && 1u << a->bits < 2 * (uint32_t)n;)
		a->bits++;
	a->v = mem_alloc(sizeof *a->v << a->bits);
	for (int32_t i = 0; !err && i < n; i++) {
		int64_t id = 0;

		err = take_i64(k, &id);
		if (err)
			break;
		struct import_acl *x = acl_slot(a, id);

		if (x->used)
			return E_BAD;
		err = take_acl(im, k, &x->acl);
		x->id = id;
		x->used = !err;
	}
	return err;
}

static void put_acls(struct coord_import *im, struct acls *a)
{
	for (uint32_t i = 0; a->v && i < 1u << a->bits; i++)
		if (a->v[i].used)
			acl_put(im->c, a->v[i].acl);
	mem_free(a->v);
}

static int find_acl(const struct acls *a, int64_t id, struct coord_acl **ret)
{
	*ret = NULL;
	if (id == -1)
		return OK;
	const struct import_acl *x = acl_slot(a, id);

	if (!x->used)
		return E_BAD;
	*ret = x->acl;
	if (*ret)
		(*ret)->refs++;
	return OK;
}

static int take_node(struct coord_import *im, struct cursor *k, const struct acls *a, struct str path, bool first)
{
	struct import_node n = { .path = path };
	int64_t acl;
	int err = (path.len == 0) != first ? E_BAD : take_bytes(k, &n.value);

	err = err ? err : take_i64(k, &acl);
	err = err ? err : take_i64(k, &n.czxid);
	err = err ? err : take_i64(k, &n.mzxid);
	err = err ? err : take_i64(k, &n.ctime_ms);
	err = err ? err : take_i64(k, &n.mtime_ms);
	err = err ? err : take_i32(k, &n.version);
	err = err ? err : take_i32(k, &n.creates);
	err = err ? err : take_i32(k, &n.aversion);
	err = err ? err : take_i64(k, &n.owner);
	err = err ? err : take_i64(k, &n.pzxid);
	err = err ? err : find_acl(a, acl, &n.acl);
	if (err)
		return err;
	err = import_put(im, &n);
	if (err)
		acl_put(im->c, n.acl);
	return err;
}

static int take_tree(struct coord_import *im, struct cursor *k)
{
	struct acls a = { 0 };
	int32_t sessions = 0;
	int err = take_i32(k, &sessions);

	for (int32_t i = 0; !err && i < sessions; i++) {
		int64_t id = 0;
		int32_t timeout = 0;

		err = take_i64(k, &id);
		err = err ? err : take_i32(k, &timeout);
		if (!err)
			import_session(im, id, timeout);
	}
	err = err ? err : take_acls(im, k, &a);
	for (bool first = true; !err; first = false) {
		struct str path;

		err = take_str(k, &path);
		if (!err && str_is(path, "/")) {
			err = first ? E_BAD : OK;
			break;
		}
		err = err ? err : take_node(im, k, &a, path, first);
	}
	put_acls(im, &a);
	return err;
}

/* The last seal covers every byte before it. WHY first of all: what a wrong byte makes of the rest says nothing. */
static bool is_whole(const uint8_t *p, uint64_t len)
{
	uint64_t n = len - SEAL;

	return len >= FILE_HEAD + SEAL && be64_get(p + n) == adler32_of(1, p, n) &&
	       memcmp(p + n + 8, "\0\0\0\1/", 5) == 0;
}

/* What follows the first seal: nothing, a digest, the last zxid, or both. Digests before version 2 are text. */
static bool trailers_ok(struct coord_import *im, struct cursor *k)
{
	uint64_t zxid = 0, digest = 0;
	uint32_t version = 0;
	struct str text;

	if (!cursor_take(k, SEAL))
		return false;
	if (cursor_left(k) != 0 && cursor_left(k) != TRAILER_ZXID + SEAL) {
		if (cursor_be64(k, &zxid) || cursor_be32(k, &version) ||
		    (version < DIGEST_VERSION ? take_str(k, &text) : cursor_be64(k, &digest)) || !cursor_take(k, SEAL))
			return false;
		if (version == DIGEST_VERSION && zxid > 0) {
			im->digest_zxid = (int64_t)zxid;
			im->digest = digest;
		}
	}
	return cursor_left(k) == 0 || cursor_left(k) == TRAILER_ZXID + SEAL;
}

static int check_head(const uint8_t *p, uint64_t len, uint32_t magic, char *why, size_t cap)
{
	if (len < FILE_HEAD || be32_get(p) != magic)
		return told(E_DAMAGED, why, cap, magic == MAGIC_LOG ? "no transaction log: ZKLG is missing" :
			    "no snapshot: ZKSN is missing", 0);
	if (be32_get(p + 4) != FILE_VERSION)
		return told(E_VERSION, why, cap, "a version of the format that is not known", 4);
	return OK;
}

int import_snapshot(struct coord_import *im, int64_t zxid, const uint8_t *p, uint64_t len, char *why, size_t cap)
{
	struct cursor k = cursor_of(p, len);
	int err = is_whole(p, len) ? check_head(p, len, MAGIC_SNAPSHOT, why, cap) :
		told(E_DAMAGED, why, cap, "it is cut off or damaged: no right checksum", len < SEAL ? 0 : len - SEAL);

	coord_free(im->c);
	*im = (struct coord_import){ .zxid = zxid };
	if (err)
		return err;
	im->c = coord_new();
	tree_drop_all(im->c);
	(void)cursor_take(&k, FILE_HEAD);
	err = take_tree(im, &k);
	if (err == E_LIMIT)
		err = told(E_LIMIT, why, cap, TOO_LONG, (uint64_t)(k.p - p));
	else if (err)
		err = told(E_DAMAGED, why, cap, "something that makes no sense", (uint64_t)(k.p - p));
	else if (!trailers_ok(im, &k))
		err = told(E_DAMAGED, why, cap, "something behind the tree that is not known", (uint64_t)(k.p - p));
	if (err) {
		coord_free(im->c);
		im->c = NULL;
	}
	return err;
}

/* ---- transactions ---- */

static int take_create(struct coord_import *im, struct cursor *k, const struct import_txn *t)
{
	struct import_node n = { 0 };
	int32_t creates = -1;
	int64_t ttl = 0;
	uint8_t ephemeral = 0;
	int err = take_str(k, &n.path);

	err = err ? err : take_bytes(k, &n.value);
	err = err ? err : take_acl(im, k, &n.acl);
	if (err)
		return err;
	if (t->type == ZK_OP_CREATE || t->type == ZK_OP_CREATE2)
		err = cursor_u8(k, &ephemeral);
	if (!err && cursor_left(k) > 0)		/* ZooKeeper 3.3 ended here */
		err = take_i32(k, &creates);
	if (!err && t->type == ZK_OP_CREATE_TTL)
		err = take_i64(k, &ttl);
	if (err) {
		acl_put(im->c, n.acl);
		return err;
	}
	n.owner = ephemeral ? t->session : 0;
	if (t->type == ZK_OP_CREATE_CONTAINER)
		n.owner = INT64_MIN;
	if (t->type == ZK_OP_CREATE_TTL)
		n.owner = (int64_t)(UINT64_C(0xff) << 56) | ttl;
	err = import_create(im, t, &n, creates);
	if (err)
		acl_put(im->c, n.acl);
	return err;
}

/* One that changes the tree, or a part of a multi that does. */
static int take_change(struct coord_import *im, struct cursor *k, const struct import_txn *t)
{
	struct str path;
	struct bytes value;
	struct coord_acl *acl;
	int32_t version;
	int err;

	switch (t->type) {
	case ZK_OP_CREATE: case ZK_OP_CREATE2: case ZK_OP_CREATE_TTL: case ZK_OP_CREATE_CONTAINER:
		return take_create(im, k, t);
	case ZK_OP_DELETE: case OP_DELETE_CONTAINER:
		err = take_str(k, &path);
		if (!err)
			import_delete(im, path, t->zxid);
		return err;
	case ZK_OP_SET_DATA: case ZK_OP_RECONFIG:
		err = take_str(k, &path);
		err = err ? err : take_bytes(k, &value);
		err = err ? err : take_i32(k, &version);
		if (!err)
			import_set(im, t, path, value, version);
		return err;
	case ZK_OP_SET_ACL:
		err = take_str(k, &path);
		err = err ? err : take_acl(im, k, &acl);
		if (err)
			return err;
		err = take_i32(k, &version);
		if (err)
			acl_put(im->c, acl);
		else
			import_set_acl(im, path, acl, version);
		return err;
	case ZK_OP_CHECK:
		err = take_str(k, &path);
		return err ? err : take_i32(k, &version);
	case OP_ERROR:
		return take_i32(k, &version);
	default:
		return E_VERSION;
	}
}

/* Each part is an int for its kind and a buffer with its body; one of the kind "error": nothing of it was done. */
static int take_multi(struct coord_import *im, struct cursor *k, const struct import_txn *t)
{
	static const uint8_t none[1];
	struct cursor from;
	int32_t n = 0, type = 0;
	struct bytes body;
	bool failed = false;
	int err = take_i32(k, &n);

	from = *k;
	for (int32_t i = 0; !err && i < n; i++) {
		err = take_i32(k, &type);
		err = err ? err : take_bytes(k, &body);
		failed |= type == OP_ERROR;
	}
	for (int32_t i = 0; !err && !failed && i < n; i++) {
		err = take_i32(&from, &type);
		err = err ? err : take_bytes(&from, &body);
		if (err)
			break;
		struct import_txn part = *t;
		struct cursor in = cursor_of(body.p ? body.p : none, body.len < 0 ? 0 : (size_t)body.len);

		part.type = type;
		err = take_change(im, &in, &part);
	}
	return err;
}

/* The paths of its ephemerals, since 3.6; before that (and with a switch) nothing: then the bytes make no list. */
static void take_close(struct coord_import *im, struct cursor *k, const struct import_txn *t)
{
	struct cursor c = *k, all;
	struct str path;
	int32_t n = 0;
	int err = take_i32(&c, &n);

	all = c;
	for (int32_t i = 0; !err && i < n; i++)
		err = take_str(&c, &path);
	if (!err && (cursor_left(&c) == 0 || cursor_left(&c) == 12)) {
		*k = c;
		for (int32_t i = 0; i < n; i++)
			if (take_str(&all, &path) == OK)
				import_delete(im, path, t->zxid);
	}
	import_close(im, t->session, t->zxid);
}

static int take_body(struct coord_import *im, struct cursor *k, const struct import_txn *t)
{
	int32_t timeout;
	int err = OK;

	if (t->type == OP_CREATE_SESSION) {
		err = take_i32(k, &timeout);
		if (!err)
			import_session(im, t->session, timeout);
	} else if (t->type == ZK_OP_CLOSE_SESSION) {
		take_close(im, k, t);
	} else if (t->type == ZK_OP_MULTI) {
		err = take_multi(im, k, t);
	} else {
		err = take_change(im, k, t);
	}
	return err;
}

static int take_head(struct cursor *k, struct import_txn *t)
{
	int32_t cxid;
	int err = take_i64(k, &t->session);

	err = err ? err : take_i32(k, &cxid);
	err = err ? err : take_i64(k, &t->zxid);
	err = err ? err : take_i64(k, &t->time_ms);
	return err ? err : take_i32(k, &t->type);
}

static int apply(struct coord_import *im, struct cursor *k, const struct import_txn *t)
{
	uint32_t version;
	uint64_t digest;
	int err = take_body(im, k, t);

	if (err)
		return err;
	im->zxid = t->zxid;
	im->transactions++;
	if (cursor_left(k) == 12 && cursor_be32(k, &version) == OK && cursor_be64(k, &digest) == OK &&
	    version == DIGEST_VERSION) {
		im->digest_zxid = t->zxid;
		im->digest = digest;
	}
	return OK;
}

/* ---- logs ---- */

enum found { FOUND_END, FOUND_WHOLE, FOUND_WRONG };

static enum found record(const uint8_t *p, uint64_t left, struct cursor *ret)
{
	if (left < RECORD_HEAD + 1)
		return FOUND_END;
	uint32_t n = be32_get(p + 8);

	if (n == 0 || n > left - RECORD_HEAD - 1 || p[RECORD_HEAD + n] != END_OF_RECORD)
		return FOUND_END;
	*ret = cursor_of(p + RECORD_HEAD, n);
	return be64_get(p) == adler32_of(1, p + RECORD_HEAD, n) ? FOUND_WHOLE : FOUND_WRONG;
}

/* Is there a whole transaction behind what looks like the end? */
static bool goes_on(const struct coord_import *im, const uint8_t *p, uint64_t len, uint64_t at)
{
	struct import_txn t;
	struct cursor k;

	for (at++; at + RECORD_HEAD + 1 < len; at++)
		if (be32_get(p + at) == 0 && be32_get(p + at + 8) > 0 && record(p + at, len - at, &k) == FOUND_WHOLE &&
		    take_head(&k, &t) == OK && t.zxid > im->zxid)
			return true;
	return false;
}

/* In an epoch zxids count upwards by one, and each begins with 1. */
static bool follows(int64_t before, int64_t zxid)
{
	return zxid == before + 1 || (zxid >> 32 > before >> 32 && (uint32_t)zxid <= 1);
}

static int gap(char *why, size_t cap, int64_t before, int64_t zxid)
{
	struct text t = text_open(why, cap);

	text_add(&t, "its first transaction that is newer than the tree is ");
	text_i64(&t, zxid);
	text_add(&t, ", and the one before it is ");
	text_i64(&t, before);
	text_add(&t, ": those between are missing, another log is needed");
	return E_DAMAGED;
}

int import_log(struct coord_import *im, const uint8_t *p, uint64_t len, char *why, size_t cap)
{
	uint64_t at = FILE_HEAD;
	bool first = true;
	int err;

	must(im->c != NULL);
	if (len == 0 || (len < FILE_HEAD && memchr(p, 0, len) == p))	/* it was killed before it wrote more */
		return OK;
	err = check_head(p, len, MAGIC_LOG, why, cap);
	if (err)
		return err;
	for (;;) {
		struct import_txn t;
		struct cursor k;
		enum found f = record(p + at, len - at, &k);

		if (f == FOUND_END)
			break;
		if (f == FOUND_WRONG)
			return told(E_DAMAGED, why, cap, "a transaction with a wrong checksum", at);
		uint64_t bytes = RECORD_HEAD + cursor_left(&k) + 1;

		if (take_head(&k, &t))
			return told(E_DAMAGED, why, cap, "a transaction without a head", at);
		if (t.zxid > im->zxid) {
			if (first && !follows(im->zxid, t.zxid))
				return gap(why, cap, im->zxid, t.zxid);
			first = false;
			err = apply(im, &k, &t);
		}
		if (err)
			break;
		at += bytes;
	}
	if (err == E_VERSION || err == E_LIMIT)
		return told(err, why, cap, err == E_LIMIT ? TOO_LONG : "a kind of transaction that is not known", at);
	if (err)
		return told(E_DAMAGED, why, cap, "a transaction that makes no sense", at);
	if (goes_on(im, p, len, at))
		return told(E_DAMAGED, why, cap, "a damaged transaction with whole ones behind it", at);
	return OK;
}
