# Conversations in text files against the production's objects; --rewrite after a wanted change.
check_PROGRAMS += tests/scenario/raft
tests_scenario_raft_SOURCES = %D%/raft.c tests/unit/raftworld.c tests/unit/raftworld.h
tests_scenario_raft_CPPFLAGS = $(AM_CPPFLAGS) -Itests/unit -I$(top_srcdir)/tests/unit
tests_scenario_raft_LDADD = src/raft/libraft.a $(BASE_LIBS)
TESTS += tests/scenario/raft.sh
EXTRA_DIST += %D%
