/*
 * run.c - bench/run: what a broker costs and how fast it answers, beside plain loops that do the same
 * work, held to the project's targets. docs/performance.md says how to read it.
 *
 *   bench/run [--quick] [--output table|json] [--dir DIR] [--only TEXT] [--reps N] [--seconds S]
 *             [--workers W] [--with-kafka FOLDER-OF-JARS] [--backends]
 *
 * Ends with 0 when every row holds, 1 when one could not be measured, 3 when a row misses its target.
 */
#include <dirent.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include <jansson.h>

#include "base/be.h"
#include "base/mem.h"
#include "bench.h"

#define PARTS 8
#define REPS_MAX 9

struct row {
	char name[72], unit[16];
	double ours, floor, target, kafka;	/* < 0: none */
	double p50_us, p99_us, p999_us, rate;	/* of ours; rate: GB/s or requests/s */
};

struct options {
	bool quick, json;
	const char *base, *only, *jars;
	int reps, workers;
	double seconds;
};

static struct options opt;
static struct row rows[64];
static int n_rows;
static char base[256];
static struct server dev, kafka;
static bool have_kafka;

static struct row *row(const char *name, const char *unit, double target)
{
	struct row *r = &rows[n_rows++];

	*r = (struct row){ .ours = -1, .floor = -1, .target = target, .kafka = -1, .p50_us = -1, .p99_us = -1,
			   .p999_us = -1, .rate = -1 };
	snprintf(r->name, sizeof r->name, "%s", name);
	snprintf(r->unit, sizeof r->unit, "%s", unit);
	return r;
}

static bool wanted(const char *name)
{
	return !opt.only || strstr(name, opt.only);
}

static bool holds(const struct row *r)
{
	return r->target < 0 || (r->ours >= 0 && r->ours <= r->target);
}

static void say(const struct row *r)
{
	static bool head;
	char num[4][16];
	double v[4] = { r->ours, r->floor, r->target, r->kafka };

	if (opt.json)
		return;
	if (!head)
		printf("%-44s %-8s %9s %9s %9s %9s  %-5s %9s %9s %10s\n", "row", "unit", "ours", "floor", "target",
		       have_kafka ? "kafka" : "", "holds", "p50 us", "p99 us", "rate");
	head = true;
	for (int i = 0; i < 4; i++)
		snprintf(num[i], sizeof num[i], v[i] < 0 ? "-" : v[i] < 10 ? "%.3f" : "%.1f", v[i]);
	printf("%-44s %-8s %9s %9s %9s %9s  %-5s", r->name, r->unit, num[0], num[1], num[2],
	       have_kafka ? num[3] : "", r->target < 0 ? "-" : holds(r) ? "yes" : "NO");
	if (r->p50_us >= 0)
		printf(" %9.1f %9.1f", r->p50_us, r->p99_us);
	if (r->rate >= 0)
		printf(" %10.4g", r->rate);
	putchar('\n');
	fflush(stdout);
}

/* ---- load rows ------------------------------------------------------------------------------ */

struct load {
	const char *name;
	enum gen_kind kind;
	size_t bytes;
	int conns, depth;
	const char *durability;
	bool per_request;		/* seconds per million requests, else per GB */
	double target;
	double rate;
	bool with_floor;
	int parts;
};

struct result {
	double cpu, rate;
	struct hist hist;
};

static void measure(const struct gen_conf *conf, pid_t pid, bool per_request, struct result *ret)
{
	struct gen *g = gen_start(conf);
	double warm = opt.quick ? 1.5 : 3.0, seconds = opt.seconds;

	usleep((useconds_t)(warm * 1e6));
	gen_reset(g);
	double cpu = tree_cpu(pid);
	struct gen_count a = gen_count(g);
	uint64_t from = now_ns();
	usleep((useconds_t)(seconds * 1e6));
	struct gen_count b = gen_count(g);
	double wall = (double)(now_ns() - from) / 1e9;
	cpu = tree_cpu(pid) - cpu;
	gen_stop(g, &ret->hist);
	if (b.requests == a.requests)
		die("no request was answered within %.1f s", seconds);
	ret->cpu = per_request ? cpu / ((double)(b.requests - a.requests) / 1e6) :
				 cpu / ((double)(b.bytes - a.bytes) / 1e9);
	ret->rate = per_request ? (double)(b.requests - a.requests) / wall : (double)(b.bytes - a.bytes) / wall / 1e9;
}

/* Fills every partition with `bytes` of batches of `batch` bytes; returns the records of a batch. */
static uint32_t fill(const struct server *s, int parts, uint64_t bytes, size_t batch)
{
	struct frame f = frame_produce("bench", batch, 1);
	struct gen_conf c = { .kind = GEN_PRODUCE, .port = s->port, .conns = 4, .depth = 4, .threads = 1,
			      .parts = parts, .frame = &f, .payload = batch };
	struct gen *g = gen_start(&c);
	struct hist h;
	uint64_t total = bytes * (uint64_t)parts * 5 / 4;	/* some more: connections go round by themselves */
	uint8_t *scratch = mem_alloc(batch);
	int records = batch_make(scratch, batch);

	while (gen_count(g).bytes < total)
		usleep(1000);
	gen_stop(g, &h);
	mem_free(f.p);
	mem_free(scratch);
	return (uint32_t)records;
}

#define LOG_BYTES (24ull << 20)		/* of a partition that fetches read */
#define FETCH_BATCH ((size_t)64 << 10)

static void load_once(const struct load *l, const struct server *s, struct result *ret)
{
	struct gen_conf c = { .kind = l->kind, .port = s->port, .conns = l->conns, .depth = l->depth, .threads = 2,
			      .parts = l->parts, .payload = l->bytes, .rate = l->rate };
	struct frame f = l->kind == GEN_PRODUCE ? frame_produce("bench", l->bytes, -1) :
			 l->kind == GEN_FETCH ? frame_fetch("bench", (uint32_t)l->bytes, 500) :
						frame_metadata("bench");

	topic_create(s->port, "bench", l->parts, s->kafka ? NULL : l->durability, l->kind == GEN_FETCH);
	if (l->kind == GEN_FETCH) {
		c.batch_records = fill(s, l->parts, LOG_BYTES, FETCH_BATCH);
		c.batch_bytes = FETCH_BATCH;
		c.log_bytes = LOG_BYTES;
		sleep(1);		/* what was written is synced meanwhile */
	}
	c.frame = &f;
	measure(&c, s->pid, l->per_request, ret);
	topic_delete(s->port, "bench");
	usleep(opt.quick ? 100000 : 500000);
	mem_free(f.p);
}

static void floor_once(const struct load *l, struct result *ret)
{
	struct floor fl;
	struct gen_conf c = { .kind = l->kind, .conns = l->conns, .depth = l->depth, .threads = 2, .parts = l->parts,
			      .payload = l->bytes, .batch_records = FETCH_BATCH / 1024, .batch_bytes = FETCH_BATCH,
			      .log_bytes = LOG_BYTES };
	struct frame f = l->kind == GEN_PRODUCE ? frame_produce("bench", l->bytes, -1) :
						  frame_fetch("bench", (uint32_t)l->bytes, 500);

	floor_start(&fl, l->kind == GEN_FETCH ? FLOOR_FETCH : FLOOR_PRODUCE, base, l->parts, l->bytes, LOG_BYTES);
	c.port = fl.port;
	c.frame = &f;
	measure(&c, fl.pid, l->per_request, ret);
	floor_stop(&fl);
	mem_free(f.p);
}

static void load_row(const struct load *l)
{
	static struct result res;
	double ours[REPS_MAX], floors[REPS_MAX], theirs[REPS_MAX], rate[REPS_MAX];
	struct hist all = { 0 };

	if (!wanted(l->name))
		return;
	for (int i = 0; i < opt.reps; i++) {
		load_once(l, &dev, &res);
		ours[i] = res.cpu;
		rate[i] = res.rate;
		hist_merge(&all, &res.hist);
		if (l->with_floor) {
			floor_once(l, &res);
			floors[i] = res.cpu;
		}
		if (have_kafka) {
			load_once(l, &kafka, &res);
			theirs[i] = res.cpu;
		}
	}
	struct row *r = row(l->name, l->per_request ? "s/Mreq" : "s/GB", l->target);
	r->ours = median(ours, opt.reps);
	r->rate = median(rate, opt.reps);
	if (l->with_floor)
		r->floor = median(floors, opt.reps);
	if (have_kafka)
		r->kafka = median(theirs, opt.reps);
	r->p50_us = hist_us(&all, .5);
	r->p99_us = hist_us(&all, .99);
	r->p999_us = hist_us(&all, .999);
	say(r);
}

static const struct load loads[] = {
	{ "produce 1 MiB", GEN_PRODUCE, 1 << 20, 8, 1, "replicated", false, .50, 0, true, PARTS },
	{ "produce 64 KiB", GEN_PRODUCE, 64 << 10, 8, 5, "replicated", false, .43, 0, true, PARTS },
	{ "produce 16 KiB", GEN_PRODUCE, 16 << 10, 8, 5, "replicated", false, .68, 0, true, PARTS },
	{ "produce 1 KiB, 64 connections", GEN_PRODUCE, 1 << 10, 64, 5, "replicated", true, 6, 0, true, PARTS },
	{ "produce 1 MiB, synced", GEN_PRODUCE, 1 << 20, 8, 1, "quorum", false, -1, 0, false, PARTS },
	{ "produce 64 KiB, synced", GEN_PRODUCE, 64 << 10, 8, 5, "quorum", false, -1, 0, false, PARTS },
	{ "produce 16 KiB, synced", GEN_PRODUCE, 16 << 10, 8, 5, "quorum", false, -1, 0, false, PARTS },
	{ "produce 1 KiB, 64 connections, synced", GEN_PRODUCE, 1 << 10, 64, 5, "quorum", true, -1, 0, false, PARTS },
	{ "fetch 1 MiB", GEN_FETCH, 1 << 20, 8, 1, "replicated", false, .16, 0, true, PARTS },
	{ "fetch 256 KiB", GEN_FETCH, 256 << 10, 8, 1, "replicated", false, .14, 0, true, PARTS },
	{ "fetch 64 KiB", GEN_FETCH, 64 << 10, 8, 1, "replicated", false, .22, 0, true, PARTS },
	{ "metadata", GEN_METADATA, 0, 4, 16, "replicated", true, -1, 0, false, PARTS },
	{ "2000 produces/s of 1 KiB", GEN_PRODUCE, 1 << 10, 4, 1, "replicated", true, -1, 2000, false, PARTS },
	{ "2000 produces/s of 1 KiB, synced", GEN_PRODUCE, 1 << 10, 4, 1, "quorum", true, -1, 2000, false, PARTS },
};

/* ---- produce to parked fetch ---------------------------------------------------------------- */

static void wake_row(int workers, const char *name, double target)
{
	struct server s;
	uint8_t in[65536];
	struct hist best = { 0 };
	int rounds = opt.quick ? 1000 : 5000;
	double p50 = 1e12;

	if (!wanted(name))
		return;
	server_start(&s, base, workers, NULL);
	topic_create(s.port, "bench", 1, "replicated", true);
	struct frame f = frame_fetch("bench", 65536, 5000), p = frame_produce("bench", 1024, 1);
	int producer = dial_or_die(s.port);
	/* Connections go to the workers in turn; with two of them the slower one is not the producer's. */
	for (int k = 0; k < 3; k++) {
		int fd = dial_or_die(s.port);
		struct hist h = { 0 };

		for (int i = 0; i < rounds; i++) {
			if (i == 0) {
				struct frame m = frame_metadata(NULL);

				send_all(fd, m.p, m.len);
				recv_frame(fd, in, sizeof in);
				mem_free(m.p);
			}
			be64_put(f.p + f.patch_at + 8, (uint64_t)(k * rounds + i));
			send_all(fd, f.p, f.len);
			usleep(200);		/* it is parked by now; if not, the sample is only too good */
			uint64_t from = now_ns();
			send_all(producer, p.p, p.len);
			if (recv_frame(fd, in, sizeof in) < 0)
				die("the fetch was not answered");
			hist_add(&h, now_ns() - from);
			if (recv_frame(producer, in, sizeof in) < 0)
				die("the produce was not answered");
		}
		if (workers == 1 ? hist_us(&h, .5) < p50 : p50 > 1e11 || hist_us(&h, .5) > p50) {
			p50 = hist_us(&h, .5);
			best = h;
		}
		close(fd);
	}
	close(producer);
	struct row *r = row(name, "us p50", target);
	r->ours = p50;
	r->p50_us = p50;
	r->p99_us = hist_us(&best, .99);
	say(r);
	server_stop(&s);
	mem_free(f.p);
	mem_free(p.p);
}

/* ---- start, restart, replacement ------------------------------------------------------------ */

static void start_row(void)
{
	const char *name = "start to first Metadata answer";
	double v[REPS_MAX];
	struct server s;

	if (!wanted(name))
		return;
	for (int i = 0; i < opt.reps; i++) {
		server_start(&s, base, 2, NULL);
		v[i] = s.start_ms;
		server_stop(&s);
	}
	struct row *r = row(name, "ms", 50);
	r->ours = median(v, opt.reps);
	say(r);
}

#define FEW_KILLS 8

static void replaced_row(void)
{
	const char *name = "killed worker replaced";
	double v[32], gap = 0;
	int n = opt.quick ? FEW_KILLS : 4 * FEW_KILLS;
	struct server s;
	pid_t pid[8];

	if (!wanted(name))
		return;
	for (int i = 0; i < n; i++) {
		if (i % FEW_KILLS == 0) {	/* more of them in a row are held for a crash loop and slowed down */
			if (i > 0)
				server_stop(&s);
			server_start(&s, base, 2, NULL);
			topic_create(s.port, "bench", PARTS, "replicated", true);
		}
		usleep(300000);
		int found = tree_find(s.pid, "--role worker", pid, 8);
		if (found != 2)
			die("%d workers where 2 are expected", found);
		server_drop_output(&s);
		uint64_t from = now_ns();
		kill(pid[i % 2], SIGKILL);
		if (server_wait_line(&s, "msg=\"ready\"", 10) < 0)
			die("no worker came in the place of the killed one");
		v[i] = (double)(now_ns() - from) / 1e6;
		/* Any worker serves any partition: all of them answer at once, by whoever is there. */
		from = now_ns();
		if (topic_answering(s.port, "bench", PARTS) != PARTS)
			die("a partition did not answer after a worker was killed");
		double g = (double)(now_ns() - from) / 1e6;
		gap = g > gap ? g : gap;
	}
	struct row *r = row(name, "ms p50", 5);
	r->ours = median(v, n);
	r->p50_us = v[n / 2] * 1e3;
	r->p99_us = v[n - 1] * 1e3;
	say(r);
	server_stop(&s);
}

static void restart_row(int parts)
{
	char name[72];
	double v[REPS_MAX];
	struct server s;
	pid_t pid[64];

	snprintf(name, sizeof name, "kill -9 of the broker, %d partitions", parts);
	if (!wanted(name))
		return;
	server_start(&s, base, 2, NULL);
	topic_create(s.port, "bench", parts, NULL, true);
	usleep(500000);
	for (int i = 0; i < opt.reps; i++) {
		int n = tree_find(s.pid, "moldau-broker", pid, 64);

		if (n < 4)
			die("only %d processes of the broker found", n);
		server_drop_output(&s);
		uint64_t from = now_ns();
		for (int k = 0; k < n; k++)
			kill(pid[k], SIGKILL);
		while (topic_answering(s.port, "bench", parts) < parts)
			if (now_ns() - from > 60000000000u)
				die("the partitions did not come back within a minute");
		v[i] = (double)(now_ns() - from) / 1e6;
		sleep(3);
	}
	struct row *r = row(name, "ms", parts == 10000 ? 100 : -1);
	r->ours = median(v, opt.reps);
	say(r);
	server_stop(&s);
}

/* ---- memory --------------------------------------------------------------------------------- */

static double worker_pss(const struct server *s)
{
	pid_t pid[8];
	int n = tree_find(s->pid, "--role worker", pid, 8);
	double sum = 0;

	for (int i = 0; i < n; i++)
		sum += (double)pid_pss(pid[i]);
	return n ? sum / n / 1024 : 0;
}

static void memory_rows(void)
{
	struct server s;
	int n = opt.quick ? 1000 : 4000, *fd;

	if (!wanted("memory"))
		return;
	server_start(&s, base, 2, NULL);
	topic_create(s.port, "bench", PARTS, NULL, true);
	sleep(1);
	struct row *r = row("memory of an idle worker (PSS)", "MB", 4);
	r->ours = worker_pss(&s);
	say(r);
	r = row("memory of the cluster, fresh (PSS)", "MB", 19);
	r->ours = (double)tree_pss(s.pid) / 1024;
	say(r);
	struct rlimit lim = { 20000, 20000 };
	setrlimit(RLIMIT_NOFILE, &lim);
	uint64_t before = tree_pss(s.pid);
	fd = mem_alloc(sizeof *fd * (size_t)n);
	struct frame m = frame_metadata("bench");
	uint8_t in[65536];
	for (int i = 0; i < n; i++) {
		fd[i] = dial_or_die(s.port);
		send_all(fd[i], m.p, m.len);
		if (recv_frame(fd[i], in, sizeof in) < 0)
			die("connection %d was closed", i);
	}
	r = row("memory of an idle connection", "KiB", 1.5);
	r->ours = ((double)tree_pss(s.pid) - (double)before) / n;
	say(r);
	for (int i = 0; i < n; i++)
		close(fd[i]);
	mem_free(fd);
	mem_free(m.p);
	server_stop(&s);
}

static void loaded_row(void)
{
	if (!wanted("memory") && opt.only)
		return;
	struct row *r = row("memory of the cluster, after the load (PSS)", "MB", 60);
	r->ours = (double)tree_pss(dev.pid) / 1024;
	if (have_kafka)
		r->kafka = (double)tree_pss(kafka.pid) / 1024;
	say(r);
}

static void sync_row(void)
{
	const char *name = "produce 1 KiB synced, one at a time";
	struct load l = { name, GEN_PRODUCE, 1 << 10, 1, 1, "quorum", true, -1, 0, false, PARTS };
	struct hist h;
	static struct result res;

	if (!wanted(name))
		return;
	load_once(&l, &dev, &res);
	floor_sync(base, 1 << 10, opt.seconds, &h);
	struct row *r = row(name, "us p50", -1);
	r->ours = r->p50_us = hist_us(&res.hist, .5);
	r->p99_us = hist_us(&res.hist, .99);
	r->floor = hist_us(&h, .5);
	say(r);
}

/* ---- the whole ------------------------------------------------------------------------------ */

static int report(void)
{
	int missed = 0, half = 0;

	for (int i = 0; i < n_rows; i++)
		if (!holds(&rows[i])) {
			missed++;
			half += rows[i].ours > rows[i].target * 1.5;
		}
	if (opt.json) {
		json_t *list = json_array();

		for (int i = 0; i < n_rows; i++) {
			const struct row *r = &rows[i];

			json_array_append_new(list, json_pack("{ss ss sf sf sf sf sb sf sf sf sf}", "row", r->name,
				"unit", r->unit, "ours", r->ours, "floor", r->floor, "target", r->target, "kafka",
				r->kafka, "holds", holds(r), "p50_us", r->p50_us, "p99_us", r->p99_us, "p999_us",
				r->p999_us, "rate", r->rate));
		}
		json_dumpf(list, stdout, JSON_INDENT(1) | JSON_REAL_PRECISION(6));
		putchar('\n');
		json_decref(list);
	} else {
		printf("%d rows, %d miss their target, %d of them by more than half\n", n_rows, missed, half);
	}
	return missed ? 3 : 0;
}

/* After die() in the middle: what the servers said, and nothing of them is left. */
static void clean_up(void)
{
	if (dev.pid > 0) {
		server_wait_line(&dev, "\001", 0);
		kill(dev.pid, SIGTERM);
		usleep(1000000);
	}
	if (*base)
		rm_rf(base);
}

static int usage(void)
{
	fputs("usage: bench/run [--quick] [--output table|json] [--dir DIR] [--only TEXT] [--reps N] [--seconds S]\n"
	      "                 [--workers W] [--with-kafka FOLDER-OF-JARS] [--backends]\n", stderr);
	return 2;
}

int main(int argc, char **argv)
{
	static const struct option longs[] = {
		{ "quick", no_argument, NULL, 'q' }, { "output", required_argument, NULL, 'o' },
		{ "dir", required_argument, NULL, 'd' }, { "only", required_argument, NULL, 'y' },
		{ "reps", required_argument, NULL, 'r' }, { "seconds", required_argument, NULL, 's' },
		{ "with-kafka", required_argument, NULL, 'k' }, { "backends", no_argument, NULL, 'b' },
		{ "workers", required_argument, NULL, 'w' },
		{ NULL, 0, NULL, 0 },
	};
	const char *parent = getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp";
	bool backends = false;
	int c;

	opt = (struct options){ .reps = 3, .seconds = 3, .workers = 2 };
	while ((c = getopt_long(argc, argv, "", longs, NULL)) != -1)
		switch (c) {
		case 'q': opt.quick = true; opt.reps = 1; opt.seconds = 1; break;
		case 'o': opt.json = strcmp(optarg, "json") == 0; break;
		case 'd': parent = optarg; break;
		case 'y': opt.only = optarg; break;
		case 'r': opt.reps = (int)strtol(optarg, NULL, 10); break;
		case 's': opt.seconds = strtod(optarg, NULL); break;
		case 'k': opt.jars = optarg; break;
		case 'w': opt.workers = (int)strtol(optarg, NULL, 10); break;
		case 'b': backends = true; break;
		default: return usage();
		}
	if (optind != argc || opt.reps < 1 || opt.reps > REPS_MAX || opt.seconds <= 0)
		return usage();
	snprintf(base, sizeof base, "%s/moldau-bench-XXXXXX", parent);
	if (!mkdtemp(base))
		die("cannot make a folder in %s: %s", parent, strerror(errno));
	atexit(clean_up);
	signal(SIGPIPE, SIG_IGN);
	if (backends) {
		backends_run(base, opt.seconds, opt.json);
		return 0;
	}
	if (!opt.quick)
		memory_touch();
	server_start(&dev, base, opt.workers, NULL);
	if (opt.jars && !(have_kafka = kafka_start(&kafka, base, opt.jars)))
		fprintf(stderr, "Apache Kafka is left out: java could not format its folder with the jars in %s\n",
			opt.jars);
	for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++)
		load_row(&loads[i]);
	sync_row();
	loaded_row();
	server_stop(&dev);
	dev.pid = 0;
	if (have_kafka)
		server_stop(&kafka);
	wake_row(1, "produce to parked fetch, same worker", 75);
	wake_row(2, "produce to parked fetch, other worker", 95);
	start_row();
	replaced_row();
	restart_row(opt.quick ? 1000 : 10000);
	memory_rows();
	return report();
}
