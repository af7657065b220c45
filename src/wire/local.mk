# Pure: batches and message sets (and, added by their own block, the schema codec).
noinst_LIBRARIES += src/wire/libwire.a
src_wire_libwire_a_SOURCES = %D%/batch.c %D%/batch.h %D%/batch_read.c %D%/batch_build.c %D%/batch_walk.h \
	%D%/msgset.c %D%/msgset.h
PURE_LIBS += src/wire/libwire.a

# The schema codec: hand-written part, and what wiregen makes of proto/.
src_wire_libwire_a_SOURCES += %D%/mp.c %D%/mp.h %D%/jute.c %D%/jute.h
src_wire_libwire_a_SOURCES += %D%/wire.c %D%/wire.h %D%/wire_value.c %D%/wire_obj.h %D%/cursor.h \
	%D%/kafka_api.c %D%/kafka_api.h %D%/kafka_error.c %D%/kafka_error.h
nodist_src_wire_libwire_a_SOURCES = %D%/kafka_gen.c %D%/kafka_gen.h %D%/record_gen.c %D%/record_gen.h \
	%D%/zk_gen.c %D%/zk_gen.h
KAFKA_WIRE = proto/kafka/core.wire proto/kafka/produce.wire proto/kafka/fetch.wire \
	proto/kafka/meta.wire proto/kafka/group.wire proto/kafka/txn.wire proto/kafka/admin.wire \
	proto/kafka/acl.wire proto/kafka/config.wire proto/kafka/share.wire \
	proto/kafka/streams.wire proto/kafka/quorumapi.wire
RECORD_WIRE = proto/record.wire
ZK_WIRE = proto/zk.wire
noinst_HEADERS += proto/errors.def
EXTRA_DIST += $(KAFKA_WIRE) $(RECORD_WIRE) $(ZK_WIRE)
# Made before everything else, since other folders include the headers.
WIRE_GEN = %D%/kafka_gen.h %D%/kafka_gen.c %D%/record_gen.h %D%/record_gen.c %D%/zk_gen.h %D%/zk_gen.c
BUILT_SOURCES += $(WIRE_GEN)
CLEANFILES += $(WIRE_GEN)
WIREGEN = tools/build/wiregen$(EXEEXT)
%D%/kafka_gen.h: $(KAFKA_WIRE) $(WIREGEN)
	$(AM_V_GEN)$(MKDIR_P) %D% && (cd $(srcdir) && $(abs_builddir)/$(WIREGEN) \
		header kafka $(KAFKA_WIRE)) >$@.tmp && mv $@.tmp $@
%D%/kafka_gen.c: %D%/kafka_gen.h
	$(AM_V_GEN)(cd $(srcdir) && $(abs_builddir)/$(WIREGEN) code kafka $(KAFKA_WIRE)) \
		>$@.tmp && mv $@.tmp $@
%D%/record_gen.h: $(RECORD_WIRE) $(WIREGEN)
	$(AM_V_GEN)$(MKDIR_P) %D% && (cd $(srcdir) && $(abs_builddir)/$(WIREGEN) \
		header record $(RECORD_WIRE)) >$@.tmp && mv $@.tmp $@
%D%/record_gen.c: %D%/record_gen.h
	$(AM_V_GEN)(cd $(srcdir) && $(abs_builddir)/$(WIREGEN) code record $(RECORD_WIRE)) \
		>$@.tmp && mv $@.tmp $@
%D%/zk_gen.h: $(ZK_WIRE) $(WIREGEN)
	$(AM_V_GEN)$(MKDIR_P) %D% && (cd $(srcdir) && $(abs_builddir)/$(WIREGEN) \
		header zk $(ZK_WIRE)) >$@.tmp && mv $@.tmp $@
%D%/zk_gen.c: %D%/zk_gen.h
	$(AM_V_GEN)(cd $(srcdir) && $(abs_builddir)/$(WIREGEN) code zk $(ZK_WIRE)) \
		>$@.tmp && mv $@.tmp $@

# libcodec.a is the one library that includes zlib, lz4, zstd and snappy.
noinst_HEADERS += %D%/codec.h src/part/batch_in.h
noinst_LIBRARIES += src/wire/libcodec.a
src_wire_libcodec_a_SOURCES = %D%/codec.c
src_wire_libcodec_a_CPPFLAGS = $(AM_CPPFLAGS) $(CODEC_CFLAGS)
# After libcodec.a in LDADD: $(CODEC_LIBS).
