/*
 * zk_watch.c - watches of this node's connections: two tables as ZooKeeper's, by path; each watch also hangs on its
 * connection. A watch is a set of modes: one-shot, persistent, persistent recursive (data table only).
 */
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "quorum/zk_int.h"

#define BUCKETS_MIN 1024u
#define EVENT_COST 128u			/* of an event, beside its bytes */

struct watch_path {
	struct watch_path *chain;
	struct zk_watch *first;
	uint32_t hash, recursive;	/* watches of mode RECURSIVE on it */
	int32_t len;
	char path[];
};

struct zk_watch {
	struct zk_watch *next, **at;	/* of the path */
	struct zk_watch *c_next, **c_at;	/* of the connection */
	struct watch_table *table;
	struct watch_path *path;
	struct zk_conn *c;
	unsigned modes;
};

struct watch_table {
	struct watch_path **bucket;
	uint32_t bits, paths, recursive;
};

struct watch_table *zk_watch_new(void)
{
	struct watch_table *t = mem_alloc(sizeof *t);

	t->bits = 10;
	t->bucket = mem_alloc(BUCKETS_MIN * sizeof *t->bucket);
	return t;
}

static uint32_t hash_of(struct str s)
{
	uint32_t h = 2166136261u;

	for (int32_t i = 0; i < s.len; i++)
		h = (h ^ (uint8_t)s.p[i]) * 16777619u;
	return h;
}

static struct watch_path **slot(const struct watch_table *t, uint32_t hash)
{
	return &t->bucket[(hash * 2654435769u) >> (32 - t->bits)];
}

static struct watch_path *find(const struct watch_table *t, struct str path)
{
	uint32_t h = hash_of(path);
	struct watch_path *p = *slot(t, h);

	while (p && !(p->hash == h && p->len == path.len && memcmp(p->path, path.p, (size_t)path.len) == 0))
		p = p->chain;
	return p;
}

static void grow(struct watch_table *t)
{
	struct watch_path **old = t->bucket;
	uint32_t n = 1u << t->bits++;

	t->bucket = mem_alloc(sizeof *t->bucket << t->bits);
	for (uint32_t i = 0; i < n; i++)
		for (struct watch_path *p = old[i], *next; p; p = next) {
			struct watch_path **s = slot(t, p->hash);

			next = p->chain;
			p->chain = *s;
			*s = p;
		}
	mem_free(old);
}

static struct watch_path *path_make(struct watch_table *t, struct str path)
{
	struct watch_path *p = find(t, path);

	if (p)
		return p;
	if (t->paths >> t->bits > 1 && t->bits < 24)
		grow(t);
	p = mem_alloc(sizeof *p + (size_t)path.len + 1);
	p->hash = hash_of(path);
	p->len = path.len;
	memcpy(p->path, path.p, (size_t)path.len);
	p->chain = *slot(t, p->hash);
	*slot(t, p->hash) = p;
	t->paths++;
	return p;
}

static void path_done(struct watch_table *t, struct watch_path *p)
{
	struct watch_path **s = slot(t, p->hash);

	if (p->first)
		return;
	while (*s != p)
		s = &(*s)->chain;
	*s = p->chain;
	t->paths--;
	mem_free(p);
}

static bool too_many(uint64_t own, uint64_t all)
{
	return own > ZK_SHARE_MAX || (all > ZK_SHARES_MAX && own > ZK_SHARE_MIN);
}

static uint64_t bytes_of(const struct zk_watch *w)
{
	return sizeof *w + sizeof *w->path + (uint64_t)w->path->len;
}

static struct zk_watch *watch_of(const struct zk_conn *c, const struct watch_path *p)
{
	struct zk_watch *w = p ? p->first : NULL;

	while (w && w->c != c)
		w = w->next;
	return w;
}

/* Takes modes away; the watch goes with its last one. The path stays: path_done() afterwards. */
static void weaken(struct zk_watch *w, unsigned modes)
{
	unsigned gone = w->modes & modes;

	if (gone & ZK_WATCH_RECURSIVE) {
		w->path->recursive--;
		w->table->recursive--;
	}
	w->modes &= ~modes;
	if (w->modes != 0)
		return;
	*w->at = w->next;
	if (w->next)
		w->next->at = w->at;
	*w->c_at = w->c_next;
	if (w->c_next)
		w->c_next->c_at = w->c_at;
	w->c->nwatches--;
	w->c->watch_bytes -= bytes_of(w);
	w->c->z->watch_bytes -= bytes_of(w);
	w->c->z->st.watches--;
	mem_free(w);
}

void zk_watch_add(struct zk_conn *c, struct watch_table *t, struct str path, unsigned mode)
{
	if (path.len < 0 || path.len > COORD_PATH_MAX || c->closed)	/* nothing is ever made at a longer one */
		return;
	struct watch_path *p = path_make(t, path);
	struct zk_watch *w = watch_of(c, p);

	if (!w) {
		w = mem_alloc(sizeof *w);
		w->c = c;
		w->table = t;
		w->path = p;
		w->at = &p->first;
		w->next = p->first;
		if (w->next)
			w->next->at = &w->next;
		p->first = w;
		w->c_at = &c->watches;
		w->c_next = c->watches;
		if (w->c_next)
			w->c_next->c_at = &w->c_next;
		c->watches = w;
		c->nwatches++;
		c->watch_bytes += bytes_of(w);
		c->z->watch_bytes += bytes_of(w);
		c->z->st.watches++;
	}
	if (mode & ~w->modes & ZK_WATCH_RECURSIVE) {
		p->recursive++;
		t->recursive++;
	}
	w->modes |= mode;
	if (too_many(c->watch_bytes, c->z->watch_bytes))
		zk_abort(c);
}

bool zk_watch_has(struct zk_conn *c, struct watch_table *t, struct str path, unsigned modes)
{
	const struct zk_watch *w = watch_of(c, find(t, path));

	return w && (w->modes & modes);
}

bool zk_watch_remove(struct zk_conn *c, struct watch_table *t, struct str path, unsigned modes)
{
	struct watch_path *p = find(t, path);
	struct zk_watch *w = watch_of(c, p);

	if (!w || !(w->modes & modes))
		return false;
	weaken(w, modes);
	path_done(t, p);
	return true;
}

void zk_watch_drop(struct zk_conn *c)
{
	while (c->watches) {
		struct watch_table *t = c->watches->table;
		struct watch_path *p = c->watches->path;

		weaken(c->watches, ZK_WATCH_ANY);
		path_done(t, p);
	}
}

/* ---- events ---- */

void zk_event(struct zk_conn *c, int64_t zxid, enum zk_event type, struct str path)
{
	struct buf b;

	jute_begin_reply(&b, ZK_REPLY_MAX, ZK_XID_EVENT, zxid, 0);
	jute_int(&b, (int32_t)type);
	jute_int(&b, ZK_STATE_CONNECTED);
	jute_str(&b, path);
	c->z->st.watches_fired[type]++;
	c->event_bytes += b.len + EVENT_COST;
	c->z->event_bytes += b.len + EVENT_COST;
	zk_send(c, &b);
	if (too_many(c->event_bytes, c->z->event_bytes))
		zk_abort(c);	/* its client does not read, and is to set its watches again */
}

void zk_events_read(struct zk_conn *c)
{
	c->z->event_bytes -= c->event_bytes;
	c->event_bytes = 0;
}

struct firing {
	struct zk *z;
	int64_t zxid;
	enum zk_event type;
	struct str path;
	const struct coord_acl *acl;
	bool secret;
	uint64_t mark;			/* connections that carry it have heard of this change already */
};

static void tell(const struct firing *f, struct zk_conn *c)
{
	if (c->mark == f->mark && !mutant(TOLD_TWICE))
		return;
	c->mark = f->mark;
	if (f->secret || (!(c->z->conf.rules.flags & COORD_SKIP_ACL) && !coord_allows(f->acl, PERM_READ, zk_ids(c))))
		return;
	zk_event(c, f->zxid, f->type, f->path);
}

/* WatchManager.triggerWatch: who watches the path itself, and who watches a part of the way to it recursively. */
static void fire(struct watch_table *t, const struct firing *f)
{
	struct watch_path *p = find(t, f->path);
	struct str up = f->path;

	if (p) {
		for (struct zk_watch *w = p->first, *next; w; w = next) {
			struct zk_conn *c = w->c;

			next = w->next;
			if (!mutant(WATCH_STAYS))
				weaken(w, ZK_WATCH_ONCE);
			tell(f, c);
		}
		path_done(t, p);
	}
	while (t->recursive > 0 && up.len > 1) {
		while (up.len > 1 && up.p[up.len - 1] != '/')
			up.len--;
		if (up.len > 1)
			up.len--;
		p = find(t, up);
		for (struct zk_watch *w = p && p->recursive > 0 ? p->first : NULL; w; w = w->next)
			if (w->modes & ZK_WATCH_RECURSIVE)
				tell(f, w->c);
	}
}

static struct str parent_of(struct str path)
{
	while (path.len > 0 && path.p[path.len - 1] != '/')
		path.len--;
	return path.len > 1 ? (struct str){ path.p, path.len - 1 } : STR("/");
}

static void change(struct zk *z, int64_t zxid, const struct coord_change *x)
{
	struct firing f = { .z = z, .zxid = zxid, .path = x->path, .acl = x->acl, .secret = x->secret };

	f.mark = ++z->event_mark;

	switch (x->what) {
	case COORD_CREATE:
		f.type = ZK_EVENT_CREATED;
		fire(z->data, &f);
		break;
	case COORD_SET:
		f.type = ZK_EVENT_DATA;
		fire(z->data, &f);
		return;
	case COORD_DELETE:
		f.type = ZK_EVENT_DELETED;
		fire(z->data, &f);
		fire(z->child, &f);		/* with the same mark: who heard of it by data is not told again */
		break;
	case COORD_CHECK: case COORD_SET_ACL: case COORD_REAP: case COORD_FAIL:
		return;
	}
	f.type = ZK_EVENT_CHILDREN;
	f.path = parent_of(x->path);
	f.acl = x->parent_acl;
	f.mark = ++z->event_mark;
	fire(z->child, &f);
}

void zk_watch_fire(struct zk *z, int64_t zxid, const struct coord_change *v, uint32_t n)
{
	if (z->data->paths == 0 && z->child->paths == 0)
		return;
	for (uint32_t i = 0; i < n; i++)
		change(z, zxid, &v[i]);
}

/* ---- for the words ---- */

uint32_t zk_watch_paths(const struct zk *z, uint32_t *ret_conns)
{
	*ret_conns = 0;
	for (const struct zk_conn *c = z->conns; c; c = c->next)
		*ret_conns += c->nwatches > 0;
	return z->data->paths;
}

void zk_watch_each(const struct zk *z, void (*on)(void *ctx, struct str path, const struct zk_conn *c, bool first),
		   void *ctx)
{
	for (uint32_t i = 0; i < 1u << z->data->bits; i++)
		for (const struct watch_path *p = z->data->bucket[i]; p; p = p->chain)
			for (const struct zk_watch *w = p->first; w; w = w->next)
				on(ctx, (struct str){ p->path, p->len }, w->c, w == p->first);
}

void zk_watch_of(const struct zk_conn *c, void (*on)(void *ctx, struct str path), void *ctx)
{
	for (const struct zk_watch *w = c->watches; w; w = w->c_next)
		if (w->table == c->z->data)
			on(ctx, (struct str){ w->path->path, w->path->len });
}
