noinst_LIBRARIES += src/quorum/libquorum.a
src_quorum_libquorum_a_SOURCES = %D%/rlog.c %D%/rlog.h %D%/rlog_meta.c %D%/rlog_snap.c %D%/recover.c \
	%D%/node.c %D%/node.h %D%/node_in.h %D%/propose.c %D%/member.c %D%/message.c %D%/ship.c %D%/peer.c %D%/peer.h \
	%D%/sessions.c %D%/sessions.h %D%/feed.c %D%/feed.h %D%/serve.c %D%/serve.h %D%/serve_in.h \
	%D%/serve_feed.c
QUORUM_LIBS = src/quorum/libquorum.a src/raft/libraft.a src/coord/libcoord.a src/wire/libwire.a

sbin_PROGRAMS += moldau-quorum
moldau_quorum_SOURCES = %D%/main.c
moldau_quorum_LDADD = $(QUORUM_LIBS) $(OS_LIBS) src/ipc/libipc.a $(BASE_LIBS)
