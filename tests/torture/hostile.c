/*
 * hostile.c - hostile clients beside an honest one: no process may die, memory stays in its stated pools,
 * and the honest client's p99 stays under twice its quiet value.
 *
 *   hostile [--rounds N] [--attack NAME] [--seed S] [--keep]
 *
 * Each attack runs in windows that alternate with quiet ones, so that both see the same machine. The
 * honest client produces a record and fetches it again, over connections to every worker, all the time.
 * The attacker has the lowest priority: what it costs the others is what the broker does about it.
 * Ends with: every answer to the honest client was right and in time; same process ids; memory within
 * the bound of docs/testing.md; no core, no sanitizer report. Exit 0, 1 (a violation), 2 (cannot run).
 */
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "../lib/devcluster.h"
#include "../lib/raw.h"
#include "hostile.h"

#define WORKERS 2
#define HONEST 4			/* connections of the honest client: some to each worker */
#define PACE_US 4000			/* between two requests of each */
#define WINDOW_MS 400
#define SETTLE_MS 100
#define SAMPLES_MAX 400000
#define SLACK_US 1000			/* a millisecond more is the machine's business */
#define TRIES 3				/* an attack is measured again when it looks bad */
#define WINDOWS_MAX 256
#define IDLE_MAX 4000
/* docs/testing.md: what a worker may hold beside the shared tables. */
#define WORKER_MIB 288

enum phase { NONE, QUIET, HOSTILE };

static struct {
	int rounds;
	const char *only;
	uint64_t seed;
	bool keep;
	struct dev_cluster d;
	struct hostile h;
	_Atomic int phase, stop;
	uint32_t *sample[3];
	_Atomic int n[3];
	_Atomic uint64_t honest_ops, honest_failed;
	uint64_t worker_kib;		/* largest private memory of a worker seen */
	uint64_t base_kib;
	uint64_t bad;
} G = { .rounds = 5, .seed = 1 };

static uint64_t now_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static void nap_ms(long ms)
{
	nanosleep(&(struct timespec){ ms / 1000, ms % 1000 * 1000000 }, NULL);
}

static void violation(const char *what, const char *where, long long n)
{
	printf("VIOLATION: %s: %s: %lld\n", where, what, n);
	G.bad++;
}

/* ---- the honest client ------------------------------------------------------------------------ */

struct honest {
	int fd;
	int32_t correlation;
	struct buf out, in;
};

/* Produce 8 of one record, acks=all on a topic that is acknowledged from memory; its offset or -1. */
static int64_t produce(struct honest *c)
{
	uint32_t correlation, n;
	uint16_t code;
	uint64_t base;

	buf_reset(&c->out);
	size_t at = raw_begin(&c->out, RAW_PRODUCE, 8, ++c->correlation, "honest");
	raw_produce_head(&c->out, -1, 5000, "honest", 1);
	size_t part = raw_produce_part(&c->out, 0);
	struct raw_batch b = raw_batch_begin(&c->out, -1, -1, -1, 1);
	raw_batch_record(&c->out, &b, "hello", 5);
	raw_batch_end(&c->out, &b);
	raw_produce_part_end(&c->out, part);
	raw_end(&c->out, at);
	if (raw_call(c->fd, &c->out, &c->in) != OK)
		return -1;
	struct cursor a = cursor_of(c->in.p, c->in.len);
	if (cursor_be32(&a, &correlation) || correlation != (uint32_t)c->correlation ||
	    !cursor_take(&a, 4 + 2 + 6 + 4) ||
	    cursor_be32(&a, &n) || cursor_be16(&a, &code) || cursor_be64(&a, &base) || code != 0)
		return -1;
	return (int64_t)base;
}

static void count_record(void *ctx, int64_t offset, const uint8_t *value, uint32_t len)
{
	int *n = ctx;

	(void)offset;
	*n += len == 5 && memcmp(value, "hello", 5) == 0;
}

static bool fetch(struct honest *c, int64_t offset)
{
	uint32_t len;
	int n = 0;

	buf_reset(&c->out);
	size_t at = raw_begin(&c->out, RAW_FETCH, 11, ++c->correlation, "honest");
	buf_be32(&c->out, UINT32_MAX);
	buf_be32(&c->out, 1000);
	buf_be32(&c->out, 1);
	buf_be32(&c->out, 1 << 20);
	buf_u8(&c->out, 0);
	buf_be32(&c->out, 0);
	buf_be32(&c->out, UINT32_MAX);
	buf_be32(&c->out, 1);
	raw_str(&c->out, "honest");
	buf_be32(&c->out, 1);
	buf_be32(&c->out, 0);
	buf_be32(&c->out, UINT32_MAX);
	buf_be64(&c->out, (uint64_t)offset);
	buf_be64(&c->out, UINT64_MAX);
	buf_be32(&c->out, 1000);
	buf_be32(&c->out, 0);
	raw_str(&c->out, "");
	raw_end(&c->out, at);
	if (raw_call(c->fd, &c->out, &c->in) != OK)
		return false;
	/* correlation, throttle, error, session, topics, name, parts, index, error, 3 offsets, aborted, replica */
	struct cursor a = cursor_of(c->in.p, c->in.len);
	if (!cursor_take(&a, 4 + 4 + 2 + 4 + 4 + 8 + 4 + 4 + 2 + 24 + 4 + 4) || cursor_be32(&a, &len) ||
	    len > cursor_left(&a) || len < RAW_BATCH_HEAD)
		return false;
	uint32_t bytes = be32_get(a.p + 8) + 12;
	return bytes <= len && (int64_t)be64_get(a.p) <= offset && raw_batch_walk(a.p, bytes, count_record, &n) == OK &&
	       n >= 1;
}

/*
 * One connection. A request is due every PACE_US, and its time counts from when it was due: a stall is
 * felt by every request that falls into it, as by clients who do not wait for one another.
 */
static void *honest_main(void *arg)
{
	struct honest h = { .fd = raw_connect(G.d.port, 30000) };
	uint64_t due = now_us() + (uint64_t)(intptr_t)arg * PACE_US / HONEST;

	must(h.fd >= 0);
	buf_init(&h.out, 1 << 16);
	buf_init(&h.in, 4 << 20);
	for (; !G.stop; due += PACE_US) {
		uint64_t now = now_us();

		if (now < due)
			nanosleep(&(struct timespec){ 0, (long)(due - now) * 1000 }, NULL);
		int phase = G.phase;
		int64_t offset = produce(&h);
		bool ok = offset >= 0 && fetch(&h, offset);

		G.honest_ops++;
		if (!ok) {
			G.honest_failed++;
			close(h.fd);
			h.fd = raw_connect(G.d.port, 30000);
			continue;
		}
		now = now_us();
		int at = atomic_fetch_add(&G.n[phase], 1);
		if (at < SAMPLES_MAX)
			G.sample[phase][at] = (uint32_t)(now - due);
	}
	close(h.fd);
	buf_release(&h.out);
	buf_release(&h.in);
	return NULL;
}

/* ---- memory ----------------------------------------------------------------------------------- */

static uint64_t private_kib(pid_t pid)
{
	char path[64], line[200];
	unsigned long long kib = 0;
	FILE *f;

	snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof line, f))
		if (sscanf(line, "RssAnon: %llu", &kib) == 1)
			break;
	if (f)
		fclose(f);
	return kib;
}

static uint64_t look_at_memory(void)
{
	struct dev_proc v[DEV_PROCS_MAX];
	int n = dev_scan(&G.d, v);
	uint64_t most = 0;

	for (int i = 0; i < n; i++)
		if (v[i].role <= DEV_STORAGE && private_kib(v[i].pid) > most)
			most = private_kib(v[i].pid);
	if (most > G.worker_kib)
		G.worker_kib = most;
	return most;
}

/* ---- windows ---------------------------------------------------------------------------------- */

static void hostile_window(const struct attack *a)
{
	uint64_t until;

	if (a->begin)
		a->begin(&G.h);
	G.phase = HOSTILE;
	until = now_us() + WINDOW_MS * 1000;
	while (now_us() < until)
		a->step(&G.h);
	G.phase = NONE;
	look_at_memory();
	hostile_close_all(&G.h);
}

static int by_value(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static uint32_t quantile(uint32_t *v, int n, double q)
{
	qsort(v, (size_t)n, sizeof *v, by_value);
	return n > 0 ? v[(int)((double)(n - 1) * q)] : UINT32_MAX;
}

/* What was measured since the last call, as the quantiles of one window. */
struct windows {
	int from, n;
	uint32_t p50[WINDOWS_MAX], p99[WINDOWS_MAX];
};

static void window_over(struct windows *w, int phase)
{
	int to = G.n[phase] < SAMPLES_MAX ? G.n[phase] : SAMPLES_MAX;

	if (w->n == WINDOWS_MAX)
		return;
	w->p50[w->n] = quantile(G.sample[phase] + w->from, to - w->from, 0.5);
	w->p99[w->n++] = quantile(G.sample[phase] + w->from, to - w->from, 0.99);
	w->from = to;
}

/*
 * True: the honest client did not feel it. Compared are the medians of the windows' p99: what the attack
 * does is in each of its windows, what the rest of the machine does in some, quiet or not.
 */
static bool measure(const struct attack *a, int rounds)
{
	static struct windows quiet, hostile;

	quiet = hostile = (struct windows){ 0 };
	G.n[QUIET] = G.n[HOSTILE] = 0;
	for (int i = 0; i < rounds; i++) {
		hostile_window(a);
		nap_ms(SETTLE_MS);
		window_over(&hostile, HOSTILE);
		G.phase = QUIET;
		nap_ms(WINDOW_MS);
		G.phase = NONE;
		nap_ms(20);
		window_over(&quiet, QUIET);
	}
	uint32_t calm = quantile(quiet.p99, quiet.n, 0.5), under = quantile(hostile.p99, hostile.n, 0.5);
	bool good = under <= 2 * calm + SLACK_US;

	printf("%-26s p50 %5u -> %5u us, p99 %6u -> %6u us (%d + %d windows); worker memory %llu KiB; %llu tried%s\n",
	       a->name, quantile(quiet.p50, quiet.n, 0.5), quantile(hostile.p50, hostile.n, 0.5), calm, under, quiet.n,
	       hostile.n, (unsigned long long)look_at_memory(), (unsigned long long)G.h.done,
	       good ? "" : "  (above twice)");
	return good;
}

static void run_attack(const struct attack *a)
{
	bool good = false;

	G.h.done = G.h.wrong = 0;
	rng_init(&G.h.rng, G.seed);
	for (int i = 0; i < TRIES && !good; i++)
		good = measure(a, G.rounds << i);
	if (!good)
		violation("p99 of the honest client above twice its quiet value, each time", a->name, TRIES);
	if (G.h.wrong)
		violation("unexpected answers to the attacker", a->name, (long long)G.h.wrong);
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void same_processes(const struct dev_proc *before, int n)
{
	struct dev_proc v[DEV_PROCS_MAX];
	int m = dev_scan(&G.d, v), same = 0;

	for (int i = 0; i < n; i++)
		for (int k = 0; k < m; k++)
			same += before[i].pid == v[k].pid && before[i].role == v[k].role;
	if (same != n || m != n)
		violation("processes that are not those of the start", "processes", n - same);
}

static void setup(void)
{
	static const char *const settings[] = { "auto.create.topics.enable=false", NULL };
	static const char *const honest[] = { "topics", "create", "honest", "--config", "durability=replicated", NULL };
	static const char *const hostile[] = { "topics", "create", "hostile", "--config", "durability=replicated",
		"--config", "retention.bytes=10000000", NULL };
	struct rlimit lim;

	if (getrlimit(RLIMIT_NOFILE, &lim) == 0) {
		lim.rlim_cur = lim.rlim_max;
		setrlimit(RLIMIT_NOFILE, &lim);
	}
	if (!dev_start(&G.d, WORKERS, settings) || !dev_moldau(&G.d, honest) || !dev_moldau(&G.d, hostile)) {
		fprintf(stderr, "hostile: the cluster did not start; its log is %s\n", G.d.log);
		dev_stop(&G.d, 20);
		exit(2);
	}
	G.h.port = G.d.port;
	G.h.idle_max = IDLE_MAX;
	buf_init(&G.h.frame, (size_t)128 << 20);
	buf_init(&G.h.answer, 4 << 20);
	hostile_prepare();
	for (int i = 0; i < 3; i++)
		G.sample[i] = mem_alloc(sizeof(uint32_t) * SAMPLES_MAX);
}

static void finish(void)
{
	static const char *const never[] = { "AddressSanitizer", "runtime error:", "must:", "ended and is replaced",
		"does not answer" };
	int status = dev_stop(&G.d, 60);

	if (status != 0)
		violation("status of moldau dev after TERM", "end", status);
	for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
		if (dev_log_count(&G.d, never[i]) > 0)
			violation(never[i], "log", dev_log_count(&G.d, never[i]));
	if (dev_cores(&G.d) != 0)
		violation("cores", "end", dev_cores(&G.d));
	if (G.honest_failed)
		violation("requests of the honest client that failed", "honest client", (long long)G.honest_failed);
	if (G.worker_kib > WORKER_MIB * 1024)
		violation("KiB of private memory of a process, above what docs/testing.md states", "memory",
			  (long long)G.worker_kib);
	printf("%llu honest requests, %llu failed; most private memory of a process: %llu KiB at the start, %llu KiB "
	       "under attack, %d MiB allowed\n", (unsigned long long)G.honest_ops, (unsigned long long)G.honest_failed,
	       (unsigned long long)G.base_kib, (unsigned long long)G.worker_kib, WORKER_MIB);
	printf("%s\n", G.bad ? "FAILED" : "ok: nobody died, nobody waited, memory within its bounds");
	if (G.bad || G.keep)
		printf("kept: %s\n", G.d.dir);
	else
		dev_remove(&G.d);
}

static void arguments(int argc, char **argv)
{
	static const struct option o[] = {
		{ "rounds", 1, NULL, 'n' }, { "seed", 1, NULL, 'r' }, { "attack", 1, NULL, 'a' },
		{ "keep", 0, NULL, 'k' }, { NULL, 0, NULL, 0 },
	};
	const char *build = getenv("MOLDAU_BUILD");
	char *slash;
	int c;

	while ((c = getopt_long(argc, argv, "", o, NULL)) != -1) {
		if (c == 'n')
			G.rounds = atoi(optarg);
		else if (c == 'r')
			G.seed = strtoull(optarg, NULL, 10);
		else if (c == 'a')
			G.only = optarg;
		else if (c == 'k')
			G.keep = true;
		else
			exit(2);
	}
	snprintf(G.d.bin, sizeof G.d.bin - 8, "%s", build ? build : argv[0]);
	slash = strrchr(G.d.bin, '/');
	if (!build)
		memcpy(slash ? slash : G.d.bin, "/../..", 7);
}

int main(int argc, char **argv)
{
	struct dev_proc before[DEV_PROCS_MAX];
	pthread_t honest[HONEST];

	arguments(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	setup();
	int n = dev_scan(&G.d, before);
	for (int i = 0; i < HONEST; i++)
		must(pthread_create(&honest[i], NULL, honest_main, (void *)(intptr_t)i) == 0);
	setpriority(PRIO_PROCESS, (id_t)syscall(SYS_gettid), 19);
	nap_ms(1000);
	G.base_kib = look_at_memory();
	for (int i = 0; i < attacks_n; i++)
		if (!G.only || strcmp(G.only, attacks[i].name) == 0)
			run_attack(&attacks[i]);
	same_processes(before, n);
	G.stop = 1;
	for (int i = 0; i < HONEST; i++)
		pthread_join(honest[i], NULL);
	finish();
	return G.bad != 0;
}
