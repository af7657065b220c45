/* test_rlog.c - the quorum's log over a disk that forgets what was not synced. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "base/crc32c.h"
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
	uint64_t terms[512], found[512];	/* of entries: as written, as loaded */
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
	w->found[e->index] = e->term;
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

static void reopen(struct world *w, bool power)
{
	char why[300] = "";

	rlog_close(&w->log);
	sim_disk_reset(&w->disk);
	if (power)
		sim_fs_power_loss(w->fs);
	sim_disk_init(&w->disk, w->fs);
	cr_assert_eq(open_log(w, why), OK, "%s", why);
}

/* K7: what was cut off stays off, what came in its place stays, whatever of it had reached the platter. */
Test(rlog, cutting_and_writing_again_survives_any_power_loss)
{
	uint64_t cuts = 0;

	for (uint64_t seed = 1; seed <= 300; seed++) {
		struct world w;
		struct rng r;

		start(&w, seed);
		rng_init(&r, seed);
		sim_fs_faults(w.fs)->loss_keep_percent = rng_below(&r, 101);
		for (int round = 0; round < 5; round++) {
			for (uint32_t n = 1 + rng_below(&r, 10); n > 0; n--) {
				for (uint32_t k = rng_below(&r, 4); k > 0; k--)
					add(&w, rng_below(&r, 900));
				rlog_flush(&w.log);
				if (rng_below(&r, 2))
					run_for(&w, rng_below(&r, 3000));
				if (w.last > 1 && rng_below(&r, 3) == 0) {
					uint64_t from = w.last - rng_below(&r, w.last < 6 ? (uint32_t)w.last - 1 : 6);

					rlog_truncate(&w.log, from, w.terms[from - 1]);
					w.last = from - 1;
					w.durable = w.durable < w.last ? w.durable : w.last;
					w.term++;
					cuts++;
				}
			}
			rlog_vote(&w.log, w.term, 0, false);
			run_for(&w, 100000);
			rlog_flush(&w.log);
			run_for(&w, rng_below(&r, 3000));
			uint64_t promised = w.durable;

			reopen(&w, rng_below(&r, 4) > 0);
			cr_assert_geq(w.loaded, promised, "seed %llu", (unsigned long long)seed);
			for (uint64_t i = 1; i <= promised; i++)	/* and none of what was cut off */
				cr_assert_eq(w.found[i], w.terms[i], "seed %llu", (unsigned long long)seed);
			for (uint64_t i = promised + 1; i <= w.loaded; i++)
				w.terms[i] = w.found[i];
			w.last = w.durable = w.loaded;
		}
		end(&w);
	}
	cr_expect_gt(cuts, 300);
	cr_expect_eq(mem_live(), 0);
}

/* K3: with others to fetch from, what is good stays, the rest is kept beside it, and the node knows it has lost. */
Test(rlog, damage_is_set_aside_when_there_are_peers)
{
	struct world w;
	char why[300] = "";
	uint64_t len;

	start(&w, 1);
	for (int i = 0; i < 20; i++) {
		add(&w, 100);
		sync_all(&w);
	}
	rlog_close(&w.log);
	sim_disk_reset(&w.disk);
	sim_disk_init(&w.disk, w.fs);
	cr_assert(sim_fs_rot(w.fs, "/q/log-00000000000000000001", 64 + 5 * 140 + 60));
	w.peers = true;
	cr_assert_eq(open_log(&w, why), OK, "%s", why);
	cr_expect(w.loaded == 5 && w.log.recovering && w.log.repaired);
	cr_expect(strstr(w.log.damage, "entry 6"), "%s", w.log.damage);
	cr_expect(sim_fs_peek(w.fs, "/q/damaged-log-00000000000000000001", &len) && len == 64 + 20 * 140);
	reopen(&w, true);			/* and it still knows after a power loss */
	cr_expect(w.loaded == 5 && w.log.recovering && !w.log.repaired);
	w.last = w.durable = 5;
	add(&w, 100);
	sync_all(&w);
	uint64_t votes = w.votes;
	rlog_vote(&w.log, w.log.term, 0, false);
	while (w.votes == votes)
		run_for(&w, 1000);
	reopen(&w, true);
	cr_expect(w.loaded == 6 && !w.log.recovering);
	end(&w);
	cr_expect_eq(mem_live(), 0);
}

static void on_read_back(struct rlog_fetch *f, int err)
{
	*(int *)f->user = err == OK ? 1 : err;
}

Test(rlog, entries_are_read_back_for_a_peer)
{
	struct world w;

	start(&w, 1);
	for (int i = 0; i < 300; i++) {
		add(&w, 100 + (uint32_t)i * 20);
		if (i % 7 == 0)
			sync_all(&w);
	}
	sync_all(&w);
	for (uint64_t index = 1; index <= 300; index += 13) {
		struct rlog_fetch f = { .done = on_read_back };
		struct rlog_entry e;
		uint64_t gap;
		int state = 0;

		f.user = &state;
		rlog_fetch(&w.log, &f, index, 4096);
		while (state == 0)
			run_for(&w, 1000);
		cr_assert_eq(state, 1);
		cr_assert_eq(rlog_get_entry(f.buf + f.from, f.len - f.from, &e, &gap), OK);
		cr_expect(e.index == index && e.p[0] == byte_of(index));
		mem_free(f.buf);
	}
	end(&w);
	cr_expect_eq(mem_live(), 0);
}

/* K2: a full disk is waited out; nothing is lost, doubled or acknowledged meanwhile. */
Test(rlog, a_full_disk_is_written_when_there_is_room)
{
	struct world w;

	start(&w, 1);
	add(&w, 100);
	sync_all(&w);
	sim_fs_faults(w.fs)->nospc = 1000000;
	add(&w, 5000);
	add(&w, 5000);
	rlog_flush(&w.log);
	run_for(&w, 100000);
	cr_expect(w.log.full && !w.dead && w.durable == 1);
	rlog_retry(&w.log);
	run_for(&w, 100000);
	cr_expect(w.log.full && !w.dead && w.durable == 1);
	sim_fs_faults(w.fs)->nospc = 0;
	rlog_retry(&w.log);
	run_for(&w, 100000);
	cr_expect_eq(w.durable, 3);
	reopen(&w, true);
	cr_expect_eq(w.loaded, 3);
	end(&w);
}

/* K2: nor does a vote end the process; nobody hears of it before it is written, and then of the newest. */
Test(rlog, a_vote_waits_for_room)
{
	struct world w;

	start(&w, 1);
	uint64_t votes = w.votes, term = w.term;

	sim_fs_faults(w.fs)->nospc = 1000000;
	rlog_vote(&w.log, term + 1, 7, false);
	run_for(&w, 100000);
	cr_expect(w.log.full && !w.dead && w.votes == votes);
	add(&w, 100);
	rlog_flush(&w.log);
	rlog_vote(&w.log, term + 2, 8, false);
	rlog_retry(&w.log);
	run_for(&w, 100000);
	cr_expect(w.log.full && !w.dead && w.votes == votes && w.durable == 0);
	sim_fs_faults(w.fs)->nospc = 0;
	rlog_retry(&w.log);
	run_for(&w, 100000);
	cr_expect(!w.dead && w.votes > votes);
	rlog_flush(&w.log);
	run_for(&w, 100000);
	cr_expect_eq(w.durable, 1);
	reopen(&w, true);
	cr_expect_eq(w.term, term + 3, "a start after term + 2");
	end(&w);
}

/* K6: a node that is killed, or loses its power, while its vote is being written has no snapshot of that term. */
Test(rlog, no_snapshot_of_a_term_counts_before_the_term)
{
	uint64_t named = 0, not_named = 0;

	for (uint64_t seed = 1; seed <= 400; seed++) {
		struct world w;
		struct rng r;
		uint8_t *p = mem_alloc(3000);

		start(&w, seed);
		w.peers = true;			/* who sent the image */
		rng_init(&r, seed);
		for (int i = 0; i < 9; i++)
			add(&w, 50);
		sync_all(&w);
		rlog_vote(&w.log, w.term + 1, 0, false);
		memset(p, byte_of(seed % 4 < 2 ? 9 : 20), 3000);
		if (seed % 4 < 2) {		/* its own, of what is committed in the new term */
			rlog_snapshot(&w.log, 9, w.term + 1, 9, p, 3000);
			while (rlog_snapshot_turn(&w.log))
				;
		} else {
			struct rlog_image what = { .index = 20, .term = w.term + 1, .bytes = 3000, .zxid = 20,
						   .crc = crc32c(0, p, 3000) };

			cr_assert_eq(rlog_image_begin(&w.log, &what), OK);
			cr_assert_eq(rlog_image_put(&w.log, 0, p, 3000), OK);
			mem_free(p);
		}
		run_for(&w, rng_below(&r, 12000));
		reopen(&w, seed % 2);		/* it is not refused */
		cr_assert(!w.log.repaired);
		*(w.log.snaps[0] > 0 ? &named : &not_named) += 1;
		end(&w);
	}
	cr_expect(named > 0 && not_named > 0);
	cr_expect_eq(mem_live(), 0);
}

/* K8, trap 20: wherever the power goes, the log is the old one, or the image with nothing stale behind it. */
Test(rlog, an_image_replaces_the_log_or_does_not)
{
	uint64_t before = 0, after = 0;

	for (uint64_t seed = 1; seed <= 200; seed++) {
		struct world w;
		struct rng r;
		uint8_t p[3000];

		start(&w, seed);
		w.peers = true;			/* who sent the image */
		rng_init(&r, seed);
		sim_fs_faults(w.fs)->loss_keep_percent = rng_below(&r, 101);
		for (int i = 0; i < 9; i++)
			add(&w, 50);
		sync_all(&w);
		struct rlog_image what = { .index = 5 + rng_below(&r, 20), .term = w.term + 1, .bytes = sizeof p };

		memset(p, byte_of(what.index), sizeof p);
		what.zxid = (int64_t)what.index;
		what.crc = crc32c(0, p, sizeof p);
		rlog_vote(&w.log, w.term + 1, 0, false);
		run_for(&w, 50000);
		cr_assert_eq(rlog_image_begin(&w.log, &what), OK);
		cr_assert_eq(rlog_image_put(&w.log, 0, p, 1000), OK);
		cr_assert_eq(rlog_image_begin(&w.log, &what), OK);	/* it goes on after a break */
		cr_assert_eq(w.log.image.have, 1000);
		cr_assert_eq(rlog_image_put(&w.log, 0, p, 1000), E_RANGE);
		cr_assert_eq(rlog_image_put(&w.log, 1000, p + 1000, 2000), OK);
		run_for(&w, rng_below(&r, 12000));
		if (w.images) {
			rlog_image_install(&w.log);
			w.last = w.durable = what.index;
			w.term++;
			add(&w, 70);
			sync_all(&w);
		}
		uint64_t want = w.durable;

		reopen(&w, true);
		cr_assert(!w.log.repaired);
		cr_assert(w.loaded == want || (!want && !w.loaded) || w.loaded == what.index || w.loaded == 9);
		cr_assert_geq(w.loaded, w.images ? what.index + 1 : 9 < what.index ? 9 : 0);
		*(w.loaded > 9 || w.images ? &after : &before) += 1;
		end(&w);
	}
	cr_expect(before > 0 && after > 0);
	cr_expect_eq(mem_live(), 0);
}

/* A death between a segment's head and its first entry leaves it empty; what follows an image must not go into it. */
Test(rlog, an_image_replaces_a_log_without_entries)
{
	struct world w;
	uint8_t p[3000];
	int file;

	start(&w, 1);
	w.peers = true;
	add(&w, 50);
	sync_all(&w);
	rlog_close(&w.log);
	cr_assert_eq(w.disk.disk.calls->open(&w.disk.disk, "/q/log-00000000000000000001", 0, &file), OK);
	cr_assert_eq(w.disk.disk.calls->truncate(&w.disk.disk, file, RLOG_SEGMENT_HEAD), OK);
	w.disk.disk.calls->close(&w.disk.disk, file);
	sim_disk_reset(&w.disk);
	sim_disk_init(&w.disk, w.fs);
	char why[300] = "";

	cr_assert_eq(open_log(&w, why), OK, "%s", why);
	cr_assert(w.loaded == 0 && w.log.nseg == 1);
	memset(p, byte_of(20), sizeof p);
	struct rlog_image what = { .index = 20, .term = w.term, .zxid = 20, .bytes = sizeof p,
		.crc = crc32c(0, p, sizeof p) };

	cr_assert_eq(rlog_image_begin(&w.log, &what), OK);
	cr_assert_eq(rlog_image_put(&w.log, 0, p, sizeof p), OK);
	while (!w.images)
		run_for(&w, 1000);
	rlog_image_install(&w.log);
	w.last = w.durable = 20;
	for (int i = 0; i < 3; i++) {
		add(&w, 70);
		sync_all(&w);
	}
	reopen(&w, false);
	cr_expect(!w.log.repaired, "%s", w.log.damage);
	cr_expect_eq(w.loaded, 23);
	end(&w);
	cr_expect_eq(mem_live(), 0);
}

/* K10: a snapshot may have what the log of this node has not got onto the platter. */
Test(rlog, what_a_snapshot_has_is_written_again_all_the_same)
{
	struct world w;
	uint8_t *p = mem_alloc(3000);

	start(&w, 1);
	w.peers = true;
	for (int i = 0; i < 10; i++)
		add(&w, 70);
	sync_all(&w);
	for (int i = 0; i < 10; i++)
		add(&w, 70);
	memset(p, byte_of(20), 3000);
	rlog_snapshot(&w.log, 20, w.term, 20, p, 3000);	/* the others have made 11 to 20 durable */
	while (rlog_snapshot_turn(&w.log))
		;
	while (w.log.snaps[0] != 20)
		run_for(&w, 100);
	sim_fs_faults(w.fs)->eio_sync = 1000000;
	rlog_flush(&w.log);
	while (!w.dead)
		run_for(&w, 1000);
	sim_fs_faults(w.fs)->eio_sync = 0;
	reopen(&w, false);
	cr_assert_eq(w.loaded, 20);
	w.durable = 20;
	add(&w, 70);
	sync_all(&w);
	reopen(&w, true);
	cr_expect(!w.log.repaired, "%s", w.log.damage);
	cr_expect_eq(w.loaded, 21);
	end(&w);
	cr_expect_eq(mem_live(), 0);
}
