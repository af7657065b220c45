PART_SOURCES = %D%/part.h %D%/record.h %D%/table.h %D%/part.c %D%/index.c %D%/lock.c %D%/producer.c %D%/roll.c \
	%D%/append.c %D%/read.c %D%/snapshot.c %D%/change.c %D%/recover.c %D%/reap.c %D%/steps.c
noinst_LIBRARIES += src/part/libpart.a
src_part_libpart_a_SOURCES = $(PART_SOURCES)
PURE_LIBS += src/part/libpart.a
PART_LIBS = src/part/libpart.a $(LOG_LIBS)
# The same sources with crash points and planted bugs: torture and simulator only.
noinst_LIBRARIES += src/part/libpartm.a
src_part_libpartm_a_SOURCES = $(PART_SOURCES) $(LOG_SOURCES)
src_part_libpartm_a_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
