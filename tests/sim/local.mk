check_PROGRAMS += tests/sim/run
tests_sim_run_SOURCES = %D%/run.c %D%/world.c %D%/world.h %D%/work.c %D%/scan.c %D%/watch.c %D%/heap.c %D%/heap.h
tests_sim_run_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
# Not libmem: heap.c takes its place.
tests_sim_run_LDADD = src/sim/libsim.a src/part/libpartm.a src/base/libmutant.a src/base/libbase.a
check_PROGRAMS += tests/sim/directed
tests_sim_directed_SOURCES = %D%/directed.c %D%/heap.c %D%/heap.h tests/unit/testbatch.h
tests_sim_directed_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
tests_sim_directed_LDADD = src/sim/libsim.a src/part/libpartm.a src/base/libmutant.a src/base/libbase.a
TESTS += tests/sim/run tests/sim/directed
TESTS += tests/sim/mutants.sh tests/sim/regressions.sh
dist_noinst_SCRIPTS += tests/sim/mutants.sh tests/sim/regressions.sh tests/sim/each_mutant.sh
EXTRA_DIST += tests/sim/regressions.txt
# For the lint that compares: whatever is linked beside the archives under test.
SIM_OBJECTS = $(tests_sim_run_OBJECTS) src/sim/libsim.a
