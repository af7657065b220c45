noinst_PROGRAMS += bench/crc_bench
bench_crc_bench_SOURCES = %D%/crc_bench.c
bench_crc_bench_LDADD = $(BASE_LIBS)
