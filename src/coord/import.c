/* import.c - what snapshots and transactions of a ZooKeeper do to the tree, and its end; see import.h. */
#include "coord/import.h"

#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32.h"
#include "base/text.h"
#include "coord/import_in.h"

#define OWNER_CONTAINER INT64_MIN
#define OWNER_EXTENDED UINT64_C(0xff)		/* the upper byte of the mark of a TTL node (EphemeralType of 3.9.5) */
#define OWNER_TTL_MASK INT64_C(0xffffffffff)
#define ZXID_BITS 48				/* of the heads of our files */
#define PASSWORD_SECRET INT64_C(0xB3415C00)	/* ZooKeeperServer.superSecret */

struct coord_import *import_new(void)
{
	return mem_alloc(sizeof(struct coord_import));
}

void import_free(struct coord_import *im)
{
	if (im)
		coord_free(im->c);
	mem_free(im);
}

int64_t import_zxid(const struct coord_import *im)
{
	return im->zxid;
}

static struct znode *find(const struct coord_import *im, struct str path)
{
	return path.len == 0 ? im->c->root : (struct znode *)(uintptr_t)coord_find(im->c, path);
}

/* The parent's path; *ret_name: what is behind its last '/'. len -1: there is no '/'. */
static struct str parent_of(struct str path, struct str *ret_name)
{
	int32_t cut = path.len;

	while (cut > 0 && path.p[cut - 1] != '/')
		cut--;
	*ret_name = (struct str){ path.p + cut, path.len - cut };
	return (struct str){ path.p, cut - 1 };
}

/* ---- nodes ---- */

static void set_value(struct znode *n, struct bytes value)
{
	mem_free(n->value);
	n->value = NULL;
	n->value_len = value.len;
	if (value.len > 0) {
		n->value = mem_alloc((size_t)value.len);
		memcpy(n->value, value.p, (size_t)value.len);
	}
}

static struct coord_session *session(struct coord_import *im, int64_t id)
{
	struct coord_session *s = coord_session(im->c, id);

	return s ? s : session_add(im->c, id);		/* timeout 0: not open, see end_sessions() */
}

static bool is_open(const struct coord_session *s)
{
	return s && s->timeout_ms > 0;
}

/* WHY open sessions come first: without extended types a server's number may be 255, and so its sessions' marks. */
static void set_kind(struct coord_import *im, struct znode *n, int64_t owner)
{
	if (owner == 0)
		return;
	if (owner == OWNER_CONTAINER) {
		n->kind = ZNODE_CONTAINER;
		tree_timed(im->c, n);
	} else if ((uint64_t)owner >> 56 == OWNER_EXTENDED && (owner >> 40 & 0xffff) == 0 &&
		   !is_open(coord_session(im->c, owner))) {
		n->kind = ZNODE_TTL;
		n->ttl_ms = owner & OWNER_TTL_MASK;
		tree_timed(im->c, n);
	} else {
		tree_own(im->c, session(im, owner), n);
	}
}

static int64_t owner_mark(const struct znode *n)
{
	switch ((enum znode_kind)n->kind) {
	case ZNODE_PLAIN:
		return 0;
	case ZNODE_CONTAINER:
		return OWNER_CONTAINER;
	case ZNODE_TTL:
		return (int64_t)(OWNER_EXTENDED << 56) | n->ttl_ms;
	case ZNODE_EPHEMERAL:
		break;
	}
	return n->owner;
}

static struct znode *add(struct coord_import *im, struct znode *parent, struct str name, const struct import_node *v)
{
	struct znode *n = parent ? tree_make(im->c, parent, name, v->value) : im->c->root;

	if (!parent) {
		set_value(n, v->value);
		acl_put(im->c, n->acl);
	}
	n->acl = v->acl;
	n->czxid = v->czxid;
	n->mzxid = v->mzxid;
	n->pzxid = v->pzxid;
	n->ctime_ms = v->ctime_ms;
	n->mtime_ms = v->mtime_ms;
	n->version = v->version;
	n->aversion = v->aversion;
	n->creates = (uint32_t)v->creates;
	if (parent)
		set_kind(im, n, v->owner);
	return n;
}

int import_put(struct coord_import *im, const struct import_node *v)
{
	struct str name, up = parent_of(v->path, &name);
	struct znode *parent = v->path.len == 0 || up.len < 0 ? NULL : find(im, up);

	if (v->path.len > COORD_PATH_MAX)
		return E_LIMIT;
	if (v->path.len > 0 && (!parent || name.len == 0 || name.len > UINT16_MAX || find(im, v->path)))
		return E_BAD;
	add(im, parent, name, v);
	return OK;
}

/* I2: as DataTree.setCversionPzxid. */
static void child_made(struct znode *parent, int32_t creates, int64_t zxid)
{
	if (creates == -1)
		creates = (int32_t)(parent->creates + 1);
	if (creates > (int32_t)parent->creates) {
		parent->creates = (uint32_t)creates;
		parent->pzxid = zxid;
	}
}

int import_create(struct coord_import *im, const struct import_txn *t, struct import_node *v, int32_t parent_creates)
{
	struct str name, up = parent_of(v->path, &name);
	struct znode *parent = up.len < 0 || name.len == 0 || name.len > UINT16_MAX ? NULL : find(im, up);
	struct znode *there = parent ? find(im, v->path) : NULL;

	if (v->path.len > COORD_PATH_MAX)
		return E_LIMIT;
	if (parent)
		child_made(parent, parent_creates, t->zxid);
	if (there) {			/* the snapshot had it already */
		acl_put(im->c, there->acl);
		there->acl = v->acl;
	} else if (parent) {
		v->czxid = v->mzxid = v->pzxid = t->zxid;
		v->ctime_ms = v->mtime_ms = t->time_ms;
		add(im, parent, name, v);
	} else {
		acl_put(im->c, v->acl);
	}
	return OK;
}

/* WHY with what is below: that is there because the snapshot is ahead of the log, which brings it again. */
static void drop(struct coord_import *im, struct znode *top)
{
	for (bool more = true; more;) {
		struct znode *n = top;

		while (n->first)
			n = n->first;
		more = n != top;
		tree_unlink(im->c, n);
		acl_put(im->c, n->acl);
		tree_free_node(n);
	}
}

void import_delete(struct coord_import *im, struct str path, int64_t zxid)
{
	struct str name, up = parent_of(path, &name);
	struct znode *parent = up.len < 0 ? NULL : find(im, up), *n = parent ? find(im, path) : NULL;

	if (parent && zxid > parent->pzxid)	/* also when the node is gone already */
		parent->pzxid = zxid;
	if (n && n->parent)
		drop(im, n);
}

void import_set(struct coord_import *im, const struct import_txn *t, struct str path, struct bytes value,
		int32_t version)
{
	struct znode *n = find(im, path);

	if (!n)
		return;
	set_value(n, value);
	n->mtime_ms = t->time_ms;
	n->mzxid = t->zxid;
	n->version = version;
}

void import_set_acl(struct coord_import *im, struct str path, struct coord_acl *acl, int32_t aversion)
{
	struct znode *n = find(im, path);

	if (!n) {
		acl_put(im->c, acl);
		return;
	}
	acl_put(im->c, n->acl);
	n->acl = acl;
	n->aversion = aversion;
}

/* ---- sessions ---- */

/* java.util.Random.nextBytes() with the seed that ZooKeeperServer.generatePasswd() takes: clients that hold it come
 * back with it. */
static void zookeeper_password(int64_t id, uint8_t ret[16])
{
	const uint64_t mask = (UINT64_C(1) << 48) - 1, factor = UINT64_C(0x5DEECE66D);
	uint64_t seed = ((uint64_t)(id ^ PASSWORD_SECRET) ^ factor) & mask;

	for (int i = 0; i < 16; i += 4) {
		seed = (seed * factor + 0xB) & mask;
		for (int k = 0; k < 4; k++)
			ret[i + k] = (uint8_t)(seed >> (16 + 8 * k));
	}
}

void import_session(struct coord_import *im, int64_t id, int32_t timeout_ms)
{
	if (id != 0)
		session(im, id)->timeout_ms = timeout_ms > 0 ? (uint32_t)timeout_ms : 1;
}

static void drop_ephemerals(struct coord_import *im, struct coord_session *s, int64_t zxid)
{
	char path[COORD_PATH_MAX + 1];

	while (s->eph_first)
		import_delete(im, coord_path(s->eph_first, path), zxid);
}

void import_close(struct coord_import *im, int64_t id, int64_t zxid)
{
	struct coord_session *s = coord_session(im->c, id);

	if (!s)
		return;
	drop_ephemerals(im, s, zxid);
	session_drop(im->c, s);
}

/* Ephemerals of sessions that are not there go, as when a ZooKeeper starts (ZooKeeperServer.loadData). */
static void end_sessions(struct coord_import *im, struct import_stats *st)
{
	for (struct coord_session *s = coord_session_next(im->c, NULL), *next; s; s = next) {
		next = coord_session_next(im->c, s);
		if (!is_open(s)) {
			st->ended += s->eph_first != NULL;
			drop_ephemerals(im, s, im->zxid);
			session_drop(im->c, s);
			continue;
		}
		s->client = true;
		s->epoch = im->zxid;
		memcpy(s->name, "zookeeper", 10);
		zookeeper_password(s->id, s->password);
		st->sessions++;
	}
}

/* ---- the end ---- */

/* DigestCalculator of 3.9.5, version 2: everything but what is under /zookeeper. */
static uint64_t tree_digest(const struct coord *c)
{
	char path[COORD_PATH_MAX + 1];
	uint64_t sum = 0;

	for (const struct znode *n = c->root; n; n = coord_next(c->root, n)) {
		struct str p = n->parent ? coord_path(n, path) : STR("");
		uint8_t b[60];

		if (p.len > 11 && memcmp(p.p, "/zookeeper/", 11) == 0)
			continue;
		be64_put(b, (uint64_t)n->czxid);
		be64_put(b + 8, (uint64_t)n->mzxid);
		be64_put(b + 16, (uint64_t)n->pzxid);
		be64_put(b + 24, (uint64_t)n->ctime_ms);
		be64_put(b + 32, (uint64_t)n->mtime_ms);
		be32_put(b + 40, (uint32_t)n->version);
		be32_put(b + 44, n->creates);
		be32_put(b + 48, (uint32_t)n->aversion);
		be64_put(b + 52, (uint64_t)owner_mark(n));
		uint32_t crc = crc32_ieee(0, p.p, (size_t)p.len);

		if (n->value_len > 0)
			crc = crc32_ieee(crc, n->value, (size_t)n->value_len);
		sum += crc32_ieee(crc, b, sizeof b);
	}
	return sum;
}

static int refuse(int err, char *why, size_t cap, const char *what, struct str path)
{
	struct text t = text_open(why, cap);

	text_put(&t, path.p, path.len < 200 ? (size_t)path.len : 200);
	text_add(&t, ": ");
	text_add(&t, what);
	return err;
}

static int check_node(const struct coord_import *im, struct znode *n, struct str path, const struct coord_rules *rules,
		      char *why, size_t cap)
{
	bool secret;

	if (n->parent && !coord_client_path_ok(path))
		return refuse(E_LIMIT, why, cap, "a path that no client can use", path);
	if (n->value_len > (int32_t)COORD_VALUE_MAX)
		return refuse(E_LIMIT, why, cap, "the value is longer than 1 MiB", path);
	if (n->czxid > im->zxid || n->mzxid > im->zxid || n->pzxid > im->zxid)
		return refuse(E_DAMAGED, why, cap, "it is newer than the last transaction: a log is missing", path);
	if (n->kind == ZNODE_EPHEMERAL && n->first)
		return refuse(E_DAMAGED, why, cap, "an ephemeral node with children", path);
	if ((rules->flags & COORD_RESERVE) && n->parent == im->c->root &&
	    coord_reserved((struct str){ n->name, n->name_len }, &secret))
		return refuse(E_EXIST, why, cap, "this name belongs to the brokers' cluster here; import it into a "
			      "quorum that runs from a zoo.cfg without a native port, or delete it first", path);
	return OK;
}

static int check_limits(const struct coord *c, const struct coord_rules *rules, char *why, size_t cap)
{
	bool nodes = rules->nodes_max > 0 && c->client_nodes > rules->nodes_max;
	bool bytes = rules->bytes_max > 0 && c->client_bytes > rules->bytes_max;
	struct text t = text_open(why, cap);

	if (!nodes && !bytes)
		return OK;
	text_i64(&t, (int64_t)(nodes ? c->client_nodes : c->client_bytes));
	text_add(&t, nodes ? " nodes are more than zookeeper-nodes-max=" : " bytes are more than zookeeper-bytes-max=");
	text_i64(&t, (int64_t)(nodes ? rules->nodes_max : rules->bytes_max));
	return E_LIMIT;
}

static int check_all(struct coord_import *im, const struct coord_rules *rules, char *why, size_t cap)
{
	struct coord *c = im->c;
	char path[COORD_PATH_MAX + 1];

	for (struct znode *n = c->root; n; n = (struct znode *)(uintptr_t)coord_next(c->root, n)) {
		struct str p = coord_path(n, path);
		int err = check_node(im, n, p, rules, why, cap);

		if (err)
			return err;
		tree_count(c, n, n->parent ? (uint32_t)p.len : 0);
	}
	return check_limits(c, rules, why, cap);
}

/* Of old versions, or from an ensemble: as a new quorum has it. */
static void forget_config(struct coord *c)
{
	struct znode *n = (struct znode *)(uintptr_t)coord_find(c, STR("/zookeeper/config"));

	set_value(n, (struct bytes){ NULL, 0 });
	n->mzxid = n->mzxid > c->zxid ? c->zxid : n->mzxid;
}

int import_end(struct coord_import *im, int64_t zxid_min, const struct coord_rules *rules, struct coord **ret,
	       struct import_stats *ret_stats, char *why, size_t cap)
{
	struct import_stats st = { .zxid = im->zxid, .transactions = im->transactions };

	must(im->c != NULL);
	if (im->digest_zxid == im->zxid)
		st.digest = tree_digest(im->c) == im->digest ? IMPORT_DIGEST_SAME : IMPORT_DIGEST_DIFFERS;
	end_sessions(im, &st);
	tree_builtin(im->c);
	im->zxid = im->zxid < zxid_min ? zxid_min : im->zxid;
	im->c->zxid = im->zxid;
	forget_config(im->c);
	int err = im->zxid >> ZXID_BITS > 0 ? refuse(E_LIMIT, why, cap, "zxids above 48 bits, more than 65,535 epochs",
							STR("/")) : check_all(im, rules, why, cap);

	if (err)
		return err;
	quota_recount(im->c);
	ops_commit(im->c);
	*ret = im->c;
	*ret_stats = st;
	im->c = NULL;
	return OK;
}
