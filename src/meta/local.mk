# Pure: the mirror of the tree, effective settings, the image.
noinst_LIBRARIES += src/meta/libmeta.a
src_meta_libmeta_a_SOURCES = %D%/state.c %D%/state.h %D%/settings.c %D%/image.c %D%/image.h %D%/block.h \
	%D%/image_build.c %D%/control.c %D%/control.h %D%/control_topics.c %D%/control_config.c
PURE_LIBS += src/meta/libmeta.a
META_LIBS = src/meta/libmeta.a src/wire/libwire.a $(CONF_LIBS)
