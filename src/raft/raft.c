/* raft.c - the protocol's table of contents is raft_step(), at the end. [Raft n]: the thesis/paper. */
#include "raft/raft.h"

#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

void raft_init(struct raft *r, uint32_t id, uint32_t n, uint64_t seed)
{
	must(n > 0 && n <= RAFT_NODES_MAX);
	must(id < n);
	*r = (struct raft){ .id = id, .n = n, .voted_for = RAFT_NOBODY, .leader = RAFT_NOBODY };
	rng_init(&r->rng, seed);
}

void raft_release(struct raft *r)
{
	mem_free(r->runs);
	r->runs = NULL;
	r->nruns = r->runs_cap = 0;
}

/* ---- the log as runs of terms ---- */

uint64_t raft_term_of(const struct raft *r, uint64_t index)
{
	if (index == r->base)
		return r->base_term;
	if (index < r->base || index > r->last)
		return 0;
	for (uint32_t i = r->nruns; i-- > 0;)
		if (r->runs[i].first <= index)
			return r->runs[i].term;
	return 0;
}

static void log_add(struct raft *r, uint64_t index, uint64_t term)
{
	must(index == r->last + 1);
	must(term >= raft_term_of(r, r->last));
	r->last = index;
	if (r->nruns > 0 && r->runs[r->nruns - 1].term == term)
		return;
	if (r->nruns == r->runs_cap) {
		r->runs_cap = r->runs_cap ? r->runs_cap * 2 : 16;
		r->runs = mem_resize(r->runs, r->runs_cap * sizeof *r->runs);
	}
	r->runs[r->nruns++] = (struct raft_run){ index, term };
}

static void log_cut(struct raft *r, uint64_t from)
{
	must(from > r->commit);			/* R5 */
	r->last = from - 1;
	while (r->nruns > 0 && r->runs[r->nruns - 1].first >= from)
		r->nruns--;
	if (r->durable > r->last)
		r->durable = r->last;
	if (r->verified > r->last)
		r->verified = r->last;
}

void raft_restore(struct raft *r, uint64_t term, uint32_t voted_for, uint64_t base, uint64_t base_term)
{
	r->term = term;
	r->voted_for = voted_for;
	r->base = r->last = r->durable = r->commit = base;
	r->base_term = base_term;
}

void raft_restore_entry(struct raft *r, uint64_t index, uint64_t term)
{
	log_add(r, index, term);
	r->durable = index;
}

void raft_compact(struct raft *r, uint64_t index)
{
	must(index <= r->commit);
	if (index <= r->base)
		return;
	uint64_t term = raft_term_of(r, index);
	uint32_t drop = 0;

	while (drop + 1 < r->nruns && r->runs[drop + 1].first <= index + 1)
		drop++;
	if (drop > 0)
		memmove(r->runs, r->runs + drop, (r->nruns - drop) * sizeof *r->runs);
	r->nruns -= drop;
	r->base = index;
	r->base_term = term;
	if (r->nruns > 0 && r->runs[0].first <= index)
		r->runs[0].first = index + 1;
	if (r->last == index)
		r->nruns = 0;
}

bool raft_serves(const struct raft *r)
{
	return r->role == RAFT_LEADER && r->commit >= r->noop;
}

/* ---- roles ---- */

static uint32_t majority(const struct raft *r)
{
	return r->n / 2 + 1;
}

static struct raft_msg *send(const struct raft *r, struct raft_effects *fx, enum raft_msg_type t,
			     uint32_t to)
{
	must(fx->nmsgs < 2 * RAFT_NODES_MAX);
	struct raft_msg *m = &fx->msgs[fx->nmsgs++];

	*m = (struct raft_msg){ .type = t, .from = r->id, .to = to, .term = r->term };
	return m;
}

static void arm(struct raft *r, uint64_t now_ms)
{
	r->deadline_ms = now_ms + (r->role == RAFT_LEADER
		? RAFT_BEAT_MS : RAFT_ELECT_MS + rng_below(&r->rng, RAFT_ELECT_MS));
}

static void become(struct raft *r, struct raft_effects *fx, enum raft_role role, uint64_t now_ms)
{
	if (role != r->role)
		fx->role_changed = true;
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
		r->verified = r->commit;
		fx->persist = true;
	}
	become(r, fx, RAFT_FOLLOWER, now_ms);
}

static void send_append(struct raft *r, struct raft_effects *fx, uint32_t to, uint64_t now_ms)
{
	struct raft_peer *p = &r->peer[to];

	p->beat_ms = now_ms;
	if (p->next <= r->base && r->base > 0) {
		struct raft_msg *m = send(r, fx, RAFT_SNAPSHOT, to);

		m->index = r->base;
		m->index_term = r->base_term;
		return;
	}
	struct raft_msg *m = send(r, fx, RAFT_APPEND, to);
	uint64_t n = r->last + 1 - p->next;

	m->index = p->next - 1;
	m->index_term = raft_term_of(r, m->index);
	m->commit = r->commit;
	m->n = n > RAFT_BATCH_MAX ? RAFT_BATCH_MAX : (uint32_t)n;
	p->next += m->n;		/* pipelined; a refusal or a loss sets it back */
}

static void advance_commit(struct raft *r, struct raft_effects *fx)
{
	uint64_t v[RAFT_NODES_MAX];

	for (uint32_t i = 0; i < r->n; i++)	/* descending */
		for (uint32_t k = i; ; k--) {
			uint64_t m = i == r->id ? r->durable : r->peer[i].match;

			if (k == 0 || v[k - 1] >= m) {
				v[k] = m;
				break;
			}
			v[k] = v[k - 1];
		}
	uint64_t to = v[majority(r) - 1];

	if (to > r->commit && raft_term_of(r, to) == r->term) {		/* R4, [Raft 5.4.2] */
		r->commit = to;
		fx->commit = to;
	}
}

static void lead(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	become(r, fx, RAFT_LEADER, now_ms);
	r->leader = r->id;
	for (uint32_t i = 0; i < r->n; i++)
		r->peer[i] = (struct raft_peer){ .next = r->last + 1, .heard_ms = now_ms };
	fx->noop = (struct raft_entry){ r->last + 1, r->term, RAFT_NOOP, NULL };
	fx->append = &fx->noop;
	fx->nappend = 1;
	log_add(r, r->last + 1, r->term);
	r->noop = r->last;
	for (uint32_t i = 0; i < r->n; i++)
		if (i != r->id)
			send_append(r, fx, i, now_ms);
}

static void ask(struct raft *r, struct raft_effects *fx, enum raft_msg_type t)
{
	for (uint32_t i = 0; i < r->n; i++) {
		if (i == r->id)
			continue;
		struct raft_msg *m = send(r, fx, t, i);

		m->term = t == RAFT_PREVOTE ? r->term + 1 : r->term;	/* R7 */
		m->index = r->last;
		m->index_term = raft_term_of(r, r->last);
	}
}

static void campaign(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	become(r, fx, RAFT_CANDIDATE, now_ms);			/* [Raft 5.2] */
	r->term++;
	r->voted_for = r->id;
	r->leader = RAFT_NOBODY;
	r->votes = 1u << r->id;
	fx->persist = true;
	if (majority(r) == 1)
		lead(r, fx, now_ms);
	else
		ask(r, fx, RAFT_VOTE);
}

static void on_timeout(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	if (r->role == RAFT_LEADER) {
		uint32_t alive = 1;

		for (uint32_t i = 0; i < r->n; i++)
			alive += i != r->id && now_ms - r->peer[i].heard_ms < RAFT_ELECT_MS;
		if (alive < majority(r)) {		/* check-quorum [Raft 6.2] */
			r->leader = RAFT_NOBODY;
			become(r, fx, RAFT_FOLLOWER, now_ms);
			return;
		}
		for (uint32_t i = 0; i < r->n; i++)
			if (i != r->id) {
				/* What was not answered for long is sent again. */
				if (r->peer[i].next > r->peer[i].match + 1 &&
				    now_ms - r->peer[i].heard_ms > 2 * RAFT_BEAT_MS)
					r->peer[i].next = r->peer[i].match + 1;
				send_append(r, fx, i, now_ms);
			}
		arm(r, now_ms);
		return;
	}
	if (majority(r) == 1) {
		campaign(r, fx, now_ms);
		return;
	}
	become(r, fx, RAFT_PRECANDIDATE, now_ms);
	r->leader = RAFT_NOBODY;
	r->votes = 1u << r->id;
	ask(r, fx, RAFT_PREVOTE);
}

/* ---- messages ---- */

static bool up_to_date(const struct raft *r, const struct raft_msg *m)
{
	uint64_t mine = raft_term_of(r, r->last);

	return m->index_term > mine || (m->index_term == mine && m->index >= r->last);
}

static void on_prevote(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	/* Leader stickiness: who hears a leader does not help to depose it [Raft 4.2.3]. */
	bool sticky = r->role == RAFT_LEADER ||
		(r->leader != RAFT_NOBODY && now_ms - r->heard_leader_ms < RAFT_ELECT_MS);
	struct raft_msg *a = send(r, fx, RAFT_PREVOTE_OK, m->from);

	a->ok = !sticky && m->term > r->term && up_to_date(r, m);
	if (a->ok)
		a->term = m->term;	/* a refusal tells our own term: the asker learns it */
}

static void on_vote(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	bool ok = m->term == r->term && up_to_date(r, m) &&
		(r->voted_for == RAFT_NOBODY || r->voted_for == m->from);

	if (ok && r->voted_for != m->from) {
		r->voted_for = m->from;
		fx->persist = true;
	}
	if (ok)
		arm(r, now_ms);
	send(r, fx, RAFT_VOTE_OK, m->from)->ok = ok;
}

static void on_votes(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	bool pre = m->type == RAFT_PREVOTE_OK;

	if (r->role != (pre ? RAFT_PRECANDIDATE : RAFT_CANDIDATE) || !m->ok ||
	    m->term != (pre ? r->term + 1 : r->term))
		return;
	r->votes |= 1u << m->from;		/* a set: a doubled message counts once */
	if ((uint32_t)__builtin_popcount(r->votes) < majority(r))
		return;
	if (pre)
		campaign(r, fx, now_ms);
	else
		lead(r, fx, now_ms);
}

static void answer_append(struct raft *r, struct raft_effects *fx, uint32_t to)
{
	struct raft_msg *a = send(r, fx, RAFT_APPEND_OK, to);

	a->ok = true;
	a->index = r->verified < r->durable ? r->verified : r->durable;		/* R3, R6 */
}

static void on_append(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	if (m->term < r->term) {
		send(r, fx, RAFT_APPEND_OK, m->from);	/* tells the newer term */
		return;
	}
	must(r->role != RAFT_LEADER);			/* R1 */
	if (r->role != RAFT_FOLLOWER)
		follow(r, fx, m->term, now_ms);
	r->leader = m->from;
	r->heard_leader_ms = now_ms;
	arm(r, now_ms);
	if (m->index > r->last ||
	    (m->index >= r->base && raft_term_of(r, m->index) != m->index_term)) {
		struct raft_msg *a = send(r, fx, RAFT_APPEND_OK, m->from);

		a->index = m->index > r->last ? r->last : r->commit;	/* go on from here */
		return;
	}
	uint32_t skip = 0;

	while (skip < m->n && (m->entries[skip].index <= r->base ||
			       raft_term_of(r, m->entries[skip].index) == m->entries[skip].term))
		skip++;
	if (skip < m->n && m->entries[skip].index <= r->last) {		/* only a real conflict cuts */
		fx->truncate_from = m->entries[skip].index;
		log_cut(r, fx->truncate_from);
	}
	fx->append = m->entries + skip;
	fx->nappend = m->n - skip;
	for (uint32_t i = skip; i < m->n; i++)
		log_add(r, m->entries[i].index, m->entries[i].term);
	if (m->index + m->n > r->verified)
		r->verified = m->index + m->n;
	uint64_t commit = m->commit < r->verified ? m->commit : r->verified;

	if (commit > r->commit) {
		r->commit = commit;
		fx->commit = commit;
	}
	answer_append(r, fx, m->from);
}

static void on_append_ok(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	struct raft_peer *p = &r->peer[m->from];

	if (r->role != RAFT_LEADER || m->term != r->term)
		return;
	p->heard_ms = now_ms;
	if (!m->ok) {
		/* At or below match it is an old message. */
		p->next = m->index >= p->match && m->index + 1 < p->next ? m->index + 1 : p->next;
		send_append(r, fx, m->from, now_ms);
		return;
	}
	if (m->index > p->match && m->index <= r->last)
		p->match = m->index;
	if (p->next <= p->match)
		p->next = p->match + 1;
	advance_commit(r, fx);
	if (p->next <= r->last)
		send_append(r, fx, m->from, now_ms);
}

static void on_msg(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	/* A pre-vote names a term that nobody has yet; its grant names it back. */
	bool future = m->type == RAFT_PREVOTE || (m->type == RAFT_PREVOTE_OK && m->ok);
	/* Stickiness holds for votes too, or a cut-off node would depose a leader that is heard. */
	bool sticky = m->type == RAFT_VOTE && r->leader != RAFT_NOBODY && r->leader != m->from &&
		r->role != RAFT_LEADER && now_ms - r->heard_leader_ms < RAFT_ELECT_MS;

	if (sticky)
		return;
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
		on_append_ok(r, m, fx, now_ms);
		break;
	case RAFT_SNAPSHOT:
		break;
	}
}

static void on_propose(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	for (uint32_t i = 0; i < ev->n; i++) {
		ev->entries[i].index = r->last + 1;
		ev->entries[i].term = r->term;
		log_add(r, r->last + 1, r->term);
	}
	fx->append = ev->entries;
	fx->nappend = ev->n;
	for (uint32_t i = 0; i < r->n; i++)
		if (i != r->id && r->peer[i].next <= r->last)
			send_append(r, fx, i, ev->now_ms);
}

static void on_durable(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	/* Of an entry that was rewritten meanwhile: not this one's word. */
	if (ev->index > r->last || raft_term_of(r, ev->index) != ev->term || ev->index <= r->durable)
		return;
	r->durable = ev->index;
	if (r->role == RAFT_LEADER)
		advance_commit(r, fx);
	else if (r->leader != RAFT_NOBODY)
		answer_append(r, fx, r->leader);
}

int raft_step(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	memset(fx, 0, sizeof *fx);
	switch (ev->type) {
	case RAFT_EV_TIMEOUT:
		if (ev->now_ms >= r->deadline_ms)
			on_timeout(r, fx, ev->now_ms);
		break;
	case RAFT_EV_MSG:
		if (ev->msg.from >= r->n || ev->msg.from == r->id)
			return E_BAD;
		on_msg(r, &ev->msg, fx, ev->now_ms);
		break;
	case RAFT_EV_PROPOSE:
		if (r->role != RAFT_LEADER)
			return E_AGAIN;
		on_propose(r, ev, fx);
		break;
	case RAFT_EV_DURABLE:
		on_durable(r, ev, fx);
		break;
	default:
		return E_BAD;
	}
	must(r->commit <= r->last);
	must(r->durable <= r->last);
	fx->next_timeout_ms = r->deadline_ms;
	return OK;
}
