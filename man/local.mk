dist_man_MANS += %D%/moldau.1 %D%/moldau-dev.1 %D%/moldau-topics.1 %D%/moldau-produce.1 \
	%D%/moldau-consume.1 %D%/moldau-groups.1 %D%/moldau-log.1 %D%/moldau-quorum.1 %D%/moldau-broker.8 %D%/moldau-quorum.8
# Made from the list of settings.
man_MANS = %D%/moldau-broker.conf.5
CLEANFILES += %D%/moldau-broker.conf.5
EXTRA_DIST += tools/build/settings-man.awk
%D%/moldau-broker.conf.5: proto/settings.def tools/build/settings-man.awk
	$(AM_V_GEN)$(MKDIR_P) %D% && $(AWK) -f $(srcdir)/tools/build/settings-man.awk $(srcdir)/proto/settings.def >$@
