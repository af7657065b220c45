#!/bin/sh
# each_mutant.sh RUN - the planted bugs that standard input lists (mutants.sh), two at a time. MODE: an option for RUN.
export run="$1"
xargs -P 2 -L 1 sh -c '
	mutant=$0 seed=$1 seeds=$2 moved=; shift 2
	try() { out=$("$run" $MODE --from "$1" --seeds "$2" --mutant "$mutant" --want "$3" 2>&1); }
	if try "$seed" 1 "$*" || try 1 "$seeds" "$*"; then
		by=$(echo "$out" | sed -n "s/^seed \([0-9]*: .*\) (.*/\1/p" | tail -1)
		[ "${by%%:*}" = "$seed" ] || moved=", no longer by $seed: change mutants.sh"
		echo "found: $mutant: seed $by$moved"
	else
		echo "MISSED: $mutant: $* not broken; $(echo "$out" | tail -1)"
		exit 1
	fi'
