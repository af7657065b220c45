noinst_LIBRARIES += src/ipc/libipc.a
src_ipc_libipc_a_SOURCES = %D%/bell.c %D%/bell.h
PURE_LIBS += src/ipc/libipc.a
