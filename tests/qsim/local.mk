check_PROGRAMS += tests/qsim/run
tests_qsim_run_SOURCES = %D%/run.c %D%/world.c %D%/world.h %D%/nemesis.c %D%/client.c %D%/check.c \
	%D%/zclient.c %D%/watches.c tests/sim/heap.c \
	tests/sim/heap.h
tests_qsim_run_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
# Not libmem: heap.c takes its place.
tests_qsim_run_LDADD = src/sim/libsim.a src/quorum/libnodem.a src/wire/libwire.a src/base/libmutant.a src/base/libbase.a $(MSGPACK_LIBS)
TESTS += tests/qsim/run
TESTS += tests/qsim/mutants.sh tests/qsim/regressions.sh
dist_noinst_SCRIPTS += tests/qsim/mutants.sh tests/qsim/regressions.sh
EXTRA_DIST += tests/qsim/regressions.txt
# For the lint that compares: whatever is linked beside the archive under test.
QSIM_OBJECTS = $(tests_qsim_run_OBJECTS) src/sim/libsim.a
