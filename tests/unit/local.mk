
if HAVE_CRITERION
check_PROGRAMS += tests/unit/batch.tap
tests_unit_batch_tap_SOURCES = %D%/test_batch.c
tests_unit_batch_tap_CPPFLAGS = $(AM_CPPFLAGS) $(CRITERION_CFLAGS)
tests_unit_batch_tap_LDADD = src/wire/libwire.a $(BASE_LIBS) $(CRITERION_LIBS)
TESTS += tests/unit/batch.tap
endif
