check_PROGRAMS += tests/sim/run
tests_sim_run_SOURCES = %D%/run.c
tests_sim_run_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
tests_sim_run_LDADD = src/sim/libsim.a src/part/libpartm.a src/base/libmutant.a $(BASE_LIBS)
TESTS += tests/sim/run
TESTS += tests/sim/mutants.sh tests/sim/regressions.sh
dist_noinst_SCRIPTS += tests/sim/mutants.sh tests/sim/regressions.sh
EXTRA_DIST += tests/sim/regressions.txt
