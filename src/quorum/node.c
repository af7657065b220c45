/* node.c - see node.h. do_effects() is the one place that knows the order. */
#include "quorum/node.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "quorum/sessions.h"

#define SPACE_MIN (16u << 20)		/* below it nothing new is logged, so that sessions can still end */
#define SPACE_CHECK_US 500000u

struct pend {				/* a log entry from its append until it is applied */
	struct pend *next;
	uint64_t index;
	int64_t zxid;
	enum raft_entry_type type;
	struct node_req *req;
	uint32_t len;
	uint8_t p[];
};

struct node {
	struct disk *disk;
	struct loop *loop;
	struct clock *clock;
	struct raft raft;
	struct rlog log;
	struct coord *coord;
	struct node_listener listener[NODE_LISTENERS_MAX];
	uint32_t nlisteners;
	struct pend *first, **tail;
	uint64_t applied;
	int64_t next_zxid;
	bool served, started, full;
	uint64_t space_us;
	struct loop_timer timer;
	struct sessions sessions;
	struct node_read *reads;
	struct node_admin *admins, *image;
	struct node_config conf;
	uint64_t snapshot_log_bytes, snapshots, proposals, syncs, nreads;
	void (*on_fatal)(void *user, const char *what, int err);
	void *user;
};

static void do_step(struct node *n, struct raft_event *ev);

static uint64_t now_ms(struct node *n)
{
	return n->clock->mono_us(n->clock) / 1000;
}

static struct pend *pend_new(enum raft_entry_type type, int64_t zxid, const uint8_t *p, uint32_t len,
			     struct node_req *req)
{
	struct pend *e = mem_alloc(sizeof *e + len);

	e->type = type;
	e->zxid = zxid;
	e->req = req;
	e->len = len;
	if (len > 0)
		memcpy(e->p, p, len);
	return e;
}

static void pend_add(struct node *n, struct pend *e)
{
	e->next = NULL;
	*n->tail = e;
	n->tail = &e->next;
}

static void apply(struct node *n, struct pend *e)
{
	struct coord_result r;

	n->applied = e->index;
	if (e->type == RAFT_NOOP)
		return;
	int err = coord_apply(n->coord, e->zxid, e->p, e->len, &r);

	if (err) {
		n->on_fatal(n->user, "an entry of the log is of a kind that this version does not know", err);
		return;
	}
	if (r.kind == COORD_OPEN)
		sessions_opened(&n->sessions, r.session);
	/* WHY answers after the feed: who hears of its own write first must find others told as well. */
	for (uint32_t i = 0; i < n->nlisteners; i++)
		if (n->listener[i].on_applied)
			n->listener[i].on_applied(n->listener[i].user, e->zxid, &r);
	if (e->req)
		e->req->done(e->req, OK, e->zxid, &r);
}

static void apply_to(struct node *n, uint64_t commit)
{
	while (n->first && n->first->index <= commit) {
		struct pend *e = n->first;

		n->first = e->next;
		if (!n->first)
			n->tail = &n->first;
		must(e->index == n->applied + 1);
		apply(n, e);
		mem_free(e);
	}
}

static void tell_role(struct node *n)
{
	bool serves = raft_serves(&n->raft);

	if (serves == n->served)
		return;
	n->served = serves;
	sessions_lead(&n->sessions, serves, 0);
	for (uint32_t i = 0; i < n->nlisteners; i++)
		if (n->listener[i].on_lead)
			n->listener[i].on_lead(n->listener[i].user, serves);
}

static void do_append(struct node *n, const struct raft_entry *v, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct pend *e = v[i].handle;

		if (!e)
			e = pend_new(v[i].type, n->next_zxid - 1, NULL, 0, NULL);
		e->index = v[i].index;
		pend_add(n, e);
		rlog_append(&n->log, &(struct rlog_entry){ .index = v[i].index, .term = v[i].term,
			.zxid = e->zxid, .type = (uint16_t)v[i].type, .version = COORD_VERSION,
			.p = e->p, .len = e->len });
	}
}

/* raft.h R2: hard state, entries, messages, commit, timeout. */
static void do_effects(struct node *n, const struct raft_effects *fx)
{
	if (fx->persist) {
		int err = rlog_vote(&n->log, n->raft.term, n->raft.voted_for);

		if (err) {
			n->on_fatal(n->user, "writing term and vote", err);
			return;
		}
	}
	must(fx->truncate_from == 0);	/* one voter: nobody else writes its log */
	do_append(n, fx->append, fx->nappend);
	must(fx->nmsgs == 0);
	if (fx->commit > 0)
		apply_to(n, fx->commit);
	tell_role(n);
	uint64_t now = now_ms(n), at = fx->next_timeout_ms;

	n->loop->calls->timer_set(n->loop, &n->timer, at > now ? (at - now) * 1000 : 0);
}

static void do_step(struct node *n, struct raft_event *ev)
{
	struct raft_effects fx;

	ev->now_ms = now_ms(n);
	must(raft_step(&n->raft, ev, &fx) == OK);
	do_effects(n, &fx);
}

static void on_timer(struct loop_timer *t)
{
	do_step(t->user, &(struct raft_event){ .type = RAFT_EV_TIMEOUT });
}

static void on_durable(void *user, uint64_t index, uint64_t term)
{
	struct node *n = user;

	n->syncs++;
	do_step(n, &(struct raft_event){ .type = RAFT_EV_DURABLE, .index = index, .term = term });
}

static void on_snapshot(void *user, uint64_t index)
{
	struct node *n = user;

	(void)index;
	n->snapshots++;
	if (n->log.snaps[1] > 0)
		raft_compact(&n->raft, n->log.snaps[1]);
	if (n->image) {
		struct node_admin *a = n->image;

		n->image = NULL;
		a->done(a, OK, "");
	}
}

static void on_log_fatal(void *user, const char *what, int err)
{
	struct node *n = user;

	n->on_fatal(n->user, what, err);
}

static const struct rlog_events log_events = { on_durable, on_snapshot, on_log_fatal };

static void start_snapshot(struct node *n)
{
	struct buf b;
	size_t len;

	buf_init(&b, UINT32_MAX);
	coord_save(n->coord, &b);
	if (b.bad) {
		buf_release(&b);
		n->log.bytes_since_snapshot = 0;
		return;
	}
	uint8_t *p = buf_steal(&b, &len);

	rlog_snapshot(&n->log, n->applied, raft_term_of(&n->raft, n->applied), coord_zxid(n->coord), p,
		      (uint32_t)len);
}

static void end_session(void *user, struct coord_session *x)
{
	struct node *n = user;
	struct buf b;

	buf_init(&b, 1024);
	coord_encode_close(&b, 0, x->id);
	x->soft.closing = node_propose(n, b.p, (uint32_t)b.len, true, NULL) == OK;
	buf_release(&b);
}

/* The end of a turn: what was proposed in it goes to the disk as one group. */
static int on_turn(void *ctx)
{
	struct node *n = ctx;

	while (n->reads) {
		struct node_read *r = n->reads;

		n->reads = r->next;
		r->done(r, raft_serves(&n->raft) ? OK : E_AGAIN);
	}
	while (n->admins) {
		struct node_admin *a = n->admins;

		n->admins = a->next;
		a->done(a, E_AGAIN, "this node is the only one of its quorum");
	}
	if (n->started && n->image && !n->log.snap.on && n->applied > n->log.snaps[0])
		start_snapshot(n);
	if (n->started && n->log.bytes_since_snapshot > n->snapshot_log_bytes && !n->log.snap.on &&
	    n->applied > n->log.snaps[0])
		start_snapshot(n);
	bool more = rlog_snapshot_turn(&n->log);

	rlog_flush(&n->log);
	return more;
}

static int load_snapshot(void *user, uint64_t index, uint64_t term, int64_t zxid, const uint8_t *p,
			 uint32_t len)
{
	struct node *n = user;

	(void)zxid;
	raft_restore(&n->raft, n->log.term, n->log.voted_for, index, term);
	n->applied = index;
	int err = coord_load(n->coord, p, len);

	n->next_zxid = coord_zxid(n->coord) + 1;
	return err;
}

/* Entries wait for the commit: after an election this node learns which of them count. */
static int load_entry(void *user, const struct rlog_entry *e)
{
	struct node *n = user;

	if (e->version > COORD_VERSION || (e->type != RAFT_NOOP && e->type != RAFT_DATA))
		return E_VERSION;
	struct pend *x = pend_new((enum raft_entry_type)e->type, e->zxid, e->p, e->len, NULL);

	x->index = e->index;
	pend_add(n, x);
	raft_restore_entry(&n->raft, e->index, e->term);
	if (e->zxid >= n->next_zxid)
		n->next_zxid = e->zxid + 1;
	return OK;
}

static const struct rlog_load loader = { load_snapshot, load_entry };

int node_open(struct disk *d, struct net *net, struct loop *loop, struct clock *clock,
	      const struct node_config *conf, struct node **ret, char *why, size_t why_cap)
{
	struct node *n = mem_alloc(sizeof *n);

	(void)net;
	n->conf = *conf;
	n->disk = d;
	n->loop = loop;
	n->clock = clock;
	n->coord = coord_new();
	n->tail = &n->first;
	n->next_zxid = 1;
	n->snapshot_log_bytes = conf->snapshot_log_bytes;
	n->on_fatal = conf->on_fatal;
	n->user = conf->user;
	n->timer = (struct loop_timer){ .fire = on_timer, .user = n };
	raft_init(&n->raft, 0, 1, conf->seed);
	sessions_init(&n->sessions, loop, clock, n->coord, end_session, n);
	int err = rlog_open(&n->log, d, conf->dir, conf->cluster_id, conf->cluster_given, conf->id, &loader,
			    &log_events, n, why, why_cap);

	if (err) {
		node_close(n);
		return err;
	}
	n->raft.term = n->log.term;
	n->raft.voted_for = n->log.voted_for;
	loop->calls->turn_hook(loop, on_turn, n);
	*ret = n;
	return OK;
}

void node_close(struct node *n)
{
	if (!n)
		return;
	if (n->started)
		n->loop->calls->timer_stop(n->loop, &n->timer);
	while (n->first) {
		struct pend *e = n->first;

		n->first = e->next;
		mem_free(e);
	}
	sessions_release(&n->sessions);
	rlog_close(&n->log);
	raft_release(&n->raft);
	coord_free(n->coord);
	mem_free(n);
}

void node_listen(struct node *n, const struct node_listener *l)
{
	must(n->nlisteners < NODE_LISTENERS_MAX);
	n->listener[n->nlisteners++] = *l;
}

void node_start(struct node *n)
{
	n->started = true;
	do_step(n, &(struct raft_event){ .type = RAFT_EV_TIMEOUT });
}

static bool has_space(struct node *n)
{
	uint64_t now = n->clock->mono_us(n->clock);
	struct disk_space s;

	if (now - n->space_us > SPACE_CHECK_US || n->space_us == 0) {
		n->space_us = now;
		n->full = n->disk->calls->space(n->disk, n->log.dir, &s) == OK && s.free_bytes < SPACE_MIN;
	}
	return !n->full;
}

int node_propose(struct node *n, const uint8_t *entry, uint32_t len, bool frees, struct node_req *q)
{
	if (!raft_serves(&n->raft))
		return E_AGAIN;
	if (!frees && !has_space(n))
		return E_NOSPC;
	struct raft_entry e = { .type = RAFT_DATA,
				.handle = pend_new(RAFT_DATA, n->next_zxid++, entry, len, q) };

	struct pend *p = e.handle;
	int err = coord_stamp(p->p, len, node_time_ms(n));

	must(err == OK);
	n->proposals++;
	do_step(n, &(struct raft_event){ .type = RAFT_EV_PROPOSE, .entries = &e, .n = 1 });
	return OK;
}

void node_read(struct node *n, struct node_read *r)
{
	struct node_read **at = &n->reads;

	while (*at)
		at = &(*at)->next;
	r->next = NULL;
	*at = r;
	n->nreads++;
}

void node_touch(struct node *n, const int64_t *sessions, uint32_t count)
{
	sessions_touch(&n->sessions, sessions, count, false);
}

void node_accept(struct node *n, int fd)
{
	(void)n;
	(void)fd;
}

static void admin(struct node *n, struct node_admin *a)
{
	a->next = n->admins;
	n->admins = a;
}

void node_add(struct node *n, uint32_t id, const char *address, bool observer, struct node_admin *a)
{
	(void)id;
	(void)address;
	(void)observer;
	admin(n, a);
}

void node_remove(struct node *n, uint32_t id, struct node_admin *a)
{
	(void)id;
	admin(n, a);
}

void node_transfer(struct node *n, uint32_t id, struct node_admin *a)
{
	(void)id;
	admin(n, a);
}

void node_snapshot(struct node *n, struct node_admin *a)
{
	if (n->image)
		admin(n, a);
	else
		n->image = a;
}

void node_role(const struct node *n, struct node_role *ret)
{
	*ret = (struct node_role){
		.state = n->served ? NODE_LEADER : NODE_CANDIDATE, .leader_known = n->served, .leader = n->conf.id,
		.term = n->raft.term, .nmembers = 1,
		.members[0] = { .id = n->conf.id, .voter = true, .self = true, .leader = n->served, .connected = true,
				.match = n->raft.durable },
	};
}

bool node_ready(const struct node *n)
{
	return raft_serves(&n->raft);
}

bool node_serves(const struct node *n)
{
	return raft_serves(&n->raft);
}

struct coord *node_coord(struct node *n)
{
	return n->coord;
}

int64_t node_time_ms(struct node *n)
{
	int64_t wall = n->clock->wall_ms(n->clock), last = coord_time_ms(n->coord);

	return wall > last ? wall : last;
}

bool node_idle(const struct node *n)
{
	return !n->first && !n->log.busy && n->log.gather.len == 0;
}

void node_stats(const struct node *n, struct node_stats *ret)
{
	*ret = (struct node_stats){
		.term = n->raft.term, .commit = n->raft.commit, .applied = n->applied,
		.log_segments = n->log.nseg, .snapshots = n->snapshots, .proposals = n->proposals,
		.syncs = n->syncs, .torn_bytes = n->log.cut_bytes, .leads = raft_serves(&n->raft),
		.last = n->raft.last, .durable = n->raft.durable, .reads = n->nreads,
	};
}
