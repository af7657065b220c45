COORD_SOURCES = %D%/coord.h %D%/tree.h %D%/tree.c %D%/ops.c %D%/apply.c %D%/acl.c %D%/client.c %D%/quota.c %D%/snap.c \
	%D%/import.h %D%/import_in.h %D%/import.c %D%/import_read.c
noinst_LIBRARIES += src/coord/libcoord.a
src_coord_libcoord_a_SOURCES = $(COORD_SOURCES)
PURE_LIBS += src/coord/libcoord.a
