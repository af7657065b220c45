noinst_LIBRARIES += src/base/libbase.a src/base/libmem.a src/base/libmutant.a
src_base_libbase_a_SOURCES = %D%/arena.c %D%/assert.c %D%/assert.h %D%/err.c %D%/err.h %D%/mutant.h %D%/rng.h \
	%D%/str.c %D%/str.h %D%/buf.c %D%/buf.h %D%/be.h \
	%D%/crc32c.c %D%/crc32c.h %D%/crc32.c %D%/crc32.h %D%/crc_table.h %D%/adler32.c %D%/adler32.h
# The one folder's part with state of its own: malloc and the live count.
src_base_libmem_a_SOURCES = %D%/mem.c %D%/mem.h
PURE_LIBS += src/base/libbase.a
BASE_LIBS = src/base/libbase.a src/base/libmem.a src/base/libbase.a
# Switches of planted bugs and crash points: test programs only.
src_base_libmutant_a_SOURCES = %D%/mutant.c
src_base_libmutant_a_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
# Settings: pure too; proto/settings.def is its table.
noinst_LIBRARIES += src/base/libconf.a
src_base_libconf_a_SOURCES = %D%/conf.c %D%/conf.h %D%/text.h
EXTRA_DIST += proto/settings.def
PURE_LIBS += src/base/libconf.a
CONF_LIBS = src/base/libconf.a
