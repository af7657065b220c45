/* check.c - what was promised. See docs/simulator.md, "the quorum", for the invariants Q1 .. Q10. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "base/be.h"
#include "base/mem.h"

#define TREE_EVERY 37			/* zxids between two looks at a whole tree */

static uint64_t mix(uint64_t h, uint64_t v)
{
	h = (h ^ v) * UINT64_C(0x9E3779B97F4A7C15);
	return h ^ h >> 31;
}

static uint64_t mix_bytes(uint64_t h, const void *p, size_t n)
{
	const uint8_t *b = p;

	for (; n >= 8; n -= 8, b += 8)
		h = mix(h, be64_get(b));
	for (; n > 0; n--)
		h = mix(h, *b++);
	return h;
}

void check_free(struct world *w)
{
	for (uint32_t i = 0; i < NAMES; i++)
		mem_free(w->path[i].v);
	mem_free(w->moment);
	mem_free(w->log);
	mem_free(w->term_at);
	mem_free(w->leader_of);
	mem_free(w->tags);
	mem_free(w->sessions);
	while (w->flights) {
		struct flight *f = w->flights;

		w->flights = f->next;
		sim_cancel(&w->sim, &f->event);
		mem_free(f);
	}
}

/* ---- the log: Q1, Q2, Q3 ---- */

static void check_leader(struct machine *m)
{
	struct world *w = m->w;
	const struct raft *r = &m->node->raft;

	if (r->role != RAFT_LEADER)
		return;
	while (w->terms <= r->term) {
		w->leader_of = world_room(w->leader_of, w->terms, &w->term_cap, sizeof *w->leader_of);
		w->terms++;
	}
	if (w->leader_of[r->term] == 0) {
		count(C_lead);
		w->leader_of[r->term] = r->id;
	}
	if (w->leader_of[r->term] != r->id)
		broken(w, "Q1", "two leaders in term %llu, the second n%u", (unsigned long long)r->term, m->id);
}

static void check_commit(struct machine *m)
{
	struct world *w = m->w;
	const struct raft *r = &m->node->raft;

	if (r->commit < m->commit)
		broken(w, "Q2", "n%u: commit went back from %llu to %llu", m->id, (unsigned long long)m->commit,
		       (unsigned long long)r->commit);
	for (uint64_t i = m->commit + 1; i <= r->commit; i++) {
		uint64_t term = raft_term_of(r, i);

		while (i >= w->term_at_cap)
			w->term_at = world_room(w->term_at, w->term_at_cap, &w->term_at_cap, sizeof *w->term_at);
		if (term == 0)
			continue;		/* in a snapshot */
		if (w->term_at[i] == 0)
			w->term_at[i] = term;
		if (w->term_at[i] != term)
			broken(w, "Q2", "n%u: entry %llu committed of term %llu, elsewhere of %llu", m->id,
			       (unsigned long long)i, (unsigned long long)term, (unsigned long long)w->term_at[i]);
	}
	m->commit = r->commit;
	if (r->commit > w->committed)
		w->committed = r->commit;
}

void check_event(struct machine *m)
{
	if (!m->node)
		return;
	check_leader(m);
	check_commit(m);
}

/* Whoever serves has all that was committed before its term. */
void check_leads(struct machine *m)
{
	struct world *w = m->w;
	const struct raft *r = &m->node->raft;

	for (uint64_t i = r->base + 1; i <= w->committed && i < w->term_at_cap; i++)
		if (w->term_at[i] != 0 && w->term_at[i] < r->term &&
		    (i > r->last || raft_term_of(r, i) != w->term_at[i]))
			broken(w, "Q3", "n%u leads term %llu without entry %llu of term %llu", m->id,
			       (unsigned long long)r->term, (unsigned long long)i, (unsigned long long)w->term_at[i]);
}

/* ---- the tree: Q4, Q8 ---- */

static struct applied *find(struct world *w, int64_t zxid)
{
	uint64_t lo = 0, hi = w->nlog;

	while (lo < hi) {
		uint64_t mid = (lo + hi) / 2;

		if (w->log[mid].zxid < zxid)
			lo = mid + 1;
		else
			hi = mid;
	}
	return lo < w->nlog && w->log[lo].zxid == zxid ? &w->log[lo] : NULL;
}

static void at_state(struct machine *m, const char *where)
{
	int64_t zxid = coord_zxid(node_coord(m->node));
	struct applied *a = find(m->w, zxid);

	m->last_zxid = zxid;
	m->chain = a ? a->chain : 0;
	if (zxid > 0 && !a)
		broken(m->w, "Q4", "n%u: %s of zxid %lld, which nobody applied", m->id, where, (long long)zxid);
	int64_t time = coord_time_ms(node_coord(m->node));

	if (a && time != a->time_ms)
		broken(m->w, "Q4", "n%u: %s of zxid %lld has the time %lld, it was %lld", m->id, where, (long long)zxid,
		       (long long)time, (long long)a->time_ms);
}

static uint64_t hash_tree(struct machine *m)
{
	struct coord *c = node_coord(m->node);
	const struct znode *top = coord_find(c, STR("/"));
	struct buf b;

	for (const struct znode *n = top; n; n = coord_next(top, n))
		if (coord_owner(n) != 0 && !coord_session(c, coord_owner(n)))
			broken(m->w, "Q8", "n%u: an ephemeral node without its session", m->id);
	buf_init(&b, UINT32_MAX);
	coord_save(c, &b);
	uint64_t h = mix_bytes(1, b.p, b.len);
	buf_release(&b);
	return h ? h : 1;
}

static void check_tree(struct machine *m, struct applied *a)
{
	uint64_t h = hash_tree(m);

	if (a->tree == 0)
		a->tree = h;
	if (a->tree != h)
		broken(m->w, "Q4", "n%u: another tree at zxid %lld", m->id, (long long)a->zxid);
}

void check_started(struct machine *m)
{
	struct applied *a;

	m->commit = m->node->raft.commit;
	at_state(m, "a snapshot");
	a = find(m->w, m->last_zxid);
	if (a && a->tree)
		check_tree(m, a);
}

void check_reset(struct machine *m)
{
	struct applied *a;

	count(C_reset);
	nemesis_reset(m);
	at_state(m, "an image");
	a = find(m->w, m->last_zxid);
	if (a && a->tree)
		check_tree(m, a);
}

int path_of(struct str s)
{
	if (s.len != 3 && s.len != 2)
		return -1;
	if (s.p[1] == 'p' && s.len == 3)
		return s.p[2] - '0';
	return s.p[1] == 'e' && s.len == 3 ? PATHS + s.p[2] - '0' : -1;
}

uint64_t check_tag(const uint8_t *value, int32_t len)
{
	return len == 8 ? be64_get(value) : 0;
}

static uint64_t tag_of(const struct znode *n)
{
	return n ? check_tag(n->value, n->value_len) : 0;
}

static void note_tag(struct world *w, uint64_t tag, uint64_t *last)
{
	if (tag == 0 || tag == *last || tag > w->ntags)
		return;
	*last = tag;
	if (++w->tags[tag].applied > 1)
		broken(w, "Q5", "operation %llu was applied twice", (unsigned long long)tag);
	if (w->tags[tag].no)
		broken(w, "Q5", "operation %llu was refused for good, and then applied", (unsigned long long)tag);
	counted[C_unsure_was] += w->tags[tag].unsure;
}

/* The first node that applies an entry tells what it did; what others say is compared by hash. */
static void note_changes(struct world *w, int64_t zxid, const struct coord_result *r)
{
	uint64_t last = 0;

	for (uint32_t i = 0; i < r->nchanges; i++) {
		const struct coord_change *k = &r->changes[i];
		int p = path_of(k->path);

		if (zookeeper)
			watch_note(w, zxid, k);
		if (k->what == COORD_CREATE || k->what == COORD_SET)
			note_tag(w, tag_of(k->node), &last);
		if (p < 0)
			continue;
		struct history *h = &w->path[p];
		if (h->n > 0 && h->v[h->n - 1].zxid == zxid)
			h->n--;			/* several steps of one batch */
		h->v = world_room(h->v, h->n, &h->cap, sizeof *h->v);
		h->v[h->n++] = (struct version){ .zxid = zxid, .exists = k->node != NULL,
			.version = k->node ? k->node->version : 0, .tag = tag_of(k->node), .owner = k->node
				? coord_owner(k->node) : 0, .system = k->node && k->node->system };
	}
}

struct session *check_session(struct world *w, int64_t id)
{
	for (uint64_t i = w->nsessions; i > 0; i--)
		if (w->sessions[i - 1].id == id)
			return &w->sessions[i - 1];
	return NULL;
}

/* Q7: a session ends because its client wants it, or when its leader had not heard of it for all its timeout. */
static void note_end(struct machine *m, struct session *s)
{
	struct world *w = m->w;
	uint64_t term = raft_term_of(&m->node->raft, m->node->applied);

	s->gone = true;
	s->gone_us = w->sim.now_us;
	count(s->asked ? C_close : C_expire);
	for (uint32_t i = 0; i < MACHINES && !s->asked; i++) {
		struct clock *clock = &w->m[i].host->clock;
		uint64_t us = clock->mono_us(clock) - s->touch[i].mono_us;

		if (term != 0 && s->touch[i].term == term && us < s->timeout_ms * 1000ull)
			broken(w, "Q7",
				"session %llx of %u ms ended %llu us after n%u, leader of term %llu, had heard of it",
			       (unsigned long long)s->id, s->timeout_ms, (unsigned long long)us, i,
			(unsigned long long)term);
	}
}

static void note_sessions(struct machine *m, const struct coord_result *r)
{
	struct world *w = m->w;
	struct session *s = check_session(w, r->session);

	if (r->kind == COORD_OPEN && r->err == OK) {
		const struct coord_session *x = coord_session(node_coord(m->node), r->session);

		count(C_open);
		if (s)
			broken(w, "Q7", "session %llx was opened twice", (unsigned long long)r->session);
		w->sessions = world_room(w->sessions, w->nsessions, &w->sessions_cap, sizeof *w->sessions);
		w->sessions[w->nsessions++] = (struct session){ .id = r->session, .timeout_ms = x ? x->timeout_ms : 0,
			.touched_us = w->sim.now_us };
	} else if (r->kind == COORD_CLOSE && s && r->err == OK && !s->gone) {
		note_end(m, s);
	}
}

static uint64_t hash_result(struct machine *m, int64_t zxid, const struct coord_result *r)
{
	uint64_t h = mix(mix(mix(7, (uint64_t)zxid), (uint64_t)r->kind), (uint64_t)(int64_t)r->err);

	h = mix(mix(h, (uint64_t)r->session), (uint64_t)coord_time_ms(node_coord(m->node)));
	for (uint32_t i = 0; i < r->nchanges; i++) {
		const struct coord_change *k = &r->changes[i];

		h = mix_bytes(mix(h, k->deleted), k->path.p, (size_t)k->path.len);
		if (k->node)
			h = mix_bytes(mix(mix(h, (uint64_t)(int64_t)k->node->version), (uint64_t)coord_owner(k->node)),
				      k->node->value, k->node->value_len > 0 ? (size_t)k->node->value_len : 0);
	}
	return h;
}

void check_applied(struct machine *m, int64_t zxid, const struct coord_result *r)
{
	struct world *w = m->w;
	int64_t newest = w->nlog > 0 ? w->log[w->nlog - 1].zxid : 0, time = coord_time_ms(node_coord(m->node));
	struct applied *a;

	if (zxid <= m->last_zxid)
		broken(w, "Q4", "n%u: zxid %lld after %lld", m->id, (long long)zxid, (long long)m->last_zxid);
	m->chain = mix(m->chain, hash_result(m, zxid, r));
	if (zxid > newest) {
		if (m->last_zxid != newest)
			broken(w, "Q4", "n%u: zxid %lld follows %lld, %lld was left out", m->id, (long long)zxid,
			       (long long)m->last_zxid, (long long)newest);
		w->log = world_room(w->log, w->nlog, &w->log_cap, sizeof *w->log);
		w->log[w->nlog++] = (struct applied){ .zxid = zxid, .chain = m->chain, .time_ms = time };
		note_sessions(m, r);
		note_changes(w, zxid, r);
		if (time < w->time_ms)
			broken(w, "Q4", "n%u: the tree's clock goes back from %lld to %lld", m->id,
				(long long)w->time_ms,
			       (long long)time);
		w->time_ms = time;
	}
	m->last_zxid = zxid;
	a = find(w, zxid);
	if (!a || a->chain != m->chain)
		broken(w, "Q4", "n%u: zxid %lld is another entry than elsewhere, or did something else", m->id,
		       (long long)zxid);
	else if (zxid % TREE_EVERY == 0)
		check_tree(m, a);
}

/* ---- operations: Q5, Q6 ---- */

struct version check_at(const struct world *w, uint32_t path, int64_t zxid)
{
	const struct history *h = &w->path[path];
	struct version none = { 0 };

	for (uint64_t i = h->n; i > 0; i--)
		if (h->v[i - 1].zxid <= zxid)
			return h->v[i - 1];
	return none;
}

/* What one step does to the paths as they are; false: it must fail. Written from ZooKeeper's rules, apart from
 * the tree's code. */
static bool spec_step(struct version *now, const struct op *op, const struct step *s)
{
	struct version *v = &now[s->path];

	if (s->kind == COORD_CREATE) {
		if (v->exists)
			return false;
		*v = (struct version){ .exists = true, .tag = op->tag, .owner = s->ephemeral ? op->session : 0,
			.system = !op->front };
		return true;
	}
	if (!v->exists || (s->version != -1 && s->version != v->version))
		return false;
	if (op->front && v->system && s->kind != COORD_CHECK)
		return false;
	if (s->kind == COORD_DELETE)
		*v = (struct version){ 0 };
	if (s->kind == COORD_SET) {
		v->version++;
		v->tag = op->tag;
	}
	return true;
}

void check_steps(struct world *w, const struct op *op, int64_t zxid, bool said_ok)
{
	struct version now[NAMES];
	bool ok = true;

	for (uint32_t i = 0; i < NAMES; i++)
		now[i] = check_at(w, i, zxid - 1);
	for (uint32_t i = 0; i < op->nsteps && ok; i++)
		ok = spec_step(now, op, &op->step[i]);
	if (ok != said_ok)
		broken(w, "Q6", "operation %llu at zxid %lld: %s, it must %s", (unsigned long long)op->tag,
		       (long long)zxid, said_ok ? "success" : "refused", ok ? "succeed" : "fail");
	for (uint32_t i = 0; i < NAMES; i++) {
		struct version is = check_at(w, i, zxid), must_be = ok ? now[i] : check_at(w, i, zxid - 1);

		if (is.exists != must_be.exists || (is.exists && (is.version != must_be.version ||
			is.tag != must_be.tag)))
			broken(w, "Q6", "operation %llu at zxid %lld left path %u with version %d",
				(unsigned long long)op->tag,
			       (long long)zxid, i, is.version);
	}
}

static void check_batch(struct flight *f, int64_t zxid, const struct coord_result *r)
{
	struct world *w = f->w;

	if (r->err == E_CLOSED || (r->err && f->op.session && !coord_session(node_coord(w->m[f->at].node),
		f->op.session)))
		return;			/* its session is over: nothing else is judged */
	check_steps(w, &f->op, zxid, r->err == OK);
	count(r->err == OK ? f->op.nsteps > 1 ? C_multi : C_write : C_cond);
}

void check_acked(struct world *w, const struct op *op, int64_t zxid)
{
	if (!find(w, zxid))
		broken(w, "Q5", "operation %llu was acknowledged at zxid %lld, which nobody applied",
		       (unsigned long long)op->tag, (long long)zxid);
	if (zxid <= op->floor)
		broken(w, "Q6",
			"operation %llu took effect at zxid %lld, before %lld, which was acknowledged before it began",
		       (unsigned long long)op->tag, (long long)zxid, (long long)op->floor);
	if (zxid > w->acked)
		w->acked = zxid;
}

void check_write(struct flight *f, int64_t zxid, const struct coord_result *r)
{
	check_acked(f->w, &f->op, zxid);
	if (f->op.what == OP_WRITE && !f->op.sequence)
		check_batch(f, zxid, r);
}

void check_read(struct flight *f, bool barrier)
{
	struct world *w = f->w;
	struct coord *c = node_coord(w->m[f->at].node);
	int64_t zxid = coord_zxid(c);
	char name[8];

	path_name(f->op.step[0].path, name);
	const struct znode *n = coord_find(c, str_of(name));
	struct version v = check_at(w, f->op.step[0].path, zxid);

	if (barrier && zxid < f->op.floor)
		broken(w, "Q6", "a read on n%u saw zxid %lld, after %lld had been acknowledged", f->at, (long long)zxid,
		       (long long)f->op.floor);
	if ((n != NULL) != v.exists || (n && (n->version != v.version || tag_of(n) != v.tag)))
		broken(w, "Q6", "a read on n%u saw %s with version %d at zxid %lld, it was %d", f->at, name,
		       n ? n->version : -1, (long long)zxid, v.exists ? v.version : -1);
	if (barrier && zxid > w->acked)
		w->acked = zxid;		/* who reads later may not see less */
}

void check_told(struct world *w, uint64_t tag, int err)
{
	struct tagged *t = &w->tags[tag];

	if (err == E_UNSURE) {
		count(C_unsure);
		t->unsure = true;
		counted[C_unsure_was] += t->applied > 0;
		return;
	}
	count(err == E_NOSPC ? C_nospc : C_again);
	t->no = true;
	if (t->applied > 0)
		broken(w, "Q5", "operation %llu was applied, and then refused for good", (unsigned long long)tag);
}

/* ---- the end: Q9, Q10 ---- */

void check_end(struct world *w)
{
	struct machine *l = leader(w);
	struct node_role role;

	world_tell(w);
	nemesis_look(w);
	if (!l) {
		broken(w, "Q10", "nobody leads");
		return;
	}
	node_role(l->node, &role);
	for (uint32_t i = 0; i < CLIENTS; i++)
		if (w->client[i].acks < 2 && !w->client[i].silent)
			broken(w, "Q10", "client %u is not served", i);
	zclients_end(w);
	bool meant = false;		/* an order to remove it may have been under way when its disk was lost */

	for (uint32_t i = 0; i < role.nmembers; i++) {
		struct machine *m = &w->m[role.members[i].id];

		meant |= w->lost == (int)role.members[i].id;
		if (role.members[i].learner && raft_config(&l->node->raft)->index + 100 > l->node->applied)
			continue;		/* perhaps it was added a moment ago */
		if (m->node && m->node->raft.id == role.members[i].disk_id && m->node->applied + 100 < l->node->applied)
			broken(w, "Q10", "n%u is at %llu, the leader at %llu", m->id,
				(unsigned long long)m->node->applied,
			       (unsigned long long)l->node->applied);
	}
	if (meant)
		broken(w, "Q10", "n%d, whose disk was lost, is not a voter again", w->lost);
	for (uint64_t i = 0; i < w->nsessions; i++)
		if (!w->sessions[i].gone && w->sim.now_us - w->sessions[i].touched_us >
		    2 * w->sessions[i].timeout_ms * 1000ull + 2000000)
			broken(w, "Q7", "session %llx never ends", (unsigned long long)w->sessions[i].id);
}
