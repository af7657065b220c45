/*
 * backend.c - candidates for the append path, measured while the files that are appended to are being
 * synced all the time, as default durability does. See bench.h; the decision is in docs/performance.md.
 *
 *   direct    the loop writes to the partition's file; threads fdatasync many partitions at once
 *   appender  the loop hands the bytes to one thread that writes; the same threads sync
 *   journal   the loop writes to the partition's file, which nobody syncs; one thread writes everything
 *             once more into a journal whose blocks were written before, and syncs that alone
 *
 * CLIENTS requests are in flight; each is sent again when it is durable. "Stall" is how long the loop,
 * and with it every other connection, waits in one append.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include <jansson.h>

#include "base/mem.h"
#include "bench.h"

#define CLIENTS 64
#define FILES 8
#define SYNCERS 16
#define JOURNAL_BYTES (64u << 20)
#define FILE_BYTES ((off_t)64 << 20)

enum way { DIRECT, APPENDER, JOURNAL };

struct req {
	struct req *next;
	int file;
	uint64_t from;
};

struct queue {
	struct req *head, **tail;
};

struct file {
	int fd;
	off_t at;
	bool syncing;
	struct queue waiting;		/* written, not covered by a running sync */
};

struct rig {
	enum way way;
	size_t bytes;
	char *mem;
	pthread_mutex_t mu;
	pthread_cond_t loop, append, sync;
	struct queue ready, to_append, to_journal;
	struct file file[FILES];
	int journal;
	off_t journal_at;
	struct hist stall, ack;
	uint64_t acks;
	bool stop;
};

static void push(struct queue *q, struct req *r)
{
	r->next = NULL;
	*q->tail = r;
	q->tail = &r->next;
}

static struct queue take(struct queue *q)
{
	struct queue got = *q;

	q->head = NULL;
	q->tail = &q->head;
	return got;
}

static void done(struct rig *g, struct req *list)
{
	uint64_t now = now_ns();

	while (list) {
		struct req *r = list;

		list = r->next;
		hist_add(&g->ack, now - r->from);
		g->acks++;
		push(&g->ready, r);
	}
	pthread_cond_signal(&g->loop);
}

static void append(struct rig *g, const struct req *r)
{
	struct file *f = &g->file[r->file];

	if (f->at + (off_t)g->bytes > FILE_BYTES)
		f->at = 0;
	if (pwrite(f->fd, g->mem, g->bytes, f->at) != (ssize_t)g->bytes)
		die("cannot write: %s", strerror(errno));
	f->at += (off_t)g->bytes;
}

static void *syncer(void *arg)
{
	struct rig *g = arg;

	pthread_mutex_lock(&g->mu);
	while (!g->stop) {
		struct file *f = NULL;

		for (int i = 0; i < FILES && !f; i++)
			if (!g->file[i].syncing && g->file[i].waiting.head)
				f = &g->file[i];
		if (!f) {
			pthread_cond_wait(&g->sync, &g->mu);
			continue;
		}
		struct req *covered = take(&f->waiting).head;
		f->syncing = true;
		pthread_mutex_unlock(&g->mu);
		if (fdatasync(f->fd) != 0)
			die("cannot sync: %s", strerror(errno));
		pthread_mutex_lock(&g->mu);
		f->syncing = false;
		done(g, covered);
		if (f->waiting.head)
			pthread_cond_signal(&g->sync);
	}
	pthread_mutex_unlock(&g->mu);
	return NULL;
}

static void *appender(void *arg)
{
	struct rig *g = arg;

	pthread_mutex_lock(&g->mu);
	while (!g->stop) {
		struct req *list = take(&g->to_append).head;

		if (!list) {
			pthread_cond_wait(&g->append, &g->mu);
			continue;
		}
		while (list) {
			struct req *r = list;

			list = r->next;
			pthread_mutex_unlock(&g->mu);
			append(g, r);
			pthread_mutex_lock(&g->mu);
			push(&g->file[r->file].waiting, r);
			pthread_cond_signal(&g->sync);
		}
	}
	pthread_mutex_unlock(&g->mu);
	return NULL;
}

static void *journaler(void *arg)
{
	struct rig *g = arg;
	struct iovec v[CLIENTS];

	pthread_mutex_lock(&g->mu);
	while (!g->stop) {
		struct req *list = take(&g->to_journal).head;
		int n = 0;

		if (!list) {
			pthread_cond_wait(&g->append, &g->mu);
			continue;
		}
		pthread_mutex_unlock(&g->mu);
		for (struct req *r = list; r; r = r->next)
			v[n++] = (struct iovec){ g->mem, g->bytes };
		if (g->journal_at + (off_t)g->bytes * n > (off_t)JOURNAL_BYTES)
			g->journal_at = 0;
		if (pwritev(g->journal, v, n, g->journal_at) != (ssize_t)g->bytes * n || fdatasync(g->journal) != 0)
			die("cannot write the journal: %s", strerror(errno));
		g->journal_at += (off_t)g->bytes * n;
		pthread_mutex_lock(&g->mu);
		done(g, list);
	}
	pthread_mutex_unlock(&g->mu);
	return NULL;
}

/* The event loop of the model: takes what is ready and appends it. */
static void loop(struct rig *g, double seconds)
{
	uint64_t end = now_ns() + (uint64_t)(seconds * 1e9);
	unsigned next = 0;

	pthread_mutex_lock(&g->mu);
	while (now_ns() < end) {
		struct req *list = take(&g->ready).head;

		if (!list) {
			struct timespec t;

			clock_gettime(CLOCK_REALTIME, &t);
			t.tv_sec++;
			pthread_cond_timedwait(&g->loop, &g->mu, &t);
			continue;
		}
		while (list) {
			struct req *r = list;
			uint64_t from = now_ns();

			list = r->next;
			r->file = (int)(next++ % FILES);
			r->from = from;
			if (g->way == APPENDER) {
				push(&g->to_append, r);
				pthread_cond_signal(&g->append);
				hist_add(&g->stall, now_ns() - from);
				continue;
			}
			pthread_mutex_unlock(&g->mu);
			append(g, r);
			hist_add(&g->stall, now_ns() - from);
			pthread_mutex_lock(&g->mu);
			push(g->way == JOURNAL ? &g->to_journal : &g->file[r->file].waiting, r);
			pthread_cond_signal(g->way == JOURNAL ? &g->append : &g->sync);
		}
	}
	g->stop = true;
	pthread_cond_broadcast(&g->append);
	pthread_cond_broadcast(&g->sync);
	pthread_mutex_unlock(&g->mu);
}

static int open_file(const char *base, const char *name, int i, off_t bytes)
{
	char path[512], *mem = mem_alloc(1 << 20);

	snprintf(path, sizeof path, "%s/%s-%d", base, name, i);
	int fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
	if (fd < 0)
		die("cannot make %s: %s", path, strerror(errno));
	unlink(path);
	for (off_t at = 0; at < bytes; at += 1 << 20)
		if (pwrite(fd, mem, 1 << 20, at) != 1 << 20)
			die("cannot write %s", path);
	if (fdatasync(fd) != 0)
		die("cannot sync %s", path);
	mem_free(mem);
	return fd;
}

static double cpu_now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void run(const char *base, enum way way, size_t bytes, double seconds, json_t *list)
{
	static const char *names[] = { "direct", "appender", "journal" };
	static struct rig g;
	struct req req[CLIENTS];
	pthread_t t[SYNCERS + 2];
	int n = 0;

	memset(&g, 0, sizeof g);
	g.way = way;
	g.bytes = bytes;
	g.mem = mem_alloc(bytes);
	pthread_mutex_init(&g.mu, NULL);
	pthread_cond_init(&g.loop, NULL);
	pthread_cond_init(&g.append, NULL);
	pthread_cond_init(&g.sync, NULL);
	take(&g.ready);
	take(&g.to_append);
	take(&g.to_journal);
	for (int i = 0; i < FILES; i++) {
		take(&g.file[i].waiting);
		g.file[i].fd = open_file(base, "part", i, 0);
	}
	g.journal = open_file(base, "journal", 0, way == JOURNAL ? JOURNAL_BYTES : 0);
	for (int i = 0; i < CLIENTS; i++)
		push(&g.ready, &req[i]);
	if (way == APPENDER)
		pthread_create(&t[n++], NULL, appender, &g);
	if (way == JOURNAL)
		pthread_create(&t[n++], NULL, journaler, &g);
	for (int i = 0; i < SYNCERS && way != JOURNAL; i++)
		pthread_create(&t[n++], NULL, syncer, &g);
	double cpu = cpu_now();
	loop(&g, seconds);
	cpu = cpu_now() - cpu;
	for (int i = 0; i < n; i++)
		pthread_join(t[i], NULL);
	for (int i = 0; i < FILES; i++)
		close(g.file[i].fd);
	close(g.journal);
	mem_free(g.mem);
	double gb = (double)g.acks * (double)bytes / 1e9;
	json_array_append_new(list, json_pack("{ss sI sf sf sf sf sf sf sf}", "way", names[way], "bytes",
		(json_int_t)bytes,
		"acks_per_s", (double)g.acks / seconds, "cpu_s_per_gb", cpu / gb, "stall_p50_us", hist_us(&g.stall, .5),
		"stall_p99_us", hist_us(&g.stall, .99), "stall_max_us", hist_us(&g.stall, 1),
		"ack_p50_us", hist_us(&g.ack, .5), "ack_p99_us", hist_us(&g.ack, .99)));
}

void backends_run(const char *base, double seconds, bool json)
{
	static const size_t sizes[] = { 1 << 10, 16 << 10, 64 << 10 };
	json_t *list = json_array(), *row;
	size_t i;

	/* Each size: all ways in turn, three times, so that a disturbance does not meet one of them alone. */
	for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++)
		for (int rep = 0; rep < 3; rep++)
			for (int way = DIRECT; way <= JOURNAL; way++)
				run(base, (enum way)way, sizes[k], seconds, list);
	if (json) {
		json_dumpf(list, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
		putchar('\n');
	} else {
		printf("%-9s %7s %9s %8s %10s %10s %10s %10s %10s\n", "way", "bytes", "acks/s", "s/GB", "stall p50",
		       "stall p99", "stall max", "ack p50", "ack p99 us");
		json_array_foreach(list, i, row)
			printf("%-9s %7lld %9.0f %8.3f %10.1f %10.1f %10.1f %10.1f %10.1f\n",
			       json_string_value(json_object_get(row, "way")),
			       (long long)json_integer_value(json_object_get(row, "bytes")),
			       json_real_value(json_object_get(row, "acks_per_s")),
			       json_real_value(json_object_get(row, "cpu_s_per_gb")),
			       json_real_value(json_object_get(row, "stall_p50_us")),
			       json_real_value(json_object_get(row, "stall_p99_us")),
			       json_real_value(json_object_get(row, "stall_max_us")),
			       json_real_value(json_object_get(row, "ack_p50_us")),
			       json_real_value(json_object_get(row, "ack_p99_us")));
	}
	json_decref(list);
}
