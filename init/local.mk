INIT_IN = %D%/moldau-quorum.service.in %D%/moldau-broker.service.in %D%/moldau.init.in
EXTRA_DIST += $(INIT_IN) %D%/moldau.sysusers %D%/moldau.tmpfiles %D%/moldau.logrotate %D%/moldau.target \
	%D%/broker.conf %D%/quorum.conf
INIT_OUT = init/moldau-quorum.service init/moldau-broker.service init/moldau-quorum.init \
	init/moldau-broker.init
CLEANFILES += $(INIT_OUT)
noinst_DATA = $(INIT_OUT)
INIT_DIRS = -e 's|@sbindir[@]|$(sbindir)|g' -e 's|@sysconfdir[@]|$(sysconfdir)|g'

init/%.service: $(srcdir)/init/%.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) init && sed $(INIT_DIRS) $< >$@.tmp && mv $@.tmp $@
# Both daemons have the same script but for these words.
init/moldau-broker.init: $(srcdir)/init/moldau.init.in Makefile
	$(AM_V_GEN)$(MKDIR_P) init && sed $(INIT_DIRS) -e 's|@name[@]|moldau-broker|g' \
		-e 's|@title[@]|Moldau broker|g' -e 's|@conf[@]|broker.conf|g' -e 's|@after[@]|moldau-quorum|g' \
		-e 's|@pidopt[@]|--set "pid.file=$$PIDFILE" --set "log.output=$$LOG"|g' $< >$@.tmp && \
		chmod +x $@.tmp && mv $@.tmp $@
init/moldau-quorum.init: $(srcdir)/init/moldau.init.in Makefile
	$(AM_V_GEN)$(MKDIR_P) init && sed $(INIT_DIRS) -e 's|@name[@]|moldau-quorum|g' \
		-e 's|@title[@]|Moldau coordination node|g' -e 's|@conf[@]|quorum.conf|g' -e 's| @after[@]||g' \
		-e 's|@pidopt[@]|--pid-file "$$PIDFILE" --log-output "$$LOG"|g' $< >$@.tmp && \
		chmod +x $@.tmp && mv $@.tmp $@

install-data-local: $(INIT_OUT)
	$(MKDIR_P) $(DESTDIR)$(systemdsystemunitdir) $(DESTDIR)$(sysconfdir)/init.d \
		$(DESTDIR)$(sysconfdir)/moldau $(DESTDIR)$(sysconfdir)/logrotate.d \
		$(DESTDIR)$(prefix)/lib/sysusers.d $(DESTDIR)$(prefix)/lib/tmpfiles.d \
		$(DESTDIR)$(datadir)/bash-completion/completions
	$(INSTALL_DATA) $(srcdir)/tools/moldau.bash $(DESTDIR)$(datadir)/bash-completion/completions/moldau
	$(INSTALL_DATA) init/moldau-quorum.service init/moldau-broker.service $(srcdir)/%D%/moldau.target \
		$(DESTDIR)$(systemdsystemunitdir)
	$(INSTALL) -m 755 init/moldau-quorum.init $(DESTDIR)$(sysconfdir)/init.d/moldau-quorum
	$(INSTALL) -m 755 init/moldau-broker.init $(DESTDIR)$(sysconfdir)/init.d/moldau-broker
	$(INSTALL_DATA) $(srcdir)/%D%/moldau.sysusers $(DESTDIR)$(prefix)/lib/sysusers.d/moldau.conf
	$(INSTALL_DATA) $(srcdir)/%D%/moldau.tmpfiles $(DESTDIR)$(prefix)/lib/tmpfiles.d/moldau.conf
	$(INSTALL_DATA) $(srcdir)/%D%/moldau.logrotate $(DESTDIR)$(sysconfdir)/logrotate.d/moldau
	for f in broker quorum; do test -e $(DESTDIR)$(sysconfdir)/moldau/$$f.conf || \
		$(INSTALL_DATA) $(srcdir)/%D%/$$f.conf $(DESTDIR)$(sysconfdir)/moldau/; done

uninstall-local:
	rm -f $(DESTDIR)$(systemdsystemunitdir)/moldau-quorum.service \
		$(DESTDIR)$(systemdsystemunitdir)/moldau-broker.service \
		$(DESTDIR)$(systemdsystemunitdir)/moldau.target \
		$(DESTDIR)$(sysconfdir)/init.d/moldau-quorum $(DESTDIR)$(sysconfdir)/init.d/moldau-broker \
		$(DESTDIR)$(sysconfdir)/logrotate.d/moldau \
		$(DESTDIR)$(datadir)/bash-completion/completions/moldau \
		$(DESTDIR)$(prefix)/lib/sysusers.d/moldau.conf $(DESTDIR)$(prefix)/lib/tmpfiles.d/moldau.conf
