/*
 * test_raft_traps.c - the traps that implementations of Raft fell into, each a test. The names begin with the
 * trap's number in docs/quorum.md, which also says where the traps of the layers above are tested.
 */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "raftworld.h"

#define SEED 7

static struct rw *led(uint32_t n)
{
	struct rw *w = rw_new(n, n, SEED);

	rw_run(w, 400);
	cr_assert_eq(rw_leader(w), 0);
	cr_assert(raft_serves(&w->node[0].r));
	return w;
}

static void done(struct rw *w)
{
	cr_expect_eq(w->broken, 0);
	rw_free(w);
	cr_expect_eq(mem_live(), 0);
}

/* A message straight to node i; its answers stay in *fx. */
static int tell(struct rw *w, uint32_t i, struct raft_msg m, struct raft_effects *fx)
{
	m.to = w->node[i].r.id;
	return rw_step(w, i, (struct raft_event){ .type = RAFT_EV_MSG, .msg = m }, fx);
}

static struct raft_entry entry(uint64_t index, uint64_t term)
{
	return (struct raft_entry){ .index = index, .term = term, .type = RAFT_DATA };
}

Test(trap, t01_a_vote_is_durable_before_it_is_told)
{
	struct rw *w = rw_new(3, 3, SEED);
	struct raft_effects fx;

	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_VOTE, .from = 3, .term = 9, .index = 5,
		.index_term = 8 }, &fx), OK);
	cr_expect(fx.persist && fx.nmsgs == 1 && fx.msgs[0].ok && w->node[1].vote_on_disk == 3);
	rw_crash(w, 1);				/* and not forgotten */
	rw_start(w, 1);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_VOTE, .from = 1, .term = 9, .index = 5,
		.index_term = 8 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && !fx.msgs[0].ok);
	done(w);
}

Test(trap, t02_entries_of_earlier_terms_are_not_counted)
{
	struct rw *w = led(3);
	struct raft *r = &w->node[0].r;
	struct raft_effects fx;

	rw_isolate(w, 0, true);			/* an entry that only it has */
	cr_assert_eq(rw_propose(w, 0, 1), OK);
	rw_run(w, 2);
	rw_crash(w, 0);
	rw_start(w, 0);
	for (int i = 0; i < 1000 && r->role != RAFT_PRECANDIDATE; i++)
		rw_tick(w);
	uint64_t old = r->last, term = r->term + 1;

	cr_assert_eq(tell(w, 0, (struct raft_msg){ .type = RAFT_PREVOTE_OK, .from = 2, .term = term, .ok = true },
		&fx), OK);
	cr_assert_eq(tell(w, 0, (struct raft_msg){ .type = RAFT_VOTE_OK, .from = 2, .term = term, .ok = true },
		&fx), OK);
	cr_assert(r->role == RAFT_LEADER && r->noop == old + 1);
	cr_assert_eq(rw_step(w, 0, (struct raft_event){ .type = RAFT_EV_DURABLE, .index = old + 1, .term = term },
		&fx), OK);
	struct raft_msg m = { .type = RAFT_APPEND_OK, .from = 2, .term = term, .ok = true, .index = old, .at = old };

	cr_assert_eq(tell(w, 0, m, &fx), OK);
	cr_expect_eq(r->commit, 0, "an entry of an older term was counted");
	m.index = m.at = old + 1;
	cr_assert_eq(tell(w, 0, m, &fx), OK);
	cr_expect_eq(r->commit, old + 1);
	rw_free(w);
}

Test(trap, t03_nothing_is_served_before_the_own_no_op_is_committed)
{
	struct rw *w = rw_new(3, 3, SEED);
	struct raft_effects fx;
	struct raft_config next;

	for (int i = 0; i < 50 && w->node[0].r.role != RAFT_LEADER; i++)
		rw_tick(w);
	cr_assert_eq(w->node[0].r.role, RAFT_LEADER);
	cr_assert(!raft_serves(&w->node[0].r));
	cr_expect_eq(rw_step(w, 0, (struct raft_event){ .type = RAFT_EV_READ }, &fx), E_AGAIN);
	cr_assert_eq(raft_config_remove(raft_config(&w->node[0].r), 3, &next), OK);
	cr_expect_eq(rw_change(w, 0, &next), E_AGAIN);
	rw_run(w, 50);
	cr_expect_eq(rw_step(w, 0, (struct raft_event){ .type = RAFT_EV_READ }, &fx), OK);
	cr_expect_eq(rw_change(w, 0, &next), OK);
	cr_expect_eq(rw_change(w, 0, &next), E_AGAIN, "one at a time");
	done(w);
}

Test(trap, t04_t06_only_what_is_synced_is_acknowledged_and_commit_stays_below_what_is_verified)
{
	struct rw *w = led(3);
	struct raft_entry e[3] = { entry(3, 2), entry(4, 2), entry(5, 2) };
	struct raft_effects fx;
	struct raft *r = &w->node[1].r;

	w->node[1].stalled = true;
	cr_assert_eq(r->last, 2);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_APPEND, .from = 1, .term = r->term, .index = 2,
		.index_term = 2,
						   .commit = 2, .n = 3, .entries = e }, &fx), OK);
	cr_expect_eq(fx.nmsgs, 0, "acknowledged before the sync");
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_APPEND, .from = 1, .term = r->term, .index = 2,
		.index_term = 2,
						   .commit = 5 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && fx.msgs[0].index == 2, "a heartbeat is answered with what is durable");
	cr_expect_eq(r->commit, 5, "verified by this leader: it may be applied");
	cr_assert_eq(rw_step(w, 1, (struct raft_event){ .type = RAFT_EV_DURABLE, .index = 4, .term = 2 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && fx.msgs[0].index == 4);
	rw_free(w);
}

Test(trap, t05_t06_t10_a_leader_confirms_only_what_it_has_looked_at)
{
	struct rw *w = led(3);
	struct raft_entry e[2] = { entry(3, 2), entry(4, 2) };
	struct raft_effects fx;
	struct raft *r = &w->node[1].r;

	/* Two entries of a leader that is gone; the next one of a new term knows nothing of them. */
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_APPEND, .from = 1, .term = 2, .index = 2,
		.index_term = 2,
						   .commit = 2, .n = 2, .entries = e }, &fx), OK);
	cr_assert_eq(rw_step(w, 1, (struct raft_event){ .type = RAFT_EV_DURABLE, .index = 4, .term = 2 }, &fx), OK);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_APPEND, .from = 3, .term = 5, .index = 2,
		.index_term = 2,
						   .commit = 4 }, &fx), OK);
	cr_expect_eq(r->commit, 2, "its commit index is above what it has verified here");
	cr_expect(fx.nmsgs == 1 && fx.msgs[0].ok && fx.msgs[0].index == 2, "the end of the own log was acknowledged");
	rw_free(w);
}

Test(trap, t07_t08_a_log_is_cut_by_a_real_conflict_only_and_never_below_the_commit)
{
	struct rw *w = led(3);
	struct raft_entry e[3] = { entry(3, 2), entry(4, 2), entry(5, 2) }, bad = entry(2, 4), newer = entry(5, 4);
	struct raft_effects fx;
	struct raft *r = &w->node[1].r;
	struct raft_msg m = { .type = RAFT_APPEND, .from = 1, .term = 2, .index = 2, .index_term = 2, .commit = 4,
		.n = 3,
			      .entries = e };

	cr_assert_eq(tell(w, 1, m, &fx), OK);
	m.n = 1;					/* an old one, shorter */
	cr_assert_eq(tell(w, 1, m, &fx), OK);
	cr_expect(r->last == 5 && fx.truncate_from == 0);
	m = (struct raft_msg){ .type = RAFT_APPEND, .from = 3, .term = 4, .index = 4, .index_term = 2, .n = 1,
		.entries = &newer };
	cr_assert_eq(tell(w, 1, m, &fx), OK);
	cr_expect(fx.truncate_from == 5 && r->last == 5 && raft_term_of(r, 5) == 4);
	m = (struct raft_msg){ .type = RAFT_APPEND, .from = 3, .term = 4, .index = 1, .index_term = 1, .n = 1,
		.entries = &bad };
	cr_expect_eq(tell(w, 1, m, &fx), E_DAMAGED);
	cr_expect(r->last == 5 && r->commit == 4, "nothing has changed");
	m = (struct raft_msg){ .type = RAFT_APPEND, .from = 2, .term = w->node[0].r.term, .index = 2, .index_term = 2 };
	cr_expect_eq(tell(w, 0, m, &fx), E_DAMAGED, "two leaders in one term");
	rw_free(w);
}

Test(trap, t09_the_end_of_an_old_write_does_not_acknowledge_a_new_entry)
{
	struct rw *w = led(3);
	struct raft_entry old = entry(3, 2), other = entry(3, 4);
	struct raft_effects fx;
	struct raft *r = &w->node[1].r;

	w->node[1].stalled = true;
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_APPEND, .from = 1, .term = 2, .index = 2,
		.index_term = 2, .n = 1,
						   .entries = &old }, &fx), OK);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_APPEND, .from = 3, .term = 4, .index = 2,
		.index_term = 2, .n = 1,
						   .entries = &other }, &fx), OK);
	cr_assert_eq(rw_step(w, 1, (struct raft_event){ .type = RAFT_EV_DURABLE, .index = 3, .term = 2 }, &fx), OK);
	cr_expect(r->durable == 2 && fx.nmsgs == 0);
	cr_assert_eq(rw_step(w, 1, (struct raft_event){ .type = RAFT_EV_DURABLE, .index = 3, .term = 4 }, &fx), OK);
	cr_expect(r->durable == 3 && fx.nmsgs == 1 && fx.msgs[0].index == 3);
	rw_free(w);
}

Test(trap, t11_only_a_granted_vote_or_the_leader_resets_the_timer)
{
	struct rw *w = led(3);
	struct raft_effects fx;
	struct raft *r = &w->node[1].r;
	uint64_t deadline = r->deadline_ms;

	rw_isolate(w, 0, true);
	rw_isolate(w, 1, true);
	rw_run(w, 20);
	deadline = r->deadline_ms;
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_PREVOTE, .from = 3, .term = 3, .index = 9,
		.index_term = 2 }, &fx), OK);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_VOTE, .from = 3, .term = 2, .index = 0 }, &fx), OK);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_APPEND, .from = 3, .term = 1 }, &fx), OK);
	cr_expect_eq(r->deadline_ms, deadline);
	done(w);
}

Test(trap, t12_t15_a_pre_vote_changes_nothing_and_a_refusal_teaches_the_term)
{
	struct rw *w = led(3);
	struct raft_effects fx;
	struct raft *r = &w->node[1].r;
	uint64_t term = r->term, vote = r->voted_for;

	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_PREVOTE, .from = 3, .term = 50, .index = 9,
		.index_term = 9 }, &fx), OK);
	cr_expect(r->term == term && r->voted_for == vote && !fx.persist);
	cr_expect(fx.nmsgs == 1 && !fx.msgs[0].ok && fx.msgs[0].term == term, "refused, because a leader is heard");
	/* An asker of an older term hears the newer one, and takes it. */
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_PREVOTE, .from = 3, .term = 1 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && fx.msgs[0].term == term);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_APPEND, .from = 3, .term = 1 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && fx.msgs[0].term == term, "a leader of an older term is answered");
	rw_isolate(w, 2, true);
	rw_run(w, 1000);
	cr_assert_eq(w->node[2].r.role, RAFT_PRECANDIDATE);
	cr_assert_eq(tell(w, 2, (struct raft_msg){ .type = RAFT_PREVOTE_OK, .from = 2, .term = 40 }, &fx), OK);
	cr_expect_eq(w->node[2].r.term, 40);
	done(w);
}

Test(trap, a_candidate_asks_again_over_a_new_connection)
{
	struct rw *w = led(3);
	struct raft *r = &w->node[2].r;
	struct raft_effects fx;

	rw_isolate(w, 2, true);
	rw_run(w, 1000);
	cr_assert_eq(tell(w, 2, (struct raft_msg){ .type = RAFT_PREVOTE_OK, .from = 2, .term = r->term + 1,
		.ok = true }, &fx), OK);
	cr_assert_eq(r->role, RAFT_CANDIDATE);
	uint64_t term = r->term;

	cr_assert_eq(rw_step(w, 2, (struct raft_event){ .type = RAFT_EV_UP, .peer = 2 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && fx.msgs[0].type == RAFT_VOTE && fx.msgs[0].to == 2 && fx.msgs[0].term == term);
	cr_expect(r->role == RAFT_CANDIDATE && r->term == term, "the same question, not another election");
	cr_assert_eq(rw_step(w, 2, (struct raft_event){ .type = RAFT_EV_LOST, .peer = 2 }, &fx), OK);
	cr_expect_eq(fx.nmsgs, 0);
	done(w);
}

Test(trap, t13_stickiness_lets_the_leaders_own_hand_over_through)
{
	struct rw *w = led(3);
	struct raft_effects fx;
	uint64_t term = w->node[0].r.term;

	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_VOTE, .from = 3, .term = term + 1, .index = 9,
		.index_term = 9 }, &fx), OK);
	cr_expect(w->node[1].r.term == term && fx.nmsgs == 1 && !fx.msgs[0].ok, "answered, not obeyed");
	cr_assert_eq(rw_step(w, 0, (struct raft_event){ .type = RAFT_EV_TRANSFER, .peer = 3 }, &fx), OK);
	cr_expect_eq(rw_propose(w, 0, 1), E_AGAIN, "nothing new while it hands over");
	rw_run(w, 20);
	cr_expect_eq(rw_leader(w), 2);
	cr_expect_eq(w->node[2].r.term, term + 1);
	cr_expect_eq(w->elections, 2);
	done(w);
}

Test(trap, t14_t31_a_leader_that_is_not_answered_steps_down)
{
	struct rw *w = led(3);

	w->cut[1][0] = w->cut[2][0] = true;	/* it can send and does not hear */
	rw_run(w, 700);
	cr_expect_neq(w->node[0].r.role, RAFT_LEADER);
	rw_run(w, 1500);
	cr_expect_gt(rw_leader(w), 0, "the two that hear each other have a leader");
	memset(w->cut, 0, sizeof w->cut);
	rw_run(w, 1000);
	uint64_t elections = w->elections;

	w->cut[0][1] = w->cut[1][0] = true;	/* a bridge: all hear node 3 only */
	rw_run(w, 5000);
	cr_expect_leq(w->elections, elections + 2, "no storm of elections");
	cr_assert_geq(rw_leader(w), 0);
	uint64_t commit = w->max_commit;

	cr_assert_eq(rw_propose(w, (uint32_t)rw_leader(w), 1), OK);
	rw_run(w, 100);
	cr_expect_gt(w->max_commit, commit);
	done(w);
}

Test(trap, t16_who_was_removed_is_told_and_disturbs_nobody)
{
	struct rw *w = led(3);
	struct raft_config next;

	w->cut[0][2] = w->cut[1][2] = true;	/* it does not hear of its removal */
	cr_assert_eq(raft_config_remove(raft_config(&w->node[0].r), 3, &next), OK);
	cr_assert_eq(rw_change(w, 0, &next), OK);
	for (int i = 0; i < 100; i++) {
		rw_tick(w);
		if (raft_next_config(&w->node[0].r, w->now, &next))
			cr_assert_eq(rw_change(w, 0, &next), OK);
	}
	cr_assert_eq(raft_config(&w->node[0].r)->n, 2);
	rw_run(w, 2000);
	cr_expect_eq(w->elections, 1);
	memset(w->cut, 0, sizeof w->cut);
	rw_run(w, 2000);
	cr_expect_eq(w->elections, 1, "its votes depose nobody");
	cr_expect(w->node[2].r.removed);
	done(w);
}

Test(trap, t17_a_configuration_counts_from_its_append_and_goes_with_a_truncation)
{
	struct rw *w = led(3);
	struct raft_config next;
	struct raft_member m = { 4, 4, RAFT_LEARNER };
	struct raft_effects fx;
	struct raft *r = &w->node[0].r;

	rw_run(w, 50);
	rw_compact(w, 0);			/* the older configuration is in the snapshot only */
	rw_isolate(w, 0, true);
	cr_assert_eq(raft_config_add(raft_config(r), &m, &next), OK);
	cr_assert_eq(rw_change(w, 0, &next), OK);
	cr_expect_eq(raft_config(r)->n, 4);
	rw_run(w, 2000);
	rw_isolate(w, 0, false);
	rw_run(w, 1000);
	cr_expect_gt(w->truncated, 0);
	cr_expect_eq(raft_config(r)->n, 3);
	(void)fx;
	done(w);
}

Test(trap, t18_two_sets_of_voters_need_two_majorities_and_the_next_leader_ends_it)
{
	struct rw *w = rw_new(3, 5, SEED);
	struct raft_config c = { .n = 5 };

	for (uint32_t i = 0; i < 5; i++)
		c.m[i] = (struct raft_member){ i + 1, i + 1, i < 2 ? RAFT_OLD | RAFT_VOTER : i == 2
			? RAFT_OLD : RAFT_VOTER };
	cr_expect(!raft_config_quorum(&c, 0x7), "all old ones, two of four new ones");
	cr_expect(!raft_config_quorum(&c, 0x1a), "three new ones, one old one");
	cr_expect(raft_config_quorum(&c, 0x0b));
	cr_expect_eq(raft_config_agreed(&c, (uint64_t[]){ 9, 5, 9, 9, 9 }), 9 - 0);
	cr_expect_eq(raft_config_agreed(&c, (uint64_t[]){ 9, 5, 2, 9, 9 }), 5);
	rw_run(w, 400);
	cr_assert_eq(rw_leader(w), 0);
	cr_assert_eq(rw_change(w, 0, &c), OK);
	rw_run(w, 30);
	rw_crash(w, 0);				/* in the middle of it */
	for (int i = 0; i < 2500; i++) {
		rw_tick(w);
		for (uint32_t k = 1; k < 5; k++)
			if (raft_next_config(&w->node[k].r, w->now, &c))
				cr_assert_eq(rw_change(w, k, &c), OK);
	}
	int l = rw_leader(w);

	cr_assert_gt(l, 0);
	cr_expect(!raft_config_joint(raft_config(&w->node[l].r)));
	cr_expect_eq(raft_config(&w->node[l].r)->n, 4);
	done(w);
}

Test(trap, t19_an_emptied_disk_is_another_member_and_begins_as_a_learner)
{
	struct rw *w = led(3);
	struct raft_config next;
	struct raft_member m = { 9, 3, RAFT_LEARNER };

	rw_propose(w, 0, 200);
	rw_run(w, 100);
	rw_wipe(w, 2, 9);
	rw_run(w, 500);
	cr_expect_eq(w->node[2].last, 0, "nobody takes it for the one it was");
	cr_expect_eq(w->elections, 1);
	cr_assert_eq(raft_config_add(raft_config(&w->node[0].r), &m, &next), OK);
	cr_assert_eq(rw_change(w, 0, &next), OK);
	bool was_joint = false;

	w->node[2].stalled = true;		/* it has taken the log, but not to its disk */
	for (int i = 0; i < 700; i++) {
		rw_tick(w);
		if (i == 200)
			w->node[2].stalled = false;
		was_joint |= raft_config_joint(raft_config(&w->node[0].r));
		if (raft_next_config(&w->node[0].r, w->now, &next)) {
			if (!was_joint)
				cr_expect_geq(w->node[2].durable + RAFT_CAUGHT_UP, w->node[0].last,
					"promoted too early");
			cr_assert_eq(rw_change(w, 0, &next), OK);
		}
	}
	const struct raft_config *c = raft_config(&w->node[0].r);

	cr_expect(was_joint && c->n == 3 && !raft_config_joint(c));
	cr_expect(raft_config_find(c, 9) && !raft_config_find(c, 3));
	rw_crash(w, 1);				/* the new one is half of a majority now */
	uint64_t commit = w->max_commit;

	rw_propose(w, 0, 1);
	rw_run(w, 200);
	cr_expect_gt(w->max_commit, commit);
	done(w);
}

Test(trap, t21_an_image_that_is_old_or_not_needed_is_answered)
{
	struct rw *w = led(3);
	struct raft_effects fx;
	struct raft *r = &w->node[1].r;

	rw_propose(w, 0, 5);
	rw_run(w, 100);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_SNAPSHOT, .from = 1, .term = r->term, .index = 3,
		.index_term = 2 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && fx.msgs[0].type == RAFT_APPEND_OK && fx.msgs[0].ok && fx.msgs[0].index >= 3);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_SNAPSHOT, .from = 3, .term = 1, .index = 99,
		.index_term = 1 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && !fx.msgs[0].ok && fx.msgs[0].term == r->term);
	cr_assert_eq(rw_step(w, 1, (struct raft_event){ .type = RAFT_EV_INSTALLED, .index = 1, .term = 1 }, &fx), OK);
	cr_expect_geq(r->commit, 3, "an installation that came late sets nothing back");
	/* Nor does one that ends in the log, before what is not committed yet (figure 13, step 6). */
	rw_isolate(w, 2, true);
	rw_propose(w, 0, 5);
	rw_run(w, 3);
	uint64_t last = r->last, at = r->commit + 1, term = r->term;

	cr_assert_gt(last, at);
	cr_expect(!raft_wants_image(r, at, term) && !raft_wants_image(r, r->commit, term));
	cr_expect(raft_wants_image(r, at, term + 1) && raft_wants_image(r, last + 1, term));
	struct raft_event installed = { .type = RAFT_EV_INSTALLED, .index = at, .term = term };

	cr_assert_eq(rw_step(w, 1, installed, &fx), OK);
	cr_expect_eq(r->last, last, "what is behind it stays");
	rw_isolate(w, 2, false);
	rw_isolate(w, 1, true);
	rw_run(w, 700);
	cr_assert_eq(r->role, RAFT_PRECANDIDATE);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_SNAPSHOT, .from = 1, .term = r->term, .index = 99,
		.index_term = 2 }, &fx), OK);
	cr_expect_eq(r->role, RAFT_FOLLOWER, "a candidate follows who sends it an image");
	done(w);
}

Test(trap, t25_t26_a_read_is_confirmed_only_by_answers_to_what_was_sent_after_it)
{
	struct rw *w = led(3);
	struct raft_effects fx;
	struct raft *r = &w->node[0].r;

	cr_assert_eq(rw_step(w, 0, (struct raft_event){ .type = RAFT_EV_READ }, &fx), OK);
	uint64_t round = fx.read_round;

	cr_assert_eq(tell(w, 0, (struct raft_msg){ .type = RAFT_APPEND_OK, .from = 2, .term = r->term, .ok = true,
						   .index = 2, .at = 2, .round = round - 1 }, &fx), OK);
	cr_expect_eq(fx.round_confirmed, 0, "an answer to a heartbeat that was under way");
	rw_run(w, 10);
	cr_expect_geq(w->node[0].passed_round, round);
	/* A deposed leader that does not know it yet confirms nothing: there is no lease. */
	rw_isolate(w, 0, true);
	rw_run(w, 100);
	cr_assert_eq(rw_step(w, 0, (struct raft_event){ .type = RAFT_EV_READ }, &fx), OK);
	round = fx.read_round;
	rw_run(w, 2000);
	cr_expect_lt(w->node[0].passed_round, round);
	cr_expect_gt(rw_leader(w), 0);
	done(w);
}

Test(trap, t27_a_log_that_lost_entries_does_not_vote_until_it_has_them_again)
{
	struct rw *w = led(3);
	struct raft_effects fx;

	rw_propose(w, 0, 50);
	rw_run(w, 100);
	rw_crash(w, 1);
	w->node[1].last = w->node[1].durable = 10;	/* damage from the eleventh on */
	w->node[1].recovering_on_disk = true;
	rw_isolate(w, 1, true);
	rw_start(w, 1);
	cr_assert_eq(tell(w, 1, (struct raft_msg){ .type = RAFT_VOTE, .from = 3, .term = 30, .index = 12,
		.index_term = 2 }, &fx), OK);
	cr_expect(fx.nmsgs == 1 && !fx.msgs[0].ok, "it would elect who lacks what it had acknowledged");
	rw_run(w, 2000);
	cr_expect_eq(w->node[1].r.role, RAFT_FOLLOWER);
	rw_isolate(w, 1, false);
	rw_run(w, 2000);
	cr_expect(!w->node[1].r.recovering && !w->node[1].recovering_on_disk);
	cr_expect_eq(w->node[1].last, w->node[(uint32_t)rw_leader(w)].last);
	done(w);
}

Test(trap, t28_a_leader_whose_disk_does_not_move_hands_over)
{
	struct rw *w = led(3);

	w->node[0].stalled = true;
	rw_propose(w, 0, 1);
	rw_run(w, 100);
	cr_expect_eq(w->node[0].r.commit, 3, "the others are a majority");
	cr_expect_eq(rw_leader(w), 0, "a short stall costs nothing");
	rw_run(w, 1500);
	cr_expect_gt(rw_leader(w), 0);
	cr_expect_gt(w->handed_over, 0);
	rw_run(w, 3000);
	cr_expect_gt(rw_leader(w), 0, "and does not ask to lead while it is stuck");
	done(w);
}

Test(trap, t29_a_node_that_was_stopped_listens_before_it_asks)
{
	struct rw *w = led(3);
	uint64_t deadlines[8], same = 0;

	w->node[1].paused = true;
	rw_run(w, 5000);
	w->node[1].paused = false;
	rw_run(w, 1000);
	cr_expect_eq(w->elections, 1);
	cr_expect_eq(rw_leader(w), 0);
	rw_isolate(w, 2, true);			/* its timeouts differ from each other */
	for (int i = 0; i < 8; i++) {
		rw_run(w, 700);
		deadlines[i] = w->node[2].r.deadline_ms - w->now;
		for (int k = 0; k < i; k++)
			same += deadlines[k] == deadlines[i];
	}
	cr_expect_lt(same, 4);
	done(w);
}

Test(trap, t30_windows_are_bounded_and_a_slow_follower_stops_nobody)
{
	struct rw *w = led(3);

	rw_isolate(w, 2, true);
	w->node[2].stalled = true;
	for (int i = 0; i < 40; i++) {
		cr_assert_eq(rw_propose(w, 0, 100), OK);
		rw_tick(w);
		for (uint32_t k = 0; k < 3; k++) {
			const struct raft_peer *p = &w->node[0].r.peer[k];

			cr_assert_leq(p->nflight, RAFT_FLIGHT_MAX);
			cr_assert_leq(p->flight_bytes, RAFT_WINDOW_BYTES + RAFT_BATCH_BYTES);
		}
	}
	rw_run(w, 50);
	cr_expect_eq(w->node[0].r.commit, w->node[0].last);
	rw_compact(w, 0);			/* its log is not kept for the one that is away */
	rw_isolate(w, 2, false);
	w->node[2].stalled = false;
	rw_run(w, 1500);
	cr_expect_gt(w->images, 0);
	cr_expect_eq(w->node[2].r.commit, w->node[(uint32_t)rw_leader(w)].r.commit);
	done(w);
}

Test(trap, bytes_that_no_log_has_are_refused_and_change_nothing)
{
	struct rw *w = led(3);
	struct raft_effects fx;
	struct raft_entry e[2] = { entry(3, 2), entry(5, 2) };
	struct raft_msg m = { .type = RAFT_APPEND, .from = 1, .term = 2, .index = 2, .index_term = 2, .n = 2,
		.entries = e };

	cr_expect_eq(tell(w, 1, m, &fx), E_BAD);
	e[1] = entry(4, 1);
	cr_expect_eq(tell(w, 1, m, &fx), E_BAD);
	e[1] = entry(4, 3);
	cr_expect_eq(tell(w, 1, m, &fx), E_BAD);
	e[1] = (struct raft_entry){ .index = 4, .term = 2, .type = RAFT_CONFIG };
	cr_expect_eq(tell(w, 1, m, &fx), E_BAD);
	cr_expect_eq(tell(w, 1, (struct raft_msg){ .type = 77, .from = 1, .term = 2 }, &fx), E_BAD);
	cr_expect_eq(w->node[1].r.last, 2);
	done(w);
}
