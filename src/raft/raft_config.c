/* raft_config.c - sets of members: majorities, and how one set becomes another. [Raft 4.3, joint consensus] */
#include <string.h>

#include "base/assert.h"
#include "base/mutant.h"
#include "raft/raft_in.h"

const struct raft_member *raft_config_find(const struct raft_config *c, uint64_t id)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].id == id)
			return &c->m[i];
	return NULL;
}

bool raft_config_joint(const struct raft_config *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].flags & RAFT_OLD)
			return true;
	return false;
}

static uint32_t with(const struct raft_config *c, uint32_t flag)
{
	uint32_t set = 0;

	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].flags & flag)
			set |= 1u << i;
	return set;
}

static bool half(uint32_t voters, uint32_t set)
{
	return __builtin_popcount(voters & set) > __builtin_popcount(voters) / 2;
}

bool raft_config_quorum(const struct raft_config *c, uint32_t set)
{
	uint32_t old = with(c, RAFT_OLD);

	if (mutant(LEARNER_COUNTS))
		return half(with(c, RAFT_VOTER | RAFT_LEARNER), set);
	return half(with(c, RAFT_VOTER), set) && (old == 0 || half(old, set) || mutant(JOINT_SKIPPED));	/* R9 */
}

uint64_t raft_config_agreed(const struct raft_config *c, const uint64_t *v)
{
	uint64_t best = 0;

	for (uint32_t i = 0; i < c->n; i++) {
		uint32_t set = 0;

		for (uint32_t k = 0; k < c->n; k++)
			if (v[k] >= v[i])
				set |= 1u << k;
		if (v[i] > best && raft_config_quorum(c, set))
			best = v[i];
	}
	return best;
}

static void drop(struct raft_config *c, uint32_t i)
{
	memmove(&c->m[i], &c->m[i + 1], (c->n - i - 1) * sizeof c->m[0]);
	c->n--;
}

int raft_config_add(const struct raft_config *c, const struct raft_member *m, struct raft_config *ret)
{
	if (raft_config_find(c, m->id))
		return E_EXIST;
	*ret = *c;
	for (uint32_t i = ret->n; i-- > 0;)	/* a learner of the same node that never arrived gives way */
		if (ret->m[i].node == m->node && (ret->m[i].flags & RAFT_LEARNER))
			drop(ret, i);
	if (ret->n == RAFT_MEMBERS_MAX)
		return E_LIMIT;
	ret->m[ret->n++] = *m;
	return OK;
}

/* Voters of now are the old set; the caller then changes the new one. */
static void begin_joint(struct raft_config *c)
{
	for (uint32_t i = 0; i < c->n; i++)
		if (c->m[i].flags & RAFT_VOTER)
			c->m[i].flags |= RAFT_OLD;
}

int raft_config_remove(const struct raft_config *c, uint64_t id, struct raft_config *ret)
{
	const struct raft_member *m = raft_config_find(c, id);

	if (!m)
		return E_NOENT;
	uint32_t i = (uint32_t)(m - c->m);

	if ((m->flags & RAFT_VOTER) && __builtin_popcount(with(c, RAFT_VOTER)) == 1)
		return E_BAD;
	*ret = *c;
	if (m->flags & RAFT_LEARNER) {
		drop(ret, i);
	} else {
		begin_joint(ret);
		ret->m[i].flags = RAFT_OLD;
	}
	return OK;
}

static void leave_joint(struct raft_config *c)
{
	for (uint32_t i = c->n; i-- > 0;) {
		c->m[i].flags &= ~(uint32_t)RAFT_OLD;
		if (c->m[i].flags == 0)
			drop(c, i);
	}
}

static bool caught_up(const struct raft *r, uint32_t i, uint64_t now_ms)
{
	const struct raft_peer *p = &r->peer[i];

	return p->pace == RAFT_STREAM && r->last - p->match <= RAFT_CAUGHT_UP && now_ms - p->heard_ms < r->opt.elect_ms;
}

bool raft_next_config(const struct raft *r, uint64_t now_ms, struct raft_config *ret)
{
	const struct raft_config *c = raft_config(r);

	if (!raft_serves(r) || r->nconfigs != 1 || r->transfer_to != RAFT_NOBODY)
		return false;
	*ret = *c;
	if (raft_config_joint(c)) {
		leave_joint(ret);		/* T18: by whoever leads */
		return true;
	}
	for (uint32_t i = 0; i < c->n; i++) {
		if (!(c->m[i].flags & RAFT_LEARNER) || (c->m[i].flags & RAFT_OBSERVER) || !caught_up(r, i, now_ms))
			continue;
		begin_joint(ret);
		for (uint32_t k = 0; k < c->n; k++)
			if (k != i && c->m[k].node == c->m[i].node && (c->m[k].flags & RAFT_VOTER))
				ret->m[k].flags = RAFT_OLD;	/* T19: the disk that is gone */
		ret->m[i].flags = RAFT_VOTER;
		return __builtin_popcount(with(ret, RAFT_VOTER)) <= RAFT_VOTERS_MAX;
	}
	return false;
}
