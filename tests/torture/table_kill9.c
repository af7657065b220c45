/*
 * table_kill9.c - the shared table under kill -9: processes append to real files through the
 * product's own library, are killed at random times and at every crash point, and nothing that was
 * acknowledged may be lost, doubled or reordered.
 *
 *   table_kill9 [--seconds N] [--seed S] [--mutant NAME] [--threads] [--dir DIR]
 *
 * Roles: WORKERS append batches of idempotent producers and retry what was not acknowledged, one
 * storage process syncs, retains and checkpoints, readers read without locks. With --threads all of
 * them are threads (for ThreadSanitizer), killed at crash points only. At the end the table is
 * checked against the files, then thrown away and recovered from the files, and everything is
 * checked again, duplicates included. Exit 0: no violation; 1: some (a mutant was found).
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/be.h"
#include "base/crc32c.h"
#include "base/mem.h"
#include "base/mutant.h"
#include "base/rng.h"
#include "log/log.h"
#include "os/disk_os.h"
#include "os/lock_os.h"
#include "part/part.h"

#define WORKERS 3
#define READERS 1
#define CHILDREN (WORKERS + 1 + READERS)	/* the storage process follows the workers */
#define STORAGE WORKERS
#define PARTS 4
#define PRODUCERS 12		/* producer p belongs to worker p % WORKERS */
#define GROUP 4			/* batches of one call, at most */
#define BODY_MAX 3000
#define POINTS 64
#define STRANGER 100000		/* producer ids from here on are used once */

enum violation {
	V_OFFSET, V_ORDER, V_LOST, V_AHEAD, V_CRC, V_LENGTH, V_READER, V_EARLY, V_REFUSED, V_DAMAGED,
	V_STATE, V_RESTART, V_DEDUP, V_N
};
static const char *const violation_name[V_N] = {
	"wrong offset answered", "order, gap or duplicate in the log", "acknowledged but lost",
	"more in the log than was sent", "bad batch in the log", "file length is not the committed one",
	"reader saw an inconsistent state", "high watermark above what is synced",
	"sequence refused to an honest producer", "lock lost", "partition not online",
	"recovered log differs", "duplicate not recognized after restart",
};

struct ack {				/* the last batch acknowledged; n = 0: none */
	int64_t offset;
	int32_t seq, n;
};

struct client {				/* a client's own memory: survives its worker */
	_Atomic int32_t sent;		/* sequences below may be in the log */
	_Atomic int now;		/* which of the two holds: one store takes an acknowledgement or does not */
	struct ack ack[2];
};

static struct shared {
	struct client c[PRODUCERS][PARTS];
	_Atomic uint64_t acks, reads, deaths[POINTS], syncs, checkpoints, retained;
	char point[POINTS][32];
	_Atomic uint64_t bad[V_N];
	_Atomic int stop;
	_Atomic int ready[CHILDREN];
	_Atomic uint32_t incarnation[CHILDREN];
} *S;

static struct {
	double seconds;
	uint64_t seed;
	bool threads;
	char dir[300];
	void *table;
	struct part_limits lim;
	struct part_id id;
	uint32_t slot[PARTS];
	struct part_conf conf[PARTS];
	struct uuid topic;
} G = { .seconds = 5, .seed = 1, .lim = { PARTS, 256 } };

static struct disk *disk;
static __thread struct rng rng;
static __thread bool mortal;		/* this process or thread may die at crash points */

/* What a thread wrote before it died is seen by who finds its lock dead: the kernel's promise, which
 * ThreadSanitizer does not know of. Counted up by a dying thread. */
static _Atomic uint64_t p_died;

static enum lock_result try_lock(struct lock_port *l, struct lock_word *w, struct lock_held **ret)
{
	enum lock_result r = lock_os()->try_lock(lock_os(), w, ret);

	(void)l;
	if (r == LOCK_OWNER_DIED)
		(void)atomic_load(&p_died);
	return r;
}

static struct lock_port lock_port;	/* the product's, with that in between */

static void violate(enum violation v)
{
	atomic_fetch_add(&S->bad[v], 1);
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void nap(long us)
{
	nanosleep(&(struct timespec){ 0, us * 1000 }, NULL);
}

/* ---- dying at crash points -------------------------------------------------------------------- */

static int point_idx(const char *name)
{
	for (int i = 0; i < POINTS; i++) {
		if (S->point[i][0] == 0)
			return -1;
		if (strcmp(S->point[i], name) == 0)
			return i;
	}
	return -1;
}

/* The names are learned in the parent before anybody runs, so that children need not agree. */
static const char *const points[] = {
	"before_write", "half_written", "after_write", "version_never", "version_filled",
	"version_tagged", "link_intent", "link_owned", "link_done", "after_producers", "state_half",
	"before_commit", "after_commit", "before_watermark", "before_release", "locked",
	"roll_intent", "roll_files", "roll_done", "repair_start", "repair_producers", "repair_cut",
	"repair_end", "synced_stored", "retain_start_moved", "retain_renamed", "unlink_intent",
	"unlink_out",
};

static void on_point(const char *name)
{
	/* Points that are met often kill more seldom, so that each is died at. */
	static const char *const often[] = { "before_write", "half_written", "version_never",
		"version_filled", "version_tagged", "state_half", "before_commit" };
	uint32_t odds = 300;
	int i;

	if (!mortal) {			/* a reader: it is slow now and then, in the worst place */
		if (strcmp(name, "peek_half") == 0 && rng_below(&rng, 100) == 0)
			nap(50);
		return;
	}
	if (strcmp(name, "peek_half") == 0)
		return;
	for (unsigned k = 0; k < sizeof often / sizeof often[0]; k++)
		if (strcmp(often[k], name) == 0)
			odds = 1200;
	if (strncmp(name, "roll", 4) == 0 || strncmp(name, "repair", 6) == 0 ||
	    strncmp(name, "retain", 6) == 0)
		odds = 20;
	if (strncmp(name, "link", 4) == 0 || strncmp(name, "unlink", 6) == 0)
		odds = 40;
	if (rng_below(&rng, odds) != 0)
		return;
	i = point_idx(name);
	if (i >= 0)
		atomic_fetch_add(&S->deaths[i], 1);
	if (G.threads) {
		atomic_fetch_add(&p_died, 1);
		pthread_exit(NULL);
	}
	kill(getpid(), SIGKILL);
}

/* ---- batches ---------------------------------------------------------------------------------- */

/* What producer p sends as sequence seq to a partition is a function of these three. */
static uint32_t mix(int p, int part, int32_t seq)
{
	uint64_t h = ((uint64_t)p << 40 | (uint64_t)part << 32 | (uint32_t)seq) * UINT64_C(0x9E3779B97F4A7C15);

	return (uint32_t)(h >> 33);
}

static uint32_t batch_records(int p, int part, int32_t seq)
{
	return 1 + mix(p, part, seq) % 3;
}

static struct part_batch make(uint8_t *b, int p, int part, int32_t seq)
{
	uint32_t h = mix(p, part, seq), body = 1 + h % BODY_MAX, n = batch_records(p, part, seq);

	memset(b, 0, 61);
	be32_put(b + 8, 49 + body);
	b[16] = 2;
	be32_put(b + 23, n - 1);
	be64_put(b + 27, 1000 + (uint64_t)seq);
	be64_put(b + 35, 1000 + (uint64_t)seq);
	be64_put(b + 43, 500 + (uint64_t)p);
	be32_put(b + 53, (uint32_t)seq);
	be32_put(b + 57, n);
	memset(b + 61, (int)h, body);
	be32_put(b + 17, crc32c(0, b + 21, 40 + body));
	return (struct part_batch){ .head = b, .rest = b + 61, .rest_len = body, .records = n,
		.max_timestamp = 1000 + seq, .producer_id = 500 + p, .base_sequence = seq };
}

/* The handles of threads, freed by whoever buries them. */
static struct part_table *child_table[64];

/* ---- roles ------------------------------------------------------------------------------------ */

static struct part_table *attach(unsigned proc)
{
	struct part_table *t;
	int err = part_table_attach(G.table, &G.id, proc, disk, &lock_port, G.dir, NULL, NULL, &t);

	must(err == OK);
	child_table[proc] = t;
	return t;
}

static void detach(unsigned proc)
{
	part_table_free(child_table[proc]);
	child_table[proc] = NULL;
}

static unsigned proc_of(int child)
{
	return child < WORKERS ? (unsigned)child : child == STORAGE ? 57u : 40u + (unsigned)(child - STORAGE - 1);
}

/* Acknowledged only when the high watermark got there, as the broker does. */
static bool wait_for(struct part_table *t, int part, const struct part_ticket *k)
{
	struct part_view v;

	for (int i = 0; i < 2000 && !S->stop; i++) {
		if (part_view(t, G.slot[part], &G.topic, &v))
			return false;
		if (v.generation == k->generation && v.high_watermark >= k->end_offset)
			return true;
		nap(20);
	}
	return false;
}

static const struct ack *acknowledged(struct client *c)
{
	return &c->ack[c->now];
}

/* Sequences below are acknowledged. */
static int32_t acked(struct client *c)
{
	return acknowledged(c)->seq + acknowledged(c)->n;
}

static void take_ack(struct client *c, const struct part_batch *b)
{
	const struct ack *last = acknowledged(c);

	if (last->n > 0 && b->base_offset < last->offset + last->n)
		violate(V_OFFSET);
	c->ack[!c->now] = (struct ack){ .offset = b->base_offset, .seq = b->base_sequence, .n = (int32_t)b->records };
	c->now = !c->now;
	S->acks++;
}

static void worker_turn(struct part_table *t, int id, uint8_t (*buf)[61 + BODY_MAX])
{
	int part = (int)rng_below(&rng, PARTS), n = 0;
	struct part_batch v[GROUP];
	int who[GROUP];
	struct part_appended out;
	int first = (int)rng_below(&rng, PRODUCERS / WORKERS);

	/* One or two producers of this worker, one or two batches each. */
	for (int k = 0; k < 1 + (int)rng_below(&rng, 2); k++) {
		int p = id + WORKERS * ((first + k) % (PRODUCERS / WORKERS));
		struct client *c = &S->c[p][part];
		int32_t seq = acked(c);

		for (int m = 0; m < 1 + (int)rng_below(&rng, 2); m++) {
			who[n] = p;
			v[n] = make(buf[n], p, part, seq);
			seq += (int32_t)v[n++].records;
		}
		if (seq > c->sent)
			c->sent = seq;
	}
	int err = part_append(t, G.slot[part], &G.topic, 0, &G.conf[part], v, n, 1000, &out);
	if (err == E_AGAIN)
		return;
	if (err == E_DAMAGED)
		violate(V_DAMAGED);
	else if (err)
		violate(V_STATE);
	if (err) {
		nap(1000);
		return;
	}
	if (!wait_for(t, part, &out.ticket))
		return;
	for (int i = 0; i < n; i++) {
		struct client *c = &S->c[who[i]][part];

		if (v[i].err) {
			violate(v[i].err == E_RANGE ? V_REFUSED : V_STATE);
			continue;
		}
		if (v[i].base_sequence == acked(c))
			take_ack(c, &v[i]);
	}
}

/* A producer that comes once and never again: its slot is linked here, and expired by storage. */
static void stranger(struct part_table *t, uint8_t *buf)
{
	int part = (int)rng_below(&rng, PARTS);
	struct part_batch b = make(buf, 0, part, 0);
	struct part_appended out;

	b.producer_id = STRANGER + rng_below(&rng, 1 << 30);
	b.max_timestamp = 1;
	be64_put(buf + 35, 1);
	be64_put(buf + 43, (uint64_t)b.producer_id);
	be32_put(buf + 17, crc32c(0, buf + 21, 40 + b.rest_len));
	if (part_append(t, G.slot[part], &G.topic, 0, &G.conf[part], &b, 1, 1000, &out) == OK && b.err)
		violate(V_REFUSED);
}

static void worker(int id)
{
	struct part_table *t = attach((unsigned)id);
	uint8_t (*buf)[61 + BODY_MAX] = mem_alloc(GROUP * sizeof *buf);

	S->ready[id] = 1;
	while (!S->stop) {
		worker_turn(t, id, buf);
		if (rng_below(&rng, 20) == 0)
			stranger(t, buf[0]);
	}
	mem_free(buf);
	detach((unsigned)id);
}

static void on_garbage(void *ctx, const char *path)
{
	(void)ctx;
	unlink(path);
	S->retained++;
}

static void storage(void)
{
	struct part_table *t = attach(57);
	struct part_retention keep = { .retention_ms = -1, .retention_bytes = 400000, .del = true };
	uint64_t wake, bytes;

	S->ready[STORAGE] = 1;
	for (int turn = 0; !S->stop; turn++) {
		for (int i = 0; i < PARTS; i++) {
			struct part_sync job;

			if (part_sync_begin(t, G.slot[i], &job))
				continue;
			if (job.due &&
			    part_synced(t, G.slot[i], job.gen, job.end, &G.conf[i], &wake) == OK)
				S->syncs++;
			part_sync_end(t, &job);
		}
		int part = turn / 4 % PARTS;
		keep.retention_bytes = part == PARTS - 1 ? 400000 : -1;
		if (turn % 4 == 0 && part_retain(t, G.slot[part], &G.conf[part], &keep, 1000, on_garbage,
						 NULL, &bytes, &wake))
			continue;
		if (turn % 64 == 0 && part_checkpoint(t, false) == OK)
			S->checkpoints++;
		nap(100);
	}
	detach(57);
}

/* Whole batches, ending just where the answer says. */
static bool range_ok(struct part_table *t, const struct part_range *r)
{
	struct log_walk w;
	struct log_head h;
	int64_t next = r->first_offset;
	uint64_t pos = r->off;

	(void)t;
	log_walk_init(&w, disk, r->file, r->off + r->len, false);
	for (; pos < r->off + r->len; pos += h.bytes) {
		if (log_walk_head(&w, pos, &h) || h.base_offset != next)
			return false;
		next = h.last_offset + 1;
	}
	return next == r->next_offset;
}

static void reader_turn(struct part_table *t, struct part_view *seen)
{
	int part = (int)rng_below(&rng, PARTS);
	struct part_view v, *old = &seen[part];
	struct part_range r;

	if (part_view(t, G.slot[part], &G.topic, &v))
		return;
	if (v.commit < old->commit || v.end < old->end || v.high_watermark < old->high_watermark ||
	    v.high_watermark > v.end || v.segment_base > (uint64_t)v.end ||
	    (v.segment_base == (uint64_t)v.end) != (v.segment_bytes == 0))
		violate(V_READER);
	if (G.conf[part].durability != PART_REPLICATED && v.high_watermark > v.synced)
		violate(V_EARLY);
	*old = v;
	int64_t back = rng_below(&rng, 40), at = v.end - back;
	if (at < v.log_start || at >= v.end)
		return;
	/* Up to the end, not the high watermark: the sharper question. */
	int err = part_read(t, G.slot[part], &v, at, v.end, 1 + rng_below(&rng, 1 << 18), true, &r);
	if (err == OK) {
		if (r.len == 0 || !range_ok(t, &r))
			violate(V_READER);
		part_range_release(t, &r);
	} else if (err != E_RANGE && err != E_FENCED) {
		violate(V_READER);
	}
	S->reads++;
}

static void reader(int idx)
{
	struct part_table *t = attach((unsigned)(40 + idx));
	struct part_view seen[PARTS] = { { .commit = 0 } };

	S->ready[STORAGE + 1 + idx] = 1;
	for (int i = 0; !S->stop; i++) {
		reader_turn(t, seen);
		if (i % 64 == 0)
			part_files_trim(t);
	}
	detach((unsigned)(40 + idx));
}

static void role(int child)
{
	rng_init(&rng, G.seed * 1000 + (uint64_t)child + ((uint64_t)S->incarnation[child]++ << 32));
	mortal = child <= STORAGE;
	if (child < WORKERS)
		worker(child);
	else if (child == STORAGE)
		storage();
	else
		reader(child - STORAGE - 1);
}

/* ---- life and death --------------------------------------------------------------------------- */

static pid_t child_pid[CHILDREN];
static pthread_t child_thread[CHILDREN];

static void *thread_main(void *arg)
{
	role((int)(intptr_t)arg);
	return (void *)1;
}

static void start(int i)
{
	S->ready[i] = 0;
	if (G.threads) {
		must(pthread_create(&child_thread[i], NULL, thread_main, (void *)(intptr_t)i) == 0);
		return;
	}
	fflush(stdout);
	child_pid[i] = fork();
	must(child_pid[i] >= 0);
	if (child_pid[i] == 0) {
		role(i);
		_exit(0);
	}
}

/* Replaces whoever is dead; returns how many. */
static int replace(void)
{
	int n = 0;

	for (int i = 0; i < CHILDREN; i++) {
		int status;
		bool dead = G.threads ? pthread_tryjoin_np(child_thread[i], NULL) == 0 :
			    waitpid(child_pid[i], &status, WNOHANG) == child_pid[i];

		if (!dead)
			continue;
		if (!G.threads && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL))
			violate(V_STATE);	/* died of itself: an assertion */
		if (G.threads)
			detach(proc_of(i));
		start(i);
		n++;
	}
	return n;
}

static uint64_t run(void)
{
	double until = now() + G.seconds;
	uint64_t deaths = 0;
	struct rng r;

	rng_init(&r, G.seed);
	for (int i = 0; i < CHILDREN; i++)
		start(i);
	while (now() < until) {
		nap(300 + (long)rng_below(&r, 1500));
		int i = (int)rng_below(&r, STORAGE + 1);
		if (!G.threads && S->ready[i] && rng_below(&r, 2))
			kill(child_pid[i], SIGKILL);
		deaths += (uint64_t)replace();
	}
	S->stop = 1;
	for (int i = 0; i < CHILDREN; i++) {
		if (G.threads) {
			pthread_join(child_thread[i], NULL);
			detach(proc_of(i));
		} else if (kill(child_pid[i], SIGKILL) == 0) {
			waitpid(child_pid[i], NULL, 0);
		}
	}
	return deaths;
}

/* ---- checks ----------------------------------------------------------------------------------- */

struct check {
	int part;
	int32_t next[PRODUCERS];
	uint64_t batches;
};

static void on_batch(void *ctx, const struct log_head *h, uint64_t pos, const uint8_t *body,
		     uint32_t len)
{
	struct check *k = ctx;
	int p = (int)(h->producer_id - 500);

	(void)pos, (void)body, (void)len;
	k->batches++;
	if (h->producer_id >= STRANGER)
		return;
	if (p < 0 || p >= PRODUCERS) {
		violate(V_CRC);
		return;
	}
	/* Retention may have taken the front. */
	if (k->next[p] >= 0 && h->base_sequence != k->next[p])
		violate(V_ORDER);
	if (h->last_offset - h->base_offset + 1 != batch_records(p, k->part, h->base_sequence))
		violate(V_CRC);
	k->next[p] = h->base_sequence + (int32_t)(h->last_offset - h->base_offset) + 1;
}

static void check_part(struct part_table *t, int part, uint64_t *batches)
{
	struct log_files *files = log_files_new(disk, 16);
	struct log_replica lr = { .files = files, .log_dir = G.dir, .topic = "torture",
		.partition = part, .tag = 1, .gen = 1 };
	struct check k = { .part = part };
	struct part_view v;
	const uint64_t *base;
	uint32_t n;

	for (int p = 0; p < PRODUCERS; p++)
		k.next[p] = part == PARTS - 1 ? -1 : 0;
	if (part_view(t, G.slot[part], &G.topic, &v) || log_segments(&lr, &base, &n) || n == 0) {
		violate(V_STATE);
		log_files_free(files);
		return;
	}
	int64_t next = (int64_t)base[0];
	for (uint32_t i = 0; i < n; i++) {
		struct log_scan s = { .disk = disk, .next_offset = next, .segment_base = base[i],
			.buf = mem_alloc(LOG_SCAN_BUFFER), .on_batch = on_batch, .ctx = &k };
		uint32_t handle;

		must(log_files_get(&lr, base[i], LOG_SEGMENT, 0, &s.file, &handle) == OK);
		must(disk->calls->size(disk, s.file, &s.end) == OK);
		if (base[i] != (uint64_t)next || log_scan(&s) || s.pos != s.end)
			violate(V_CRC);
		if (base[i] > v.segment_base || (base[i] == v.segment_base && s.end != v.segment_bytes))
			violate(V_LENGTH);
		next = s.next_offset;
		mem_free(s.buf);
		log_files_put(files, handle);
	}
	if (next != v.end)
		violate(V_LENGTH);
	for (int p = 0; p < PRODUCERS; p++) {
		struct client *c = &S->c[p][part];

		if (k.next[p] < 0)
			continue;	/* retention took all of it */
		if (k.next[p] < acked(c))
			violate(V_LOST);
		if (k.next[p] > c->sent)
			violate(V_AHEAD);
	}
	*batches += k.batches;
	log_files_free(files);
}

/* Takes each lock once, so that the last deaths are repaired. */
static void touch(struct part_table *t)
{
	for (int i = 0; i < PARTS; i++) {
		int err = part_become_leader(t, G.slot[i], 0);

		if (err == E_DAMAGED)
			violate(V_DAMAGED);
		else if (err)
			violate(V_STATE);
	}
}

/* The table is lost, as by a power cut; the files are not. */
static void restart(struct part_table *t)
{
	struct part_view before[PARTS], after;
	uint8_t *buf = mem_alloc(61 + BODY_MAX);
	bool clean;

	for (int i = 0; i < PARTS; i++)
		if (part_view(t, G.slot[i], &G.topic, &before[i]))
			before[i].end = -1;
	part_table_free(t);
	uint64_t bytes = part_table_bytes(&G.lim);
	must(mmap(G.table, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS | MAP_FIXED, -1, 0) ==
	     G.table);
	G.id.generation++;
	must(part_table_format(G.table, &G.lim, &G.id, &lock_port, NULL, NULL) == OK);
	t = attach(58);
	must(part_checkpoint_load(t, &clean) == OK);
	for (int i = 0; i < PARTS; i++) {
		struct part_key key = { .topic_id = G.topic, .partition = i, .topic = "torture" };

		must(part_slot_open(t, &key, &G.slot[i]) == OK);
		if (part_slot_recover(t, G.slot[i], clean) ||
		    part_view(t, G.slot[i], &G.topic, &after) || after.end != before[i].end ||
		    after.log_start < before[i].log_start - 100000) {
			violate(V_RESTART);
			continue;
		}
		for (int p = 0; p < PRODUCERS; p++) {
			struct client *c = &S->c[p][i];
			struct part_appended out;

			const struct ack *last = acknowledged(c);

			if (last->n == 0 || c->sent - acked(c) > 6)
				continue;
			struct part_batch b = make(buf, p, i, last->seq);
			int err = part_append(t, G.slot[i], &G.topic, -1, &G.conf[i], &b, 1, 1000, &out);
			if (err || b.err || !b.duplicate || b.base_offset != last->offset)
				violate(V_DEDUP);
		}
	}
	uint64_t ignored = 0;
	for (int i = 0; i < PARTS; i++)
		check_part(t, i, &ignored);
	part_table_free(t);
	mem_free(buf);
}

static int report(uint64_t deaths, const struct part_counts *n, uint64_t batches)
{
	uint64_t at_points = 0, bad = 0;
	int reached = 0, all = 0;

	for (int i = 0; i < POINTS && S->point[i][0]; i++, all++) {
		at_points += S->deaths[i];
		reached += S->deaths[i] > 0;
	}
	printf("deaths %llu (%llu at %d of %d crash points); acks %llu; batches in logs %llu; reads %llu; "
	       "syncs %llu; checkpoints %llu; files retained %llu\n", (unsigned long long)deaths,
	       (unsigned long long)at_points, reached, all, (unsigned long long)S->acks,
	       (unsigned long long)batches, (unsigned long long)S->reads, (unsigned long long)S->syncs,
	       (unsigned long long)S->checkpoints, (unsigned long long)S->retained);
	printf("repairs %llu; torn tails %llu; uncommitted versions dropped %llu; retries de-duplicated "
	       "%llu; parked on a lock %llu; rebuilt %llu; long files %llu\n",
	       (unsigned long long)n->lock_repairs, (unsigned long long)n->torn_tails,
	       (unsigned long long)n->dropped_versions, (unsigned long long)n->dedups,
	       (unsigned long long)n->busy, (unsigned long long)n->rebuilt,
	       (unsigned long long)n->long_files);
	for (int i = 0; i < POINTS && S->point[i][0]; i++)
		if (S->deaths[i] == 0)
			printf("never died at %s\n", S->point[i]);
	for (int i = 0; i < V_N; i++)
		if (S->bad[i]) {
			bad += S->bad[i];
			printf("VIOLATION: %s: %llu\n", violation_name[i], (unsigned long long)S->bad[i]);
		}
	if (n->long_files || n->rebuilt)
		printf("VIOLATION: unexpected counters\n");
	return bad != 0 || n->long_files || n->rebuilt;
}

static void setup(void)
{
	uint64_t bytes = part_table_bytes(&G.lim);
	struct part_table *t;

	S = mmap(NULL, sizeof *S, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	G.table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	must(S != MAP_FAILED && G.table != MAP_FAILED);
	for (unsigned i = 0; i < sizeof points / sizeof points[0]; i++)
		snprintf(S->point[i], sizeof S->point[i], "%s", points[i]);
	snprintf(G.id.boot_id, sizeof G.id.boot_id, "torture");
	G.id.node_id = 1;
	memset(&G.topic, 7, sizeof G.topic);
	must(part_table_format(G.table, &G.lim, &G.id, &lock_port, NULL, NULL) == OK);
	t = attach(58);
	for (int i = 0; i < PARTS; i++) {
		struct part_key key = { .topic_id = G.topic, .partition = i, .topic = "torture" };

		G.conf[i] = (struct part_conf){ .segment_bytes = 150000, .index_interval_bytes = 5000,
			.max_producer_age_ms = 500,
			.durability = i % 2 ? PART_QUORUM : PART_REPLICATED };
		must(part_slot_open(t, &key, &G.slot[i]) == OK);
		must(part_slot_recover(t, G.slot[i], false) == OK);
		must(part_become_leader(t, G.slot[i], 0) == OK);
	}
	part_table_free(t);
}

static void remove_tree(const char *dir)
{
	char cmd[400];

	snprintf(cmd, sizeof cmd, "rm -rf '%s'", dir);
	if (system(cmd) != 0)
		fprintf(stderr, "cannot remove %s\n", dir);
}

static void arguments(int argc, char **argv)
{
	static const struct option o[] = {
		{ "seconds", 1, NULL, 's' }, { "seed", 1, NULL, 'r' }, { "mutant", 1, NULL, 'm' },
		{ "threads", 0, NULL, 't' }, { "dir", 1, NULL, 'd' }, { NULL, 0, NULL, 0 },
	};
	const char *tmp = getenv("TMPDIR");
	int c;

	snprintf(G.dir, sizeof G.dir, "%s", tmp ? tmp : "/tmp");
	while ((c = getopt_long(argc, argv, "", o, NULL)) != -1) {
		if (c == 's')
			G.seconds = atof(optarg);
		else if (c == 'r')
			G.seed = strtoull(optarg, NULL, 10);
		else if (c == 'm')
			mutant_on = optarg;
		else if (c == 't')
			G.threads = true;
		else if (c == 'd')
			snprintf(G.dir, sizeof G.dir, "%s", optarg);
		else
			exit(2);
	}
	strncat(G.dir, "/table_kill9.XXXXXX", sizeof G.dir - strlen(G.dir) - 1);
	if (!mkdtemp(G.dir)) {
		perror(G.dir);
		exit(2);
	}
}

int main(int argc, char **argv)
{
	struct part_counts n;
	uint64_t batches = 0;

	arguments(argc, argv);
	disk = disk_os_new(NULL, 0);
	lock_port = *lock_os();
	lock_port.try_lock = try_lock;
	rng_init(&rng, G.seed);
	setup();
	crash_hook = on_point;
	uint64_t deaths = run();
	struct part_table *t = attach(58);
	touch(t);
	for (int i = 0; i < PARTS; i++)
		check_part(t, i, &batches);
	part_counts(t, &n);
	restart(t);
	int bad = report(deaths, &n, batches);
	remove_tree(G.dir);
	return bad;
}
