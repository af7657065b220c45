/* node.c - see node.h. do_effects() is the one place that knows the order. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "quorum/node_in.h"

#define SPACE_CHECK_US 500000u

void node_log(struct node *n, const char *msg, const char *fmt, ...)
{
	char detail[512];
	va_list ap;

	if (!n->conf.on_log)
		return;
	va_start(ap, fmt);
	vsnprintf(detail, sizeof detail, fmt, ap);
	va_end(ap);
	n->conf.on_log(n->conf.user, msg, detail);
}

/* ---- the log in memory ---- */

struct pend *node_pend(uint16_t type, int64_t zxid, const uint8_t *p, uint32_t len)
{
	struct pend *e = mem_alloc(sizeof *e + len);

	e->type = type;
	e->zxid = zxid;
	e->version = COORD_VERSION;
	e->len = len;
	if (len > 0 && p)
		memcpy(e->p, p, len);
	return e;
}

struct pend *node_cached(const struct node *n, uint64_t index)
{
	if (n->cache_cap == 0 || index < n->cache_first || index > n->cache_last)
		return NULL;
	return n->cache[index & (n->cache_cap - 1)];
}

static void cache_add(struct node *n, struct pend *e)
{
	if (n->cache_last + 1 == n->cache_first || n->cache_cap == 0) {		/* empty */
		n->cache_first = e->index;
		n->cache_last = e->index - 1;
	}
	must(e->index == n->cache_last + 1);
	if (e->index - n->cache_first >= n->cache_cap) {
		uint32_t cap = n->cache_cap ? n->cache_cap * 2 : 256;
		struct pend **v = mem_alloc(cap * sizeof *v);

		for (uint64_t i = n->cache_first; i < e->index; i++)
			v[i & (cap - 1)] = n->cache[i & (n->cache_cap - 1)];
		mem_free(n->cache);
		n->cache = v;
		n->cache_cap = cap;
	}
	n->cache[e->index & (n->cache_cap - 1)] = e;
	n->cache_last = e->index;
	n->cache_bytes += sizeof *e + e->len;
}

static void cache_drop(struct node *n, uint64_t index)
{
	struct pend *e = n->cache[index & (n->cache_cap - 1)];

	n->cache_bytes -= sizeof *e + e->len;
	mem_free(e);
}

static void cache_cut(struct node *n, uint64_t from)
{
	while (n->cache_last >= from && n->cache_last >= n->cache_first)
		cache_drop(n, n->cache_last--);
}

void node_cache_begin(struct node *n, uint64_t index)
{
	cache_cut(n, 0);
	n->cache_first = index + 1;
	n->cache_last = index;
}

/* What is applied and every peer has, or what is above the limit, is not kept. */
static void cache_trim(struct node *n)
{
	uint64_t need = n->applied;
	const struct raft_config *c = raft_config(&n->raft);

	for (uint32_t i = 0; n->raft.role == RAFT_LEADER && i < c->n; i++)
		if (c->m[i].id != n->raft.id && n->raft.peer[i].match < need)
			need = n->raft.peer[i].match;
	while (n->cache_first <= n->cache_last && n->cache_first <= n->applied &&
	       (n->cache_first <= need || n->cache_bytes > NODE_CACHE_BYTES))
		cache_drop(n, n->cache_first++);
}

/* ---- applying ---- */

static void apply_data(struct node *n, const struct pend *e)
{
	struct coord_result r;

	if (!propose_fresh(n, e)) {
		n->repeated++;
		propose_applied(n, e, NULL);
		return;
	}
	int err = coord_apply(n->coord, e->zxid, e->p + ENTRY_HEAD, e->len - ENTRY_HEAD, &r);

	if (err) {
		n->conf.on_fatal(n->conf.user, "an entry of the log is of a kind that this version does not know", err);
		return;
	}
	if (r.kind == COORD_OPEN)
		sessions_opened(&n->sessions, r.session);
	if (mutant(ANSWER_FIRST))
		propose_applied(n, e, &r);
	/* WHY answers after the feed: who hears of its own write first must find others told as well. */
	for (uint32_t i = 0; i < n->nlisteners; i++)
		if (n->listener[i].on_applied)
			n->listener[i].on_applied(n->listener[i].user, e->zxid, &r);
	if (!mutant(ANSWER_FIRST))
		propose_applied(n, e, &r);
}

static void apply_to(struct node *n, uint64_t commit)
{
	while (n->applied < commit) {
		struct pend *e = node_cached(n, n->applied + 1);

		must(e != NULL && e->index == n->applied + 1);
		n->applied = e->index;
		if (e->type == RAFT_DATA)
			apply_data(n, e);
	}
	read_applied(n);
	cache_trim(n);
}

/* ---- effects ---- */

static void tell_role(struct node *n)
{
	bool serves = raft_serves(&n->raft) && n->applied >= n->raft.noop;

	if (serves == n->served)
		return;
	n->served = serves;
	if (serves) {
		n->elections++;
		n->nintake = 0;
		propose_again(n);
	} else {
		read_lost_lead(n);
		propose_drop_ends(n);
		propose_again(n);
	}
	sessions_lead(&n->sessions, serves, (node_now_ms(n) - n->led_ms) * 1000);
	for (uint32_t i = 0; i < n->nlisteners; i++)
		if (n->listener[i].on_lead)
			n->listener[i].on_lead(n->listener[i].user, serves);
}

static void do_append(struct node *n, const struct raft_entry *v, uint32_t count)
{
	for (uint32_t i = 0; i < count; i++) {
		struct pend *e = v[i].handle;

		if (!e)
			e = node_pend((uint16_t)v[i].type, n->next_zxid - 1, NULL, 0);
		e->index = v[i].index;
		e->term = v[i].term;
		if (e->zxid >= n->next_zxid)
			n->next_zxid = e->zxid + 1;
		cache_add(n, e);
		rlog_append(&n->log, &(struct rlog_entry){ .index = e->index, .term = e->term, .zxid = e->zxid,
			.type = e->type, .version = e->version, .p = e->p, .len = e->len });
		/* Taken: it may be applied and gone before who made the entries looks at them again. */
		((struct raft_entry *)(uintptr_t)&v[i])->handle = NULL;
	}
}

static void send_or_hold(struct node *n, const struct raft_msg *m)
{
	if (!n->voting || mutant(VOTE_NOT_AWAITED))
		message_send(n, m);
	else if (n->nheld < NODE_HELD_MAX)
		n->held[n->nheld++] = *m;		/* raft.h R2 */
	else
		n->dropped++;
}

static void arm(struct node *n, uint64_t at_ms)
{
	uint64_t now = node_now_ms(n);

	n->loop->calls->timer_set(n->loop, &n->timer, at_ms > now ? (at_ms - now) * 1000 : 0);
}

/* raft.h R2: hard state, truncation, entries, messages, commit, reads, timeout. */
static void do_effects(struct node *n, const struct raft_effects *fx)
{
	if (fx->persist) {
		n->voting = true;
		rlog_vote(&n->log, n->raft.term, n->raft.voted_for, n->raft.recovering);
	}
	if (fx->truncate_from > 0) {
		cache_cut(n, fx->truncate_from);
		rlog_truncate(&n->log, fx->truncate_from, raft_term_of(&n->raft, fx->truncate_from - 1));
	}
	do_append(n, fx->append, fx->nappend);
	for (uint32_t i = 0; i < fx->nmsgs; i++)
		send_or_hold(n, &fx->msgs[i]);
	if (fx->commit > 0)
		apply_to(n, fx->commit);
	if (fx->config_changed)
		member_changed(n);
	tell_role(n);
	if (fx->round_confirmed > 0)
		read_confirmed(n, fx->round_confirmed);
	for (uint32_t i = 0; i < fx->nfetch; i++)
		message_fetch(n, &fx->fetch[i]);
	if (n->started)
		arm(n, fx->next_timeout_ms);
}

int node_step(struct node *n, struct raft_event *ev)
{
	struct raft_effects fx;
	uint64_t leader = n->raft.leader;

	ev->now_ms = node_now_ms(n);
	int err = raft_step(&n->raft, ev, &fx);

	if (err == E_DAMAGED)
		n->conf.on_fatal(n->conf.user,
			"a leader contradicts what is committed here, or there are two in one term", err);
	if (err)
		return err;
	do_effects(n, &fx);
	if (n->served || (n->raft.leader != RAFT_NOBODY && n->raft.leader != n->raft.id))
		n->led_ms = ev->now_ms;
	if (n->raft.leader != leader) {
		propose_again(n);
		read_again(n);
	}
	return OK;
}

static void step(struct node *n, enum raft_event_type type, uint64_t peer)
{
	int err = node_step(n, &(struct raft_event){ .type = type, .peer = peer });

	must(err == OK || err == E_DAMAGED);
}

static void on_timer(struct loop_timer *t)
{
	step(t->user, RAFT_EV_TIMEOUT, RAFT_NOBODY);
}

static void on_durable(void *user, uint64_t index, uint64_t term)
{
	struct node *n = user;

	n->syncs++;
	int err = node_step(n, &(struct raft_event){ .type = RAFT_EV_DURABLE, .index = index, .term = term });

	must(err == OK);
}

static void on_voted(void *user)
{
	struct node *n = user;

	n->voting = false;
	for (uint32_t i = 0; i < n->nheld; i++)
		message_send(n, &n->held[i]);
	n->nheld = 0;
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

static void on_image(void *user, int err)
{
	ship_taken(user, err);
}

static void on_log_fatal(void *user, const char *what, int err)
{
	struct node *n = user;

	n->conf.on_fatal(n->conf.user, what, err);
}

static const struct rlog_events log_events = { on_durable, on_voted, on_snapshot, on_image, on_log_fatal };

/* ---- the end of a turn ---- */

/* What was proposed in it goes out as one group: to the disk, and to each peer. */
static int on_turn(void *ctx)
{
	struct node *n = ctx;
	struct raft_effects fx;

	if (!n->started)
		return 0;
	propose_turn(n);
	read_turn(n);
	do {
		int err = raft_step(&n->raft, &(struct raft_event){ .type = RAFT_EV_FLUSH,
			.now_ms = node_now_ms(n) }, &fx);

		must(err == OK);
		do_effects(n, &fx);
	} while (fx.more);
	/* WHY later: who gets an image needs the log behind it (T30: not for ever). */
	uint64_t enough = n->snapshot_log_bytes * (ship_busy(n) ? NODE_SHIP_LOG : 1);

	if (!n->log.snap.on && n->applied > n->log.snaps[0] && (n->image || n->log.bytes_since_snapshot > enough))
		node_save_image(n);
	bool more = rlog_snapshot_turn(&n->log);

	rlog_flush(&n->log);
	return more;
}

static void on_tick(struct loop_timer *t)
{
	struct node *n = t->user;
	uint64_t now = node_now_ms(n);
	const int64_t *ids;

	if (n->log.full)
		rlog_retry(&n->log);
	/* all hear of it, the leader too */
	for (uint32_t count = sessions_take(&n->sessions, &ids); count > 0;) {
		uint32_t part = count < SESSIONS_BATCH ? count : SESSIONS_BATCH;
		const struct raft_config *c = raft_config(&n->raft);

		for (uint32_t i = 0; i < c->n; i++) {
			struct buf b;

			if (c->m[i].id == n->raft.id || (n->raft.role != RAFT_LEADER && c->m[i].id != n->raft.leader))
				continue;
			peers_frame(&b, PF_TOUCH);
			for (uint32_t k = 0; k < part; k++)
				buf_be64(&b, (uint64_t)ids[k]);
			(void)peers_send(n->peers, c->m[i].id, &b);
		}
		ids += part;
		count -= part;
	}
	member_tick(n, now);
	propose_tick(n, now);
	ship_tick(n, now);
	if (n->image && !n->log.snap.on && n->applied == n->log.snaps[0] && n->applied > 0)
		on_snapshot(n, n->applied);	/* there is one of just now */
	n->loop->calls->timer_set(n->loop, t, NODE_TICK_US);
}

static void end_session(void *user, struct coord_session *x)
{
	struct node *n = user;
	struct buf b;

	buf_init(&b, 1024);
	coord_encode_close(&b, 0, x->id);
	if (propose_end(n, x->id, b.p, (uint32_t)b.len) == OK)
		sessions_closing(&n->sessions, x->id, true);
	buf_release(&b);
}

/* ---- frames ---- */

static void on_touch(struct node *n, const uint8_t *p, uint32_t len)
{
	int64_t ids[64];

	for (uint32_t at = 0, k = 0; at + 8 <= len; at += 8) {
		ids[k++] = (int64_t)be64_get(p + at);
		if (k == 64 || at + 16 > len) {
			/* The leader tells the others; they are told nothing that they know. */
			sessions_touch(&n->sessions, ids, k, n->raft.role == RAFT_LEADER);
			k = 0;
		}
	}
}

static void on_frame(void *user, uint64_t from, uint8_t type, const uint8_t *p, uint32_t len)
{
	struct node *n = user;

	if (type != PF_ADOPT && !n->born)
		return;
	switch ((enum peer_frame)type) {
	case PF_HELLO:
	case PF_WELCOME:
	case PF_PING:
		break;
	case PF_ADOPT:
		member_on_adopt(n, p, len);
		break;
	case PF_RAFT:
		message_on_raft(n, from, p, len);
		break;
	case PF_FORWARD:
		propose_on_forward(n, from, p, len);
		break;
	case PF_REFUSE:
		propose_on_refuse(n, from, p, len);
		break;
	case PF_READ:
		read_on_ask(n, from, p, len);
		break;
	case PF_READ_OK:
		read_on_ok(n, from, p, len);
		break;
	case PF_TOUCH:
		on_touch(n, p, len);
		break;
	case PF_ADMIN:
		member_on_admin(n, from, p, len);
		break;
	case PF_ADMIN_OK:
		member_on_admin_ok(n, from, p, len);
		break;
	case PF_JOIN:
		member_on_join(n, from, p, len);
		break;
	case PF_IMAGE:
		ship_on_image(n, from, p, len);
		break;
	case PF_IMAGE_OK:
		ship_on_image_ok(n, from, p, len);
		break;
	}
}

static void on_up(void *user, const struct peer_hello *h)
{
	struct node *n = user;

	member_up(n, h);
	if (n->born)
		step(n, RAFT_EV_UP, h->disk);
	if (h->disk == n->raft.leader) {
		propose_again(n);
		read_again(n);
	}
}

static void on_lost(void *user, uint64_t disk)
{
	struct node *n = user;

	ship_stop(n, disk);
	if (n->born)
		step(n, RAFT_EV_LOST, disk);
	if (disk == n->raft.leader) {
		propose_again(n);
		read_again(n);
	}
}

static void on_peer_log(void *user, const char *msg, const char *detail)
{
	node_log(user, msg, "%s", detail);
}

static const struct peers_events peer_events = {
	.on_hello = member_hello, .on_up = on_up, .on_lost = on_lost, .on_frame = on_frame, .on_hint = member_hint,
	.put_hints = member_put_hints, .on_log = on_peer_log,
};

/* ---- open, close ---- */

static int load_snapshot(void *user, uint64_t index, uint64_t term, int64_t zxid, const uint8_t *p, uint32_t len)
{
	struct node *n = user;
	struct raft_config config = { 0 };
	int err;

	(void)zxid;
	node_load_image(n, p, len, index, term, &config, &err);
	if (!err)
		raft_restore(&n->raft, n->log.term, n->log.voted_for, index, term, &config);
	return err;
}

/* Entries wait for the commit: after an election this node learns which of them count. */
static int load_entry(void *user, const struct rlog_entry *e)
{
	struct node *n = user;
	struct raft_config config = { 0 };
	struct raft_entry x = { .index = e->index, .term = e->term, .type = (enum raft_entry_type)e->type };

	if (e->version > COORD_VERSION || e->type < RAFT_NOOP || e->type > RAFT_CONFIG ||
	    (e->type == RAFT_DATA && e->len < ENTRY_HEAD))
		return E_VERSION;
	if (e->type == RAFT_CONFIG) {
		int err = member_get(n, e->p, e->len, &config);

		if (err)
			return err;
		x.config = &config;
	}
	struct pend *p = node_pend(e->type, e->zxid, e->p, e->len);

	p->version = e->version;
	p->index = e->index;
	p->term = e->term;
	cache_add(n, p);
	raft_restore_entry(&n->raft, &x);
	if (e->zxid >= n->next_zxid)
		n->next_zxid = e->zxid + 1;
	return OK;
}

static bool may_recover(void *user)
{
	struct node *n = user;
	const struct raft_config *c = raft_config(&n->raft);
	bool others = c->n == 0 && (n->conf.nvoters > 1 || n->conf.njoin > 0);

	for (uint32_t i = 0; i < c->n; i++)
		others |= (c->m[i].flags & (RAFT_VOTER | RAFT_OLD)) && c->m[i].id != n->log.disk_id;
	return n->net && others;
}

static const struct rlog_load loader = { load_snapshot, load_entry, may_recover };

static struct node *node_new(struct disk *d, struct net *net, struct loop *loop, struct clock *clock,
			     const struct node_config *conf)
{
	struct node *n = mem_alloc(sizeof *n);

	n->disk = d;
	n->net = net;
	n->loop = loop;
	n->clock = clock;
	n->conf = *conf;
	n->coord = coord_new();
	n->next_zxid = 1;
	n->cache_first = 1;
	n->snapshot_log_bytes = conf->snapshot_log_bytes;
	n->props_tail = &n->props;
	n->reads_new_tail = &n->reads_new;
	n->reads_sent_tail = &n->reads_sent;
	n->waiting_tail = &n->waiting;
	n->timer = (struct loop_timer){ .fire = on_timer, .user = n };
	n->tick = (struct loop_timer){ .fire = on_tick, .user = n };
	n->store.fit = message_fit;
	sessions_init(&n->sessions, loop, clock, n->coord, end_session, n);
	return n;
}

/* The only member of the log has this node's number and another disk: nobody would ever lead, and nobody say why. */
static int is_own_disk(struct node *n, char *why, size_t cap)
{
	const struct raft_config *c = raft_config(&n->raft);

	if (c->n != 1 || c->m[0].id == n->log.disk_id || c->m[0].node != n->conf.id)
		return OK;
	snprintf(why, cap, "%s/meta names disk.id=%016llx, and the only member of the log is %016llx: meta was "
		 "damaged or comes from another folder; put the member's id there", n->conf.dir,
		 (unsigned long long)n->log.disk_id, (unsigned long long)c->m[0].id);
	return E_DAMAGED;
}

int node_open(struct disk *d, struct net *net, struct loop *loop, struct clock *clock,
	      const struct node_config *conf, struct node **ret, char *why, size_t why_cap)
{
	struct node *n = node_new(d, net, loop, clock, conf);

	/* Who does not begin alone learns its cluster from the others, or makes the id when all are there. */
	memcpy(n->new_cluster_id, conf->cluster_id, 23);
	if (!conf->cluster_given && (conf->nvoters > 1 || conf->njoin > 0 || conf->no_founding))
		conf->cluster_id[0] = 0;
	struct rlog_config rc = { .dir = conf->dir, .cluster_id = conf->cluster_id,
		.cluster_given = conf->cluster_given,
				  .node_id = conf->id, .disk_id = conf->disk_id,
				  .importing = conf->importing };
	struct raft_options opt = { .beat_ms = conf->beat_ms ? conf->beat_ms : RAFT_BEAT_MS,
				    .elect_ms = conf->elect_ms ? conf->elect_ms : RAFT_ELECT_MS,
				    .seed = conf->seed, .store = &n->store };

	raft_init(&n->raft, UINT64_MAX, &opt);
	int err = rlog_open(&n->log, d, &rc, &loader, &log_events, n, why, why_cap);

	if (!err)
		err = is_own_disk(n, why, why_cap);
	if (err) {
		node_close(n);
		return err;
	}
	n->raft.id = n->log.disk_id;
	/* R10: an answer to a batch of an earlier run, which a leader may still owe it, is nobody's. */
	n->reads_id = n->admin_seq = (uint64_t)n->log.starts << 32;
	n->raft.term = n->log.term;
	n->raft.voted_for = n->log.voted_for;
	n->raft.recovering = n->log.recovering;
	if (n->log.repaired)
		node_log(n, "the log is damaged; what is lost is fetched from the other nodes", "%s", n->log.damage);
	if (net)
		n->peers = peers_new(net, loop, clock, conf->seed + 1, conf->peer_subjects, &peer_events, n);
	loop->calls->turn_hook(loop, on_turn, n);
	member_open(n);
	*ret = n;
	return OK;
}

void node_close(struct node *n)
{
	if (!n)
		return;
	if (n->started) {
		n->loop->calls->timer_stop(n->loop, &n->timer);
		n->loop->calls->timer_stop(n->loop, &n->tick);
	}
	propose_fail(n, E_UNSURE);
	read_fail(n);
	member_fail(n);
	ship_close(n);
	cache_cut(n, 0);
	mem_free(n->cache);
	peers_free(n->peers);
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
	n->led_ms = node_now_ms(n);
	if (n->peers)
		peers_start(n->peers);
	n->loop->calls->timer_set(n->loop, &n->tick, 0);
	if (n->born)
		step(n, RAFT_EV_TIMEOUT, RAFT_NOBODY);
}

void node_accept(struct node *n, int fd)
{
	peers_accept(n->peers, fd);
}

/* ---- questions ---- */

bool node_has_space(struct node *n)
{
	uint64_t now = n->clock->mono_us(n->clock);
	struct disk_space s;

	if (now - n->space_us > SPACE_CHECK_US || n->space_us == 0) {
		n->space_us = now;
		n->full = n->disk->calls->space(n->disk, n->log.dir, &s) == OK && s.free_bytes < NODE_SPACE_MIN;
	}
	return !n->full && !n->log.full;
}

void node_touch(struct node *n, const int64_t *sessions, uint32_t count)
{
	sessions_touch(&n->sessions, sessions, count, raft_config(&n->raft)->n > 1);
}

bool node_closing(const struct node *n, const struct coord_session *x)
{
	return sessions_are_closing(&n->sessions, x);
}

void node_set_closing(struct node *n, int64_t session, bool proposed)
{
	sessions_closing(&n->sessions, session, proposed);
}

bool node_serves(const struct node *n)
{
	return n->served;
}

bool node_ready(const struct node *n)
{
	return n->served || (n->raft.leader != RAFT_NOBODY && n->raft.leader != n->raft.id && n->peers &&
			     peers_up(n->peers, n->raft.leader) && raft_config_find(raft_config(&n->raft), n->raft.id));
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
	return !n->props && n->applied == n->raft.commit && !n->log.busy && !n->voting && n->log.gather.len == 0;
}

void node_stats(const struct node *n, struct node_stats *ret)
{
	*ret = (struct node_stats){
		.term = n->raft.term, .commit = n->raft.commit, .applied = n->applied, .last = n->raft.last,
		.durable = n->raft.durable, .log_segments = n->log.nseg, .snapshots = n->snapshots,
		.proposals = n->proposals, .syncs = n->syncs, .torn_bytes = n->log.cut_bytes,
		.elections = n->elections, .forwarded = n->forwarded, .reads = n->nreads,
		.snapshots_sent = n->images_sent, .snapshots_received = n->images_taken,
		.dropped_messages = n->dropped + (n->peers ? peers_dropped(n->peers) : 0), .repeated = n->repeated,
		.leads = n->served,
	};
}

void node_snapshot(struct node *n, struct node_admin *a)
{
	if (n->image)
		a->done(a, E_AGAIN, "another snapshot was asked for and is being written");
	else
		n->image = a;
}
