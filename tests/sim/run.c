/*
 * run.c - runs seeds of the simulator's first world, and tells what was reached.
 *
 *   run --seeds N [--from S] [--mutant NAME] [--want LIST] [--trace] [--points] [--all]
 *
 * Ends with "N passed, N failed". --trace: one line an event. --points: how often each point was met, a
 * process killed there, others run there. --all: each counter and each point must have been reached.
 * --want: ends with the first seed that breaks one of these invariants, and tells it; for mutants.
 * docs/simulator.md
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"
#include "base/mutant.h"
#include "world.h"

#define STEPS 700			/* of each phase */

static struct sim_fs_counts disk;

static void add_disk(const struct sim_fs_counts *c)
{
	const uint64_t *from = (const uint64_t *)c;
	uint64_t *to = (uint64_t *)&disk;

	for (size_t i = 0; i < sizeof disk / sizeof *to; i++)
		to[i] += from[i];
}

/* One seed; the invariant that broke or NULL. */
static const char *run_seed(uint64_t seed, uint64_t *ret_hash, char *ret_detail, size_t cap)
{
	uint64_t live = mem_live(), before[PRODUCERS];
	struct world *w = world_new(seed);

	for (int i = 0; i < STEPS && !w->broken; i++)
		world_step(w);
	/* Liveness: no more faults; each producer must be acknowledged twice more. W6 */
	if (!w->broken)
		world_calm(w);
	for (int i = 0; i < PRODUCERS; i++)
		before[i] = w->prod[i].acks;
	for (int i = 0; i < STEPS && !w->broken; i++)
		world_step(w);
	for (int i = 0; i < PRODUCERS; i++)
		if (w->prod[i].acks < before[i] + 2)
			broken(w, "W6", "a producer is not served", i, (long long)w->prod[i].acks);
	if (!w->broken)
		world_end(w);
	const char *what = w->broken;
	snprintf(ret_detail, cap, "%s", w->detail);
	*ret_hash = w->sim.hash;
	add_disk(sim_fs_counts(w->fs));
	world_free(w);
	if (!what && mem_live() != live) {
		what = "W8";
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

static const struct {
	const char *text;
	size_t at;
} disk_text[] = {
	{ "disk: writes lost", offsetof(struct sim_fs_counts, lost_writes) },
	{ "disk: writes kept", offsetof(struct sim_fs_counts, kept_writes) },
	{ "disk: writes torn", offsetof(struct sim_fs_counts, torn_writes) },
	{ "disk: names lost", offsetof(struct sim_fs_counts, lost_names) },
	{ "disk: names kept", offsetof(struct sim_fs_counts, kept_names) },
	{ "disk: writes cut short", offsetof(struct sim_fs_counts, short_writes) },
	{ "disk: full", offsetof(struct sim_fs_counts, nospc) },
	{ "disk: errors", offsetof(struct sim_fs_counts, eio) },
	{ "disk: failed syncs", offsetof(struct sim_fs_counts, failed_syncs) },
	{ "disk: cold pages", offsetof(struct sim_fs_counts, cold) },
	{ "disk: reserves", offsetof(struct sim_fs_counts, reserves) },
};

/* Two columns of counts; true: one of them is zero. */
static bool report(void)
{
#define X(name, text) text,
	static const char *const texts[C_N] = { COUNTERS(X) };
#undef X
	int n = C_N + (int)(sizeof disk_text / sizeof disk_text[0]);
	bool zero = false;

	for (int i = 0; i < n; i++) {
		const char *text = i < C_N ? texts[i] : disk_text[i - C_N].text;
		uint64_t v = i < C_N ? counted[i] :
			     *(const uint64_t *)((const char *)&disk + disk_text[i - C_N].at);

		printf("  %-42s%12llu%s", text, (unsigned long long)v, i % 2 && i + 1 < n ? "\n" : "  ");
		zero |= v == 0;
	}
	printf("\n");
	return zero;
}

/* A run is a function of its seed alone, and neighbours are not alike. */
static const char *check_hash(uint64_t seed, bool first, uint64_t hash, uint64_t last)
{
	char ignored[1];
	uint64_t again;

	if (!first)
		return hash == last ? "two neighbouring seeds gave the same run" : NULL;
	run_seed(seed, &again, ignored, sizeof ignored);
	return again != hash ? "the same seed gave another run" : NULL;
}

int main(int argc, char **argv)
{
	uint64_t seeds = 200, from = 1, passed = 0, failed = 0, last = 0;
	bool points = false, all = false, found = false;
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
		} else if (strcmp(argv[i], "--points") == 0) {
			points = true;
		} else if (strcmp(argv[i], "--all") == 0) {
			all = true;
		} else {
			fprintf(stderr, "usage: run [--seeds N] [--from S] [--mutant NAME] [--want LIST] [--trace] "
				"[--points] [--all]\n");
			return 2;
		}
	}
	for (uint64_t s = from; s < from + seeds; s++) {
		uint64_t hash;
		char detail[200];
		const char *what = run_seed(s, &hash, detail, sizeof detail);

		if (!what && !tracing)
			what = check_hash(s, s == from, hash, last);
		last = hash;
		passed += !what;
		failed += what != NULL;
		if (what && (!want || in_list(want, what)))
			printf("seed %llu: %s broken: %s (replay: run --from %llu --seeds 1 --trace)\n",
			       (unsigned long long)s, what, detail, (unsigned long long)s);
		found = what && want && in_list(want, what);
		if (found)
			break;
	}
	bool zero = report();
	if (points)
		points_print();
	if (all)
		zero |= points_missing();
	if (all && zero)
		printf("something was never reached: a counter that is 0, or what is named above\n");
	printf("%llu passed, %llu failed\n", (unsigned long long)passed, (unsigned long long)failed);
	return want ? !found : failed > 0 || (all && zero);
}
