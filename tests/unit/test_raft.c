/* test_raft.c - consensus: a single voter, then three and five over a network that loses, doubles and
 * delays, with crashes that forget what was not durable. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "raft/raft.h"

#define LOG_MAX 4096
#define WIRE_MAX 512

struct sim_node {
	struct raft r;
	uint64_t terms[LOG_MAX];	/* the log as written; [1..last] */
	uint64_t last, durable, term_on_disk, at_ms, commit;
	uint32_t vote_on_disk;
};

struct packet {
	struct raft_msg m;
	struct raft_entry v[RAFT_BATCH_MAX];
	uint64_t at_ms;
	bool used;
};

struct world {
	struct sim_node node[5];
	uint32_t n;
	struct packet wire[WIRE_MAX];
	uint64_t now, committed[LOG_MAX], max_commit, leader_of[1024];
	struct rng rng;
	uint32_t loss;			/* percent */
	uint32_t cut;			/* node that nobody hears and that hears nobody; n: none */
	uint64_t elections, truncated;
};

static void send(struct world *w, const struct raft_msg *m)
{
	for (uint32_t copies = 1 + (rng_below(&w->rng, 50) == 0); copies > 0; copies--) {
		if (rng_below(&w->rng, 100) < w->loss || m->to == w->cut || m->from == w->cut)
			continue;
		for (int i = 0; i < WIRE_MAX; i++) {
			struct packet *p = &w->wire[i];

			if (p->used)
				continue;
			p->used = true;
			p->m = *m;
			p->at_ms = w->now + 1 + rng_below(&w->rng, rng_below(&w->rng, 10) ? 5 : 200);
			for (uint32_t k = 0; m->type == RAFT_APPEND && k < m->n; k++)
				p->v[k] = (struct raft_entry){ m->index + 1 + k,
							       w->node[m->from].terms[m->index + 1 + k],
							       RAFT_DATA, NULL };
			break;
		}
	}
}

static void step(struct world *w, uint32_t i, struct raft_event ev)
{
	struct sim_node *s = &w->node[i];
	struct raft_effects fx;

	ev.now_ms = w->now;
	int err = raft_step(&s->r, &ev, &fx);
	if (err == E_AGAIN)
		return;
	cr_assert_eq(err, OK);
	if (fx.persist) {
		s->term_on_disk = s->r.term;
		s->vote_on_disk = s->r.voted_for;
	}
	if (fx.truncate_from > 0) {
		w->truncated++;
		s->last = fx.truncate_from - 1;
		s->durable = s->durable < s->last ? s->durable : s->last;
	}
	for (uint32_t k = 0; k < fx.nappend; k++) {
		cr_assert_eq(fx.append[k].index, s->last + 1);
		cr_assert_lt(s->last + 1, LOG_MAX);
		s->terms[++s->last] = fx.append[k].term;
	}
	for (uint32_t k = 0; k < fx.nmsgs; k++)
		send(w, &fx.msgs[k]);
	if (fx.role_changed && s->r.role == RAFT_LEADER) {
		w->elections++;
		cr_assert_lt(s->r.term, 1024);
		cr_assert(w->leader_of[s->r.term] == 0 || w->leader_of[s->r.term] == i + 1,
			  "R1: two leaders in a term");
		w->leader_of[s->r.term] = i + 1;
	}
	for (; fx.commit > s->commit; s->commit++) {	/* state machine safety */
		uint64_t at = s->commit + 1;

		cr_assert_leq(at, s->last);
		cr_assert(w->committed[at] == 0 || w->committed[at] == s->terms[at], "a committed entry differs");
		w->committed[at] = s->terms[at];
		w->max_commit = at > w->max_commit ? at : w->max_commit;
	}
	s->at_ms = fx.next_timeout_ms;
}

static void crash(struct world *w, uint32_t i)
{
	struct sim_node *s = &w->node[i];

	s->last = s->durable;
	raft_release(&s->r);
	raft_init(&s->r, i, w->n, rng_next(&w->rng));
	raft_restore(&s->r, s->term_on_disk, s->vote_on_disk, 0, 0);
	for (uint64_t k = 1; k <= s->last; k++)
		raft_restore_entry(&s->r, k, s->terms[k]);
	s->commit = 0;
	s->at_ms = w->now + rng_below(&w->rng, 100);
}

static void tick(struct world *w)
{
	w->now++;
	for (uint32_t i = 0; i < w->n; i++)
		if (w->now >= w->node[i].at_ms)
			step(w, i, (struct raft_event){ .type = RAFT_EV_TIMEOUT });
	for (int i = 0; i < WIRE_MAX; i++) {
		struct packet *p = &w->wire[i];

		if (!p->used || p->at_ms > w->now)
			continue;
		struct raft_event ev = { .type = RAFT_EV_MSG, .msg = p->m };
		static struct raft_entry copy[RAFT_BATCH_MAX];

		memcpy(copy, p->v, sizeof copy);
		ev.msg.entries = copy;
		p->used = false;
		step(w, ev.msg.to, ev);
	}
	for (uint32_t i = 0; i < w->n; i++) {
		struct sim_node *s = &w->node[i];

		if (s->durable < s->last && rng_below(&w->rng, 4) == 0) {
			s->durable = s->last;
			step(w, i, (struct raft_event){ .type = RAFT_EV_DURABLE, .index = s->last,
							.term = s->terms[s->last] });
		}
		if (s->r.role == RAFT_LEADER && s->last < LOG_MAX - 100 && rng_below(&w->rng, 40) == 0) {
			struct raft_entry e = { .type = RAFT_DATA };

			step(w, i, (struct raft_event){ .type = RAFT_EV_PROPOSE, .entries = &e, .n = 1 });
		}
	}
}

static struct world *world_new(uint32_t n, uint64_t seed)
{
	struct world *w = mem_alloc(sizeof *w);

	w->n = w->cut = n;
	rng_init(&w->rng, seed);
	for (uint32_t i = 0; i < n; i++) {
		w->node[i].vote_on_disk = RAFT_NOBODY;
		crash(w, i);
	}
	return w;
}

static void world_free(struct world *w)
{
	for (uint32_t i = 0; i < w->n; i++)
		raft_release(&w->node[i].r);
	mem_free(w);
}

Test(raft, single_voter_leads_in_one_step_and_commits_what_is_durable)
{
	struct raft r;
	struct raft_effects fx;

	raft_init(&r, 0, 1, 1);
	cr_assert_eq(raft_step(&r, &(struct raft_event){ .type = RAFT_EV_TIMEOUT, .now_ms = 5 }, &fx), OK);
	cr_expect(fx.persist && fx.nappend == 1 && fx.nmsgs == 0 && fx.commit == 0);
	cr_expect_eq(r.role, RAFT_LEADER);
	cr_expect(!raft_serves(&r));
	cr_assert_eq(raft_step(&r, &(struct raft_event){ .type = RAFT_EV_DURABLE, .index = 1, .term = 1 }, &fx), OK);
	cr_expect_eq(fx.commit, 1);
	cr_expect(raft_serves(&r));
	raft_release(&r);
}

static void agree(uint32_t n, uint64_t seeds)
{
	uint64_t elections = 0, truncated = 0;

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct world *w = world_new(n, seed);

		w->loss = rng_below(&w->rng, 25);
		for (int t = 0; t < 6000; t++) {
			tick(w);
			if (rng_below(&w->rng, 800) == 0)
				crash(w, rng_below(&w->rng, n));
			if (rng_below(&w->rng, 700) == 0)
				w->cut = rng_below(&w->rng, n + 2);
		}
		w->loss = 0;
		w->cut = n;			/* liveness: a calm network commits again */
		uint64_t before = w->max_commit;
		for (int t = 0; t < 3000; t++)
			tick(w);
		cr_assert_gt(w->max_commit, before, "seed %llu: nothing was committed after the faults ended",
			     (unsigned long long)seed);
		elections += w->elections;
		truncated += w->truncated;
		world_free(w);
	}
	cr_expect_gt(elections, seeds);
	cr_expect_gt(truncated, 0);
}

Test(raft, three_voters_agree)
{
	agree(3, 60);
	cr_expect_eq(mem_live(), 0);
}

Test(raft, five_voters_agree)
{
	agree(5, 30);
	cr_expect_eq(mem_live(), 0);
}
