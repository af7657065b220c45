/*
 * watches.c - which events a ZooKeeper client must be told, from the history of the tree alone (Q11).
 *
 * Each client has a place in the history. An event must be the next one that its watches want there, and an answer
 * that shows zxid Z may come only when nothing up to Z is due any more. So nothing is told twice, early, late, out of
 * order, or not at all. Over a change of connection one-shot watches are set again, with what the client had seen
 * (ClientCnxn: the zxid of the last answer); what happened since must be told before the answer to that; persistent
 * watches miss it, as ZooKeeper's do.
 */
#include "world.h"

#include <string.h>

#include "wire/jute.h"

struct due {				/* an event */
	int64_t zxid;
	int32_t type;
	struct str path;
};

void watch_note(struct world *w, int64_t zxid, const struct coord_change *k)
{
	if (k->what != COORD_CREATE && k->what != COORD_SET && k->what != COORD_DELETE)
		return;
	w->moment = world_room(w->moment, w->nmoments, &w->moment_cap, sizeof *w->moment);
	struct moment *m = &w->moment[w->nmoments++];

	m->zxid = zxid;
	m->what = k->what;
	memcpy(m->path, k->path.p, (size_t)k->path.len < sizeof m->path ? (size_t)k->path.len : sizeof m->path - 1);
}

void watch_begin(struct world *w, struct watches *v, int64_t zxid)
{
	*v = (struct watches){ .at = w->nmoments };
	while (v->at > 0 && w->moment[v->at - 1].zxid > zxid)
		v->at--;
}

static bool at_root(const struct moment *m)
{
	return strchr(m->path + 1, '/') == NULL;
}

/* The node's own event; once: may be NULL for nobody's. */
static bool own_event(struct watches *v, const struct moment *m)
{
	int i = path_of(str_of(m->path));
	uint8_t nobody = 0, *on = i < 0 ? &nobody : &v->on[i];
	uint8_t one_shot = WATCH_DATA | WATCH_EXIST | (m->what == COORD_DELETE ? WATCH_CHILD : 0);
	bool once = *on & one_shot, every = (*on & (WATCH_PERSISTENT | WATCH_RECURSIVE)) ||
		(v->on[WATCH_ROOT] & WATCH_RECURSIVE);

	*on = (uint8_t)(*on & ~one_shot);
	counted[C_z_once] += once;
	counted[C_z_every] += every;
	return once || every;
}

/* The next event that is due for a change up to zxid; false: none. It is dealt with then. */
static bool next(struct world *w, struct watches *v, int64_t zxid, struct due *ret)
{
	static const int32_t types[] = { [COORD_CREATE] = ZK_EVENT_CREATED, [COORD_SET] = ZK_EVENT_DATA,
		[COORD_DELETE] = ZK_EVENT_DELETED };

	while (v->at < w->nmoments && w->moment[v->at].zxid <= zxid) {
		struct moment *m = &w->moment[v->at];

		if (v->step == 0) {
			v->step = 1;
			if (own_event(v, m)) {
				*ret = (struct due){ m->zxid, types[m->what], str_of(m->path) };
				return true;
			}
		}
		v->step = 0;
		v->at++;
		if (m->what == COORD_SET || !at_root(m) || !(v->on[WATCH_ROOT] & (WATCH_CHILD | WATCH_PERSISTENT)))
			continue;
		counted[C_z_once] += (v->on[WATCH_ROOT] & WATCH_CHILD) != 0;
		v->on[WATCH_ROOT] &= (uint8_t)~WATCH_CHILD;
		*ret = (struct due){ m->zxid, ZK_EVENT_CHILDREN, STR("/") };
		return true;
	}
	return false;
}

const char *watch_event(struct world *w, struct watches *v, int64_t zxid, int32_t type, struct str path)
{
	struct due d;

	if (!next(w, v, zxid, &d))
		return "an event that no watch wants, or that was told already";
	if (d.zxid != zxid)
		return "an event, and one before it was left out";
	if (d.type != type || !str_eq(d.path, path))
		return "another event than the one that is due";
	return NULL;
}

const char *watch_shown(struct world *w, struct watches *v, int64_t zxid)
{
	struct due d;

	return next(w, v, zxid, &d) ? "an answer shows a change whose event did not come before it" : NULL;
}

/* ---- after a reconnection ---- */

static bool happened(const struct world *w, const struct watches *v, struct str path, int64_t until)
{
	for (uint64_t i = w->nmoments; i > 0 && w->moment[i - 1].zxid > v->away_zxid; i--) {
		const struct moment *m = &w->moment[i - 1];

		if (m->zxid > until)
			continue;
		if (str_is(path, "/") ? m->what != COORD_SET && at_root(m) : str_is(path, m->path))
			return true;
	}
	return false;
}

const char *watch_caught(struct world *w, struct watches *v, int32_t type, struct str path)
{
	static const uint8_t takes[] = { [ZK_EVENT_CREATED] = WATCH_EXIST,
		[ZK_EVENT_DELETED] = WATCH_DATA | WATCH_CHILD, [ZK_EVENT_DATA] = WATCH_DATA,
		[ZK_EVENT_CHILDREN] = WATCH_CHILD };
	int i = str_is(path, "/") ? (int)WATCH_ROOT : path_of(path);

	if (i < 0 || type < ZK_EVENT_CREATED || type > ZK_EVENT_CHILDREN || !(v->on[i] & takes[type]))
		return "what was missed is told, and no watch wants it";
	if (!happened(w, v, path, INT64_MAX))
		return "something is told that did not happen";
	count(C_z_missed);
	if (type == ZK_EVENT_DELETED && (v->on[i] & WATCH_DATA))
		v->on[i] &= (uint8_t)~WATCH_DATA;	/* once for each table */
	else
		v->on[i] &= (uint8_t)~takes[type];
	return NULL;
}

const char *watch_set_again(struct world *w, struct watches *v, int64_t zxid)
{
	while (v->at < w->nmoments && w->moment[v->at].zxid <= zxid)
		v->at++;
	v->step = 0;
	for (uint32_t i = 0; i <= WATCH_ROOT; i++) {
		uint8_t once = v->on[i] & (WATCH_DATA | WATCH_EXIST | WATCH_CHILD);
		struct version now = i < NAMES ? check_at(w, i, zxid) : (struct version){ .exists = true };
		char name[8] = "/";

		if (!once)
			continue;
		if (i < NAMES)
			path_name(i, name);
		bool changed = happened(w, v, str_of(name), zxid);

		if ((once & WATCH_EXIST) && now.exists)
			return "a node that was made meanwhile is not told";
		if ((once & WATCH_DATA) && i != WATCH_ROOT && (changed || !now.exists))	/* nobody writes to "/" */
			return "a change that was missed is not told";
		/* Of a leaf only its end counts, and that it was made anew. */
		if ((once & WATCH_CHILD) && (i == WATCH_ROOT ? changed : !now.exists))
			return "a change of children that was missed is not told";
		count(C_z_unmoved);
	}
	return NULL;
}
