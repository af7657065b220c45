/* raft_leader.c - what a leader does: replicate with a window a peer, commit, confirm reads, hand over. */
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "raft/raft_in.h"

void raft_peer_reset(struct raft_peer *p, uint64_t next)
{
	p->pace = RAFT_PROBE;
	p->next = next;
	p->waiting = p->fetching = false;
	p->flight_first = p->nflight = 0;
	p->flight_bytes = 0;
	p->commit_told = p->round_told = 0;
}

void raft_peers_place(struct raft *r, const struct raft_config *before, uint64_t now_ms)
{
	const struct raft_config *c = raft_config(r);
	struct raft_peer old[RAFT_MEMBERS_MAX];

	memcpy(old, r->peer, sizeof old);
	for (uint32_t i = 0; i < c->n; i++) {
		const struct raft_member *m = raft_config_find(before, c->m[i].id);

		if (m && old[m - before->m].id == m->id) {
			r->peer[i] = old[m - before->m];
			continue;
		}
		r->peer[i] = (struct raft_peer){ .id = c->m[i].id, .heard_ms = now_ms };
		raft_peer_reset(&r->peer[i], r->last + 1);
	}
}

/* ---- sending ---- */

static void flight_add(struct raft_peer *p, uint64_t last, uint32_t bytes)
{
	uint32_t i = (p->flight_first + p->nflight++) % RAFT_FLIGHT_MAX;

	p->flight[i].last = last;
	p->flight[i].bytes = bytes;
	p->flight_bytes += bytes;
}

static void flight_done(struct raft_peer *p, uint64_t upto)
{
	while (p->nflight > 0 && p->flight[p->flight_first].last <= upto) {
		p->flight_bytes -= p->flight[p->flight_first].bytes;
		p->flight_first = (p->flight_first + 1) % RAFT_FLIGHT_MAX;
		p->nflight--;
	}
}

/* One APPEND with n entries from p->next on. */
static void send_append(struct raft *r, struct raft_effects *fx, struct raft_peer *p, uint32_t n, uint64_t now_ms)
{
	struct raft_msg *m = raft_send(r, fx, RAFT_APPEND, p->id);

	m->index = p->pace == RAFT_IMAGE ? p->match : p->next - 1;
	if (m->index < r->base) {		/* a bare heartbeat: something that is always there */
		must(n == 0);
		m->index = 0;
	}
	m->index_term = raft_term_of(r, m->index);
	m->commit = r->commit;
	m->round = r->round;
	m->n = n;
	p->sent_ms = now_ms;
	p->round_told = r->round;
	if (p->pace == RAFT_STREAM)
		p->commit_told = r->commit < m->index + n ? r->commit : m->index + n;
}

static bool window_open(const struct raft_peer *p)
{
	return p->nflight < RAFT_FLIGHT_MAX && p->flight_bytes < RAFT_WINDOW_BYTES;
}

/* Entries for p, if some are due. True: there may be more of them. */
static bool send_entries(struct raft *r, struct raft_effects *fx, struct raft_peer *p, uint64_t now_ms)
{
	if (p->pace == RAFT_IMAGE || p->fetching)
		return false;
	/* T30: the log is not kept for ever. Also when something is under way: was it lost, no heartbeat could tell
	 * any more, as none can begin at next - 1. */
	if (p->next <= r->base) {
		struct raft_msg *m = raft_send(r, fx, RAFT_SNAPSHOT, p->id);

		m->index = r->base;
		m->index_term = r->base_term;
		raft_peer_reset(p, r->base + 1);
		p->pace = RAFT_IMAGE;
		return false;
	}
	if (p->pace == RAFT_PROBE ? p->waiting : p->next > r->last || !window_open(p))
		return false;
	uint32_t n = 0, bytes = 0;

	if (p->next <= r->last) {
		uint64_t left = r->last + 1 - p->next;

		n = r->opt.store->fit(r->opt.store, p->next, left > RAFT_BATCH_MAX ? RAFT_BATCH_MAX : (uint32_t)left,
				      RAFT_BATCH_BYTES, &bytes);
		if (n == 0) {
			p->fetching = true;
			fx->fetch[fx->nfetch++] = (struct raft_fetch){ p->id, p->next };
			return false;
		}
	}
	send_append(r, fx, p, n, now_ms);
	if (p->pace == RAFT_PROBE) {
		p->waiting = true;
		return false;
	}
	p->next += n;			/* pipelined; a refusal or a loss sets it back */
	flight_add(p, p->next - 1, bytes);
	return p->next <= r->last && window_open(p);
}

static void start_round(struct raft *r, uint64_t now_ms)
{
	/* One at a time, so that a turn's reads share it; the next begins when it is confirmed or lost. */
	if (r->round_wanted > r->round &&
	    (r->round_confirmed == r->round || now_ms - r->round_ms >= r->opt.beat_ms)) {
		r->round = r->round_wanted;
		r->round_ms = now_ms;
	}
}

static void confirm_rounds(struct raft *r, struct raft_effects *fx)
{
	const struct raft_config *c = raft_config(r);
	uint64_t v[RAFT_MEMBERS_MAX];

	for (uint32_t i = 0; i < c->n; i++)
		v[i] = c->m[i].id == r->id ? r->round : r->peer[i].round;
	uint64_t agreed = raft_config_agreed(c, v);		/* R9, R10 */

	if (agreed > r->round_confirmed) {
		r->round_confirmed = agreed;
		fx->round_confirmed = agreed;
	}
}

void raft_flush(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	const struct raft_config *c = raft_config(r);

	if (r->role != RAFT_LEADER)
		return;
	start_round(r, now_ms);
	for (uint32_t i = 0; i < c->n; i++) {
		struct raft_peer *p = &r->peer[i];
		uint32_t had = fx->nmsgs;

		must(p->id == c->m[i].id);
		if (p->id == r->id)
			continue;
		fx->more |= send_entries(r, fx, p, now_ms);
		if (fx->nmsgs > had && fx->msgs[fx->nmsgs - 1].type == RAFT_APPEND)
			continue;
		bool news = p->round_told < r->round || (p->pace == RAFT_STREAM && p->commit_told < r->commit &&
							 p->commit_told < p->next - 1);

		if (news || now_ms - p->sent_ms >= r->opt.beat_ms)
			send_append(r, fx, p, 0, now_ms);
	}
	if (r->transfer_to != RAFT_NOBODY && !r->transfer_sent) {
		uint32_t i = raft_place(r, r->transfer_to);

		if (i < RAFT_MEMBERS_MAX && r->peer[i].match == r->last && fx->nmsgs < 2 * RAFT_MEMBERS_MAX) {
			raft_send(r, fx, RAFT_TIMEOUT_NOW, r->transfer_to);
			r->transfer_sent = true;
		}
	}
	confirm_rounds(r, fx);		/* a quorum of one has nobody to ask */
}

/* ---- events ---- */

void raft_lead(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	const struct raft_config *c = raft_config(r);

	raft_become(r, fx, RAFT_LEADER, now_ms);
	r->leader = r->id;
	r->transfer_to = RAFT_NOBODY;
	r->moved_ms = now_ms;
	r->round = r->round_wanted = r->round_confirmed = r->round + 1;
	fx->own = (struct raft_entry){ r->last + 1, r->term, RAFT_NOOP, NULL, NULL };
	fx->append = &fx->own;
	fx->nappend = 1;
	raft_log_add(r, &fx->own, fx);
	r->noop = r->last;
	for (uint32_t i = 0; i < c->n; i++) {
		r->peer[i] = (struct raft_peer){ .id = c->m[i].id, .heard_ms = now_ms };
		raft_peer_reset(&r->peer[i], r->last);
	}
}

/* The voter that is furthest and heard of, but not `but`. */
static uint64_t best_voter(const struct raft *r, uint64_t now_ms)
{
	const struct raft_config *c = raft_config(r);
	uint64_t best = RAFT_NOBODY, match = 0;

	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].id != r->id && (c->m[i].flags & RAFT_VOTER) && r->peer[i].match >= match &&
		    now_ms - r->peer[i].heard_ms < r->opt.elect_ms) {
			best = c->m[i].id;
			match = r->peer[i].match;
		}
	return best;
}

int raft_transfer(struct raft *r, uint64_t to, uint64_t now_ms)
{
	if (!raft_serves(r))
		return E_AGAIN;
	if (to == RAFT_NOBODY)
		to = best_voter(r, now_ms);
	const struct raft_member *m = raft_config_find(raft_config(r), to);

	if (to == RAFT_NOBODY || !m || !(m->flags & RAFT_VOTER))
		return E_NOENT;
	if (to == r->id)
		return OK;
	r->transfer_to = to;
	r->transfer_sent = false;
	r->transfer_until_ms = now_ms + r->opt.elect_ms;
	return OK;
}

void raft_leader_timeout(struct raft *r, struct raft_effects *fx, uint64_t now_ms, uint64_t late_ms)
{
	const struct raft_config *c = raft_config(r);
	uint32_t alive = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		struct raft_peer *p = &r->peer[i];

		p->heard_ms += late_ms;			/* T29: what was not read is not held against them */
		if (p->heard_ms > now_ms)
			p->heard_ms = now_ms;
		if (p->id == r->id || now_ms - p->heard_ms < r->opt.elect_ms)
			alive |= 1u << i;
		/* What was not answered for long is sent again. */
		if (now_ms - p->heard_ms > 2 * r->opt.beat_ms && p->pace != RAFT_IMAGE)
			raft_peer_reset(p, p->match > 0 ? p->match + 1 : p->next);
	}
	if (!raft_config_quorum(c, alive)) {		/* T14: check-quorum [Raft 6.2] */
		r->leader = RAFT_NOBODY;
		raft_become(r, fx, RAFT_FOLLOWER, now_ms);
		return;
	}
	if (r->transfer_to != RAFT_NOBODY && now_ms >= r->transfer_until_ms)
		r->transfer_to = RAFT_NOBODY;
	if (r->durable == r->last)
		r->moved_ms = now_ms;
	if (raft_stuck(r, now_ms) && r->transfer_to == RAFT_NOBODY)
		/* T28; alone: E_NOENT, nothing to be done */
		(void)raft_transfer(r, RAFT_NOBODY, now_ms);
	raft_flush(r, fx, now_ms);
}

/* The leader that is not a member any more, now that this is committed [Raft 4.2.2]. */
static void bow_out(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	uint64_t to = best_voter(r, now_ms);

	for (uint32_t i = 0; i < raft_config(r)->n; i++)	/* they learn of the commit from it */
		if (fx->nmsgs < 2 * RAFT_MEMBERS_MAX - 1 && r->peer[i].id != r->id && r->peer[i].pace == RAFT_STREAM)
			send_append(r, fx, &r->peer[i], 0, now_ms);
	if (to != RAFT_NOBODY)
		raft_send(r, fx, RAFT_TIMEOUT_NOW, to);
	r->leader = RAFT_NOBODY;
	raft_become(r, fx, RAFT_FOLLOWER, now_ms);
}

void raft_advance_commit(struct raft *r, struct raft_effects *fx, uint64_t now_ms)
{
	const struct raft_config *c = raft_config(r);
	uint64_t v[RAFT_MEMBERS_MAX];

	for (uint32_t i = 0; i < c->n; i++)
		v[i] = c->m[i].id != r->id ? r->peer[i].match : mutant(COUNT_UNSYNCED) ? r->last : r->durable;
	uint64_t to = raft_config_agreed(c, v);

	/* R4, T2 [Raft 5.4.2] */
	if (to <= r->commit || (raft_term_of(r, to) != r->term && !mutant(COMMIT_OLD_TERM)))
		return;
	raft_commit_to(r, to, fx);
	c = raft_config(r);
	const struct raft_member *me = raft_config_find(c, r->id);

	if (r->nconfigs == 1 && c->index <= r->commit && (!me || !(me->flags & (RAFT_VOTER | RAFT_OLD))))
		bow_out(r, fx, now_ms);
}

static void refused(struct raft *r, struct raft_peer *p, const struct raft_msg *m)
{
	/* R11: its word of then does not count any more */
	if (m->lost && m->index < p->match && !mutant(LOST_STILL_COUNTS)) {
		p->match = 0;
		raft_peer_reset(p, m->at + 1);
	}
	/* Old news: refuses what was answered since, or another probe than the one that is out. */
	if (m->at < p->match || (p->pace == RAFT_PROBE && m->at != p->next - 1) || p->pace == RAFT_IMAGE)
		return;
	uint64_t meet = raft_log_meet(r, m->index, m->index_term);

	if (meet < p->match)
		meet = p->match;
	raft_peer_reset(p, meet + 1 <= m->at ? meet + 1 : m->at > 0 ? m->at : 1);
}

void raft_on_append_ok(struct raft *r, const struct raft_msg *m, struct raft_effects *fx, uint64_t now_ms)
{
	uint32_t i = raft_place(r, m->from);

	if (r->role != RAFT_LEADER || m->term != r->term || i == RAFT_MEMBERS_MAX)
		return;
	struct raft_peer *p = &r->peer[i];

	p->heard_ms = now_ms;
	if (m->round > p->round && m->round <= r->round) {
		p->round = m->round;
		confirm_rounds(r, fx);
	}
	if (!m->ok) {
		refused(r, p, m);
		return;
	}
	if (m->index > p->match && m->index <= r->last) {	/* T5: verified against this leader's log */
		p->match = m->index;
		flight_done(p, p->match);
	}
	if (p->pace == RAFT_IMAGE && p->match >= r->base) {
		raft_peer_reset(p, p->match + 1);
		p->pace = RAFT_STREAM;
	} else if (p->pace == RAFT_PROBE && m->at >= p->next - 1 && m->at <= r->last) {
		raft_peer_reset(p, m->at + 1);
		p->pace = RAFT_STREAM;
	}
	if (p->next <= p->match)
		p->next = p->match + 1;
	raft_advance_commit(r, fx, now_ms);
}

int raft_on_propose(struct raft *r, const struct raft_event *ev, struct raft_effects *fx)
{
	if (r->role != RAFT_LEADER || r->transfer_to != RAFT_NOBODY)
		return E_AGAIN;
	for (uint32_t i = 0; i < ev->n; i++)
		if (ev->entries[i].type == RAFT_CONFIG && (ev->n != 1 || !raft_serves(r) || r->nconfigs != 1))
			return E_AGAIN;			/* R8, T3 */
	if (r->durable == r->last)
		r->moved_ms = ev->now_ms;
	for (uint32_t i = 0; i < ev->n; i++) {
		ev->entries[i].index = r->last + 1;
		ev->entries[i].term = r->term;
		raft_log_add(r, &ev->entries[i], fx);
	}
	fx->append = ev->entries;
	fx->nappend = ev->n;
	return OK;
}

void raft_on_read(struct raft *r, struct raft_effects *fx)
{
	r->round_wanted = mutant(READ_OLD_ROUND) && r->round > r->round_confirmed ? r->round : r->round + 1;
	fx->read_round = r->round_wanted;
}
