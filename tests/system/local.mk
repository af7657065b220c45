
check_PROGRAMS += tests/system/qtool
tests_system_qtool_SOURCES = %D%/qtool.c
tests_system_qtool_LDADD = $(CLIENT_LIBS) $(OS_LIBS) src/ipc/libipc.a $(BASE_LIBS)
