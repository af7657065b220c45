/* test_part.c - one partition in memory: append, read, repair, recovery, truncation, retention. */
#include <criterion/criterion.h>

#include "base/rng.h"
#include "partworld.h"

Test(crc32c, known_and_both_ways)
{
	uint8_t b[20000];

	cr_assert_eq(crc32c(0, "123456789", 9), 0xe3069283u);
	for (size_t i = 0; i < sizeof b; i++)
		b[i] = (uint8_t)(i * 7 >> 2);
	for (size_t n = 0; n < sizeof b; n += n < 900 ? 1 : 911) {
		cr_assert_eq(crc32c(0, b, n), crc32c_table(0, b, n));
		cr_assert_eq(crc32c(0, b, n), crc32c(crc32c(0, b, n / 3), b + n / 3, n - n / 3));
	}
}

Test(part, sequences_of_producers)		/* traps 37, 38, 39 */
{
	struct world w = { 0 };
	static const struct {
		const char *what;
		int64_t pid;
		int16_t epoch;
		int32_t seq;
		uint32_t records;
		int err, kafka;
		int64_t offset;
		bool dup;
	} c[] = {
		{ "no producer", -1, -1, -1, 2, OK, 0, 0, false },
		{ "unknown producer, any sequence", 7, 0, 40, 1, OK, 0, 2, false },
		{ "the same again", 7, 0, 40, 1, OK, 0, 2, true },
		{ "same start, other length", 7, 0, 40, 2, E_RANGE, 45, -1, false },
		{ "gap", 7, 0, 42, 1, E_RANGE, 45, -1, false },
		{ "next", 7, 0, 41, 3, OK, 0, 3, false },
		{ "2", 7, 0, 44, 1, OK, 0, 6, false },
		{ "3", 7, 0, 45, 1, OK, 0, 7, false },
		{ "4", 7, 0, 46, 1, OK, 0, 8, false },
		{ "five back", 7, 0, 40, 1, OK, 0, 2, true },
		{ "5", 7, 0, 47, 1, OK, 0, 9, false },
		{ "six back is forgotten", 7, 0, 40, 1, E_RANGE, 45, -1, false },
		{ "five back is not", 7, 0, 41, 3, OK, 0, 3, true },
		{ "new epoch not from 0", 7, 1, 48, 1, E_RANGE, 45, -1, false },
		{ "new epoch from 0", 7, 1, 0, 1, OK, 0, 10, false },
		{ "old epoch", 7, 0, 48, 1, E_FENCED, 47, -1, false },
		{ "up to the last number", 8, 0, INT32_MAX - 1, 2, OK, 0, 11, false },
		{ "then 0", 8, 0, 0, 1, OK, 0, 13, false },
		{ "dup over the turn", 8, 0, INT32_MAX - 1, 2, OK, 0, 11, true },
	};

	up(&w);
	for (unsigned i = 0; i < sizeof c / sizeof c[0]; i++) {
		struct part_batch b;
		struct testbatch tb = { c[i].pid, c[i].epoch, c[i].seq, c[i].records, 50 + i, 9, false, 0 };
		int err = append(&w, &tb, 1, &b);

		cr_assert_eq(c[i].err ? c[i].err : OK, b.err, "%s: %s", c[i].what, err_name(b.err));
		cr_assert(err == b.err || err == OK, "%s", c[i].what);
		cr_assert_eq(b.kafka_error, c[i].kafka, "%s", c[i].what);
		cr_assert_eq(b.base_offset, c[i].offset, "%s: %lld", c[i].what, (long long)b.base_offset);
		cr_assert_eq(b.duplicate, c[i].dup, "%s", c[i].what);
		if (c[i].dup)
			cr_assert(b.append_time_ms >= 50 && b.append_time_ms < 50 + i);
		if (i == 10 || i == 15)	/* all of it holds over a restart, from batches and snapshot */
			restart(&w);
		if (i == 13)
			cr_assert_eq(part_checkpoint(w.t, true), OK);
	}
	struct testbatch group[] = {
		{ 9, 0, 0, 1, 1, 5, false, 0 }, { 9, 0, 1, 1, 1, 5, false, 0 },
		{ 9, 0, 1, 1, 1, 5, false, 0 }, { 10, 0, 0, 2, 1, 5, false, 0 },
		{ 9, 0, 3, 1, 1, 5, false, 0 }, { 9, 0, 2, 1, 1, 5, false, 0 },
	};
	static const int64_t offsets[] = { 14, 15, 15, 16, -1, 18 };
	struct part_batch b[6];

	cr_assert_eq(append(&w, group, 6, b), OK);
	for (int i = 0; i < 6; i++)
		cr_assert_eq(b[i].base_offset, offsets[i], "group %d", i);
	cr_assert_eq(w.out.ticket.end_offset, 19);
	down(&w);
}

/* Every offset is found, alone and in ranges, whatever the segments and limits. */
static void check_reads(struct world *w, int64_t end, uint32_t max_bytes)
{
	struct part_view v = view(w);

	cr_assert_eq(v.end, end);
	for (int64_t at = v.local_log_start; at < end;) {
		struct part_range r;
		uint8_t head[61];
		size_t got;

		cr_assert_eq(part_read(w->t, w->slot, &v, at, v.high_watermark, max_bytes, true, &r), OK);
		cr_assert(r.len > 0 && r.warm && r.first_offset <= at && r.next_offset > at);
		int64_t next = -1;
		for (uint64_t pos = r.off; pos < r.off + r.len;) {
			cr_assert_eq(w->disk->port.calls->pread(&w->disk->port, r.file, head, 61, pos, &got), OK);
			struct log_head h;
			cr_assert_eq(log_head_parse(head, &h), OK);
			cr_assert(next == -1 ? h.base_offset == r.first_offset : h.base_offset == next);
			next = h.last_offset + 1;
			pos += h.bytes;
			cr_assert(pos <= r.off + r.len);
		}
		cr_assert_eq(next, r.next_offset);
		part_range_release(w->t, &r);
		at = max_bytes < 3000 ? at + 1 : next;
	}
}

Test(part, rolls_reads_and_times)		/* traps 47, 48, 51, 61, 83 */
{
	struct world w = { 0 };
	struct part_range r;
	struct part_view v;

	up(&w);
	w.conf.segment_bytes = 4000;
	for (int i = 0; i < 60; i++)		/* 3 records each, timestamps rise by 10 */
		put(&w, -1, -1, 3, 1000 + i * 10, 100 + (uint32_t)i * 11 % 300);
	static const uint32_t sizes[] = { 1, 700, 100000 };
	for (int round = 0; round < 3; round++) {
		for (unsigned i = 0; i < 3; i++)
			check_reads(&w, 180, sizes[i]);
		v = view(&w);
		cr_assert_eq(v.high_watermark, 180);
		for (int64_t ts = 990; ts <= 1600; ts += 5) {
			int64_t want = ts <= 1000 ? 0 : ts > 1590 ? -1 : (ts - 1000 + 9) / 10 * 3;

			cr_assert_eq(part_find_time(w.t, w.slot, &v, ts, 180, &r), OK);
			cr_assert_eq(r.first_offset, want, "ts %lld: %lld", (long long)ts,
				     (long long)r.first_offset);
			part_range_release(w.t, &r);
		}
		if (round == 0) {	/* an index is only a hint: lost, then damaged */
			for (int i = 0; i < MD_NODES; i++)
				if (strstr(w.disk->node[i].path, ".idx"))
					w.disk->node[i].len = 0;
		} else if (round == 1) {
			restart(&w);
			for (int i = 0; i < MD_NODES; i++)
				if (strstr(w.disk->node[i].path, ".idx") && w.disk->node[i].len > 30)
					w.disk->node[i].p[25] ^= 1;
		}
	}
	static const struct { int64_t at, limit; uint32_t max; bool one; int err; uint64_t none; } c[] = {
		{ 181, 180, 10, true, E_RANGE, 0 }, { -1, 180, 10, true, E_RANGE, 0 },
		{ 180, 180, 10, true, OK, 1 }, { 60, 60, 1000, true, OK, 1 },
		{ 60, 61, 1000, true, OK, 1 },	/* the batch ends behind the limit */
		{ 60, 63, 1000, true, OK, 0 }, { 60, 180, 10, false, OK, 1 },
	};
	for (unsigned i = 0; i < sizeof c / sizeof c[0]; i++) {
		int err = part_read(w.t, w.slot, &v, c[i].at, c[i].limit, c[i].max, c[i].one, &r);

		cr_assert_eq(err, c[i].err, "case %u: %s", i, err_name(err));
		if (err)
			continue;
		cr_assert_eq(r.len == 0, c[i].none == 1, "case %u", i);
		part_range_release(w.t, &r);
	}
	w.disk->cold = true;
	cr_assert_eq(part_read(w.t, w.slot, &v, 5, 180, 100, true, &r), E_AGAIN);
	cr_assert(r.file >= 0 && r.len > 0);
	part_range_release(w.t, &r);
	w.disk->cold = false;
	uint64_t wake;
	cr_assert_eq(part_roll_if_due(w.t, w.slot, &w.conf, 5000, &wake), OK);
	cr_assert_eq(view(&w).segment_base, v.segment_base);
	w.conf.segment_ms = 100;
	cr_assert_eq(part_roll_if_due(w.t, w.slot, &w.conf, 5000, &wake), OK);
	cr_assert_eq(view(&w).segment_base, 180);
	put(&w, -1, -1, 1, 6000, 10);
	put(&w, -1, -1, 1, 6200, 10);		/* message time, not wall clock */
	cr_assert_eq(view(&w).segment_base, 181);
	check_reads(&w, 182, 1);
	down(&w);
}

Test(part, durability_gates_the_high_watermark)
{
	struct world w = { 0 };
	struct part_sync job;
	uint64_t wake;

	up(&w);
	w.conf.durability = PART_QUORUM;
	w.conf.segment_bytes = 1000;
	part_wait(w.t, w.slot);
	for (int i = 0; i < 5; i++) {
		put(&w, -1, -1, 1, 10, 300);
		cr_assert_eq(view(&w).high_watermark, 0);
		cr_assert_eq(w.out.wake_mask, 0);
	}
	part_wait_end(w.t, w.slot);
	put(&w, -1, -1, 1, 10, 300);
	cr_assert_eq(w.out.wake_mask, 8);
	cr_assert_eq(part_sync_begin(w.t, w.slot, &job), OK);
	cr_assert_eq(job.n_files, 3);
	cr_assert_eq(job.end, 6);
	cr_assert(job.dir && !strcmp(job.dir_path, "/d/t-0"));
	put(&w, -1, -1, 1, 10, 300);		/* a roll between begin and done */
	cr_assert_eq(part_synced(w.t, w.slot, job.gen, job.end, &w.conf, &wake), OK);
	part_sync_end(w.t, &job);
	cr_assert_eq(wake, 8);
	cr_assert_eq(view(&w).high_watermark, 6);
	cr_assert_eq(part_sync_begin(w.t, w.slot, &job), OK);
	cr_assert_eq(job.n_files, 1);
	cr_assert(job.dir);
	cr_assert_eq(part_synced(w.t, w.slot, job.gen, job.end, &w.conf, &wake), OK);
	part_sync_end(w.t, &job);
	put(&w, -1, -1, 1, 10, 30);
	cr_assert_eq(part_sync_begin(w.t, w.slot, &job), OK);
	cr_assert(job.n_files == 1 && !job.dir);
	cr_assert_eq(part_synced(w.t, w.slot, job.gen + 1, job.end, &w.conf, &wake), E_FENCED);
	cr_assert_eq(part_synced(w.t, w.slot, job.gen, 99, &w.conf, &wake), E_RANGE);
	part_sync_end(w.t, &job);
	w.conf.durability = PART_REPLICATED;
	put(&w, -1, -1, 1, 10, 30);
	cr_assert_eq(view(&w).high_watermark, 9);
	down(&w);
}

Test(part, faults_commit_nothing)
{
	struct world w = { 0 };
	struct testbatch v[] = { { -1, -1, -1, 1, 1, 400, false, 0 }, { 4, 0, 0, 1, 1, 400, false, 0 } };

	for (int stays = 0; stays < 2; stays++)
		for (uint64_t n = 1; n < 6; n++) {
			struct part_batch b[2];

			w = (struct world){ 0 };
			up(&w);
			w.conf.segment_bytes = 1000;
			put(&w, -1, -1, 1, 1, 500);
			w.disk->fail_in = n;
			w.disk->fail_err = E_NOSPC;
			w.disk->fail_stays = stays != 0;
			int err = append(&w, v, 2, b);
			bool hit = w.disk->fail_in == 0 || stays;
			w.disk->fail_in = 0;
			if (part_slot_state(w.t, w.slot) == PART_OFFLINE) {
				cr_assert(stays && (err == E_IO || err == E_NOSPC), "%d", err);
				down(&w);
				continue;
			}
			if (hit && err)
				cr_assert_eq(err, E_NOSPC);
			int64_t end = 1 + (b[0].err == OK) + (b[1].err == OK);
			cr_assert_eq(view(&w).end, end, "n %u: %lld, %d %d", (unsigned)n,
				     (long long)view(&w).end, b[0].err, b[1].err);
			check_reads(&w, end, 1);
			/* A retry of what was refused goes through, the rest is a duplicate. */
			cr_assert_eq(append(&w, &v[1], 1, b), OK);
			cr_assert_eq(b[0].err, OK);
			end = view(&w).end;
			restart(&w);
			check_reads(&w, end, 1);
			down(&w);
		}
}

Test(part, a_retry_beside_its_original_is_refused_with_it)
{
	struct testbatch v[] = { { 4, 0, 0, 3, 1, 400, false, 0 }, { 4, 0, 0, 3, 1, 400, false, 0 } };
	uint64_t hits = 0;

	for (uint64_t n = 1; n < 6; n++) {
		struct world w = { 0 };
		struct part_batch b[2];

		up(&w);
		put(&w, -1, -1, 1, 1, 500);
		w.disk->fail_in = n;
		w.disk->fail_err = E_NOSPC;
		int err = append(&w, v, 2, b);
		hits += w.disk->fail_in == 0;
		w.disk->fail_in = 0;
		cr_assert_eq(view(&w).end, b[0].err == OK ? 4 : 1);
		cr_assert_eq(b[1].err, b[0].err, "nothing is a duplicate of what is not there");
		cr_assert_eq(b[1].duplicate, b[1].err == OK);
		cr_assert_eq(err, b[0].err);
		if (b[0].err)
			cr_assert_eq(b[1].kafka_error, b[0].kafka_error);
		restart(&w);
		check_reads(&w, view(&w).end, 1);
		down(&w);
	}
	cr_assert_gt(hits, 1);
}

Test(part, recovery_cuts_the_torn_tail)
{
	struct world w = { 0 };
	uint64_t wake;
	struct part_sync job;

	up(&w);
	w.conf.segment_bytes = 3000;
	for (int i = 0; i < 30; i++)
		put(&w, 5, i, 1, 100 + i, 200);
	cr_assert_eq(part_sync_begin(w.t, w.slot, &job), OK);
	cr_assert_eq(part_synced(w.t, w.slot, job.gen, 20, &w.conf, &wake), OK);
	part_sync_end(w.t, &job);
	cr_assert_eq(part_checkpoint(w.t, false), OK);
	struct log_path p;
	log_path_init(&p, "/d/t-0");
	log_path_segment(&p, view(&w).segment_base, ".log");
	struct md_node *f = md_find(w.disk, p.s);
	f->len -= 10;				/* half of the last batch */
	restart(&w);
	check_reads(&w, 29, 1);
	struct part_batch b;
	cr_assert_eq(append(&w, &(struct testbatch){ 5, 0, 28, 1, 128, 200, false, 0 }, 1, &b), OK);
	cr_assert(b.duplicate && b.base_offset == 28);
	put(&w, 5, 29, 1, 100, 200);
	/* A bad byte in a segment behind the recovery point ends the log there. */
	log_path_init(&p, "/d/t-0");
	log_path_segment(&p, 22, ".log");
	f = md_find(w.disk, p.s);
	cr_assert_not_null(f);
	f->p[261 + 100] ^= 1;
	restart(&w);
	check_reads(&w, 23, 1);
	cr_assert_eq(view(&w).segment_base, 22);
	put(&w, 5, 23, 1, 100, 200);
	check_reads(&w, 24, 1);
	/* In front of it, where nobody looks, it stays: reads check their own CRC. */
	struct part_counts n;
	part_counts(w.t, &n);
	cr_assert_eq(n.long_files, 0);
	bool clean;
	cr_assert_eq(part_sync_begin(w.t, w.slot, &job), OK);
	cr_assert_eq(part_synced(w.t, w.slot, job.gen, job.end, &w.conf, &wake), OK);
	part_sync_end(w.t, &job);
	cr_assert_eq(part_checkpoint(w.t, true), OK);
	uint64_t syncs = w.disk->syncs;
	part_table_free(w.t);
	mem_free(w.mem);
	make_table(&w);
	cr_assert_eq(part_checkpoint_load(w.t, &clean), OK);
	cr_assert(clean);
	cr_assert_eq(part_slot_recover(w.t, w.slot, clean), OK);
	cr_assert_eq(w.disk->syncs, syncs + 1, "only the clean mark was taken away");
	check_reads(&w, 24, 1);
	cr_assert_eq(part_checkpoint_load(w.t, &clean), OK);
	cr_assert_not(clean);
	down(&w);
}

Test(part, a_checkpoint_keeps_who_waits_for_recovery)
{
	struct world w = { 0 };
	uint64_t wake;
	struct part_sync job;
	bool clean;

	up(&w);
	for (int i = 0; i < 20; i++)
		put(&w, 5, i, 1, 100 + i, 200);
	cr_assert_eq(part_sync_begin(w.t, w.slot, &job), OK);
	cr_assert_eq(part_synced(w.t, w.slot, job.gen, 20, &w.conf, &wake), OK);
	part_sync_end(w.t, &job);
	cr_assert_eq(part_set_log_start(w.t, w.slot, 10, &wake), OK);
	cr_assert_eq(part_checkpoint(w.t, false), OK);
	part_table_free(w.t);
	mem_free(w.mem);
	make_table(&w);			/* and a checkpoint before the slot is recovered */
	cr_assert_eq(part_checkpoint_load(w.t, &clean), OK);
	cr_assert_eq(part_slot_state(w.t, w.slot), PART_OPENING);
	cr_assert_eq(part_checkpoint(w.t, false), OK);
	cr_assert_eq(part_checkpoint(w.t, false), OK);	/* into the other file */
	restart(&w);
	cr_assert_eq(view(&w).log_start, 10);
	down(&w);
}

static bool gone(void *ctx, const struct uuid *topic_id)
{
	(void)ctx, (void)topic_id;
	return false;
}

/* The topics are not known yet when the first checkpoints are written: a start with a new table, a slow quorum. */
Test(part, a_checkpoint_keeps_who_has_no_slot_yet)
{
	struct world w = { 0 };
	uint64_t wake;
	struct part_sync job;
	bool clean;

	for (int deleted = 0; deleted < 2; deleted++) {
		w = (struct world){ 0 };
		up(&w);
		for (int i = 0; i < 20; i++)
			put(&w, 5, i, 1, 100 + i, 200);
		cr_assert_eq(part_sync_begin(w.t, w.slot, &job), OK);
		cr_assert_eq(part_synced(w.t, w.slot, job.gen, 20, &w.conf, &wake), OK);
		part_sync_end(w.t, &job);
		cr_assert_eq(part_set_log_start(w.t, w.slot, 10, &wake), OK);
		cr_assert_eq(part_checkpoint(w.t, true), OK);
		part_table_free(w.t);
		mem_free(w.mem);
		w.mem = mem_alloc(part_table_bytes(&w.lim));
		cr_assert_eq(part_table_format(w.mem, &w.lim, &id, &w.lock.port, NULL, NULL), OK);
		attach(&w);
		cr_assert_eq(part_checkpoint_load(w.t, &clean), OK);
		cr_assert(clean);
		if (deleted)
			part_on_checkpoint(w.t, gone, NULL);
		cr_assert_eq(part_checkpoint(w.t, true), OK);
		cr_assert_eq(part_checkpoint(w.t, true), OK);	/* into the other file */
		part_table_free(w.t);
		mem_free(w.mem);
		make_table(&w);
		cr_assert_eq(part_checkpoint_load(w.t, &clean), OK);
		cr_assert_eq(clean, deleted != 0);
		cr_assert_eq(part_slot_recover(w.t, w.slot, clean), OK);
		cr_assert_eq(view(&w).log_start, deleted ? 0 : 10);
		down(&w);
	}
}

Test(part, epochs_and_truncation)		/* traps 53, 63, 86 */
{
	struct world w = { 0 };
	struct part_epoch_end e;
	uint64_t wake;

	up(&w);				/* epoch 5 at 0 */
	w.conf.segment_bytes = 2000;
	for (int ep = 6; ep < 20; ep++) {
		for (int i = 0; i < 3; i++)
			put(&w, 5, (ep - 6) * 3 + i, 1, 100, 300);
		cr_assert_eq(part_become_leader(w.t, w.slot, ep), OK);
	}
	cr_assert_eq(part_become_leader(w.t, w.slot, 4), E_FENCED);
	for (int round = 0; round < 2; round++) {
		static const struct { int32_t ask, epoch; int64_t end; } c[] = {
			{ 19, 19, 42 }, { 20, -1, -1 }, { 18, 18, 42 }, { 10, 10, 18 }, { 5, 5, 3 },
			{ 4, 4, 0 }, { 6, 6, 6 }, { -1, -1, -1 },
		};

		for (unsigned i = 0; i < sizeof c / sizeof c[0]; i++) {
			cr_assert_eq(part_epoch_end(w.t, w.slot, c[i].ask, &e), OK);
			cr_assert(e.epoch == c[i].epoch && e.end_offset == c[i].end, "%d: %d %lld",
				  c[i].ask, e.epoch, (long long)e.end_offset);
		}
		if (round == 0)
			restart(&w);
	}
	struct part_view v = view(&w);
	cr_assert_eq(part_truncate(w.t, w.slot, 18, 7, &wake), E_FENCED);
	cr_assert_eq(part_truncate(w.t, w.slot, 19, 99, &wake), E_RANGE);
	cr_assert_eq(part_truncate(w.t, w.slot, 19, 13, &wake), OK);
	cr_assert_eq(view(&w).generation, v.generation + 1);
	check_reads(&w, 13, 1);
	struct part_range r;
	cr_assert_eq(part_read(w.t, w.slot, &v, 3, 10, 100, true, &r), E_FENCED);
	cr_assert_eq(part_epoch_end(w.t, w.slot, 9, &e), OK);
	cr_assert(e.epoch == 9 && e.end_offset == 13);
	cr_assert_eq(part_epoch_end(w.t, w.slot, 10, &e), OK);
	cr_assert_eq(e.epoch, -1);
	struct part_batch b;			/* producers went back with the log */
	cr_assert_eq(append(&w, &(struct testbatch){ 5, 0, 14, 1, 1, 9, false, 0 }, 1, &b), OK);
	cr_assert_eq(b.err, E_RANGE);
	put(&w, 5, 13, 1, 1, 9);
	restart(&w);
	check_reads(&w, 14, 1);
	down(&w);
}

struct garbage {
	struct memdisk *disk;
	int n;
};

static void on_garbage(void *ctx, const char *path)
{
	struct garbage *g = ctx;

	g->n++;
	(void)md_unlink(&g->disk->port, path);	/* may meet a planned fault */
}

Test(part, retention_and_log_start)		/* traps 81, 82 */
{
	struct world w = { 0 };
	struct part_retention keep = { .retention_ms = -1, .retention_bytes = -1, .del = true };
	struct garbage g;
	uint64_t bytes, wake;

	up(&w);
	g = (struct garbage){ w.disk, 0 };
	w.conf.segment_bytes = 1000;
	for (int i = 0; i < 31; i++)		/* 3 a segment, 261 bytes each */
		put(&w, -1, -1, 1, 1000 + i * 100, 200);
	static const struct {
		const char *what;
		int64_t ms, size, now, start;
		int gone;
	} c[] = {
		{ "for ever", -1, -1, 1 << 30, 0, 0 },
		{ "nothing is that old", 5000, -1, 6000, 0, 0 },
		{ "the first segment is", 5000, -1, 6201, 3, 2 },
		{ "size: while total - segment >= limit", -1, 28 * 261 - 783, 0, 6, 2 },
		{ "one byte more: it stays", -1, 25 * 261 - 783 + 1, 0, 6, 0 },
		{ "everything, the active one rolled", 10, -1, 1 << 20, 31, 18 },
	};
	for (unsigned i = 0; i < sizeof c / sizeof c[0]; i++) {
		keep.retention_ms = c[i].ms;
		keep.retention_bytes = c[i].size;
		g.n = 0;
		cr_assert_eq(part_retain(w.t, w.slot, &w.conf, &keep, c[i].now, on_garbage, &g, &bytes, &wake), OK);
		cr_assert_eq(view(&w).log_start, c[i].start, "%s: %lld", c[i].what,
			     (long long)view(&w).log_start);
		cr_assert_eq(g.n, c[i].gone, "%s: %d", c[i].what, g.n);
	}
	cr_assert_eq(bytes, 0);
	put(&w, -1, -1, 1, 1 << 20, 10);
	cr_assert_eq(part_set_log_start(w.t, w.slot, 33, &wake), E_RANGE);
	cr_assert_eq(part_set_log_start(w.t, w.slot, 32, &wake), OK);
	cr_assert_eq(view(&w).log_start, 32);
	cr_assert_eq(part_checkpoint(w.t, false), OK);
	restart(&w);
	cr_assert_eq(view(&w).log_start, 32);
	cr_assert_eq(view(&w).end, 32);
	/* The replica goes, and one of another topic of the same name takes its place. */
	part_slot_delete(w.t, w.slot);
	struct part_key key = { .topic_id = { { 77 } }, .partition = 0, .topic = "t" };
	uint32_t other;
	cr_assert_eq(part_slot_open(w.t, &key, &other), OK);
	cr_assert_neq(other, w.slot);
	cr_assert_eq(part_slot_recover(w.t, other, false), OK);
	int err;
	while ((err = part_slot_reap(w.t, w.slot)) == E_AGAIN)
		;
	cr_assert_eq(err, OK);
	cr_assert_eq(part_slot_state(w.t, w.slot), PART_FREE);
	cr_assert_eq(part_slot_find(w.t, &key.topic_id, 0), other);
	cr_assert_not_null(md_find(w.disk, "/d/t-0/partition.metadata"));
	cr_assert_eq(part_slot_open(w.t, &(struct part_key){ .topic_id = topic, .topic = "x" }, &other), OK);
	cr_assert_eq(other, w.slot);
	down(&w);
}

Test(part, producers_expire_and_give_way)
{
	struct world w = { .lim = { .parts = 4, .producers = 8 } };
	struct part_counts n;
	struct part_batch b;
	uint64_t bytes, wake;
	struct part_retention keep = { -1, -1, true };

	up(&w);
	for (int i = 0; i < 20; i++)		/* nobody is refused */
		put(&w, 100 + i, 0, 1, 1000 + i, 10);
	part_counts(w.t, &n);
	cr_assert_eq(n.producers_evicted, 12);
	cr_assert_eq(append(&w, &(struct testbatch){ 119, 0, 0, 1, 1, 10, false, 0 }, 1, &b), OK);
	cr_assert(b.duplicate);
	cr_assert_eq(append(&w, &(struct testbatch){ 100, 0, 0, 1, 1, 10, false, 0 }, 1, &b), OK);
	cr_assert_not(b.duplicate, "the oldest was forgotten");
	w.conf.max_producer_age_ms = 10;
	struct garbage g = { w.disk, 0 };
	cr_assert_eq(part_retain(w.t, w.slot, &w.conf, &keep, 1027, on_garbage, &g, &bytes, &wake), OK);
	cr_assert_eq(append(&w, &(struct testbatch){ 116, 0, 5, 1, 1, 10, false, 0 }, 1, &b), OK);
	cr_assert_eq(b.err, OK, "expired: any sequence");
	cr_assert_eq(append(&w, &(struct testbatch){ 119, 0, 5, 1, 1, 10, false, 0 }, 1, &b), OK);
	cr_assert_eq(b.err, E_RANGE, "not expired");
	down(&w);
}

Test(part, last_stable_offset)
{
	struct world w = { 0 };
	static const struct { struct testbatch b; int64_t stable; } c[] = {
		{ { -1, -1, -1, 2, 1, 5, false, 0 }, 2 },
		{ { 1, 0, 0, 1, 1, 5, true, 0 }, 2 },		/* opens at 2 */
		{ { 2, 0, 0, 1, 1, 5, true, 0 }, 2 },		/* opens at 3 */
		{ { 1, 0, 1, 1, 1, 5, true, 0 }, 2 },
		{ { 1, 0, -1, 1, 1, 0, true, 1 }, 3 },		/* abort of 1 */
		{ { -1, -1, -1, 1, 1, 5, false, 0 }, 3 },
		{ { 2, 0, -1, 1, 1, 0, true, 2 }, 8 },		/* commit of 2 */
		{ { 1, 0, 2, 1, 1, 5, true, 0 }, 8 },
	};

	up(&w);
	for (unsigned i = 0; i < sizeof c / sizeof c[0]; i++) {
		cr_assert_eq(append(&w, &c[i].b, 1, NULL), OK);
		cr_assert_eq(view(&w).last_stable, c[i].stable, "%u: %lld", i, (long long)view(&w).last_stable);
		if (i == 3 || i == 7) {
			restart(&w);
			cr_assert_eq(view(&w).last_stable, c[i].stable);
		}
	}
	struct md_node *f = md_find(w.disk, "/d/t-0/00000000000000000000.txnindex");
	cr_assert_not_null(f);
	cr_assert_eq(f->len, 34);
	cr_assert_eq(be64_get(f->p + 2), 1);
	cr_assert_eq(be64_get(f->p + 10), 2);
	cr_assert_eq(be64_get(f->p + 18), 5);
	struct part_view v = view(&w);
	struct part_aborted a[2];
	uint32_t n;
	cr_assert_eq(part_aborted(w.t, w.slot, &v, 0, 8, a, 2, &n), OK);
	cr_assert(n == 1 && a[0].producer_id == 1 && a[0].first_offset == 2);
	cr_assert_eq(part_aborted(w.t, w.slot, &v, 6, 8, a, 2, &n), OK);
	cr_assert_eq(n, 0);
	cr_assert_eq(part_aborted(w.t, w.slot, &v, 0, 8, a, 0, &n), E_LIMIT);
	down(&w);
}

/* A story that uses everything that touches the disk; *acked counts what was acknowledged. */
static void story(struct world *w, int64_t *acked)
{
	struct part_retention keep = { -1, 5000, true };
	struct garbage g = { w->disk, 0 };
	struct part_sync job;
	uint64_t wake, bytes;

	for (int i = 0; i < 24; i++) {
		struct testbatch tb = { 5, 0, (int32_t)*acked, 1, 100 + i, 300, false, 0 };
		struct part_batch b;

		if (append(w, &tb, 1, &b) == OK && b.err == OK) {
			cr_assert_eq(b.base_offset, *acked);
			(*acked)++;
		}
		if (i % 5 == 4 && part_sync_begin(w->t, w->slot, &job) == OK) {
			if (part_synced(w->t, w->slot, job.gen, job.end, &w->conf, &wake) != OK)
				continue;
			part_sync_end(w->t, &job);
		}
		if (i == 9 && part_become_leader(w->t, w->slot, 6))
			continue;
		if (i == 12 && part_checkpoint(w->t, false))
			continue;
		if (i == 20 && part_retain(w->t, w->slot, &w->conf, &keep, 1000, on_garbage, &g, &bytes, &wake))
			continue;
	}
}

Test(part, every_disk_operation_fails_once)
{
	uint64_t hits = 0, offline = 0;

	for (int err = 0; err < 2; err++)
		for (uint64_t n = 1;; n++) {
			struct world w = { 0 };
			int64_t acked = 0;

			up(&w);
			w.conf.segment_bytes = 1500;
			w.disk->fail_in = n;
			w.disk->fail_err = err ? E_IO : E_NOSPC;
			story(&w, &acked);
			bool hit = w.disk->fail_in == 0;
			w.disk->fail_in = 0;
			hits += hit;
			offline += part_slot_state(w.t, w.slot) == PART_OFFLINE;
			restart(&w);
			cr_assert_eq(view(&w).end, acked, "n %u err %d: %lld of %lld", (unsigned)n, err,
				     (long long)view(&w).end, (long long)acked);
			check_reads(&w, acked, 1);
			put(&w, 5, (int32_t)acked, 1, 1, 10);
			down(&w);
			if (!hit)
				break;
		}
	cr_assert_gt(hits, 100);
	cr_assert_gt(offline, 10);
}

Test(part, recovery_takes_any_bytes)
{
	struct rng r;

	rng_init(&r, 4);
	for (int i = 0; i < 300; i++) {
		struct world w = { 0 };
		int64_t acked = 0;

		up(&w);
		w.conf.segment_bytes = 1500;
		story(&w, &acked);
		for (int k = 0; k < 1 + i % 8; k++) {
			struct md_node *f = &w.disk->node[rng_below(&r, 40)];

			if (!f->used || f->dir || f->len == 0)
				continue;
			if (rng_below(&r, 3) == 0)
				f->len = rng_below(&r, (uint32_t)f->len + 1);
			else
				f->p[rng_below(&r, (uint32_t)f->len)] ^= (uint8_t)(1 + rng_below(&r, 255));
		}
		bool clean;
		part_table_free(w.t);
		mem_free(w.mem);
		make_table(&w);
		int err = part_checkpoint_load(w.t, &clean);
		cr_assert(err == OK || err == E_FOREIGN);
		err = part_slot_recover(w.t, w.slot, clean);
		if (err == OK) {
			struct part_view v = view(&w);

			cr_assert(v.log_start <= v.end && v.end <= acked && v.high_watermark == v.end,
				  "round %d: %lld %lld of %lld", i, (long long)v.log_start, (long long)v.end,
				  (long long)acked);
			struct part_batch b;
			struct testbatch tb = { -1, -1, -1, 1, 1, 10, false, 0 };
			cr_assert_eq(append(&w, &tb, 1, &b), OK);
			check_reads(&w, v.end + 1, 2000000);
		}
		down(&w);
	}
}

Test(part, trust)
{
	struct world w = { 0 };
	struct part_table *t;
	struct part_id other = id;

	up(&w);
	put(&w, -1, -1, 1, 1, 300);
	part_table_free(w.t);
	other.generation++;
	cr_assert_eq(part_table_attach(w.mem, &other, 1, &w.disk->port, &w.lock.port, "/d", NULL, NULL, &t), E_FOREIGN);
	((uint8_t *)w.mem)[20] ^= 1;
	cr_assert_eq(part_table_attach(w.mem, &id, 1, &w.disk->port, &w.lock.port, "/d", NULL, NULL, &t), E_DAMAGED);
	((uint8_t *)w.mem)[20] ^= 1;
	attach(&w);
	cr_assert_eq(part_slot_check(w.t, w.slot), OK);
	struct md_node *f = md_find(w.disk, "/d/t-0/00000000000000000000.log");
	f->len--;
	cr_assert_eq(part_slot_check(w.t, w.slot), E_DAMAGED);
	cr_assert_eq(part_slot_recover(w.t, w.slot, false), OK);
	cr_assert_eq(view(&w).end, 0);
	cr_assert_eq(part_append(w.t, w.slot, &(struct uuid){ { 5 } }, -1, &w.conf,
				 &(struct part_batch){ .records = 1 }, 1, 1, &w.out), E_NOENT);
	cr_assert_eq(part_append(w.t, w.slot, &topic, 4, &w.conf,
				 &(struct part_batch){ .records = 1 }, 1, 1, &w.out), E_FENCED);
	down(&w);
}
