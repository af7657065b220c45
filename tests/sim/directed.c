/*
 * directed.c - schedules that random seeds do not find, each played twice: as the sources are, and with a bug planted
 * that only this order of events shows. Two processes over one table and one disk, as in world.h.
 *
 *   directed      plays all; a line for each, then "N passed, N failed"
 *
 * Each schedule names what it shows (docs/simulator.md, docs/table.md): with its bug this must be broken, without it
 * not.
 */
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../unit/testbatch.h"
#include "base/assert.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "heap.h"
#include "log/log.h"
#include "part/part.h"
#include "sim/sim.h"
#include "sim/sim_disk.h"
#include "sim/sim_lock.h"

#define DIR "/d"
#define FOLDER DIR "/t-0"
#define LOG FOLDER "/00000000000000000000.log"
#define STORAGE 57
#define BATCH_MAX 4000

static const struct uuid topic = { { 1, 2, 3 } };

struct proc {
	struct sim_disk disk;
	struct sim_lock lock;
	struct heap heap;
	struct part_table *table;
};

struct rig {
	struct sim sim;
	struct sim_fs *fs;
	struct part_limits lim;
	struct part_id id;
	struct part_conf conf;
	void *mem;
	struct proc worker, storage;
	struct proc *running;
	uint32_t slot;
	const char *broken;		/* what was shown to be wrong */
};

/* ---- processes ---- */

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

	p = mem_resize(p, bytes);
	heap_enter(was);
	return p;
}

static int grow(void *ctx, uint64_t off, uint64_t len)
{
	(void)ctx, (void)off, (void)len;
	return OK;
}

static struct part_table *enter(struct rig *g, struct proc *p)
{
	heap_enter(&p->heap);
	g->running = p;
	return p->table;
}

static void leave(struct rig *g)
{
	heap_enter(NULL);
	g->running = NULL;
}

static void attach(struct rig *g, struct proc *p)
{
	bool storage = p == &g->storage;

	sim_disk_init(&p->disk, g->fs);
	sim_lock_init(&p->lock, storage ? 2 : 1);
	heap_enter(&p->heap);
	must(part_table_attach(g->mem, &g->id, storage ? STORAGE : 0, &p->disk.disk, &p->lock.port, DIR, grow, NULL,
			       &p->table) == OK);
	heap_enter(NULL);
}

static void die(struct proc *p)
{
	sim_lock_died(&p->lock);
	sim_disk_reset(&p->disk);
	heap_drop(&p->heap);
}

static jmp_buf death;
static const char *dies_at, *does_at;
static void (*does)(struct rig *g);
static struct rig *the_rig;

static void on_point(const char *name)
{
	struct proc *was = the_rig->running;

	if (does_at && strcmp(name, does_at) == 0) {
		does_at = NULL;
		heap_enter(NULL);
		does(the_rig);
		enter(the_rig, was);
	}
	if (dies_at && strcmp(name, dies_at) == 0) {
		dies_at = NULL;
		longjmp(death, 1);
	}
}

static void on_call(void *ctx, const char *what)
{
	char name[64];

	(void)ctx;
	snprintf(name, sizeof name, "call %s", what);
	on_point(name);
}

/* p is killed at a crash point of what fn does; another one takes its place. */
static void killed_at(struct rig *g, struct proc *p, const char *point, void (*fn)(struct rig *g, struct proc *p))
{
	dies_at = point;
	if (setjmp(death) == 0) {
		fn(g, p);
		must(false && "the point was not met");
	}
	leave(g);
	die(p);
	attach(g, p);
}

/* ---- the machine ---- */

static void format(struct rig *g)
{
	struct sim_lock lock;
	struct part_key key = { .topic_id = topic, .topic = "t" };
	bool clean;

	sim_lock_init(&lock, 1);
	memset(g->mem, 0, part_table_bytes(&g->lim));
	g->id.generation++;
	must(part_table_format(g->mem, &g->lim, &g->id, &lock.port, grow, NULL) == OK);
	attach(g, &g->worker);
	attach(g, &g->storage);
	struct part_table *t = enter(g, &g->storage);
	must(part_checkpoint_load(t, &clean) == OK);
	must(part_slot_open(t, &key, &g->slot) == OK);
	int err = part_slot_recover(t, g->slot, clean);
	leave(g);
	if (err)
		g->broken = "W5";
}

static void up(struct rig *g, uint64_t seed)
{
	*g = (struct rig){ .lim = { 4, 16 }, .id = { .boot_id = "boot", .cluster_id = { { 9 } }, .node_id = 1,
		.dir_id = { { 8 } } }, .conf = { .segment_bytes = 1 << 20, .segment_ms = UINT64_C(604800000),
		.index_interval_bytes = 60, .max_producer_age_ms = 86400000, .durability = PART_QUORUM } };
	static const struct sim_fs_mem outside = { machine_alloc, machine_resize };

	the_rig = g;
	sim_init(&g->sim, seed);
	g->fs = sim_fs_new(&g->sim);
	sim_fs_mem(g->fs, &outside);
	sim_fs_on_call(g->fs, on_call, NULL);
	g->mem = mem_alloc(part_table_bytes(&g->lim));
	sim_disk_init(&g->worker.disk, g->fs);
	struct disk *d = &g->worker.disk.disk;
	must(d->calls->mkdir(d, DIR) == OK && d->calls->sync_dir(d, "/") == OK);
	format(g);
}

static void down(struct rig *g)
{
	die(&g->worker);
	die(&g->storage);
	sim_fs_free(g->fs);
	sim_release(&g->sim);
	mem_free(g->mem);
}

/* The broker dies and starts again; of what was not synced so much stays. */
static void power_loss(struct rig *g, uint32_t keep_percent)
{
	die(&g->worker);
	die(&g->storage);
	sim_fs_faults(g->fs)->loss_keep_percent = keep_percent;
	sim_fs_power_loss(g->fs);
	format(g);
}

static void names_written_back(struct rig *g)
{
	struct disk *d = &g->worker.disk.disk;

	must(d->calls->sync_dir(d, FOLDER) == OK);
}

/* The kernel writes back what it likes, when it likes. */
static void written_back(struct rig *g, const char *name)
{
	struct disk *d = &g->worker.disk.disk;
	char path[100];
	int file;

	snprintf(path, sizeof path, FOLDER "/%s", name);
	must(d->calls->open(d, path, 0, &file) == OK);
	must(d->calls->sync(d, file) == OK);
	d->calls->close(d, file);
	names_written_back(g);
}

/* ---- calls ---- */

static void lead(struct rig *g, struct proc *p, int32_t epoch)
{
	must(part_become_leader(enter(g, p), g->slot, epoch) == OK);
	leave(g);
}

/* Kafka's error of it. */
static int16_t append_batch(struct rig *g, const struct testbatch *batch)
{
	static uint8_t buf[61 + BATCH_MAX];
	struct part_batch b = testbatch_make(batch, buf);
	struct part_appended out;

	must(part_append(enter(g, &g->worker), g->slot, &topic, -1, &g->conf, &b, 1, 1000, &out) == OK);
	leave(g);
	return b.err ? b.kafka_error : b.duplicate ? -1 : 0;
}

static int16_t append(struct rig *g, int64_t producer, int32_t seq, uint32_t records, uint32_t bytes)
{
	return append_batch(g, &(struct testbatch){ producer, 0, seq, records, 1000, bytes - 61, false, 0 });
}

/* control: 0 a record, 1 the marker of an abort, 2 of a commit. */
static int16_t append_txn(struct rig *g, int64_t producer, int32_t seq, int control)
{
	return append_batch(g, &(struct testbatch){ producer, 0, seq, 1, 1000, 200, true, control });
}

static struct part_view view(struct rig *g)
{
	struct part_view v;

	must(part_view(enter(g, &g->worker), g->slot, &topic, &v) == OK);
	leave(g);
	return v;
}

/* True: there was something to do. */
static bool sync_all(struct rig *g, struct proc *p)
{
	struct part_table *t = enter(g, p);
	struct disk *d = &p->disk.disk;
	struct part_sync job;
	uint64_t wake;

	must(part_sync_begin(t, g->slot, &job) == OK);
	bool due = job.due;

	if (due) {
		for (int i = 0; i < job.n_files; i++)
			must(d->calls->sync(d, job.file[i]) == OK);
		if (job.dir)
			must(d->calls->sync_dir(d, job.dir_path) == OK);
		must(part_synced(t, g->slot, job.gen, job.end, &g->conf, &wake) == OK);
	}
	part_sync_end(t, &job);
	leave(g);
	return due;
}

static void checkpoint(struct rig *g, bool clean)
{
	must(part_checkpoint(enter(g, &g->storage), clean) == OK);
	leave(g);
}

static void truncate_to(struct rig *g, int64_t offset)
{
	int32_t epoch = view(g).leader_epoch;
	uint64_t wake;

	must(part_truncate(enter(g, &g->worker), g->slot, epoch, offset, &wake) == OK);
	leave(g);
}

/* L1: up to the end whole batches, without a gap. */
static bool whole(struct rig *g)
{
	uint64_t bytes = 0, at = 0;
	const uint8_t *p = sim_fs_peek(g->fs, LOG, &bytes);
	int64_t next = 0, end = view(g).end;

	while (next < end) {
		struct log_head h;

		if (at + 61 > bytes || log_head_parse(p + at, &h) != OK || h.bytes > bytes - at ||
		    h.base_offset != next || h.crc != crc32c(0, p + at + 21, h.bytes - 21))
			return false;
		next = h.last_offset + 1;
		at += h.bytes;
	}
	return true;
}

/* ---- schedules ---- */

static void leads_six(struct rig *g, struct proc *p)
{
	lead(g, p, 6);
}

/* Killed between the epoch file and the commit: the leader epoch never began, and batches of the old one follow. */
static void epoch_half_begun(struct rig *g)
{
	lead(g, &g->storage, 5);
	append(g, 7, 0, 1, 200);
	killed_at(g, &g->storage, "epoch_written", leads_six);
	append(g, 7, 1, 1, 200);
	struct log_epoch *v = NULL;
	uint32_t n = 0;

	must(log_epochs_read(&g->worker.disk.disk, FOLDER, &v, &n) == OK);
	if (n != 1 || v[0].epoch != 5)
		g->broken = "repair";
	mem_free(v);
}

static void syncs(struct rig *g, struct proc *p)
{
	sync_all(g, p);
}

/* Killed when what is synced is stored and the high watermark is not: nobody else takes the lock of a partition at
 * rest. */
static void synced_and_gone(struct rig *g)
{
	lead(g, &g->storage, 5);
	append(g, 7, 0, 1, 200);
	killed_at(g, &g->storage, "synced_stored", syncs);
	while (sync_all(g, &g->storage))
		continue;
	if (view(g).high_watermark != 1)
		g->broken = "W7";
}

/* Whoever synced a marker died before he moved the high watermark, and the marker is cut: its transaction is open
 * again. */
static void marker_cut(struct rig *g)
{
	lead(g, &g->storage, 5);
	append_txn(g, 7, 0, 0);
	append_txn(g, 7, -1, 2);
	killed_at(g, &g->storage, "synced_stored", syncs);
	truncate_to(g, 1);
	struct part_view v = view(g);

	if (v.last_stable != 0)
		g->broken = "T12";
}

/* The checkpoint is older than a truncation: what was appended behind it may be torn. */
static void checkpoint_older_than_cut(struct rig *g)
{
	lead(g, &g->storage, 5);
	for (int32_t i = 0; i < 10; i++)
		append(g, 7, i, 1, 1500);
	sync_all(g, &g->storage);
	checkpoint(g, false);
	truncate_to(g, 5);
	for (int32_t i = 0; i < 5; i++)
		append(g, 8, i, 1, 1500);
	power_loss(g, 50);
	if (!g->broken && !whole(g))
		g->broken = "L1";
}

static void cut_and_grown_again(struct rig *g)
{
	truncate_to(g, 5);
	for (int32_t i = 0; i < 8; i++)
		append(g, 8, i, 1, 300);
	sync_all(g, &g->worker);
}

/* The log is cut, and grows past its old end, between a snapshot of its producers and the naming of it. */
static void snapshot_of_what_was_cut(struct rig *g)
{
	lead(g, &g->storage, 5);
	for (int32_t i = 0; i < 10; i++)
		append(g, 7, i, 1, 300);
	sync_all(g, &g->storage);
	does = cut_and_grown_again;
	does_at = "call sync";		/* of the epoch file: behind the copy, before the snapshot is written */
	checkpoint(g, true);
	must(!does_at);
	names_written_back(g);
	power_loss(g, 0);
	lead(g, &g->storage, 6);
	if (append(g, 7, 5, 1, 300) != 0)
		g->broken = "W2";
}

/* Old index entries in front of one that fits by chance. */
static void index_of_what_was_cut(struct rig *g)
{
	lead(g, &g->storage, 5);
	for (int32_t i = 0; i < 9; i++)
		append(g, 7, i, 1, 1000);
	sync_all(g, &g->storage);
	written_back(g, "00000000000000000000.idx");
	truncate_to(g, 3);
	append(g, 8, 0, 1, 1500);
	append(g, 8, 1, 2, 1500);
	for (int32_t i = 3; i < 6; i++)
		append(g, 8, i, 1, 1000);
	sync_all(g, &g->storage);
	checkpoint(g, true);
	names_written_back(g);
	power_loss(g, 0);
	struct log_files *files = log_files_new(&g->worker.disk.disk, 4);
	struct log_replica lr = { .files = files, .log_dir = DIR, .topic = "t" };
	struct log_index_entry e;
	struct log_head h;
	uint64_t bytes;
	const uint8_t *p = sim_fs_peek(g->fs, LOG, &bytes);

	for (uint32_t i = log_index_count(&lr, 0); i > 0; i--)
		if (log_index_last(&lr, 0, i, &e) && e.pos < bytes &&
		    (log_head_parse(p + e.pos, &h) != OK || h.base_offset != e.rel))
			g->broken = "L6";
	log_files_free(files);
}

static const struct {
	const char *mutant, *breaks;
	void (*play)(struct rig *g);
	uint64_t seeds;			/* what a power loss keeps is chance */
} schedules[] = {
	{ "EPOCHS_NOT_REPAIRED", "repair", epoch_half_begun, 1 },
	{ "SYNC_NOT_TOLD", "W7", synced_and_gone, 1 },
	{ "STABLE_OUTLIVES_CUT", "T12", marker_cut, 1 },
	{ "CHECKPOINT_OUTLIVES_CUT", "L1", checkpoint_older_than_cut, 50 },
	{ "SNAPSHOT_OUTLIVES_CUT", "W2", snapshot_of_what_was_cut, 1 },
	{ "INDEX_NOT_SYNCED", "L6", index_of_what_was_cut, 1 },
};

static const char *play(size_t i, const char *mutant)
{
	const char *broken = NULL;

	mutant_on = mutant;
	for (uint64_t seed = 1; seed <= schedules[i].seeds && !broken; seed++) {
		static struct rig g;

		up(&g, seed);
		schedules[i].play(&g);
		broken = g.broken;
		down(&g);
	}
	return broken;
}

int main(void)
{
	size_t n = sizeof schedules / sizeof schedules[0], failed = 0;

	crash_hook = on_point;
	for (size_t i = 0; i < n; i++) {
		const char *as_is = play(i, NULL), *planted = play(i, schedules[i].mutant);
		bool ok = !as_is && planted && strcmp(planted, schedules[i].breaks) == 0;

		printf("%s %s: as it is %s is broken, with the bug %s\n", ok ? "ok" : "FAILED", schedules[i].mutant,
		       as_is ? as_is : "nothing", planted ? planted : "nothing");
		failed += !ok;
	}
	printf("%zu passed, %zu failed\n", n - failed, failed);
	return failed > 0;
}
