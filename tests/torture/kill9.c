/*
 * kill9.c - a real `moldau dev` under kill -9 of random processes of every role, and under idempotent
 * load: nothing that was acknowledged may be lost, nothing may be there twice or in another order.
 *
 *   kill9 [--seconds N] [--seed S] [--clients N] [--full] [--mutant NAME] [--keep]
 *
 * Roles: worker, agent, groups, storage, supervisor, quorum, and the whole broker at once; single
 * deaths, and several at the same moment. Records are read back by a consumer that followed all the
 * time, by kcat (a real client) and from the segment files by an independent reader; all three are
 * held against every acknowledgement and against each other. Every process that ended must be one
 * that was killed here. --full: also fails when the run was not a good one (fewer than 500 kills or
 * 5 M acknowledgements, or no lock repair, torn tail or de-duplicated retry). --mutant runs the
 * broker built with planted bugs, which dies at crash points besides.
 *
 * Exit 0: no violation; 1: some; 2: the test could not run. See docs/testing.md.
 */
#include <errno.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/assert.h"
#include "base/mem.h"
#include "base/rng.h"
#include "../lib/devcluster.h"
#include "../lib/load.h"
#include "../lib/rawlog.h"
#include "../lib/tail.h"
#include "../lib/view.h"

#define DEV_BROKER DEV_ROLES		/* the whole broker, in the counts of kills */
#define TARGETS (DEV_ROLES + 1)
#define KILLS_MAX 65536
#define WORKERS 2
#define DRAIN_S 90			/* after the last kill everything must be acknowledged within */
#define MUTANT_DRAIN_S 10
#define GOOD_KILLS 500
#define GOOD_ACKS 5000000

static const char *const target_name[TARGETS] = {
	"worker", "agent", "groups", "storage", "supervisor", "quorum", "broker",
};
/* Of 100 kills. A dead supervisor takes its children along, so the broker's own share is small. */
static const int weight[TARGETS] = { 46, 8, 8, 12, 8, 10, 8 };

static const struct topic {
	const char *name;
	int parts;
	const char *config[4];
} topics[] = {
	{ "memory", 6, { "durability=replicated", "segment.bytes=4194304" } },
	{ "disk", 6, { "durability=quorum", "segment.bytes=4194304" } },
	{ "broker-time", 4, { "durability=quorum", "message.timestamp.type=LogAppendTime", "segment.bytes=4194304" } },
};
#define TOPICS (int)(sizeof topics / sizeof topics[0])

struct kill {
	pid_t pid;
	enum dev_role role;
	double at;
	bool logged;			/* the log says that it ended and is replaced */
};

static struct {
	double seconds;
	uint64_t seed;
	int clients;
	bool full, keep;
	const char *mutant;
	struct dev_cluster d;
	struct load_part parts[LOAD_PARTS_MAX];
	int parts_n;
	struct load *load;
	struct tail tail;
	struct view live, client, raw;
	_Atomic int stop_load, stop_tail;
	bool drained;
	struct kill kill[KILLS_MAX];
	int kills, killed[TARGETS];
	int moments;				/* a moment may kill several */
	uint64_t bad;
} G = { .seconds = 60, .seed = 1, .clients = 16 };

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void nap(double s)
{
	nanosleep(&(struct timespec){ (time_t)s, (long)((s - (double)(time_t)s) * 1e9) }, NULL);
}

static void violation(const char *what, long long n)
{
	printf("VIOLATION: %s: %lld\n", what, n);
	G.bad++;
}

static void cannot(const char *what)
{
	fprintf(stderr, "kill9: %s (log: %s)\n", what, G.d.log);
	dev_stop(&G.d, 20);
	exit(2);
}

/* ---- killing ---------------------------------------------------------------------------------- */

/* False: it was killed just before and is not gone yet. */
static bool note_kill(pid_t pid, enum dev_role role)
{
	for (int i = G.kills - 1; i >= 0 && now() - G.kill[i].at < 2; i--)
		if (G.kill[i].pid == pid && G.kill[i].role == role)
			return false;
	if (G.kills < KILLS_MAX)
		G.kill[G.kills++] = (struct kill){ .pid = pid, .role = role, .at = now() };
	return true;
}

static const struct dev_proc *pick(struct rng *r, const struct dev_proc *v, int n, enum dev_role role)
{
	int have = 0, want;

	for (int i = 0; i < n; i++)
		have += v[i].role == role;
	if (have == 0)
		return NULL;
	want = (int)rng_below(r, (uint32_t)have);
	for (int i = 0; i < n; i++)
		if (v[i].role == role && want-- == 0)
			return &v[i];
	return NULL;
}

static bool kill_target(struct rng *r, int target)
{
	struct dev_proc v[DEV_PROCS_MAX];
	int n = dev_scan(&G.d, v);
	const struct dev_proc *p = pick(r, v, n, target == DEV_BROKER ? DEV_SUPERVISOR : (enum dev_role)target);

	if (!p)
		return false;
	if (target == DEV_BROKER) {		/* moldau dev made it the leader of a group */
		if (kill(-p->pid, SIGKILL) != 0)
			return false;
		for (int i = 0; i < n; i++)
			if (v[i].role < DEV_SUPERVISOR)
				note_kill(v[i].pid, v[i].role);
	} else if (kill(p->pid, SIGKILL) != 0) {
		return false;
	}
	bool first = note_kill(p->pid, p->role);
	G.killed[target] += first;
	return first;
}

static int choose(struct rng *r)
{
	int x = (int)rng_below(r, 100), t = 0;

	while (x >= weight[t])
		x -= weight[t++];
	return t;
}

static void progress(double until)
{
	const struct load_stats *s = load_stats(G.load);

	printf("%4.0f s left: %d kills, %llu acks, %llu retried, %llu reconnects, reader at %llu of %llu records\n",
	       until - now(), G.kills, (unsigned long long)s->acks, (unsigned long long)s->retried,
	       (unsigned long long)s->reconnects, (unsigned long long)G.tail.seen, (unsigned long long)s->records);
	fflush(stdout);
}

static void kill_for(double seconds)
{
	double until = now() + seconds, say = now() + 10;
	struct rng r;

	rng_init(&r, G.seed);
	while (now() < until) {
		nap(0.1 + 0.001 * rng_below(&r, 1100));
		int at_once = rng_below(&r, 6) == 0 ? 2 + (int)rng_below(&r, 2) : 1;
		for (int i = 0; i < at_once; i++)
			kill_target(&r, choose(&r));
		G.moments++;
		if (now() > say) {
			progress(until);
			say = now() + 10;
		}
	}
}

/* ---- threads ---------------------------------------------------------------------------------- */

static void *load_main(void *arg)
{
	(void)arg;
	G.drained = load_run(G.load, &G.stop_load, 1000 * (G.mutant ? MUTANT_DRAIN_S : DRAIN_S));
	return NULL;
}

static void *tail_main(void *arg)
{
	(void)arg;
	tail_run(&G.tail, &G.stop_tail, 60000);
	return NULL;
}

/* ---- reading back ----------------------------------------------------------------------------- */

/* kcat prints partition, offset and value of each record of a topic, to its end. */
static bool read_by_client(const struct topic *t, int first)
{
	char cmd[500], *line = NULL;
	size_t cap = 0;
	ssize_t len;
	FILE *f;

	snprintf(cmd, sizeof cmd, "kcat -b 127.0.0.1:%d -C -t %s -o beginning -e -q -X check.crcs=true "
		 "-f '%%p %%o %%s\\n' 2>>'%s'", G.d.port, t->name, G.d.log);
	f = popen(cmd, "r");
	while (f && (len = getline(&line, &cap, f)) > 0) {
		char *p = line;
		long part = strtol(p, &p, 10);
		long long offset = strtoll(p, &p, 10);

		if (part < 0 || part >= t->parts || *p != ' ' || line[len - 1] != '\n') {
			violation("a line of kcat that makes no sense", part);
			break;
		}
		p++;
		view_record(&G.client, first + (int)part, offset, (const uint8_t *)p,
			    (uint32_t)(line + len - 1 - p));
	}
	free(line);
	return f && pclose(f) == 0;
}

struct raw_ctx {
	int part;
};

static void on_raw(void *ctx, int64_t offset, const uint8_t *value, uint32_t len)
{
	const struct raw_ctx *c = ctx;

	view_record(&G.raw, c->part, offset, value, len);
}

static void read_raw(void)
{
	struct rawlog_stats st = { 0 };

	for (int p = 0; p < G.parts_n; p++) {
		struct raw_ctx c = { p };
		char dir[400];

		snprintf(dir, sizeof dir, "%s/data/broker/%s-%d", G.d.dir, G.parts[p].topic, G.parts[p].partition);
		rawlog_read(dir, on_raw, &c, &st);
	}
	printf("segment files: %llu files, %llu MB, %llu batches, %llu records, up to %llu leader epochs\n",
	       (unsigned long long)st.files, (unsigned long long)st.bytes >> 20, (unsigned long long)st.batches,
	       (unsigned long long)st.records, (unsigned long long)st.epochs);
	if (st.errors)
		violation("segment files", (long long)st.errors);
}

/* ---- accounts --------------------------------------------------------------------------------- */

/* Was the supervisor killed about then? Then it may not have logged the death. */
static bool supervisor_followed(const struct kill *k)
{
	if (k->role >= DEV_SUPERVISOR)
		return false;
	for (int i = 0; i < G.kills; i++)
		if (G.kill[i].role == DEV_SUPERVISOR && G.kill[i].at - k->at > -2 && G.kill[i].at - k->at < 2)
			return true;
	return false;
}

/* Process ids come again in a long run: a kill that must be in the log is matched before one that need not. */
static bool match(const struct dev_proc *p)
{
	for (int pass = 0; pass < 2; pass++)
		for (int i = 0; i < G.kills; i++)
			if (!G.kill[i].logged && G.kill[i].pid == p->pid && G.kill[i].role == p->role &&
			    (pass == 1 || !supervisor_followed(&G.kill[i])))
				return G.kill[i].logged = true;
	return false;
}

/* Each process that was replaced was killed here, and each that was killed was replaced. */
static void check_deaths(void)
{
	struct dev_proc *v = mem_alloc(sizeof *v * KILLS_MAX);
	int n = dev_replaced(&G.d, v, KILLS_MAX), strange = 0, silent = 0, logged[DEV_ROLES] = { 0 };

	for (int i = 0; i < n; i++) {
		logged[v[i].role]++;
		strange += !match(&v[i]);
	}
	for (int k = 0; k < G.kills; k++)
		silent += !G.kill[k].logged && !supervisor_followed(&G.kill[k]);
	printf("killed and replaced:");
	for (int r = 0; r < DEV_ROLES; r++) {
		int killed = 0;

		for (int k = 0; k < G.kills; k++)
			killed += G.kill[k].role == (enum dev_role)r;
		printf(" %s %d, %d%s", dev_role_name[r], killed, logged[r], r + 1 < DEV_ROLES ? ";" : "\n");
	}
	if (strange && !G.mutant)
		violation("processes that ended and were not killed", strange);
	if (silent && !G.mutant)
		violation("killed processes that nobody says were replaced", silent);
	mem_free(v);
}

static void check_log(void)
{
	static const char *const never[] = { "AddressSanitizer", "runtime error:", "ThreadSanitizer", "must:" };

	for (size_t i = 0; i < sizeof never / sizeof never[0]; i++)
		if (dev_log_count(&G.d, never[i]) > 0)
			violation(never[i], dev_log_count(&G.d, never[i]));
	if (dev_cores(&G.d) != 0)
		violation("cores", dev_cores(&G.d));
}

static void print_kills(void)
{
	printf("kills: %d at %d moments;", G.kills, G.moments);
	for (int t = 0; t < TARGETS; t++)
		printf(" %s %d", target_name[t], G.killed[t]);
	printf(" (the whole broker counts each of its processes)\n");
}

static void print_load(void)
{
	struct load_stats *s = load_stats(G.load);

	printf("load: %llu batches acknowledged, %llu records, %llu requests, %llu batches sent again, %llu lost "
	       "connections, %llu late answers, %llu producer ids; nobody acknowledged for at most %.2f s\n",
	       (unsigned long long)s->acks, (unsigned long long)s->records, (unsigned long long)s->requests,
	       (unsigned long long)s->retried, (unsigned long long)s->reconnects, (unsigned long long)s->timeouts,
	       (unsigned long long)s->producer_ids, (double)s->longest_gap_us / 1e6);
	printf("errors answered:");
	for (int i = 0; i < 128; i++)
		if (s->error_code[i])
			printf(" %d x %llu", i, (unsigned long long)s->error_code[i]);
	printf("; reader: %llu fetches, %llu reconnects\n", (unsigned long long)G.tail.fetches,
	       (unsigned long long)G.tail.reconnects);
	for (int i = 0; i < LOAD_VIOLATIONS; i++)
		if (s->bad[i])
			violation(load_violation_name[i], (long long)s->bad[i]);
	if (!G.drained)
		violation("not everything was acknowledged in time after the last kill", 1);
	if (G.tail.damaged)
		violation("damaged batches or answers met by the reader", (long long)G.tail.damaged);
}

static void check_metrics(void)
{
	double repairs = dev_metric(&G.d, "moldau_partition_lock_repairs_total", NULL);
	double torn = dev_metric(&G.d, "moldau_partition_torn_tails_total", NULL);
	double dropped = dev_metric(&G.d, "moldau_partition_dropped_versions_total", NULL);
	double duplicates = dev_metric(&G.d, "moldau_partition_duplicates_total", NULL);
	double rebuilt = dev_metric(&G.d, "moldau_partition_rebuilt_total", NULL);
	int kills = 0;
	double longer = dev_metric(&G.d, "moldau_partition_long_files_total", NULL);

	printf("table: %.0f lock repairs, %.0f torn tails, %.0f uncommitted versions dropped, %.0f retries "
	       "de-duplicated, %.0f records rebuilt, %.0f long files\n", repairs, torn, dropped, duplicates,
	       rebuilt, longer);
	if (rebuilt != 0 || longer != 0)
		violation("records rebuilt or files longer than committed", (long long)(rebuilt + longer));
	if (!G.full)
		return;
	for (int t = 0; t < TARGETS; t++)
		kills += G.killed[t];
	if (kills < GOOD_KILLS || load_stats(G.load)->acks < GOOD_ACKS || repairs <= 0 || torn <= 0 || duplicates <= 0)
		violation("not a good run: wanted 500 kills, 5 M acknowledgements, repairs, torn tails, duplicates",
			  kills);
}

/* ---- the run ---------------------------------------------------------------------------------- */

static void create_topics(void)
{
	for (int t = 0; t < TOPICS; t++) {
		char parts[16];
		const char *args[16] = { "topics", "create", topics[t].name, "--partitions", parts };
		int n = 5;

		snprintf(parts, sizeof parts, "%d", topics[t].parts);
		for (int i = 0; topics[t].config[i]; i++) {
			args[n++] = "--config";
			args[n++] = topics[t].config[i];
		}
		if (!dev_moldau(&G.d, args))
			cannot("a topic could not be created");
		for (int p = 0; p < topics[t].parts; p++)
			G.parts[G.parts_n++] = (struct load_part){ topics[t].name, p };
	}
}

/* The programs: those of the build, or with the broker of planted bugs in the place of the real one. */
static void choose_programs(const char *self)
{
	const char *build = getenv("MOLDAU_BUILD");
	char *slash, at[260], cmd[2000];

	snprintf(at, sizeof at, "%s", self);
	slash = strrchr(at, '/');
	snprintf(slash ? slash : at, 8, "/../..");
	snprintf(G.d.bin, sizeof G.d.bin, "%s", build ? build : at);
	if (!G.mutant)
		return;
	snprintf(at, sizeof at, "%s/kill9-bin.XXXXXX", getenv("TMPDIR") ? getenv("TMPDIR") : "/tmp");
	if (!mkdtemp(at))
		cannot("no temporary folder");
	snprintf(cmd, sizeof cmd, "cp '%s/moldau' '%s/moldau-quorum' '%s/' && "
		 "cp '%s/tests/torture/moldau-broker-mutant' '%s/moldau-broker'", G.d.bin, G.d.bin, at, G.d.bin, at);
	if (system(cmd) != 0)
		cannot("the programs could not be copied; run make check TESTS= first");
	snprintf(G.d.bin, sizeof G.d.bin, "%s", at);
	setenv("MOLDAU_MUTANT", G.mutant, 1);
}

static void arguments(int argc, char **argv)
{
	static const struct option o[] = {
		{ "seconds", 1, NULL, 's' }, { "seed", 1, NULL, 'r' }, { "clients", 1, NULL, 'c' },
		{ "full", 0, NULL, 'f' }, { "keep", 0, NULL, 'k' }, { "mutant", 1, NULL, 'm' }, { NULL, 0, NULL, 0 },
	};
	int c;

	while ((c = getopt_long(argc, argv, "", o, NULL)) != -1) {
		if (c == 's')
			G.seconds = atof(optarg);
		else if (c == 'r')
			G.seed = strtoull(optarg, NULL, 10);
		else if (c == 'c')
			G.clients = atoi(optarg);
		else if (c == 'f')
			G.full = true;
		else if (c == 'k')
			G.keep = true;
		else if (c == 'm')
			G.mutant = optarg;
		else
			exit(2);
	}
	if (G.clients < 1 || G.clients > LOAD_CLIENTS_MAX)
		exit(2);
	choose_programs(argv[0]);
}

static void run_load_and_kills(void)
{
	pthread_t load, tail;
	struct load_conf conf = { .port = G.d.port, .clients = G.clients, .parts = G.parts, .parts_n = G.parts_n,
		.in_flight = LOAD_IN_FLIGHT_MAX, .record_bytes = 120, .seed = G.seed, .rotate = 4000,
		.ask_timeout_ms = 20000 };

	G.load = load_new(&conf);
	view_init(&G.live, "reader that followed", G.clients, G.parts_n);
	G.tail = (struct tail){ .port = G.d.port, .parts = G.parts, .parts_n = G.parts_n, .view = &G.live };
	must(pthread_create(&load, NULL, load_main, NULL) == 0 && pthread_create(&tail, NULL, tail_main, NULL) == 0);
	kill_for(G.seconds);
	G.stop_load = 1;
	pthread_join(load, NULL);
	G.stop_tail = 1;
	pthread_join(tail, NULL);
}

static void read_back(void)
{
	struct view *const all[] = { &G.live, &G.client, &G.raw };
	int first = 0, status;

	view_init(&G.client, "kcat", G.clients, G.parts_n);
	view_init(&G.raw, "segment files", G.clients, G.parts_n);
	for (int t = 0; t < TOPICS; first += topics[t++].parts)
		if (!read_by_client(&topics[t], first))
			violation("kcat ended with an error for topic", t);
	check_metrics();
	status = dev_stop(&G.d, 60);
	if (status != 0)
		violation("status of moldau dev after TERM", status);
	read_raw();
	for (int i = 0; i < 3; i++)
		view_end(all[i], G.load);
	view_differs(&G.client, &G.live);
	view_differs(&G.raw, &G.live);
	for (int i = 0; i < 3; i++)
		G.bad += view_report(all[i]);
}

int main(int argc, char **argv)
{
	static const char *const settings[] = { "group.initial.rebalance.delay.ms=200", NULL };

	arguments(argc, argv);
	setvbuf(stdout, NULL, _IOLBF, 0);
	signal(SIGPIPE, SIG_IGN);
	if (!dev_start(&G.d, WORKERS, settings))
		cannot("the cluster did not start");
	create_topics();
	run_load_and_kills();
	print_kills();
	print_load();
	read_back();
	check_deaths();
	check_log();
	printf("%s\n", G.bad ? "FAILED" : "ok: nothing lost, doubled or reordered");
	if (G.bad || G.keep)
		printf("kept: %s\n", G.d.dir);
	else
		dev_remove(&G.d);
	return G.bad != 0;
}
