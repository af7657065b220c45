# The table under kill -9, over the product's sources built with crash points and planted bugs.
check_PROGRAMS += tests/torture/table_kill9
tests_torture_table_kill9_SOURCES = %D%/table_kill9.c
tests_torture_table_kill9_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
tests_torture_table_kill9_LDADD = src/part/libpartm.a src/base/libmutant.a src/os/libos.a src/ipc/libipc.a \
	$(EVENT_LIBS) $(EVENT_PTHREADS_LIBS) $(BASE_LIBS)
TESTS += tests/torture/table_kill9 tests/torture/table_mutants.sh
dist_noinst_SCRIPTS += tests/torture/table_mutants.sh
