noinst_PROGRAMS += bench/crc_bench bench/run
bench_crc_bench_SOURCES = %D%/crc_bench.c
bench_crc_bench_LDADD = $(BASE_LIBS)
bench_run_SOURCES = %D%/run.c %D%/gen.c %D%/frames.c %D%/floor.c %D%/server.c %D%/backend.c %D%/util.c %D%/bench.h
bench_run_LDADD = $(BASE_LIBS) $(JANSSON_LIBS)
noinst_PROGRAMS += bench/coord/gen
bench_coord_gen_SOURCES = %D%/coord/gen.c %D%/coord/zookeeper.c %D%/coord/coord.h %D%/server.c %D%/frames.c %D%/util.c %D%/bench.h
bench_coord_gen_CPPFLAGS = $(AM_CPPFLAGS) $(NGHTTP2_CFLAGS)
bench_coord_gen_LDADD = $(BASE_LIBS) $(JANSSON_LIBS) $(NGHTTP2_LIBS)
if HAVE_NGHTTP2
bench_coord_gen_SOURCES += %D%/coord/etcd.c
bench_coord_gen_CPPFLAGS += -DHAVE_NGHTTP2
endif
