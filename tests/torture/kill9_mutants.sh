#!/bin/sh
# kill9_mutants.sh - each planted bug must be found by kill9; without one the same broker must pass, though
# its workers and storage process die at crash points all the time.
bin=${MOLDAU_BUILD:-.}/tests/torture/kill9 bad=0
MOLDAU_CRASH=${MOLDAU_CRASH:-100000}
export MOLDAU_CRASH
if out=$("$bin" --seconds 6 --clients 8 --mutant NONE 2>&1); then
	echo "no bug: passed: $(echo "$out" | grep '^table:')"
else
	echo "no bug: FAILED: $out"; bad=1
fi
for m in DUPLICATE_APPENDED COMMIT_BEFORE_WRITE REPAIR_KEEPS_VERSIONS ONE_STATE_SLOT; do
	found=
	for seed in 1 2 3 4 5 6 7 8; do
		out=$("$bin" --seconds 4 --clients 8 --seed $seed --mutant $m 2>&1)
		st=$?
		rm -rf "$(echo "$out" | sed -n 's/^kept: //p')"
		[ $st = 1 ] || continue
		found=$(echo "$out" | sed -n 's/^VIOLATION: //p' | tr '\n' ';')
		break
	done
	if [ "$found" ]; then
		echo "found: $m (seed $seed): $found"
	else
		echo "MISSED: $m: $out"; bad=1
	fi
done
exit $bad
