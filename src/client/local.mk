noinst_LIBRARIES += src/client/libclient.a
src_client_libclient_a_SOURCES = %D%/quorum.c %D%/quorum.h
CLIENT_LIBS = src/client/libclient.a src/wire/libwire.a
