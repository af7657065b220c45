/* raft.c - roles and votes; the protocol's table of contents is raft_step(), at the end. [Raft n]: the thesis. */
#include "raft/raft.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "raft/raft_in.h"

void raft_init(struct raft *r, uint64_t id, const struct raft_options *opt)
{
	must(id != RAFT_NOBODY);
	*r = (struct raft){ .id = id, .opt = *opt };
	must(opt->store != NULL && opt->beat_ms > 0 && opt->elect_ms >= 2 * opt->beat_ms);
	rng_init(&r->rng, opt->seed);
}

void raft_release(struct raft *r)
{
	mem_free(r->runs);
	mem_free(r->configs);
	r->runs = NULL;
	r->configs = NULL;
	r->nruns = r->runs_cap = r->nconfigs = r->configs_cap = 0;
}

bool raft_serves(const struct raft *r)
{
	return r->role == RAFT_LEADER && r->commit >= r->noop;
}

uint32_t raft_place(const struct raft *r, uint64_t id)
{
	const struct raft_config *c = raft_config(r);
	const struct raft_member *m = raft_config_find(c, id);

	return m ? (uint32_t)(m - c->m) : RAFT_MEMBERS_MAX;
}

static bool votes_in(const struct raft_config *c, uint64_t id)
{
	const struct raft_member *m = raft_config_find(c, id);

	return m && (m->flags & (RAFT_VOTER | RAFT_OLD));
}

bool raft_stuck(const struct raft *r, uint64_t now_ms)
{
	return r->durable < r->last && now_ms - r->moved_ms > 2 * r->opt.elect_ms;
}

/* A voter that a newer configuration leaves out: it may be the only one that has it, and is needed until that is
 * committed [Raft 4.2.2]. */
static bool leaves(const struct raft *r)
{
	return r->nconfigs > 1 && raft_config(r)->index > r->commit && votes_in(&r->configs[r->nconfigs - 2], r->id);
}

/* May this node ask for votes? */
static bool promotable(const struct raft *r, uint64_t now_ms)
{
	return (votes_in(raft_config(r), r->id) || leaves(r)) && !r->recovering && !r->removed &&
		!raft_stuck(r, now_ms);
}

struct raft_msg *raft_send(const struct raft *r, struct raft_effects *fx, enum raft_msg_type t, uint64_t to)
{
	must(fx->nmsgs < 2 * RAFT_MEMBERS_MAX);
	struct raft_msg *m = &fx->msgs[fx->nmsgs++];

	*m = (struct raft_msg){ .type = t, .from = r->id, .to = to, .term = r->term };
	return m;
}

static void arm(struct raft *r, uint64_t now_ms)
{
	r->deadline_ms = now_ms + (r->role == RAFT_LEADER
		? r->opt.beat_ms : r->opt.elect_ms + rng_below(&r->rng, r->opt.elect_ms));	/* T29: afresh */
}

void raft_become(struct raft *r, struct raft_effects *fx, enum raft_role role, uint64_t now_ms)
{
	if (role != r->role)
		fx->role_changed = true;
	if (r->role == RAFT_LEADER && role != RAFT_LEADER) {
		r->transfer_to = RAFT_NOBODY;
		r->round_wanted = r->round_confirmed = r->round;
	}
	r->role = role;
	arm(r, now_ms);
}

/* [Raft 5.1] a newer term makes a follower of anyone. */
static void follow(struct raft *r, struct raft_effects *fx, uint64_t term, uint64_t now_ms)
{
	must(term >= r->term);
	if (term > r->term) {
		r->term = term;
		r->voted_for = RAFT_NOBODY;
		r->leader = RAFT_NOBODY;
		r->verified = r->commit;	/* R6 */
		r->round_seen = 0;
		fx->persist = true;
	}
	raft_become(r, fx, RAFT_FOLLOWER, now_ms);
}

/* ---- elections ---- */

static void ask_one(struct raft *r, struct raft_effects *fx, enum raft_msg_type t, bool forced, uint64_t peer)
{
	struct raft_msg *m = raft_send(r, fx, t, peer);

	m->term = t == RAFT_PREVOTE ? r->term + 1 : r->term;	/* R7 */
	m->index = r->last;
	m->index_term = raft_term_of(r, r->last);
	m->forced = forced;
}

static void ask(struct raft *r, struct raft_effects *fx, enum raft_msg_type t, bool forced)
{
	const struct raft_config *c = raft_config(r);

	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].id != r->id && (c->m[i].flags & (RAFT_VOTER | RAFT_OLD)))
			ask_one(r, fx, t, forced, c->m[i].id);
}

static void campaign(struct raft *r, struct raft_effects *fx, uint64_t now_ms, bool forced)
{
	raft_become(r, fx, RAFT_CANDIDATE, now_ms);			/* [Raft 5.2] */
	r->term++;
	r->voted_for = r->id;
	r->leader = RAFT_NOBODY;
	r->verified = r->commit;
	r->round_seen = 0;
	r->votes = 1u << raft_place(r, r->id);
	r->refused = 0;
	fx->persist = true;
	if (raft_config_quorum(raft_config(r), r->votes))
		raft_lead(r, fx, now_ms);
	else
		ask(r, fx, RAFT_VOTE, forced);
}

static void ask_first(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	raft_become(r, fx, RAFT_PRECANDIDATE, now_ms);
	r->leader = RAFT_NOBODY;
	r->votes = 1u << raft_place(r, r->id);
	r->refused = 0;
	r->asked_ms = now_ms;
	if (raft_config_quorum(raft_config(r), r->votes))
		campaign(r, fx, now_ms, false);
	else
		ask(r, fx, RAFT_PREVOTE, false);
}

static void on_timeout(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	uint64_t late_ms = now_ms - r->deadline_ms;
	bool stalled = late_ms > r->opt.beat_ms && r->deadline_ms > 0 &&
		now_ms - r->heard_leader_ms < late_ms + 4 * r->opt.elect_ms;

	if (r->role == RAFT_LEADER) {
		raft_leader_timeout(r, fx, now_ms, stalled ? late_ms : 0);
		arm(r, now_ms);
	} else if (!promotable(r, now_ms)) {
		r->leader = RAFT_NOBODY;
		raft_become(r, fx, RAFT_FOLLOWER, now_ms);
	} else if (stalled && r->leader != RAFT_NOBODY) {
		/* T29: we did not listen; what the leader said meanwhile is read first */
		arm(r, now_ms);
	} else {
		ask_first(r, fx, now_ms);
	}
}

static bool up_to_date(const struct raft *r, const struct raft_msg *m)
{
	uint64_t mine = raft_term_of(r, r->last);

	return mutant(VOTE_STALE_LOG) || m->index_term > mine || (m->index_term == mine && m->index >= r->last);
}

/* Leader stickiness: who hears a leader does not help to depose it [Raft 4.2.3]. */
static bool hears_leader(const struct raft *r, uint64_t now_ms)
{
	return r->role == RAFT_LEADER ||
		(r->leader != RAFT_NOBODY && now_ms - r->heard_leader_ms < r->opt.elect_ms);
}

/* Two that ask at the same moment would split the votes: the smaller number lets the other go first. */
static bool yields(const struct raft *r, const struct raft_msg *m, uint64_t now_ms)
{
	return r->role != RAFT_PRECANDIDATE || m->from > r->id || m->index_term > raft_term_of(r, r->last) ||
		m->index > r->last || now_ms - r->asked_ms > r->opt.elect_ms / 4;
}

static void on_prevote(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	struct raft_msg *a = raft_send(r, fx, RAFT_PREVOTE_OK, m->from);
	bool current = up_to_date(r, m);

	a->ok = !hears_leader(r, now_ms) && m->term > r->term && current && !r->recovering && yields(r, m, now_ms);
	if (a->ok)
		a->term = m->term;	/* a refusal tells our own term: the asker learns it (T12) */
	/* T16: told only by who knows better; a newer configuration may be in the asker's log. */
	a->removed = r->nconfigs > 0 && r->configs[0].index <= r->commit && !current &&
		!votes_in(&r->configs[0], m->from) && !votes_in(raft_config(r), m->from);
}

static void on_vote(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	bool ok = m->term == r->term && up_to_date(r, m) && (!r->recovering || mutant(AMNESIAC_VOTES)) &&
		(r->voted_for == RAFT_NOBODY || r->voted_for == m->from || mutant(VOTE_TWICE));

	if (ok && r->voted_for != m->from) {
		r->voted_for = m->from;
		fx->persist = true;
	}
	if (ok)
		arm(r, now_ms);			/* T11 */
	raft_send(r, fx, RAFT_VOTE_OK, m->from)->ok = ok;
}

static void on_votes(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	const struct raft_config *c = raft_config(r);
	bool pre = m->type == RAFT_PREVOTE_OK;
	uint32_t i = raft_place(r, m->from), all = (1u << c->n) - 1;

	if (m->removed && r->role == RAFT_PRECANDIDATE) {
		r->removed = true;
		raft_become(r, fx, RAFT_FOLLOWER, now_ms);
		return;
	}
	if (r->role != (pre ? RAFT_PRECANDIDATE : RAFT_CANDIDATE) || i == RAFT_MEMBERS_MAX)
		return;
	if (!m->ok && m->term == r->term) {
		r->refused |= 1u << i;
		/* Nothing can come of it any more: another try soon, not after a whole timeout. */
		if (!raft_config_quorum(c, all & ~r->refused) && !pre)
			r->deadline_ms = now_ms + r->opt.beat_ms / 2 + rng_below(&r->rng, r->opt.elect_ms / 2);
		return;
	}
	if (!m->ok || m->term != (pre ? r->term + 1 : r->term))
		return;
	r->votes |= 1u << i;		/* a set: a doubled message counts once */
	if (!raft_config_quorum(c, r->votes))
		return;
	if (pre)
		campaign(r, fx, now_ms, false);
	else
		raft_lead(r, fx, now_ms);
}

/* ---- the follower's side of replication ---- */

static void answer(struct raft *r, struct raft_effects *fx, uint64_t at)
{
	struct raft_msg *a = raft_send(r, fx, RAFT_APPEND_OK, r->leader);

	a->ok = true;
	a->index = r->verified < r->durable ? r->verified : r->durable;		/* R3, R6 */
	if (mutant(ACK_LOG_END))
		a->index = r->durable;
	if (mutant(ACK_UNSYNCED))
		a->index = r->verified;
	a->at = at;
	a->round = r->round_seen;
}

/* R11: the log has again what this node may have acknowledged. */
static void check_recovered(struct raft *r, struct raft_effects *fx)
{
	if (r->recovering && r->commit > 0 && r->durable >= r->commit && raft_term_of(r, r->commit) == r->term) {
		r->recovering = false;
		fx->persist = true;
	}
}

static void refuse_append(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	struct raft_msg *a = raft_send(r, fx, RAFT_APPEND_OK, m->from);

	a->at = m->index;
	a->lost = r->recovering;
	a->round = r->round_seen;
	a->index = raft_log_meet(r, m->index, m->index_term);		/* go on from here */
	a->index_term = raft_term_of(r, a->index);
}

/* Nothing has changed yet. E_BAD: no log is like that; E_DAMAGED: it contradicts what is committed. */
static int check_append(const struct raft *r, const struct raft_msg *m)
{
	uint64_t term = m->index_term;

	for (uint32_t i = 0; i < m->n; i++) {
		const struct raft_entry *e = &m->entries[i];

		if (e->index != m->index + 1 + i || e->term < term || e->term > m->term ||
		    (e->type == RAFT_CONFIG && !e->config))
			return E_BAD;
		term = e->term;
	}
	if (m->term < r->term)
		return OK;
	if (m->term == r->term && r->role == RAFT_LEADER)
		return E_DAMAGED;		/* R1 */
	if (m->index >= r->base && m->index <= r->commit && raft_term_of(r, m->index) != m->index_term)
		return E_DAMAGED;		/* T8 */
	for (uint32_t i = 0; i < m->n && m->entries[i].index <= r->commit; i++)
		if (m->entries[i].index >= r->base && raft_term_of(r, m->entries[i].index) != m->entries[i].term)
			return E_DAMAGED;
	return OK;
}

static void take_entries(struct raft *r, const struct raft_msg *m, struct raft_effects *fx)
{
	uint32_t skip = 0;

	while (skip < m->n && (m->entries[skip].index <= r->base ||
			       raft_term_of(r, m->entries[skip].index) == m->entries[skip].term))
		skip++;
	if (mutant(TRUNCATE_SHORTER) && skip == m->n && m->n > 0 && m->index + m->n < r->last &&
		m->index + m->n >= r->commit) {
		fx->truncate_from = m->index + m->n + 1;
		raft_log_cut(r, fx->truncate_from, fx);
	}
	if (skip == m->n)
		return;
	if (m->entries[skip].index <= r->last) {		/* T7: only a real conflict cuts */
		fx->truncate_from = m->entries[skip].index;
		raft_log_cut(r, fx->truncate_from, fx);
	}
	fx->append = m->entries + skip;
	fx->nappend = m->n - skip;
	for (uint32_t i = skip; i < m->n; i++)
		raft_log_add(r, &m->entries[i], fx);
}

static void on_append(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	if (m->term < r->term) {
		raft_send(r, fx, RAFT_APPEND_OK, m->from)->at = m->index;	/* T15: tells the newer term */
		return;
	}
	if (r->role != RAFT_FOLLOWER)
		follow(r, fx, m->term, now_ms);
	r->leader = m->from;
	r->heard_leader_ms = now_ms;
	r->removed = false;
	arm(r, now_ms);
	bool news = m->round > r->round_seen;

	if (news)
		r->round_seen = m->round;
	if (m->index > r->last || (m->index >= r->base && raft_term_of(r, m->index) != m->index_term)) {
		refuse_append(r, m, fx);
		return;
	}
	if (r->durable == r->last)
		r->moved_ms = now_ms;
	take_entries(r, m, fx);
	uint64_t at = m->index + m->n;

	if (at > r->verified)
		r->verified = at;
	uint64_t commit = m->commit < r->verified ? m->commit : r->verified;	/* T6, T10 */
	if (mutant(COMMIT_UNVERIFIED))
		commit = m->commit < r->last ? m->commit : r->last;

	if (commit > r->commit)
		raft_commit_to(r, commit, fx);
	check_recovered(r, fx);
	/* What is not synced yet is answered when it is; a heartbeat and a new round at once. */
	if (m->n == 0 || news || r->durable >= at)
		answer(r, fx, at);
}

/* T21: an image that this node does not need is answered as an append would be. */
static void on_snapshot(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	if (m->term < r->term) {
		raft_send(r, fx, RAFT_APPEND_OK, m->from)->at = m->index;
		return;
	}
	if (r->role != RAFT_FOLLOWER)
		follow(r, fx, m->term, now_ms);
	r->leader = m->from;
	r->heard_leader_ms = now_ms;
	arm(r, now_ms);
	if (m->index <= r->commit || raft_term_of(r, m->index) == m->index_term) {
		if (m->index > r->verified)
			r->verified = m->index;
		if (m->index > r->commit)
			raft_commit_to(r, m->index, fx);
		answer(r, fx, m->index);
	}
}

static void on_timeout_now(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	if (m->term == r->term && r->role != RAFT_LEADER && promotable(r, now_ms))
		campaign(r, fx, now_ms, true);
}

static int on_msg(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	/* A pre-vote names a term that nobody has yet; its grant names it back. */
	bool future = m->type == RAFT_PREVOTE || (m->type == RAFT_PREVOTE_OK && m->ok);

	int err = m->type == RAFT_APPEND ? check_append(r, m) : OK;

	if (err)
		return err;
	/* Stickiness holds for votes too, or a cut-off node would depose a leader that is heard (T13, T16);
	 * but it is answered (T15). */
	if (m->type == RAFT_VOTE && !m->forced && m->term > r->term && m->from != r->leader && hears_leader(r,
		now_ms)) {
		raft_send(r, fx, RAFT_VOTE_OK, m->from);
		return OK;
	}
	if (m->term > r->term && !future)
		follow(r, fx, m->term, now_ms);
	switch (m->type) {
	case RAFT_PREVOTE:
		on_prevote(r, m, fx, now_ms);
		break;
	case RAFT_VOTE:
		on_vote(r, m, fx, now_ms);
		break;
	case RAFT_PREVOTE_OK:
	case RAFT_VOTE_OK:
		on_votes(r, m, fx, now_ms);
		break;
	case RAFT_APPEND:
		on_append(r, m, fx, now_ms);
		break;
	case RAFT_APPEND_OK:
		raft_on_append_ok(r, m, fx, now_ms);
		break;
	case RAFT_SNAPSHOT:
		on_snapshot(r, m, fx, now_ms);
		break;
	case RAFT_TIMEOUT_NOW:
		on_timeout_now(r, m, fx, now_ms);
		break;
	}
	return OK;
}

/* ---- other events ---- */

static void on_durable(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	r->moved_ms = ev->now_ms;
	/* T9: of an entry that was rewritten meanwhile: not this one's word. */
	if (ev->index > r->last || (raft_term_of(r, ev->index) != ev->term && !mutant(DURABLE_ABA)) ||
	    ev->index <= r->durable)
		return;
	r->durable = ev->index;
	if (r->role == RAFT_LEADER) {
		raft_advance_commit(r, fx, ev->now_ms);
	} else if (r->leader != RAFT_NOBODY) {
		check_recovered(r, fx);
		answer(r, fx, r->verified < r->durable ? r->verified : r->durable);
	}
}

static void on_connection(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	bool up = ev->type == RAFT_EV_UP;
	uint32_t i = raft_place(r, ev->peer);

	if (r->role == RAFT_LEADER && i < RAFT_MEMBERS_MAX) {
		struct raft_peer *p = &r->peer[i];

		if (p->pace != RAFT_IMAGE || !up)
			raft_peer_reset(p, p->match > 0 ? p->match + 1 : p->next);
		p->sent_ms = 0;
		return;
	}
	/* What was asked before may have been lost with the connection, or have met a node that was no member yet. */
	if (up && r->role == RAFT_CANDIDATE && i < RAFT_MEMBERS_MAX && !(r->votes >> i & 1) &&
	    votes_in(raft_config(r), ev->peer))
		ask_one(r, fx, RAFT_VOTE, false, ev->peer);
	if (r->role == RAFT_LEADER || r->role == RAFT_CANDIDATE)
		return;
	/* Nobody leads as far as we know: ask as soon as there is somebody to ask. The jitter keeps the
	 * nodes that saw the same connection end from asking at once. */
	bool lost = !up && ev->peer == r->leader;

	if (lost)
		r->leader = RAFT_NOBODY;
	if (lost || (up && r->leader == RAFT_NOBODY)) {
		uint64_t at = ev->now_ms + RAFT_JITTER_MS + rng_below(&r->rng, 5 * RAFT_JITTER_MS);

		r->deadline_ms = at < r->deadline_ms ? at : r->deadline_ms;
	}
}

bool raft_wants_image(const struct raft *r, uint64_t index, uint64_t term)
{
	return index > r->commit && raft_term_of(r, index) != term;
}

static void on_installed(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	struct raft_config before = *raft_config(r);

	if (!raft_wants_image(r, ev->index, ev->term))
		return;
	raft_log_reset(r, ev->index, ev->term, ev->config);
	raft_peers_place(r, &before, ev->now_ms);
	fx->config_changed = true;
	check_recovered(r, fx);
	if (r->leader != RAFT_NOBODY && r->role == RAFT_FOLLOWER)
		answer(r, fx, r->verified);
}

static int on_bootstrap(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	if (r->last != 0 || r->nconfigs != 0)
		return E_EXIST;
	r->term = r->term > 1 ? r->term : 1;
	fx->persist = true;
	fx->own = (struct raft_entry){ 1, r->term, RAFT_CONFIG, ev->entries[0].handle, ev->config };
	fx->append = &fx->own;
	fx->nappend = 1;
	raft_log_add(r, &fx->own, fx);
	r->moved_ms = r->deadline_ms = ev->now_ms;		/* and ask at once */
	return OK;
}

static int on_event(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	switch (ev->type) {
	case RAFT_EV_TIMEOUT:
		if (ev->now_ms >= r->deadline_ms)
			on_timeout(r, fx, ev->now_ms);
		return OK;
	case RAFT_EV_MSG:
		return ev->msg.from == RAFT_NOBODY || ev->msg.from == r->id || ev->msg.type < RAFT_PREVOTE ||
			ev->msg.type > RAFT_TIMEOUT_NOW ? E_BAD : on_msg(r, &ev->msg, fx, ev->now_ms);
	case RAFT_EV_PROPOSE:
		return raft_on_propose(r, ev, fx);
	case RAFT_EV_DURABLE:
		on_durable(r, ev, fx);
		return OK;
	case RAFT_EV_FLUSH:
		raft_flush(r, fx, ev->now_ms);
		return OK;
	case RAFT_EV_READ:
		if (!raft_serves(r))
			return E_AGAIN;			/* T3 */
		raft_on_read(r, fx);
		return OK;
	case RAFT_EV_UP:
	case RAFT_EV_LOST:
		on_connection(r, ev, fx);
		return OK;
	case RAFT_EV_FETCHED:
	case RAFT_EV_IMAGE_FAILED:
		if (r->role == RAFT_LEADER && raft_place(r, ev->peer) < RAFT_MEMBERS_MAX) {
			struct raft_peer *p = &r->peer[raft_place(r, ev->peer)];

			p->fetching = false;
			if (ev->type == RAFT_EV_IMAGE_FAILED && p->pace == RAFT_IMAGE)
				raft_peer_reset(p, p->match + 1);
		}
		return OK;
	case RAFT_EV_INSTALLED:
		on_installed(r, ev, fx);
		return OK;
	case RAFT_EV_TRANSFER:
		return raft_transfer(r, ev->peer, ev->now_ms);
	case RAFT_EV_BOOTSTRAP:
		return on_bootstrap(r, ev, fx);
	}
	return E_BAD;
}

int raft_step(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	struct raft_config before = *raft_config(r);

	memset(fx, 0, offsetof(struct raft_effects, msgs));
	memset(&fx->commit, 0, sizeof *fx - offsetof(struct raft_effects, commit));
	int err = on_event(r, ev, fx);

	if (err)
		return err;
	if (fx->config_changed && ev->type != RAFT_EV_INSTALLED)
		raft_peers_place(r, &before, ev->now_ms);
	must(r->commit <= r->last);
	must(r->durable <= r->last);
	must(r->base <= r->commit);
	must(r->nconfigs == 0 || r->configs[r->nconfigs - 1].index <= r->last);	/* R8 */
	must(r->role != RAFT_LEADER || r->verified <= r->last);
	fx->next_timeout_ms = r->deadline_ms;
	return OK;
}
