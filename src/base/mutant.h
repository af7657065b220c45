/*
 * mutant.h - planted bugs and planted deaths, for the simulator and the torture tests.
 *
 * A product build has none: mutant() is the constant 0 there and CRASH_POINT() nothing. Test
 * programs link libraries that are built a second time with -DMUTANTS, and base/mutant.c.
 *
 * mutant(NAME)       true when the planted bug of that name is on (run-time switch --mutant NAME).
 * CRASH_POINT(name)  stands between two steps of a protocol over shared memory. The hook may end
 *                    the process or thread there, or leave the function by longjmp: whoever does
 *                    so leaves the partition's lock as a dead owner would.
 */
#ifndef BASE_MUTANT_H
#define BASE_MUTANT_H

#ifdef MUTANTS
/* The name of the mutant that is on, or NULL; set by the test's main only. */
extern const char *mutant_on;
int mutant_is(const char *name);
/* Called at each crash point when not NULL; ctx of the test. Set by the test's main only. */
extern void (*crash_hook)(const char *name);
#define mutant(name) mutant_is(#name)
#define CRASH_POINTS 1
#define CRASH_POINT(name) ((void)(crash_hook ? crash_hook(#name) : (void)0))
#else
#define mutant(name) 0
#define CRASH_POINTS 0
#define CRASH_POINT(name) ((void)0)
#endif

#endif
