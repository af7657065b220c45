# Pure: batches and message sets (and, added by their own block, the schema codec).
noinst_LIBRARIES += src/wire/libwire.a
src_wire_libwire_a_SOURCES = %D%/batch.c %D%/batch.h %D%/batch_read.c %D%/batch_build.c %D%/batch_walk.h \
	%D%/msgset.c %D%/msgset.h
PURE_LIBS += src/wire/libwire.a

# libcodec.a is the one library that includes zlib, lz4, zstd and snappy.
noinst_HEADERS += %D%/codec.h src/part/batch_in.h
noinst_LIBRARIES += src/wire/libcodec.a
src_wire_libcodec_a_SOURCES = %D%/codec.c
src_wire_libcodec_a_CPPFLAGS = $(AM_CPPFLAGS) $(CODEC_CFLAGS)
# After libcodec.a in LDADD: $(CODEC_LIBS).
