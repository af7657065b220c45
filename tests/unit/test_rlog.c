/* test_rlog.c - the quorum's log over a disk that forgets what was not synced. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/mem.h"
#include "base/rng.h"
#include "quorum/rlog.h"
#include "sim/sim.h"
#include "sim/sim_disk.h"

struct world {
	struct sim sim;
	struct sim_fs *fs;
	struct sim_disk disk;
	struct rlog log;
	uint64_t last, durable, term, loaded, snap;
	uint64_t votes, images;
	bool dead, peers;
	uint64_t terms[512];		/* of entries */
	char cluster[24];
};

static void woken(struct sim_event *e)
{
	e->queued = false;
}

static void run_for(struct world *w, uint64_t us)
{
	static struct sim_event e;
	uint64_t until = w->sim.now_us + us;

	e = (struct sim_event){ .run = woken };
	sim_at(&w->sim, &e, us);
	while (w->sim.now_us < until && sim_step(&w->sim))
		;
	while (e.queued && sim_step(&w->sim))
		;
}

static uint8_t byte_of(uint64_t index)
{
	return (uint8_t)(index * 7 + 3);
}

static int load_snapshot(void *user, uint64_t index, uint64_t term, int64_t zxid, const uint8_t *p, uint32_t len)
{
	struct world *w = user;

	cr_assert(term > 0);
	cr_assert_eq(zxid, (int64_t)index);
	cr_assert(len == 3000 && p[0] == byte_of(index) && p[len - 1] == byte_of(index));
	w->loaded = index;
	return OK;
}

static int load_entry(void *user, const struct rlog_entry *e)
{
	struct world *w = user;

	cr_assert_eq(e->index, w->loaded + 1);
	for (uint32_t i = 0; i < e->len; i++)
		cr_assert_eq(e->p[i], byte_of(e->index));
	w->loaded = e->index;
	return OK;
}

static void on_durable(void *user, uint64_t index, uint64_t term)
{
	(void)term;
	((struct world *)user)->durable = index;
}

static void on_voted(void *user)
{
	((struct world *)user)->votes++;
}

static void on_image(void *user, int err)
{
	cr_assert_eq(err, OK);
	((struct world *)user)->images++;
}

static void on_snapshot(void *user, uint64_t index)
{
	((struct world *)user)->snap = index;
}

static void on_fatal(void *user, const char *what, int err)
{
	(void)what;
	(void)err;
	((struct world *)user)->dead = true;
}

static bool may_recover(void *user)
{
	return ((struct world *)user)->peers;
}

static const struct rlog_load loader = { load_snapshot, load_entry, may_recover };
static const struct rlog_events events = { on_durable, on_voted, on_snapshot, on_image, on_fatal };

static int open_as(struct world *w, char *cluster, bool given, uint32_t node, char *why)
{
	struct rlog_config conf = { .dir = "/q", .cluster_id = cluster, .cluster_given = given, .node_id = node,
		.disk_id = 77 };

	return rlog_open(&w->log, &w->disk.disk, &conf, &loader, &events, w, why, 300);
}

static int open_log(struct world *w, char *why)
{
	w->loaded = 0;
	w->dead = false;
	int err = open_as(w, w->cluster, false, 1, why);
	if (err == OK) {			/* each start is a term of its own */
		w->term = w->log.term + 1;
		uint64_t votes = w->votes;
		rlog_vote(&w->log, w->term, 0, w->log.recovering);
		while (w->votes == votes)
			run_for(w, 1000);
	}
	return err;
}

static void start(struct world *w, uint64_t seed)
{
	char why[300];

	memset(w, 0, sizeof *w);
	memcpy(w->cluster, "AAAAAAAAAAAAAAAAAAAAAA", 23);
	sim_init(&w->sim, seed);
	w->fs = sim_fs_new(&w->sim);
	sim_disk_init(&w->disk, w->fs);
	cr_assert_eq(open_log(w, why), OK, "%s", why);
}

static void end(struct world *w)
{
	rlog_close(&w->log);
	sim_disk_reset(&w->disk);
	sim_fs_free(w->fs);
	sim_release(&w->sim);
}

static void add(struct world *w, uint32_t len)
{
	uint8_t p[9000];
	uint64_t i = ++w->last;

	cr_assert_lt(i, 512);
	w->terms[i] = w->term;
	memset(p, byte_of(i), sizeof p);
	rlog_append(&w->log, &(struct rlog_entry){ .index = i, .term = w->term, .zxid = (int64_t)i, .type = 2,
		.version = 1,
						   .p = p, .len = len });
}

static void crash_once(struct world *w, struct rng *r)
{
	char why[300] = "";

	for (uint32_t n = rng_below(r, 12); n > 0; n--) {
		for (uint32_t k = rng_below(r, 5); k > 0; k--)
			add(w, rng_below(r, rng_below(r, 8) ? 200 : 9000));
		rlog_flush(&w->log);
		if (rng_below(r, 8) == 0 && w->durable > w->log.snaps[0] && !w->log.snap.on) {
			uint8_t *p = mem_alloc(3000);

			memset(p, byte_of(w->durable), 3000);
			rlog_snapshot(&w->log, w->durable, w->terms[w->durable], (int64_t)w->durable, p, 3000);
		}
		rlog_snapshot_turn(&w->log);
		if (rng_below(r, 3))
			run_for(w, rng_below(r, 3000));
	}
	uint64_t promised = w->durable;

	rlog_close(&w->log);
	sim_disk_reset(&w->disk);
	if (rng_below(r, 4))
		sim_fs_power_loss(w->fs);
	sim_disk_init(&w->disk, w->fs);
	cr_assert_eq(open_log(w, why), OK, "%s", why);
	cr_assert_geq(w->loaded, promised);
	cr_assert_leq(w->loaded, w->last);
	w->last = w->durable = w->loaded;
}

Test(rlog, nothing_durable_is_lost_by_any_power_loss)
{
	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct world w;
		struct rng r;

		start(&w, seed);
		rng_init(&r, seed);
		sim_fs_faults(w.fs)->loss_keep_percent = rng_below(&r, 101);
		for (int i = 0; i < 6; i++)
			crash_once(&w, &r);
		end(&w);
	}
	cr_expect_eq(mem_live(), 0);
}

static void sync_all(struct world *w)
{
	rlog_flush(&w->log);
	while (w->durable < w->last)
		run_for(w, 1000);
}

Test(rlog, damage_before_the_tail_is_refused)
{
	struct world w;
	char why[300] = "";

	start(&w, 1);
	for (int i = 0; i < 20; i++) {
		add(&w, 100);
		sync_all(&w);
	}
	rlog_close(&w.log);
	sim_disk_reset(&w.disk);
	sim_disk_init(&w.disk, w.fs);
	cr_assert(sim_fs_rot(w.fs, "/q/log-00000000000000000001", 64 + 5 * 140 + 60));
	cr_expect_eq(open_log(&w, why), E_DAMAGED);
	cr_expect(strstr(why, "entry 6"), "%s", why);
	end(&w);
}

Test(rlog, foreign_folder_names_both)
{
	struct world w;
	char why[300] = "", other[24] = "BBBBBBBBBBBBBBBBBBBBBB";

	start(&w, 1);
	rlog_close(&w.log);
	cr_expect_eq(open_as(&w, other, true, 1, why), E_FOREIGN);
	cr_expect(strstr(why, "AAAAAAAAAAAAAAAAAAAAAA") && strstr(why, "BBBBBBBBBBBBBBBBBBBBBB"), "%s", why);
	rlog_close(&w.log);
	cr_expect_eq(open_as(&w, w.cluster, false, 2, why), E_FOREIGN);
	end(&w);
}

Test(rlog, failed_sync_is_final)
{
	struct world w;

	start(&w, 1);
	add(&w, 10);
	sim_fs_faults(w.fs)->eio_sync = 1000000;
	rlog_flush(&w.log);
	run_for(&w, 100000);
	cr_expect(w.dead);
	cr_expect_eq(w.durable, 0);
	end(&w);
}
