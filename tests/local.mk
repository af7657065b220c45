AM_TESTS_ENVIRONMENT = CRITERION_OUTPUTS=tap:- ; export CRITERION_OUTPUTS ; \
	LSAN_OPTIONS=suppressions=$(abs_srcdir)/%D%/lsan.supp:print_suppressions=0 ; \
	export LSAN_OPTIONS ;
EXTRA_DIST += %D%/lsan.supp
include tests/lib/local.mk
include tests/unit/local.mk
include tests/sim/local.mk
include tests/qsim/local.mk
include tests/torture/local.mk
include tests/fuzz/local.mk
include tests/system/local.mk
include tests/fresh/local.mk
include tests/interop/local.mk
include tests/scenario/local.mk
include tests/jepsen/local.mk
