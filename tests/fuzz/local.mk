# Fuzz targets: replayed with mutations in make check, linked to libFuzzer with --enable-fuzz.
if FUZZ
FUZZ_MAIN =
LINK_FUZZ = -fsanitize=fuzzer
else
FUZZ_MAIN = %D%/replay.c
LINK_FUZZ =
endif
EXTRA_DIST += %D%/replay.c

check_PROGRAMS += tests/fuzz/fuzz_batch tests/fuzz/fuzz_codec
tests_fuzz_fuzz_batch_SOURCES = %D%/fuzz_batch.c $(FUZZ_MAIN)
tests_fuzz_fuzz_batch_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/golden/batches"'
tests_fuzz_fuzz_batch_LDFLAGS = $(AM_LDFLAGS) $(LINK_FUZZ)
tests_fuzz_fuzz_batch_LDADD = src/wire/libcodec.a src/wire/libwire.a $(BASE_LIBS) $(CODEC_LIBS)
tests_fuzz_fuzz_codec_SOURCES = %D%/fuzz_codec.c $(FUZZ_MAIN)
tests_fuzz_fuzz_codec_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/golden/batches"'
tests_fuzz_fuzz_codec_LDFLAGS = $(AM_LDFLAGS) $(LINK_FUZZ)
tests_fuzz_fuzz_codec_LDADD = src/wire/libcodec.a src/wire/libwire.a $(BASE_LIBS) $(CODEC_LIBS)
if !FUZZ
TESTS += tests/fuzz/fuzz_batch tests/fuzz/fuzz_codec
endif

check_PROGRAMS += tests/fuzz/fuzz_wire
tests_fuzz_fuzz_wire_SOURCES = %D%/fuzz_wire.c $(FUZZ_MAIN)
tests_fuzz_fuzz_wire_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/fuzz/corpus/wire"'
tests_fuzz_fuzz_wire_LDFLAGS = $(AM_LDFLAGS) $(LINK_FUZZ)
tests_fuzz_fuzz_wire_LDADD = src/wire/libwire.a $(BASE_LIBS)
EXTRA_DIST += tests/fuzz/corpus/wire
if !FUZZ
TESTS += tests/fuzz/fuzz_wire
endif

check_PROGRAMS += tests/fuzz/fuzz_import
tests_fuzz_fuzz_import_SOURCES = %D%/fuzz_import.c $(FUZZ_MAIN)
tests_fuzz_fuzz_import_CPPFLAGS = $(AM_CPPFLAGS) -DCORPUS='"tests/golden/zk/import"'
tests_fuzz_fuzz_import_LDFLAGS = $(AM_LDFLAGS) $(LINK_FUZZ)
tests_fuzz_fuzz_import_LDADD = src/coord/libcoord.a src/wire/libwire.a $(BASE_LIBS)
EXTRA_DIST += tests/golden/zk
if !FUZZ
TESTS += tests/fuzz/fuzz_import
endif
