LOG_SOURCES = %D%/log.h %D%/name.c %D%/files.c %D%/small.c %D%/index.c %D%/walk.c %D%/txn.c %D%/ckpt.c
noinst_LIBRARIES += src/log/liblog.a
src_log_liblog_a_SOURCES = $(LOG_SOURCES)
PURE_LIBS += src/log/liblog.a
LOG_LIBS = src/log/liblog.a
