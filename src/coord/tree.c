/* tree.c - nodes, their places in tree and hash, sessions; see coord.h. */
#include "coord/tree.h"

#include <string.h>

#include "base/assert.h"

#define BUCKET_BITS_MIN 10u
#define FNV_START 2166136261u

static uint32_t hash_more(uint32_t h, const char *p, uint32_t n)
{
	for (uint32_t i = 0; i < n; i++)
		h = (h ^ (uint8_t)p[i]) * 16777619u;
	return h;
}

static struct znode **bucket_of(const struct coord *c, uint32_t hash)
{
	return &c->bucket[(hash * 2654435769u) >> (32 - c->bucket_bits)];
}

static bool is_path(const struct znode *n, struct str path)
{
	int64_t left = path.len;

	for (; n->parent; n = n->parent) {
		left -= n->name_len + 1;
		if (left < 0 || path.p[left] != '/' || memcmp(path.p + left + 1, n->name, n->name_len))
			return false;
	}
	return left == 0;
}

const struct znode *coord_find(const struct coord *c, struct str path)
{
	if (path.len == 1 && path.p[0] == '/')
		return c->root;
	if (path.len < 2)
		return NULL;
	uint32_t h = hash_more(FNV_START, path.p, (uint32_t)path.len);

	for (struct znode *n = *bucket_of(c, h); n; n = n->chain)
		if (n->hash == h && is_path(n, path))
			return n;
	return NULL;
}

const struct znode *coord_next(const struct znode *top, const struct znode *n)
{
	if (n->first)
		return n->first;
	for (; n != top; n = n->parent)
		if (n->next)
			return n->next;
	return NULL;
}

struct str coord_path(const struct znode *n, char *ret)
{
	uint32_t at = COORD_PATH_MAX;

	ret[at] = 0;
	if (!n->parent)
		ret[--at] = '/';
	for (; n->parent; n = n->parent) {
		must(at > n->name_len);
		at -= n->name_len;
		memcpy(ret + at, n->name, n->name_len);
		ret[--at] = '/';
	}
	memmove(ret, ret + at, COORD_PATH_MAX + 1 - at);
	return (struct str){ ret, (int32_t)(COORD_PATH_MAX - at) };
}

static void rehash(struct coord *c)
{
	struct znode **old = c->bucket;
	uint32_t n = 1u << c->bucket_bits++;

	c->bucket = mem_alloc(sizeof *c->bucket << c->bucket_bits);
	for (uint32_t i = 0; i < n; i++)
		for (struct znode *z = old[i], *next; z; z = next) {
			struct znode **b = bucket_of(c, z->hash);

			next = z->chain;
			z->chain = *b;
			*b = z;
		}
	mem_free(old);
}

static void hash_add(struct coord *c, struct znode *n)
{
	if (c->nodes >> c->bucket_bits > 0 && c->bucket_bits < 28)
		rehash(c);
	struct znode **b = bucket_of(c, n->hash);

	n->chain = *b;
	*b = n;
	c->nodes++;
}

struct znode *tree_make(struct coord *c, struct znode *parent, struct str name, struct bytes value)
{
	struct znode *n = mem_alloc(sizeof *n + (size_t)name.len);

	n->parent = parent;
	n->name_len = (uint16_t)name.len;
	memcpy(n->name, name.p, (size_t)name.len);
	n->hash = hash_more(hash_more(parent->hash, "/", 1), name.p, (uint32_t)name.len);
	n->value_len = value.len;
	if (value.len > 0) {
		n->value = mem_alloc((size_t)value.len);
		memcpy(n->value, value.p, (size_t)value.len);
	}
	n->prev = parent->last;
	tree_link(c, n);
	return n;
}

/* The list that a node is in by its kind; NULL: none. */
static struct znode **list_of(struct coord *c, const struct znode *n, struct znode ***ret_first)
{
	if (n->kind == ZNODE_EPHEMERAL) {
		struct coord_session *s = coord_session(c, n->owner);

		must(s != NULL);	/* C3 */
		*ret_first = &s->eph_first;
		return &s->eph_last;
	}
	*ret_first = &c->timed_first;
	return n->kind == ZNODE_PLAIN ? NULL : &c->timed_last;
}

void tree_link(struct coord *c, struct znode *n)
{
	struct znode *p = n->parent;

	if (n->prev)
		n->prev->next = n;
	else
		p->first = n;
	if (n->next)
		n->next->prev = n;
	else
		p->last = n;
	p->children++;
	hash_add(c, n);
	struct znode **first, **last = list_of(c, n, &first);

	if (!last)
		return;
	c->ephemerals += n->kind == ZNODE_EPHEMERAL;
	if (n->eph_prev)
		n->eph_prev->eph_next = n;
	else
		*first = n;
	if (n->eph_next)
		n->eph_next->eph_prev = n;
	else
		*last = n;
}

void tree_unlink(struct coord *c, struct znode *n)
{
	struct znode *p = n->parent, **b = bucket_of(c, n->hash);

	must(!n->first);		/* C4 */
	while (*b != n)
		b = &(*b)->chain;
	*b = n->chain;
	c->nodes--;
	if (n->prev)
		n->prev->next = n->next;
	else
		p->first = n->next;
	if (n->next)
		n->next->prev = n->prev;
	else
		p->last = n->prev;
	p->children--;
	struct znode **first, **last = list_of(c, n, &first);

	if (!last)
		return;
	c->ephemerals -= n->kind == ZNODE_EPHEMERAL;
	if (n->eph_prev)
		n->eph_prev->eph_next = n->eph_next;
	else
		*first = n->eph_next;
	if (n->eph_next)
		n->eph_next->eph_prev = n->eph_prev;
	else
		*last = n->eph_prev;
}

static void own(struct znode **first, struct znode **last, struct znode *n)
{
	n->eph_prev = *last;
	n->eph_next = NULL;
	if (*last)
		(*last)->eph_next = n;
	else
		*first = n;
	*last = n;
}

void tree_own(struct coord *c, struct coord_session *s, struct znode *n)
{
	n->kind = ZNODE_EPHEMERAL;
	n->owner = s->id;
	c->ephemerals++;
	own(&s->eph_first, &s->eph_last, n);
}

void tree_timed(struct coord *c, struct znode *n)
{
	own(&c->timed_first, &c->timed_last, n);
}

const struct znode *coord_timed_next(const struct coord *c, const struct znode *n)
{
	return n ? n->eph_next : c->timed_first;
}

static uint64_t bytes_of(const struct znode *n, uint32_t path_len)
{
	return path_len + (n->value_len > 0 ? (uint64_t)n->value_len : 0);
}

void tree_count(struct coord *c, const struct znode *n, uint32_t path_len)
{
	c->bytes += bytes_of(n, path_len);
	if (!n->system) {
		c->client_nodes++;
		c->client_bytes += bytes_of(n, path_len);
	}
}

void tree_uncount(struct coord *c, const struct znode *n, uint32_t path_len)
{
	c->bytes -= bytes_of(n, path_len);
	if (!n->system) {
		c->client_nodes--;
		c->client_bytes -= bytes_of(n, path_len);
	}
}

void tree_free_node(struct znode *n)
{
	if (!n)
		return;
	mem_free(n->value);
	mem_free(n);
}

static struct coord_session **session_bucket(struct coord *c, int64_t id)
{
	return &c->sessions[((uint64_t)id * UINT64_C(0x9E3779B97F4A7C15)) >> 54];
}

_Static_assert(SESSION_BUCKETS == 1u << 10, "session_bucket() takes the upper 10 bits");

struct coord_session *coord_session(struct coord *c, int64_t id)
{
	struct coord_session *s = *session_bucket(c, id);

	while (s && s->id != id)
		s = s->chain;
	return s;
}

struct coord_session *coord_session_next(struct coord *c, struct coord_session *s)
{
	return s ? s->next : c->first;
}

struct coord_session *session_add(struct coord *c, int64_t id)
{
	struct coord_session *s = mem_alloc(sizeof *s), **b = session_bucket(c, id);

	s->id = id;
	s->chain = *b;
	*b = s;
	s->prev = c->last;
	if (c->last)
		c->last->next = s;
	else
		c->first = s;
	c->last = s;
	c->nsessions++;
	return s;
}

void session_drop(struct coord *c, struct coord_session *s)
{
	struct coord_session **b = session_bucket(c, s->id);

	while (*b != s)
		b = &(*b)->chain;
	*b = s->chain;
	if (s->prev)
		s->prev->next = s->next;
	else
		c->first = s->next;
	if (s->next)
		s->next->prev = s->prev;
	else
		c->last = s->prev;
	c->nsessions--;
	mem_free(s);
}

/* As DataTree's constructor of 3.9.5 makes them; those that are there stay. */
void tree_builtin(struct coord *c)
{
	struct bytes empty = { (const uint8_t *)"", 0 };
	static const uint8_t readers[] = "\0\0\0\1" "\0\0\0\1" "\0\0\0\5world" "\0\0\0\6anyone";
	struct znode *top = (struct znode *)(uintptr_t)coord_find(c, STR("/zookeeper"));

	if (!top)
		top = tree_make(c, c->root, STR("zookeeper"), empty);
	if (!coord_find(c, STR("/zookeeper/config"))) {
		struct znode *conf = tree_make(c, top, STR("config"), empty);

		conf->acl = acl_get(c, (struct bytes){ readers, sizeof readers - 1 });
		conf->aversion = -1;
	}
	if (!coord_find(c, STR("/zookeeper/quota")))
		tree_make(c, top, STR("quota"), empty);
}

static void make_builtin(struct coord *c)
{
	char path[COORD_PATH_MAX + 1];

	tree_builtin(c);
	c->root->value_len = 0;
	for (const struct znode *n = c->root; n; n = coord_next(c->root, n))
		tree_count(c, n, n->parent ? (uint32_t)coord_path(n, path).len : 0);
}

struct coord *coord_new(void)
{
	struct coord *c = mem_alloc(sizeof *c);

	c->bucket_bits = BUCKET_BITS_MIN;
	c->bucket = mem_alloc(sizeof *c->bucket << c->bucket_bits);
	c->root = mem_alloc(sizeof *c->root);
	c->root->value_len = -1;
	c->root->hash = FNV_START;
	arena_init(&c->arena, 64 << 10, SIZE_MAX / 4);
	make_builtin(c);
	return c;
}

/* For loading: the tree as coord_new() makes it is no part of a saved one. */
void tree_drop_all(struct coord *c)
{
	for (uint32_t i = 0; i < 1u << c->bucket_bits; i++) {
		for (struct znode *n = c->bucket[i], *next; n; n = next) {
			next = n->chain;
			acl_put(c, n->acl);
			tree_free_node(n);
		}
		c->bucket[i] = NULL;
	}
	c->nodes = 0;
	c->root->first = c->root->last = NULL;
	c->root->children = 0;
	c->timed_first = c->timed_last = NULL;
	c->bytes = c->client_nodes = c->client_bytes = c->ephemerals = 0;
}

void coord_free(struct coord *c)
{
	if (!c)
		return;
	ops_fresh(c);
	tree_drop_all(c);
	while (c->first)
		session_drop(c, c->first);
	acl_put(c, c->root->acl);
	tree_free_node(c->root);
	mem_free(c->acl_trash);
	arena_release(&c->arena);
	mem_free(c->bucket);
	mem_free(c->undo);
	mem_free(c->ops);
	mem_free(c->changes);
	mem_free(c);
}

int64_t coord_zxid(const struct coord *c)
{
	return c->zxid;
}

int64_t coord_time_ms(const struct coord *c)
{
	return c->time_ms;
}

uint64_t coord_nodes(const struct coord *c)
{
	return c->nodes + 1 - BUILT_IN;
}

uint64_t coord_ephemerals(const struct coord *c)
{
	return c->ephemerals;
}

uint64_t coord_bytes(const struct coord *c)
{
	return c->bytes;
}

void coord_stat(const struct znode *n, struct coord_stat *ret)
{
	*ret = (struct coord_stat){
		.czxid = n->czxid, .mzxid = n->mzxid, .ctime_ms = n->ctime_ms, .mtime_ms = n->mtime_ms,
		.version = n->version, .cversion = (int32_t)(n->creates * 2u - n->children),
		.aversion = n->aversion, .owner = coord_owner(n), .data_len = n->value_len > 0 ? n->value_len : 0,
		.children = (int32_t)n->children, .pzxid = n->pzxid,
	};
}

uint32_t coord_sessions(const struct coord *c)
{
	return c->nsessions;
}
