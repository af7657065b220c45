# The table under kill -9, over the product's sources built with crash points and planted bugs.
check_PROGRAMS += tests/torture/table_kill9
tests_torture_table_kill9_SOURCES = %D%/table_kill9.c
tests_torture_table_kill9_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
tests_torture_table_kill9_LDADD = src/part/libpartm.a src/base/libmutant.a src/os/libos.a src/ipc/libipc.a \
	$(EVENT_LIBS) $(EVENT_PTHREADS_LIBS) $(BASE_LIBS)
TESTS += tests/torture/table_kill9 tests/torture/table_mutants.sh
dist_noinst_SCRIPTS += tests/torture/table_mutants.sh
# A whole cluster under kill -9. Not in make check: it takes its time; ./check runs it.
check_PROGRAMS += tests/torture/kill9
tests_torture_kill9_SOURCES = %D%/kill9.c
tests_torture_kill9_LDADD = $(TEST_LIBS) $(BASE_LIBS)
# The broker with crash points and planted bugs, for kill9 --mutant.
check_PROGRAMS += tests/torture/moldau-broker-mutant
tests_torture_moldau_broker_mutant_SOURCES = src/broker/main.c %D%/mutant_env.c
tests_torture_moldau_broker_mutant_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
tests_torture_moldau_broker_mutant_LDADD = $(HOST_LIBS) $(AGENT_LIBS) $(WORKER_LIBS) $(GROUPS_LIBS) \
	src/part/libpartm.a src/base/libmutant.a $(META_LIBS) $(CLIENT_LIBS) src/ipc/libipc.a src/wire/libwire.a \
	src/wire/libcodec.a $(OS_LIBS) $(CONF_LIBS) $(BASE_LIBS) $(CODEC_LIBS)
dist_noinst_SCRIPTS += tests/torture/kill9_mutants.sh
# Hostile clients beside an honest one.
check_PROGRAMS += tests/torture/hostile
tests_torture_hostile_SOURCES = %D%/hostile.c %D%/attacks.c %D%/hostile.h
tests_torture_hostile_LDADD = $(TEST_LIBS) $(BASE_LIBS) $(CODEC_LIBS)
dist_noinst_SCRIPTS += tests/torture/table_tsan.sh
