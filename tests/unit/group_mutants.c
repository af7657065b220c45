/* group_mutants.c - every planted bug of src/group must be found by the random runs. */
#include <stdio.h>

#include "base/mutant.h"
#include "groupsim.h"

int main(void)
{
	static const char *const names[] = {
		"COMMIT_BEFORE_WRITE", "COMMIT_ANY_GENERATION", "SYNC_BEFORE_WRITE", "SYNC_ANY_GENERATION",
		"SAME_GENERATION", "EXPIRE_PARKED", "LOSE_OFFSET",
	};
	int n = (int)(sizeof names / sizeof *names), bad = 0;
	uint64_t counts[4] = { 0 };

	printf("1..%d\n", n + 1);
	for (int i = 0; i < n; i++) {
		const char *e = NULL;
		uint64_t seed = 0;

		mutant_on = names[i];
		for (; seed < 2000 && !e; seed++)
			e = sim_random(seed, 250, NULL);
		printf("%s %d - %s: %s (seed %llu)\n", e ? "ok" : "not ok", i + 1, names[i], e ? e : "not found",
		       (unsigned long long)seed - 1);
		bad += !e;
	}
	mutant_on = NULL;
	const char *e = NULL;

	for (uint64_t seed = 0; seed < 300 && !e; seed++)
		e = sim_random(seed, 250, counts);
	for (int i = 0; i < 4; i++)
		if (counts[i] < 100)
			e = "a kind of event is too rare";
	printf("%s %d - without a bug: %s (syncs %llu, commits %llu, restarts %llu, lost members %llu)\n",
	       e ? "not ok" : "ok", n + 1, e ? e : "nothing found", (unsigned long long)counts[0],
	       (unsigned long long)counts[1], (unsigned long long)counts[2], (unsigned long long)counts[3]);
	return bad || e;
}
