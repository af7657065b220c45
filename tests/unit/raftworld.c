/* raftworld.c - see raftworld.h. */
#include "raftworld.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"

#define ENTRY_BYTES 10000u
#define IMAGE_PATIENCE_MS 500u

const char *rw_role(enum raft_role r)
{
	static const char *const names[] = { "follower", "precandidate", "candidate", "leader" };

	return names[r];
}

static void say(struct rw *w, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

static void say(struct rw *w, const char *fmt, ...)
{
	char line[256];
	va_list ap;

	if (!w->trace)
		return;
	va_start(ap, fmt);
	vsnprintf(line, sizeof line, fmt, ap);
	va_end(ap);
	w->trace(w->user, line);
}

static void broken(struct rw *w, uint32_t i, const char *what)
{
	if (w->broken++ == 0)
		w->what = what;
	if (w->quiet)
		return;
	fprintf(stderr, "at %llu ms node %u: %s\n", (unsigned long long)w->now, i + 1, what);
}

static uint32_t fit(const struct raft_store *s, uint64_t index, uint32_t n, uint32_t max_bytes, uint32_t *ret_bytes)
{
	const struct rw_node *me = (const struct rw_node *)((const char *)s - offsetof(struct rw_node, store));

	if (me->upto > 0 && index + n > me->upto + 1)
		n = me->upto >= index ? (uint32_t)(me->upto + 1 - index) : 0;
	if (n > max_bytes / ENTRY_BYTES)
		n = max_bytes / ENTRY_BYTES;
	*ret_bytes = n * ENTRY_BYTES;
	return n;
}

static int place(const struct rw *w, uint64_t id)
{
	for (uint32_t i = 0; i < w->n; i++)
		if (w->node[i].r.id == id)
			return (int)i;
	return -1;
}

/* ---- the network ---- */

static void put_on_wire(struct rw *w, uint32_t from, uint32_t to, const struct raft_msg *m)
{
	struct rw_node *s = &w->node[from];

	for (int i = 0; i < RW_WIRE; i++) {
		struct rw_packet *p = &w->wire[i];

		if (p->used)
			continue;
		p->used = true;
		p->late = false;
		p->m = *m;
		p->at_ms = w->now + 1 + rng_below(&w->rng, w->wild && rng_below(&w->rng, 10) == 0 ? 200 : w->delay_ms);
		for (uint32_t k = 0; m->type == RAFT_APPEND && k < m->n; k++)
			p->v[k] = s->log[m->index + 1 + k];
		if (m->type == RAFT_SNAPSHOT)
			p->config = *raft_config_at(&s->r, m->index);
		(void)to;
		return;
	}
}

static void send(struct rw *w, uint32_t from, const struct raft_msg *m)
{
	int to = place(w, m->to);

	if (to < 0)
		return;
	for (uint32_t copies = 1 + (rng_below(&w->rng, 100) < w->doubled); copies > 0; copies--)
		if (rng_below(&w->rng, 100) >= w->loss)
			put_on_wire(w, from, (uint32_t)to, m);
}

/* ---- steps ---- */

static void check_commit(struct rw *w, uint32_t i, uint64_t to)
{
	struct rw_node *s = &w->node[i];

	for (; s->commit < to; s->commit++) {		/* state machine safety */
		uint64_t at = s->commit + 1;

		if (at <= s->base)
			continue;
		if (at > s->last)
			broken(w, i, "state machine safety: commits what it does not have");
		if (w->committed[at].term != 0 && w->committed[at].term != s->log[at].term)
			broken(w, i, "state machine safety: a committed entry differs");
		w->committed[at] = s->log[at];
		w->max_commit = at > w->max_commit ? at : w->max_commit;
	}
}

static void check_leader(struct rw *w, uint32_t i)
{
	struct rw_node *s = &w->node[i];

	w->elections++;
	if (s->r.term >= 4096)
		return;
	if (w->leader_of[s->r.term] != 0 && w->leader_of[s->r.term] != s->r.id)
		broken(w, i, "R1: two leaders in a term");
	w->leader_of[s->r.term] = s->r.id;
	for (uint64_t k = s->base + 1; k <= w->max_commit; k++)		/* leader completeness */
		if (k > s->last || s->log[k].term != w->committed[k].term) {
			broken(w, i, "leader completeness: leads without a committed entry");
			break;
		}
}

/* A read sees all that was committed to anybody when it was asked for. */
static void check_read(struct rw *w, uint32_t i, uint64_t confirmed)
{
	struct rw_node *s = &w->node[i];

	if (confirmed > 0)
		s->passed_round = confirmed;
	if (s->r.role != RAFT_LEADER)
		s->read.round = 0;
	if (s->read.round == 0 || confirmed < s->read.round)
		return;
	s->read.round = 0;
	say(w, "%u read passes at %llu", i + 1, (unsigned long long)s->read.index);
	if (s->read.index < s->read.floor)
		broken(w, i, "R10: a read passes that does not see what was committed before it");
}

static void do_append(struct rw *w, uint32_t i, const struct raft_effects *fx)
{
	struct rw_node *s = &w->node[i];

	for (uint32_t k = 0; k < fx->nappend; k++) {
		const struct raft_entry *e = &fx->append[k];

		if (e->index != s->last + 1 || s->last + 1 >= RW_LOG) {
			broken(w, i, "an append leaves a gap");
			return;
		}
		s->log[++s->last] = (struct rw_entry){ .term = e->term, .type = e->type };
		if (e->config)
			s->log[s->last].config = *e->config;
	}
}

int rw_step(struct rw *w, uint32_t i, struct raft_event ev, struct raft_effects *ret)
{
	struct rw_node *s = &w->node[i];
	struct raft_effects mine, *fx = ret ? ret : &mine;
	enum raft_role role = s->r.role;
	uint64_t term = s->r.term, leader = s->r.leader;

	ev.now_ms = w->now;
	w->steps++;
	int err = raft_step(&s->r, &ev, fx);
	if (err) {
		w->damaged += err == E_DAMAGED;
		return err;
	}
	if (fx->persist) {			/* R2: before any message */
		s->term_on_disk = s->r.term;
		s->vote_on_disk = s->r.voted_for;
		s->recovering_on_disk = s->r.recovering;
	} else if (s->term_on_disk != s->r.term || s->vote_on_disk != s->r.voted_for) {
		broken(w, i, "R2: term or vote changed and is not to be made durable");
	}
	if (fx->truncate_from > 0) {
		w->truncated++;
		s->last = fx->truncate_from - 1;
		s->durable = s->durable < s->last ? s->durable : s->last;
	}
	do_append(w, i, fx);
	if (s->r.role != role || s->r.term != term || s->r.leader != leader) {
		int l = place(w, s->r.leader);
		char who[16] = "none";

		if (l >= 0)
			snprintf(who, sizeof who, "%d", l + 1);
		say(w, "%u %s -> %s term %llu leader %s", i + 1, rw_role(role), rw_role(s->r.role),
		    (unsigned long long)s->r.term, who);
	}
	if (fx->config_changed) {
		const struct raft_config *c = raft_config(&s->r);
		char text[128] = "";
		size_t at = 0;

		for (uint32_t k = 0; k < c->n; k++)
			at += (size_t)snprintf(text + at, sizeof text - at, " %u%s%s%s", c->m[k].node,
					       c->m[k].flags & RAFT_VOTER ? "v" : "", c->m[k].flags & RAFT_OLD
					       	? "o" : "",
					       c->m[k].flags & RAFT_LEARNER ? "l" : "");
		say(w, "%u members%s", i + 1, text);
	}
	if (s->r.role == RAFT_LEADER && (role != RAFT_LEADER || term != s->r.term))
		check_leader(w, i);
	for (uint32_t k = 0; k < fx->nmsgs; k++) {
		w->handed_over += fx->msgs[k].type == RAFT_TIMEOUT_NOW;
		send(w, i, &fx->msgs[k]);
	}
	check_commit(w, i, fx->commit);
	check_read(w, i, fx->round_confirmed);
	s->at_ms = fx->next_timeout_ms;
	for (uint32_t k = 0; k < fx->nfetch; k++)
		(void)rw_step(w, i, (struct raft_event){ .type = RAFT_EV_FETCHED, .peer = fx->fetch[k].peer }, NULL);
	return OK;
}

static void flush(struct rw *w, uint32_t i)
{
	struct raft_effects fx;

	do
		if (rw_step(w, i, (struct raft_event){ .type = RAFT_EV_FLUSH }, &fx) != OK)
			return;
	while (fx.more);
}

static void deliver(struct rw *w, struct rw_packet *p)
{
	static struct raft_entry v[RAFT_BATCH_MAX];
	int from = place(w, p->m.from), to = place(w, p->m.to);
	struct raft_event ev = { .type = RAFT_EV_MSG, .msg = p->m };

	if (to < 0 || !w->node[to].alive || (from >= 0 && w->cut[from][to]))
		return;
	struct rw_node *s = &w->node[to];

	for (uint32_t k = 0; p->m.type == RAFT_APPEND && k < p->m.n; k++)
		v[k] = (struct raft_entry){ p->m.index + 1 + k, p->v[k].term, p->v[k].type, NULL,
					    p->v[k].type == RAFT_CONFIG ? &p->v[k].config : NULL };
	ev.msg.entries = v;
	if (rw_step(w, (uint32_t)to, ev, NULL) != OK)
		return;
	if (p->m.type != RAFT_SNAPSHOT || p->m.index <= s->r.commit || s->r.leader != p->m.from)
		return;
	w->images++;
	for (uint64_t k = 1; k <= p->m.index; k++)
		s->log[k] = w->committed[k];
	s->base = s->last = s->durable = s->commit = p->m.index;
	s->base_config = p->config;
	(void)rw_step(w, (uint32_t)to, (struct raft_event){ .type = RAFT_EV_INSTALLED, .index = p->m.index,
		.term = p->m.index_term, .config = &p->config }, NULL);
}

static bool on_wire(const struct rw *w, enum raft_msg_type type, uint64_t from, uint64_t to)
{
	for (int i = 0; i < RW_WIRE; i++)
		if (w->wire[i].used && w->wire[i].m.type == type && w->wire[i].m.from == from &&
		    w->wire[i].m.to == to)
			return true;
	return false;
}

/* An image that was lost is noticed by who sends it, as quorum/ship.c does. */
static void images_again(struct rw *w, uint32_t i)
{
	struct raft *r = &w->node[i].r;

	for (uint32_t k = 0; r->role == RAFT_LEADER && k < raft_config(r)->n; k++)
		if (r->peer[k].pace == RAFT_IMAGE && !on_wire(w, RAFT_SNAPSHOT, r->id, r->peer[k].id))
			(void)rw_step(w, i, (struct raft_event){ .type = RAFT_EV_IMAGE_FAILED,
				.peer = r->peer[k].id }, NULL);
}

void rw_tick(struct rw *w)
{
	w->now++;
	for (uint32_t i = 0; i < w->n; i++) {
		struct rw_node *s = &w->node[i];

		if (s->alive && !s->paused && w->now >= s->at_ms)
			(void)rw_step(w, i, (struct raft_event){ .type = RAFT_EV_TIMEOUT }, NULL);
	}
	for (int i = 0; i < RW_WIRE; i++) {
		struct rw_packet *p = &w->wire[i];
		int to = p->used ? place(w, p->m.to) : -1, from = p->used ? place(w, p->m.from) : -1;

		if (!p->used || p->late || p->at_ms > w->now || (to >= 0 && w->node[to].paused) ||
		    (to >= 0 && from >= 0 && w->held[from][to]))
			continue;
		p->used = false;
		deliver(w, p);
	}
	for (uint32_t i = 0; i < w->n; i++) {
		struct rw_node *s = &w->node[i];

		if (!s->alive || s->paused)
			continue;
		if (!s->stalled && s->durable < s->last && rng_below(&w->rng, w->sync_chance) == 0) {
			s->durable = s->last;
			(void)rw_step(w, i, (struct raft_event){ .type = RAFT_EV_DURABLE, .index = s->last,
				.term = s->log[s->last].term }, NULL);
		}
		if (w->now % IMAGE_PATIENCE_MS == 0)
			images_again(w, i);
		flush(w, i);
	}
}

void rw_run(struct rw *w, uint32_t ms)
{
	while (ms-- > 0)
		rw_tick(w);
}

/* ---- lives ---- */

void rw_crash(struct rw *w, uint32_t i)
{
	struct rw_node *s = &w->node[i];

	if (!s->alive)
		return;
	s->alive = s->stalled = s->paused = false;
	s->last = s->durable;
	s->sync.index = s->read.round = 0;
	raft_release(&s->r);
}

void rw_start(struct rw *w, uint32_t i)
{
	struct rw_node *s = &w->node[i];
	struct raft_options opt = { .beat_ms = RAFT_BEAT_MS, .elect_ms = RAFT_ELECT_MS, .seed = rng_next(&w->rng),
				    .store = &s->store };

	s->store.fit = fit;
	raft_init(&s->r, s->r.id, &opt);
	raft_restore(&s->r, s->term_on_disk, s->vote_on_disk, s->base, s->base > 0 ? s->log[s->base].term : 0,
		&s->base_config);
	s->r.recovering = s->recovering_on_disk;
	for (uint64_t k = s->base + 1; k <= s->last; k++)
		raft_restore_entry(&s->r, &(struct raft_entry){ k, s->log[k].term, s->log[k].type, NULL,
			s->log[k].type == RAFT_CONFIG ? &s->log[k].config : NULL });
	s->commit = s->base;
	s->at_ms = w->now + rng_below(&w->rng, 20);
	s->alive = true;
}

void rw_wipe(struct rw *w, uint32_t i, uint32_t as)
{
	struct rw_node *s = &w->node[i];

	rw_crash(w, i);
	memset(s, 0, sizeof *s);
	s->r.id = as;
	rw_start(w, i);
}

struct rw *rw_new(uint32_t voters, uint32_t nodes, uint64_t seed)
{
	struct rw *w = mem_alloc(sizeof *w);
	struct raft_config c = { .n = voters };

	w->n = nodes;
	w->delay_ms = 1;
	w->sync_chance = 1;
	rng_init(&w->rng, seed);
	for (uint32_t i = 0; i < voters; i++)
		c.m[i] = (struct raft_member){ i + 1, i + 1, RAFT_VOTER };
	for (uint32_t i = 0; i < nodes; i++) {
		w->node[i].r.id = i + 1;
		rw_start(w, i);
	}
	struct raft_entry e = { 0 };

	if (voters > 0 && rw_step(w, 0, (struct raft_event){ .type = RAFT_EV_BOOTSTRAP, .config = &c,
		.entries = &e }, NULL) != OK)
		broken(w, 0, "no bootstrap");
	return w;
}

void rw_free(struct rw *w)
{
	for (uint32_t i = 0; i < w->n; i++)
		raft_release(&w->node[i].r);
	mem_free(w);
}

/* ---- a step of somebody ---- */

void rw_elect(struct rw *w, uint32_t i)
{
	struct rw_node *s = &w->node[i];

	(void)rw_step(w, i, (struct raft_event){ .type = RAFT_EV_MSG, .msg = { .type = RAFT_TIMEOUT_NOW,
		.from = w->node[(i + 1) % w->n].r.id, .to = s->r.id, .term = s->r.term } }, NULL);
}

void rw_sync(struct rw *w, uint32_t i)
{
	struct rw_node *s = &w->node[i];

	s->sync.index = s->last;
	s->sync.term = s->log[s->last].term;
}

void rw_synced(struct rw *w, uint32_t i)
{
	struct rw_node *s = &w->node[i];
	uint64_t index = s->sync.index, term = s->sync.term;

	s->sync.index = 0;
	if (index == 0)
		return;
	if (index <= s->last && s->log[index].term == term && index > s->durable)
		s->durable = index;
	(void)rw_step(w, i, (struct raft_event){ .type = RAFT_EV_DURABLE, .index = index, .term = term }, NULL);
}

static bool between(const struct rw *w, const struct rw_packet *p, uint32_t i, uint32_t k)
{
	return p->used && p->m.from == w->node[i].r.id && p->m.to == w->node[k].r.id;
}

void rw_double(struct rw *w, uint32_t i, uint32_t k)
{
	int to = 0;

	for (int from = 0; from < RW_WIRE; from++) {
		if (!between(w, &w->wire[from], i, k) || w->wire[from].late)
			continue;
		while (to < RW_WIRE && w->wire[to].used)
			to++;
		if (to == RW_WIRE)
			return;
		w->wire[to] = w->wire[from];
		w->wire[to].late = true;
	}
}

void rw_late(struct rw *w, uint32_t i, uint32_t k)
{
	for (int p = 0; p < RW_WIRE; p++) {
		if (!between(w, &w->wire[p], i, k) || !w->wire[p].late)
			continue;
		w->wire[p].used = false;
		deliver(w, &w->wire[p]);
	}
}

/* ---- requests ---- */

int rw_read(struct rw *w, uint32_t i)
{
	struct rw_node *s = &w->node[i];
	struct raft_effects fx;
	int err = rw_step(w, i, (struct raft_event){ .type = RAFT_EV_READ }, &fx);

	if (err)
		return err;
	s->read.round = fx.read_round;
	s->read.index = s->r.commit;
	s->read.floor = w->max_commit;
	return OK;
}

int rw_propose(struct rw *w, uint32_t i, uint32_t count)
{
	int err = OK;

	while (count-- > 0 && !err && w->node[i].last < RW_LOG - 50) {
		struct raft_entry e = { .type = RAFT_DATA };

		err = rw_step(w, i, (struct raft_event){ .type = RAFT_EV_PROPOSE, .entries = &e, .n = 1 }, NULL);
	}
	return err;
}

int rw_change(struct rw *w, uint32_t i, const struct raft_config *c)
{
	struct raft_entry e = { .type = RAFT_CONFIG, .config = c };

	return rw_step(w, i, (struct raft_event){ .type = RAFT_EV_PROPOSE, .entries = &e, .n = 1 }, NULL);
}

int rw_leader(const struct rw *w)
{
	int best = -1;

	for (uint32_t i = 0; i < w->n; i++)
		if (w->node[i].alive && w->node[i].r.role == RAFT_LEADER &&
		    (best < 0 || w->node[i].r.term > w->node[best].r.term))
			best = (int)i;
	return best;
}

void rw_compact(struct rw *w, uint32_t i)
{
	struct rw_node *s = &w->node[i];

	if (!s->alive || s->r.commit <= s->base || s->r.commit > s->durable)
		return;
	s->base_config = *raft_config_at(&s->r, s->r.commit);
	s->base = s->r.commit;
	raft_compact(&s->r, s->base);
}

void rw_isolate(struct rw *w, uint32_t i, bool on)
{
	for (uint32_t k = 0; k < w->n; k++)
		w->cut[i][k] = w->cut[k][i] = on;
}
