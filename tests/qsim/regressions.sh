#!/bin/sh
# regressions.sh - every seed that ever broke an invariant (regressions.txt) passes now.
run=${1:-tests/qsim/run}
sed '/^#/d; s/^\(--zookeeper \)\{0,1\}\([0-9]*\) .*/\2 \1/' "${srcdir:-.}/tests/qsim/regressions.txt" | {
	bad=0
	while read -r seed mode; do
		"$run" $mode --from "$seed" --seeds 1 >/dev/null || { echo "seed $seed $mode fails again"; bad=1; }
	done
	exit $bad
}
