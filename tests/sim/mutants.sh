#!/bin/sh
# mutants.sh - each planted bug must be found by the simulator, by a broken invariant and not by a crash.
run=${1:-tests/sim/run}
bad=0
for m in REPAIR_KEEPS_VERSIONS ONE_STATE_SLOT COMMIT_BEFORE_STATE COMMIT_BEFORE_WRITE REPAIR_NOT_CONSISTENT \
	EARLY_HIGH_WATERMARK DEDUP_FORGOTTEN; do
	out=$(timeout 60 "$run" --seeds 400 --mutant "$m" 2>&1)
	if echo "$out" | grep -q 'broken:'; then
		echo "found: $m ($(echo "$out" | grep -o 'seed [0-9]*: W[0-9]' | head -1))"
	else
		echo "MISSED: $m"; echo "$out" | tail -3; bad=1
	fi
done
exit $bad
