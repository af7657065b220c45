/*
 * run.c - runs seeds of the simulator's second world, a quorum, and tells what was reached.
 *
 *   run --seeds N [--from S] [--zookeeper] [--mutant NAME] [--want LIST] [--trace] [--all]
 *
 * --zookeeper: clients of the ZooKeeper front as well; a seed is another run then.
 * Ends with "N passed, N failed". --trace: one line an event. --all: each counter must have been reached.
 * --want: ends with the first seed that breaks one of these invariants, and tells it; for mutants.
 * docs/simulator.md
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/mutant.h"
#include "world.h"

static struct sim_net_counts net;
static struct sim_fs_counts disk;

static void add(void *to, const void *from, size_t bytes)
{
	uint64_t *a = to;
	const uint64_t *b = from;

	for (size_t i = 0; i < bytes / sizeof *a; i++)
		a[i] += b[i];
}

static void run_until(struct world *w, uint64_t us)
{
	while (!w->broken && w->sim.now_us < us && world_step(w))
		continue;
}

/* One seed; the invariant that broke or NULL. */
static const char *run_seed(uint64_t seed, uint64_t *ret_hash, char *ret_detail, size_t cap)
{
	uint64_t live = mem_live();
	struct world *w = world_new(seed);

	run_until(w, FAULTS_US);
	if (!w->broken) {
		nemesis_calm(w);
		run_until(w, FAULTS_US + CALM_US / 2);
		clients_calm(w);
		zclients_calm(w);
		run_until(w, FAULTS_US + CALM_US);
	}
	if (!w->broken)
		check_end(w);
	const char *what = w->broken;
	snprintf(ret_detail, cap, "%s", w->detail);
	*ret_hash = w->sim.hash;
	add(&net, &w->net.counts, sizeof net);
	for (uint32_t i = 0; i < MACHINES; i++)
		add(&disk, sim_fs_counts(w->m[i].fs), sizeof disk);
	world_free(w);
	if (!what && mem_live() != live) {
		what = "Q0";
		snprintf(ret_detail, cap, "the simulator itself leaks %llu blocks",
			(unsigned long long)(mem_live() - live));
	}
	return what;
}

static bool in_list(const char *list, const char *word)
{
	size_t n = strlen(word);

	for (const char *p = list; (p = strstr(p, word)) != NULL; p += n)
		if ((p == list || p[-1] == ' ') && (p[n] == 0 || p[n] == ' '))
			return true;
	return false;
}

static bool column(int *n, const char *text, uint64_t v)
{
	printf("  %-42s%12llu%s", text, (unsigned long long)v, (*n)++ % 2 ? "\n" : "  ");
	return v == 0;
}

/* Two columns of counts; true: one of them is zero. */
static bool report(void)
{
#define X(name, text) text,
	static const char *const texts[C_N] = { COUNTERS(X) ZCOUNTERS(X) };
#undef X
	bool zero = false;
	int n = 0;

	for (int i = 0; i < (zookeeper ? (int)C_N : (int)C_N_NATIVE); i++)
		zero |= column(&n, texts[i], counted[i]);
	zero |= column(&n, "network: frames", net.frames);
	zero |= column(&n, "network: slow frames", net.slow);
	zero |= column(&n, "network: frames held at a cut", net.held);
	zero |= column(&n, "network: connections reset", net.resets);
	zero |= column(&n, "network: connections refused", net.refused);
	zero |= column(&n, "network: connections", net.connects);
	zero |= column(&n, "disk: syncs", disk.syncs);
	zero |= column(&n, "disk: slow syncs", disk.slow_syncs);
	zero |= column(&n, "disk: failed syncs", disk.failed_syncs);
	zero |= column(&n, "disk: errors", disk.eio);
	zero |= column(&n, "disk: full", disk.nospc);
	zero |= column(&n, "disk: writes lost", disk.lost_writes);
	zero |= column(&n, "disk: writes kept", disk.kept_writes);
	zero |= column(&n, "disk: writes torn", disk.torn_writes);
	zero |= column(&n, "disk: names lost", disk.lost_names);
	zero |= column(&n, "disk: names kept", disk.kept_names);
	printf("%s", n % 2 ? "\n" : "");
	return zero;
}

int main(int argc, char **argv)
{
	uint64_t seeds = 50, from = 1, passed = 0, failed = 0, last = 0;
	bool all = false, found = false;
	const char *want = NULL;

	for (int i = 1; i < argc; i++) {
		bool more = i + 1 < argc;

		if (strcmp(argv[i], "--seeds") == 0 && more) {
			seeds = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--from") == 0 && more) {
			from = strtoull(argv[++i], NULL, 10);
		} else if (strcmp(argv[i], "--mutant") == 0 && more) {
			mutant_on = argv[++i];
		} else if (strcmp(argv[i], "--want") == 0 && more) {
			want = argv[++i];
		} else if (strcmp(argv[i], "--trace") == 0) {
			tracing = true;
		} else if (strcmp(argv[i], "--zookeeper") == 0) {
			zookeeper = true;
		} else if (strcmp(argv[i], "--all") == 0) {
			all = true;
		} else {
			fprintf(stderr,
				"usage: run [--seeds N] [--from S] [--zookeeper] [--mutant NAME] [--want LIST] "
				"[--trace] [--all]\n");
			return 2;
		}
	}
	for (uint64_t s = from; s < from + seeds && !found; s++) {
		uint64_t hash, again;
		char detail[200];
		const char *what = run_seed(s, &hash, detail, sizeof detail);

		if (!what && s == from && !tracing) {		/* a run is a function of its seed alone */
			run_seed(s, &again, detail, sizeof detail);
			if (again != hash)
				what = "Q0";
			snprintf(detail, sizeof detail, "the same seed gave another run");
		} else if (!what && hash == last) {
			what = "Q0";
			snprintf(detail, sizeof detail, "two neighbouring seeds gave the same run");
		}
		last = hash;
		passed += !what;
		failed += what != NULL;
		if (what && (!want || in_list(want, what)))
			printf("seed %llu: %s broken: %s (replay: run%s --from %llu --seeds 1 --trace)\n",
			       (unsigned long long)s, what, detail, zookeeper ? " --zookeeper" : "",
			       (unsigned long long)s);
		fflush(stdout);
		found = what && want && in_list(want, what);
	}
	bool zero = report();
	if (all && zero)
		printf("something was never reached: a counter that is 0\n");
	printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
	return want ? !found : failed > 0 || (all && zero);
}
