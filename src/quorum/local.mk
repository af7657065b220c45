NODE_SOURCES = %D%/rlog.c %D%/rlog.h %D%/rlog_meta.c %D%/rlog_snap.c %D%/recover.c \
	%D%/node.c %D%/node.h %D%/node_in.h %D%/image.c %D%/propose.c %D%/member.c %D%/member_admin.c \
	%D%/message.c %D%/ship.c %D%/peer.c %D%/peer.h %D%/sessions.c %D%/sessions.h %D%/subject.c %D%/subject.h
ZK_SOURCES = %D%/zk.h %D%/zk_int.h %D%/zk_conn.c %D%/zk_request.c %D%/zk_write.c %D%/zk_read.c %D%/zk_watch.c \
	%D%/zk_auth.c %D%/zk_word.c %D%/zk_mntr.c %D%/zk_reap.c %D%/zk_reconfig.c %D%/zk_admin.c %D%/zk_conf.c %D%/zk_conf.h
noinst_LIBRARIES += src/quorum/libquorum.a
src_quorum_libquorum_a_SOURCES = $(NODE_SOURCES) $(ZK_SOURCES) %D%/feed.c %D%/feed.h %D%/serve.c %D%/serve.h %D%/serve_in.h \
	%D%/serve_admin.c %D%/serve_feed.c \
	%D%/zk_import.c %D%/zk_import.h
# The same sources with planted bugs: simulator only.
noinst_LIBRARIES += src/quorum/libnodem.a
src_quorum_libnodem_a_SOURCES = $(NODE_SOURCES) $(ZK_SOURCES) $(RAFT_SOURCES) $(COORD_SOURCES)
src_quorum_libnodem_a_CPPFLAGS = $(AM_CPPFLAGS) -DMUTANTS
EXTRA_DIST += proto/zk_mntr.def
QUORUM_LIBS = src/quorum/libquorum.a src/raft/libraft.a src/coord/libcoord.a src/wire/libwire.a

sbin_PROGRAMS += moldau-quorum
moldau_quorum_SOURCES = %D%/main.c %D%/main_zk.c %D%/main_zk.h %D%/main_tls.c %D%/main_tls.h \
	%D%/main_import.c %D%/main_import.h
moldau_quorum_LDADD = $(QUORUM_LIBS) src/wire/libcodec.a $(OS_LIBS) src/ipc/libipc.a $(BASE_LIBS) $(CODEC_LIBS)
