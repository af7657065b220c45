noinst_LIBRARIES += src/group/libgroup.a
GROUP_SOURCES = src/group/classic.c src/group/group.c src/group/group.h src/group/offsets.c \
	src/group/records.c src/group/records.h src/group/shard.c src/group/shard.h \
	src/group/smap.c src/group/smap.h src/group/timers.c src/group/timers.h
src_group_libgroup_a_SOURCES = $(GROUP_SOURCES)
PURE_LIBS += src/group/libgroup.a
noinst_LIBRARIES += src/group/libgroupm.a
src_group_libgroupm_a_SOURCES = $(GROUP_SOURCES)
src_group_libgroupm_a_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
