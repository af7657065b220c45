noinst_LIBRARIES += src/coord/libcoord.a
src_coord_libcoord_a_SOURCES = %D%/coord.h %D%/tree.h %D%/tree.c %D%/ops.c %D%/apply.c %D%/acl.c %D%/client.c %D%/quota.c %D%/snap.c
PURE_LIBS += src/coord/libcoord.a
