/*
 * run.c - the simulator's first world: several workers over one partition table and one log
 * directory, a storage process, idempotent producers, a reader; kills at every crash point, deaths
 * of all processes, power losses. It runs the product's own sources of src/part and src/log, built
 * with crash points and planted bugs.
 *
 *   run --seeds N [--from S] [--mutant NAME]
 *
 * Ends with "N passed, N failed". Invariants (docs/simulator.md):
 *   W1 an acknowledged record is at its offset for ever, also after a power loss
 *   W2 the records of a producer lie in order, none twice, none missing in between
 *   W3 what lay below the high watermark once never changes
 *   W4 a view is consistent: log start <= high watermark <= end, synced <= end
 *   W5 every call has a documented outcome; a record of the table is never damaged by a death
 *   W6 after the last fault every producer is acknowledged again (liveness)
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/testbatch.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "sim/sim.h"
#include "sim/sim_disk.h"
#include "sim/sim_lock.h"

#define WORKERS 3
#define STORAGE WORKERS
#define PROCS (WORKERS + 1)
#define PARTS 2
#define PRODUCERS 4
#define OFFSETS 20000
#define STEPS 3000
#define DIR "/d"

struct proc {
	struct sim_event event;
	struct world *w;
	int id;
	struct sim_disk disk;
	struct sim_lock lock;
	struct part_table *table;
	bool alive;
	struct part_sync job;			/* storage: in flight */
	bool syncing;
	uint32_t job_slot;
};

struct producer {
	int part;
	int32_t seq;				/* of the next record */
	bool sent, waiting;			/* a batch is out; its append is known to have happened */
	uint32_t records, body;
	struct part_ticket ticket;
	int64_t base;
	uint64_t acks;
};

struct cell {					/* what an offset holds, as far as anybody may rely on it */
	int32_t seq;
	int8_t producer;			/* -1: nothing known */
	bool acked, seen;
};

struct world {
	struct sim sim;
	struct sim_fs *fs;
	struct part_limits lim;
	struct part_id id;
	void *mem;
	struct proc proc[PROCS];
	struct producer prod[PRODUCERS];
	struct cell *cell[PARTS];
	uint32_t slot[PARTS];
	struct uuid topic;
	struct part_conf conf;
	int32_t epoch;
	jmp_buf death;
	struct proc *running;
	uint32_t kill_ppm;
	const char *broken;			/* the invariant that does not hold */
	char detail[160];
	uint64_t kills, all_deaths, losses, truncations, reads, acks, reopened;
};

static struct world *W;				/* for the hooks of the libraries */
static struct part_counts total;
static uint64_t sum_kills, sum_all, sum_losses, sum_acks, sum_reads, sum_truncations;
static struct sim_fs_counts sum_fs;

static void broken(struct world *w, const char *what, long long a, long long b)
{
	if (w->broken)
		return;
	w->broken = what;
	snprintf(w->detail, sizeof w->detail, "%lld, %lld at %llu us", a, b, (unsigned long long)w->sim.now_us);
}

static void on_point(const char *name)
{
	(void)name;
	if (W && W->running && sim_chance(&W->sim, W->kill_ppm))
		longjmp(W->death, 1);
}

static void on_write(void *ctx)
{
	(void)ctx;
	on_point("mid write");
}

static int grow(void *ctx, uint64_t off, uint64_t len)
{
	(void)ctx;
	(void)off;
	(void)len;
	return OK;
}

static void attach(struct world *w, struct proc *p)
{
	sim_disk_init(&p->disk, w->fs);
	sim_lock_init(&p->lock, (uint32_t)p->id + 1);
	int err = part_table_attach(w->mem, &w->id, p->id == STORAGE ? 57u : (unsigned)p->id, &p->disk.disk,
				    &p->lock.port, DIR, grow, NULL, &p->table);
	if (err != OK)
		broken(w, "W5", err, 1);
	p->alive = err == OK;
	p->syncing = false;
}

static void die(struct world *w, struct proc *p)
{
	if (!p->alive)
		return;
	sim_lock_died(&p->lock);
	struct part_counts c;

	part_counts(p->table, &c);
	part_table_free(p->table);
	sim_disk_reset(&p->disk);
	p->alive = p->syncing = false;
	(void)w;
}

/* ---- checks ---- */

static void check_view(struct world *w, const struct part_view *v)
{
	if (v->log_start > v->high_watermark || v->high_watermark > v->end || v->synced > v->end)
		broken(w, "W4", v->high_watermark, v->end);
}

/* Reads [0, limit) and compares with what is known; all: nothing may be known behind the end. */
static void read_part(struct world *w, struct proc *p, int part, bool all)
{
	struct part_view v;
	int32_t next[PRODUCERS] = { 0 };
	int err = part_view(p->table, w->slot[part], &w->topic, &v);

	if (err != OK) {
		if (err != E_NOENT)
			broken(w, "W5", err, 2);
		return;
	}
	check_view(w, &v);
	int64_t limit = all ? v.end : v.high_watermark;
	for (int64_t at = 0; at < limit && !w->broken;) {
		struct part_range r;
		uint8_t head[61];
		size_t n;

		err = part_read(p->table, w->slot[part], &v, at, limit, 1 << 20, true, &r);
		if (err != OK || r.len == 0) {
			if (err != E_AGAIN && err != E_FENCED)
				broken(w, "W5", err, at);
			part_range_release(p->table, &r);
			return;
		}
		for (uint64_t pos = 0; pos < r.len && !w->broken;) {
			err = p->disk.disk.calls->pread(&p->disk.disk, r.file, head, sizeof head, r.off + pos, &n);
			uint32_t count = be32_get(head + 23) + 1;
			int prod = (int)be64_get(head + 43) - 1;
			int32_t seq = (int32_t)be32_get(head + 53);

			if (n != sizeof head || (int64_t)be64_get(head) != at || prod < 0 || prod >= PRODUCERS) {
				broken(w, "W3", at, n == sizeof head ? (long long)be64_get(head) : -1);
				break;
			}
			if (seq != next[prod])
				broken(w, "W2", at, seq);
			next[prod] = seq + (int32_t)count;
			for (uint32_t i = 0; i < count && at + i < OFFSETS; i++) {
				struct cell *c = &w->cell[part][at + i];

				if (c->producer >= 0 && (c->acked || c->seen) &&
				    (c->producer != prod || c->seq != seq + (int32_t)i))
					broken(w, c->acked ? "W1" : "W3", at + i, c->seq);
				if (at + i < v.high_watermark) {
					c->producer = (int8_t)prod;
					c->seq = seq + (int32_t)i;
					c->seen = true;
				}
			}
			at += count;
			pos += 12 + be32_get(head + 8);
		}
		part_range_release(p->table, &r);
	}
	for (int64_t at = limit; all && at < OFFSETS && !w->broken; at++)
		if (w->cell[part][at].acked || w->cell[part][at].seen)
			broken(w, w->cell[part][at].acked ? "W1" : "W3", at, limit);
	w->reads++;
	sim_mix(&w->sim, (uint64_t)limit);
}

/* ---- steps of the processes ---- */

static void acked(struct world *w, struct producer *d, int n)
{
	for (uint32_t i = 0; i < d->records; i++)
		if (d->base + i < OFFSETS)
			w->cell[d->part][d->base + i] = (struct cell){ d->seq + (int32_t)i, (int8_t)n, true, true };
	d->seq += (int32_t)d->records;
	d->sent = d->waiting = false;
	d->acks++;
	w->acks++;
}

static void produce(struct world *w, struct proc *p, int n)
{
	static uint8_t bytes[61 + 4096];
	struct producer *d = &w->prod[n];
	struct part_view v;
	struct part_appended ret;

	if (d->waiting) {
		if (part_view(p->table, w->slot[d->part], &w->topic, &v) != OK)
			return;
		check_view(w, &v);
		if (v.generation != d->ticket.generation)
			d->waiting = false;		/* truncated meanwhile: the client tries again */
		else if (v.high_watermark >= d->ticket.end_offset)
			acked(w, d, n);
		return;
	}
	if (!d->sent) {
		d->records = 1 + rng_below(&w->sim.rng, 4);
		d->body = 10 + rng_below(&w->sim.rng, 1500);
		d->sent = true;
	}
	struct testbatch b = { .pid = n + 1, .epoch = 0, .seq = d->seq, .records = d->records,
			       .ts = w->sim.clock.wall_ms(&w->sim.clock), .body = d->body };
	struct part_batch batch = testbatch_make(&b, bytes);
	int err = part_append(p->table, w->slot[d->part], &w->topic, w->epoch, &w->conf, &batch, 1, b.ts, &ret);

	if (err != OK) {
		if (err == E_DAMAGED || err == E_IO)
			broken(w, "W5", err, 3);
		return;
	}
	if (batch.err != OK) {
		if (batch.err != E_NOSPC)
			broken(w, "W2", batch.kafka_error, d->seq);
		return;
	}
	d->base = batch.base_offset;
	d->ticket = ret.ticket;
	if (batch.duplicate)
		d->ticket.end_offset = d->base + d->records;
	d->waiting = true;
}

/* What the agent does for every replica that is online: the epoch the controller gave. */
static void give_epoch(struct world *w, struct proc *p, int part)
{
	struct part_view v;

	if (part_view(p->table, w->slot[part], &w->topic, &v) != OK || v.leader_epoch >= w->epoch)
		return;
	int err = part_become_leader(p->table, w->slot[part], w->epoch);
	if (err != OK && err != E_AGAIN)
		broken(w, "W5", err, 8);
}

static void storage_step(struct world *w, struct proc *p)
{
	uint32_t what = rng_below(&w->sim.rng, 100);
	int part = (int)rng_below(&w->sim.rng, PARTS);
	uint64_t wake;

	give_epoch(w, p, part);
	if (p->syncing) {
		bool ok = true;

		for (int i = 0; i < p->job.n_files; i++)
			ok &= p->disk.disk.calls->sync(&p->disk.disk, p->job.file[i]) == OK;
		if (p->job.dir)
			ok &= p->disk.disk.calls->sync_dir(&p->disk.disk, p->job.dir_path) == OK;
		must(ok);
		int err = part_synced(p->table, p->job_slot, p->job.gen, p->job.end, &w->conf, &wake);
		if (err != OK && err != E_FENCED && err != E_NOENT && err != E_AGAIN && err != E_CONFLICT)
			broken(w, "W5", err, 4);
		part_sync_end(p->table, &p->job);
		p->syncing = false;
	} else if (part_slot_state(p->table, w->slot[part]) == PART_OPENING) {
		int err = part_slot_recover(p->table, w->slot[part], false);	/* a record failed its check */

		if (err != OK && err != E_AGAIN)
			broken(w, "W5", err, 7);
		w->reopened++;
	} else if (what < 80) {
		p->job_slot = w->slot[part];
		if (part_sync_begin(p->table, p->job_slot, &p->job) == OK && p->job.due)
			p->syncing = true;
		else
			part_sync_end(p->table, &p->job);
	} else if (what < 88) {
		if (part_checkpoint(p->table, false) != OK)
			broken(w, "W5", 0, 5);
	} else if (what < 91) {
		struct part_view v;

		if (part_view(p->table, w->slot[part], &w->topic, &v) == OK && v.end > v.high_watermark &&
		    part_truncate(p->table, w->slot[part], v.leader_epoch, v.high_watermark, &wake) == OK)
			w->truncations++;
	} else
		read_part(w, p, part, false);
}

static void step(struct sim_event *e)
{
	struct proc *p = (struct proc *)e;
	struct world *w = p->w;

	if (!p->alive) {
		attach(w, p);
		sim_at(&w->sim, e, 100 + rng_below(&w->sim.rng, 2000));
		return;
	}
	w->running = p;
	if (setjmp(w->death) == 0) {
		if (p->id == STORAGE)
			storage_step(w, p);
		else if (rng_below(&w->sim.rng, 10) == 0)
			read_part(w, p, (int)rng_below(&w->sim.rng, PARTS), false);
		else
			produce(w, p, (int)rng_below(&w->sim.rng, PRODUCERS));
		w->running = NULL;
	} else {
		w->running = NULL;
		w->kills++;
		die(w, p);
	}
	sim_at(&w->sim, e, 50 + rng_below(&w->sim.rng, 1000));
}

/* ---- the world ---- */

static void note_counts(struct world *w)
{
	struct part_counts c;

	if (!w->proc[0].alive)
		attach(w, &w->proc[0]);
	if (!w->proc[0].alive)
		return;
	part_counts(w->proc[0].table, &c);
	total.lock_repairs += c.lock_repairs;
	total.torn_tails += c.torn_tails;
	total.dropped_versions += c.dropped_versions;
	total.dedups += c.dedups;
	total.appends += c.appends;
	total.rebuilt += c.rebuilt;
}

static void boot(struct world *w)
{
	struct lock_port *lock = &w->proc[STORAGE].lock.port;
	struct proc *p = &w->proc[STORAGE];
	bool clean;

	sim_lock_init(&p->lock, STORAGE + 1);
	memset(w->mem, 0, part_table_bytes(&w->lim));
	w->id.generation++;
	w->id.boot_id[0] = (char)('a' + w->id.generation % 26);
	must(part_table_format(w->mem, &w->lim, &w->id, lock, grow, NULL) == OK);
	attach(w, p);
	if (!p->alive)
		return;
	must(part_checkpoint_load(p->table, &clean) == OK);
	w->epoch++;
	for (int i = 0; i < PARTS; i++) {
		struct part_key key = { .topic_id = w->topic, .partition = i, .topic = "t" };

		must(part_slot_open(p->table, &key, &w->slot[i]) == OK);
		int err = part_slot_recover(p->table, w->slot[i], clean);
		if (err == OK)
			err = part_become_leader(p->table, w->slot[i], w->epoch);
		if (err != OK)
			broken(w, "W5", err, 6);
		else
			read_part(w, p, i, true);
	}
}

static void all_die(struct world *w)
{
	note_counts(w);
	for (int i = 0; i < PROCS; i++)
		die(w, &w->proc[i]);
	for (int i = 0; i < PRODUCERS; i++)
		w->prod[i].waiting = false;		/* connections broke: clients try again */
}

static void power_loss(struct world *w)
{
	all_die(w);
	sim_fs_power_loss(w->fs);
	w->losses++;
	boot(w);
}

static void fault(struct world *w)
{
	uint32_t what = rng_below(&w->sim.rng, 1000);

	if (what < 2)
		power_loss(w);
	else if (what < 5) {
		all_die(w);
		w->all_deaths++;
	}
}

static void world_init(struct world *w, uint64_t seed)
{
	sim_init(&w->sim, seed);
	w->fs = sim_fs_new(&w->sim);
	sim_fs_faults(w->fs)->loss_keep_percent = rng_below(&w->sim.rng, 101);
	sim_fs_on_write(w->fs, on_write, w);
	w->lim = (struct part_limits){ 8, 64 };
	w->id = (struct part_id){ .node_id = 1 };
	w->topic.b[0] = 7;
	w->mem = mem_alloc(part_table_bytes(&w->lim));
	w->kill_ppm = rng_below(&w->sim.rng, 4) == 0 ? 0 : 500 + rng_below(&w->sim.rng, 20000);
	w->conf = (struct part_conf){ .segment_bytes = 8192 + rng_below(&w->sim.rng, 65536),
		.segment_ms = UINT64_C(604800000), .index_interval_bytes = 4096,
		.max_producer_age_ms = 86400000, .durability = PART_QUORUM };
	for (int i = 0; i < PARTS; i++) {
		w->cell[i] = mem_alloc(sizeof(struct cell) * OFFSETS);
		for (int k = 0; k < OFFSETS; k++)
			w->cell[i][k].producer = -1;
	}
	for (int i = 0; i < PRODUCERS; i++)
		w->prod[i].part = i % PARTS;
	for (int i = 0; i < PROCS; i++) {
		w->proc[i].w = w;
		w->proc[i].id = i;
		w->proc[i].event.run = step;
	}
	struct sim_disk d;

	sim_disk_init(&d, w->fs);
	must(d.disk.calls->mkdir(&d.disk, DIR) == OK && d.disk.calls->sync_dir(&d.disk, "") == OK);
	boot(w);
	for (int i = 0; i < PROCS; i++)
		sim_at(&w->sim, &w->proc[i].event, 10 + rng_below(&w->sim.rng, 500));
}

static void world_release(struct world *w)
{
	for (int i = 0; i < PROCS; i++) {
		sim_cancel(&w->sim, &w->proc[i].event);
		die(w, &w->proc[i]);
	}
	for (int i = 0; i < PARTS; i++)
		mem_free(w->cell[i]);
	mem_free(w->mem);
	sim_fs_free(w->fs);
	sim_release(&w->sim);
}

static void add_sums(struct world *w)
{
	const struct sim_fs_counts *c = sim_fs_counts(w->fs);

	sum_kills += w->kills;
	sum_all += w->all_deaths;
	sum_losses += w->losses;
	sum_acks += w->acks;
	sum_reads += w->reads;
	sum_truncations += w->truncations;
	sum_fs.torn_writes += c->torn_writes;
	sum_fs.lost_writes += c->lost_writes;
	sum_fs.kept_writes += c->kept_writes;
	sum_fs.lost_names += c->lost_names;
	sum_fs.syncs += c->syncs;
}

/* One seed; the invariant that broke or NULL. */
static const char *run_seed(uint64_t seed, uint64_t *ret_hash, char *ret_detail, size_t cap)
{
	struct world *w = mem_alloc(sizeof *w);
	uint64_t before[PRODUCERS];

	W = w;
	world_init(w, seed);
	for (int i = 0; i < STEPS && !w->broken; i++) {
		must(sim_step(&w->sim));
		fault(w);
	}
	/* Liveness: no more faults; each producer must be acknowledged twice more. W6 */
	w->kill_ppm = 0;
	for (int i = 0; i < PRODUCERS; i++)
		before[i] = w->prod[i].acks;
	for (int i = 0; i < STEPS && !w->broken; i++)
		must(sim_step(&w->sim));
	for (int i = 0; i < PRODUCERS; i++)
		if (w->prod[i].acks < before[i] + 2)
			broken(w, "W6", i, (long long)w->prod[i].acks);
	if (!w->broken)
		power_loss(w);
	const char *what = w->broken;
	snprintf(ret_detail, cap, "%s", w->detail);
	*ret_hash = w->sim.hash;
	add_sums(w);
	note_counts(w);
	world_release(w);
	W = NULL;
	mem_free(w);
	return what;
}

static void report(void)
{
	printf("reached: kills %llu, deaths of all %llu, power losses %llu, lock repairs %llu, torn tails cut %llu, "
	       "versions dropped %llu, retries de-duplicated %llu, truncations %llu\n",
	       (unsigned long long)sum_kills, (unsigned long long)sum_all, (unsigned long long)sum_losses,
	       (unsigned long long)total.lock_repairs, (unsigned long long)total.torn_tails,
	       (unsigned long long)total.dropped_versions, (unsigned long long)total.dedups,
	       (unsigned long long)sum_truncations);
	printf("disk: writes torn %llu, lost %llu, kept %llu, names lost %llu, syncs %llu; acks %llu, reads %llu\n",
	       (unsigned long long)sum_fs.torn_writes, (unsigned long long)sum_fs.lost_writes,
	       (unsigned long long)sum_fs.kept_writes, (unsigned long long)sum_fs.lost_names,
	       (unsigned long long)sum_fs.syncs, (unsigned long long)sum_acks, (unsigned long long)sum_reads);
}

/* A death by longjmp leaves what the dead process had allocated, as a real death does. */
const char *__asan_default_options(void);
const char *__asan_default_options(void)
{
	return "detect_leaks=0";
}

int main(int argc, char **argv)
{
	uint64_t seeds = 40, from = 1, passed = 0, failed = 0, last = 0;

	for (int i = 1; i + 1 < argc; i += 2) {
		if (strcmp(argv[i], "--seeds") == 0)
			seeds = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--from") == 0)
			from = strtoull(argv[i + 1], NULL, 10);
		else if (strcmp(argv[i], "--mutant") == 0)
			mutant_on = argv[i + 1];
		else {
			fprintf(stderr, "usage: run [--seeds N] [--from S] [--mutant NAME]\n");
			return 2;
		}
	}
	crash_hook = on_point;
	for (uint64_t s = from; s < from + seeds; s++) {
		uint64_t hash, again;
		char detail[160];
		const char *what = run_seed(s, &hash, detail, sizeof detail);

		if (!what && s == from) {	/* a run is a function of its seed alone */
			run_seed(s, &again, detail, sizeof detail);
			if (again != hash)
				what = "the same seed gave another run";
		}
		if (!what && hash == last)
			what = "two neighbouring seeds gave the same run";
		last = hash;
		passed += !what;
		failed += what != NULL;
		if (what)
			printf("seed %llu: %s broken: %s (replay: run --from %llu --seeds 1)\n", (unsigned long long)s,
			       what, detail, (unsigned long long)s);
		if (what && mutant_on)
			break;
	}
	report();
	printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
	return failed > 0;
}
