noinst_LIBRARIES += src/base/libbase.a src/base/libmem.a
src_base_libbase_a_SOURCES = %D%/assert.c %D%/assert.h %D%/err.c %D%/err.h %D%/mutant.h %D%/rng.h \
	%D%/str.c %D%/str.h %D%/buf.c %D%/buf.h %D%/be.h
# The one folder's part with state of its own: malloc and the live count.
src_base_libmem_a_SOURCES = %D%/mem.c %D%/mem.h
PURE_LIBS += src/base/libbase.a
BASE_LIBS = src/base/libbase.a src/base/libmem.a
