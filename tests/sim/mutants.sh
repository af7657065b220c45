#!/bin/sh
# mutants.sh [RUN] - each planted bug must be found by the simulator, by the invariant that it breaks: a
# bug that is found for another reason does not count. MUTANT, seeds to try, then the invariants that may
# tell. Those that need many seeds are tried when SLOW is set (./check).
run=${1:-tests/sim/run}
bad=0
while read -r mutant seeds invariants; do
	[ "$seeds" -gt 300 ] && [ -z "$SLOW" ] && continue
	if out=$("$run" --seeds "$seeds" --mutant "$mutant" --want "$invariants" 2>&1); then
		echo "found: $mutant: $(echo "$out" | sed -n 's/^\(seed [0-9]*: [^(]*\).*/\1/p' | head -1)"
	else
		echo "MISSED: $mutant: $invariants not broken"; echo "$out" | tail -1; bad=1
	fi
done <<-END
	COMMIT_SKIPS            300   T1
	COMMIT_BEFORE_STATE     300   T14 T7
	ONE_STATE_SLOT          300   T5
	COMMIT_BEFORE_WRITE     300   T2
	REPAIR_NO_CUT           300   T2
	REPAIR_NOT_CONSISTENT   300   W5
	APPEND_ALLOCATES        300   T4
	LOAD_UNCHECKED          300   T5
	START_GOES_BACK         1500  T6
	WATERMARK_BEFORE_COMMIT 300   T7
	ONLINE_EARLY            300   T7
	ROLL_KEEPS_GENERATION   300   T8
	HINTS_NOT_CLEARED       300   T9
	LINK_WITHOUT_INTENT     300   T10
	REPAIR_KEEPS_VERSIONS   300   W2
	EARLY_HIGH_WATERMARK    300   T11
	REPAIR_NO_ADVANCE       300   T11
	STABLE_IGNORES_OPEN     300   T12
	DELETE_FREES            300   T13
	CUT_KEEPS_GENERATION    300   T14
	GENERATION_NOT_KEPT     1500  T14
	ROLL_KEEPS_RESERVE      300   T15
	RESERVE_OUTLIVES_ROLL   300   T15
	ONE_VERSION             300   W2
	HOLES_ALLOWED           12000 L1
	READER_NO_RECHECK       4000  W4 W5 W9 L1
	DEDUP_FORGOTTEN         300   W2
	CLEAN_FOR_EVER          5000  W1 W3
	WAKE_FORGOTTEN          300   W7
	BUSY_FORGOTTEN          300   W7
	RECOVERY_SKIPS_CRC      300   L1
	FOLDER_NOT_SYNCED       300   W1 W3
	FILES_BEFORE_STATE      5000  W1 W3
	SNAPSHOT_EARLY          300   L4
	ABORTED_NOT_SYNCED      300   W9
	ABORTED_NOT_CUT         6000  W9
	INDEX_NOT_CUT           300   L6
	INDEX_UNCOMMITTED       2000  L6
END
exit $bad
