/* nemesis.c - faults, and an operator who changes the members during all of them. See world.h. */
#include "world.h"

#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "quorum/rlog.h"

enum kind { K_KILL, K_LOSS, K_LOSS_ALL, K_FREEZE, K_DRIFT, K_CUT, K_FLAP, K_HEAL, K_DISK, K_WIPE, K_ROT, K_N };

static uint32_t below(struct world *w, uint32_t n)
{
	return rng_below(&w->sim.rng, n);
}

static bool is_on(const struct world *w, enum kind k)
{
	return w->kinds >> k & 1;
}

/* ---- the network ---- */

static void heal(struct world *w)
{
	memset(w->net.faults.cut, 0, sizeof w->net.faults.cut);
	count(C_heal);
	trace(w, -1, "network healed");
}

static void cut(struct world *w, uint32_t a, uint32_t b)
{
	w->net.faults.cut[a][b] = w->net.faults.cut[b][a] = true;
}

static void cut_some(struct world *w)
{
	uint32_t a = below(w, MACHINES), b = below(w, MACHINES), half = below(w, 1u << MACHINES);
	struct machine *l = leader(w);

	if (l && below(w, 2))
		a = l->id;
	switch (below(w, 5)) {
	case 0:
		w->net.faults.cut[a][b] = true;
		count(C_cut_one);
		trace(w, -1, "cut n%u -> n%u", a, b);
		break;
	case 1:
		cut(w, a, b);
		count(C_cut_two);
		trace(w, -1, "cut n%u - n%u", a, b);
		break;
	case 2:				/* it hears, or is heard, or neither */
		for (uint32_t i = 0; i < MACHINES; i++) {
			w->net.faults.cut[a][i] |= half & 1 || !(half & 2);
			w->net.faults.cut[i][a] |= half & 2 || !(half & 1);
		}
		count(C_cut_node);
		trace(w, -1, "cut off n%u (%u)", a, half & 3);
		break;
	default:			/* halves, with or without one that reaches both */
		for (uint32_t i = 0; i < MACHINES; i++)
			for (uint32_t k = 0; k < i; k++)
				if ((half >> i & 1) != (half >> k & 1) && (b == a || (i != b && k != b)))
					cut(w, i, k);
		count(b == a ? C_cut_half : C_cut_bridge);
		trace(w, -1, "halves %x, bridge %d", half, b == a ? -1 : (int)b);
		break;
	}
}

/* ---- disks ---- */

static bool alone(const struct world *w)
{
	return w->nvoters == 1;
}

/*
 * A disk may be lost only when that takes no acknowledged write with it: the members are known and not being
 * changed, nobody else's disk is being replaced, and at least three vote.
 */
static bool may_lose(struct world *w, uint32_t victim)
{
	struct machine *l = leader(w);
	struct node_role role;
	uint32_t voters = 0;
	bool in = false;

	if (!l || w->lost >= 0)
		return false;
	for (uint32_t i = 0; i < MACHINES; i++)		/* a frozen leader of then does not know */
		if (w->m[i].node && w->m[i].node->raft.term > l->node->raft.term)
			return false;
	node_role(l->node, &role);
	if (role.changing)
		return false;
	for (uint32_t i = 0; i < role.nmembers; i++) {
		const struct node_member *m = &role.members[i];

		voters += m->voter;
		in |= m->id == victim && m->voter;
		/* Who is not here may be one whose place somebody has taken. That a log is mended must be durable. */
		if (m->voter && (!w->m[m->id].node || w->m[m->id].node->raft.id != m->disk_id ||
				 w->m[m->id].node->raft.recovering || w->m[m->id].node->voting))
			return false;
	}
	return voters >= 3 && in;
}

/* The place is taken again: the leader knows the new disk as a voter, and nobody's log is in repair. */
void nemesis_look(struct world *w)
{
	int victim = w->lost;

	if (victim < 0)
		return;
	w->lost = -1;
	if (!may_lose(w, (uint32_t)victim))
		w->lost = victim;
}

static void wipe(struct world *w, uint32_t victim)
{
	struct machine *m = &w->m[victim];

	if (!may_lose(w, victim))
		return;
	count(C_wipe);
	trace(w, (int)victim, "loses its disk");
	machine_kill(m, true);
	sim_fs_wipe(m->fs);
	m->joins |= alone(w);		/* its operator does not begin a quorum of one again */
	w->lost = (int)victim;
	w->lost_us = w->sim.now_us;
	machine_start_in(m, below(w, 2000000));
}

/* Up to where what is behind it proves that it had been durable: rot of the last group of entries cannot be told from a
 * torn tail. */
static uint64_t proved_end(const uint8_t *p, uint64_t len)
{
	uint64_t proved = 0, gap, end = RLOG_SEGMENT_HEAD;
	struct rlog_entry e;

	for (uint64_t at = end; rlog_get_entry(p + at, len - at, &e, &gap) == OK;
	     at += RLOG_ENTRY_HEAD + (uint64_t)e.len)
		proved = e.index - gap > proved ? e.index - gap : proved;
	while (rlog_get_entry(p + end, len - end, &e, &gap) == OK && e.index <= proved)
		end += RLOG_ENTRY_HEAD + (uint64_t)e.len;
	return end;
}

static void rot_one(void *ctx, const char *name)
{
	struct machine *m = ctx;
	char path[80];
	const uint8_t *p;
	uint64_t bytes;

	snprintf(path, sizeof path, DIR "/%s", name);
	p = sim_fs_peek(m->fs, path, &bytes);
	if (strncmp(name, "log-", 4) != 0 || m->w->lost >= 0 || !p || bytes < 400)
		return;
	uint64_t at = RLOG_SEGMENT_HEAD + below(m->w, (uint32_t)bytes / 2);

	if (at >= proved_end(p, bytes))
		return;
	sim_fs_rot(m->fs, path, at);
	m->w->lost = (int)m->id;
	m->w->lost_us = m->w->sim.now_us;
	count(C_rot);
	trace(m->w, (int)m->id, "%s rots", path);
}

static void strike(struct world *w, enum kind k, uint32_t victim);

static void rot(struct world *w, uint32_t victim)
{
	struct machine *m = &w->m[victim];

	if (!may_lose(w, victim))
		return;
	machine_kill(m, true);
	m->disk.disk.calls->list(&m->disk.disk, DIR, rot_one, m);
	machine_start_in(m, below(w, 1000000));
	if (leader(w) && below(w, 2))		/* it is asked for its vote before it has learned anything */
		strike(w, below(w, 2) ? K_KILL : K_FREEZE, leader(w)->id);
}

static void disks(struct world *w)
{
	struct sim_fs_faults *f = sim_fs_faults(w->m[below(w, MACHINES)].fs);

	f->slow_sync = below(w, 3) ? 0 : 300000;
	f->eio_sync = alone(w) || below(w, 4) ? 0 : 5000;
	f->eio_write = below(w, 5) ? 0 : 2000;
	f->nospc = below(w, 3) ? 0 : 100000;
	f->sync_us_max = 100 + below(w, below(w, 4) ? 3000 : 60000);
}

/* ---- one after the other ---- */

static void lose_power(struct world *w, uint32_t victim)
{
	struct machine *m = &w->m[victim];

	if (!m->alive)
		return;
	count(C_loss);
	machine_kill(m, true);
	machine_start_in(m, below(w, 3000000));
}

static void strike(struct world *w, enum kind k, uint32_t victim)
{
	struct machine *m = &w->m[victim];

	switch (k) {
	case K_KILL:
		if (!m->alive)
			break;
		count(C_kill);
		machine_kill(m, false);
		machine_start_in(m, below(w, 4) ? below(w, 300000) : below(w, 5000000));
		break;
	case K_LOSS:
		lose_power(w, victim);
		break;
	case K_LOSS_ALL:
		count(C_loss_all);
		for (uint32_t i = 0; i < MACHINES; i++)
			lose_power(w, i);
		break;
	case K_FREEZE:
		if (!m->alive)
			break;
		count(C_freeze);
		sim_host_freeze(m->host, 1000 + below(w, below(w, 2) ? 100000 : 3000000));
		trace(w, (int)victim, "frozen until %llu", (unsigned long long)m->host->thaw_us);
		break;
	case K_DRIFT:
		count(C_drift);
		sim_host_drift(m->host, (int32_t)below(w, 100000) - 50000);
		break;
	case K_CUT:
		cut_some(w);
		break;
	case K_FLAP:
		count(C_flap);
		w->net.faults.reset_ppm = below(w, 2) ? 20000 : 0;
		w->net.faults.slow_ppm = below(w, 2) ? 50000 : 1000;
		break;
	case K_HEAL:
		heal(w);
		break;
	case K_DISK:
		disks(w);
		break;
	case K_WIPE:
		wipe(w, victim);
		break;
	case K_ROT:
		rot(w, victim);
		break;
	case K_N:
		break;
	}
}

static void on_nemesis(struct sim_event *e)
{
	struct world *w = (struct world *)((char *)e - offsetof(struct world, nemesis));
	enum kind k = (enum kind)below(w, K_N);
	struct machine *l = leader(w);
	uint32_t victim = l && below(w, 3) == 0 ? l->id : below(w, MACHINES);

	nemesis_look(w);
	if (w->calm)
		return;
	if (is_on(w, k) || k == K_HEAL)
		strike(w, k, victim);
	sim_at(&w->sim, e, below(w, w->pace_us));
}

/* ---- the operator ---- */

static void on_admin(struct node_admin *a, int err, const char *why)
{
	struct machine *m = (struct machine *)((char *)a - offsetof(struct machine, admin));

	m->admin_busy = false;
	trace(m->w, (int)m->id, "change %u of n%u: %s %s", a->kind, a->id, err_text(err), why ? why : "");
	if (err)
		count(C_admin_no);
}

struct order {
	struct machine *m;
	uint32_t what, id;
};

static void give_order(void *arg)
{
	struct order *o = arg;
	struct machine *m = o->m;

	m->admin = (struct node_admin){ .done = on_admin };
	m->admin_busy = true;
	switch (o->what) {
	case 0:
		count(C_add);
		node_add(m->node, o->id, m->w->address[o->id], false, &m->admin);
		break;
	case 1:
		count(C_remove);
		node_remove(m->node, o->id, &m->admin);
		break;
	case 2:
		count(C_move);
		node_transfer(m->node, o->id, &m->admin);
		break;
	default:
		count(C_snap);
		node_snapshot(m->node, &m->admin);
		break;
	}
}

static void on_operator(struct sim_event *e)
{
	struct world *w = (struct world *)((char *)e - offsetof(struct world, operator));
	struct machine *m = &w->m[below(w, MACHINES)], *l = leader(w);
	struct order o = { .m = m, .what = below(w, 4) };
	struct node_role role;
	uint32_t voters = 0, in = 0;

	if (w->calm)
		return;
	sim_at(&w->sim, e, below(w, w->hurry_us));
	if (!l || !m->node || m->admin_busy || sim_host_frozen(m->host))
		return;
	node_role(l->node, &role);
	for (uint32_t i = 0; i < role.nmembers; i++) {
		voters += role.members[i].voter;
		in |= 1u << role.members[i].id;
	}
	o.id = o.what == 2 && below(w, 2) ? NODE_ANY : below(w, MACHINES);
	for (uint32_t i = 0; i < MACHINES && o.what == 0 && in >> o.id & 1; i++)
		o.id = (o.id + 1) % MACHINES;
	if (o.what == 1 && (w->lost >= 0 || voters <= 1 || (voters <= 3 && below(w, 3))))
		return;
	if (o.what == 0 && in >> o.id & 1)
		return;
	if (o.what == 0 && !w->m[o.id].alive) {	/* a machine that is asked in: with an empty disk, or what it had */
		w->m[o.id].out = false;
		machine_start_in(&w->m[o.id], 0);
	}
	trace(w, (int)m->id, "order %u of n%u", o.what, o.id);
	machine_run(m, give_order, &o);
}

static void on_doom(struct sim_event *e)
{
	struct machine *m = (struct machine *)((char *)e - offsetof(struct machine, doom));

	if (!m->w->calm)
		lose_power(m->w, m->id);
}

void nemesis_reset(struct machine *m)
{
	if (below(m->w, 4) == 0)
		sim_at(&m->w->sim, &m->doom, below(m->w, 3000));
}

void nemesis_added(struct machine *m, uint32_t node)
{
	struct world *w = m->w;

	if (w->calm || below(w, 2))
		return;
	for (uint32_t i = 0; i < MACHINES; i++)
		if (i != m->id && i != node)
			cut(w, m->id, i);
	count(C_cut_node);
	trace(w, (int)m->id, "cut off from all but n%u", node);
	sim_at(&w->sim, &m->doom, 20000 + below(w, 300000));
}

void nemesis_init(struct world *w)
{
	w->nemesis.run = on_nemesis;
	w->operator.run = on_operator;
	w->kinds = below(w, 1u << K_N);
	w->pace_us = 100000 + below(w, 3000000);
	w->kill_call_ppm = below(w, 2) ? 0 : below(w, 3) ? 200 : 2000;
	w->hurry_us = below(w, 2) ? 3000000 : 800000;
	w->snapshot_bytes = 2000 + below(w, 60000);
	w->net.faults.delay_us_max = 200 + below(w, below(w, 3) ? 1000 : 20000);
	w->net.faults.slow_us_max = 1000 + below(w, 300000);
	w->net.faults.slow_ppm = below(w, 3) ? 2000 : below(w, 2) ? 30000 : 0;
	for (uint32_t i = 0; i < MACHINES; i++) {
		sim_fs_faults(w->m[i].fs)->loss_keep_percent = below(w, 3) * 50;
		w->m[i].host->skew_ms = (int64_t)below(w, 4000) - 2000;
		w->m[i].out = i >= w->nvoters;
		w->m[i].doom.run = on_doom;
	}
	sim_at(&w->sim, &w->nemesis, 1000000);
	if (below(w, 2))
		sim_at(&w->sim, &w->operator, 1500000);
}

void nemesis_calm(struct world *w)
{
	uint32_t reset = w->net.faults.reset_ppm;

	w->calm = true;
	heal(w);
	(void)reset;
	w->net.faults.reset_ppm = w->net.faults.slow_ppm = 0;
	for (uint32_t i = 0; i < MACHINES; i++) {
		struct machine *m = &w->m[i];
		struct sim_fs_faults *f = sim_fs_faults(m->fs);

		f->slow_sync = f->eio_sync = f->eio_write = f->nospc = f->short_write = 0;
		f->sync_us_max = 3000;
		m->host->thaw_us = 0;
		sim_host_drift(m->host, 0);
		if (!m->alive && !m->out)
			machine_start_in(m, 1000);
	}
}
