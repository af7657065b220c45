# Real processes in network namespaces; ./check runs a minute of it where there are namespaces.
check_PROGRAMS += tests/jepsen/moldau-quorum-mutant
tests_jepsen_moldau_quorum_mutant_SOURCES = src/quorum/main.c src/quorum/main_zk.c src/quorum/main_tls.c \
	src/quorum/main_import.c tests/torture/mutant_env.c
tests_jepsen_moldau_quorum_mutant_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
tests_jepsen_moldau_quorum_mutant_LDADD = src/quorum/libnodem.a $(QUORUM_LIBS) src/wire/libcodec.a src/base/libmutant.a \
	$(OS_LIBS) src/ipc/libipc.a $(BASE_LIBS) $(CODEC_LIBS)
dist_noinst_SCRIPTS += %D%/mutants.sh
EXTRA_DIST += tests/jepsen
