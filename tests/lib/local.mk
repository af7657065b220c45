# What several test programs share: raw Kafka frames, idempotent load, readers, a moldau dev to torture.
check_LIBRARIES = tests/lib/libtest.a
tests_lib_libtest_a_SOURCES = %D%/raw.c %D%/raw.h %D%/load.c %D%/load.h %D%/view.c %D%/view.h %D%/tail.c %D%/tail.h \
	%D%/rawlog.c %D%/rawlog.h %D%/devcluster.c %D%/devcluster.h
TEST_LIBS = tests/lib/libtest.a
