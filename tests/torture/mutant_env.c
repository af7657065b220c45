/*
 * mutant_env.c - links planted bugs and crash points into a moldau-broker for kill9 --mutant, steered
 * by the environment because its processes are started by exec:
 *
 *   MOLDAU_MUTANT=NAME   the planted bug that is on; NONE: none
 *   MOLDAU_CRASH=N       workers and storage die at one of N crash points they come by
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/mutant.h"
#include "base/rng.h"

static struct rng rng;
static uint32_t odds;

static void on_point(const char *name)
{
	if (strcmp(name, "peek_half") != 0 && rng_below(&rng, odds) == 0)
		kill(getpid(), SIGKILL);
}

__attribute__((constructor)) static void from_environment(void)
{
	const char *crash = getenv("MOLDAU_CRASH");
	struct timespec t;

	mutant_on = getenv("MOLDAU_MUTANT");
	odds = crash ? (uint32_t)strtoul(crash, NULL, 10) : 0;
	clock_gettime(CLOCK_MONOTONIC, &t);
	rng_init(&rng, (uint64_t)getpid() << 32 ^ (uint64_t)t.tv_nsec);
	if (odds > 0)
		crash_hook = on_point;
}
