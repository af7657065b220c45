/* world.c - machines, and what happens to their processes. See world.h. */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"

uint64_t counted[C_N];
bool tracing, zookeeper;

void broken(struct world *w, const char *what, const char *fmt, ...)
{
	va_list ap;

	if (w->broken)
		return;
	w->broken = what;
	va_start(ap, fmt);
	vsnprintf(w->detail, sizeof w->detail, fmt, ap);
	va_end(ap);
	trace(w, -1, "%s broken: %s", what, w->detail);
}

void trace(struct world *w, int machine, const char *fmt, ...)
{
	va_list ap;

	if (!tracing)
		return;
	printf("%10llu ", (unsigned long long)w->sim.now_us);
	printf(machine >= 0 ? "n%d " : "   ", machine);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	printf("\n");
}

void *world_room(void *p, uint64_t n, uint64_t *cap, size_t size)
{
	if (n < *cap)
		return p;
	uint64_t was = *cap;
	struct heap *h = heap_enter(NULL);

	*cap = was ? was * 2 : 256;
	p = mem_resize(p, *cap * size);
	heap_enter(h);
	memset((char *)p + was * size, 0, (*cap - was) * size);
	return p;
}

static void *machine_alloc(size_t bytes)
{
	struct heap *h = heap_enter(NULL);
	void *p = mem_alloc(bytes);

	heap_enter(h);
	return p;
}

static void *machine_resize(void *p, size_t bytes)
{
	struct heap *h = heap_enter(NULL);

	p = mem_resize(p, bytes);
	heap_enter(h);
	return p;
}

static const struct sim_fs_mem outside = { machine_alloc, machine_resize };

/* ---- events of a process ---- */

static void after_death(struct machine *m)
{
	struct world *w = m->w;
	bool fatal = m->fatal, power = m->empty_it || (!fatal && !w->calm && rng_below(&w->sim.rng, 2));

	m->fatal = false;
	counted[C_loss] += power;
	machine_kill(m, power);
	if (m->empty_it) {
		sim_fs_wipe(m->fs);
		m->joins = true;
		m->empty_it = false;
	}
	machine_start_in(m, fatal ? 200000 : 1000 + rng_below(&w->sim.rng, rng_below(&w->sim.rng, 3) ? 50000
		: 2000000));
}

void machine_run(struct machine *m, void (*fn)(void *arg), void *arg)
{
	must(!m->inside);
	if (!m->alive)
		return;
	struct heap *was = heap_enter(&m->heap);

	m->inside = true;
	if (setjmp(m->death) == 0) {
		fn(arg);
		sim_host_turn(m->host);
		m->inside = false;
		heap_enter(was);
		check_event(m);
		return;
	}
	m->inside = false;
	heap_enter(was);
	after_death(m);
}

static void run(void *ctx, struct sim_host *h, void (*fn)(void *arg), void *arg)
{
	if (h->number == ZHOST) {
		fn(arg);
		sim_host_turn(h);
		return;
	}
	machine_run(&((struct world *)ctx)->m[h->number], fn, arg);
}

static void accept_conn(void *ctx, struct sim_host *h, int fd, uint32_t from)
{
	struct machine *m = &((struct world *)ctx)->m[h->number];

	if (from == ZHOST)
		zk_accept(m->zk, &m->host->net, false, fd);
	else
		node_accept(m->node, fd);
}

static uint64_t disk_stands(void *ctx)
{
	struct machine *m = ctx;

	return sim_host_frozen(m->host) ? m->host->thaw_us - m->w->sim.now_us : 0;
}

struct finished {
	struct disk_op *op;
	int err;
};

static void tell_done(void *arg)
{
	struct finished *f = arg;

	f->op->done(f->op, f->err);
}

static void disk_finish(void *ctx, struct disk_op *op, int err)
{
	struct finished f = { op, err };

	machine_run(ctx, tell_done, &f);
}

/* Each call of the disk, and the middle of a write, is a place to die. */
static void on_disk_call(void *ctx, const char *what)
{
	struct machine *m = ctx;

	uint32_t ppm = m->w->kill_call_ppm * (m->node && m->node->voting ? 100 : 1);	/* much hangs on a vote */

	if (!m->inside || m->w->calm || !sim_chance(&m->w->sim, ppm))
		return;
	count(C_kill_call);
	trace(m->w, (int)m->id, "killed in %s", what);
	longjmp(m->death, 1);
}

static void on_disk_write(void *ctx)
{
	on_disk_call(ctx, "a write");
}

/* ---- a node ---- */

static void on_fatal(void *user, const char *what, int err)
{
	struct machine *m = user;

	trace(m->w, (int)m->id, "fatal: %s: %s", what, err_text(err));
	if (err == E_DAMAGED)
		broken(m->w, "Q1", "node %u: %s", m->id, what);
	count(C_fatal);
	m->fatal = true;
	must(m->inside);
	longjmp(m->death, 1);
}

static void on_log(void *user, const char *msg, const char *detail)
{
	struct machine *m = user;
	unsigned node;

	trace(m->w, (int)m->id, "%s %s", msg, detail);
	if (zookeeper && strcmp(msg, "a node is added") == 0 && sscanf(detail, "node=%u", &node) == 1)
		nemesis_added(m, node);
}

static void on_lead(void *user, bool leads)
{
	struct machine *m = user;

	trace(m->w, (int)m->id, "%s term %llu", leads ? "leads" : "leads no more",
		(unsigned long long)m->node->raft.term);
	if (leads)
		check_leads(m);
}

static void on_applied(void *user, int64_t zxid, const struct coord_result *r)
{
	check_applied(user, zxid, r);
}

static void on_reset(void *user)
{
	check_reset(user);
}

static struct world *random_of;		/* one world runs at a time */

static void random_bytes(void *p, uint32_t len)
{
	for (uint32_t i = 0; i < len; i++)
		((uint8_t *)p)[i] = (uint8_t)rng_next(&random_of->sim.rng);
}

static void open_front(struct machine *m)
{
	struct zk_config c = { .tick_ms = 500, .session_ms_min = 1000, .session_ms_max = 10000, .frame_max = 0xfffff,
		.outstanding_max = 6, .reap_ms = 60000, .rules = { .flags = COORD_SKIP_ACL }, .words = "",
		.random = random_bytes, .on_log = on_log, .user = m };

	random_of = m->w;
	m->zk = zk_new(m->node, &m->host->loop, &m->host->clock, &c);
}

static void open_node(void *arg)
{
	struct machine *m = arg;
	struct world *w = m->w;
	static const char *join[MACHINES];
	struct node_config c = { .dir = DIR, .id = m->id, .cluster_id = m->cluster_id,
		.snapshot_log_bytes = w->snapshot_bytes, .seed = rng_next(&w->sim.rng),
			.disk_id = rng_next(&w->sim.rng) | 1,
		.address = w->address[m->id], .on_fatal = on_fatal, .on_log = on_log, .user = m };
	char why[300] = "";

	for (uint32_t i = 0; i < MACHINES; i++)
		join[i] = w->address[i];
	if (m->joins) {
		c.join = join;
		c.njoin = MACHINES;
	} else {
		c.voters = w->voters;
		c.nvoters = w->nvoters;
	}
	snprintf(m->cluster_id, sizeof m->cluster_id, "%s", m->joins ? "" : "AAAAAAAAAAAAAAAAAAAAAA");
	int err = node_open(&m->disk.disk, &m->host->net, &m->host->loop, &m->host->clock, &c, &m->node, why,
		sizeof why);

	if (err) {
		trace(w, (int)m->id, "does not start: %s %s", err_text(err), why);
		m->fatal = true;
		count(C_refused);
		/* Its log is damaged where it knew of nobody else: the operator empties the folder, as told. */
		m->empty_it = err == E_DAMAGED && w->lost == (int)m->id;
		if (err != E_IO && err != E_NOSPC && !m->empty_it)
			broken(w, "Q9", "node %u refuses its folder: %s (%s)", m->id, err_text(err), why);
		longjmp(m->death, 1);
	}
	counted[C_torn] += m->node->log.cut_bytes > 0;
	counted[C_repaired] += m->node->log.repaired;
	node_listen(m->node, &(struct node_listener){ on_lead, on_applied, on_reset, m });
	check_started(m);
	if (zookeeper)
		open_front(m);
	node_start(m->node);
}

static void on_start(struct sim_event *e)
{
	struct machine *m = (struct machine *)((char *)e - offsetof(struct machine, start));

	if (m->alive || m->out)
		return;
	count(C_start);
	trace(m->w, (int)m->id, "starts");
	sim_host_up(m->host);
	m->alive = true;
	m->life++;
	machine_run(m, open_node, m);
}

void machine_start_in(struct machine *m, uint64_t us)
{
	sim_at(&m->w->sim, &m->start, us);
}

void machine_kill(struct machine *m, bool power)
{
	trace(m->w, (int)m->id, power ? "loses power" : "is dead");
	if (m->node) {
		struct node_stats st;

		node_stats(m->node, &st);
		counted[C_image_out] += st.snapshots_sent;
		counted[C_image_in] += st.snapshots_received;
		counted[C_written] += st.snapshots;
		counted[C_forwarded] += st.forwarded;
		counted[C_repeat] += st.repeated;
		counted[C_dropped] += st.dropped_messages;
	}
	sim_host_down(m->host, power);
	sim_disk_reset(&m->disk);
	heap_drop(&m->heap);
	m->node = NULL;
	m->zk = NULL;
	m->alive = m->admin_busy = false;
	if (power)
		sim_fs_power_loss(m->fs);
	clients_lost(m->w, m->id);
}

struct machine *leader(struct world *w)
{
	struct machine *l = NULL;

	for (uint32_t i = 0; i < MACHINES; i++)
		if (w->m[i].node && node_serves(w->m[i].node) &&
		    (!l || w->m[i].node->raft.term > l->node->raft.term))
			l = &w->m[i];
	return l;
}

void world_tell(struct world *w)
{
	for (uint32_t i = 0; i < MACHINES && tracing; i++) {
		struct node_role r;

		if (!w->m[i].node)
			continue;
		node_role(w->m[i].node, &r);
		const struct raft *f = &w->m[i].node->raft;
		trace(w, (int)i, "state %d role %d term %llu leader %d last %llu durable %llu commit %llu applied %llu"
		      "%s%s%s",
		      r.state, f->role, (unsigned long long)f->term, r.leader_known ? (int)r.leader : -1,
		      (unsigned long long)f->last, (unsigned long long)f->durable, (unsigned long long)f->commit,
		      (unsigned long long)w->m[i].node->applied, f->recovering ? " recovering" : "",
		      f->removed ? " removed" : "", w->m[i].node->voting ? " voting" : "");
		for (uint32_t k = 0; k < r.nmembers; k++)
			trace(w, (int)i, "  n%u disk %016llx%s%s%s%s match %llu", r.members[k].id,
			      (unsigned long long)r.members[k].disk_id, r.members[k].voter ? " voter" : "",
			      r.members[k].learner ? " learner" : "", r.members[k].leaving ? " leaving" : "",
			      r.members[k].connected ? " connected" : "", (unsigned long long)r.members[k].match);
	}
}

/* ---- the world ---- */

static void machine_init(struct world *w, uint32_t i)
{
	struct machine *m = &w->m[i];

	m->w = w;
	m->id = i;
	m->host = &w->net.host[i];
	m->fs = sim_fs_new(&w->sim);
	sim_fs_mem(m->fs, &outside);
	sim_fs_on_call(m->fs, on_disk_call, m);
	sim_fs_on_write(m->fs, on_disk_write, m);
	sim_disk_init(&m->disk, m->fs);
	m->disk.stands = disk_stands;
	m->disk.finish = disk_finish;
	m->disk.ctx = m;
	m->start.run = on_start;
	m->joins = i >= w->nvoters;
	snprintf(w->address[i], sizeof w->address[i], "n%u:1", i);
}

struct world *world_new(uint64_t seed)
{
	static const uint32_t sizes[] = { 1, 3, 3, 3, 5, 5 };
	struct world *w = mem_alloc(sizeof *w);

	sim_init(&w->sim, seed);
	sim_network_init(&w->net, &w->sim, &outside);
	w->net.run = run;
	w->net.accept = accept_conn;
	w->net.ctx = w;
	w->lost = -1;
	w->nvoters = sizes[rng_below(&w->sim.rng, 6)];
	for (uint32_t i = 0; i < MACHINES; i++)
		machine_init(w, i);
	for (uint32_t i = 0; i < w->nvoters; i++)
		w->voters[i] = (struct node_peer){ i, w->address[i] };
	nemesis_init(w);
	clients_init(w);
	if (zookeeper)
		zclients_init(w);
	for (uint32_t i = 0; i < w->nvoters; i++)
		machine_start_in(&w->m[i], rng_below(&w->sim.rng, 300000));
	return w;
}

void world_free(struct world *w)
{
	for (uint32_t i = 0; i < MACHINES; i++) {
		struct machine *m = &w->m[i];

		sim_cancel(&w->sim, &m->start);
		sim_cancel(&w->sim, &m->doom);
		if (m->alive)
			machine_kill(m, false);
		sim_disk_reset(&m->disk);
		sim_fs_free(m->fs);
	}
	zclients_free(w);
	check_free(w);
	sim_release(&w->sim);
	mem_free(w);
}

bool world_step(struct world *w)
{
	return sim_step(&w->sim);
}
