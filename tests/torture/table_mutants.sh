#!/bin/sh
# table_mutants.sh - each planted bug of the table protocol must be found by table_kill9. (ONE_VERSION needs a
# client with several batches in flight: the simulator finds it.)
bin=${MOLDAU_BUILD:-.}/tests/torture/table_kill9 bad=0
for m in REPAIR_KEEPS_VERSIONS ONE_STATE_SLOT COMMIT_BEFORE_STATE COMMIT_BEFORE_WRITE \
	READER_NO_RECHECK REPAIR_NOT_CONSISTENT REPAIR_NO_CUT EARLY_HIGH_WATERMARK DEDUP_FORGOTTEN; do
	found=
	for seed in $(seq 8); do
		out=$("$bin" --seconds 0.6 --seed $seed --mutant $m 2>&1) && continue
		found=$(echo "$out" | grep VIOLATION | head -1)
		break
	done
	if [ "$found" ]; then
		echo "found: $m: $found"
	else
		echo "MISSED: $m: $out"; bad=1
	fi
done
exit $bad
