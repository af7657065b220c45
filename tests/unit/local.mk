
if HAVE_CRITERION
check_PROGRAMS += tests/unit/batch.tap
tests_unit_batch_tap_SOURCES = %D%/test_batch.c
tests_unit_batch_tap_CPPFLAGS = $(AM_CPPFLAGS) $(CRITERION_CFLAGS)
tests_unit_batch_tap_LDADD = src/wire/libwire.a $(BASE_LIBS) $(CRITERION_LIBS)
TESTS += tests/unit/batch.tap
endif

if HAVE_CRITERION
check_PROGRAMS += tests/unit/test_part.tap
TESTS += tests/unit/test_part.tap
tests_unit_test_part_tap_SOURCES = %D%/test_part.c %D%/partworld.h %D%/memdisk.h %D%/testbatch.h
tests_unit_test_part_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_part_tap_LDADD = $(PART_LIBS) $(BASE_LIBS) $(CRITERION_LIBS)
endif

if HAVE_CRITERION
check_PROGRAMS += tests/unit/codec.tap
tests_unit_codec_tap_SOURCES = %D%/test_codec.c %D%/goldenbatch.h
tests_unit_codec_tap_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/%D% $(CRITERION_CFLAGS) $(CODEC_CFLAGS)
tests_unit_codec_tap_LDADD = src/wire/libcodec.a src/wire/libwire.a $(BASE_LIBS) $(CODEC_LIBS) \
	$(CRITERION_LIBS)
TESTS += tests/unit/codec.tap
endif
EXTRA_DIST += tests/golden/batches

check_PROGRAMS += tests/unit/group_mutants.tap
TESTS += tests/unit/group_mutants.tap
tests_unit_group_mutants_tap_SOURCES = %D%/group_mutants.c %D%/groupsim.c %D%/groupsim.h
tests_unit_group_mutants_tap_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
tests_unit_group_mutants_tap_LDADD = src/group/libgroupm.a src/base/libmutant.a $(BASE_LIBS)
if HAVE_CRITERION
check_PROGRAMS += tests/unit/test_group.tap
TESTS += tests/unit/test_group.tap
tests_unit_test_group_tap_SOURCES = %D%/test_group.c %D%/groupsim.c %D%/groupsim.h
tests_unit_test_group_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_group_tap_LDADD = src/group/libgroup.a $(BASE_LIBS) $(CRITERION_LIBS)
endif
# The schema codec: random values, and Kafka's own bytes.
check_PROGRAMS += tests/unit/wire_roundtrip tests/unit/wire_golden
tests_unit_wire_roundtrip_SOURCES = %D%/wire_roundtrip.c %D%/wire_types.h
tests_unit_wire_roundtrip_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/%D%
tests_unit_wire_roundtrip_LDADD = src/wire/libwire.a $(BASE_LIBS)
tests_unit_wire_golden_SOURCES = %D%/wire_golden.c %D%/wire_types.h
tests_unit_wire_golden_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/%D%
tests_unit_wire_golden_LDADD = src/wire/libwire.a $(BASE_LIBS)
TESTS += tests/unit/wire_roundtrip tests/unit/wire_golden
EXTRA_DIST += tests/golden/wire

if HAVE_CRITERION
check_PROGRAMS += tests/unit/test_worker.tap tests/unit/test_worker_admin.tap tests/unit/test_fetch_encode.tap
TESTS += tests/unit/test_worker.tap tests/unit/test_worker_admin.tap tests/unit/test_fetch_encode.tap
check_PROGRAMS += tests/unit/test_worker_limits.tap
TESTS += tests/unit/test_worker_limits.tap
tests_unit_test_worker_limits_tap_SOURCES = %D%/test_worker_limits.c %D%/worker_ask.h
tests_unit_test_worker_limits_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_worker_limits_tap_LDADD = $(tests_unit_test_worker_tap_LDADD)
tests_unit_test_worker_admin_tap_SOURCES = %D%/test_worker_admin.c %D%/worker_ask.h
tests_unit_test_worker_admin_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_worker_admin_tap_LDADD = $(tests_unit_test_worker_tap_LDADD)
tests_unit_test_fetch_encode_tap_SOURCES = %D%/test_fetch_encode.c
tests_unit_test_fetch_encode_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_fetch_encode_tap_LDADD = $(tests_unit_test_worker_tap_LDADD)
tests_unit_test_worker_tap_SOURCES = %D%/test_worker.c %D%/worker_env.h %D%/worker_ask.h %D%/fake_image.h
tests_unit_test_worker_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_worker_tap_LDADD = $(WORKER_LIBS) $(PART_LIBS) src/ipc/libipc.a src/wire/libcodec.a \
	src/wire/libwire.a $(CONF_LIBS) $(BASE_LIBS) $(CODEC_LIBS) $(CRITERION_LIBS)
endif
TESTS += tests/unit/wiregen_bad.sh tests/unit/schema_diff_test.py
EXTRA_DIST += %D%/wiregen_bad.sh %D%/schema_diff_test.py tools/build/schema-diff

if HAVE_CRITERION
check_PROGRAMS += tests/unit/test_groups_proc.tap
TESTS += tests/unit/test_groups_proc.tap
tests_unit_test_groups_proc_tap_SOURCES = %D%/test_groups_proc.c %D%/worker_env.h %D%/fake_image.h
tests_unit_test_groups_proc_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_groups_proc_tap_LDADD = $(GROUPS_LIBS) $(tests_unit_test_worker_tap_LDADD)
endif

if HAVE_CRITERION
check_PROGRAMS += tests/unit/wire.tap
tests_unit_wire_tap_SOURCES = %D%/test_wire.c
tests_unit_wire_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_wire_tap_LDADD = src/wire/libwire.a $(BASE_LIBS) $(CRITERION_LIBS)
TESTS += tests/unit/wire.tap
endif

if HAVE_CRITERION
check_PROGRAMS += tests/unit/super.tap tests/unit/bell.tap
TESTS += tests/unit/super.tap tests/unit/bell.tap
tests_unit_super_tap_SOURCES = %D%/test_super.c
tests_unit_super_tap_CPPFLAGS = $(AM_CPPFLAGS) $(CRITERION_CFLAGS)
tests_unit_super_tap_LDADD = $(HOST_LIBS) $(BASE_LIBS) $(CRITERION_LIBS)
tests_unit_bell_tap_SOURCES = %D%/test_bell.c
tests_unit_bell_tap_CPPFLAGS = $(AM_CPPFLAGS) $(CRITERION_CFLAGS)
tests_unit_bell_tap_LDADD = src/ipc/libipc.a $(BASE_LIBS) $(CRITERION_LIBS)
endif

if HAVE_CRITERION
check_PROGRAMS += tests/unit/test_conf.tap tests/unit/test_meta.tap
TESTS += tests/unit/test_conf.tap tests/unit/test_meta.tap
tests_unit_test_conf_tap_SOURCES = %D%/test_conf.c
tests_unit_test_conf_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_conf_tap_LDADD = $(CONF_LIBS) $(BASE_LIBS) $(CRITERION_LIBS)
tests_unit_test_meta_tap_SOURCES = %D%/test_meta.c
tests_unit_test_meta_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_meta_tap_LDADD = $(META_LIBS) $(BASE_LIBS) $(CRITERION_LIBS)
check_PROGRAMS += tests/unit/ports.tap
TESTS += tests/unit/ports.tap
tests_unit_ports_tap_SOURCES = %D%/test_ports.c
tests_unit_ports_tap_CPPFLAGS = $(AM_CPPFLAGS) $(CRITERION_CFLAGS)
tests_unit_ports_tap_LDADD = $(OS_LIBS) src/ipc/libipc.a $(BASE_LIBS) $(CRITERION_LIBS)
check_PROGRAMS += tests/unit/guard.tap
TESTS += tests/unit/guard.tap
tests_unit_guard_tap_SOURCES = %D%/test_guard.c
tests_unit_guard_tap_CPPFLAGS = $(AM_CPPFLAGS) $(CRITERION_CFLAGS)
tests_unit_guard_tap_LDADD = $(OS_LIBS) src/ipc/libipc.a $(BASE_LIBS) $(CRITERION_LIBS)
endif

if HAVE_CRITERION
check_PROGRAMS += tests/unit/coord.tap tests/unit/rlog.tap tests/unit/raft.tap
TESTS += tests/unit/coord.tap tests/unit/rlog.tap tests/unit/raft.tap
tests_unit_coord_tap_SOURCES = %D%/test_coord.c
tests_unit_coord_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_coord_tap_LDADD = src/coord/libcoord.a src/wire/libwire.a $(BASE_LIBS) $(CRITERION_LIBS)
tests_unit_rlog_tap_SOURCES = %D%/test_rlog.c
tests_unit_rlog_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_rlog_tap_LDADD = $(QUORUM_LIBS) src/sim/libsim.a $(BASE_LIBS) $(CRITERION_LIBS)
check_PROGRAMS += tests/unit/sessions.tap
TESTS += tests/unit/sessions.tap
tests_unit_sessions_tap_SOURCES = %D%/test_sessions.c
tests_unit_sessions_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_sessions_tap_LDADD = $(QUORUM_LIBS) src/sim/libsim.a $(BASE_LIBS) $(CRITERION_LIBS)
tests_unit_raft_tap_SOURCES = %D%/test_raft.c %D%/test_raft_traps.c %D%/raftworld.c %D%/raftworld.h
tests_unit_raft_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_raft_tap_CPPFLAGS = $(AM_CPPFLAGS) -I$(srcdir)/%D%
tests_unit_raft_tap_LDADD = src/raft/libraft.a $(BASE_LIBS) $(CRITERION_LIBS)
endif
check_PROGRAMS += tests/unit/priv.tap
TESTS += tests/unit/priv.tap
tests_unit_priv_tap_SOURCES = %D%/test_priv.c
tests_unit_priv_tap_CPPFLAGS = $(AM_CPPFLAGS) $(CRITERION_CFLAGS)
tests_unit_priv_tap_LDADD = $(OS_LIBS) $(BASE_LIBS) $(CRITERION_LIBS)

if HAVE_CRITERION
check_PROGRAMS += tests/unit/coord_client.tap
TESTS += tests/unit/coord_client.tap
tests_unit_coord_client_tap_SOURCES = %D%/test_coord_client.c
tests_unit_coord_client_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_coord_client_tap_LDADD = $(QUORUM_LIBS) $(BASE_LIBS) $(CRITERION_LIBS)
endif

if HAVE_CRITERION
check_PROGRAMS += tests/unit/test_subject.tap
TESTS += tests/unit/test_subject.tap
tests_unit_test_subject_tap_SOURCES = %D%/test_subject.c
tests_unit_test_subject_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS)
tests_unit_test_subject_tap_LDADD = src/quorum/libquorum.a $(BASE_LIBS) $(CRITERION_LIBS)
endif

if HAVE_CRITERION
check_PROGRAMS += tests/unit/test_import.tap
TESTS += tests/unit/test_import.tap
tests_unit_test_import_tap_SOURCES = %D%/test_import.c
tests_unit_test_import_tap_CFLAGS = $(AM_CFLAGS) $(CRITERION_CFLAGS) -Wno-conversion
tests_unit_test_import_tap_LDADD = src/coord/libcoord.a src/wire/libwire.a $(BASE_LIBS) $(CRITERION_LIBS)
endif
