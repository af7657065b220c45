/* partworld.h - one replica over a disk in memory, for test_part.c: made, appended to, restarted without its table. */
#ifndef TEST_PARTWORLD_H
#define TEST_PARTWORLD_H

#include <criterion/criterion.h>

#include "log/log.h"
#include "memdisk.h"
#include "part/part.h"
#include "testbatch.h"

static const struct uuid topic = { { 1, 2, 3, 4 } };
static const struct part_id id = { .boot_id = "boot", .cluster_id = { { 9 } }, .node_id = 1,
	.dir_id = { { 8 } }, .generation = 3 };

struct world {
	struct memdisk *disk;
	struct testlock lock;
	struct part_limits lim;
	void *mem;
	struct part_table *t;
	struct part_conf conf;
	uint32_t slot;
	uint64_t live;
	struct part_appended out;
};

static void attach(struct world *w)
{
	cr_assert_eq(part_table_attach(w->mem, &id, 3, &w->disk->port, &w->lock.port, "/d", NULL, NULL,
				       &w->t), OK);
}

static void open_slot(struct world *w)
{
	struct part_key key = { .topic_id = topic, .partition = 0, .topic = "t" };

	cr_assert_eq(part_slot_open(w->t, &key, &w->slot), OK);
	cr_assert_eq(part_slot_state(w->t, w->slot), PART_OPENING);
}

static void make_table(struct world *w)
{
	w->mem = mem_alloc(part_table_bytes(&w->lim));
	cr_assert_eq(part_table_format(w->mem, &w->lim, &id, &w->lock.port, NULL, NULL), OK);
	attach(w);
	open_slot(w);
}

static void up(struct world *w)
{
	w->live = mem_live();
	w->disk = memdisk_new("/d");
	testlock_init(&w->lock);
	if (w->lim.parts == 0)
		w->lim = (struct part_limits){ .parts = 4, .producers = 64 };
	w->conf = (struct part_conf){ .segment_bytes = 1 << 20, .index_interval_bytes = 300,
		.max_producer_age_ms = 1000000 };
	make_table(w);
	cr_assert_eq(part_slot_recover(w->t, w->slot, false), OK);
	cr_assert_eq(part_become_leader(w->t, w->slot, 5), OK);
}

static void down(struct world *w)
{
	part_table_free(w->t);
	mem_free(w->mem);
	memdisk_free(w->disk);
	cr_assert_eq(mem_live(), w->live, "memory was not given back");
}

/* A power loss of a kind: the table is gone, the files are as they are. */
static void restart(struct world *w)
{
	bool clean;

	part_table_free(w->t);
	mem_free(w->mem);
	make_table(w);
	cr_assert_eq(part_checkpoint_load(w->t, &clean), OK);
	cr_assert_eq(part_slot_recover(w->t, w->slot, clean), OK);
}

static int append(struct world *w, const struct testbatch *v, int n, struct part_batch *ret)
{
	static uint8_t buf[16][70000];
	struct part_batch b[16];

	for (int i = 0; i < n; i++)
		b[i] = testbatch_make(&v[i], buf[i]);
	int err = part_append(w->t, w->slot, &topic, -1, &w->conf, b, n, 1000, &w->out);
	if (ret)
		memcpy(ret, b, (size_t)n * sizeof *b);
	return err;
}

static struct part_view view(struct world *w)
{
	struct part_view v;

	cr_assert_eq(part_view(w->t, w->slot, &topic, &v), OK);
	return v;
}

static void put(struct world *w, int64_t pid, int32_t seq, uint32_t records, int64_t ts, uint32_t body)
{
	struct part_batch b;

	cr_assert_eq(append(w, &(struct testbatch){ pid, 0, seq, records, ts, body, false, 0 }, 1, &b), OK);
	cr_assert_eq(b.err, OK);
}

#endif
