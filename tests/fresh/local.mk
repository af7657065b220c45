dist_noinst_SCRIPTS += tests/fresh/run
check-fresh:	# the README on a bare Debian 12 (root; some minutes)
	$(srcdir)/tests/fresh/run --check
.PHONY: check-fresh
