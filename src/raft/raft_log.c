/* raft_log.c - the log as runs of terms, and the configurations in it. */
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "raft/raft_in.h"

static const struct raft_config no_config;

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

uint64_t raft_log_meet(const struct raft *r, uint64_t index, uint64_t term)
{
	if (index > r->last)
		index = r->last;
	for (uint32_t i = r->nruns; i-- > 0 && index > r->base;)
		if (r->runs[i].first <= index) {
			if (r->runs[i].term <= term)
				return index;
			index = r->runs[i].first - 1;
		}
	return index;
}

const struct raft_config *raft_config(const struct raft *r)
{
	return r->nconfigs > 0 ? &r->configs[r->nconfigs - 1] : &no_config;
}

const struct raft_config *raft_config_at(const struct raft *r, uint64_t index)
{
	for (uint32_t i = r->nconfigs; i-- > 0;)
		if (r->configs[i].index <= index)
			return &r->configs[i];
	return &no_config;
}

static void config_push(struct raft *r, const struct raft_config *c, uint64_t index)
{
	must(c->n > 0 && c->n <= RAFT_MEMBERS_MAX);
	if (r->nconfigs == r->configs_cap) {
		r->configs_cap = r->configs_cap ? r->configs_cap * 2 : 2;
		r->configs = mem_resize(r->configs, r->configs_cap * sizeof *r->configs);
	}
	r->configs[r->nconfigs] = *c;
	r->configs[r->nconfigs++].index = index;
}

/* Older than the newest committed one is of no use any more. */
static void configs_trim(struct raft *r)
{
	uint32_t drop = 0;

	while (drop + 1 < r->nconfigs && r->configs[drop + 1].index <= r->commit)
		drop++;
	if (drop > 0)
		memmove(r->configs, r->configs + drop, (r->nconfigs - drop) * sizeof *r->configs);
	r->nconfigs -= drop;
}

void raft_log_add(struct raft *r, const struct raft_entry *e, struct raft_effects *fx)
{
	must(e->index == r->last + 1);
	must(e->term >= raft_term_of(r, r->last));
	r->last = e->index;
	if (e->type == RAFT_CONFIG) {			/* R8 */
		must(e->config != NULL);
		config_push(r, e->config, e->index);
		if (fx)
			fx->config_changed = true;
	}
	if (r->nruns > 0 && r->runs[r->nruns - 1].term == e->term)
		return;
	if (r->nruns == r->runs_cap) {
		r->runs_cap = r->runs_cap ? r->runs_cap * 2 : 16;
		r->runs = mem_resize(r->runs, r->runs_cap * sizeof *r->runs);
	}
	r->runs[r->nruns++] = (struct raft_run){ e->index, e->term };
}

void raft_log_cut(struct raft *r, uint64_t from, struct raft_effects *fx)
{
	must(from > r->commit);			/* R5 */
	must(from > r->base);
	r->last = from - 1;
	while (r->nruns > 0 && r->runs[r->nruns - 1].first >= from)
		r->nruns--;
	while (r->nconfigs > 0 && r->configs[r->nconfigs - 1].index >= from) {
		r->nconfigs--;				/* R8, T17: also back to the one of the snapshot */
		fx->config_changed = true;
	}
	if (r->durable > r->last)
		r->durable = r->last;
	if (r->verified > r->last)
		r->verified = r->last;
}

void raft_log_reset(struct raft *r, uint64_t index, uint64_t term, const struct raft_config *config)
{
	r->nruns = r->nconfigs = 0;
	r->base = r->last = r->durable = r->commit = r->verified = index;
	r->base_term = term;
	if (config && config->n > 0)
		config_push(r, config, index);
}

void raft_commit_to(struct raft *r, uint64_t index, struct raft_effects *fx)
{
	must(index > r->commit && index <= r->last);	/* R5 */
	r->commit = index;
	fx->commit = index;
	configs_trim(r);
}

void raft_restore(struct raft *r, uint64_t term, uint64_t voted_for, uint64_t base, uint64_t base_term,
		  const struct raft_config *config)
{
	r->term = term;
	r->voted_for = voted_for;
	raft_log_reset(r, base, base_term, config);
	raft_peers_place(r, &no_config, 0);
}

void raft_restore_entry(struct raft *r, const struct raft_entry *e)
{
	struct raft_config before = *raft_config(r);

	raft_log_add(r, e, NULL);
	r->durable = e->index;
	if (e->type == RAFT_CONFIG)
		raft_peers_place(r, &before, 0);
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
