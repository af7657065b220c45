/* test_raft.c - consensus under random faults: loss, doubles, delays, cuts, crashes that forget what was not
 * durable, snapshots, and changes of members during all of it. Then a calm network must commit again. */
#include <criterion/criterion.h>
#include <string.h>

#include "base/mem.h"
#include "raftworld.h"

struct sum {
	uint64_t elections, truncated, images, changes, handed_over;
};

static void fault(struct rw *w)
{
	uint32_t i = rng_below(&w->rng, w->n), k = rng_below(&w->rng, w->n);

	switch (rng_below(&w->rng, 8)) {
	case 0:
		rw_crash(w, i);
		break;
	case 1:
	case 2:
		for (i = 0; i < w->n; i++)
			if (!w->node[i].alive)
				rw_start(w, i);
		break;
	case 3:
		rw_isolate(w, i, true);
		break;
	case 4:
		memset(w->cut, 0, sizeof w->cut);
		break;
	case 5:
		w->cut[i][k] = true;		/* one way */
		break;
	case 6:
		w->node[i].stalled = !w->node[i].stalled;
		break;
	default:
		rw_compact(w, i);
	}
}

/* A random legal change; the leader then goes on by itself. */
static uint64_t change(struct rw *w)
{
	int l = rw_leader(w);
	struct raft_config next;
	uint32_t node = rng_below(&w->rng, w->n);

	if (l < 0)
		return 0;
	const struct raft_config *c = raft_config(&w->node[l].r);
	struct raft_member m = { node + 1, node + 1, RAFT_LEARNER };
	int err = raft_config_find(c, node + 1) ? raft_config_remove(c, node + 1, &next) : raft_config_add(c, &m,
		&next);

	return !err && !raft_config_joint(c) && rw_change(w, (uint32_t)l, &next) == OK;
}

static void lead_changes(struct rw *w)
{
	struct raft_config next;

	for (uint32_t i = 0; i < w->n; i++)
		if (w->node[i].alive && raft_next_config(&w->node[i].r, w->now, &next))
			cr_assert_eq(rw_change(w, i, &next), OK);
}

static void heal(struct rw *w)
{
	memset(w->cut, 0, sizeof w->cut);
	w->loss = w->doubled = 0;
	w->wild = false;
	for (uint32_t i = 0; i < w->n; i++) {
		w->node[i].stalled = false;
		if (!w->node[i].alive)
			rw_start(w, i);
	}
}

static void agree(uint32_t voters, uint32_t nodes, uint64_t seeds, bool members)
{
	struct sum sum = { 0 };

	for (uint64_t seed = 1; seed <= seeds; seed++) {
		struct rw *w = rw_new(voters, nodes, seed);

		w->loss = rng_below(&w->rng, 25);
		w->doubled = 2;
		w->delay_ms = 5;
		w->wild = true;
		w->sync_chance = 4;
		for (int t = 0; t < 6000; t++) {
			rw_tick(w);
			int l = rw_leader(w);

			if (l >= 0 && rng_below(&w->rng, 40) == 0)
				(void)rw_propose(w, (uint32_t)l, 1);
			if (rng_below(&w->rng, 300) == 0)
				fault(w);
			if (members && rng_below(&w->rng, 400) == 0)
				sum.changes += change(w);
			if (members)
				lead_changes(w);
		}
		heal(w);
		uint64_t before = w->max_commit;

		for (int t = 0; t < 4000; t++) {
			rw_tick(w);
			if (members)
				lead_changes(w);
			int l = rw_leader(w);
			if (t == 3000 && l >= 0)
				(void)rw_propose(w, (uint32_t)l, 1);
		}
		cr_assert_eq(w->broken, 0, "seed %llu", (unsigned long long)seed);
		cr_assert_eq(w->damaged, 0, "seed %llu: a leader contradicts", (unsigned long long)seed);
		cr_assert_gt(w->max_commit, before, "seed %llu: nothing was committed after the faults ended",
			(unsigned long long)seed);
		sum.elections += w->elections;
		sum.truncated += w->truncated;
		sum.images += w->images;
		sum.handed_over += w->handed_over;
		rw_free(w);
	}
	cr_expect_gt(sum.elections, seeds);
	cr_expect_gt(sum.truncated, 0);
	cr_expect_gt(sum.images, 0);
	cr_expect_gt(sum.handed_over, 0);
	cr_expect(!members || sum.changes > seeds);
	cr_expect_eq(mem_live(), 0);
}

Test(raft, three_voters_agree)
{
	agree(3, 3, 40, false);
}

Test(raft, five_voters_agree)
{
	agree(5, 5, 20, false);
}

Test(raft, members_change_during_faults)
{
	agree(3, 6, 40, true);
}
