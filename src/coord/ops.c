/* ops.c - the steps of an entry: each changes one node, notes how to undo it, and tells the change. */
#include "coord/tree.h"

#include <string.h>

#include "base/assert.h"

void *ops_grow(void *v, uint32_t *cap, uint32_t n, size_t size)
{
	if (n < *cap)
		return v;
	*cap = *cap ? *cap * 2 : 64;
	return mem_resize(v, *cap * size);
}

static struct undo *undo_add(struct coord *c, enum undo_kind kind, struct znode *n)
{
	c->undo = ops_grow(c->undo, &c->undo_cap, c->nundo, sizeof *c->undo);
	struct undo *u = &c->undo[c->nundo++];

	*u = (struct undo){ .kind = kind, .node = n };
	return u;
}

static void changed(struct coord *c, enum coord_op_kind what, struct str path, const struct znode *n)
{
	c->changes = ops_grow(c->changes, &c->changes_cap, c->nchanges, sizeof *c->changes);
	c->changes[c->nchanges++] = (struct coord_change){
		.deleted = what == COORD_DELETE, .path = path, .node = what == COORD_DELETE ? NULL : n, .what = what,
		.acl = n->acl, .parent_acl = n->parent ? n->parent->acl : NULL, .secret = coord_secret(n),
	};
}

struct str ops_keep(struct coord *c, struct str a, int32_t more)
{
	char *p = arena_alloc(&c->arena, (size_t)(a.len + more + 1));

	must(p != NULL);
	memcpy(p, a.p, (size_t)a.len);
	return (struct str){ p, a.len + more };
}

int32_t ops_sequence(const struct znode *parent, char digits[12])
{
	int64_t v = (int32_t)parent->creates;
	int32_t at = 0;

	if (v < 0) {
		digits[at++] = '-';
		v = -v;
	}
	for (int i = 9; i >= 0; i--, v /= 10)
		digits[at + i] = (char)('0' + v % 10);
	return at + 10;
}

static void account_value(struct coord *c, const struct znode *n, int32_t before, int32_t after)
{
	uint64_t d = (uint64_t)(int64_t)((after > 0 ? after : 0) - (before > 0 ? before : 0));

	c->bytes += d;
	if (!n->system)
		c->client_bytes += d;
}

struct znode *ops_create(struct coord *c, struct znode *parent, struct str path, int32_t cut, struct bytes value,
			 enum znode_kind kind, struct coord_session *owner, int64_t ttl_ms, struct coord_acl *acl,
			 bool system)
{
	struct undo *u = undo_add(c, UNDO_CREATE, NULL);
	struct znode *n = tree_make(c, parent, (struct str){ path.p + cut, path.len - cut }, value);

	u->node = n;
	u->version = path.len;
	u->pzxid = parent->pzxid;
	n->czxid = n->mzxid = n->pzxid = c->zxid;
	n->ctime_ms = n->mtime_ms = c->time_ms;
	n->kind = (uint8_t)kind;		/* of an ephemeral: by tree_own() */
	if (kind == ZNODE_TTL)
		n->ttl_ms = ttl_ms;
	n->acl = acl;
	n->system = system;
	if (owner)
		tree_own(c, owner, n);
	if (kind == ZNODE_CONTAINER || kind == ZNODE_TTL)
		tree_timed(c, n);
	parent->creates++;
	parent->pzxid = c->zxid;
	tree_count(c, n, (uint32_t)path.len);
	changed(c, COORD_CREATE, path, n);
	return n;
}

static void set_value(struct coord *c, struct znode *n, struct bytes value)
{
	account_value(c, n, n->value_len, value.len);
	n->value = NULL;
	n->value_len = value.len;
	if (value.len > 0) {
		n->value = mem_alloc((size_t)value.len);
		memcpy(n->value, value.p, (size_t)value.len);
	}
}

void ops_set_quietly(struct coord *c, struct znode *n, struct bytes value)
{
	struct undo *u = undo_add(c, UNDO_SET, n);

	u->value = n->value;
	u->value_len = n->value_len;
	u->version = n->version;
	u->mzxid = n->mzxid;
	u->mtime_ms = n->mtime_ms;
	set_value(c, n, value);
}

void ops_set(struct coord *c, struct znode *n, struct str path, struct bytes value)
{
	ops_set_quietly(c, n, value);
	n->version = (int32_t)((uint32_t)n->version + 1);
	n->mzxid = c->zxid;
	n->mtime_ms = c->time_ms;
	changed(c, COORD_SET, path, n);
}

void ops_set_acl(struct coord *c, struct znode *n, struct str path, struct coord_acl *acl)
{
	struct undo *u = undo_add(c, UNDO_ACL, n);

	u->acl = n->acl;
	u->version = n->aversion;
	n->acl = acl;
	n->aversion = (int32_t)((uint32_t)n->aversion + 1);
	changed(c, COORD_SET_ACL, path, n);
}

void ops_erase(struct coord *c, struct znode *n, struct str path)
{
	struct undo *u = undo_add(c, UNDO_DELETE, n);

	u->pzxid = n->parent->pzxid;
	u->version = path.len;
	changed(c, COORD_DELETE, path, n);
	tree_uncount(c, n, (uint32_t)path.len);
	tree_unlink(c, n);
	n->parent->pzxid = c->zxid;
}

void ops_undo(struct coord *c)
{
	while (c->nundo > 0) {
		struct undo *u = &c->undo[--c->nundo];
		struct znode *n = u->node;

		switch (u->kind) {
		case UNDO_CREATE:
			tree_uncount(c, n, (uint32_t)u->version);
			tree_unlink(c, n);
			n->parent->creates--;
			n->parent->pzxid = u->pzxid;
			acl_put(c, n->acl);
			tree_free_node(n);
			break;
		case UNDO_SET:
			account_value(c, n, n->value_len, u->value_len);
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
			tree_count(c, n, (uint32_t)u->version);
			break;
		case UNDO_ACL:
			acl_put(c, n->acl);
			n->acl = u->acl;
			n->aversion = u->version;
			break;
		}
	}
	c->nchanges = 0;
}

/* What cannot be undone any more goes; deleted nodes and replaced lists stay readable until the next entry. */
void ops_commit(struct coord *c)
{
	bool deletes = false;

	for (uint32_t i = 0; i < c->nundo; i++) {
		struct undo *u = &c->undo[i];

		if (u->kind == UNDO_SET)
			mem_free(u->value);
		if (u->kind == UNDO_DELETE) {
			u->node->children = UINT32_MAX;		/* marked: deleted */
			u->node->chain = c->trash;
			c->trash = u->node;
			deletes = true;
		}
		if (u->kind == UNDO_ACL && u->acl) {
			c->acl_trash = ops_grow(c->acl_trash, &c->acl_trash_cap, c->nacl_trash, sizeof *c->acl_trash);
			c->acl_trash[c->nacl_trash++] = u->acl;
		}
	}
	c->nundo = 0;
	/* A change of a node that the same batch deleted later must not show it. */
	for (uint32_t i = 0; deletes && i < c->nchanges; i++)
		if (c->changes[i].node && c->changes[i].node->children == UINT32_MAX) {
			c->changes[i].node = NULL;
			c->changes[i].deleted = true;
		}
}

void ops_fresh(struct coord *c)
{
	for (struct znode *n = c->trash, *next; n; n = next) {
		next = n->chain;
		acl_put(c, n->acl);
		tree_free_node(n);
	}
	for (uint32_t i = 0; i < c->nacl_trash; i++)
		acl_put(c, c->acl_trash[i]);
	c->trash = NULL;
	c->nchanges = c->nops = c->nacl_trash = 0;
	arena_reset(&c->arena);
}
