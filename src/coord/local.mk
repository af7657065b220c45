noinst_LIBRARIES += src/coord/libcoord.a
src_coord_libcoord_a_SOURCES = %D%/coord.h %D%/tree.h %D%/tree.c %D%/apply.c %D%/snap.c
PURE_LIBS += src/coord/libcoord.a
