/*
 * mutant.h - planted bugs, one at a time, that the simulator and the torture tests must find.
 *
 * A product build has none: mutant() is the constant 0 there and its branch is not compiled.
 * Test programs that want them are built a second time with -DMUTANTS; mutant_on then names
 * the one that is on (run-time switch, tests/sim/run --mutant NAME).
 */
#ifndef BASE_MUTANT_H
#define BASE_MUTANT_H

#ifdef MUTANTS
/* The name of the mutant that is on, or NULL; set by the test's main only. */
extern const char *mutant_on;
int mutant_is(const char *name);
#define mutant(name) mutant_is(#name)
#else
#define mutant(name) 0
#endif

#endif
