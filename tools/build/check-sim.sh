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
# world FOLDER LIBRARY LOCAL.MK VARIABLE...: FOLDER/run links LIBRARY, made with -DMUTANTS of the files of the variables,
# which are those that the daemons' archives are made of too.
world() {
	run=$1 lib=$2 mk=$3; shift 3
	want= object=$(echo "$lib" | tr './' '__')
	for v in "$@"; do
		f=src/$(echo ${v%%:*})/local.mk v=${v#*:}
		want="$want${want:+ }\$($v)"
		one "$f" $v | tr ' ' '\n' | grep -vE '^%D%/[a-z_]+\.[ch]$' | grep . && { echo "$f: $v has foreign files"; bad=1; }
		sed -n '/^src_.*_a_SOURCES/p' "$f" | grep -v "^$object" | grep -qF "\$($v)" || {
			echo "$f: no archive of a daemon is made of $v"; bad=1; }
	done
	simulator=$(one "$mk" ${object}_SOURCES)
	[ "$want" = "$simulator" ] || { echo "the simulator is made of $simulator, the daemons of $want"; bad=1; }
	linked=$(one "$run/local.mk" "$(echo "$run" | tr / _)_run_LDADD")
	case " $linked " in
	*" $lib "*) ;;
	*) echo "$run/run links $linked, without $lib"; bad=1 ;;
	esac
	one "$run/local.mk" "$(echo "$run" | tr / _)_run_SOURCES" | tr ' ' '\n' | grep -vE '^%D%/|^tests/sim/heap' | grep . && {
		echo "$run/run has sources of its own of what is tested"; bad=1; }
}
world tests/sim src/part/libpartm.a src/part/local.mk part:PART_SOURCES log:LOG_SOURCES
[ ! -f tests/qsim/local.mk ] ||
	world tests/qsim src/quorum/libnodem.a src/quorum/local.mk quorum:NODE_SOURCES quorum:ZK_SOURCES \
		raft:RAFT_SOURCES coord:COORD_SOURCES
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
cut -d' ' -f1 "$work/sim" | sort -u >"$work/files"
symbols $libs | awk 'NR == FNR { mine[$1]; next } $1 in mine' "$work/files" - >"$work/daemons"
[ -s "$work/daemons" ] || { echo "no symbols in$libs"; exit 1; }
diff "$work/daemons" "$work/sim" >"$work/diff" || {
	echo "the simulator's objects are not those of the daemons (<: daemons, >: simulator):"; grep '^[<>]' "$work/diff"; bad=1; }
awk '{ print $2 }' "$work/daemons" | sort -u >"$work/names"
for o in "$@"; do
	again=$(nm -g --defined-only "$o" 2>/dev/null | awk 'NF == 3 { print $3 }' | sort -u | comm -12 - "$work/names")
	[ -z "$again" ] || { echo "$o defines again what is tested:" $again; bad=1; }
done
exit $bad
