bin_PROGRAMS += moldau
moldau_SOURCES = %D%/main.c %D%/cli.c %D%/cli.h %D%/kclient.c %D%/kclient.h %D%/dev.c %D%/topics.c \
	%D%/groups.c %D%/produce.c %D%/consume.c %D%/logdump.c %D%/quorum.c %D%/quorum.h %D%/quorum_admin.c %D%/quorum_certs.c
moldau_CPPFLAGS = $(AM_CPPFLAGS) -DSBINDIR='"$(sbindir)"'
moldau_CFLAGS = $(AM_CFLAGS) $(MSGPACK_CFLAGS)
moldau_LDADD = $(CLIENT_LIBS) $(OS_LIBS) src/ipc/libipc.a src/wire/libwire.a src/wire/libcodec.a $(CONF_LIBS) $(BASE_LIBS) \
	$(CODEC_LIBS) $(JANSSON_LIBS) $(MSGPACK_LIBS)
noinst_PROGRAMS += tools/build/wiregen
tools_build_wiregen_SOURCES = %D%/build/wiregen.c

LINTS = %D%/build/check-layers.sh %D%/build/check-headers.sh %D%/build/check-pure.sh \
	%D%/build/check-sim.sh %D%/build/check-banned.sh %D%/build/check-single-use.sh %D%/build/check-manual.sh \
	%D%/build/check-shape.sh %D%/build/selftest.sh
dist_noinst_SCRIPTS += $(LINTS)
EXTRA_DIST += %D%/moldau.bash %D%/build/layers.txt %D%/build/pure.allow %D%/build/shape.allow \
	%D%/build/single-use.allow

# LINT: everything a reviewer should not have to say.
lint: all tests/sim/run$(EXEEXT) tests/qsim/run$(EXEEXT)
	$(srcdir)/%D%/build/check-layers.sh $(srcdir)
	$(srcdir)/%D%/build/check-headers.sh $(srcdir) $(builddir) \
		"$(CC) $(AM_CPPFLAGS) $(CPPFLAGS) -I$(builddir) -std=gnu11 $(EVENT_CFLAGS)"
	$(srcdir)/%D%/build/check-pure.sh $(srcdir)/%D%/build/pure.allow $(PURE_LIBS) -- src/base/libmem.a
	$(srcdir)/%D%/build/check-banned.sh $(srcdir)
	$(srcdir)/%D%/build/check-sim.sh $(srcdir) $(abs_builddir)/src/part/libpartm.a \
		$(abs_builddir)/src/part/libpart.a $(abs_builddir)/src/log/liblog.a -- \
		$(SIM_OBJECTS:%=$(abs_builddir)/%)
	$(srcdir)/%D%/build/check-sim.sh $(srcdir) $(abs_builddir)/src/quorum/libnodem.a \
		$(abs_builddir)/src/quorum/libquorum.a $(abs_builddir)/src/raft/libraft.a $(abs_builddir)/src/coord/libcoord.a -- \
		$(QSIM_OBJECTS:%=$(abs_builddir)/%)
	$(srcdir)/%D%/build/check-single-use.sh $(srcdir)
	$(srcdir)/%D%/build/check-manual.sh $(srcdir)
	$(srcdir)/%D%/build/check-shape.sh $(srcdir)
	CC="$(CC)" $(srcdir)/%D%/build/selftest.sh $(srcdir)
.PHONY: lint
