# Conversations in text files against the production's objects; --rewrite after a wanted change.
check_PROGRAMS += tests/scenario/raft
tests_scenario_raft_SOURCES = %D%/raft.c tests/unit/raftworld.c tests/unit/raftworld.h
tests_scenario_raft_CPPFLAGS = $(AM_CPPFLAGS) -Itests/unit -I$(top_srcdir)/tests/unit
tests_scenario_raft_LDADD = src/raft/libraft.a $(BASE_LIBS)
# The same with planted bugs.
check_PROGRAMS += tests/scenario/raft_mutants
tests_scenario_raft_mutants_SOURCES = $(tests_scenario_raft_SOURCES)
tests_scenario_raft_mutants_CPPFLAGS = $(tests_scenario_raft_CPPFLAGS) -DMUTANTS
tests_scenario_raft_mutants_LDADD = src/quorum/libnodem.a src/base/libmutant.a $(BASE_LIBS)
TESTS += tests/scenario/raft.sh tests/scenario/mutants.sh
EXTRA_DIST += %D%
