# Unmodified clients against a cluster; see tests/interop/interop.py and docs/clients.md.
# make check-clients [CLIENTS="franz-go kcat"]
.PHONY: check-clients
check-clients: all
	MOLDAU_BUILD=$(abs_builddir) INTEROP_CACHE=$(abs_builddir)/interop-cache $(srcdir)/tests/interop/run $(CLIENTS)
EXTRA_DIST += %D%
