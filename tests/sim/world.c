/*
 * world.c - life of the world: processes, deaths, interleaving, faults, power.
 *
 * A process runs one call at a time. At each point of a call (crash points of the sources, every
 * call of the disk and of the lock) it may be killed, which leaves the call by longjmp and drops the
 * process' heap; or it may be stopped there while another process makes a whole call, which is every
 * interleaving of calls that whole calls of others can make, DEPTH deep.
 */
#include "world.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/mutant.h"

#define POINTS 96

uint64_t counted[C_N];
bool tracing;

static struct point {
	const char *name;
	uint64_t met, kills, preempts;
	uint32_t weight;		/* how often others run there, of what is usual */
} points[POINTS];

static struct world *the_world;		/* for the hooks of the libraries */

void broken(struct world *w, const char *what, const char *text, long long a, long long b)
{
	if (w->broken)
		return;
	w->broken = what;
	snprintf(w->detail, sizeof w->detail, "%s (%lld, %lld) at %llu us", text, a, b,
		 (unsigned long long)w->sim.now_us);
}

void trace(struct world *w, struct proc *p, const char *what, const char *fmt, ...)
{
	static const char *const name[PROCS] = { "w0", "w1", "w2", "st" };
	va_list ap;

	if (!tracing)
		return;
	printf("%9llu  %*s%-2s  %-10s  ", (unsigned long long)w->sim.now_us, w->depth > 0 ? 2 * (w->depth - 1) : 0,
	       "", p ? name[p->id] : "--", what);
	va_start(ap, fmt);
	vprintf(fmt, ap);
	va_end(ap);
	putchar('\n');
}

/* ---- points ---- */

static struct point *point(const char *name)
{
	static struct { const char *name; struct point *p; } near[256];	/* by address: most are literals */
	unsigned h = (unsigned)((uintptr_t)name >> 2 ^ (uintptr_t)name >> 10) & 255;

	if (near[h].name == name)
		return near[h].p;
	for (int i = 0; i < POINTS; i++) {
		if (!points[i].name) {
			points[i].name = name;
			/* A reader in the middle of its copy, and what is done without the lock: there others
			 * go on for longer. Retention seldom comes as far as to move a log start. */
			points[i].weight = strcmp(name, "peek_half") == 0 || strncmp(name, "retain", 6) == 0 ? 3 :
					   strncmp(name, "snapshot", 8) == 0 || strncmp(name, "reserve", 7) == 0 ||
					   strcmp(name, "sync_looks") == 0 ? 10 : 1;
		}
		if (strcmp(points[i].name, name) == 0) {
			near[h].name = name;
			near[h].p = &points[i];
			return &points[i];
		}
	}
	must(false && "more points than POINTS");
	return NULL;
}

void points_print(void)
{
	printf("%-24s %12s %10s %10s\n", "point", "met", "killed", "others ran");
	for (int i = 0; i < POINTS && points[i].name; i++)
		printf("%-24s %12llu %10llu %10llu\n", points[i].name, (unsigned long long)points[i].met,
		       (unsigned long long)points[i].kills, (unsigned long long)points[i].preempts);
}

bool points_missing(void)
{
	bool any = false;

	for (int i = 0; i < POINTS && points[i].name; i++) {
		/* A truncation is no place for others: see truncate() in work.c. */
		bool alone = strncmp(points[i].name, "truncate_", 9) == 0;

		if (points[i].kills > 0 && (points[i].preempts > 0 || alone))
			continue;
		printf("point %s: killed %llu, others ran %llu\n", points[i].name,
		       (unsigned long long)points[i].kills, (unsigned long long)points[i].preempts);
		any = true;
	}
	return any;
}

static void run(struct world *w, struct proc *p);

/* Others make calls while p stands still. */
static void preempt(struct world *w, struct proc *p, struct point *at)
{
	struct heap *was = heap_enter(NULL);

	for (uint32_t n = 1 + rng_below(&w->sim.rng, at->weight); n > 0; n--) {
		struct proc *other = &w->proc[rng_below(&w->sim.rng, PROCS)];

		if (!other->alive || other->inside)
			continue;
		at->preempts++;
		count(C_preempt);
		trace(w, p, "stands", "at %s", at->name);
		run(w, other);
	}
	w->running = p;
	heap_enter(was);
}

void world_point(struct world *w, const char *name)
{
	struct proc *p = w->running;

	if (!p || w->watching)
		return;
	struct point *at = point(name);

	at->met++;
	if (p->appending)
		watch_append(w, p, name);
	if (tracing && strncmp(name, "snapshot_", 9) == 0)
		trace(w, p, name, " ");
	watch_point(w);
	if (w->calm)
		return;
	if (sim_chance(&w->sim, w->kill_ppm * (strncmp(name, "retain", 6) == 0 ? 5 : 1))) {
		at->kills++;
		trace(w, p, "killed", "at %s", name);
		longjmp(p->death, 1);
	}
	if (!w->hold && w->depth <= DEPTH && sim_chance(&w->sim, w->preempt_ppm * at->weight))
		preempt(w, p, at);
}

static void on_point(const char *name)
{
	if (the_world)
		world_point(the_world, name);
}

static void on_write(void *ctx)
{
	world_point(ctx, "in the middle of a write");
}

static void on_call(void *ctx, const char *what)
{
	world_point(ctx, what);
}

static void *machine_alloc(size_t bytes)
{
	struct heap *was = heap_enter(NULL);
	void *p = mem_alloc(bytes);

	heap_enter(was);
	return p;
}

static void *machine_resize(void *p, size_t bytes)
{
	struct heap *was = heap_enter(NULL);
	void *q = mem_resize(p, bytes);

	heap_enter(was);
	return q;
}

/* ---- processes ---- */

static int grow(void *ctx, uint64_t off, uint64_t len)
{
	(void)ctx, (void)off, (void)len;
	return OK;
}

static void on_wake(void *ctx, uint32_t slot, uint64_t mask)
{
	struct world *w = ctx;

	for (int i = 0; i < PARTS; i++)
		if (w->part[i].slot == slot)
			world_ring(w, mask, i);
}

static void attach(struct world *w, struct proc *p)
{
	sim_disk_init(&p->disk, w->fs);
	sim_lock_init(&p->lock, (uint32_t)p->id + 1);
	struct heap *was = heap_enter(&p->heap);
	int err = part_table_attach(w->mem, &w->id, p->id == STORAGE ? 57u : (unsigned)p->id, &p->disk.disk,
				    &p->lock.port, DIR, grow, NULL, &p->table);

	heap_enter(was);
	if (err != OK)
		broken(w, "W5", "a process could not attach", err, 0);
	else
		part_on_wake(p->table, on_wake, w);
	p->alive = err == OK;
	p->started = p->syncing = p->clean = p->done = false;
	memset(p->wait, 0, sizeof p->wait);
}

/* The supervisor rings everybody after a death. */
static void ring_all(struct world *w)
{
	for (int i = 0; i < PROCS; i++)
		for (int k = 0; k < PARTS; k++)
			w->proc[i].wait[k].hw_rung = w->proc[i].wait[k].lock_rung = true;
}

static void die(struct world *w, struct proc *p)
{
	if (!p->alive)
		return;
	sim_lock_died(&p->lock);
	if (p->reserving)
		p->reserving->leaks = true;
	p->reserving = NULL;
	sim_disk_reset(&p->disk);
	heap_drop(&p->heap);
	p->alive = p->inside = p->syncing = p->appending = false;
	if (w->ghost.tag != 0 && w->ghost_conn == p->id)
		w->ghost.tag = 0;
	for (int i = 0; i < PRODUCERS; i++)
		if (w->prod[i].conn == p->id)
			producer_reconnect(w, &w->prod[i]);
	ring_all(w);
}

/* Ends in order: everything is given back. W8 */
static void leave(struct world *w, struct proc *p)
{
	if (!p->alive)
		return;
	if (p->syncing)
		part_sync_end(p->table, &p->job);
	part_table_free(p->table);
	if (p->heap.blocks != 0)
		broken(w, "W8", "blocks that a process did not free at its end", (long long)p->heap.blocks, p->id);
	for (uint32_t i = 0; i < p->disk.n_handles; i++)
		if (sim_disk_open(&p->disk, i))
			broken(w, "W8", "a file that a process did not close at its end", i, p->id);
	p->syncing = false;
	die(w, p);
}

static void run(struct world *w, struct proc *p)
{
	w->running = p;
	w->depth++;
	p->inside = true;
	if (setjmp(p->death) == 0) {
		heap_enter(&p->heap);
		if (p->id == STORAGE)
			storage_step(w, p);
		else
			worker_step(w, p);
		heap_enter(NULL);
		p->inside = false;
	} else {
		heap_enter(NULL);
		count(C_kill);
		w->hold = false;
		die(w, p);
	}
	w->depth--;
	w->running = NULL;
}

static void on_event(struct sim_event *e)
{
	struct proc *p = (struct proc *)e;
	struct world *w = p->w;

	if (!p->alive)
		attach(w, p);
	else
		run(w, p);
	sim_at(&w->sim, e, 50 + rng_below(&w->sim.rng, 1000));
}

void world_ring(struct world *w, uint64_t mask, int part)
{
	for (int i = 0; i < PROCS; i++)
		if (mask & (UINT64_C(1) << (i == STORAGE ? 57 : i))) {
			w->proc[i].wait[part].hw_rung = w->proc[i].wait[part].lock_rung = true;
			count(C_wake);
		}
}

void producer_reconnect(struct world *w, struct producer *d)
{
	d->conn = (int)rng_below(&w->sim.rng, WORKERS);
	for (int i = 0; i < d->n; i++)
		d->out[i].appended = false;
	count(C_reconnect);
}

/* ---- power ---- */

static void boot(struct world *w)
{
	struct sim_lock lock;

	sim_lock_init(&lock, 1);
	memset(w->mem, 0, part_table_bytes(&w->lim));
	w->id.generation++;
	must(part_table_format(w->mem, &w->lim, &w->id, &lock.port, grow, NULL) == OK);
	w->epoch++;
	w->reboot_us = 0;
	w->stopping = false;
	for (int i = 0; i < PARTS; i++) {
		w->part[i].slot = PART_SLOT_NONE;
		w->part[i].verify = true;
	}
	watch_boot(w);
}

static void all_die(struct world *w)
{
	for (int i = 0; i < PROCS; i++)
		die(w, &w->proc[i]);
}

/* Acknowledged from memory, which is gone: the class `replicated` with one replica. Its clients
 * start over with a new producer epoch. */
static void forgive(struct world *w, int part, int64_t from)
{
	struct partition *t = &w->part[part];

	for (int64_t i = from; i < OFFSETS; i++)
		t->cell[i] = (struct cell){ 0, false };
	for (int i = 0; i < PRODUCERS; i++) {
		struct producer *d = &w->prod[i];

		if (d->part != part || d->id < 0)
			continue;
		d->epoch++;
		d->seq = 0;
		for (int k = 0; k < d->n; k++) {
			d->out[k].epoch = d->epoch;
			d->out[k].seq = d->seq;
			d->seq += (int32_t)d->out[k].records;
		}
	}
}

static int64_t synced_of(struct world *w, int part)
{
	struct proc *p = &w->proc[0];
	struct part_view v;
	int64_t ret = 0;

	if (!p->alive)
		attach(w, p);
	if (p->alive && w->part[part].slot != PART_SLOT_NONE &&
	    part_view(p->table, w->part[part].slot, &w->part[part].topic, &v) == OK)
		ret = v.synced;
	return ret;
}

static void power_loss(struct world *w)
{
	if (w->conf.durability == PART_REPLICATED)
		for (int i = 0; i < PARTS; i++)
			forgive(w, i, synced_of(w, i));
	all_die(w);
	trace(w, NULL, "power", "lost");
	sim_fs_power_loss(w->fs);
	sim_fs_faults(w->fs)->capacity_bytes = 0;
	count(C_loss);
	boot(w);
}

/* The storage process wrote a clean checkpoint: everybody goes; perhaps the power too. */
static void clean_stop(struct world *w)
{
	for (int i = 0; i < PROCS; i++)
		leave(w, &w->proc[i]);
	trace(w, NULL, "stop", "clean");
	count(C_stop);
	if (rng_below(&w->sim.rng, 2) == 0)
		sim_fs_power_loss(w->fs);
	boot(w);
}

/* ---- faults ---- */

struct rot {
	struct world *w;
	char path[300];
	int n;
};

static void on_rot_name(void *ctx, const char *name)
{
	struct rot *k = ctx;
	size_t n = strlen(name);
	bool snap = n > 10 && strcmp(name + n - 10, ".producers") == 0;

	if (!(n > 4 && strcmp(name + n - 4, ".idx") == 0) && !snap && strncmp(name, "moldau-checkpoint", 17) != 0)
		return;
	/* With retention a damaged snapshot cannot be made new from the log. */
	if (snap && (k->w->keep.del || k->w->part[0].start > 0 || k->w->part[1].start > 0))
		return;
	if (rng_below(&k->w->sim.rng, (uint32_t)++k->n) == 0)
		snprintf(k->path + strlen(DIR) + 1 + (k->path[strlen(DIR) + 1] == 't' ? 4 : 0), 200, "%s", name);
}

/* One bit of a file that can always be made again. */
static void rot(struct world *w)
{
	struct rot k = { .w = w };
	uint64_t bytes = 0;

	if (rng_below(&w->sim.rng, 3) == 0)
		snprintf(k.path, sizeof k.path, DIR "/");
	else
		snprintf(k.path, sizeof k.path, DIR "/t-%u/", rng_below(&w->sim.rng, PARTS));
	char folder[64];
	snprintf(folder, sizeof folder, "%.*s", (int)strlen(k.path) - 1, k.path);
	(void)w->eye.disk.calls->list(&w->eye.disk, folder, on_rot_name, &k);
	if (k.n == 0 || !sim_fs_peek(w->fs, k.path, &bytes) || bytes == 0)
		return;
	sim_fs_rot(w->fs, k.path, rng_below(&w->sim.rng, (uint32_t)bytes));
	trace(w, NULL, "rot", "%s", k.path);
	count(C_rot);
}

static void fault(struct world *w)
{
	uint32_t what = rng_below(&w->sim.rng, 10000);
	struct sim_fs_faults *f = sim_fs_faults(w->fs);

	if (what < (w->truncate_percent == 100 ? 60u : 30u)) {
		power_loss(w);
	} else if (what < 80) {
		all_die(w);
		trace(w, NULL, "all", "killed");
		count(C_kill_all);
		count(C_attach);
	} else if (what < 90) {
		w->stopping = true;
	} else if (what < 105) {
		rot(w);
	} else if (what < 115) {
		watch_damage(w);
	} else if (what < 125) {
		f->capacity_bytes = f->capacity_bytes ? 0 : sim_fs_used(w->fs) + rng_below(&w->sim.rng, 4000);
		trace(w, NULL, "capacity", "%llu", (unsigned long long)f->capacity_bytes);
	} else if (what < 135) {
		w->part[rng_below(&w->sim.rng, PARTS)].removing = true;
	} else if (what < 175) {
		w->epoch++;
	}
}

void world_step(struct world *w)
{
	must(sim_step(&w->sim));
	if (!w->broken)
		watch_rest(w);
	if (w->stopping && w->proc[STORAGE].alive && w->proc[STORAGE].done)
		clean_stop(w);
	if (w->reboot_us != 0 && w->sim.now_us >= w->reboot_us)
		power_loss(w);
	if (!w->calm && !w->broken && !w->ending)
		fault(w);
}

/* ---- begin and end ---- */

static uint32_t swarm(struct world *w, uint32_t one_in, uint32_t ppm)
{
	return rng_below(&w->sim.rng, one_in) == 0 ? 1 + rng_below(&w->sim.rng, ppm) : 0;
}

/* Which faults exist in this run and how strong: all of them always hides what needs calm. */
static void choose(struct world *w)
{
	struct rng *r = &w->sim.rng;
	struct sim_fs_faults *f = sim_fs_faults(w->fs);
	bool tight = rng_below(r, 8) == 0, forget = rng_below(r, 12) == 0, txns = rng_below(r, 4) == 0;

	f->loss_keep_percent = rng_below(r, 101);
	f->cold = swarm(w, 3, 50000);
	f->eio_write = swarm(w, 10, 300);
	f->eio_sync = swarm(w, 10, 3000);
	f->short_write = swarm(w, 10, 3000);
	w->kill_ppm = rng_below(r, 4) == 0 ? 0 : 100 + rng_below(r, 6000);
	w->preempt_ppm = rng_below(r, 4) == 0 ? 0 : 1000 + rng_below(r, 20000);
	w->truncate_percent = rng_below(r, 4) == 0 ? 100 : 15;
	w->loose = tight || forget;
	w->lim = (struct part_limits){ 8, tight ? 6 : 64 };
	w->conf = (struct part_conf){ .segment_bytes = 1500 + rng_below(r, rng_below(r, 2) ? 4000 : 30000),
		.segment_ms = rng_below(r, 3) == 0 ? 20 + rng_below(r, 200) : UINT64_C(604800000),
		.segment_jitter_ms = rng_below(r, 2) * 10,
		.index_interval_bytes = 60 + rng_below(r, rng_below(r, 2) ? 500 : 5000),
		.max_producer_age_ms = forget ? 50 : 86400000,
		.durability = rng_below(r, 4) == 0 ? PART_REPLICATED : rng_below(r, 2) ? PART_QUORUM : PART_ALL };
	w->keep = (struct part_retention){ .retention_ms = -1, .retention_bytes = -1,
		.del = rng_below(r, 3) == 0 };
	if (w->keep.del && rng_below(r, 2))
		w->keep.retention_bytes = 2000 + rng_below(r, 20000);
	else if (w->keep.del)
		w->keep.retention_ms = 100 + rng_below(r, 400);
	for (int i = 0; i < PRODUCERS; i++) {
		struct producer *d = &w->prod[i];

		*d = (struct producer){ .part = i % PARTS, .id = (int64_t)++w->ids,
					.conn = (int)rng_below(r, WORKERS) };
		if (i >= 4 && rng_below(r, 2))
			d->id = -1;
		else if (w->conf.durability != PART_REPLICATED && !w->loose)
			d->transactional = txns || rng_below(r, 4) == 0;
	}
}

void world_topic_new(struct world *w, int part)
{
	struct partition *t = &w->part[part];

	memset(t->cell, 0, sizeof t->cell);
	t->topic = (struct uuid){ .b = { 7, (uint8_t)part } };
	uint64_t n = ++w->topics;
	memcpy(&t->topic.b[8], &n, sizeof n);
	t->slot = PART_SLOT_NONE;
	t->start = 0;
	t->removing = t->leaks = false;
	for (int i = 0; i < PROCS; i++)		/* who waited for the old one is told by the image */
		memset(&w->proc[i].wait[part], 0, sizeof w->proc[i].wait[part]);
	for (int i = 0; i < PRODUCERS; i++)
		if (w->prod[i].part == part)
			producer_reconnect(w, &w->prod[i]);
}

struct world *world_new(uint64_t seed)
{
	struct world *w = mem_alloc(sizeof *w);

	the_world = w;
	crash_hook = on_point;
	sim_init(&w->sim, seed);
	w->fs = sim_fs_new(&w->sim);
	sim_fs_mem(w->fs, &(struct sim_fs_mem){ machine_alloc, machine_resize });
	sim_fs_on_write(w->fs, on_write, w);
	sim_fs_on_call(w->fs, on_call, w);
	w->id = (struct part_id){ .node_id = 1 };
	choose(w);
	w->mem = mem_alloc(part_table_bytes(&w->lim));
	for (int i = 0; i < PROCS; i++) {
		w->proc[i].w = w;
		w->proc[i].id = i;
		w->proc[i].event.run = on_event;
		w->proc[i].scan = mem_alloc(sizeof(struct scan));
	}
	for (int i = 0; i < PARTS; i++)
		world_topic_new(w, i);
	sim_disk_init(&w->eye, w->fs);
	must(w->eye.disk.calls->mkdir(&w->eye.disk, DIR) == OK &&
	     w->eye.disk.calls->sync_dir(&w->eye.disk, "") == OK);
	watch_new(w);
	boot(w);
	for (int i = 0; i < PROCS; i++)
		sim_at(&w->sim, &w->proc[i].event, 10 + rng_below(&w->sim.rng, 500));
	return w;
}

void world_calm(struct world *w)
{
	struct sim_fs_faults *f = sim_fs_faults(w->fs);

	trace(w, NULL, "calm", "no faults from here on");
	f->eio_write = f->eio_sync = f->short_write = 0;
	f->capacity_bytes = 0;
	if (w->reboot_us != 0)
		power_loss(w);
	w->calm = true;
}

void world_end(struct world *w)
{
	struct part_counts c;

	if (w->proc[0].alive) {
		part_counts(w->proc[0].table, &c);
		counted[C_evict] += c.producers_evicted;
	}
	for (int i = 0; i < PARTS; i++)
		w->part[i].removing = false;
	w->stopping = true;
	/* Processes still die while the broker stops: nobody appends, and what the dead left is finished. */
	w->calm = false;
	w->ending = true;
	for (int i = 0; i < 60 && w->stopping && !w->broken; i++)
		world_step(w);
	w->calm = true;
	for (int i = 0; i < 4000 && w->stopping && !w->broken; i++)
		world_step(w);
	if (w->stopping)
		broken(w, "W6", "the broker does not come to a clean stop", 0, 0);
	for (int i = 0; i < 400 && !w->broken; i++)
		world_step(w);
	for (int i = 0; i < PARTS; i++)
		if (w->part[i].verify)
			broken(w, "W6", "a replica did not come back", i, 0);
}

void world_free(struct world *w)
{
	for (int i = 0; i < PROCS; i++) {
		sim_cancel(&w->sim, &w->proc[i].event);
		die(w, &w->proc[i]);
		mem_free(w->proc[i].scan);
	}
	watch_free(w);
	mem_free(w->mem);
	sim_disk_reset(&w->eye);
	sim_fs_free(w->fs);
	sim_release(&w->sim);
	the_world = NULL;
	mem_free(w);
}
