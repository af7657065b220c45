noinst_PROGRAMS += bench/crc_bench bench/run
bench_crc_bench_SOURCES = %D%/crc_bench.c
bench_crc_bench_LDADD = $(BASE_LIBS)
bench_run_SOURCES = %D%/run.c %D%/gen.c %D%/frames.c %D%/floor.c %D%/server.c %D%/backend.c %D%/util.c %D%/bench.h
bench_run_LDADD = $(BASE_LIBS) $(JANSSON_LIBS)
