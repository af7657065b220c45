#!/bin/sh
# check-sim.sh SRCDIR [MUTANT-LIB DAEMON-LIB... -- TEST-OBJECT...] - the simulator runs what the daemons run:
# the archive with crash points is made of the very sources of the daemons' archives, nothing of it is replaced
# by a test, and the objects say so: the same files, with the same global symbols, none of them defined again.
cd "$1" || exit 2
shift
bad=0
one() {		# one FILE VARIABLE: its value in a local.mk
	sed -e :a -e '/\\$/{N;s/\\\n//;ta' -e '}' "$1" | sed -n "s/^$2 *= *//p" | tr -s ' \t' ' ' | sed 's/ $//'
}
daemons="$(one src/part/local.mk src_part_libpart_a_SOURCES) $(one src/log/local.mk src_log_liblog_a_SOURCES)"
simulator=$(one src/part/local.mk src_part_libpartm_a_SOURCES)
[ "$daemons" = "$simulator" ] || {
	echo "the simulator is made of $simulator, the daemons of $daemons"; bad=1; }
for v in PART_SOURCES LOG_SOURCES; do
	f=src/$(echo ${v%_SOURCES} | tr A-Z a-z)/local.mk
	one "$f" $v | tr ' ' '\n' | grep -vE '^%D%/[a-z_]+\.[ch]$' | grep . && { echo "$f: $v has foreign files"; bad=1; }
done
linked=$(one tests/sim/local.mk tests_sim_run_LDADD)
case " $linked " in
*" src/part/libpartm.a "*) ;;
*) echo "tests/sim/run links $linked, without src/part/libpartm.a"; bad=1 ;;
esac
one tests/sim/local.mk tests_sim_run_SOURCES | tr ' ' '\n' | grep -v '^%D%/' | grep . && {
	echo "tests/sim/run has sources of its own of what is tested"; bad=1; }
[ $# = 0 ] && exit $bad

mutants=$1; shift
libs=
while [ $# -gt 0 ] && [ "$1" != -- ]; do libs="$libs $1"; shift; done
[ $# -gt 0 ] && shift
work=$(mktemp -d) || exit 2
trap 'rm -rf "$work"' EXIT
symbols() {	# FILE.c symbol, of each global in archives
	nm -g --defined-only "$@" 2>/dev/null | awk '
		/^[^ ]+\.o:$/ { file = $1; sub(/\.o:$/, "", file); sub(/.*_a-/, "", file) }
		NF == 3 && $2 ~ /[TDRB]/ && $3 !~ /^__/ { print file ".c", $3 }' | sort -u
}
symbols "$mutants" >"$work/sim"
symbols $libs >"$work/daemons"
[ -s "$work/daemons" ] || { echo "no symbols in$libs"; exit 1; }
diff "$work/daemons" "$work/sim" >"$work/diff" || {
	echo "the simulator's objects are not those of the daemons (<: daemons, >: simulator):"; grep '^[<>]' "$work/diff"; bad=1; }
awk '{ print $2 }' "$work/daemons" | sort -u >"$work/names"
for o in "$@"; do
	again=$(nm -g --defined-only "$o" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u | comm -12 - "$work/names")
	[ -z "$again" ] || { echo "$o defines again what is tested:" $again; bad=1; }
done
exit $bad
