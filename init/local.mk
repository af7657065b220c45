INIT_IN = %D%/moldau-quorum.service.in %D%/moldau-broker.service.in \
	%D%/moldau-quorum.init.in %D%/moldau-broker.init.in
EXTRA_DIST += $(INIT_IN) %D%/moldau.sysusers %D%/broker.conf %D%/quorum.conf
INIT_OUT = init/moldau-quorum.service init/moldau-broker.service init/moldau-quorum.init \
	init/moldau-broker.init
CLEANFILES += $(INIT_OUT)
noinst_DATA = $(INIT_OUT)

init/%: $(srcdir)/init/%.in Makefile
	$(AM_V_GEN)$(MKDIR_P) init && sed -e 's|@sbindir[@]|$(sbindir)|g' \
		-e 's|@sysconfdir[@]|$(sysconfdir)|g' $< >$@.tmp && mv $@.tmp $@

install-data-local: $(INIT_OUT)
	$(MKDIR_P) $(DESTDIR)$(systemdsystemunitdir) $(DESTDIR)$(sysconfdir)/init.d \
		$(DESTDIR)$(sysconfdir)/moldau $(DESTDIR)$(prefix)/lib/sysusers.d
	$(INSTALL_DATA) init/moldau-quorum.service init/moldau-broker.service \
		$(DESTDIR)$(systemdsystemunitdir)
	$(INSTALL) -m 755 init/moldau-quorum.init $(DESTDIR)$(sysconfdir)/init.d/moldau-quorum
	$(INSTALL) -m 755 init/moldau-broker.init $(DESTDIR)$(sysconfdir)/init.d/moldau-broker
	$(INSTALL_DATA) $(srcdir)/%D%/moldau.sysusers $(DESTDIR)$(prefix)/lib/sysusers.d/moldau.conf
	for f in broker quorum; do test -e $(DESTDIR)$(sysconfdir)/moldau/$$f.conf || \
		$(INSTALL_DATA) $(srcdir)/%D%/$$f.conf $(DESTDIR)$(sysconfdir)/moldau/; done

uninstall-local:
	rm -f $(DESTDIR)$(systemdsystemunitdir)/moldau-quorum.service \
		$(DESTDIR)$(systemdsystemunitdir)/moldau-broker.service \
		$(DESTDIR)$(sysconfdir)/init.d/moldau-quorum $(DESTDIR)$(sysconfdir)/init.d/moldau-broker \
		$(DESTDIR)$(prefix)/lib/sysusers.d/moldau.conf
